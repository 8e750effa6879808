"""`tidemark snapshot diff`: two moments of a venue, and every balance, position and order that differs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from engine.core.snapshot import peaks_write
from scripts import snapshot_rows
from scripts import snapshot_tables as tables
from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending
from scripts.moments import Moment, moment_find
from scripts.sources import Sources, time_text
from scripts.wanted import NOW, Wanted

ROWS_SHOWN = 100
IDS = {"accounts": "account", "positions": "position_id", "orders": "order_id", "markets": "market"}
# What moves with every quote says nothing about what anybody did.
PASSING = {"price_mark", "pnl_unrealised", "bid", "ask", "mark", "index", "fresh", "funding_rate"}


class Change(NamedTuple):
    """One row that is in one moment alone (fields empty), or one field that differs."""

    table: str
    id: Any
    what: str  # "opened", "closed" or the field's name
    before: str
    after: str


@click.command("diff")
@click.argument("before")
@click.argument("after")
@data_option
@click.option("--archive", type=click.Path(path_type=Path), help="Read the log from this archive alone.")
@click.option("--prices", is_flag=True, help="Also what moves with every quote.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def diff(before: str, after: str, data_dir: Path, archive: Path | None, prices: bool, as_json: bool) -> int:
    """
    Compare two moments: BEFORE and AFTER are entries, snapshot files or `now`; exit code 1 when they differ.

    \b
    Examples:
      ./scripts/tidemark snapshot diff 41220 now
      ./scripts/tidemark snapshot diff snapshot-41220.json snapshot-41980.json
    """
    first, second = (moment_named(text, data_dir, archive) for text in (before, after))
    changes = changes_of(first, second, prices)
    hashes = [moment.machine.hashes() for moment in (first, second)]
    same_entry = first.seq == second.seq and hashes[0] != hashes[1]
    if as_json:
        sides = [{"seq": moment.seq, "log_time_us": moment.log_time_us, "place": moment.place, "state_hash": pair[0]}
                 for moment, pair in zip((first, second), hashes, strict=True)]  # fmt: skip
        rows = [change._asdict() for change in changes]
        click.echo(json.dumps({"before": sides[0], "after": sides[1], "summary": summary_of(changes), "rows": rows}))
        return EXIT_DIFFERENT if changes or same_entry else 0
    console = tables.console_of()
    for moment in (first, second):
        console.print(f"entry {moment.seq:,}, {time_text(moment.log_time_us)} ({moment.place})", highlight=False)
    if hashes[0] == hashes[1]:
        console.print("The same state, by both hashes.")
        return 0
    if same_entry:
        console.print(f"The same entry, but state hash {hashes[0][0][:16]}… and {hashes[1][0][:16]}….", highlight=False)
    console.print(summary_of(changes), highlight=False)
    if changes:
        tables.rows_print(console, "changes", [change._asdict() for change in changes[:ROWS_SHOWN]])
    if len(changes) > ROWS_SHOWN:
        console.print(f"… and {len(changes) - ROWS_SHOWN:,} more: --json prints all.")
    return EXIT_DIFFERENT if changes or same_entry else 0


def moment_named(text: str, data_dir: Path, archive: Path | None) -> Moment:
    """Return the moment that an argument names."""
    file = None if text == NOW or text.isdigit() else Path(text)
    if file is not None and not file.is_file():
        inside = data_dir / "snapshots" / file.name
        if not inside.is_file():
            raise ToolStop(f"{text} is no snapshot file: give an entry's number, such a file, or `now`")
        file = inside
    seq = NOW if text == NOW else int(text) if text.isdigit() else None
    with Sources(data_dir, archive, file) as sources:
        return moment_find(sources, Wanted(data_dir, file, seq, None, archive))


def changes_of(before: Moment, after: Moment, prices: bool) -> list[Change]:
    """Return everything that differs, by table and id."""
    changed = {table: None if prices else changed_ids(before, after, table) for table in ("positions", "orders")}
    rows_of: dict[str, Callable[[Any], list[snapshot_rows.Row]]] = {
        "accounts": snapshot_rows.accounts_rows,
        "positions": lambda machine: snapshot_rows.positions_rows(machine, ids=changed["positions"]),
        "orders": lambda machine: snapshot_rows.orders_rows(machine, ids=changed["orders"]),
        "markets": snapshot_rows.markets_rows,
    }
    changes: list[Change] = []
    for table, read in rows_of.items():
        sides = [{row[IDS[table]]: row for row in read(moment.machine)} for moment in (before, after)]
        for number in sorted(sides[0].keys() | sides[1].keys()):
            changes += row_changes(table, number, sides[0].get(number), sides[1].get(number), prices)
    return changes


def changed_ids(before: Moment, after: Moment, table: str) -> set[int]:
    """Return the ids of the orders or positions that are in one moment alone, or not the same in both."""
    ids, contents = [], []
    for moment in (before, after):
        peaks_write(moment.machine.states)
        rows = snapshot_rows.state_of(moment.machine)[table][snapshot_rows.live(moment.machine, table)]
        ids.append(rows[IDS[table]])
        contents.append(np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.itemsize))
    common, *places = np.intersect1d(ids[0], ids[1], assume_unique=True, return_indices=True)
    differ = (contents[0][places[0]] != contents[1][places[1]]).any(axis=1)
    return set(ids[0].tolist()) ^ set(ids[1].tolist()) | set(common[differ].tolist())


def row_changes(
    table: str, number: Any, before: snapshot_rows.Row | None, after: snapshot_rows.Row | None, prices: bool
) -> list[Change]:
    """Return what differs of one row."""
    if before is None or after is None:
        there = before or after or {}
        names = ("market", "side", "qty", "kind", "free")
        words = " ".join(str(there[name]) for name in names if there.get(name))
        return [
            Change(table, number, "opened", "", words) if before is None else Change(table, number, "closed", words, "")
        ]
    return [
        Change(table, number, name, str(before[name]), str(after[name]))
        for name in before
        if before[name] != after[name] and (prices or name not in PASSING)
    ]


def summary_of(changes: list[Change]) -> str:
    """Return the differences in one line."""
    parts = []
    for table, word in (
        ("accounts", "balances"),
        ("positions", "positions"),
        ("orders", "orders"),
        ("markets", "markets"),
    ):
        mine = [change for change in changes if change.table == table]
        counts = {
            "opened": sum(change.what == "opened" for change in mine),
            "closed": sum(change.what == "closed" for change in mine),
            "changed": len({change.id for change in mine if change.what not in ("opened", "closed")}),
        }
        told = " ".join(f"{count} {name}" for name, count in counts.items() if count)
        if told:
            parts.append(f"{word} {told}")
    return " · ".join(parts) or "no balance, position, order or market differs"
