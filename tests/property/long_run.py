"""
The long run: as many histories as asked for, over several processes, resumable, with what they reached.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.property.shrink import case_write, replay_file, shrink, text_of
from tests.property.statistics import Statistics
from tests.property.venues import HASH_EVERY, Difference, run

ENTRIES = 220

Task = tuple[int, int, bool, bool]
Done = tuple[int, dict[str, dict[str, int]], str, str]


def history(task: Task) -> Done:
    """Return a seed with what its history reached, and the cause and the text of a difference if there is one."""
    seed, entries, twin_only, any_order = task
    statistics = Statistics()
    try:
        run(seed, entries, statistics, seed % HASH_EVERY == 0, twin_only, any_order)
    except Difference as problem:
        return seed, statistics.plain(), problem.cause, problem.text
    return seed, statistics.plain(), "", ""


class LongRun:
    """Runs seeds in order, keeps what they reached in a small file, and stops at a difference or when time is up."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.path = Path(asked.resume) if asked.resume else None
        self.seed = asked.first
        self.statistics = Statistics()
        self.causes: dict[str, list[int]] = defaultdict(list)
        if self.path is not None and self.path.exists():
            kept: dict[str, Any] = json.loads(self.path.read_text())
            self.seed, self.statistics = kept["seed_next"], Statistics(kept["statistics"])
        self.end = asked.first + asked.histories

    def keep(self) -> None:
        """Write the next seed and the counts so far, whole or not at all."""
        if self.path is not None:
            beside = self.path.with_suffix(".new")
            beside.write_text(json.dumps({"seed_next": self.seed, "statistics": self.statistics.plain()}, indent=1))
            beside.replace(self.path)

    def take(self, done: Done) -> bool:
        """Add one history's counts; returns whether the run goes on."""
        seed, counts, cause, text = done
        if cause:
            self.causes[cause].append(seed)
            print(f"seed {seed}: {cause}\n{text[:6000]}", flush=True)
            if not self.asked.go_on:
                return False
        self.statistics.add(Statistics(counts))
        self.seed = seed + 1
        self.keep()
        return True

    def run(self) -> int:
        """Run until the seeds, the minutes or the agreement end; returns the exit code."""
        started = time.monotonic()
        how = (self.asked.entries, self.asked.twin_only, self.asked.any_order)
        tasks = ((seed, *how) for seed in range(self.seed, self.end))
        with multiprocessing.get_context("spawn").Pool(self.asked.processes) as pool:
            for done in map(history, tasks) if self.asked.processes == 1 else pool.imap(history, tasks):
                if not self.take(done):
                    break
                if time.monotonic() - started > 60 * self.asked.minutes:
                    break
            pool.terminate()
        runs = self.statistics.counts["runs"]
        print(self.statistics.text())
        for cause, seeds in sorted(self.causes.items(), key=lambda item: -len(item[1])):
            print(f"{len(seeds):>5} × {cause}: seeds {seeds[:12]}")
        sides = "the twin alone is sound" if self.asked.twin_only else "engine and twin agree"
        verdict = "DIFFERENCES, see above" if self.causes else sides
        print(f"{runs['histories']} histories, {runs['entries']} entries, next seed {self.seed}: {verdict}")
        return 1 if self.causes else 0


def main() -> None:
    """Run as many histories as asked for, or make one that fails small."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--entries", type=int, default=ENTRIES, help="entries of one history, at least")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop by itself after so long")
    parser.add_argument("--resume", help="a file that keeps the next seed and the counts")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--twin-only", action="store_true", help="check the twin by itself")
    parser.add_argument("--any-order", action="store_true", help="let the events of an entry come in any order")
    parser.add_argument("--go-on", action="store_true", help="collect differences by cause instead of stopping at one")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="print a small history that fails like this one's")
    parser.add_argument("--save", help="with --shrink: a file for the small history")
    parser.add_argument("--replay", nargs="+", metavar="FILE", help="run small histories from files again")
    asked = parser.parse_args()
    if asked.replay:
        problems = {path: replay_file(Path(path), asked.any_order) for path in asked.replay}
        print("\n".join(f"{path}: {problem or 'agrees now'}" for path, problem in problems.items()))
        sys.exit(any(problems.values()))
    if asked.shrink is None:
        sys.exit(LongRun(asked).run())
    small = shrink(asked.shrink, asked.entries, asked.twin_only, asked.any_order)
    if small is None:
        print(f"seed {asked.shrink} does not fail")
        return
    print(text_of(*small))
    if asked.save:
        case_write(*small, Path(asked.save))
    sys.exit(1)
