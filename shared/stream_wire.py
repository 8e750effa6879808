"""
Requests and replies of one asyncio connection straight on its transport: one write, one wake-up, no layers between.

The client library connects, signs in and hangs up; between that it lends its transport. It has no public way to it, so
a connection of another kind, or one that was already read from, simply does without. What a reply says is not looked at
here, only where it ends.
"""

import abc
import asyncio
from typing import Any

import hiredis

from shared.stream_guard import ServerError

NOTHING = object()  # the parser has no whole reply


def error_of(text: str) -> ServerError:
    """Return an error reply as a value: its code and its words."""
    first, _, rest = text.partition(" ")
    return ServerError(first, rest) if first.isupper() and first.isalpha() else ServerError("ERR", text)


class Lent(asyncio.Protocol, abc.ABC):
    """A connection that the client library made and reads no more."""

    def __init__(self, transport: Any, before: Any) -> None:
        """Take over a transport; whoever had it before is told of its end alone."""
        self.transport = transport
        self.before = before
        self.loop = asyncio.get_running_loop()
        self.reader = hiredis.Reader(replyError=error_of, notEnoughData=NOTHING)  # type: ignore[arg-type]
        transport.set_protocol(self)

    def eof_received(self) -> None:
        """Tell whoever waits, and let the transport close."""
        self.end(ConnectionError("the server closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits that nothing more will come."""
        self.end(error if isinstance(error, OSError) else ConnectionError("the server closed the connection"))
        self.before.connection_lost(error)

    @abc.abstractmethod
    def end(self, error: OSError) -> None:
        """Let nobody use this connection any more, and tell whoever waits why."""


class Wire(Lent):
    """One connection; at most one request is under way."""

    def __init__(self, transport: Any) -> None:
        """Take over a transport."""
        super().__init__(transport, transport.get_protocol())
        self.replies: list[Any] = []
        self.wanted = 0
        self.answered: asyncio.Future[None] | None = None
        self.stale = False  # it has ended, or said something that nobody had asked

    async def ask(self, data: bytes, count: int, timeout_s: float) -> list[Any]:
        """
        Return the replies to what is sent; raises OSError when they do not come whole.

        After that, or when it is cancelled, the connection is of no use any more.
        """
        self.replies, self.wanted = [], count
        self.answered = self.loop.create_future()
        timer = self.loop.call_later(timeout_s, self.end, TimeoutError("no answer in time"))
        try:
            self.transport.write(data)
            await self.answered
            return self.replies
        finally:
            timer.cancel()
            self.answered, self.replies = None, []

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        waiting = self.answered
        if waiting is None or waiting.done():
            self.stale = True
            return
        self.reader.feed(data)
        try:
            while len(self.replies) < self.wanted and (reply := self.reader.gets(False)) is not NOTHING:
                self.replies.append(reply)
        except hiredis.ProtocolError as error:
            self.end(ConnectionError(str(error)))
            return
        if len(self.replies) == self.wanted:
            self.stale = self.stale or self.reader.has_data()
            waiting.set_result(None)

    def end(self, error: OSError) -> None:
        """Let nobody use this connection any more, and tell whoever waits why."""
        self.stale = True
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(error)


def wire_of(connection: Any) -> Wire | None:
    """Return the wire of an open connection of the client library, None where its transport is not to be had."""
    writer, reader = getattr(connection, "_writer", None), getattr(connection, "_reader", None)
    if not isinstance(writer, asyncio.StreamWriter) or not isinstance(reader, asyncio.StreamReader):
        return None
    if reader.at_eof() or getattr(reader, "_buffer", None) != b"":
        return None
    return Wire(writer.transport)
