"""
What log time will bring: binary heaps, of orders that expire and of dead-man's switches, first the soonest.

Ties are by id. Each row knows where it stands, so that adding, removing and asking cost O(log n) at most.
"""

from numpy import int64

from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE


@kernel
def expiry_add(state, order_row):
    """Put a live order that expires among the others; also on restore."""
    order = state.orders[order_row]
    assert order.order_id > 0 and order.expires_us > 0
    count = state.expiry_count
    state.expiry_count = count + 1
    heap_rise(
        state.expiry_heap,
        state.order_links["heap_at"],
        state.orders["expires_us"],
        state.orders["order_id"],
        count,
        int64(order_row),
    )


@kernel
def expiry_remove(state, order_row):
    """Take an order out; its row still holds its time and id."""
    assert state.orders[order_row].expires_us > 0 and state.expiry_count > 0
    state.expiry_count -= 1
    heap_remove(
        state.expiry_heap,
        state.order_links["heap_at"],
        state.orders["expires_us"],
        state.orders["order_id"],
        state.expiry_count,
        int64(order_row),
    )


@kernel
def expiry_first(state):
    """Return the row of the order that expires first, or ROW_NONE."""
    return int64(state.expiry_heap[0]) if state.expiry_count > 0 else int64(ROW_NONE)


@kernel
def deadman_add(state, account_row):
    """Put an account whose switch is armed among the others; also on restore."""
    assert state.accounts[account_row].deadman_us > 0
    count = state.deadman_count
    state.deadman_count = count + 1
    heap_rise(
        state.deadman_heap,
        state.account_links["heap_at"],
        state.accounts["deadman_us"],
        state.accounts["account_id"],
        count,
        int64(account_row),
    )


@kernel
def deadman_remove(state, account_row):
    """Take an account out; its row still holds its time."""
    assert state.accounts[account_row].deadman_us > 0 and state.deadman_count > 0
    state.deadman_count -= 1
    heap_remove(
        state.deadman_heap,
        state.account_links["heap_at"],
        state.accounts["deadman_us"],
        state.accounts["account_id"],
        state.deadman_count,
        int64(account_row),
    )


@kernel
def deadman_first(state):
    """Return the row of the account whose switch fires first, or ROW_NONE."""
    return int64(state.deadman_heap[0]) if state.deadman_count > 0 else int64(ROW_NONE)


@kernel
def sooner(times_us, ids, left, right):
    """Return whether row `left` comes before row `right`: by time, then by id."""
    if times_us[left] != times_us[right]:
        return times_us[left] < times_us[right]
    return ids[left] < ids[right]


@kernel
def heap_place(heap, heap_at, at, row):
    """Write one heap cell and the link back to it."""
    heap[at] = row
    heap_at[row] = at


@kernel
def heap_rise(heap, heap_at, times_us, ids, at, row):
    """Move a row up from cell `at` until its parent is sooner."""
    while at > 0:
        parent_at = (at - 1) // 2
        parent = int64(heap[parent_at])
        if not sooner(times_us, ids, row, parent):
            break
        heap_place(heap, heap_at, at, parent)
        at = parent_at
    heap_place(heap, heap_at, at, row)


@kernel
def heap_sink(heap, heap_at, times_us, ids, count, at, row):
    """Move a row down from cell `at` until both its children are later; the heap holds `count` rows."""
    while 2 * at + 1 < count:
        child_at = 2 * at + 1
        child = int64(heap[child_at])
        if child_at + 1 < count:
            other = int64(heap[child_at + 1])
            if sooner(times_us, ids, other, child):
                child_at += 1
                child = other
        if not sooner(times_us, ids, child, row):
            break
        heap_place(heap, heap_at, at, child)
        at = child_at
    heap_place(heap, heap_at, at, row)


@kernel
def heap_remove(heap, heap_at, times_us, ids, count, row):
    """Take a row out of a heap that holds `count` rows without it: the last one fills its cell."""
    at = int64(heap_at[row])
    assert 0 <= at <= count and heap[at] == row
    last = int64(heap[count])
    if last != row:
        heap_sink(heap, heap_at, times_us, ids, count, at, last)
        heap_rise(heap, heap_at, times_us, ids, int64(heap_at[last]), last)
