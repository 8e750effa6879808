"""
What a happening leaves of an account: orders without room, a locked account's orders, reserves, a pool below zero.
"""

from tests.reference.brackets import positions_shrink
from tests.reference.cross import holds_cross
from tests.reference.images import account_event
from tests.reference.ledger import deficit_pay
from tests.reference.markets import Market
from tests.reference.orders import free_restore, order_end, reserves_refresh
from tests.reference.state import State


def account_fit(state: State, account_id: int, market: Market) -> None:
    """Bring an account up to date after an execution in a market, and tell what it has."""
    positions_shrink(state, account_id, market)
    lock_enforce(state, account_id)
    reserves_refresh(state, account_id, market)
    pool_fit(state, account_id)


def money_fit(state: State, account_id: int) -> None:
    """Bring an account up to date after a payment, and tell what it has."""
    lock_enforce(state, account_id)
    pool_fit(state, account_id)


def lock_enforce(state: State, account_id: int) -> None:
    """End all orders that may open something if the account has lost as much today as its owner lets it."""
    if not state.locked(state.accounts[account_id]):
        return
    for order in state.orders_aged(account_id):
        if order.order_id in state.orders and order.status != "attached" and not order.reduce_only:
            order_end(state, order, "loss_lock")


def pool_fit(state: State, account_id: int) -> None:
    """Let reserves go while free is negative, let the venue pay what a pool without positions lacks; tell the rest."""
    account = state.accounts[account_id]
    free_restore(state, account_id)
    if account.free < 0 and not holds_cross(state, account_id):
        assert account.ended is not None
        deficit_pay(state, account.ended, -account.free, account.ended.position_id)
    account_event(state, account_id)
