"""A Redis of one's own that may be killed and started again, and a proxy before a server that loses what it is told."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from scripts import embedded
from shared.streams import Streams, StreamsError

PATIENCE_S = 20.0


class OwnRedis:
    """A real server on a private socket and folder; what it acknowledged survives `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = embedded.redis_url(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start the server and wait until it answers."""
        server = embedded.redis_server(self.folder, self.folder)
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*server.command, *options], stdout=log, stderr=log, cwd="/", preexec_fn=server.prepare
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                Streams.connect(self.url).close()
                return
            except StreamsError:
                assert time.monotonic() < deadline_s, "the server does not start"
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill the server as a power switch would, and reap it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop the server without closing anything: it answers nothing until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """Lend a running server; its folder has a short name, because a socket's path may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
    server = OwnRedis(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Proxy:
    """
    A unix socket before another one; each fault is set for the next request that contains `on`.

    `cut_request`: closed before it reaches the server. `cut_reply`: it reaches the server, the answer is lost and the
    connection closed. `deaf`: it reaches the server, and nothing ever comes back. `answer`: it does not reach the
    server and is answered by these words.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.folder = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
        self.path = str(self.folder / "s")
        self.fault = ""
        self.on = b""
        self.answer = b""
        self.hit = 0
        self.sockets: set[socket.socket] = set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def set(self, fault: str, on: bytes = b"", answer: bytes = b"") -> None:
        """Arm a fault; "" lets everything through again."""
        self.answer, self.on, self.fault = answer, on, fault

    def accept(self) -> None:
        """Serve every connection until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self.target)
                except OSError:
                    client.close()
                    continue
                self.sockets |= {client, server}
                pair = Pair(self, client, server)
                threading.Thread(target=pair.requests, daemon=True).start()
                threading.Thread(target=pair.replies, daemon=True).start()

    def cut(self) -> None:
        """Close every connection."""
        for each in list(self.sockets):
            close(each)
        self.sockets.clear()

    def close(self) -> None:
        """Stop serving."""
        self.listener.close()
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
                    if self.fault == "answer":
                        self.client.sendall(self.proxy.answer)
                        continue
                self.server.sendall(data)
        self.end()

    def replies(self) -> None:
        """Pass on what the server answers."""
        with contextlib.suppress(OSError):
            while data := self.server.recv(65_536):
                if self.fault == "cut_reply":
                    break
                if self.fault != "deaf":
                    self.client.sendall(data)
        self.end()

    def end(self) -> None:
        """Close both sides."""
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
