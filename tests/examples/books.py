"""Published examples of orders that find less than they ask for, traded through a users' book."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from tests.examples.profits import Example, Figures
from tests.examples.scene import ACCOUNT, MARKET, Scene, exact, has, last

LIMIT = 101
BEYOND = 50


def offered(example: Example) -> Scene:
    """Return a book with the example's offers, a tick apart and the last at the limit, and one beyond the limit."""
    levels = example["inputs"].get("levels", [example["inputs"]["available_qty_at_or_better"]])
    assert sum(map(int, levels)) == int(example["inputs"]["available_qty_at_or_better"])
    scene = Scene("1", "1", liquidity="book")
    first = LIMIT + 1 - len(levels)
    scene.offer([*enumerate(levels, first), (LIMIT + 1, BEYOND)])
    return scene


def immediate(example: Example) -> Figures:
    """An IOC order takes what its limit reaches, level by level, and what is left ends."""
    scene, levels = offered(example), example["inputs"]["levels"]
    events = scene.limit("buy", example["inputs"]["order_qty"], LIMIT, tif="IOC")
    fills = scene.own(events, "fill")
    assert [int(fill["qty"]) for fill in fills] == [int(qty) for qty in levels]
    assert [int(fill["price"]) for fill in fills] == list(range(LIMIT + 1 - len(levels), LIMIT + 1))
    closed = scene.own(events, "closed_order")[-1]
    assert closed["reason"] == "ioc_unfilled"
    filled = Fraction(closed["qty_filled"])
    assert Fraction(scene.own(events, "position_changed")[-1]["qty"]) == filled
    scene.sound()
    return {"filled": exact(filled), "cancelled": exact(Fraction(closed["qty"]) - filled)}


def all_or_nothing(example: Example) -> Figures:
    """A FOK order fills whole, or is refused and leaves every offer as it was."""
    scene, asked = offered(example), example["inputs"]["order_qty"]
    record = scene.engine.record_hash()
    events = scene.limit("buy", asked, LIMIT, tif="FOK", result="")
    answer = last(events, "order_response")["result"]
    if answer == "OK":
        closed = scene.own(events, "closed_order")[-1]
        assert closed["reason"] == "filled"
        filled = Fraction(closed["qty_filled"])
        assert filled == sum(Fraction(fill["qty"]) for fill in scene.own(events, "fill"))
    else:
        assert answer == "FOK_UNFILLABLE"
        assert not has(events, "fill")
        assert scene.engine.record_hash() == record
        filled = Fraction(0)
    scene.sound()
    return {"filled": exact(filled), "cancelled": exact(Fraction(asked) - filled)}


def reduce_only(example: Example) -> Figures:
    """A reduce-only order larger than the position is cut to it; the position ends and is not turned."""
    found: Figures = {}
    scene = Scene("1", "0.25")
    scene.order("buy", example["inputs"]["position"], 100)
    for number, (side, qty, flag) in enumerate(example["inputs"]["orders"]):
        size = {"market": MARKET, "side": side, "kind": "market", "qty": qty, "reduce_only": flag}
        events = scene.instruct("order_place", **size)
        closed = last(events, "closed_order")
        assert closed["reason"] == "filled"
        assert has(events, "closed_position")
        assert scene.engine.positions(ACCOUNT) == []
        found[f"steps.{number}.filled"] = exact(closed["qty_filled"])
        found[f"steps.{number}.cancelled"] = exact(Decimal(qty) - Decimal(closed["qty"]))
        found[f"steps.{number}.position"] = exact(last(events, "position_changed")["qty"])
    scene.sound()
    return found


RUNS: dict[str, Callable[[Example], Figures]] = {
    "okx-ioc-300-of-266": immediate,
    "okx-fok-300-of-266": all_or_nothing,
    "blofin-fok-yes": all_or_nothing,
    "dydx-reduce-only": reduce_only,
}
