"""Published examples of funding, paid through the engine; the two that are part of a profit are in profits.py."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from tests.examples.profits import OPENING, PPM, Example, Figures
from tests.examples.scene import ACCOUNT, MARKET, Scene, exact, has, last


def both_sides(example: Example) -> Figures:
    """A short and a long of the same size at the same mark: one receives what the other pays, the house nothing."""
    scene = Scene("0.1", "1")
    sides = {"short": ACCOUNT, "long": scene.account_open()}
    for side, account in sides.items():
        scene.touch(OPENING[side], example["mark"])
        size = {"market": MARKET, "side": OPENING[side], "kind": "market", "qty": example["qty"]}
        scene.instruct("order_place", account=account, **size)
    free = scene.free
    events = scene.funding(example["mark"], example["inputs"]["funding_rate"])
    amounts = {event["account"]: Fraction(event["amount"]) for event in events if event["e"] == "funding"}
    settled = last(events, "funding_settled")
    assert settled["positions"] == 2
    assert Fraction(settled["amount"]) == -sum(amounts.values()) == 0
    assert scene.free - free == amounts[ACCOUNT]
    scene.sound()
    return {f"funding_to_{side}": exact(amounts[account]) for side, account in sides.items()}


def index_moved(example: Example) -> Figures:
    """
    A cumulative index as fundings at a mark of one: each adds its rate.

    What the index was before is a funding that is settled when nobody holds anything yet; the payment of a position is
    what the index moved since. A millionth of the quote currency is our micro.
    """
    before, now = (Decimal(example["inputs"][key]) / PPM for key in ("index_before", "index_now"))
    scene = Scene("0.0001", "1")
    scene.touch("buy", 1)
    settled = last(scene.funding(1, before), "funding_settled")
    assert (settled["positions"], Fraction(settled["rate"])) == (0, Fraction(before))
    scene.order(OPENING[example["side"]], example["qty"], 1)
    free = scene.free
    events = scene.funding(1, now - before)
    amount = Fraction(last(events, "funding")["amount"])
    assert scene.free - free == amount
    assert not has(events, "funding_skipped")
    scene.sound()
    return {"settlement_ppm": exact(amount * PPM)}


RUNS: dict[str, Callable[[Example], Figures]] = {
    "freqtrade-funding-short-2": both_sides,
    "dydx-funding-index-long-index-up": index_moved,
    "dydx-funding-index-long-index-down": index_moved,
}
