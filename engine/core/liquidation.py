"""
Closing by force: what is liquidatable is found by its threshold, its orders cancelled, and closed whole.

Source: docs/risk.md#liquidation
"""

from numpy import int64

from engine.core import events, execution, margin, matching, orders, positions, tables, triggers
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ORDER_IN_HAND, ORDERS_CAPACITY, ROW_NONE
from shared.codes import CloseReason, OrderKind, OrderStatus


@kernel
def liquidation_next(state, market_row):
    """Return the row of the position that is liquidated next, longs by descending threshold first, or ROW_NONE."""
    for number in (triggers.THRESHOLD, triggers.THRESHOLD + 1):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return state.ladders[market_row * LADDERS_COUNT + number].best_node - ORDERS_CAPACITY
    return int64(ROW_NONE)


@kernel
def liquidate(state, position_row):
    """
    Cancel the account's resting orders in the market and close the whole position at the touch.

    No taker fee; the liquidation fee goes to INSURANCE, the rest to the account; what lacks is a deficit.
    """
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    market = state.markets[market_row]
    account_row = tables.account_row(int64(position.account_id))
    resting_cancel(state, account_row, market_row)
    # Cancelling moved nothing of an isolated position, and its threshold is the exact test.
    assert margin.liquidatable(market.config, position.lots, position.cost_e6, position.margin_e6, market.mark_ticks)
    side = execution.closing_side(position.lots)
    price_ticks = matching.touch_ticks(market, orders.side_sign(side))
    lots = abs(position.lots)
    account_id = int64(position.account_id)
    orders.order_start(state, int64(ORDER_IN_HAND), market_row, account_id, side, int64(OrderKind.LIQUIDATION))
    order = state.orders[ORDER_IN_HAND]
    order.qty_lots = lots
    order.reduce_only = 1
    matching.plan_liquidation(state.plan, market, position.lots, position.cost_e6, position.margin_e6, price_ticks)
    events.emit_liquidation(state, position_row, order.order_id, lots, price_ticks, state.plan.fee_e6)
    positions.fill_commit(
        state, position_row, int64(position.kind), lots, price_ticks, int64(0), int64(CloseReason.LIQUIDATION)
    )
    events.emit_closed_order(state, int64(ORDER_IN_HAND), int64(CloseReason.LIQUIDATION))
    orders.reserves_refresh(state, account_row, market_row)
    events.emit_account_changed(state, account_row)


@kernel
def resting_cancel(state, account_row, market_row):
    """End an account's resting orders in a market, oldest first."""
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE and state.account_links[account_row].resting[market_row] > 0:
        order = state.orders[row]
        if order.status == OrderStatus.RESTING and order.market_id == market_row + 1:
            orders.order_close(state, row, int64(CloseReason.LIQUIDATION))
            # Its children may have gone with it: begin again rather than trust a link.
            row = int64(state.account_links[account_row].order_first)
        else:
            row = int64(state.order_links[row].next)
