"""
The engine against the twin: random hostile histories, every event and every balance after every entry.

The suite runs a few dozen; `python -m tests.property.test_twin --histories 5000 --first 1` runs as many as one likes.
"""

import argparse
import time

import pytest

from tests.property.venues import run

HISTORIES = 24
ENTRIES = 220
SECONDS = 30


@pytest.mark.parametrize("part", range(4))
def test_engine_equals_twin(part: int) -> None:
    """Engine and twin agree on every event, cell, position and order of random histories, entry by entry."""
    end = time.monotonic() + SECONDS / 4
    for seed in range(part * HISTORIES // 4, (part + 1) * HISTORIES // 4):
        assert run(seed, ENTRIES) > ENTRIES
        if time.monotonic() > end:
            break


def main() -> None:
    """Run as many histories as asked for, and say which seed fails first."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    asked = parser.parse_args()
    entries = 0
    for seed in range(asked.first, asked.first + asked.histories):
        entries += run(seed, asked.entries, check_hash=seed % 10 == 0)
    print(f"{asked.histories} histories, {entries} entries: engine and twin agree")


if __name__ == "__main__":
    main()
