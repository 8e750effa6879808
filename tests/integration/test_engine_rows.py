"""The engine's rows in a real Postgres: the guard of the one row, keyframes, founding, a server that hangs."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine import rows, writer
from engine.core.schema import STORED_HEADER, STORED_RECORD
from engine.documents import document_pack
from engine.keyframes import document_hashes
from engine.rows import RowStore
from engine.writer import RowDesk
from shared.database import Database, DatabaseError

VENUE = "rowsvenue1"


def document(seq: int, venue: str = VENUE) -> dict[str, Any]:
    """Return a document as far as the rows care."""
    return {"venue": venue, "seq": seq, "created_us": 0, "state_hash": "a", "record_hash": "b"}


def sealed(seq: int) -> dict[str, Any]:
    """Return a whole document, its tables empty."""
    names = (*STORED_HEADER, *STORED_RECORD)
    tables = {name: {"rows": 0, "dtype": "[]", "bytes": b""} for name in names}
    state_hash, record_hash = document_hashes({"tables": tables})
    content = {"format": 1, "state_hash": state_hash, "record_hash": record_hash, "tables": tables}
    return document_pack(content, {"venue": VENUE, "seq": seq, "created_us": 0, "rules": 3, "log_time_us": 7})


def run(url: str, work: Callable[[Any], Any]) -> Any:
    """Return what the work gives on a connection of its own."""
    return rows.database_call(lambda: Database.connect(url), work, 10.0)


def test_row_only_moves_forward(database_url):
    """A smaller or equal seq (as number, not as text) and another venue leave the row as it is."""
    for seq, written in ((999, True), (1_000, True), (1_000, False), (999, False), (10_000, True)):
        assert run(database_url, lambda db, seq=seq: rows.snapshot_write(db, document(seq))) == (written, False)
    assert run(database_url, lambda db: rows.snapshot_write(db, document(20_000, "othervenue"))) == (False, False)
    store = RowStore(lambda: Database.connect(database_url), VENUE, 5.0)
    assert store.snapshot_seqs() == [(10_000, "row"), (10_000, "keyframe"), (1_000, "keyframe"), (999, "keyframe")]
    assert store.snapshot_read(10_000, "row")["seq"] == store.snapshot_read(10_000, "keyframe")["seq"] == 10_000
    assert store.snapshot_read(5, "keyframe") is None


def test_unreadable_row_is_replaced_and_said(database_url):
    """A row without a readable seq stands in nobody's way."""
    insert = "INSERT INTO engine_snapshots (snapshot_data) VALUES ($1)"
    run(database_url, lambda db: db.execute(insert, {"venue": VENUE, "seq": "a lot"}))
    assert run(database_url, lambda db: rows.snapshot_write(db, document(5))) == (True, True)


def test_parallel_writers_end_with_the_largest(database_url):
    """Whatever the order of many writers, the row holds the largest seq."""

    async def race(database: Any) -> list[tuple[bool, bool]]:
        return await asyncio.gather(*(rows.snapshot_write(database, document(seq)) for seq in (5, 3, 9, 1, 7, 8)))

    written = run(database_url, race)
    assert any(done for done, _ in written)
    assert run(database_url, lambda db: db.fetchrow("SELECT seq FROM engine_snapshots"))["seq"] == 9


def test_keyframes_of_ten_minutes_and_one_an_hour_stay(database_url):
    """Old keyframes go, the first of an hour stays for two days."""
    insert = (
        "INSERT INTO engine_keyframes (venue, seq, kind, snapshot_data, created_at)"
        " VALUES ($1, $2, $3, '{}', now() - $4::text::interval)"
    )
    for seq, kind, age in ((1, "hour", "49 hours"), (2, "hour", "47 hours"), (3, "recent", "11 minutes"),
                           (4, "recent", "9 minutes")):  # fmt: skip
        run(database_url, lambda db, row=(seq, kind, age): db.execute(insert, VENUE, *row))
    run(database_url, lambda db: rows.snapshot_write(db, document(5)))
    kept = run(database_url, lambda db: db.fetch("SELECT seq FROM engine_keyframes ORDER BY seq"))
    assert [row["seq"] for row in kept] == [2, 3, 4, 5], "the three newest stay whatever their age"
    # Written as if in the hour to come: a full hour that passes now does not make the next one the first of its hour.
    later = "UPDATE engine_keyframes SET created_at = created_at + interval '1 hour' WHERE seq = 5"
    run(database_url, lambda db: db.execute(later))
    run(database_url, lambda db: rows.snapshot_write(db, document(6)))
    kept = run(database_url, lambda db: db.fetch("SELECT seq, kind FROM engine_keyframes ORDER BY seq"))
    assert [(row["seq"], row["kind"]) for row in kept] == [(2, "hour"), (4, "recent"), (5, "hour"), (6, "recent")]


def test_founding_race_has_one_venue(database_url):
    """Two engines that found at once end with the same venue; one that ever held a snapshot stops them."""

    async def race(database: Any) -> list[tuple[str, list[str]]]:
        return await asyncio.gather(*(rows.venue_found(database, name, 1) for name in ("aaaaaaaaa1", "bbbbbbbbb2")))

    first, second = run(database_url, race)
    assert first == second and first[1] == []
    run(database_url, lambda db: rows.snapshot_write(db, document(5, first[0])))
    assert run(database_url, lambda db: rows.venue_found(db, "ccccccccc3", 1)) == ("", [first[0]])
    run(database_url, lambda db: db.execute("UPDATE venues SET live = false"))
    assert run(database_url, rows.venues_ended) == [first[0]]
    assert run(database_url, lambda db: rows.venue_found(db, "ccccccccc3", 1)) == ("ccccccccc3", [])


def test_refusal_and_cursor_are_seen(database_url):
    """What others wrote down is read in one look."""
    store = RowStore(lambda: Database.connect(database_url), VENUE, 5.0)
    assert store.look() == {"refusal": None, "cursor": None, "archive": None, "counted": 0}
    insert = "INSERT INTO persister_cursor VALUES ($1, 57, 1, $2, 0)"
    run(database_url, lambda db: db.execute(insert, VENUE, b"\x01\xff"))
    archived = "INSERT INTO archive_cursor VALUES ($1, 890, $2, 0)"
    run(database_url, lambda db: db.execute(archived, VENUE, b"\x02\xfe"))
    run(database_url, lambda db: rows.snapshot_write(db, document(870)))
    run(database_url, lambda db: rows.keyframe_counts(db, VENUE, 870, 5))
    store.refusal_write({"text": "the log ends at 901"})
    assert store.look() == {
        "refusal": {"text": "the log ends at 901"},
        "cursor": {"seq": 57, "chunk": 1, "digest": "01ff"},
        "archive": {"seq": 890, "digest": "02fe"},
        "counted": 870,
    }


def test_server_that_answers_nothing_costs_a_bounded_time(tmp_path):
    """A Postgres that accepts and then hangs is given up after the time-out."""
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / ".s.PGSQL.5432"))
        hung.listen()
        started_s = time.monotonic()
        store = RowStore(lambda: Database.connect(f"postgresql:///x?host={tmp_path}&user=x"), VENUE, 0.3)
        with pytest.raises(DatabaseError):
            store.look()
        assert time.monotonic() - started_s < 1.0


async def desk_runs(desk: RowDesk, documents: list[dict[str, Any]], messages: list[Any], kind: str) -> None:
    """Hand documents to a desk one after the other and run it until it has told something of this kind last."""
    task = asyncio.ensure_future(desk.run())
    for each in documents:
        desk.put(each)
        await asyncio.sleep(0.01)
    for _ in range(200):
        told = [message["kind"] for message in messages]
        if kind in told and told[-1] == "postgres" and told.index(kind) < len(told) - 1:
            break
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await desk.database_drop()


def test_desk_writes_the_newest_when_postgres_comes_back(database_url):
    """While Postgres is away only the newest document waits; it is written, and counts, as soon as it can be."""
    messages: list[dict[str, Any]] = []
    away = [3]

    async def connect() -> Any:
        if away[0]:
            away[0] -= 1
            raise OSError("away")
        return await Database.connect(database_url)

    desk = RowDesk(connect, VENUE, messages.append, retry_s=0.02, now_us=lambda: 99)
    asyncio.run(desk_runs(desk, [sealed(10), sealed(20), sealed(30)], messages, "durable"))
    assert [message["seq"] for message in messages if message["kind"] == "durable"] == [30]
    assert sum(message["kind"] == "trouble" for message in messages) == 1
    found = run(database_url, lambda db: db.fetch("SELECT * FROM engine_keyframes"))
    assert [(row["seq"], row["verified_us"], row["rules"], row["log_time_us"]) for row in found] == [(30, 99, 3, 7)]
    assert found[0]["state_hash"] == sealed(30)["state_hash"]
    assert messages[-1]["counted"] == 30


def test_a_keyframe_that_reads_back_otherwise_does_not_count(database_url):
    """A row that Postgres gives back changed is said and never counted; the engine goes on."""
    trigger = """
CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.snapshot_data = jsonb_set(NEW.snapshot_data, '{log_time_us}', '8'); RETURN NEW; END $$;
CREATE TRIGGER damage BEFORE INSERT ON engine_keyframes FOR EACH ROW EXECUTE FUNCTION damage()
"""
    run(database_url, lambda db: db.execute(trigger))
    messages: list[dict[str, Any]] = []
    desk = RowDesk(lambda: Database.connect(database_url), VENUE, messages.append, retry_s=0.02)
    asyncio.run(desk_runs(desk, [sealed(10)], messages, "trouble"))
    [trouble] = [message["text"] for message in messages if message["kind"] == "trouble"]
    assert "keyframe at 10 does not count" in trouble
    assert messages[-1]["counted"] == 0


def test_a_fault_of_the_desk_ends_the_writer(monkeypatch):
    """Anything but trouble with Postgres is told and ends the process: a thread that died alone would go unnoticed."""
    told, codes = [], []

    async def connect() -> Any:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(writer.os, "_exit", codes.append)
    RowDesk(connect, VENUE, told.append).serve()
    assert codes == [writer.EXIT_THREAD] and "KeyError" in told[0]["text"]
