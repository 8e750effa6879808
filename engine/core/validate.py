"""
May this command run? What every operation shares: the envelope, conversions to the market's units, filters, limits.

Reads the state and writes only the two records in hand (`ask`, `plan`). The order of checks is that of
docs/commands.md: the first broken rule wins.
"""

from numpy import int64

from engine.core import depth, guards, limits, orders, prices, tables
from engine.core.integers import decimal_steps
from engine.core.kernel import kernel
from engine.core.limits import PRICE_TICKS_MAX, ROW_NONE
from engine.core.schema import GUARD_LEVERAGE
from shared.codes import ACCOUNT_FIRST, MarketState, Op, ResultCode, Tpsl
from shared.records import (
    CLIENT_ID_WORDS,
    MARKETS_CAPACITY,
    PRESENT_CLIENT_ORDER_ID,
    PRESENT_MARKET,
    PRESENT_ORDER_ID,
    PRESENT_STOP_LOSS,
    PRESENT_STOP_LOSS_PRICE,
    PRESENT_TAKE_PROFIT,
    PRESENT_TAKE_PROFIT_PRICE,
)

OK = int(ResultCode.OK)
SLIPPAGE_BPS_MAX = 10_000
TPSL_DEFAULT = int(Tpsl.POSITION)


@kernel
def time_validate(state, command):
    """Return INSTRUCTION_LATE or INSTRUCTION_EARLY when an instruction's time is more than 5 s from log time."""
    now_us = state.header.log_time_us
    if now_us - command.ts_us > limits.INSTRUCTION_LATE_US:
        return int64(ResultCode.INSTRUCTION_LATE)
    if command.ts_us - now_us > limits.INSTRUCTION_LATE_US:
        return int64(ResultCode.INSTRUCTION_EARLY)
    return int64(OK)


@kernel
def envelope_validate(state, command):
    """
    Return the first rule an instruction breaks before its own operation is looked at.

    Writes: ask.account_row, ask.market_row.
    Codes:  ACCOUNT_UNKNOWN, ACCOUNT_FROZEN, ACCOUNT_LOCKED, MARKET_UNKNOWN, MARKET_HALTED, MARKET_REDUCE_ONLY, the
            types' own.
    """
    ask = state.ask
    ask.market_row = prices.MARKET_NONE
    code = account_validate(state, command)
    if code == OK and command.present & PRESENT_MARKET:
        ask.market_row = prices.market_find(state, command.market)
        if ask.market_row == prices.MARKET_NONE:
            return int64(ResultCode.MARKET_UNKNOWN)
        code = market_state_validate(state, command)
    return command.code_late if code == OK else code


@kernel
def account_validate(state, command):
    """Return ACCOUNT_UNKNOWN, ACCOUNT_FROZEN or ACCOUNT_LOCKED; the venue's own operations act for account 0."""
    op = command.op
    if op == Op.ACCOUNT_OPEN:
        return int64(OK)
    if op >= Op.VENUE_SET and op <= Op.MARKET_SETTLE:
        return int64(OK) if command.account == 0 else int64(ResultCode.ACCOUNT_UNKNOWN)
    if command.account < ACCOUNT_FIRST or command.account >= state.venue.account_next:
        return int64(ResultCode.ACCOUNT_UNKNOWN)
    state.ask.account_row = tables.account_row(command.account)
    if state.accounts[state.ask.account_row].frozen != 0 and frozen_forbids(state, op):
        return int64(ResultCode.ACCOUNT_FROZEN)
    if guards.locked(state, state.ask.account_row) and locked_forbids(command):
        return int64(ResultCode.ACCOUNT_LOCKED)
    return int64(OK)


@kernel
def frozen_forbids(state, op):
    """Return whether a frozen account cannot have this: of a user's operations all but one, of an operator's some."""
    if state.ask.by_user != 0:
        return op != Op.DEADMAN_SET
    return op == Op.ORDER_PLACE or op == Op.ORDER_AMEND or op == Op.TRADE_CREATE or op == Op.POSITION_REVERSE


@kernel
def locked_forbids(command):
    """Return whether an account that has lost enough today cannot have this command; an amendment is asked later."""
    op = command.op
    if op == Op.ORDER_PLACE:
        return command.reduce_only == 0
    return op == Op.TRADE_CREATE or op == Op.POSITION_REVERSE or op == Op.ACCOUNT_TRANSFER


@kernel
def market_state_validate(state, command):
    """Return MARKET_HALTED or MARKET_REDUCE_ONLY when the market's state forbids what would open there."""
    market_state = state.markets[state.ask.market_row].state
    op = command.op
    if op != Op.ORDER_PLACE and op != Op.TRADE_CREATE and op != Op.LEVERAGE_SET:
        return int64(OK)
    if market_state == MarketState.HALTED:
        return int64(ResultCode.MARKET_HALTED)
    opens = op == Op.TRADE_CREATE or (op == Op.ORDER_PLACE and command.reduce_only == 0)
    if market_state == MarketState.REDUCE_ONLY and opens:
        return int64(ResultCode.MARKET_REDUCE_ONLY)
    return int64(OK)


@kernel
def price_convert(market, units, e12):
    """Return (code, ticks) of a user's price: in range, then on the grid."""
    if not prices.positive(units, e12):
        return int64(ResultCode.PRICE_OUT_OF_RANGE), int64(0)
    ticks, rest = decimal_steps(units, e12, market.config.tick_e12)
    if ticks > PRICE_TICKS_MAX:
        return int64(ResultCode.PRICE_OUT_OF_RANGE), int64(0)
    if rest != 0:
        return int64(ResultCode.PRICE_NOT_ON_TICK), int64(0)
    return int64(OK), ticks


@kernel
def qty_convert(market, units, e12):
    """Return (code, lots) of a user's quantity: positive, then on the grid."""
    if not prices.positive(units, e12):
        return int64(ResultCode.QTY_OUT_OF_RANGE), int64(0)
    lots, rest = decimal_steps(units, e12, market.config.lot_e12)
    if rest != 0:
        return int64(ResultCode.QTY_NOT_ON_LOT), int64(0)
    return int64(OK), lots


@kernel
def triggers_convert(state, command):
    """Return the first rule that take_profit and stop_loss break as prices; fills ask.*_ticks and ask.children."""
    ask = state.ask
    market = state.markets[ask.market_row]
    ask.take_profit_ticks = 0
    ask.take_profit_price_ticks = 0
    ask.stop_loss_ticks = 0
    ask.stop_loss_price_ticks = 0
    ask.children = 0
    if command.present & PRESENT_TAKE_PROFIT:
        code, ticks = price_convert(market, command.take_profit_units, command.take_profit_e12)
        if code != OK:
            return code
        ask.take_profit_ticks = ticks
        ask.children += 1
    if command.present & PRESENT_TAKE_PROFIT_PRICE:
        code, ticks = price_convert(market, command.take_profit_price_units, command.take_profit_price_e12)
        if code != OK:
            return code
        ask.take_profit_price_ticks = ticks
    if command.present & PRESENT_STOP_LOSS:
        code, ticks = price_convert(market, command.stop_loss_units, command.stop_loss_e12)
        if code != OK:
            return code
        ask.stop_loss_ticks = ticks
        ask.children += 1
    if command.present & PRESENT_STOP_LOSS_PRICE:
        code, ticks = price_convert(market, command.stop_loss_price_units, command.stop_loss_price_e12)
        if code != OK:
            return code
        ask.stop_loss_price_ticks = ticks
    return int64(OK)


@kernel
def slippage_validate(command):
    """Return SLIPPAGE_OUT_OF_RANGE unless the bound is 0 … 100 %."""
    if command.slippage_bps < 0 or command.slippage_bps > SLIPPAGE_BPS_MAX:
        return int64(ResultCode.SLIPPAGE_OUT_OF_RANGE)
    return int64(OK)


@kernel
def leverage_guard_validate(state, leverage):
    """Return LEVERAGE_ABOVE_GUARD for more leverage than the owner of the account in hand allows himself."""
    account = state.accounts[state.ask.account_row]
    if account.guards & GUARD_LEVERAGE and leverage > account.leverage_most:
        return int64(ResultCode.LEVERAGE_ABOVE_GUARD)
    return int64(OK)


@kernel
def size_validate(state, lots, price_ticks, closes):
    """Return the filter that a size breaks: smallest notional (closing exempt), largest order."""
    config = state.markets[state.ask.market_row].config
    if lots > config.order_lots_max:
        return int64(ResultCode.ORDER_ABOVE_MAX)
    if not closes and price_ticks > 0 and lots * price_ticks * config.unit_e6 < config.notional_min_e6:
        return int64(ResultCode.NOTIONAL_BELOW_MIN)
    return int64(OK)


@kernel
def triggers_room_validate(state, more):
    """Return TRIGGERS_OPEN_MAX when the account may not have so many dormant orders."""
    dormant = state.account_links[state.ask.account_row].orders_dormant
    if more > 0 and dormant + more > state.venue.triggers_open_max:
        return int64(ResultCode.TRIGGERS_OPEN_MAX)
    return int64(OK)


@kernel
def orders_room_validate(state, more):
    """Return ORDERS_OPEN_MAX when the account may not have so many orders that rest or are put aside."""
    resting = state.account_links[state.ask.account_row].orders_resting
    if more > 0 and resting + more > state.venue.orders_open_max:
        return int64(ResultCode.ORDERS_OPEN_MAX)
    return int64(OK)


@kernel
def client_ids_equal(left, right):
    """Return whether two client order ids are the same words."""
    same = True
    for word in range(CLIENT_ID_WORDS):
        same = same and left[word] == right[word]
    return same


@kernel
def client_id_find(state, account_row, command):
    """Return the row of the account's live order with the command's client order id, or ROW_NONE."""
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        if client_ids_equal(state.orders[row].client_order_id, command.client_order_id):
            return row
        row = int64(state.order_links[row].next)
    return int64(ROW_NONE)


@kernel
def client_id_validate(state, command):
    """Return CLIENT_ORDER_ID_TAKEN when a live order of the account has it."""
    if command.present & PRESENT_CLIENT_ORDER_ID:
        if client_id_find(state, state.ask.account_row, command) != ROW_NONE:
            return int64(ResultCode.CLIENT_ORDER_ID_TAKEN)
    return int64(OK)


@kernel
def bracket_validate(state, entry_ticks):
    """Return TRIGGER_WRONG_SIDE unless SL < entry < TP for a buy, the reverse for a sell."""
    ask = state.ask
    if ask.take_profit_ticks != 0 and ask.side_sign * (ask.take_profit_ticks - entry_ticks) <= 0:
        return int64(ResultCode.TRIGGER_WRONG_SIDE)
    if ask.stop_loss_ticks != 0 and ask.side_sign * (entry_ticks - ask.stop_loss_ticks) <= 0:
        return int64(ResultCode.TRIGGER_WRONG_SIDE)
    return int64(OK)


@kernel
def positions_room_validate(state):
    """Return POSITIONS_OPEN_MAX when the account may open no further position."""
    links = state.account_links[state.ask.account_row]
    count = int64(links.positions_open) + int64(links.tickets_waiting)
    for market_row in range(MARKETS_CAPACITY):
        there = links.markets[market_row]
        count += int64(there.opening > 0 and there.net == ROW_NONE)
    if count >= state.venue.positions_open_max:
        return int64(ResultCode.POSITIONS_OPEN_MAX)
    return int64(OK)


@kernel
def slots_validate(state, orders_more, positions_more):
    """Return the table that is too full for what an instruction may ever need."""
    if orders_more > 0 and state.orders_table.live + orders_more > state.venue.orders_max:
        return int64(ResultCode.ORDER_SLOTS_EXHAUSTED)
    positions = state.positions_table.live + state.positions_pending + positions_more
    if positions_more > 0 and positions > state.venue.positions_max:
        return int64(ResultCode.POSITION_SLOTS_EXHAUSTED)
    return int64(OK)


@kernel
def order_named_validate(state, command):
    """
    Return the first rule that the naming of a live order breaks; fills ask.order_row.

    Codes:  FIELD_MISSING, FIELDS_EXCLUSIVE, ORDER_UNKNOWN.
    """
    ask = state.ask
    by_id = command.present & PRESENT_ORDER_ID != 0
    by_client_id = command.present & PRESENT_CLIENT_ORDER_ID != 0
    if not by_id and not by_client_id:
        return int64(ResultCode.FIELD_MISSING)
    if by_id and by_client_id:
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    if by_id:
        ask.order_row = orders.order_find(state, command.order_id)
    else:
        ask.order_row = client_id_find(state, ask.account_row, command)
    if ask.order_row == ROW_NONE or state.orders[ask.order_row].account_id != command.account:
        return int64(ResultCode.ORDER_UNKNOWN)
    return int64(OK)


@kernel
def position_validate(state, command):
    """Return POSITION_UNKNOWN unless the account has the position; fills ask.position_row and ask.market_row."""
    ask = state.ask
    ask.position_row = orders.position_find(state, command.position_id)
    if ask.position_row == ROW_NONE or state.positions[ask.position_row].account_id != command.account:
        return int64(ResultCode.POSITION_UNKNOWN)
    ask.market_row = int64(state.positions[ask.position_row].market_id) - 1
    return int64(OK)


@kernel
def side_put(state, command):
    """Fill ask.side_sign and ask.touch_ticks from the command's side."""
    ask = state.ask
    ask.side_sign = orders.side_sign(command.side)
    ask.touch_ticks = depth.touch_ticks(state.markets[ask.market_row], ask.side_sign)
