"""May this order be placed or cancelled? Checks in the order of docs/commands.md; reads, and fills `ask`."""

from numpy import int64

from engine.core import execution, margin, matching, orders, prices, validate
from engine.core.kernel import kernel
from engine.core.limits import LEVERAGE_DEFAULT, ROW_NONE
from engine.core.validate import OK
from shared.codes import OrderKind, PositionKind, ResultCode, Tif
from shared.records import PRESENT_CLIENT_ORDER_ID, PRESENT_ORDER_ID, PRESENT_PRICE, PRESENT_SLIPPAGE


@kernel
def order_place_validate(state, command):
    """
    Return the first rule that an order breaks, OK if it may be placed.

    Writes: ask, plan.
    Codes:  those of the functions called, in their order.
    """
    code = order_shape_validate(command)
    if code == OK:
        code = order_units_validate(state, command)
    if code == OK:
        code = order_filters_validate(state, command)
    if code == OK and not prices.fresh(state, state.ask.market_row):
        code = int64(ResultCode.PRICE_STALE)
    if code == OK:
        code = validate.client_id_validate(state, command)
    if code == OK:
        code = order_flags_validate(state, command)
    if code == OK:
        code = order_margin_validate(state, command)
    return code


@kernel
def order_shape_validate(command):
    """Return FIELD_MISSING or FIELDS_EXCLUSIVE for keys that do not go together."""
    if command.order_kind == OrderKind.LIMIT:
        if not command.present & PRESENT_PRICE:
            return int64(ResultCode.FIELD_MISSING)
        if command.present & PRESENT_SLIPPAGE or (command.post_only != 0 and command.tif > Tif.GTC):
            return int64(ResultCode.FIELDS_EXCLUSIVE)
    elif command.post_only != 0 or command.tif == Tif.GTC:
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    return int64(OK)


@kernel
def order_units_validate(state, command):
    """Return the first number that is out of range or off the grid; fills ask."""
    ask = state.ask
    market = state.markets[ask.market_row]
    validate.side_put(state, command)
    code, ask.lots = validate.qty_convert(market, command.qty_units, command.qty_e12)
    ask.price_ticks = 0
    if code == OK and command.present & PRESENT_PRICE:
        code, ask.price_ticks = validate.price_convert(market, command.price_units, command.price_e12)
    if code == OK:
        code = validate.slippage_validate(command)
    if code == OK:
        code = validate.triggers_convert(state, command)
    return code


@kernel
def order_filters_validate(state, command):
    """Return the market filter that an order breaks."""
    ask = state.ask
    market = state.markets[ask.market_row]
    limit = command.order_kind == OrderKind.LIMIT
    crosses = not limit or ask.side_sign * (ask.price_ticks - ask.touch_ticks) >= 0
    closes = ask.lots <= closable_lots(state, command, crosses)
    price_ticks = ask.price_ticks if limit else ask.touch_ticks
    code = validate.size_validate(state, ask.lots, price_ticks, closes)
    if code != OK:
        return code
    if limit and execution.limit_outside_band(market, ask.side_sign, ask.price_ticks):
        return int64(ResultCode.PRICE_OUTSIDE_BAND)
    rests = limit and not crosses and command.tif <= Tif.GTC
    if rests and state.account_links[ask.account_row].orders_resting >= state.venue.orders_open_max:
        return int64(ResultCode.ORDERS_OPEN_MAX)
    return validate.triggers_room_validate(state, ask.children)


@kernel
def closable_lots(state, command, crosses):
    """Return how many lots an order would close: of the opposite position if it takes, of its uncovered rest if not."""
    ask = state.ask
    if not crosses:
        return orders.cover_left_lots(state, ask.account_row, ask.market_row, command.side)
    net_row = int64(state.account_links[ask.account_row].net[ask.market_row])
    if net_row == ROW_NONE:
        return int64(0)
    return max(int64(0), -state.positions[net_row].lots * ask.side_sign)


@kernel
def order_flags_validate(state, command):
    """Return the flag or trigger rule that an order breaks; fills ask.takes and, for a market order, its bound."""
    ask = state.ask
    if command.order_kind == OrderKind.LIMIT:
        ask.takes = int64(ask.side_sign * (ask.price_ticks - ask.touch_ticks) >= 0)
        if ask.takes == 1 and command.post_only != 0:
            return int64(ResultCode.POST_ONLY_WOULD_TAKE)
        entry_ticks = ask.price_ticks
    else:
        ask.price_ticks = validate.worst_ticks(state, command, command.present & PRESENT_SLIPPAGE != 0)
        ask.takes = int64(ask.side_sign * (ask.price_ticks - ask.touch_ticks) >= 0)
        entry_ticks = ask.touch_ticks
    if ask.takes == 0 and command.tif == Tif.FOK:
        return int64(ResultCode.FOK_UNFILLABLE)
    return validate.bracket_validate(state, entry_ticks)


@kernel
def order_margin_validate(state, command):
    """Return the margin rule, limit or table that stands against an order; fills ask.reserve_e6 or the plan."""
    ask = state.ask
    links = state.account_links[ask.account_row]
    market = state.markets[ask.market_row]
    net_row = int64(links.net[ask.market_row])
    ask.position_row = net_row
    ask.leverage = min(int64(LEVERAGE_DEFAULT), market.config.leverage_max)
    if net_row != ROW_NONE:
        ask.leverage = int64(state.positions[net_row].leverage)
    rests = ask.takes == 0 and command.order_kind == OrderKind.LIMIT and command.tif <= Tif.GTC
    if ask.takes == 0 and not rests:
        return int64(OK)
    if ask.takes == 1:
        code = validate.taker_validate(state, net_row, int64(PositionKind.NET), command.side, ask.lots)
    else:
        code = rest_validate(state, command)
    opens = net_row == ROW_NONE and links.resting[ask.market_row] == 0
    if code == OK and opens:
        code = validate.positions_room_validate(state)
    if code == OK:
        code = validate.slots_validate(state, int64(rests) + ask.children, int64(opens))
    return code


@kernel
def rest_validate(state, command):
    """Return the margin rule or limit that a resting order breaks; fills ask.reserve_e6."""
    ask = state.ask
    market = state.markets[ask.market_row]
    config = market.config
    net_row = ask.position_row
    uncovered = ask.lots - min(ask.lots, orders.cover_left_lots(state, ask.account_row, ask.market_row, command.side))
    ask.uncovered_lots = uncovered
    ask.reserve_e6 = matching.reserve_e6(market, uncovered, ask.price_ticks, ask.leverage, config.fee_taker_ppm)
    held = orders.resting_lots(state, ask.account_row, ask.market_row, command.side)
    if net_row != ROW_NONE:
        held += max(int64(0), state.positions[net_row].lots * ask.side_sign)
    if ask.leverage > margin.leverage_max(config, (held + ask.lots) * ask.price_ticks * config.unit_e6):
        return int64(ResultCode.LEVERAGE_ABOVE_TIER)
    if ask.reserve_e6 > state.accounts[ask.account_row].free_e6:
        return int64(ResultCode.MARGIN_INSUFFICIENT)
    return validate.exposure_validate(state, int64(PositionKind.NET), held + ask.lots, uncovered)


@kernel
def order_cancel_validate(state, command):
    """
    Return the first rule that a cancel breaks; fills ask.order_row.

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
        ask.order_row = validate.client_id_find(state, ask.account_row, command)
    if ask.order_row == ROW_NONE or state.orders[ask.order_row].account_id != command.account:
        return int64(ResultCode.ORDER_UNKNOWN)
    return int64(OK)
