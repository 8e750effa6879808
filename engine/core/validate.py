"""
May this command run? What every operation shares: the envelope, conversions to the market's units, filters, limits.

Reads the state and writes only the two records in hand (`ask`, `plan`). The order of checks is that of
docs/commands.md: the first broken rule wins.
"""

from numpy import int64

from engine.core import execution, limits, margin, matching, orders, prices, tables
from engine.core.integers import decimal_steps
from engine.core.kernel import kernel
from engine.core.limits import PRICE_TICKS_MAX, ROW_NONE
from shared.codes import ACCOUNT_FIRST, MarketState, Op, PositionKind, ResultCode
from shared.records import (
    CLIENT_ID_WORDS,
    MARKETS_CAPACITY,
    PRESENT_CLIENT_ORDER_ID,
    PRESENT_MARKET,
    PRESENT_STOP_LOSS,
    PRESENT_TAKE_PROFIT,
)

OK = int(ResultCode.OK)
SLIPPAGE_BPS_MAX = 10_000


@kernel
def envelope_validate(state, command):
    """
    Return the first rule an instruction breaks before its own operation is looked at.

    Writes: ask.account_row, ask.market_row.
    Codes:  INSTRUCTION_LATE, INSTRUCTION_EARLY, ACCOUNT_UNKNOWN, ACCOUNT_FROZEN, MARKET_UNKNOWN, MARKET_HALTED,
            MARKET_REDUCE_ONLY, the types' own.
    """
    now_us = state.header.log_time_us
    if now_us - command.ts_us > limits.INSTRUCTION_LATE_US:
        return int64(ResultCode.INSTRUCTION_LATE)
    if command.ts_us - now_us > limits.INSTRUCTION_LATE_US:
        return int64(ResultCode.INSTRUCTION_EARLY)
    ask = state.ask
    if command.op != Op.ACCOUNT_OPEN:
        if command.account < ACCOUNT_FIRST or command.account >= state.venue.account_next:
            return int64(ResultCode.ACCOUNT_UNKNOWN)
        ask.account_row = tables.account_row(command.account)
        if state.accounts[ask.account_row].frozen != 0:
            return int64(ResultCode.ACCOUNT_FROZEN)
    ask.market_row = prices.MARKET_NONE
    if command.present & PRESENT_MARKET:
        ask.market_row = prices.market_find(state, command.market)
        if ask.market_row == prices.MARKET_NONE:
            return int64(ResultCode.MARKET_UNKNOWN)
        if command.op == Op.ORDER_PLACE or command.op == Op.TRADE_CREATE:
            market_state = state.markets[ask.market_row].state
            if market_state == MarketState.HALTED:
                return int64(ResultCode.MARKET_HALTED)
            if market_state == MarketState.REDUCE_ONLY:
                return int64(ResultCode.MARKET_REDUCE_ONLY)
    return command.code_late


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
    ask.stop_loss_ticks = 0
    ask.children = 0
    if command.present & PRESENT_TAKE_PROFIT:
        code, ticks = price_convert(market, command.take_profit_units, command.take_profit_e12)
        if code != OK:
            return code
        ask.take_profit_ticks = ticks
        ask.children += 1
    if command.present & PRESENT_STOP_LOSS:
        code, ticks = price_convert(market, command.stop_loss_units, command.stop_loss_e12)
        if code != OK:
            return code
        ask.stop_loss_ticks = ticks
        ask.children += 1
    return int64(OK)


@kernel
def slippage_validate(command):
    """Return SLIPPAGE_OUT_OF_RANGE unless the bound is 0 … 100 %."""
    if command.slippage_bps < 0 or command.slippage_bps > SLIPPAGE_BPS_MAX:
        return int64(ResultCode.SLIPPAGE_OUT_OF_RANGE)
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
    if state.account_links[state.ask.account_row].orders_dormant + more > state.venue.triggers_open_max:
        return int64(ResultCode.TRIGGERS_OPEN_MAX)
    return int64(OK)


@kernel
def client_id_find(state, account_row, command):
    """Return the row of the account's live order with the command's client order id, or ROW_NONE."""
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        own = state.orders[row].client_order_id
        same = True
        for word in range(CLIENT_ID_WORDS):
            same = same and own[word] == command.client_order_id[word]
        if same:
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
def worst_ticks(state, command, slippage_given):
    """Return the worst price of a market order: the slippage bound, and `price` if it is tighter."""
    ask = state.ask
    slippage_bps = command.slippage_bps if slippage_given else int64(limits.SLIPPAGE_DEFAULT_BPS)
    worst = matching.price_worst_ticks(state.markets[ask.market_row], ask.side_sign, slippage_bps)
    if ask.price_ticks != 0 and ask.side_sign * (ask.price_ticks - worst) < 0:
        return ask.price_ticks
    return worst


@kernel
def taker_validate(state, position_row, kind, side, lots):
    """
    Plan the instruction in hand as one taker fill and return the margin rule or limit that it breaks.

    Units:  kind is PositionKind of what it fills; the net position counts with the resting orders of its side.

    Writes: plan.
    Codes:  LEVERAGE_ABOVE_TIER, MARGIN_INSUFFICIENT, WOULD_BE_LIQUIDATED, NOTIONAL_ABOVE_MAX,
            OPEN_INTEREST_ABOVE_MAX.
    """
    ask = state.ask
    market = state.markets[ask.market_row]
    config = market.config
    execution.taker_plan(
        state,
        ask.market_row,
        ask.account_row,
        position_row,
        ask.side_sign,
        lots,
        ask.touch_ticks,
        config.fee_taker_ppm,
        ask.leverage,
    )
    plan = state.plan
    if plan.open_lots == 0:
        return int64(OK)
    held = abs(plan.lots_after)
    if kind == int64(PositionKind.NET):
        held += orders.resting_lots(state, ask.account_row, ask.market_row, side)
    if ask.leverage > margin.leverage_max(config, held * ask.touch_ticks * config.unit_e6):
        return int64(ResultCode.LEVERAGE_ABOVE_TIER)
    if plan.free_after_e6 < 0:
        return int64(ResultCode.MARGIN_INSUFFICIENT)
    if execution.plan_liquidatable(state, ask.market_row):
        return int64(ResultCode.WOULD_BE_LIQUIDATED)
    return exposure_validate(state, kind, held, plan.open_lots)


@kernel
def exposure_validate(state, kind, held_lots, open_lots):
    """
    Return the limit that an exposure in a market breaks: the account's, then the market's open interest.

    Units:  held_lots is the ticket, or the net position with the resting orders of its side; the account's other
            positions in the market are added here.
    """
    ask = state.ask
    market = state.markets[ask.market_row]
    links = state.account_links[ask.account_row]
    exposure_lots = held_lots + links.ticket_lots[ask.market_row]
    net_row = int64(links.net[ask.market_row])
    if kind == int64(PositionKind.TICKET) and net_row != ROW_NONE:
        exposure_lots += abs(state.positions[net_row].lots)
    if exposure_lots > market.config.order_lots_max:
        return int64(ResultCode.NOTIONAL_ABOVE_MAX)
    waiting_lots = state.market_links[ask.market_row].uncovered_lots
    if market.open_interest_lots + waiting_lots + open_lots > market.config.open_interest_lots_max:
        return int64(ResultCode.OPEN_INTEREST_ABOVE_MAX)
    return int64(OK)


@kernel
def positions_room_validate(state):
    """Return POSITIONS_OPEN_MAX when the account may open no further position."""
    links = state.account_links[state.ask.account_row]
    count = int64(links.positions_open)
    for market_row in range(MARKETS_CAPACITY):
        count += int64(links.resting[market_row] > 0 and links.net[market_row] == ROW_NONE)
    if count >= state.venue.positions_open_max:
        return int64(ResultCode.POSITIONS_OPEN_MAX)
    return int64(OK)


@kernel
def slots_validate(state, orders_more, positions_more):
    """Return the table that is too full for what an instruction may ever need."""
    if state.orders_table.live + orders_more > state.venue.orders_max:
        return int64(ResultCode.ORDER_SLOTS_EXHAUSTED)
    if state.positions_table.live + state.positions_pending + positions_more > state.venue.positions_max:
        return int64(ResultCode.POSITION_SLOTS_EXHAUSTED)
    return int64(OK)


@kernel
def side_put(state, command):
    """Fill ask.side_sign and ask.touch_ticks from the command's side."""
    ask = state.ask
    ask.side_sign = orders.side_sign(command.side)
    ask.touch_ticks = matching.touch_ticks(state.markets[ask.market_row], ask.side_sign)
