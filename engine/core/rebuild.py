"""Everything derived, made anew from the stored tables: indexes, lists, ladders, counts. Rows run 1 … n by id."""

from numpy import int64

from engine.core import (
    bands,
    commands,
    cross,
    founding,
    funding,
    orders,
    positions,
    prices,
    requests,
    reserves,
    stale,
    tables,
    timers,
    trailing,
    triggers,
)
from engine.core.kernel import entry, kernel
from shared.codes import ACCOUNT_FIRST, ACCOUNT_INSURANCE


@entry
def rebuild(states, accounts, positions_count, requests_count, orders_by_priority, trailing_by_peak):
    """
    Rebuild the derived part of a freshly filled state.

    Shapes: orders_by_priority int64[orders], rows in ascending priority; trailing_by_peak int64[n], rows of the active
            trailing stops, sells by descending and buys by ascending peak.
    """
    state = states[0]
    for market_row in range(state.venue.markets_count):
        founding.ladders_clear(state, int64(market_row))
        funding.funding_next_set(state, int64(market_row), state.markets[market_row].funding_next_ms)
    for row in range(1, accounts + 1):
        commands.account_link(state, int64(row))
        if state.accounts[row].deadman_us != 0:
            timers.deadman_add(state, int64(row))
    state.positions_table.top = positions_count
    state.positions_table.live = positions_count
    for row in range(1, positions_count + 1):
        positions.position_link(state, int64(row))
        if state.positions[row].account_id >= ACCOUNT_FIRST:
            triggers.threshold_push(state, int64(row))
    orders_rebuild(state, orders_by_priority, trailing_by_peak)
    for row in range(1, accounts + 1):
        for market_row in range(state.venue.markets_count):
            reserves.uncovered_note(state, int64(row), int64(market_row))
    bands_rebuild(state, accounts)
    prices.lag_least_find(state)
    state.insurance_told_e6 = state.accounts[ACCOUNT_INSURANCE].free_e6
    state.requests_table.top = requests_count
    for row in range(1, requests_count + 1):
        state.requests_table.live = row
        requests.request_link(state, int64(row))


@kernel
def orders_rebuild(state, orders_by_priority, trailing_by_peak):
    """Put every live order back where it waits; trailing stops last, in the order in which they became active."""
    state.orders_table.top = len(orders_by_priority)
    state.orders_table.live = len(orders_by_priority)
    for index in range(len(orders_by_priority)):
        row = orders_by_priority[index]
        orders.order_list(state, row)
        reserve_note(state, row)
        if state.orders[row].active != trailing.TRAILS:
            orders.waiting_enter(state, row)
    for index in range(len(trailing_by_peak)):
        trailing.trailing_insert(state, trailing_by_peak[index])


@kernel
def reserve_note(state, row):
    """Count what an order reserves into its account's pool, if its market's mode is cross."""
    order = state.orders[row]
    account_row = tables.account_row(int64(order.account_id))
    if cross.chosen(state, account_row, int64(order.market_id) - 1):
        state.account_links[account_row].reserved_cross_e6 += order.reserved_e6


@kernel
def bands_rebuild(state, accounts):
    """Arm the bands of every account that holds a cross position, at the marks of now."""
    for row in range(1, accounts + 1):
        stale.note(state, int64(row))
    bands.stale_flush(state)
