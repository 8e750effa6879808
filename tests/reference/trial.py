"""
An order is tried out: which position it means, how bad a price it bears, where its walk leads, what of it would rest.
"""

from dataclasses import dataclass, replace

from tests.reference.brackets import reducing
from tests.reference.cross import fills_cross
from tests.reference.state import Order, Position, State
from tests.reference.walk import Taker, Walk, better, makers_of, walk_plan

SLIPPAGE_DEFAULT = 500


@dataclass
class Trial:
    """An order as it would execute now."""

    taker: Taker
    walk: Walk
    rest: int = 0  # lots that would go on resting
    trimmed: bool = False  # the order's quantity becomes what it filled, and what rests
    roomless: bool = False  # reduce-only, nothing filled, and no room to rest


def position_of(state: State, order: Order) -> Position | None:
    """Return the position that an order acts on: the one it names, the account's net one, none for a new ticket."""
    if order.ticket:
        return None
    if order.position_id is not None and order.reduce_only:
        return state.positions.get(order.position_id)
    return state.position_net(order.account_id, order.market)


def order_resolve(state: State, order: Order, dormant: bool = False) -> tuple[str | None, Order]:
    """Return the rule that naming its position breaks, or None, and the order with its quantity resolved."""
    found = replace(order)
    if not order.reduce_only:
        return None, found
    position = position_of(state, order)
    if position is None or position.lots * order.sign >= 0:
        return "REDUCE_ONLY_WOULD_INCREASE", found
    found.position_id = position.position_id
    held = abs(position.lots)
    if dormant:
        return None, found
    if order.sltp:
        found.lots = held
    elif order.close_percent is not None and not order.lots_filled and order.status != "resting":
        found.lots = max(1, held * order.close_percent // 100)
    else:
        found.lots = order.lots_filled + min(order.lots_open, held)
    return None, found


def slippage_of(state: State, order: Order) -> int | None:
    """Return the slippage an order bears: its own, or where it has a default its owner's or the venue's."""
    if order.slippage_bps is not None or order.slippage_default is None:
        return order.slippage_bps
    guard = state.accounts[order.account_id].slippage_bps
    return order.slippage_default if guard is None else guard


def order_bound(state: State, order: Order) -> int | None:
    """Return the worst price an order bears: its limit, or its slippage's or its own, whichever is nearer."""
    if order.limited:
        return order.price
    slippage = slippage_of(state, order)
    bounds = [] if slippage is None else [order.market.bound(order.sign, slippage)]
    bounds += [] if order.price is None else [order.price]
    if not bounds:
        return None
    return min(bounds) if order.sign > 0 else max(bounds)


def order_try(state: State, order: Order, sibling: Order | None = None) -> Trial:
    """Return where an order whose quantity is resolved would lead if it executed now, and its OCO sibling ended."""
    market = order.market
    leverage = order.leverage if order.ticket else state.leverage_net(order.account_id, market)
    taker = Taker(
        account_id=order.account_id,
        market=market,
        sign=order.sign,
        lots=order.lots_open,
        bound=order_bound(state, order),
        stp=order.stp,
        whole=order.tif == "FOK",
        position=position_of(state, order),
        leverage=leverage,
        fee_ppm=order.fee_taker_ppm,
        cap=order.cap,
        cross=fills_cross(state, order),
    )
    trial = Trial(taker, walk_plan(state, taker))
    walk = trial.walk
    trial.trimmed = walk.capped
    left = order.lots_open - walk.filled
    if left and order.limited and order.tif in ("GTC", "GTD") and not walk.cut and not walk.tired:
        trial.rest = left
        if order.reduce_only:
            trial.rest = min(left, room_left(state, order, walk, sibling))
            trial.trimmed = trial.rest < left
            trial.roomless = not trial.rest and not walk.filled
    return trial


def room_left(state: State, order: Order, walk: Walk, sibling: Order | None) -> int:
    """Return the lots that a reduce-only order may rest with, beside the others of its position."""
    position = position_of(state, order)
    assert position is not None
    others = [row for row in reducing(state, position, sibling) if row.order_id != order.order_id]
    return max(0, abs(walk.holding.lots) - sum(row.lots_open for row in others))


def would_take(state: State, order: Order) -> bool:
    """Return whether a limit order would take: it reaches the touch, or a user's order on the other side."""
    market, price = order.market, order.price or 0
    if market.liquidity != "book" and not better(order.sign, price, market.touch(order.sign)):
        return True
    return any(not better(order.sign, price, maker.price or 0) for maker in makers_of(state, market, order.sign))
