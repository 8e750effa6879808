"""Disks that are slow, fail, are full or lose their power; clocks that are wrong."""

import time
from collections.abc import Callable

import pytest

from shared.clock import now_us
from shared.streams import AppendStatus, Streams
from tests.faults.matrix.house import House
from tests.faults.matrix.test_m_proxy import entry_make
from tests.faults.shims import Shim, SmallDisk
from tests.integration.engine_process import until

DELAYS_US, DELAYS_FULL_US = (20_000, 600_000), (20_000, 600_000, 3_000_000)
HOUR_S = 3_600
FILLER_BYTES = 200_000
SMALL_MB = 12
DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    """Return the library that stands before Redis's disk and clock."""
    return Shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def shimmed(house_make: Callable[[], House], shim: Shim) -> House:
    """Return a venue whose Redis runs on that library."""
    house = house_make()
    house.redis.kill()
    house.redis.environment = shim.environment()
    house.redis.start()
    house.trade_and_prove()
    return house


def held_all(house: House) -> None:
    """Assert that the log holds every instruction that was acknowledged since the last comparison."""
    held = {entry.seq for entry in house.entries_new()}
    assert {seq for seq in house.producer.acknowledged if seq > house.twin.seq} <= held


def test_slow_disk(shimmed: House, shim: Shim, full: bool) -> None:
    """A slow disk makes every answer late and nothing else: no error, no other leader, nothing lost."""
    for delay_us in DELAYS_FULL_US if full else DELAYS_US:
        shim.say(delay_us=delay_us)
        time.sleep(0.05)
        begin_s = time.monotonic()
        appended = shimmed.producer.streams.append(shimmed.keys, entry_make(shimmed))
        assert appended.status is AppendStatus.ACCEPTED, appended
        assert time.monotonic() - begin_s >= delay_us / 1e6
        shim.calm()
        shimmed.trade_and_prove()
    assert len(shimmed.facts("leader_promoted")) == 1
    shimmed.unharmed()


def test_failing_disk(shimmed: House, shim: Shim) -> None:
    """A disk that cannot synchronise ends Redis before it answers; on a good one everything acknowledged is there."""
    with shimmed.load():
        time.sleep(0.3)
        shim.say(eio=1)
        assert shimmed.redis.process is not None
        assert shimmed.redis.process.wait(10) != 0
        time.sleep(0.2)
        assert not shimmed.producer.streams.append(shimmed.keys, entry_make(shimmed)).seq
        shim.calm()
        shimmed.redis.start()
        time.sleep(0.3)
    held_all(shimmed)
    shimmed.trade_and_prove()
    shimmed.unharmed()


def test_power_cut(shimmed: House, shim: Shim) -> None:
    """Redis killed and its files cut to what had been synchronised: everything acknowledged is there, all goes on."""
    for _ in range(2):
        with shimmed.load():
            time.sleep(0.3)
            shim.say(delay_us=100_000)
            time.sleep(shimmed.chance.random() * 0.3)
            shimmed.redis.kill()
            shim.calm()
            shim.power_cut(shimmed.sockets / "redis" / "appendonlydir")
            shimmed.redis.start()
            time.sleep(0.3)
        held_all(shimmed)
        shimmed.trade_and_prove()
    assert len(shimmed.facts("leader_promoted")) == 1
    shimmed.unharmed()


@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S, 24 * HOUR_S, -24 * HOUR_S])
def test_clock_of_redis(shimmed: House, shim: Shim, shift_s: int) -> None:
    """While Redis's clock is off nothing is appended, by name; right again, all goes on, ids and time in order."""
    shim.say(shift_s=shift_s)
    refused = until(lambda: refusal_of(shimmed.producer.streams, shimmed), "a refusal", 5.0)
    assert refused == "CLOCK_SKEW"
    time.sleep(0.3)
    shim.calm()
    shimmed.trade_and_prove()
    assert len(shimmed.facts("leader_promoted")) == 1
    shimmed.unharmed()


@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S, 24 * HOUR_S, -24 * HOUR_S])
def test_clock_of_one_producer(shimmed: House, shift_s: int) -> None:
    """A producer whose clock is off is refused by name, while the others go on."""
    wrong = Streams(shimmed.redis.url, clock_us=lambda: now_us() + shift_s * 1_000_000)
    try:
        assert refusal_of(wrong, shimmed) == "CLOCK_SKEW"
    finally:
        wrong.close()
    shimmed.trade_and_prove(5)


def refusal_of(streams: Streams, house: House) -> str:
    """Return why an append is refused, "" when it is not."""
    appended = streams.append(house.keys, entry_make(house))
    return appended.reason if appended.status is AppendStatus.REFUSED else ""


def test_full_disk(house: House) -> None:
    """A disk that is full ends Redis before it answers; with room again everything acknowledged is there."""
    house.trade_and_prove()
    house.redis.kill()
    disk = SmallDisk(house.sockets / "redis", SMALL_MB)
    house.redis.prefix = disk.prefix
    house.redis.start()
    until(house.producer.tick, "producers may append", 20.0)
    acknowledged = 0
    assert house.redis.process is not None
    while house.redis.process.poll() is None:
        filler = [(b"ts", b"%d" % now_us()), (b"nothing", b"x" * FILLER_BYTES)]
        acknowledged += bool(house.producer.streams.append(house.keys, filler).seq)
    assert house.redis.process.wait() != 0
    tip = house.twin.seq
    assert not house.producer.tick()
    assert "AOF write error" in (house.sockets / "redis.log").read_text()
    disk.take_back()
    house.redis.prefix = []
    house.redis.start()
    fillers = [entry for entry in house.entries_new() if entry.seq > tip and entry.fields[-1][0] == b"nothing"]
    assert len(fillers) >= acknowledged > 20
    house.trade_and_prove()
    assert len(house.facts("leader_promoted")) == 1
    house.unharmed()


@pytest.mark.parametrize("ahead_us", [DAY_US, -DAY_US])
def test_absurd_time_of_an_entry(house: House, ahead_us: int) -> None:
    """An entry stamped a day off moves no time by itself: log time stays near the clock, and trading goes on."""
    fields = [(b"ts", b"%d" % (now_us() + ahead_us)), (b"clock_tick", b"{}")]
    assert house.producer.streams.append(house.keys, fields).seq
    house.trade_and_prove()
    assert abs(house.twin.header().log_time_us - now_us()) < 10_000_000
    house.unharmed()
