"""`tidemark snapshot export`: a whole state as JSON or CSV files, for spreadsheets and scripts."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import click

from scripts import snapshot_rows
from scripts import snapshot_tables as tables
from scripts.exits import ending
from scripts.moments import Moment, moment_find
from scripts.sources import time_text
from scripts.wanted import source_options, sources_of, wanted_of


@click.command("export")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to.")
@source_options
@ending
def export(form: str, output: Path, **options: Any) -> None:
    """
    Write accounts, positions, orders and markets of one moment; CSV gives one file a table.

    \b
    Examples:
      ./scripts/tidemark snapshot export -o state.json
      ./scripts/tidemark snapshot export --format csv -o state.csv --at 2026-11-20T10:00:03Z
    """
    wanted = wanted_of(options)
    with sources_of(wanted) as sources:
        moment = moment_find(sources, wanted)
    written = moment_write(moment, form, output)
    click.echo(f"Entry {moment.seq:,}, {time_text(moment.log_time_us)}: {', '.join(map(str, written))}")


def moment_write(moment: Moment, form: str, output: Path) -> list[Path]:
    """Write a state in one of the forms; return the files."""
    rows: dict[str, list[snapshot_rows.Row]] = {
        "accounts": snapshot_rows.accounts_rows(moment.machine),
        "positions": snapshot_rows.positions_rows(moment.machine),
        "orders": snapshot_rows.orders_rows(moment.machine),
        "markets": snapshot_rows.markets_rows(moment.machine),
    }
    if form == "json":
        state_hash, record_hash = moment.machine.hashes()
        head = {
            "seq": moment.seq,
            "log_time_us": moment.log_time_us,
            "place": moment.place,
            "state_hash": state_hash,
            "record_hash": record_hash,
        }
        write_whole(output, lambda file: json.dump({**head, **rows}, file))
        return [output]
    written = []
    for name, found in rows.items():
        path = output.with_name(f"{output.stem}.{name}{output.suffix or '.csv'}")
        write_whole(path, lambda file, found=found: tables.rows_write(found, file))  # type: ignore[misc]
        written.append(path)
    return written


def write_whole(path: Path, write: Callable[[TextIO], None]) -> None:
    """Write a file so that it is there whole or not at all, also when the tool is stopped."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
