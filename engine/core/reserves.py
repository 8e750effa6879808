"""
What resting orders hold back and may still close: cover by the opposite position, reserves, reduce-only room.

Reduce-only orders reserve nothing and take no cover. Source: docs/risk.md#reserves
"""

from numpy import int64

from engine.core import cross, events, ledger, orders, plans
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from shared.codes import CloseReason, OrderStatus, Side


@kernel
def rests_openly(order, market_row, side):
    """Return whether an order rests on a side of a market and is not reduce-only."""
    return (
        order.status == OrderStatus.RESTING
        and order.reduce_only == 0
        and order.side == side
        and order.market_id == market_row + 1
    )


@kernel
def resting_lots(state, account_row, market_row, side, except_row):
    """Return Σ of the open lots of an account's resting orders of one side in a market, one of them left out."""
    there = state.account_links[account_row].markets[market_row]
    total = there.buy_lots if side == Side.BUY else there.sell_lots
    if except_row != ROW_NONE and rests_openly(state.orders[except_row], market_row, side):
        total -= state.orders[except_row].qty_lots - state.orders[except_row].qty_filled_lots
    return total


@kernel
def cover_left_lots(state, account_row, market_row, side, position_lots, except_row):
    """Return how many lots of a net position the account's resting orders of the closing side leave uncovered."""
    left = max(int64(0), -position_lots * orders.side_sign(side))
    if left == 0:
        return left
    return max(int64(0), left - resting_lots(state, account_row, market_row, side, except_row))


@kernel
def net_lots(state, account_row, market_row):
    """Return the lots of an account's net position in a market."""
    return state.positions[int64(state.account_links[account_row].markets[market_row].net)].lots


@kernel
def opens_first(state, account_row, market_row):
    """Return whether no net position is there yet and no live order may open one."""
    there = state.account_links[account_row].markets[market_row]
    return there.net == ROW_NONE and there.opening == 0


@kernel
def openly_from(state, row, market_row, side):
    """Return the first order from `row` on in its account's list that rests openly there, or ROW_NONE."""
    while row != ROW_NONE and not rests_openly(state.orders[row], market_row, side):
        row = int64(state.order_links[row].next)
    return row


@kernel
def openly_after(state, row, market_row, side):
    """Return the next order after `row` in its account's list that rests openly there, or ROW_NONE."""
    return openly_from(state, int64(state.order_links[row].next), market_row, side)


@kernel
def reserves_due_e6(state, account_row, market_row, leverage):
    """Return what all the account's resting orders in a market would hold back at a leverage."""
    total = int64(0)
    links = state.account_links[account_row]
    if links.markets[market_row].resting == 0:
        return total
    market = state.markets[market_row]
    lots = net_lots(state, account_row, market_row)
    for side in (int64(Side.BUY), int64(Side.SELL)):
        cover = max(int64(0), -lots * orders.side_sign(side))
        row = openly_from(state, int64(links.order_first), market_row, side)
        while row != ROW_NONE:
            order = state.orders[row]
            open_lots = order.qty_lots - order.qty_filled_lots
            covered = min(cover, open_lots)
            cover -= covered
            total += plans.reserve_e6(
                market, open_lots - covered, int64(order.price_ticks), leverage, orders.fee_reserve_ppm(order)
            )
            row = openly_after(state, row, market_row, side)
    return total


@kernel
def reserves_refresh(state, account_row, market_row):
    """
    Recompute what an account's resting orders in a market hold back, after its net position changed.

    The opposite position covers the oldest first. What more an isolated market holds back leaves the pool of cross
    positions: when they need it, the market's newest reserving orders end, MARGIN_INSUFFICIENT. Whenever free money
    then lacks, the account's newest do.
    """
    before_e6 = state.accounts[account_row].free_e6
    links = state.account_links[account_row]
    there = links.markets[market_row]
    leverage = orders.leverage_net(state, account_row, market_row)
    lots = net_lots(state, account_row, market_row)
    if there.resting > 0:
        for side in (int64(Side.BUY), int64(Side.SELL)):
            cover_lots = max(int64(0), -lots * orders.side_sign(side))
            covered = cover_lots > 0 or there.reserved_lots * orders.side_sign(side) < 0
            if covered or there.reserved_at != leverage:
                side_refresh(state, account_row, market_row, side, cover_lots)
    there.reserved_lots = lots
    there.reserved_at = leverage
    if cross.holds(state, account_row) and not cross.chosen(state, account_row, market_row):
        taken_end(state, account_row, market_row, before_e6 - state.accounts[account_row].free_e6)
    lack_end(state, account_row)


@kernel
def taken_end(state, account_row, market_row, taken_e6):
    """End a market's newest reserving orders until they take no more than before, or than may leave the pool."""
    if taken_e6 <= 0:
        return
    account = state.accounts[account_row]
    spare_e6 = min(int64(0), cross.spare_e6(state, account_row))
    while taken_e6 > 0 and account.free_e6 + spare_e6 < 0:
        row = int64(state.account_links[account_row].order_last)
        while row != ROW_NONE and (state.orders[row].reserved_e6 == 0 or state.orders[row].market_id != market_row + 1):
            row = int64(state.order_links[row].previous)
        if row == ROW_NONE:
            return
        taken_e6 -= state.orders[row].reserved_e6
        orders.order_close(state, row, int64(CloseReason.MARGIN_INSUFFICIENT))


@kernel
def lack_end(state, account_row):
    """End an account's newest reserving orders, of any market, until free money no longer lacks or nothing reserves."""
    links = state.account_links[account_row]
    account = state.accounts[account_row]
    while account.free_e6 < 0 and account.reserved_e6 > 0:
        row = int64(links.order_last)
        while state.orders[row].reserved_e6 == 0:
            row = int64(state.order_links[row].previous)
        orders.order_close(state, row, int64(CloseReason.MARGIN_INSUFFICIENT))


@kernel
def side_refresh(state, account_row, market_row, side, cover_lots):
    """
    Recompute the reserves of one side; cover_lots is the opposite position.

    What is covered are the oldest orders. So where cover ends, now and before, every later reserve is that of its own
    order and stands, unless the leverage has changed.
    """
    links = state.account_links[account_row]
    there = links.markets[market_row]
    market = state.markets[market_row]
    leverage = orders.leverage_net(state, account_row, market_row)
    row = openly_from(state, int64(links.order_first), market_row, side)
    while row != ROW_NONE:
        order = state.orders[row]
        open_lots = order.qty_lots - order.qty_filled_lots
        uncovered_lots = max(int64(0), open_lots - cover_lots)
        cover_lots -= open_lots - uncovered_lots
        stands = uncovered_lots == state.order_links[row].uncovered_lots and there.reserved_at == leverage
        if stands and uncovered_lots == open_lots:
            return
        if not stands:
            orders.uncovered_set(state, row, uncovered_lots)
            due_e6 = plans.reserve_e6(
                market, uncovered_lots, int64(order.price_ticks), leverage, orders.fee_reserve_ppm(order)
            )
            if due_e6 != order.reserved_e6:
                ledger.reserve(state, account_row, row, due_e6 - order.reserved_e6)
                events.emit_order_changed(state, row)
        row = openly_after(state, row, market_row, side)


@kernel
def uncovered_note(state, account_row, market_row):
    """Note anew what an account's resting orders leave uncovered, on restore; no money moves."""
    links = state.account_links[account_row]
    if links.markets[market_row].resting == 0:
        return
    lots = net_lots(state, account_row, market_row)
    for side in (int64(Side.BUY), int64(Side.SELL)):
        cover = max(int64(0), -lots * orders.side_sign(side))
        row = openly_from(state, int64(links.order_first), market_row, side)
        while row != ROW_NONE:
            order = state.orders[row]
            open_lots = order.qty_lots - order.qty_filled_lots
            covered = min(cover, open_lots)
            cover -= covered
            orders.uncovered_set(state, row, open_lots - covered)
            row = openly_after(state, row, market_row, side)


@kernel
def room_lots(state, position_row, lots_after, except_row):
    """Return how many lots of a position its resting reduce-only orders leave; lots_after is what it will hold."""
    room = abs(lots_after)
    if state.position_links[position_row].bound == 0:
        return room
    position = state.positions[position_row]
    row = int64(state.account_links[orders.tables.account_row(int64(position.account_id))].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        bound = order.reduce_only != 0 and order.position_id == position.position_id
        if bound and order.status == OrderStatus.RESTING and row != except_row:
            room -= order.qty_lots - order.qty_filled_lots
        row = int64(state.order_links[row].next)
    return max(int64(0), room)


@kernel
def reduce_only_shrink(state, position_row):
    """Shrink or end the newest resting reduce-only orders of a position until together they fit into it."""
    if position_row == ROW_NONE or state.position_links[position_row].bound == 0:
        return
    position = state.positions[position_row]
    room = abs(position.lots)
    position_id = position.position_id
    row = int64(state.account_links[orders.tables.account_row(int64(position.account_id))].order_first)
    while row != ROW_NONE:
        following = int64(state.order_links[row].next)
        order = state.orders[row]
        bound = order.reduce_only != 0 and order.position_id == position_id
        if bound and order.status == OrderStatus.RESTING:
            open_lots = order.qty_lots - order.qty_filled_lots
            kept = min(room, open_lots)
            room -= kept
            if kept == 0:
                orders.order_close(state, row, int64(CloseReason.POSITION_REDUCED))
            elif kept < open_lots:
                order.qty_lots = order.qty_filled_lots + kept
                events.emit_order_changed(state, row)
        row = following
