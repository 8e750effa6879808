"""A port whose server is a script: what comes back is said beforehand, in pieces of any size, with any end."""

import numpy as np

from engine.link import Link

LOST, SILENT = "lost", "silent"


class ScriptedPort:
    """Gives scripted bytes; remembers what was sent."""

    def __init__(self, *pieces: bytes | str | OSError) -> None:
        self.pieces = list(pieces)
        self.sent: list[bytes] = []
        self.closed = False
        self.deaf: OSError | None = None  # what sending raises

    def send(self, data: bytes) -> None:
        """Remember what is sent."""
        if self.deaf is not None:
            raise self.deaf
        self.sent.append(bytes(data))

    def receive(self, view: memoryview, timeout_s: float) -> int:
        """Give the next piece, or what fits of it; the end when there is none."""
        assert timeout_s > 0
        if not self.pieces or self.pieces[0] == LOST:
            return 0
        piece = self.pieces.pop(0)
        if piece == SILENT:
            raise TimeoutError("silent")
        if isinstance(piece, OSError):
            raise piece
        assert isinstance(piece, bytes)
        now, later = piece[: len(view)], piece[len(view) :]
        view[: len(now)] = now
        if later:
            self.pieces.insert(0, later)
        return len(now)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


class Losses:
    """Counts what the link reports."""

    def __init__(self) -> None:
        self.count = 0

    def lost(self) -> None:
        """Count one."""
        self.count += 1


def link_of(*pieces: bytes | str | OSError) -> tuple[Link, ScriptedPort, Losses]:
    """Return an open link to a scripted server, its port, and its losses."""
    port, losses = ScriptedPort(*pieces), Losses()
    link = Link(lambda: port, 5.0, losses.lost)
    link.open()
    return link, port, losses


def entries_reply(key: str, entries: list[tuple[bytes, list[bytes]]]) -> bytes:
    """Return XREAD's answer about one stream."""
    name = key.encode()
    parts = [b"*1\r\n*2\r\n$%d\r\n%b\r\n*%d\r\n" % (len(name), name, len(entries))]
    for stream_id, texts in entries:
        parts.append(b"*2\r\n" + bulk(stream_id) + b"*%d\r\n" % len(texts) + b"".join(map(bulk, texts)))
    return b"".join(parts)


def bulk(text: bytes) -> bytes:
    """Return a text as the protocol has it."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def raw_of(content: bytes) -> np.ndarray:
    """Return bytes as the kernels take them."""
    return np.frombuffer(bytearray(content), np.uint8)
