"""
All of the engine's SQL: the venue's row, the snapshot's one row, keyframes, refusals, the persister's cursor.

Nothing here is called from the hot thread: a hung Postgres answers nothing, not even a time-out.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from shared.database import DatabaseDown
from shared.refusal import REFUSAL_INSERT, REFUSAL_SELECT

T = TypeVar("T")

SNAPSHOT_UPSERT = """
INSERT INTO engine_snapshots (id, snapshot_data) VALUES (1, $1)
ON CONFLICT (id) DO UPDATE SET snapshot_data = excluded.snapshot_data, created_at = now()
WHERE engine_snapshots.seq IS NULL OR engine_snapshots.venue IS NULL
   OR (engine_snapshots.venue = $2 AND engine_snapshots.seq < $3)
RETURNING id
"""
VENUE_INSERT = "INSERT INTO venues (venue, founded_us, live) VALUES ($1, $2, true) ON CONFLICT DO NOTHING"
VENUE_LIVE = "SELECT venue FROM venues WHERE live"
SNAPSHOT_OF_ROW = "SELECT snapshot_data FROM engine_snapshots WHERE venue = $1 AND seq = $2"
SNAPSHOT_OF_KEYFRAME = "SELECT snapshot_data FROM engine_keyframes WHERE venue = $1 AND seq = $2"
SNAPSHOT_THERE = "SELECT venue, seq FROM engine_snapshots WHERE id = 1"
HISTORY_CURSOR = "SELECT seq, chunk, digest FROM persister_cursor WHERE venue = $1"
VENUES_ENDED = "SELECT venue FROM venues WHERE NOT live ORDER BY venue"
VENUES_WITH_SNAPSHOT = """
SELECT venue FROM (SELECT venue FROM engine_snapshots UNION SELECT venue FROM engine_keyframes) AS held
WHERE venue IS NULL OR venue NOT IN (SELECT venue FROM venues WHERE NOT live) ORDER BY venue
"""
KEYFRAME_INSERT = """
INSERT INTO engine_keyframes (venue, seq, kind, rules, log_time_us, state_hash, snapshot_data)
SELECT $1, $2, CASE WHEN $3 <> '' THEN $3 WHEN EXISTS (
    SELECT 1 FROM engine_keyframes
    WHERE venue = $1 AND kind = 'hour' AND created_at >= date_trunc('hour', now())) THEN 'recent' ELSE 'hour' END,
    $4, $5, $6, snapshot_data
FROM engine_snapshots WHERE id = 1
ON CONFLICT (venue, seq) DO NOTHING
"""
# The three newest stay whatever their age: trimming counts on them.
KEYFRAMES_PRUNE = """
DELETE FROM engine_keyframes WHERE venue = $1
AND ((kind = 'recent' AND created_at < now() - interval '10 minutes')
  OR (kind = 'hour' AND created_at < now() - interval '48 hours'))
AND seq NOT IN (SELECT seq FROM engine_keyframes WHERE venue = $1 ORDER BY seq DESC LIMIT 3)
"""
SNAPSHOT_SEQS = """
SELECT seq, 0 AS place FROM engine_snapshots WHERE venue = $1 AND seq IS NOT NULL
UNION ALL SELECT seq, 1 FROM engine_keyframes WHERE venue = $1 ORDER BY seq DESC, place
"""
KEYFRAME_COUNTS = "UPDATE engine_keyframes SET verified_us = $3 WHERE venue = $1 AND seq = $2"
KEYFRAME_COUNTED = "SELECT max(seq) AS seq FROM engine_keyframes WHERE venue = $1 AND verified_us IS NOT NULL"
ARCHIVE_READ = "SELECT seq, digest FROM archive_cursor WHERE venue = $1"


def database_call(connect: Callable[[], Awaitable[Any]], work: Callable[[Any], Awaitable[T]], timeout_s: float) -> T:
    """
    Return what the work gives on a connection of its own; raises DatabaseDown after the time-out, whatever hangs.

    A thread that hangs with its server is abandoned: cancelling would have to ask the same server.
    """
    outcome: dict[str, Any] = {}

    async def call() -> T:
        database = await connect()
        try:
            return await work(database)
        finally:
            await database.close()

    def run() -> None:
        try:
            outcome["value"] = asyncio.run(call())
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if "error" in outcome:
        raise outcome["error"]
    if "value" not in outcome:
        raise DatabaseDown(f"Postgres did not answer within {timeout_s} s")
    return outcome["value"]


class RowStore:
    """The same for those who cannot await: each call has a connection of its own and a bounded time."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        venue: str,
        timeout_s: float,
        caller: Callable[..., Any] = database_call,
    ) -> None:
        self.connect = connect
        self.venue = venue
        self.timeout_s = timeout_s
        self.caller = caller  # what waits for an answer without awaiting it

    def call(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Return what the work gives; raises DatabaseError."""
        return self.caller(self.connect, work, self.timeout_s)

    def venue_found(self, venue: str, founded_us: int) -> tuple[str, list[str]]:
        """Return the one live venue, inserted or adopted, and the venues that ever held a snapshot: then none is."""
        return self.call(lambda database: venue_found(database, venue, founded_us))

    def venues_ended(self) -> list[str]:
        """Return the venues that a reset has ended: what is left of them is nobody's money."""
        return self.call(venues_ended)

    def snapshot_seqs(self) -> list[tuple[int, str]]:
        """Return seq and table of every snapshot, the newest first."""
        return self.call(lambda database: snapshot_seqs(database, self.venue))

    def snapshot_read(self, seq: int, table: str) -> Any:
        """Return the document of one snapshot, None when it is gone meanwhile."""
        return self.call(lambda database: snapshot_read(database, self.venue, seq, table))

    def look(self) -> dict[str, Any]:
        """Return what Postgres tells an engine: a refusal, the cursor of the history reader."""
        return self.call(lambda database: look(database, self.venue))

    def refusal_write(self, reason: dict[str, Any]) -> None:
        """Write the refusal down."""
        self.call(lambda database: refusal_write(database, self.venue, "engine", reason))


async def venue_found(database: Any, venue: str, founded_us: int) -> tuple[str, list[str]]:
    """Return the one live venue, inserted or adopted, and the venues that ever held a snapshot: then none is."""
    await database.migrate()
    known = await venues_with_snapshot(database)
    return ("" if known else await venue_adopt(database, venue, founded_us)), known


async def venue_adopt(database: Any, venue: str, founded_us: int) -> str:
    """Insert the one live venue, or adopt the one that is there; return its name."""
    await database.execute(VENUE_INSERT, venue, founded_us)
    row = await database.fetchrow(VENUE_LIVE)
    assert row is not None
    return row["venue"]


async def venues_ended(database: Any) -> list[str]:
    """Return the venues that a reset has ended."""
    await database.migrate()
    return [row["venue"] for row in await database.fetch(VENUES_ENDED)]


async def venues_with_snapshot(database: Any) -> list[str]:
    """Return the venues that ever held a snapshot and were not ended since."""
    rows = await database.fetch(VENUES_WITH_SNAPSHOT)
    return [row["venue"] or "(unreadable)" for row in rows]


async def snapshot_seqs(database: Any, venue: str) -> list[tuple[int, str]]:
    """Return seq and table of every snapshot of the venue, the newest first, the row before a keyframe."""
    rows = await database.fetch(SNAPSHOT_SEQS, venue)
    return [(int(row["seq"]), ("row", "keyframe")[row["place"]]) for row in rows]


async def snapshot_read(database: Any, venue: str, seq: int, table: str) -> Any:
    """Return the document of one snapshot, None when it is gone meanwhile."""
    row = await database.fetchrow(SNAPSHOT_OF_ROW if table == "row" else SNAPSHOT_OF_KEYFRAME, venue, seq)
    return None if row is None else row["snapshot_data"]


async def snapshot_write(database: Any, document: dict[str, Any], kind: str = "") -> tuple[bool, bool]:
    """
    Write the one row and the keyframe in one transaction; return whether it was written, and over an unreadable row.

    An older seq or another venue leaves the row as it is. A keyframe of kind "border" is kept for ever.
    """
    venue, seq = document["venue"], document["seq"]
    async with database.transaction() as transaction:
        before = await transaction.fetchrow(SNAPSHOT_THERE)
        unreadable = before is not None and (before["venue"] is None or before["seq"] is None)
        written = await transaction.fetchrow(SNAPSHOT_UPSERT, document, venue, seq)
        if written is not None:
            columns = (document.get("rules"), document.get("log_time_us"), document.get("state_hash"))
            await transaction.execute(KEYFRAME_INSERT, venue, seq, kind, *columns)
            await transaction.execute(KEYFRAMES_PRUNE, venue)
    return written is not None, unreadable


async def refusal_read(database: Any, venue: str) -> Any:
    """Return the newest refusal of the venue, None when there is none."""
    row = await database.fetchrow(REFUSAL_SELECT, venue)
    return None if row is None else row["reason"]


async def refusal_write(database: Any, venue: str, process: str, reason: dict[str, Any]) -> None:
    """Write the refusal down beside the file and the key."""
    await database.execute(REFUSAL_INSERT, venue, process, reason)


async def keyframe_counts(database: Any, venue: str, seq: int, now_us: int) -> None:
    """Note that a keyframe was read back and hashed: from now on trimming may count on it."""
    await database.execute(KEYFRAME_COUNTS, venue, seq, now_us)


async def look(database: Any, venue: str) -> dict[str, Any]:
    """Return what Postgres tells an engine: a refusal, the cursors of history and archive, the newest that counts."""
    counted = await database.fetchrow(KEYFRAME_COUNTED, venue)
    return {
        "refusal": await refusal_read(database, venue),
        "cursor": await cursor_read(database, venue),
        "archive": await archive_read(database, venue),
        "counted": int(counted["seq"] or 0) if counted is not None else 0,
    }


async def archive_read(database: Any, venue: str) -> dict[str, Any] | None:
    """Return the newest log entry that the archive holds for good, None before its first."""
    row = await database.fetchrow(ARCHIVE_READ, venue)
    if row is None or row["seq"] <= 0:
        return None
    return {"seq": int(row["seq"]), "digest": bytes(row["digest"]).hex()}


async def cursor_read(database: Any, venue: str) -> dict[str, Any] | None:
    """Return the newest events entry that the history reader has committed, None before its first."""
    row = await database.fetchrow(HISTORY_CURSOR, venue)
    if row is None or row["seq"] <= 0:
        return None
    return {"seq": int(row["seq"]), "chunk": int(row["chunk"]), "digest": bytes(row["digest"] or b"").hex()}
