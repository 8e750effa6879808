"""
The engine against the twin: random hostile histories, every event and every book after every entry.

The suite runs 300; `python -m tests.property.test_twin --histories 20000 --processes 4 --resume FILE` as many as one
likes, `--shrink SEED` makes one that fails small, `--twin-only` asks the twin alone.
"""

import time

import pytest

from tests.property.long_run import main
from tests.property.venues import run

PARTS = 12
HISTORIES = 300
ENTRIES = 200
SECONDS = 110  # of all parts together, on one core


@pytest.mark.parametrize("part", range(PARTS))
def test_engine_equals_twin(part: int) -> None:
    """Engine and twin agree on every event, account, order, position and market of random histories."""
    end = time.monotonic() + SECONDS / PARTS
    for seed in range(part, HISTORIES, PARTS):
        assert run(seed, ENTRIES, check_hash=seed % 10 == 0) >= ENTRIES
        if time.monotonic() > end:
            break


if __name__ == "__main__":
    main()
