"""
Load for the gateway's bench: orders over HTTP or a WebSocket, back to back or at a pace, timed from outside.

The requests are written by hand and the answers hardly read, so that what is measured is the other side. At a pace the
clock of an order starts when it is due, not when its client gets free: a gateway that stalls is not let off.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self

from websockets.asyncio.client import ClientConnection, connect

SEED = 20_261_122
ANSWER_TIMEOUT_S = 30.0


class Latencies(NamedTuple):
    """What one load gave: a latency for each answer, how many answers were not the one wanted, and how long it took."""

    seconds: list[float]
    refused: dict[str, int]
    wall_s: float

    def percentile_ms(self, share: float) -> float:
        """Return the latency that this share of the answers does not exceed, in milliseconds."""
        ranked = sorted(self.seconds)
        return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1_000, 3) if ranked else 0.0

    def figures(self) -> dict[str, Any]:
        """Return what is shown of it."""
        return {
            "answers": len(self.seconds),
            "per_s": round(len(self.seconds) / self.wall_s),
            "p50_ms": self.percentile_ms(0.5),
            "p99_ms": self.percentile_ms(0.99),
            "max_ms": self.percentile_ms(1.0),
            "refused": self.refused,
        }


class Wire(Protocol):
    """One client's connection."""

    async def ask(self) -> str: ...
    async def close(self) -> None: ...


class HttpWire:
    """A kept HTTP connection; every `ask` sends the next of the bodies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Sequence[bytes]) -> None:
        """Keep the connection and what is sent on it in turn."""
        self.reader, self.writer, self.requests = reader, writer, requests
        self.sent = 0

    @classmethod
    async def open(cls, port: int, path: str, token: str, bodies: Sequence[bytes]) -> Self:
        """Return an open connection to this machine."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        return cls(reader, writer, requests)

    async def ask(self) -> str:
        """Return "" for 200, else the code or the status of the answer."""
        self.writer.write(self.requests[self.sent % len(self.requests)])
        self.sent += 1
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        content = await self.reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200 "):
            return ""
        return str(json.loads(content).get("code") or head[9:12].decode())

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        await self.writer.wait_closed()


class SocketWire:
    """A WebSocket on which orders are sent and answered in turn; other messages are passed over."""

    def __init__(self, socket: ClientConnection, messages: Sequence[str]) -> None:
        """Keep the socket and what is sent on it in turn."""
        self.socket, self.messages = socket, messages
        self.sent = 0

    @classmethod
    async def open(cls, port: int, token: str, bodies: Sequence[bytes], op: str = "order") -> Self:
        """Return a socket that is signed in."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        socket = await connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, compression=None)
        messages = [f"""{{"op":"{op}","id":"b","body":{body.decode()}}}""" for body in bodies]
        return cls(socket, messages)

    async def ask(self) -> str:
        """Return "" for status 200, else the code of the answer."""
        await self.socket.send(self.messages[self.sent % len(self.messages)])
        self.sent += 1
        while True:
            message = json.loads(await self.socket.recv())
            if message["type"] == "answer":
                return "" if message["status"] == 200 else str(message["body"].get("code") or message["status"])
            if message["type"] == "error":
                return str(message["code"])

    async def close(self) -> None:
        """Close the socket."""
        await self.socket.close()


async def timed(wire: Wire, since_s: float, seconds: list[float], refused: Counter[str]) -> None:
    """Ask once and keep how long it took since then."""
    refusal = await asyncio.wait_for(wire.ask(), ANSWER_TIMEOUT_S)
    if refusal:
        refused[refusal] += 1
    else:
        seconds.append(time.perf_counter() - since_s)


async def closed_loop(wires: Sequence[Wire], seconds: float) -> Latencies:
    """Let every client ask again as soon as it is answered."""
    taken: list[float] = []
    refused: Counter[str] = Counter()
    begin_s = time.perf_counter()

    async def client(wire: Wire) -> None:
        while (now_s := time.perf_counter()) < begin_s + seconds:
            await timed(wire, now_s, taken, refused)

    await asyncio.gather(*(client(wire) for wire in wires))
    return Latencies(taken, dict(refused), time.perf_counter() - begin_s)


async def paced(wires: Sequence[Wire], rate: float, seconds: float) -> Latencies:
    """Let orders become due at random moments, so many a second in all, each client's one after the other."""
    taken: list[float] = []
    refused: Counter[str] = Counter()
    due: list[asyncio.Queue[float]] = [asyncio.Queue() for _ in wires]
    chance = random.Random(SEED)

    async def client(wire: Wire, queue: "asyncio.Queue[float]") -> None:
        while (since_s := await queue.get()) > 0:
            await timed(wire, since_s, taken, refused)

    clients = [asyncio.ensure_future(client(wire, queue)) for wire, queue in zip(wires, due, strict=True)]
    begin_s = next_s = time.perf_counter()
    while next_s < begin_s + seconds:
        next_s += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, next_s - time.perf_counter()))
        # The loop's timers come up to a millisecond late: an order is due when its timer came.
        chance.choice(due).put_nowait(time.perf_counter())
    for queue in due:
        queue.put_nowait(0.0)
    await asyncio.gather(*clients)
    return Latencies(taken, dict(refused), time.perf_counter() - begin_s)


async def with_wires(
    opens: Sequence[Callable[[], Awaitable[Wire]]], load: Callable[[Sequence[Wire]], Awaitable[Latencies]]
) -> Latencies:
    """Return what a load gave on fresh connections, each of which was used once before."""
    wires = [await each() for each in opens]
    try:
        for wire in wires:
            await asyncio.wait_for(wire.ask(), ANSWER_TIMEOUT_S)
        return await load(wires)
    finally:
        for wire in wires:
            await wire.close()
