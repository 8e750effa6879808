"""
An order meets the market: plan, test, commit, and what follows from a fill (bracket, reserves, post-images).

Takers are tested before (`validate.py`); makers, triggers and liquidations are tested here, because nobody waits for a
refusal: an order that cannot execute ends with the reason.
"""

from numpy import int64

from engine.core import events, margin, matching, orders, positions, tables, triggers
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, PPM, ROW_NONE
from shared.codes import CloseReason, OrderKind, OrderStatus, PositionKind, Side


@kernel
def taker_plan(state, market_row, account_row, position_row, side_sign, lots, price_ticks, rate_ppm, leverage):
    """Plan a taker fill of an account onto a position, ROW_NONE for a new one. Writes: state.plan."""
    position = state.positions[position_row]  # ROW_NONE is a row of zeros: nothing is held
    matching.plan_taker(
        state.plan,
        state.markets[market_row],
        position.lots,
        position.cost_e6,
        position.margin_e6,
        state.accounts[account_row].free_e6,
        side_sign,
        lots,
        price_ticks,
        rate_ppm,
        leverage,
    )


@kernel
def plan_liquidatable(state, market_row):
    """Return whether what the plan in hand leaves open would be liquidatable at once."""
    plan = state.plan
    market = state.markets[market_row]
    if plan.lots_after == 0:
        return False
    return margin.liquidatable(
        market.config, plan.lots_after, plan.cost_after_e6, plan.margin_after_e6, market.mark_ticks
    )


@kernel
def taker_execute(state, position_row, kind, lots, price_ticks, reason):
    """
    Fill the order in hand, whose plan is made, and tell everything that follows from it.

    Returns the row of the position as the fill leaves it, or ROW_NONE.
    """
    order = state.orders[ORDER_IN_HAND]
    account_row = tables.account_row(int64(order.account_id))
    market_row = int64(order.market_id) - 1
    after = positions.fill_commit(state, position_row, kind, lots, price_ticks, int64(0), reason)
    bracket_attach(state, account_row, after)
    if after != ROW_NONE:
        events.emit_position_changed(state, after)
    events.emit_closed_order(state, int64(ORDER_IN_HAND), int64(CloseReason.FILLED))
    orders.reserves_refresh(state, account_row, market_row)
    events.emit_account_changed(state, account_row)
    return after


@kernel
def bracket_attach(state, account_row, position_row):
    """
    Let the attached children of the order in hand become its position's SL and TP; former ones of theirs end.

    If the fill left no position in the order's direction, the children end instead.
    """
    order = state.orders[ORDER_IN_HAND]
    fits = position_row != ROW_NONE
    if fits:
        fits = state.positions[position_row].lots * orders.side_sign(int64(order.side)) > 0
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        following = int64(state.order_links[row].next)
        child = state.orders[row]
        if child.status == OrderStatus.ATTACHED and child.parent_id == order.order_id:
            if fits:
                child_attach(state, row, position_row)
            else:
                orders.order_close(state, row, int64(CloseReason.PARENT_CLOSED))
        row = following


@kernel
def child_attach(state, row, position_row):
    """Make an attached child the SL or TP of a position and put it into its ladder."""
    child = state.orders[row]
    position = state.positions[position_row]
    takes_profit = child.kind == OrderKind.TAKE_PROFIT_MARKET
    before = position.take_profit_id if takes_profit else position.stop_loss_id
    if before != 0:
        orders.order_close(state, orders.order_find(state, before), int64(CloseReason.REPLACED))
    child.status = OrderStatus.TRIGGER
    child.parent_id = 0
    child.position_id = position.position_id
    if takes_profit:
        position.take_profit_id = child.order_id
    else:
        position.stop_loss_id = child.order_id
    triggers.order_push(state, row)
    events.emit_order_changed(state, row)
    state.touched |= int64(1) << (int64(child.market_id) - 1)


@kernel
def maker_execute(state, row):
    """Fill a resting order by the house at its own limit, or end it when its account cannot carry the result."""
    orders.order_take_in_hand(state, row)
    order = state.orders[ORDER_IN_HAND]
    account_row = tables.account_row(int64(order.account_id))
    market_row = int64(order.market_id) - 1
    position_row = int64(state.account_links[account_row].net[market_row])
    position = state.positions[position_row]  # ROW_NONE is a row of zeros: nothing is held
    lots = order.qty_lots - order.qty_filled_lots
    price_ticks = int64(order.price_ticks)
    matching.plan_maker(
        state.plan,
        state.markets[market_row],
        position.lots,
        position.cost_e6,
        position.margin_e6,
        state.accounts[account_row].free_e6,
        orders.side_sign(int64(order.side)),
        lots,
        price_ticks,
        int64(order.fee_maker_ppm),
        int64(order.leverage),
    )
    reason = int64(CloseReason.FILLED)
    if state.plan.free_after_e6 < 0:
        reason = int64(CloseReason.MARGIN_INSUFFICIENT)
    elif state.plan.open_lots > 0 and plan_liquidatable(state, market_row):
        reason = int64(CloseReason.WOULD_BE_LIQUIDATED)
    if reason != int64(CloseReason.FILLED):
        events.emit_closed_order(state, int64(ORDER_IN_HAND), reason)
        orders.children_close(state, account_row, order.order_id)
        state.touched |= int64(1) << market_row
    else:
        after = positions.fill_commit(
            state, position_row, int64(PositionKind.NET), lots, price_ticks, int64(1), int64(CloseReason.FILLED)
        )
        bracket_attach(state, account_row, after)
        if after != ROW_NONE:
            events.emit_position_changed(state, after)
        events.emit_closed_order(state, int64(ORDER_IN_HAND), reason)
    orders.reserves_refresh(state, account_row, market_row)
    events.emit_account_changed(state, account_row)


@kernel
def trigger_execute(state, row):
    """Wake an SL or TP: it closes its whole position at the touch, as a taker, without a price bound."""
    order = state.orders[row]
    market_row = int64(order.market_id) - 1
    price_ticks = triggers.ladder_price_ticks(state.markets[market_row], triggers.order_ladder(order))
    events.emit_trigger_fired(state, row, price_ticks)
    position_row = positions.position_find(state, order.position_id)
    assert position_row != ROW_NONE
    position = state.positions[position_row]
    if position.take_profit_id == order.order_id:
        position.take_profit_id = 0
    else:
        position.stop_loss_id = 0
    takes_profit = order.kind == OrderKind.TAKE_PROFIT_MARKET
    orders.order_take_in_hand(state, row)
    lots = abs(position.lots)
    state.orders[ORDER_IN_HAND].qty_lots = lots
    reason = int64(CloseReason.TAKE_PROFIT) if takes_profit else int64(CloseReason.STOP_LOSS)
    position_close(state, position_row, lots, reason)


@kernel
def position_close(state, position_row, lots, reason):
    """Close lots of a position at the touch by the order in hand, as a taker."""
    position = state.positions[position_row]
    order = state.orders[ORDER_IN_HAND]
    market_row = int64(position.market_id) - 1
    account_row = tables.account_row(int64(position.account_id))
    side_sign = int64(-1) if position.lots > 0 else int64(1)
    price_ticks = matching.touch_ticks(state.markets[market_row], side_sign)
    taker_plan(
        state,
        market_row,
        account_row,
        position_row,
        side_sign,
        lots,
        price_ticks,
        int64(order.fee_taker_ppm),
        int64(position.leverage),
    )
    taker_execute(state, position_row, int64(position.kind), lots, price_ticks, reason)


@kernel
def closing_side(lots):
    """Return the side that closes a position."""
    return int64(Side.SELL) if lots > 0 else int64(Side.BUY)


@kernel
def limit_outside_band(market, side_sign, price_ticks):
    """Return whether a limit is further beyond the mark than the market's price band allows."""
    if market.mark_ticks <= 0:
        return False
    return side_sign * (price_ticks * PPM - market.mark_ticks * (PPM + side_sign * market.config.price_band_ppm)) > 0
