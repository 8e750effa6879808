"""
What waits to be sent on one socket: messages in order, of prices only the newest, and how much is too much.

Whoever tells events looks at `full` and waits for `room`, so what lies here stays small; a client that asks and never
reads is the one that fills it to the end. A large message goes out in pieces, as the client takes them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

BACKLOG_MAX = 1024 * 1024  # bytes; beyond it the socket is given up
FULL = 256 * 1024  # nobody tells more than this ahead of the client, and goes on once half of it is taken
PASS_BYTES = 64 * 1024  # handed to the connection in one go, and the most of a message that is


class Piece(NamedTuple):
    """A message, or a part of one that is too large for one go."""

    data: bytes
    first: bool = True
    last: bool = True
    counts: int = 0  # bytes, of the whole message, for the backlog; in its last piece


class Wire(Protocol):
    """The connection under a socket."""

    def buffered(self) -> int:
        """Return how many bytes wait in the connection."""

    async def send(self, pieces: Sequence[Piece]) -> None:
        """Hand on text messages once the connection takes more; raises ConnectionError when it is gone."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was handed on; a client that does not take it is cut off soon."""


class Goodbye(NamedTuple):
    """Why a socket ends: the close code and its reason."""

    code: int
    reason: str


class Outbox:
    """The messages of one socket; `run` sends them."""

    def __init__(self, wire: Wire, monotonic_s: Callable[[], float], full_bytes: int = FULL) -> None:
        """Start empty."""
        self._full_bytes = full_bytes
        self._wire = wire
        self._monotonic_s = monotonic_s
        self._pieces: deque[Piece] = deque()
        self._newest: dict[str, bytes] = {}
        self._bytes = 0
        self._wanted = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.large = asyncio.Lock()  # whoever puts in what may be large: one at a time, and only when there is room
        self._sending_since_s: float | None = None
        self.goodbye: Goodbye | None = None
        self.over = asyncio.Event()  # what waits will not be sent any more

    @property
    def backlog_bytes(self) -> int:
        """Return how much is not with the client's system yet, as far as this process knows."""
        return self._bytes + self._wire.buffered()

    @property
    def full(self) -> bool:
        """Return whether no more events should be put in for now."""
        return self._bytes >= self._full_bytes

    def stalled_s(self) -> float:
        """Return for how long the client has taken nothing although there was something."""
        since_s = self._sending_since_s
        return 0.0 if since_s is None else self._monotonic_s() - since_s

    def put(self, frame: bytes) -> None:
        """Send a message after all others; too many of them end the socket."""
        if self.goodbye is not None:
            return
        if self.backlog_bytes > BACKLOG_MAX:
            # One message may be larger than that: what counts is what it would wait behind.
            self.end(1013, "backlog", at_once=True)
            return
        # However large, one message makes it full and no more: what follows waits, but is not held against the client.
        counts = min(len(frame), FULL)
        self._pieces += pieces_of(frame, counts)
        self._bytes += counts
        if self.full:
            self._room.clear()
        self._wanted.set()

    def put_newest(self, name: str, frame: bytes) -> None:
        """Send how something stands, soon; an older one of the same name that still waits is dropped."""
        if self.goodbye is None:
            self._newest[name] = frame
            self._wanted.set()

    def drop_newest(self, name: str) -> None:
        """Send nothing of that name."""
        self._newest.pop(name, None)

    def end(self, code: int, reason: str, at_once: bool = False) -> None:
        """End the socket, after what waits or instead of it; the first reason stands."""
        self.goodbye = self.goodbye or Goodbye(code, reason)
        if at_once:
            self._pieces.clear()
            self._newest.clear()
            self._bytes = 0
            self.over.set()
        self._room.set()
        self._wanted.set()

    async def room(self) -> None:
        """Return when more events may be put in."""
        await self._room.wait()

    async def run(self) -> None:
        """Send until the end; raises ConnectionError when the client is gone."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._pieces or self._newest:
                await self._pass()
            if self.goodbye is not None:
                return

    async def _pass(self) -> None:
        """Send some of the messages, then how things stand."""
        pieces: list[Piece] = []
        size = 0
        while self._pieces and size < PASS_BYTES:
            pieces.append(self._pieces.popleft())
            size += len(pieces[-1].data)
        if not pieces or pieces[-1].last:
            pieces += (Piece(frame) for frame in self._newest.values())
            self._newest.clear()
        self._sending_since_s = self._monotonic_s()
        await self._wire.send(pieces)
        self._sending_since_s = None
        self._bytes = max(0, self._bytes - sum(piece.counts for piece in pieces))
        if self._bytes < self._full_bytes // 2:
            self._room.set()


def pieces_of(frame: bytes, counts: int) -> list[Piece]:
    """Return the pieces of a message."""
    if len(frame) <= PASS_BYTES:
        return [Piece(frame, counts=counts)]
    starts = range(0, len(frame), PASS_BYTES)
    last = starts[-1]
    return [
        Piece(frame[start : start + PASS_BYTES], start == 0, start == last, counts if start == last else 0)
        for start in starts
    ]
