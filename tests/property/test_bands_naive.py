"""
The bands against the naive scan: nobody is liquidated or called too early, too late or out of turn, and restores change
nothing. `python -m tests.property.bands_run` does the same for as many (account, tick) pairs as wanted.
"""

from collections import Counter

import pytest

from engine import core
from engine.core import kernel
from tests.property.bands_world import World

PAIRS = 35_000 if kernel.JIT else 9_000
ACCOUNTS = 80 if kernel.JIT else 30
SEEDS = (2, 3, 5)
LIKELY = 0.004  # that the engine is replaced by one restored from it, after an entry


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bands_agree_with_the_scan_of_everybody(seed: int) -> None:
    """While three markets gap together, each step takes whom the scan of all accounts names, and no tick leaves one."""
    world = World(seed, ACCOUNTS, LIKELY)
    while world.pairs < PAIRS:
        world.step()
    assert world.counts["liquidations"] >= 2 and world.counts["restores"] >= 1
    assert core.invariants(world.states) == []


def test_few_are_looked_at() -> None:
    """Of all the accounts on all the ticks, only a small part was ever evaluated."""
    world = World(SEEDS[0], ACCOUNTS, 0.0)
    while world.pairs < PAIRS // 2:
        world.step()
    assert int(world.state["evaluations"]) * 10 < world.pairs


def test_a_restored_engine_goes_on_alike() -> None:
    """The same history with restores in its middle ends with the same state, after the same liquidations and calls."""
    ends: list[tuple[tuple[str, str], Counter[str]]] = []
    for likely in (0.0, 0.03):
        world = World(7, ACCOUNTS // 2, likely, edges=False)
        for _ in range(PAIRS // 30):
            world.step()
        restores = world.counts.pop("restores", 0)
        assert (restores > 5) == (likely > 0)
        ends.append((core.hashes(world.states), world.counts))
    assert ends[0] == ends[1]
