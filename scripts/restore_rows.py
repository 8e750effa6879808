"""
What a restoration changes outside Redis: rows of lost entries, cursors, snapshots, the archive's end, the refusals.

Every step may be done again: what a lost range held goes, and numbers of such a range are never used again.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from engine.documents import BORDER_NAME, FILE_NAME, files_list
from engine.rows import RowStore
from persister.archive import archive_cut
from persister.audit import audit_cut
from scripts.restore_accounts import account_kept, sessions_end
from scripts.restore_plan import Lost, Plan
from scripts.restore_survey import Place
from shared import stream_surgery
from shared.database import Database, Statements
from shared.refusal import REFUSAL_FILE
from shared.stream_keys import event_id, fields_digest, log_digest, seq_chunk_of_event_id
from shared.streams import Streams

HISTORY = (
    "closed_orders", "closed_positions", "fills", "funding", "liquidations", "ledger", "candles", "trades",
    "funding_rates", "persister_rejects",
)  # fmt: skip
RESTORING = "SET LOCAL tidemark.restoring = 'on'"
CURSOR_SET = "UPDATE persister_cursor SET seq = $2, chunk = $3, digest = $4 WHERE venue = $1"
ARCHIVE_READ = "SELECT seq, digest FROM archive_cursor WHERE venue = $1 FOR UPDATE"
ARCHIVE_SET = "UPDATE archive_cursor SET seq = $2, digest = $3 WHERE venue = $1"
SEGMENTS_DROP = "DELETE FROM archive_segments WHERE venue = $1 AND last_seq BETWEEN $2 AND $3"
RESTORATION = """
INSERT INTO restorations (venue, seq, first_lost, last_lost, kept_to) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
BASE_DROP = {
    "row": "DELETE FROM engine_snapshots WHERE venue = $1 AND seq = $2",
    "keyframe": "DELETE FROM engine_keyframes WHERE venue = $1 AND seq = $2",
}
VENUE_LIVE = """
INSERT INTO venues (venue, founded_us, live) VALUES ($1, $2, true) ON CONFLICT (venue) DO UPDATE SET live = true
"""


class Changed(NamedTuple):
    """What was done to history, in numbers."""

    rows: int  # removed
    cursor: Place | None  # where it was set back to; None when it stayed
    snapshots: int  # removed, of every kind


def rows_restore(streams: Streams, store: RowStore, plan: Plan, time_us: int) -> Changed:
    """Bring Postgres in line with the restored streams, in one transaction; return what that took."""
    kept = account_kept(plan)
    # In Redis too: a Postgres that is away, or is brought back from before, must not let them pass again.
    streams.converse(stream_surgery.accounts_kept_note(plan.survey.keys, kept, time_us))
    return store.call(lambda database: rows_change(database, streams, plan, time_us, kept))


async def rows_change(database: Database, streams: Streams, plan: Plan, time_us: int, account_id: int) -> Changed:
    """Bring Postgres in line with the restored streams, in one transaction."""
    venue, lost = plan.survey.keys.venue, lost_ranges(plan)
    rows = snapshots = 0
    async with database.transaction() as statements:
        await statements.execute(RESTORING)
        await statements.execute(VENUE_LIVE, venue, time_us)
        await sessions_end(statements, venue, account_id, time_us)
        for first, last in lost:
            rows += await rows_drop(statements, venue, first, last)
            snapshots += await snapshots_drop(statements, venue, first, last)
        for base in plan.bases_false:
            if base.place in BASE_DROP:
                snapshots += await statements.execute(BASE_DROP[base.place], venue, base.seq)
        cursor, more = await cursor_mend(statements, streams, plan)
        await archive_mend(statements, plan, lost)
        for first, last in [*plan.walk.gaps, plan.lost or (plan.kept_to + 1, plan.kept_to)]:
            seq = last + 1 if last >= first else last
            await statements.execute(RESTORATION, venue, seq, first, last, first - 1)
    return Changed(rows + more, cursor, snapshots)


def lost_ranges(plan: Plan) -> list[Lost]:
    """Return every range that is lost, of this restoration and of earlier ones, one of which may have been cut off."""
    return [*plan.walk.gaps, *([plan.lost] if plan.lost is not None else [])]


async def archive_mend(statements: Statements, plan: Plan, lost: list[Lost]) -> None:
    """Set the archive's cursor to the end of the files when it stands on nothing that was kept."""
    venue, tip = plan.survey.keys.venue, plan.holdings.archive_tip
    for first, last in lost:
        await statements.execute(SEGMENTS_DROP, venue, first, last)
        tip = first - 1 if first <= tip <= last else tip
    row = await statements.fetchrow(ARCHIVE_READ, venue)
    if row is None:
        return
    known = None if any(first <= row["seq"] <= last for first, last in lost) else plan.holdings.find(row["seq"])
    if known is not None and log_digest(known) == bytes(row["digest"]):
        return
    newest = plan.holdings.find(tip) if tip else None
    if newest is None:
        await statements.execute("DELETE FROM archive_cursor WHERE venue = $1", venue)
    else:
        await statements.execute(ARCHIVE_SET, venue, newest.seq, log_digest(newest))


async def rows_drop(statements: Statements, venue: str, first: int, last: int) -> int:
    """Remove the history of a range; return how many rows that were."""
    count = 0
    for table in HISTORY:
        where = "venue = $1 AND seq BETWEEN $2 AND $3"
        count += await statements.execute(f"DELETE FROM {table} WHERE {where}", venue, first, last)
    audited = "SELECT 1 AS one FROM audit WHERE venue = $1 AND seq BETWEEN $2 AND $3 LIMIT 1"
    if await statements.fetchrow(audited, venue, first, last) is not None:
        await audit_cut(statements, venue, first)
    return count


async def snapshots_drop(statements: Statements, venue: str, first: int, last: int) -> int:
    """Remove the snapshots of a range; return how many that were."""
    count = 0
    for table in ("engine_keyframes", "engine_snapshots"):
        where = "venue = $1 AND seq BETWEEN $2 AND $3"
        count += await statements.execute(f"DELETE FROM {table} WHERE {where}", venue, first, last)
    return count


async def cursor_mend(statements: Statements, streams: Streams, plan: Plan) -> tuple[Place | None, int]:
    """
    Set the history's cursor back where it stands on nothing that was kept; return where to, and how many rows went.

    Its rows behind that place go, and are written again from the restored events.
    """
    venue, right_to = plan.survey.keys.venue, plan.history_right_to
    if right_to is None:
        return None, 0
    removed = await rows_drop(statements, venue, right_to + 1, plan.known_to)
    found = streams.converse(stream_surgery.newest_raw(plan.survey.keys.events, event_id(right_to + 1, 0)))
    to, mark = (0, 0), b""
    if found is not None:
        to, mark = seq_chunk_of_event_id(found[0]), fields_digest(*found)
    await statements.execute(CURSOR_SET, venue, *to, mark)
    return to, removed


def files_restore(data_dir: Path, archive: Path, plan: Plan) -> tuple[list[Path], int]:
    """Cut the archive, whose lock is held, behind what is kept, remove lost snapshots; return what was set aside."""
    venue, removed = plan.survey.keys.venue, 0
    aside: list[Path] = []
    if archive.is_dir():
        for first, last in lost_ranges(plan):
            if first <= plan.holdings.archive_tip <= last:
                aside += archive_cut(archive, venue, first - 1)
    folder = data_dir / "snapshots"
    false = {(base.place, base.seq) for base in plan.bases_false}
    for place, pattern in (("file", FILE_NAME), ("border", BORDER_NAME)):
        for seq, path in files_list(folder, pattern):
            lost = any(first <= seq <= last for first, last in lost_ranges(plan))
            if lost or (place, seq) in false:
                path.unlink(missing_ok=True)
                removed += 1
    return aside, removed


def refusals_end(streams: Streams, store: RowStore, data_dir: Path, venue: str, key: str) -> None:
    """Remove the refusal from its three places, the file last: while it is there nobody goes on."""
    store.call(lambda database: database.execute("DELETE FROM refusals WHERE venue = $1", venue))
    streams.delete(key)
    with contextlib.suppress(FileNotFoundError):
        (data_dir / REFUSAL_FILE).unlink()
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
