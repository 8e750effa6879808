"""Everything derived, made anew from the stored tables: indexes, lists, ladders, counts. Rows run 1 … n by id."""

from numpy import int64

from engine.core import commands, founding, orders, positions, requests, triggers
from engine.core.kernel import entry, kernel
from shared.codes import ACCOUNT_FIRST


@entry
def rebuild(states, accounts, positions_count, requests_count, orders_by_priority):
    """
    Rebuild the derived part of a freshly filled state.

    Shapes: orders_by_priority int64[orders], rows in ascending priority.
    """
    state = states[0]
    for market_row in range(state.venue.markets_count):
        founding.ladders_clear(state, int64(market_row))
    for row in range(1, accounts + 1):
        commands.account_link(state, int64(row))
    state.positions_table.top = positions_count
    state.positions_table.live = positions_count
    for row in range(1, positions_count + 1):
        positions.position_link(state, int64(row))
        if state.positions[row].account_id >= ACCOUNT_FIRST:
            triggers.threshold_push(state, int64(row))
    state.orders_table.top = len(orders_by_priority)
    state.orders_table.live = len(orders_by_priority)
    for index in range(len(orders_by_priority)):
        orders.order_link(state, orders_by_priority[index])
    for row in range(1, accounts + 1):
        account_uncovered(state, int64(row))
    state.requests_table.top = requests_count
    for row in range(1, requests_count + 1):
        state.requests_table.live = row
        requests.request_link(state, int64(row))


@kernel
def account_uncovered(state, account_row):
    """Note anew what an account's resting orders leave uncovered; their reserves stand and do not move."""
    reserved_e6 = state.accounts[account_row].reserved_e6
    for market_row in range(state.venue.markets_count):
        orders.reserves_refresh(state, account_row, int64(market_row))
    assert state.accounts[account_row].reserved_e6 == reserved_e6 and state.events_count == 0
