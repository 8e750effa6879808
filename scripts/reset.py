"""
`tidemark reset`: this venue ends for good, and the next start founds another.

Every step can be done again. Producers are refused first; the history is brought to the events' end; the log goes
before everything else, so that an old producer finds no stream to append to; the pointer and the refusal go last.
Rows, archive and the last snapshots stay, under the old venue's id.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import click

from engine.documents import BORDER_NAME, files_list
from persister.archive import folder_sync
from scripts.cli import data_option
from scripts.exits import ToolStop, ending
from scripts.handing import Place, history_hand, history_position
from scripts.restore_held import SEQ_MAX
from scripts.restore_rows import refusals_end
from scripts.stopped import Stopped, confirm, venue_stopped
from shared import stream_surgery
from shared.archive import entry_line, header_line, ts_of
from shared.archive_frames import frame_pack
from shared.clock import now_us
from shared.database import Database
from shared.refusal import Refusal, refusal_file_read, refusal_file_write
from shared.stream_keys import Entry, EventsEntry

PAGE = 1_000
NEXT = "Next: ./scripts/run"
VENUE_END = """
INSERT INTO venues (venue, founded_us, live) VALUES ($1, $2, false) ON CONFLICT (venue) DO UPDATE SET live = false
"""
ROW_KEEP = """
INSERT INTO engine_keyframes (venue, seq, kind, snapshot_data)
SELECT venue, seq, 'reset', snapshot_data FROM engine_snapshots WHERE venue = $1 AND seq IS NOT NULL
ON CONFLICT (venue, seq) DO UPDATE SET kind = 'reset'
"""


@click.command("reset")
@click.option("--yes", is_flag=True, help="Do it without asking, also when the history cannot be completed.")
@click.option("--keep-log", type=click.Path(dir_okay=False, path_type=Path), help="Write the log to this file first.")
@click.option("--archive", type=click.Path(file_okay=False, path_type=Path), help="The archive's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def reset(yes: bool, keep_log: Path | None, archive: Path | None, as_json: bool, data_dir: Path) -> int:
    """
    End this venue: accounts, positions and balances are gone, a new venue is founded at the next start.

    \b
    Examples:
      ./scripts/tidemark reset --keep-log old-log.zst
      ./scripts/tidemark reset --yes
    """
    with venue_stopped(data_dir, archive, "to be ended") as venue:
        name = venue.keys.venue
        if keep_log is not None and keep_log.exists():
            raise ToolStop(f"{keep_log} is there already: name another file with --keep-log; nothing was changed")
        confirm(f"The venue {name} and every account in it will be gone for good.", yes, name)
        refusal_make(venue)
        kept_count = log_keep(venue, keep_log) if keep_log is not None else 0
        history, trouble = history_complete(venue)
        if trouble and not yes:
            confirm(f"{trouble}. End the venue all the same?", yes)
        snapshots = reset_do(venue)
    told = {"venue": name, "history": history, "history_trouble": trouble, "log_kept": kept_count}
    if as_json:
        click.echo(json.dumps({**told, "snapshots_set_aside": [str(path) for path in snapshots]}))
        return 0
    if keep_log is not None:
        click.echo(f"log written to {keep_log}: {kept_count:,} entries")
    click.echo(f"history: {trouble}" if trouble else f"history is complete, up to {history}")
    click.echo(f"venue {name} ended; a new one is founded at the next start\n{NEXT}")
    return 0


def refusal_make(venue: Stopped) -> None:
    """Have everybody refuse this venue from now on, also when this command is interrupted."""
    reason = {
        "text": "`tidemark reset` is at work, or was interrupted: run it again",
        "process": "tidemark",
        "venue": venue.keys.venue,
        "time_us": now_us(),
    }
    if refusal_file_read(venue.data_dir) is None:
        refusal_file_write(venue.data_dir, reason)
    venue.streams.converse(stream_surgery.refusal_keep(venue.keys, reason))


def log_keep(venue: Stopped, path: Path) -> int:
    """Write what the log holds as a file of the archive's kind; return how many entries."""
    count = 0
    with path.open("xb") as file:
        for page in log_pages(venue):
            lines = [entry_line(entry) for entry in page]
            if not count:
                lines.insert(0, header_line(venue.keys.venue, page[0].seq, "", ts_of(page[0])))
            file.write(frame_pack(lines))
            count += len(page)
        file.flush()
        os.fsync(file.fileno())
    return count


def log_pages(venue: Stopped) -> Iterator[list[Entry]]:
    """Yield the log in parts, from its first entry to its last."""
    seq = 0
    while page := venue.streams.range_log(venue.keys, seq + 1, SEQ_MAX, PAGE):
        yield page
        seq = page[-1].seq


def history_complete(venue: Stopped) -> tuple[str, str]:
    """Bring the history to the events' end; return where it stands, and what it will lack, "" when nothing."""
    place = Place(venue.streams.url, venue.database_url, venue.keys, venue.archive)
    before = history_position(place)
    tip = venue.streams.events_tip(venue.keys)
    if tip <= before.place:
        return before.text, ""
    try:
        handed = history_hand(place, before, events_after(venue, before.place))
    except Refusal as refusal:
        return before.text, f"the history ends at {before.text}, the events at {tip[0]}-{tip[1]}: {refusal}"
    return handed.after.text, ""


def events_after(venue: Stopped, place: tuple[int, int]) -> Iterator[EventsEntry]:
    """Yield the events behind a place."""
    while page := venue.streams.read_events(venue.keys, place, PAGE, None):
        yield from page
        place = page[-1].seq, page[-1].chunk


def reset_do(venue: Stopped) -> list[Path]:
    """End the venue, step by step; return the snapshot files that were set aside."""
    keys, streams = venue.keys, venue.streams
    streams.converse(stream_surgery.keys_drop([keys.log, keys.log_new]))
    streams.converse(stream_surgery.keys_drop([keys.events, keys.events_new]))
    names = streams.converse(stream_surgery.keys_scan(keys.prefix + "*"))
    streams.converse(stream_surgery.keys_drop([name for name in names if name != keys.refused.encode()]))
    venue.store.call(lambda database: rows_end(database, keys.venue))
    aside = snapshots_aside(venue.data_dir / "snapshots", keys.venue)
    streams.converse(stream_surgery.pointer_drop(keys.venue))
    refusals_end(streams, venue.store, venue.data_dir, keys.venue, keys.refused)
    return aside


async def rows_end(database: Database, venue: str) -> None:
    """Say in Postgres that the venue lives no more; its last snapshot becomes a keyframe that nothing removes."""
    async with database.transaction() as statements:
        await statements.execute(VENUE_END, venue, now_us())
        await statements.execute(ROW_KEEP, venue)
        await statements.execute("DELETE FROM engine_snapshots WHERE venue = $1 OR venue IS NULL", venue)


def snapshots_aside(folder: Path, venue: str) -> list[Path]:
    """Move the snapshot files into a folder of their own; return where they are now."""
    moved = []
    target = folder / f"ended-{venue}"
    for _, path in [*files_list(folder), *files_list(folder, BORDER_NAME)]:
        target.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.rename(target / path.name)
            moved.append(target / path.name)
    if moved:
        folder_sync(target)
        folder_sync(folder)
    return moved
