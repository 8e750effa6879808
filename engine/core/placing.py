"""
What an accepted order does: it executes, rests, waits for its price, or is put aside; with its bracket or other leg.

The order stands in ORDER_IN_HAND, its walk is done and its checks have said OK.
"""

from numpy import int64

from engine.core import brackets, closing, events, execution, guards, ledger, orders, taking, trailing, validate_orders
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ORDER_LEG, ROW_NONE
from engine.core.validate_shapes import dormant_kind
from shared.codes import CloseReason, OrderKind, OrderStatus, PositionKind, Stp, Tif, Tpsl
from shared.records import CLIENT_ID_WORDS


@kernel
def order_place(state, command):
    """Place the order in hand and its other leg; the answer is the first event."""
    ask = state.ask
    take = state.taker
    waits = ask.dormant != 0 or ask.pair != 0 or ask.delayed != 0
    position_id = int64(0)
    if not waits:
        execution.taker_begin(state)
        if take.filled_lots > 0:
            position_id = execution.taker_position_id(state)
    if state.orders[ORDER_IN_HAND].reduce_only != 0:
        position_id = state.orders[ORDER_IN_HAND].position_id
    order_id = state.venue.order_next
    events.emit_answer(state, command, command.account, order_id, position_id)
    orders.order_number(state, int64(ORDER_IN_HAND))
    if ask.pair != 0:
        pair_place(state)
    elif ask.dormant != 0:
        children_begin(state, command)
        dormant_place(state, int64(ORDER_IN_HAND))
        brackets.children_tell(state, int64(ORDER_IN_HAND))
    elif ask.delayed != 0:
        children_begin(state, command)
        delayed_place(state)
    else:
        if take.filled_lots > 0 or take.rest_lots > 0:
            children_begin(state, command)
        closing.taker_complete(state, int64(CloseReason.FILLED))
        return
    events.emit_account_changed(state, ask.account_row)


@kernel
def delayed_place(state):
    """Put the order in hand aside; its worst price is fixed only when it executes."""
    state.orders[ORDER_IN_HAND].price_ticks = state.ask.price_ticks
    closing.delay_begin(state)


@kernel
def dormant_place(state, row):
    """Let the dormant order in a row in hand wait for its price; returns its own row."""
    order = state.orders[row]
    if order.kind == OrderKind.TRAILING_STOP:
        source = validate_orders.source_now_ticks(state, row)
        if activated(order, source):
            order.active = trailing.TRAILS
            order.peak_ticks = source
    own_row = orders.order_enter(state, row, int64(OrderStatus.TRIGGER))
    events.emit_order_changed(state, own_row)
    return own_row


@kernel
def activated(order, source_ticks):
    """Return whether a trailing stop follows its price at once: no activation price, or one that is met."""
    sign = -orders.side_sign(order.side)
    return order.price_activation_ticks == 0 or sign * (source_ticks - int64(order.price_activation_ticks)) >= 0


@kernel
def leg_place(state, row):
    """Let one leg of an OCO rest or wait; returns its own row."""
    if dormant_kind(state.orders[row].kind):
        return dormant_place(state, row)
    take = state.taker
    state.orders[row].qty_lots = take.rest_lots
    own_row = orders.order_enter(state, row, int64(OrderStatus.RESTING))
    orders.uncovered_set(state, own_row, take.rest_uncovered_lots)
    ledger.reserve(state, take.account_row, own_row, take.rest_reserve_e6)
    events.emit_order_changed(state, own_row)
    return own_row


@kernel
def pair_place(state):
    """Place both legs of an OCO, each naming the other."""
    orders.order_number(state, int64(ORDER_LEG))
    state.orders[ORDER_IN_HAND].oco_id = state.orders[ORDER_LEG].order_id
    state.orders[ORDER_LEG].oco_id = state.orders[ORDER_IN_HAND].order_id
    leg_place(state, int64(ORDER_IN_HAND))
    leg_place(state, int64(ORDER_LEG))


@kernel
def children_begin(state, command):
    """Place the take-profit, then the stop-loss, that wait for the order in hand."""
    ask = state.ask
    if ask.children == 0:
        return
    parent = state.orders[ORDER_IN_HAND]
    first = int64(ROW_NONE)
    if ask.take_profit_ticks != 0:
        first = child_begin(state, True, ask.side_sign, command.take_profit_by, parent.order_id)
        parent.children += 1
    if ask.stop_loss_ticks != 0:
        second = child_begin(state, False, ask.side_sign, command.stop_loss_by, parent.order_id)
        parent.children += 1
        if first != ROW_NONE and parent.tpsl == Tpsl.ORDER and parent.leverage == 0:
            state.orders[first].oco_id = state.orders[second].order_id
            state.orders[second].oco_id = state.orders[first].order_id


@kernel
def child_begin(state, profit, side_sign, by, parent_id):
    """Place one attached child of an entry of side `side_sign` and return its row."""
    ask = state.ask
    trigger_ticks = ask.take_profit_ticks if profit else ask.stop_loss_ticks
    price_ticks = ask.take_profit_price_ticks if profit else ask.stop_loss_price_ticks
    kind = int64(OrderKind.STOP_MARKET)
    if profit:
        kind = int64(OrderKind.TAKE_PROFIT_MARKET) if price_ticks == 0 else int64(OrderKind.TAKE_PROFIT_LIMIT)
    elif price_ticks != 0:
        kind = int64(OrderKind.STOP_LIMIT)
    row = orders.order_acquire(state)
    account_id = state.accounts[ask.account_row].account_id
    orders.order_start(state, row, ask.market_row, account_id, orders.closing_side(side_sign), kind)
    orders.order_number(state, row)
    child = state.orders[row]
    child.price_trigger_ticks = trigger_ticks
    child.price_ticks = price_ticks
    child.trigger_by = by
    child.reduce_only = 1
    if price_ticks != 0:
        child.tif = Tif.GTC
    child.stp = Stp.CANCEL_MAKER
    child.slippage_bps = taking.SLIPPAGE_FREE
    child.status = OrderStatus.ATTACHED
    child.parent_id = parent_id
    orders.order_link(state, row)
    return row


@kernel
def trade_create(state, command):
    """Open a ticket: a position of its own, with its own leverage, SL and TP."""
    ask = state.ask
    hand = state.orders[ORDER_IN_HAND]
    position_id = int64(0)
    if ask.delayed == 0:
        execution.taker_begin(state)
        position_id = state.taker.position_id_new
    order_id = state.venue.order_next
    events.emit_answer(state, command, command.account, order_id, position_id)
    orders.order_number(state, int64(ORDER_IN_HAND))
    children_begin(state, command)
    if ask.delayed != 0:
        hand.qty_lots = state.taker.filled_lots
        delayed_place(state)
        events.emit_account_changed(state, ask.account_row)
        return
    assert state.taker.position_kind == PositionKind.TICKET
    closing.taker_complete(state, int64(CloseReason.FILLED))


@kernel
def ticket_draft(state, command):
    """Begin in hand the order of a ticket: FOK, at its own leverage."""
    ask = state.ask
    account_id = state.accounts[ask.account_row].account_id
    orders.order_start(state, int64(ORDER_IN_HAND), ask.market_row, account_id, command.side, int64(OrderKind.MARKET))
    hand = state.orders[ORDER_IN_HAND]
    hand.tif = Tif.FOK
    hand.stp = guards.stp(state, ask.account_row)
    hand.leverage = command.leverage
    hand.tpsl = Tpsl.POSITION
    hand.qty_lots = ask.lots
    hand.money_e6 = ask.money_e6
    for word in range(CLIENT_ID_WORDS):
        hand.client_order_id[word] = command.client_order_id[word]
