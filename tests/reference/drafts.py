"""
Orders as an instruction describes them, before they have a number: nothing here is in the venue's tables yet.
"""

from fractions import Fraction
from typing import Any

from tests.reference.brackets import kind_of
from tests.reference.markets import PPM, Market
from tests.reference.shapes import leg_of
from tests.reference.state import LIMIT_LIKE, Account, Order, Position, State
from tests.reference.trial import SLIPPAGE_DEFAULT

SIGNS = {"buy": 1, "sell": -1}
Values = dict[str, Any]


def ticks_of(market: Market, price: Fraction | None) -> int | None:
    """Return a price in ticks, None for none."""
    return None if price is None else int(price / market.tick)


def draft_new(state: State, account_id: int, market: Market, sign: int, kind: str) -> Order:
    """Return an order without a number, under the fees in force."""
    draft = Order(0, account_id, market, sign, kind, "draft", state.log_time_us)
    draft.fee_maker_ppm, draft.fee_taker_ppm = market.rates["fee_maker_ppm"], market.rates["fee_taker_ppm"]
    return draft


def draft_of(state: State, account: Account, values: Values) -> Order:
    """Return the order that an order_place, or one leg of its OCO, describes."""
    market, kind = state.markets[values["market"]], values["kind"]
    draft = draft_new(state, account.account_id, market, SIGNS[values["side"]], kind)
    draft.tif = values.get("tif", "GTC" if kind in LIMIT_LIKE else "IOC")
    draft.expires_us = 1_000 * values.get("expires_ms", 0)
    draft.price = ticks_of(market, values.get("price"))
    draft.price_trigger = ticks_of(market, values.get("price_trigger"))
    draft.price_activation = ticks_of(market, values.get("price_activation"))
    draft.trail_ticks, draft.trail_ppm = values.get("trail_ticks"), values.get("trail_ppm")
    if kind not in ("market", "limit"):
        draft.trigger_by = values.get("trigger_by", "quote")
    draft.post_only, draft.reduce_only = values.get("post_only", False), values.get("reduce_only", False)
    draft.position_id = values.get("position_id")
    draft.stp, draft.tpsl = values.get("stp", account.stp or "cancel_taker"), values.get("tpsl")
    draft.slippage_bps = values.get("slippage_bps")
    if kind == "market" or not draft.reduce_only:
        draft.slippage_default = SLIPPAGE_DEFAULT
    draft.client_order_id = values.get("client_order_id")
    if "qty" in values:
        draft.lots = int(values["qty"] / market.lot)
    if "close_percent" in values:
        draft.close_percent = int(values["close_percent"])
    if "quote_qty" in values:
        draft.cap = int(values["quote_qty"] * PPM)
        touch = market.touch(draft.sign)
        draft.lots = draft.cap // (touch * market.unit) if touch else 0
    if kind == "trailing_stop":
        activation_try(draft)
    return draft


def drafts_of(state: State, account: Account, values: Values) -> list[Order]:
    """Return the order that an order_place describes, and the other leg of its OCO if it names one."""
    leg = leg_of(values)
    return [draft_of(state, account, each) for each in (values, leg) if each is not None]


def activation_met(order: Order) -> bool:
    """Return whether a trailing stop's activation price is met; none needs none."""
    price = order.market.source(order.sign, order.trigger_by or "quote")
    if order.price_activation is None:
        return price > 0
    return price > 0 and (price >= order.price_activation if order.sign < 0 else price <= order.price_activation)


def activation_try(order: Order) -> bool:
    """Start a trailing stop at its source's present price if its activation is met; return whether it was."""
    met = activation_met(order)
    if met:
        order.price_peak = order.market.source(order.sign, order.trigger_by or "quote")
    return met


def ticket_draft(state: State, account: Account, values: Values) -> Order:
    """Return the order that a trade_create describes; by margin it wants all that the money allows."""
    market = state.markets[values["market"]]
    draft = draft_new(state, account.account_id, market, SIGNS[values["side"]], "market")
    draft.tif, draft.ticket, draft.leverage = "FOK", True, values["leverage"]
    draft.slippage_bps, draft.slippage_default = values.get("slippage_bps"), SLIPPAGE_DEFAULT
    draft.stp = account.stp or "cancel_taker"
    draft.client_order_id = values.get("client_order_id")
    if "qty" in values:
        draft.lots = int(values["qty"] / market.lot)
    else:
        draft.lots = market.limits["order_lots"]
        draft.cap = int(values["margin"] * PPM) * values["leverage"]
    return draft


def closing_draft(state: State, position: Position, lots: int) -> Order:
    """Return an order that closes lots of a position at whatever price there is."""
    draft = draft_new(state, position.account_id, position.market, -1 if position.lots > 0 else 1, "market")
    draft.tif, draft.reduce_only, draft.stp = "IOC", True, "cancel_maker"
    draft.position_id, draft.lots = position.position_id, lots
    return draft


def reversing_draft(state: State, position: Position) -> Order:
    """Return an order that turns a net position round."""
    draft = draft_new(state, position.account_id, position.market, -1 if position.lots > 0 else 1, "market")
    draft.tif, draft.stp, draft.slippage_default = "FOK", "cancel_maker", SLIPPAGE_DEFAULT
    draft.lots = 2 * abs(position.lots)
    return draft


def child_draft(
    state: State, account_id: int, market: Market, sign: int, name: str, given: tuple[Fraction, str, Fraction | None]
) -> Order:
    """Return an SL or TP of the other side's position or entry."""
    trigger, source, limit = given
    draft = draft_new(state, account_id, market, sign, kind_of(name, limit is not None))
    draft.price_trigger, draft.trigger_by = ticks_of(market, trigger), source
    draft.price = ticks_of(market, limit)
    draft.tif = "GTC" if limit is not None else None
    draft.sltp, draft.reduce_only, draft.stp = True, True, "cancel_maker"
    return draft
