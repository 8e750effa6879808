"""
The only code that moves money; every move has two legs, so the sum over all cells never changes.

The cells are an account's free and reserved money, and a position's margin and (negated) cost. Legs that touch a user's
account are events. What it loses in a day counts against the limit that its owner has set.
"""

from numpy import int64

from engine.core import events, stale
from engine.core.kernel import kernel
from engine.core.limits import DAY_US
from engine.core.schema import GUARD_LOSS
from shared.codes import ACCOUNT_FIRST, LedgerReason


@kernel
def realised(reason):
    """Return whether a leg of this reason is a result: won or lost, not moved."""
    return (
        reason == LedgerReason.PNL
        or reason == LedgerReason.FEE
        or reason == LedgerReason.LIQUIDATION_FEE
        or reason == LedgerReason.FUNDING
    )


@kernel
def day_add(state, account_row, amount_e6):
    """Count a realised amount into a user's day."""
    account = state.accounts[account_row]
    if account.account_id < ACCOUNT_FIRST or amount_e6 == 0:
        return
    today = state.header.log_time_us // DAY_US
    if account.day != today:
        account.day = today
        account.day_pnl_e6 = 0
    account.day_pnl_e6 += amount_e6
    day_judge(state, account_row)


@kernel
def day_judge(state, account_row):
    """Lock an account for the rest of the UTC day when it has lost as much as its owner allows."""
    account = state.accounts[account_row]
    today = state.header.log_time_us // DAY_US
    if account.guards & GUARD_LOSS and account.day == today and account.day_pnl_e6 <= -account.loss_most_e6:
        account.locked_day = today


@kernel
def transfer(state, source_row, target_row, amount_e6, reason, reference):
    """Move free money from one account to another; amount >= 0."""
    assert amount_e6 >= 0
    source = state.accounts[source_row]
    target = state.accounts[target_row]
    source.free_e6 -= amount_e6
    target.free_e6 += amount_e6
    events.emit_ledger(state, source_row, -amount_e6, target.account_id, reason, reference)
    events.emit_ledger(state, target_row, amount_e6, source.account_id, reason, reference)
    stale.note(state, source_row)
    stale.note(state, target_row)
    if realised(reason):
        day_add(state, source_row, -amount_e6)
        day_add(state, target_row, amount_e6)


@kernel
def margin_add(state, account_row, position_row, amount_e6, reference):
    """Move free money into a position's margin; a negative amount moves it back."""
    position = state.positions[position_row]
    state.accounts[account_row].free_e6 -= amount_e6
    position.margin_e6 += amount_e6
    events.emit_ledger(state, account_row, -amount_e6, -position.position_id, int64(LedgerReason.MARGIN), reference)
    stale.note(state, account_row)


@kernel
def pnl_book(state, account_row, position_row, pnl_e6, reference):
    """Turn a realised result, which stands in the position's cost, into free money."""
    position = state.positions[position_row]
    state.accounts[account_row].free_e6 += pnl_e6
    position.cost_e6 += pnl_e6
    events.emit_ledger(state, account_row, pnl_e6, -position.position_id, int64(LedgerReason.PNL), reference)
    stale.note(state, account_row)
    day_add(state, account_row, pnl_e6)


@kernel
def trade_book(state, buyer_row, seller_row, notional_e6):
    """Move a trade's notional between two positions' costs."""
    assert notional_e6 >= 0
    state.positions[buyer_row].cost_e6 += notional_e6
    state.positions[seller_row].cost_e6 -= notional_e6


@kernel
def reserve(state, account_row, order_row, amount_e6):
    """
    Move free money into an order's reserve; a negative amount moves it back. No leg: it stays the account's own.

    What orders in cross markets reserve stays in the pool; what others reserve leaves it.
    """
    account = state.accounts[account_row]
    order = state.orders[order_row]
    account.free_e6 -= amount_e6
    account.reserved_e6 += amount_e6
    order.reserved_e6 += amount_e6
    assert account.reserved_e6 >= 0 and order.reserved_e6 >= 0
    if (account.cross >> (int64(order.market_id) - 1)) & 1:
        state.account_links[account_row].reserved_cross_e6 += amount_e6
    else:
        stale.note(state, account_row)
