"""
Short plots around cross accounts: several markets fall together, to the very tick at which somebody is due.

The tick is found by asking the twin what an account would be worth at other marks; the engine's bands stand before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.property import amounts, feeds
from tests.property.entries import SECOND_US, Entry
from tests.property.order_wishes import side_of
from tests.reference.cross import calm, cash_of, cross_positions, health, leave_of, pool_of
from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.state import DAY_US, Position

if TYPE_CHECKING:
    from tests.property.histories import History


@contextmanager
def imagined(market: Market, mark: int) -> Iterator[None]:
    """Let a market have another mark for a while."""
    former, market.mark = market.mark, mark
    try:
        yield
    finally:
        market.mark = former


def due_at(history: "History", account_id: int, market: Market, mark: int, called: bool) -> bool:
    """Return whether an account would be liquidatable, or called, at another mark of one market."""
    state = history.twin.state
    with imagined(market, mark):
        pool, cash = pool_of(state, account_id), cash_of(state, account_id)
        return (calm if called else health)(cash, pool) <= 0


def edge_of(history: "History", position: Position, called: bool) -> int:
    """Return the mark nearest to the present one at which the account is due, other marks as they are."""
    market, sign = position.market, 1 if position.lots > 0 else -1
    low, high = 0, market.mark - 1 if sign > 0 else min(market.mark, WINDOW_TICKS - 2 - market.mark)
    if due_at(history, position.account_id, market, market.mark, called):
        return market.mark
    while high - low > 1:
        middle = (low + high) // 2
        if due_at(history, position.account_id, market, market.mark - sign * middle, called):
            high = middle
        else:
            low = middle
    return market.mark - sign * high


def mark_at(history: "History", market: Market, ticks: int) -> Iterator[Entry]:
    """Yield quotes around a mark, as many as a jump needs to be believed, and a frame that states the mark itself."""
    if not history.twin.state.feed_up:
        yield feeds.feed_up(history)
    ticks = min(WINDOW_TICKS - 10, max(3, ticks))
    far = not market.mark or abs(ticks - market.mark) * 1_000_000 >= market.mark * market.rates["spike_ppm"]
    for _ in range(3 if far else 1):
        yield from history.time_pass(20_000)
        yield feeds.quote(history, market.name, bid=ticks - 1, spread=2)
    frame = feeds.mark(history, market, 0.0)
    frame.body |= {"p": amounts.price_text(market, ticks), "E": history.ts_us}
    yield frame


def market_order(market: Market, sign: int, lots: int, **more: Any) -> dict[str, Any]:
    """Return the keys of a market order."""
    values = {"market": market.name, "side": side_of(sign), "kind": "market"}
    return {**values, "qty": amounts.qty_text(market, max(1, lots)), **more}


def account_cross(history: "History") -> int:
    """Return an account with cross positions if there is one, the more the likelier; else any."""
    held = [row.account_id for row in history.twin.state.positions.values() if row.cross]
    return history.chance.choice(held) if held else history.account_any()


def quotes_sound(history: "History", market: Market) -> Iterator[Entry]:
    """Yield quotes of a large size, as many as the market needs to be fresh."""
    for _ in range(3):
        entry = feeds.quote(history, market.name, spread=max(1, history.ticks_of(market) // 2_000))
        entry.body["A"] = entry.body["B"] = amounts.qty_text(market, market.limits["order_lots"])
        yield entry
        if history.twin.state.fresh(market):
            return


def pool_fill(history: "History", account_id: int, share: int = 90) -> Iterator[Entry]:
    """Yield what an account needs to hold cross positions in several markets with most of its money."""
    chance, state = history.chance, history.twin.state
    markets = list(state.markets.values())
    chance.shuffle(markets)
    chosen = markets[: chance.choice([1, 2, 3, 3, 3, 5])]
    modes = [{"op": "margin_mode_set", "market": market.name, "mode": "cross"} for market in chosen]
    yield history.instruction(account_id, "batch", {"commands": modes})
    for number, market in enumerate(chosen):
        if market.state != "open":
            yield history.operator(0, "market_resume", {"market": market.name})
        yield from quotes_sound(history, market)
        leverage = min(chance.choice([5, 10, 20, 1_000]), market.limits["leverage_max"])
        yield history.instruction(account_id, "leverage_set", {"market": market.name, "leverage": leverage})
        part = max(0, leave_of(state, account_id)) * share // 100 // (len(chosen) - number)
        price = amounts.touch_near(history, market, 1) * market.unit
        lots = min(part * leverage // price, market.limits["order_lots"] // 4)
        sign = chance.choice([1, 1, -1])
        if market.liquidity == "book":
            others = [key for key in history.users() if key != account_id] or [account_id]
            other = max(others, key=lambda key: leave_of(state, key))
            touch = amounts.touch_near(history, market, 1)
            values = {**market_order(market, -sign, lots), "kind": "limit", "price": amounts.price_text(market, touch)}
            yield history.instruction(other, "order_place", values)
        yield history.instruction(account_id, "order_place", market_order(market, sign, lots))


def gap_all(history: "History", market: Market) -> Iterator[Entry]:
    """Yield prices of all markets that gap, together or against one account, whose pool may be full beforehand."""
    chance, state = history.chance, history.twin.state
    account_id = account_cross(history)
    if chance.random() < 0.6:
        yield from pool_fill(history, account_id, chance.choice([60, 90, 97]))
    way = chance.choice([1, -1, 0, 0, 0, 0])
    held = {row.market.name: row.lots for row in cross_positions(state, account_id)}
    for away in chance.choice([[0.005, 0.01], [0.02, 0.02, 0.04], [0.04, 0.06, 0.08], [0.09, 0.09], [0.3]]):
        for name, row in state.markets.items():
            lots = held.get(name, chance.choice([1, -1]))
            sign = way or (-1 if lots > 0 else 1)
            target = round(row.mark * (1 + sign * away * chance.choice([1, 1, 0.5])))
            if row.mark and chance.random() < 0.9:
                yield from mark_at(history, row, target)
            else:
                yield feeds.quote(history, name, jump=sign * away)


def pool_edge(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a full pool, then marks that walk over the tick at which it is called, and the one at which it is due."""
    chance = history.chance
    account_id = account_cross(history)
    if not cross_positions(history.twin.state, account_id) or chance.random() < 0.4:
        yield from pool_fill(history, account_id)
    for called in (True, False):
        held = cross_positions(history.twin.state, account_id)
        if not held:
            return
        position = chance.choice(held)
        others = [row for row in held if row is not position]
        sign = 1 if position.lots > 0 else -1
        for other in others:
            back = 1 if other.lots > 0 else -1
            edge = edge_of(history, other, called)
            near = other.market.mark - (other.market.mark - edge) * chance.choice([0, 30, 60, 90]) // 100
            yield from mark_at(history, other.market, near + back)
        edge = edge_of(history, position, called)
        for step in (chance.choice([3, 10]), 1, 0, chance.choice([0, -1])):
            yield from mark_at(history, position.market, edge + sign * step)


def tier_border(history: "History", market: Market) -> Iterator[Entry]:
    """Yield tiers whose border lies just below a position, orders of some dollars across it, and the fall."""
    chance, state = history.chance, history.twin.state
    account_id = account_cross(history)
    held = [row for row in state.positions_of(account_id) if row.market is market]
    if not held:
        yield feeds.quote(history, market.name)
        lots = min(amounts.lots_affordable(history, account_id, market, 5), market.limits["order_lots"] // 4)
        yield history.instruction(
            account_id, "order_place", market_order(market, chance.choice([1, -1]), lots * 4 // 5)
        )
        held = [row for row in state.positions_of(account_id) if row.market is market]
    if not held or not market.mark:
        return
    position = held[0]
    value = abs(position.lots) * market.mark * market.unit // 10**6
    borders = sorted({max(1, value * part // 100) for part in chance.choice([[100], [95], [50, 90], [99, 110], [0]])})
    rates = [10_000, 40_000, 90_000]
    tiers = [{"floor": str(floor), "mmr_ppm": rate, "leverage_max": min(10, market.limits["leverage_max"])}
             for floor, rate in zip([0, *borders], rates, strict=False)]  # fmt: skip
    yield history.operator(0, "market_set", {"market": market.name, "tiers": tiers})
    dollars = max(1, 10_000_000 // (market.mark * market.unit))
    sign = 1 if position.lots > 0 else -1
    for _ in range(chance.randint(0, 2)):
        yield history.instruction(account_id, "order_place", market_order(market, sign, dollars))
    for _ in range(chance.randint(1, 4)):
        if not position.lots or position.position_id not in state.positions:
            return
        if position.cross:
            edge = edge_of(history, position, called=False)
        else:
            edge = market.threshold(position.lots, position.cost, position.margin) or market.mark
        yield from mark_at(history, market, edge + chance.choice([1, 0, 0, -1, -sign * market.mark // 200]))


def stuck_market(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a market that is halted, or of which nothing is heard, while its cross accounts fall in others."""
    chance, state = history.chance, history.twin.state
    account_id = account_cross(history)
    if len(cross_positions(state, account_id)) < 2:
        yield from pool_fill(history, account_id)
    held = cross_positions(state, account_id)
    if not held:
        return
    stuck = chance.choice(held).market
    how = chance.choice(["halt", "stale", "both"])
    if how != "stale":
        yield history.operator(0, "market_halt", {"market": stuck.name})
    if how != "halt":
        yield from history.time_pass(chance.choice([11, 31]) * SECOND_US)
    for _ in range(chance.randint(1, 3)):
        for position in cross_positions(state, account_id):
            if position.market is not stuck:
                edge = edge_of(history, position, called=chance.random() < 0.3)
                sign = 1 if position.lots > 0 else -1
                yield from mark_at(history, position.market, edge - sign * chance.choice([0, 0, -1, edge // 50]))
        if chance.random() < 0.5:
            yield history.instruction(account_id, "trade_close", {"position_id": held[0].position_id, "percent": 10})
    if how != "stale":
        yield history.operator(0, "market_resume", {"market": stuck.name})
    yield feeds.quote(history, stuck.name)


def day_end(history: "History", market: Market) -> Iterator[Entry]:
    """Yield an account that is called or locked at the end of a UTC day, the change of the day, and what comes then."""
    chance, state = history.chance, history.twin.state
    account_id = account_cross(history)
    if chance.random() < 0.6:
        yield from pool_fill(history, account_id)
    if chance.random() < 0.5:
        yield history.instruction(account_id, "account_guards_set", {"daily_loss_max": "0.000001"})
        held = state.positions_of(account_id)
        if held:
            values = {"position_id": held[0].position_id, "percent": 10}
            yield history.instruction(account_id, "trade_close", values)
    for later in (False, True):
        if later:
            left = DAY_US - history.ts_us % DAY_US
            yield from history.time_pass(left + chance.choice([-1, 0, 0, 1, SECOND_US, 2 * SECOND_US]))
            for row in state.markets.values():
                yield feeds.quote(history, row.name)
        for position in cross_positions(state, account_id)[:1]:
            edge = edge_of(history, position, called=True)
            sign = 1 if position.lots > 0 else -1
            yield from mark_at(history, position.market, edge + sign)
            yield from mark_at(history, position.market, edge)
        values = market_order(market, chance.choice([1, -1]), 1 + market.limits["order_lots"] // 10_000)
        yield history.instruction(account_id, "order_place", values)


POOL_PLOYS = {
    "gap_all": gap_all,
    "pool_edge": pool_edge,
    "tier_border": tier_border,
    "stuck_market": stuck_market,
    "day_end": day_end,
}
