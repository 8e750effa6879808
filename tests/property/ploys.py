"""
Short plots of a random history: a few entries that together reach what single wishes rarely do.

Each looks at the twin between its entries; whatever its chances make of it, every entry is one that a venue may get.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tests.property import amounts, feeds
from tests.property.entries import SECOND_US, Entry
from tests.property.order_wishes import side_of
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History


def limit(market: Market, sign: int, lots: int, ticks: int, **more: Any) -> dict[str, Any]:
    """Return the keys of a limit order."""
    values = {
        "market": market.name,
        "side": side_of(sign),
        "kind": "limit",
        "qty": amounts.qty_text(market, max(1, lots)),
    }
    return {**values, "price": amounts.price_text(market, ticks), **more}


def middle(history: "History", market: Market) -> int:
    """Return the middle of the quote in ticks."""
    return max(1, (amounts.touch_near(history, market, 1) + amounts.touch_near(history, market, -1)) // 2)


def lots_small(history: "History", account_id: int, market: Market) -> int:
    """Return a size that is worth something and leaves money for more."""
    price = amounts.touch_near(history, market, 1) * market.unit
    smallest = -(-market.limits["notional_min"] // price) + 1
    most = amounts.lots_affordable(history, account_id, market, 10)
    return max(smallest, min(most // history.chance.choice([2, 5, 20, 50]), market.limits["order_lots"] // 8))


def cross_users(history: "History", market: Market) -> Iterator[Entry]:
    """Yield resting orders of several accounts at and around one price, own ones among them, then who takes them."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    yield feeds.quote(history, market.name, spread=max(2, history.ticks_of(market) // chance.choice([60, 100, 400])))
    price = middle(history, market) + chance.choice([0, 0, 1, -1])
    taker = history.account_any()
    total = 0
    for _ in range(chance.randint(1, 4)):
        maker = history.account_other(taker)
        lots = lots_small(history, maker, market)
        total += lots
        more = {"post_only": True} if chance.random() < 0.2 else {}
        if chance.random() < 0.15:
            more = {"tif": "GTD", "expires_ms": history.twin.state.log_time_us // 1_000 + 3_000}
        values = limit(market, -sign, lots, price + chance.choice([0, 0, 0, 1, -1]), **more)
        if chance.random() < 0.2:
            amounts.bracket_add(history, market, -sign, values, 0.6)
        yield history.instruction(maker, "order_place", values)
    lots = max(1, chance.choice([total, total, total // 2, total + 1, total // 3, 2 * total]))
    how = chance.choice(["limit", "limit", "market", "market", "trade", "money"])
    values = limit(market, sign, lots, price + sign * chance.choice([0, 1, 2]))
    values["stp"] = chance.choice(["cancel_taker", "cancel_maker", "cancel_both"])
    if how == "limit":
        values["tif"] = chance.choice(["GTC", "IOC", "FOK"])
    elif how in ("market", "money"):
        values["kind"] = "market"
        if chance.random() < 0.6:
            values.pop("price")
        if how == "money":
            values.pop("qty")
            values["quote_qty"] = amounts.margin_near(history, taker)
        elif chance.random() < 0.4:
            values["tif"] = "FOK"
    else:
        values = {"market": market.name, "side": side_of(sign)}
        values |= {"margin": amounts.margin_near(history, taker)} if chance.random() < 0.5 else {
            "qty": amounts.qty_text(market, lots)
        }  # fmt: skip
        values["leverage"] = chance.choice([1, 2, 5, market.limits["leverage_max"]])
    op = "trade_create" if "leverage" in values else "order_place"
    yield history.instruction(taker, op, values)


def shield(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a highly levered position beside own orders that would catch it, then the fall that ends it."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id = history.account_any()
    other = history.account_other(account_id)
    yield feeds.quote(history, market.name)
    top = market.limits["leverage_max"]
    yield history.instruction(account_id, "leverage_set", {"market": market.name, "leverage": top})
    lots = max(1, min(amounts.lots_affordable(history, account_id, market, top), market.limits["order_lots"]) // 2)
    price = middle(history, market)
    yield history.instruction(other, "order_place", limit(market, -sign, lots, price))
    yield history.instruction(account_id, "order_place", limit(market, sign, lots, price + sign))
    for number in range(chance.randint(1, 3)):
        ticks = price - sign * (1 + price * (number + 1) // 150)
        who = account_id if chance.random() < 0.5 else other
        yield history.instruction(who, "order_place", limit(market, sign, lots // 2, ticks))
    for _ in range(chance.randint(1, 3)):
        yield feeds.quote(history, market.name, jump=-sign * chance.choice([0.01, 0.02, 0.04, 0.09]))
        yield feeds.mark(history, market, 0.0)


def band_leave(history: "History", market: Market) -> Iterator[Entry]:
    """Yield resting orders, prices that leave them outside the band, and takers who pass over them."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    yield feeds.quote(history, market.name)
    price = middle(history, market)
    for ticks in (price, price - sign * price // 40, price - sign * price // 25):
        maker = history.account_any()
        yield history.instruction(maker, "order_place", limit(market, sign, lots_small(history, maker, market), ticks))
    for _ in range(2):
        yield feeds.quote(history, market.name, jump=sign * chance.choice([0.03, 0.06, -0.03]))
        yield feeds.mark(history, market, chance.choice([0.0, 0.0, 0.02]))
    for _ in range(2):
        taker = history.account_any()
        ticks = max(1, price - sign * price // chance.choice([20, 60, 300]))
        values = limit(
            market, -sign, lots_small(history, taker, market), ticks, tif=chance.choice(["GTC", "IOC", "FOK"])
        )
        yield history.instruction(taker, "order_place", values)


def thin_maker(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a maker whose money no longer covers its order when it is met: spent, lent, lowered or repriced."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    maker = history.account_any()
    taker = history.account_other(maker)
    yield feeds.quote(history, market.name, spread=max(2, history.ticks_of(market) // 60))
    yield feeds.mark(history, market, 0.0)
    price = middle(history, market) + sign * history.ticks_of(market) // chance.choice([150, 1000])
    most = amounts.lots_affordable(history, maker, market, history.leverage_of(maker, market))
    lots = max(1, min(most * chance.choice([90, 97, 99]) // 100, market.limits["order_lots"]))
    yield history.instruction(maker, "order_place", limit(market, sign, lots, price))
    how = chance.choice(["take", "credit", "mark", "tiers", "rates"])
    if how == "credit":
        free = history.twin.state.accounts[maker].free
        yield history.operator(maker, "account_credit", {"amount": amounts.money_text(-free), "reason": "taken"})
    elif how == "mark":
        yield feeds.mark(history, market, -sign * 0.045)
    elif how == "tiers":
        tiers = [{"floor": "0", "mmr_ppm": 20_000, "leverage_max": chance.choice([1, 3])}]
        yield history.operator(0, "market_set", {"market": market.name, "leverage_max": 10, "tiers": tiers})
    elif how == "rates":
        yield history.operator(0, "market_set", {"market": market.name, "fee_taker_ppm": 100_000})
    for share in (3, 1):
        ticks = price - sign * chance.choice([0, 0, 1])
        values = limit(market, -sign, max(1, lots // share), ticks, tif=chance.choice(["IOC", "FOK", "GTC"]))
        yield history.instruction(taker, "order_place", values)


def reduce_pile(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a position with more reduce-only orders than it has lots, and what makes it smaller or ends it."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id = history.account_any()
    other = history.account_other(account_id)
    yield feeds.quote(history, market.name)
    lots = max(4, lots_small(history, account_id, market))
    values = {"market": market.name, "side": side_of(sign), "kind": "market", "qty": amounts.qty_text(market, lots)}
    yield history.instruction(other, "order_place", limit(market, -sign, lots, middle(history, market)))
    yield history.instruction(account_id, "order_place", values)
    parts = chance.choice([1, 2, 3, 4])
    for _ in range(parts + 1):
        ticks = middle(history, market) + sign * chance.choice([2, 5, history.ticks_of(market) // 100])
        part = max(1, lots // parts + chance.choice([0, 0, 1]))
        yield history.instruction(account_id, "order_place", limit(market, -sign, part, ticks, reduce_only=True))
    position = history.twin.state.position_net(account_id, market)
    held = abs(position.lots) if position is not None else 1
    how = chance.choice(["close", "close", "other", "reverse", "flip", "percent"])
    if how in ("close", "percent") and position is not None:
        values = {"position_id": position.position_id}
        values |= {"percent": chance.choice([30, 60, 100])} if how == "percent" else {
            "qty": amounts.qty_text(market, max(1, held * chance.choice([1, 2]) // 3))
        }  # fmt: skip
        yield history.instruction(account_id, "trade_close", values)
    elif how == "other":
        taker = limit(market, sign, max(1, held // 2), middle(history, market) + sign * history.ticks_of(market) // 50)
        yield history.instruction(other, "order_place", {**taker, "tif": "IOC"})
    elif how == "reverse" and position is not None:
        yield history.instruction(account_id, "position_reverse", {"position_id": position.position_id})
    else:
        flip = {"market": market.name, "side": side_of(-sign), "kind": "market"}
        yield history.instruction(
            account_id, "order_place", {**flip, "qty": amounts.qty_text(market, held + lots // 2)}
        )


def delayed_rivals(history: "History", market: Market) -> Iterator[Entry]:
    """Yield takers who wait out a delay, what takes their ground away meanwhile, and the quote that wakes them."""
    chance = history.chance
    delay_ms = chance.choice([50, 200, 2_000])
    yield history.operator(0, "market_set", {"market": market.name, "taker_delay_ms": delay_ms})
    yield feeds.quote(history, market.name)
    account_id = history.account_any()
    for _ in range(chance.randint(1, 4)):
        op, values = chance.choice(history.takers)(history, account_id, market)
        yield history.instruction(account_id, op, values)
    how = chance.choice(["none", "credit", "cancel", "halt", "reduce", "gap", "close", "crowd"])
    if how == "credit":
        free = max(0, history.twin.state.accounts[account_id].free)
        yield history.operator(account_id, "account_credit", {"amount": amounts.money_text(-free), "reason": "taken"})
    elif how == "cancel":
        yield history.instruction(account_id, "orders_cancel", {})
    elif how == "halt":
        yield history.operator(0, "market_halt", {"market": market.name})
    elif how == "reduce":
        yield history.operator(0, "market_reduce_only", {"market": market.name})
    elif how == "close":
        yield history.instruction(account_id, "positions_close_all", {})
    elif how == "crowd":
        sign, lots = chance.choice([1, -1]), lots_small(history, account_id, market)
        touch = amounts.touch_near(history, market, sign)
        for ticks in (touch, max(1, touch - sign * touch // 50)):
            yield history.instruction(account_id, "order_place", limit(market, sign, 20 * lots, ticks))
        yield history.operator(0, "venue_set", {"orders_open_max": chance.choice([1, 1, 2])})
    yield from history.time_pass(chance.choice([0, delay_ms * 1_000 - 1, delay_ms * 1_000, delay_ms * 1_000 + 1]))
    yield feeds.quote(history, market.name, jump=chance.choice([0.06, -0.06]) if how == "gap" else 0.0)
    if chance.random() < 0.7:
        yield history.operator(0, "market_set", {"market": market.name, "taker_delay_ms": 0})
    if how in ("halt", "reduce"):
        yield history.operator(0, "market_resume", {"market": market.name})
    elif how == "crowd":
        yield history.operator(0, "venue_set", {"orders_open_max": 200})


def funding_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield frames that name a funding, repeat it, bring it late, and the time that makes it due."""
    chance = history.chance
    now_ms = history.twin.state.log_time_us // 1_000
    due_ms = now_ms + chance.choice([900, 2_000, 4_000])
    rate = chance.choice(["0.001", "-0.001", "0.02", "-0.02", "0.0000125", "1", "-1", "0.000000001"])
    for _ in range(chance.randint(1, 3)):
        entry = feeds.mark(history, market, 0.0)
        entry.body.update({"f": rate, "n": due_ms})
        yield entry
        history.ts_us += 60_000
    how = chance.choice(["due", "due", "halt", "silence", "later"])
    if how == "halt":
        yield history.operator(0, "market_halt", {"market": market.name})
    elif how == "later":
        entry = feeds.mark(history, market, 0.0)
        entry.body.update({"f": rate, "n": due_ms + chance.choice([-500, 1, 60_000])})
        yield entry
    wait = 61 if how == "silence" and chance.random() < 0.5 else 5
    yield from history.time_pass(chance.choice([due_ms - now_ms, 5_000, wait * 1_000]) * 1_000)
    for _ in range(chance.randint(1, 2)):
        entry = feeds.mark(history, market, 0.0)
        entry.body.update({"f": rate, "n": chance.choice([due_ms, due_ms, due_ms + 1, due_ms + 3_000])})
        yield entry
    if how == "halt":
        yield history.operator(0, "market_resume", {"market": market.name})


def edge_lag(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a mark that lags behind a quote, and takers at the most leverage that would be liquidated at once."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    tightest = max(history.twin.state.markets.values(), key=lambda row: row.tiers[0][1] * row.tiers[0][2])
    market = tightest if chance.random() < 0.8 else market
    yield from history.time_pass(20_000)
    yield feeds.quote(history, market.name)
    frame = feeds.mark(history, market, sign * chance.choice([0.01, 0.04, 0.049, 0.049]))
    frame.body["E"] = history.ts_us
    yield frame
    account_id = history.account_any()
    top = market.limits["leverage_max"]
    yield history.instruction(account_id, "leverage_set", {"market": market.name, "leverage": top})
    lots = lots_small(history, account_id, market)
    for way in (-sign, sign):
        values = {"market": market.name, "side": side_of(way), "qty": amounts.qty_text(market, lots)}
        if chance.random() < 0.6:
            yield history.instruction(account_id, "trade_create", {**values, "leverage": top})
        else:
            yield history.instruction(account_id, "order_place", {**values, "kind": "market"})
    resting = limit(market, sign, lots, middle(history, market) - sign * history.ticks_of(market) // 100)
    yield history.instruction(account_id, "order_place", resting)
    yield feeds.quote(history, market.name, jump=-sign * 0.04)


def expiry_storm(history: "History", market: Market) -> Iterator[Entry]:
    """Yield orders that end soon and a dead-man's switch, and the time in which all that comes due at once."""
    chance = history.chance
    account_id = history.account_any()
    now_ms = -(-history.twin.state.log_time_us // 1_000)
    if chance.random() < 0.4:
        entry = feeds.mark(history, market, 0.0)
        entry.body["n"] = now_ms + 5_000
        yield entry
    yield history.instruction(
        account_id, "deadman_set", {"timeout_ms": 5_000, "scope": chance.choice(["opening", "all"])}
    )
    for _ in range(chance.randint(1, 4)):
        who, sign = chance.choice([account_id, history.account_any()]), chance.choice([1, -1])
        ticks = middle(history, market) - sign * (1 + history.ticks_of(market) // chance.choice([50, 500]))
        more: dict[str, Any] = {"tif": "GTD", "expires_ms": now_ms + chance.choice([1_000, 5_000, 5_001, 4_999])}
        yield history.instruction(
            who, "order_place", limit(market, sign, lots_small(history, who, market), ticks, **more)
        )
    yield from history.time_pass(chance.choice([3, 5, 5, 6]) * SECOND_US)


def uncover(history: "History", market: Market) -> Iterator[Entry]:
    """Yield orders that a position covers until it shrinks, when no money is left for their reserve."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id = history.account_any()
    yield feeds.quote(history, market.name)
    most = amounts.lots_affordable(history, account_id, market, history.leverage_of(account_id, market))
    lots = max(1, min(most // 3, market.limits["order_lots"] // 4))
    values = {"market": market.name, "side": side_of(sign), "kind": "market", "qty": amounts.qty_text(market, lots)}
    yield history.instruction(account_id, "order_place", values)
    price = max(1, middle(history, market) + sign * history.ticks_of(market) // chance.choice([30, 100]))
    yield history.instruction(account_id, "order_place", limit(market, -sign, lots, price))
    for share in (50, 90, 97):
        rest = (
            amounts.lots_affordable(history, account_id, market, history.leverage_of(account_id, market)) * share // 100
        )
        values = limit(market, -sign, min(rest, market.limits["order_lots"]), price)
        yield history.instruction(account_id, "order_place", values)
    yield feeds.quote(history, market.name, jump=-sign * chance.choice([0.0, 0.003, 0.01]))
    position = history.twin.state.position_net(account_id, market)
    if position is not None:
        values = {"position_id": position.position_id}
        values |= {"percent": chance.choice([30, 70])} if chance.random() < 0.4 else {}
        yield history.instruction(account_id, "trade_close", values)


PLOYS: dict[str, Callable[["History", Market], Iterator[Entry]]] = {
    "cross_users": cross_users,
    "shield": shield,
    "band_leave": band_leave,
    "thin_maker": thin_maker,
    "reduce_pile": reduce_pile,
    "delayed_rivals": delayed_rivals,
    "funding_run": funding_run,
    "edge_lag": edge_lag,
    "expiry_storm": expiry_storm,
    "uncover": uncover,
}
