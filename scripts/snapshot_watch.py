"""`tidemark snapshot watch`: follow a running venue's log as a standby does, and say one line an interval."""

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from scripts import snapshot_rows
from scripts.cli import data_option
from scripts.exits import ToolStop, ending
from scripts.moments import moment_rebuilt, walk
from scripts.sources import Sources
from shared.codes import ACCOUNT_FIRST


@click.command("watch")
@data_option
@click.option("--every", "every_s", type=click.FloatRange(0.1, 3_600), default=1.0, show_default=True, help="Seconds.")
@click.option("--lines", type=click.IntRange(1), help="Stop after so many; Ctrl-C without it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@ending
def watch(data_dir: Path, every_s: float, lines: int | None, as_json: bool) -> None:
    """
    Apply a running venue's log beside its engine; one line an interval.

    \b
    Examples:
      ./scripts/tidemark snapshot watch
      ./scripts/tidemark snapshot watch --every 10 --json --lines 6
    """
    with Sources(data_dir) as sources:
        if sources.running is None and not os.environ.get("REDIS_URL"):
            raise ToolStop(f"no venue runs on {data_dir}; `./scripts/tidemark snapshot summary` shows its last state")
        if sources.log.streams is None:
            raise ToolStop("there is nothing to watch without Redis: `./scripts/tidemark doctor` looks at it")
        machine = moment_rebuilt(sources, sources.log.tip()).machine
        count = 0
        while True:
            walk(machine, sources.log, sources.log.tip())
            count += 1
            click.echo(json.dumps(figures_of(machine)) if as_json else line_of(figures_of(machine)))
            if count == lines:
                return
            time.sleep(every_s)


def figures_of(machine: Any) -> dict[str, Any]:
    """Return what one line says."""
    from engine import core

    markets = {
        row["market"]: {"mark": row["mark"], "open_interest": row["open_interest"]}
        for row in snapshot_rows.markets_rows(machine)
    }
    accounts = sum(account["account_id"] >= ACCOUNT_FIRST for account in core.accounts_of(machine.states))
    return {
        "seq": machine.seq,
        "log_time_us": machine.header().log_time_us,
        "markets": markets,
        "accounts": accounts,
        "conservation_e6": snapshot_rows.conservation_e6(machine),
    }


def line_of(figures: dict[str, Any]) -> str:
    """Return the figures as one line for people."""
    markets = "  ".join(
        f"{name.partition('_')[0]} {market['mark'] or '-'}  oi {market['open_interest']}"
        for name, market in figures["markets"].items()
    )
    return (
        f"seq {figures['seq']:,}  {markets}  accounts {figures['accounts']}  conservation {figures['conservation_e6']}"
    )
