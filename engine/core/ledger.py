"""
The only code that moves money; every move has two legs, so the sum over all cells never changes.

The cells are an account's free and reserved money, and a position's margin and (negated) cost. Legs that touch a user's
account are events.
"""

from numpy import int64

from engine.core import events
from engine.core.kernel import kernel
from shared.codes import LedgerReason


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


@kernel
def margin_add(state, account_row, position_row, amount_e6, reference):
    """Move free money into a position's margin; a negative amount moves it back."""
    position = state.positions[position_row]
    state.accounts[account_row].free_e6 -= amount_e6
    position.margin_e6 += amount_e6
    events.emit_ledger(state, account_row, -amount_e6, -position.position_id, int64(LedgerReason.MARGIN), reference)


@kernel
def pnl_book(state, account_row, position_row, pnl_e6, reference):
    """Turn a realised result, which stands in the position's cost, into free money."""
    position = state.positions[position_row]
    state.accounts[account_row].free_e6 += pnl_e6
    position.cost_e6 += pnl_e6
    events.emit_ledger(state, account_row, pnl_e6, -position.position_id, int64(LedgerReason.PNL), reference)


@kernel
def trade_book(state, buyer_row, seller_row, notional_e6):
    """Move a trade's notional between two positions' costs."""
    assert notional_e6 >= 0
    state.positions[buyer_row].cost_e6 += notional_e6
    state.positions[seller_row].cost_e6 -= notional_e6


@kernel
def reserve(state, account_row, order_row, amount_e6):
    """Move free money into an order's reserve; a negative amount moves it back. No leg: it stays the account's own."""
    account = state.accounts[account_row]
    account.free_e6 -= amount_e6
    account.reserved_e6 += amount_e6
    state.orders[order_row].reserved_e6 += amount_e6
    assert account.reserved_e6 >= 0 and state.orders[order_row].reserved_e6 >= 0
