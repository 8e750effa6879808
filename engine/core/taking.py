"""
What an order that executes wants of the market, and whether it may have it: bound, flags, rest, margin, limits.

The order stands in a row in hand. Reads the state; writes only `taker`, the walk's records and the order's own bound.
The order of checks is that of docs/commands.md.
"""

from numpy import int64

from engine.core import cross, depth, guards, margin, matching, orders, plans, reserves, tables
from engine.core.integers import mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import BUY_SIGN, ORDER_IN_HAND, PPM, ROW_NONE
from shared.codes import CloseReason, OrderStatus, PositionKind, ResultCode, Stp, Tif

OK = int(ResultCode.OK)
SLIPPAGE_DEFAULT = -1  # ORDER.slippage_bps: none was given, the account's or the venue's holds
SLIPPAGE_FREE = -2  # none was given, and none holds: closing triggers, SL, TP, trade_close


@kernel
def price_worst_ticks(market, side_sign, slippage_bps):
    """
    Return the worst price that a slippage bound around the mid allows.

    Rounds: towards the mid, so that the bound is never exceeded.
    Source: docs/risk.md#price-protection
    """
    both = market.bid_ticks + market.ask_ticks
    slippage_ppm = slippage_bps * 100
    if side_sign == BUY_SIGN:
        return mul_div_floor(both, PPM + slippage_ppm, int64(2 * PPM))
    return mul_div_ceil(both, PPM - slippage_ppm, int64(2 * PPM))


@kernel
def bound_fix(state, row):
    """Fix the worst price of a market order that executes: the slippage bound, and its own price if that is tighter."""
    order = state.orders[row]
    slippage_bps = int64(order.slippage_bps)
    if orders.limit_like(order.kind) or slippage_bps == SLIPPAGE_FREE:
        return
    if slippage_bps == SLIPPAGE_DEFAULT:
        slippage_bps = guards.slippage_bps(state, tables.account_row(int64(order.account_id)))
    sign = orders.side_sign(order.side)
    worst = price_worst_ticks(state.markets[int64(order.market_id) - 1], sign, slippage_bps)
    # No price is below one tick, nor above the window: such a bound bounds nothing.
    worst = min(max(worst, int64(1)), depth.extreme_ticks(int64(1)))
    if order.price_ticks == 0 or sign * (worst - int64(order.price_ticks)) < 0:
        order.price_ticks = worst


@kernel
def take_load(state, row, except_row):
    """Fill `taker` from an order in hand; except_row is an order whose reserve and lots count as its own."""
    order = state.orders[row]
    take = state.taker
    bound_fix(state, row)
    take.market_row = int64(order.market_id) - 1
    take.account_row = tables.account_row(int64(order.account_id))
    take.side_sign = orders.side_sign(order.side)
    take.lots = order.qty_lots - order.qty_filled_lots
    take.bound_ticks = int64(order.price_ticks)
    take.limit_like = int64(orders.limit_like(order.kind))
    take.rests = int64(take.limit_like != 0 and (order.tif == Tif.GTC or order.tif == Tif.GTD))
    take.all_or_nothing = int64(order.tif == Tif.FOK)
    take.post_only = int64(order.post_only)
    take.reduce_only = int64(order.reduce_only)
    take.forced = 0
    take.stp = int64(order.stp) if order.stp != 0 else int64(Stp.CANCEL_TAKER)
    take.money_e6 = order.money_e6
    take.fee_taker_ppm = int64(order.fee_taker_ppm)
    take.fee_reserve_ppm = orders.fee_reserve_ppm(order)
    take.except_row = except_row
    take.position_id_new = 0
    take_position_load(state, row)


@kernel
def take_position_load(state, row):
    """Fill what position the order in hand fills: the one it names, a new ticket, or the net one."""
    order = state.orders[row]
    take = state.taker
    take.position_kind = int64(PositionKind.NET)
    take.leverage = orders.leverage_net(state, take.account_row, take.market_row)
    take.position_row = int64(state.account_links[take.account_row].markets[take.market_row].net)
    take.cross = int64(cross.chosen(state, take.account_row, take.market_row))
    if order.reduce_only != 0:
        take.position_row = orders.position_find(state, order.position_id)
        take.position_kind = int64(state.positions[take.position_row].kind)
        take.leverage = int64(state.positions[take.position_row].leverage)
        take.cross = int64(state.positions[take.position_row].cross)
    elif order.leverage != 0:
        take.position_row = ROW_NONE
        take.position_kind = int64(PositionKind.TICKET)
        take.leverage = int64(order.leverage)
        take.cross = 0


@kernel
def take_flags_judge(state):
    """
    Walk, and return the rule of position and flags that stands against an order in hand.

    Codes:  those of `take_walk`, then those of `take_flags`.
    """
    code = take_walk(state)
    if code == OK:
        code = take_flags(state)
    return code


@kernel
def take_walk(state):
    """Walk, plan the rest, and return REDUCE_ONLY_WOULD_INCREASE when neither finds anything to reduce."""
    take = state.taker
    matching.walk(state)
    rest_plan(state)
    if take.reduce_only != 0 and take.rests != 0 and take.filled_lots == 0 and take.rest_lots == 0 and take.cut == 0:
        return int64(ResultCode.REDUCE_ONLY_WOULD_INCREASE)
    return int64(OK)


@kernel
def take_flags(state):
    """
    Return the flag that stands against an order in hand, whose walk is done.

    Codes:  POST_ONLY_WOULD_TAKE, QTY_OUT_OF_RANGE, STP_WOULD_CUT, FOK_UNFILLABLE.
    """
    take = state.taker
    if take.post_only != 0 and matching.would_take(state, take.market_row, take.side_sign, take.bound_ticks):
        return int64(ResultCode.POST_ONLY_WOULD_TAKE)
    if take.capped != 0 and take.filled_lots == 0:
        return int64(ResultCode.QTY_OUT_OF_RANGE)
    if take.all_or_nothing != 0 and take.filled_lots < take.lots and take.capped == 0:
        if take.cut != 0:
            return int64(ResultCode.STP_WOULD_CUT)
        return int64(ResultCode.FOK_UNFILLABLE)
    return int64(OK)


@kernel
def side_of_take(state):
    """Return the Side of the taker."""
    return orders.closing_side(-state.taker.side_sign)


@kernel
def rest_plan(state):
    """Plan what rests after the walk: how many lots, how many of them uncovered, what they hold back."""
    take = state.taker
    take.rest_lots = 0
    take.rest_uncovered_lots = 0
    take.rest_reserve_e6 = 0
    if take.rests == 0 or take.cut != 0 or take.capped != 0 or take.met_full != 0:
        return
    take.rest_lots = take.lots - take.filled_lots
    if take.reduce_only != 0:
        room = reserves.room_lots(state, take.position_row, take.lots_after, take.except_row)
        take.rest_lots = min(take.rest_lots, room)
        return
    side = side_of_take(state)
    left = reserves.cover_left_lots(state, take.account_row, take.market_row, side, take.lots_after, take.except_row)
    take.rest_uncovered_lots = take.rest_lots - min(take.rest_lots, left)
    take.rest_reserve_e6 = plans.reserve_e6(
        state.markets[take.market_row], take.rest_uncovered_lots, take.bound_ticks, take.leverage, take.fee_reserve_ppm
    )


@kernel
def take_margin_judge(state):
    """
    Return the margin rule or limit that stands against an order in hand, whose walk is done.

    Codes:  those of `opening_judge`, ORDERS_OPEN_MAX.
    """
    code = opening_judge(state)
    if code == OK and state.taker.rest_lots > 0:
        code = rest_room_judge(state)
    return code


@kernel
def rest_room_judge(state):
    """Return ORDERS_OPEN_MAX when the account has no room for an order that would rest, its own place not counted."""
    take = state.taker
    hand = state.orders[ORDER_IN_HAND]
    count = int64(state.account_links[take.account_row].orders_resting)
    count -= int64(hand.status == OrderStatus.RESTING or hand.status == OrderStatus.DELAYED)
    other = state.orders[take.except_row]
    if take.except_row != ROW_NONE and other.order_id != hand.order_id:
        count -= int64(other.status == OrderStatus.RESTING)
    return int64(ResultCode.ORDERS_OPEN_MAX) if count >= state.venue.orders_open_max else int64(OK)


@kernel
def opening_judge(state):
    """
    Return the margin rule or limit that what an order in hand opens, or would open later, breaks.

    Codes:  LEVERAGE_ABOVE_TIER, MARGIN_INSUFFICIENT, WOULD_BE_LIQUIDATED, NOTIONAL_ABOVE_MAX, OPEN_INTEREST_ABOVE_MAX.
    """
    take = state.taker
    if take.reduce_only != 0 or (take.opened_lots == 0 and take.rest_lots == 0):
        return int64(OK)
    market = state.markets[take.market_row]
    config = market.config
    held = max(int64(0), take.lots_after * take.side_sign) + take.rest_lots
    if take.position_kind == PositionKind.NET:
        held += reserves.resting_lots(state, take.account_row, take.market_row, side_of_take(state), take.except_row)
    price_ticks = take.bound_ticks
    if take.filled_lots > 0:
        price_ticks = depth.touch_ticks(market, take.side_sign)
    if take.leverage > margin.leverage_max(config, held * price_ticks * config.unit_e6):
        return int64(ResultCode.LEVERAGE_ABOVE_TIER)
    if take_lacks(state):
        return int64(ResultCode.MARGIN_INSUFFICIENT)
    if take.opened_lots > 0 and take_liquidatable(state):
        return int64(ResultCode.WOULD_BE_LIQUIDATED)
    return exposure_judge(state, held)


@kernel
def take_lacks(state):
    """
    Return whether the money lacks for what an order in hand opens and for what then rests of it.

    Source: docs/risk.md#cross-margin
    """
    take = state.taker
    if take.cross != 0:
        return pool_lacks(state)
    left_e6 = take.free_after_e6 - take.rest_reserve_e6
    if left_e6 < 0:
        return take.opened_lots > 0 or take.rest_reserve_e6 > 0
    if not cross.holds(state, take.account_row):
        return False
    # Own reserves that give way bring money back from outside the pool; those of cross orders were in it.
    outside_e6 = take.own_reserves_e6
    inside_e6 = int64(0)
    if cross.chosen(state, take.account_row, take.market_row):
        inside_e6 = outside_e6
        outside_e6 = int64(0)
    if take.need_e6 + take.loss_e6 + take.rest_reserve_e6 <= outside_e6:
        return False
    cross.account_sum(state, take.account_row)
    pool = state.pool
    cash_e6 = left_e6 + state.account_links[take.account_row].reserved_cross_e6 - inside_e6
    return left_e6 + pool.results_e6 - pool.initial_e6 < 0 or cross.health_e6(pool, cash_e6) < 1


@kernel
def pool_lacks(state):
    """
    Return whether the money lacks for what an order in hand opens of a cross position, and for what then rests of it.

    What its closing part leaves counts; a price better than the mark does not.
    """
    take = state.taker
    due_e6 = take.need_e6 + take.rest_reserve_e6
    if take.opened_lots == 0 and take.rest_reserve_e6 == 0:
        return False
    if take.free_after_e6 < due_e6:
        return True
    if due_e6 + take.loss_e6 <= take.own_reserves_e6:
        return False
    lots = take.lots_after - take.side_sign * take.opened_lots
    cost_e6 = take.cost_after_e6 - take.side_sign * take.opened_e6
    cross.pool_sum(state, take.account_row, take.market_row, lots, cost_e6)
    return take.free_after_e6 + state.pool.results_e6 - state.pool.initial_e6 - take.loss_e6 < due_e6


@kernel
def take_liquidatable(state):
    """Return whether what an order in hand opens would be liquidatable at once."""
    take = state.taker
    market = state.markets[take.market_row]
    if take.cross == 0:
        return margin.liquidatable(
            market.config, take.lots_after, take.cost_after_e6, take.margin_after_e6, market.mark_ticks
        )
    cross.pool_sum(state, take.account_row, take.market_row, take.lots_after, take.cost_after_e6)
    reserved_e6 = state.account_links[take.account_row].reserved_cross_e6 - take.own_reserves_e6
    return cross.health_e6(state.pool, take.free_after_e6 + reserved_e6) <= 0


@kernel
def exposure_judge(state, held_lots):
    """
    Return the limit that an exposure breaks: the account's in the market, then the market's open interest.

    Units:  held_lots is what the order's own position will hold with the resting orders of its side; the account's
            other positions in the market are added here.
    """
    take = state.taker
    market = state.markets[take.market_row]
    links = state.account_links[take.account_row]
    exposure = held_lots + links.markets[take.market_row].ticket_lots
    if take.position_kind == PositionKind.TICKET:
        exposure += abs(reserves.net_lots(state, take.account_row, take.market_row))
        side = side_of_take(state)
        exposure += reserves.resting_lots(state, take.account_row, take.market_row, side, int64(ROW_NONE))
    most_e6 = market.config.notional_max_e6
    value_e6 = exposure * market.mark_ticks * market.config.unit_e6
    if exposure > market.config.order_lots_max or 0 < most_e6 < value_e6:
        return int64(ResultCode.NOTIONAL_ABOVE_MAX)
    waiting = state.market_links[take.market_row].uncovered_lots
    if take.except_row != ROW_NONE:
        waiting -= state.order_links[take.except_row].uncovered_lots
    opening = take.opened_lots + take.rest_uncovered_lots
    if plans.interest_above(market, market.open_interest_lots + waiting + opening):
        return int64(ResultCode.OPEN_INTEREST_ABOVE_MAX)
    return int64(OK)


@kernel
def unfilled_code(state):
    """Return why a ticket cannot be opened whole."""
    take = state.taker
    if take.cut != 0:
        return int64(ResultCode.STP_WOULD_CUT)
    if take.more != 0:
        return int64(ResultCode.SLIPPAGE_EXCEEDED)
    return int64(ResultCode.LIQUIDITY_EXHAUSTED)


@kernel
def end_reason(state):
    """Return why an order in hand ends that does not rest."""
    take = state.taker
    if take.filled_lots == take.lots or take.capped != 0:
        return int64(CloseReason.FILLED)
    if take.cut != 0:
        return int64(CloseReason.SELF_TRADE)
    if take.more != 0 and take.limit_like != 0 and take.rests == 0:
        return int64(CloseReason.IOC_UNFILLED)
    if take.more != 0 and take.limit_like == 0:
        return int64(CloseReason.SLIPPAGE_EXCEEDED)
    if take.rests != 0 and take.reduce_only != 0 and take.filled_lots > 0:
        return int64(CloseReason.FILLED)
    return int64(CloseReason.LIQUIDITY_EXHAUSTED)
