"""
What an operator does to the venue, a market or an account; and an account's new beginning.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from tests.reference.booking import fill_begin, fill_end, trade_event
from tests.reference.changing import orders_close, orders_end
from tests.reference.cross import leave_of, position_backing
from tests.reference.drafts import closing_draft
from tests.reference.fills import fill_plan
from tests.reference.fitting import account_fit
from tests.reference.images import account_event, market_event, venue_event
from tests.reference.ledger import house_fill, transfer
from tests.reference.markets import PPM, Market, market_configure
from tests.reference.orders import order_close
from tests.reference.parameters import MARKET_KEYS, market_sound
from tests.reference.placing import Answer, Values, order_enter
from tests.reference.shapes import FREE_MAX, amount_codes, ticks_codes
from tests.reference.state import EXTERNAL, FIRST_USER, Account, Order, Position, State

BALANCES_MAX = 2**60
EXTERNAL_MAX = 2**62  # that may have come from outside in all


def venue_set_codes(state: State, values: Values) -> Iterator[str]:
    """Yield whether all starting balances together would leave 64 bits."""
    merged = {**state.settings, **venue_values(values)}
    users = sum(account_id >= FIRST_USER for account_id in state.accounts)
    if merged["starting_balance"] * max(merged["accounts_max"], users) >= BALANCES_MAX:
        yield "PARAMETER_OUT_OF_RANGE"


def venue_values(values: Values) -> dict[str, int]:
    """Return the venue's parameters that an instruction gives, money in micro-USDC."""
    return {name: int(value * PPM) if name == "starting_balance" else int(value) for name, value in values.items()}


def venue_set(state: State, values: Values) -> None:
    """Change the venue's limits; nothing that is in use is evicted."""
    state.settings.update(venue_values(values))
    venue_event(state)


def market_parameters(market: Market, values: Values) -> dict[str, Any]:
    """Return a market's parameters with those that an instruction gives."""
    return market.parameters | {key: values[key] for key in MARKET_KEYS if key in values}


def regrids(market: Market, values: Values) -> bool:
    """Return whether an instruction gives another tick or lot."""
    return values.get("tick", market.tick) != market.tick or values.get("lot", market.lot) != market.lot


def market_set_codes(state: State, values: Values) -> Iterator[str]:
    """Yield whether a market is in use while its grid would change, or its parameters would not go together."""
    market = state.markets[values["market"]]
    held = [*state.positions.values(), state.house[market.name]]
    in_use = any(order.market is market for order in state.orders.values()) or any(
        row.market is market and row.lots for row in held
    )
    if regrids(market, values) and in_use:
        yield "MARKET_IN_USE"
    if not market_sound(market_parameters(market, values)):
        yield "PARAMETER_OUT_OF_RANGE"


def market_set(state: State, values: Values) -> None:
    """Change a market's parameters; on another grid its prices begin anew."""
    market = state.markets[values["market"]]
    anew = regrids(market, values)
    market_configure(market, market_parameters(market, values))
    if anew:
        market.bid = market.ask = market.bid_size = market.ask_size = market.mark = market.index = 0
        market.quote_us = market.mark_us = -1
        market.quote_candidate = market.mark_candidate = None
        market.used = {1: 0, -1: 0}
        market.candle, market.candle_quotes, market.candle_close = [], 0, 0
    market_event(state, market)


def market_halt(state: State, values: Values) -> None:
    """Let nothing happen in a market any more."""
    market = state.markets[values["market"]]
    market.state = "halted"
    market_event(state, market)


def market_resume(state: State, values: Values) -> None:
    """Open a market again."""
    market = state.markets[values["market"]]
    market.state, market.touched = "open", True
    market_event(state, market)


def market_reduce_only(state: State, values: Values) -> None:
    """Let a market only shrink: what rests or is delayed and may open ends."""
    market = state.markets[values["market"]]
    market.state, market.touched = "reduce_only", True
    market_event(state, market)
    for account_id, orders in live_orders(state, market).items():
        ending = [row for row in orders if row.status in ("delayed", "resting") and not row.reduce_only]
        if ending:
            orders_end(state, state.accounts[account_id], "market_reduce_only", ending)


def live_orders(state: State, market: Market) -> dict[int, list[Order]]:
    """Return the live orders of a market by account in ascending order, each account's by age."""
    found = {key: [row for row in state.orders_aged(key) if row.market is market] for key in sorted(state.accounts)}
    return {key: orders for key, orders in found.items() if orders}


def market_settle_codes(state: State, values: Values) -> Iterator[str]:
    """Yield what is wrong with the price that a market is settled at."""
    yield from ticks_codes(state.markets[values["market"]], [values["price"]])


def market_settle(state: State, values: Values) -> None:
    """End everything in a market at a stated price."""
    market = state.markets[values["market"]]
    market.state = "halted"
    market.funding_next_ms = 0
    market_event(state, market)
    for account_id, orders in live_orders(state, market).items():
        orders_end(state, state.accounts[account_id], "market_settled", orders)
    price = int(values["price"] / market.tick)
    for _, position in sorted(state.positions.items()):
        if position.market is market:
            position_settle(state, position, price, 0, "settlement", "market_settled")


def position_settle(state: State, position: Position, price: int, fee_ppm: int, kind: str, reason: str) -> None:
    """Close a whole position against the house at a price, past every book."""
    market = position.market
    order = order_enter(state, closing_draft(state, position, abs(position.lots)))
    order.kind, order.status, order.price = kind, "filling", price
    if kind == "settlement":
        order.tif = None
    slices = [(order.lots, price)]
    plan = fill_plan(market, position, order.sign, slices, fee_ppm, 1, backing=position_backing(state, position))
    fill_begin(state, order, position, plan, 0, maker=False)
    trade_event(state, market, plan, order.sign)
    fill_end(state, order, position, plan, 1, reason)
    house_fill(state, market, -order.sign, slices)
    order_close(state, order, reason)
    account_fit(state, position.account_id, market)


def account_reset(state: State, account: Account, values: Values) -> Answer:
    """End everything an account has and give it the starting balance again, a sub-account nothing."""
    orders_close(state, account, "reset", state.orders_aged(account.account_id))
    for position in state.positions_of(account.account_id):
        touch = position.market.touch(-1 if position.lots > 0 else 1)
        fee_ppm = position.market.rates["fee_taker_ppm"]
        position_settle(state, position, touch, fee_ppm, "market", "reset")
    missing = (0 if account.main_id else state.settings["starting_balance"]) - account.free
    transfer(state, EXTERNAL, account.account_id, missing, "reset", 0)
    account.resets += 1
    account_event(state, account.account_id)
    return {}


def account_freeze(state: State, account: Account, values: Values) -> Answer:
    """Let an account's user do nothing any more but arm its dead-man's switch."""
    account.frozen = True
    account_event(state, account.account_id)
    return {}


def account_unfreeze(state: State, account: Account, values: Values) -> Answer:
    """Let an account's user act again."""
    account.frozen = False
    account_event(state, account.account_id)
    return {}


def credit_codes(state: State, account: Account, values: Values) -> Iterator[str]:
    """Yield the rules that giving or taking money breaks."""
    yield from amount_codes(values["amount"], signed=True)
    amount = int(values["amount"] * PPM)
    too_much = account.free + amount > FREE_MAX or amount - state.accounts[EXTERNAL].free > EXTERNAL_MAX
    if amount > 0 and too_much:
        yield "AMOUNT_OUT_OF_RANGE"
    if amount < 0 and -amount > leave_of(state, account.account_id):
        yield "MARGIN_INSUFFICIENT"


def account_credit(state: State, account: Account, values: Values) -> Answer:
    """Give an account money from outside, or take it."""
    transfer(state, EXTERNAL, account.account_id, int(Fraction(values["amount"]) * PPM), "credit", 0)
    account_event(state, account.account_id)
    return {}


def nothing_codes(state: State, values: Values) -> Iterator[str]:
    """Yield nothing: what the common rules leave over can always be done."""
    return iter(())


VENUE_OPERATIONS: dict[str, tuple[Callable[[State, Values], Iterator[str]], Callable[[State, Values], None]]] = {
    "venue_set": (venue_set_codes, venue_set),
    "market_set": (market_set_codes, market_set),
    "market_halt": (nothing_codes, market_halt),
    "market_resume": (nothing_codes, market_resume),
    "market_reduce_only": (nothing_codes, market_reduce_only),
    "market_settle": (market_settle_codes, market_settle),
}
ACCOUNT_OPERATIONS: dict[str, Callable[[State, Account, Values], Answer]] = {
    "account_freeze": account_freeze,
    "account_unfreeze": account_unfreeze,
    "account_credit": account_credit,
}
