"""
The engine's raw connection to the simulated server: bytes out, the protocol's bytes back, in pieces of any size.

Stands in for the port of engine.link. What arrives is what a real server writes; where an answer is torn, a part of its
bytes still comes before the end, or before the silence.
"""

import random
from collections import deque
from typing import Any

import redis

from tests.simulation.redis_clients import LATENCY_MIN_S, BlockingConnection, Socket, Torn, decode
from tests.simulation.redis_streams import Failure

STATUSES = (b"OK", b"QUEUED", b"PONG")
NIL_ARRAYS = (b"XREAD", b"EXEC")
NIL = b"$-1\r\n"
TEXTS = (b"GET",)  # whatever they answer is no status
TEXT_DEPTH = 2  # from here on nothing is
PIECES_SHARE = 0.1  # of what is received comes in pieces
KILLED_WITH_RESET = 0.3  # of ended connections break instead of being closed


class WirePort:
    """One open raw connection of an engine's thread."""

    def __init__(self, server: Any, process: Any, chance: random.Random) -> None:
        self.chance = chance
        self.connection = BlockingConnection(server, process)
        try:
            self.connection.connect()
        except redis.exceptions.TimeoutError as error:
            raise TimeoutError(str(error)) from None
        except redis.exceptions.ConnectionError as error:
            raise ConnectionRefusedError(str(error)) from None
        self.socket: Socket = self.connection.socket  # type: ignore[assignment]
        self.socket.raw = True
        self.asked: deque[bytes] = deque()  # names of the commands whose replies have not come
        self.rest = b""  # has come and was not received yet

    def send(self, data: Any) -> None:
        """Send everything; raises OSError when the connection is known to be broken."""
        if self.connection.socket is None or self.socket.end_s + LATENCY_MIN_S < self.connection.process.loop.now_s:
            raise BrokenPipeError("Broken pipe")
        text = bytes(data)
        self.asked.extend(command[0].upper() for command in decode(text))
        self.connection.send_packed_command([text])

    def receive(self, view: memoryview, timeout_s: float) -> int:
        """Return how many bytes came, 0 at the connection's end; raises OSError when nothing comes in time."""
        if not self.rest:
            try:
                self.connection.ready_wait(timeout_s)
            except redis.exceptions.TimeoutError as error:
                raise TimeoutError(str(error)) from None
            now_s = self.connection.process.loop.now_s
            if not self.socket.inbox:
                if self.chance.random() < KILLED_WITH_RESET:
                    raise ConnectionResetError("Connection reset by peer")
                return 0
            pieces = []
            while self.socket.inbox and self.socket.inbox[0][0] <= now_s:
                pieces.append(self.encoded(self.socket.inbox.popleft()[1]))
            self.rest = b"".join(pieces)
        count = min(len(view), len(self.rest))
        if count > 1 and self.chance.random() < PIECES_SHARE:
            count = self.chance.randrange(1, count)
        view[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count

    def encoded(self, reply: Any) -> bytes:
        """Return the bytes of the reply to the oldest command."""
        if isinstance(reply, Torn):
            whole = self.encoded(reply.reply)
            return whole[: int(len(whole) * reply.share)]
        name = self.asked.popleft() if self.asked else b""
        if reply is None and name in NIL_ARRAYS:
            return b"*-1\r\n"
        return reply_bytes(reply, TEXT_DEPTH if name in TEXTS else 0)

    def close(self) -> None:
        """Close the connection."""
        self.connection.disconnect()


def reply_bytes(reply: Any, depth: int) -> bytes:
    """Return a reply in the protocol; only the outermost, and what EXEC brings, can be a status."""
    if reply is None:
        return NIL
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join([reply_bytes(each, depth + 1) for each in reply])
    if isinstance(reply, Failure):
        return b"-%b\r\n" % reply.text.encode()
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if depth < TEXT_DEPTH and reply in STATUSES:
        return b"+%b\r\n" % reply
    return b"$%d\r\n%b\r\n" % (len(reply), reply)
