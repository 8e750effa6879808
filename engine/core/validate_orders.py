"""
May this order be placed? Checks in the order of docs/commands.md; writes only the records and rows in hand.

An order that passes stands in ORDER_IN_HAND (its other leg in ORDER_LEG), its walk in `taker` and `steps`.
"""

from numpy import int64

from engine.core import drafts, orders, prices, reserves, taking, triggers, validate, waking
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ORDER_LEG, ROW_NONE
from engine.core.validate_shapes import dormant_kind, immediate, shape_validate
from shared.codes import Liquidity, OrderKind, ResultCode
from shared.records import PRESENT_CLIENT_ORDER_ID, PRESENT_OCO, PRESENT_POSITION_ID, PRESENT_TPSL

OK = int(ResultCode.OK)


@kernel
def order_place_validate(state, command, parts):
    """
    Return the first rule that an order breaks, OK if it may be placed.

    Shapes: parts COMMAND[n]; an OCO's other leg is parts[command.parts_first].
    Writes: ask, take, steps, plan, the rows in hand.
    """
    ask = state.ask
    ask.pair = int64(command.present & PRESENT_OCO != 0)
    code = shape_validate(command, parts)
    if code == OK:
        code = order_units_validate(state, command, parts)
    if code == OK:
        code = order_filters_validate(state, command)
    if code == OK:
        code = order_fresh_validate(state)
    if code == OK:
        code = client_ids_validate(state, command, parts)
    if code == OK and ask.money_e6 > 0:
        code = money_lots_validate(state)
    if code == OK and command.reduce_only != 0:
        code = order_position_validate(state, command)
    if code == OK:
        code = order_flags_validate(state)
    if code == OK:
        code = order_margin_validate(state)
    return code


@kernel
def order_units_validate(state, command, parts):
    """Return the first number that is out of range or off the grid; fills the rows in hand and ask."""
    ask = state.ask
    validate.side_put(state, command)
    drafts.order_draft(state, int64(ORDER_IN_HAND), command, command.side, command.reduce_only, command.stp)
    state.orders[ORDER_IN_HAND].tpsl = command.tpsl
    if command.present & PRESENT_TPSL == 0:
        state.orders[ORDER_IN_HAND].tpsl = validate.TPSL_DEFAULT
    code = drafts.sizes_convert(state, command)
    if code == OK:
        code = drafts.numbers_convert(state, int64(ORDER_IN_HAND), command)
    if code == OK:
        code = validate.triggers_convert(state, command)
    if code == OK and ask.pair != 0:
        code = drafts.leg_convert(state, command, parts[command.parts_first])
    hand = state.orders[ORDER_IN_HAND]
    ask.price_ticks = int64(hand.price_ticks)
    hand.qty_lots = ask.lots
    hand.money_e6 = ask.money_e6
    if ask.pair != 0:
        state.orders[ORDER_LEG].qty_lots = ask.lots
        state.orders[ORDER_LEG].close_percent = hand.close_percent
    return code


@kernel
def order_value_ticks(state, row):
    """Return the price that stands for an order: its limit, its trigger, or the touch."""
    order = state.orders[row]
    if orders.limit_like(order.kind):
        return int64(order.price_ticks)
    if order.price_trigger_ticks != 0:
        return int64(order.price_trigger_ticks)
    return state.ask.touch_ticks


@kernel
def order_closes(state, row):
    """Return whether an order only closes: reduce-only, or, if it waits for nothing, within the opposite position."""
    order = state.orders[row]
    if order.reduce_only != 0:
        return True
    if dormant_kind(order.kind):
        return False
    return state.ask.lots <= closable_lots(state, row)


@kernel
def limit_crosses(state, row):
    """Return whether a limit reaches the outside touch; a market order always does."""
    order = state.orders[row]
    if order.kind != OrderKind.LIMIT:
        return True
    touch_ticks = state.ask.touch_ticks
    return touch_ticks > 0 and state.ask.side_sign * (int64(order.price_ticks) - touch_ticks) >= 0


@kernel
def closable_lots(state, row):
    """Return how many lots an order would close: of the opposite position if it takes, of its uncovered rest if not."""
    ask = state.ask
    lots = reserves.net_lots(state, ask.account_row, ask.market_row)
    if limit_crosses(state, row):
        return max(int64(0), -lots * ask.side_sign)
    side = int64(state.orders[row].side)
    return reserves.cover_left_lots(state, ask.account_row, ask.market_row, side, lots, int64(ROW_NONE))


@kernel
def order_filters_validate(state, command):
    """Return the market filter that an order, or its other leg, breaks."""
    ask = state.ask
    config = state.markets[ask.market_row].config
    if ask.lots > config.order_lots_max:
        return int64(ResultCode.ORDER_ABOVE_MAX)
    for row in (int64(ORDER_IN_HAND), int64(ORDER_LEG)):
        if (row == ORDER_IN_HAND or ask.pair != 0) and ask.lots > 0 and not order_closes(state, row):
            price_ticks = order_value_ticks(state, row)
            if price_ticks > 0 and ask.lots * price_ticks * config.unit_e6 < config.notional_min_e6:
                return int64(ResultCode.NOTIONAL_BELOW_MIN)
    dormant = ask.children
    for row in (int64(ORDER_IN_HAND), int64(ORDER_LEG)):
        if row == ORDER_IN_HAND or ask.pair != 0:
            order = state.orders[row]
            dormant += int64(dormant_kind(order.kind))
            if order.kind == OrderKind.LIMIT:
                if waking.limit_outside_band(state.markets[ask.market_row], ask.side_sign, int64(order.price_ticks)):
                    return int64(ResultCode.PRICE_OUTSIDE_BAND)
                waits = config.liquidity == Liquidity.BOOK or not limit_crosses(state, row)
                full = state.account_links[ask.account_row].orders_resting >= state.venue.orders_open_max
                if waits and full and not immediate(order.tif):
                    return int64(ResultCode.ORDERS_OPEN_MAX)
    return validate.triggers_room_validate(state, dormant)


@kernel
def order_fresh_validate(state):
    """Return PRICE_STALE when the market is not fresh, or a trailing stop's price has never come."""
    ask = state.ask
    if not prices.fresh(state, ask.market_row):
        return int64(ResultCode.PRICE_STALE)
    for row in (int64(ORDER_IN_HAND), int64(ORDER_LEG)):
        if row == ORDER_IN_HAND or ask.pair != 0:
            if state.orders[row].kind == OrderKind.TRAILING_STOP and source_now_ticks(state, row) <= 0:
                return int64(ResultCode.PRICE_STALE)
    return int64(OK)


@kernel
def source_now_ticks(state, row):
    """Return the present price of what an order's trigger watches; 0 while there is none."""
    order = state.orders[row]
    return triggers.source_ticks(state.markets[state.ask.market_row], order.side, order.trigger_by)


@kernel
def client_ids_validate(state, command, parts):
    """Return CLIENT_ORDER_ID_TAKEN when a live order of the account has one of the ids, or both legs the same."""
    code = validate.client_id_validate(state, command)
    if code == OK and state.ask.pair != 0:
        leg = parts[command.parts_first]
        code = validate.client_id_validate(state, leg)
        if code == OK and leg.present & command.present & PRESENT_CLIENT_ORDER_ID:
            if validate.client_ids_equal(leg.client_order_id, command.client_order_id):
                code = int64(ResultCode.CLIENT_ORDER_ID_TAKEN)
    return code


@kernel
def money_lots_validate(state):
    """Turn an order's money into the most lots it buys at the touch, and check that size."""
    ask = state.ask
    config = state.markets[ask.market_row].config
    ask.lots = ask.money_e6 // (ask.touch_ticks * config.unit_e6)
    state.orders[ORDER_IN_HAND].qty_lots = ask.lots
    if ask.lots == 0:
        return int64(ResultCode.QTY_OUT_OF_RANGE)
    closes = ask.lots <= closable_lots(state, int64(ORDER_IN_HAND)) or state.orders[ORDER_IN_HAND].reduce_only != 0
    return validate.size_validate(state, ask.lots, ask.touch_ticks, closes)


@kernel
def order_position_validate(state, command):
    """
    Return the rule that a reduce-only order breaks with the position it names; fits its size to it.

    Codes:  POSITION_UNKNOWN, REDUCE_ONLY_WOULD_INCREASE.
    """
    ask = state.ask
    position_row = int64(state.account_links[ask.account_row].markets[ask.market_row].net)
    if command.present & PRESENT_POSITION_ID:
        position_row = orders.position_find(state, command.position_id)
        position = state.positions[position_row]
        other = position.account_id != state.accounts[ask.account_row].account_id
        if position_row == ROW_NONE or other or position.market_id != ask.market_row + 1:
            return int64(ResultCode.POSITION_UNKNOWN)
    position = state.positions[position_row]
    if position.lots * ask.side_sign >= 0:
        return int64(ResultCode.REDUCE_ONLY_WOULD_INCREASE)
    held = abs(position.lots)
    for row in (int64(ORDER_IN_HAND), int64(ORDER_LEG)):
        if row == ORDER_IN_HAND or ask.pair != 0:
            order = state.orders[row]
            order.position_id = position.position_id
            if not dormant_kind(order.kind):
                if order.close_percent != 0:
                    order.qty_lots = max(int64(1), held * int64(order.close_percent) // 100)
                order.qty_lots = min(order.qty_lots, held)
    return int64(OK)


@kernel
def order_flags_validate(state):
    """Return the rule of room, flag or trigger that an order breaks; walks the one leg that executes now, if any."""
    ask = state.ask
    ask.dormant = int64(dormant_kind(state.orders[ORDER_IN_HAND].kind))
    code = int64(OK)
    if ask.dormant == 0:
        code = row_walk_validate(state, int64(ORDER_IN_HAND))
    elif ask.pair != 0 and not dormant_kind(state.orders[ORDER_LEG].kind):
        code = row_walk_validate(state, int64(ORDER_LEG))
    if code == OK:
        code = row_flags_validate(state, int64(ORDER_IN_HAND))
    if code == OK and ask.children > 0:
        code = validate.bracket_validate(state, order_value_ticks(state, int64(ORDER_IN_HAND)))
    if code == OK and ask.pair != 0:
        code = row_flags_validate(state, int64(ORDER_LEG))
    return code


@kernel
def row_walk_validate(state, row):
    """Walk for the leg that executes now, and return REDUCE_ONLY_WOULD_INCREASE when it finds nothing to reduce."""
    taking.take_load(state, row, int64(ROW_NONE))
    return taking.take_walk(state)


@kernel
def row_flags_validate(state, row):
    """Return the flag or trigger rule that one leg breaks, whose walk is done if it executes now."""
    ask = state.ask
    order = state.orders[row]
    if order.kind == OrderKind.TRAILING_STOP:
        return int64(OK)
    if dormant_kind(order.kind):
        above = triggers.trigger_above(order.kind, order.side)
        market = state.markets[ask.market_row]
        if triggers.trigger_met(market, order.side, order.trigger_by, above, int64(order.price_trigger_ticks)):
            return int64(ResultCode.TRIGGER_WOULD_FIRE_IMMEDIATELY)
        return int64(OK)
    code = taking.take_flags(state)
    if code == OK and ask.pair != 0 and (state.taker.steps_count > 0 or state.taker.cut != 0):
        code = int64(ResultCode.OCO_LEG_WOULD_TAKE)
    return code


@kernel
def order_margin_validate(state):
    """Return the margin rule, limit or table that stands against an order; fills ask.takes and ask.delayed."""
    ask = state.ask
    take = state.taker
    order = state.orders[ORDER_IN_HAND]
    waits = ask.dormant != 0 or ask.pair != 0
    executes = ask.dormant == 0 or (ask.pair != 0 and state.orders[ORDER_LEG].kind == OrderKind.LIMIT)
    code = int64(OK)
    if executes:
        code = taking.take_margin_judge(state)
    ask.delayed = 0
    if not waits and take.filled_lots > 0:
        ask.delayed = int64(state.markets[ask.market_row].config.taker_delay_ms > 0)
    rests = int64(ask.dormant != 0 or ask.delayed != 0 or take.rest_lots > 0)
    lives = rests != 0 or take.filled_lots > 0
    opens = order.reduce_only == 0 and reserves.opens_first(state, ask.account_row, ask.market_row)
    opens = opens and (rests != 0 or take.opened_lots > 0)
    if code == OK and opens:
        code = validate.positions_room_validate(state)
    if code == OK and ask.delayed != 0:
        code = validate.orders_room_validate(state, int64(1))
    if code == OK:
        more = rests + ask.pair + (ask.children if lives else int64(0))
        code = validate.slots_validate(state, more, int64(opens))
    return code
