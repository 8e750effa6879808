"""
What an owner has forbidden himself: leverage, a day's loss; and what holds where an order says nothing.

Source: docs/risk.md#guards
"""

from numpy import int64

from engine.core.kernel import kernel
from engine.core.limits import DAY_US, SLIPPAGE_DEFAULT_BPS
from engine.core.schema import GUARD_SLIPPAGE, GUARD_STP
from shared.codes import Stp


@kernel
def day(state):
    """Return the UTC day of log time."""
    return state.header.log_time_us // DAY_US


@kernel
def locked(state, account_row):
    """Return whether an account has lost today what it allows itself, and opens nothing more."""
    account = state.accounts[account_row]
    return account.locked_day != 0 and account.locked_day == day(state)


@kernel
def locked_until_ms(state, account_row):
    """Return when an account's lock ends by itself: with the UTC day; 0 while it is not locked."""
    if not locked(state, account_row):
        return int64(0)
    return (day(state) + 1) * (DAY_US // 1000)


@kernel
def slippage_bps(state, account_row):
    """Return the slippage bound of an account's orders that state none and have one."""
    account = state.accounts[account_row]
    return account.slippage_bps if account.guards & GUARD_SLIPPAGE else int64(SLIPPAGE_DEFAULT_BPS)


@kernel
def stp(state, account_row):
    """Return the self-trade prevention of an account's orders that state none."""
    account = state.accounts[account_row]
    return account.stp if account.guards & GUARD_STP else int64(Stp.CANCEL_TAKER)
