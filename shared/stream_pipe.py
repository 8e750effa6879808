"""
One connection that is written to without waiting for what was written before: each reply goes to whoever wrote for it.

For the producers of many single entries, whose every layer between a body and the socket is time that somebody waits.
Here is no look at the server: `streams_async.py` lends it a connection whose server was looked at.
"""

import asyncio
from collections import deque
from typing import Any

import hiredis

from shared.stream_wire import NOTHING, Lent, Wire

WAITING_MAX = 16  # unanswered at once: of so many, a server that hangs may leave the outcome unknown
SILENT_S = 0.25  # unanswered for so long, nothing more is sent on a connection


class Pipe(Lent):
    """Questions of one reply each, under way on one connection; silent for `patience_s`, it ends."""

    def __init__(self, wire: Wire, patience_s: float) -> None:
        """Take over the connection of a wire on which nothing is under way."""
        super().__init__(wire.transport, wire.before)
        self.patience_s = patience_s
        self.waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()  # since when, and for what
        self.timer: asyncio.TimerHandle | None = None
        self.ended = False

    @property
    def open(self) -> bool:
        """Return whether one more may be sent: it has not ended, nobody waits for long, and not too many do."""
        if not self.waiting:
            return not self.ended
        return len(self.waiting) < WAITING_MAX and self.loop.time() - self.waiting[0][0] < SILENT_S

    def send(self, data: bytes) -> "asyncio.Future[Any]":
        """
        Send one command and return the future of its reply, which fails with an OSError when none comes.

        Whoever waits may stop doing so at any time: the command was sent, and its reply is passed over.
        """
        assert self.open
        future: asyncio.Future[Any] = self.loop.create_future()
        self.waiting.append((self.loop.time(), future))
        if self.timer is None:
            self.timer = self.loop.call_later(self.patience_s, self.look)
        self.transport.write(data)
        return future

    def look(self) -> None:
        """End the connection when its oldest question was not answered in time."""
        self.timer = None
        if self.waiting:
            left_s = self.waiting[0][0] + self.patience_s - self.loop.time()
            if left_s <= 0:
                self.end(TimeoutError("no answer in time"))
            else:
                self.timer = self.loop.call_later(left_s, self.look)

    def data_received(self, data: bytes) -> None:
        """Give each reply to whoever waits for it."""
        try:
            self.reader.feed(data)
            while (reply := self.reader.gets(False)) is not NOTHING:
                if not self.waiting:
                    raise hiredis.ProtocolError("a reply that nobody asked for")
                _since_s, future = self.waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self.end(ConnectionError(str(error)))

    def end(self, error: OSError) -> None:
        """Hang up and tell whoever waits why; nothing is sent from here any more."""
        self.ended = True
        self.transport.abort()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        while self.waiting:
            future = self.waiting.popleft()[1]
            if not future.done():
                future.set_exception(error)
