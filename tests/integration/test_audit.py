"""The audit in a real Postgres: one row an outcome whatever dies, chained, append-only, exported and proven."""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from persister.archive import ArchiveFiles
from persister.audit import Instructions, audit_cut, head_read
from persister.history import CursorMoved, HistoryStore
from persister.reader import Position
from scripts.cli import main
from shared.archive import archive_segments, closed_name, file_digest16, header_line, open_name
from shared.archive_frames import frame_pack, frames_read
from shared.database import Database, DatabaseRefused
from shared.stream_guard import ask
from shared.streams import AppendStatus, EventsEntry, Streams, StreamsAsync
from tests import persister_doubles as events
from tests.persister_doubles import Chain, ListLog
from tests.streams_house import KEYS, found

TRADES = 30  # entries 2 to 31 are instructions, each with its outcome

Play = Callable[["Place"], Any]


class Place:
    """One history store with the audit."""

    def __init__(self, streams: StreamsAsync, database: Database, folder: Path) -> None:
        self.log = ListLog()
        self.streams = streams
        self.database = database
        instructions = Instructions(streams, KEYS, folder, self.log)
        self.store = HistoryStore(database, KEYS.venue, self.log, instructions)
        self.entries: list[EventsEntry] = []

    async def commit(self, first: int, last: int) -> None:
        """Commit the events entries from one seq to another."""
        before = await self.store.begin()
        await self.store.commit(before, [entry for entry in self.entries if first <= entry.seq <= last])

    async def rows(self) -> list[dict[str, Any]]:
        """Return the audit."""
        return await self.database.fetch("SELECT * FROM audit ORDER BY seq")


@pytest.fixture
def streams(redis_url: str) -> Iterator[Streams]:
    """Lend a producer of a venue in whose log and events every second entry is an instruction with its outcome."""
    client = found(redis_url)
    asked = [[(b"ts", b"%d" % seq), (b"user_instruction", b'{"n":%d}' % seq)] for seq in range(2, TRADES + 2)]
    assert all(done.status == AppendStatus.ACCEPTED for done in client.append_many(KEYS, asked))
    client.publish(KEYS, [entry for _, entry in published(Chain())], create=True)
    yield client
    client.close()


def published(chain: Chain) -> list[tuple[int, Any]]:
    """Return the events entries of the venue."""
    entries = [(1, chain.entry(1, {"e": "market_changed", "market": "BTC_USDC_PERP"}))]
    for seq in range(2, TRADES + 2):
        response = events.response(101, f"{seq:032x}", "OK" if seq % 3 else "NO_MARGIN", note="é")
        entries.append((seq, chain.entry(seq, response, events.fill(101, seq))))
    return entries


def scene(redis_url: str, database_url: str, folder: Path, play: Play) -> None:
    """Run a coroutine at the place."""

    async def run() -> None:
        streams = await StreamsAsync.connect(redis_url)
        database = await Database.connect(database_url)
        try:
            here = Place(streams, database, folder)
            here.entries = await streams.range_events(KEYS, (1, 0), (2**40, 0), 1_000)
            await play(here)
        finally:
            await streams.close()
            await database.close()

    asyncio.run(run())


def tool(database_url: str, redis_url: str, folder: Path, *words: str) -> Result:
    """Run a tool on these servers."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "TIDEMARK_DATA": str(folder)}
    return CliRunner().invoke(main, [*words], env=environment, prog_name="tidemark")


async def whole(here: Place) -> None:
    """Commit everything, in three batches, and say that the venue lives."""
    await here.database.execute("INSERT INTO venues (venue, founded_us, live) VALUES ($1, 1, true)", KEYS.venue)
    for first, last in ((1, 10), (11, 11), (12, 99)):
        await here.commit(first, last)


def test_each_outcome_is_one_row_with_its_instruction(
    redis_url: str, database_url: str, streams: Streams, tmp_path: Path
) -> None:
    """Rows hold what was asked and answered, byte for byte, in the order of the log, and the head closes the chain."""

    async def play(here: Place) -> None:
        await whole(here)
        rows = await here.rows()
        assert [row["seq"] for row in rows] == list(range(2, TRADES + 2))
        first = rows[0]
        assert bytes(first["instruction"]) == b'{"n":2}' and first["kind"] == "user_instruction"
        assert (first["ts_us"], first["log_time_us"], first["account_id"]) == (2, 2_000_000, 101)
        assert (first["op"], first["result"], first["request_id"]) == ("order_place", "OK", f"{2:032x}")
        assert first["response"].encode() in here.entries[1].data
        head = await head_read(here.database, KEYS.venue)
        assert (head.seq, head.rows, head.chain) == (TRADES + 1, TRADES, bytes(rows[-1]["chain"]))

    scene(redis_url, database_url, tmp_path, play)


def test_rows_come_once_whoever_commits(redis_url: str, database_url: str, streams: Streams, tmp_path: Path) -> None:
    """Two stores that commit the same entries at once leave one row each: the cursor decides."""

    async def play(here: Place) -> None:
        await here.store.begin()
        other = HistoryStore(here.database, KEYS.venue, here.log, here.store.instructions)
        work = [each.commit(Position(), here.entries) for each in (here.store, other, here.store)]
        results = await asyncio.gather(*work, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["CursorMoved", "CursorMoved", "Position"]
        with pytest.raises(CursorMoved):
            await other.commit(Position(), here.entries)
        assert len(await here.rows()) == TRADES

    scene(redis_url, database_url, tmp_path, play)


def test_instructions_that_the_log_has_lost_come_from_the_archive(
    redis_url: str, database_url: str, streams: Streams, tmp_path: Path
) -> None:
    """After trimming, the archive gives the instruction; the rows are those of an untrimmed log."""
    files = ArchiveFiles(tmp_path, KEYS.venue)
    assert files.begin()
    files.append(streams.range_log(KEYS, 1, 20, 100))
    streams.converse(ask(["XTRIM", KEYS.log, "MINID", f"{10**15}-25"], writes=True))

    async def play(here: Place) -> None:
        await whole(here)
        absent = [row["seq"] for row in await here.rows() if row["instruction"] is None]
        assert absent == [21, 22, 23, 24]
        assert here.log.named("audit_without_instruction") == [{"seq": 21, "count": 4}]

    scene(redis_url, database_url, tmp_path, play)
    files.close()
    result = tool(database_url, redis_url, tmp_path, "audit", "verify")
    assert result.exit_code == 0 and "30 rows, chain unbroken, head matches, 4 without" in result.output


def test_a_row_that_postgres_refuses_is_put_aside(
    redis_url: str, database_url: str, streams: Streams, tmp_path: Path
) -> None:
    """One outcome that cannot be stored is a reject with an alarm; the others are there and the chain is whole."""

    async def play(here: Place) -> None:
        await here.database.execute("ALTER TABLE audit ADD CONSTRAINT poison CHECK (seq <> 13)")
        await whole(here)
        assert [row["seq"] for row in await here.rows()] == [seq for seq in range(2, TRADES + 2) if seq != 13]
        [reject] = await here.database.fetch("SELECT seq, kind, data FROM persister_rejects")
        assert (reject["seq"], reject["kind"]) == (13, "order_response")
        assert bytes(reject["data"]) in here.entries[12].data
        assert here.log.named("history_row_rejected")[0]["seq"] == 13
        fills = await here.database.fetch("SELECT seq FROM fills")
        assert len(fills) == TRADES

    scene(redis_url, database_url, tmp_path, play)
    assert tool(database_url, redis_url, tmp_path, "audit", "verify").exit_code == 0


def test_a_second_outcome_of_one_entry_is_put_aside(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """The first outcome of an entry is its row, another one is a reject: nothing is chained twice."""
    streams = found(redis_url)
    answers = [events.response(101, "ab", "OK"), events.response(101, "ab", "NO_MARGIN")]
    streams.publish(KEYS, [Chain().entry(2, *answers)], create=True)
    streams.close()

    async def play(here: Place) -> None:
        await here.commit(1, 9)
        assert [(row["seq"], row["result"]) for row in await here.rows()] == [(2, "OK")]
        [reject] = await here.database.fetch("SELECT reason, data FROM persister_rejects")
        assert orjson.loads(reject["data"])["result"] == "NO_MARGIN" and "the audit is at 2" in reject["reason"]

    scene(redis_url, database_url, tmp_path, play)


def test_the_audit_is_append_only(redis_url: str, database_url: str, streams: Streams, tmp_path: Path) -> None:
    """Postgres refuses to change, remove or empty rows; a restoration may remove the tail, and its head goes along."""

    async def play(here: Place) -> None:
        await whole(here)
        for statement in ("UPDATE audit SET result = 'OK'", "DELETE FROM audit WHERE seq = 5", "TRUNCATE audit"):
            with pytest.raises(DatabaseRefused, match="append-only"):
                await here.database.execute(statement)
        async with here.database.transaction() as statements:
            assert await audit_cut(statements, KEYS.venue, 20) == 12
            assert await audit_cut(statements, KEYS.venue, 20) == 0
        rows = await here.rows()
        head = await head_read(here.database, KEYS.venue)
        assert (head.seq, head.rows, head.chain) == (19, 18, bytes(rows[-1]["chain"]))
        with pytest.raises(DatabaseRefused, match="append-only"):
            await here.database.execute("DELETE FROM audit WHERE seq = 5")
        await here.database.execute("UPDATE persister_cursor SET seq = 19, chunk = 0")
        await here.commit(20, 99)
        assert len(await here.rows()) == TRADES
        async with here.database.transaction() as statements:
            assert await audit_cut(statements, KEYS.venue, 0) == TRADES
        assert (await head_read(here.database, KEYS.venue)).rows == 0

    scene(redis_url, database_url, tmp_path, play)
    assert "it holds none" in tool(database_url, redis_url, tmp_path, "audit", "verify").stderr


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("UPDATE audit SET response = replace(response, 'NO_MARGIN', 'OK') WHERE seq = 9", "BROKEN at 9"),
        ("UPDATE audit SET instruction = '{}' WHERE seq = 9", "BROKEN at 9"),
        ("UPDATE audit SET instruction = NULL WHERE seq = 9", "BROKEN at 9"),
        ("UPDATE audit SET result = 'OK' WHERE seq = 9", "result is 'OK', the response says 'NO_MARGIN'"),
        ("UPDATE audit SET account_id = 102 WHERE seq = 9", "BROKEN at 9: account_id is 102"),
        ("DELETE FROM audit WHERE seq = 9", "BROKEN at 10"),
        ("DELETE FROM audit WHERE seq = 2", "BROKEN at 3"),
        ("DELETE FROM audit WHERE seq > 25", "the head states 30 rows up to 31: rows are missing"),
        ("UPDATE audit_head SET rows = 29", "the head states 29 rows"),
        ("UPDATE audit_head SET chain = '\\x00'", "the head states 30 rows"),
        ("UPDATE audit_head h SET seq = a.seq, rows = 24, chain = a.chain FROM audit a WHERE a.seq = 25", "behind the"),
    ],
)
def test_every_change_is_found(
    redis_url: str, database_url: str, streams: Streams, tmp_path: Path, harm: str, words: str
) -> None:
    """Changed, removed or cut off behind the triggers' back: verify exits with 1 and names the first wrong row."""
    scene(redis_url, database_url, tmp_path, whole)
    assert (
        tool(database_url, redis_url, tmp_path, "audit", "verify").output == "30 rows, chain unbroken, head matches\n"
    )

    async def play(here: Place) -> None:
        await here.database.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        await here.database.execute(harm)

    scene(redis_url, database_url, tmp_path, play)
    result = tool(database_url, redis_url, tmp_path, "audit", "verify")
    assert result.exit_code == 1 and words in result.output
    as_json = json.loads(tool(database_url, redis_url, tmp_path, "audit", "verify", "--json").stdout)
    assert as_json["venue"] == KEYS.venue and as_json["wrong"]


def test_instructions_are_compared_with_the_archive(
    redis_url: str, database_url: str, streams: Streams, tmp_path: Path
) -> None:
    """A chain that was forged as a whole still differs from the archive."""
    files = ArchiveFiles(tmp_path, KEYS.venue)
    assert files.begin()
    files.append(streams.range_log(KEYS, 1, 20, 100))
    files.close()
    scene(redis_url, database_url, tmp_path, whole)
    words = ("audit", "verify", "--archive", str(tmp_path))
    assert tool(database_url, redis_url, tmp_path, *words).exit_code == 0

    async def play(here: Place) -> None:
        await here.database.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        await here.database.execute("UPDATE audit SET ts_us = 1 WHERE seq = 9")

    scene(redis_url, database_url, tmp_path, play)
    assert tool(database_url, redis_url, tmp_path, "audit", "verify").exit_code == 0
    result = tool(database_url, redis_url, tmp_path, *words)
    assert result.exit_code == 1 and "BROKEN at 9: the archive holds another instruction" in result.output


def test_export_gives_every_row(redis_url: str, database_url: str, streams: Streams, tmp_path: Path) -> None:
    """JSON lines and CSV hold the same rows, of the range asked for, on the screen or in a file."""
    scene(redis_url, database_url, tmp_path, whole)
    file = tmp_path / "audit.jsonl"
    result = tool(database_url, redis_url, tmp_path, "audit", "export", "--from", "5", "--to", "8", "-o", str(file))
    assert result.exit_code == 0 and "4 rows" in result.stderr
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["seq"], row["instruction"]) for row in rows] == [(seq, f'{{"n":{seq}}}') for seq in range(5, 9)]
    assert json.loads(rows[0]["response"])["note"] == "é"
    result = tool(database_url, redis_url, tmp_path, "audit", "export", "--from", "5", "--to", "8", "--format", "csv")
    table = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == table
    words = ("audit", "export", "-o", str(file), "--json")
    assert json.loads(tool(database_url, redis_url, tmp_path, *words).stdout)["rows"] == TRADES


def test_tools_say_what_to_do(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """An empty database, another venue, a range the wrong way round: a sentence and exit code 2."""
    for words, said in (
        (("audit", "verify"), "holds no audit"),
        (("audit", "verify", "--venue", "nobody1"), "holds no audit of nobody1"),
        (("audit", "export", "--from", "9", "--to", "8"), "give the smaller number first"),
        (("archive", "list", "--archive", str(tmp_path)), "--data names another folder"),
        (("archive", "verify", "--archive", str(tmp_path)), "--data names another folder"),
    ):
        result = tool(database_url, redis_url, tmp_path, *words)
        assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output


def test_archive_tools_see_the_files(redis_url: str, database_url: str, streams: Streams, tmp_path: Path) -> None:
    """`archive list` names every file, `archive verify` reads them all and names file and line of damage."""
    folder = tmp_path / "archive"
    files = ArchiveFiles(folder, KEYS.venue, bytes_max=1)
    assert files.begin()
    for first in (1, 11, 21):
        files.append(streams.range_log(KEYS, first, first + 9, 100))
    files.close()
    listed = json.loads(tool(database_url, redis_url, tmp_path, "archive", "list", "--json").stdout)
    assert [(row["first"], row["last"]) for row in listed["files"]] == [(1, 10), (11, 20), (21, 30)]
    assert "log-0000000000000011" in tool(database_url, redis_url, tmp_path, "archive", "list").stdout.replace("\n", "")
    result = tool(database_url, redis_url, tmp_path, "archive", "verify")
    assert result.output == "3 files, 30 entries (1-30): every digest is right.\n" and result.exit_code == 0
    path = folder / KEYS.venue / listed["files"][1]["file"]
    path.unlink()
    result = tool(database_url, redis_url, tmp_path, "archive", "verify")
    assert result.exit_code == 1 and "begins with 21, the file before ends at 10" in result.output
    path.write_bytes(b"x")
    result = tool(database_url, redis_url, tmp_path, "archive", "verify", "--json")
    assert result.exit_code == 1 and path.name in json.loads(result.stdout)["wrong"][0]


def test_a_torn_end_is_told(redis_url: str, database_url: str, streams: Streams, tmp_path: Path) -> None:
    """Bytes behind the last whole frame are an error of a file that nobody writes, and none while somebody does."""
    folder = tmp_path / "archive"
    files = ArchiveFiles(folder, KEYS.venue)
    assert files.begin()
    for first in (1, 11):
        files.append(streams.range_log(KEYS, first, first + 9, 100))
    [path] = (folder / KEYS.venue).glob("log-*")
    path.write_bytes(path.read_bytes()[:-5])
    words = ("archive", "verify")
    assert tool(database_url, redis_url, tmp_path, *words).exit_code == 0
    files.close()
    result = tool(database_url, redis_url, tmp_path, *words)
    assert result.exit_code == 1 and "bytes are no whole frame" in result.output


def test_a_file_of_another_history_is_told(redis_url: str, database_url: str, streams: Streams, tmp_path: Path) -> None:
    """A file whose header states another entry before its first is found, though all it holds is right in itself."""
    folder = tmp_path / "archive"
    entries = streams.range_log(KEYS, 1, 20, 100)
    files = ArchiveFiles(folder, KEYS.venue, bytes_max=1)
    assert files.begin()
    files.append(entries[:10])
    files.append(entries[10:])
    files.close()
    words = ("archive", "verify", "--archive", str(folder / KEYS.venue))
    assert tool(database_url, redis_url, tmp_path, *words).exit_code == 0
    newest = archive_segments(folder, KEYS.venue)[1]
    [data, closing] = [frame.lines for frame in frames_read(newest.path)]
    header = header_line(KEYS.venue, 11, "ab" * 32, 1)
    newest.path.unlink()
    path = folder / KEYS.venue / open_name(11)
    path.write_bytes(frame_pack([header, *(line + b"\n" for line in (*data[1:], *closing))]))
    path.rename(path.with_name(closed_name(11, 20, file_digest16(path))))
    result = tool(database_url, redis_url, tmp_path, *words)
    assert result.exit_code == 1 and "states another entry 10 than the file before holds" in result.output
