"""
How long a snapshot stops the hot thread, and how soon it is durable: the engine's writer on its own server.

Every run counts, the first of the process too: the engine makes ready before it runs, and so does this. Up to
NET_MAX positions each has an account of its own; beyond them they are tickets, ACCOUNT_POSITIONS on an account.
"""

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from engine import core
from engine.snapshots import CopyBuffer, WriterProcess
from scripts import embedded
from scripts.bench_venue import BenchVenue
from scripts.ready import postgres_is_up
from shared import clock, logs
from shared.database import Database

BUFFER_BYTES = 2**30
PATIENCE_S = 30.0
NET_MAX = 130_000  # accounts end before positions do
VENUE = "benchvenue"
REPOSITORY = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def database() -> Iterator[Path]:
    """Start a durable PostgreSQL in a folder of its own, migrated; yields the folder and stops it at the end."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        sockets = embedded.socket_folder(folder)
        server = embedded.postgres_server(folder, sockets)
        with (folder / "postgres.log").open("wb") as log:
            process = subprocess.Popen(server.command, stdout=log, stderr=log, cwd="/", preexec_fn=server.prepare)
        stack.callback(process.wait)
        stack.callback(process.send_signal, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE_S
        while not postgres_is_up(embedded.postgres_data(folder), process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.environ["DATABASE_URL"], os.environ["TIDEMARK_DATA"] = embedded.database_url(sockets), str(folder)
        asyncio.run(_prepare(os.environ["DATABASE_URL"]))
        yield folder


async def _prepare(url: str) -> None:
    """Migrate the database and make the bench's venue the live one."""
    connection = await Database.connect(url)
    try:
        await connection.migrate()
        await connection.execute(
            "INSERT INTO venues (venue, founded_us, live) VALUES ($1, $2, true)", VENUE, clock.now_us()
        )
    finally:
        await connection.close()


class Writer:
    """The second process and the memory that it shares with this one."""

    def __init__(self) -> None:
        self.buffer = CopyBuffer(BUFFER_BYTES)
        self.process = WriterProcess(self.buffer, VENUE, logs.logger("bench"), REPOSITORY)
        self.process.receive(time.monotonic())

    def make_ready(self, states: Any) -> None:
        """Have loaded and touched what a copy needs, as the engine does when it starts."""
        self.buffer.touch_ahead(core.snapshot_ready(states, self.buffer.view))
        if self.buffer.toucher is not None:
            self.buffer.toucher.join()

    def snapshot(self, states: Any) -> tuple[float, float]:
        """Return (seconds the hot thread stood still, seconds until file and row were durable)."""
        header = core.header(states)
        started = time.perf_counter()
        length = core.snapshot_copy(states, self.buffer.view)
        paused = time.perf_counter() - started
        frame = {"venue": VENUE, "engine": "bench", "witness": {}}
        frame |= {name: header[name] for name in ("seq", "log_time_us", "rules")}
        assert self.process.send({"job": "write", "length": length, "frame": frame})
        while time.perf_counter() - started < PATIENCE_S:
            for message in self.process.receive(time.monotonic()):
                if message["kind"] == "trouble":
                    raise RuntimeError(message["text"])
                if message["kind"] == "durable" and message["seq"] == header["seq"]:
                    return paused, time.perf_counter() - started
            time.sleep(0.0005)
        raise RuntimeError("no snapshot became durable")


def measure(sizes: list[int], repeats: int, console: Console) -> tuple[dict[str, Any], Table]:
    """Return the figures and the table of the given numbers of positions, each with SL and TP."""
    columns = ("positions", "live rows", "copied, MB", "pause, ms", "p99", "worst", "durable, ms", "worst")
    table = Table(*columns, title=f"snapshot, {repeats} of each")
    names = ("rows", "copied_mb", "pause_ms", "pause_p99_ms", "pause_worst_ms", "durable_ms", "durable_worst_ms")
    figures: dict[str, Any] = {name: {} for name in names}
    with database():
        for size in sizes:
            with console.status(f"{size:,} positions with SL and TP"):
                venue = BenchVenue(2 * size, net=size <= NET_MAX)
                writer = Writer()
                writer.make_ready(venue.states)
                runs = []
                for _ in range(repeats):
                    venue.quiet_ticks(5_000)
                    runs.append(writer.snapshot(venue.states))
                writer.process.close()
            pauses, durables = ([1e3 * value for value in column] for column in zip(*runs, strict=True))
            values = (
                live_rows(venue.states),
                round(core.snapshot_size(venue.states) / 1e6, 1),
                round(statistics.median(pauses), 2),
                round(nearest_rank(pauses, 99), 2),
                round(max(pauses), 2),
                round(statistics.median(durables), 1),
                round(max(durables), 1),
            )
            for name, value in zip(names, values, strict=True):
                figures[name][str(size)] = value
            table.add_row(f"{size:,}", *(f"{value:,}" for value in values))
    return figures, table


def live_rows(states: Any) -> int:
    """Return how many accounts, orders, positions and remembered requests a state holds."""
    state = states.view(np.ndarray)[0]
    return sum(int(state[f"{name}_table"]["live"]) for name in ("accounts", "orders", "positions", "requests"))


def nearest_rank(values: list[float], percent: int) -> float:
    """Return the value that so many of a hundred do not exceed; of twenty, the 99th is the worst."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
