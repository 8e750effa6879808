"""engine/core/positions.py: borders, to the micro: a partial close's cash, what averages remember."""

import numpy as np
import pytest

from engine.core.limits import LIFE_E6_MAX
from tests.unit.test_core_makers import MAKER, Venue, money


@pytest.mark.parametrize("over_e6", [-40_000, -1, 0, 1, 40_000])
def test_the_cash_of_a_partial_close_is_free_money_or_margin(over_e6: int) -> None:
    """Half of a long is closed: what is over is free money, what lacks comes off the margin of the other half."""
    venue = Venue(liquidity="quote")
    venue.send("leverage_set", MAKER, market="M_USDC_PERP", leverage=20)
    venue.engine.price("M_USDC_PERP", "99", "100")
    mark = {"E": venue.engine.ts_us, "T": venue.engine.ts_us, "e": "markPrice", "p": "100", "s": "M_USDC_PERP"}
    venue.engine.apply("mark_update", mark)
    venue.order(MAKER, "buy", "2")
    (position,) = venue.engine.positions(MAKER)
    # Sold at 95: a loss of 5 and a taker's fee of 0.0475, against half of the margin; the mark stays at 100.
    change_e6 = 2 * (5_047_500 + over_e6) - position["margin_e6"]
    venue.send("margin_change", MAKER, position_id=position["position_id"], amount=money(change_e6))
    free_e6 = venue.free_e6(MAKER)
    venue.engine.price("M_USDC_PERP", "95", "96")
    events = venue.send("trade_close", MAKER, position_id=position["position_id"], qty="1")
    (after,) = venue.engine.positions(MAKER)
    assert venue.free_e6(MAKER) == free_e6 + max(0, over_e6)
    assert after["margin_e6"] == 5_047_500 + over_e6 + min(0, over_e6)
    assert after["lots"] == 1 and after["cost_e6"] == 100_000_000
    kinds = {event["e"] for event in events}
    assert "deficit" not in kinds and "closed_position" not in kinds
    assert venue.engine.invariants() == []


@pytest.mark.parametrize(("over", "halved"), [(0, False), (1, True)])
def test_what_the_averages_remember_is_halved_before_it_is_too_much(over: int, halved: bool) -> None:
    """Up to 2⁵⁸ micro every fill counts alike; the one that would pass it halves what came before, lots and money."""
    venue = Venue(liquidity="quote")
    venue.engine.price("M_USDC_PERP", "99", "100")
    venue.order(MAKER, "buy", "4")
    plain = venue.engine.states.view(np.ndarray)[0]
    row = next(row for row in range(1, 9) if plain["positions"][row]["account_id"] == MAKER)
    for side, price_e6 in (("buy", 100_000_000), ("sell", 99_000_000)):
        name = "entry" if side == "buy" else "exit"
        plain["positions"][row][f"{name}_e6"] = LIFE_E6_MAX - price_e6 + over
        plain["positions"][row][f"{name}_lots"] = 1_001
        venue.order(MAKER, side, "1")
        position = plain["positions"][row]
        before_e6, before = LIFE_E6_MAX - price_e6 + over, 1_001
        if halved:
            before_e6, before = before_e6 // 2, 500
        assert int(position[f"{name}_e6"]) == before_e6 + price_e6
        assert int(position[f"{name}_lots"]) == before + 1
