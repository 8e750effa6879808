"""
Histories of very large accounts and of crowded books: open interest at its limit, more orders than a taker can meet.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.property import amounts, feeds, ploys
from tests.property.entries import Entry
from tests.property.order_wishes import side_of
from tests.reference.intake import BATCH_MAX
from tests.reference.markets import Market
from tests.reference.walk import STEPS_MAX

if TYPE_CHECKING:
    from tests.property.histories import History


def market_order(market: Market, sign: int, lots: int) -> dict[str, Any]:
    """Return the keys of a market order."""
    return {"market": market.name, "side": side_of(sign), "kind": "market", "qty": amounts.qty_text(market, lots)}


def interest_fill(history: "History") -> Iterator[Entry]:
    """
    Yield accounts that take all of a market's open interest, covered orders left uncovered, and who meets them.

    Two accounts are short beforehand and hold covering buys; when their shorts are closed the buys are uncovered, one
    is filled by the house beyond the limit, and the other meets a long that closes: it may not open any more.
    """
    chance = history.chance
    market = next(iter(history.twin.state.markets.values()))
    top, bid = market.limits["order_lots"], history.ticks_of(market)
    users = history.users()
    shorts, longs = users[:2], users[2:11]
    for account_id, below in zip(shorts, (1, 3), strict=True):
        yield feeds.quote(history, market.name, bid=bid, spread=2)
        yield history.instruction(account_id, "order_place", market_order(market, -1, top))
        yield history.instruction(account_id, "order_place", ploys.limit(market, 1, top, bid - below))
    for account_id in longs:
        yield feeds.quote(history, market.name, bid=bid, spread=2)
        yield history.instruction(account_id, "order_place", market_order(market, 1, top))
    yield feeds.quote(history, market.name, bid=bid, spread=2)
    for account_id in shorts:
        yield history.instruction(account_id, "positions_close_all", {})
    yield feeds.quote(history, market.name, bid=bid - 3, spread=2)
    for share in (5, 3, 1):
        closing = market_order(market, -1, top // share) | {"reduce_only": True}
        yield history.instruction(chance.choice(longs), "order_place", closing)
        yield history.instruction(chance.choice(longs), "trade_close", {"position_id": held_id(history, longs)})
        opening = ploys.limit(market, 1, top // 3, bid - 3 + chance.choice([0, 1]))
        yield history.instruction(chance.choice(shorts), "order_place", opening)
        ticket = {"market": market.name, "side": chance.choice(["buy", "buy", "sell"]), "leverage": 20}
        ticket["qty"] = amounts.qty_text(market, top // share)
        yield history.instruction(chance.choice(shorts), "trade_create", ticket)


def held_id(history: "History", accounts: list[int]) -> int:
    """Return the id of a position of one of the accounts."""
    held = [row.position_id for account_id in accounts for row in history.twin.state.positions_of(account_id)]
    return history.chance.choice(held or [1])


def turnover(history: "History") -> Iterator[Entry]:
    """Yield positions as large as may be that shrink to almost nothing and grow again, until their sums are halved."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    market = next(iter(history.twin.state.markets.values()))
    top, account_id = market.limits["order_lots"], history.account_any()
    for number in range(chance.randint(4, 9)):
        yield feeds.quote(history, market.name, bid=7_000_000 + chance.randint(0, 1_000_000), spread=2)
        yield feeds.mark(history, market, 0.0)
        held = history.twin.state.position_net(account_id, market)
        room = top - (abs(held.lots) if held is not None else 0)
        yield history.instruction(account_id, "order_place", market_order(market, sign, max(1, room)))
        closing = market_order(market, -sign, top - chance.randint(1, 9)) | {"reduce_only": True}
        if number % 4 == 3:
            values = ploys.limit(market, sign, top, ploys.middle(history, market))
            yield history.instruction(history.account_other(account_id), "order_place", values)
        yield history.instruction(account_id, "order_place", closing)
    yield history.instruction(account_id, "positions_close_all", {})


def ladder(history: "History") -> Iterator[Entry]:
    """
    Yield a book with one order a tick and levels of the quote between them, then takers who would meet them all.

    A level lies right before the first order that may not be met any more: its lots are one fill with what comes after.
    """
    chance, sign = history.chance, history.chance.choice([1, -1])
    market = next(iter(history.twin.state.markets.values()))
    spread = chance.choice([11, 12])
    price = history.ticks_of(market)
    touch = price + sign * (STEPS_MAX - 1 - 46 * spread + chance.choice([0, 0, 1]))
    bid = touch - spread if sign > 0 else touch
    for number in range(STEPS_MAX // BATCH_MAX + 2):
        rows = range(number * BATCH_MAX, (number + 1) * BATCH_MAX)
        if number % 10 == 0:
            entry = feeds.quote(history, market.name, bid=bid, spread=spread)
            entry.body["A"] = entry.body["B"] = amounts.qty_text(market, chance.randint(1, 4))
            yield entry
        commands = [{"op": "order_place", **ploys.limit(market, -sign, 1, price + sign * row)} for row in rows]
        yield history.instruction(history.account_any(), "batch", {"commands": commands})
    lots = sum(order.lots for order in history.orders_in(market)) * 6
    for tif in chance.choice([["IOC"], ["GTC"], ["FOK", "IOC"]]):
        taker = ploys.limit(market, sign, lots, price + sign * 600, tif=tif, stp="cancel_maker")
        yield history.instruction(history.account_any(), "order_place", taker)


def crowd(history: "History") -> Iterator[Entry]:
    """Yield batches that fill one side of the book with small orders, then takers who would meet all of them."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    market = next(iter(history.twin.state.markets.values()))
    yield feeds.quote(history, market.name, spread=2 * STEPS_MAX)
    price = ploys.middle(history, market)
    for _ in range(STEPS_MAX // BATCH_MAX + 2):
        account_id = history.account_any()
        commands = []
        for _ in range(BATCH_MAX):
            ticks = price - sign * chance.choice([0, 1, 2, 5, 20, 100])
            values = ploys.limit(market, sign, chance.randint(1, 4), ticks)
            if chance.random() < 0.1:
                amounts.bracket_add(history, market, sign, values)
            commands.append({"op": "order_place", **values})
        yield history.instruction(account_id, "batch", {"commands": commands})
    lots = sum(order.lots for order in history.orders_in(market))
    for tif in ("FOK", "IOC", "GTC", "IOC"):
        if chance.random() < 0.7:
            taker = ploys.limit(market, -sign, lots, price - sign * 200, tif=tif, stp="cancel_maker")
            yield history.instruction(history.account_any(), "order_place", taker)
    yield history.instruction(history.account_any(), "order_place", market_order(market, -sign, 2 * lots))
