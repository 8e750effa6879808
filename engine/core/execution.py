"""
Fills happen: the steps of a walk, a resting order met by the quote, and what follows (brackets, legs, post-images).

The taker is the order in hand; its walk is done and its checks have said OK, so nothing here refuses.
"""

from numpy import int64

from engine.core import (
    brackets,
    cross,
    depth,
    events,
    fitting,
    ledger,
    makers,
    matching,
    orders,
    plans,
    positions,
    reserves,
)
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ORDER_MET, ROW_NONE
from engine.core.tables import account_row as row_of_account
from shared.codes import CloseReason, OrderStatus, PositionKind, ResultCode

OK = int(ResultCode.OK)


@kernel
def taker_begin(state):
    """Take the id of the position that the walk will open, before anything else takes one."""
    take = state.taker
    take.position_id_new = 0
    if take.opened_lots > 0 and (take.position_row == ROW_NONE or take.closed_lots > 0):
        take.position_id_new = positions.position_id_take(state)


@kernel
def taker_position_id(state):
    """Return the id of the position that the taker's last fill ends on; 0 when nothing fills."""
    take = state.taker
    if take.position_id_new != 0:
        return take.position_id_new
    if take.filled_lots > 0 or take.reduce_only != 0:
        return state.positions[take.position_row].position_id
    return int64(0)


@kernel
def taker_run(state, reason):
    """Execute the steps of the walk; `reason` is why a position that they end has ended."""
    for index in range(state.taker.steps_count):
        step = state.steps[index]
        if step.lots == 0:
            orders.order_close(state, step.order_row, step.reason)
        elif step.order_row == ROW_NONE:
            house_fill(state, step, reason)
        else:
            user_fill(state, step, reason)


@kernel
def taker_fill_plan(state, step):
    """Plan a step of the taker on what it holds now. Writes: plan."""
    take = state.taker
    position = state.positions[take.position_row]
    take.lots_after = position.lots
    take.cost_after_e6 = position.cost_e6
    take.margin_after_e6 = position.margin_e6
    take.free_after_e6 = state.accounts[take.account_row].free_e6
    take.used_lots = step.used_lots
    matching.taker_plan(state, step.lots, step.price_ticks)


@kernel
def taker_fill_note(state, step):
    """Tell the fill of the taker that is planned."""
    take = state.taker
    position_id = positions.fill_position_id(state, state.plan, take.position_row, take.position_id_new)
    state.orders[ORDER_IN_HAND].position_id = position_id
    positions.fill_note(state, state.plan, int64(ORDER_IN_HAND), position_id, int64(0), step.lots)


@kernel
def taker_fill_book(state, step, reason):
    """Book the fill of the taker that is planned, and let its children follow."""
    take = state.taker
    take.position_row = positions.fill_book(
        state,
        state.plan,
        int64(ORDER_IN_HAND),
        take.position_row,
        take.position_kind,
        take.leverage,
        take.position_id_new,
        reason,
    )
    brackets.bracket_fill(state, int64(ORDER_IN_HAND), take.position_row, step.lots)


@kernel
def house_fill(state, step, reason):
    """Fill the taker from the quote."""
    take = state.taker
    market = state.markets[take.market_row]
    taker_fill_plan(state, step)
    notional_e6 = state.plan.close_e6 + state.plan.open_e6
    taker_fill_note(state, step)
    events.emit_trade(state, take.market_row, step.lots, notional_e6, orders.closing_side(-take.side_sign))
    taker_fill_book(state, step, reason)
    house_take(state, take.market_row, take.side_sign, step.used_lots, step.price_ticks, step.lots, notional_e6)
    if step.price_ticks == 0:
        depth.used_add(market, take.side_sign, step.lots)


@kernel
def house_take(state, market_row, side_sign, used, price_ticks, lots, notional_e6):
    """Book the house's side of a fill of a user's order of side `side_sign`."""
    house_lots = state.positions[state.market_links[market_row].house_row].lots
    closing = plans.closing_lots(house_lots, -side_sign, lots)
    close_e6 = matching.fill_cost_e6(state, market_row, side_sign, used, price_ticks, closing)
    positions.house_book(state, market_row, -side_sign, lots, close_e6, notional_e6)


@kernel
def user_fill(state, step, reason):
    """Fill the taker and a resting order of another user from each other, at the resting one's limit."""
    take = state.taker
    row = step.order_row
    position_row = makers.maker_position_row(state, row)
    position = state.positions[position_row]
    order_id = state.orders[row].order_id
    maker_release(state, row, step.lots)
    free_e6 = state.accounts[step.account_row].free_e6
    makers.maker_plan(state, row, step.lots, position.lots, position.cost_e6, position.margin_e6, free_e6)
    taker_fill_plan(state, step)
    notional_e6 = state.plan.close_e6 + state.plan.open_e6
    met_row = maker_met(state, row, step.lots)
    taker_fill_note(state, step)
    position_id = maker_note(state, met_row, position_row, step.lots)
    events.emit_trade(state, take.market_row, step.lots, notional_e6, orders.closing_side(-take.side_sign))
    taker_fill_book(state, step, reason)
    # The taker may have taken the next position id before; the maker's new position has one when it comes to be.
    after = maker_book(state, met_row, position_row, position_id)
    maker_follow(state, met_row, order_id, after, step.lots)


@kernel
def maker_release(state, row, lots):
    """Set free what of a resting order's reserve a fill of it needs no longer."""
    order = state.orders[row]
    left = order.qty_lots - order.qty_filled_lots - lots
    account_row = row_of_account(int64(order.account_id))
    ledger.reserve(state, account_row, row, -makers.release_e6(state, row, lots))
    orders.uncovered_set(state, row, min(state.order_links[row].uncovered_lots, left))


@kernel
def maker_met(state, row, lots):
    """Return the row of a resting order during its fill: its own, or, when the fill completes it, ORDER_MET."""
    order = state.orders[row]
    if order.qty_filled_lots + lots < order.qty_lots:
        return row
    state.orders[ORDER_MET] = state.orders[row]
    orders.order_leave(state, row)
    return int64(ORDER_MET)


@kernel
def maker_note(state, row, position_row, lots):
    """Tell the fill of a resting order that is planned in plan_maker; returns the id of the position it ends on."""
    new_id = int64(0)
    plan = state.plan_maker
    if plan.open_lots > 0 and (position_row == ROW_NONE or plan.close_lots > 0):
        new_id = positions.position_id_take(state)
    position_id = positions.fill_position_id(state, plan, position_row, new_id)
    if state.orders[row].reduce_only == 0:
        state.orders[row].position_id = position_id
    if row != ORDER_MET:
        orders.resting_add(state, row, -lots)
    positions.fill_note(state, plan, row, position_id, int64(1), lots)
    return position_id


@kernel
def maker_book(state, row, position_row, position_id):
    """Book the fill of a resting order that is planned in plan_maker; returns its position's row afterwards."""
    order = state.orders[row]
    kind = int64(PositionKind.NET)
    market_row = int64(order.market_id) - 1
    leverage = orders.leverage_net(state, row_of_account(int64(order.account_id)), market_row)
    reason = int64(CloseReason.FILLED)
    return positions.fill_book(state, state.plan_maker, row, position_row, kind, leverage, position_id, reason)


@kernel
def maker_follow(state, row, order_id, position_row, lots):
    """Tell what follows from a fill of a resting order: children, its position, the other leg, its own state or end."""
    order = state.orders[row]
    lives = order.order_id == order_id  # a reduce-only one may have ended with its position
    if lives:
        brackets.bracket_fill(state, row, position_row, lots)
    if position_row != ROW_NONE:
        events.emit_position_changed(state, position_row)
    if not lives:
        return
    brackets.leg_cut(state, row, lots)
    if row != ORDER_MET:
        events.emit_order_changed(state, row)
        return
    events.emit_closed_order(state, row, int64(CloseReason.FILLED), int64(OK))
    if order.children > 0:
        orders.children_close(state, row_of_account(int64(order.account_id)), order_id)


@kernel
def taker_finish(state, reason):
    """Tell how the taker stands after its steps: it rests, or has ended with a reason; then every account's state."""
    take = state.taker
    order = state.orders[ORDER_IN_HAND]
    if take.position_row != ROW_NONE and (take.filled_lots > 0 or order.reduce_only != 0):
        events.emit_position_changed(state, take.position_row)
    full = take.rests != 0 and order.reduce_only != 0 and reason == int64(CloseReason.FILLED)
    if take.rest_lots == 0 and (full or take.capped != 0):
        order.qty_lots = order.qty_filled_lots
    if take.filled_lots > 0:
        brackets.leg_cut(state, int64(ORDER_IN_HAND), take.filled_lots)
    if take.rest_lots > 0:
        order.qty_lots = order.qty_filled_lots + take.rest_lots
        row = orders.order_enter(state, int64(ORDER_IN_HAND), int64(OrderStatus.RESTING))
        orders.uncovered_set(state, row, take.rest_uncovered_lots)
        ledger.reserve(state, take.account_row, row, take.rest_reserve_e6)
        events.emit_order_changed(state, row)
        brackets.children_tell(state, row)
    else:
        events.emit_closed_order(state, int64(ORDER_IN_HAND), reason, int64(OK))
        orders.leg_part(state, orders.order_find(state, order.oco_id))
        if order.children > 0:
            orders.children_close(state, take.account_row, order.order_id)
    fitting.account_fit(state, take.account_row, take.market_row, take.position_row)
    makers_settle(state)


@kernel
def makers_settle(state):
    """Do the same for every account that the walk has met, in the order in which it met them."""
    take = state.taker
    for index in range(take.steps_count):
        step = state.steps[index]
        if step.order_row == ROW_NONE or step.account_row == take.account_row:
            continue
        links = state.account_links[step.account_row]
        if links.told_walk == state.walks:
            continue
        links.told_walk = state.walks
        for other in range(index, take.steps_count):
            if state.steps[other].account_row == step.account_row and state.steps[other].position_id != 0:
                reserves.reduce_only_shrink(state, orders.position_find(state, state.steps[other].position_id))
        fitting.account_fit(state, step.account_row, take.market_row, int64(links.markets[take.market_row].net))


@kernel
def resting_fires(state, market_row, row):
    """Return whether the quote fills a resting order, whose limit it has reached: it has something left to offer."""
    order = state.orders[row]
    market = state.markets[market_row]
    sign = orders.side_sign(order.side)
    return depth.quote_lots(market, sign, depth.used_lots(market, sign), int64(order.price_ticks), int64(1)) > 0


@kernel
def resting_fill(state, row):
    """Fill a resting order from the quote, at its own limit, or end it when its account cannot carry the result."""
    order = state.orders[row]
    account_row = row_of_account(int64(order.account_id))
    market_row = int64(order.market_id) - 1
    market = state.markets[market_row]
    sign = orders.side_sign(order.side)
    price_ticks = int64(order.price_ticks)
    open_lots = order.qty_lots - order.qty_filled_lots
    lots = depth.quote_lots(market, sign, depth.used_lots(market, sign), price_ticks, open_lots)
    position_row = makers.maker_position_row(state, row)
    resting_plan(state, row, position_row, lots)
    plan = state.plan_maker
    state.touched |= int64(1) << market_row
    reason = int64(CloseReason.FILLED)
    if resting_lacks(plan, state.accounts[account_row].free_e6):
        reason = int64(CloseReason.MARGIN_INSUFFICIENT)
    elif plan.open_lots > 0 and makers.plan_liquidatable(
        state, plan, account_row, market_row, makers.release_e6(state, row, lots)
    ):
        reason = int64(CloseReason.WOULD_BE_LIQUIDATED)
    if reason != int64(CloseReason.FILLED):
        orders.order_close(state, row, reason)
        fitting.account_fit(state, account_row, market_row, int64(ROW_NONE))
        return
    order_id = order.order_id
    maker_release(state, row, lots)
    notional_e6 = plan.close_e6 + plan.open_e6
    met_row = maker_met(state, row, lots)
    position_id = maker_note(state, met_row, position_row, lots)
    events.emit_trade(state, market_row, lots, notional_e6, orders.closing_side(sign))
    after = maker_book(state, met_row, position_row, position_id)
    used = depth.used_lots(market, sign)
    house_take(state, market_row, sign, used, price_ticks, lots, notional_e6)
    depth.used_add(market, sign, lots)
    maker_follow(state, met_row, order_id, after, lots)
    fitting.account_fit(state, account_row, market_row, after)


@kernel
def resting_lacks(plan, before_e6):
    """
    Return whether the money lacks for what a fill by the quote opens; of a cross position, for its margin alone.

    Units:  before_e6 is free money before the fill and what it releases.
    """
    if plan.open_lots == 0:
        return False
    if plan.cross != 0:
        return plan.free_after_e6 < plan.need_e6 - plans.LACK_MAX_E6
    return plan.free_after_e6 < 0 or (plan.free_after_e6 < before_e6 and plan.free_after_e6 + plan.spare_e6 < 0)


@kernel
def resting_plan(state, row, position_row, lots):
    """Plan a fill of a resting order by the quote, margin and open loss as free money allows. Writes: plan_maker."""
    order = state.orders[row]
    account_row = row_of_account(int64(order.account_id))
    market_row = int64(order.market_id) - 1
    market = state.markets[market_row]
    position = state.positions[position_row]
    sign = orders.side_sign(order.side)
    unit_price_e6 = int64(order.price_ticks) * market.config.unit_e6
    close_e6 = plans.closing_lots(position.lots, sign, lots) * unit_price_e6
    free_e6 = state.accounts[account_row].free_e6 + makers.release_e6(state, row, lots)
    plan = state.plan_maker
    plan.cross = makers.maker_cross(state, row)
    plan.spare_e6 = 0
    if plan.cross == 0 and cross.holds(state, account_row):
        plan.spare_e6 = cross.spare_e6(state, account_row)
    plans.plan_begin(
        plan,
        position.lots,
        position.cost_e6,
        position.margin_e6,
        free_e6,
        sign,
        lots,
        close_e6,
        lots * unit_price_e6,
        int64(order.fee_maker_ppm),
    )
    plans.plan_maker_house(plan, market, sign, orders.leverage_net(state, account_row, market_row))
