"""
The connection under a WebSocket: uvicorn's, with what a socket that is not read needs, and the plain one of ASGI.

A send over ASGI waits until the client reads. Ours says how much waits in the connection, sends many messages in one
piece, and ends a client that takes nothing.
"""

from collections.abc import Sequence
from typing import Any

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from gateway.socket.outbox import Piece, Wire

EXTENSION = "tidemark"
GOODBYE_S = 1.0  # for the client's own goodbye; then the connection is dropped with what waits in it


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which hands itself to the application as an extension of the scope."""

    def handle_connect(self, event: Request) -> None:
        """Take the upgrade."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][EXTENSION] = self

    async def send(self, message: Any) -> None:
        """Send a message of the application; a refusal that was sent whole completes the handshake."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # else uvicorn complains that there was none

    def buffered(self) -> int:
        """Return how many bytes wait in the connection."""
        return int(self.transport.get_write_buffer_size())

    async def texts_send(self, pieces: Sequence[Piece]) -> None:
        """Send messages and parts of some together once the connection takes more; raises ConnectionError."""
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        try:
            for piece in pieces:
                send = self.conn.send_text if piece.first else self.conn.send_continuation
                send(piece.data, piece.last)
        except InvalidState:
            raise ConnectionResetError("the client is gone") from None
        self.transport.write(b"".join(self.conn.data_to_send()))

    def goodbye(self, code: int, reason: str) -> None:
        """Send a close without waiting for the client to read; drop the connection when it does not answer."""
        if self.disconnected or self.close_sent or self.transport.is_closing():
            return
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            self.transport.abort()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(GOODBYE_S, self.transport.abort)


class WireUvicorn:
    """The connection of our own server."""

    def __init__(self, protocol: SocketProtocol) -> None:
        """Keep the protocol."""
        self._protocol = protocol

    def buffered(self) -> int:
        """Return how many bytes wait in the connection."""
        return self._protocol.buffered()

    async def send(self, pieces: Sequence[Piece]) -> None:
        """Hand on text messages; raises ConnectionError when the client is gone."""
        await self._protocol.texts_send(pieces)

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was handed on."""
        self._protocol.goodbye(code, reason)


class WireAsgi:
    """The connection of any other server, such as that of a test."""

    def __init__(self, websocket: WebSocket) -> None:
        """Keep the socket."""
        self._websocket = websocket
        self._begun = b""

    def buffered(self) -> int:
        """Return that nobody knows of anything waiting."""
        return 0

    async def send(self, pieces: Sequence[Piece]) -> None:
        """Hand on text messages, each whole."""
        for piece in pieces:
            self._begun += piece.data
            if piece.last:
                text, self._begun = self._begun.decode(), b""
                await self._websocket.send_text(text)

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""
        await self._websocket.close(code, reason)


def wire_of(websocket: WebSocket) -> Wire:
    """Return the connection under a socket."""
    protocol: Any = websocket.scope.get("extensions", {}).get(EXTENSION)
    return WireUvicorn(protocol) if isinstance(protocol, SocketProtocol) else WireAsgi(websocket)
