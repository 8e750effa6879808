"""
Loops of bare sockets that `bench wire` holds the engine against: receive, append, both with nothing in between.

How long an answer is, is known beforehand, so that nothing is parsed.
"""

import itertools
import socket
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench_redis import Server, socket_open
from scripts.bench_span import Span, Task
from shared.stream_guard import pack
from shared.streams import Keys, event_id, log_id

COUNTS = (100, 1_000, 10_000)
ROOM_BYTES = 1 << 20


def ceiling_measure(task: Task) -> dict[str, Any]:
    """Return what it takes to receive the same log and count its bytes, by entries of one read; nothing is parsed."""
    sizes = np.load(Path(task.folder) / "reply_bytes.npy")
    places = np.concatenate(([0], np.cumsum(sizes)))
    key = Keys(task.venue).log
    span = Span(task.url)
    found: dict[str, Any] = {}
    for ahead in (False, True):
        for count in COUNTS:
            loop = Receiver(socket_open(task.url), key, places, count, ahead, task.first_seq)
            loop.receive(task.first_seq, task.warm_seq)
            taken: dict[str, Any] = {}
            with span.taken(taken):
                bytes_count = loop.receive(task.warm_seq, task.last_seq)
            taken["messages"] = task.last_seq - task.warm_seq
            taken["bytes"] = bytes_count
            found[f"{'ahead ' if ahead else ''}{count}"] = taken
            loop.connection.close()
    return found


class Receiver:
    """Asks for the log and counts what comes; how many bytes that must be is known beforehand."""

    def __init__(
        self, connection: socket.socket, key: str, places: np.ndarray, count: int, ahead: bool, first_seq: int
    ) -> None:
        self.connection = connection
        self.key, self.places, self.count, self.ahead = key, places, count, ahead
        self.first_seq = first_seq  # the entries behind it begin at `places`
        self.room = memoryview(bytearray(ROOM_BYTES))

    def ask(self, after_seq: int, last_seq: int) -> int:
        """Ask for what follows a seq; return the seq up to which the answer goes."""
        count = min(self.count, last_seq - after_seq)
        if count > 0:
            self.connection.sendall(pack([["XREAD", "COUNT", count, "STREAMS", self.key, log_id(after_seq)]]))
        return after_seq + max(0, count)

    def receive(self, after_seq: int, last_seq: int) -> int:
        """Receive everything up to a seq; return the bytes."""
        room, recv_into, places = self.room, self.connection.recv_into, self.places
        total = 0
        until = self.ask(after_seq, last_seq)
        while until > after_seq:
            following = self.ask(until, last_seq) if self.ahead else until
            entries = places[until - self.first_seq] - places[after_seq - self.first_seq]
            left = reply_head(self.key, until - after_seq) + int(entries)
            total += left
            while left:
                got = recv_into(room, min(left, ROOM_BYTES))
                if not got:
                    raise ConnectionError("Redis closed the connection")
                left -= got
            after_seq, until = until, (following if self.ahead else self.ask(until, last_seq))
        return total


def xadd_measure(task: Task) -> dict[str, Any]:
    """Return what it takes to append the engine's own events again from prebuilt bytes, plain and in transactions."""
    keys, server, span = Keys(task.venue), Server(task.url), Span(task.url)
    found: dict[str, Any] = {}
    for way in ("plain", "transaction"):
        batches = []
        last: bytes | str = "-"
        while rows := server.ask("XRANGE", task.kept, last, "+", "COUNT", task.batch):
            commands: list[Any] = [["XADD", keys.events, "NOMKSTREAM", row[0], *row[1]] for row in rows]
            inside = [["MULTI"], *commands, ["EXEC"]] if way == "transaction" else commands
            batches.append((pack(inside), len(inside), len(rows)))
            last = b"(" + rows[-1][0]
        server.ask("DEL", keys.events)
        server.ask("XADD", keys.events, event_id(1, 0), "t", "0")
        taken: dict[str, Any] = {}
        with span.taken(taken):
            for text, replies_count, _ in batches:
                server.connection.sendall(text)
                while replies_count:
                    if server.reader.gets() is False:
                        server.reader.feed(server.connection.recv(ROOM_BYTES))
                    else:
                        replies_count -= 1
        taken["messages"] = sum(rows for _, _, rows in batches)
        assert server.ask("XLEN", keys.events) == taken["messages"] + 1, "Redis took less than was sent"
        found[way] = taken
    return found


def bare_measure(task: Task) -> dict[str, Any]:
    """Return what it takes to receive the log and append what the engine made of it: prebuilt bytes, nothing read."""
    span = Span(task.url)
    parts = ((task.first_seq, task.warm_seq), (task.warm_seq, task.last_seq))
    copier = Copier(task, span.server, [range(*part, task.batch) for part in parts])
    copier.copy(*parts[0])
    found: dict[str, Any] = {}
    with span.taken(found):
        copier.copy(*parts[1])
    found["messages"] = task.last_seq - task.warm_seq
    keys = Keys(task.venue)
    appended, expected = (span.server.ask("XLEN", key) for key in (keys.events, task.kept))
    assert appended == expected + 1, f"Redis took {appended} of {expected}"
    return found


class Copier:
    """Keeps one read and one transaction of prebuilt bytes under way; how long each answer is, is known beforehand."""

    def __init__(self, task: Task, server: Server, starts: list[range]) -> None:
        self.key, self.batch = Keys(task.venue).log, task.batch
        self.first_seq = task.first_seq
        self.connection = socket_open(task.url)
        self.room = memoryview(bytearray(ROOM_BYTES))
        sizes = np.load(Path(task.folder) / "reply_bytes.npy")
        self.places = np.concatenate(([0], np.cumsum(sizes)))
        self.texts: dict[int, bytes] = {}  # what an entry's batch causes, by the seq before it
        self.answers: dict[int, int] = {}  # the bytes of the transaction's answer
        for part in starts:
            for start in part:
                until = min(start + task.batch, part.stop)
                rows = server.ask("XRANGE", task.kept, event_id(start + 1, 0), event_id(until, 999_999))
                commands: list[Any] = [["XADD", Keys(task.venue).events, "NOMKSTREAM", row[0], *row[1]] for row in rows]
                self.texts[start] = pack([["MULTI"], *commands, ["EXEC"]]) if rows else b""
                told = pack([[row[0] for row in rows]]) if rows else b""
                self.answers[start] = len(told) + len(b"+OK\r\n") + 9 * len(rows) if rows else 0  # +QUEUED each

    def copy(self, first_seq: int, last_seq: int) -> None:
        """Go from one seq to another."""
        starts = [*range(first_seq, last_seq, self.batch), last_seq]
        batches = list(itertools.pairwise(starts))
        questions = [self.question(*each) for each in batches] + [b"", b""]
        self.connection.sendall(questions[0] + questions[1])
        for at, (start, until) in enumerate(batches):
            self.receive(self.read_bytes(start, until) + (self.answers[batches[at - 2][0]] if at > 1 else 0))
            self.connection.sendall(self.texts[start] + questions[at + 2])
        self.receive(sum(self.answers[start] for start, _ in batches[-2:]))

    def question(self, start: int, until: int) -> bytes:
        """Return the question for a batch."""
        return pack([["XREAD", "COUNT", until - start, "STREAMS", self.key, log_id(start)]])

    def read_bytes(self, start: int, until: int) -> int:
        """Return the bytes of the answer about a batch."""
        return reply_head(self.key, until - start) + int(
            self.places[until - self.first_seq] - self.places[start - self.first_seq]
        )

    def receive(self, left: int) -> None:
        """Receive so many bytes."""
        while left:
            got = self.connection.recv_into(self.room, min(left, ROOM_BYTES))
            if not got:
                raise ConnectionError("Redis closed the connection")
            left -= got


def reply_head(key: str, count: int) -> int:
    """Return how many bytes stand before the entries in XREAD's answer about one stream."""
    return len(b"*1\r\n*2\r\n$%d\r\n%b\r\n*%d\r\n" % (len(key), key.encode(), count))
