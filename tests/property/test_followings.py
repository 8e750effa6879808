"""
Followings against the stream itself: whatever is cut, lags, stalls or is trimmed, nothing is missing and nothing comes
twice. `python -m tests.property.followings` walks through as many worlds as wanted.
"""

import asyncio
from collections import Counter

from tests.property.followings import walks

SEEDS = range(1, 61)


def test_every_following_is_told_exactly_what_its_channels_hold() -> None:
    """In sixty worlds each client is told each event of its channels once, in order, with every gap owned up to."""
    seen: Counter[str] = Counter()
    for seed, found in zip(SEEDS, asyncio.run(walks(SEEDS)), strict=True):
        assert not isinstance(found, BaseException), (seed, found)
        seen += found
    assert all(seen[kind] > 5 for kind in ("snapshot", "live", "pong", "gap", "trimmed", "ahead")), seen
    assert seen["event"] > 5_000
