"""
The operations of users, carried out; each was judged before and can no longer fail.
"""

from collections.abc import Callable

from tests.reference.execution import execute
from tests.reference.fills import fill_plan, transfer
from tests.reference.intake import TRIGGERS, Instruction
from tests.reference.judge import SIGNS, order_bound, order_named, position_named, trade_lots
from tests.reference.markets import Market
from tests.reference.orders import leverage_net, order_close, reserves_update
from tests.reference.state import (
    EXTERNAL,
    KIND_OF,
    Account,
    Order,
    Position,
    State,
    account_event,
    order_event,
    position_event,
)

Answer = dict[str, int]


def account_open(state: State, asked: Instruction) -> Answer:
    """Open an account with the starting balance, or answer the one its owner has."""
    owner = asked.values["owner"]
    for account in state.accounts.values():
        if account.owner == owner:
            return {"account": account.account_id}
    account = Account(state.next_id("account"), owner)
    state.accounts[account.account_id] = account
    state.emit("account_opened", account=account.account_id, owner=owner)
    transfer(state, EXTERNAL, account.account_id, state.settings["starting_balance"], "deposit", 0)
    account_event(state, account.account_id)
    return {"account": account.account_id}


def order_new(state: State, account: Account, asked: Instruction, market: Market, kind: str, lots: int) -> Order:
    """Return a new order of the instruction with its bracket's children right after it, nothing executed yet."""
    values = asked.values
    sign = SIGNS[values["side"]]
    order_id = state.next_id("order")
    order = Order(order_id, account.account_id, market, sign, kind, "filling", state.log_time_us, order_id, lots)
    order.client_order_id = values.get("client_order_id")
    state.orders[order_id] = order
    for name in TRIGGERS:
        if values.get(name) is not None:
            child = trigger_new(state, account, market, -sign, name, values[name])
            child.status, child.parent_id = "attached", order_id
    return order


def trigger_new(state: State, account: Account, market: Market, sign: int, name: str, given: tuple) -> Order:
    """Return a new dormant order that closes at a price."""
    order_id = state.next_id("order")
    now = state.log_time_us
    order = Order(order_id, account.account_id, market, sign, KIND_OF[name], "trigger", now, order_id)
    order.price_trigger, order.trigger_by = int(given[0] / market.tick), given[1]
    state.orders[order_id] = order
    return order


def order_place(state: State, account: Account, asked: Instruction) -> Answer:
    """Place an order on the net position: it fills whole at the touch, rests, or ends."""
    values = asked.values
    market, limited = state.markets[values["market"]], values["kind"] == "limit"
    lots = int(values["qty"] / market.lot)
    order = order_new(state, account, asked, market, values["kind"], lots)
    order.tif = values.get("tif", "GTC" if limited else "IOC")
    order.post_only = values.get("post_only", False)
    order.price = int(values["price"] / market.tick) if "price" in values else None
    touch = market.touch(order.sign)
    if not limited:
        bound = order_bound(market, order.sign, values, order.price)
        order.price = bound or None
    else:
        bound = order.price or 0
    if order.sign * (bound - touch) >= 0:
        position = state.position_net(account.account_id, market)
        leverage = leverage_net(market)
        plan = fill_plan(market, position, order.sign, lots, touch, "fee_taker_ppm", leverage)
        execute(state, order, position, plan, leverage, maker=False, reason="filled")
    elif limited and order.tif == "GTC":
        order.status = "resting"
        reserves_update(state, account.account_id, market)
        if not order.reserved:
            order_event(state, order)
        for child in state.children(order.order_id):
            order_event(state, child)
        account_event(state, account.account_id)
    else:
        for child in state.children(order.order_id):
            del state.orders[child.order_id]
            state.counters["order"] -= 1
        order_close(state, order, "ioc_unfilled" if limited else "slippage_exceeded")
    return named(order)


def named(order: Order) -> Answer:
    """Return what an answer names: the order, and its position if it has one."""
    answer = {"order_id": order.order_id}
    return answer | ({"position_id": order.position_id} if order.position_id is not None else {})


def trade_create(state: State, account: Account, asked: Instruction) -> Answer:
    """Open a ticket: a position of its own with its own leverage, filled whole at the touch."""
    values = asked.values
    market, sign = state.markets[values["market"]], SIGNS[values["side"]]
    touch = market.touch(sign)
    lots = trade_lots(market, values, touch)
    order = order_new(state, account, asked, market, "market", lots)
    order.tif, order.position_id = "FOK", -1
    plan = fill_plan(market, None, sign, lots, touch, "fee_taker_ppm", values["leverage"])
    after = execute(state, order, None, plan, values["leverage"], maker=False, reason="filled")
    assert after is not None
    return {"order_id": order.order_id, "position_id": after.position_id}


def close_lots(position: Position, asked: Instruction) -> int:
    """Return how many lots of the position an instruction closes."""
    held = abs(position.lots)
    if "qty" in asked.values:
        return int(asked.values["qty"] / position.market.lot)
    if "percent" in asked.values:
        return max(1, int(held * asked.values["percent"] / 100))
    return held


def trade_close(state: State, account: Account, asked: Instruction) -> Answer:
    """Close a position wholly or in part at the touch."""
    position = position_named(state, account, asked)
    assert position is not None
    order = close_order(state, position, "market", close_lots(position, asked))
    close_execute(state, position, order, "filled")
    return {"order_id": order.order_id, "position_id": position.position_id}


def close_order(state: State, position: Position, kind: str, lots: int) -> Order:
    """Return a new order that closes lots of a position."""
    order_id = state.next_id("order")
    sign = -1 if position.lots > 0 else 1
    now = state.log_time_us
    order = Order(order_id, position.account_id, position.market, sign, kind, "filling", now, order_id, lots)
    order.tif, order.position_id = (None if kind == "liquidation" else "IOC"), position.position_id
    state.orders[order_id] = order
    return order


def close_execute(state: State, position: Position, order: Order, reason: str) -> None:
    """Fill a closing order at the touch."""
    market = position.market
    touch, rate = market.touch(order.sign), "fee_taker_ppm"
    plan = fill_plan(market, position, order.sign, order.lots, touch, rate, position.leverage)
    execute(state, order, position, plan, position.leverage, maker=False, reason=reason)


def position_triggers_set(state: State, account: Account, asked: Instruction) -> Answer:
    """Set, replace or remove the SL and TP of a position."""
    position = position_named(state, account, asked)
    assert position is not None
    for name in TRIGGERS:
        if name not in asked.values:
            continue
        former = state.bound_orders(position).get(KIND_OF[name])
        given = asked.values[name]
        if former is not None:
            order_close(state, former, "trigger_removed" if given is None else "replaced")
        if given is not None:
            sign = -1 if position.lots > 0 else 1
            order = trigger_new(state, account, position.market, sign, name, given)
            order.position_id = position.position_id
            order_event(state, order)
    position_event(state, position)
    return {"position_id": position.position_id}


def order_cancel(state: State, account: Account, asked: Instruction) -> Answer:
    """Cancel one order, resting or dormant."""
    order = order_named(state, account, asked)
    assert order is not None
    order_close(state, order, "cancelled")
    position = state.positions.get(order.position_id or 0)
    if position is not None:
        position_event(state, position)
    reserves_update(state, account.account_id, order.market)
    account_event(state, account.account_id)
    return named(order)


def orders_cancel(state: State, account: Account, asked: Instruction) -> Answer:
    """Cancel the account's resting orders, of one market or of all."""
    for order in state.orders_of(account.account_id):
        wanted = asked.values.get("market", order.market.name) == order.market.name
        if wanted and order.status == "resting" and order.order_id in state.orders:
            order_close(state, order, "cancelled")
    account_event(state, account.account_id)
    return {}


OPERATIONS: dict[str, Callable[[State, Account, Instruction], Answer]] = {
    "order_place": order_place,
    "order_cancel": order_cancel,
    "orders_cancel": orders_cancel,
    "trade_create": trade_create,
    "trade_close": trade_close,
    "position_triggers_set": position_triggers_set,
}
