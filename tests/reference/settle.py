"""
What prices bring about: resting orders met, triggers fired, positions liquidated; found by scanning everything.
"""

from tests.reference.execution import execute, execute_maker
from tests.reference.fills import fill_plan
from tests.reference.instructions import close_execute, close_order
from tests.reference.judge import trigger_met
from tests.reference.markets import Market
from tests.reference.orders import order_close
from tests.reference.state import FIRST_USER, Order, Position, State
from tests.reference.texts import money_text


def settle(state: State) -> None:
    """Settle every fresh market in id order, again and again until nothing fires."""
    fired = True
    while fired:
        fired = False
        for market in state.markets.values():
            if state.fresh(market):
                fired = market_settle(state, market) or fired


def market_settle(state: State, market: Market) -> bool:
    """Fill what the quote meets, then fire triggers and liquidate in turn until nothing is left; return whether any."""
    fired = False
    while (order := order_met(state, market)) is not None:
        execute_maker(state, order)
        fired = True
    again = True
    while again:
        again = False
        while (order := trigger_first(state, market)) is not None:
            trigger_fire(state, order)
            again = True
        while (position := liquidatable_first(state, market)) is not None:
            liquidate(state, position)
            again = True
        fired = fired or again
    return fired


def order_met(state: State, market: Market) -> Order | None:
    """Return the first resting order that the quote meets: buys by descending limit, sells by ascending, then age."""
    for sign in (1, -1):
        met = [
            (-sign * (order.price or 0), order.priority, order)
            for order in state.orders.values()
            if order.market is market
            and order.status == "resting"
            and order.sign == sign
            and sign * ((order.price or 0) - market.touch(sign)) >= 0
        ]
        if met:
            return min(met)[2]
    return None


def fires_below(order: Order) -> bool:
    """Return whether a trigger fires at or below its price: stops that sell, take-profits that buy."""
    return (order.sign < 0) == (order.kind == "stop_market")


def trigger_first(state: State, market: Market) -> Order | None:
    """Return the first trigger that is met: at-or-below by descending price, at-or-above by ascending, then id."""
    met: list[tuple[int, int, int, Order]] = []
    for order in state.orders.values():
        if order.market is not market or order.status != "trigger" or order.price_trigger is None:
            continue
        position = state.positions[order.position_id or 0]
        if trigger_met(position, order.kind, order.price_trigger, order.trigger_by or "quote"):
            below = fires_below(order)
            rank = -order.price_trigger if below else order.price_trigger
            met.append((0 if below else 1, rank, order.order_id, order))
    return min(met)[3] if met else None


def trigger_fire(state: State, order: Order) -> None:
    """Close the trigger's whole position at the touch, by the trigger's own order."""
    market = order.market
    position = state.positions[order.position_id or 0]
    source = {"quote": market.touch(order.sign), "mark": market.mark, "index": market.index}
    state.emit(
        "trigger_fired",
        account=order.account_id,
        market=market.name,
        order_id=order.order_id,
        position_id=position.position_id,
        price_trigger=market.price_text(order.price_trigger or 0),
        trigger_by=order.trigger_by,
        price=market.price_text(source[order.trigger_by or "quote"]),
    )
    order.status = "filling"
    order.lots = abs(position.lots)
    reason = "stop_loss" if order.kind == "stop_market" else "take_profit"
    close_execute(state, position, order, reason)


def liquidatable_first(state: State, market: Market) -> Position | None:
    """Return the first liquidatable position: longs by descending threshold, shorts by ascending, then id."""
    met: list[tuple[int, int, int, Position]] = []
    for position in state.positions.values():
        if position.market is market and market.liquidatable(position.lots, position.cost, position.margin):
            threshold = market.threshold(position.lots, position.cost, position.margin)
            assert threshold is not None
            long = position.lots > 0
            met.append((0 if long else 1, -threshold if long else threshold, position.position_id, position))
    return min(met)[3] if met else None


def liquidate(state: State, position: Position) -> None:
    """Cancel the account's orders in the market, then close the whole position at the touch by force."""
    market = position.market
    for order in state.orders_of(position.account_id):
        if order.market is market and order.status == "resting":
            order_close(state, order, "liquidation")
    order = close_order(state, position, "liquidation", abs(position.lots))
    price = market.touch(order.sign)
    rate = "fee_liquidation_ppm"
    plan = fill_plan(market, position, order.sign, order.lots, price, rate, position.leverage)
    state.emit(
        "liquidation",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        order_id=order.order_id,
        qty=market.qty_text(order.lots),
        price=market.price_text(price),
        price_mark=market.price_text(market.mark),
        fee=money_text(plan.fee),
    )
    execute(state, order, position, plan, position.leverage, maker=False, reason="liquidation")
    assert position.account_id >= FIRST_USER
