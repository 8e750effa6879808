"""One `python -m engine` as the tests see it, and the entries that a poller and a gateway would append."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from engine.ingest import Machine
from shared.clock import now_us
from shared.streams import AppendStatus, Fields, Keys, Streams

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 90.0  # the first engine of a session may have to compile
SESSION = b"test1"
SLOT_US = 10_000_000  # of log time: the first entry in a new one is a keyframe


class EngineProcess:
    """A process with its data folder; killed or stopped at the end of the test by its owner."""

    module = "engine"

    def __init__(self, redis_url: str, database_url: str, data_dir: Path) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ,
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "TIDEMARK_DATA": str(data_dir),
            "PYTHONPATH": str(REPOSITORY),
        }
        self.prefix: list[str] = []  # what the command is run by
        self.log = data_dir / "engine.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "EngineProcess":
        """Start the process; its lines are appended to its log."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", self.module],
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=REPOSITORY,
            )
        return self

    def end(self, kind: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(kind)
        return self.process.wait(20)

    def facts(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of this event."""
        lines = self.log.read_bytes().splitlines() if self.log.exists() else []
        facts = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [fact for fact in facts if fact["event"] == event]


class Producer:
    """Appends what a poller and a gateway append; keeps what was acknowledged."""

    def __init__(self, streams: Streams, keys: Keys) -> None:
        self.streams = streams
        self.keys = keys
        self.update_id = 0
        self.requests = 0
        self.stamped_us = 0  # the time of the newest entry that was acknowledged
        self.ahead_us = 0  # how far the producers' clocks run ahead, so that a keyframe need not be waited for
        self.acknowledged: dict[int, bytes] = {}  # seq -> request id

    def now_us(self) -> int:
        """Return the producers' time."""
        return now_us() + self.ahead_us

    def slot_skip(self) -> None:
        """Let the log's time run on, a tick a second, into the next ten-second slot and not into the one after it."""
        slot = self.stamped_us // SLOT_US
        while self.stamped_us // SLOT_US == slot:
            self.ahead_us += 1_000_000
            assert self.tick()
        time.sleep(0.1)  # room for the snapshot of this keyframe before the next

    def append(self, kind: str, body: dict[str, Any], session: bool = False) -> int:
        """Append one entry; return its seq, 0 when it is refused or unknown."""
        stamp_us = self.now_us()
        fields: Fields = [(b"ts", b"%d" % stamp_us)]
        if session:
            fields.append((b"session", SESSION))
        fields.append((kind.encode(), orjson.dumps(body)))
        appended = self.streams.append(self.keys, fields)
        if appended.status is not AppendStatus.ACCEPTED:
            return 0
        self.stamped_us = stamp_us
        return appended.seq

    def feed_open(self) -> int:
        """Append the feed's opening."""
        return self.append("feed_status", {"status": "up", "source": "simulated"}, session=True)

    def tick(self) -> int:
        """Append the second's tick."""
        return self.append("clock_tick", {})

    def quote(self, market: str, bid: str, ask: str) -> int:
        """Append a quote."""
        self.update_id += 1
        time_us = self.now_us()
        body = {"A": "5", "B": "5", "E": time_us, "T": time_us, "a": ask, "b": bid, "e": "bookTicker", "s": market}
        return self.append("price_update", {**body, "u": str(self.update_id)}, session=True)

    def instruct(self, op: str, account: int = 0, venue: bool = False, **keys: Any) -> int:
        """Append one instruction with a new request id; return its seq."""
        self.requests += 1
        request_id = f"{self.requests:032x}"
        body = {"v": 1, "account": account, "request_id": request_id, "op": op, **keys}
        seq = self.append("venue_instruction" if venue else "user_instruction", body)
        if seq:
            self.acknowledged[seq] = request_id.encode()
        return seq


def until(holds: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Return what holds, once it does."""
    deadline = time.monotonic() + patience_s
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen in {patience_s} s"
        time.sleep(0.01)


def twin_of(streams: Streams, keys: Keys, last_seq: int) -> tuple[Machine, list[Any]]:
    """Return a machine that read the log once from its first entry to last_seq, and every output it derived."""
    machine, outputs = Machine(), []
    while machine.seq < last_seq:
        machine.load(streams.read_log(keys, machine.seq, min(1_000, last_seq - machine.seq)))
        while (step := machine.step()) is not None:
            outputs.extend(step.outputs)
    return machine, outputs


def events_all(streams: Streams, keys: Keys) -> list[Any]:
    """Return every entry of the events stream."""
    entries: list[Any] = []
    while found := streams.read_events(keys, (entries[-1].seq, entries[-1].chunk) if entries else (0, 0), 1_000):
        entries.extend(found)
    return entries
