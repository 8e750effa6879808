"""
A whole running venue as the fault tests use it: its processes, its HTTP, its streams, its database.

Nothing here knows what is tested. What the venue says is read from outside: over HTTP, from Redis, from Postgres.
"""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import redis

from shared.database import Database
from shared.streams import Entry, EventsEntry, Keys, Streams
from tests.cluster import cluster_give
from tests.integration.conftest import REPOSITORY, process_end, ready_wait

HTTP_TIMEOUT_S = 15.0
READ_COUNT = 5_000
SEQ_MAX = 2**53


class Answer(NamedTuple):
    """One HTTP answer; body is {} where it is no JSON object."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    took_s: float


class Trader(NamedTuple):
    """One account and how it signs in."""

    account: int
    token: str


class Happened(NamedTuple):
    """One event and where it stands."""

    seq: int
    log_time_us: int
    event: dict[str, Any]


class Venue:
    """One venue, run by `./scripts/run` in a process of its own."""

    def __init__(self, ready_file: Path, ready: dict[str, Any]) -> None:
        self.ready_file = ready_file
        self.url: str = ready["url"]
        self.data_dir = Path(ready["data_dir"])
        self.database_url: str = ready["database_url"]
        self.redis_url: str = ready["redis_url"]
        self.keys = Keys(ready["venue"])
        self.supervisor_pid: int = ready["supervisor"]

    # --- processes ------------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Return the process ids as the ready file states them now."""
        return dict(json.loads(self.ready_file.read_text())["pids"])

    def log_lines(self, process: str, after_bytes: int = 0) -> list[dict[str, Any]]:
        """Return the JSON lines that a process has logged."""
        data = (self.data_dir / "logs" / f"{process}.log").read_bytes()[after_bytes:]
        return [json.loads(line) for line in data.splitlines() if line.startswith(b"{")]

    def log_bytes(self, process: str) -> int:
        """Return how much a process has logged so far."""
        return (self.data_dir / "logs" / f"{process}.log").stat().st_size

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `tidemark …` on this venue to its end."""
        return subprocess.run(
            [sys.executable, "-m", "scripts.cli", *words, "--data", str(self.data_dir)],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )

    def traders_open(self, count: int) -> list[Trader]:
        """Open accounts with `tidemark account open`."""
        path = self.data_dir / f"tokens-{time.monotonic_ns()}.jsonl"
        done = self.command("account", "open", "--count", str(count), "--tokens", str(path))
        assert done.returncode == 0, done.stderr
        traders = [Trader(**json.loads(line)) for line in path.read_text().splitlines()]
        assert len(traders) == count
        return traders

    # --- HTTP -----------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        trader: Trader | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = HTTP_TIMEOUT_S,
    ) -> Answer:
        """Return the answer to one request; bytes are sent as they are, anything else as JSON."""
        answer, content = self.call_raw(method, path, body, trader, headers, timeout_s)
        value: Any = {}
        with contextlib.suppress(ValueError):
            value = json.loads(content)
        return answer._replace(body=value if isinstance(value, dict) else {})

    def call_raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        trader: Trader | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = HTTP_TIMEOUT_S,
    ) -> tuple[Answer, bytes]:
        """Return the answer to one request, its body apart and unread."""
        sent = dict(headers or {})
        if trader is not None:
            sent["Authorization"] = f"Bearer {trader.token}"
        payload = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        parts = urllib.parse.urlsplit(self.url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        begin_s = time.monotonic()
        try:
            connection.request(method, path, payload, {"Content-Type": "application/json", **sent})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        names = {name.lower(): text for name, text in answer.getheaders()}
        return Answer(answer.status, {}, names, time.monotonic() - begin_s), content

    def is_ready(self) -> bool:
        """Return whether /ready answers 200."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.call("GET", "/ready", timeout_s=3.0).status == 200
        return False

    def ticker(self, market: str) -> dict[str, Any]:
        """Return a market's ticker."""
        return self.call("GET", f"/api/v1/market/{market}/ticker").body

    # --- streams and database -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def streams(self) -> Iterator[Streams]:
        """Yield the streams, read and never written here."""
        streams = Streams(self.redis_url)
        try:
            yield streams
        finally:
            streams.close()

    def redis(self) -> "redis.Redis":
        """Return a plain client, for what no writer of ours would ever append."""
        return redis.Redis.from_url(self.redis_url)

    def log_tip(self) -> int:
        """Return the newest seq of the log."""
        with self.streams() as streams:
            return streams.log_tip(self.keys)

    def log_read(self, first_seq: int = 1) -> list[Entry]:
        """Return the log's entries from first_seq to its end."""
        entries: list[Entry] = []
        with self.streams() as streams:
            while part := streams.range_log(self.keys, first_seq, SEQ_MAX, READ_COUNT):
                entries += part
                first_seq = part[-1].seq + 1
        return entries

    def events_read(self, first_seq: int = 1) -> list[EventsEntry]:
        """Return the events' entries from first_seq to their end."""
        entries: list[EventsEntry] = []
        first = (first_seq, 0)
        with self.streams() as streams:
            while part := streams.range_events(self.keys, first, (SEQ_MAX, 0), READ_COUNT):
                entries += part
                first = (part[-1].seq, part[-1].chunk + 1)
        return entries

    def happened(self, first_seq: int = 1) -> list[Happened]:
        """Return every event from first_seq on, in order."""
        return [
            Happened(entry.seq, entry.log_time_us, event)
            for entry in self.events_read(first_seq)
            for event in orjson.loads(entry.data)
        ]

    def applied(self, seq: int) -> bool:
        """Return whether the leading engine says that it has applied an entry."""
        with self.streams() as streams:
            leader = streams.leader_read(self.keys)
        return leader is not None and int(leader["seq"]) >= seq

    def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return the rows of one SELECT."""

        async def ask() -> list[dict[str, Any]]:
            database = await Database.connect(self.database_url)
            try:
                return await database.fetch(query, *arguments)
            finally:
                await database.close()

        return asyncio.run(ask())


@contextlib.contextmanager
def venue_running(folder: Path, *options: str, environment: dict[str, str] | None = None) -> Iterator[Venue]:
    """Yield a venue that is ready; stop it cleanly afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    ready_file, log = folder / "ready.json", folder / "console.txt"
    cluster_give(folder / "data")
    command = [sys.executable, "-m", "scripts.cli", "run", "--data", str(folder / "data")]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready_file), *options],
            stdout=output,
            stderr=output,
            env={"TIDEMARK_TRIM": "off", **os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        )
    try:
        yield Venue(ready_file, ready_wait(process, ready_file, log))
    finally:
        process.send_signal(signal.SIGINT)
        code = process_end(process)
    assert code == 0, log.read_text(errors="replace")[-2000:]


def eventually(holds: Callable[[], bool], what: str, patience_s: float = 30.0, pause_s: float = 0.05) -> float:
    """Return after how many seconds something became true; an assertion fails when it does not in time."""
    begin_s = time.monotonic()
    while not holds():
        assert time.monotonic() - begin_s < patience_s, f"not within {patience_s:g} s: {what}"
        time.sleep(pause_s)
    return time.monotonic() - begin_s


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


@contextlib.contextmanager
def hung(pid: int) -> Iterator[None]:
    """Stop a process and its descendants in their tracks while the body runs."""
    stopped = []
    try:
        for one in family(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
                stopped.append(one)
        yield
    finally:
        for one in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)
