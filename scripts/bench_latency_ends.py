"""
The processes around the engine in `bench latency`: who sends at a pace, who receives, who answers without a state.

`python -m scripts.bench_latency_ends FILE` reads its task as JSON and writes what it saw as a NumPy file beside it. All
are bare sockets and prebuilt bytes, so that on two shared cores as much as possible is left to server and engine.
"""

import contextlib
import gc
import json
import re
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.bench_redis import cores_take, socket_open
from scripts.bench_wire_log import Mix, Start
from shared.stream_guard import Command, pack
from shared.streams import Keys

CALIBRATION = 2_000  # entries that are made to learn how long making them all will take
READY_US = 500_000  # between the last preparation and the first entry
PACE_S = 0.000_25  # between two looks at the clock; what is due is sent in one piece
RECEIVE_BYTES, SEND_BYTES = 1 << 20, 1 << 18
READ_COUNT = 500
BLOCK_MS = 500
IDENTITY = re.compile(rb"\r\n(1[0-9]{15})-([0-9]+)\r\n\*8\r\n")
APPENDED = re.compile(rb"-([0-9]+)\r\n")
END = b"+PONG\r\n"
GOOD = b'"result":"OK"'
BASE = 10**15


class Load(NamedTuple):
    """One load at a pace."""

    what: str  # produce, consume
    url: str
    venue: str
    cores: list[int] | None
    rate: int
    entries: int
    percent: int
    start: tuple[int, int, int, int]  # scripts.bench_wire_log.Start; its time is not used
    out: str


class Texts(NamedTuple):
    """
    Entries as the bytes that are sent.

    Shapes: places int64[n + 1], where each begins; orders bool[n], which of them are instructions.
    """

    bytes: memoryview
    places: np.ndarray
    orders: np.ndarray
    begin_us: int  # by the wall clock: the first is due then, and dated so
    mix: Mix


def texts_make(load: Load, entries: int, begin_us: int) -> Texts:
    """Return so many entries of a load."""
    key = Keys(load.venue).log
    start = Start(*load.start)._replace(ts_us=begin_us)
    mix = Mix(start, load.percent, 1_000_000 / load.rate, max(3, load.rate))
    parts, places, orders = [], np.zeros(entries + 1, np.int64), np.zeros(entries, np.bool_)
    for index in range(entries):
        fields = mix.fields()
        orders[index] = fields[-1][0] == b"user_instruction"
        text = pack([["XADD", key, "NOMKSTREAM", "*", *[part for pair in fields for part in pair]]])
        parts.append(text)
        places[index + 1] = places[index] + len(text)
    return Texts(memoryview(b"".join(parts)), places, orders, begin_us, mix)


def texts_in_time(load: Load) -> Texts:
    """Return the entries before the first is due; where making them was held up, they are made anew with more time."""
    began_us = wall_us()
    texts_make(load, CALIBRATION, began_us)
    each_us = (wall_us() - began_us) / CALIBRATION
    for patience in (1.5, 4.0, 10.0):
        texts = texts_make(load, load.entries, int(wall_us() + patience * each_us * load.entries + READY_US))
        if wall_us() + READY_US // 2 < texts.begin_us:
            return texts
    raise RuntimeError("the entries were never ready in time")


def wall_us() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000


def produce(load: Load) -> dict[str, Any]:
    """Send every entry when it is due; return where they went, and when each was due."""
    texts = texts_in_time(load)
    connection = socket_open(load.url)
    gc.collect()
    gc.freeze()
    begin_s = time.perf_counter() + (texts.begin_us - wall_us()) / 1e6
    answers = Answers(connection)
    sent, late_s = 0, 0.0
    while sent < load.entries:
        now_s = time.perf_counter()
        due = min(load.entries, int((now_s - begin_s) * load.rate) + 1) if now_s >= begin_s else 0
        if due > sent:
            late_s = max(late_s, now_s - begin_s - sent / load.rate)
            send_all(connection, texts.bytes[texts.places[sent] : texts.places[due]], answers)
            sent = due
        answers.take()
        left_s = begin_s + sent / load.rate - time.perf_counter()
        if left_s > 0:
            time.sleep(max(left_s, PACE_S))
    ended_s = time.perf_counter()
    while not answers.complete(load.entries):
        answers.wait()
    due_s, seqs = begin_s + np.arange(load.entries) / load.rate, answers.seqs()
    np.savez(load.out, due_s=due_s, orders=texts.orders, seqs=seqs)
    return {
        "last_seq": int(seqs[-1]),
        "late_ms": round(1e3 * late_s, 2),
        "behind": round((ended_s - begin_s) / (load.entries / load.rate), 3),
        "request": texts.mix.request,
        "update_id": texts.mix.update_id,
    }


def send_all(connection: Any, texts: memoryview, answers: "Answers") -> None:
    """Send everything, taking answers meanwhile: a server that cannot write them would stop reading."""
    at = 0
    while at < len(texts):
        try:
            at += connection.send(texts[at : at + SEND_BYTES], socket.MSG_DONTWAIT)
        except BlockingIOError:
            answers.take()
            time.sleep(PACE_S)


class Answers:
    """Keeps the answers of XADDs and counts them; they are read when the load is over."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.received: list[bytes] = []
        self.lines_count = 0

    def take(self) -> None:
        """Take what is there."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.add(self.connection.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT))

    def wait(self) -> None:
        """Wait for more."""
        self.connection.settimeout(30.0)
        self.add(self.connection.recv(RECEIVE_BYTES))

    def add(self, data: bytes) -> None:
        """Count what came."""
        if not data:
            raise ConnectionError("Redis closed the connection")
        self.received.append(data)
        self.lines_count += data.count(b"\n")

    def complete(self, entries: int) -> bool:
        """Return whether every entry was answered: an id is two lines."""
        return self.lines_count >= 2 * entries

    def seqs(self) -> np.ndarray:
        """Return the number that each entry got, as int64[n]; another producer's entries may lie between."""
        received = b"".join(self.received)
        numbers = [int(each) for each in APPENDED.findall(received)]
        if 2 * len(numbers) != self.lines_count:
            raise RuntimeError(f"Redis refused an entry: {received[:200]!r}")
        return np.array(numbers, np.int64)


def consume(load: Load) -> dict[str, Any]:
    """Receive events until asked to stop and nothing more comes, or asked twice; keep when each cause's were there."""
    connection = socket_open(load.url)
    key = Keys(load.venue).events
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    connection.sendall(pack([["XREVRANGE", key, "+", "-", "COUNT", 1]]))
    [(seq, chunk)] = IDENTITY.findall(connection.recv(RECEIVE_BYTES))
    found, good = [(seq, chunk)], 0
    seqs: list[tuple[bytes, bytes]] = []
    times: list[float] = []
    room = bytearray(8 * RECEIVE_BYTES)
    gc.freeze()
    print("ready", flush=True)
    while (found or not stop) and len(stop) < 2:
        last = b"%b-%b" % (seq, chunk)
        command: Command = ["XREAD", "COUNT", READ_COUNT, "BLOCK", BLOCK_MS, "STREAMS", key, last]
        connection.sendall(pack([command, ["PING"]]))
        got = receive(connection, room)
        now_s = time.perf_counter()
        with memoryview(room) as view:
            found = IDENTITY.findall(view[:got])
        if found:
            seq, chunk = found[-1]
            seqs += found
            times += [now_s] * len(found)
            good += room.count(GOOD, 0, got)
    numbers = np.array([int(each) for each, _ in seqs], np.int64) - BASE
    np.savez(load.out, seqs=numbers, times_s=np.array(times))
    return {"good": good}


def receive(connection: Any, room: bytearray) -> int:
    """Receive up to the answer of PING; return how many bytes came. An event holds no line end, so none is mistaken."""
    got = 0
    with memoryview(room) as view:
        while not (got >= len(END) and room.endswith(END, 0, got)):
            received = connection.recv_into(view[got:])
            if not received:
                raise ConnectionError("Redis closed the connection")
            got += received
    return got


def main() -> int:
    """Do the task in the named file."""
    load = Load(**json.loads(Path(sys.argv[1]).read_text()))
    cores_take(set(load.cores) if load.cores else None)
    print(json.dumps({"produce": produce, "consume": consume}[load.what](load)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
