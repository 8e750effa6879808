"""
The walk of a taker: which users' orders and how much of the quote it meets, at what price; decides, never writes.

What it finds is a list of steps, each planned on what the steps before would leave: executing them (execution.py)
comes to the same numbers, so an order that is accepted succeeds. Only the records in hand (`taker`, `steps`, `sims`,
the plans) are written. Source: docs/risk.md#matching
"""

from numpy import int64

from engine.core import cross, depth, ladder, makers, owners, plans, tables, triggers
from engine.core.integers import ceil_div
from engine.core.kernel import kernel
from engine.core.limits import BUY_SIGN, LADDERS_COUNT, MET_ORDERS_MAX, PPM, ROW_NONE, STEPS_MAX
from shared.codes import CloseReason, Liquidity, Stp

FILLED = int(CloseReason.FILLED)


@kernel
def price_in_band(market, price_ticks):
    """Return whether users may trade with each other at a price: within the band around the mark."""
    band = market.config.price_band_ppm
    low = ceil_div(market.mark_ticks * (PPM - band), PPM)
    return low <= price_ticks <= market.mark_ticks * (PPM + band) // PPM


@kernel
def maker_ladder(state, market_row, side_sign):
    """Return the ladder of the orders that a taker of a side meets."""
    number = triggers.REST_SELL if side_sign == BUY_SIGN else triggers.REST_BUY
    return state.ladders[market_row * LADDERS_COUNT + number]


@kernel
def maker_first(state, market_row, side_sign):
    """Return the first order inside the band that a taker of a side meets, or ROW_NONE; better ones do not block."""
    row = maker_ladder(state, market_row, side_sign)
    if row.count == 0:
        return int64(ROW_NONE)
    market = state.markets[market_row]
    band = market.config.price_band_ppm
    if side_sign == BUY_SIGN:
        place = max(int64(1), ceil_div(market.mark_ticks * (PPM - band), PPM))
    else:
        place = ladder.ladder_place(market.mark_ticks * (PPM + band) // PPM, 1)
    return in_band(state, market, ladder.ladder_seek(row, state.nodes, max(int64(0), place)))


@kernel
def maker_after(state, market_row, side_sign, order_row):
    """Return the order inside the band that comes after one, or ROW_NONE."""
    row = maker_ladder(state, market_row, side_sign)
    return in_band(state, state.markets[market_row], ladder.ladder_after(row, state.nodes, order_row))


@kernel
def in_band(state, market, order_row):
    """Return the order if its price lies inside the band, else ROW_NONE."""
    if order_row != ROW_NONE and price_in_band(market, int64(state.orders[order_row].price_ticks)):
        return order_row
    return int64(ROW_NONE)


@kernel
def would_take(state, market_row, side_sign, price_ticks):
    """Return whether a post-only limit would take: at the touch, whatever it offers, or from a user's order."""
    market = state.markets[market_row]
    if market.config.liquidity != Liquidity.BOOK:
        if side_sign * (price_ticks - depth.touch_ticks(market, side_sign)) >= 0:
            return True
    row = maker_first(state, market_row, side_sign)
    return row != ROW_NONE and side_sign * (price_ticks - int64(state.orders[row].price_ticks)) >= 0


@kernel
def walk(state):
    """
    Find the steps of the taker in `taker`.

    Writes: take (from steps_count on), steps, sims, plan, plan_maker.
    """
    take = state.taker
    market = state.markets[take.market_row]
    walk_begin(state)
    bound = take.bound_ticks
    if bound == 0:
        bound = depth.extreme_ticks(take.side_sign)
    row = maker_first(state, take.market_row, take.side_sign)
    while take.filled_lots < take.lots and take.capped == 0 and take.cut == 0:
        while row != ROW_NONE and makers.maker_lots(state, row, int64(1)) == 0:
            row = maker_after(state, take.market_row, take.side_sign, row)
        left = take.lots - take.filled_lots
        price_ticks = int64(state.orders[row].price_ticks)
        meets = row != ROW_NONE and take.side_sign * (bound - price_ticks) >= 0
        limit = price_ticks - take.side_sign if meets else bound
        if take.forced != 0:
            lots = depth.forced_lots(market, take.side_sign, take.used_lots, limit, left)
        else:
            lots = depth.quote_lots(market, take.side_sign, take.used_lots, limit, left)
        if lots > 0:
            quote_step(state, lots)
        elif meets:
            following = maker_after(state, take.market_row, take.side_sign, row)
            user_step(state, row, left)
            row = following if take.users != 0 else int64(ROW_NONE)
        else:
            break
    if take.filled_lots < take.lots and take.capped == 0 and take.cut == 0:
        # What a forced close finds nobody for, in a `book`, is for auto-deleveraging: adl.py.
        if take.forced == 0:
            beyond = depth.extreme_ticks(take.side_sign)
            offered = depth.quote_lots(market, take.side_sign, take.used_lots, beyond, int64(1))
            take.more = int64(offered > 0 or row != ROW_NONE)


@kernel
def walk_begin(state):
    """Begin a walk: nothing met, the taker's position and money as they stand."""
    take = state.taker
    position = state.positions[take.position_row]  # ROW_NONE is a row of zeros: nothing is held
    market = state.markets[take.market_row]
    state.walks += 1
    take.steps_count = 0
    take.users = 1
    take.met_full = 0
    take.met_orders = 0
    take.met_accounts_orders = 0
    take.sims_count = 0
    take.filled_lots = 0
    take.filled_e6 = 0
    take.opened_lots = 0
    take.opened_e6 = 0
    take.closed_lots = 0
    take.need_e6 = 0
    take.loss_e6 = 0
    take.own_reserves_e6 = 0
    take.capped = 0
    take.cut = 0
    take.more = 0
    take.lots_after = position.lots
    take.cost_after_e6 = position.cost_e6
    take.margin_after_e6 = position.margin_e6
    take.free_after_e6 = state.accounts[take.account_row].free_e6
    backing_load(state)
    if take.except_row != ROW_NONE:
        own_reserve_add(take, state.orders[take.except_row].reserved_e6)
    take.open_interest_lots = market.open_interest_lots
    take.house_lots = state.positions[state.market_links[take.market_row].house_row].lots
    take.used_lots = depth.used_lots(market, take.side_sign)


@kernel
def backing_load(state):
    """Fill what backs the taker's position beside free money, if it is a cross position: the others, and reserves."""
    take = state.taker
    take.backing_e6 = 0
    take.others_e6 = 0
    if take.cross != 0:
        cash_e6 = state.account_links[take.account_row].reserved_cross_e6
        take.backing_e6 = cross.backing_e6(state, take.account_row, take.market_row, cash_e6)
        take.others_e6 = state.pool.results_e6


@kernel
def own_reserve_add(take, reserved_e6):
    """Count the reserve of an own order that gives way as free money."""
    take.free_after_e6 += reserved_e6
    take.own_reserves_e6 += reserved_e6
    take.backing_e6 -= reserved_e6


@kernel
def step_add(state, order_row, lots, price_ticks, reason):
    """Note one more step."""
    take = state.taker
    step = state.steps[take.steps_count]
    take.steps_count += 1
    step.order_row = order_row
    step.lots = lots
    step.price_ticks = price_ticks
    step.used_lots = take.used_lots
    step.reason = reason
    step.account_row = ROW_NONE
    step.position_id = 0
    if order_row != ROW_NONE:
        order = state.orders[order_row]
        step.account_row = tables.account_row(int64(order.account_id))
        if order.reduce_only != 0:
            step.position_id = order.position_id
        take.met_orders += 1
        take.met_accounts_orders += orders_more(state, step.account_row)
        state.account_links[step.account_row].met_walk = state.walks


@kernel
def fill_cost_e6(state, market_row, side_sign, used, price_ticks, lots):
    """Return the notional of lots at one price, or, price 0, of lots from the quote whose first `used` are gone."""
    market = state.markets[market_row]
    if price_ticks != 0:
        return lots * price_ticks * market.config.unit_e6
    return depth.quote_cost_e6(market, side_sign, used, lots)


@kernel
def taker_plan(state, lots, price_ticks):
    """Plan one fill of the taker on what the steps so far leave it; price 0 is the quote's. Writes: plan."""
    take = state.taker
    market = state.markets[take.market_row]
    sign = take.side_sign
    closing = plans.closing_lots(take.lots_after, sign, lots)
    close_e6 = fill_cost_e6(state, take.market_row, sign, take.used_lots, price_ticks, closing)
    total_e6 = fill_cost_e6(state, take.market_row, sign, take.used_lots, price_ticks, lots)
    plan = state.plan
    plan.cross = take.cross
    plan.backing_e6 = take.free_after_e6 + take.backing_e6
    plan.others_e6 = take.others_e6
    if take.forced != 0:
        plans.plan_forced(
            plan,
            market,
            take.lots_after,
            take.cost_after_e6,
            take.margin_after_e6,
            take.free_after_e6,
            sign,
            lots,
            total_e6,
        )
        return
    plans.plan_begin(
        plan,
        take.lots_after,
        take.cost_after_e6,
        take.margin_after_e6,
        take.free_after_e6,
        sign,
        lots,
        close_e6,
        total_e6,
        take.fee_taker_ppm,
    )
    plans.plan_taker(plan, market, sign, take.leverage)


@kernel
def taker_advance(state, lots):
    """Let the planned fill be what the next step begins with."""
    take = state.taker
    plan = state.plan
    take.open_interest_lots += plans.long_lots(plan.lots_after) - plans.long_lots(take.lots_after)
    take.lots_after = plan.lots_after
    take.cost_after_e6 = plan.cost_after_e6
    take.margin_after_e6 = plan.margin_after_e6
    take.free_after_e6 = plan.free_after_e6
    take.filled_lots += lots
    take.filled_e6 += plan.close_e6 + plan.open_e6
    take.opened_lots += plan.open_lots
    take.opened_e6 += plan.open_e6
    take.closed_lots += plan.close_lots
    take.need_e6 += plan.need_e6
    take.loss_e6 += plan.loss_e6


@kernel
def found_copy(target, source):
    """Copy what the steps of a walk come to."""
    target.filled_lots = source.filled_lots
    target.filled_e6 = source.filled_e6
    target.opened_lots = source.opened_lots
    target.opened_e6 = source.opened_e6
    target.need_e6 = source.need_e6
    target.loss_e6 = source.loss_e6
    target.closed_lots = source.closed_lots
    target.lots_after = source.lots_after
    target.cost_after_e6 = source.cost_after_e6
    target.margin_after_e6 = source.margin_after_e6
    target.free_after_e6 = source.free_after_e6
    target.open_interest_lots = source.open_interest_lots
    target.house_lots = source.house_lots
    target.used_lots = source.used_lots


@kernel
def quote_undo(state):
    """Take back a last step upon the quote: the order that cut it short is not met, so the quote's is one fill."""
    take = state.taker
    if take.steps_count > 0 and state.steps[take.steps_count - 1].order_row == ROW_NONE:
        take.steps_count -= 1
        found_copy(take, state.taker_before)


@kernel
def quote_step(state, lots):
    """Take lots from the quote, as far as the money reaches."""
    take = state.taker
    found_copy(state.taker_before, take)
    market = state.markets[take.market_row]
    if take.money_e6 > 0:
        money_e6 = take.money_e6 - take.filled_e6
        affordable = depth.quote_affordable_lots(market, take.side_sign, take.used_lots, lots, money_e6)
        take.capped = int64(affordable < lots)
        lots = affordable
        if lots == 0:
            return
    price_ticks = int64(0)
    if market.config.liquidity == Liquidity.QUOTE:
        price_ticks = depth.touch_ticks(market, take.side_sign)
    house_step(state, lots, price_ticks)
    take.used_lots += lots


@kernel
def house_step(state, lots, price_ticks):
    """Plan and note one fill against the house; price 0 is the quote's levels."""
    take = state.taker
    taker_plan(state, lots, price_ticks)
    step_add(state, int64(ROW_NONE), lots, price_ticks, int64(FILLED))
    house_after = take.house_lots - take.side_sign * lots
    take.open_interest_lots += plans.long_lots(house_after) - plans.long_lots(take.house_lots)
    take.house_lots = house_after
    taker_advance(state, lots)


@kernel
def user_step(state, row, left):
    """Meet one user's order: prevent a self-trade, or fill from it, or end it; may end the walk (take.cut)."""
    take = state.taker
    order = state.orders[row]
    account_row = tables.account_row(int64(order.account_id))
    price_ticks = int64(order.price_ticks)
    affordable = left
    if take.money_e6 > 0:
        unit_e6 = state.markets[take.market_row].config.unit_e6
        affordable = (take.money_e6 - take.filled_e6) // (price_ticks * unit_e6)
    if affordable == 0:
        take.capped = 1
        return
    if not user_allowed(state, account_row):
        take.users = 0
        take.met_full = 1
        quote_undo(state)
        return
    if owners.oneself(state, account_row, take.account_row):
        own_meet(state, row, account_row)
        return
    lots = makers.maker_lots(state, row, left)
    take.capped = int64(affordable < lots)
    lots = min(lots, affordable)
    taker_plan(state, lots, price_ticks)
    if take.forced == 0 and state.plan.close_lots > 0 and state.plan.alone_e6 < 0:
        # A partner's price would move the loss to the venue: only the quote is met from here on.
        take.users = 0
        take.capped = 0
        quote_undo(state)
        return
    reason = makers.maker_judge(state, row, lots)
    if reason != int64(FILLED):
        makers.maker_cancelled(state, row)
        step_add(state, row, int64(0), int64(0), reason)
        take.capped = 0
        return
    step_add(state, row, lots, price_ticks, reason)
    taker_advance(state, lots)


@kernel
def own_meet(state, row, account_row):
    """Prevent a self-trade: the resting order ends, or the taker, or both."""
    take = state.taker
    if take.stp != int64(Stp.CANCEL_TAKER):
        if account_row == take.account_row:
            own_reserve_add(take, state.orders[row].reserved_e6)
        else:
            makers.maker_cancelled(state, row)
        step_add(state, row, int64(0), int64(0), int64(CloseReason.SELF_TRADE))
    if take.stp != int64(Stp.CANCEL_MAKER):
        take.cut = 1


@kernel
def user_allowed(state, account_row):
    """Return whether one more order may be met: no step of an entry may do more than its events have room for."""
    take = state.taker
    if take.met_orders >= STEPS_MAX:
        return False
    return take.met_accounts_orders + orders_more(state, account_row) <= MET_ORDERS_MAX


@kernel
def orders_more(state, account_row):
    """Return the live orders of an account that this walk meets for the first time, else 0."""
    links = state.account_links[account_row]
    if links.met_walk == state.walks:
        return int64(0)
    return int64(links.orders_resting) + int64(links.orders_dormant)
