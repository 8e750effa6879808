"""
One instruction after the other to an idle engine, beside the floor: the same four hops with nothing done in between.

`python -m scripts.bench_trip answer URL …` answers every entry of one stream with an entry of another, in one send with
the next blocking read, as fast as Python lets bare sockets be; `trips` appends and awaits the answer, and measures both
in turn.
"""

import gc
import json
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hiredis

from scripts.bench_redis import cores_take, socket_open
from scripts.bench_wire_log import Mix, Start
from shared.stream_guard import pack
from shared.streams import Keys, seq_chunk_of_event_id, seq_of_log_id

FLOOR_IN, FLOOR_OUT = "bench:floor:in", "bench:floor:out"
ENTRY_AFTER = re.compile(rb"\r\n([0-9]+-[0-9]+)\r\n\*[0-9]+\r\n")
ANSWER_BYTES = 600  # about what resting and cancelling an order cause
BLOCK_MS = 10_000
RECEIVE_BYTES = 1 << 16
PAUSE_S = (0.000_5, 0.004)  # between two trips, so that everybody sleeps again
BLOCK_TRIPS = 50  # of one kind before the other's turn
WARM_TRIPS = 50
SEED = 20_261_122


class Task(NamedTuple):
    """What one process has to do."""

    what: str  # answer, trips
    url: str
    venue: str
    cores: list[int] | None
    trips: int
    start: tuple[int, int, int, int]
    out: str


def read_command(key: str, last: bytes) -> list[Any]:
    """Return the blocking read of what follows an id."""
    return ["XREAD", "COUNT", 1_000, "BLOCK", BLOCK_MS, "STREAMS", key, last]


def answer(task: Task) -> dict[str, Any]:
    """Answer until the connection ends."""
    connection = socket_open(task.url)
    body = "x" * (ANSWER_BYTES - 60)
    fields = ["t", "1767226021000175", "p", "1000000000012345-0", "a", "1376", "d", body]
    adding = pack([["XADD", FLOOR_OUT, "*", *fields]])
    connection.sendall(pack([read_command(FLOOR_IN, b"0-0")]))
    while True:
        received = b""
        while not (found := ENTRY_AFTER.findall(received)):
            data = connection.recv(RECEIVE_BYTES)
            if not data:
                return {}
            received += data
        connection.sendall(adding + pack([read_command(FLOOR_IN, found[-1])]))


class Way:
    """One pair of streams: append to the first, await what comes in the second."""

    def __init__(self, url: str, key_in: str, key_out: str, last: bytes) -> None:
        self.appending, self.reading = socket_open(url), socket_open(url)
        self.replies, self.events = hiredis.Reader(), hiredis.Reader()
        self.key_in, self.key_out, self.last = key_in, key_out, last

    def trip(self, fields: list[bytes], awaited: Callable[[bytes, bytes], bool]) -> float:
        """Append an entry; return the seconds until what it caused was read, by a read that was waiting already."""
        self.reading.sendall(pack([read_command(self.key_out, self.last)]))
        time.sleep(random.uniform(*PAUSE_S))
        text = pack([["XADD", self.key_in, "*", *fields]])
        began_s = time.perf_counter()
        self.appending.sendall(text)
        identity = reply_of(self.appending, self.replies)
        while True:
            streams = reply_of(self.reading, self.events)
            taken_s = time.perf_counter() - began_s
            if not streams:
                raise RuntimeError(f"nothing came in {self.key_out}")
            self.last = streams[0][1][-1][0]
            if any(awaited(identity, row[0]) for row in streams[0][1]):
                return taken_s
            self.reading.sendall(pack([read_command(self.key_out, self.last)]))


def reply_of(connection: Any, reader: Any) -> Any:
    """Return the next reply."""
    while (reply := reader.gets()) is False:
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("Redis closed the connection")
        reader.feed(data)
    if isinstance(reply, Exception):
        raise reply
    return reply


def trips(task: Task) -> dict[str, Any]:
    """Return the seconds of each trip over the floor and through the engine, block by block in turn."""
    keys = Keys(task.venue)
    asking = socket_open(task.url)
    asking.sendall(pack([["XREVRANGE", keys.events, "+", "-", "COUNT", 1]]))
    [[newest, _]] = reply_of(asking, hiredis.Reader())
    floor = Way(task.url, FLOOR_IN, FLOOR_OUT, b"0-0")
    engine = Way(task.url, keys.log, keys.events, newest)
    mix = Mix(Start(*task.start)._replace(ts_us=0), 100, 0)
    quiet = (order for order in mix.orders if b'"limit"' in order or b'"order_cancel"' in order)
    taken: dict[str, list[float]] = {"floor": [], "engine": []}
    gc.freeze()
    random.seed(SEED)

    def fields() -> list[bytes]:
        mix.ts_us = time.time_ns() // 1_000
        body = next(quiet)
        return [b"ts", b"%d" % mix.ts_us, b"user_instruction", body]

    def caused(identity: bytes, event: bytes) -> bool:
        return seq_chunk_of_event_id(event)[0] == seq_of_log_id(identity)

    while len(taken["engine"]) < task.trips + WARM_TRIPS:
        for _ in range(BLOCK_TRIPS):
            taken["floor"].append(floor.trip(fields_plain(), lambda *_: True))
        for _ in range(BLOCK_TRIPS):
            taken["engine"].append(engine.trip(fields(), caused))
    return {name: each[WARM_TRIPS:] for name, each in taken.items()} | {"request": mix.request}


def fields_plain() -> list[bytes]:
    """Return an entry as long as an order."""
    return [b"ts", b"%d" % (time.time_ns() // 1_000), b"user_instruction", b"x" * 210]


def main() -> int:
    """Do the task in the named file."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text()))
    cores_take(set(task.cores) if task.cores else None)
    told = answer(task) if task.what == "answer" else trips(task)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
