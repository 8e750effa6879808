"""
Closing a position by an order of its own: at the market as a taker, or whole against the house at a stated price.
"""

from numpy import int64

from engine.core import brackets, events, execution, matching, orders, taking
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ROW_NONE
from shared.codes import CloseReason, OrderKind, OrderStatus, Stp, Tif


@kernel
def close_order_start(state, row, position_row, lots, kind):
    """Begin, in a row of the hand and numbered, the order that closes lots of a position."""
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    side = orders.closing_side(position.lots)
    orders.order_start(state, row, market_row, int64(position.account_id), side, kind)
    order = state.orders[row]
    order.qty_lots = lots
    order.position_id = position.position_id
    order.reduce_only = 1
    order.stp = Stp.CANCEL_MAKER
    order.slippage_bps = taking.SLIPPAGE_FREE
    orders.order_number(state, row)


@kernel
def position_close_order(state, position_row, lots):
    """Close lots of a position as a taker without a price bound, or, under a taker delay, put the order aside."""
    close_order_start(state, int64(ORDER_IN_HAND), position_row, lots, int64(OrderKind.MARKET))
    order = state.orders[ORDER_IN_HAND]
    order.tif = Tif.IOC
    market_row = int64(order.market_id) - 1
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    if state.markets[market_row].config.taker_delay_ms > 0:
        delay_begin(state)
        events.emit_account_changed(state, state.taker.account_row)
        return
    matching.walk(state)
    state.taker.rest_lots = 0
    order_run(state, int64(CloseReason.FILLED))


@kernel
def order_run(state, reason):
    """Execute the order in hand, whose checks have said OK: it fills, rests, ends; `reason` is of positions it ends."""
    execution.taker_begin(state)
    taker_complete(state, reason)


@kernel
def taker_complete(state, reason):
    """Execute the walk of the order in hand, begun: it fills, and rests or ends; a position it ends has `reason`."""
    end = taking.end_reason(state)
    execution.taker_run(state, reason)
    execution.taker_finish(state, end)


@kernel
def delay_begin(state):
    """Put the order in hand aside until the first quote after the market's taker delay; tell it and its children."""
    order = state.orders[ORDER_IN_HAND]
    delay_ms = state.markets[int64(order.market_id) - 1].config.taker_delay_ms
    order.due_us = state.header.log_time_us + delay_ms * 1000
    row = orders.order_enter(state, int64(ORDER_IN_HAND), int64(OrderStatus.DELAYED))
    events.emit_order_changed(state, row)
    brackets.children_tell(state, row)


@kernel
def forced_run(state, reason):
    """
    Execute the walk of a close that nothing refuses and that never rests; what it ends has `reason`.

    Returns the lots that the walk has left: while there are any, the order stays in hand and has not ended.
    """
    take = state.taker
    take.rest_lots = 0
    execution.taker_begin(state)
    execution.taker_run(state, reason)
    left_lots = take.lots - take.filled_lots
    if left_lots == 0:
        execution.taker_finish(state, reason)
    return left_lots


@kernel
def house_close(state, position_row, price_ticks, kind, fee_ppm, reason):
    """Close a whole user position against the house at a price, as an order of its own; everything is told."""
    lots = abs(state.positions[position_row].lots)
    close_order_start(state, int64(ORDER_IN_HAND), position_row, lots, kind)
    order = state.orders[ORDER_IN_HAND]
    order.price_ticks = price_ticks
    order.fee_taker_ppm = fee_ppm
    if kind == OrderKind.MARKET:
        order.tif = Tif.IOC
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    matching.walk_begin(state)
    matching.house_step(state, lots, price_ticks)
    forced_run(state, reason)
