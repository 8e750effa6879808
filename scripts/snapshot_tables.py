"""Rows on the screen: a table for people, one JSON object or CSV for programs."""

import csv
import json
import sys
from collections.abc import Iterable
from typing import IO

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.snapshot_rows import Row

WIDTH_UNBOUNDED = 400


def rows_write(rows: Iterable[Row], target: IO[str]) -> None:
    """Write rows as CSV with a head; nothing when there are none."""
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(target, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def rows_show(title: str, rows: list[Row], head: Row, as_json: bool, as_csv: bool) -> None:
    """Print rows in the form that was asked for: a table under its title, one JSON object, or CSV."""
    if as_json:
        print(json.dumps({**head, "rows": rows}))
    elif as_csv:
        rows_write(rows, sys.stdout)
    else:
        rows_print(console_of(), title, rows)


def console_of() -> Console:
    """Return the console for tables: as wide as the terminal, and wide enough for every column in a file or a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_UNBOUNDED)


def account_print(title: str, account: Row) -> None:
    """Print one account with its positions and orders."""
    console = console_of()
    console.print(title, highlight=False)
    pairs_print(console, {name: value for name, value in account.items() if not isinstance(value, list)})
    for name in ("positions", "orders"):
        rows_print(console, name, account[name])


def rows_print(console: Console, title: str, rows: list[Row]) -> None:
    """Print rows as a table; columns that are empty in every row are left out."""
    if not rows:
        console.print(f"{title}: none", highlight=False)
        return
    columns = [name for name in rows[0] if any(row.get(name) not in ("", None) for row in rows)]
    console.print(title, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        right = all(isinstance(row.get(column), int) or str(row.get(column))[:1] in "-0123456789" for row in rows)
        table.add_column(
            column.replace("_", " "), no_wrap=number == 0, overflow="fold", justify="right" if right else "left"
        )
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    console.print(table)


def pairs_print(console: Console, pairs: Row) -> None:
    """Print names and values in two columns."""
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(name.replace("_", " "), f"{value:,}" if type(value) is int and value < 10**12 else str(value))
    console.print(table)
