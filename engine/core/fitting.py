"""
What an execution leaves of an account's waiting orders, and of a pool below zero.

Source: docs/risk.md#fitting
"""

from numpy import int64

from engine.core import cross, events, guards, positions, reserves, sweep
from engine.core.kernel import kernel
from shared.codes import CloseReason


@kernel
def account_fit(state, account_row, market_row, position_row):
    """
    Fit an account's waiting orders to what an execution has left, let the venue pay what lacks, and tell its balances.

    Units:  market_row is where the account's net position may have changed; position_row is a position whose
            reduce-only orders may no longer fit, ROW_NONE for none.
    """
    reserves.reduce_only_shrink(state, position_row)
    lock_fit(state, account_row)
    reserves.reserves_refresh(state, account_row, market_row)
    pool_fit(state, account_row)
    events.emit_account_changed(state, account_row)


@kernel
def money_fit(state, account_row):
    """Do the same where only money has moved: no position has changed its lots."""
    lock_fit(state, account_row)
    reserves.lack_end(state, account_row)
    pool_fit(state, account_row)
    events.emit_account_changed(state, account_row)


@kernel
def lock_fit(state, account_row):
    """End what could open a position, when the account has lost today what its owner allows."""
    if guards.locked(state, account_row):
        every = int64(sweep.EVERY_MARKET)
        sweep.orders_sweep(state, account_row, every, int64(sweep.OPENING), int64(CloseReason.LOSS_LOCK))


@kernel
def pool_fit(state, account_row):
    """Let INSURANCE, then HOUSE pay what cross positions that are all gone have lost beyond the account's money."""
    account = state.accounts[account_row]
    if account.free_e6 >= 0 or cross.holds(state, account_row):
        return
    links = state.account_links[account_row]
    ended_id = links.ended_id
    positions.deficit_cover(state, ended_id, account_row, ended_id, links.ended_market, -account.free_e6)
