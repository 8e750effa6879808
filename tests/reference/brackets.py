"""
What hangs on an order's fills and a position's size: brackets, SL and TP, and the reduce-only orders bound to it.
"""

from tests.reference.images import order_event
from tests.reference.markets import Market
from tests.reference.orders import order_close
from tests.reference.state import Order, Position, State

NAMES = ("take_profit", "stop_loss")


def kind_of(name: str, limited: bool) -> str:
    """Return the kind of a child: its name says when it wakes, its price what it is then."""
    stem = "stop" if name == "stop_loss" else "take_profit"
    return f"{stem}_limit" if limited else f"{stem}_market"


def bracket_follow(state: State, order: Order, after: Position | None, lots: int) -> None:
    """Let free children grow with a fill, or give attached ones to the position once it has their entry's direction."""
    for child in state.orders_of(order.account_id):
        if child.parent_id == order.order_id and child.status == "trigger":
            child.lots += lots
            order_event(state, child)
    children = state.children(order.order_id)
    if after is None or after.lots * order.sign <= 0 or not children:
        return
    if order.tpsl == "order":
        children_free(state, order, children, after, lots)
    else:
        for child in children:
            former = state.bound_orders(after).get("stop_loss" if child.kind.startswith("stop") else "take_profit")
            if former is not None:
                order_close(state, former, "replaced")
            child.parent_id, child.status, child.position_id = None, "trigger", after.position_id
            order_event(state, child)


def children_free(state: State, order: Order, children: list[Order], position: Position, lots: int) -> None:
    """Make an entry's children free reduce-only orders of what this fill was."""
    for child in children:
        child.status, child.position_id = "trigger", position.position_id
        child.sltp, child.lots = False, lots
    for child in children:
        order_event(state, child)


def bound_end(state: State, position: Position, cause: Order) -> None:
    """End what is bound to a position that has ended: TP, SL, then reduce-only orders by age."""
    bound = state.bound_orders(position)
    for name in NAMES:
        if name in bound and bound[name] is not cause:
            order_close(state, bound[name], "position_closed")
    for order in state.orders_aged(position.account_id):
        mine = order.reduce_only and not order.sltp and order.position_id == position.position_id
        ends = mine and order.order_id in state.orders and order.status not in ("attached", "filling")
        if ends and (order is not cause or order.lots_open):
            order_close(state, order, "position_closed")


def reducing(state: State, position: Position, without: Order | None = None) -> list[Order]:
    """Return the resting reduce-only orders of a position, oldest first."""
    return [
        order
        for order in state.orders_aged(position.account_id)
        if order.status == "resting"
        and order.reduce_only
        and order.position_id == position.position_id
        and order is not without
    ]


def positions_shrink(state: State, account_id: int, market: Market) -> None:
    """Let resting reduce-only orders keep, oldest first, what their position has room for."""
    for position in state.positions_of(account_id):
        if position.market is not market:
            continue
        room = abs(position.lots)
        for order in reducing(state, position):
            kept = min(order.lots_open, room)
            room -= kept
            if not kept:
                order_close(state, order, "position_reduced")
            elif kept < order.lots_open:
                order.lots = order.lots_filled + kept
                order_event(state, order)
