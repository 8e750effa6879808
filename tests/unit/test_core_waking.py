"""engine/core/waking.py: how much a stop of a percentage closes when it wakes; where a limit leaves the band."""

import numpy as np
import pytest

from engine.core import kernel, state, waking
from tests.unit.test_core_makers import MAKER, Venue


@pytest.mark.parametrize(
    ("held", "percent", "left"), [(1, 1, 0), (1, 50, 0), (3, 34, 2), (3, 66, 2), (3, 67, 1), (200, 1, 198), (3, 100, 0)]
)
def test_a_stop_of_a_percentage_closes_its_part_of_what_is_held_then(held: int, percent: int, left: int) -> None:
    """A share is taken of the position as the stop wakes, rounded down, and never less than one lot."""
    venue = Venue("100000", liquidity="quote")
    venue.order(MAKER, "buy", str(held))
    keys = {"kind": "stop_market", "side": "sell", "price_trigger": "97", "reduce_only": True, "close_percent": percent}
    venue.send("order_place", MAKER, market="M_USDC_PERP", **keys)
    events = venue.engine.price("M_USDC_PERP", "97", "98")
    (closed,) = [event for event in events if event["e"] == "closed_order"]
    assert closed["reason"] == "filled" and closed["qty"] == closed["qty_filled"] == str(held - left)
    assert sum(row["lots"] for row in venue.engine.positions(MAKER)) == left


@kernel.entry
def outside(states, side_sign, price_ticks):
    """Call the kernel from Python, for the first market."""
    return waking.limit_outside_band(states[0].markets[0], side_sign, price_ticks)


@pytest.mark.parametrize(("mark", "price", "found"), [(999_999, 10**6, True), (10**6, 10**6 + 1, False)])
def test_the_price_band_ends_between_two_ticks(mark: int, price: int, found: bool) -> None:
    """A band of a millionth: a buy a millionth of a tick beyond it is outside, one exactly at its end is not."""
    states = state.allocate()
    market = states.view(np.ndarray)[0]["markets"][0]
    market["config"]["price_band_ppm"] = 1
    market["mark_ticks"] = mark
    assert bool(outside(states, 1, price)) == found


def test_what_waited_and_rests_waits_no_more() -> None:
    """A limit that the quote has left behind when its delay ends rests without a time of its own."""
    venue = Venue(liquidity="quote", taker_delay_ms=500)
    venue.order(MAKER, "buy", "1", "101")
    (order,) = venue.engine.orders(MAKER)
    assert order["due_us"] == venue.engine.ts_us + 500_000
    venue.engine.price("M_USDC_PERP", "100", "102", ts_us=venue.engine.ts_us + 500_000)
    (order,) = venue.engine.orders(MAKER)
    assert (order["status"], order["due_us"]) == ("resting", 0)
