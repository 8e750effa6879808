"""
`tidemark derive`: events that the stream no longer holds are derived again and handed to the history in Postgres.

For a Postgres that was restored from a backup older than what the events still hold, or that is empty. Snapshot, log
and archive give the events back, byte for byte; the history's cursor moves as for the persister, which may live.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from engine.documents import document_unpack
from engine.ingest import BATCH_MAX, machine_restore
from engine.log_source import LogSource
from scripts.access import servers_reach
from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending
from scripts.handing import Handed, Place, history_hand, history_position
from scripts.progress import Going
from scripts.restore_survey import NOWHERE, Base, bases_read, store_make
from scripts.stopped import archive_dir, venue_find
from shared.rules import RULES_VERSION
from shared.stream_keys import EventsEntry, Keys, events_digest, follows
from shared.streams import Streams

NEXT_REFUSED = "Next: ./scripts/tidemark log restore (it removes the refusal), then ./scripts/run"


def place_parse(_context: Any, _parameter: Any, text: str | None) -> tuple[int, int] | None:
    """Return SEQ-CHUNK as a pair; a bare SEQ is its first chunk."""
    if text is None:
        return None
    seq, _, chunk = text.replace(",", "").partition("-")
    if not seq.isdigit() or not (chunk or "0").isdigit():
        raise click.BadParameter(f"{text!r} is no place in the events such as 900-0")
    return int(seq), int(chunk or 0)


@click.command("derive")
@click.option("--after", callback=place_parse, metavar="SEQ-CHUNK", help="Where the history stands; it must be there.")
@click.option("--to", "to_seq", type=click.IntRange(1), help="Stop after this entry; the events' end without it.")
@click.option("--archive", type=click.Path(file_okay=False, path_type=Path), help="The archive's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def derive(
    after: tuple[int, int] | None, to_seq: int | None, archive: Path | None, as_json: bool, data_dir: Path
) -> int:
    """
    Derive events again and hand them to the history, which lacks them.

    \b
    Examples:
      ./scripts/tidemark derive --after 900-0
      ./scripts/tidemark derive --to 120000 --archive /backup/tidemark/archive
    """
    with servers_reach(data_dir, words="to derive what history lacks") as reached:
        streams = Streams(reached.redis_url)
        try:
            streams.ping()
            folder = archive_dir(data_dir, archive)
            keys = Keys(venue_find(streams, reached.database_url, data_dir, folder))
            place = Place(reached.redis_url, reached.database_url, keys, folder)
            handed = derive_run(streams, place, data_dir, after, to_seq)
            refused = streams.get_json(keys.refused) is not None
        finally:
            streams.close()
    if as_json:
        click.echo(json.dumps({**handed._asdict(), "before": handed.before.text, "after": handed.after.text}))
    else:
        click.echo(
            f"history was at {handed.before.text}, is at {handed.after.text}:"
            f" {handed.entries:,} entries, {handed.rows:,} rows"
        )
        click.echo(NEXT_REFUSED if refused else "The persister goes on from there.")
    return EXIT_DIFFERENT if handed.rejects else 0


def derive_run(
    streams: Streams, place: Place, data_dir: Path, after: tuple[int, int] | None, to_seq: int | None
) -> Handed:
    """Derive from the snapshot before the history's cursor on, and hand over what lies behind it."""
    before = history_position(place)
    if after is not None and after != before.place:
        raise ToolStop(f"the history stands at {before.text}: `./scripts/tidemark derive --after {before.text}`")
    tip = streams.events_tip(place.keys)
    last_seq = min(to_seq or tip[0], tip[0]) if tip != NOWHERE else to_seq or streams.log_tip(place.keys)
    if last_seq <= before.seq:
        return Handed(before, before, 0, 0, 0)
    store = store_make(place.database_url, place.keys.venue)
    base = base_before(bases_read(data_dir, store, place.keys.venue), before.place)
    source = LogSource(streams, place.keys, place.archive if place.archive.is_dir() else None)
    first_seq = base.seq if base is not None else 0
    with Going("derive", last_seq - first_seq) as going:
        derived = events_derive(source, base, last_seq, going.advance)
        return history_hand(place, before, events_behind(derived, before.place, before.digest))


def base_before(bases: Iterator[Base], place: tuple[int, int]) -> Base | None:
    """Return the newest snapshot of these rules that stands at or before a place of the events, None without one."""
    for base in bases:
        if base.events_last <= place and base.rules == RULES_VERSION:
            return base
    return None


def events_derive(
    source: LogSource, base: Base | None, last_seq: int, advance: Callable[[int], None]
) -> Iterator[EventsEntry]:
    """Yield what the log causes from a snapshot up to an entry; raises ToolStop where nobody holds the next one."""
    machine = machine_restore(document_unpack(base.read()) if base is not None else None)
    while machine.seq < last_seq:
        entries = list(source.read(machine.seq, min(BATCH_MAX, last_seq - machine.seq)))
        if not entries or not follows(machine.seq, entries[0]):
            where = f"the snapshot at {base.seq:,}" if base is not None else "the empty state"
            raise ToolStop(
                f"from {where} on, entry {machine.seq + 1:,} is needed, and neither the log nor the archive holds it:"
                " name an archive that does with --archive"
            )
        machine.load(entries)
        while (step := machine.step()) is not None:
            yield from step.outputs
        advance(len(entries))


def events_behind(events: Iterator[EventsEntry], place: tuple[int, int], digest: bytes) -> Iterator[EventsEntry]:
    """Yield the events behind a place; raises ToolStop when the one at the place is not the one remembered."""
    for entry in events:
        if (entry.seq, entry.chunk) > place:
            yield entry
        elif (entry.seq, entry.chunk) == place and digest and events_digest(entry) != digest:
            raise ToolStop(
                f"the history remembers another events entry {place[0]}-{place[1]} than this log causes: they do not"
                " belong together; `./scripts/tidemark log restore --dry-run` shows what the log is",
                EXIT_DIFFERENT,
            )
