"""
Short plots around what an account can carry no more: resting orders that lost their cover, partners too far away.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.property import amounts, feeds
from tests.property.entries import Entry
from tests.property.ploys import limit, middle
from tests.property.pool_ploys import account_cross, mark_at, market_order, quotes_sound
from tests.reference.cross import leave_of
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History


def other_market(history: "History", market: Market) -> Market:
    """Return another market if there is one."""
    others = [row for row in history.twin.state.markets.values() if row is not market]
    return history.chance.choice(others or [market])


def prepared(history: "History", market: Market, mode: str) -> Iterator[Entry]:
    """Yield what makes a market open, without delay, of a mode of liquidity, and fresh."""
    if market.state != "open":
        yield history.operator(0, "market_resume", {"market": market.name})
    values = {"market": market.name, "liquidity": mode, "taker_delay_ms": 0, "notional_max": "0"}
    yield history.operator(0, "market_set", values)
    yield from quotes_sound(history, market)


def affordable(history: "History", account_id: int, market: Market, percent: int) -> int:
    """Return the lots that a share of what may leave an account's pool carries at its own leverage."""
    state = history.twin.state
    money = leave_of(state, account_id) * percent // 100 * state.leverage_net(account_id, market)
    price = amounts.touch_near(history, market, 1) * market.unit
    return max(1, min(money // price, market.limits["order_lots"] // 2))


def guard_squeeze(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a resting order with most of the money, a guard or limit that asks more for it, and who meets it."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id = account_cross(history)
    yield from prepared(history, market, chance.choice(["quote", "quote", "book"]))
    price = middle(history, market) - sign * max(1, middle(history, market) // 200)
    lots = affordable(history, account_id, market, chance.choice([70, 90]))
    yield history.instruction(account_id, "order_place", limit(market, sign, lots, price))
    if chance.random() < 0.6:
        yield history.instruction(account_id, "account_guards_set", {"leverage_max": chance.choice([1, 2, 3])})
    else:
        tiers = [{"floor": "0", "mmr_ppm": 20_000, "leverage_max": 3}]
        values = {"market": market.name, "leverage_max": chance.choice([3, 10, 10]), "tiers": tiers}
        yield history.operator(0, "market_set", values)
    taker = history.account_other(account_id)
    if chance.random() < 0.6:
        yield history.instruction(taker, "order_place", limit(market, -sign, max(1, lots // 2), price, tif="IOC"))
    yield from mark_at(history, market, price - sign * chance.choice([1, 2, price // 200]))
    yield history.instruction(account_id, "account_guards_set", {"leverage_max": None})


def mixed_maker(history: "History", market: Market) -> Iterator[Entry]:
    """Yield an isolated order far from the mark beside a cross position that loses, and who meets the order."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id, pooled = account_cross(history), other_market(history, market)
    for where, mode in ((market, "isolated"), (pooled, "cross")):
        yield history.instruction(account_id, "margin_mode_set", {"market": where.name, "mode": mode})
    yield from prepared(history, pooled, "quote")
    lots = affordable(history, account_id, pooled, chance.choice([30, 60]))
    yield history.instruction(account_id, "order_place", market_order(pooled, sign, lots))
    yield from prepared(history, market, chance.choice(["book", "quote"]))
    price = middle(history, market) + sign * middle(history, market) // chance.choice([40, 100, 500])
    lots = affordable(history, account_id, market, chance.choice([30, 60, 90]))
    yield history.instruction(account_id, "order_place", limit(market, sign, lots, price, post_only=False))
    for _ in range(chance.randint(1, 2)):
        yield from mark_at(history, pooled, pooled.mark - sign * pooled.mark // chance.choice([10, 20, 40, 12]))
    if chance.random() < 0.5:
        yield from mark_at(history, market, price - sign * price // chance.choice([25, 60]))
    taker = history.account_other(account_id)
    yield history.instruction(taker, "order_place", limit(market, -sign, max(1, lots // 2), price, tif="IOC"))
    ticket = {"market": market.name, "side": "buy", "leverage": 2}
    ticket["margin"] = amounts.money_text(max(1, leave_of(history.twin.state, account_id) + chance.choice([0, 1])))
    yield history.instruction(account_id, "trade_create", ticket)


def bad_partner(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a highly levered position in a market without a house, and closings far below what it is worth."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id, state = account_cross(history), history.twin.state
    other = history.account_other(account_id)
    yield from prepared(history, market, "book")
    top = market.limits["leverage_max"]
    yield history.instruction(account_id, "leverage_set", {"market": market.name, "leverage": top})
    price = middle(history, market)
    yield from mark_at(history, market, price)
    lots = min(affordable(history, account_id, market, 80), 4 * affordable(history, other, market, 20))
    yield history.instruction(other, "order_place", limit(market, -sign, lots, price))
    yield history.instruction(account_id, "order_place", market_order(market, sign, lots))
    far = max(1, price - sign * price * chance.choice([20, 35, 45]) // 1_000)
    if chance.random() < 0.5:
        yield history.instruction(other, "order_place", limit(market, sign, max(1, lots // 2), far))
        position = state.position_net(account_id, market)
        if position is not None:
            yield history.instruction(account_id, "trade_close", {"position_id": position.position_id})
    else:
        closing = {"reduce_only": True} if chance.random() < 0.5 else {}
        yield history.instruction(account_id, "order_place", limit(market, -sign, lots, far, **closing))
        yield history.instruction(other, "order_place", limit(market, sign, max(1, lots // 2), far, tif="IOC"))
    if chance.random() < 0.5:
        yield from mark_at(history, market, far)


def both_sink(history: "History", market: Market) -> Iterator[Entry]:
    """Yield two pools on opposite sides of a market without a house, and the fall of another that ends them both."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    one = account_cross(history)
    other, pooled = history.account_other(one), other_market(history, market)
    for account_id in (one, other):
        modes = [{"op": "margin_mode_set", "market": row.name, "mode": "cross"} for row in (market, pooled)]
        yield history.instruction(account_id, "batch", {"commands": modes})
    yield from prepared(history, pooled, "quote")
    yield from prepared(history, market, "book")
    price = middle(history, market)
    yield from mark_at(history, market, price)
    lots = min(affordable(history, account_id, market, chance.choice([20, 50])) for account_id in (one, other))
    yield history.instruction(other, "order_place", limit(market, -sign, lots, price))
    yield history.instruction(one, "order_place", market_order(market, sign, lots))
    for account_id in (one, other):
        yield from quotes_sound(history, pooled)
        lots = affordable(history, account_id, pooled, 90)
        yield history.instruction(account_id, "order_place", market_order(pooled, sign, lots))
    for away in chance.choice([[30], [9, 9], [4, 4, 4]]):
        yield from mark_at(history, pooled, pooled.mark - sign * pooled.mark * away // 100)
        if chance.random() < 0.3:
            yield from mark_at(history, market, market.mark - sign * market.mark // 100)


def own_way(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a full pool with an own order inside the spread, and a ticket or order that makes it give way."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id, pooled = account_cross(history), other_market(history, market)
    yield from prepared(history, pooled, "quote")
    lots = affordable(history, account_id, pooled, chance.choice([60, 90]))
    yield history.instruction(account_id, "order_place", market_order(pooled, sign, lots))
    yield from prepared(history, market, chance.choice(["quote", "book"]))
    yield feeds.quote(history, market.name, spread=max(4, history.ticks_of(market) // 100))
    yield history.instruction(account_id, "account_guards_set", {"stp": "cancel_maker"})
    lots, price = affordable(history, account_id, market, chance.choice([50, 90])), middle(history, market)
    yield history.instruction(account_id, "order_place", limit(market, -sign, lots, price))
    if chance.random() < 0.7:
        yield from mark_at(history, pooled, pooled.mark - sign * pooled.mark // chance.choice([12, 25, 60]))
    yield feeds.quote(history, market.name, spread=max(4, history.ticks_of(market) // 100))
    side, top = ("buy" if sign > 0 else "sell"), market.limits["leverage_max"]
    ticket = {"market": market.name, "side": side, "leverage": chance.choice([1, 2, top])}
    size = max(1, lots * chance.choice([10, 50, 99]) // 100)
    if chance.random() < 0.7:
        yield history.instruction(account_id, "trade_create", {**ticket, "qty": amounts.qty_text(market, size)})
    else:
        yield history.instruction(account_id, "order_place", limit(market, sign, size, price + sign))


def free_below(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a pool whose money is lost while another market has won it back, and isolated orders beside it."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    account_id, state = account_cross(history), history.twin.state
    winner = other_market(history, market)
    loser = next((row for row in state.markets.values() if row not in (market, winner)), winner)
    modes = [(market, "isolated"), (winner, "cross"), (loser, "cross")]
    commands = [{"op": "margin_mode_set", "market": row.name, "mode": mode} for row, mode in modes]
    yield history.instruction(account_id, "batch", {"commands": commands})
    yield from prepared(history, market, "quote")
    lots = affordable(history, account_id, market, 10)
    yield history.instruction(account_id, "order_place", market_order(market, sign, lots))
    for row, percent in ((winner, 45), (loser, 85)):
        yield from prepared(history, row, "quote")
        lots_row = affordable(history, account_id, row, percent)
        yield history.instruction(account_id, "order_place", market_order(row, sign, lots_row))
    for _ in range(chance.randint(1, 3)):
        yield from mark_at(history, winner, winner.mark + sign * winner.mark // chance.choice([10, 13]))
        yield from mark_at(history, loser, loser.mark - sign * loser.mark // chance.choice([10, 13]))
    for row in (loser, winner):
        held = state.position_net(account_id, row)
        if held is not None and (row is loser or chance.random() < 0.3):
            yield history.instruction(account_id, "trade_close", {"position_id": held.position_id})
        yield from quotes_sound(history, market)
        price = middle(history, market)
        ticks = price + sign * max(2, price // chance.choice([50, 500, 3_000]))
        size = max(1, lots * chance.choice([1, 1, 2]) // chance.choice([1, 2]))
        yield history.instruction(account_id, "order_place", limit(market, -sign, size, ticks))
        if chance.random() < 0.6:
            taker = history.account_other(account_id)
            yield history.instruction(taker, "order_place", limit(market, sign, size, ticks, tif="IOC"))
        yield from mark_at(history, market, ticks + sign * 2)


def ticket_crowd(history: "History", market: Market) -> Iterator[Entry]:
    """Yield tickets and net positions on both sides of a market without a house, and the gap that ends many at once."""
    chance, sign = history.chance, history.chance.choice([1, -1])
    users = history.users()
    yield from prepared(history, market, "book")
    price = middle(history, market)
    yield from mark_at(history, market, price)
    top = market.limits["leverage_max"]
    side = {1: "buy", -1: "sell"}
    for _ in range(chance.randint(3, 7)):
        one = chance.choice(users)
        other = history.account_other(one)
        lots = min(affordable(history, key, market, chance.choice([5, 20])) for key in (one, other))
        way = chance.choice([sign, sign, -sign])
        yield history.instruction(other, "order_place", limit(market, -way, lots, price))
        values = {"market": market.name, "side": side[way], "leverage": chance.choice([top, top, 2])}
        yield history.instruction(one, "trade_create", {**values, "qty": amounts.qty_text(market, lots)})
    for away in chance.choice([[20], [8, 30], [60], [4, 4, 4]]):
        target = market.mark - sign * market.mark * away // 1_000
        if chance.random() < 0.5:
            bidder = chance.choice(users)
            yield history.instruction(bidder, "order_place", limit(market, sign, 1 + top, target + sign * away))
        yield from mark_at(history, market, target)


CARRY_PLOYS = {
    "own_way": own_way,
    "free_below": free_below,
    "ticket_crowd": ticket_crowd,
    "guard_squeeze": guard_squeeze,
    "mixed_maker": mixed_maker,
    "bad_partner": bad_partner,
    "both_sink": both_sink,
}
