"""engine/core/liquidation.py: the bankruptcy price against fractions, and where it leaves the price window."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from engine.core import kernel, liquidation, state
from engine.core.limits import PRICE_TICKS_MAX

STATES = state.allocate()
UNIT_E6 = 7


@kernel.entry
def bankruptcy_of(states):
    """Return the bankruptcy price of the first position of a state."""
    return liquidation.bankruptcy_ticks(states[0], 1)


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
