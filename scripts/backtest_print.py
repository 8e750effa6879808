"""The result of a back-test as a table, as JSON and as CSV; money exact in the latter two, to the cent in the first."""

import csv
import io
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engine.backtest import Backtest
from engine.backtest_figures import Figures, Row
from scripts.sources import time_text
from shared.units import money_text

WIDTH = 190
COLUMNS = ("account", "market", "fills", "trades", "volume", "fees", "funding", "covered", "realised", "unrealised",
           "draw-down", "exposed", "liq.", "wins", "factor", "equity")  # fmt: skip


def cents(amount_e6: int | None) -> str:
    """Return an amount to the cent, half to even; "" for none."""
    if amount_e6 is None:
        return ""
    cents_count, rest = divmod(abs(amount_e6), 10_000)
    cents_count += rest > 5_000 or (rest == 5_000 and cents_count % 2 == 1)
    sign = "-" if amount_e6 < 0 and cents_count else ""
    return f"{sign}{cents_count // 100:,}.{cents_count % 100:02d}"


def span(microseconds: int) -> str:
    """Return a time span in its two largest units."""
    seconds = microseconds // 1_000_000
    for name, length, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= length:
            return f"{seconds // length}{name}{seconds % length // part:02d}{smaller}"
    return f"{seconds}s"


def win_rate(row: Row) -> str:
    """Return which share of the trades made money, in percent; "" without a trade."""
    return tenths(row.wins * 1_000 // row.trades) if row.trades else ""


def tenths(count: int) -> str:
    """Return a number of tenths."""
    return f"{count // 10}.{count % 10}"


def profit_factor(row: Row) -> str:
    """Return what the good trades made for each unit that the bad ones lost; "" without one of either."""
    if not row.losses_e6 or not row.trades:
        return ""
    hundredths = row.gains_e6 * 100 // row.losses_e6
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def fields_of(figures: Figures, row: Row) -> dict[str, Any]:
    """Return one line of the result for programs."""
    falls_ppm = figures.falls_ppm.get(row.account, 0)
    return {
        "account": row.account or "all",
        "market": row.market or "all",
        "fills": row.fills,
        "trades": row.trades,
        "volume": money_text(row.volume_e6),
        "fees": money_text(row.fees_e6),
        "funding": money_text(row.funding_e6),
        "covered": money_text(row.covered_e6),
        "pnl_realised": money_text(row.realised_e6),
        "pnl_unrealised": money_text(row.unrealised_e6),
        "drawdown": money_text(row.drawdown_e6),
        "drawdown_ppm": falls_ppm if not row.market else None,
        "exposure_s": row.exposure_us // 1_000_000,
        "liquidations": row.liquidations,
        "win_rate_percent": win_rate(row) or None,
        "profit_factor": profit_factor(row) or None,
        "equity_begun": None if row.begun_e6 is None else money_text(row.begun_e6),
        "equity": None if row.equity_e6 is None else money_text(row.equity_e6),
    }


def summary_of(test: Backtest, trouble: str) -> dict[str, Any]:
    """Return what is told beside the lines."""
    figures, views = test.figures, test.machine.market_views()
    seen = {name: view for name, view in views.items() if view["accepted"] or view["ignored"]}
    return {
        "from": time_text(test.started_us),
        "to": time_text(test.log_time_us()),
        "entries": test.entries_count,
        "quotes": {name: {"accepted": view["accepted"], "ignored": view["ignored"]} for name, view in seen.items()},
        "instructions": dict(sorted(figures.results.items())),
        "state_hash": test.state_hash(),
        "notes": [*test.notes(), *([trouble] if trouble else [])],
    }


def result_json(test: Backtest, trouble: str) -> dict[str, Any]:
    """Return everything for programs."""
    return {**summary_of(test, trouble), "rows": [fields_of(test.figures, row) for row in test.figures.rows()]}


def result_csv(figures: Figures) -> str:
    """Return the lines as CSV."""
    rows = [fields_of(figures, row) for row in figures.rows()]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def cells(figures: Figures, row: Row) -> list[str]:
    """Return one line of the table."""
    percent = f" ({tenths(figures.falls_ppm.get(row.account, 0) // 1_000)}%)" if not row.market else ""
    money = (row.volume_e6, row.fees_e6, row.funding_e6, row.covered_e6, row.realised_e6, row.unrealised_e6)
    return [
        str(row.account or "all"),
        row.market or "all",
        f"{row.fills:,}",
        f"{row.trades:,}",
        *map(cents, money),
        cents(row.drawdown_e6) + percent,
        span(row.exposure_us),
        str(row.liquidations),
        f"{win_rate(row)}%" if row.trades else "",
        profit_factor(row),
        cents(row.equity_e6),
    ]


def result_print(test: Backtest, trouble: str) -> None:
    """Print the table, and under it what else there is to know."""
    figures, summary = test.figures, summary_of(test, trouble)
    table = Table(*COLUMNS, title=f"{summary['from']} to {summary['to']}")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in figures.rows():
        table.add_row(*cells(figures, row), end_section=not row.market)
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    for market, counts in summary["quotes"].items():
        ignored = ", ".join(f"{count:,} {reason}" for reason, count in counts["ignored"].items())
        click.echo(f"quotes {market}: {counts['accepted']:,} accepted" + (f"; ignored: {ignored}" if ignored else ""))
    results = ", ".join(f"{count:,} {name}" for name, count in summary["instructions"].items())
    click.echo(f"instructions: {results or 'none'}")
    click.echo(f"entries {summary['entries']:,}, state {summary['state_hash']}")
    for note in summary["notes"]:
        click.echo(f"Note: {note}.")
