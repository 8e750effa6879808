"""
Orders that execute later than they were placed: triggers that fire, trailing stops, taker delays that end.

Nobody waits for a refusal here: an order that may not execute ends, naming the rule.
"""

from numpy import int64

from engine.core import (
    brackets,
    closing,
    events,
    matching,
    orders,
    tables,
    taking,
    trailing,
    triggers,
)
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, PPM, ROW_NONE
from shared.codes import CloseReason, MarketState, OrderKind, ResultCode, Tif

OK = int(ResultCode.OK)


@kernel
def limit_outside_band(market, side_sign, price_ticks):
    """Return whether a limit is further beyond the mark than the market's price band allows."""
    if market.mark_ticks <= 0:
        return False
    return side_sign * (price_ticks * PPM - market.mark_ticks * (PPM + side_sign * market.config.price_band_ppm)) > 0


@kernel
def trigger_execute(state, row):
    """Let a dormant order fire: a trailing stop that waits becomes active, everything else wakes."""
    order = state.orders[row]
    market = state.markets[int64(order.market_id) - 1]
    number = triggers.order_ladder(order)
    price_ticks = triggers.ladder_price_ticks(market, number)
    if order.kind == OrderKind.TRAILING_STOP and order.active == 0:
        triggers.order_drop(state, row)
        order.active = trailing.TRAILS
        order.peak_ticks = price_ticks
        trailing.trailing_insert(state, row)
        events.emit_order_changed(state, row)
        return
    events.emit_trigger_fired(state, row, price_ticks)
    if orders.follows_position(order):
        follower_wake(state, row)
    else:
        order_wake(state, row)


@kernel
def follower_wake(state, row):
    """Wake an SL or TP: it closes its whole position as a taker, or becomes a reduce-only limit order of that size."""
    order = state.orders[row]
    position_row = orders.position_find(state, order.position_id)
    assert position_row != ROW_NONE
    reason = int64(CloseReason.STOP_LOSS)
    if brackets.takes_profit(order):
        reason = int64(CloseReason.TAKE_PROFIT)
    orders.follower_unbind(state, row)
    orders.order_take_in_hand(state, row)
    hand = state.orders[ORDER_IN_HAND]
    hand.qty_lots = abs(state.positions[position_row].lots)
    if orders.limit_like(hand.kind):
        hand.tif = Tif.GTC
        reason = int64(CloseReason.FILLED)
    orders.order_renew(state, int64(ORDER_IN_HAND))
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    code = wake_judge(state)
    if code != OK:
        hand.qty_lots = 0  # told as it waited
        events.emit_closed_order(state, int64(ORDER_IN_HAND), int64(CloseReason.TRIGGER_FAILED), code)
        events.emit_position_changed(state, position_row)
        events.emit_account_changed(state, state.taker.account_row)
        return
    closing.order_run(state, reason)


@kernel
def wake_judge(state):
    """Return the first rule that an order in hand, loaded into `taker`, breaks as it executes."""
    take = state.taker
    market = state.markets[take.market_row]
    if market.state == MarketState.REDUCE_ONLY and take.reduce_only == 0:
        return int64(ResultCode.MARKET_REDUCE_ONLY)
    if take.limit_like != 0 and limit_outside_band(market, take.side_sign, take.bound_ticks):
        return int64(ResultCode.PRICE_OUTSIDE_BAND)
    code = taking.take_flags_judge(state)
    if code == OK:
        code = taking.take_margin_judge(state)
    return code


@kernel
def hand_size(state):
    """Fit a reduce-only order in hand to its position: the percentage it asks for, or at most what there is."""
    hand = state.orders[ORDER_IN_HAND]
    if hand.reduce_only == 0:
        return
    held = abs(state.positions[orders.position_find(state, hand.position_id)].lots)
    if hand.close_percent != 0 and hand.qty_filled_lots == 0:
        hand.qty_lots = max(int64(1), held * int64(hand.close_percent) // 100)
    hand.qty_lots = min(hand.qty_lots, held + hand.qty_filled_lots)


@kernel
def order_wake(state, row):
    """Wake an order of its own size; its other leg ends only once it is accepted, and counts as its own till then."""
    sibling_row = orders.order_find(state, state.orders[row].oco_id)
    state.orders[ORDER_IN_HAND] = state.orders[row]
    hand_size(state)
    taking.take_load(state, int64(ORDER_IN_HAND), sibling_row)
    code = wake_judge(state)
    if code != OK:
        wake_fail(state, row, int64(CloseReason.TRIGGER_FAILED), code)
        return
    if sibling_row != ROW_NONE:
        brackets.leg_end(state, row, sibling_row)
        state.orders[ORDER_IN_HAND].oco_id = 0
    hand_leave(state, row)
    closing.order_run(state, int64(CloseReason.FILLED))


@kernel
def wake_fail(state, row, reason, code):
    """End an order that may not execute, saying why, and tell what that leaves."""
    account_row = tables.account_row(int64(state.orders[row].account_id))
    orders.order_close_coded(state, row, reason, code)
    events.emit_account_changed(state, account_row)


@kernel
def hand_leave(state, row):
    """Take a live order, of which the hand holds a copy, out of its row; it takes a new place in time."""
    orders.order_leave(state, row)
    orders.order_renew(state, int64(ORDER_IN_HAND))


@kernel
def delayed_next(state, market_row):
    """Return the row of the delayed order of a market that may execute next, or ROW_NONE."""
    row = state.market_links[market_row].delayed_first
    while row != ROW_NONE and state.orders[row].due_us > state.header.log_time_us:
        row = int64(state.order_links[row].delayed_next)
    return row


@kernel
def delayed_execute(state, row):
    """Execute an order whose taker delay has ended, judged anew."""
    state.orders[ORDER_IN_HAND] = state.orders[row]
    hand = state.orders[ORDER_IN_HAND]
    hand_size(state)
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    if hand.leverage != 0:
        code = ticket_judge(state)
    else:
        code = taking.take_flags_judge(state)
    if code == OK:
        code = taking.take_margin_judge(state)
    if code != OK:
        wake_fail(state, row, int64(CloseReason.DELAY_FAILED), code)
        return
    hand_leave(state, row)
    hand.due_us = 0
    closing.order_run(state, int64(CloseReason.FILLED))


@kernel
def ticket_judge(state):
    """
    Walk for a ticket loaded into `taker`, and return why it cannot be opened whole, or as far as its money reaches.

    Codes:  QTY_OUT_OF_RANGE, STP_WOULD_CUT, SLIPPAGE_EXCEEDED, LIQUIDITY_EXHAUSTED.
    """
    take = state.taker
    matching.walk(state)
    taking.rest_plan(state)
    if take.filled_lots == take.lots or (take.capped != 0 and take.filled_lots > 0):
        return int64(OK)
    return int64(ResultCode.QTY_OUT_OF_RANGE) if take.capped != 0 else taking.unfilled_code(state)
