"""
Ending many orders of one account at once: dead-man's switch, reset, a day's loss, a market that takes no more of them.

Oldest first. An attached child goes with its parent, so no sweep names one.
"""

from numpy import int64

from engine.core import events, orders
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from shared.codes import OrderStatus

EVERY_MARKET = -1
# Which orders a sweep ends.
EVERY = 1
OPENING = 2  # those that may open or increase a position, dormant ones among them
ENTERING = 3  # those that rest or are delayed, without the reduce-only flag


@kernel
def orders_sweep(state, account_row, market_row, which, reason):
    """End an account's orders of a class in a market, or in EVERY_MARKET, and return how many were ended."""
    count = int64(0)
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        wanted = market_row == EVERY_MARKET or order.market_id == market_row + 1
        if wanted and sweep_takes(order, which):
            order_sweep(state, row, reason)
            count += 1
            # Its children have gone with it: begin again rather than trust a link.
            row = int64(state.account_links[account_row].order_first)
        else:
            row = int64(state.order_links[row].next)
    return count


@kernel
def sweep_takes(order, which):
    """Return whether an order is one of those that a sweep ends."""
    if order.status == OrderStatus.ATTACHED:
        return False
    if which == OPENING:
        return order.reduce_only == 0
    if which == ENTERING:
        return order.reduce_only == 0 and order.status != OrderStatus.TRIGGER
    return True


@kernel
def order_sweep(state, row, reason):
    """End one order; a position whose SL or TP it was is told without it."""
    order = state.orders[row]
    position_row = int64(ROW_NONE)
    if orders.follows_position(order):
        position_row = orders.position_find(state, order.position_id)
    orders.order_close(state, row, reason)
    if position_row != ROW_NONE:
        events.emit_position_changed(state, position_row)
