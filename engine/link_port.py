"""
The engine's link as bytes: one open connection, opened and signed in on by the client library, whose socket is lent.

Kept apart from engine/link.py, so that a process can say how it connects before the compiler is loaded.
"""

import socket
import struct
from typing import Any, Protocol

from shared.stream_guard import Request
from shared.stream_keys import StreamsDown
from shared.stream_raw import socket_of


class Port(Protocol):
    """One open connection, as bytes."""

    def send(self, data: bytes) -> None: ...
    def receive(self, view: memoryview, timeout_s: float) -> int: ...  # 0: the other side has closed it
    def close(self) -> None: ...


SEND_BYTES = 1 << 22  # that the kernel may hold: a transaction is handed over without waiting for the server to read it


class SocketPort:
    """The socket that the client library opened and signed in on."""

    def __init__(self, connection: Any, lent: Any) -> None:
        self.connection = connection  # is kept, or its socket would be closed with it
        self.lent = lent
        self.timeout_s = -1.0
        self.plain = type(lent) is socket.socket  # not one that encrypts
        lent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)

    def timeout_set(self, timeout_s: float) -> None:
        """Wait so long for anything from now on; the kernel counts the time of a plain socket, which saves a call."""
        self.timeout_s = timeout_s
        if not self.plain:
            self.lent.settimeout(timeout_s)
            return
        self.lent.settimeout(None)
        span = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1_000_000))
        self.lent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        self.lent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)

    def send(self, data: bytes) -> None:
        """Send everything; raises OSError."""
        self.lent.sendall(data)

    def receive(self, view: memoryview, timeout_s: float) -> int:
        """Return how many bytes came, 0 at the connection's end; raises OSError."""
        if timeout_s != self.timeout_s:
            self.timeout_set(timeout_s)
        try:
            count: int = self.lent.recv_into(view)
        except BlockingIOError:
            raise TimeoutError("Redis does not answer") from None
        return count

    def close(self) -> None:
        """Close the connection."""
        self.connection.disconnect()


def port_of(streams: Any) -> Port:
    """Return a connection of its own to the server of a client; raises StreamsDown."""
    twin = streams.twin()
    twin.open(Request(()))
    lent = socket_of(twin.connection)
    if lent is None:
        twin.close()
        raise StreamsDown("the connection has no socket to lend")
    return SocketPort(twin.connection, lent)
