"""engine/core/trail_tree.py: many stops held at once at different peaks, so that the best is seldom the nearest."""

import random

import pytest

from tests.trailing_market import TrailingMarket
from tests.unit.test_trailing import CENTRE, assert_sound, prices, sell


@pytest.mark.parametrize("seed", range(6))
def test_the_treap_is_sound_while_few_stops_fire(seed: int) -> None:
    """A slowly falling price leaves dozens of peaks; each best trigger is right after every call."""
    chance = random.Random(seed)
    market, bid = TrailingMarket(), CENTRE
    held: set[int] = set()
    for _ in range(240):
        row, drawn = chance.randrange(1, 60), chance.random()
        if row in held and drawn < 0.5:
            market.remove(row)
            held.remove(row)
        elif row not in held and drawn < 0.6:
            ticks, ppm = (
                (chance.randrange(200, 280), 0) if chance.random() < 0.5 else (0, chance.randrange(2_000, 2_800))
            )
            sell(market, row, bid, ticks, ppm)
            held.add(row)
        elif drawn < 0.95:
            bid += chance.randrange(-9, 10) if chance.random() < 0.3 else -1
            market.follow(prices(bid))
            held -= set(market.release())
        else:
            market.write_back()
        assert_sound(market)
