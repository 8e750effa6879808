"""
A proxy before a server on a unix socket that loses, delays or tears what passes through it.

A *fault* strikes once, at the next request that contains some bytes; a *weather* lasts for every connection until it is
changed. Servers and clients of the tests are the real ones; what they see is what a bad network shows them.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

FAULTS = {
    "cut_request": "closed before it reaches the server",
    "cut_in_batch": "half of it reaches the server, then the connection is closed",
    "cut_reply": "it reaches the server, the answer is lost and the connection closed",
    "deaf": "it reaches the server, and nothing ever comes back",
    "answer": "it does not reach the server and is answered by given words",
}
WEATHERS = {
    "": "everything passes",
    "cut": "every connection is closed at its next request",
    "delay": "every request and every answer is held back",
    "deaf": "requests reach the server, answers never come back",
    "hole": "nothing passes, in neither direction",
    "half_close": "clients are told that nothing more will come, and still heard",
    "trickle": "answers come byte by byte",
    "refuse": "connections are cut and new ones refused",
}
DELAY_S = 0.3
TRICKLE_S = 0.0005
TRICKLE_BYTES_MAX = 400  # of one answer; the rest of a long one comes at once, or it would last for minutes


class Proxy:
    """A unix socket before another one."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.folder = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
        self.path = str(self.folder / "s")
        self.fault = ""
        self.on = b""
        self.answer = b""
        self.hit = 0
        self.weather = ""
        self.pairs: set[Pair] = set()
        self.listener = self.listen()

    def listen(self) -> socket.socket:
        """Return a listener whose connections are served until it is closed."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(64)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        return listener

    def set(self, fault: str, on: bytes = b"", answer: bytes = b"") -> None:
        """Arm a fault; "" lets everything through again."""
        assert not fault or fault in FAULTS, fault
        self.answer, self.on, self.fault = answer, on, fault

    def turn(self, weather: str) -> None:
        """Change what happens to every connection from now on."""
        assert weather in WEATHERS, weather
        before, self.weather = self.weather, weather
        if weather == "refuse":
            close(self.listener)
            Path(self.path).unlink()
            self.cut()
        elif before == "refuse":
            self.listener = self.listen()
        if weather == "half_close":
            for pair in list(self.pairs):
                pair.half_close()
        elif before in ("half_close", "hole", "deaf"):
            self.cut()  # what was swallowed never comes; whoever still waits for it is let go

    def accept(self, listener: socket.socket) -> None:
        """Serve every connection until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self.target)
                except OSError:
                    client.close()
                    continue
                pair = Pair(self, client, server)
                self.pairs.add(pair)
                if self.weather == "half_close":
                    pair.half_close()
                threading.Thread(target=pair.requests, daemon=True).start()
                threading.Thread(target=pair.replies, daemon=True).start()

    def cut(self) -> None:
        """Close every connection."""
        for pair in list(self.pairs):
            pair.end()

    def close(self) -> None:
        """Stop serving."""
        close(self.listener)
        self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)


class Pair:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.fault = ""

    def requests(self) -> None:
        """Pass on what the client says."""
        with contextlib.suppress(OSError):
            while data := self.client.recv(65_536):
                if self.proxy.fault and self.proxy.on in data:
                    self.fault = self.proxy.fault
                    self.proxy.fault = ""
                    self.proxy.hit += 1
                    if self.fault == "cut_request":
                        break
                    if self.fault == "cut_in_batch":
                        self.server.sendall(data[: len(data) // 2])
                        break
                    if self.fault == "answer":
                        self.client.sendall(self.proxy.answer)
                        continue
                if self.proxy.weather == "cut":
                    break
                if self.proxy.weather == "hole":
                    continue
                if self.proxy.weather == "delay":
                    time.sleep(DELAY_S)
                self.server.sendall(data)
        self.end()

    def replies(self) -> None:
        """Pass on what the server answers."""
        with contextlib.suppress(OSError):
            while data := self.server.recv(65_536):
                if self.fault in ("cut_reply", "cut_in_batch"):
                    break
                if self.fault == "deaf" or self.proxy.weather in ("deaf", "hole"):
                    continue
                if self.proxy.weather == "half_close":
                    continue
                if self.proxy.weather == "delay":
                    time.sleep(DELAY_S)
                if self.proxy.weather == "trickle":
                    self.trickle(data)
                else:
                    self.client.sendall(data)
        self.end()

    def trickle(self, data: bytes) -> None:
        """Send an answer byte by byte."""
        for index in range(min(len(data), TRICKLE_BYTES_MAX)):
            self.client.sendall(data[index : index + 1])
            time.sleep(TRICKLE_S)
        self.client.sendall(data[TRICKLE_BYTES_MAX:])

    def half_close(self) -> None:
        """Tell the client that nothing more will come, and go on hearing it."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """Close both sides."""
        self.proxy.pairs.discard(self)
        close(self.client)
        close(self.server)


def close(each: socket.socket) -> None:
    """Close a socket under whoever waits on it."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextlib.contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """Lend a proxy before a Redis that listens on a unix socket, and the URL through it."""
    proxy = Proxy(url.removeprefix("unix://"))
    try:
        yield proxy, f"unix://{proxy.path}"
    finally:
        proxy.close()


@contextlib.contextmanager
def proxied_postgres(url: str) -> Iterator[tuple[Proxy, str]]:
    """Lend a proxy before a PostgreSQL that listens on a unix socket, and the URL through it."""
    before, _, rest = url.partition("host=")
    folder, _, after = rest.partition("&")
    proxy = Proxy(f"{folder}/.s.PGSQL.5432")
    os.symlink("s", proxy.folder / ".s.PGSQL.5432")
    try:
        yield proxy, f"{before}host={proxy.folder}&{after}"
    finally:
        proxy.close()
