"""A whole venue under a storm: started by its supervisor, its processes killed by pid, stopped cleanly at the end."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.streams import Keys, StreamsAsync, StreamsError
from tests.cluster import cluster_give
from tests.integration.conftest import REPOSITORY, process_end, ready_wait

TOOL_PATIENCE_S = 120.0
LOOK_S = 0.05
READ_ENTRIES = 2_000
BLOCK_MS = 100


class Venue:
    """One running venue; what its ready file says is read anew each time, for pids change."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], ready: dict[str, Any]) -> None:
        self.folder = folder
        self.process = process
        self.data_dir = folder / "data"
        self.url: str = ready["url"]
        self.redis_url: str = ready["redis_url"]
        self.database_url: str = ready["database_url"]
        self.keys = Keys(ready["venue"])

    def pid(self, name: str) -> int:
        """Return the process id of a part as its supervisor last wrote it down."""
        ready = json.loads((self.folder / "ready.json").read_text())
        return int(ready["pids"].get(name, 0))

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `tidemark …` on this venue."""
        return subprocess.run(
            [sys.executable, "-m", "scripts.cli", *words, "--data", str(self.data_dir)],
            capture_output=True,
            text=True,
            check=False,
            timeout=TOOL_PATIENCE_S,
            env=environment(),
        )

    def accounts_open(self, count: int) -> list[tuple[int, str]]:
        """Open accounts; return their numbers and tokens."""
        tokens = self.folder / "tokens.jsonl"
        done = self.tool("account", "open", "--count", str(count), "--tokens", str(tokens))
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in tokens.read_text().splitlines()]
        return [(line["account"], line["token"]) for line in lines]

    def feed_go(self) -> None:
        """Let the held feed run."""
        done = self.tool("feed", "go")
        assert done.returncode == 0, done.stderr


def environment() -> dict[str, str]:
    """Return the environment of what is started here: this source, nobody else's servers, and streams kept whole."""
    kept = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")}
    return {"TIDEMARK_TRIM": "off", **kept, "PYTHONPATH": str(REPOSITORY)}


@contextlib.contextmanager
def venue_run(folder: Path, feed: Path, speed: float) -> Iterator[Venue]:
    """Yield a venue whose recorded feed is held; it is asked to stop at the end and must do so."""
    cluster_give(folder / "data")
    command = [sys.executable, "-m", "scripts.cli", "run", "--data", str(folder / "data"), "--feed", str(feed)]
    command += ["--speed", f"{speed:g}", "--hold", "--ready-file", str(folder / "ready.json")]
    log = folder / "console.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
    try:
        yield Venue(folder, process, ready_wait(process, folder / "ready.json", log))
    finally:
        process.send_signal(signal.SIGINT)
        code = process_end(process)
    assert code == 0, log.read_text(errors="replace")[-2000:]


class FeedWatch:
    """Which of the recording's quotes the log holds so far; follows the log while everything is being killed."""

    def __init__(self, market: str, update_ids: frozenset[int]) -> None:
        self.market = market
        self.update_ids = update_ids
        self.seen: set[int] = set()
        self.seq = 0

    @property
    def progress(self) -> float:
        """Return the part of the recording that is in the log."""
        return len(self.seen) / len(self.update_ids)

    async def run(self, venue: Venue) -> None:
        """Read on until every quote of the recording was seen."""
        streams = StreamsAsync(venue.redis_url)
        try:
            while self.progress < 1:
                async for fields in self.entries(streams, venue.keys):
                    kind, body = fields[-1]
                    if kind == b"price_update":
                        quote = orjson.loads(body)
                        if quote["s"] == self.market and quote["u"] in self.update_ids:
                            self.seen.add(quote["u"])
        finally:
            await streams.close()

    async def entries(self, streams: StreamsAsync, keys: Keys) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Yield the fields of the next entries; a Redis that is away gives none."""
        try:
            page = await streams.read_log(keys, self.seq, READ_ENTRIES, BLOCK_MS)
        except StreamsError:
            await asyncio.sleep(LOOK_S)
            return
        for entry in page:
            self.seq = entry.seq
            yield entry.fields


class Kill(NamedTuple):
    """One kill to come: when this part of the feed has passed, and a moment later."""

    progress: float
    pause_s: float
    name: str


def kills_plan(chance: random.Random, counts: dict[str, int]) -> list[Kill]:
    """Return the kills in their order, at random moments of the feed."""
    kills = [
        Kill(chance.uniform(0.03, 0.95), chance.uniform(0, 0.3), name)
        for name, count in counts.items()
        for _ in range(count)
    ]
    return sorted(kills)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not holds():  # noqa: ASYNC110 - files and a log have no event to wait for
        await asyncio.sleep(LOOK_S)


async def kills_run(venue: Venue, kills: list[Kill], progress: Callable[[], float], done: list[str]) -> None:
    """Kill each with SIGKILL at its moment; one that is still down from the last time is waited for."""
    killed: dict[str, int] = {}
    for kill in kills:
        await until(lambda kill=kill: progress() >= kill.progress)
        await asyncio.sleep(kill.pause_s)
        await until(lambda kill=kill: venue.pid(kill.name) not in (0, killed.get(kill.name)))
        killed[kill.name] = venue.pid(kill.name)
        os.kill(killed[kill.name], signal.SIGKILL)
        done.append(f"{kill.name} at {kill.progress:.2f}")
