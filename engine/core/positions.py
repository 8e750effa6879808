"""
One fill onto one position: open, increase, reduce, close, flip; and the birth and end of a position.

The fill is the plan in hand of the order in hand; the house takes its other side.
"""

from numpy import int64

from engine.core import events, ledger, orders, tables, triggers
from engine.core.integers import mul_div_ceil
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ROW_NONE
from shared.codes import (
    ACCOUNT_FEES,
    ACCOUNT_HOUSE,
    ACCOUNT_INSURANCE,
    CloseReason,
    LedgerReason,
    OrderKind,
    PositionKind,
    Side,
)


@kernel
def position_find(state, position_id):
    """Return the row of a position, or ROW_NONE."""
    return tables.index_find(state.positions_index, state.index_seed, position_id, int64(0), int64(0))


@kernel
def position_link(state, row):
    """Put a position into the index, its account's list and, a net one, its place there; also on restore."""
    position = state.positions[row]
    tables.index_insert(state.positions_index, state.index_seed, position.position_id, int64(0), int64(0), row)
    market_row = int64(position.market_id) - 1
    account_row = tables.account_row(int64(position.account_id))
    links = state.account_links[account_row]
    tables.list_append(state.position_links, row, int64(links.position_last))
    if links.position_last == ROW_NONE:
        links.position_first = row
    links.position_last = row
    links.positions_open += 1
    if account_row == ACCOUNT_HOUSE:
        state.market_links[market_row].house_row = row
    elif position.kind == PositionKind.TICKET:
        links.ticket_lots[market_row] += abs(position.lots)
    else:
        links.net[market_row] = row
        if links.resting[market_row] > 0:
            state.positions_pending -= 1


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
    position.leverage = leverage
    position.opened_us = state.header.log_time_us
    position_link(state, row)
    return row


@kernel
def position_release(state, row):
    """Take an emptied position out of everything and free its row."""
    position = state.positions[row]
    assert position.lots == 0 and position.cost_e6 == 0 and position.margin_e6 == 0
    market_row = int64(position.market_id) - 1
    links = state.account_links[tables.account_row(int64(position.account_id))]
    tables.index_remove(state.positions_index, state.index_seed, position.position_id, int64(0), int64(0))
    following, previous = tables.list_remove(state.position_links, row)
    if links.position_first == row:
        links.position_first = following
    if links.position_last == row:
        links.position_last = previous
    links.positions_open -= 1
    if position.kind == PositionKind.NET:
        links.net[market_row] = ROW_NONE
        if links.resting[market_row] > 0:
            state.positions_pending += 1
    position.position_id = 0
    position.opened_us = 0
    position.entry_lots = 0
    position.entry_e6 = 0
    position.exit_lots = 0
    position.exit_e6 = 0
    position.pnl_e6 = 0
    position.fees_e6 = 0
    position.funding_e6 = 0
    position.take_profit_id = 0
    position.stop_loss_id = 0
    position.account_id = 0
    position.leverage = 0
    position.market_id = 0
    position.kind = 0
    tables.row_release(state.positions_table, state.position_links, row)


@kernel
def position_end(state, row, direction_sign, reason):
    """Tell a position's whole life, end the SL and TP that were bound to it, and free its row."""
    position = state.positions[row]
    for order_id in (position.take_profit_id, position.stop_loss_id):
        if order_id != 0:
            orders.order_close(state, orders.order_find(state, order_id), int64(CloseReason.POSITION_CLOSED))
    events.emit_closed_position(state, row, direction_sign, reason)
    events.emit_position_changed(state, row)
    position_release(state, row)


@kernel
def lots_add(state, market_row, position_row, lots):
    """Change a position's lots, and the open interest with it."""
    position = state.positions[position_row]
    before = position.lots
    position.lots = before + lots
    if position.kind == PositionKind.TICKET:
        links = state.account_links[tables.account_row(int64(position.account_id))]
        links.ticket_lots[market_row] += abs(position.lots) - abs(before)
    state.markets[market_row].open_interest_lots += max(position.lots, int64(0)) - max(before, int64(0))


@kernel
def house_book(state, market_row, side_sign, lots, price_ticks):
    """
    Book the house's own lots and result of one fill, whose notional already stands in its cost.

    Rounds: its cost part up, like everybody's; exact for the venue, because the rest stays in the cost.
    """
    house_row = state.market_links[market_row].house_row
    house = state.positions[house_row]
    opposed = house.lots * side_sign < 0
    if opposed:
        unit_e6 = state.markets[market_row].config.unit_e6
        close_lots = min(lots, abs(house.lots))
        cost_before_e6 = house.cost_e6 - side_sign * lots * price_ticks * unit_e6
        cost_part_e6 = mul_div_ceil(cost_before_e6, close_lots, abs(house.lots))
        pnl_e6 = -side_sign * close_lots * price_ticks * unit_e6 - cost_part_e6
        ledger.pnl_book(state, int64(ACCOUNT_HOUSE), house_row, pnl_e6, int64(0))
    lots_add(state, market_row, house_row, side_sign * lots)


@kernel
def trade_legs(state, market_row, position_row, side_sign, notional_e6):
    """Move a fill's notional between the user's position and the house's."""
    house_row = state.market_links[market_row].house_row
    if side_sign > 0:
        ledger.trade_book(state, position_row, house_row, notional_e6)
    else:
        ledger.trade_book(state, house_row, position_row, notional_e6)


@kernel
def fee_pay(state, account_row, position_row):
    """Pay the fee of the plan in hand; a forced close pays the insurance fund."""
    order = state.orders[ORDER_IN_HAND]
    fee_e6 = state.plan.fee_e6
    state.positions[position_row].fees_e6 += fee_e6
    if order.kind == OrderKind.LIQUIDATION:
        ledger.transfer(
            state, account_row, int64(ACCOUNT_INSURANCE), fee_e6, int64(LedgerReason.LIQUIDATION_FEE), order.order_id
        )
    else:
        ledger.transfer(state, account_row, int64(ACCOUNT_FEES), fee_e6, int64(LedgerReason.FEE), order.order_id)


@kernel
def deficit_cover(state, account_row, position_row, deficit_e6):
    """Let INSURANCE, down to zero, and then HOUSE pay what a closed position lost beyond its margin."""
    order_id = state.orders[ORDER_IN_HAND].order_id
    insurance_e6 = min(deficit_e6, max(int64(0), state.accounts[ACCOUNT_INSURANCE].free_e6))
    if insurance_e6 > 0:
        ledger.transfer(
            state, int64(ACCOUNT_INSURANCE), account_row, insurance_e6, int64(LedgerReason.DEFICIT), order_id
        )
        events.emit_deficit(state, position_row, int64(ACCOUNT_INSURANCE), insurance_e6)
    if deficit_e6 > insurance_e6:
        house_e6 = deficit_e6 - insurance_e6
        ledger.transfer(state, int64(ACCOUNT_HOUSE), account_row, house_e6, int64(LedgerReason.DEFICIT), order_id)
        events.emit_deficit(state, position_row, int64(ACCOUNT_HOUSE), house_e6)


@kernel
def close_commit(state, account_row, position_row, side_sign, reason):
    """Book the closing part of the plan in hand; returns the position's row, or ROW_NONE when it ended."""
    plan = state.plan
    order_id = state.orders[ORDER_IN_HAND].order_id
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    triggers.threshold_drop(state, position_row)
    ledger.margin_add(state, account_row, position_row, -plan.released_e6, order_id)
    trade_legs(state, market_row, position_row, side_sign, plan.close_e6)
    ledger.pnl_book(state, account_row, position_row, plan.pnl_e6, order_id)
    fee_pay(state, account_row, position_row)
    lots_add(state, market_row, position_row, side_sign * plan.close_lots)
    position.exit_lots += plan.close_lots
    position.exit_e6 += plan.close_e6
    position.pnl_e6 += plan.pnl_e6
    cash_e6 = plan.released_e6 + plan.pnl_e6 - plan.fee_e6
    if position.lots != 0:
        if cash_e6 < 0:
            ledger.margin_add(state, account_row, position_row, cash_e6, order_id)
        triggers.threshold_push(state, position_row)
        return position_row
    if plan.deficit_e6 > 0:
        deficit_cover(state, account_row, position_row, plan.deficit_e6)
    position_end(state, position_row, -side_sign, reason)
    return int64(ROW_NONE)


@kernel
def open_commit(state, account_row, market_row, position_row, kind, side_sign):
    """Book the opening part of the plan in hand onto a position, a new one if there is none; returns its row."""
    plan = state.plan
    order = state.orders[ORDER_IN_HAND]
    if position_row == ROW_NONE:
        position_id = state.venue.position_next
        state.venue.position_next += 1
        position_row = position_acquire(
            state, int64(order.account_id), market_row, kind, int64(order.leverage), position_id
        )
    else:
        triggers.threshold_drop(state, position_row)
    if plan.close_lots == 0:
        fee_pay(state, account_row, position_row)
    position = state.positions[position_row]
    ledger.margin_add(state, account_row, position_row, plan.margin_in_e6 + plan.open_loss_e6, order.order_id)
    trade_legs(state, market_row, position_row, side_sign, plan.open_e6)
    lots_add(state, market_row, position_row, side_sign * plan.open_lots)
    position.entry_lots += plan.open_lots
    position.entry_e6 += plan.open_e6
    triggers.threshold_push(state, position_row)
    return position_row


@kernel
def fill_commit(state, position_row, kind, lots, price_ticks, maker, reason):
    """
    Book the plan in hand: one fill of the order in hand against the house.

    Units:  position_row is what the fill meets, ROW_NONE for none; kind is PositionKind of what it may open; reason
            is why a position that it ends has ended.
    Writes: the position, the house's, the accounts, the order in hand's totals; events fill, trade, legs, ends.
    Returns the row of the position as the fill leaves it, or ROW_NONE.
    """
    plan = state.plan
    order = state.orders[ORDER_IN_HAND]
    market_row = int64(order.market_id) - 1
    account_row = tables.account_row(int64(order.account_id))
    side_sign = orders.side_sign(int64(order.side))
    flips = plan.close_lots > 0 and plan.open_lots > 0
    position_id = state.venue.position_next
    if position_row != ROW_NONE and not flips:
        position_id = state.positions[position_row].position_id
    order.position_id = position_id
    order.qty_filled_lots += lots
    order.filled_e6 += plan.close_e6 + plan.open_e6
    order.fee_e6 += plan.fee_e6
    order.pnl_e6 += plan.pnl_e6
    events.emit_fill(state, int64(ORDER_IN_HAND), position_id, maker, lots, price_ticks, plan.fee_e6, plan.pnl_e6)
    buys = (side_sign > 0) != (maker == 1)
    events.emit_trade(state, market_row, lots, price_ticks, int64(Side.BUY) if buys else int64(Side.SELL))
    after = position_row
    if plan.close_lots > 0:
        after = close_commit(
            state, account_row, position_row, side_sign, int64(CloseReason.FLIPPED) if flips else reason
        )
    if plan.open_lots > 0:
        after = open_commit(state, account_row, market_row, after, kind, side_sign)
    house_book(state, market_row, -side_sign, lots, price_ticks)
    state.touched |= int64(1) << market_row
    return after
