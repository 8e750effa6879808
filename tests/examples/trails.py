"""
Published examples of trailing stops, each followed along its price path through the engine.

A moved trigger is told when it fires: one tick before it nothing happens, at it the event names it.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.examples.profits import Example, Figures
from tests.examples.scene import MARKET, Event, Scene, exact, has, last

Move = Callable[[Decimal], list[Event]]
BPS_PPM = 100


def moved(example: Example) -> Figures:
    """The trigger after one price: the stop begins where its trigger is the initial one; none when it did not move."""
    given, side = example["inputs"], example["side"]
    scene = Scene(given.get("tick", "0.01"), "1", leverage_max=1)
    sign, initial = 1 if side == "buy" else -1, Decimal(given["initial_trigger"])
    trail, first = offset(given, scene.tick, sign)
    trigger_by = "quote" if "bid" in given else "mark"
    scene.touch(side, first)

    def move(price: Decimal) -> list[Event]:
        return scene.touch(side, price, first) if trigger_by == "quote" else scene.mark(price)

    keys = {"market": MARKET, "side": side, "kind": "trailing_stop", "qty": "1", "trigger_by": trigger_by}
    placed = last(scene.instruct("order_place", **keys, **trail), "order_changed")
    assert (Decimal(placed["price_peak"]), Decimal(placed["price_trigger"])) == (first, initial)
    if trigger_by == "quote":
        # The other side of the quote stands apart, and must not be what is followed.
        events = scene.prices(given["bid"], given["ask"], first)
    else:
        events = move(Decimal(given["last_price"]))
    assert not has(events, "trigger_fired")
    trigger = fired(scene, move, sign, given)
    return {"new_trigger": None if trigger == initial else exact(trigger)}


def offset(given: dict[str, Any], tick: Decimal, sign: int) -> tuple[dict[str, int], Decimal]:
    """Return the keys of an offset, and the price whose trigger is the initial one."""
    size, initial = Decimal(given["offset"]), Decimal(given["initial_trigger"])
    if given["offset_type"] == "bps":
        ppm = int(size) * BPS_PPM
        # Ours rounds a sell's trigger down to a tick: the first price from which it is the initial one.
        price = initial / (1 + sign * Decimal(ppm) / 10**6)
        return {"trail_ppm": ppm}, (price // tick + 1) * tick
    ticks = int(size if given["offset_type"] == "ticks" else size / tick)
    return {"trail_ticks": ticks}, initial - sign * ticks * tick


def fired(scene: Scene, move: Move, sign: int, given: dict[str, Any]) -> Decimal:
    """Return the trigger at which the stop fires, going there a tick at a time from the example's last price."""
    price = Decimal(given["ask"] if "ask" in given else given["last_price"])
    for _ in range(150):
        price += sign * scene.tick
        events = move(price)
        if has(events, "trigger_fired"):
            told = last(events, "trigger_fired")
            assert Decimal(told["price_trigger"]) == Decimal(told["price"]) == price
            assert last(events, "fill")["side"] == ("buy" if sign > 0 else "sell")
            scene.sound()
            return price
    raise AssertionError("the stop never fired")


def trail_of_long(scene: Scene, distance: str, **keys: Any) -> Event:
    """Put a reduce-only trailing stop under the long that the scene has, and return its order_changed."""
    size = {"side": "sell", "qty": "1", "reduce_only": True, "trail_ticks": int(Decimal(distance) / scene.tick)}
    return last(scene.instruct("order_place", market=MARKET, kind="trailing_stop", **size, **keys), "order_changed")


def trigger_below(scene: Scene, prices: list[Decimal]) -> Figures:
    """Return the trigger that fires at the last of falling bids, having seen that none above it fires."""
    for price in prices[:-1]:
        assert not has(scene.touch("sell", price), "trigger_fired")
    events = scene.touch("sell", prices[-1])
    told = last(events, "trigger_fired")
    assert Fraction(last(events, "fill")["price"]) == Fraction(told["price"])
    assert last(events, "closed_position")["price_exit"] == last(events, "closed_order")["price_average"]
    scene.sound()
    return {"trigger": exact(told["price_trigger"])}


def distance_kept(example: Example) -> Figures:
    """A long's stop that followed the bid up to the highest price, and no way down."""
    given = example["inputs"]
    scene = Scene("0.5", "1")
    entry, highest, distance = Decimal(example["entry"]), Decimal(given["highest_price"]), Decimal(given["distance"])
    scene.order("buy", 1, entry)
    scene.touch("sell", entry)
    placed = trail_of_long(scene, given["distance"])
    assert Decimal(placed["price_trigger"]) == entry - distance
    lower = highest - distance
    path = [entry + 400, highest - 100, highest, highest - 300, highest - 1, lower + scene.tick, lower]
    return trigger_below(scene, path)


def activation(example: Example) -> Figures:
    """Nothing trails below the activation price, however far the price falls; there the stop begins."""
    given = example["inputs"]
    scene = Scene("0.5", "1")
    placement, active = Decimal(given["last_price_at_placement"]), Decimal(given["activation_price"])
    scene.order("buy", 1, placement)
    scene.touch("sell", placement)
    placed = trail_of_long(scene, given["distance"], price_activation=given["activation_price"])
    distance = Decimal(given["distance"])
    told = [placed]
    for price in (active - scene.tick, active - scene.tick - distance, active - 3 * distance, active - scene.tick):
        events = scene.touch("sell", price)
        assert not has(events, "trigger_fired")
        told += [event for event in events if event["e"] == "order_changed"]
    before = any("price_peak" in event or "price_trigger" in event for event in told)
    first = last(scene.touch("sell", active), "order_changed")
    assert Decimal(first["price_peak"]) == active
    lower = active - distance
    assert trigger_below(scene, [active, lower + scene.tick, lower]) == {"trigger": exact(first["price_trigger"])}
    return {"active_before_8000": before, "first_trigger": exact(first["price_trigger"])}


RUNS: dict[str, Callable[[Example], Figures]] = {
    "nautilus-trail-price-buy-1": moved,
    "nautilus-trail-price-buy-2": moved,
    "nautilus-trail-price-sell-3": moved,
    "nautilus-trail-bps-sell-8": moved,
    "nautilus-trail-ticks-buy-9": moved,
    "nautilus-trail-ticks-sell-11": moved,
    "nautilus-trail-bidask-buy-14": moved,
    "bybit-trail-long-moved": distance_kept,
    "bybit-trail-activation": activation,
}
