"""
Connections that stand in for the client library's: what the clients send and read, cut off wherever a test wants.

What is sent is decoded from the bytes of the protocol; replies come back as the library's parser gives them.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from redis._parsers.base import BaseParser

from tests.simulation import baton
from tests.simulation.loop import Process
from tests.simulation.redis_model import Blocked, Session
from tests.simulation.redis_streams import Failure

LATENCY_MIN_S = 0.00005
CONNECT_TIMEOUT_S = 2.0
NEVER = float("inf")

Commands = list[list[bytes]]


class Packet(NamedTuple):
    """What one write of a client carried."""

    commands: Commands
    connection: Any


class Torn(NamedTuple):
    """A reply of which only the first bytes arrive."""

    reply: Any
    share: float


class Socket:
    """One TCP connection: the server's session at one end, what has not been read yet at the other."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.session = Session()
        self.inbox: deque[tuple[float, Any]] = deque()  # when it arrives, the reply
        self.arrival_s = 0.0  # of the newest: the order is kept
        self.end_s = NEVER  # when the client can see that the connection is gone
        self.gone = False  # at the server: nothing that arrives is done, nothing is sent
        self.mute = False  # nothing that the server sends arrives any more
        self.raw = False  # the client reads bytes: a reply can be torn
        self.whole_left: tuple[int, float] | None = None  # replies that arrive before one is torn, and how much of that
        self.blocked: tuple[Blocked, float] | None = None  # and how long the reply takes
        self.later: list[tuple[Commands, Any]] = []  # what came meanwhile: the server looks at it after the read
        self.wake: Callable[[float], None] | None = None  # tells a waiting reader when to look

    def put(self, reply: Any, when_s: float) -> None:
        """Let a reply arrive."""
        self.arrival_s = max(self.arrival_s, when_s)
        self.inbox.append((self.arrival_s, reply))
        if self.wake is not None:
            self.wake(self.arrival_s)

    def end(self, when_s: float) -> None:
        """Close the connection from the server's side."""
        self.gone, self.blocked, self.later = True, None, []
        self.end_s = min(self.end_s, max(when_s, self.arrival_s))
        if self.wake is not None:
            self.wake(self.end_s)

    def ready_s(self) -> float:
        """Return when there is something to be read, the end of the connection included."""
        return self.inbox[0][0] if self.inbox else self.end_s

    def take(self) -> Any:
        """Return the next reply as the client library does; raises its errors."""
        if not self.inbox:
            raise redis.exceptions.ConnectionError("Connection closed by server.")
        reply = reply_read(self.inbox.popleft()[1])
        first = reply[0] if isinstance(reply, list) and reply else reply
        if isinstance(reply, redis.exceptions.ResponseError):
            raise reply
        if isinstance(first, redis.exceptions.ConnectionError):
            raise first
        return reply


class BlockingConnection:
    """Stands in for the client library's blocking connection, in a SimThread."""

    def __init__(self, server: Any, process: Process) -> None:
        self.server = server
        self.process = process
        self.socket: Socket | None = None
        self.wait = 0  # the wait that the thread is in, 0 while it is in none
        self.until_s = NEVER  # how long it waits
        self.watched = False  # a timer looks after that

    @property
    def is_connected(self) -> bool:
        """Return whether the client believes in a connection."""
        return self.socket is not None

    def connect(self) -> None:
        """Open the connection; raises what the library raises."""
        loop, fault = self.process.loop, self.server.connect_plan(self.process)
        if fault == "hangs":
            baton.current().sleep_until(loop.now_s + CONNECT_TIMEOUT_S)
            raise redis.exceptions.TimeoutError("Timeout connecting to server")
        baton.current().sleep_until(loop.now_s + 2 * LATENCY_MIN_S)
        if fault or not self.server.is_up:
            raise redis.exceptions.ConnectionError("Connection refused.")
        self.socket = self.server.open(self.process)

    def disconnect(self) -> None:
        """Close the connection."""
        socket, self.socket = self.socket, None
        if socket is not None:
            self.server.close(socket)

    def can_read(self, _timeout_s: float = 0) -> bool:
        """Return whether there is something to read, the connection's end included."""
        return self.socket is not None and self.socket.ready_s() <= self.process.loop.now_s

    def send_packed_command(self, parts: list[bytes], check_health: bool = True) -> None:
        """Send commands and let them take effect."""
        socket, server, loop = self.socket, self.server, self.process.loop
        assert socket is not None
        data = parts[0]
        commands = decode(data)
        plan = server.plan(self.process, Packet(commands, self))
        server.exchanges += 1
        if plan.kill == "before":
            self.process.kill()
        baton.current().sleep_until(loop.now_s + plan.out_s)
        server.deliver(socket, data, commands, plan)

    def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any:
        """Return the next reply, waiting for it; raises what the library raises."""
        return self.ready_wait(timeout).take()

    def ready_wait(self, timeout: float | None) -> Socket:
        """Return when there is something to read, the connection's end included; raises what the library raises."""
        socket, loop, thread = self.socket, self.process.loop, baton.current()
        assert socket is not None
        until_s = NEVER if timeout is None else loop.now_s + timeout
        while socket.ready_s() > loop.now_s:
            ready_s = socket.ready_s()
            if ready_s <= until_s and ready_s < NEVER:
                thread.sleep_until(ready_s)
                continue
            if loop.now_s >= until_s:
                raise redis.exceptions.TimeoutError("Timeout reading from socket")
            self.wait = wait = thread.wait_begin()
            self.until_s = until_s
            socket.wake = lambda when_s, wait=wait: self.process.call_at(when_s, thread.wake, wait)  # type: ignore[misc]
            self.patience_watch(thread)
            thread.wait_end()
            socket.wake, self.wait = None, 0
        return socket

    def patience_watch(self, thread: Any) -> None:
        """Have one timer that ends the wait at its time; it outlives many waits, for most are short."""
        if not self.watched and self.until_s < NEVER:
            self.watched = True
            self.process.call_at(self.until_s, self.patience_ends, thread)

    def patience_ends(self, thread: Any) -> None:
        """End the wait if its time has come, else look again then."""
        self.watched = False
        if self.wait and self.process.loop.now_s >= self.until_s:
            thread.wake(self.wait)
        elif self.wait:
            self.patience_watch(thread)


class AsyncConnection:
    """Stands in for the client library's asyncio connection."""

    def __init__(self, server: Any, process: Process) -> None:
        self.server = server
        self.process = process
        self.socket: Socket | None = None

    @property
    def is_connected(self) -> bool:
        """Return whether the client believes in a connection."""
        return self.socket is not None

    async def connect(self) -> None:
        """Open the connection; raises what the library raises."""
        fault = self.server.connect_plan(self.process)
        await asyncio.sleep(CONNECT_TIMEOUT_S * 2 if fault == "hangs" else 2 * LATENCY_MIN_S)
        if fault or not self.server.is_up:
            raise redis.exceptions.ConnectionError("Connection refused.")
        self.socket = self.server.open(self.process)

    async def disconnect(self, nowait: bool = False) -> None:
        """Close the connection."""
        socket, self.socket = self.socket, None
        if socket is not None:
            self.server.close(socket)

    async def can_read(self) -> bool:
        """Return whether there is something to read, the connection's end included."""
        return self.socket is not None and self.socket.ready_s() <= self.process.loop.now_s

    async def send_packed_command(self, parts: list[bytes], check_health: bool = True) -> None:
        """Send commands; they take effect later, whatever becomes of the sender meanwhile."""
        socket, server, loop = self.socket, self.server, self.process.loop
        assert socket is not None
        data = parts[0]
        commands = decode(data)
        plan = server.plan(self.process, Packet(commands, self))
        server.exchanges += 1
        if plan.kill == "before":
            self.process.kill()
            await loop.create_future()
        if not loop.pass_to(loop.now_s + plan.out_s):
            loop.call_outside(loop.now_s + plan.out_s, server.deliver, socket, data, commands, plan)
            return
        server.deliver(socket, data, commands, plan)
        if not self.process.alive:
            await loop.create_future()

    async def read_response(self, disable_decoding: bool = False, **_patience: Any) -> Any:
        """Return the next reply, waiting for it; raises what the library raises."""
        socket, loop = self.socket, self.process.loop
        assert socket is not None
        while (ready_s := socket.ready_s()) > loop.now_s:
            if ready_s < NEVER and loop.pass_to(ready_s):
                break
            future = loop.create_future()

            def wake(when_s: float, future: "asyncio.Future[None]" = future) -> None:
                self.process.call_at(when_s, future_settle, future)

            socket.wake = wake
            if ready_s < NEVER:
                wake(ready_s)
            try:
                await future
            finally:
                socket.wake = None
        return socket.take()


def future_settle(future: "asyncio.Future[None]") -> None:
    """Let whoever waits for a future go on."""
    if not future.done():
        future.set_result(None)


def reply_read(reply: Any) -> Any:
    """Return a reply as the library's parser gives it: errors are exceptions of its kinds."""
    if isinstance(reply, Failure):
        return BaseParser.parse_error(reply.text)
    if isinstance(reply, list) and any(isinstance(item, Failure) for item in reply):
        return [reply_read(item) for item in reply]
    return reply


@functools.lru_cache(maxsize=256)
def decode(data: bytes) -> Commands:
    """
    Return the commands in the bytes of the protocol; an unfinished one at the end is left out.

    Nobody changes what comes back: who polls sends the same bytes again and again.
    """
    commands: Commands = []
    find, place, size = data.find, 0, len(data)
    while place < size:
        end = find(b"\r\n", place)
        if end < 0:
            break
        count, place = int(data[place + 1 : end]), end + 2
        command: list[bytes] = []
        for _ in range(count):
            end = find(b"\r\n", place)
            if end < 0:
                return commands
            start = end + 2
            place = start + int(data[place + 1 : end]) + 2
            if place > size:
                return commands
            command.append(data[start : place - 2])
        commands.append(command)
    return commands
