"""engine/core/matching.py: the walk's borders, to the lot and to the micro."""

import pytest

from engine.core import kernel, matching
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


@pytest.mark.skipif(kernel.JIT, reason="a bound of compiled code cannot be lowered")
def test_a_walk_meets_accounts_as_long_as_their_live_orders_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts met may have so many live orders together, the dormant ones counted; then no further one is met."""
    monkeypatch.setattr(matching, "MET_ORDERS_MAX", 5)
    venue = Venue()
    for maker, price in ((MAKER, "100"), (OTHER, "101")):
        venue.order(maker, "sell", "1", price)
        venue.order(maker, "sell", "1", price)
        venue.order(maker, "sell", "1", "109")
    events = venue.order(BUYER, "buy", "4", "105")
    assert [event["qty"] for event in events if event["e"] == "fill" and event["account"] == BUYER] == ["1", "1"]
    assert ended(events, BUYER) == "liquidity_exhausted"
