"""
What resting orders hold back and may still close: cover by the opposite position, reserves, reduce-only room.

Reduce-only orders reserve nothing and take no cover. Source: docs/risk.md#reserves
"""

from numpy import int64

from engine.core import events, ledger, orders, plans
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
    links = state.account_links[account_row]
    total = links.buy_lots[market_row] if side == Side.BUY else links.sell_lots[market_row]
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
    return state.positions[int64(state.account_links[account_row].net[market_row])].lots


@kernel
def opens_first(state, account_row, market_row):
    """Return whether no net position is there yet and no live order may open one."""
    links = state.account_links[account_row]
    return links.net[market_row] == ROW_NONE and links.opening[market_row] == 0


@kernel
def reserves_due_e6(state, account_row, market_row, leverage):
    """Return what all the account's resting orders in a market would hold back at a leverage."""
    total = int64(0)
    if state.account_links[account_row].resting[market_row] == 0:
        return total
    market = state.markets[market_row]
    lots = net_lots(state, account_row, market_row)
    for side in (int64(Side.BUY), int64(Side.SELL)):
        cover = max(int64(0), -lots * orders.side_sign(side))
        row = int64(state.account_links[account_row].order_first)
        while row != ROW_NONE:
            order = state.orders[row]
            if rests_openly(order, market_row, side):
                open_lots = order.qty_lots - order.qty_filled_lots
                covered = min(cover, open_lots)
                cover -= covered
                total += plans.reserve_e6(
                    market, open_lots - covered, int64(order.price_ticks), leverage, int64(order.fee_taker_ppm)
                )
            row = int64(state.order_links[row].next)
    return total


@kernel
def reserves_refresh(state, account_row, market_row):
    """
    Recompute what an account's resting orders in a market hold back, after its net position changed.

    The opposite position covers the oldest first. Whenever free money then lacks, the account's newest reserving
    orders end, MARGIN_INSUFFICIENT, until it does not.
    """
    links = state.account_links[account_row]
    leverage = orders.leverage_net(state, account_row, market_row)
    lots = net_lots(state, account_row, market_row)
    # Nothing is covered and nothing was: every reserve is that of its own order, and stands.
    if links.resting[market_row] > 0 and (lots != 0 or links.calm[market_row] != leverage):
        for side in (int64(Side.BUY), int64(Side.SELL)):
            side_refresh(state, account_row, market_row, side, max(int64(0), -lots * orders.side_sign(side)))
    links.calm[market_row] = leverage if lots == 0 else int64(0)
    account = state.accounts[account_row]
    while account.free_e6 < 0 and account.reserved_e6 > 0:
        row = int64(links.order_last)
        while state.orders[row].reserved_e6 == 0:
            row = int64(state.order_links[row].previous)
        orders.order_close(state, row, int64(CloseReason.MARGIN_INSUFFICIENT))


@kernel
def side_refresh(state, account_row, market_row, side, cover_lots):
    """Recompute the reserves of one side; cover_lots is the opposite position."""
    market = state.markets[market_row]
    leverage = orders.leverage_net(state, account_row, market_row)
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        if rests_openly(order, market_row, side):
            open_lots = order.qty_lots - order.qty_filled_lots
            covered = min(cover_lots, open_lots)
            cover_lots -= covered
            orders.uncovered_set(state, row, open_lots - covered)
            due_e6 = plans.reserve_e6(
                market, open_lots - covered, int64(order.price_ticks), leverage, int64(order.fee_taker_ppm)
            )
            if due_e6 != order.reserved_e6:
                ledger.reserve(state, account_row, row, due_e6 - order.reserved_e6)
                events.emit_order_changed(state, row)
        row = int64(state.order_links[row].next)


@kernel
def uncovered_note(state, account_row, market_row):
    """Note anew what an account's resting orders leave uncovered, on restore; no money moves."""
    if state.account_links[account_row].resting[market_row] == 0:
        return
    lots = net_lots(state, account_row, market_row)
    for side in (int64(Side.BUY), int64(Side.SELL)):
        cover = max(int64(0), -lots * orders.side_sign(side))
        row = int64(state.account_links[account_row].order_first)
        while row != ROW_NONE:
            order = state.orders[row]
            if rests_openly(order, market_row, side):
                open_lots = order.qty_lots - order.qty_filled_lots
                covered = min(cover, open_lots)
                cover -= covered
                orders.uncovered_set(state, row, open_lots - covered)
            row = int64(state.order_links[row].next)


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
