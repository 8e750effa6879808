"""
Who is worth no more than its maintenance margin is closed by force: a position, or an account's cross ones in turn.
"""

from fractions import Fraction

from tests.reference.adl import deleverage
from tests.reference.cross import cross_positions, equity_of, health_of
from tests.reference.drafts import closing_draft
from tests.reference.execution import execute
from tests.reference.images import account_event
from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.orders import order_close
from tests.reference.placing import order_enter
from tests.reference.stages import lots_to_close
from tests.reference.state import FIRST_USER, INSURANCE, Order, Position, State
from tests.reference.texts import ceil_of, floor_of
from tests.reference.trial import Trial
from tests.reference.walk import Taker, walk_plan


def liquidatable_first(state: State, market: Market) -> Position | None:
    """Return the first liquidatable isolated position: longs by descending threshold, shorts by ascending, then id."""
    met: list[tuple[int, int, int, Position]] = []
    for position in state.positions.values():
        if position.market is not market or position.cross:
            continue
        if market.liquidatable(position.lots, position.cost, position.margin):
            threshold = market.threshold(position.lots, position.cost, position.margin)
            assert threshold is not None
            long = position.lots > 0
            met.append((0 if long else 1, -threshold if long else threshold, position.position_id, position))
    return min(met)[3] if met else None


def account_first(state: State, market: Market) -> int | None:
    """Return the lowest account with a cross position in the market whose cross positions are liquidatable."""
    held = {row.account_id for row in state.positions.values() if row.cross and row.market is market}
    return next((account_id for account_id in sorted(held) if health_of(state, account_id) <= 0), None)


def swept(order: Order, position: Position) -> bool:
    """Return whether an isolated liquidation ends this order first: all but SL, TP and what reduces another."""
    if order.market is not position.market or order.sltp or order.status == "attached":
        return False
    return not order.reduce_only or order.position_id == position.position_id


def swept_cross(state: State, order: Order) -> bool:
    """Return whether a cross liquidation ends this order first: all but SL, TP and what reduces isolated positions."""
    if order.sltp or order.status == "attached":
        return False
    position = state.positions.get(order.position_id or 0)
    return not order.reduce_only or position is None or position.cross


def liquidate(state: State, position: Position) -> None:
    """End the account's orders in the market, then close as much of an isolated position as must be."""
    for order in state.orders_aged(position.account_id):
        if order.order_id in state.orders and swept(order, position):
            order_close(state, order, "liquidation")
    force_close(state, position)


def account_liquidate(state: State, account_id: int) -> None:
    """End all of the account's orders; if that does not help, close of the position that has lost most what must be."""
    ended = False
    for order in state.orders_aged(account_id):
        if order.order_id in state.orders and swept_cross(state, order):
            order_close(state, order, "liquidation")
            ended = True
    if ended and health_of(state, account_id) > 0:
        account_event(state, account_id)
        return
    held = [row for row in cross_positions(state, account_id) if state.tradable(row.market)]
    force_close(state, min(held, key=lambda row: (won_of(row), row.market.market_id)))


def won_of(position: Position) -> int:
    """Return what a position has won at mark."""
    return position.lots * position.market.mark * position.market.unit - position.cost


def price_at(position: Position, money: int) -> int:
    """Return the price at which a position has used up so much money, inside the window."""
    exact = Fraction(position.cost - money, position.lots * position.market.unit)
    ticks = ceil_of(exact) if position.lots > 0 else floor_of(exact)
    return min(max(ticks, 1), WINDOW_TICKS - 1)


def share_of(state: State, position: Position) -> int:
    """Return the margin that a cross position would have if the account's equity were shared out by notional."""
    weights = {row.position_id: notional_of(row) // 256 + 1 for row in cross_positions(state, position.account_id)}
    equity, weight = equity_of(state, position.account_id), weights[position.position_id]
    return equity * weight // sum(weights.values()) - won_of(position)


def notional_of(position: Position) -> int:
    """Return what a position is worth at mark, whatever its side."""
    return abs(position.lots) * position.market.mark * position.market.unit


def prices_last(state: State, position: Position, fund: int) -> tuple[int, int]:
    """
    Return the price at which a position is bankrupt, and the worst at which users may buy it: with the fund's help.

    A cross position's stay inside the price band; and the fund pays for a gap, never for a price worse than the mark.
    """
    market = position.market
    behind = share_of(state, position) if position.cross else position.margin
    bankruptcy, bound = price_at(position, behind), price_at(position, behind + fund)
    if position.cross:
        bankruptcy, bound = market.banded(bankruptcy), market.banded(bound)
    if position.lots > 0:
        return bankruptcy, max(bound, min(bankruptcy, market.mark))
    return bankruptcy, min(bound, max(bankruptcy, market.mark))


def force_close(state: State, position: Position) -> None:
    """Close by force as many lots of a position as must be."""
    assert position.account_id >= FIRST_USER
    market, book = position.market, position.market.liquidity == "book"
    order = order_enter(state, closing_draft(state, position, lots_to_close(state, position)))
    order.kind, order.tif = "liquidation", None
    fund = max(0, state.accounts[INSURANCE].free) if order.lots == abs(position.lots) else 0
    bankruptcy, bound = prices_last(state, position, fund) if book else (0, None)
    state.emit(
        "liquidation",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        order_id=order.order_id,
        qty=market.qty_text(order.lots),
        price=market.price_text(bound or market.touch(order.sign)),
        price_mark=market.price_text(market.mark),
        price_bankruptcy=market.price_text(bankruptcy) if book else None,
    )
    taker = Taker(
        account_id=position.account_id,
        market=market,
        sign=order.sign,
        lots=order.lots,
        bound=bound,
        stp="cancel_maker",
        whole=False,
        position=position,
        leverage=position.leverage,
        fee_ppm=market.rates["fee_liquidation_ppm"],
        forced=True,
        cross=position.cross,
    )
    trial = Trial(taker, walk_plan(state, taker))
    execute(state, order, trial, "liquidation", lambda rest: deleverage(state, order, rest, bankruptcy))
