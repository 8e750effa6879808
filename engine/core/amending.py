"""
One live order changed in place: may it be, and what follows.

Only shrinking keeps an order's place in time; what is repriced or grows is judged like a new order whose own reserve
and lots are counted out, and may take.
"""

from numpy import int64

from engine.core import closing, events, guards, ledger, orders, prices, reserves, taking, triggers, validate, waking
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND
from engine.core.tables import account_row as row_of_account
from shared.codes import CloseReason, MarketState, OrderKind, OrderStatus, ResultCode
from shared.records import PRESENT_PRICE, PRESENT_PRICE_TRIGGER, PRESENT_QTY

OK = int(ResultCode.OK)
CHANGES = PRESENT_QTY | PRESENT_PRICE | PRESENT_PRICE_TRIGGER


@kernel
def order_amend_validate(state, command):
    """
    Return the first rule that an amendment breaks; the order as it would be stands in ORDER_IN_HAND.

    Writes: ask.order_row, ask.market_row, ask.takes, ask.delayed, the hand, the walk's records.
    """
    ask = state.ask
    if command.present & CHANGES == 0:
        return int64(ResultCode.FIELD_MISSING)
    code = validate.order_named_validate(state, command)
    if code != OK:
        return code
    order = state.orders[ask.order_row]
    ask.market_row = int64(order.market_id) - 1
    ask.side_sign = orders.side_sign(order.side)
    code = amendable_validate(order, command)
    if code == OK:
        code = amended_convert(state, command)
    if code != OK:
        return code
    ask.takes = 0
    ask.delayed = 0
    if shrinks(state):
        return int64(OK)
    ask.takes = 1
    code = amended_filters_validate(state)
    if code == OK:
        code = amended_flags_validate(state)
    return code


@kernel
def amendable_validate(order, command):
    """Return ORDER_NOT_AMENDABLE, or FIELDS_EXCLUSIVE, for what an order of this kind cannot change."""
    fixed = order.kind == OrderKind.TRAILING_STOP
    fixed = fixed or order.status == OrderStatus.ATTACHED or order.status == OrderStatus.DELAYED
    if command.present & PRESENT_QTY:
        fixed = fixed or order.oco_id != 0 or order.close_percent != 0 or orders.follows_position(order)
    if fixed:
        return int64(ResultCode.ORDER_NOT_AMENDABLE)
    if command.present & PRESENT_PRICE_TRIGGER and order.status == OrderStatus.RESTING:
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    if command.present & PRESENT_PRICE and orders.follows_position(order) and not orders.limit_like(order.kind):
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    return int64(OK)


@kernel
def amended_convert(state, command):
    """Copy the order into the hand with its new numbers; returns the first that is out of range or off the grid."""
    state.orders[ORDER_IN_HAND] = state.orders[state.ask.order_row]
    hand = state.orders[ORDER_IN_HAND]
    market = state.markets[state.ask.market_row]
    lots = hand.qty_lots
    if command.present & PRESENT_QTY:
        code, lots = validate.qty_convert(market, command.qty_units, command.qty_e12)
        if code != OK:
            return code
    if command.present & PRESENT_PRICE:
        code, ticks = validate.price_convert(market, command.price_units, command.price_e12)
        if code != OK:
            return code
        hand.price_ticks = ticks
    if command.present & PRESENT_PRICE_TRIGGER:
        code, ticks = validate.price_convert(market, command.price_trigger_units, command.price_trigger_e12)
        if code != OK:
            return code
        hand.price_trigger_ticks = ticks
    if command.present & PRESENT_QTY and lots <= hand.qty_filled_lots:
        return int64(ResultCode.QTY_BELOW_FILLED)
    hand.qty_lots = lots
    return int64(OK)


@kernel
def shrinks(state):
    """Return whether the amendment changes nothing but a smaller or equal quantity."""
    order = state.orders[state.ask.order_row]
    hand = state.orders[ORDER_IN_HAND]
    same = hand.price_ticks == order.price_ticks and hand.price_trigger_ticks == order.price_trigger_ticks
    return same and hand.qty_lots <= order.qty_lots


@kernel
def amended_filters_validate(state):
    """Return the market filter or state that stands against the order as it would be."""
    ask = state.ask
    hand = state.orders[ORDER_IN_HAND]
    market = state.markets[ask.market_row]
    config = market.config
    if hand.qty_lots > config.order_lots_max:
        return int64(ResultCode.ORDER_ABOVE_MAX)
    price_ticks = int64(hand.price_ticks)
    if not orders.limit_like(hand.kind):
        price_ticks = int64(hand.price_trigger_ticks)
    if hand.reduce_only == 0 and hand.qty_lots * price_ticks * config.unit_e6 < config.notional_min_e6:
        return int64(ResultCode.NOTIONAL_BELOW_MIN)
    if hand.status == OrderStatus.RESTING and waking.limit_outside_band(market, ask.side_sign, price_ticks):
        return int64(ResultCode.PRICE_OUTSIDE_BAND)
    if market.state == MarketState.HALTED:
        return int64(ResultCode.MARKET_HALTED)
    if market.state == MarketState.REDUCE_ONLY and hand.reduce_only == 0:
        return int64(ResultCode.MARKET_REDUCE_ONLY)
    if hand.reduce_only == 0 and guards.locked(state, row_of_account(int64(hand.account_id))):
        return int64(ResultCode.ACCOUNT_LOCKED)
    if not prices.fresh(state, ask.market_row):
        return int64(ResultCode.PRICE_STALE)
    return int64(OK)


@kernel
def amended_flags_validate(state):
    """Return the flag, margin rule or limit that stands against the order as it would be; walks one that rests."""
    ask = state.ask
    hand = state.orders[ORDER_IN_HAND]
    market = state.markets[ask.market_row]
    if hand.status == OrderStatus.TRIGGER:
        above = triggers.trigger_above(hand.kind, hand.side)
        if triggers.trigger_met(market, hand.side, hand.trigger_by, above, int64(hand.price_trigger_ticks)):
            return int64(ResultCode.TRIGGER_WOULD_FIRE_IMMEDIATELY)
        return int64(OK)
    taking.take_load(state, int64(ORDER_IN_HAND), ask.order_row)
    if hand.reduce_only != 0:
        state.taker.lots = min(state.taker.lots, abs(state.positions[state.taker.position_row].lots))
    roomless = taking.take_walk(state)
    code = taking.take_flags(state)
    if code == OK:
        code = roomless
    if code == OK:
        code = taking.take_margin_judge(state)
    if state.taker.filled_lots > 0:
        ask.delayed = int64(market.config.taker_delay_ms > 0)
    return code


@kernel
def order_amend(state, command):
    """Change an order as its checks allowed."""
    ask = state.ask
    row = ask.order_row
    order = state.orders[row]
    account_row = row_of_account(int64(order.account_id))
    position_id = order.position_id if order.reduce_only != 0 else int64(0)
    follows = orders.follows_position(order)
    dormant = order.status == OrderStatus.TRIGGER
    events.emit_answer(state, command, command.account, order.order_id, position_id)
    if ask.takes == 0:
        shrink(state, row)
        events.emit_order_changed(state, row)
    elif dormant:
        dormant_amend(state, row)
    else:
        resting_amend(state, row)
        if ask.delayed == 0:
            return
    reserves.reserves_refresh(state, account_row, ask.market_row)
    if follows:
        events.emit_position_changed(state, orders.position_find(state, position_id))
    events.emit_account_changed(state, account_row)


@kernel
def shrink(state, row):
    """Give an order the smaller or equal quantity of the hand, in its place; its reserve follows."""
    order = state.orders[row]
    lots = state.orders[ORDER_IN_HAND].qty_lots
    if order.status == OrderStatus.RESTING:
        orders.resting_add(state, row, lots - order.qty_lots)
        state.account_links[row_of_account(int64(order.account_id))].markets[state.ask.market_row].reserved_at = 0
    order.qty_lots = lots


@kernel
def dormant_amend(state, row):
    """Let a dormant order wait for another price, or grow, with a new place in time."""
    orders.order_leave(state, row)
    orders.order_renew(state, int64(ORDER_IN_HAND))
    own_row = orders.order_enter(state, int64(ORDER_IN_HAND), int64(OrderStatus.TRIGGER))
    events.emit_order_changed(state, own_row)


@kernel
def resting_amend(state, row):
    """Execute a resting order with its new numbers like a new one, or put it aside under a taker delay."""
    hand = state.orders[ORDER_IN_HAND]
    reserved_e6 = state.orders[row].reserved_e6
    ledger.reserve(state, state.taker.account_row, row, -reserved_e6)
    hand.reserved_e6 = 0
    waking.hand_leave(state, row)
    if hand.reduce_only != 0:
        hand.qty_lots = hand.qty_filled_lots + state.taker.lots
    if state.ask.delayed != 0:
        closing.delay_begin(state)
        return
    closing.order_run(state, int64(CloseReason.FILLED))
