"""
What every driver of a foreign engine shares: read the stream, run it within a time, print one line of JSON.

Runs inside that engine's own environment, so it needs nothing but the standard library.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

TICK = 0.1
SLICES = 5
CHUNK_SECONDS = 0.05
Rows = Sequence[Sequence[int]]


class Tally:
    """What an engine did: executions counted at the resting order, and their lots."""

    def __init__(self) -> None:
        self.fills = 0
        self.lots = 0


def specification() -> dict[str, Any]:
    """Return the stream and the bounds of this run, from the file named on the command line."""
    data: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return data


def timed(rows: Rows, seconds_max: float, run: Callable[[Rows], None], chunk: int = 8) -> dict[str, Any]:
    """Run rows in order until they end or the time is up; returns how many, and the median rate of five slices."""
    chunks: list[tuple[int, float]] = []
    at, elapsed = 0, 0.0
    gc.collect()
    gc.freeze()
    gc.disable()
    while at < len(rows) and elapsed < seconds_max:
        part = rows[at : at + chunk]
        started = time.perf_counter()
        run(part)
        seconds = time.perf_counter() - started
        chunks.append((len(part), seconds))
        at, elapsed = at + len(part), elapsed + seconds
        if seconds < CHUNK_SECONDS:
            chunk *= 2
    gc.enable()
    return {"operations": at, "seconds": round(elapsed, 6), "per_s": round(median_rate(chunks), 3)}


def median_rate(chunks: list[tuple[int, float]]) -> float:
    """Return the median of the rates of SLICES runs of chunks of about equal time."""
    total = sum(seconds for _, seconds in chunks)
    slices = [[0, 0.0] for _ in range(SLICES)]
    passed = 0.0
    for count, seconds in chunks:
        slot = slices[min(SLICES - 1, int(SLICES * passed / total))]
        slot[0] += count
        slot[1] += seconds
        passed += seconds
    return statistics.median(count / seconds for count, seconds in slices if seconds)


def parts_run(
    data: dict[str, Any], prepare: Callable[[dict[str, Any]], tuple[Any, Callable[[Rows], None]]], chunk: int = 8
) -> dict[str, dict[str, Any]]:
    """Run each part of the stream upon a book of its own; returns its figures with the fills that it caused."""
    done = {}
    for name, rows in data["parts"].items():
        tally, run = prepare(data)
        done[name] = timed(rows, data["seconds_max"], run, chunk)
        done[name] |= {"fills": tally.fills, "lots": tally.lots}
    return done


def report(package: str, **figures: Any) -> None:
    """Print the line."""
    print(json.dumps({"peer": package, "version": metadata.version(package), **figures}), flush=True)
