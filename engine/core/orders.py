"""
Order rows: begin, enter, leave, end; what holds an order's links, ladder, timer, reserve and children together.

Row ORDER_IN_HAND is the order that executes now and ORDER_LEG the other leg of one that is being placed. They are in no
index and no ladder: an order that never rests is built there, one that wakes or is repriced is moved there first, so
that every taker is the same row.
"""

from numpy import int64

from engine.core import events, ledger, tables, timers, trailing, triggers
from engine.core.kernel import kernel
from engine.core.limits import LEVERAGE_DEFAULT, ORDER_BLANK, ORDER_IN_HAND, ROW_NONE
from shared.codes import CloseReason, OrderKind, OrderStatus, ResultCode, Side


@kernel
def side_sign(side):
    """Return +1 for BUY, −1 for SELL."""
    return int64(1) if side == Side.BUY else int64(-1)


@kernel
def closing_side(lots):
    """Return the side that closes a position."""
    return int64(Side.SELL) if lots > 0 else int64(Side.BUY)


@kernel
def limit_like(kind):
    """Return whether an order of this kind is a limit order once it executes."""
    return kind == OrderKind.LIMIT or kind == OrderKind.STOP_LIMIT or kind == OrderKind.TAKE_PROFIT_LIMIT


@kernel
def follows_position(order):
    """Return whether an order is, or as an attached child will be, the SL or TP of a position: it has no own size."""
    return order.reduce_only != 0 and order.qty_lots == 0 and order.close_percent == 0


@kernel
def may_open(order):
    """Return whether a live order may open its account's net position."""
    return order.reduce_only == 0 and order.leverage == 0


@kernel
def fee_reserve_ppm(order):
    """Return the rate of the fee that an order holds back while it rests: the higher of its two."""
    return max(int64(order.fee_maker_ppm), int64(order.fee_taker_ppm))


@kernel
def leverage_net(state, account_row, market_row):
    """Return the leverage of an account's net position in a market: what it set, or 10, within the market's highest."""
    return min(leverage_stored(state, account_row, market_row), state.markets[market_row].config.leverage_max)


@kernel
def leverage_stored(state, account_row, market_row):
    """Return the leverage that an account has set in a market, or 10."""
    leverage = int64(state.accounts[account_row].leverage[market_row])
    return leverage if leverage != 0 else int64(LEVERAGE_DEFAULT)


@kernel
def order_start(state, row, market_row, account_id, side, kind):
    """
    Begin an order in a row of its own or in the hand, with the market's fees of now and no number yet.

    Writes: orders[row].
    """
    state.orders[row] = state.orders[ORDER_BLANK]
    order = state.orders[row]
    order.account_id = account_id
    order.market_id = market_row + 1
    order.side = side
    order.kind = kind
    order.slippage_bps = -1
    order.placed_us = state.header.log_time_us
    config = state.markets[market_row].config
    order.fee_maker_ppm = config.fee_maker_ppm
    order.fee_taker_ppm = config.fee_taker_ppm


@kernel
def order_number(state, row):
    """Give an order its id and its place in time."""
    state.orders[row].order_id = state.venue.order_next
    state.venue.order_next += 1
    order_renew(state, row)


@kernel
def order_renew(state, row):
    """Give an order that is in no list a new place in time."""
    state.orders[row].priority = state.venue.priority_next
    state.venue.priority_next += 1


@kernel
def order_find(state, order_id):
    """Return the row of a live order, or ROW_NONE."""
    if order_id == 0:
        return int64(ROW_NONE)
    return tables.index_find(state.orders_index, state.index_seed, order_id, int64(0), int64(0))


@kernel
def position_find(state, position_id):
    """Return the row of a position, or ROW_NONE."""
    return tables.index_find(state.positions_index, state.index_seed, position_id, int64(0), int64(0))


@kernel
def order_link(state, row):
    """Put a stored order into everything that knows of live orders."""
    order_list(state, row)
    waiting_enter(state, row)


@kernel
def order_list(state, row):
    """Put a stored order into the index, its account's list, the timers and the counts; also on restore."""
    order = state.orders[row]
    tables.index_insert(state.orders_index, state.index_seed, order.order_id, int64(0), int64(0), row)
    account = state.account_links[tables.account_row(int64(order.account_id))]
    # The list runs by priority: an entry that rests after its fills stands before the children placed since.
    links = state.order_links
    first, last = tables.list_insert(
        links["next"],
        links["previous"],
        state.orders["priority"],
        row,
        int64(account.order_first),
        int64(account.order_last),
    )
    account.order_first = first
    account.order_last = last
    order_count(state, row, int64(1))
    if order.expires_us != 0:
        timers.expiry_add(state, row)


@kernel
def order_count(state, row, step):
    """Count an order in (step 1) or out (−1): resting or dormant, may open, bound to a position."""
    order = state.orders[row]
    market_row = int64(order.market_id) - 1
    account_row = tables.account_row(int64(order.account_id))
    account = state.account_links[account_row]
    there = account.markets[market_row]
    if order.status == OrderStatus.RESTING or order.status == OrderStatus.DELAYED:
        account.orders_resting += step
    else:
        account.orders_dormant += step
    if order.status == OrderStatus.RESTING:
        there.resting += step
        resting_add(state, row, step * (order.qty_lots - order.qty_filled_lots))
        if there.reserved_at != leverage_net(state, account_row, market_row):
            there.reserved_at = 0
    if order.reduce_only == 0 and order.leverage != 0:
        account.tickets_waiting += step
        state.positions_pending += step
    elif may_open(order):
        before = there.opening > 0
        there.opening += step
        if before != (there.opening > 0) and there.net == ROW_NONE:
            state.positions_pending += step
    elif order.position_id != 0 and not follows_position(order):
        state.position_links[position_find(state, order.position_id)].bound += step


@kernel
def resting_add(state, row, lots):
    """Count lots of an order that rests openly, not reduce-only, into its account's sum of its side."""
    order = state.orders[row]
    if order.reduce_only != 0:
        return
    account = state.account_links[tables.account_row(int64(order.account_id))]
    there = account.markets[int64(order.market_id) - 1]
    if order.side == Side.BUY:
        there.buy_lots += lots
    else:
        there.sell_lots += lots


@kernel
def waiting_enter(state, row):
    """Put an order where its status makes it wait: a ladder, the trailing stops, the delayed; attached, nowhere."""
    order = state.orders[row]
    if order.status == OrderStatus.DELAYED:
        delayed_add(state, row)
    elif order.kind == OrderKind.TRAILING_STOP and order.active == trailing.TRAILS:
        trailing.trailing_insert(state, row)
    elif order.status != OrderStatus.ATTACHED:
        triggers.order_push(state, row)


@kernel
def waiting_leave(state, row):
    """Take an order out of where it waits."""
    order = state.orders[row]
    if order.status == OrderStatus.DELAYED:
        delayed_remove(state, row)
    elif order.kind == OrderKind.TRAILING_STOP and order.active == trailing.TRAILS:
        trailing.trailing_remove(state, row)
    elif order.status != OrderStatus.ATTACHED:
        triggers.order_drop(state, row)


@kernel
def delayed_add(state, row):
    """Put a delayed order into its market's list, which runs by order id."""
    market = state.market_links[int64(state.orders[row].market_id) - 1]
    links = state.order_links
    first, last = tables.list_insert(
        links["delayed_next"],
        links["delayed_previous"],
        state.orders["order_id"],
        row,
        market.delayed_first,
        market.delayed_last,
    )
    market.delayed_first = first
    market.delayed_last = last


@kernel
def delayed_remove(state, row):
    """Take a delayed order out of its market's list."""
    market = state.market_links[int64(state.orders[row].market_id) - 1]
    links = state.order_links
    first, last = tables.list_remove(
        links["delayed_next"], links["delayed_previous"], row, market.delayed_first, market.delayed_last
    )
    market.delayed_first = first
    market.delayed_last = last


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
    assert ROW_NONE < row
    return row


@kernel
def order_leave(state, row):
    """Take an order out of everything and free its row; no money moves and nothing is told."""
    order = state.orders[row]
    waiting_leave(state, row)
    if order.expires_us != 0:
        timers.expiry_remove(state, row)
    if order.status == OrderStatus.RESTING:
        uncovered_set(state, row, int64(0))
    order_count(state, row, int64(-1))
    tables.index_remove(state.orders_index, state.index_seed, order.order_id, int64(0), int64(0))
    account = state.account_links[tables.account_row(int64(order.account_id))]
    links = state.order_links
    first, last = tables.list_remove(
        links["next"], links["previous"], row, int64(account.order_first), int64(account.order_last)
    )
    account.order_first = first
    account.order_last = last
    state.orders[row] = state.orders[ORDER_BLANK]
    tables.row_release(state.orders_table, state.order_links, row)


@kernel
def order_enter(state, source_row, status):
    """Give the order in `source_row` (a row in hand) a row of its own in which it waits; returns that row."""
    row = order_acquire(state)
    state.orders[row] = state.orders[source_row]
    state.orders[row].status = status
    order_link(state, row)
    return row


@kernel
def order_take_in_hand(state, row):
    """Move a live order into the hand; its reserve returns to free first."""
    order = state.orders[row]
    ledger.reserve(state, tables.account_row(int64(order.account_id)), row, -order.reserved_e6)
    state.orders[ORDER_IN_HAND] = state.orders[row]
    order_leave(state, row)


@kernel
def order_close(state, row, reason):
    """End a live order, the children that waited for it, and its tie to another leg, which stays."""
    order_close_coded(state, row, reason, int64(ResultCode.OK))


@kernel
def order_close_coded(state, row, reason, code):
    """End a live order as `order_close` does, saying which rule it broke when it should have executed."""
    order = state.orders[row]
    order_id = order.order_id
    account_row = tables.account_row(int64(order.account_id))
    waits = order.children > 0
    sibling_row = order_find(state, order.oco_id)
    order_end(state, row, reason, code)
    leg_part(state, sibling_row)
    if waits:
        children_close(state, account_row, order_id)


@kernel
def leg_part(state, sibling_row):
    """Let the other leg of an order that has ended stand by itself; ROW_NONE: there is none."""
    if sibling_row != ROW_NONE:
        state.orders[sibling_row].oco_id = 0
        events.emit_order_changed(state, sibling_row)


@kernel
def order_end(state, row, reason, code):
    """End one live order: release its reserve, unbind it from its position, tell its whole life."""
    order = state.orders[row]
    ledger.reserve(state, tables.account_row(int64(order.account_id)), row, -order.reserved_e6)
    if follows_position(order):
        follower_unbind(state, row)
    events.emit_closed_order(state, row, reason, code)
    order_leave(state, row)


@kernel
def follower_unbind(state, row):
    """Empty the place that an SL or TP has in its position."""
    order = state.orders[row]
    position_row = position_find(state, order.position_id)
    if position_row == ROW_NONE:
        return
    position = state.positions[position_row]
    if position.take_profit_id == order.order_id:
        position.take_profit_id = 0
    if position.stop_loss_id == order.order_id:
        position.stop_loss_id = 0


@kernel
def children_close(state, account_row, parent_id):
    """End the attached children of an order that went without filling."""
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        following = int64(state.order_links[row].next)
        order = state.orders[row]
        if order.status == OrderStatus.ATTACHED and order.parent_id == parent_id:
            order_end(state, row, int64(CloseReason.PARENT_CLOSED), int64(ResultCode.OK))
        row = following
