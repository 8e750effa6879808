"""
What a user changes without placing anything: amends, cancels, SL and TP, margin, leverage, the dead-man's switch.
"""

from tests.reference.amending import amend_try, amended, order_named, repriced, shrinks_only
from tests.reference.drafts import child_draft
from tests.reference.images import account_event, order_event, position_event
from tests.reference.intake import TRIGGERS
from tests.reference.ledger import margin_move
from tests.reference.leveraging import margin_wanted, position_named
from tests.reference.markets import PPM
from tests.reference.orders import order_close, order_end, reserve_move, reserves_update
from tests.reference.owners import account_market_event, leverage_show
from tests.reference.placing import Answer, Values, named, order_enter, order_execute
from tests.reference.state import Account, Order, State


def order_amend(state: State, account: Account, values: Values) -> Answer:
    """Change an order in place; a resting one that is repriced or grows goes to the end of its queue, and may take."""
    order = order_named(state, account, values)
    assert order is not None
    found = amended(order, values)
    if order.status == "resting" and not shrinks_only(order, found):
        _, resolved, trial = amend_try(state, order, found)
        assert trial is not None
        order.lots, order.price, order.priority = resolved.lots, resolved.price, state.next_id("priority")
        reserve_move(state, order, 0)
        order_execute(state, order, trial, delays=True)
        return reducing_named(order)
    if repriced(order, found) or found.lots > order.lots:
        order.priority = state.next_id("priority")
    order.lots, order.price, order.price_trigger = found.lots, found.price, found.price_trigger
    order_event(state, order)
    position = state.positions.get(order.position_id or 0)
    if order.sltp and position is not None:
        position_event(state, position)
    reserves_update(state, account.account_id, order.market)
    account_event(state, account.account_id)
    return reducing_named(order)


def reducing_named(order: Order) -> Answer:
    """Return what the answer to a change names: the order, and the position if it reduces one."""
    return named(order) if order.reduce_only else {"order_id": order.order_id}


def position_triggers_set(state: State, account: Account, values: Values) -> Answer:
    """Set, replace or remove the SL and TP of a position."""
    position = position_named(state, account, values)
    assert position is not None
    for name in TRIGGERS:
        if name not in values:
            continue
        former = state.bound_orders(position).get(name)
        given = values[name]
        if former is not None:
            order_close(state, former, "trigger_removed" if given is None else "replaced")
        if given is not None:
            sign = -1 if position.lots > 0 else 1
            order = child_draft(state, account.account_id, position.market, sign, name, given)
            order_enter(state, order)
            order.status, order.position_id = "trigger", position.position_id
            order_event(state, order)
    position_event(state, position)
    return {"position_id": position.position_id}


def order_cancel(state: State, account: Account, values: Values) -> Answer:
    """Cancel one order, whatever it waits for."""
    order = order_named(state, account, values)
    assert order is not None
    order_end(state, order, "cancelled")
    reserves_update(state, account.account_id, order.market)
    account_event(state, account.account_id)
    return reducing_named(order)


def orders_cancel(state: State, account: Account, values: Values) -> Answer:
    """Cancel the account's orders, of one market or of all; the SL and TP of positions stay."""
    orders_end(
        state, account, "cancelled", [row for row in state.orders_aged(account.account_id) if wanted(row, values)]
    )
    return {}


def wanted(order: Order, values: Values) -> bool:
    """Return whether cancelling all means this order."""
    return not order.sltp and values.get("market", order.market.name) == order.market.name


def orders_end(state: State, account: Account, reason: str, orders: list[Order]) -> None:
    """End many orders of one account, bring what is left up to date, and tell what the account has."""
    orders_close(state, account, reason, orders)
    account_event(state, account.account_id)


def orders_close(state: State, account: Account, reason: str, orders: list[Order]) -> None:
    """End many orders of one account, attached children with their parents, and bring what is left up to date."""
    touched = []
    for order in orders:
        if order.order_id in state.orders and order.status != "attached":
            order_end(state, order, reason)
            touched.append(order.market)
    for market in state.markets.values():
        if market in touched:
            reserves_update(state, account.account_id, market)


def margin_change(state: State, account: Account, values: Values) -> Answer:
    """Move money from free into a position's margin, or back."""
    position = position_named(state, account, values)
    assert position is not None
    margin_move(state, position, int(values["amount"] * PPM), 0)
    position.market.touched, position.called = True, False
    position_event(state, position)
    account_event(state, account.account_id)
    return {"position_id": position.position_id}


def leverage_set(state: State, account: Account, values: Values) -> Answer:
    """Set the account's leverage in a market; lowering it tops up the net position's margin."""
    market, leverage = state.markets[values["market"]], values["leverage"]
    taken = margin_wanted(state, account, market, leverage)
    state.leverages[account.account_id, market.name] = leverage
    account_market_event(state, account, market, leverage)
    position = state.position_net(account.account_id, market)
    if position is not None:
        leverage_show(position, leverage)
        position.called = position.called and not taken
        market.touched = market.touched or taken > 0
        margin_move(state, position, taken, 0)
        position_event(state, position)
    reserves_update(state, account.account_id, market)
    account_event(state, account.account_id)
    return {}


def deadman_set(state: State, account: Account, values: Values) -> Answer:
    """Arm the dead-man's switch anew, or turn it off."""
    timeout_ms = values["timeout_ms"]
    account.deadman_us = state.log_time_us + 1_000 * timeout_ms if timeout_ms else 0
    account.deadman_scope = values.get("scope", "opening")
    account_event(state, account.account_id)
    return {}
