"""
Ask together for what the next instructions will need one by one, so that slow memory is waited for once, not each time.

Nothing is decided or changed here, and any input will do. What is asked for in one round is looked at in the next.
"""

from numpy import int64

from engine.core import ladder, orders, prices, tables, triggers
from engine.core.fetch import fetch, fetch_head
from engine.core.integers import E12
from engine.core.kernel import kernel
from engine.core.ladder import NODE_NONE
from engine.core.limits import BUCKET_SHIFT, LADDERS_COUNT, PRICE_TICKS_MAX, ROW_NONE
from shared.codes import ACCOUNT_FIRST, EntryKind, Op, OrderKind, Side

UNITS_MAX = 4_000_000  # of a price whose place is looked at
LEVELS = 14  # of a bucket's treap that are looked at
TIE_LAST = 2**62  # of an order that is not there yet: behind all others of its price


@kernel
def look_ahead(state, records, first, count):
    """Ask for what records first … first + count − 1 will need, one kind of memory after another; count <= AHEAD."""
    found = int64(0)
    for index in range(first, first + count):
        if records[index].kind == EntryKind.USER_INSTRUCTION:
            seen = state.seen[found]
            seen.record = index
            slots_fetch(state, records[index], seen, found)
            found += 1
    for number in range(found):
        rows_fetch(state, records[state.seen[number].record], state.seen[number], number)
    for number in range(found):
        neighbours_fetch(state, records[state.seen[number].record], state.seen[number])
    for _ in range(LEVELS * min(found, int64(1))):
        if not level_descend(state, found):
            break


@kernel
def level_descend(state, count):
    """Go one level down in the treap of what every instruction adds or moves, to where it will be; False at the end."""
    below = False
    for number in range(count):
        seen = state.seen[number]
        if seen.node != NODE_NONE:
            node = state.nodes[seen.node]
            left = node.place > seen.place or (node.place == seen.place and node.tie > seen.tie)
            seen.node = int64(node.left) if left else int64(node.right)
            fetch(state.nodes[seen.node])
            below = True
    return below


@kernel
def takes(record):
    """Return whether an instruction is likely to fill something: then its account's position changes."""
    rests = record.op == Op.ORDER_PLACE and record.order_kind != OrderKind.MARKET
    return not rests and record.op != Op.ORDER_CANCEL and record.op != Op.ORDER_AMEND


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
def request_fetch(state, account, request_hi, request_lo):
    """Ask for the slot where a request id would be."""
    slots = state.requests_index
    fetch(slots[tables.slot_home(slots, state.index_seed, account, request_hi, request_lo)])


@kernel
def order_fetch(state, order_id):
    """Ask for the slot where an order id would be."""
    slots = state.orders_index
    fetch(slots[tables.slot_home(slots, state.index_seed, order_id, int64(0), int64(0))])


@kernel
def slots_fetch(state, record, seen, ahead):
    """Ask for what is found by a number alone: slots of indexes, the account, the request that will be forgotten."""
    seen.account_row = account_seen(state, record)
    seen.market_row = prices.market_find(state, record.market)
    links = state.account_links[seen.account_row]
    fetch(state.accounts[seen.account_row])
    fetch_head(links)
    fetch(links.markets[max(seen.market_row, int64(0))])
    request_fetch(state, record.account, record.request_hi, record.request_lo)
    fetch(state.requests[expiring(state, ahead)])
    order_fetch(state, record.order_id if record.order_id != 0 else state.venue.order_next + ahead)


@kernel
def rows_fetch(state, record, seen, ahead):
    """Ask for the rows that those name: an order, its account's first and last, its position, a price's bucket."""
    seen.order_row = orders.order_find(state, record.order_id)
    links = state.account_links[seen.account_row]
    for row in (seen.order_row, int64(links.order_first), int64(links.order_last)):
        if row != ROW_NONE:
            fetch(state.orders[row])
            fetch(state.order_links[row])
            fetch(state.nodes[row])
    gone = state.requests[expiring(state, ahead)]
    request_fetch(state, gone.account_id, gone.request_hi, gone.request_lo)
    seen.position_row = ROW_NONE
    seen.node = NODE_NONE
    if seen.market_row < 0:
        return
    position_row = int64(links.markets[seen.market_row].net)
    fetch(state.positions[position_row])
    if takes(record):
        seen.position_row = position_row
        fetch(state.position_links[seen.position_row])
        fetch(state.nodes[triggers.position_node(seen.position_row)])
        fetch(state.nodes[triggers.call_node(seen.position_row)])
    else:
        place_fetch(state, record, seen)


@kernel
def place_fetch(state, record, seen):
    """Ask for the root of the bucket where an order with the record's limit would rest; the descent begins there."""
    if not (0 <= record.price_units < UNITS_MAX and 0 <= record.price_e12 < E12):
        return
    ticks = (record.price_units * E12 + record.price_e12) // state.markets[seen.market_row].config.tick_e12
    if not 0 < ticks <= PRICE_TICKS_MAX:
        return
    number = triggers.REST_BUY if record.side == Side.BUY else triggers.REST_SELL
    seen.place = ladder.ladder_place(ticks, record.side == Side.BUY)
    seen.tie = TIE_LAST
    root_fetch(state, seen, number)


@kernel
def root_fetch(state, seen, number):
    """Ask for the root of the bucket of a place in a ladder; the descent begins there."""
    row = state.ladders[seen.market_row * LADDERS_COUNT + number]
    seen.node = int64(row.roots[seen.place >> BUCKET_SHIFT])
    fetch(state.nodes[seen.node])


@kernel
def neighbours_fetch(state, record, seen):
    """Ask for what stands beside an order, in its treap and its account's list, and for what a position names."""
    if seen.order_row != ROW_NONE:
        node, link = state.nodes[seen.order_row], state.order_links[seen.order_row]
        for other in (int64(node.parent), int64(node.left), int64(node.right)):
            fetch(state.nodes[other])
        for other in (int64(link.next), int64(link.previous)):
            fetch(state.order_links[other])
    if seen.position_row != ROW_NONE:
        position = state.positions[seen.position_row]
        order_fetch(state, position.take_profit_id)
        order_fetch(state, position.stop_loss_id)
        # Where it moves to is near to where it is.
        node = state.nodes[triggers.position_node(seen.position_row)]
        seen.place = int64(node.place)
        seen.tie = node.tie
        root_fetch(state, seen, triggers.THRESHOLD + int64(position.lots < 0))
