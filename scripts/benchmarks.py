"""
What core, snapshot, recovery and gateway cost: `scripts/bench core|snapshot|recovery|gateway`; one JSON line each.

Question of `core`: does a tick that fires nothing cost the same whatever rests, what do opens and closes cost, and
orders upon a book, and cross accounts in a fall; with `--peers`, what do other engines make of the same streams in the
same run?
Question of `snapshot`: how long does the hot thread stand still, and how soon is the state durable?
Question of `recovery`: how soon has a restarted engine applied a long tail?
Question of `gateway`: how long does an order take to its answer, beside what bare HTTP and bare Redis take?
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scripts import bench_book, bench_cross, bench_ratios, bench_triggers, bench_venue

QUIET_TICKS = 20_000
REPEATS = 7
RESTING = (0, 1_000, 100_000, 1_000_000)
BOOK = 100_000
CROSS = 100_000
OPERATIONS = 200_000
console = Console(stderr=True)


def machine() -> dict[str, Any]:
    """Return what a figure is worth nothing without."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }


def report(name: str, tables: list[Table], figures: dict[str, Any]) -> None:
    """Print the tables for people and the line for the history."""
    for table in tables:
        Console().print(table)
    click.echo(json.dumps({"bench": name, **machine(), **figures}))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure this build on this machine. Example: scripts/bench core --resting 0,100000"""


@bench.command()
@click.option(
    "--resting", default=",".join(map(str, RESTING)), show_default=True, help="Resting triggers, one venue each."
)
@click.option("--book", default=BOOK, show_default=True, help="Resting orders of the book; 0 leaves it out.")
@click.option("--cross", default=CROSS, show_default=True, help="Accounts with cross positions; 0 leaves them out.")
@click.option("--operations", default=OPERATIONS, show_default=True, help="Orders and cancels upon the book.")
@click.option("--repeats", default=REPEATS, show_default=True, help="Runs of which the median is shown.")
@click.option("--cold/--no-cold", default=True, show_default=True, help="Compile everything once into an empty cache.")
@click.option("--peers", is_flag=True, help="Install other engines in throw-away environments and run them as well.")
@click.option("--peer-seconds", default=5.0, show_default=True, help="Longest run of a peer on one part of a stream.")
def core(
    resting: str, book: int, cross: int, operations: int, repeats: int, cold: bool, peers: bool, peer_seconds: float
) -> None:
    """Quotes past resting triggers and cross accounts, opens and closes, a book, cold compile time; other engines."""
    sizes = [int(size) for size in resting.split(",")]
    figures, table = _positions(sizes, repeats)
    tables = [table]
    if cold:
        figures["compile_cold_s"], figures["compile_cached_s"] = compile_seconds()
        table.caption = (
            f"{table.caption}\ncompile {figures['compile_cold_s']:.1f} s cold, "
            f"{figures['compile_cached_s']:.1f} s from the cache"
        )
    figures["triggers"], table = bench_triggers.measure([size for size in sizes if size], QUIET_TICKS, repeats, console)
    tables.append(table)
    if cross:
        figures["cross"], table = bench_cross.measure(cross, QUIET_TICKS, repeats, console)
        tables.append(table)
    workloads = bench_ratios.Workloads(operations, repeats)
    if book:
        figures["book"], table = bench_book.table_of(workloads.book(book))
        tables.append(table)
    if peers:
        figures["peers"], table = bench_ratios.measure(workloads, peer_seconds, console)
        tables.append(table)
    report("core", tables, figures)


def _positions(sizes: list[int], repeats: int) -> tuple[dict[str, Any], Table]:
    """Return figures and table of ticks against SL, TP and thresholds, beside a linear scan; of opens and closes."""
    venues = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("SL and TP", total=sum(sizes) + 1)
        for size in sizes:
            venues[size] = bench_venue.BenchVenue(size, lambda count: progress.advance(task, count))
    ticks: dict[int, list[float]] = {size: [] for size in sizes}
    linear: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repeats + 1):
        for size, venue in venues.items():
            ticks[size].append(venue.quiet_ticks(QUIET_TICKS))
            linear[size].append(venue.linear_ticks(max(5, min(2_000, 20_000_000 // max(size, 1)))))
    trades = [venues[sizes[0]].opens_and_closes(20_000) for _ in range(repeats + 1)]
    quiet = {size: statistics.median(times[1:]) for size, times in ticks.items()}
    scans = {size: statistics.median(times[1:]) for size, times in linear.items()}
    opens, closes = (statistics.median(column[1:]) for column in zip(*trades, strict=True))
    table = Table("resting SL and TP", "quiet tick, ns", "ticks/s", "linear scan, ns", "ratio", title="core")
    for size in sizes:
        row = (f"{size:,}", f"{quiet[size] * 1e9:.0f}", f"{1 / quiet[size]:,.0f}", f"{scans[size] * 1e9:,.0f}")
        table.add_row(*row, f"{scans[size] / quiet[size]:,.1f}×")
    figures: dict[str, Any] = {
        "quiet_tick_ns": {str(size): round(quiet[size] * 1e9, 1) for size in sizes},
        "linear_tick_ns": {str(size): round(scans[size] * 1e9, 1) for size in sizes},
        "flatness": round(max(quiet.values()) / min(quiet.values()), 3),
        "opens_per_s": round(1 / opens),
        "closes_per_s": round(1 / closes),
        "state_hash": venues[sizes[0]].state_hash(),
    }
    table.caption = (
        f"opens {1 / opens:,.0f}/s with SL and TP, closes {1 / closes:,.0f}/s; flat within {figures['flatness']}×"
    )
    return figures, table


def compile_seconds() -> tuple[float, float]:
    """Return the seconds of the warm-up in an empty cache, and again with it."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            started = time.monotonic()
            environment = {**os.environ, "TIDEMARK_KERNEL_CACHE": folder}
            command = [sys.executable, "-m", "engine.warm"]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=_repository())
            seconds.append(round(time.monotonic() - started, 2))
    return seconds[0], seconds[1]


def _repository() -> Path:
    return Path(__file__).resolve().parent.parent


@bench.command()
@click.option("--positions", default="10000,100000", show_default=True, help="Net positions with SL and TP.")
@click.option("--repeats", default=REPEATS, show_default=True, help="Runs of which the median is shown.")
def snapshot(positions: str, repeats: int) -> None:
    """Hot-thread pause and time to durable (file and row) at the given sizes, on a server of its own."""
    from scripts.bench_snapshot import measure

    figures, table = measure([int(size) for size in positions.split(",")], repeats, console)
    report("snapshot", [table], figures)


@bench.command()
@click.option("--entries", default=1_000_000, show_default=True, help="Entries of the log after the snapshot.")
@click.option("--positions", default=100_000, show_default=True, help="Positions in the snapshot, each with SL and TP.")
@click.option("--instructions", default=10, show_default=True, help="Instructions in a thousand entries.")
@click.option("--repeats", default=3, show_default=True, help="Restarts of which the fastest is shown.")
def recovery(entries: int, positions: int, instructions: int, repeats: int) -> None:
    """A restarted engine on a long tail in a real Redis: seconds, entries a second, memory; then replay."""
    from scripts.bench_recovery import measure

    figures, table = measure(entries, positions, instructions, repeats, console)
    report("recovery", [table], figures)


@bench.command()
@click.option("--clients", default="1,50,200", show_default=True, help="Clients that send back to back, one load each.")
@click.option("--rate", default=200.0, show_default=True, help="Orders a second in all of the load at a pace.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each load.")
def gateway(clients: str, rate: float, seconds: float) -> None:
    """Orders through a whole venue over HTTP and WebSocket, stage by stage, beside the floor of the same run."""
    from scripts.bench_gateway import Plan, measure

    figures, tables = measure(Plan([int(each) for each in clients.split(",")], rate, seconds), console)
    report("gateway", tables, figures)
