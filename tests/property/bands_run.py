"""
The bands against the naive scan at length: python -m tests.property.bands_run --pairs 10000000 --processes 2

Question: over so many (account, tick) pairs, is any liquidation or margin call missed, early, or out of turn? A pair is
an account with cross positions on a quote or a mark; every one is scanned exactly, by Python and NumPy alone.
"""

import argparse
import multiprocessing
import sys
import time
import traceback
from collections import Counter

from tests.property.bands_world import World

WORLD_PAIRS = 100_000

Done = tuple[int, Counter[str], str]


def world_run(task: tuple[int, int, int, float]) -> Done:
    """Return a seed with what its world counted, and the error that it met, if any."""
    seed, accounts, pairs, restores = task
    counts: Counter[str] = Counter()
    failure, world = "", None
    try:
        world = World(seed, accounts, restores)
        while world.pairs < pairs:
            world.step()
    except AssertionError:
        failure = traceback.format_exc(limit=-4)
    if world is not None:
        counts = world.counts + Counter(pairs=world.pairs, entries=world.entries)
    return seed, counts, failure


def line(counts: Counter[str]) -> str:
    """Return counts as text, the greatest first."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10**7, help="(account, tick) pairs to scan (default 10 000 000)")
    parser.add_argument("--accounts", type=int, default=200, help="users of each world (default 200)")
    parser.add_argument("--first", type=int, default=1, help="seed of the first world (default 1)")
    parser.add_argument("--restores", type=float, default=0.002, help="likely restores after an entry (default 0.002)")
    parser.add_argument("--processes", type=int, default=1, help="worlds that run at once (default 1)")
    return parser.parse_args()


def main() -> int:
    """Run worlds until enough pairs are scanned; returns 1 when one met an error."""
    asked = arguments()
    started = time.monotonic()
    total: Counter[str] = Counter()
    failed: list[int] = []
    size = min(asked.pairs, WORLD_PAIRS)
    worlds = -(-asked.pairs // size)
    tasks = [(asked.first + index, asked.accounts, size, asked.restores) for index in range(worlds)]
    with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
        for seed, counts, failure in map(world_run, tasks) if asked.processes == 1 else pool.imap(world_run, tasks):
            total += counts
            seconds = time.monotonic() - started
            print(f"seed {seed}: {line(counts)}; {total['pairs']:,} pairs in {seconds:.0f} s", flush=True)
            if failure:
                failed.append(seed)
                print(failure, flush=True)
    verdict = f"wrong in the worlds of seeds {failed}" if failed else "0 missed, 0 early, 0 out of turn"
    print(f"{worlds} worlds, {line(total)}: {verdict}; {time.monotonic() - started:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
