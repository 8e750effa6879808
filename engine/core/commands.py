"""
What an accepted instruction does. Every function here runs after its checks have said OK, and must succeed.

The answer is the first event of the entry; what happened follows it.
"""

from numpy import int64

from engine.core import events, execution, ledger, orders, positions, tables
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ROW_NONE
from shared.codes import (
    ACCOUNT_EXTERNAL,
    ACCOUNT_FIRST,
    CloseReason,
    LedgerReason,
    Op,
    OrderKind,
    OrderStatus,
    PositionKind,
    ResultCode,
    Tif,
)
from shared.records import CLIENT_ID_WORDS, PRESENT_STOP_LOSS_NULL, PRESENT_TAKE_PROFIT_NULL

OK = int(ResultCode.OK)


@kernel
def instruction_execute(state, command):
    """Carry out the instruction in hand."""
    if command.op == Op.ACCOUNT_OPEN:
        account_open(state, command)
    elif command.op == Op.ORDER_PLACE:
        order_place(state, command)
    elif command.op == Op.ORDER_CANCEL:
        order_cancel(state, command)
    elif command.op == Op.ORDERS_CANCEL:
        orders_cancel(state, command)
    elif command.op == Op.TRADE_CREATE:
        trade_create(state, command)
    elif command.op == Op.TRADE_CLOSE:
        trade_close(state, command)
    else:
        position_triggers_set(state, command)


@kernel
def answer(state, command, account_id, order_id, position_id):
    """Emit the OK of an instruction."""
    events.emit_order_response(state, command, account_id, int64(OK), order_id, position_id, int64(0))


@kernel
def account_open(state, command):
    """Give an owner an account with the starting balance; an owner who has one is answered with it."""
    row = tables.index_find(state.owners_index, state.index_seed, command.owner_hi, command.owner_lo, int64(0))
    if row != ROW_NONE:
        answer(state, command, state.accounts[row].account_id, int64(0), int64(0))
        return
    account_id = state.venue.account_next
    state.venue.account_next += 1
    row = tables.account_row(account_id)
    account = state.accounts[row]
    account.account_id = account_id
    account.owner_hi = command.owner_hi
    account.owner_lo = command.owner_lo
    account.opened_us = state.header.log_time_us
    account_link(state, row)
    answer(state, command, account_id, int64(0), int64(0))
    events.emit_account_opened(state, row)
    ledger.transfer(
        state, int64(ACCOUNT_EXTERNAL), row, state.venue.starting_balance_e6, int64(LedgerReason.DEPOSIT), int64(0)
    )
    events.emit_account_changed(state, row)


@kernel
def account_link(state, row):
    """Put an account into the index of owners; also on restore."""
    account = state.accounts[row]
    state.accounts_table.live += 1
    state.accounts_table.top = max(state.accounts_table.top, row)
    if account.account_id >= ACCOUNT_FIRST:
        tables.index_insert(state.owners_index, state.index_seed, account.owner_hi, account.owner_lo, int64(0), row)


@kernel
def order_begin(state, row, command, kind):
    """Begin the command's order in a row: its numbers, flags and client id."""
    ask = state.ask
    orders.order_start(state, row, ask.market_row, command.account, command.side, kind)
    order = state.orders[row]
    order.priority = state.venue.priority_next
    state.venue.priority_next += 1
    order.qty_lots = ask.lots
    order.price_ticks = ask.price_ticks
    order.leverage = ask.leverage
    order.post_only = command.post_only
    for word in range(CLIENT_ID_WORDS):
        order.client_order_id[word] = command.client_order_id[word]


@kernel
def children_begin(state, command, parent_id):
    """Place the take-profit, then the stop-loss, that wait for their entry."""
    ask = state.ask
    side = execution.closing_side(ask.side_sign)
    if ask.take_profit_ticks != 0:
        kind = int64(OrderKind.TAKE_PROFIT_MARKET)
        child_begin(state, kind, side, ask.take_profit_ticks, command.take_profit_by, parent_id)
    if ask.stop_loss_ticks != 0:
        kind = int64(OrderKind.STOP_MARKET)
        child_begin(state, kind, side, ask.stop_loss_ticks, command.stop_loss_by, parent_id)


@kernel
def child_begin(state, kind, side, price_ticks, by, parent_id):
    """Place one attached child and return its row; `side` is the closing side."""
    ask = state.ask
    row = orders.order_acquire(state)
    account_id = state.accounts[ask.account_row].account_id
    orders.order_start(state, row, ask.market_row, account_id, side, kind)
    child = state.orders[row]
    child.priority = state.venue.priority_next
    state.venue.priority_next += 1
    child.price_trigger_ticks = price_ticks
    child.trigger_by = by
    child.reduce_only = 1
    child.status = OrderStatus.ATTACHED
    child.parent_id = parent_id
    orders.order_link(state, row)
    return row


@kernel
def children_tell(state, parent_id):
    """Emit the attached children of an order that rests."""
    row = int64(state.account_links[state.ask.account_row].order_first)
    while row != ROW_NONE:
        if state.orders[row].parent_id == parent_id:
            events.emit_order_changed(state, row)
        row = int64(state.order_links[row].next)


@kernel
def order_place(state, command):
    """Place an order on the net position: it takes at once, rests, or ends unfilled."""
    ask = state.ask
    order_id = state.venue.order_next
    position_id = int64(0)
    if ask.takes == 1:
        flips = state.plan.close_lots > 0 and state.plan.open_lots > 0
        position_id = state.venue.position_next
        if ask.position_row != ROW_NONE and not flips:
            position_id = state.positions[ask.position_row].position_id
    answer(state, command, command.account, order_id, position_id)
    limit = command.order_kind == OrderKind.LIMIT
    tif = command.tif
    if tif == Tif.NONE:
        tif = int64(Tif.GTC) if limit else int64(Tif.IOC)
    rests = ask.takes == 0 and tif == Tif.GTC
    row = orders.order_acquire(state) if rests else int64(ORDER_IN_HAND)
    order_begin(state, row, command, command.order_kind)
    order = state.orders[row]
    order.tif = tif
    if rests:
        order.status = OrderStatus.RESTING
        orders.order_link(state, row)
        orders.uncovered_set(state, row, ask.uncovered_lots)
        ledger.reserve(state, ask.account_row, row, ask.reserve_e6)
        events.emit_order_changed(state, row)
        if ask.children > 0:
            children_begin(state, command, order_id)
            children_tell(state, order_id)
        events.emit_account_changed(state, ask.account_row)
    elif ask.takes == 1:
        order_take(state, command, int64(PositionKind.NET))
    else:
        reason = int64(CloseReason.IOC_UNFILLED) if limit else int64(CloseReason.SLIPPAGE_EXCEEDED)
        events.emit_closed_order(state, int64(ORDER_IN_HAND), reason)


@kernel
def order_take(state, command, kind):
    """Execute the order in hand at the touch, its children waiting beside it."""
    ask = state.ask
    children_begin(state, command, state.orders[ORDER_IN_HAND].order_id)
    execution.taker_execute(state, ask.position_row, kind, ask.lots, ask.touch_ticks, int64(CloseReason.FILLED))


@kernel
def trade_create(state, command):
    """Open a ticket: a position of its own, with its own leverage, SL and TP."""
    ask = state.ask
    ask.position_row = ROW_NONE
    answer(state, command, command.account, state.venue.order_next, state.venue.position_next)
    order_begin(state, int64(ORDER_IN_HAND), command, int64(OrderKind.MARKET))
    state.orders[ORDER_IN_HAND].tif = Tif.FOK
    order_take(state, command, int64(PositionKind.TICKET))


@kernel
def trade_close(state, command):
    """Close a position, wholly or in part, at the touch."""
    ask = state.ask
    position = state.positions[ask.position_row]
    answer(state, command, command.account, state.venue.order_next, position.position_id)
    side = execution.closing_side(position.lots)
    kind = int64(OrderKind.MARKET)
    orders.order_start(state, int64(ORDER_IN_HAND), ask.market_row, command.account, side, kind)
    order = state.orders[ORDER_IN_HAND]
    order.priority = state.venue.priority_next
    state.venue.priority_next += 1
    order.qty_lots = ask.lots
    order.tif = Tif.IOC
    order.reduce_only = 1
    execution.position_close(state, ask.position_row, ask.lots, int64(CloseReason.FILLED))


@kernel
def order_cancel(state, command):
    """End one live order."""
    row = state.ask.order_row
    order = state.orders[row]
    position_id = order.position_id
    answer(state, command, command.account, order.order_id, position_id)
    market_row = int64(order.market_id) - 1
    orders.order_close(state, row, int64(CloseReason.CANCELLED))
    cancelled_settle(state, market_row, position_id)


@kernel
def cancelled_settle(state, market_row, position_id):
    """Tell what the end of an order changed: its position's triggers, the account's reserves and balance."""
    account_row = state.ask.account_row
    position_row = positions.position_find(state, position_id)
    if position_id != 0 and position_row != ROW_NONE:
        events.emit_position_changed(state, position_row)
    orders.reserves_refresh(state, account_row, market_row)
    events.emit_account_changed(state, account_row)


@kernel
def orders_cancel(state, command):
    """End the account's resting orders, oldest first; SL and TP of positions stay."""
    ask = state.ask
    answer(state, command, command.account, int64(0), int64(0))
    row = int64(state.account_links[ask.account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        wanted = ask.market_row < 0 or order.market_id == ask.market_row + 1
        if order.status == OrderStatus.RESTING and wanted:
            orders.order_close(state, row, int64(CloseReason.CANCELLED))
            # Its children may have gone with it: begin again rather than trust a link.
            row = int64(state.account_links[ask.account_row].order_first)
        else:
            row = int64(state.order_links[row].next)
    events.emit_account_changed(state, ask.account_row)


@kernel
def position_triggers_set(state, command):
    """Set, replace or remove the SL and TP of a position."""
    ask = state.ask
    position = state.positions[ask.position_row]
    answer(state, command, command.account, int64(0), position.position_id)
    trigger_set(
        state,
        int64(OrderKind.TAKE_PROFIT_MARKET),
        ask.take_profit_ticks,
        command.take_profit_by,
        command.present & PRESENT_TAKE_PROFIT_NULL != 0,
    )
    trigger_set(
        state,
        int64(OrderKind.STOP_MARKET),
        ask.stop_loss_ticks,
        command.stop_loss_by,
        command.present & PRESENT_STOP_LOSS_NULL != 0,
    )
    events.emit_position_changed(state, ask.position_row)


@kernel
def trigger_set(state, kind, price_ticks, by, removed):
    """Set one trigger of the position in hand (price 0: none given), or remove it."""
    ask = state.ask
    position = state.positions[ask.position_row]
    if price_ticks == 0 and not removed:
        return
    before = position.take_profit_id if kind == OrderKind.TAKE_PROFIT_MARKET else position.stop_loss_id
    if before != 0:
        reason = int64(CloseReason.TRIGGER_REMOVED) if removed else int64(CloseReason.REPLACED)
        orders.order_close(state, orders.order_find(state, before), reason)
    if removed:
        return
    row = child_begin(state, kind, execution.closing_side(position.lots), price_ticks, by, int64(0))
    execution.child_attach(state, row, ask.position_row)
