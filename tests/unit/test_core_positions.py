"""engine/core/positions.py: a partial close at the border between free money and margin, to the micro."""

import pytest

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
