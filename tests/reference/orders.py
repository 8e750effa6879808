"""
The life of orders that wait: what they keep back, how they end, and the brackets that follow their fills.
"""

from fractions import Fraction

from tests.reference.markets import Market
from tests.reference.state import Account, Order, Position, State, order_event
from tests.reference.state import price_average_text as average
from tests.reference.texts import ceil_of, money_text

PPM = 1_000_000


def reserve_of(market: Market, lots: int, price: int) -> int:
    """Return what `lots` resting at `price` keep back: initial margin and the taker fee, each rounded up."""
    notional = lots * price * market.unit
    return ceil_of(Fraction(notional, leverage_net(market))) + ceil_of(
        Fraction(notional * market.rates["fee_taker_ppm"], PPM)
    )


def leverage_net(market: Market) -> int:
    """Return the leverage of net positions in the market."""
    return min(10, market.limits["leverage_max"])


def resting(state: State, account_id: int, market: Market, sign: int) -> list[Order]:
    """Return the account's resting orders of one side in the market, oldest first."""
    found = [
        order
        for order in state.orders_of(account_id)
        if order.market is market and order.status == "resting" and order.sign == sign
    ]
    return sorted(found, key=lambda order: order.priority)


def cover_left(state: State, account_id: int, market: Market, sign: int) -> int:
    """Return how many lots of the opposite position are not yet spoken for by resting orders of this side."""
    held = state.position_net(account_id, market)
    cover = max(0, -sign * held.lots) if held is not None else 0
    return max(0, cover - sum(order.lots for order in resting(state, account_id, market, sign)))


def reserves_update(state: State, account_id: int, market: Market) -> None:
    """Recompute the reserves of the account's orders in the market; cancel the newest until free is not negative."""
    account = state.accounts[account_id]
    for sign in (1, -1):
        held = state.position_net(account_id, market)
        cover = max(0, -sign * held.lots) if held is not None else 0
        for order in resting(state, account_id, market, sign):
            covered = min(cover, order.lots)
            cover -= covered
            reserve_set(state, account, order, reserve_of(market, order.lots - covered, order.price or 0))
    while account.free < 0:
        reserving = [order for order in state.orders_of(account_id) if order.reserved > 0]
        if not reserving:
            break
        order_close(state, max(reserving, key=lambda order: order.priority), "margin_insufficient")


def reserve_set(state: State, account: Account, order: Order, reserve: int) -> None:
    """Move money between free and reserved until the order keeps back exactly `reserve`."""
    change = reserve - order.reserved
    if change:
        account.free -= change
        account.reserved += change
        order.reserved = reserve
        if order.order_id in state.orders:
            order_event(state, order)


def order_close(state: State, order: Order, reason: str) -> None:
    """End an order, its bracket with it, and tell its whole life."""
    market = order.market
    state.orders.pop(order.order_id, None)
    reserve_set(state, state.accounts[order.account_id], order, 0)
    follows = order.kind in ("stop_market", "take_profit_market") and not order.lots_filled
    price_average = average(market, order.notional_filled, order.lots_filled) if order.lots_filled else None
    state.emit(
        "closed_order",
        account=order.account_id,
        market=market.name,
        order_id=order.order_id,
        position_id=order.position_id,
        client_order_id=order.client_order_id,
        side="buy" if order.sign > 0 else "sell",
        kind=order.kind,
        tif=order.tif,
        reason=reason,
        qty=None if follows else market.qty_text(order.lots),
        qty_filled=market.qty_text(order.lots_filled),
        price=None if order.price is None else market.price_text(order.price),
        price_trigger=None if order.price_trigger is None else market.price_text(order.price_trigger),
        trigger_by=order.trigger_by,
        price_average=price_average,
        fee=money_text(order.fee),
        pnl_realised=money_text(order.pnl),
        placed_us=order.placed_us,
        closed_us=state.log_time_us,
    )
    for child in state.children(order.order_id):
        order_close(state, child, "parent_closed")


def bracket_attach(state: State, order: Order, after: Position | None) -> None:
    """Give a filled order's children to the position they protect, or end them when it is not the order's own."""
    suits = after is not None and after.lots * order.sign > 0
    for child in state.children(order.order_id):
        if not suits or after is None:
            order_close(state, child, "parent_closed")
            continue
        former = state.bound_orders(after).get(child.kind)
        if former is not None:
            order_close(state, former, "replaced")
        child.parent_id = None
        child.status, child.position_id = "trigger", after.position_id
        order_event(state, child)
