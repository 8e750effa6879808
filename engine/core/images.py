"""
What a state shows to its users, told as events: every market, account, position and order as it stands.

The records are those that `events.py` writes when something changes, so whoever prints events prints images too, and a
view made of images is one made of events. Called between two entries; writes scratch alone, which is put back.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy import int64

from engine.core import events, events_venue
from engine.core.kernel import entry, kernel
from engine.core.snapshot import requests_kept
from shared import units
from shared.codes import ACCOUNT_FIRST, ResultCode

PAGE_EVENTS = 2_000
VENUE, ACCOUNTS, POSITIONS, ORDERS = range(4)  # what a page shows
END = -1


class RequestImage(NamedTuple):
    """What the memory of requests holds of one instruction."""

    account_id: int
    request_id: str  # as on the wire
    seq: int  # of the entry that decided it
    ts_us: int  # of its sending
    result: str


@kernel
def account_write(state, row):
    """State an account as it stands: whose it is, its balances, its guards, what it set for each market."""
    account = state.accounts[row]
    if account.account_id < ACCOUNT_FIRST:
        return
    if account.main_id != 0:
        events.emit_account_opened(state, row)
    events.emit_account_changed(state, row)
    if account.guards != 0:
        events_venue.emit_account_guards_changed(state, row)
    for market_row in range(state.venue.markets_count):
        if account.leverage[market_row] != 0 or (account.cross >> market_row) & 1 != 0:
            events_venue.emit_account_market_changed(state, row, int64(market_row))


@kernel
def venue_write(state):
    """State the venue as it stands: its parameters, every market's, and what the insurance fund holds."""
    events_venue.emit_venue_changed(state)
    for market_row in range(state.venue.markets_count):
        events_venue.emit_market_changed(state, int64(market_row))
    events_venue.emit_insurance_changed(state)


@kernel
def row_write(state, shown, row):
    """State one row of a table as it stands; a free row and the venue's own positions state nothing."""
    if shown == ACCOUNTS:
        account_write(state, row)
    elif shown == POSITIONS:
        position = state.positions[row]
        if position.position_id != 0 and position.account_id >= ACCOUNT_FIRST and position.lots != 0:
            events.emit_position_changed(state, row)
    elif state.orders[row].order_id != 0:
        events.emit_order_changed(state, row)


@entry
def page_write(states, shown, first, most):
    """
    Write what rows from `first` on show into the events buffer, ending with the row that brings them to `most`.

    Returns (events, next): how many were written, and the row to go on with, END after the last.
    """
    state = states[0]
    touched, entry_events = state.touched, state.entry_events
    state.events_count = 0
    row = first
    top = int64(0)
    if shown == VENUE:
        venue_write(state)
    elif shown == ACCOUNTS:
        top = state.accounts_table.top
    elif shown == POSITIONS:
        top = state.positions_table.top
    else:
        top = state.orders_table.top
    while row <= top and state.events_count < most:
        row_write(state, shown, row)
        row += 1
    count = state.events_count
    state.events_count = 0
    # An account that is told makes its markets due to be settled; here nothing has changed.
    state.touched, state.entry_events = touched, entry_events
    return count, row if row <= top else int64(END)


def images(states: np.ndarray, page_events: int = PAGE_EVENTS) -> Iterator[np.ndarray]:
    """
    Yield everything that the state shows, page by page: venue and markets, accounts, positions, orders.

    Shapes: EVENT[n], copies; their seq and log time are the state's.
    """
    for shown in (VENUE, ACCOUNTS, POSITIONS, ORDERS):
        row = 1
        while row != END:
            count, row = page_write(states, shown, row, page_events)
            if count:
                yield states.view(np.ndarray)[0]["events"][:count].copy()


def outcomes(states: np.ndarray) -> list[RequestImage]:
    """Return what became of the users' instructions that are still remembered, by ascending seq."""
    state = states.view(np.ndarray)[0]
    rows = state["requests"][requests_kept(state)]
    rows = rows[rows["account_id"] >= ACCOUNT_FIRST]
    return [
        RequestImage(
            int(row["account_id"]),
            units.hex_of_pair(int(row["request_hi"]), int(row["request_lo"])),
            int(row["request_id"]),
            int(row["ts_us"]),
            ResultCode(int(row["result"])).name,
        )
        for row in rows[np.argsort(rows["request_id"], kind="stable")]
    ]
