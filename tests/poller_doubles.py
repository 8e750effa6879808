"""Stand-ins for what the poller touches: a clock that tests advance, a log with faults, both ends of a socket."""

import asyncio
import gzip
import heapq
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from poller.timing import Timing
from poller.transport import Socket, SocketClosed
from shared.stream_keys import Appended, AppendStatus, Entry, Fields, Keys, StreamsDown

NOW_US = 1_790_000_000_000_000
VENUE = "venueoftest"
KEYS = Keys(VENUE)


class Clock:
    """Time that stands still until a test advances it; sleepers wake in their order."""

    def __init__(self) -> None:
        self.elapsed_s = 100.0
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.order = itertools.count()
        self.timing = Timing(self.now_us, lambda: self.elapsed_s, self.sleep)

    def now_us(self) -> int:
        """Return the wall clock."""
        return NOW_US + round(self.elapsed_s * 1e6)

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced so far."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.elapsed_s + max(seconds, 0.0), next(self.order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking every sleeper at its own moment."""
        target_s = self.elapsed_s + seconds
        await settle()
        while self.sleepers and self.sleepers[0][0] <= target_s:
            due_s, _, waiter = heapq.heappop(self.sleepers)
            self.elapsed_s = max(self.elapsed_s, due_s)
            if not waiter.done():
                waiter.set_result(None)
                await settle()
        self.elapsed_s = target_s
        await settle()

    def jump(self, seconds: float) -> None:
        """Let time pass while the process stands still."""
        self.elapsed_s += seconds


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(30):
        await asyncio.sleep(0)


class Silent:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep a line."""
        self.lines.append((event, fields))

    warning = error = info

    def events(self) -> list[str]:
        """Return the names of the lines."""
        return [event for event, _ in self.lines]


class FakeStreams:
    """The log and a few values in memory; `script` says what becomes of the next batches, one word each."""

    def __init__(self) -> None:
        self.entries: list[Fields] = []
        self.script: list[str] = []  # accept, refuse, lose (applied, answer lost), vanish (not applied, answer lost)
        self.down = False
        self.losses = 0
        self.restores_count = 0
        self.unreadable = False  # appends work, everything else does not
        self.batches: list[int] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self.gate: asyncio.Event | None = None
        self.values: dict[str, Any] = {}
        self.pointer: str | None = VENUE

    async def append_many(self, _keys: Keys, entries: Iterable[Fields]) -> list[Appended]:
        """Append all or none."""
        entries = list(entries)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        self.in_flight -= 1
        word = "refuse" if self.down else self.script.pop(0) if self.script else "accept"
        if word == "refuse":
            return [Appended(AppendStatus.REFUSED, 0, "OOM")] * len(entries)
        first = len(self.entries) + 1
        if word != "vanish":
            self.entries.extend(entries)
            self.batches.append(len(entries))
        if word in ("lose", "vanish"):
            return [Appended(AppendStatus.UNKNOWN, 0, "UNANSWERED")] * len(entries)
        return [Appended(AppendStatus.ACCEPTED, first + i) for i in range(len(entries))]

    async def read_log(self, _keys: Keys, after_seq: int, count: int, _block_ms: int | None = None) -> list[Entry]:
        """Return entries after a seq."""
        self.reachable()
        rows = self.entries[after_seq : after_seq + count]
        return [Entry(after_seq + 1 + i, fields) for i, fields in enumerate(rows)]

    async def range_log(self, _keys: Keys, first_seq: int, last_seq: int, count: int) -> list[Entry]:
        """Return the entries between two seqs."""
        self.reachable()
        rows = self.entries[max(first_seq - 1, 0) : last_seq][:count]
        return [Entry(max(first_seq, 1) + i, fields) for i, fields in enumerate(rows)]

    async def log_first(self, _keys: Keys) -> int:
        """Return the oldest seq."""
        self.reachable()
        return min(len(self.entries), 1)

    async def log_tip(self, _keys: Keys) -> int:
        """Return the newest seq."""
        self.reachable()
        return len(self.entries)

    async def restores(self, _keys: Keys) -> int:
        """Return how often the log was restored."""
        self.reachable()
        return self.restores_count

    async def venue(self) -> str | None:
        """Return the pointer."""
        self.reachable()
        return self.pointer

    async def get_json(self, key: str) -> Any:
        """Return a value."""
        self.reachable()
        return self.values.get(key)

    async def leader_read(self, keys: Keys) -> dict[str, Any] | None:
        """Return the leader's heartbeat."""
        return await self.get_json(keys.leader)

    async def heartbeat(self, keys: Keys, name: str, payload: dict[str, Any]) -> None:
        """Keep a heartbeat."""
        self.reachable()
        self.values[keys.process(name)] = payload

    def reachable(self) -> None:
        """Raise while the server is away."""
        if self.down or self.unreadable:
            raise StreamsDown("connection refused")

    def kinds(self) -> list[str]:
        """Return the kind of each entry."""
        return [fields[-1][0].decode() for fields in self.entries]

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """Return the JSON of every entry of a kind."""
        return [orjson.loads(fields[-1][1]) for fields in self.entries if fields[-1][0] == kind.encode()]


class FakeSocket:
    """The poller's end of a connection; a test puts frames in."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[str] = []
        self.aborted = False
        self.taken = 0

    async def receive(self) -> bytes:
        """Return the next frame, buffered ones even after the end, as a library may."""
        frame = await self.frames.get()
        if frame is None:
            raise SocketClosed("closed")
        self.taken += 1
        return frame

    async def send(self, text: str) -> None:
        """Keep what is sent."""
        if self.aborted:
            raise SocketClosed("closed")
        self.sent.append(text)

    def abort(self) -> None:
        """End the connection."""
        self.aborted = True
        self.frames.put_nowait(None)

    def put(self, *frames: bytes) -> None:
        """Have frames arrive."""
        for frame in frames:
            self.frames.put_nowait(frame)


class Connector:
    """Hands out sockets, or refuses while told to."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.tried = 0
        self.refusing = False

    async def __call__(self, _url: str) -> Socket:
        """Return a new socket."""
        self.tried += 1
        if self.refusing:
            raise SocketClosed("refused")
        self.sockets.append(FakeSocket())
        return self.sockets[-1]


class FakeTransport:
    """A server connection's transport: never full, may be aborted."""

    def __init__(self, connection: "FakeConnection") -> None:
        self.connection = connection

    def get_write_buffer_size(self) -> int:
        """Return that everything was written."""
        return 0

    def abort(self) -> None:
        """End the connection."""
        self.connection.aborted = True


class FakeConnection:
    """The simulator's end of a connection; keeps what a client would read and answers pings when told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.pings: list[asyncio.Future[float]] = []
        self.answering = True
        self.aborted = False
        self.transport = FakeTransport(self)

    async def send(self, text: str) -> None:
        """Keep a frame."""
        self.texts.append(text)

    async def ping(self) -> asyncio.Future[float]:
        """Return the future of the pong."""
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.pings.append(waiter)
        if self.answering:
            waiter.set_result(0.0)
        return waiter

    def data(self, stream: str) -> list[dict[str, Any]]:
        """Return the data objects sent on a stream."""
        messages = [orjson.loads(text) for text in self.texts]
        return [message["data"] for message in messages if message["stream"] == stream]


def price_frame(update_id: int, market: str = "BTC_USDC_PERP", event_us: int = NOW_US) -> bytes:
    """Return a bookTicker frame."""
    data = {
        "A": "1.5", "B": "2.5", "E": event_us, "T": event_us - 100, "a": "86656.0", "b": "86655.9",
        "e": "bookTicker", "s": market, "u": update_id,
    }  # fmt: skip
    return orjson.dumps({"data": data, "stream": f"bookTicker.{market}"})


def mark_frame(market: str = "BTC_USDC_PERP", event_us: int = NOW_US) -> bytes:
    """Return a markPrice frame."""
    data = {
        "E": event_us, "T": event_us, "e": "markPrice", "f": "-0.0000125131640625000000000001", "i": "86655.5",
        "n": 1_790_002_800_000, "p": "86655.94871", "s": market,
    }  # fmt: skip
    return orjson.dumps({"data": data, "stream": f"markPrice.{market}"})


def recording_write(path: Path, frames: list[bytes]) -> Path:
    """Write a recording and return its path."""
    target = path / "recording.jsonl.gz"
    with gzip.open(target, "wb") as file:
        file.write(b"\n".join(frames) + b"\n")
    return target
