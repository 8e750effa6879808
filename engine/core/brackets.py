"""
What hangs on an order's fills: its attached children, and the other leg of an OCO.

The children of an entry become the SL and TP of the position it fills (`tpsl` position), or a pair of reduce-only
orders over the entry's own filled quantity (`tpsl` order).
"""

from numpy import int64

from engine.core import events, orders, tables, triggers
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from shared.codes import CloseReason, OrderKind, OrderStatus, Tpsl


@kernel
def takes_profit(order):
    """Return whether a child is a take-profit."""
    return order.kind == OrderKind.TAKE_PROFIT_MARKET or order.kind == OrderKind.TAKE_PROFIT_LIMIT


@kernel
def child_find(state, entry_row, after_row):
    """Return the row of an order's next child in its account's list, from the first one (after_row ROW_NONE) on."""
    entry = state.orders[entry_row]
    row = int64(state.account_links[tables.account_row(int64(entry.account_id))].order_first)
    if after_row != ROW_NONE:
        row = int64(state.order_links[after_row].next)
    while row != ROW_NONE and state.orders[row].parent_id != entry.order_id:
        row = int64(state.order_links[row].next)
    return row


@kernel
def bracket_fill(state, order_row, position_row, lots):
    """
    Let the children of an order follow a fill of it; they wait until one leaves a position in its direction.

    Units:  position_row is the position as the fill leaves it, ROW_NONE for none; lots are those of the fill.
    """
    entry = state.orders[order_row]
    if entry.children == 0 or position_row == ROW_NONE:
        return
    if state.positions[position_row].lots * orders.side_sign(entry.side) <= 0:
        return
    first = child_find(state, order_row, int64(ROW_NONE))
    if first == ROW_NONE:
        return
    # Both are found before the first moves: what it replaces may stand anywhere in the list.
    second = child_find(state, order_row, first)
    child_fill(state, order_row, first, position_row, lots)
    if second != ROW_NONE:
        child_fill(state, order_row, second, position_row, lots)


@kernel
def children_tell(state, entry_row):
    """Emit the attached children of an order that waits or rests."""
    if state.orders[entry_row].children == 0:
        return
    row = child_find(state, entry_row, int64(ROW_NONE))
    while row != ROW_NONE:
        if state.orders[row].status == OrderStatus.ATTACHED:
            events.emit_order_changed(state, row)
        row = child_find(state, entry_row, row)


@kernel
def child_fill(state, entry_row, row, position_row, lots):
    """Let one child follow a fill of its entry: it becomes an SL or TP, or one of a pair, or grows while it waits."""
    child = state.orders[row]
    if child.status == OrderStatus.TRIGGER:
        child.qty_lots += lots
        events.emit_order_changed(state, row)
    elif child.status != OrderStatus.ATTACHED:
        return  # woken, and on its own
    elif state.orders[entry_row].tpsl == Tpsl.ORDER:
        child_free(state, row, position_row, lots)
    else:
        child_attach(state, row, position_row)


@kernel
def child_attach(state, row, position_row):
    """Make an attached child the SL or TP of a position and put it into its ladder; a former one is replaced."""
    child = state.orders[row]
    position = state.positions[position_row]
    before = position.take_profit_id if takes_profit(child) else position.stop_loss_id
    if before != 0:
        orders.order_close(state, orders.order_find(state, before), int64(CloseReason.REPLACED))
    child.status = OrderStatus.TRIGGER
    child.parent_id = 0
    child.position_id = position.position_id
    if takes_profit(child):
        position.take_profit_id = child.order_id
    else:
        position.stop_loss_id = child.order_id
    triggers.order_push(state, row)
    events.emit_order_changed(state, row)


@kernel
def child_free(state, row, position_row, lots):
    """Make an attached child a reduce-only trigger order over the filled lots, bound to the position."""
    child = state.orders[row]
    child.status = OrderStatus.TRIGGER
    child.position_id = state.positions[position_row].position_id
    child.qty_lots = lots
    state.position_links[position_row].bound += 1
    triggers.order_push(state, row)
    events.emit_order_changed(state, row)


@kernel
def leg_cut(state, order_row, lots):
    """Shrink the other leg of an order by what was filled, unless it is by percent; an order that is full ends it."""
    order = state.orders[order_row]
    sibling_row = orders.order_find(state, order.oco_id)
    if sibling_row == ROW_NONE:
        return
    sibling = state.orders[sibling_row]
    if order.qty_filled_lots == order.qty_lots:
        leg_end(state, order_row, sibling_row)
    elif sibling.close_percent == 0:
        sibling.qty_lots -= lots
        events.emit_order_changed(state, sibling_row)


@kernel
def leg_end(state, order_row, sibling_row):
    """End the other leg of an order, OCO, and part the two."""
    state.orders[order_row].oco_id = 0
    state.orders[sibling_row].oco_id = 0
    orders.order_close(state, sibling_row, int64(CloseReason.OCO))
