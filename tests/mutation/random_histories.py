"""
The random histories of a mutation run, one test a seed; the name keeps them out of the suite, which has its own.
"""

import pytest

from tests.property.venues import run

SEEDS = 120
ENTRIES = 220
HASHED = 5  # every so many-th history compares the record's hash too, which costs as much again


@pytest.mark.parametrize("seed", range(SEEDS))
def test_history(seed: int) -> None:
    """Engine and twin agree on every event and every balance of one random history."""
    run(seed, ENTRIES, check_hash=seed % HASHED == 0)
