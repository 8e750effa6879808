"""May this ticket be opened, this position closed, its triggers set? Checks in the order of docs/commands.md."""

from numpy import int64

from engine.core import drafts, orders, placing, prices, taking, triggers, validate, waking
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ROW_NONE
from engine.core.validate import OK
from shared.codes import MarketState, OrderKind, PositionKind, ResultCode, Stp, Tif
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

TRIGGERS_SET = PRESENT_TAKE_PROFIT | PRESENT_STOP_LOSS
TRIGGERS_REMOVED = PRESENT_TAKE_PROFIT_NULL | PRESENT_STOP_LOSS_NULL


@kernel
def trade_create_validate(state, command):
    """
    Return the first rule that a new ticket breaks, OK if it can be opened whole; its order stands in hand.

    Writes: ask, take, steps, plan, the hand.
    Codes:  FIELD_MISSING, FIELDS_EXCLUSIVE, those of the functions called, PRICE_STALE.
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
        code = ticket_validate(state, command)
    if code == OK:
        code = validate.bracket_validate(state, ask.touch_ticks)
    if code == OK:
        code = validate.leverage_guard_validate(state, ask.leverage)
    if code == OK:
        code = taking.take_margin_judge(state)
    if code == OK:
        code = validate.positions_room_validate(state)
    ask.delayed = int64(state.markets[ask.market_row].config.taker_delay_ms > 0)
    if code == OK and ask.delayed != 0:
        code = validate.orders_room_validate(state, int64(1))
    if code == OK:
        code = validate.slots_validate(state, ask.children + ask.delayed, int64(1))
    return code


@kernel
def ticket_validate(state, command):
    """Draft the ticket's order in hand, walk for it, and return why it cannot be opened whole."""
    ask = state.ask
    placing.ticket_draft(state, command)
    if command.present & PRESENT_SLIPPAGE:
        state.orders[ORDER_IN_HAND].slippage_bps = command.slippage_bps
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    code = waking.ticket_judge(state)
    if code == OK and ask.money_e6 > 0:
        take = state.taker
        if take.capped == 0 and take.filled_lots == take.lots:
            return int64(ResultCode.ORDER_ABOVE_MAX)
        state.orders[ORDER_IN_HAND].qty_lots = take.filled_lots
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
    ask.money_e6 = 0
    if by_margin:
        ask.margin_e6 = drafts.amount_e6(command.margin_units, command.margin_e12)
        if ask.margin_e6 <= 0:
            return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
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
    Turn a margin into the most that the ticket may cost, and check the size that it buys at the touch.

    Rounds: down; ⌈N ÷ L⌉ <= M holds just when N <= M·L.
    """
    ask = state.ask
    config = state.markets[ask.market_row].config
    ask.money_e6 = ask.margin_e6 * ask.leverage
    lots = ask.money_e6 // (ask.touch_ticks * config.unit_e6)
    ask.lots = config.order_lots_max
    if lots == 0:
        return int64(ResultCode.QTY_OUT_OF_RANGE)
    return validate.size_validate(state, lots, ask.touch_ticks, False)


@kernel
def trade_close_validate(state, command):
    """
    Return the first rule that a close breaks; fills ask.position_row and ask.lots.

    Codes:  FIELDS_EXCLUSIVE, QTY_OUT_OF_RANGE, PERCENT_OUT_OF_RANGE, POSITION_UNKNOWN, QTY_NOT_ON_LOT, PRICE_STALE,
            QTY_ABOVE_POSITION, ORDERS_OPEN_MAX, ORDER_SLOTS_EXHAUSTED.
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
    code = validate.position_validate(state, command)
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
    return aside_validate(state)


@kernel
def aside_validate(state):
    """Return ORDERS_OPEN_MAX or ORDER_SLOTS_EXHAUSTED when a taker delay must put the order aside and cannot."""
    if state.markets[state.ask.market_row].config.taker_delay_ms == 0:
        return int64(OK)
    code = validate.orders_room_validate(state, int64(1))
    if code == OK:
        code = validate.slots_validate(state, int64(1), int64(0))
    return code


@kernel
def reverse_validate(state, command):
    """
    Return the first rule that turning a net position round breaks; the order of twice its size stands in hand.

    Writes: ask, take, steps, plan, the hand.
    Codes:  POSITION_UNKNOWN, POSITION_NOT_NET, MARKET_HALTED, MARKET_REDUCE_ONLY, PRICE_STALE, ORDER_ABOVE_MAX,
            FOK_UNFILLABLE, the margin's own, ORDERS_OPEN_MAX, ORDER_SLOTS_EXHAUSTED.
    """
    ask = state.ask
    code = validate.position_validate(state, command)
    if code != OK:
        return code
    position = state.positions[ask.position_row]
    if position.kind != PositionKind.NET:
        return int64(ResultCode.POSITION_NOT_NET)
    market = state.markets[ask.market_row]
    if market.state == MarketState.HALTED:
        return int64(ResultCode.MARKET_HALTED)
    if market.state == MarketState.REDUCE_ONLY:
        return int64(ResultCode.MARKET_REDUCE_ONLY)
    if not prices.fresh(state, ask.market_row):
        return int64(ResultCode.PRICE_STALE)
    lots = 2 * abs(position.lots)
    if lots > market.config.order_lots_max:
        return int64(ResultCode.ORDER_ABOVE_MAX)
    reverse_draft(state, lots)
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    code = taking.take_flags_judge(state)
    if code == OK:
        code = taking.take_margin_judge(state)
    ask.delayed = int64(market.config.taker_delay_ms > 0)
    return aside_validate(state) if code == OK else code


@kernel
def reverse_draft(state, lots):
    """Begin in hand the order that turns the position in hand round: FOK, own orders give way."""
    ask = state.ask
    position = state.positions[ask.position_row]
    side = orders.closing_side(position.lots)
    account_id = int64(position.account_id)
    orders.order_start(state, int64(ORDER_IN_HAND), ask.market_row, account_id, side, int64(OrderKind.MARKET))
    hand = state.orders[ORDER_IN_HAND]
    hand.qty_lots = lots
    hand.tif = Tif.FOK
    hand.stp = Stp.CANCEL_MAKER
    ask.price_ticks = 0
    ask.pair = 0
    ask.dormant = 0
    ask.children = 0


@kernel
def triggers_set_validate(state, command):
    """
    Return the first rule that new triggers of a position break; removing needs no fresh price.

    Codes:  FIELD_MISSING, POSITION_UNKNOWN, the prices' own, TRIGGERS_OPEN_MAX, MARKET_HALTED,
            PRICE_STALE, TRIGGER_WOULD_FIRE_IMMEDIATELY, ORDER_SLOTS_EXHAUSTED.
    """
    ask = state.ask
    if command.present & (TRIGGERS_SET | TRIGGERS_REMOVED) == 0:
        return int64(ResultCode.FIELD_MISSING)
    code = validate.position_validate(state, command)
    if code == OK:
        code = validate.triggers_convert(state, command)
    if code != OK or ask.children == 0:
        return code
    position = state.positions[ask.position_row]
    more = ask.children
    more -= int64(ask.take_profit_ticks != 0 and position.take_profit_id != 0)
    more -= int64(ask.stop_loss_ticks != 0 and position.stop_loss_id != 0)
    code = validate.triggers_room_validate(state, more)
    if code == OK and state.markets[ask.market_row].state == MarketState.HALTED:
        code = int64(ResultCode.MARKET_HALTED)
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
    side = orders.closing_side(state.positions[ask.position_row].lots)
    market = state.markets[ask.market_row]
    return triggers.trigger_met(market, side, by, triggers.trigger_above(kind, side), price_ticks)
