"""
What an order costs through a gateway: from sending to answer, over HTTP and WebSocket, by stage, beside the floor.

Question: how much more than a bare HTTP server and two bare trips through the same Redis does a whole venue take, with
one client, with many at once, and at a pace?
The venue lives in a folder of its own, on two cores where there are four or more; the load has the others. The floor is
measured in the same run, on the same cores and the same Redis: an HTTP server that answers at once, and an entry that a
process without a state answers by another. Orders buy and sell in turn, so that every one is filled.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from scripts import privileges
from scripts.bench_floors import Connection, RoundTrips, RoundTripWire
from scripts.bench_load import HttpWire, Latencies, SocketWire, Wire, closed_loop, paced, with_wires
from scripts.plan import port_free
from shared.streams import Keys, seq_chunk_of_event_id, seq_of_log_id

REPOSITORY = Path(__file__).resolve().parent.parent
MARKET = "BTC_USDC_PERP"
BODIES = [b'{"market":"%s","side":"%s","qty":"0.001"}' % (MARKET.encode(), side) for side in (b"buy", b"sell")]
ORDER_PATH = "/api/v1/trade/order"
PATIENCE_S = 240.0  # a first start compiles
STOP_PATIENCE_S = 30.0
PINNING = hasattr(os, "sched_setaffinity")
STAGES = ("parse", "log", "engine", "answer")
GOAL_OVER_FLOOR_MS, GOAL_P99_MS = 1.0, 10.0


class Plan(NamedTuple):
    """What is measured."""

    clients: list[int]
    rate: float
    seconds: float  # of each load


class Venue(NamedTuple):
    """A running venue."""

    port: int
    redis_path: str
    keys: Keys
    tokens: list[str]


class Case(NamedTuple):
    """One load: so many clients, back to back (rate 0) or at a pace in all."""

    clients: int
    rate: float

    @property
    def words(self) -> str:
        """Return the load's name."""
        pace = f"{self.rate:g} a second" if self.rate else "back to back"
        return f"{self.clients}, {pace}"


def cores_split() -> tuple[set[int], set[int]]:
    """Return the cores of the venue and those of the load; the same for both where there are fewer than four."""
    cores = sorted(os.sched_getaffinity(0)) if PINNING else list(range(os.cpu_count() or 1))
    return (set(cores[:2]), set(cores[2:])) if PINNING and len(cores) >= 4 else (set(cores), set(cores))


def cores_take(cores: set[int]) -> None:
    """Run on these cores alone, where the system lets us say so."""
    if PINNING:
        os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def process_running(
    cores: set[int], words: Sequence[str], log: Path, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module on these cores; stop it afterwards, also when this process dies."""
    parent = os.getpid()

    def prepare() -> None:
        cores_take(cores)
        privileges.die_with_parent(stop, parent)

    kept = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=REPOSITORY, stdout=output, stderr=output,
            env=kept | {"PYTHONPATH": str(REPOSITORY)}, preexec_fn=prepare,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def venue_running(folder: Path, cores: set[int], accounts: int, *options: str) -> Iterator[Venue]:
    """Run a whole venue with simulated prices and so many accounts; options are those of `tidemark run`."""
    ready_file, log = folder / "ready.json", folder / "console.txt"
    words = ["scripts.cli", "run", "--data", str(folder / "data"), "--ready-file", str(ready_file), *options]
    with process_running(cores, words, log, signal.SIGINT) as process:
        deadline_s = time.monotonic() + PATIENCE_S
        ready: dict[str, Any] = {}
        while not ready.get("sign_in_url"):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"no venue: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
            with contextlib.suppress(OSError, ValueError):
                ready = json.loads(ready_file.read_text())
        tokens = folder / "tokens.jsonl"
        words = ["scripts.cli", "account", "open", "--count", str(accounts), "--tokens", str(tokens)]
        done = subprocess.run(
            [sys.executable, "-m", *words, "--data", ready["data_dir"]],
            cwd=REPOSITORY,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"no accounts: {done.stderr.decode()[-2000:]}")
        lines = [json.loads(line)["token"] for line in tokens.read_text().splitlines()]
        port = int(ready["url"].rsplit(":", 1)[1])
        fresh_wait(port, deadline_s)
        yield Venue(port, ready["redis_url"].removeprefix("unix://"), Keys(ready["venue"]), lines)


def fresh_wait(port: int, deadline_s: float) -> None:
    """Return when the market's price may be traded on."""
    url = f"http://127.0.0.1:{port}/api/v1/market/{MARKET}/ticker"
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=5) as answer:
            if json.load(answer).get("fresh"):
                return
        time.sleep(0.1)
    raise RuntimeError("the market has no fresh price")


class Watch:
    """When each entry of the two streams was seen from outside, on one clock."""

    def __init__(self, venue: Venue) -> None:
        """Prepare; `start` looks."""
        self.venue = venue
        self.log_s: dict[int, float] = {}
        self.events_s: dict[int, float] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Look at both streams from now on."""
        keys = self.venue.keys
        for stream, seen, seq_of in (
            (keys.log, self.log_s, seq_of_log_id),
            (keys.events, self.events_s, lambda identity: seq_chunk_of_event_id(identity)[0]),
        ):
            connection = await Connection.open(self.venue.redis_path)
            last = await connection.last(stream)
            self.tasks.append(asyncio.create_task(self.follow(connection, stream, last, seen, seq_of)))

    async def follow(
        self, connection: Connection, stream: str, last: bytes, seen: dict[int, float], seq_of: Callable[[bytes], int]
    ) -> None:
        """Note when each entry is first seen."""
        async for identity in connection.follow(stream, last):
            seen.setdefault(seq_of(identity), time.perf_counter())

    async def engine_ms(self) -> float:
        """Return the mean time from an instruction's entry to what it caused, and look no more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        taken = [self.events_s[seq] - self.log_s[seq] for seq in self.events_s if seq in self.log_s]
        return 1_000 * sum(taken) / len(taken) if taken else 0.0


def stages_read(port: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Return sum and count of each stage so far, by way and stage, as the gateway's metrics state them."""
    found: dict[tuple[str, str], list[float]] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            for index, ending in enumerate(("_sum{", "_count{")):
                if line.startswith(f"tidemark_order_stage_seconds{ending}"):
                    labels, _, value = line.partition("{")[2].rpartition("} ")
                    named = dict(part.split("=", 1) for part in labels.replace('"', "").split(","))
                    found.setdefault((named["via"], named["stage"]), [0.0, 0.0])[index] = float(value)
    return {way: (total, count) for way, (total, count) in found.items()}


async def stages_of(
    venue: Venue, via: str, load: Callable[[], Awaitable[Latencies]]
) -> tuple[Latencies, dict[str, float]]:
    """Return what a load gave, and the mean milliseconds of each stage meanwhile."""
    watch = Watch(venue)
    await watch.start()
    before = await asyncio.to_thread(stages_read, venue.port)
    latencies = await load()
    after = await asyncio.to_thread(stages_read, venue.port)
    engine_ms = await watch.engine_ms()
    means: dict[str, float] = {}
    for stage in STAGES:
        total, count = after.get((via, stage), (0.0, 0.0))
        total_before, count_before = before.get((via, stage), (0.0, 0.0))
        means[stage] = 1_000 * (total - total_before) / max(1.0, count - count_before)
    # The gateway sees the engine and its own tail as one; how long the engine took was seen from outside.
    means |= {"tail": means["engine"] - engine_ms, "engine": engine_ms}
    return latencies, {stage: round(means[stage], 3) for stage in ("parse", "log", "engine", "tail", "answer")}


async def case_measure(venue: Venue, echo_port: int, case: Case, seconds: float) -> dict[str, Any]:
    """Return floors, orders over both ways and their stages under one load."""

    async def load(wires: Sequence[Wire]) -> Latencies:
        return await (paced(wires, case.rate, seconds) if case.rate else closed_loop(wires, seconds))

    def several(open_one: Callable[[str], Awaitable[Wire]]) -> list[Callable[[], Awaitable[Wire]]]:
        return [lambda token=token: open_one(token) for token in venue.tokens[: case.clients]]  # type: ignore[misc]

    trips = RoundTrips(venue.redis_path)
    await trips.start()
    echoes = await with_wires(several(lambda token: HttpWire.open(echo_port, "/", token, BODIES)), load)
    echoes_ws = await with_wires(several(lambda token: SocketWire.open(echo_port, token, BODIES)), load)
    tripped = await with_wires(several(lambda _token: RoundTripWire.open(trips)), load)
    await trips.stop()
    http = several(lambda token: HttpWire.open(venue.port, ORDER_PATH, token, BODIES))
    sockets = several(lambda token: SocketWire.open(venue.port, token, BODIES))
    ordered, stages = await stages_of(venue, "http", lambda: with_wires(http, load))
    ordered_ws, stages_ws = await stages_of(venue, "ws", lambda: with_wires(sockets, load))
    return {
        "clients": case.clients,
        "rate": case.rate,
        "echo": echoes.figures(),
        "echo_ws": echoes_ws.figures(),
        "trip": tripped.figures(),
        "http": ordered.figures() | {"stages_ms": stages},
        "ws": ordered_ws.figures() | {"stages_ms": stages_ws},
        "floor_p50_ms": round(echoes.percentile_ms(0.5) + tripped.percentile_ms(0.5), 3),
        "floor_ws_p50_ms": round(echoes_ws.percentile_ms(0.5) + tripped.percentile_ms(0.5), 3),
    }


def measure(plan: Plan, console: Console) -> tuple[dict[str, Any], list[Table]]:
    """Return figures and tables of all loads."""
    venue_cores, load_cores = cores_split()
    most = max(plan.clients)
    cases = [*(Case(clients, 0.0) for clients in plan.clients), Case(most, plan.rate)]
    own_cores = venue_cores | load_cores
    with tempfile.TemporaryDirectory(prefix="tidemark-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        venue = stack.enter_context(venue_running(folder, venue_cores, most))
        echo_port = next(port for port in range(venue.port + 1, venue.port + 100) if port_free(port))
        for words in (["echo", str(echo_port)], ["engine", venue.redis_path]):
            words = ["scripts.bench_floors", *words]
            stack.enter_context(process_running(venue_cores, words, folder / "floors.txt", signal.SIGTERM))
        while port_free(echo_port):
            time.sleep(0.05)
        cores_take(load_cores)
        stack.callback(cores_take, own_cores)
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        rows = []
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for case in cases:
                console.print(f"clients: {case.words}")
                rows.append(runner.run(case_measure(venue, echo_port, case, plan.seconds)))
    figures = {"venue_cores": len(venue_cores), "loads": rows, "goals": goals_of(rows[-1])}
    return figures, [latencies_table(cases, rows, figures), stages_table(cases, rows)]


def goals_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return which goals the load at a pace meets."""
    over_ms = round(row["http"]["p50_ms"] - row["floor_p50_ms"], 3)
    return {
        "p50_over_floor_ms": over_ms,
        "p50_met": over_ms <= GOAL_OVER_FLOOR_MS,
        "p99_ms": row["http"]["p99_ms"],
        "p99_met": row["http"]["p99_ms"] <= GOAL_P99_MS,
        "ws_better": row["ws"]["p50_ms"] < row["http"]["p50_ms"],
    }


def latencies_table(cases: list[Case], rows: list[dict[str, Any]], figures: dict[str, Any]) -> Table:
    """Return the table of latencies; p50 / p99 in milliseconds."""
    table = Table("clients", "bare HTTP", "bare trips", "floor p50", "order HTTP", "a second", "order WS", "a second",
                  title="gateway: order to answer, p50 / p99 ms")  # fmt: skip
    for case, row in zip(cases, rows, strict=True):
        pairs = {
            name: f"{row[name]['p50_ms']:.2f} / {row[name]['p99_ms']:.2f}" for name in ("echo", "trip", "http", "ws")
        }
        rates = {name: f"{row[name]['per_s']:,}" for name in ("http", "ws")}
        floor = f"{row['floor_p50_ms']:.2f}"
        table.add_row(
            case.words, pairs["echo"], pairs["trip"], floor, pairs["http"], rates["http"], pairs["ws"], rates["ws"]
        )
    goals = figures["goals"]
    met = {True: "met", False: "missed"}
    table.caption = (
        f"at a pace: p50 {goals['p50_over_floor_ms']:+.2f} ms over the floor (goal {GOAL_OVER_FLOOR_MS:g}: "
        f"{met[goals['p50_met']]}), p99 {goals['p99_ms']:.2f} ms (goal {GOAL_P99_MS:g}: {met[goals['p99_met']]}), "
        f"WebSocket better: {met[goals['ws_better']]}; venue on {figures['venue_cores']} cores"
    )
    return table


def stages_table(cases: list[Case], rows: list[dict[str, Any]]) -> Table:
    """Return the table of stages, mean milliseconds."""
    stages = list(rows[0]["http"]["stages_ms"])
    table = Table("clients", "way", *stages, title="stages of an order, mean ms")
    for case, row in zip(cases, rows, strict=True):
        for way in ("http", "ws"):
            table.add_row(case.words, way, *(f"{row[way]['stages_ms'][stage]:.2f}" for stage in stages))
    return table
