"""
The life of orders that wait: what they keep back, what they cover, how they end, and the link of an OCO pair.
"""

from fractions import Fraction

from tests.reference.cross import holds_cross, is_cross, reserved_cross, spare_of
from tests.reference.images import closed_order_event, order_event, position_event
from tests.reference.markets import PPM, Market
from tests.reference.state import Account, Order, State
from tests.reference.texts import ceil_of


def reserve_of(state: State, order: Order, lots: int) -> int:
    """Return what `lots` of a resting order keep back: initial margin and the higher of its fees, each rounded up."""
    notional = lots * (order.price or 0) * order.market.unit
    leverage = state.leverage_net(order.account_id, order.market)
    fee_ppm = max(order.fee_maker_ppm, order.fee_taker_ppm)
    return ceil_of(Fraction(notional, leverage)) + ceil_of(Fraction(notional * fee_ppm, PPM))


def reserve_freed(state: State, order: Order, lots: int) -> int:
    """Return the reserve that a fill of `lots`, not counted yet, sets free; what lacks is claimed later."""
    return max(0, order.reserved - reserve_of(state, order, min(order.uncovered, order.lots_open - lots)))


def resting(state: State, account_id: int, market: Market, sign: int, without: Order | None = None) -> list[Order]:
    """Return the account's resting orders of one side that may open, oldest first; reduce-only ones are not among."""
    return [
        order
        for order in state.orders_aged(account_id)
        if order.market is market
        and order.status == "resting"
        and order.sign == sign
        and not order.reduce_only
        and order is not without
    ]


def resting_lots(state: State, account_id: int, market: Market, sign: int, without: Order | None = None) -> int:
    """Return the open lots of those orders."""
    return sum(order.lots_open for order in resting(state, account_id, market, sign, without))


def cover_left(state: State, account_id: int, market: Market, sign: int) -> int:
    """Return how many lots of the opposite position are not yet spoken for by resting orders of this side."""
    held = state.position_net(account_id, market)
    cover = max(0, -sign * held.lots) if held is not None else 0
    return max(0, cover - resting_lots(state, account_id, market, sign))


def uncovered(state: State, account_id: int, market: Market, sign: int, without: Order | None = None) -> int:
    """Return the lots of an account's resting orders of one side that its opposite net position does not cover."""
    held = state.position_net(account_id, market)
    cover = max(0, -sign * held.lots) if held is not None else 0
    return max(0, resting_lots(state, account_id, market, sign, without) - cover)


def reserves_update(state: State, account_id: int, market: Market) -> None:
    """Recompute the reserves of the account's orders in the market; end the newest until free is not negative."""
    reserves_refresh(state, account_id, market)
    free_restore(state, account_id)


def reserves_refresh(state: State, account_id: int, market: Market) -> None:
    """Recompute what the account's orders in the market keep back; what they may not take from a pool ends."""
    account = state.accounts[account_id]
    before = account.free
    for sign in (1, -1):
        held = state.position_net(account_id, market)
        cover = max(0, -sign * held.lots) if held is not None else 0
        for order in resting(state, account_id, market, sign):
            covered = min(cover, order.lots_open)
            cover -= covered
            order.uncovered = order.lots_open - covered
            reserve_set(state, account, order, reserve_of(state, order, order.uncovered))
    if holds_cross(state, account_id) and not is_cross(state, account_id, market):
        pool_protect(state, account, market, before - account.free)


def pool_protect(state: State, account: Account, market: Market, taken: int) -> None:
    """End the newest orders of an isolated market as long as their reserves took what must stay in the pool."""
    spare = spare_of(state, account.account_id, reserved_cross(state, account.account_id))
    while taken > 0 and min(account.free, account.free + spare) < 0:
        orders = state.orders_of(account.account_id)
        reserving = [order for order in orders if order.market is market and order.reserved > 0]
        if not reserving:
            return
        newest = max(reserving, key=lambda order: order.priority)
        taken -= newest.reserved
        order_close(state, newest, "margin_insufficient")


def free_restore(state: State, account_id: int) -> None:
    """End the account's newest orders that keep something back, in any market, until free is not negative."""
    while state.accounts[account_id].free < 0:
        reserving = [order for order in state.orders_of(account_id) if order.reserved > 0]
        if not reserving:
            break
        order_close(state, max(reserving, key=lambda order: order.priority), "margin_insufficient")


def reserve_move(state: State, order: Order, reserve: int) -> None:
    """Move money between free and reserved until the order keeps back exactly `reserve`."""
    account = state.accounts[order.account_id]
    account.free -= reserve - order.reserved
    account.reserved += reserve - order.reserved
    order.reserved = reserve


def reserve_set(state: State, account: Account, order: Order, reserve: int) -> None:
    """Change what an order keeps back, and tell of it if that changed."""
    assert account.account_id == order.account_id
    if reserve != order.reserved:
        reserve_move(state, order, reserve)
        order_event(state, order)


def order_close(state: State, order: Order, reason: str, result: str | None = None) -> None:
    """End an order, its bracket with it, and tell its whole life; its OCO sibling goes on alone."""
    state.orders.pop(order.order_id, None)
    reserve_move(state, order, 0)
    order.status = "closed"
    closed_order_event(state, order, reason, result)
    sibling = sibling_of(state, order)
    if sibling is not None:
        sibling.oco_id = None
        if sibling.status != "filling" and (sibling.lots_open or not sibling.lots):
            order_event(state, sibling)
    for child in state.children(order.order_id):
        child.oco_id = None
        order_close(state, child, "parent_closed")


def sibling_of(state: State, order: Order) -> Order | None:
    """Return the live other leg of an OCO order, None when there is none."""
    return state.orders.get(order.oco_id) if order.oco_id is not None else None


def sibling_end(state: State, order: Order) -> None:
    """End the other leg of an OCO order because this one lives on, or has done its work."""
    sibling = sibling_of(state, order)
    if sibling is not None:
        order.oco_id = sibling.oco_id = None
        order_close(state, sibling, "oco")


def sibling_cut(state: State, order: Order, lots: int) -> None:
    """Take from the other leg what this one has filled; it ends when either of them has nothing left."""
    sibling = sibling_of(state, order)
    if sibling is None or not lots:
        return
    by_percent = sibling.close_percent is not None
    if not order.lots_open or (not by_percent and lots >= sibling.lots_open):
        sibling_end(state, order)
    elif not by_percent:
        sibling.lots -= lots
        order_event(state, sibling)


def order_end(state: State, order: Order, reason: str, result: str | None = None) -> None:
    """End an order outside an execution, and tell the position whose SL or TP it was."""
    order_close(state, order, reason, result)
    position = state.positions.get(order.position_id or 0)
    if order.sltp and position is not None:
        position_event(state, position)
