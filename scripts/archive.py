"""`tidemark archive`: what the archive holds, and whether all of it can be believed; reads files alone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson
from rich.console import Console
from rich.table import Table

from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending
from scripts.progress import Going
from scripts.sources import Sources
from shared.archive import (
    ArchiveDamaged,
    Segment,
    archive_is_written,
    archive_segments,
    header_check,
    segment_entries,
    segment_lines,
)
from shared.archive_frames import frames_read
from shared.stream_keys import Entry, follows, log_digest

archive_option = click.option(
    "--archive",
    "archive_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The archive's folder instead of the one in the data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Checked(NamedTuple):
    """What reading one file to its end gave."""

    segment: Segment
    entries: int
    last_seq: int
    digest: str  # of the last entry
    wrong: str  # empty when all of it is right


@click.group()
def archive() -> None:
    """Look into the archive of the log; never writes."""


@archive.command("list")
@data_option
@archive_option
@json_option
@ending
def list_command(data_dir: Path, archive_dir: Path | None, as_json: bool) -> int:
    """List the files: from which entry to which, since when, how large.

    \b
    Examples:
      ./scripts/tidemark archive list
      ./scripts/tidemark archive list --archive /mnt/copy/archive --json
    """
    with Sources(data_dir, archive_dir) as sources:
        venue, folder = sources.venue, sources.folder
        rows = [segment_row(segment) for segment in segments_or_stop(folder, venue)]
    if as_json:
        click.echo(json.dumps({"venue": venue, "folder": str(folder), "files": rows}))
        return 0
    table = Table(title=f"Archive of {venue} in {folder}", title_justify="left")
    for column in ("file", "first", "last", "begins", "bytes"):
        table.add_column(column, justify="left" if column in ("file", "begins") else "right", overflow="fold")
    for row in rows:
        begins = datetime.fromtimestamp(row["first_us"] / 1_000_000, UTC).isoformat(timespec="seconds")
        last = f"{row['last']:,}" if row["last"] else "open"
        table.add_row(row["file"], f"{row['first']:,}", last, begins if row["first_us"] else "?", f"{row['bytes']:,}")
    Console().print(table)
    return 0


@archive.command("verify")
@data_option
@archive_option
@json_option
@ending
def verify_command(data_dir: Path, archive_dir: Path | None, as_json: bool) -> int:
    """Read every file to its end: digests, numbers, one file after the other; exit code 1 when something is wrong.

    \b
    Examples:
      ./scripts/tidemark archive verify
      ./scripts/tidemark archive verify --archive /mnt/copy/archive --json
    """
    with Sources(data_dir, archive_dir) as sources:
        venue, folder = sources.venue, sources.folder
    checked = list(archive_check(folder, venue))
    wrong = [each.wrong for each in checked if each.wrong]
    entries, first, last = sum(each.entries for each in checked), checked[0].segment.first_seq, checked[-1].last_seq
    if as_json:
        numbers = {"files": len(checked), "entries": entries, "first": first, "last": last}
        click.echo(json.dumps({"venue": venue, "folder": str(folder), **numbers, "wrong": wrong}))
    elif wrong:
        click.echo("\n".join(f"WRONG: {line}" for line in wrong))
        click.echo("Put the damaged files back from a copy; what the log still holds can be read without them.")
    else:
        click.echo(f"{len(checked)} files, {entries:,} entries ({first:,}-{last:,}): every digest is right.")
    return EXIT_DIFFERENT if wrong else 0


def segments_or_stop(folder: Path, venue: str) -> list[Segment]:
    """Return the files, or end with what to do when there is none."""
    segments = archive_segments(folder, venue)
    if not segments:
        raise ToolStop(f"there is no archive of {venue} in {folder}; name its folder with --archive")
    return segments


def segment_row(segment: Segment) -> dict[str, Any]:
    """Return what one file says of itself by its name, its size and its header."""
    row = {"file": segment.path.name, "first": segment.first_seq, "last": segment.last_seq, "first_us": 0, "bytes": 0}
    try:
        row["bytes"] = segment.path.stat().st_size
        for frame in frames_read(segment.path, segment.is_open):
            row["first_us"] = int(orjson.loads(frame.lines[0]).get("us", 0))
            break
    except (FileNotFoundError, ValueError, IndexError):
        pass  # closed under its other name meanwhile, or damaged: `archive verify` says which
    return row


def archive_check(folder: Path, venue: str) -> Iterator[Checked]:
    """Yield what reading each file gave, each compared with the one before."""
    before: Checked | None = None
    done: set[int] = set()
    with Going("archive", sum(segment.last_seq - segment.first_seq + 1 for segment in archive_segments(folder, venue)
                              if not segment.is_open)) as going:  # fmt: skip
        while True:
            waiting = [segment for segment in segments_or_stop(folder, venue) if segment.first_seq not in done]
            if not waiting:
                return
            try:
                checked = segment_check(waiting[0], venue, before, going)
            except FileNotFoundError:
                continue  # closed under its other name meanwhile
            done.add(checked.segment.first_seq)
            before = checked
            yield checked


def segment_check(segment: Segment, venue: str, before: Checked | None, going: Going) -> Checked:
    """Return what reading one file to its end gave."""
    entries, last_seq, first, last = 0, segment.first_seq - 1, None, None
    try:
        stated = str(header_check(segment, venue, next(segment_lines(segment))[1]).get("before", ""))
        for last in segment_entries(segment, venue, 0):
            first = first or last
            entries, last_seq = entries + 1, last.seq
            if entries % 1_000 == 0:
                going.advance(1_000)
    except StopIteration:
        return Checked(segment, 0, last_seq, "", f"{segment.path.name} holds not one whole frame")
    except ArchiveDamaged as error:
        digest = log_digest(last).hex() if last is not None else ""
        return Checked(segment, entries, last_seq, digest, f"{error.path.name}, line {error.line}: {error.text}")
    digest = log_digest(last).hex() if last is not None else ""
    wrong = border_wrong(segment, first, stated, before) or torn_wrong(segment)
    return Checked(segment, entries, last_seq, digest, wrong)


def torn_wrong(segment: Segment) -> str:
    """Return how many bytes of an open file that nobody writes are behind its last whole frame; "" without any."""
    if not segment.is_open or archive_is_written(segment.path.parent):
        return ""
    left = segment.path.stat().st_size - max((frame.end for frame in frames_read(segment.path, True)), default=0)
    words = "a crash tore them off, or they are damaged; the next start cuts them and takes those entries from the log"
    return f"{segment.path.name}: its last {left:,} bytes are no whole frame: {words}" if left else ""


def border_wrong(segment: Segment, first: Entry | None, stated: str, before: Checked | None) -> str:
    """Return what does not fit between a file and the one before it; "" when all does."""
    if before is None or before.wrong or first is None:
        return ""
    if not follows(before.last_seq, first):
        return f"{segment.path.name} begins with {first.seq}, the file before ends at {before.last_seq}"
    if stated and stated != before.digest:
        return f"{segment.path.name} states another entry {before.last_seq} than the file before holds"
    return ""
