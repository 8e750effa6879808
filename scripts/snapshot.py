"""`tidemark snapshot`: look into a venue's state, of a snapshot or of any entry or time of its log; read-only."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from scripts import snapshot_rows
from scripts import snapshot_tables as tables
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending
from scripts.moments import Moment, moment_find
from scripts.snapshot_diff import diff
from scripts.snapshot_export import export
from scripts.snapshot_watch import watch
from scripts.sources import Sources, machine_of, time_text
from scripts.wanted import NearParam, Wanted, form_options, source_options, sources_of, wanted_of


@click.group()
def snapshot() -> None:
    """
    Look into a venue's state; never writes.

    Without --seq, --at or --file the newest snapshot is shown; with one of them, any moment of the log.
    """


for command in (diff, export, watch):
    snapshot.add_command(command)


@snapshot.command("show")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def show(as_json: bool, **options: Any) -> None:
    """
    Print a snapshot's readable part: seq, time, hashes, prices, counts, totals.

    \b
    Examples:
      ./scripts/tidemark snapshot show
      ./scripts/tidemark snapshot show --file .tidemark/snapshots/snapshot-41220.json --json
    """
    wanted = wanted_of(options)
    with sources_of(wanted) as sources:
        if wanted.seq is None and wanted.at_us is None:
            document, place = sources.document()
        else:
            document, place = shown_of(moment_find(sources, wanted))
    head = {name: value for name, value in document.items() if name not in ("tables", "summary", "witness", "digest")}
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    if as_json:
        click.echo(json.dumps({**head, "place": place, "rows": rows, "summary": document["summary"]}))
        return
    console = tables.console_of()
    console.print(f"Snapshot from {place}", highlight=False)
    head["log_time"] = time_text(head["log_time_us"])
    tables.pairs_print(console, {**head, **{f"rows of {name}": count for name, count in rows.items()}})
    summary_print(console, document["summary"])


def shown_of(moment: Moment) -> tuple[dict[str, Any], str]:
    """Return the readable part of a rebuilt state, and where it is from."""
    from engine import core

    buffer = memoryview(bytearray(core.snapshot_size(moment.machine.states) + 4_096))
    return core.snapshot_document(buffer, moment.machine.copy(buffer)), moment.place


def summary_print(console: Console, summary: dict[str, Any]) -> None:
    """Print the summary: plain values first, then one table for each list or mapping of records."""
    tables.pairs_print(console, {name: value for name, value in summary.items() if not isinstance(value, list | dict)})
    for name, value in summary.items():
        if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
            tables.rows_print(console, name, [{name.rstrip("s"): key, **item} for key, item in value.items()])


@snapshot.command("summary")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def summary(as_json: bool, **options: Any) -> None:
    """
    Print prices, open interest and totals, of the newest snapshot or of any moment.

    \b
    Examples:
      ./scripts/tidemark snapshot summary --seq now
      ./scripts/tidemark snapshot summary --at 2026-11-20T10:00:03Z
    """
    wanted = wanted_of(options)
    with sources_of(wanted) as sources:
        moment = moment_find(sources, wanted)
        document, _ = shown_of(moment)
        markets = snapshot_rows.markets_rows(moment.machine)
    totals = {name: value for name, value in document["summary"].items() if name != "markets"}
    if as_json:
        click.echo(json.dumps({**head_of(moment), **totals, "markets": markets}))
        return
    console = tables.console_of()
    console.print(words_of("Summary", moment), highlight=False)
    tables.pairs_print(console, totals)
    tables.rows_print(console, "markets", markets)


def head_of(moment: Moment) -> dict[str, Any]:
    """Return what every JSON answer begins with."""
    return {"seq": moment.seq, "log_time_us": moment.log_time_us, "place": moment.place}


def words_of(what: str, moment: Moment) -> str:
    """Return the line above every table."""
    return f"{what} at entry {moment.seq:,}, {time_text(moment.log_time_us)} ({moment.place})"


@snapshot.command("account")
@click.argument("account_id", type=click.IntRange(1))
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def account(account_id: int, as_json: bool, **options: Any) -> None:
    """
    Print one account with its positions and orders; exit code 2 when there is none.

    \b
    Examples:
      ./scripts/tidemark snapshot account 101
      ./scripts/tidemark snapshot account 101 --at 2026-11-20T10:00:03Z --json
    """
    wanted = wanted_of(options)
    with sources_of(wanted) as sources:
        moment = moment_find(sources, wanted)
        found = snapshot_rows.accounts_rows(moment.machine, account_id)
        if not found:
            raise ToolStop(
                f"there is no account {account_id} at entry {moment.seq:,};"
                " `./scripts/tidemark snapshot export --format csv` lists all"
            )
        positions = snapshot_rows.positions_rows(moment.machine, account_id)
        orders = snapshot_rows.orders_rows(moment.machine, account_id)
    shown = {**found[0], "positions": positions, "orders": orders}
    if as_json:
        click.echo(json.dumps({**head_of(moment), **shown}))
    else:
        tables.account_print(words_of(f"Account {account_id}", moment), shown)


def rows_command(name: str, rows_of: Callable[[Any, int | None], list[snapshot_rows.Row]], examples: str) -> None:
    """Add a command that prints one of the tables, of one account or of all."""

    @snapshot.command(name, help=f"Print the {name}, of one account or of all.\n\n\b\nExamples:\n{examples}")
    @source_options
    @form_options
    @click.option("--account", "account_id", type=click.IntRange(1), help="Of this account alone.")
    @ending
    def rows_of_all(account_id: int | None, as_json: bool, as_csv: bool, **options: Any) -> None:
        wanted = wanted_of(options)
        with sources_of(wanted) as sources:
            moment = moment_find(sources, wanted)
            if account_id is not None and not snapshot_rows.accounts_rows(moment.machine, account_id):
                raise ToolStop(f"there is no account {account_id} at entry {moment.seq:,}; leave --account out for all")
            rows = rows_of(moment.machine, account_id)
        tables.rows_show(words_of(name.capitalize(), moment), rows, head_of(moment), as_json, as_csv)


rows_command(
    "orders",
    snapshot_rows.orders_rows,
    "  ./scripts/tidemark snapshot orders --account 101\n  ./scripts/tidemark snapshot orders --seq 41220 --csv",
)
rows_command(
    "positions",
    snapshot_rows.positions_rows,
    "  ./scripts/tidemark snapshot positions\n  ./scripts/tidemark snapshot positions --seq now --json",
)


@snapshot.command("triggers")
@click.argument("market")
@click.option("--near", "near_ppm", type=NearParam(), default="1%", show_default=True, help="How far from the price.")
@source_options
@form_options
@ending
def triggers(market: str, near_ppm: int, as_json: bool, as_csv: bool, **options: Any) -> None:
    """
    Print what waits for a price of MARKET near the one of that moment: stops, trailing stops, liquidations.

    \b
    Examples:
      ./scripts/tidemark snapshot triggers BTC_USDC_PERP
      ./scripts/tidemark snapshot triggers BTC_USDC_PERP --near 5% --seq now
    """
    wanted = wanted_of(options)
    with sources_of(wanted) as sources:
        moment = moment_find(sources, wanted)
        rows = snapshot_rows.triggers_rows(moment.machine, market, near_ppm)
    title = words_of(f"{market}, triggers within {near_ppm / 10_000:g}%", moment)
    tables.rows_show(title, rows, head_of(moment), as_json, as_csv)


@snapshot.command("verify")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def verify(as_json: bool, **options: Any) -> int:
    """
    Recompute seal and hashes, check conservation, reachable slots, liquidations; exit code 1 when something is broken.

    \b
    Examples:
      ./scripts/tidemark snapshot verify
      ./scripts/tidemark snapshot verify --file .tidemark/snapshots/snapshot-41220.json
    """
    from engine.documents import DocumentUnreadable

    wanted = wanted_of(options)
    with sources_of(wanted) as sources:
        try:
            moment = verified(sources, wanted)
        except DocumentUnreadable as error:
            print(f"tidemark snapshot verify: the snapshot does not verify: {error}", file=sys.stderr)
            return EXIT_DIFFERENT
    broken = moment.machine.invariants_broken()
    state_hash, record_hash = moment.machine.hashes()
    hashes = {"state_hash": state_hash, "record_hash": record_hash}
    if as_json:
        click.echo(json.dumps({**head_of(moment), **hashes, "broken": broken}))
    else:
        seal = "seal and both hashes are right" if wanted.seq is None and wanted.at_us is None else "rebuilt by replay"
        click.echo(f"{words_of('State', moment)}: {seal}.")
        click.echo(f"State hash {state_hash}.")
        click.echo("Every invariant holds." if not broken else "\n".join(f"BROKEN: {line}" for line in broken))
    return EXIT_DIFFERENT if broken else 0


def verified(sources: Sources, wanted: Wanted) -> Moment:
    """Return the moment, a named snapshot without falling back to another; raises DocumentUnreadable."""
    if wanted.at_us is not None or wanted.seq is not None or wanted.file is not None:
        return moment_find(sources, wanted)
    newest = next(sources.newest(), None)
    if newest is None:
        sources.document()  # says where was looked
    assert newest is not None
    return Moment(machine_of(newest.read()), f"{newest.place} at {newest.seq:,}")
