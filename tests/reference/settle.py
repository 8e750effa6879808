"""
What prices bring about: delayed orders, resting orders met, triggers fired, liquidations, calls; by scanning all.
"""

from tests.reference.calls import calls_tell
from tests.reference.execution import house_takes
from tests.reference.liquidation import account_first, account_liquidate, liquidatable_first, liquidate
from tests.reference.markets import Market
from tests.reference.state import Order, State
from tests.reference.waking import delayed_execute, delayed_first, trigger_fire, trigger_first
from tests.reference.walk import better, offer_of


def settle(state: State) -> None:
    """Settle every tradable market that something has touched in id order, again and again until nothing is touched."""
    while any(market.touched for market in state.markets.values()):
        for market in state.markets.values():
            if market.touched:
                market.touched = False
                if state.tradable(market):
                    market_settle_now(state, market)


def market_settle_now(state: State, market: Market) -> None:
    """Run what is delayed, fill what the quote meets, then fire triggers and liquidate in turn; at last tell calls."""
    while market.quoted_now and (order := delayed_first(state, market)) is not None:
        delayed_execute(state, order)
    while (order := order_met(state, market)) is not None:
        house_takes(state, order, lots_offered(order))
    again = True
    while again:
        again = False
        while (order := trigger_first(state, market)) is not None:
            trigger_fire(state, order)
            again = True
        while liquidation_step(state, market):
            again = True
    state.ranking = None
    calls_tell(state, market)


def liquidation_step(state: State, market: Market) -> bool:
    """Liquidate the first isolated position, or take one step with the first cross account; return whether any was."""
    position = liquidatable_first(state, market)
    account_id = account_first(state, market)
    if position is not None:
        liquidate(state, position)
    elif account_id is not None:
        account_liquidate(state, account_id)
    return position is not None or account_id is not None


def lots_offered(order: Order) -> int:
    """Return the lots of a resting order that the quote takes: those it offers at prices up to its limit."""
    offer = offer_of(order.market, order.sign)
    lots = sum(lots for price, lots in offer if not better(order.sign, order.price or 0, price))
    return min(order.lots_open, lots)


def order_met(state: State, market: Market) -> Order | None:
    """Return the first resting order that the quote meets: buys by descending limit, sells by ascending, then age."""
    for sign in (1, -1):
        met = [
            (-sign * (order.price or 0), order.priority, order.order_id)
            for order in state.orders.values()
            if order.market is market and order.status == "resting" and order.sign == sign and lots_offered(order)
        ]
        if met:
            return state.orders[min(met)[2]]
    return None
