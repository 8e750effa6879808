"""
Closing by force: whose orders end first, how much is closed at which bound, and what users and quote leave to the ADL.

The order is a taker like any other: users' orders first, then the quote. In `book` mode its bound is the price at
which margin and insurance fund are used up, but the fund never pays for a price worse than the mark.
Source: docs/risk.md#liquidation
"""

from numpy import int64

from engine.core import (
    adl,
    closing,
    cross,
    depth,
    events,
    ladder,
    margin,
    matching,
    orders,
    prices,
    stages,
    sweep,
    tables,
    taking,
    triggers,
)
from engine.core.integers import ceil_div, mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ORDER_IN_HAND, ORDERS_CAPACITY, PPM, PRICE_TICKS_MAX, ROW_NONE
from shared.codes import ACCOUNT_INSURANCE, CloseReason, Liquidity, OrderKind, Tif


@kernel
def liquidation_next(state, market_row):
    """Return the row of the isolated position that is liquidated next, longs by descending threshold, or ROW_NONE."""
    for number in (triggers.THRESHOLD, triggers.THRESHOLD + 1):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return state.ladders[market_row * LADDERS_COUNT + number].best_node - ORDERS_CAPACITY
    return int64(ROW_NONE)


@kernel
def used_up_ticks(position, unit_e6, backing_e6):
    """
    Return the price at which what backs a position is used up, inside the price window.

    Rounds: in favour of the position: up for a long, down for a short.
    Source: docs/risk.md#bankruptcy-price
    """
    base = abs(position.lots) * unit_e6
    if position.lots > 0:
        ticks = ceil_div(position.cost_e6 - backing_e6, base)
    else:
        ticks = (backing_e6 - position.cost_e6) // base
    return min(max(ticks, int64(1)), int64(PRICE_TICKS_MAX))


@kernel
def behind_e6(state, position_row):
    """
    Return what stands behind a position: its margin; of a cross one, its share of the account's equity less its result.

    So all cross positions of an account, each closed where its own is used up, end at an equity of 0. Writes: pool.
    Rounds: the share down.
    Source: docs/risk.md#bankruptcy-price
    """
    position = state.positions[position_row]
    if position.cross == 0:
        return position.margin_e6
    market_row = int64(position.market_id) - 1
    market = state.markets[market_row]
    account_row = tables.account_row(int64(position.account_id))
    cross.account_sum(state, account_row)
    equity_e6 = cross.cash_e6(state, account_row) + state.pool.results_e6
    part_e6 = mul_div_floor(
        equity_e6, cross.share(state, market_row, position_row), cross.shares_sum(state, account_row)
    )
    return part_e6 - (position.lots * market.mark_ticks * market.config.unit_e6 - position.cost_e6)


@kernel
def book_prices(state, position_row, lots):
    """
    Return, for closing lots of a position in a `book`, the bankruptcy price and the worst price taken from users.

    When the whole is closed, the insurance fund bears a price beyond the bankruptcy price, down to the mark; those of a
    cross position, which may lie anywhere, are held in the market's price band.
    Source: docs/risk.md#bankruptcy-price
    """
    position = state.positions[position_row]
    market = state.markets[int64(position.market_id) - 1]
    mark_ticks = market.mark_ticks
    unit_e6 = market.config.unit_e6
    backing_e6 = behind_e6(state, position_row)
    fund_e6 = int64(0)
    if lots == abs(position.lots):
        fund_e6 = max(fund_e6, state.accounts[ACCOUNT_INSURANCE].free_e6)
    bankruptcy_ticks = used_up_ticks(position, unit_e6, backing_e6)
    bound_ticks = used_up_ticks(position, unit_e6, backing_e6 + fund_e6)
    if position.cross != 0:
        bankruptcy_ticks = band_clamp(market, bankruptcy_ticks)
        bound_ticks = band_clamp(market, bound_ticks)
    if position.lots > 0:
        return bankruptcy_ticks, max(bound_ticks, min(bankruptcy_ticks, mark_ticks))
    return bankruptcy_ticks, min(bound_ticks, max(bankruptcy_ticks, mark_ticks))


@kernel
def band_clamp(market, ticks):
    """Return the price nearest to one inside the price window that lies in a market's price band."""
    band = market.config.price_band_ppm
    low_ticks = ceil_div(market.mark_ticks * (PPM - band), int64(PPM))
    return min(max(ticks, low_ticks), market.mark_ticks * (PPM + band) // PPM)


@kernel
def liquidate(state, position_row):
    """
    Cancel the account's orders in the market of an isolated position, and close it, wholly or by a stage.

    No taker fee; the liquidation fee goes to INSURANCE, the rest to the account; what lacks is a deficit.
    """
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    account_row = tables.account_row(int64(position.account_id))
    orders_end(state, account_row, market_row, position.position_id)
    # Cancelling moved nothing of an isolated position, and its threshold is the exact test.
    market = state.markets[market_row]
    assert margin.liquidatable(market.config, position.lots, position.cost_e6, position.margin_e6, market.mark_ticks)
    position_close(state, position_row)


@kernel
def account_liquidate(state, account_row):
    """
    Take one step in the liquidation of an account's cross positions: end its orders, or close the worst position.

    When the money that its orders held back is enough, nothing is closed.
    """
    if orders_end(state, account_row, int64(sweep.EVERY_MARKET), int64(0)) > 0:
        if cross.account_health_e6(state, account_row) > 0:
            events.emit_account_changed(state, account_row)
            return
    position_close(state, position_worst(state, account_row))


@kernel
def position_worst(state, account_row):
    """Return the row of an account's cross position with the lowest result at mark among tradable markets."""
    worst_row = int64(ROW_NONE)
    worst_e6 = int64(0)
    links = state.account_links[account_row]
    bits = links.cross_markets
    while bits != 0:
        market_row = int64(ladder.lowest_bit(bits))
        bits &= bits - 1
        if not prices.tradable(state, market_row):
            continue
        row = int64(links.markets[market_row].net)
        position = state.positions[row]
        market = state.markets[market_row]
        result_e6 = position.lots * market.mark_ticks * market.config.unit_e6 - position.cost_e6
        if worst_row == ROW_NONE or result_e6 < worst_e6:
            worst_row = row
            worst_e6 = result_e6
    # Only a tradable market settles, and it found the account by its position there.
    assert worst_row != ROW_NONE
    return worst_row


@kernel
def position_close(state, position_row):
    """Close as much of a position as the stage asks for, by an order of its own; the ADL takes what a book leaves."""
    position = state.positions[position_row]
    market = state.markets[int64(position.market_id) - 1]
    lots = stages.stage_lots(state, position_row)
    sign = orders.side_sign(orders.closing_side(position.lots))
    bound_ticks = int64(0)
    bankruptcy_ticks = int64(0)
    price_ticks = depth.touch_ticks(market, sign)
    if market.config.liquidity == Liquidity.BOOK:
        bankruptcy_ticks, bound_ticks = book_prices(state, position_row, lots)
        price_ticks = bound_ticks
    elif market.config.liquidity == Liquidity.QUOTE_SIZED:
        bound_ticks = depth.level_last_ticks(market, sign)
    closing.close_order_start(state, int64(ORDER_IN_HAND), position_row, lots, int64(OrderKind.LIQUIDATION))
    order = state.orders[ORDER_IN_HAND]
    order.tif = Tif.NONE
    taking.take_load(state, int64(ORDER_IN_HAND), int64(ROW_NONE))
    state.taker.forced = 1
    state.taker.bound_ticks = bound_ticks
    matching.walk(state)
    events.emit_liquidation(state, position_row, order.order_id, lots, price_ticks, bankruptcy_ticks)
    left_lots = closing.forced_run(state, int64(CloseReason.LIQUIDATION))
    if left_lots > 0:
        adl.adl_begin(state, left_lots, bankruptcy_ticks)


@kernel
def orders_end(state, account_row, market_row, position_id):
    """
    End an account's orders in a market, or in EVERY_MARKET, by priority; returns how many.

    SL and TP of positions stay, and what reduces a position other than the one with this id; or, 0, an isolated one.
    """
    count = int64(0)
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        following = int64(state.order_links[row].next)
        there = market_row == sweep.EVERY_MARKET or order.market_id == market_row + 1
        if there and not stays(state, order, position_id):
            waits = order.children > 0
            orders.order_close(state, row, int64(CloseReason.LIQUIDATION))
            count += 1
            if waits:
                # Its children may have gone with it: begin again rather than trust a link.
                following = int64(state.account_links[account_row].order_first)
        row = following
    return count


@kernel
def stays(state, order, position_id):
    """Return whether an order outlives the liquidation of a position, or, position_id 0, of the cross ones."""
    if orders.follows_position(order):
        return True
    if order.reduce_only == 0 or position_id != 0:
        return order.reduce_only != 0 and order.position_id != position_id
    return state.positions[orders.position_find(state, order.position_id)].cross == 0
