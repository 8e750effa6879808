"""How long a snapshot stops the hot thread, and how soon it is durable: the engine's writer on its own server."""

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
    """Return the figures and the table of the given numbers of net positions."""
    table = Table("net positions", "copied, MB", "pause, ms", "worst, ms", "durable, ms", title="snapshot")
    figures: dict[str, Any] = {"pause_ms": {}, "durable_ms": {}}
    with database():
        for size in sizes:
            with console.status(f"{size:,} net positions with SL and TP"):
                venue = BenchVenue(2 * size, net=True)
                venue.minutes_pass()
                writer = Writer()
                runs = []
                for _ in range(repeats + 1):
                    venue.quiet_ticks(5_000)
                    runs.append(writer.snapshot(venue.states))
                writer.process.close()
            pauses, durables = zip(*runs[1:], strict=True)
            pause_ms, durable_ms = statistics.median(pauses) * 1e3, statistics.median(durables) * 1e3
            figures["pause_ms"][str(size)] = round(pause_ms, 2)
            figures["durable_ms"][str(size)] = round(durable_ms, 1)
            copied = core.snapshot_size(venue.states) / 1e6
            row = (f"{size:,}", f"{copied:.0f}", f"{pause_ms:.2f}", f"{max(pauses) * 1e3:.2f}", f"{durable_ms:.0f}")
            table.add_row(*row)
    return figures, table
