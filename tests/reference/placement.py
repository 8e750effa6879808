"""
May this order be placed? Every rule that an order_place breaks, in order of precedence; reads only.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tests.reference.drafts import drafts_of
from tests.reference.images import trail_trigger
from tests.reference.intake import TRIGGERS
from tests.reference.limits import (
    client_id_codes,
    counts_codes,
    margin_codes,
    opens_net,
    room_codes,
    slot_codes,
)
from tests.reference.markets import PPM, Market
from tests.reference.orders import cover_left
from tests.reference.shapes import legs_differ, order_shape_codes, order_units_codes
from tests.reference.state import DORMANT_KINDS, Account, Order, State
from tests.reference.trial import Trial, order_resolve, order_try, position_of, would_take

Values = dict[str, Any]


def order_place_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that an order breaks, in order of precedence."""
    market = state.markets[values["market"]]
    yield from order_shape_codes(values)
    yield from order_units_codes(state, market, values)
    if "oco" in values:
        yield from order_units_codes(state, market, values["oco"])
        if legs_differ(market, values):
            yield "OCO_LEGS_DIFFER"
    drafts = drafts_of(state, account, values)
    children = sum(values.get(name) is not None for name in TRIGGERS)
    yield from filter_codes(state, drafts, children)
    if not state.fresh(market) or any(sourceless(draft) for draft in drafts):
        yield "PRICE_STALE"
    yield from client_id_codes(state, account.account_id, [draft.client_order_id for draft in drafts])
    if "quote_qty" in values:
        yield from money_codes(state, drafts[0])
    yield from named_codes(state, values, drafts)
    resolved = [order_resolve(state, draft, draft.kind in DORMANT_KINDS)[1] for draft in drafts]
    trials = [None if draft.kind in DORMANT_KINDS else order_try(state, draft) for draft in resolved]
    if any(trial is not None and trial.roomless for trial in trials):
        yield "REDUCE_ONLY_WOULD_INCREASE"
    for draft, trial in zip(resolved, trials, strict=True):
        yield from flag_codes(state, draft, trial, values)
    for draft, trial in zip(resolved, trials, strict=True):
        if trial is not None:
            yield from margin_codes(state, draft, trial)
    yield from table_codes(state, account, resolved, trials, children)


def filter_codes(state: State, drafts: list[Order], children: int) -> Iterator[str]:
    """Yield the market's filters that an order breaks: size, value, band, counts."""
    first = drafts[0]
    market = first.market
    if first.cap is None and first.lots > market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    for draft in drafts:
        if draft.cap is None and not closes(state, draft) and too_small(draft):
            yield "NOTIONAL_BELOW_MIN"
    for draft in drafts:
        if draft.kind == "limit" and market.mark and outside_band(market, draft.sign, draft.price or 0):
            yield "PRICE_OUTSIDE_BAND"
    rests = sum(
        draft.kind == "limit" and draft.tif in ("GTC", "GTD") and (market.liquidity == "book" or not reaches(draft))
        for draft in drafts
    )
    dormant = sum(draft.kind in DORMANT_KINDS for draft in drafts)
    yield from counts_codes(state, first.account_id, rests, dormant + children)


def reaches(draft: Order) -> bool:
    """Return whether a limit or market order reaches the outside touch."""
    touch = draft.market.touch(draft.sign)
    return bool(touch) and (draft.kind == "market" or draft.sign * ((draft.price or 0) - touch) >= 0)


def closes(state: State, draft: Order) -> bool:
    """Return whether an order can only reduce, and so may be as small as it likes."""
    if draft.reduce_only:
        return True
    if draft.kind in DORMANT_KINDS:
        return False
    position = state.position_net(draft.account_id, draft.market)
    cover = max(0, -draft.sign * position.lots) if position is not None else 0
    if not reaches(draft) and draft.kind != "market":
        cover = cover_left(state, draft.account_id, draft.market, draft.sign)
    return draft.lots <= cover


def too_small(draft: Order) -> bool:
    """Return whether an order is worth less than the market's smallest; without a price nobody knows."""
    market = draft.market
    value_at = market.touch(draft.sign)
    if draft.limited:
        value_at = draft.price or 0
    elif draft.kind in ("stop_market", "take_profit_market"):
        value_at = draft.price_trigger or 0
    return bool(value_at) and draft.lots * value_at * market.unit < market.limits["notional_min"]


def outside_band(market: Market, sign: int, price: int) -> bool:
    """Return whether a limit lies beyond the band around the mark on its paying side."""
    band = market.rates["price_band_ppm"]
    return sign * price * PPM > sign * market.mark * (PPM + sign * band)


def sourceless(draft: Order) -> bool:
    """Return whether a trailing stop has no price to follow yet."""
    if draft.kind != "trailing_stop":
        return False
    return draft.market.source(draft.sign, draft.trigger_by or "quote") == 0


def money_codes(state: State, draft: Order) -> Iterator[str]:
    """Yield the filters that the size of an order given in money breaks."""
    if not draft.lots:
        yield "QTY_OUT_OF_RANGE"
    if draft.lots > draft.market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    if not closes(state, draft) and too_small(draft):
        yield "NOTIONAL_BELOW_MIN"


def named_codes(state: State, values: Values, drafts: list[Order]) -> Iterator[str]:
    """Yield whether the position that a reduce-only order names is not there, or would grow."""
    first = drafts[0]
    if not first.reduce_only:
        return
    if "position_id" in values:
        position = position_of(state, first)
        if position is None or position.account_id != first.account_id or position.market is not first.market:
            yield "POSITION_UNKNOWN"
    for draft in drafts:
        code, _ = order_resolve(state, draft, dormant=True)
        if code is not None:
            yield code


def flag_codes(state: State, draft: Order, trial: Trial | None, values: Values) -> Iterator[str]:
    """Yield the flags that one leg of a placement breaks."""
    if trial is None:
        if draft.kind != "trailing_stop" and trigger_met(draft):
            yield "TRIGGER_WOULD_FIRE_IMMEDIATELY"
    else:
        yield from taking_codes(state, draft, trial)
        if "oco" in values and (trial.walk.steps or trial.walk.cut):
            yield "OCO_LEG_WOULD_TAKE"
    if wrong_side(values, draft.sign, entry_of(draft) * draft.market.tick):
        yield "TRIGGER_WRONG_SIDE"


def taking_codes(state: State, order: Order, trial: Trial) -> Iterator[str]:
    """Yield the flags that an order breaks by taking, or by taking too little."""
    walk = trial.walk
    if order.post_only and would_take(state, order):
        yield "POST_ONLY_WOULD_TAKE"
    if walk.capped and not walk.filled:
        yield "QTY_OUT_OF_RANGE"
    if trial.taker.whole:
        if walk.cut:
            yield "STP_WOULD_CUT"
        if walk.filled < order.lots_open and not walk.capped:
            yield "FOK_UNFILLABLE"


def entry_of(draft: Order) -> int:
    """Return the price that an order's bracket is measured against."""
    if draft.limited:
        return draft.price or 0
    if draft.kind in ("stop_market", "take_profit_market"):
        return draft.price_trigger or 0
    return draft.market.touch(draft.sign)


def wrong_side(values: Values, sign: int, entry: Fraction) -> bool:
    """Return whether a bracket does not enclose its entry: long SL < entry < TP."""
    target, stop = values.get("take_profit"), values.get("stop_loss")
    return (target is not None and sign * (target[0] - entry) <= 0) or (
        stop is not None and sign * (stop[0] - entry) >= 0
    )


def fires_below(order: Order) -> bool:
    """Return whether a trigger fires at or below its price: stops that sell, take-profits that buy."""
    return (order.sign < 0) == (not order.kind.startswith("take_profit"))


def trigger_met(order: Order) -> bool:
    """Return whether a dormant order's trigger is met at the present prices."""
    price = order.market.source(order.sign, order.trigger_by or "quote")
    trigger = trail_trigger(order) if order.kind == "trailing_stop" else order.price_trigger
    if not price or trigger is None:
        return False
    return price <= trigger if fires_below(order) else price >= trigger


def table_codes(
    state: State, account: Account, drafts: list[Order], trials: list[Trial | None], children: int
) -> Iterator[str]:
    """Yield whether there is no room for the orders and the position that a placement needs."""
    first, trial = drafts[0], trials[0]
    waits = [draft for draft, trial in zip(drafts, trials, strict=True) if trial is None or waiting(draft, trial)]
    if not waits and (trial is None or not trial.walk.filled):
        return
    opens = not first.reduce_only and opens_net(
        state, account.account_id, first.market, state.position_net(account.account_id, first.market)
    )
    if opens:
        yield from room_codes(state, account)
    if trial is not None and delayed(first, trial):
        yield from counts_codes(state, account.account_id, 1, 0)
    yield from slot_codes(state, len(waits) + children, int(opens))


def waiting(draft: Order, trial: Trial) -> bool:
    """Return whether an order that executes now stays in the table: its rest, or all of it because takers wait."""
    return bool(trial.rest) or delayed(draft, trial)


def delayed(draft: Order, trial: Trial) -> bool:
    """Return whether an order that executes now is put aside first, because takers wait in its market."""
    return bool(draft.market.limits["taker_delay_ms"] and trial.walk.filled)
