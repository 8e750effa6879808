"""
Order rows: enter, leave, close; what holds an order's links, ladder, reserve and children together.

Row ORDER_IN_HAND is the order that executes now. It is in no index and no ladder: an order that never rests is built
there, one that wakes or is met is moved there first, so that every execution reads the same row.
"""

from numpy import int64

from engine.core import events, ledger, matching, tables, triggers
from engine.core.kernel import kernel
from engine.core.limits import ORDER_IN_HAND, ROW_NONE
from shared.codes import CloseReason, OrderStatus, Side
from shared.records import CLIENT_ID_WORDS


@kernel
def side_sign(side):
    """Return +1 for BUY, −1 for SELL."""
    return int64(1) if side == Side.BUY else int64(-1)


@kernel
def order_copy(target, source):
    """Make `target` an order equal to `source`."""
    target.order_id = source.order_id
    target.priority = source.priority
    target.position_id = source.position_id
    target.parent_id = source.parent_id
    target.qty_lots = source.qty_lots
    target.qty_filled_lots = source.qty_filled_lots
    target.filled_e6 = source.filled_e6
    target.fee_e6 = source.fee_e6
    target.pnl_e6 = source.pnl_e6
    target.reserved_e6 = source.reserved_e6
    target.placed_us = source.placed_us
    for word in range(CLIENT_ID_WORDS):
        target.client_order_id[word] = source.client_order_id[word]
    target.account_id = source.account_id
    target.price_ticks = source.price_ticks
    target.price_trigger_ticks = source.price_trigger_ticks
    target.fee_maker_ppm = source.fee_maker_ppm
    target.fee_taker_ppm = source.fee_taker_ppm
    target.leverage = source.leverage
    target.market_id = source.market_id
    target.side = source.side
    target.kind = source.kind
    target.status = source.status
    target.tif = source.tif
    target.trigger_by = source.trigger_by
    target.post_only = source.post_only
    target.reduce_only = source.reduce_only


@kernel
def order_blank(order):
    """Clear a row: a free one is all zeros."""
    order.order_id = 0
    order.priority = 0
    order.position_id = 0
    order.parent_id = 0
    order.qty_lots = 0
    order.qty_filled_lots = 0
    order.filled_e6 = 0
    order.fee_e6 = 0
    order.pnl_e6 = 0
    order.reserved_e6 = 0
    order.placed_us = 0
    for word in range(CLIENT_ID_WORDS):
        order.client_order_id[word] = 0
    order.account_id = 0
    order.price_ticks = 0
    order.price_trigger_ticks = 0
    order.fee_maker_ppm = 0
    order.fee_taker_ppm = 0
    order.leverage = 0
    order.market_id = 0
    order.side = 0
    order.kind = 0
    order.status = 0
    order.tif = 0
    order.trigger_by = 0
    order.post_only = 0
    order.reduce_only = 0


@kernel
def order_start(state, row, market_row, account_id, side, kind):
    """
    Begin a new order in a row of its own or in the hand, with the next order id and the market's fees of now.

    Writes: orders[row], venue.order_next.
    """
    order = state.orders[row]
    order_blank(order)
    order.order_id = state.venue.order_next
    state.venue.order_next += 1
    order.account_id = account_id
    order.market_id = market_row + 1
    order.side = side
    order.kind = kind
    order.placed_us = state.header.log_time_us
    config = state.markets[market_row].config
    order.fee_maker_ppm = config.fee_maker_ppm
    order.fee_taker_ppm = config.fee_taker_ppm


@kernel
def order_find(state, order_id):
    """Return the row of a live order, or ROW_NONE."""
    return tables.index_find(state.orders_index, state.index_seed, order_id, int64(0), int64(0))


@kernel
def order_link(state, row):
    """Put a stored order into the index, its account's list, its ladder and the counts; also on restore."""
    order = state.orders[row]
    tables.index_insert(state.orders_index, state.index_seed, order.order_id, int64(0), int64(0), row)
    account_row = tables.account_row(int64(order.account_id))
    account = state.account_links[account_row]
    tables.list_append(state.order_links, row, int64(account.order_last))
    if account.order_last == ROW_NONE:
        account.order_first = row
    account.order_last = row
    if order.status == OrderStatus.RESTING:
        market_row = int64(order.market_id) - 1
        account.orders_resting += 1
        if account.resting[market_row] == 0 and account.net[market_row] == ROW_NONE:
            state.positions_pending += 1
        account.resting[market_row] += 1
    else:
        account.orders_dormant += 1
    if order.status != OrderStatus.ATTACHED:
        triggers.order_push(state, row)


@kernel
def uncovered_set(state, row, lots):
    """Note how many lots of a resting order open, and the market's sum of them."""
    link = state.order_links[row]
    state.market_links[int64(state.orders[row].market_id) - 1].uncovered_lots += lots - link.uncovered_lots
    link.uncovered_lots = lots


@kernel
def order_acquire(state):
    """Return a free row; the caller has made sure that there is one, and links it once it is filled."""
    row = tables.row_acquire(state.orders_table, state.order_links)
    assert row != ROW_NONE
    return row


@kernel
def order_leave(state, row):
    """Take an order out of everything and free its row; no money moves and nothing is told."""
    order = state.orders[row]
    if order.status != OrderStatus.ATTACHED:
        triggers.order_drop(state, row)
    account = state.account_links[tables.account_row(int64(order.account_id))]
    if order.status == OrderStatus.RESTING:
        market_row = int64(order.market_id) - 1
        account.orders_resting -= 1
        account.resting[market_row] -= 1
        if account.resting[market_row] == 0 and account.net[market_row] == ROW_NONE:
            state.positions_pending -= 1
        uncovered_set(state, row, int64(0))
    else:
        account.orders_dormant -= 1
    tables.index_remove(state.orders_index, state.index_seed, order.order_id, int64(0), int64(0))
    following, previous = tables.list_remove(state.order_links, row)
    if account.order_first == row:
        account.order_first = following
    if account.order_last == row:
        account.order_last = previous
    order_blank(order)
    tables.row_release(state.orders_table, state.order_links, row)


@kernel
def order_take_in_hand(state, row):
    """Move a live order into the hand; its reserve returns to free first."""
    order = state.orders[row]
    ledger.reserve(state, tables.account_row(int64(order.account_id)), row, -order.reserved_e6)
    order_copy(state.orders[ORDER_IN_HAND], order)
    order_leave(state, row)


@kernel
def order_close(state, row, reason):
    """End a live order, and with a resting one the children that waited for it."""
    order = state.orders[row]
    order_id = order.order_id
    account_row = tables.account_row(int64(order.account_id))
    resting = order.status == OrderStatus.RESTING
    order_end(state, row, reason)
    if resting:
        children_close(state, account_row, order_id)


@kernel
def order_end(state, row, reason):
    """End one live order: release its reserve, unbind it from its position, tell its whole life."""
    order = state.orders[row]
    ledger.reserve(state, tables.account_row(int64(order.account_id)), row, -order.reserved_e6)
    position_row = tables.index_find(state.positions_index, state.index_seed, order.position_id, int64(0), int64(0))
    if order.position_id != 0 and position_row != ROW_NONE:
        position = state.positions[position_row]
        if position.take_profit_id == order.order_id:
            position.take_profit_id = 0
        if position.stop_loss_id == order.order_id:
            position.stop_loss_id = 0
    events.emit_closed_order(state, row, reason)
    order_leave(state, row)


@kernel
def children_close(state, account_row, parent_id):
    """End the attached children of an order that went without filling."""
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        following = int64(state.order_links[row].next)
        order = state.orders[row]
        if order.status == OrderStatus.ATTACHED and order.parent_id == parent_id:
            order_end(state, row, int64(CloseReason.PARENT_CLOSED))
        row = following


@kernel
def reserves_refresh(state, account_row, market_row):
    """
    Recompute what an account's resting orders in a market hold back, after its net position changed.

    The opposite position covers the oldest first. Whenever free money then lacks, the account's newest reserving
    orders end, MARGIN_INSUFFICIENT, until it does not.
    """
    links = state.account_links[account_row]
    if links.resting[market_row] > 0:
        net_row = int64(links.net[market_row])
        lots = state.positions[net_row].lots if net_row != ROW_NONE else int64(0)
        for side in (int64(Side.BUY), int64(Side.SELL)):
            reserves_side_refresh(state, account_row, market_row, side, max(int64(0), -lots * side_sign(side)))
    account = state.accounts[account_row]
    while account.free_e6 < 0 and account.reserved_e6 > 0:
        row = int64(links.order_last)
        while state.orders[row].reserved_e6 == 0:
            row = int64(state.order_links[row].previous)
        order_close(state, row, int64(CloseReason.MARGIN_INSUFFICIENT))


@kernel
def reserves_side_refresh(state, account_row, market_row, side, cover_lots):
    """Recompute the reserves of one side; cover_lots is the opposite position."""
    market = state.markets[market_row]
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        if order.status == OrderStatus.RESTING and order.side == side and order.market_id == market_row + 1:
            open_lots = order.qty_lots - order.qty_filled_lots
            covered = min(cover_lots, open_lots)
            cover_lots -= covered
            uncovered_set(state, row, open_lots - covered)
            due_e6 = matching.reserve_e6(
                market, open_lots - covered, int64(order.price_ticks), int64(order.leverage), int64(order.fee_taker_ppm)
            )
            if due_e6 != order.reserved_e6:
                ledger.reserve(state, account_row, row, due_e6 - order.reserved_e6)
                events.emit_order_changed(state, row)
        row = int64(state.order_links[row].next)


@kernel
def cover_left_lots(state, account_row, market_row, side):
    """Return how many lots of the opposite net position the account's resting orders of a side leave uncovered."""
    links = state.account_links[account_row]
    net_row = int64(links.net[market_row])
    if net_row == ROW_NONE:
        return int64(0)
    left = max(int64(0), -state.positions[net_row].lots * side_sign(side))
    return max(int64(0), left - resting_lots(state, account_row, market_row, side))


@kernel
def resting_lots(state, account_row, market_row, side):
    """Return Σ of the open lots of an account's resting orders of one side in a market."""
    total = int64(0)
    if state.account_links[account_row].resting[market_row] == 0:
        return total
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        if order.status == OrderStatus.RESTING and order.side == side and order.market_id == market_row + 1:
            total += order.qty_lots - order.qty_filled_lots
        row = int64(state.order_links[row].next)
    return total
