"""
A Redis of its own for a measurement: on a socket or a port, durable or not, on a core of its own; and what it used.

Nothing here knows a venue. Replies are taken from the bare socket, so that asking costs next to nothing.
"""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hiredis

from scripts import embedded
from scripts.access import redis_answers
from scripts.plan import port_free
from shared.stream_guard import Command, pack

PATIENCE_S = 60.0
PORT_FIRST = 17_600
SOCKET_BYTES = 4 << 20
CHUNK = 1_000


class Cores(NamedTuple):
    """Where the server runs and where whoever is measured does; None: anywhere."""

    server: set[int] | None
    client: set[int] | None


def cores_two() -> Cores:
    """Return one core for each side, where there are two and the system lets us say so."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores(None, None)
    cores = sorted(os.sched_getaffinity(0))
    return Cores({cores[-1]}, {cores[-2]}) if len(cores) > 1 else Cores(None, None)


def cores_take(cores: set[int] | None) -> None:
    """Run on these cores alone."""
    if cores is not None:
        os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def redis_running(folder: Path, fsync: str, *, tcp: bool = False, cores: set[int] | None = None) -> Iterator[str]:
    """Run a Redis in the folder; `fsync` "off" writes no log of its own. Yields its URL and stops it."""
    sockets = embedded.socket_folder(folder)
    server = embedded.redis_server(folder, sockets, "no" if fsync == "off" else fsync)
    command, url = list(server.command), embedded.redis_url(sockets)
    if fsync == "off":
        command[command.index("--appendonly") + 1] = "no"
    if tcp:
        port = next(port for port in range(PORT_FIRST, PORT_FIRST + 200) if port_free(port))
        command[command.index("--port") + 1] = str(port)
        command += ["--bind", "127.0.0.1"]
        url = f"redis://127.0.0.1:{port}/0"

    def prepare() -> None:
        cores_take(cores)
        server.prepare()

    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", preexec_fn=prepare)
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not redis_answers(url):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"no Redis: {(folder / 'redis.log').read_text(errors='replace')[-500:]}")
            time.sleep(0.02)
        yield url
    finally:
        process.send_signal(server.signal_stop)
        process.wait()


def socket_open(url: str) -> socket.socket:
    """Return a bare connection to a server on a socket or a port."""
    if url.startswith("unix://"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(url.removeprefix("unix://"))
        return connection
    host, _, port = url.removeprefix("redis://").partition("/")[0].rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Server:
    """Asks a server on a connection of its own: one command at a time, or many whose answers matter little."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = socket_open(url)
        self.reader = hiredis.Reader()

    def ask(self, *command: Any) -> Any:
        """Return the reply to one command; an error reply is raised."""
        [reply] = self.ask_all([command])
        return reply

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands sent in one piece; an error reply is raised."""
        self.connection.sendall(pack(commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self.reader.gets()
            if reply is False:
                data = self.connection.recv(SOCKET_BYTES)
                if not data:
                    raise ConnectionError("Redis closed the connection")
                self.reader.feed(data)
            else:
                replies.append(reply)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def processor_s(self) -> float:
        """Return the seconds of processor time that the server has used."""
        fields = dict(line.split(b":", 1) for line in self.ask("INFO", "cpu").split(b"\r\n") if b":" in line)
        return float(fields[b"used_cpu_user"]) + float(fields[b"used_cpu_sys"])

    def calls(self) -> dict[str, int]:
        """Return how often each command was called since the statistics were last reset."""
        found = {}
        for line in self.ask("INFO", "commandstats").decode().split("\r\n"):
            if line.startswith("cmdstat_"):
                name, _, rest = line.removeprefix("cmdstat_").partition(":")
                found[name] = int(rest.partition("=")[2].partition(",")[0])
        return found

    def version(self) -> str:
        """Return what the server says it is."""
        lines = self.ask("INFO", "server").decode().split("\r\n")
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        name = fields.get("server_name", "redis")
        return f"{name} {fields.get('valkey_version') or fields.get('redis_version', '')}"

    def close(self) -> None:
        """Hang up."""
        self.connection.close()
