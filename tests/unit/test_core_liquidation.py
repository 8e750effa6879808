"""engine/core/liquidation.py: the bankruptcy price against fractions, its borders, and how far a forced walk goes."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from engine.core import kernel, liquidation, margin, state
from engine.core.limits import PRICE_TICKS_MAX
from tests.unit.test_core_makers import MAKER, OTHER, Venue

STATES = state.allocate()
UNIT_E6 = 7


@kernel.entry
def bankruptcy_of(states):
    """Return the bankruptcy price of the first position of a state."""
    return liquidation.bankruptcy_ticks(states[0], 1)


@kernel.entry
def threshold_of(states):
    """Return the liquidation threshold of the first position of a state."""
    return margin.threshold_ticks(states[0], 1)


@pytest.mark.parametrize(("worth_e6", "ticks"), [(8_472_493, PRICE_TICKS_MAX), (8_472_494, 0)])
def test_a_short_may_be_liquidated_on_the_last_tick_of_the_window(worth_e6: int, ticks: int) -> None:
    """A threshold on the last tick is one, beyond it there is none: ⌈worth ÷ 1.01⌉ at a rate of one per cent."""
    table = STATES.view(np.ndarray)[0]
    config = table["markets"][0]["config"]
    config["unit_e6"], config["tiers_count"], config["tiers"][0] = 1, 1, (0, 10_000, 20, 0)
    position = table["positions"][1]
    position["market_id"], position["lots"], position["account_id"] = 1, -1, 100
    position["cost_e6"], position["margin_e6"] = -8_000_000, worth_e6 - 8_000_000
    assert threshold_of(STATES) == ticks


@pytest.mark.parametrize("lots", [3, -3, 1_000_001, -1_000_001])
@pytest.mark.parametrize("entry_ticks", [1, 50, 600_000])
@pytest.mark.parametrize("margin_e6", [-100, 0, 1, 20, 21, 500_000, 10**15])
def test_the_bankruptcy_price_is_where_the_margin_ends(lots: int, entry_ticks: int, margin_e6: int) -> None:
    """Up for a long, down for a short, never outside the window of prices."""
    table = STATES.view(np.ndarray)[0]
    table["markets"][0]["config"]["unit_e6"] = UNIT_E6
    cost_e6 = lots * entry_ticks * UNIT_E6
    position = table["positions"][1]
    position["market_id"], position["lots"], position["cost_e6"], position["margin_e6"] = 1, lots, cost_e6, margin_e6
    exact = Fraction(cost_e6 - margin_e6, lots * UNIT_E6)
    inside = ceil(exact) if lots > 0 else floor(exact)
    assert bankruptcy_of(STATES) == min(max(inside, 1), PRICE_TICKS_MAX)


@pytest.mark.parametrize(("liquidity", "bound_ticks"), [("quote", 0), ("quote_sized", 91), ("book", 95)])
def test_how_far_a_forced_walk_goes(liquidity: str, bound_ticks: int) -> None:
    """Without a bound, to the last of three levels from a bid of 93, or to the bankruptcy price: 101 less 6.05, up."""
    venue = Venue(liquidity=liquidity, depth_levels=3)
    venue.send("leverage_set", MAKER, market="M_USDC_PERP", leverage=20)
    if liquidity == "book":
        venue.order(OTHER, "sell", "1", "101")
    venue.order(MAKER, "buy", "1", "101")
    (position,) = venue.engine.positions(MAKER)
    assert (position["cost_e6"], position["margin_e6"], position["threshold_ticks"]) == (101_000_000, 6_050_000, 95)
    events = venue.engine.price("M_USDC_PERP", "93", "94")
    assert [event["e"] for event in events if event["e"] in ("liquidation", "deficit")][:1] == ["liquidation"]
    taker = venue.engine.states.view(np.ndarray)[0]["taker"]
    assert (int(taker["forced"]), int(taker["bound_ticks"])) == (1, bound_ticks)
    assert not venue.engine.positions(MAKER)
