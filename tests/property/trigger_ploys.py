"""
Short plots around dormant orders: brackets, pairs, trailing stops; partly filled, and prices led through them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.property import amounts, feeds
from tests.property.entries import Entry
from tests.property.order_wishes import side_of
from tests.property.ploys import limit, lots_small, middle
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History


def prices_lead(history: "History", market: Market, ways: list[int]) -> Iterator[Entry]:
    """Yield quotes and marks that go up (+1) and down (−1) in small steps."""
    for way in ways:
        yield feeds.quote(history, market.name, jump=way * history.chance.choice([0.001, 0.004, 0.004, 0.012]))
        if history.chance.random() < 0.4:
            yield feeds.mark(history, market, 0.0)


def piecewise(history: "History", market: Market, sign: int, lots: int, ticks: int) -> Iterator[Entry]:
    """Yield takers of another account that fill a resting order in pieces."""
    taker = history.account_any()
    for _ in range(history.chance.randint(1, 3)):
        part = max(1, lots // history.chance.choice([2, 3, 4]))
        yield history.instruction(taker, "order_place", limit(market, -sign, part, ticks, tif="IOC"))


def bracket_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield an entry with a bracket, resting or at once, its fills in pieces, and prices through SL or TP."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id = history.account_any()
    yield feeds.quote(history, market.name, spread=max(2, history.ticks_of(market) // chance.choice([100, 400])))
    price, lots = middle(history, market), lots_small(history, account_id, market)
    values: dict[str, Any] = limit(market, sign, lots, price, tif="GTC")
    away = max(1, price // chance.choice([100, 300, 1000]))
    for name, way in (("take_profit", 1), ("stop_loss", -1)):
        if chance.random() < 0.8:
            values[name] = amounts.trigger_value(history, market, max(1, price + sign * way * away), 0.3)
    if ("take_profit" in values or "stop_loss" in values) and chance.random() < 0.7:
        values["tpsl"] = chance.choice(["order", "order", "position"])
    if chance.random() < 0.25:
        values["kind"] = "market"
        values.pop("price")
        values.pop("tif")
        other = history.account_other(account_id)
        yield history.instruction(other, "order_place", limit(market, -sign, lots, price))
    yield history.instruction(account_id, "order_place", values)
    way = chance.choice([1, -1])
    for _ in range(chance.randint(1, 3)):
        yield from piecewise(history, market, sign, lots // 2, max(1, price - sign * away))
        yield from prices_lead(history, market, [way] * chance.randint(0, 2))
    if chance.random() < 0.3:
        yield history.instruction(account_id, "order_cancel", {"order_id": history.order_next() - chance.randint(1, 4)})
    yield from prices_lead(history, market, [way, *[chance.choice([1, -1])] * chance.randint(1, 4)])


def trail_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield trailing stops of several offsets and sources, then prices that lead their peaks away and come back."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    yield feeds.quote(history, market.name)
    for _ in range(chance.randint(1, 4)):
        account_id = history.account_any()
        touch = amounts.touch_near(history, market, sign)
        values: dict[str, Any] = {"market": market.name, "side": side_of(sign), "kind": "trailing_stop"}
        values["qty"] = amounts.qty_text(market, lots_small(history, account_id, market))
        if chance.random() < 0.5:
            values["trail_ticks"] = max(1, touch // chance.choice([100, 300, 1000, 10_000]))
        else:
            values["trail_ppm"] = chance.choice([500, 2_000, 5_000, 20_000])
        if chance.random() < 0.5:
            values["trigger_by"] = chance.choice(["mark", "index"])
        if chance.random() < 0.4:
            active = touch - sign * max(1, touch // chance.choice([100, 500, 3000]))
            values["price_activation"] = amounts.price_text(market, active)
        held = history.twin.state.position_net(account_id, market)
        if held is not None and held.lots * sign < 0 and chance.random() < 0.5:
            values["reduce_only"] = True
            if chance.random() < 0.5:
                values.pop("qty")
                values["close_percent"] = chance.choice([30, 100])
        yield history.instruction(account_id, "order_place", values)
    away = [-sign] * chance.randint(1, 4)
    yield from prices_lead(history, market, [*away, sign, *away[:1], *[sign] * chance.randint(1, 4)])


def pair_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield pairs of orders, the resting leg filled in pieces or the dormant one woken, or one leg taken away."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id = history.account_any()
    yield feeds.quote(history, market.name, spread=max(2, history.ticks_of(market) // chance.choice([100, 400])))
    price, lots = middle(history, market), lots_small(history, account_id, market)
    away = max(1, price // chance.choice([100, 300, 1000]))
    values = limit(market, sign, lots, price - sign * chance.choice([0, 1, away]))
    stop = amounts.price_text(market, price + sign * away)
    leg: dict[str, Any] = {"kind": chance.choice(["stop_market", "stop_limit", "trailing_stop"])}
    if leg["kind"] == "trailing_stop":
        leg["trail_ticks"] = away
    else:
        leg["price_trigger"] = stop
    if leg["kind"] == "stop_limit":
        leg["price"] = amounts.price_text(market, price + sign * chance.choice([0, away, 2 * away]))
    held = history.twin.state.position_net(account_id, market)
    if held is not None and held.lots * sign < 0 and chance.random() < 0.7:
        values["reduce_only"] = True
    values["oco"] = leg
    yield history.instruction(account_id, "order_place", values)
    first = history.order_next() - 2
    yield from piecewise(history, market, sign, lots, max(1, price - sign * 2 * away))
    how = chance.choice(["lead", "lead", "back", "cancel", "amend"])
    if how == "cancel":
        yield history.instruction(account_id, "order_cancel", {"order_id": first + chance.randint(0, 1)})
    elif how == "amend":
        ticks = max(1, price + sign * chance.choice([0, 1, away]))
        amended = {"order_id": first, "price": amounts.price_text(market, ticks)}
        yield history.instruction(account_id, "order_amend", amended)
    yield from prices_lead(history, market, [sign if how == "lead" else -sign] * chance.randint(1, 4))


def woken_child_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield an entry filled in part, with a pair of its own; a child that wakes and rests; the entry filled again."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    state = history.twin.state
    market = max(state.markets.values(), key=lambda row: (100 <= history.ticks_of(row) <= 8_000_000, row is market))
    mode = chance.choice(["quote", "quote_sized", "book"])
    if not state.feed_up:
        yield feeds.feed_up(history)
    if market.state != "open":
        yield history.operator(0, "market_resume", {"market": market.name})
    yield history.operator(0, "market_set", {"market": market.name, "liquidity": mode, "taker_delay_ms": 0})
    if len(history.users()) < 2:
        yield history.instruction(0, "account_open", {"owner": f"{history.order_next():032x}"})
    price = history.ticks_of(market)
    half = max(2, price // 400)  # from the entry's price to either side of the quote
    yield feeds.quote(history, market.name, bid=price - half, spread=2 * half)
    yield feeds.mark(history, market, half / price)
    account_id = history.account_any()
    taker = next((other for other in reversed(history.users()) if other != account_id), account_id)
    lots = lots_small(history, account_id, market)
    values, wakes = paired_entry(history, limit(market, sign, lots, price, tpsl="order"), market, sign, price, half)
    yield history.instruction(account_id, "order_place", values)
    piece = limit(market, -sign, max(1, lots // 4), price, tif="IOC")
    for _ in range(chance.randint(1, 2)):
        yield history.instruction(taker, "order_place", piece)
    # A stop wakes while its entry still lies between bid and ask; a target only beyond it.
    middle_then = price + sign * (3 * half if wakes == "take_profit" else -half // 2)
    yield feeds.quote(history, market.name, bid=middle_then - half, spread=2 * half)
    for _ in range(chance.randint(1, 3)):
        if mode != "book" and (wakes == "take_profit" or chance.random() < 0.3):
            yield feeds.quote(history, market.name, bid=price - (2 * half if sign > 0 else 0), spread=2 * half)
        yield history.instruction(taker, "order_place", piece)
    yield from prices_lead(history, market, [chance.choice([1, -1])] * chance.randint(0, 2))


def paired_entry(
    history: "History", values: dict[str, Any], market: Market, sign: int, price: int, half: int
) -> tuple[dict[str, Any], str]:
    """Return an entry with SL and TP, and which of them is near; that one rests far out once it is awake."""
    chance = history.chance
    near = {"stop_loss": price - sign * (half + half // 2), "take_profit": price + sign * 2 * half}
    wakes = chance.choice(sorted(near))
    beyond = amounts.price_text(market, price + sign * 8 * half)
    values[wakes] = {"price_trigger": amounts.price_text(market, near[wakes]), "price": beyond}
    if chance.random() < 0.6:
        other = "take_profit" if wakes == "stop_loss" else "stop_loss"
        values[other] = amounts.price_text(market, price + (near[other] - price) * 10)
    return values, wakes


def crowded_book(history: "History", market: Market) -> Iterator[Entry]:
    """Yield an account with as many resting orders as it may have, and all that would come to rest beside them."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id, state = history.account_any(), history.twin.state
    if chance.random() < 0.3:
        yield history.operator(0, "market_set", {"market": market.name, "liquidity": "quote_sized"})
    yield feeds.quote(history, market.name)
    touch, lots = amounts.touch_near(history, market, sign), lots_small(history, account_id, market)
    away = max(1, touch // chance.choice([300, 1000]))
    resting = [row for row in state.orders_of(account_id) if row.status in ("resting", "delayed")]
    room = max(1, len(resting) + chance.choice([0, 1, 2]))
    yield history.operator(0, "venue_set", {"orders_open_max": room})
    for number in range(chance.randint(1, 4)):
        values = limit(market, sign, lots, max(1, touch + sign * (number - 2) * away))
        trigger = amounts.price_text(market, touch + sign * (number + 1) * away)
        values |= {"kind": "stop_limit", "price_trigger": trigger}
        if chance.random() < 0.25:
            values["oco"] = {"kind": "limit", "price": amounts.price_text(market, touch - sign * 20 * away)}
        yield history.instruction(account_id, "order_place", values)
    for _ in range(chance.randint(0, 2)):
        size = chance.choice([lots, 30 * lots])
        more = {"reduce_only": True} if chance.random() < 0.2 else {}
        yield history.instruction(account_id, "order_place", limit(market, sign, size, touch, **more))
    position = state.position_net(account_id, market)
    if position is not None and chance.random() < 0.6:
        way = 1 if position.lots > 0 else -1
        stop = amounts.price_text(market, touch - way * away)
        stop_loss = {"price_trigger": stop, "price": amounts.price_text(market, touch + way * 9 * away)}
        yield history.instruction(
            account_id, "position_triggers_set", {"position_id": position.position_id, "stop_loss": stop_loss}
        )
    yield from prices_lead(history, market, [sign if chance.random() < 0.8 else -sign] * chance.randint(1, 5))
    for order in [row for row in state.orders_of(account_id) if row.status == "resting"][:2]:
        lower = {"orders_open_max": max(1, room - chance.choice([0, 1]))}
        yield history.operator(0, "venue_set", lower)
        price = amounts.price_text(order.market, (order.price or 1) + chance.choice([0, 1, -1, order.sign * away]))
        yield history.instruction(account_id, "order_amend", {"order_id": order.order_id, "price": price})
    if chance.random() < 0.8:
        yield history.operator(0, "venue_set", {"orders_open_max": 200})


TRIGGER_PLOYS = {
    "bracket_run": bracket_run,
    "trail_run": trail_run,
    "pair_run": pair_run,
    "woken_child_run": woken_child_run,
    "crowded_book": crowded_book,
}
