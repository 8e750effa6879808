"""engine/core/timers.py: whatever is added and removed in any order, what is due comes out by (time, id), all of it."""

import random
from typing import Any

import numpy as np

from engine import core
from engine.core import timers
from engine.core.kernel import entry
from engine.core.limits import ROW_NONE


@entry
def expiry_step(states: Any, row: int, order_id: int, expires_us: int) -> int:
    """Add an order when it has an id, take the one in the row out when it has none; return the first row."""
    state = states[0]
    if order_id > 0:
        state.orders[row].order_id = order_id
        state.orders[row].expires_us = expires_us
        timers.expiry_add(state, row)
    else:
        timers.expiry_remove(state, row)
        state.orders[row].order_id = 0
        state.orders[row].expires_us = 0
    return timers.expiry_first(state)


@entry
def deadman_step(states: Any, row: int, account_id: int, deadman_us: int) -> int:
    """Arm an account's switch when a time is given, else turn it off; return the first row."""
    state = states[0]
    if deadman_us > 0:
        state.accounts[row].account_id = account_id
        state.accounts[row].deadman_us = deadman_us
        timers.deadman_add(state, row)
    else:
        timers.deadman_remove(state, row)
        state.accounts[row].deadman_us = 0
    return timers.deadman_first(state)


def first_of(waiting: dict[int, tuple[int, int]]) -> int:
    """Return the row with the smallest (time, id), or ROW_NONE."""
    return min(waiting, key=lambda row: waiting[row], default=ROW_NONE)


def test_expiries_come_by_time_then_id() -> None:
    """After every one of a thousand random steps the first order is the one a plain search finds."""
    states, chance = core.allocate(), random.Random(1)
    waiting: dict[int, tuple[int, int]] = {}
    rows = list(range(1, 80))
    chance.shuffle(rows)
    for order_id in range(1, 1_001):
        if waiting and (not rows or chance.random() < 0.45):
            row = chance.choice([first_of(waiting), *waiting])
            del waiting[row]
            rows.append(row)
            first = expiry_step(states, row, 0, 0)
        else:
            row = rows.pop(chance.randrange(len(rows)))
            # Few different times: many ties, which the order id decides and the row number does not.
            waiting[row] = (chance.randint(1, 6), order_id)
            first = expiry_step(states, row, order_id, waiting[row][0])
        assert int(first) == first_of(waiting)
        assert int(states.view(np.ndarray)[0]["expiry_count"]) == len(waiting)


def test_switches_come_by_time_then_account() -> None:
    """Armed in any order and emptied from the front, accounts come by (time, id)."""
    states, chance = core.allocate(), random.Random(2)
    armed = {row: (chance.randint(1, 9), 95 + row) for row in chance.sample(range(5, 200), 120)}
    for row, (deadman_us, account_id) in armed.items():
        deadman_step(states, row, account_id, deadman_us)
    came = []
    first = first_of(armed)
    while armed:
        came.append(armed.pop(first))
        first = int(deadman_step(states, first, 0, 0))
    assert came == sorted(came) and len(came) == 120 and first == ROW_NONE


@entry
def rise(heap: Any, heap_at: Any, times_us: Any, ids: Any, at: int, row: int) -> None:
    """Let a row rise in a heap from a cell."""
    timers.heap_rise(heap, heap_at, times_us, ids, at, row)


def test_the_soonest_stays_first_in_a_full_heap() -> None:
    """A heap is filled to its last cell by rows that each are sooner than all before: the newest is the first."""
    heap, heap_at = np.zeros(7, np.int32), np.zeros(8, np.int32)
    times_us, ids = np.arange(80, 0, -10), np.arange(8)
    for at, row in enumerate(range(1, 8)):
        rise(heap, heap_at, times_us, ids, at, row)
        assert heap[0] == row
    assert sorted(heap) == list(range(1, 8))
    rise(heap, heap_at, times_us, ids, 0, heap[0])
    assert heap[0] == 7


@entry
def before(times_us: Any, ids: Any, left: int, right: int) -> bool:
    """Call the kernel from Python."""
    return timers.sooner(times_us, ids, left, right)


def test_of_any_two_rows_one_comes_first() -> None:
    """By time, then by id, whatever the row's number; no row comes before itself."""
    times_us, ids = np.array([0, 7, 7, 6, 8]), np.array([0, 3, 2, 4, 1])
    order = [3, 2, 1, 4]
    for left in order:
        for right in order:
            assert bool(before(times_us, ids, left, right)) == (order.index(left) < order.index(right))
