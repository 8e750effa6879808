"""
What the passing of time brings: orders that expire, dead-man's switches, funding, then the candles of a minute left.
"""

from tests.reference.changing import orders_end
from tests.reference.funding import funding_due
from tests.reference.prices import MINUTE_US, candles_close
from tests.reference.state import Account, State


def due_all(state: State, before_us: int) -> None:
    """Do what is due by now, in order of time, then kind, then id; candles come last."""
    while (first := due_first(state)) is not None:
        _, kind, number = first
        if kind == 0:
            order = state.orders[number]
            orders_end(state, state.accounts[order.account_id], "expired", [order])
        elif kind == 1:
            deadman_act(state, state.accounts[number])
        else:
            funding_due(state, next(row for row in state.markets.values() if row.market_id == number))
    if state.log_time_us // MINUTE_US > before_us // MINUTE_US:
        candles_close(state, before_us // MINUTE_US * MINUTE_US)


def due_first(state: State) -> tuple[int, int, int] | None:
    """Return time, kind and id of the first thing that is due, None when nothing is."""
    found = [(row.expires_us, 0, row.order_id) for row in state.orders.values() if row.expires_us]
    found += [(row.deadman_us, 1, row.account_id) for row in state.accounts.values() if row.deadman_us]
    found += [(row.funding_next_ms * 1_000, 2, row.market_id) for row in state.markets.values() if row.funding_next_ms]
    due = [each for each in found if each[0] <= state.log_time_us]
    return min(due) if due else None


def deadman_act(state: State, account: Account) -> None:
    """Cancel an account's orders because its owner has not been heard of; the switch is off then."""
    everything = account.deadman_scope == "all"
    account.deadman_us = 0
    orders = [row for row in state.orders_aged(account.account_id) if everything or not row.reduce_only]
    orders_end(state, account, "deadman", orders)
