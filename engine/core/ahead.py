"""
Read together what the next instructions will ask for one by one, so that slow memory is waited for once, not each time.

Nothing is decided or changed here: what was read is mixed into `seen`, which nobody asks for, and any input will do.
"""

from numpy import int64

from engine.core import ladder, orders, prices, tables, triggers
from engine.core.integers import E12
from engine.core.kernel import kernel
from engine.core.ladder import NODE_NONE
from engine.core.limits import BUCKET_SHIFT, LADDERS_COUNT, PRICE_TICKS_MAX, ROW_NONE
from shared.codes import ACCOUNT_FIRST, EntryKind, Side

UNITS_MAX = 4_000_000  # of a price whose place is looked at
LEVELS = 14  # of a bucket's treap that are looked at


@kernel
def look_ahead(state, records, first, count):
    """Touch what records first … first + count − 1 will need, one kind of memory after another; count <= AHEAD."""
    seen, instructions = int64(0), int64(0)
    for index in range(count):
        state.seen_nodes[index] = NODE_NONE
        record = records[first + index]
        if record.kind == EntryKind.USER_INSTRUCTION:
            instructions += 1
            seen ^= slots_seen(state, record, index)
        else:
            seen ^= record.bid_e12 ^ record.event_us
    if instructions == 0:
        state.seen = seen
        return
    for index in range(count):
        record = records[first + index]
        if record.kind == EntryKind.USER_INSTRUCTION:
            seen ^= rows_seen(state, record, index)
    for index in range(count):
        record = records[first + index]
        if record.kind == EntryKind.USER_INSTRUCTION:
            seen ^= neighbours_seen(state, record)
    for _ in range(LEVELS):
        if not level_descend(state, records, first, count):
            break
    state.seen = seen


@kernel
def level_descend(state, records, first, count):
    """Go one level down in the treap of every instruction's price, to where it would rest; False at the bottom."""
    below = False
    for index in range(count):
        at = state.seen_nodes[index]
        if at != NODE_NONE:
            node = state.nodes[at]
            at = int64(node.left) if node.place > state.seen_places[index] else int64(node.right)
            state.seen_nodes[index] = at
            below = True
    return below


@kernel
def account_seen(state, record):
    """Return the row of a record's account, or ROW_NONE."""
    if ACCOUNT_FIRST <= record.account < state.venue.account_next:
        return tables.account_row(record.account)
    return int64(ROW_NONE)


@kernel
def expiring(state, ahead):
    """Return the row of the request that will be forgotten `ahead` requests after the next, or ROW_NONE."""
    at = state.queue_first + ahead
    if at < state.queue_end:
        return int64(state.request_queue[at % len(state.request_queue)])
    return int64(ROW_NONE)


@kernel
def request_seen(state, account, request_hi, request_lo):
    """Read the slot where a request id would be."""
    home = tables.slot_home(state.requests_index, state.index_seed, account, request_hi, request_lo)
    return state.requests_index[home].row


@kernel
def order_seen(state, order_id):
    """Read the slot where an order id would be."""
    return state.orders_index[tables.slot_home(state.orders_index, state.index_seed, order_id, int64(0), int64(0))].row


@kernel
def slots_seen(state, record, ahead):
    """Read what is found by a number alone: slots of indexes, the account, the request that will be forgotten."""
    account_row = account_seen(state, record)
    links = state.account_links[account_row]
    seen = request_seen(state, record.account, record.request_hi, record.request_lo)
    seen ^= order_seen(state, record.order_id) ^ order_seen(state, state.venue.order_next + ahead)
    seen ^= state.accounts[account_row].free_e6 ^ int64(links.order_last)
    return seen ^ state.requests[expiring(state, ahead)].digest


@kernel
def rows_seen(state, record, ahead):
    """Read the rows that those name: an order, its node, its account's last order and position, a price's bucket."""
    account_row = account_seen(state, record)
    row = orders.order_find(state, record.order_id)
    seen = order_row_seen(state, row) ^ int64(state.nodes[row].parent)
    last = int64(state.account_links[account_row].order_last)
    seen ^= state.orders[last].priority ^ int64(state.order_links[last].next)
    gone = state.requests[expiring(state, ahead)]
    seen ^= request_seen(state, gone.account_id, gone.request_hi, gone.request_lo)
    market_row = prices.market_find(state, record.market)
    if market_row >= 0:
        net_row = int64(state.account_links[account_row].markets[market_row].net)
        seen ^= state.positions[net_row].lots ^ state.positions[net_row].fees_e6
        place_seen(state, market_row, record, ahead)
    return seen


@kernel
def order_row_seen(state, row):
    """Read every part of an order's row."""
    order = state.orders[row]
    return order.priority ^ order.reserved_e6 ^ order.client_order_id[0] ^ int64(order.price_ticks)


@kernel
def place_seen(state, market_row, record, ahead):
    """Read the root of the bucket where an order with the record's limit would rest; the descent begins there."""
    if not (0 <= record.price_units < UNITS_MAX and 0 <= record.price_e12 < E12):
        return
    ticks = (record.price_units * E12 + record.price_e12) // state.markets[market_row].config.tick_e12
    if not 0 < ticks <= PRICE_TICKS_MAX:
        return
    number = triggers.REST_BUY if record.side == Side.BUY else triggers.REST_SELL
    place = ladder.ladder_place(ticks, record.side == Side.BUY)
    row = state.ladders[market_row * LADDERS_COUNT + number]
    state.seen_nodes[ahead] = int64(row.roots[place >> BUCKET_SHIFT])
    state.seen_places[ahead] = place


@kernel
def neighbours_seen(state, record):
    """Read what stands beside an order: in its treap, and in its account's list."""
    row = orders.order_find(state, record.order_id)
    node = state.nodes[row]
    seen = int64(state.nodes[int64(node.parent)].left) ^ int64(state.nodes[int64(node.left)].parent)
    seen ^= int64(state.nodes[int64(node.right)].parent)
    link = state.order_links[row]
    return seen ^ int64(state.order_links[int64(link.next)].next) ^ int64(state.order_links[int64(link.previous)].next)
