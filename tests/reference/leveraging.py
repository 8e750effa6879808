"""
May margin be moved, or another leverage be set? Rules in order of precedence, and what they would take; reads only.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tests.reference.cross import available_of, is_cross, leave_of
from tests.reference.markets import PPM, Market
from tests.reference.orders import reserve_of, resting, resting_lots
from tests.reference.shapes import amount_codes
from tests.reference.state import Account, Position, State
from tests.reference.texts import ceil_of

Values = dict[str, Any]


def tradable_codes(state: State, market: Market) -> Iterator[str]:
    """Yield why nothing can be traded in a market now."""
    if market.state == "halted":
        yield "MARKET_HALTED"
    if not state.fresh(market):
        yield "PRICE_STALE"


def position_named(state: State, account: Account, values: Values) -> Position | None:
    """Return the account's own position of the id given, None when it has none such."""
    found = state.positions.get(values.get("position_id") or 0)
    return found if found is not None and found.account_id == account.account_id else None


def margin_change_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that moving margin into or out of a position breaks."""
    position = position_named(state, account, values)
    if position is None:
        yield "POSITION_UNKNOWN"
        return
    if position.cross:
        yield "POSITION_NOT_ISOLATED"
    yield from amount_codes(values["amount"], signed=True)
    amount, market = int(values["amount"] * PPM), position.market
    if amount > 0:
        if leave_of(state, account.account_id) < amount:
            yield "MARGIN_INSUFFICIENT"
        return
    yield from tradable_codes(state, market)
    margin = position.margin + amount
    notional = abs(position.lots) * market.mark * market.unit
    equity = margin + position.lots * market.mark * market.unit - position.cost
    leverage = position.leverage
    if position.kind == "net":
        leverage = state.leverage_net(account.account_id, market)
    if margin < market.maintenance(position.lots, market.mark) or equity < ceil_of(Fraction(notional, leverage)):
        yield "MARGIN_BELOW_REQUIRED"


def leverage_set_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that another leverage of an account in a market breaks."""
    market, leverage = state.markets[values["market"]], values["leverage"]
    if not 1 <= leverage <= market.limits["leverage_max"]:
        yield "LEVERAGE_OUT_OF_RANGE"
    if not state.fresh(market):
        yield "PRICE_STALE"
    if account.leverage_most is not None and leverage > account.leverage_most:
        yield "LEVERAGE_ABOVE_GUARD"
    position = state.position_net(account.account_id, market)
    held = position.lots if position is not None else 0
    most = max(max(0, sign * held) + resting_lots(state, account.account_id, market, sign) for sign in (1, -1))
    if leverage > market.leverage_allowed(most * market.mark * market.unit):
        yield "LEVERAGE_ABOVE_TIER"
    more = reserve_more(state, account, market, leverage)
    if is_cross(state, account.account_id, market):
        initial = initial_more(state, account, market, leverage)
        left = min(account.free, available_of(state, account.account_id) - initial) - more
        if initial + more > 0 and left < 0:
            yield "MARGIN_INSUFFICIENT"
        return
    wanted = margin_wanted(state, account, market, leverage) + more
    if wanted > 0 and wanted > leave_of(state, account.account_id):
        yield "MARGIN_INSUFFICIENT"


def initial_more(state: State, account: Account, market: Market, leverage: int) -> int:
    """Return how much more initial margin the account's cross position in a market needs at another leverage."""
    position = state.position_net(account.account_id, market)
    value = abs(position.lots) * market.mark * market.unit if position is not None else 0
    former = state.leverage_net(account.account_id, market)
    return ceil_of(Fraction(value, leverage)) - ceil_of(Fraction(value, former))


def margin_wanted(state: State, account: Account, market: Market, leverage: int) -> int:
    """Return what lowering the leverage takes from free for the account's net position; raising it takes nothing."""
    position = state.position_net(account.account_id, market)
    if position is None or position.cross or leverage >= state.leverage_net(account.account_id, market):
        return 0
    return max(0, ceil_of(Fraction(abs(position.cost), leverage)) - position.margin)


def reserve_more(state: State, account: Account, market: Market, leverage: int) -> int:
    """Return how much more the account's resting orders would keep back at another leverage."""
    former = state.leverages.get((account.account_id, market.name))
    state.leverages[account.account_id, market.name] = leverage
    more = 0
    for sign in (1, -1):
        held = state.position_net(account.account_id, market)
        cover = max(0, -sign * held.lots) if held is not None else 0
        for order in resting(state, account.account_id, market, sign):
            covered = min(cover, order.lots_open)
            cover -= covered
            more += reserve_of(state, order, order.lots_open - covered) - order.reserved
    if former is None:
        del state.leverages[account.account_id, market.name]
    else:
        state.leverages[account.account_id, market.name] = former
    return more
