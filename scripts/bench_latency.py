"""
How long an instruction takes to its event: under an open load at a pace, and alone; the fast path beside the plain one.

Question: at which pace does a venue's engine still answer at once, when sender, Redis, engine and receiver share two
cores; and how much more than four bare hops does one instruction cost when nothing else happens? Latency counts from
the moment at which an entry was due, so a sender that falls behind hides nothing. What never came counts as later than
everything that did.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from scripts import bench_trip, privileges
from scripts.bench_latency_ends import Load
from scripts.bench_recovery import environment, snapshot_write
from scripts.bench_redis import Server, redis_running
from scripts.bench_span import Task
from scripts.bench_wire import MET, REPOSITORY, VENUE, WHO, hugepages_off, pages
from scripts.bench_wire_log import ACCOUNTS
from scripts.bench_wire_venue import WireVenue, start_of
from shared.streams import Keys, Streams

PERCENT = 20  # orders among the entries
PATHS = ("fast", "plain")
DRAIN_S = 10.0  # after the last entry: what has not come by then never came
READY_S = 240.0
BACKLOG_S = 60.0
FORGET_S = 6.0  # a venue remembers request ids for five seconds, 262 000 of them
IDS_MAX = 240_000
WARM_RATE = 2_000
SUSTAINED_S = 0.5
GOAL_TRIP_P50, GOAL_TRIP_P99 = 1.5, 3.0


class Plan(NamedTuple):
    """What is measured."""

    rates: list[int]
    seconds: float  # of each load; fewer where a venue could not remember the ids
    trips: int
    repeats: int = 1
    accounts: int = ACCOUNTS
    warm_entries: int = 4_000
    idle_s: float = 3.0
    small_pages: bool = False


def entries_of(rate: int, seconds: float) -> int:
    """Return how many entries a load has: no more orders than a venue remembers."""
    return min(int(rate * seconds), IDS_MAX * 100 // PERCENT)


def cores_shared() -> list[int] | None:
    """Return the two cores that everything shares, None where nobody can be told where to run."""
    return sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_setaffinity") else None


class Bench:
    """One Redis and one engine, with whoever sends and receives; all on the same two cores."""

    def __init__(
        self, folder: Path, url: str, path: str, venue: WireVenue, cores: list[int] | None, small_pages: bool
    ) -> None:
        self.small_pages = small_pages
        self.folder, self.url, self.path, self.cores = folder, url, path, cores
        self.keys = Keys(VENUE)
        self.server = Server(url)
        streams = Streams(url)
        self.seq = snapshot_write(venue, folder, streams, self.keys)
        streams.close()
        self.start = start_of(venue)
        self.last_seq = 0  # of the load before
        self.engine: subprocess.Popen[str] | None = None

    def process(self, module: str, task: Any, name: str) -> "subprocess.Popen[str]":
        """Start a module with its task; it ends when this process does."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(task._asdict()))
        parent = os.getpid()
        return subprocess.Popen(
            [sys.executable, "-m", module, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment() | pages(self.small_pages),
            preexec_fn=lambda: privileges.die_with_parent(signal.SIGKILL, parent),
        )  # fmt: skip

    @contextlib.contextmanager
    def engine_running(self) -> Iterator[None]:
        """Run the engine on its path."""
        task = Task("serve", self.url, str(self.folder), VENUE, WHO, self.seq, 0, 0, self.cores, self.path)
        self.engine = self.process("scripts.bench_wire_loops", task, "engine")
        try:
            line_await(self.engine, "ready")
            yield
        finally:
            self.engine.terminate()
            self.server.close()
            try:
                self.engine.communicate(timeout=READY_S / 10)
            except subprocess.TimeoutExpired:
                self.engine.kill()
                self.engine.communicate()

    def load(self, rate: int, entries: int) -> dict[str, Any]:
        """Return what one load gave; it begins when little is left of the one before."""
        backlog_until_s = time.monotonic() + BACKLOG_S
        while self.applied() < self.last_seq and time.monotonic() < backlog_until_s:
            time.sleep(0.1)
        task = Load("consume", self.url, VENUE, self.cores, rate, entries, PERCENT, self.start, "")
        consumer = self.process(
            "scripts.bench_latency_ends", task._replace(out=str(self.folder / "events.npz")), "consumer"
        )
        line_await(consumer, "ready")
        producer = self.process(
            "scripts.bench_latency_ends",
            task._replace(what="produce", out=str(self.folder / "entries.npz")),
            "producer",
        )
        sent = told_by(producer)
        last_seq = sent["last_seq"]
        deadline_s = time.monotonic() + DRAIN_S
        while self.applied() < last_seq and time.monotonic() < deadline_s:
            time.sleep(0.1)
        drained = self.applied() >= last_seq
        consumer.terminate()
        if not drained:
            time.sleep(0.2)
            consumer.terminate()
        received = told_by(consumer)
        self.last_seq = last_seq
        self.start = self.start._replace(request=sent["request"], update_id=sent["update_id"])
        return figures_of(np.load(self.folder / "entries.npz"), np.load(self.folder / "events.npz"), sent, received)

    def applied(self) -> int:
        """Return how far the engine says it is."""
        told = self.server.ask("GET", self.keys.leader)
        return int(json.loads(told)["seq"]) if told else 0

    def trips(self, count: int) -> dict[str, Any]:
        """Return the latencies of single instructions, beside those of the floor."""
        task = bench_trip.Task("answer", self.url, VENUE, self.cores, count, self.start, "")
        peer = self.process("scripts.bench_trip", task, "answer")
        try:
            told = told_by(self.process("scripts.bench_trip", task._replace(what="trips"), "trips"))
        finally:
            peer.kill()
            peer.communicate()
        self.start = self.start._replace(request=told["request"])
        floor, engine = np.array(told["floor"]), np.array(told["engine"])
        found: dict[str, Any] = {"floor": percentiles_us(floor), "engine": percentiles_us(engine)}
        for name in ("p50", "p99"):
            found[f"{name}_ratio"] = round(found["engine"][name] / found["floor"][name], 2)
        return found

    def idle_percent(self, seconds: float) -> float | None:
        """Return which part of a core the engine takes while nobody asks for anything."""
        assert self.engine is not None
        before = processor_ns(self.engine.pid)
        time.sleep(seconds)
        after = processor_ns(self.engine.pid)
        return None if before is None or after is None else round((after - before) / seconds / 1e7, 2)


def processor_ns(pid: int) -> int | None:
    """Return the processor time that all threads of a process have used, None where the system does not say."""
    try:
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    except (OSError, ValueError):
        return None


def line_await(process: "subprocess.Popen[str]", word: str) -> None:
    """Return when a process has said that it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if line.strip() != word:
        _, errors = process.communicate()
        raise RuntimeError(f"a part of the bench ended: {line}{errors[-2000:]}")


def told_by(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what a process told at its end."""
    output, errors = process.communicate(timeout=READY_S)
    if process.returncode != 0:
        raise RuntimeError(f"a part of the bench ended with {process.returncode}: {errors[-2000:]}")
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    return told


def percentiles_us(seconds: np.ndarray) -> dict[str, float]:
    """Return the percentiles of latencies in microseconds."""
    return {name: round(1e6 * float(np.quantile(seconds, part)), 1) for name, part in (("p50", 0.5), ("p99", 0.99))}


def figures_of(entries: Any, events: Any, sent: dict[str, Any], received: dict[str, Any]) -> dict[str, Any]:
    """Return the latencies of the orders from when they were due, and whether the pace was held."""
    due_s, orders = entries["due_s"], np.flatnonzero(entries["orders"])
    index = np.searchsorted(entries["seqs"], events["seqs"])
    found = entries["seqs"][np.minimum(index, len(due_s) - 1)] == events["seqs"]
    came_s = np.full(len(due_s), np.inf)
    # An answer in chunks counts when its last one came.
    came_s[index[found]] = events["times_s"][found]
    latency_s = np.sort(came_s[orders] - due_s[orders])
    missing = int(np.isinf(latency_s).sum())
    latency_s[np.isinf(latency_s)] = DRAIN_S
    finite = came_s[orders][~np.isinf(came_s[orders])]
    backlog_s = float(finite.max() - due_s[-1]) if len(finite) else DRAIN_S
    told: dict[str, Any] = {
        name: round(1e3 * float(np.quantile(latency_s, part)), 3)
        for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))
    }
    return told | {
        "orders": len(orders),
        "missing": missing,
        "refused": max(0, len(orders) - missing - received["good"]),
        "sender_behind": sent["behind"],
        "sender_late_ms": sent["late_ms"],
        "backlog_ms": round(1e3 * max(0.0, backlog_s), 1),
        "sustained": missing == 0 and backlog_s <= SUSTAINED_S and sent["behind"] <= 1.05,
    }


def measure(plan: Plan, console: Console) -> tuple[dict[str, Any], list[Table]]:
    """Return figures and tables: trips, then loads, on both paths in turn; the median repetition of each."""
    cores = cores_shared()
    console.print(f"founding {plan.accounts:,} accounts")
    with hugepages_off():
        venue = WireVenue(plan.accounts, WHO)
    runs: dict[str, list[dict[str, Any]]] = {path: [] for path in PATHS}
    for repeat in range(plan.repeats):
        for path in PATHS:
            runs[path].append(path_measure(path, plan, venue, cores, console, repeat))
    figures: dict[str, Any] = {"shared_cores": len(cores or ()), "orders_percent": PERCENT}
    figures |= {path: median_of(taken) for path, taken in runs.items()}
    figures["goals"] = goals_of(figures)
    return figures, [loads_table(figures), trips_table(figures)]


def path_measure(
    path: str, plan: Plan, venue: WireVenue, cores: list[int] | None, console: Console, repeat: int
) -> dict[str, Any]:
    """Return what one engine on one path gave."""
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-") as name,
        redis_running(Path(name), "off", cores=set(cores) if cores else None) as url,
    ):
        bench = Bench(Path(name), url, path, venue, cores, plan.small_pages)
        with bench.engine_running():
            if plan.warm_entries:
                bench.load(WARM_RATE, plan.warm_entries)
            taken: dict[str, Any] = {"trips": bench.trips(plan.trips), "loads": {}}
            taken["idle_percent"] = bench.idle_percent(plan.idle_s)
            console.print(f"{path}, run {repeat + 1}: trips {taken['trips']}, idle {taken['idle_percent']} %")
            for rate in plan.rates:
                time.sleep(FORGET_S if rate * FORGET_S * PERCENT > 100 * IDS_MAX / 4 else 0.0)
                taken["loads"][str(rate)] = load = bench.load(rate, entries_of(rate, plan.seconds))
                console.print(f"{path}, run {repeat + 1}, {rate:,} a second: {load}")
    return taken


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, of each load and of the trips, the repetition whose p99 lies in the middle."""

    def middle(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
        return sorted(rows, key=lambda row: row[name])[len(rows) // 2]

    found: dict[str, Any] = {
        "trips": middle([run["trips"] for run in runs], "p99_ratio"),
        "idle_percent": runs[-1]["idle_percent"],
    }
    found["loads"] = {rate: middle([run["loads"][rate] for run in runs], "p99_ms") for rate in runs[0]["loads"]}
    return found


def goals_of(figures: dict[str, Any]) -> dict[str, Any]:
    """Return which goals are met: the tail at each pace, the highest pace held, the trip beside its floor."""
    fast, plain = figures["fast"], figures["plain"]
    pace = {rate: load["p99_ms"] <= plain["loads"][rate]["p99_ms"] for rate, load in fast["loads"].items()}
    trips = fast["trips"]
    return {
        "p99_not_worse": pace,
        "sustained": {
            path: [rate for rate, load in figures[path]["loads"].items() if load["sustained"]] for path in PATHS
        },
        "trip_p50_met": trips["p50_ratio"] <= GOAL_TRIP_P50,
        "trip_p99_met": trips["p99_ratio"] <= GOAL_TRIP_P99,
    }


def loads_table(figures: dict[str, Any]) -> Table:
    """Return the table of the loads."""
    names = ("entries/s", "path", "p50 ms", "p99 ms", "p99.9 ms", "missing", "refused", "sender behind", "backlog ms")
    table = Table(*names, title=f"latency: {PERCENT} % orders, everything on {figures['shared_cores']} cores")
    for rate in figures["fast"]["loads"]:
        for path in PATHS:
            load = figures[path]["loads"][rate]
            above = "> " if load["missing"] else ""
            cells = (f"{above}{load[name]:.2f}" for name in ("p50_ms", "p99_ms", "p999_ms"))
            behind = f"{load['sender_behind']:.2f}×"
            table.add_row(
                f"{int(rate):,}", path, *cells, f"{load['missing']:,}", f"{load['refused']:,}", behind,
                f"{load['backlog_ms']:,.0f}",
            )  # fmt: skip
    goals = figures["goals"]
    said = [f"{int(rate):,}: {MET[met]}" for rate, met in goals["p99_not_worse"].items()]
    held = {path: f"{max(map(int, goals['sustained'][path]), default=0):,}" for path in PATHS}
    table.caption = (
        f"p99 not above the plain path's: {', '.join(said)}; pace held: fast {held['fast']}, plain {held['plain']}"
    )
    return table


def trips_table(figures: dict[str, Any]) -> Table:
    """Return the table of single instructions."""
    table = Table("path", "floor p50 / p99 µs", "engine p50 / p99 µs", "ratios", "engine idle, % of a core",
                  title="one instruction to an idle engine")  # fmt: skip
    for path in PATHS:
        trips = figures[path]["trips"]
        cells = (f"{trips[name]['p50']:.0f} / {trips[name]['p99']:.0f}" for name in ("floor", "engine"))
        ratios = f"{trips['p50_ratio']:.2f} / {trips['p99_ratio']:.2f}"
        idle = figures[path]["idle_percent"]
        table.add_row(path, *cells, ratios, "" if idle is None else f"{idle:.1f}")
    goals = figures["goals"]
    table.caption = (
        f"fast: p50 within {GOAL_TRIP_P50:g} × the floor: {MET[goals['trip_p50_met']]}; "
        f"p99 within {GOAL_TRIP_P99:g} ×: {MET[goals['trip_p99_met']]}"
    )
    return table
