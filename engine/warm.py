"""
Compile every kernel into the cache, saying so: `python -m engine.warm`; from the cache it takes a moment.

The state machine is the largest part of the work; all the rest compiles beside it in a second process. For that it
needs a venue, which an engine founds in a moment when the compiler is off.
"""

import contextlib
import mmap
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from engine import core, link_replies
from engine.core.images import images
from engine.core.snapshot import rows_gather
from engine.decode import frames, lines
from engine.documents import document_pack, document_unpack
from engine.encode.encoded import EventEncoder
from engine.encode.kept import Kept
from engine.fired import fired_find
from engine.library import Engine
from engine.log_reply import LogReply
from shared.clock import monotonic_s
from shared.records import COMMAND_WORDS, EVENT_WORDS
from shared.wire import Batch

REPLY = b"*2\r\n$18\r\n1000000000000000-1\r\n*2\r\n$1\r\nx\r\n$1\r\nx\r\n"  # one entry that nobody can read
HEAD = b"*12\r\n"
FOUND = "found"
BESIDE = "beside"


def main() -> None:
    """Compile both parts, or the one that is named, by running a venue's first entries through the entry points."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    if named == FOUND:
        sys.stdout.buffer.write(orjson.dumps(document_pack(document_of(Engine().states), {})))
    elif named == BESIDE:
        beside_compile()
    else:
        started = monotonic_s()
        beside = subprocess.Popen(command(BESIDE))
        try:
            with told("the state machine"):
                Engine()
            failed = beside.wait()
        finally:
            beside.terminate()
        if failed:
            sys.exit(failed)
        print(f"compiled in {monotonic_s() - started:.1f} s", flush=True)


def command(part: str) -> list[str]:
    """Return the command of a part of the work."""
    return [sys.executable, "-m", "engine.warm", part]


def document_of(states: np.ndarray) -> dict[str, Any]:
    """Return the snapshot of a state, copied as the writer does: into whole pages."""
    buffer = memoryview(mmap.mmap(-1, core.snapshot_size(states) + mmap.PAGESIZE))
    core.snapshot_ready(states, buffer)
    return core.snapshot_document(buffer, core.snapshot_copy(states, buffer))


@contextlib.contextmanager
def told(part: str) -> Iterator[None]:
    """Say when a part of the work begins and when it is done."""
    print(f"compiling: {part}", flush=True)
    yield
    print(f"compiled: {part}", flush=True)


def beside_compile() -> None:
    """Compile everything but the state machine."""
    with told("snapshots, views, invariants"):
        pages, markets = states_compile()
    with told("what reads the log"):
        reading_compile()
    with told("what writes events"):
        writing_compile(EventEncoder(markets, (0, 0)), pages)


def states_compile() -> tuple[list[np.ndarray], list[str]]:
    """Compile what keeps, checks and shows a state; return a venue's pages of events and its markets."""
    founded = subprocess.run(["env", "NUMBA_DISABLE_JIT=1", *command(FOUND)], stdout=subprocess.PIPE, check=True)
    states = core.restore(document_unpack(orjson.loads(founded.stdout)))
    document_of(states)
    table = np.zeros((1, 1), np.int64)
    rows_gather(table, table[0], table)
    core.invariants(states)
    core.positions_of(states)
    core.market_views(states)
    core.book_levels(states, 0)
    core.pool_of(states, 0)
    core.adl_scores(states, 0)
    core.watch_ladder(states, 0)
    core.watch_nearest(states)
    return list(images(states)), core.markets_of(states)


def reading_compile() -> None:
    """Compile the readers of replies, of the archive and of recordings."""
    reply = LogReply(REPLY, 0, 1)
    reply.named(b"x")
    reply.batch_fill(Batch(1), 0)
    raw, numbers = np.zeros(256, np.uint8), np.zeros(8, np.int64)
    rows, words = np.zeros((1, lines.FEED_WORDS), np.int64), np.zeros((1, COMMAND_WORDS), np.int64)
    link_replies.replies_walk(raw, 0, link_replies.state_of(0, 1))
    link_replies.appended_walk(raw, 0, 0, 1)
    link_replies.head_walk(raw, 0, 0, raw)
    unpacked = np.frombuffer(bytes(256), np.uint8)  # not to be written, unlike a reply's
    lines.lines_walk(unpacked, 0, 0, 1, numbers, rows)
    lines.lines_fill(unpacked, numbers, rows, words, raw, numbers, numbers, numbers)
    lines.rows_place(words, numbers[:0], rows, words)
    lines.rows_copy(rows, 1, words)
    frames.frames_walk(unpacked, 0, 0, numbers, numbers, rows)


def writing_compile(encoder: EventEncoder, pages: list[np.ndarray]) -> None:
    """Compile what turns events into entries, keeps them, and compares them with what Redis answers."""
    fired_find(pages[0].view(np.int64).reshape(-1, EVENT_WORDS), 1, np.zeros((1, 2), np.int64))
    kept = Kept()
    kept.keep(encoder.feed(pages[0]))
    kept.publish_bytes((0, 0), HEAD, 1, 1)
    kept.compare(np.zeros(256, np.uint8), 0, 0, 1)
    kept.drop_below((1, 0))


if __name__ == "__main__":
    main()
