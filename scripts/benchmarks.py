"""
The list of benchmarks: `scripts/bench NAME`; each prints tables and one JSON line, which `--history` keeps.

core: does a quote that fires nothing cost the same whatever rests; what do orders, a book, cross accounts cost; how
long does the core compile? wire: what part of what Redis can give does the engine take from log to events? latency:
how late is an answer under an open load, and alone? recovery: how soon has a restarted engine applied a long tail?
backtest: how many recorded quotes a second?
snapshot: how long does the hot thread stand still, how soon is the state durable? gateway: how long does an order take
to its answer, beside bare HTTP and bare Redis? peers: what do other engines make of the same streams? page: does the
trading page keep up in a browser?
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scripts import bench_book, bench_cross, bench_ratios, bench_triggers, bench_venue
from scripts.bench_report import REPOSITORY, Measured, reported

QUIET_TICKS = 20_000
REPEATS = 7
RESTING = (0, 1_000, 100_000, 1_000_000)
BOOK = 100_000
CROSS = 100_000
OPERATIONS = 200_000
console = Console(stderr=True)


def whole_numbers(_context: Any, _parameter: Any, text: str) -> list[int]:
    """Return the numbers of a list with commas."""
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of whole numbers such as 0,20,100") from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure this build on this machine. Example: scripts/bench core --resting 0,100000"""


@bench.command()
@click.option(
    "--resting",
    default=",".join(map(str, RESTING)),
    show_default=True,
    callback=whole_numbers,
    help="Resting triggers, one venue each.",
)
@click.option("--book", default=BOOK, show_default=True, help="Resting orders of the book; 0 leaves it out.")
@click.option("--cross", default=CROSS, show_default=True, help="Accounts with cross positions; 0 leaves them out.")
@click.option("--operations", default=OPERATIONS, show_default=True, help="Orders and cancels upon the book.")
@click.option("--repeats", default=REPEATS, show_default=True, help="Runs of which the median is shown.")
@click.option("--cold/--no-cold", default=True, show_default=True, help="Compile everything once into an empty cache.")
@click.option("--peers", is_flag=True, help="Install other engines in throw-away environments and run them as well.")
@click.option("--peer-seconds", default=5.0, show_default=True, help="Longest run of a peer on one part of a stream.")
@reported
def core(
    resting: list[int],
    book: int,
    cross: int,
    operations: int,
    repeats: int,
    cold: bool,
    peers: bool,
    peer_seconds: float,
) -> Measured:
    """Quotes past resting triggers and cross accounts, opens and closes, a book, cold compile time; other engines."""
    figures, table = _positions(resting, repeats)
    tables = [table]
    if cold:
        figures["compile_cold_s"], figures["compile_cached_s"] = compile_seconds()
        table.caption = (
            f"{table.caption}\ncompile {figures['compile_cold_s']:.1f} s cold, "
            f"{figures['compile_cached_s']:.1f} s from the cache"
        )
    figures["triggers"], table = bench_triggers.measure(
        [size for size in resting if size], QUIET_TICKS, repeats, console
    )
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
    return figures, tables


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
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
            seconds.append(round(time.monotonic() - started, 2))
    return seconds[0], seconds[1]


@bench.command()
@click.option("--operations", default=OPERATIONS, show_default=True, help="Operations of each stream.")
@click.option("--repeats", default=REPEATS, show_default=True, help="Runs of which the median is shown.")
@click.option("--peer-seconds", default=5.0, show_default=True, help="Longest run of a peer on one part of a stream.")
@reported
def peers(operations: int, repeats: int, peer_seconds: float) -> Measured:
    """Other engines, each in a throw-away environment, on the streams of `core`; ours beside them in the same run."""
    figures, table = bench_ratios.measure(bench_ratios.Workloads(operations, repeats), peer_seconds, console)
    return figures, [table]


@bench.command()
@click.option(
    "--mixes", default="0,20,100", show_default=True, callback=whole_numbers, help="Orders in a hundred entries."
)
@click.option(
    "--entries",
    default=160_000,
    show_default=True,
    type=click.IntRange(20_000, 400_000),
    help="Of each log, in Redis before anything is timed.",
)
@click.option(
    "--durable-entries",
    default=60_000,
    show_default=True,
    type=click.IntRange(0, 400_000),
    help="Orders alone, every write synced; 0 leaves it out.",
)
@click.option("--repeats", default=3, show_default=True, help="Runs whose median is shown, after a discarded one.")
@click.option("--tcp", is_flag=True, help="Over a port instead of a unix socket.")
@click.option("--plain/--no-plain", default=True, show_default=True, help="The engine on its plain path as well.")
@reported
def wire(mixes: list[int], entries: int, durable_entries: int, repeats: int, tcp: bool, plain: bool) -> Measured:
    """The engine from log to events, beside receiving alone, beside redis-py with orjson; Redis's part of it."""
    from scripts.bench_wire import Plan, measure

    return measure(Plan(mixes, entries, durable_entries, repeats, tcp, plain), console)


@bench.command()
@click.option(
    "--rates",
    default="1000,10000,100000,300000",
    show_default=True,
    callback=whole_numbers,
    help="Entries a second, one load each; a fifth are orders.",
)
@click.option("--seconds", default=5.0, show_default=True, help="Of each load.")
@click.option("--trips", default=2_000, show_default=True, help="Single instructions to the idle engine.")
@click.option("--repeats", default=1, show_default=True, help="Runs of which the middle one is shown.")
@reported
def latency(rates: list[int], seconds: float, trips: int, repeats: int) -> Measured:
    """An open load at a pace, everything on two cores; one instruction beside four bare hops; fast and plain path."""
    from scripts.bench_latency import Plan, measure

    return measure(Plan(rates, seconds, trips, repeats), console)


@bench.command()
@click.option(
    "--positions",
    default="100000,333000,523000",
    show_default=True,
    callback=whole_numbers,
    help="Positions with SL and TP.",
)
@click.option("--repeats", default=20, show_default=True, help="Snapshots of each.")
@reported
def snapshot(positions: list[int], repeats: int) -> Measured:
    """Hot-thread pause and time to durable (file and row) at the given sizes, on a server of its own."""
    from scripts.bench_snapshot import measure

    figures, table = measure(positions, repeats, console)
    return figures, [table]


@bench.command()
@click.option("--entries", default=1_000_000, show_default=True, help="Entries of the log after the snapshot.")
@click.option("--positions", default=100_000, show_default=True, help="Positions in the snapshot, each with SL and TP.")
@click.option("--instructions", default=10, show_default=True, help="Instructions in a thousand entries.")
@click.option("--repeats", default=3, show_default=True, help="Restarts of which the fastest is shown.")
@reported
def recovery(entries: int, positions: int, instructions: int, repeats: int) -> Measured:
    """A restarted engine on a long tail in a real Redis: seconds, entries a second, memory; then replay."""
    from scripts.bench_recovery import measure

    figures, table = measure(entries, positions, instructions, repeats, console)
    return figures, [table]


@bench.command()
@click.option("--entries", default=1_000_000, show_default=True, help="Quotes, marks and ticks of the segment.")
@click.option("--repeats", default=REPEATS, show_default=True, help="Runs of which the median is shown.")
@reported
def backtest(entries: int, repeats: int) -> Measured:
    """Recorded quotes through the engine in one process: from a segment, in the core alone, by replay."""
    from scripts.bench_backtest import measure

    return measure(entries, repeats, console)


@bench.command()
@click.option(
    "--clients",
    default="1,50,200",
    show_default=True,
    callback=whole_numbers,
    help="Clients that send back to back, one load each.",
)
@click.option("--rate", default=200.0, show_default=True, help="Orders a second in all of the load at a pace.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each load.")
@reported
def gateway(clients: list[int], rate: float, seconds: float) -> Measured:
    """Orders through a whole venue over HTTP and WebSocket, stage by stage, beside the floor of the same run."""
    from scripts.bench_gateway import Plan, measure

    return measure(Plan(clients, rate, seconds), console)


@bench.command()
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1, 3_600), help="Of quotes.")
@click.option("--quotes", default=500, show_default=True, help="Quotes a second over four markets.")
@click.option("--loads", default=5, show_default=True, type=click.IntRange(1, 50), help="First loads.")
@reported
def page(seconds: float, quotes: int, loads: int) -> Measured:
    """The trading page in a headless browser: frames a second, heap, the shown quote's age, the first load."""
    from scripts.bench_page import Plan, measure

    return measure(Plan(seconds, quotes, loads), console)
