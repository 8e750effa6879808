"""
What one process of a benchmark has to do, and what a stretch of it took: time, own processor, the server's processor.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from scripts.bench_redis import Server


class Task(NamedTuple):
    """What one process has to do."""

    what: str  # engine, serve, ceiling, baseline, xadd, bare
    url: str
    folder: str  # holds the snapshot
    venue: str
    who: str  # leads in the snapshot's state
    first_seq: int  # of the snapshot
    warm_seq: int  # timed from here
    last_seq: int
    core: list[int] | None
    wire: str = "fast"
    batch: int = 1_000  # XADDs of one transaction, in the loop of prebuilt bytes
    kept: str = ""  # the stream that holds what that loop appends


class Span:
    """Time, processor time of this process and of the server between two moments."""

    def __init__(self, url: str) -> None:
        self.server = Server(url)

    @contextmanager
    def taken(self, found: dict[str, Any]) -> Iterator[None]:
        """Measure what happens inside; the figures are in `found` afterwards."""
        gc.collect()
        gc.freeze()
        self.server.ask("CONFIG", "RESETSTAT")
        server_s, own_s, began_s = self.server.processor_s(), time.process_time(), time.perf_counter()
        yield
        seconds, own_s = time.perf_counter() - began_s, time.process_time() - own_s
        found |= {"seconds": seconds, "own_s": own_s, "server_s": self.server.processor_s() - server_s}
        found["calls"] = self.server.calls()
