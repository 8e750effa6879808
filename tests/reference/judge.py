"""
May this instruction run? The rules that each operation of a user breaks, in order of precedence; reads only.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tests.reference.amending import order_amend_codes, order_named
from tests.reference.brackets import kind_of
from tests.reference.drafts import SIGNS, child_draft, reversing_draft, ticket_draft
from tests.reference.intake import TRIGGERS
from tests.reference.leveraging import leverage_set_codes, margin_change_codes, position_named, tradable_codes
from tests.reference.limits import client_id_codes, counts_codes, margin_codes, room_codes, slot_codes
from tests.reference.markets import Market
from tests.reference.owners import mode_codes, subaccount_codes, transfer_codes
from tests.reference.placement import order_place_codes, trigger_met, wrong_side
from tests.reference.shapes import (
    amount_codes,
    lots_codes,
    percent_codes,
    slippage_codes,
    ticks_codes,
    trigger_prices,
)
from tests.reference.state import Account, Order, Position, State
from tests.reference.trial import Trial, order_try

Values = dict[str, Any]


def trade_create_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that a new ticket breaks, in order of precedence."""
    market, sign = state.markets[values["market"]], SIGNS[values["side"]]
    if ("qty" in values) == ("margin" in values):
        yield "FIELDS_EXCLUSIVE" if "qty" in values else "FIELD_MISSING"
    yield from lots_codes(market, values["qty"]) if "qty" in values else amount_codes(values["margin"])
    if not 1 <= values["leverage"] <= market.limits["leverage_max"]:
        yield "LEVERAGE_OUT_OF_RANGE"
    yield from slippage_codes(values)
    yield from ticks_codes(market, trigger_prices(values))
    draft, touch = ticket_draft(state, account, values), market.touch(sign)
    if "qty" in values:
        yield from size_codes(market, draft.lots, touch)
    children = sum(values.get(name) is not None for name in TRIGGERS)
    yield from counts_codes(state, account.account_id, 0, children)
    if not state.fresh(market):
        yield "PRICE_STALE"
    yield from client_id_codes(state, account.account_id, [draft.client_order_id])
    if draft.cap is not None:
        lots = draft.cap // (touch * market.unit)
        if not lots:
            yield "QTY_OUT_OF_RANGE"
        yield from size_codes(market, lots, touch)
    trial = order_try(state, draft)
    yield from ticket_codes(state, draft, trial)
    if wrong_side(values, sign, touch * market.tick):
        yield "TRIGGER_WRONG_SIDE"
    if account.leverage_most is not None and draft.leverage > account.leverage_most:
        yield "LEVERAGE_ABOVE_GUARD"
    yield from margin_codes(state, draft, trial)
    yield from room_codes(state, account)
    yield from aside_codes(state, account, [market], children, 1)


def aside_codes(
    state: State, account: Account, markets: list[Market], children: int = 0, positions: int = 0
) -> Iterator[str]:
    """Yield whether there is no room for takers that are put aside, one in each market where they wait."""
    aside = sum(bool(market.limits["taker_delay_ms"]) for market in markets)
    yield from counts_codes(state, account.account_id, aside, 0)
    yield from slot_codes(state, aside + children, positions)


def size_codes(market: Market, lots: int, touch: int) -> Iterator[str]:
    """Yield the filters that the size of a new ticket breaks; the smallest notional needs a touch to be told by."""
    if lots > market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    if touch and lots * touch * market.unit < market.limits["notional_min"]:
        yield "NOTIONAL_BELOW_MIN"


def ticket_codes(state: State, draft: Order, trial: Trial) -> Iterator[str]:
    """Yield why a new ticket cannot be filled whole."""
    walk = trial.walk
    if walk.capped and not walk.filled:
        yield "QTY_OUT_OF_RANGE"
    if walk.cut:
        yield "STP_WOULD_CUT"
    if walk.filled < draft.lots and not walk.capped:
        yield "SLIPPAGE_EXCEEDED" if walk.beyond else "LIQUIDITY_EXHAUSTED"
    if draft.cap is not None and draft.status == "draft" and not walk.capped:
        yield "ORDER_ABOVE_MAX"


def trade_close_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that closing a position breaks, in order of precedence."""
    if "qty" in values and "percent" in values:
        yield "FIELDS_EXCLUSIVE"
    position = position_named(state, account, values)
    if "qty" in values and values["qty"] <= 0:
        yield "QTY_OUT_OF_RANGE"
    if "percent" in values:
        yield from percent_codes(values["percent"])
    if position is None:
        yield "POSITION_UNKNOWN"
        return
    market = position.market
    if market.state == "halted":
        yield "MARKET_HALTED"
    if "qty" in values:
        yield from lots_codes(market, values["qty"])
    if not state.fresh(market):
        yield "PRICE_STALE"
    if "qty" in values and values["qty"] / market.lot > abs(position.lots):
        yield "QTY_ABOVE_POSITION"
    yield from aside_codes(state, account, [market])


def close_all_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield why one of the account's positions cannot be closed now."""
    positions = positions_wanted(state, account, values)
    for position in positions:
        yield from tradable_codes(state, position.market)
    yield from aside_codes(state, account, [position.market for position in positions])


def positions_wanted(state: State, account: Account, values: Values) -> list[Position]:
    """Return the account's positions, in one market or in all."""
    positions = state.positions_of(account.account_id)
    return [row for row in positions if values.get("market", row.market.name) == row.market.name]


def reverse_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that turning a position round breaks."""
    position = position_named(state, account, values)
    if position is None:
        yield "POSITION_UNKNOWN"
        return
    market = position.market
    if position.kind == "ticket":
        yield "POSITION_NOT_NET"
    if market.state == "halted":
        yield "MARKET_HALTED"
    if market.state == "reduce_only":
        yield "MARKET_REDUCE_ONLY"
    if not state.fresh(market):
        yield "PRICE_STALE"
    draft = reversing_draft(state, position)
    if draft.lots > market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    trial = order_try(state, draft)
    if trial.walk.filled < draft.lots:
        yield "FOK_UNFILLABLE"
    yield from margin_codes(state, draft, trial)
    yield from aside_codes(state, account, [market])


def triggers_set_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that new SL and TP of a position break, in order of precedence."""
    if not any(name in values for name in TRIGGERS):
        yield "FIELD_MISSING"
    position = position_named(state, account, values)
    if position is None:
        yield "POSITION_UNKNOWN"
        return
    market, given = position.market, [name for name in TRIGGERS if values.get(name) is not None]
    yield from ticks_codes(market, trigger_prices(values))
    bound = state.bound_orders(position)
    added = len(given) - sum(name in bound for name in given)
    yield from counts_codes(state, account.account_id, 0, added)
    if given:
        yield from tradable_codes(state, market)
    for name in given:
        draft = child_draft(state, account.account_id, market, -1 if position.lots > 0 else 1, name, values[name])
        assert draft.kind == kind_of(name, values[name][2] is not None)
        if trigger_met(draft):
            yield "TRIGGER_WOULD_FIRE_IMMEDIATELY"
    yield from slot_codes(state, max(0, added), 0)


def order_cancel_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that cancelling an order breaks, in order of precedence."""
    if len(values) != 1:
        yield "FIELDS_EXCLUSIVE" if values else "FIELD_MISSING"
    if order_named(state, account, values) is None:
        yield "ORDER_UNKNOWN"


def deadman_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield whether a dead-man's timeout is neither nothing nor between five seconds and a day."""
    if values["timeout_ms"] != 0 and not 5_000 <= values["timeout_ms"] <= 86_400_000:
        yield "TIMEOUT_OUT_OF_RANGE"


def reset_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield why a position of the account cannot be closed now, or whether a sub-account of it is not empty."""
    for position in state.positions_of(account.account_id):
        yield from tradable_codes(state, position.market)
    subs = [row for row in state.accounts.values() if row.main_id == account.account_id]
    if any(row.free or row.reserved or state.positions_of(row.account_id) for row in subs):
        yield "SUBACCOUNT_NOT_EMPTY"


def nothing_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield nothing: what the common rules leave over can always be done."""
    return iter(())


CODES: dict[str, Callable[[State, Account, Values], Iterator[str]]] = {
    "order_place": order_place_codes,
    "order_amend": order_amend_codes,
    "order_cancel": order_cancel_codes,
    "orders_cancel": nothing_codes,
    "trade_create": trade_create_codes,
    "trade_close": trade_close_codes,
    "positions_close_all": close_all_codes,
    "position_reverse": reverse_codes,
    "position_triggers_set": triggers_set_codes,
    "margin_change": margin_change_codes,
    "leverage_set": leverage_set_codes,
    "margin_mode_set": mode_codes,
    "subaccount_open": subaccount_codes,
    "account_transfer": transfer_codes,
    "deadman_set": deadman_codes,
    "account_reset": reset_codes,
}
