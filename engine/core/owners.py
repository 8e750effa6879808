"""
Accounts of one owner: which is the main one, which are its sub-accounts, who counts as oneself.

Source: docs/risk.md#sub-accounts
"""

from numpy import int64

from engine.core import tables
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE


@kernel
def oneself(state, left_row, right_row):
    """Return whether two accounts are one to self-trade prevention: the same or, if the venue says so, one owner's."""
    return left_row == right_row or (state.venue.stp_owner != 0 and related(state, left_row, right_row))


@kernel
def related(state, left_row, right_row):
    """Return whether two accounts have the same owner."""
    left = state.accounts[left_row]
    right = state.accounts[right_row]
    return left.owner_hi == right.owner_hi and left.owner_lo == right.owner_lo


@kernel
def main_row(state, account_row):
    """Return the row of the main account of an account's owner, perhaps the account itself."""
    main_id = state.accounts[account_row].main_id
    return account_row if main_id == 0 else tables.account_row(main_id)


@kernel
def account_find(state, owner_hi, owner_lo, sub):
    """Return the row of an owner's account, sub 0 being the main one, or ROW_NONE."""
    return tables.index_find(state.owners_index, state.index_seed, owner_hi, owner_lo, sub)


@kernel
def subs_empty(state, account_row):
    """Return whether no sub-account of a main account has money or a position."""
    account = state.accounts[account_row]
    for sub in range(1, account.subs + 1):
        row = account_find(state, account.owner_hi, account.owner_lo, int64(sub))
        other = state.accounts[row]
        if other.free_e6 != 0 or other.reserved_e6 != 0 or state.account_links[row].position_first != ROW_NONE:
            return False
    return True
