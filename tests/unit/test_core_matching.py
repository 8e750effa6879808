"""engine/core/matching.py: the walk's borders, to the lot and to the micro."""

from typing import Any

import numpy as np
import pytest

from engine.core import kernel, matching, state
from engine.core.limits import PRICE_TICKS_MAX
from shared.codes import Liquidity
from tests.unit.test_core_makers import BUYER, MAKER, OTHER, Venue, ended


@pytest.mark.parametrize("lots", [1, 2])
@pytest.mark.parametrize(("lack_e6", "reason"), [(0, "filled"), (1, "liquidity_exhausted")])
def test_a_closing_that_costs_more_than_its_margin_meets_no_user(lots: int, lack_e6: int, reason: str) -> None:
    """A close that would end with nothing to the micro is filled by a user; one that would lack a micro is not."""
    venue = Venue()
    venue.send("leverage_set", MAKER, market="M_USDC_PERP", leverage=20)
    venue.order(OTHER, "sell", str(lots), "100")
    venue.order(MAKER, "buy", str(lots))
    (position,) = venue.engine.positions(MAKER)
    # Sold at 95: a loss of 5 a lot and a taker's fee of 0.0475.
    change_e6 = lots * 47_500 - lack_e6
    assert position["margin_e6"] == lots * 5_000_000
    venue.send("margin_change", MAKER, position_id=position["position_id"], amount=f"0.{change_e6:06d}")
    venue.order(BUYER, "buy", str(lots), "95")
    events = venue.order(MAKER, "sell", str(lots), "95", tif="IOC")
    assert ended(events, MAKER) == reason
    assert len(venue.engine.positions(MAKER)) == int(reason != "filled")
    assert venue.engine.invariants() == []


@pytest.mark.parametrize(("price", "meets"), [("95", True), ("94", False)])
def test_the_band_is_met_at_its_edge(price: str, meets: bool) -> None:
    """An order at the lower edge of the band, five per cent below the mark, is met; one tick below it is not."""
    venue = Venue(price_band_ppm=100_000)
    venue.order(BUYER, "buy", "1", price)
    body = {"market": "M_USDC_PERP", "price_band_ppm": 50_000}
    events = venue.engine.apply(
        "venue_instruction", {"v": 1, "account": 0, "request_id": "f" * 32, "op": "market_set", **body}
    )
    assert events[0]["result"] == "OK"
    events = venue.order(OTHER, "sell", "1", slippage_bps=2_000)
    assert ended(events, BUYER) == ("filled" if meets else "")
    assert ended(events, OTHER) == ("filled" if meets else "liquidity_exhausted")


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_band_is_rounded_inwards(side: str) -> None:
    """Five per cent of a mark of 101 are no whole tick: what lies one outside is passed over, what is inside met."""
    maker_side, inside, outside = ("sell", "96", "95") if side == "buy" else ("buy", "106", "107")
    venue = Venue(price_band_ppm=100_000)
    venue.engine.price("M_USDC_PERP", "100", "102")
    venue.order(MAKER, maker_side, "1", outside)
    venue.order(OTHER, maker_side, "1", inside)
    body = {"market": "M_USDC_PERP", "price_band_ppm": 50_000}
    venue.engine.apply("venue_instruction", {"v": 1, "account": 0, "request_id": "f" * 32, "op": "market_set", **body})
    events = venue.order(BUYER, side, "2")
    assert [ended(events, account) for account in (MAKER, OTHER)] == ["", "filled"]


def test_the_band_reaches_down_to_one_tick() -> None:
    """At a mark of three ticks and a band of seven tenths of it, an order at one tick is met."""
    venue = Venue(quote=("2", "4"), price_band_ppm=700_000, spread_max_ppm=900_000)
    venue.order(OTHER, "sell", "1", "1")
    assert ended(venue.order(BUYER, "buy", "1", "3"), OTHER) == "filled"


def test_the_band_reaches_up_to_the_last_tick() -> None:
    """With the mark two ticks below the last one, an order on the last is met."""
    last = PRICE_TICKS_MAX
    venue = Venue(quote=(str(last - 3), str(last - 1)), lot="0.0001")
    venue.order(OTHER, "buy", "0.0001", str(last))
    assert ended(venue.order(BUYER, "sell", "0.0001", str(last - 2)), OTHER) == "filled"


def test_money_spent_to_the_lot_at_one_price_may_still_be_enough_at_the_next() -> None:
    """A sale for 250 of money takes both lots at 100, where no third would fit, and then one at 50."""
    venue = Venue(quote=("70", "130"), price_band_ppm=500_000, spread_max_ppm=900_000)
    venue.order(MAKER, "buy", "2", "100")
    venue.order(OTHER, "buy", "2", "50")
    body = {"market": "M_USDC_PERP", "side": "sell", "kind": "market", "quote_qty": "250", "slippage_bps": 5_000}
    events = venue.send("order_place", BUYER, **body)
    fills = [(event["price"], event["qty"]) for event in events if event["e"] == "fill" and event["account"] == BUYER]
    assert fills == [("100", "2"), ("50", "1")]


@pytest.mark.skipif(kernel.JIT, reason="a bound of compiled code cannot be lowered")
@pytest.mark.parametrize(("bound", "fills"), [(5, 2), (6, 4)])
def test_a_walk_meets_accounts_as_long_as_their_live_orders_are_few(
    bound: int, fills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accounts met may have so many live orders together, the dormant ones counted; then no further one is met."""
    monkeypatch.setattr(matching, "MET_ORDERS_MAX", bound)
    venue = Venue()
    for maker, price in ((MAKER, "100"), (OTHER, "101")):
        venue.order(maker, "sell", "1", price)
        venue.order(maker, "sell", "1", price)
        venue.order(maker, "sell", "1", "109")
    events = venue.order(BUYER, "buy", "5", "105", tif="IOC")
    assert [event["qty"] for event in events if event["e"] == "fill" and event["account"] == BUYER] == ["1"] * fills
    assert ended(events, BUYER) == "liquidity_exhausted"


@kernel.entry
def quote_taken(states: Any, lots: int) -> Any:
    """Take lots from the quote; return the lots and the money of what was taken, and whether the money ended it."""
    matching.quote_step(states[0], lots)
    return states[0].taker.filled_lots, states[0].taker.filled_e6, states[0].taker.capped


@pytest.mark.parametrize(
    ("money_e6", "taken"),
    [(0, (3, 6, 0)), (1, (0, 0, 1)), (2, (1, 2, 1)), (5, (2, 4, 1)), (6, (3, 6, 0)), (7, (3, 6, 0))],
)
def test_the_quote_is_taken_as_far_as_the_money_reaches(money_e6: int, taken: tuple[int, int, int]) -> None:
    """Three lots at two micro each: whole ones within the money, down to a single micro; 0 is no bound."""
    states = state.allocate()
    row = states.view(np.ndarray)[0]
    row["markets"][0]["ask_ticks"], row["markets"][0]["bid_ticks"], row["markets"][0]["mark_ticks"] = 2, 1, 2
    row["markets"][0]["config"]["liquidity"], row["markets"][0]["config"]["unit_e6"] = Liquidity.QUOTE, 1
    row["taker"]["side_sign"], row["taker"]["leverage"], row["taker"]["money_e6"] = 1, 1, money_e6
    assert tuple(int(figure) for figure in quote_taken(states, 3)) == taken
