"""`tidemark audit`: every instruction with its outcome, exported, or proven to be unchanged and whole; never writes."""

import asyncio
import base64
import csv
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

import click
import orjson

from persister.audit import Head, chain_first, chain_next, head_read
from scripts.access import Reached, servers_reach
from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending
from scripts.progress import Going
from shared.archive import archive_entries, ts_of
from shared.database import Database
from shared.stream_keys import Entry

PAGE_ROWS = 5_000
PAGE = """
SELECT seq, ts_us, log_time_us, account_id, request_id, kind, op, instruction, result, response, chain FROM audit
WHERE venue = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4
"""
COUNT = "SELECT count(*) AS n, max(seq) AS last FROM audit WHERE venue = $1 AND seq > $2 AND seq <= $3"
VENUES = "SELECT venue FROM audit_head ORDER BY venue"
SEQ_MAX = 2**63 - 1
COLUMNS = ("seq", "ts_us", "log_time_us", "account_id", "request_id", "kind", "op", "instruction", "result",
           "response", "chain")  # fmt: skip

T = TypeVar("T")
Row = dict[str, Any]
venue_option = click.option("--venue", "venue_given", default="", help="Another life of this database than the last.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Verdict(NamedTuple):
    """What walking the whole chain gave."""

    rows: int
    without_instruction: int
    wrong: str  # empty when the chain is whole
    seq: int  # the first row that is wrong, else the last


@click.group()
def audit() -> None:
    """Export or prove the audit: every instruction with its outcome."""


@audit.command("export")
@click.option("--from", "from_seq", type=click.IntRange(1), default=1, help="The first seq.")
@click.option("--to", "to_seq", type=click.IntRange(1), default=SEQ_MAX, help="The last seq.", show_default="the end")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of the screen.")
@data_option
@venue_option
@json_option
@ending
def export_command(
    from_seq: int, to_seq: int, form: str, output: Path | None, data_dir: Path, venue_given: str, as_json: bool
) -> int:
    """Write the rows, the oldest first, as JSON lines or CSV.

    \b
    Examples:
      ./scripts/tidemark audit export --from 1 --to 20000 -o audit.jsonl
      ./scripts/tidemark audit export --format csv | head
    """
    if from_seq > to_seq:
        raise ToolStop(f"--from {from_seq} is behind --to {to_seq}: give the smaller number first")

    async def work(database: Database, venue: str) -> int:
        if output is None:
            return await rows_write(database, venue, (from_seq, to_seq), form, sys.stdout)
        with output.open("w", newline="", encoding="utf-8") as file:
            return await rows_write(database, venue, (from_seq, to_seq), form, file)

    venue, count = database_run(data_dir, venue_given, work)
    if as_json and output is not None:
        click.echo(json.dumps({"venue": venue, "rows": count, "file": str(output)}))
    else:
        click.echo(f"{count:,} rows of {venue}" + (f" in {output}" if output is not None else ""), err=True)
    return 0


@audit.command("verify")
@click.option(
    "--archive",
    "archive_dir",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Compare every instruction with the archive in this folder as well.",
)
@data_option
@venue_option
@json_option
@ending
def verify_command(archive_dir: Path | None, data_dir: Path, venue_given: str, as_json: bool) -> int:
    """Walk the chain from its first row to its head; exit code 1 names the first row that is wrong.

    \b
    Examples:
      ./scripts/tidemark audit verify
      ./scripts/tidemark audit verify --archive .tidemark/archive --json
    """
    venue, verdict = database_run(
        data_dir, venue_given, lambda database, venue: chain_walk(database, venue, archive_dir)
    )
    if as_json:
        click.echo(json.dumps({"venue": venue, **verdict._asdict()}))
    elif verdict.wrong:
        click.echo(f"BROKEN at {verdict.seq}: {verdict.wrong}")
        click.echo("Bring Postgres back from a copy that verifies, then ./scripts/tidemark derive --help.")
    else:
        absent = f", {verdict.without_instruction:,} without their instruction" if verdict.without_instruction else ""
        click.echo(f"{verdict.rows:,} rows, chain unbroken, head matches{absent}")
    return EXIT_DIFFERENT if verdict.wrong else 0


def database_run(
    data_dir: Path, venue_given: str, work: Callable[[Database, str], Coroutine[Any, Any, T]]
) -> tuple[str, T]:
    """Return the venue and what the work gives on its database, running or started alone."""

    async def run(reached: Reached) -> tuple[str, T]:
        database = await Database.connect(reached.database_url, timeout_s=60.0)
        try:
            known = [row["venue"] for row in await database.fetch(VENUES)]
            venue = venue_given or await venue_of(database, reached)
            if venue not in known:
                there = f"it holds {', '.join(known)}: name one with --venue" if known else "it holds none"
                raise ToolStop(f"this database holds no audit of {venue or 'a living venue'}; {there}")
            return venue, await work(database, venue)
        finally:
            await database.close()

    with servers_reach(data_dir, redis=False) as reached:
        return asyncio.run(run(reached))


async def venue_of(database: Database, reached: Reached) -> str:
    """Return the venue that runs on the folder, else the one that lives in this database, "" without one."""
    if reached.running is not None and reached.running.venue:
        return reached.running.venue
    row = await database.fetchrow("SELECT venue FROM venues WHERE live")
    return str(row["venue"]) if row is not None else ""


async def pages(database: Database, venue: str, span: tuple[int, int]) -> AsyncIterator[list[Row]]:
    """Yield the rows of a range of seqs in pages, so that memory stays flat."""
    last, to_seq = span[0] - 1, span[1]
    while rows := await database.fetch(PAGE, venue, last, to_seq, PAGE_ROWS):
        yield rows
        last = rows[-1]["seq"]


async def rows_write(database: Database, venue: str, span: tuple[int, int], form: str, file: TextIO) -> int:
    """Write the rows to an open file; return how many."""
    counted = await database.fetchrow(COUNT, venue, span[0] - 1, span[1])
    table = csv.writer(file) if form == "csv" else None
    if table is not None:
        table.writerow(COLUMNS)
    count = 0
    with Going("audit", counted["n"] if counted is not None else 0) as going:
        async for rows in pages(database, venue, span):
            for row in rows:
                shown = {**row, "instruction": text_of(row["instruction"]), "chain": bytes(row["chain"]).hex()}
                if table is not None:
                    table.writerow([shown[name] for name in COLUMNS])
                else:
                    file.write(orjson.dumps(shown).decode() + "\n")
            count += len(rows)
            going.advance(len(rows))
    return count


def text_of(instruction: bytes | None) -> str | None:
    """Return an instruction as text; bytes that are none as `base64:…`."""
    if instruction is None:
        return None
    try:
        return bytes(instruction).decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(instruction).decode()


async def chain_walk(database: Database, venue: str, archive_dir: Path | None) -> Verdict:
    """Return what is wrong first, from the first row to the head; the head is read first: the chain may grow."""
    head = await head_read(database, venue)
    at = Head(0, 0, chain_first(venue))
    absent = 0
    archived = Archived(archive_dir, venue) if archive_dir is not None else None
    with Going("audit", head.rows) as going:
        async for rows in pages(database, venue, (1, head.seq)):
            for row in rows:
                instruction = None if row["instruction"] is None else bytes(row["instruction"])
                chain = chain_next(at.chain, row["seq"], instruction, row["response"])
                wrong = "" if chain == bytes(row["chain"]) else "the row or the one before it was changed or removed"
                wrong = wrong or columns_wrong(row) or (archived.wrong(row, instruction) if archived else "")
                if wrong:
                    return Verdict(at.rows, absent, wrong, row["seq"])
                at = Head(row["seq"], at.rows + 1, chain)
                absent += instruction is None
            going.advance(len(rows))
    if at != head:
        return Verdict(
            at.rows, absent, f"the head states {head.rows:,} rows up to {head.seq}: rows are missing", at.seq
        )
    counted = await database.fetchrow(COUNT, venue, head.seq, SEQ_MAX)
    newest = await head_read(database, venue)
    if counted is not None and counted["n"] and newest.seq < counted["last"]:
        return Verdict(at.rows, absent, "there are rows behind the head", counted["last"])
    return Verdict(at.rows, absent, "", at.seq)


def columns_wrong(row: Row) -> str:
    """Return which column says something else than the response it stands beside; "" when none does."""
    body = orjson.loads(row["response"])
    for column, name in (("account_id", "account"), ("request_id", "request_id"), ("op", "op"), ("result", "result")):
        if row[column] != body.get(name):
            return f"{column} is {row[column]!r}, the response says {body.get(name)!r}"
    return ""


class Archived:
    """The archive, read beside the rows."""

    def __init__(self, folder: Path, venue: str) -> None:
        home = folder.absolute()
        self.entries = archive_entries(home.parent if home.name == venue else home, venue, 0)
        self.entry: Entry | None = next(self.entries, None)

    def wrong(self, row: Row, instruction: bytes | None) -> str:
        """Return what the archive says otherwise of a row; "" when nothing, or when it does not hold the entry."""
        while self.entry is not None and self.entry.seq < row["seq"]:
            self.entry = next(self.entries, None)
        if self.entry is None or self.entry.seq != row["seq"] or instruction is None:
            return ""
        kind, content = self.entry.fields[-1]
        found = (kind.decode("ascii", "replace"), content, ts_of(self.entry))
        return "" if found == (row["kind"], instruction, row["ts_us"]) else "the archive holds another instruction"
