"""
Dormant orders wake on a price, delayed ones on a time: each is judged anew, and executes under its own number or fails.
"""

from collections.abc import Iterator

from tests.reference.drafts import activation_met, activation_try
from tests.reference.images import account_event, order_event, position_event, trail_trigger
from tests.reference.judge import ticket_codes
from tests.reference.limits import margin_codes
from tests.reference.markets import Market
from tests.reference.orders import order_close, sibling_end, sibling_of
from tests.reference.placement import fires_below, outside_band, taking_codes, trigger_met
from tests.reference.placing import order_execute
from tests.reference.state import Order, State
from tests.reference.trial import Trial, order_resolve, order_try


def trigger_first(state: State, market: Market) -> Order | None:
    """Return the first dormant order met: at-or-below by descending price, at-or-above by ascending, then id."""
    met: list[tuple[int, int, int, Order]] = []
    for order in state.orders.values():
        if order.market is not market or order.status != "trigger":
            continue
        sleeps = order.kind == "trailing_stop" and order.price_peak is None
        if not (activation_met(order) if sleeps else trigger_met(order)):
            continue
        below = order.sign > 0 if sleeps else fires_below(order)
        place = (order.price_activation if sleeps else trigger_now(order)) or 0
        met.append((0 if below else 1, -place if below else place, order.order_id, order))
    return min(met)[3] if met else None


def trigger_now(order: Order) -> int | None:
    """Return the price at which a dormant order fires at present."""
    return trail_trigger(order) if order.kind == "trailing_stop" else order.price_trigger


def trigger_fire(state: State, order: Order) -> None:
    """Start a trailing stop whose activation is met, or wake an order."""
    if order.kind == "trailing_stop" and order.price_peak is None:
        assert activation_try(order)
        order_event(state, order)
        return
    market = order.market
    state.emit(
        "trigger_fired",
        account=order.account_id,
        market=market.name,
        order_id=order.order_id,
        position_id=order.position_id,
        price_trigger=market.price_text(trigger_now(order) or 0),
        trigger_by=order.trigger_by,
        price=market.price_text(market.source(order.sign, order.trigger_by or "quote")),
    )
    position = state.positions.get(order.position_id or 0) if order.sltp else None
    code, resolved, trial = woken_try(state, order)
    if code is not None or trial is None:
        order_close(state, order, "trigger_failed", code)
        if position is not None:
            position_event(state, position)
        account_event(state, order.account_id)
        return
    reason = "filled"
    if order.sltp and not order.limited:
        reason = "stop_loss" if order.kind.startswith("stop") else "take_profit"
    sibling_end(state, order)
    order.lots, order.position_id = resolved.lots, resolved.position_id
    order.priority, order.sltp = state.next_id("priority"), False
    order.status = "filling"
    order_execute(state, order, trial, delays=False, reason=reason)


def woken_try(state: State, order: Order) -> tuple[str | None, Order, Trial | None]:
    """Return the first rule that a waking order breaks, or None; the order resolved; where it would lead."""
    code, resolved = order_resolve(state, order)
    early = next(woken_early_codes(order), None)
    if early is not None or code is not None:
        return early or code, resolved, None
    sibling = sibling_of(state, order)
    trial = order_try(state, resolved, sibling)
    return next(executing_codes(state, resolved, trial, sibling), None), resolved, trial


def woken_early_codes(order: Order) -> Iterator[str]:
    """Yield what keeps an order from waking at all."""
    market = order.market
    if market.state == "reduce_only" and not order.reduce_only:
        yield "MARKET_REDUCE_ONLY"
    if order.limited and outside_band(market, order.sign, order.price or 0):
        yield "PRICE_OUTSIDE_BAND"


def executing_codes(state: State, order: Order, trial: Trial, own: Order | None) -> Iterator[str]:
    """Yield the flags, margin and limits that an order breaks when its time has come."""
    if trial.roomless:
        yield "REDUCE_ONLY_WOULD_INCREASE"
    if order.ticket:
        yield from ticket_codes(state, order, trial)
    else:
        yield from taking_codes(state, order, trial)
    yield from margin_codes(state, order, trial, own)


def delayed_first(state: State, market: Market) -> Order | None:
    """Return the delayed order of the lowest id whose time has come."""
    due = [
        order
        for _, order in sorted(state.orders.items())
        if order.market is market and order.status == "delayed" and order.due_us <= state.log_time_us
    ]
    return due[0] if due else None


def delayed_execute(state: State, order: Order) -> None:
    """Judge a delayed order anew and carry it out, or end it."""
    code, resolved = order_resolve(state, order)
    trial = order_try(state, resolved) if code is None else None
    if trial is not None:
        code = next(executing_codes(state, resolved, trial, None), None)
    if code is not None or trial is None:
        order_close(state, order, "delay_failed", code)
        account_event(state, order.account_id)
        return
    order.lots, order.priority = resolved.lots, state.next_id("priority")
    order_execute(state, order, trial, delays=False)
