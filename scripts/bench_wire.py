"""
From the log to the events: how many messages a second the engine takes, beside what Redis can give and Python could do.

Question: what part of the ceiling (receiving the same bytes and nothing else) does the real engine reach, how many
times the usual Python loop is that, and what does a message cost Redis? Log and venue are of one seed. Every loop
starts from the same state and runs in a process of its own; state and events at the end are the same, or nothing is
printed.
"""

import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from scripts.bench_recovery import environment, snapshot_write
from scripts.bench_redis import Cores, Server, cores_two, redis_running
from scripts.bench_span import Task
from scripts.bench_wire_bare import COUNTS
from scripts.bench_wire_log import ACCOUNTS, Mix, reply_bytes, step_us
from scripts.bench_wire_venue import WireVenue, start_of
from shared.stream_guard import Command
from shared.streams import Keys, Streams, log_id

REPOSITORY = Path(__file__).resolve().parent.parent
VENUE = "benchvenue"
WHO = "bench0wire0who00"
CHUNK = 1_000
WARM_SHARE = 10  # of the entries: a tenth is untimed
PATIENCE_S = 300.0
ATTEMPTS = 3
GOALS_CEILING = {0: 0.5, 20: 0.4, 100: 0.2}
GOALS_BASELINE = {0: 8.0, 20: 8.0, 100: 6.0}
GOAL_XADD = 0.6
MET = {True: "met", False: "missed"}


class Plan(NamedTuple):
    """What is measured."""

    mixes: list[int]  # orders in a hundred entries
    entries: int
    durable_entries: int  # of orders alone, every write synced; 0 leaves it out
    repeats: int
    tcp: bool = False
    plain: bool = True  # the engine on its plain path as well
    accounts: int = ACCOUNTS
    small_pages: bool = False  # a state of these is there at once; applying to it takes half as long again


class Ground:
    """One Redis with one log, and the folder of the snapshot that every loop starts from."""

    def __init__(self, url: str, folder: Path, venue: WireVenue, percent: int, entries: int, small_pages: bool) -> None:
        self.small_pages = small_pages
        self.url, self.folder, self.keys = url, folder, Keys(VENUE)
        self.server = Server(url)
        streams = Streams(url)
        self.first_seq = snapshot_write(venue, folder, streams, self.keys)
        streams.close()
        self.anchor = self.server.ask("DUMP", self.keys.events)
        mix = Mix(start_of(venue), percent, step_us(entries))
        rows = [mix.fields() for _ in range(entries)]
        np.save(folder / "reply_bytes.npy", reply_bytes(self.first_seq + 1, rows))
        commands: list[Command] = [
            ["XADD", self.keys.log, "*", *[part for pair in row for part in pair]] for row in rows
        ]
        for at in range(0, entries, CHUNK):
            self.server.ask_all([["MULTI"], *commands[at : at + CHUNK], ["EXEC"]])
        self.log_copy = f"{{{VENUE}}}:log:copy"  # for the case that an engine appends to the log
        self.server.ask("COPY", self.keys.log, self.log_copy)
        self.last_seq = self.first_seq + entries
        self.warm_seq = self.first_seq + entries // WARM_SHARE

    def close(self) -> None:
        """Hang up."""
        self.server.close()

    def reset(self) -> None:
        """Take everything away that a run has written."""
        keep = {each.encode() for each in (self.keys.log, self.log_copy, "tidemark:venue", self.kept)}
        gone = [key for key in self.server.ask("KEYS", "*") if key not in keep]
        if gone:
            self.server.ask("DEL", *gone)
        self.server.ask("RESTORE", self.keys.events, 0, self.anchor)
        if self.server.ask("XRANGE", self.keys.log, b"(" + log_id(self.last_seq), "+", "COUNT", 1):
            self.server.ask("COPY", self.log_copy, self.keys.log, "REPLACE")

    @property
    def kept(self) -> str:
        """Return the stream that keeps the engine's events for the loop of prebuilt bytes."""
        return f"{{{VENUE}}}:kept"

    def events_keep(self) -> None:
        """Put the events of the run before aside, without the entry that was there before it."""
        self.server.ask("RENAME", self.keys.events, self.kept)
        [[first, _]] = self.server.ask("XRANGE", self.kept, "-", "+", "COUNT", 1)
        self.server.ask("XDEL", self.kept, first)

    def events_digest(self) -> str:
        """Return the digest of all events, ids and fields."""
        digest = hashlib.blake2b(digest_size=16)
        after = b"-"
        while rows := self.server.ask("XRANGE", self.keys.events, after, "+", "COUNT", 5_000):
            for identity, fields in rows:
                digest.update(b"\n".join((identity, *fields)))
            after = b"(" + rows[-1][0]
        return digest.hexdigest()

    def run(self, what: str, cores: Cores, **more: Any) -> dict[str, Any]:
        """Return what one process measured; an engine that was held up so long that it ticked by itself runs again."""
        for _ in range(ATTEMPTS):
            taken = self.run_once(what, cores, **more)
            if not taken.get("own_entries"):
                return taken
        raise RuntimeError(f"{what} was held up {ATTEMPTS} times: this machine has too much else to do")

    def run_once(self, what: str, cores: Cores, **more: Any) -> dict[str, Any]:
        """Return what one process measured."""
        self.reset()
        core = sorted(cores.client) if cores.client else None
        task = Task(what, self.url, str(self.folder), VENUE, WHO, self.first_seq, self.warm_seq, self.last_seq, core)
        path = self.folder / "task.json"
        path.write_text(json.dumps(task._replace(**more)._asdict()))
        done = subprocess.run(
            [sys.executable, "-m", "scripts.bench_wire_loops", str(path)], cwd=REPOSITORY, capture_output=True,
            text=True, check=False, timeout=PATIENCE_S, env=environment() | pages(self.small_pages),
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{what} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


class Runs:
    """What each loop took, by repetition; the first is thrown away."""

    def __init__(self) -> None:
        self.taken: dict[str, list[dict[str, Any]]] = {}
        self.ends: set[tuple[str, int]] = set()
        self.digests: set[str] = set()

    def add(self, name: str, taken: dict[str, Any]) -> None:
        """Keep one run."""
        self.taken.setdefault(name, []).append(taken)

    def end(self, name: str, taken: dict[str, Any], ground: Ground, digest: bool) -> None:
        """Keep one run of something that publishes; raises when it ended elsewhere than the others."""
        self.add(name, taken)
        self.ends.add((taken["state_hash"], ground.server.ask("XLEN", ground.keys.events)))
        if digest:
            self.digests.add(ground.events_digest())
        if len(self.ends) > 1 or len(self.digests) > 1:
            raise RuntimeError(f"{name} ended in another state, or with other events, than the run before it")

    def counted(self, name: str) -> list[dict[str, Any]]:
        """Return the runs that count."""
        return self.taken[name][1:] or self.taken[name]

    def per_s(self, name: str, which: str = "seconds") -> float:
        """Return the median of messages a second: to the end, or for the engine until the last event was published."""
        return statistics.median(run["messages"] / run.get(which, run["seconds"]) for run in self.counted(name))

    def cost_us(self, name: str, which: str) -> float:
        """Return the median of processor microseconds that a message took: `own_s` or `server_s`."""
        return statistics.median(1e6 * run[which] / run["messages"] for run in self.counted(name))

    def newest(self) -> str:
        """Return in words what the newest runs gave."""
        newest = {name: runs[-1] for name, runs in self.taken.items()}
        return ", ".join(f"{name} {run['messages'] / run['seconds']:,.0f}" for name, run in newest.items())

    def figures(self) -> dict[str, Any]:
        """Return everything for the history."""
        return {
            name: {
                "per_s": round(self.per_s(name, "published_s")),
                "read_back_per_s": round(self.per_s(name)),
                "own_us": round(self.cost_us(name, "own_s"), 3),
                "redis_us": round(self.cost_us(name, "server_s"), 3),
            }
            for name in self.taken
        }


def mix_measure(ground: Ground, plan: Plan, cores: Cores, console: Console, words: str) -> Runs:
    """Return the runs of all loops over one log, in turn."""
    runs = Runs()
    for repeat in range(plan.repeats + 1):
        for name, taken in ground.run("ceiling", cores).items():
            runs.add(f"ceiling {name}", taken)
        compared = repeat in (0, plan.repeats)
        taken = ground.run("engine", cores)
        runs.end("engine", taken, ground, compared)
        if taken["calls"].get("xadd"):
            ground.events_keep()
            runs.add("bare", ground.run("bare", cores, kept=ground.kept))
        if plan.plain:
            runs.end("plain", ground.run("engine", cores, wire="plain"), ground, compared)
        runs.end("baseline", ground.run("baseline", cores), ground, compared)
        console.print(f"{words}, run {repeat} of {plan.repeats}{'' if repeat else ' (discarded)'}: {runs.newest()}")
    return runs


def durable_measure(ground: Ground, plan: Plan, cores: Cores, console: Console) -> tuple[Runs, float]:
    """Return the runs of orders alone with every write synced, and how many entries one transaction had."""
    runs = Runs()
    batch = 0.0
    for repeat in range(plan.repeats + 1):
        taken = ground.run("engine", cores)
        runs.end("engine", taken, ground, repeat in (0, plan.repeats))
        batch = taken["calls"]["xadd"] / max(1, taken["calls"].get("exec", 0))
        ground.events_keep()
        kept = ground.run("xadd", cores, kept=ground.kept, batch=max(1, round(batch)))
        for name, way in kept.items():
            runs.add(f"xadd {name}", way)
        console.print(f"orders, fsync always, run {repeat} of {plan.repeats}: {runs.newest()}")
    return runs, batch


def pages(small: bool) -> dict[str, str]:
    """Return what an environment says of the pages that a new state lies on."""
    return {"NUMPY_MADVISE_HUGEPAGE": "0"} if small else {}


@contextlib.contextmanager
def hugepages_off() -> Iterator[None]:
    """Let new states be made of ordinary pages: zeroing huge ones takes a hundred times as long."""
    before = os.environ.get("NUMPY_MADVISE_HUGEPAGE")
    os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NUMPY_MADVISE_HUGEPAGE"]
        else:
            os.environ["NUMPY_MADVISE_HUGEPAGE"] = before


def measure(plan: Plan, console: Console) -> tuple[dict[str, Any], list[Table]]:
    """Return figures and tables of all mixes."""
    cores = cores_two()
    console.print(f"founding {plan.accounts:,} accounts")
    with hugepages_off():
        venue = WireVenue(plan.accounts, WHO)
    figures: dict[str, Any] = {"entries": plan.entries, "tcp": plan.tcp, "mixes": {}}
    for percent in plan.mixes:
        with ground_found(plan, venue, cores, "off", percent, plan.entries) as ground:
            figures["server"] = ground.server.version()
            runs = mix_measure(ground, plan, cores, console, f"{percent} % orders")
        figures["mixes"][str(percent)] = mix_figures(percent, runs)
    tables = [mixes_table(figures)]
    if plan.durable_entries:
        with ground_found(plan, venue, cores, "always", 100, plan.durable_entries) as ground:
            runs, batch = durable_measure(ground, plan, cores, console)
        figures["always"] = durable_figures(runs, batch)
        tables.append(durable_table(figures["always"]))
    return figures, tables


@contextlib.contextmanager
def ground_found(
    plan: Plan, venue: WireVenue, cores: Cores, fsync: str, percent: int, entries: int
) -> Iterator[Ground]:
    """Run a Redis of its own with one log in it."""
    with (
        tempfile.TemporaryDirectory(prefix="tidemark-") as name,
        redis_running(Path(name), fsync, tcp=plan.tcp, cores=cores.server) as url,
    ):
        ground = Ground(url, Path(name), venue, percent, entries, plan.small_pages)
        yield ground
        ground.close()


def mix_figures(percent: int, runs: Runs) -> dict[str, Any]:
    """Return the figures of one mix, with the ratios that the goals are about."""
    per_s = runs.per_s("engine", "published_s")
    ceiling = max(runs.per_s(f"ceiling {count}") for count in COUNTS)
    ahead = max(runs.per_s(f"ceiling ahead {count}") for count in COUNTS)
    ratio, times = per_s / ceiling, per_s / runs.per_s("baseline")
    return {
        "loops": runs.figures(),
        "ceiling_per_s": round(ceiling),
        "ceiling_ahead_per_s": round(ahead),
        "of_ceiling": round(ratio, 3),
        "of_ceiling_ahead": round(per_s / ahead, 3),
        "of_bare": round(per_s / runs.per_s("bare"), 3) if "bare" in runs.taken else None,
        "times_baseline": round(times, 2),
        "state_hash": runs.taken["engine"][-1]["state_hash"],
        "of_ceiling_goal": GOALS_CEILING.get(percent),
        "times_baseline_goal": GOALS_BASELINE.get(percent),
    }


def durable_figures(runs: Runs, batch: float) -> dict[str, Any]:
    """Return the figures of the durable run: both count events appended, one for each order."""
    per_s = runs.per_s("engine", "published_s")
    best = max(runs.per_s("xadd plain"), runs.per_s("xadd transaction"))
    return {"loops": runs.figures(), "batch": round(batch, 1), "of_xadd": round(per_s / best, 3), "goal": GOAL_XADD}


def judged(value: float, goal: float | None, form: str) -> str:
    """Return a ratio with its goal."""
    return form.format(value) + ("" if goal is None else f" (goal {goal:g}: {MET[value >= goal]})")


def mixes_table(figures: dict[str, Any]) -> Table:
    """Return the table of the mixes."""
    way = "TCP" if figures["tcp"] else "unix socket"
    table = Table("orders", "loop", "messages/s", "until read back", "own µs", "Redis µs",
                  title=f"wire: {figures['entries']:,} entries, appendonly no, {way}, {figures['server']}")  # fmt: skip
    said = []
    for percent, mix in figures["mixes"].items():
        for name, loop in mix["loops"].items():
            back = f"{loop['read_back_per_s']:,}" if name in ("engine", "plain") else ""
            costs = (f"{loop['own_us']:.2f}", f"{loop['redis_us']:.2f}")
            table.add_row(f"{percent} %", name, f"{loop['per_s']:,}", back, *costs)
        said.append(
            f"{percent} %: ÷ ceiling {judged(mix['of_ceiling'], mix['of_ceiling_goal'], '{:.2f}')}, ÷ ceiling asked"
            f" ahead {mix['of_ceiling_ahead']:.2f}, ÷ baseline "
            + judged(mix["times_baseline"], mix["times_baseline_goal"], "{:.1f}")
            + ("" if mix["of_bare"] is None else f", ÷ bare {mix['of_bare']:.2f}")
        )
    table.caption = "\n".join(said)
    return table


def durable_table(durable: dict[str, Any]) -> Table:
    """Return the table of the durable run."""
    table = Table("loop", "orders/s", "own µs", "Redis µs", title="wire: all orders, appendfsync always")
    for name, loop in durable["loops"].items():
        table.add_row(name, f"{loop['per_s']:,}", f"{loop['own_us']:.2f}", f"{loop['redis_us']:.2f}")
    table.caption = f"÷ the faster loop of prebuilt bytes, {durable['batch']:g} entries at once: " + judged(
        durable["of_xadd"], durable["goal"], "{:.2f}"
    )
    return table
