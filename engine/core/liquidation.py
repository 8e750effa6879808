"""
Closing by force: what is liquidatable is found by its threshold, its orders cancelled, and closed whole.

The order is a taker like any other: users' orders first, then the quote; in `book` mode the house takes what is left
at the bankruptcy price. Source: docs/risk.md#liquidation
"""

from numpy import int64

from engine.core import closing, depth, events, execution, margin, matching, orders, tables, taking, triggers
from engine.core.integers import ceil_div
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ORDER_IN_HAND, ORDERS_CAPACITY, PRICE_TICKS_MAX, ROW_NONE
from shared.codes import CloseReason, Liquidity, OrderKind, Tif


@kernel
def liquidation_next(state, market_row):
    """Return the row of the position that is liquidated next, longs by descending threshold first, or ROW_NONE."""
    for number in (triggers.THRESHOLD, triggers.THRESHOLD + 1):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return state.ladders[market_row * LADDERS_COUNT + number].best_node - ORDERS_CAPACITY
    return int64(ROW_NONE)


@kernel
def bankruptcy_ticks(state, position_row):
    """
    Return the price at which the margin behind a position is used up, inside the price window.

    Rounds: in favour of the position: up for a long, down for a short.
    Source: docs/risk.md#bankruptcy-price
    """
    position = state.positions[position_row]
    unit_e6 = state.markets[int64(position.market_id) - 1].config.unit_e6
    base = abs(position.lots) * unit_e6
    if position.lots > 0:
        ticks = ceil_div(position.cost_e6 - position.margin_e6, base)
    else:
        ticks = (position.margin_e6 - position.cost_e6) // base
    return min(max(ticks, int64(1)), int64(PRICE_TICKS_MAX))


@kernel
def liquidate(state, position_row):
    """
    Cancel the account's orders in the market and close the whole position.

    No taker fee; the liquidation fee goes to INSURANCE, the rest to the account; what lacks is a deficit.
    """
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    market = state.markets[market_row]
    account_row = tables.account_row(int64(position.account_id))
    account_orders_cancel(state, account_row, market_row, position.position_id)
    # Cancelling moved nothing of an isolated position, and its threshold is the exact test.
    assert margin.liquidatable(market.config, position.lots, position.cost_e6, position.margin_e6, market.mark_ticks)
    bound_ticks = int64(0)
    sign = orders.side_sign(orders.closing_side(position.lots))
    if market.config.liquidity == Liquidity.BOOK:
        bound_ticks = bankruptcy_ticks(state, position_row)
    elif market.config.liquidity == Liquidity.QUOTE_SIZED:
        bound_ticks = depth.level_last_ticks(market, sign)
    closing.close_order_start(state, position_row, abs(position.lots), int64(OrderKind.LIQUIDATION))
    order = state.orders[ORDER_IN_HAND]
    order.tif = Tif.NONE
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    state.taker.forced = 1
    state.taker.bound_ticks = bound_ticks
    matching.walk(state)
    price_ticks = depth.touch_ticks(market, sign)
    if market.config.liquidity == Liquidity.BOOK:
        price_ticks = bound_ticks
    events.emit_liquidation(state, position_row, order.order_id, order.qty_lots, price_ticks)
    state.taker.rest_lots = 0
    execution.taker_begin(state)
    execution.taker_run(state, int64(CloseReason.LIQUIDATION))
    execution.taker_finish(state, int64(CloseReason.LIQUIDATION))


@kernel
def account_orders_cancel(state, account_row, market_row, position_id):
    """End an account's orders in a market by priority, but for SL, TP and what reduces its other positions."""
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        following = int64(state.order_links[row].next)
        bound = order.reduce_only != 0 and order.position_id != position_id
        if order.market_id == market_row + 1 and not bound and not orders.follows_position(order):
            waits = order.children > 0
            orders.order_close(state, row, int64(CloseReason.LIQUIDATION))
            if waits:
                # Its children may have gone with it: begin again rather than trust a link.
                following = int64(state.account_links[account_row].order_first)
        row = following
