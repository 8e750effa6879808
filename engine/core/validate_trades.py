"""May this ticket be opened, this position closed, its triggers set? Checks in the order of docs/commands.md."""

from numpy import int64

from engine.core import execution, positions, prices, triggers, validate
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from engine.core.validate import OK
from shared.codes import MarketState, OrderKind, PositionKind, ResultCode
from shared.records import (
    PRESENT_MARGIN,
    PRESENT_PERCENT,
    PRESENT_QTY,
    PRESENT_SLIPPAGE,
    PRESENT_STOP_LOSS,
    PRESENT_STOP_LOSS_NULL,
    PRESENT_TAKE_PROFIT,
    PRESENT_TAKE_PROFIT_NULL,
)

MARGIN_UNITS_MAX = 10**9  # USDC; keeps margin × leverage inside 64 bits
TRIGGERS_SET = PRESENT_TAKE_PROFIT | PRESENT_STOP_LOSS
TRIGGERS_REMOVED = PRESENT_TAKE_PROFIT_NULL | PRESENT_STOP_LOSS_NULL


@kernel
def trade_create_validate(state, command):
    """
    Return the first rule that a new ticket breaks, OK if it can be opened whole at the touch.

    Writes: ask, plan.
    Codes:  FIELD_MISSING, FIELDS_EXCLUSIVE, those of the functions called, PRICE_STALE, SLIPPAGE_EXCEEDED.
    """
    ask = state.ask
    code = trade_units_validate(state, command)
    if code == OK and ask.lots > 0:
        code = validate.size_validate(state, ask.lots, ask.touch_ticks, False)
    if code == OK:
        code = validate.triggers_room_validate(state, ask.children)
    if code == OK and not prices.fresh(state, ask.market_row):
        code = int64(ResultCode.PRICE_STALE)
    if code == OK:
        code = validate.client_id_validate(state, command)
    if code == OK and ask.lots == 0:
        code = margin_lots_validate(state)
    if code == OK:
        worst = validate.worst_ticks(state, command, command.present & PRESENT_SLIPPAGE != 0)
        if ask.side_sign * (worst - ask.touch_ticks) < 0:
            code = int64(ResultCode.SLIPPAGE_EXCEEDED)
    if code == OK:
        code = validate.bracket_validate(state, ask.touch_ticks)
    if code == OK:
        kind = int64(PositionKind.TICKET)
        code = validate.taker_validate(state, int64(ROW_NONE), kind, command.side, ask.lots)
    if code == OK:
        code = validate.positions_room_validate(state)
    if code == OK:
        code = validate.slots_validate(state, ask.children, int64(1))
    return code


@kernel
def trade_units_validate(state, command):
    """Return the first number that is missing, out of range or off the grid; ask.lots is 0 for a size by margin."""
    ask = state.ask
    market = state.markets[ask.market_row]
    by_margin = command.present & PRESENT_MARGIN != 0
    by_qty = command.present & PRESENT_QTY != 0
    if not by_margin and not by_qty:
        return int64(ResultCode.FIELD_MISSING)
    if by_margin and by_qty:
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    validate.side_put(state, command)
    ask.price_ticks = 0
    ask.lots = 0
    if by_margin:
        if not prices.positive(command.margin_units, command.margin_e12):
            return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
        if command.margin_units >= MARGIN_UNITS_MAX or command.margin_e12 % 1_000_000 != 0:
            return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
        ask.margin_e6 = command.margin_units * 1_000_000 + command.margin_e12 // 1_000_000
    else:
        code, ask.lots = validate.qty_convert(market, command.qty_units, command.qty_e12)
        if code != OK:
            return code
    ask.leverage = command.leverage
    if command.leverage < 1 or command.leverage > market.config.leverage_max:
        return int64(ResultCode.LEVERAGE_OUT_OF_RANGE)
    code = validate.slippage_validate(command)
    if code == OK:
        code = validate.triggers_convert(state, command)
    return code


@kernel
def margin_lots_validate(state):
    """
    Turn a margin into the most lots with ⌈notional ÷ leverage⌉ <= margin at the touch, and check that size.

    Rounds: down; ⌈N ÷ L⌉ <= M holds just when N <= M·L.
    """
    ask = state.ask
    config = state.markets[ask.market_row].config
    ask.lots = ask.margin_e6 * ask.leverage // (ask.touch_ticks * config.unit_e6)
    if ask.lots == 0:
        return int64(ResultCode.QTY_OUT_OF_RANGE)
    return validate.size_validate(state, ask.lots, ask.touch_ticks, False)


@kernel
def position_validate(state, command):
    """Return POSITION_UNKNOWN unless the account has the position; fills ask.position_row and ask.market_row."""
    ask = state.ask
    ask.position_row = positions.position_find(state, command.position_id)
    if ask.position_row == ROW_NONE or state.positions[ask.position_row].account_id != command.account:
        return int64(ResultCode.POSITION_UNKNOWN)
    position = state.positions[ask.position_row]
    ask.market_row = int64(position.market_id) - 1
    return int64(OK)


@kernel
def trade_close_validate(state, command):
    """
    Return the first rule that a close breaks; fills ask.position_row and ask.lots.

    Codes:  FIELDS_EXCLUSIVE, QTY_OUT_OF_RANGE, PERCENT_OUT_OF_RANGE, POSITION_UNKNOWN, QTY_NOT_ON_LOT, PRICE_STALE,
            QTY_ABOVE_POSITION.
    Rounds: a percentage down, but at least one lot.
    """
    ask = state.ask
    by_qty = command.present & PRESENT_QTY != 0
    by_percent = command.present & PRESENT_PERCENT != 0
    if by_qty and by_percent:
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    if by_qty and not prices.positive(command.qty_units, command.qty_e12):
        return int64(ResultCode.QTY_OUT_OF_RANGE)
    if by_percent and (command.percent < 1 or command.percent > 100):
        return int64(ResultCode.PERCENT_OUT_OF_RANGE)
    code = position_validate(state, command)
    if code != OK:
        return code
    if state.markets[ask.market_row].state == MarketState.HALTED:
        return int64(ResultCode.MARKET_HALTED)
    held = abs(state.positions[ask.position_row].lots)
    ask.lots = held
    if by_qty:
        code, ask.lots = validate.qty_convert(state.markets[ask.market_row], command.qty_units, command.qty_e12)
        if code != OK:
            return code
    elif by_percent:
        ask.lots = max(int64(1), held * command.percent // 100)
    if not prices.fresh(state, ask.market_row):
        return int64(ResultCode.PRICE_STALE)
    if ask.lots > held:
        return int64(ResultCode.QTY_ABOVE_POSITION)
    return int64(OK)


@kernel
def triggers_set_validate(state, command):
    """
    Return the first rule that new triggers of a position break; removing needs no fresh price.

    Codes:  FIELD_MISSING, POSITION_UNKNOWN, the prices' own, TRIGGERS_OPEN_MAX, PRICE_STALE,
            TRIGGER_WOULD_FIRE_IMMEDIATELY, ORDER_SLOTS_EXHAUSTED.
    """
    ask = state.ask
    if command.present & (TRIGGERS_SET | TRIGGERS_REMOVED) == 0:
        return int64(ResultCode.FIELD_MISSING)
    code = position_validate(state, command)
    if code == OK:
        code = validate.triggers_convert(state, command)
    if code != OK or ask.children == 0:
        return code
    if state.markets[ask.market_row].state == MarketState.HALTED:
        return int64(ResultCode.MARKET_HALTED)
    position = state.positions[ask.position_row]
    more = ask.children
    more -= int64(ask.take_profit_ticks != 0 and position.take_profit_id != 0)
    more -= int64(ask.stop_loss_ticks != 0 and position.stop_loss_id != 0)
    code = validate.triggers_room_validate(state, more)
    if code == OK and not prices.fresh(state, ask.market_row):
        code = int64(ResultCode.PRICE_STALE)
    if code == OK and (
        child_met(state, int64(OrderKind.TAKE_PROFIT_MARKET), command.take_profit_by, ask.take_profit_ticks)
        or child_met(state, int64(OrderKind.STOP_MARKET), command.stop_loss_by, ask.stop_loss_ticks)
    ):
        code = int64(ResultCode.TRIGGER_WOULD_FIRE_IMMEDIATELY)
    if code == OK:
        code = validate.slots_validate(state, more, int64(0))
    return code


@kernel
def child_met(state, kind, by, price_ticks):
    """Return whether an SL or TP of the position in hand would fire at once; price 0 is none."""
    ask = state.ask
    if price_ticks == 0:
        return False
    side = execution.closing_side(state.positions[ask.position_row].lots)
    market = state.markets[ask.market_row]
    return triggers.trigger_met(market, side, by, triggers.trigger_above(kind, side), price_ticks)
