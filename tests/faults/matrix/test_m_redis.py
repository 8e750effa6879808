"""Redis killed while it rewrites its file, and files that are torn, flipped or changed afterwards."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts import embedded
from shared.refusal import EXIT_REFUSED
from shared.stream_keys import log_id
from shared.streams import Appended, AppendStatus, Streams
from tests.faults.matrix.house import House, aof_path
from tests.faults.matrix.test_m_proxy import entry_make
from tests.integration.conftest import REPOSITORY
from tests.integration.engine_process import until
from tests.store_servers import OwnRedis

ROUNDS, ROUNDS_FULL = 2, 10
BATCH = 4
FILLERS = 20_000
LOADING_US = 1_500_000


def test_killed_in_a_rewrite(house: House, full: bool) -> None:
    """Redis killed while it rewrites its file under load keeps everything acknowledged; the engine goes on."""
    for _ in range(ROUNDS_FULL if full else ROUNDS):
        with house.load():
            with plain(house) as client:
                client.config_set("rdb-key-save-delay", 30_000)
                client.bgrewriteaof()
                until(lambda client=client: client.info("persistence")["aof_rewrite_in_progress"], "a rewrite", 5.0)
            time.sleep(house.chance.random() * 0.2)
            house.redis.kill()
            assert list((house.sockets / "redis").glob("temp-rewriteaof-*")), "it was not killed in its rewrite"
            acknowledged = dict(house.producer.acknowledged)
            house.redis.start()
            time.sleep(0.3)
        held = {entry.seq for entry in house.entries_new()}
        assert {seq for seq in acknowledged if seq > house.twin.seq} <= held
        house.trade_and_prove()
    assert len(house.facts("leader_promoted")) == 1
    house.unharmed()


def refused_with(house: House, code: str) -> bool:
    """Return whether an append is certainly refused for this reason."""
    appended = house.producer.streams.append(house.keys, entry_make(house))
    assert appended.status is AppendStatus.REFUSED or code == "", appended
    return appended.reason == code


def test_read_only(house: House) -> None:
    """While Redis is somebody's replica every append is refused by name; afterwards the engine goes on where it was."""
    with plain(house) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            until(lambda: refused_with(house, "READONLY"), "a refusal", 5.0)
            time.sleep(0.5)
        finally:
            client.replicaof("NO", "ONE")
    house.trade_and_prove()
    assert any("READONLY" in fact["error"] for fact in house.facts("redis_refuses"))
    house.unharmed()


def is_loading(house: House) -> bool:
    """Return whether Redis answers that it reads its file."""
    with plain(house) as client:
        try:
            client.get("filler")
        except redis.exceptions.BusyLoadingError:
            return True
        except redis.exceptions.ConnectionError:
            return False
    return False


def test_loading(house: House) -> None:
    """While Redis reads its file again every append is certainly not applied; then everybody goes on by themselves."""
    with plain(house) as client, client.pipeline(transaction=False) as commands:
        for number in range(FILLERS):  # a loading server answers only once in a thousand commands
            commands.set("filler", number)
        commands.execute()
    house.redis.kill()
    refusals: list[Appended] = []

    def appends_tried() -> None:
        until(lambda: is_loading(house), "loading", 10.0)
        refusals.append(house.producer.streams.append(house.keys, entry_make(house)))
        assert is_loading(house)

    trying = threading.Thread(target=appends_tried)  # not the start: a server ends with the thread that started it
    trying.start()
    house.redis.start("--key-load-delay", str(LOADING_US // FILLERS))
    trying.join()
    assert [each.status for each in refusals] == [AppendStatus.REFUSED]
    house.trade_and_prove()
    assert len(house.facts("leader_promoted")) == 1
    house.unharmed()


@contextmanager
def plain(house: House) -> Iterator["redis.Redis"]:
    """Lend a plain client, for what no process of ours would send."""
    client = redis.Redis.from_url(house.redis.url, retry=Retry(NoBackoff(), 0))
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def stopped(house_make: Callable[[], House]) -> House:
    """Return a venue at rest with a snapshot: its engine and its Redis are down; the last thing written was a batch."""
    house = house_make()
    house.snapshot_make()
    house.trade_and_prove()
    house.leader().end(signal.SIGKILL)
    appended = house.producer.streams.append_many(house.keys, [entry_make(house) for _ in range(BATCH)])
    assert all(each.seq for each in appended)
    house.redis.kill()
    return house


@contextmanager
def started(folder: Path) -> Iterator[Streams]:
    """Lend the streams of a server on a copy."""
    server = OwnRedis(folder)
    try:
        server.start()
        streams = Streams(server.url)
        yield streams
        streams.close()
    finally:
        server.kill()


@pytest.fixture
def copy(stopped: House) -> Iterator[Path]:
    """Return a copy of the stopped server's folder."""
    folder = stopped.redis_copy()
    yield folder
    shutil.rmtree(folder)


def whole_log(stopped: House) -> list[Any]:
    """Return the log as it was when everything stopped."""
    folder = stopped.redis_copy()
    try:
        with started(folder) as streams:
            return streams.range_log(stopped.keys, 1, 10**9, 10**6)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("bytes_lost", [1, 7, 20, 150, 400])
def test_torn_tail(stopped: House, copy: Path, bytes_lost: int) -> None:
    """A file cut anywhere in its last batch starts without that batch, whole, and with everything before it."""
    whole = whole_log(stopped)
    path = aof_path(copy)
    content = path.read_bytes()
    assert content.rindex(b"MULTI") < len(content) - bytes_lost, "the cut lies in the last batch"
    path.write_bytes(content[:-bytes_lost])
    with started(copy) as streams:
        assert streams.range_log(stopped.keys, 1, 10**9, 10**6) == whole[:-BATCH]


def damage(path: Path, kind: str) -> None:
    """Flip a bit in a file's structure, or put zeros at its end."""
    content = bytearray(path.read_bytes())
    if kind == "bit":
        middle = content.index(b"\r\n*", len(content) // 2)
        content[middle + 2] ^= 0b1000
    else:
        content += bytes(4_096)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["bit", "zeros"])
def test_damaged_file(stopped: House, copy: Path, kind: str) -> None:
    """A file with one bit flipped in its structure, or zeros at its end, is refused by the server, in its log."""
    damage(aof_path(copy), kind)
    server = embedded.redis_server(copy, copy)
    done = subprocess.run(
        [*server.command], capture_output=True, text=True, check=False, timeout=20, cwd="/", preexec_fn=server.prepare
    )
    assert done.returncode != 0
    assert "Bad file format" in done.stdout + done.stderr


def test_damaged_file_is_said(stopped: House, copy: Path) -> None:
    """The console of a venue whose Redis refuses its file says so in Redis's words, and the start ends."""
    damage(aof_path(copy), "bit")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "run", "--data", str(copy)],
        capture_output=True, text=True, check=False, timeout=90, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 1
    assert "redis does not start" in done.stderr
    assert "Bad file format" in done.stderr


def test_changed_digit(stopped: House, copy: Path, tmp_path: Path) -> None:
    """A digit changed in an entry that the snapshot remembers loads silently into Redis, and the engine refuses it."""
    seq = stopped.engine.facts("snapshot_durable")[-1]["seq"]
    path = aof_path(copy)
    content = path.read_bytes()
    place = content.index(b"\r\n" + log_id(seq) + b"\r\n")
    stamp = content.index(b"\r\nts\r\n$16\r\n", place) + len(b"\r\nts\r\n$16\r\n") + 15
    digit = content[stamp : stamp + 1]
    path.write_bytes(content[:stamp] + (b"7" if digit != b"7" else b"3") + content[stamp + 1 :])
    server = OwnRedis(copy)
    server.start()
    try:
        engine = stopped.engine_make(redis_url=server.url)
        shutil.copytree(stopped.engine.data_dir, tmp_path / "data")
        engine.environment["TIDEMARK_DATA"] = str(tmp_path / "data")
        code = until(lambda: engine.start().process.wait(30), "refusing", 30.0)  # type: ignore[union-attr]
        assert code == EXIT_REFUSED
        [refused] = engine.facts("refused")
        assert refused["remembered"] == seq
        assert (tmp_path / "data" / "refused.json").exists()
    finally:
        server.kill()
