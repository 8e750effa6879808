"""`tidemark snapshot`: look into snapshots, from Postgres or from a file; read-only."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engine.documents import DocumentUnreadable, document_parse, document_unpack, document_verify, files_list
from engine.ingest import machine_restore
from engine.rows import RowStore
from scripts import ready
from scripts.cli import data_option
from shared.database import Database, DatabaseError

EXIT_DIFFERENT = 1
EXIT_IMPOSSIBLE = 2
DATABASE_TIMEOUT_S = 5.0


class SnapshotMissing(Exception):
    """There is no such snapshot; the text says where it was looked for."""


def document_find(data_dir: Path, file: Path | None, seq: int | None) -> tuple[dict[str, Any], str]:
    """Return a verified document and where it is from: the file, else the newest of Postgres and the data folder."""
    if file is not None:
        return document_parse(file.read_bytes(), None), str(file)
    places: list[tuple[int, str, Any]] = [
        (found, str(path), path) for found, path in files_list(data_dir / "snapshots")
    ]
    running = ready.ready_read(data_dir)
    if running is not None and running.venue:
        store = RowStore(lambda: Database.connect(running.database_url), running.venue, DATABASE_TIMEOUT_S)
        try:
            places += [(found, f"Postgres, {table}", (store, table)) for found, table in store.snapshot_seqs()]
        except DatabaseError as error:
            click.echo(f"Postgres is not asked: {error}", err=True)
    if seq is not None:
        places = [place for place in places if place[0] == seq]
    for found, name, source in sorted(places, key=lambda place: -place[0]):
        content = source_read(found, source)
        if content is not None:  # a live venue may replace the row, or drop the oldest file, in between
            return document_verify(content, None), name
    raise SnapshotMissing(f"no snapshot{'' if seq is None else f' at {seq}'} in {data_dir} and its Postgres")


def source_read(seq: int, source: Any) -> Any:
    """Return the document of one place, None when it is gone meanwhile; raises DocumentUnreadable."""
    if not isinstance(source, Path):
        store, table = source
        return store.snapshot_read(seq, table)
    try:
        return document_parse(source.read_bytes(), None)
    except FileNotFoundError:
        return None


def source_options(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that say which snapshot, and how to print it."""
    for option in (
        data_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--seq", type=click.IntRange(1), help="The snapshot at this seq instead of the newest."),
        click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A snapshot file."),
    ):
        function = option(function)
    return function


@click.group()
def snapshot() -> None:
    """Look into snapshots; never writes."""


@snapshot.command("show")
@source_options
def show(file: Path | None, seq: int | None, as_json: bool, data_dir: Path) -> None:
    """Print the readable part: seq, time, hashes, prices, counts, totals."""
    document, place = found_or_exit(data_dir, file, seq)
    head = {name: value for name, value in document.items() if name not in ("tables", "summary", "witness", "digest")}
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    if as_json:
        click.echo(json.dumps({**head, "place": place, "rows": rows, "summary": document["summary"]}))
        return
    console = Console()
    console.print(f"Snapshot from {place}")
    pairs_print(console, {**head, **{f"rows of {name}": count for name, count in rows.items()}})
    summary_print(console, document["summary"])


@snapshot.command("account")
@click.argument("account_id", type=click.IntRange(1))
@source_options
def account(account_id: int, file: Path | None, seq: int | None, as_json: bool, data_dir: Path) -> None:
    """Print one account with its positions and orders; exit code 1 when there is none."""
    document, place = found_or_exit(data_dir, file, seq)
    view = restored_or_exit(document).account_view(account_id)
    if view is None:
        click.echo(f"no account {account_id} in the snapshot at {document['seq']}", err=True)
        sys.exit(EXIT_DIFFERENT)
    if as_json:
        click.echo(json.dumps({"seq": document["seq"], "place": place, **view}))
        return
    console = Console()
    console.print(f"Account {account_id} at entry {document['seq']} ({place})")
    pairs_print(console, {name: value for name, value in view.items() if not isinstance(value, list)})
    for name in ("positions", "orders"):
        rows_print(console, name, view.get(name, []))


@snapshot.command("verify")
@source_options
def verify(file: Path | None, seq: int | None, as_json: bool, data_dir: Path) -> None:
    """Recompute the seal and both hashes, then check conservation and every invariant; exit code 1 when one fails."""
    document, place = found_or_exit(data_dir, file, seq)
    machine = restored_or_exit(document)
    broken = machine.invariants_broken()
    result = {"seq": document["seq"], "place": place, "state_hash": document["state_hash"], "broken": broken}
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(f"Snapshot at {document['seq']} from {place}: seal and both hashes are right.")
        click.echo("Every invariant holds." if not broken else "\n".join(f"BROKEN: {line}" for line in broken))
    sys.exit(EXIT_DIFFERENT if broken else 0)


def found_or_exit(data_dir: Path, file: Path | None, seq: int | None) -> tuple[dict[str, Any], str]:
    """Return the document, or leave with the reason and its exit code."""
    try:
        return document_find(data_dir, file, seq)
    except DocumentUnreadable as error:
        click.echo(f"the snapshot does not verify: {error}", err=True)
        sys.exit(EXIT_DIFFERENT)
    except (SnapshotMissing, DatabaseError, OSError) as error:
        click.echo(f"tidemark snapshot: {error}", err=True)
        sys.exit(EXIT_IMPOSSIBLE)


def restored_or_exit(document: dict[str, Any]) -> Any:
    """Return the machine of a document, or leave saying what does not verify."""
    try:
        return machine_restore(document_unpack(document))
    except DocumentUnreadable as error:
        click.echo(f"the snapshot does not verify: {error}", err=True)
        sys.exit(EXIT_DIFFERENT)


def pairs_print(console: Console, pairs: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    table = Table(show_header=False, box=None)
    for name, value in pairs.items():
        table.add_row(name.replace("_", " "), str(value))
    console.print(table)


def summary_print(console: Console, summary: dict[str, Any]) -> None:
    """Print the summary: plain values first, then one table for each list or mapping of records."""
    pairs_print(console, {name: value for name, value in summary.items() if not isinstance(value, list | dict)})
    for name, value in summary.items():
        if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
            value = [{name.rstrip("s"): key, **item} for key, item in value.items()]
        if isinstance(value, list):
            rows_print(console, name, value)
        elif isinstance(value, dict):
            pairs_print(console, value)


def rows_print(console: Console, name: str, rows: list[dict[str, Any]]) -> None:
    """Print records as a table."""
    if not rows:
        console.print(f"{name}: none")
        return
    table = Table(title=name, title_justify="left")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for number, column in enumerate(columns):
        table.add_column(column.replace("_", " "), no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    console.print(table)
