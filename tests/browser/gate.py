"""
A relay before the gateway that can be shut: what a browser then sees is a machine that is not there any more.

Every connection is cut at once when it shuts, a WebSocket in the middle of a frame, and new ones are refused until it
opens again at the same port. Or it swallows what passes, as a pulled cable does: nobody is told anything.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

CHUNK_BYTES = 65_536
BIND_PATIENCE_S = 5.0


class Gate:
    """One relay on a port of this machine."""

    def __init__(self) -> None:
        """Take a port; `open` listens on it."""
        self.target = 0  # the gateway's port, known when that is
        self.swallows = False
        self.pairs: set[tuple[socket.socket, socket.socket]] = set()
        self.listener: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        """Return where a browser goes."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen and let everything through."""
        deadline_s = time.monotonic() + BIND_PATIENCE_S
        while True:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", self.port))
                break
            except OSError:
                listener.close()
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
        listener.listen(64)
        self.listener = listener
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Cut every connection and refuse new ones."""
        if self.listener is not None:
            end(self.listener)
            self.listener = None
        for pair in list(self.pairs):
            for each in pair:
                end(each)

    @contextlib.contextmanager
    def shut_meanwhile(self) -> Iterator[None]:
        """Be shut for as long as the block lasts."""
        self.shut()
        try:
            yield
        finally:
            self.open()

    @contextlib.contextmanager
    def swallowing(self) -> Iterator[None]:
        """Let nothing through, in neither direction, for as long as the block lasts; then what was open is cut."""
        self.swallows = True
        try:
            yield
        finally:
            self.swallows = False
            for pair in list(self.pairs):
                for each in pair:
                    end(each)

    def accept(self, listener: socket.socket) -> None:
        """Serve every connection until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                except OSError:
                    end(client)
                    continue
                server.settimeout(None)
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pair = (client, server)
                self.pairs.add(pair)
                if self.listener is not listener:  # it was shut while this one came in
                    self.pair_end(pair)
                    continue
                for source, sink in (pair, pair[::-1]):
                    threading.Thread(target=self.way, args=(source, sink, pair), daemon=True).start()

    def way(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        """Pass on what comes until it ends."""
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if not self.swallows:
                    sink.sendall(data)
        self.pair_end(pair)

    def pair_end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """Close both sides of a connection."""
        self.pairs.discard(pair)
        for each in pair:
            end(each)


def end(each: socket.socket) -> None:
    """Close a socket under whoever waits on it."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
