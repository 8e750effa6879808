"""The archiver on a real Redis and Postgres: the archive is the log, whatever is killed, full, lost or there twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from persister.archive import ArchiveFiles, Disk
from persister.archiver import Archiver, ArchiveRows
from shared.archive import archive_entries, archive_segments, archive_tip
from shared.clock import monotonic_s
from shared.database import Database
from shared.refusal import Refusal
from shared.stream_guard import ask
from shared.streams import AppendStatus, Entry, Streams, StreamsAsync, log_digest
from tests.faults.proxy import proxied
from tests.persister_doubles import ListLog, until
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import KEYS, found

HOUR_US = 3_600_000_000
RUBBISH = [(b"", b"\xff\x00"), (b"\x80", b'{"a":1}'), (b"ts", b"\xc3\x28"), (b"price_update", "é\u2028".encode())]


class DiskFull(Disk):
    """A disk that can be full."""

    full = False

    def write(self, descriptor: int, content: bytes) -> None:
        """Write, or half of it and an error."""
        if self.full:
            super().write(descriptor, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        super().write(descriptor, content)


@pytest.fixture
def streams(redis_url: str) -> Any:
    """Lend a producer on a founded venue."""
    client = found(redis_url)
    yield client
    client.close()


def append(streams: Streams, count: int, ts_us: int = 1_000) -> None:
    """Append ticks to the log."""
    fields = [[(b"ts", b"%d" % (ts_us + number)), (b"clock_tick", b"{}")] for number in range(count)]
    for done in streams.append_many(KEYS, fields):
        assert done.status == AppendStatus.ACCEPTED


def archiver_of(streams: StreamsAsync, folder: Path, disk: Disk | None = None, bytes_max: int = 2**20) -> Archiver:
    """Return an archiver that does not wait long."""
    files = ArchiveFiles(folder, KEYS.venue, disk, bytes_max)
    return Archiver(streams, KEYS, files, ListLog(), monotonic_s, flush_s=0.02, retry_s=0.05)


@contextlib.asynccontextmanager
async def running(url: str, folder: Path, **options: Any) -> AsyncIterator[tuple[Archiver, "asyncio.Task[None]"]]:
    """Lend an archiver that runs, and its task."""
    streams = await StreamsAsync.connect(url)
    archiver = archiver_of(streams, folder, **options)
    task = asyncio.create_task(archiver.run())
    try:
        yield archiver, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await streams.close()


async def reaches(archiver: Archiver, task: "asyncio.Task[None]", seq: int) -> None:
    """Wait until the archive holds an entry; an archiver that failed fails the test."""
    await until(lambda: archiver.position[0] >= seq or task.done())
    if task.done():
        task.result()


def archived(folder: Path) -> list[Entry]:
    """Return the archive's entries."""
    return list(archive_entries(folder, KEYS.venue, 0))


def logged(streams: Streams) -> list[Entry]:
    """Return the log."""
    return streams.range_log(KEYS, 1, 2**40, 100_000)


def scene(url: str, folder: Path, play: Callable[[Archiver, "asyncio.Task[None]"], Any], **options: Any) -> None:
    """Run a coroutine with an archiver."""

    async def run() -> None:
        async with running(url, folder, **options) as (archiver, task):
            await play(archiver, task)

    asyncio.run(run())


def test_the_archive_is_the_log(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """Every entry, readable or not, lies in the archive byte for byte, across files and restarts of the archiver."""

    async def first(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        append(streams, 50)
        streams.converse(ask(["XADD", KEYS.log, "*", *(part for pair in RUBBISH for part in pair)], writes=True))
        await reaches(archiver, task, 52)
        append(streams, 5_000, ts_us=HOUR_US)
        await reaches(archiver, task, 5_052)

    async def second(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        append(streams, 10, ts_us=2 * HOUR_US)
        await reaches(archiver, task, 5_062)

    scene(redis_url, tmp_path, first)
    scene(redis_url, tmp_path, second)
    assert archived(tmp_path) == logged(streams)
    assert archived(tmp_path)[51].fields == RUBBISH
    assert [each.first_seq for each in archive_segments(tmp_path, KEYS.venue)] == [1, 53, 5_053]
    assert archive_tip(tmp_path, KEYS.venue) == (5_062, log_digest(logged(streams)[-1]).hex())


def test_the_second_archiver_waits_for_the_first(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """Of two archivers one writes; when it goes, the other goes on; the archive is the log."""

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        append(streams, 10)
        await reaches(archiver, task, 11)
        async with running(redis_url, tmp_path) as (other, other_task):
            append(streams, 10)
            await reaches(archiver, task, 21)
            assert (other.archives, other.position) == (False, (0, "")) and not other.trouble
            task.cancel()
            append(streams, 10)
            await reaches(other, other_task, 31)

    scene(redis_url, tmp_path, play)
    assert archived(tmp_path) == logged(streams)


def test_a_clean_stop_archives_the_end(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """What was appended just before the archiver was asked to stop is archived, by the one that writes alone."""

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        archiver.flush_s = 60.0
        append(streams, 10)
        await reaches(archiver, task, 11)
        append(streams, 10)
        async with running(redis_url, tmp_path):
            pass
        assert archiver.position[0] == 11
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert archiver.position[0] == 21

    scene(redis_url, tmp_path, play)
    assert archived(tmp_path) == logged(streams)


def test_a_full_disk_is_waited_for_and_said(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """On a full disk the position stands still and says why; with room again nothing is missing."""
    disk = DiskFull()

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        append(streams, 10)
        await reaches(archiver, task, 11)
        disk.full = True
        append(streams, 10)
        await until(lambda: "No space left" in archiver.trouble)
        assert archiver.position[0] == 11 and not archiver.archives
        disk.full = False
        await reaches(archiver, task, 21)
        assert archiver.trouble == "" and archiver.archives
        assert archiver.log.named("archive_goes_on")

    scene(redis_url, tmp_path, play, disk=disk)
    assert archived(tmp_path) == logged(streams)


def test_damage_is_said_and_nothing_is_written_behind_it(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """A damaged file stops the archiver, not the process; it names the file, and goes on when the file is back."""

    async def fill(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        for count in (10, 20, 30):
            append(streams, 10)
            await reaches(archiver, task, count + 1)

    scene(redis_url, tmp_path, fill)
    [segment] = archive_segments(tmp_path, KEYS.venue)
    content = segment.path.read_bytes()
    segment.path.write_bytes(content[:100] + bytes([content[100] ^ 0xFF]) + content[101:])

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        await until(lambda: segment.path.name in archiver.trouble)
        assert not task.done() and not archiver.archives
        segment.path.write_bytes(content)
        append(streams, 10)
        await reaches(archiver, task, 41)

    scene(redis_url, tmp_path, play)
    assert archived(tmp_path) == logged(streams)


@pytest.mark.parametrize("loss", ["tail", "changed", "missing", "all"])
def test_a_log_that_lost_what_is_archived_is_refused(
    redis_url: str, streams: Streams, tmp_path: Path, loss: str
) -> None:
    """A log that ends before the archive, or holds another entry or none at its end, is refused with the numbers."""

    async def fill(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        append(streams, 10)
        await reaches(archiver, task, 11)

    scene(redis_url, tmp_path, fill)
    entries = logged(streams)
    if loss == "missing":
        append(streams, 2)
        streams.converse(ask(["XDEL", KEYS.log, f"{10**15}-11"], writes=True))
    else:
        streams.delete(KEYS.log)
        for entry in entries[: {"tail": 9, "changed": 10, "all": 0}[loss]]:
            fields = [part for pair in entry.fields for part in pair]
            streams.converse(ask(["XADD", KEYS.log, f"{10**15}-{entry.seq}", *fields], writes=True))
        if loss == "changed":
            append(streams, 5, ts_us=77)

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        await until(task.done)
        with pytest.raises(Refusal) as refused:
            task.result()
        assert refused.value.reason["remembered"] == 11 and refused.value.reason["holder"] == "the archive"
        assert archiver.files.held is None

    scene(redis_url, tmp_path, play)
    assert archived(tmp_path) == entries


def test_a_log_that_goes_back_while_we_read_is_refused(tmp_path: Path) -> None:
    """A server that comes back with less, in a moment between two reads, is noticed with its lost connection."""

    async def play(server: OwnRedis, streams: Streams) -> None:
        async with running(server.url, tmp_path) as (archiver, task):
            append(streams, 10)
            await reaches(archiver, task, 11)
            entries = logged(streams)
            server.kill()
            server.start()
            others = [["XADD", KEYS.log, f"{10**15}-{seq}", "ts", "1", "clock_tick", "{}"] for seq in range(1, 31)]
            streams.converse(ask(["MULTI"], ["DEL", KEYS.log], *others, ["EXEC"], writes=True))
            await until(task.done)
            with pytest.raises(Refusal, match="entry 11 of the log is not the one that the archive holds"):
                task.result()
            assert archived(tmp_path) == entries, "what the numbers mean now was not added"

    with own_redis() as server:
        streams = found(server.url)
        asyncio.run(play(server, streams))
        streams.close()


def test_a_log_that_begins_behind_the_archive_is_no_refusal(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """An archive that is too old is said, with the way out; with its newer files back the archiver goes on."""

    async def fill(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        append(streams, 10)
        await reaches(archiver, task, 11)

    scene(redis_url, tmp_path, fill)
    [segment] = archive_segments(tmp_path, KEYS.venue)
    old = segment.path.read_bytes()
    scene(redis_url, tmp_path, lambda archiver, task: (append(streams, 10), reaches(archiver, task, 21))[1])
    newer = segment.path.read_bytes()
    segment.path.write_bytes(old)
    streams.converse(ask(["XTRIM", KEYS.log, "MINID", f"{10**15}-15"], writes=True))

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        await until(lambda: "the archive ends at 11, the log begins at 15" in archiver.trouble)
        assert not task.done()
        segment.path.write_bytes(newer)
        append(streams, 1)
        await reaches(archiver, task, 22)

    scene(redis_url, tmp_path, play)
    assert [entry.seq for entry in archived(tmp_path)] == list(range(1, 23))


def test_an_archive_that_begins_late_says_so(redis_url: str, streams: Streams, tmp_path: Path) -> None:
    """A venue that was trimmed before it had an archive begins one where its log begins."""
    append(streams, 10)
    streams.converse(ask(["XTRIM", KEYS.log, "MINID", f"{10**15}-5"], writes=True))

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        await reaches(archiver, task, 11)
        assert archiver.log.named("archive_begins_late") == [{"first": 5}]

    scene(redis_url, tmp_path, play)
    assert [entry.seq for entry in archived(tmp_path)] == [5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply"])
def test_a_lost_connection_is_no_gap(redis_url: str, streams: Streams, tmp_path: Path, fault: str) -> None:
    """Reads that are cut off are done again; the archive is the log."""
    with proxied(redis_url) as (proxy, url):

        async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
            for round_number in range(1, 6):
                proxy.set(fault, b"XREAD")
                append(streams, 10)
                await reaches(archiver, task, 10 * round_number + 1)
            assert proxy.hit >= 3

        scene(url, tmp_path, play)
    assert archived(tmp_path) == logged(streams)


def test_postgres_knows_position_and_closed_files(
    redis_url: str, streams: Streams, database_url: str, tmp_path: Path
) -> None:
    """The cursor follows the position and never goes back; each closed file has a row, also one closed before."""

    async def play(archiver: Archiver, task: "asyncio.Task[None]") -> None:
        database = await Database.connect(database_url)
        rows = ArchiveRows(database, archiver, ListLog(), lambda: 99, asyncio.to_thread)
        try:
            append(streams, 10, ts_us=5)
            await reaches(archiver, task, 11)
            append(streams, 10, ts_us=HOUR_US + 5)
            await reaches(archiver, task, 21)
            await rows.turn()
            cursor = await database.fetchrow("SELECT * FROM archive_cursor")
            digest = bytes.fromhex(archiver.position[1])
            assert cursor == {"venue": KEYS.venue, "seq": 21, "digest": digest, "synced_us": 99}
            [row] = await database.fetch("SELECT * FROM archive_segments")
            segment = archive_segments(tmp_path, KEYS.venue)[0]
            assert (row["first_seq"], row["last_seq"], row["first_us"], row["last_us"]) == (1, 11, 1, 14)
            assert (row["file"], row["bytes"]) == (segment.path.name, segment.path.stat().st_size)
            assert bytes(row["digest"]).hex() == segment.digest16
            append(streams, 10, ts_us=2 * HOUR_US + 5)
            await reaches(archiver, task, 31)
            await rows.turn()
            files = await database.fetch("SELECT first_seq FROM archive_segments ORDER BY first_seq")
            assert [row["first_seq"] for row in files] == [1, 12]
            archiver.position = (15, "00")
            await rows.turn()
            assert (await database.fetch("SELECT seq FROM archive_cursor"))[0]["seq"] == 31
        finally:
            await database.close()

    scene(redis_url, tmp_path, play)
