"""
Seeds one after the other in several processes, and what a campaign has seen so far.

A worker keeps to one processor: the threads of a simulation hand one baton on, and never run at the same time.
"""

import contextlib
import gc
import multiprocessing
import os
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

# Before NumPy is loaded: huge pages make every restored state cost 400 ms instead of 2.
os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SHOWN_S = 5.0
COLLECT_EVERY = 4  # seeds; each leaves a dozen states in cycles
SEEDS_PER_PROCESS = 100
AHEAD = 8  # seeds a worker that are begun together; then all wait for the slowest


def worker_begin(numbers: Any) -> None:
    """Keep this process on a processor of its own."""
    with contextlib.suppress(AttributeError, OSError):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[next_number(numbers) % len(allowed)]})


def next_number(numbers: Any) -> int:
    """Return how many workers have begun before."""
    with numbers.get_lock():
        numbers.value += 1
        return int(numbers.value)


def seed_run(task: tuple[int, str, str]) -> dict[str, Any]:
    """Return the line of one seed; a name of a planted bug puts that one in, a way of the wire takes that one."""
    from tests.simulation.bugs import CASTS
    from tests.simulation.world import Plan, World

    seed, bug, wire = task
    begin_s = time.perf_counter()
    try:
        verdict = World(seed, CASTS[bug], Plan(wire=wire)).run()
    except Exception:
        # The simulation itself is at fault: that seed fails, the campaign goes on.
        found = [f"B: {traceback.format_exc()}"]
        return {"seed": seed, "found": found, "digest": "", "inputs": 0, "virtual_s": 0.0, "faults": {}, "happened": {}}
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    return {
        "seed": seed,
        "found": verdict.found,
        "digest": verdict.digest,
        "inputs": verdict.inputs,
        "virtual_s": verdict.virtual_s,
        "faults": dict(sorted(verdict.faults.items())),
        "happened": dict(sorted(verdict.happened.items())),
        "seconds": round(time.perf_counter() - begin_s, 3),
    }


class Workers:
    """Processes that run seeds; with one job, this process itself."""

    def __init__(self, jobs: int, ahead: int = AHEAD) -> None:
        self.jobs = jobs
        self.ahead = ahead
        context = multiprocessing.get_context("spawn")
        numbers = context.Value("i", 0)
        self.pool = context.Pool(jobs, worker_begin, (numbers,), SEEDS_PER_PROCESS) if jobs > 1 else None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_error: object) -> None:
        if self.pool is not None:
            self.pool.terminate()
            self.pool.join()

    def lines(self, seeds: list[int], bug: str = "", wire: str = "") -> Iterator[dict[str, Any]]:
        """Yield a line a seed as they come; few are begun before the last is asked for."""
        for first in range(0, len(seeds), self.jobs * self.ahead):
            tasks = [(seed, bug, wire) for seed in seeds[first : first + self.jobs * self.ahead]]
            yield from map(seed_run, tasks) if self.pool is None else self.pool.imap_unordered(seed_run, tasks)

    def failed(self, seeds: list[int], bug: str = "", wire: str = "") -> Iterator[dict[str, Any]]:
        """Yield the lines of those seeds that fail."""
        return (line for line in self.lines(seeds, bug, wire) if line["found"])


def commit() -> str:
    """Return which sources this is about."""
    words = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def lines_read(path: Path | None) -> list[dict[str, Any]]:
    """Return the verdicts of an earlier part of the campaign; a line that was cut off is no verdict."""
    if path is None or not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return found


class Report:
    """What a campaign has seen so far."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.begin_s = time.monotonic()
        self.shown_s = self.begin_s
        self.here_count = 0
        self.count = 0
        self.inputs = 0
        self.inputs_min = 1 << 60
        self.virtual_s = 0.0
        self.faults: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.failed: dict[int, list[str]] = {}
        for line in lines:
            self.add(line)

    def add(self, line: dict[str, Any]) -> None:
        """Take one verdict in."""
        self.count += 1
        self.inputs += line["inputs"]
        self.inputs_min = min(self.inputs_min, line["inputs"])
        self.virtual_s += line["virtual_s"]
        self.faults.update(line["faults"])
        self.happened.update(line["happened"])
        if line["found"]:
            self.failed[line["seed"]] = line["found"]

    def show(self, total: int, always: bool = False) -> None:
        """Say how far it is, now and then."""
        now_s = time.monotonic()
        if always or now_s - self.shown_s >= SHOWN_S:
            self.shown_s = now_s
            rate = self.here_count / max(now_s - self.begin_s, 0.001)
            print(f"{self.count} of {total} seeds, {rate:.2f} seeds/s, {len(self.failed)} failed", flush=True)

    def end(self) -> None:
        """Say what came out."""
        faults = sum(self.faults.values())
        print(f"{self.count} seeds, {self.inputs} inputs (at least {self.inputs_min} a seed), "
              f"{self.virtual_s:.0f} virtual seconds, {faults} faults, {len(self.failed)} seeds failed")  # fmt: skip
        print("events: " + ", ".join(f"{name} {count}" for name, count in self.happened.most_common()))
        print("faults: " + ", ".join(f"{name} {count}" for name, count in self.faults.most_common()))
        if self.failed:
            seed = min(self.failed)
            print(f"first failing seed {seed} of {commit()}: {self.failed[seed][0]}")
