"""What Redis loses under live engines: each is refused, written down, and stays refused until somebody mends it."""

import shutil
import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import redis

from shared.refusal import EXIT_REFUSED
from shared.stream_keys import log_id
from tests.faults.matrix.copies import Copy, rest
from tests.faults.matrix.house import House
from tests.integration.engine_process import until
from tests.integration.engine_scene import Scene

LOOK_S = 3.0  # the engine asks its witnesses so often
NOTICED_S_MAX = 12.0  # beside seven more of them on a busy machine
EXIT_AGAIN = 1


class Found(NamedTuple):
    """What became of one copy."""

    code: int
    noticed_s: float
    restart_code: int
    copy: Copy


def flushed(client: Any, _copy: Copy) -> None:
    """FLUSHALL."""
    client.flushall()


def log_deleted(client: Any, copy: Copy) -> None:
    """DEL of the log."""
    client.delete(copy.keys.log)


def events_deleted(client: Any, copy: Copy) -> None:
    """DEL of the events."""
    client.delete(copy.keys.events)


def entry_deleted(client: Any, copy: Copy) -> None:
    """XDEL of the entry that the newest snapshot stands on."""
    assert client.xdel(copy.keys.log, log_id(copy.snapshot_seq)) == 1


def event_deleted(client: Any, copy: Copy) -> None:
    """XDEL of the newest entry of the events."""
    client.xdel(copy.keys.events, client.xrevrange(copy.keys.events, count=1)[0][0])


def number_skipped(client: Any, copy: Copy) -> None:
    """XSETID: the next entry's number is not the next one."""
    client.execute_command("XSETID", copy.keys.log, log_id(copy.streams.log_tip(copy.keys) + 1_000))
    copy.producer.tick()


def put_back(_client: Any, copy: Copy) -> None:
    """Redis killed and started again on its files from before: the newest entries are gone."""
    copy.redis.kill()
    shutil.rmtree(copy.folder / "redis")
    shutil.copytree(copy.before / "redis", copy.folder / "redis", ignore=shutil.ignore_patterns("lock"))
    copy.redis.start()


KINDS = (flushed, log_deleted, events_deleted, entry_deleted, event_deleted, number_skipped, put_back)
NAMES = [kind.__name__ for kind in KINDS]


@pytest.fixture(scope="module")
def stopped(house_make: Callable[[], House]) -> House:
    """Return a venue at rest."""
    house = house_make()
    rest(house)
    return house


@pytest.fixture(scope="module")
def found(stopped: House, copy_make: Callable[[House], Copy]) -> dict[str, Found]:
    """Let every disaster befall a copy of its own, all at the same time; return what became of each."""
    copies = [copy_make(stopped) for _ in KINDS]
    for copy in copies:
        copy.engine.start()
    for copy in copies:
        copy.leading()
    begun_s = []
    for kind, copy in zip(KINDS, copies, strict=True):
        client = redis.Redis.from_url(copy.redis.url)
        begun_s.append(time.monotonic())
        kind(client, copy)
        client.close()
    codes: dict[str, tuple[int, float]] = {}
    while len(codes) < len(copies) and time.monotonic() < begun_s[-1] + LOOK_S + NOTICED_S_MAX:
        for name, copy, begin_s in zip(NAMES, copies, begun_s, strict=True):
            assert copy.engine.process is not None
            if name not in codes and copy.engine.process.poll() is not None:
                codes[name] = (copy.engine.process.returncode, time.monotonic() - begin_s)
        time.sleep(0.05)
    told = {}
    for name, copy in zip(NAMES, copies, strict=True):
        if name in codes:
            copy.engine.start()
    for name, copy in zip(NAMES, copies, strict=True):
        if name not in codes:
            continue
        assert copy.engine.process is not None
        told[name] = Found(*codes[name], copy.engine.process.wait(30), copy)
    return told


@pytest.mark.parametrize("name", NAMES)
def test_live_engine_refuses(found: dict[str, Found], name: str) -> None:
    """The engine ends within its next look, says why in three places, and no restart leads on; nobody appends."""
    assert name in found, "not noticed at all"
    code, noticed_s, restart_code, copy = found[name]
    print(f"\n{name}: noticed after {noticed_s:.1f} s")
    if name == "flushed":  # another venue, or none, is no refusal of this process: the next start looks into it
        assert code == EXIT_AGAIN
    else:
        assert code == EXIT_REFUSED
        [refused] = copy.engine.facts("refused")
        assert "help" in refused
        assert (copy.data_dir / "refused.json").exists()
        assert copy.streams.get_json(copy.keys.refused)["text"] == refused["text"]
        appended = copy.producer.streams.append(copy.keys, [(b"ts", b"1"), (b"clock_tick", b"{}")])
        assert appended.reason in ("REFUSAL_STANDS", "LOG_ABSENT")
    assert restart_code == EXIT_REFUSED
    assert len(copy.engine.facts("leader_promoted")) == 1
    if name == "flushed":
        assert copy.streams.venue() is None, "nothing was founded over what is remembered"


def test_trimmed_too_far(stopped: House, copy_make: Callable[[House], Copy]) -> None:
    """A log trimmed beyond every snapshot is refused at the start with its numbers, where no archive holds the rest."""
    copy = copy_make(stopped)
    tip = copy.streams.log_tip(copy.keys)
    client = redis.Redis.from_url(copy.redis.url)
    client.execute_command("XTRIM", copy.keys.log, "MINID", log_id(tip - 1))
    client.close()
    assert copy.snapshot_seq < tip - 2
    copy.engine.start()
    assert copy.engine.process is not None
    assert copy.engine.process.wait(30) == EXIT_REFUSED
    [refused] = copy.engine.facts("refused")
    assert refused["remembered"] == copy.snapshot_seq
    assert refused["first"] == tip - 1
    assert not copy.engine.facts("leader_promoted")


def test_refounded_under_sleepers(house_make: Callable[[], House], database_make: Callable[[], str]) -> None:
    """An engine and a persister that slept while Redis was founded anew end or refuse, and touch nothing of it."""
    house = house_make()
    persister = house.persister_make().start()
    until(lambda: persister.facts("serving"), "serving", 30.0)
    house.trade_and_prove()
    sleepers = [house.engine, persister]
    for sleeper in sleepers:
        assert sleeper.process is not None
        sleeper.process.send_signal(signal.SIGSTOP)
    client = redis.Redis.from_url(house.redis.url)
    client.flushall()
    client.close()
    other = Scene(house.redis.url, database_make(), house.folder / "other")
    try:
        other.found()
        other.accounts_open()
        assert other.keys.venue != house.keys.venue
        # As much as the sleepers have read of the old one, and more: their numbers are used again.
        while other.streams.log_tip(other.keys) <= house.twin.seq + 20:
            other.trade_some(20, house.chance)
        for sleeper in sleepers:
            assert sleeper.process is not None
            sleeper.process.send_signal(signal.SIGCONT)
        codes = [sleeper.process.wait(20) for sleeper in sleepers if sleeper.process is not None]
        assert set(codes) <= {EXIT_AGAIN, EXIT_REFUSED}, codes
        other.trade_some(20, house.chance)
        other.proven()
        assert other.streams.get_json(other.keys.refused) is None
    finally:
        other.engine.end(signal.SIGKILL)
        other.streams.close()
