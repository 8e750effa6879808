"""
Positions that are worth no more than their maintenance margin are closed by force, whole and at once.
"""

from fractions import Fraction

from tests.reference.drafts import closing_draft
from tests.reference.execution import execute
from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.orders import order_close
from tests.reference.placing import order_enter
from tests.reference.state import FIRST_USER, Order, Position, State
from tests.reference.texts import ceil_of, floor_of
from tests.reference.trial import Trial
from tests.reference.walk import ENDLESS, Taker, walk_plan


def liquidatable_first(state: State, market: Market) -> Position | None:
    """Return the first liquidatable position: longs by descending threshold, shorts by ascending, then id."""
    met: list[tuple[int, int, int, Position]] = []
    for position in state.positions.values():
        if position.market is market and market.liquidatable(position.lots, position.cost, position.margin):
            threshold = market.threshold(position.lots, position.cost, position.margin)
            assert threshold is not None
            long = position.lots > 0
            met.append((0 if long else 1, -threshold if long else threshold, position.position_id, position))
    return min(met)[3] if met else None


def swept(order: Order, position: Position) -> bool:
    """Return whether a liquidation ends this order first: all but SL, TP and what reduces another position."""
    if order.market is not position.market or order.sltp or order.status == "attached":
        return False
    return not order.reduce_only or order.position_id == position.position_id


def price_bankruptcy(position: Position) -> int:
    """Return the price at which the position's margin is just used up, inside the window."""
    exact = Fraction(position.cost - position.margin, position.lots * position.market.unit)
    ticks = ceil_of(exact) if position.lots > 0 else floor_of(exact)
    return min(max(ticks, 1), WINDOW_TICKS - 1)


def liquidate(state: State, position: Position) -> None:
    """End the account's orders in the market, then close the whole position by force."""
    assert position.account_id >= FIRST_USER
    market = position.market
    for order in state.orders_aged(position.account_id):
        if order.order_id in state.orders and swept(order, position):
            order_close(state, order, "liquidation")
    order = order_enter(state, closing_draft(state, position, abs(position.lots)))
    order.kind, order.tif = "liquidation", None
    book = market.liquidity == "book"
    price = price_bankruptcy(position) if book else market.touch(order.sign)
    state.emit(
        "liquidation",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        order_id=order.order_id,
        qty=market.qty_text(order.lots),
        price=market.price_text(price),
        price_mark=market.price_text(market.mark),
    )
    taker = Taker(
        account_id=position.account_id,
        market=market,
        sign=order.sign,
        lots=order.lots,
        bound=None,
        stp="cancel_maker",
        whole=False,
        position=position,
        leverage=position.leverage,
        fee_ppm=market.rates["fee_liquidation_ppm"],
        forced=True,
        offer=[[price, ENDLESS]] if book else None,
    )
    execute(state, order, Trial(taker, walk_plan(state, taker)), "liquidation")
