"""
Orders come into the venue: a placement executes, rests, waits for its trigger, or is delayed.
"""

from typing import Any

from tests.reference.drafts import (
    child_draft,
    closing_draft,
    drafts_of,
    reversing_draft,
    ticket_draft,
)
from tests.reference.execution import execute, order_rests
from tests.reference.images import account_event, order_event
from tests.reference.intake import TRIGGERS
from tests.reference.judge import positions_wanted
from tests.reference.leveraging import position_named
from tests.reference.state import DORMANT_KINDS, Account, Order, Position, State
from tests.reference.trial import Trial, order_bound, order_resolve, order_try

Answer = dict[str, Any]
Values = dict[str, Any]


def order_enter(state: State, draft: Order) -> Order:
    """Give a draft its number and its place in time, and put it into the table."""
    draft.order_id, draft.priority = state.next_id("order"), state.next_id("priority")
    state.orders[draft.order_id] = draft
    return draft


def children_enter(state: State, order: Order, values: Values) -> None:
    """Put an order's bracket into the table, attached to it."""
    for name in TRIGGERS:
        if values.get(name) is not None:
            child = child_draft(state, order.account_id, order.market, -order.sign, name, values[name])
            order_enter(state, child)
            child.status, child.parent_id = "attached", order.order_id
    children = state.children(order.order_id)
    if order.tpsl == "order" and len(children) > 1:
        children[0].oco_id, children[1].oco_id = children[1].order_id, children[0].order_id


def named(order: Order) -> Answer:
    """Return what the answer to a placement names: the order, and the position that it fills or reduces."""
    return {"order_id": order.order_id} | ({"position_id": order.position_id} if order.position_id is not None else {})


def order_place(state: State, account: Account, values: Values) -> Answer:
    """Place an order on the net position, with its bracket or the other leg of its OCO."""
    drafts = drafts_of(state, account, values)
    drafts = [order_resolve(state, draft, draft.kind in DORMANT_KINDS)[1] for draft in drafts]
    trials = [None if draft.kind in DORMANT_KINDS else order_try(state, draft) for draft in drafts]
    for draft in drafts:
        order_enter(state, draft)
    if len(drafts) > 1:
        drafts[0].oco_id, drafts[1].oco_id = drafts[1].order_id, drafts[0].order_id
    first, trial = drafts[0], trials[0]
    if trial is None or trial.rest or trial.walk.filled:
        children_enter(state, first, values)
    for draft, tried in zip(drafts, trials, strict=True):
        if tried is None:
            order_wait(state, draft)
        elif len(drafts) > 1:
            # The limit leg of an OCO pair takes nothing.
            draft.lots = tried.rest
            order_rests(state, draft)
        else:
            order_execute(state, draft, tried, delays=True)
    if len(drafts) > 1 or trial is None:
        account_event(state, account.account_id)
    return named(first)


def order_wait(state: State, order: Order) -> None:
    """Let a dormant order wait for its trigger."""
    order.status = "trigger"
    order_event(state, order)
    for child in state.children(order.order_id):
        order_event(state, child)


def order_execute(state: State, order: Order, trial: Trial, delays: bool, reason: str = "filled") -> None:
    """Carry out an order that may execute, or delay it where takers wait."""
    delay_us = 1_000 * order.market.limits["taker_delay_ms"]
    if delays and delay_us and (trial.walk.filled or (order.slippage_default is None and order.kind == "market")):
        order.status, order.due_us = "delayed", state.log_time_us + delay_us
        if trial.walk.capped and order.ticket:
            order.lots = trial.walk.filled
        order_event(state, order)
        for child in state.children(order.order_id):
            order_event(state, child)
        account_event(state, order.account_id)
        return
    if not order.limited:
        order.price = order_bound(state, order) or None
    execute(state, order, trial, reason)


def trade_create(state: State, account: Account, values: Values) -> Answer:
    """Open a ticket: a position of its own with its own leverage, filled whole."""
    draft = ticket_draft(state, account, values)
    trial = order_try(state, draft)
    order = order_enter(state, draft)
    children_enter(state, order, values)
    order_execute(state, order, trial, delays=True)
    return named(order)


def close_lots(position: Position, values: Values) -> int:
    """Return how many lots of the position an instruction closes."""
    held = abs(position.lots)
    if "qty" in values:
        return int(values["qty"] / position.market.lot)
    if "percent" in values:
        return max(1, int(held * values["percent"] / 100))
    return held


def position_close(state: State, position: Position, lots: int) -> Order:
    """Close lots of a position by an order of its own."""
    draft = closing_draft(state, position, lots)
    trial = order_try(state, draft)
    order_execute(state, order_enter(state, draft), trial, delays=True)
    return draft


def trade_close(state: State, account: Account, values: Values) -> Answer:
    """Close a position wholly or in part."""
    position = position_named(state, account, values)
    assert position is not None
    return named(position_close(state, position, close_lots(position, values)))


def positions_close_all(state: State, account: Account, values: Values) -> Answer:
    """Close the account's positions, one after the other."""
    for position in positions_wanted(state, account, values):
        if position.position_id in state.positions:
            position_close(state, position, abs(position.lots))
    return {}


def position_reverse(state: State, account: Account, values: Values) -> Answer:
    """Turn a net position round."""
    position = position_named(state, account, values)
    assert position is not None
    draft = reversing_draft(state, position)
    trial = order_try(state, draft)
    order_execute(state, order_enter(state, draft), trial, delays=True)
    return named(draft)
