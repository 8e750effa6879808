"""
One fill onto one position: open, increase, reduce, close, flip; and the birth and end of a position.

A fill is a plan; the cost side of every fill runs through the house's position, so that two users who trade with each
other leave it as it was.
"""

from numpy import int64

from engine.core import cross, events, ledger, orders, stale, tables, triggers
from engine.core.integers import mul_div_ceil
from engine.core.kernel import kernel
from engine.core.limits import BUY_SIGN, LIFE_E6_MAX, ROW_NONE
from shared.codes import (
    ACCOUNT_FEES,
    ACCOUNT_HOUSE,
    ACCOUNT_INSURANCE,
    CloseReason,
    LedgerReason,
    OrderKind,
    PositionKind,
)


@kernel
def position_link(state, row):
    """Put a position into the index, its account's and market's lists and, a net one, its place; also on restore."""
    position = state.positions[row]
    tables.index_insert(state.positions_index, state.index_seed, position.position_id, int64(0), int64(0), row)
    market_row = int64(position.market_id) - 1
    account_row = tables.account_row(int64(position.account_id))
    links = state.account_links[account_row]
    beside = state.position_links
    first, last = tables.list_insert(
        beside["next"],
        beside["previous"],
        state.positions["position_id"],
        row,
        int64(links.position_first),
        int64(links.position_last),
    )
    links.position_first = first
    links.position_last = last
    links.positions_open += 1
    market_insert(state, market_row, row)
    if account_row == ACCOUNT_HOUSE:
        state.market_links[market_row].house_row = row
    elif position.kind == PositionKind.TICKET:
        links.markets[market_row].ticket_lots += abs(position.lots)
    else:
        links.markets[market_row].net = row
        if position.cross != 0:
            links.cross_markets |= int64(1) << market_row
            stale.note(state, account_row)
        if links.markets[market_row].opening > 0:
            state.positions_pending -= 1


@kernel
def market_insert(state, market_row, row):
    """Put a position into its market's list, which runs by id; a taker's may be older than a maker's just opened."""
    market = state.market_links[market_row]
    links = state.position_links
    first, last = tables.list_insert(
        links["market_next"],
        links["market_previous"],
        state.positions["position_id"],
        row,
        market.position_first,
        market.position_last,
    )
    market.position_first = first
    market.position_last = last


@kernel
def market_unlink(state, market_row, row):
    """Take a position out of its market's list."""
    market = state.market_links[market_row]
    links = state.position_links
    first, last = tables.list_remove(
        links["market_next"], links["market_previous"], row, market.position_first, market.position_last
    )
    market.position_first = first
    market.position_last = last


@kernel
def position_id_take(state):
    """Return the next position id and use it up."""
    position_id = state.venue.position_next
    state.venue.position_next += 1
    return position_id


@kernel
def position_acquire(state, account_id, market_row, kind, leverage, position_id):
    """Return the row of a new position without lots; the caller has made sure that there is one."""
    row = tables.row_acquire(state.positions_table, state.position_links)
    assert row != ROW_NONE
    position = state.positions[row]
    position.position_id = position_id
    position.account_id = account_id
    position.market_id = market_row + 1
    position.kind = kind
    if kind == PositionKind.NET:
        position.cross = int64(cross.chosen(state, tables.account_row(account_id), market_row))
    position.leverage = leverage
    position.opened_us = state.header.log_time_us
    position_link(state, row)
    return row


@kernel
def position_release(state, row):
    """Take an emptied position out of everything and free its row."""
    position = state.positions[row]
    assert position.lots == 0 and position.cost_e6 == 0 and position.margin_e6 == 0
    assert state.position_links[row].bound == 0
    market_row = int64(position.market_id) - 1
    links = state.account_links[tables.account_row(int64(position.account_id))]
    tables.index_remove(state.positions_index, state.index_seed, position.position_id, int64(0), int64(0))
    beside = state.position_links
    first, last = tables.list_remove(
        beside["next"], beside["previous"], row, int64(links.position_first), int64(links.position_last)
    )
    links.position_first = first
    links.position_last = last
    links.positions_open -= 1
    market_unlink(state, market_row, row)
    if position.cross != 0:
        triggers.band_drop(state, row)
        links.cross_markets &= ~(int64(1) << market_row)
        links.ended_id = position.position_id
        links.ended_market = market_row
    if position.kind == PositionKind.NET:
        links.markets[market_row].net = ROW_NONE
        if links.markets[market_row].opening > 0:
            state.positions_pending += 1
    state.positions[row] = state.positions[ROW_NONE]
    tables.row_release(state.positions_table, state.position_links, row)


@kernel
def position_end(state, row, direction_sign, reason):
    """Tell a position's whole life, end what was bound to it, and free its row."""
    position = state.positions[row]
    for order_id in (position.take_profit_id, position.stop_loss_id):
        if order_id != 0:
            orders.order_close(state, orders.order_find(state, order_id), int64(CloseReason.POSITION_CLOSED))
    if state.position_links[row].bound > 0:
        bound_close(state, row)
    events.emit_closed_position(state, row, direction_sign, reason)
    events.emit_position_changed(state, row)
    position_release(state, row)


@kernel
def bound_close(state, position_row):
    """End the reduce-only orders of a position that ends, by priority."""
    position = state.positions[position_row]
    account_row = tables.account_row(int64(position.account_id))
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        following = int64(state.order_links[row].next)
        order = state.orders[row]
        if order.reduce_only != 0 and order.position_id == position.position_id and not orders.follows_position(order):
            orders.order_close(state, row, int64(CloseReason.POSITION_CLOSED))
        row = following


@kernel
def lots_add(state, market_row, position_row, lots):
    """Change a position's lots, and the open interest with it."""
    position = state.positions[position_row]
    before = position.lots
    position.lots = before + lots
    if position.kind == PositionKind.TICKET:
        links = state.account_links[tables.account_row(int64(position.account_id))]
        links.markets[market_row].ticket_lots += abs(position.lots) - abs(before)
    state.markets[market_row].open_interest_lots += max(position.lots, int64(0)) - max(before, int64(0))


@kernel
def house_book(state, market_row, side_sign, lots, close_e6_first, notional_e6):
    """
    Book the house's own lots and result of one fill, whose notional already stands in its cost.

    Rounds: its cost part up, like everybody's; exact for the venue, because the rest stays in the cost.
    """
    house_row = state.market_links[market_row].house_row
    house = state.positions[house_row]
    if house.lots * side_sign < 0:
        close_lots = min(lots, abs(house.lots))
        cost_before_e6 = house.cost_e6 - side_sign * notional_e6
        cost_part_e6 = mul_div_ceil(cost_before_e6, close_lots, abs(house.lots))
        pnl_e6 = -side_sign * close_e6_first - cost_part_e6
        ledger.pnl_book(state, int64(ACCOUNT_HOUSE), house_row, pnl_e6, int64(0))
    lots_add(state, market_row, house_row, side_sign * lots)


@kernel
def trade_legs(state, market_row, position_row, side_sign, notional_e6):
    """Move a fill's notional between the user's position and the house's."""
    house_row = state.market_links[market_row].house_row
    if side_sign == BUY_SIGN:
        ledger.trade_book(state, position_row, house_row, notional_e6)
    else:
        ledger.trade_book(state, house_row, position_row, notional_e6)


@kernel
def fee_pay(state, plan, order_row, account_row, position_row):
    """Pay a plan's fee; a forced close pays the insurance fund."""
    order = state.orders[order_row]
    state.positions[position_row].fees_e6 += plan.fee_e6
    if order.kind == OrderKind.LIQUIDATION:
        reason = int64(LedgerReason.LIQUIDATION_FEE)
        ledger.transfer(state, account_row, int64(ACCOUNT_INSURANCE), plan.fee_e6, reason, order.order_id)
    else:
        ledger.transfer(state, account_row, int64(ACCOUNT_FEES), plan.fee_e6, int64(LedgerReason.FEE), order.order_id)


@kernel
def deficit_cover(state, reference, account_row, position_id, market_row, deficit_e6):
    """Let INSURANCE, down to zero, and then HOUSE pay what a closed position lost beyond what was behind it."""
    insurance_e6 = min(deficit_e6, max(int64(0), state.accounts[ACCOUNT_INSURANCE].free_e6))
    reason = int64(LedgerReason.DEFICIT)
    if insurance_e6 > 0:
        ledger.transfer(state, int64(ACCOUNT_INSURANCE), account_row, insurance_e6, reason, reference)
        events.emit_deficit(state, account_row, position_id, market_row, int64(ACCOUNT_INSURANCE), insurance_e6)
    if deficit_e6 > insurance_e6:
        house_e6 = deficit_e6 - insurance_e6
        ledger.transfer(state, int64(ACCOUNT_HOUSE), account_row, house_e6, reason, reference)
        events.emit_deficit(state, account_row, position_id, market_row, int64(ACCOUNT_HOUSE), house_e6)


@kernel
def changes_begin(state, account_row, position_row):
    """Take a position whose lots are about to change out of what waits for its price."""
    triggers.threshold_drop(state, position_row)
    stale.note(state, account_row)


@kernel
def close_commit(state, plan, order_row, position_row, side_sign, reason):
    """Book the closing part of a plan; returns the position's row, or ROW_NONE when it ended."""
    order_id = state.orders[order_row].order_id
    position = state.positions[position_row]
    account_row = tables.account_row(int64(position.account_id))
    market_row = int64(position.market_id) - 1
    changes_begin(state, account_row, position_row)
    ledger.margin_add(state, account_row, position_row, -plan.released_e6, order_id)
    trade_legs(state, market_row, position_row, side_sign, plan.close_e6)
    ledger.pnl_book(state, account_row, position_row, plan.pnl_e6, order_id)
    fee_pay(state, plan, order_row, account_row, position_row)
    lots_add(state, market_row, position_row, side_sign * plan.close_lots)
    if position.exit_e6 + plan.close_e6 > LIFE_E6_MAX:
        position.exit_lots //= 2
        position.exit_e6 //= 2
    position.exit_lots += plan.close_lots
    position.exit_e6 += plan.close_e6
    position.pnl_e6 += plan.pnl_e6
    cash_e6 = plan.released_e6 + plan.pnl_e6 - plan.fee_e6
    if position.lots != 0:
        if cash_e6 < 0 and position.cross == 0:
            ledger.margin_add(state, account_row, position_row, cash_e6, order_id)
        triggers.threshold_push(state, position_row)
        return position_row
    deficit_cover(state, order_id, account_row, position.position_id, market_row, plan.deficit_e6)
    position_end(state, position_row, -side_sign, reason)
    return int64(ROW_NONE)


@kernel
def open_commit(state, plan, order_row, position_row, kind, leverage, position_id, side_sign):
    """Book the opening part of a plan onto a position, a new one with this id if there is none; returns its row."""
    order = state.orders[order_row]
    market_row = int64(order.market_id) - 1
    account_row = tables.account_row(int64(order.account_id))
    if position_row == ROW_NONE:
        position_row = position_acquire(state, int64(order.account_id), market_row, kind, leverage, position_id)
    else:
        changes_begin(state, account_row, position_row)
    if plan.close_lots == 0:
        fee_pay(state, plan, order_row, account_row, position_row)
    position = state.positions[position_row]
    ledger.margin_add(state, account_row, position_row, plan.margin_in_e6 + plan.open_loss_e6, order.order_id)
    trade_legs(state, market_row, position_row, side_sign, plan.open_e6)
    lots_add(state, market_row, position_row, side_sign * plan.open_lots)
    if position.entry_e6 + plan.open_e6 > LIFE_E6_MAX:
        position.entry_lots //= 2
        position.entry_e6 //= 2
    position.entry_lots += plan.open_lots
    position.entry_e6 += plan.open_e6
    triggers.threshold_push(state, position_row)
    return position_row


@kernel
def fill_note(state, plan, order_row, position_id, maker, lots):
    """Add a fill to its order's totals and tell it; position_id is what it ends on."""
    order = state.orders[order_row]
    notional_e6 = plan.close_e6 + plan.open_e6
    order.qty_filled_lots += lots
    order.filled_e6 += notional_e6
    order.fee_e6 += plan.fee_e6
    order.pnl_e6 += plan.pnl_e6
    events.emit_fill(state, order_row, position_id, maker, lots, notional_e6, plan.fee_e6, plan.pnl_e6)


@kernel
def fill_book(state, plan, order_row, position_row, kind, leverage, position_id, reason):
    """
    Book a plan: one fill of an order.

    Units:  position_row is what the fill meets, ROW_NONE for none; kind, leverage and position_id are of a position
            that it may open; reason is why a position that it ends has ended.
    Returns the row of the position as the fill leaves it, or ROW_NONE.
    """
    order = state.orders[order_row]
    market_row = int64(order.market_id) - 1  # asked now: a reduce-only order may end with its position
    sign = orders.side_sign(order.side)
    flips = plan.close_lots > 0 and plan.open_lots > 0
    after = position_row
    if plan.close_lots > 0:
        end_reason = int64(CloseReason.FLIPPED) if flips else reason
        after = close_commit(state, plan, order_row, position_row, sign, end_reason)
    if plan.open_lots > 0:
        after = open_commit(state, plan, order_row, after, kind, leverage, position_id, sign)
    assert market_row >= 0
    state.touched |= int64(1) << market_row
    return after


@kernel
def fill_position_id(state, plan, position_row, position_id_new):
    """Return the id of the position that a fill ends on: the one it meets, or the new one that it opens."""
    if position_row == ROW_NONE or (plan.close_lots > 0 and plan.open_lots > 0):
        return position_id_new
    return state.positions[position_row].position_id
