"""
What an accepted instruction does. Every function here runs after its checks have said OK, and must succeed.

The answer is the first event of the entry; what happened follows it. Orders are placed in placing.py and amended in
amending.py, accounts changed in accounts.py, markets in lifecycle.py.
"""

from numpy import int64

from engine.core import (
    accounts,
    amending,
    brackets,
    closing,
    events,
    ledger,
    lifecycle,
    orders,
    owners,
    placing,
    reserves,
    tables,
)
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from shared.codes import ACCOUNT_EXTERNAL, ACCOUNT_FIRST, CloseReason, LedgerReason, Op, OrderStatus
from shared.records import PRESENT_STOP_LOSS_NULL, PRESENT_TAKE_PROFIT_NULL


@kernel
def instruction_execute(state, command, configs):
    """Carry out the instruction in hand."""
    op = command.op
    if op == Op.ACCOUNT_OPEN:
        account_open(state, command)
    elif op == Op.ORDER_PLACE or op == Op.POSITION_REVERSE:
        placing.order_place(state, command)
    elif op == Op.ORDER_AMEND:
        amending.order_amend(state, command)
    elif op == Op.ORDER_CANCEL:
        order_cancel(state, command)
    elif op == Op.ORDERS_CANCEL:
        orders_cancel(state, command)
    elif op == Op.TRADE_CREATE:
        placing.trade_create(state, command)
    elif op == Op.TRADE_CLOSE:
        trade_close(state, command)
    elif op == Op.POSITION_TRIGGERS_SET:
        position_triggers_set(state, command)
    else:
        position_id = int64(0)
        if op == Op.MARGIN_CHANGE:
            position_id = command.position_id
        events.emit_answer(state, command, command.account, int64(0), position_id)
        if op >= Op.VENUE_SET and op <= Op.ACCOUNT_CREDIT:
            operation_execute(state, command, configs)
        else:
            account_execute(state, command)


@kernel
def account_execute(state, command):
    """Carry out what concerns an account as a whole, its owner's other accounts, or its positions' margin."""
    if command.op == Op.POSITIONS_CLOSE_ALL:
        lifecycle.positions_close_all(state, command)
    elif command.op == Op.MARGIN_CHANGE:
        accounts.margin_change(state, command)
    elif command.op == Op.LEVERAGE_SET:
        accounts.leverage_set(state, command)
    elif command.op == Op.MARGIN_MODE_SET:
        accounts.margin_mode_set(state, command)
    elif command.op == Op.ACCOUNT_GUARDS_SET:
        accounts.guards_set(state, command)
    elif command.op == Op.SUBACCOUNT_OPEN:
        subaccount_open(state, command)
    elif command.op == Op.ACCOUNT_TRANSFER:
        accounts.account_transfer(state, command)
    elif command.op == Op.DEADMAN_SET:
        accounts.deadman_set(state, command)
    elif command.op == Op.ACCOUNT_RESET:
        lifecycle.account_reset(state, command)


@kernel
def operation_execute(state, command, configs):
    """Carry out an operator's instruction."""
    if command.op == Op.VENUE_SET:
        lifecycle.venue_set(state, command)
    elif command.op == Op.MARKET_SET:
        lifecycle.market_set(state, command, configs)
    elif command.op == Op.MARKET_HALT:
        lifecycle.market_halt(state, command)
    elif command.op == Op.MARKET_RESUME:
        lifecycle.market_resume(state, command)
    elif command.op == Op.MARKET_REDUCE_ONLY:
        lifecycle.market_reduce_only(state, command)
    elif command.op == Op.MARKET_SETTLE:
        lifecycle.market_settle(state, command)
    elif command.op == Op.ACCOUNT_FREEZE:
        accounts.account_freeze(state, command)
    elif command.op == Op.ACCOUNT_UNFREEZE:
        accounts.account_unfreeze(state, command)
    else:
        accounts.account_credit(state, command)


@kernel
def account_open(state, command):
    """Give an owner an account with the starting balance; an owner who has one is answered with it."""
    row = owners.account_find(state, command.owner_hi, command.owner_lo, int64(0))
    if row != ROW_NONE:
        events.emit_answer(state, command, state.accounts[row].account_id, int64(0), int64(0))
        return
    row = account_begin(state, command.owner_hi, command.owner_lo, int64(0), int64(0))
    events.emit_answer(state, command, state.accounts[row].account_id, int64(0), int64(0))
    events.emit_account_opened(state, row)
    ledger.transfer(
        state, int64(ACCOUNT_EXTERNAL), row, state.venue.starting_balance_e6, int64(LedgerReason.DEPOSIT), int64(0)
    )
    events.emit_account_changed(state, row)


@kernel
def subaccount_open(state, command):
    """Give the owner of the account in hand one account more, without money."""
    main = state.accounts[owners.main_row(state, state.ask.account_row)]
    main.subs += 1
    row = account_begin(state, main.owner_hi, main.owner_lo, main.account_id, main.subs)
    events.emit_account_opened(state, row)
    events.emit_account_changed(state, row)


@kernel
def account_begin(state, owner_hi, owner_lo, main_id, sub):
    """Return the row of a new account of an owner; `sub` says which of those of `main_id`, 0 that it is a main one."""
    account_id = state.venue.account_next
    state.venue.account_next += 1
    row = tables.account_row(account_id)
    account = state.accounts[row]
    account.account_id = account_id
    account.owner_hi = owner_hi
    account.owner_lo = owner_lo
    account.main_id = main_id
    account.sub = sub
    account.opened_us = state.header.log_time_us
    account_link(state, row)
    return row


@kernel
def account_link(state, row):
    """Put an account into the index of owners; also on restore."""
    account = state.accounts[row]
    state.accounts_table.live += 1
    state.accounts_table.top = max(state.accounts_table.top, row)
    if account.account_id >= ACCOUNT_FIRST:
        tables.index_insert(state.owners_index, state.index_seed, account.owner_hi, account.owner_lo, account.sub, row)


@kernel
def trade_close(state, command):
    """Close a position, wholly or in part, as a taker."""
    ask = state.ask
    position_id = state.positions[ask.position_row].position_id
    events.emit_answer(state, command, command.account, state.venue.order_next, position_id)
    closing.position_close_order(state, ask.position_row, ask.lots)


@kernel
def order_cancel(state, command):
    """End one live order."""
    row = state.ask.order_row
    order = state.orders[row]
    market_row = int64(order.market_id) - 1
    position_id = order.position_id if order.reduce_only != 0 else int64(0)
    position_row = int64(ROW_NONE)
    if orders.follows_position(order):
        position_row = orders.position_find(state, order.position_id)
    events.emit_answer(state, command, command.account, order.order_id, position_id)
    orders.order_close(state, row, int64(CloseReason.CANCELLED))
    if position_row != ROW_NONE:
        events.emit_position_changed(state, position_row)
    reserves.reserves_refresh(state, state.ask.account_row, market_row)
    events.emit_account_changed(state, state.ask.account_row)


@kernel
def orders_cancel(state, command):
    """End the account's resting, dormant and delayed orders, oldest first; SL and TP of positions stay."""
    ask = state.ask
    events.emit_answer(state, command, command.account, int64(0), int64(0))
    row = int64(state.account_links[ask.account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        wanted = ask.market_row < 0 or order.market_id == ask.market_row + 1
        if wanted and order.status != OrderStatus.ATTACHED and not orders.follows_position(order):
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
    events.emit_answer(state, command, command.account, int64(0), position.position_id)
    removed = command.present & PRESENT_TAKE_PROFIT_NULL != 0
    trigger_set(state, True, ask.take_profit_ticks, command.take_profit_by, removed)
    removed = command.present & PRESENT_STOP_LOSS_NULL != 0
    trigger_set(state, False, ask.stop_loss_ticks, command.stop_loss_by, removed)
    events.emit_position_changed(state, ask.position_row)


@kernel
def trigger_set(state, profit, price_ticks, by, removed):
    """Set one trigger of the position in hand (price 0: none given), or remove it."""
    ask = state.ask
    position = state.positions[ask.position_row]
    if price_ticks == 0 and not removed:
        return
    before = position.take_profit_id if profit else position.stop_loss_id
    if before != 0:
        reason = int64(CloseReason.TRIGGER_REMOVED) if removed else int64(CloseReason.REPLACED)
        orders.order_close(state, orders.order_find(state, before), reason)
    if removed:
        return
    sign = int64(1) if position.lots > 0 else int64(-1)
    row = placing.child_begin(state, profit, sign, by, int64(0))
    brackets.child_attach(state, row, ask.position_row)
