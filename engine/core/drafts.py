"""
A command's order as a row in hand: its texts turned into the market's own units, its names into codes.

Writes the rows in hand alone. The order of checks is that of docs/commands.md.
"""

from numpy import int64

from engine.core import guards, limits, orders, prices, taking, validate
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ORDER_LEG, PRICE_TICKS_MAX
from engine.core.validate_shapes import dormant_kind, has_trigger
from shared.codes import OrderKind, ResultCode, Tif, TriggerBy
from shared.records import (
    CLIENT_ID_WORDS,
    PRESENT_ACTIVATION,
    PRESENT_CLOSE_PERCENT,
    PRESENT_EXPIRES,
    PRESENT_MARKET,
    PRESENT_POSITION_ID,
    PRESENT_PRICE,
    PRESENT_QTY,
    PRESENT_QUOTE_QTY,
    PRESENT_REDUCE_ONLY,
    PRESENT_SIDE,
    PRESENT_SLIPPAGE,
    PRESENT_TRAIL_PPM,
    PRESENT_TRAIL_TICKS,
)

OK = int(ResultCode.OK)
TIME_MS_MAX = 4_102_444_800_000  # 2100-01-01


@kernel
def order_draft(state, row, command, side, reduce_only, stp):
    """Begin a command's order in a row in hand: its kind, flags, TIF, client id; its numbers follow."""
    ask = state.ask
    account_id = state.accounts[ask.account_row].account_id
    orders.order_start(state, row, ask.market_row, account_id, side, command.order_kind)
    order = state.orders[row]
    order.reduce_only = reduce_only
    order.post_only = command.post_only
    order.stp = stp if stp != 0 else guards.stp(state, ask.account_row)
    order.tif = command.tif
    if order.tif == Tif.NONE:
        order.tif = int64(Tif.GTC) if orders.limit_like(command.order_kind) else int64(Tif.IOC)
    if dormant_kind(command.order_kind):
        order.trigger_by = command.trigger_by if command.trigger_by != 0 else int64(TriggerBy.QUOTE)
    if reduce_only != 0 and command.order_kind != OrderKind.MARKET:
        order.slippage_bps = taking.SLIPPAGE_FREE
    for word in range(CLIENT_ID_WORDS):
        order.client_order_id[word] = command.client_order_id[word]


@kernel
def sizes_convert(state, command):
    """Return the first rule that an order's size breaks; fills ask.lots or ask.money_e6, or the hand's percentage."""
    ask = state.ask
    ask.lots = 0
    ask.money_e6 = 0
    if command.present & PRESENT_QTY:
        code, ask.lots = validate.qty_convert(state.markets[ask.market_row], command.qty_units, command.qty_e12)
        return code
    if command.present & PRESENT_QUOTE_QTY:
        ask.money_e6 = amount_e6(command.quote_qty_units, command.quote_qty_e12)
        return int64(OK) if ask.money_e6 > 0 else int64(ResultCode.AMOUNT_OUT_OF_RANGE)
    if command.close_percent < 1 or command.close_percent > 100:
        return int64(ResultCode.PERCENT_OUT_OF_RANGE)
    state.orders[ORDER_IN_HAND].close_percent = command.close_percent
    return int64(OK)


@kernel
def amount_e6(units, e12):
    """Return an amount in micro-USDC, signed; 0 when it is zero, too large, or finer than six decimals."""
    if units >= limits.AMOUNT_UNITS_MAX or units <= -limits.AMOUNT_UNITS_MAX or e12 % 1_000_000 != 0:
        return int64(0)
    return units * 1_000_000 + e12 // 1_000_000


@kernel
def numbers_convert(state, row, command):
    """
    Return the first number of an order, beside its size, that is out of range or off the grid; fills the row.

    Codes:  the prices' own, TRAIL_OUT_OF_RANGE, EXPIRY_IN_PAST, SLIPPAGE_OUT_OF_RANGE.
    """
    order = state.orders[row]
    market = state.markets[state.ask.market_row]
    present = command.present
    if present & PRESENT_PRICE:
        code, ticks = validate.price_convert(market, command.price_units, command.price_e12)
        if code != OK:
            return code
        order.price_ticks = ticks
    if has_trigger(command.order_kind):
        code, ticks = validate.price_convert(market, command.price_trigger_units, command.price_trigger_e12)
        if code != OK:
            return code
        order.price_trigger_ticks = ticks
    if present & PRESENT_TRAIL_TICKS:
        if command.trail_ticks < 1 or command.trail_ticks > PRICE_TICKS_MAX:
            return int64(ResultCode.TRAIL_OUT_OF_RANGE)
        order.trail_ticks = command.trail_ticks
    if present & PRESENT_TRAIL_PPM:
        if command.trail_ppm < 1 or command.trail_ppm >= limits.PPM:
            return int64(ResultCode.TRAIL_OUT_OF_RANGE)
        order.trail_ppm = command.trail_ppm
    if present & PRESENT_ACTIVATION:
        code, ticks = validate.price_convert(market, command.price_activation_units, command.price_activation_e12)
        if code != OK:
            return code
        order.price_activation_ticks = ticks
    if present & PRESENT_EXPIRES:
        if command.expires_ms > TIME_MS_MAX or command.expires_ms * 1000 <= state.header.log_time_us:
            return int64(ResultCode.EXPIRY_IN_PAST)
        order.expires_us = command.expires_ms * 1000
    if present & PRESENT_SLIPPAGE:
        code = validate.slippage_validate(command)
        if code != OK:
            return code
        order.slippage_bps = command.slippage_bps
    return int64(OK)


@kernel
def leg_differs(state, command, leg):
    """Return whether what an OCO's other leg states of itself is not the first leg's: market, side, size, position."""
    ask = state.ask
    if leg.present & PRESENT_MARKET and prices.market_find(state, leg.market) != ask.market_row:
        return True
    if leg.present & PRESENT_SIDE and leg.side != command.side:
        return True
    if leg.present & PRESENT_REDUCE_ONLY and leg.reduce_only != command.reduce_only:
        return True
    if leg.present & PRESENT_POSITION_ID:
        if command.present & PRESENT_POSITION_ID == 0 or leg.position_id != command.position_id:
            return True
    if leg.present & PRESENT_QTY:
        if command.present & PRESENT_CLOSE_PERCENT:
            return True
        code, lots = validate.qty_convert(state.markets[ask.market_row], leg.qty_units, leg.qty_e12)
        return code != OK or lots != ask.lots
    return False


@kernel
def leg_convert(state, command, leg):
    """Begin an OCO's other leg in hand and return the first rule that its numbers break, or OCO_LEGS_DIFFER."""
    stp = leg.stp if leg.stp != 0 else command.stp
    order_draft(state, int64(ORDER_LEG), leg, command.side, command.reduce_only, stp)
    code = numbers_convert(state, int64(ORDER_LEG), leg)
    if code == OK and leg_differs(state, command, leg):
        code = int64(ResultCode.OCO_LEGS_DIFFER)
    return code
