"""
An amend: may it be, and what the order is then.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.reference.drafts import ticks_of
from tests.reference.limits import margin_codes
from tests.reference.placement import outside_band, taking_codes, too_small, trigger_met
from tests.reference.shapes import lots_codes, ticks_codes
from tests.reference.state import Account, Order, State
from tests.reference.trial import Trial, order_resolve, order_try

Values = dict[str, Any]


def order_named(state: State, account: Account, values: Values) -> Order | None:
    """Return the account's own live order that an id or a client's id names, None when there is none such."""
    for order in state.orders_of(account.account_id):
        if values.get("order_id") == order.order_id:
            return order
        if "client_order_id" in values and order.client_order_id == values["client_order_id"]:
            return order
    return None


def amended(order: Order, values: Values) -> Order:
    """Return the order with the values of an amend, under its own number."""
    found = replace(order)
    if "qty" in values:
        found.lots = int(values["qty"] / order.market.lot)
    if "price" in values:
        found.price = ticks_of(order.market, values["price"])
    if "price_trigger" in values:
        found.price_trigger = ticks_of(order.market, values["price_trigger"])
    return found


def repriced(order: Order, found: Order) -> bool:
    """Return whether an amend changes a price."""
    return found.price != order.price or found.price_trigger != order.price_trigger


def shrinks_only(order: Order, found: Order) -> bool:
    """Return whether an amend takes from the quantity at most."""
    return not repriced(order, found) and found.lots <= order.lots


def amend_try(state: State, order: Order, found: Order) -> tuple[str | None, Order, Trial | None]:
    """Return the rule that naming its position breaks, or None; a resting order resolved; where it would lead."""
    code, resolved = order_resolve(state, found)
    return code, resolved, None if code is not None else order_try(state, resolved)


def amendable(order: Order, values: Values) -> bool:
    """Return whether an amend may touch these keys of this order at all."""
    if order.kind == "trailing_stop" or order.status not in ("resting", "trigger"):
        return False
    follows = order.oco_id is not None or order.sltp or order.close_percent is not None
    return not ("qty" in values and follows)


def unfitting(order: Order, values: Values) -> bool:
    """Return whether an amend gives a price that this order cannot have."""
    if "price_trigger" in values and order.status == "resting":
        return True
    return "price" in values and order.sltp and not order.limited


def order_amend_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that an amend breaks, in order of precedence."""
    ids = sum(key in values for key in ("order_id", "client_order_id"))
    if not ids or not any(key in values for key in ("qty", "price", "price_trigger")):
        yield "FIELD_MISSING"
    if ids > 1:
        yield "FIELDS_EXCLUSIVE"
    order = order_named(state, account, values)
    if order is None:
        yield "ORDER_UNKNOWN"
        return
    market = order.market
    if not amendable(order, values):
        yield "ORDER_NOT_AMENDABLE"
    if unfitting(order, values):
        yield "FIELDS_EXCLUSIVE"
    if "qty" in values:
        yield from lots_codes(market, values["qty"])
    yield from ticks_codes(market, [values[key] for key in ("price", "price_trigger") if key in values])
    found = amended(order, values)
    if "qty" in values and found.lots <= order.lots_filled:
        yield "QTY_BELOW_FILLED"
    if shrinks_only(order, found):
        return
    if "qty" in values and found.lots > market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    if not order.reduce_only and too_small(found):
        yield "NOTIONAL_BELOW_MIN"
    if order.status == "resting" and outside_band(market, order.sign, found.price or 0):
        yield "PRICE_OUTSIDE_BAND"
    if market.state == "halted":
        yield "MARKET_HALTED"
    if market.state == "reduce_only" and not order.reduce_only:
        yield "MARKET_REDUCE_ONLY"
    if state.locked(account) and not order.reduce_only:
        yield "ACCOUNT_LOCKED"
    if not state.fresh(market):
        yield "PRICE_STALE"
    if order.status == "trigger":
        if trigger_met(found):
            yield "TRIGGER_WOULD_FIRE_IMMEDIATELY"
        return
    code, resolved, trial = amend_try(state, order, found)
    if code is not None or trial is None:
        yield code or ""
        return
    yield from taking_codes(state, resolved, trial)
    if trial.roomless:
        yield "REDUCE_ONLY_WOULD_INCREASE"
    yield from margin_codes(state, resolved, trial, order)
