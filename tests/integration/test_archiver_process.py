"""Whole persister processes over one archive: killed at any moment, stopped, two at once; the archive is the log."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.archive import archive_entries, archive_segments, archive_tip
from shared.streams import AppendStatus, Streams
from tests.integration.test_persister_process import Process
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import KEYS, lead

PATIENCE_S = 30.0
KILLS = 5
HOUR_US = 3_600_000_000


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a Redis that may be killed."""
    with own_redis() as server:
        yield server


@pytest.fixture
def streams(own: OwnRedis) -> Iterator[Streams]:
    """Lend a producer on a founded venue."""
    client = Streams.connect(own.url)
    assert client.genesis(KEYS, [(b"ts", b"1"), (b"genesis", b'{"venue_set":{}}')])
    client.venue_set(KEYS.venue)
    lead(client)
    yield client
    client.close()


def append(streams: Streams, count: int, ts_us: int) -> None:
    """Append ticks to the log, of this time."""
    fields = [[(b"ts", b"%d" % (ts_us + number)), (b"clock_tick", b"{}")] for number in range(count)]
    assert all(done.status == AppendStatus.ACCEPTED for done in streams.append_many(KEYS, fields))


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, not for ever."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def archived_to(folder: Path, seq: int) -> bool:
    """Return whether the archive reaches an entry."""
    return archive_tip(folder / "archive", KEYS.venue)[0] >= seq


def the_archive_is_the_log(streams: Streams, folder: Path) -> None:
    """Compare every entry, byte for byte."""
    entries = list(archive_entries(folder / "archive", KEYS.venue, 0))
    assert entries == streams.range_log(KEYS, 1, 2**40, 10**6)


def test_a_persister_may_die_at_any_moment(own: OwnRedis, streams: Streams, database_url: str, tmp_path: Path) -> None:
    """Killed while it writes, again and again over several hours of log time, it leaves no entry out and none twice."""
    chance = random.Random(3)
    seq = 1
    for number in range(KILLS):
        process = Process(own.url, database_url, tmp_path)
        try:
            process.says("serving")
            ends_s = time.monotonic() + chance.uniform(0.3, 1.8)
            while time.monotonic() < ends_s:
                append(streams, 40, ts_us=number * HOUR_US)
                seq += 40
                time.sleep(0.005)
        finally:
            process.stop()
    process = Process(own.url, database_url, tmp_path)
    try:
        eventually(lambda: archived_to(tmp_path, seq), "the archive does not reach the log's end")
    finally:
        process.stop()
    the_archive_is_the_log(streams, tmp_path)
    assert len(archive_segments(tmp_path / "archive", KEYS.venue)) >= KILLS - 1


def test_a_stopped_persister_keeps_the_archive_and_nothing_else(
    own: OwnRedis, streams: Streams, database_url: str, tmp_path: Path
) -> None:
    """A second persister waits with the archive for one that is stopped, claims nothing, and takes over at its end."""
    first = Process(own.url, database_url, tmp_path)
    first.says("serving")
    append(streams, 100, ts_us=1)
    eventually(lambda: archived_to(tmp_path, 101), "the first archives")
    first.process.send_signal(signal.SIGSTOP)
    second = Process(own.url, database_url, tmp_path)
    try:
        append(streams, 100, ts_us=1)

        def beats() -> bool:
            beat = streams.get_json(KEYS.process("persister")) or {}
            return beat.get("pid") == second.process.pid and beat["archive_seq"] <= 101 and not beat["archive_error"]

        eventually(beats, "the second says that it does not archive")
        assert not archived_to(tmp_path, 102)
        first.process.send_signal(signal.SIGCONT)
        eventually(lambda: archived_to(tmp_path, 201), "the first goes on")
        first.stop()
        append(streams, 100, ts_us=1)
        eventually(lambda: archived_to(tmp_path, 301), "the second takes over")
    finally:
        first.stop()
        second.stop()
    the_archive_is_the_log(streams, tmp_path)


def test_a_log_behind_the_archive_refuses_the_venue(
    own: OwnRedis, streams: Streams, database_url: str, tmp_path: Path
) -> None:
    """A Redis that comes back without its newest entries is refused by the archive's memory, in writing."""
    process = Process(own.url, database_url, tmp_path)
    again = None
    try:
        append(streams, 100, ts_us=1)
        eventually(lambda: archived_to(tmp_path, 101), "the log is archived")
        process.stop()
        entries = streams.range_log(KEYS, 1, 60, 100)
        streams.delete(KEYS.log)
        assert streams.genesis(KEYS, entries[0].fields)
        for done in streams.append_many(KEYS, [entry.fields for entry in entries[1:]]):
            assert done.status == AppendStatus.ACCEPTED
        again = Process(own.url, database_url, tmp_path)
        assert again.ends() == 78
        refusal = streams.get_json(KEYS.refused)
        assert refusal["text"] == "the log ends at 60, but the archive holds entry 101"
        assert refusal["holder"] == "the archive"
    finally:
        process.stop()
        if again is not None:
            again.stop()
    assert archived_to(tmp_path, 101)
