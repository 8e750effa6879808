"""One outgoing WebSocket as four verbs; the only file of the poller's client side that knows the library."""

from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

# Frames that the library holds ready before it stops reading from the network, and the most that one read from the
# network can add to them: 256 KiB of frames of at least 128 bytes. The recording's rewind counts on this bound.
READY_FRAMES_MAX = 16
READ_FRAMES_MAX = 2_048
FRAME_BYTES_MAX = 1 << 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class SocketClosed(Exception):
    """The connection is gone; its text says how it ended."""


class Socket(Protocol):
    """What the poller needs of a connection; tests bring their own."""

    async def receive(self) -> bytes:
        """Return the next frame; raises SocketClosed."""

    async def send(self, text: str) -> None:
        """Send one frame; raises SocketClosed."""

    def abort(self) -> None:
        """Drop the connection at once, unread."""


Connect = Callable[[str], Awaitable[Socket]]


class WebSocket:
    """A Socket over the `websockets` library."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def receive(self) -> bytes:
        """Return the next frame's bytes, whether it was sent as text or as binary."""
        try:
            # Undecoded: text that is no UTF-8 is then one unreadable frame, not the end of the connection.
            return await self.connection.recv(decode=False)
        except ConnectionClosed as error:
            raise SocketClosed(str(error)) from None

    async def send(self, text: str) -> None:
        """Send one text frame."""
        try:
            await self.connection.send(text)
        except ConnectionClosed as error:
            raise SocketClosed(str(error)) from None

    def abort(self) -> None:
        """Drop the connection without a closing handshake: a half-open peer would not answer one."""
        self.connection.transport.abort()


async def web_socket_connect(url: str) -> Socket:
    """
    Return an open connection; raises SocketClosed when there is none to be had.

    No compression is offered (the frames are small, the CPU is ours), and no pings of our own are sent: the marks
    of every second are the sign of life, and the server's pings are answered by the library.
    """
    try:
        connection = await connect(
            url,
            compression=None,
            ping_interval=None,
            open_timeout=10,
            close_timeout=1,
            max_size=FRAME_BYTES_MAX,
            max_queue=READY_FRAMES_MAX,
            user_agent_header="tidemark",
            # A proxy of the environment is for the world outside; it cannot reach our own loopback.
            proxy=None if urlsplit(url).hostname in LOOPBACK else True,
        )
    except (OSError, EOFError, WebSocketException) as error:
        raise SocketClosed(f"{type(error).__name__}: {error}") from None
    return WebSocket(connection)
