"""
May this instruction run? Every rule that it breaks, in order of precedence; reads only.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tests.reference.fills import Plan, fill_plan, plan_liquidatable, plan_needs
from tests.reference.intake import TRIGGERS, Instruction
from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.orders import cover_left, leverage_net, reserve_of, resting
from tests.reference.state import FIRST_USER, KIND_OF, Account, Order, Position, State

PPM = 1_000_000
SIGNS = {"buy": 1, "sell": -1}
SLIPPAGE_DEFAULT = 500
MARGIN_LIMIT = 10**9


def ticks_codes(market: Market, prices: list[Fraction]) -> Iterator[str]:
    """Yield the rules of range and grid that prices break, one price after another."""
    for price in prices:
        if price <= 0 or price / market.tick >= WINDOW_TICKS:
            yield "PRICE_OUT_OF_RANGE"
        if (price / market.tick).denominator != 1:
            yield "PRICE_NOT_ON_TICK"


def lots_codes(market: Market, qty: Fraction) -> list[str]:
    """Return the rules of range and grid that a quantity breaks."""
    codes = ["QTY_OUT_OF_RANGE"] if qty <= 0 else []
    return codes + (["QTY_NOT_ON_LOT"] if (qty / market.lot).denominator != 1 else [])


def slippage_codes(values: dict[str, Any]) -> list[str]:
    """Return the rule that a slippage outside 0 to 10 000 breaks."""
    return [] if 0 <= values.get("slippage_bps", 0) <= 10_000 else ["SLIPPAGE_OUT_OF_RANGE"]


def trigger_prices(values: dict[str, Any]) -> list[Fraction]:
    """Return the trigger prices that an instruction gives."""
    return [values[name][0] for name in TRIGGERS if values.get(name) is not None]


def market_codes(state: State, asked: Instruction) -> Iterator[str]:
    """Yield what is wrong with the market named, then what is wrong with the shape."""
    name = asked.values.get("market")
    if name is not None and name not in state.markets:
        yield "MARKET_UNKNOWN"
    if asked.late is not None:
        yield asked.late


def count_codes(state: State, account_id: int, values: dict[str, Any], rests: bool) -> Iterator[str]:
    """Yield which limit on an account's live orders a placement would pass."""
    orders = state.orders_of(account_id)
    if rests and sum(order.status == "resting" for order in orders) >= state.settings["orders_open_max"]:
        yield "ORDERS_OPEN_MAX"
    dormant = sum(order.status != "resting" for order in orders)
    if trigger_prices(values) and dormant + len(trigger_prices(values)) > state.settings["triggers_open_max"]:
        yield "TRIGGERS_OPEN_MAX"


def client_id_codes(state: State, account_id: int, values: dict[str, Any]) -> Iterator[str]:
    """Yield whether the client's id is in use among the account's live orders."""
    wanted = values.get("client_order_id")
    if wanted is not None and any(order.client_order_id == wanted for order in state.orders_of(account_id)):
        yield "CLIENT_ORDER_ID_TAKEN"


def wrong_side(values: dict[str, Any], sign: int, entry: Fraction) -> bool:
    """Return whether a bracket does not enclose its entry: long SL < entry < TP."""
    target, stop = values.get("take_profit"), values.get("stop_loss")
    return (target is not None and sign * (target[0] - entry) <= 0) or (
        stop is not None and sign * (stop[0] - entry) >= 0
    )


def limit_codes(state: State, market: Market, plan: Plan, position: Position | None, others: int) -> Iterator[str]:
    """Yield which limit on positions and open interest the opening part of a plan passes; `others` counts beside it."""
    if not plan.open_lots:
        return
    held = position.lots if position is not None and not plan.close_lots else 0
    exposure = abs(held + plan.sign * plan.open_lots) + others
    if exposure > market.limits["order_lots"]:
        yield "NOTIONAL_ABOVE_MAX"
    yield from interest_codes(state, market, plan.open_lots)


def tickets(state: State, account: Account, market: Market) -> int:
    """Return the lots of the account's tickets in a market, either way."""
    held = state.positions_of(account.account_id)
    return sum(abs(row.lots) for row in held if row.market is market and row.kind == "ticket")


def interest_codes(state: State, market: Market, more: int) -> Iterator[str]:
    """Yield whether open interest, what rests uncovered, and `more` lots together pass the market's limit."""
    held = [*state.positions.values(), state.house[market.name]]
    longs = sum(max(0, row.lots) for row in held if row.market is market)
    waiting = sum(uncovered(state, account_id, market, sign) for account_id in state.accounts for sign in (1, -1))
    if longs + waiting + more > market.limits["open_interest_lots"]:
        yield "OPEN_INTEREST_ABOVE_MAX"


def uncovered(state: State, account_id: int, market: Market, sign: int) -> int:
    """Return the lots of an account's resting orders of one side that its opposite net position does not cover."""
    held = state.position_net(account_id, market)
    cover = max(0, -sign * held.lots) if held is not None else 0
    return max(0, sum(order.lots for order in resting(state, account_id, market, sign)) - cover)


def pending(state: State, account_id: int) -> int:
    """Return how many markets the account has resting orders in without a net position: each may open one."""
    waiting = {order.market.name for order in state.orders_of(account_id) if order.status == "resting"}
    return sum(state.position_net(account_id, state.markets[name]) is None for name in waiting)


def room_codes(state: State, account: Account) -> Iterator[str]:
    """Yield whether the account may open no further position."""
    count = len(state.positions_of(account.account_id)) + pending(state, account.account_id)
    if count >= state.settings["positions_open_max"]:
        yield "POSITIONS_OPEN_MAX"


def margin_codes(
    account: Account, market: Market, plan: Plan, position: Position | None, leverage: int, standing: int = 0
) -> Iterator[str]:
    """Yield whether a taker's plan, with what rests, passes its tier, lacks margin or would be liquidatable."""
    held = position.lots if position is not None and not plan.close_lots else 0
    after = (abs(held + plan.sign * plan.open_lots) + standing) * plan.ticks * market.unit
    if plan.open_lots and leverage > market.leverage_allowed(after):
        yield "LEVERAGE_ABOVE_TIER"
    if plan.open_lots and plan_needs(plan) > account.free:
        yield "MARGIN_INSUFFICIENT"
    if plan_liquidatable(market, position, plan):
        yield "WOULD_BE_LIQUIDATED"


def slot_codes(state: State, orders: int, positions: int) -> Iterator[str]:
    """Yield which table has no room."""
    if len(state.orders) + orders > state.settings["orders_max"]:
        yield "ORDER_SLOTS_EXHAUSTED"
    waiting = sum(pending(state, account_id) for account_id in state.accounts)
    if len(state.house) + len(state.positions) + waiting + positions > state.settings["positions_max"]:
        yield "POSITION_SLOTS_EXHAUSTED"


def order_place_codes(state: State, account: Account, asked: Instruction) -> Iterator[str]:
    """Yield the rules that an order breaks, in order of precedence."""
    values = asked.values
    yield from market_codes(state, asked)
    market, sign, limited = state.markets[values["market"]], SIGNS[values["side"]], values["kind"] == "limit"
    tif = values.get("tif", "GTC" if limited else "IOC")
    if limited and "price" not in values:
        yield "FIELD_MISSING"
    if values.get("post_only") and (not limited or tif != "GTC"):
        yield "FIELDS_EXCLUSIVE"
    if limited and "slippage_bps" in values:
        yield "FIELDS_EXCLUSIVE"
    if not limited and tif == "GTC":
        yield "FIELDS_EXCLUSIVE"
    yield from lots_codes(market, values["qty"])
    yield from ticks_codes(market, [values["price"]] if "price" in values else [])
    yield from slippage_codes(values)
    yield from ticks_codes(market, trigger_prices(values))
    lots = int(values["qty"] / market.lot)
    price = int(values["price"] / market.tick) if "price" in values else None
    touch = market.touch(sign)
    bound = order_bound(market, sign, values, price)
    position = state.position_net(account.account_id, market)
    held = position.lots if position is not None else 0
    takes = bool(touch) and sign * (bound - touch) >= 0
    cover = max(0, -sign * held) if takes or not limited else cover_left(state, account.account_id, market, sign)
    value_at = price if limited and price is not None else touch
    if lots > market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    if lots > cover and lots * value_at * market.unit < market.limits["notional_min"] and value_at:
        yield "NOTIONAL_BELOW_MIN"
    if limited and market.mark and outside_band(market, sign, price or 0):
        yield "PRICE_OUTSIDE_BAND"
    yield from count_codes(state, account.account_id, values, rests=limited and tif == "GTC" and not takes)
    if not state.fresh(market):
        yield "PRICE_STALE"
    yield from client_id_codes(state, account.account_id, values)
    if values.get("post_only") and takes:
        yield "POST_ONLY_WOULD_TAKE"
    if tif == "FOK" and not takes:
        yield "FOK_UNFILLABLE"
    if wrong_side(values, sign, (price if limited and price is not None else touch) * market.tick):
        yield "TRIGGER_WRONG_SIDE"
    if takes:
        plan = fill_plan(market, position, sign, lots, touch, "fee_taker_ppm", leverage_net(market))
        standing = sum(order.lots for order in resting(state, account.account_id, market, sign))
        yield from margin_codes(account, market, plan, position, leverage_net(market), standing)
        yield from limit_codes(state, market, plan, position, standing + tickets(state, account, market))
    elif limited and tif == "GTC":
        standing = sum(order.lots for order in resting(state, account.account_id, market, sign))
        exposure = max(0, sign * held) + standing + lots
        if leverage_net(market) > market.leverage_allowed(exposure * (price or 0) * market.unit):
            yield "LEVERAGE_ABOVE_TIER"
        bare = max(0, lots - cover_left(state, account.account_id, market, sign))
        if reserve_of(market, bare, price or 0) > account.free:
            yield "MARGIN_INSUFFICIENT"
        if exposure + tickets(state, account, market) > market.limits["order_lots"]:
            yield "NOTIONAL_ABOVE_MAX"
        yield from interest_codes(state, market, bare)
    else:
        return
    opens = position is None and not any(resting(state, account.account_id, market, way) for way in (1, -1))
    if opens:
        yield from room_codes(state, account)
    yield from slot_codes(state, len(trigger_prices(values)) + (not takes), int(opens))


def order_bound(market: Market, sign: int, values: dict[str, Any], price: int | None) -> int:
    """Return the worst price an order may be filled at: its own, its slippage's, or the tighter of both."""
    if values["kind"] == "limit":
        assert price is not None
        return price
    bound = market.bound(sign, values.get("slippage_bps", SLIPPAGE_DEFAULT))
    if price is None:
        return bound
    return min(bound, price) if sign > 0 else max(bound, price)


def outside_band(market: Market, sign: int, price: int) -> bool:
    """Return whether a limit lies beyond the band around the mark on its paying side."""
    band = market.rates["price_band_ppm"]
    return sign * price * PPM > sign * market.mark * (PPM + sign * band)


def trade_create_codes(state: State, account: Account, asked: Instruction) -> Iterator[str]:
    """Yield the rules that a new ticket breaks, in order of precedence."""
    values = asked.values
    yield from market_codes(state, asked)
    market, sign = state.markets[values["market"]], SIGNS[values["side"]]
    if ("qty" in values) == ("margin" in values):
        yield "FIELDS_EXCLUSIVE" if "qty" in values else "FIELD_MISSING"
    if "qty" in values:
        yield from lots_codes(market, values["qty"])
    elif not 0 < values["margin"] < MARGIN_LIMIT or (values["margin"] * PPM).denominator != 1:
        yield "AMOUNT_OUT_OF_RANGE"
    if not 1 <= values["leverage"] <= market.limits["leverage_max"]:
        yield "LEVERAGE_OUT_OF_RANGE"
    yield from slippage_codes(values)
    yield from ticks_codes(market, trigger_prices(values))
    touch = market.touch(sign)
    lots = trade_lots(market, values, touch)
    if "qty" in values:
        yield from size_codes(market, lots, touch)
    yield from count_codes(state, account.account_id, values, rests=False)
    if not state.fresh(market):
        yield "PRICE_STALE"
    yield from client_id_codes(state, account.account_id, values)
    if "margin" in values:
        if not lots:
            yield "QTY_OUT_OF_RANGE"
        yield from size_codes(market, lots, touch)
    if sign * (market.bound(sign, values.get("slippage_bps", SLIPPAGE_DEFAULT)) - touch) < 0:
        yield "SLIPPAGE_EXCEEDED"
    if wrong_side(values, sign, touch * market.tick):
        yield "TRIGGER_WRONG_SIDE"
    plan = fill_plan(market, None, sign, lots, touch, "fee_taker_ppm", values["leverage"])
    yield from margin_codes(account, market, plan, None, values["leverage"])
    net = state.position_net(account.account_id, market)
    others = tickets(state, account, market) + (abs(net.lots) if net is not None else 0)
    yield from limit_codes(state, market, plan, None, others)
    yield from room_codes(state, account)
    yield from slot_codes(state, len(trigger_prices(values)), 1)


def size_codes(market: Market, lots: int, touch: int) -> Iterator[str]:
    """Yield the filters that the size of a new ticket breaks; the smallest notional needs a touch to be told by."""
    if lots > market.limits["order_lots"]:
        yield "ORDER_ABOVE_MAX"
    if touch and lots * touch * market.unit < market.limits["notional_min"]:
        yield "NOTIONAL_BELOW_MIN"


def trade_lots(market: Market, values: dict[str, Any], touch: int) -> int:
    """Return the lots of a new ticket: those given, or the most whose initial margin stays within the amount given."""
    if "qty" in values:
        return int(values["qty"] / market.lot)
    if not touch:
        return 0
    return int(values["margin"] * PPM) * values["leverage"] // (touch * market.unit)


def position_named(state: State, account: Account, asked: Instruction) -> Position | None:
    """Return the account's own position of the id given, None when it has none such."""
    found = state.positions.get(asked.values.get("position_id") or 0)
    return found if found is not None and found.account_id == account.account_id else None


def trade_close_codes(state: State, account: Account, asked: Instruction) -> Iterator[str]:
    """Yield the rules that closing a position breaks, in order of precedence."""
    values = asked.values
    yield from market_codes(state, asked)
    if "qty" in values and "percent" in values:
        yield "FIELDS_EXCLUSIVE"
    position = position_named(state, account, asked)
    if "qty" in values and values["qty"] <= 0:
        yield "QTY_OUT_OF_RANGE"
    if "percent" in values and (values["percent"].denominator != 1 or not 1 <= values["percent"] <= 100):
        yield "PERCENT_OUT_OF_RANGE"
    if position is None:
        yield "POSITION_UNKNOWN"
        return
    if "qty" in values:
        yield from lots_codes(position.market, values["qty"])
    if not state.fresh(position.market):
        yield "PRICE_STALE"
    if "qty" in values and values["qty"] / position.market.lot > abs(position.lots):
        yield "QTY_ABOVE_POSITION"


def triggers_set_codes(state: State, account: Account, asked: Instruction) -> Iterator[str]:
    """Yield the rules that new SL and TP of a position break, in order of precedence."""
    values = asked.values
    yield from market_codes(state, asked)
    if not any(name in values for name in TRIGGERS):
        yield "FIELD_MISSING"
    position = position_named(state, account, asked)
    prices = trigger_prices(values)
    if position is None:
        yield "POSITION_UNKNOWN"
        return
    yield from ticks_codes(position.market, prices)
    dormant = sum(order.status != "resting" for order in state.orders_of(account.account_id))
    bound = state.bound_orders(position)
    added = len(prices) - sum(KIND_OF[name] in bound for name in TRIGGERS if values.get(name) is not None)
    if added > 0 and dormant + added > state.settings["triggers_open_max"]:
        yield "TRIGGERS_OPEN_MAX"
    if prices and not state.fresh(position.market):
        yield "PRICE_STALE"
    for name in TRIGGERS:
        if values.get(name) is not None:
            price, source = values[name]
            if trigger_met(position, KIND_OF[name], int(price / position.market.tick), source):
                yield "TRIGGER_WOULD_FIRE_IMMEDIATELY"
    yield from slot_codes(state, max(0, added), 0)


def trigger_met(position: Position, kind: str, ticks: int, source: str) -> bool:
    """Return whether a trigger of the position would fire at the present prices."""
    market = position.market
    direction = 1 if position.lots > 0 else -1
    price = {"quote": market.touch(-direction), "mark": market.mark, "index": market.index}[source]
    below = (direction > 0) == (kind == "stop_market")
    return price > 0 and (price <= ticks if below else price >= ticks)


def order_named(state: State, account: Account, asked: Instruction) -> Order | None:
    """Return the account's own live order that an id or a client's id names, None when there is none such."""
    for order in state.orders_of(account.account_id):
        if asked.values.get("order_id") == order.order_id:
            return order
        if "client_order_id" in asked.values and order.client_order_id == asked.values["client_order_id"]:
            return order
    return None


def order_cancel_codes(state: State, account: Account, asked: Instruction) -> Iterator[str]:
    """Yield the rules that cancelling an order breaks, in order of precedence."""
    yield from market_codes(state, asked)
    if len(asked.values) != 1:
        yield "FIELDS_EXCLUSIVE" if asked.values else "FIELD_MISSING"
    if order_named(state, account, asked) is None:
        yield "ORDER_UNKNOWN"


def orders_cancel_codes(state: State, account: Account, asked: Instruction) -> Iterator[str]:
    """Yield what is wrong with cancelling all orders: nothing but the market named."""
    yield from market_codes(state, asked)


def account_open_codes(state: State, asked: Instruction) -> Iterator[str]:
    """Yield the rules that opening an account breaks; the same owner again is none."""
    if asked.late is not None:
        yield asked.late
    known = any(account.owner == asked.values["owner"] for account in state.accounts.values())
    users = sum(account_id >= FIRST_USER for account_id in state.accounts)
    if not known and users >= state.settings["accounts_max"]:
        yield "ACCOUNT_SLOTS_EXHAUSTED"
