"""
The engine against the twin: random hostile histories, every event and every book after every entry.

The suite runs 300, or as many as a minute allows; `python -m tests.property.test_twin --histories 20000 --processes 4
--resume FILE` as many as one likes, `--shrink SEED` makes one that fails small, `--twin-only` asks the twin alone.
"""

import multiprocessing
import multiprocessing.pool
import os
import time
from collections.abc import Iterator

import pytest

from tests.property.long_run import history, main
from tests.property.statistics import Statistics

PARTS = 10
HISTORIES = 300
ENTRIES = 200
SECONDS = 60  # of all parts together; what a part leaves over is the next one's
PROCESSES = min(2, os.cpu_count() or 1)
AT_ONCE = 3 * PROCESSES
pytestmark = pytest.mark.timeout(600)  # a cold compilation


class Reached:
    """What the histories of all parts have reached."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self.started = time.monotonic()


@pytest.fixture(scope="module")
def pool() -> Iterator[multiprocessing.pool.Pool]:
    """Processes that run histories; the core is compiled once, here, and they load it."""
    history((0, ENTRIES, False, False))
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as found:
        yield found


@pytest.fixture(scope="module")
def reached() -> Reached:
    """The counts that grow from part to part."""
    return Reached()


@pytest.mark.parametrize("part", range(PARTS))
def test_engine_equals_twin(part: int, pool: multiprocessing.pool.Pool, reached: Reached) -> None:
    """Engine and twin agree on every event, account, order, position and market of random histories."""
    end = reached.started + SECONDS * (part + 1) / PARTS
    tasks = [(seed, ENTRIES, False, False) for seed in range(part, HISTORIES, PARTS)]
    for number in range(0, len(tasks), AT_ONCE):
        for seed, counts, cause, text in pool.map(history, tasks[number : number + AT_ONCE], chunksize=1):
            assert not cause, f"seed {seed}: {cause}\n{text}"
            reached.statistics.add(Statistics(counts))
        if time.monotonic() > end:
            break


def test_every_name_is_reached(reached: Reached) -> None:
    """The histories together reach every result, event, reason and kind of order, most accounts cross; if all ran."""
    runs = reached.statistics.counts["runs"]
    if runs["histories"] < HISTORIES:
        pytest.skip(f"{runs['histories']} of {HISTORIES} histories in the time there was")
    assert reached.statistics.missing() == {}
    assert 2 * runs["accounts cross"] >= runs["accounts"]


if __name__ == "__main__":
    main()
