"""Who is subscribed to what on the local Backpack, and how frames reach them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from poller.backpack import KEYS_MARK, KEYS_PRICE, STREAM_PRICE

# Frames that a subscriber may have been sent without a pong; far below what the buffers of a loopback socket hold.
WINDOW_FRAMES = 1_000
# What a slow reader of the synthetic market may leave unread before it is cut off, as a real venue would.
BACKLOG_BYTES_MAX = 4 << 20


class Subscriber:
    """One connection and the streams it asked for."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.streams: set[str] = set()
        self.sent_count = 0
        self.unconfirmed: deque[tuple[int, asyncio.Future[float]]] = deque()  # sent_count at a ping, its pong

    def drop(self) -> None:
        """Cut the connection."""
        self.connection.transport.abort()


class Hub:
    """The subscribers in the order in which they came."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []

    def add(self, subscriber: Subscriber, streams: Iterable[str]) -> None:
        """Subscribe; the first subscription decides the order."""
        if subscriber not in self.subscribers:
            self.subscribers.append(subscriber)
        subscriber.streams.update(streams)

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a connection."""
        if subscriber in self.subscribers:
            self.subscribers.remove(subscriber)

    def wanting(self, *streams: str) -> list[Subscriber]:
        """Return who is subscribed to any of the streams, the newest last."""
        return [one for one in self.subscribers if not one.streams.isdisjoint(streams)]

    async def send(self, stream: str, text: str) -> None:
        """Send a frame to all who want it, at the pace of the slowest."""
        for subscriber in self.wanting(stream):
            try:
                await subscriber.connection.send(text)
                subscriber.sent_count += 1
            except ConnectionClosed:
                self.remove(subscriber)

    def publish(self, stream: str, text: str) -> None:
        """Send a frame to all who want it, at no pace but our own; who does not keep up is cut off."""
        for subscriber in self.wanting(stream):
            if subscriber.connection.transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
                subscriber.drop()
                self.remove(subscriber)
            else:
                broadcast([subscriber.connection], text)

    async def ping(self, streams: Iterable[str], pong: Callable[[Subscriber], Callable[[], None]]) -> None:
        """Ping all who want any of the streams; what `pong(subscriber)` returns is called when the pong has come."""
        for subscriber in self.wanting(*streams):
            try:
                waiter: asyncio.Future[Any] = await subscriber.connection.ping()  # type: ignore[assignment]
            except ConnectionClosed:
                self.remove(subscriber)
                continue
            subscriber.unconfirmed.append((subscriber.sent_count, waiter))
            waiter.add_done_callback(pong_callback(pong(subscriber)))

    def lagging(self) -> list[Subscriber]:
        """Return who has more unconfirmed frames than the window allows."""
        late = []
        for subscriber in self.subscribers:
            pending = subscriber.unconfirmed
            while pending and pending[0][1].done():
                pending.popleft()
            if pending and subscriber.sent_count - pending[0][0] > WINDOW_FRAMES:
                late.append(subscriber)
        return late


def pong_callback(confirm: Callable[[], None]) -> Callable[[asyncio.Future[Any]], None]:
    """Return a callback that confirms only when a pong has really come, not when the connection ended."""

    def done(waiter: asyncio.Future[Any]) -> None:
        if not waiter.cancelled() and waiter.exception() is None:
            confirm()

    return done


def frame_text(stream: str, data: dict[str, Any]) -> str:
    """Return a data frame as Backpack writes it: data before stream, keys in alphabetical order, no blanks."""
    keys = KEYS_PRICE if stream.startswith(STREAM_PRICE) else KEYS_MARK
    return orjson.dumps({"data": {key: data[key] for key in keys}, "stream": stream}).decode()
