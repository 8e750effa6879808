"""engine/core/triggers.py: a market is quiet exactly when none of its ladders fires at the prices it has."""

import random

import numpy as np

from engine.core import kernel, triggers
from engine.core.limits import LADDERS_COUNT, PRICE_TICKS_MAX, PRICE_WINDOW_TICKS
from engine.core.state import allocate

PRICES = ("bid_ticks", "ask_ticks", "mark_ticks", "index_ticks")


@kernel.entry
def quiet(states, market_row):
    """Return what is asked on every tick."""
    return triggers.ladders_quiet(states[0], market_row)


@kernel.entry
def firing(states, market_row):
    """Return how many ladders fire, asked one by one."""
    count = 0
    for number in range(LADDERS_COUNT):
        count += int(triggers.ladder_fires(states[0], market_row, np.int64(number)))
    return count


def test_a_market_is_quiet_when_no_ladder_fires() -> None:
    """Best places at, just short of and far from every price, one ladder at a time and all at once; empty ones too."""
    chance, states = random.Random(7), allocate()
    state, seen = states.view(np.ndarray)[0], set()
    market, bests = state["markets"][1], state["market_links"]["bests"][1]
    for number in range(4_000):
        for name in PRICES:
            market[name] = chance.choice((1, 2, 600_000, PRICE_TICKS_MAX, chance.randint(1, PRICE_TICKS_MAX)))
        bests[:] = PRICE_WINDOW_TICKS
        for ladder in range(LADDERS_COUNT) if number % 2 else [chance.randrange(LADDERS_COUNT)]:
            price = int(market[chance.choice(PRICES)]) + chance.choice((-1, 0, 1, 9_000))
            place = PRICE_WINDOW_TICKS - 1 - price if ladder % 2 == 0 else price
            bests[ladder] = min(max(place, 0), PRICE_WINDOW_TICKS)
        assert bool(quiet(states, 1)) == (firing(states, 1) == 0)
        seen.add(bool(quiet(states, 1)))
    assert seen == {True, False}


def test_a_missing_price_wakes_nothing_that_is_not_there() -> None:
    """A market without an index is quiet as long as nothing waits for one."""
    states = allocate()
    state = states.view(np.ndarray)[0]
    state["market_links"]["bests"][0] = PRICE_WINDOW_TICKS
    for name in PRICES[:3]:
        state["markets"][0][name] = 600_000
    assert quiet(states, 0)
    state["market_links"]["bests"][0][triggers.INDEX] = 5
    assert firing(states, 0) == 0
