"""
What an owner decides beside trading: margin modes, guards on himself, sub-accounts, and money moved between his own.
"""

from collections.abc import Iterator
from typing import Any

from tests.reference.cross import is_cross, leave_of
from tests.reference.fitting import lock_enforce
from tests.reference.images import account_event, position_event
from tests.reference.ledger import loss_judge, transfer
from tests.reference.markets import PPM, Market
from tests.reference.shapes import FREE_MAX, amount_codes, slippage_codes
from tests.reference.state import FIRST_USER, Account, Position, State
from tests.reference.texts import money_text

GUARD_LEVERAGE_MAX = 1_000
Values = dict[str, Any]


def mode_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield whether a market's margin mode would change under a net position or an order that may open one."""
    market = state.markets[values["market"]]
    opening = any(
        order.market is market and not order.reduce_only and not order.ticket
        for order in state.orders_of(account.account_id)
    )
    in_use = opening or state.position_net(account.account_id, market) is not None
    if in_use and (values["mode"] == "cross") != is_cross(state, account.account_id, market):
        yield "MARGIN_MODE_IN_USE"


def margin_mode_set(state: State, account: Account, values: Values) -> Values:
    """Choose how the account's net position in a market is margined."""
    market = state.markets[values["market"]]
    account.cross = account.cross - {market.name} | ({market.name} if values["mode"] == "cross" else set())
    stored = state.leverages.get((account.account_id, market.name), 0)
    account_market_event(state, account, market, stored)
    account_event(state, account.account_id)
    return {}


def account_market_event(state: State, account: Account, market: Market, leverage: int) -> None:
    """Tell what leverage an account has stored in a market, 0 none, and its margin mode there."""
    state.emit(
        "account_market_changed",
        account=account.account_id,
        market=market.name,
        leverage=leverage,
        mode="cross" if is_cross(state, account.account_id, market) else "isolated",
    )


def guards_codes(state: State, account: Account, values: Values, operator: bool) -> Iterator[str]:
    """Yield the rules that guards break; a user who has lost too much today cannot loosen what locked him."""
    if not values:
        yield "FIELD_MISSING"
    leverage, loss = values.get("leverage_max"), values.get("daily_loss_max")
    if leverage is not None and not 1 <= leverage <= GUARD_LEVERAGE_MAX:
        yield "LEVERAGE_OUT_OF_RANGE"
    if loss is not None:
        yield from amount_codes(loss)
    if values.get("slippage_bps") is not None:
        yield from slippage_codes(values)
    if "daily_loss_max" in values and account.loss_most is not None:
        looser = loss is None or loss * PPM > account.loss_most
        if looser and state.locked(account) and not operator:
            yield "ACCOUNT_LOCKED"


def account_guards_set(state: State, account: Account, values: Values) -> Values:
    """Set or remove what an owner forbids himself, and what holds where his orders say nothing."""
    if "leverage_max" in values:
        account.leverage_most = values["leverage_max"]
    if "daily_loss_max" in values:
        loss = values["daily_loss_max"]
        account.loss_most = None if loss is None else int(loss * PPM)
        loss_judge(state, account)
    if "slippage_bps" in values:
        account.slippage_bps = values["slippage_bps"]
    if "stp" in values:
        account.stp = values["stp"]
    state.emit(
        "account_guards_changed",
        account=account.account_id,
        leverage_max=account.leverage_most,
        daily_loss_max=None if account.loss_most is None else money_text(account.loss_most),
        slippage_bps=account.slippage_bps,
        stp=account.stp,
    )
    if values.get("leverage_max") is not None:
        leverages_lower(state, account, values["leverage_max"])
    lock_enforce(state, account.account_id)
    account_event(state, account.account_id)
    return {}


def leverages_lower(state: State, account: Account, most: int) -> None:
    """Lower what an account has stored as leverage in each market to what its owner allows; no money moves."""
    for market in state.markets.values():
        if state.leverages.get((account.account_id, market.name), 10) > most:
            state.leverages[account.account_id, market.name] = most
            account_market_event(state, account, market, most)
            position = state.position_net(account.account_id, market)
            if position is not None:
                leverage_show(position, most)
                position_event(state, position)


def leverage_show(position: Position, leverage: int) -> None:
    """Let a net position show another leverage; its margin call may be told anew."""
    if position.leverage != leverage:
        position.leverage, position.called = leverage, False
        position.market.touched = True


def main_of(state: State, account: Account) -> Account:
    """Return the main account of an account's owner."""
    return state.accounts[account.main_id] if account.main_id else account


def subaccount_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield whether an owner may have no further account."""
    if main_of(state, account).subs >= state.settings["subaccounts_max"]:
        yield "SUBACCOUNTS_MAX"
    if sum(account_id >= FIRST_USER for account_id in state.accounts) >= state.settings["accounts_max"]:
        yield "ACCOUNT_SLOTS_EXHAUSTED"


def subaccount_open(state: State, account: Account, values: Values) -> Values:
    """Open a further account of an owner, without money."""
    main = main_of(state, account)
    main.subs += 1
    found = Account(state.next_id("account"), main.owner, main_id=main.account_id, sub=main.subs)
    state.accounts[found.account_id] = found
    state.emit("account_opened", account=found.account_id, owner=found.owner, main=main.account_id, sub=found.sub)
    account_event(state, found.account_id)
    return {}


def transfer_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that moving money to another account of one's own breaks."""
    yield from amount_codes(values["amount"])
    amount, target = int(values["amount"] * PPM), state.accounts.get(values["account_to"])
    if target is None or target is account or target.account_id < FIRST_USER or target.owner != account.owner:
        yield "ACCOUNT_TARGET_UNKNOWN"
        return
    if target.free + amount > FREE_MAX:
        yield "AMOUNT_OUT_OF_RANGE"
    if amount > leave_of(state, account.account_id):
        yield "MARGIN_INSUFFICIENT"


def account_transfer(state: State, account: Account, values: Values) -> Values:
    """Move money to another account of the same owner."""
    transfer(state, account.account_id, values["account_to"], int(values["amount"] * PPM), "transfer", 0)
    account_event(state, account.account_id)
    account_event(state, values["account_to"])
    return {}
