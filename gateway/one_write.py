"""
A connection whose answers go out in one write, though the server hands over head and body one after the other.

Two writes are two packets: they wake the caller twice, and the second has cost the gateway as much as the whole order.
"""

import asyncio
from typing import Any

HEAD_BEGINS = b"HTTP/1.1 "


class OneWrite:
    """A transport that keeps an answer's head until the body comes, at most until the loop's next turn."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Stand before a transport; what is not stated here is the transport's own."""
        self.bare = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """Return what the transport has."""
        return getattr(self.bare, name)

    def write(self, data: bytes) -> None:
        """Send what was kept and this, or keep a head."""
        if self._head:
            head, self._head = self._head, b""
            self.bare.writelines((head, data))
        elif data.startswith(HEAD_BEGINS):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self.bare.write(data)

    def close(self) -> None:
        """Send what was kept and close."""
        self._flush()
        self.bare.close()

    def _flush(self) -> None:
        """Send a head whose body did not come with it."""
        if self._head:
            head, self._head = self._head, b""
            self.bare.write(head)
