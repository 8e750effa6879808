"""
A resting order that another user is about to fill: how much of it, tested and planned on what the walk so far leaves.

Reads the state, writes only the records in hand. Source: docs/risk.md#a-makers-test
"""

from numpy import int64

from engine.core import cross, margin, orders, plans, tables
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from shared.codes import CloseReason, PositionKind

FILLED = int(CloseReason.FILLED)


@kernel
def maker_position_row(state, row):
    """Return the row of the position that a resting order fills: the one a reduce-only names, else the net one."""
    order = state.orders[row]
    if order.reduce_only != 0:
        return orders.position_find(state, order.position_id)
    links = state.account_links[tables.account_row(int64(order.account_id))]
    return int64(links.markets[int64(order.market_id) - 1].net)


@kernel
def maker_ticket_row(state, row):
    """Return the row of the ticket that a reduce-only resting order names, or ROW_NONE: the net position."""
    position_row = maker_position_row(state, row)
    if state.positions[position_row].kind == PositionKind.TICKET:
        return position_row
    return int64(ROW_NONE)


@kernel
def maker_cross(state, row):
    """Return 1 when what a resting order fills is, or will be, a cross position."""
    position_row = maker_position_row(state, row)
    if position_row != ROW_NONE:
        return int64(state.positions[position_row].cross)
    order = state.orders[row]
    return int64(cross.chosen(state, tables.account_row(int64(order.account_id)), int64(order.market_id) - 1))


@kernel
def met(state, account_row):
    """Return whether the walk in hand has met an order of an account."""
    return state.account_links[account_row].met_walk == state.walks


@kernel
def sim_find(state, account_row, ticket_row):
    """Return the last sim of an account's ticket or net position, or −1."""
    index = state.taker.sims_count - 1
    while index >= 0:
        sim = state.sims[index]
        if sim.account_row == account_row and sim.position_row == ticket_row:
            return index
        index -= 1
    return int64(-1)


@kernel
def maker_held(state, row):
    """Return (lots, cost_e6, margin_e6) of what a resting order fills, after the steps so far."""
    position_row = maker_position_row(state, row)
    ticket_row = maker_ticket_row(state, row)
    account_row = tables.account_row(int64(state.orders[row].account_id))
    index = sim_find(state, account_row, ticket_row) if met(state, account_row) else int64(-1)
    if index >= 0:
        sim = state.sims[index]
        return sim.lots, sim.cost_e6, sim.margin_e6
    position = state.positions[position_row]
    return position.lots, position.cost_e6, position.margin_e6


@kernel
def maker_money_e6(state, account_row):
    """Return a maker's free money after the steps so far, and how much of it they have released from its reserves."""
    index = state.taker.sims_count - 1 if met(state, account_row) else int64(-1)
    while index >= 0:
        if state.sims[index].account_row == account_row:
            return state.sims[index].free_e6, state.sims[index].released_e6
        index -= 1
    return state.accounts[account_row].free_e6, int64(0)


@kernel
def maker_lots(state, row, left):
    """Return how many lots of a resting order a taker may fill; a reduce-only one never more than its position."""
    order = state.orders[row]
    lots = min(left, order.qty_lots - order.qty_filled_lots)
    if order.reduce_only == 0:
        return lots
    held, _, _ = maker_held(state, row)
    return plans.closing_lots(held, orders.side_sign(order.side), lots)


@kernel
def release_e6(state, row, lots):
    """Return what of a resting order's reserve a fill sets free: the covered lots are filled first."""
    order = state.orders[row]
    if order.reserved_e6 == 0:
        return int64(0)
    market_row = int64(order.market_id) - 1
    left = order.qty_lots - order.qty_filled_lots - lots
    if left == 0:
        return order.reserved_e6
    uncovered = min(state.order_links[row].uncovered_lots, left)
    leverage = orders.leverage_net(state, tables.account_row(int64(order.account_id)), market_row)
    kept_e6 = plans.reserve_e6(
        state.markets[market_row], uncovered, int64(order.price_ticks), leverage, orders.fee_reserve_ppm(order)
    )
    return max(int64(0), order.reserved_e6 - kept_e6)


@kernel
def maker_plan(state, row, lots, held, cost_e6, margin_e6, free_e6):
    """Plan one fill of a resting order by another user, at its limit. Writes: plan_maker."""
    order = state.orders[row]
    market_row = int64(order.market_id) - 1
    market = state.markets[market_row]
    sign = orders.side_sign(order.side)
    unit_e6 = market.config.unit_e6
    price_ticks = int64(order.price_ticks)
    close_e6 = plans.closing_lots(held, sign, lots) * price_ticks * unit_e6
    plan = state.plan_maker
    plan.cross = maker_cross(state, row)
    total_e6 = lots * price_ticks * unit_e6
    rate_ppm = int64(order.fee_maker_ppm)
    plans.plan_begin(plan, held, cost_e6, margin_e6, free_e6, sign, lots, close_e6, total_e6, rate_ppm)
    account_row = tables.account_row(int64(order.account_id))
    plans.plan_maker(plan, market, sign, orders.leverage_net(state, account_row, market_row))


@kernel
def maker_judge(state, row, lots):
    """
    Test a resting order that is about to fill against another user, with the mark of now.

    Returns FILLED, or the CloseReason it ends with instead. Writes: plan_maker; if FILLED a sim and the open interest.
    """
    take = state.taker
    order = state.orders[row]
    market = state.markets[take.market_row]
    account_row = tables.account_row(int64(order.account_id))
    held, cost_e6, margin_e6 = maker_held(state, row)
    before_e6, released_e6 = maker_money_e6(state, account_row)
    free_e6 = before_e6 + release_e6(state, row, lots)
    released_e6 += free_e6 - before_e6
    plan = state.plan_maker
    plan.backing_e6 = maker_backing_e6(state, row, account_row, free_e6 - released_e6)
    maker_plan(state, row, lots, held, cost_e6, margin_e6, free_e6)
    interest = take.open_interest_lots + plans.long_lots(plan.lots_after) - plans.long_lots(held)
    if plan.close_lots > 0 and plan.alone_e6 < 0:
        return int64(CloseReason.MARGIN_INSUFFICIENT_AT_FILL)
    if plan.open_lots > 0:
        leverage = orders.leverage_net(state, account_row, take.market_row)
        value_e6 = abs(plan.lots_after) * int64(order.price_ticks) * market.config.unit_e6
        if leverage > margin.leverage_max(market.config, value_e6):
            return int64(CloseReason.LEVERAGE_ABOVE_TIER_AT_FILL)
        both = interest + plans.long_lots(state.plan.lots_after) - plans.long_lots(take.lots_after)
        if plans.interest_above(market, both):
            return int64(CloseReason.OPEN_INTEREST_ABOVE_MAX_AT_FILL)
        if plan_lacks(state, plan, account_row, take.market_row, before_e6):
            return int64(CloseReason.MARGIN_INSUFFICIENT_AT_FILL)
        if plan_liquidatable(state, plan, account_row, take.market_row, released_e6):
            return int64(CloseReason.WOULD_BE_LIQUIDATED)
    take.open_interest_lots = interest
    sim_add(state, row, plan.lots_after, plan.cost_after_e6, plan.margin_after_e6, plan.free_after_e6, released_e6)
    return int64(FILLED)


@kernel
def maker_backing_e6(state, row, account_row, own_e6):
    """Return what backs the cross position that a resting order fills, 0 for another; own_e6 is cash but reserves."""
    if maker_cross(state, row) == 0:
        return int64(0)
    cash_e6 = own_e6 + state.account_links[account_row].reserved_cross_e6
    return cross.backing_e6(state, account_row, int64(state.orders[row].market_id) - 1, cash_e6)


@kernel
def plan_lacks(state, plan, account_row, market_row, before_e6):
    """
    Return whether the money behind a planned opening against a user lacks: free, and what cross positions leave of it.

    Units:  before_e6 is free money before the fill and what it releases: only what is taken from it must be there.
    """
    free_e6 = plan.free_after_e6
    if plan.cross == 0:
        if free_e6 < 0 or free_e6 >= before_e6 or not cross.holds(state, account_row):
            return free_e6 < 0
        return free_e6 + cross.spare_e6(state, account_row) < 0
    sign = int64(1) if plan.lots_after > 0 else int64(-1)
    cost_e6 = plan.cost_after_e6 - sign * plan.open_e6
    cross.pool_sum(state, account_row, market_row, plan.lots_after - sign * plan.open_lots, cost_e6)
    available_e6 = free_e6 + state.pool.results_e6 - state.pool.initial_e6 - plan.loss_e6
    return min(free_e6, available_e6) < plan.need_e6 - plans.LACK_MAX_E6


@kernel
def plan_liquidatable(state, plan, account_row, market_row, released_e6):
    """Return whether a planned position would be liquidatable at once; released_e6 of its reserves stand in free."""
    if plan.cross == 0:
        market = state.markets[market_row]
        return margin.liquidatable(
            market.config, plan.lots_after, plan.cost_after_e6, plan.margin_after_e6, market.mark_ticks
        )
    cross.pool_sum(state, account_row, market_row, plan.lots_after, plan.cost_after_e6)
    reserved_e6 = state.account_links[account_row].reserved_cross_e6 - released_e6
    return cross.health_e6(state.pool, plan.free_after_e6 + reserved_e6) <= 0


@kernel
def maker_cancelled(state, row):
    """Note that a resting order ends in this walk: what it reserved is free for its account's next one."""
    order = state.orders[row]
    held, cost_e6, margin_e6 = maker_held(state, row)
    free_e6, released_e6 = maker_money_e6(state, tables.account_row(int64(order.account_id)))
    reserved_e6 = order.reserved_e6
    sim_add(state, row, held, cost_e6, margin_e6, free_e6 + reserved_e6, released_e6 + reserved_e6)


@kernel
def sim_add(state, row, lots, cost_e6, margin_e6, free_e6, released_e6):
    """Note what the position and the money behind a resting order would be from here on."""
    take = state.taker
    sim = state.sims[take.sims_count]
    take.sims_count += 1
    sim.account_row = tables.account_row(int64(state.orders[row].account_id))
    sim.position_row = maker_ticket_row(state, row)
    sim.lots = lots
    sim.cost_e6 = cost_e6
    sim.margin_e6 = margin_e6
    sim.free_e6 = free_e6
    sim.released_e6 = released_e6
