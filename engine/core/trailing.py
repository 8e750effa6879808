"""
Active trailing stops: who follows which price, with what peak, and what fires.

An order that became active later has seen less of the past: so along the order of activation the peaks of a set never
improve, and a new extreme replaces those of a tail of it. A set is a treap in that order (see trail_tree.py), so every
call is O(log n) whatever the offsets are, and a price that moves nothing costs two comparisons a set.

A market has six sets: sells and buys by quote, by mark, by index. Sells follow the highest price and buys the lowest;
in heights both follow the highest. A trigger outside the window of prices is never met.
"""

from numpy import int64

from engine.core import tables, triggers
from engine.core.kernel import kernel
from engine.core.limits import PRICE_TICKS_MAX, TRAIL_SETS_COUNT
from engine.core.trail_tree import (
    HEIGHT_NEVER,
    NODE_NONE,
    OFFSET_NONE,
    height_trigger,
    node_append,
    node_pass,
    node_peak,
    node_refresh,
    node_trigger,
    node_unlink,
    nodes_clear,
    path_refresh,
    subtree_assign,
)
from shared.codes import OrderKind, Side, TriggerBy

TRAILS = 1  # order.active of what is in a set
FIRED = 2  # of what was released


@kernel
def trailing_trigger_ticks(side, peak_ticks, trail_ticks, trail_ppm):
    """
    Return the trigger price of a trailing stop; outside 1 … PRICE_TICKS_MAX it never fires.

    Units:  trail_ticks 0 when it trails by ppm, and the reverse.
    Rounds: a sell's down, a buy's up.
    """
    offset_ticks = trail_ticks if trail_ticks > 0 else int64(OFFSET_NONE)
    offset_ppm = trail_ppm if trail_ppm > 0 else int64(OFFSET_NONE)
    sign = int64(1) if side == Side.SELL else int64(-1)
    return sign * height_trigger(sign * peak_ticks, offset_ticks, offset_ppm)


@kernel
def set_height(market, number):
    """Return the height of the price that feeds a market's set; 0 while there is none."""
    if number == 0:
        return market.bid_ticks
    if number == 1:
        return -market.ask_ticks
    price_ticks = market.mark_ticks if number <= 3 else market.index_ticks
    return price_ticks if number % 2 == 0 else -price_ticks


@kernel
def set_sign(number):
    """Return what a height of a set is multiplied with to give a price: +1 for sells, −1 for buys."""
    return int64(1) if number % 2 == 0 else int64(-1)


@kernel
def order_set(order):
    """Return the number of the set that an active order is in: by market, then source, then sells and buys."""
    number = 2 * (int64(order.trigger_by) - TriggerBy.QUOTE) + int64(order.side == Side.BUY)
    return (int64(order.market_id) - 1) * TRAIL_SETS_COUNT + number


@kernel
def set_refresh(trail_set, nodes):
    """Set a set's best trigger and its lowest and highest peak from its treap."""
    root = int64(trail_set.root)
    if root == NODE_NONE:
        assert trail_set.count == 0
        trail_set.best = HEIGHT_NEVER
        trail_set.low = PRICE_TICKS_MAX
        trail_set.high = PRICE_TICKS_MAX
        return
    trail_set.best = int64(nodes[root].best)
    at = root
    node_pass(nodes, at)
    while nodes[at].right != NODE_NONE:
        at = int64(nodes[at].right)
        node_pass(nodes, at)
    trail_set.low = int64(nodes[at].peak)
    at = root
    while nodes[at].left != NODE_NONE:
        at = int64(nodes[at].left)
        node_pass(nodes, at)
    trail_set.high = int64(nodes[at].peak)
    assert trail_set.low <= trail_set.high


@kernel
def set_raise(trail_set, nodes, height):
    """Let every peak of a set that is below `height` be `height`: a tail of the order of activation."""
    root = int64(trail_set.root)
    assert root != NODE_NONE and trail_set.low < height
    if trail_set.high < height:
        subtree_assign(nodes, root, height)
        trail_set.high = height
    else:
        at = root
        lowest = root
        while at != NODE_NONE:
            lowest = at
            node_pass(nodes, at)
            if nodes[at].peak < height:
                if nodes[at].right != NODE_NONE:
                    subtree_assign(nodes, int64(nodes[at].right), height)
                nodes[at].peak = height
                nodes[at].stale = 1
                at = int64(nodes[at].left)
            else:
                at = int64(nodes[at].right)
        while lowest != NODE_NONE:
            node_refresh(nodes, lowest)
            lowest = int64(nodes[lowest].parent)
    trail_set.low = height
    trail_set.best = int64(nodes[root].best)


@kernel
def set_release(state, trail_set, sign, height):
    """
    Release the orders that fire at a height.

    One walk upward from the deepest: a node is refreshed and judged when nothing below it fires any more.
    """
    nodes = state.trail_nodes
    at = int64(trail_set.root)
    while at != NODE_NONE:
        node_pass(nodes, at)
        entry = nodes[at]
        if nodes[int64(entry.left)].best >= height:
            at = int64(entry.left)
        elif nodes[int64(entry.right)].best >= height:
            at = int64(entry.right)
        elif node_trigger(nodes, at) >= height:
            order = state.orders[at]
            order.peak_ticks = sign * int64(entry.peak)
            order.price_trigger_ticks = sign * node_trigger(nodes, at)
            order.active = FIRED
            assert 1 <= order.price_trigger_ticks <= PRICE_TICKS_MAX
            triggers.order_push(state, at)
            at = node_unlink(trail_set, nodes, at)
        else:
            node_refresh(nodes, at)
            at = int64(entry.parent)
    set_refresh(trail_set, nodes)


@kernel
def set_write_back(state, trail_set, sign):
    """Write every peak of a set that its order's row may not show; only subtrees that hold one are walked."""
    nodes = state.trail_nodes
    at = int64(trail_set.root)
    if nodes[at].stale == 0:
        return
    while at != NODE_NONE:
        node_pass(nodes, at)
        entry = nodes[at]
        if nodes[int64(entry.left)].stale != 0:
            at = int64(entry.left)
        elif nodes[int64(entry.right)].stale != 0:
            at = int64(entry.right)
        else:
            state.orders[at].peak_ticks = sign * int64(entry.peak)
            entry.stale = 0
            at = int64(entry.parent)


@kernel
def trailing_clear(state, market_row):
    """Make a market's sets empty ones; zero pages are not."""
    nodes_clear(state.trail_nodes)
    for number in range(TRAIL_SETS_COUNT):
        trail_set = state.trail_sets[market_row * TRAIL_SETS_COUNT + number]
        trail_set.root = NODE_NONE
        trail_set.count = 0
        set_refresh(trail_set, state.trail_nodes)


@kernel
def trailing_insert(state, order_row):
    """
    Let an active order trail from its peak.

    Its peak is no better than any in its set: true of the price just followed, and on restore when sells come by
    descending and buys by ascending peak.

    Reads:  orders, index_seed.
    Writes: trail_sets, trail_nodes.
    """
    order = state.orders[order_row]
    assert order.kind == OrderKind.TRAILING_STOP and order.active == TRAILS
    assert (order.trail_ticks > 0) != (order.trail_ppm > 0)
    number = order_set(order)
    trail_set = state.trail_sets[number]
    height = set_sign(number) * int64(order.peak_ticks)
    assert height != 0 and (trail_set.count == 0 or height <= trail_set.low)
    entry = state.trail_nodes[order_row]
    # The seed is this process's own: nobody can choose which orders to keep so that the treap degenerates.
    entry.weight = tables.mix(tables.mix(state.index_seed, order.order_id), order.order_id)
    entry.offset_ticks = int64(order.trail_ticks) if order.trail_ticks > 0 else int64(OFFSET_NONE)
    entry.offset_ppm = int64(order.trail_ppm) if order.trail_ppm > 0 else int64(OFFSET_NONE)
    entry.peak = height
    entry.pending = 0
    entry.stale = 0
    node_append(trail_set, state.trail_nodes, order_row)
    if trail_set.count == 1:
        trail_set.high = height
    trail_set.low = height
    trail_set.best = int64(state.trail_nodes[int64(trail_set.root)].best)


@kernel
def trailing_peak(state, order_row):
    """Return the present peak of an order that trails, in ticks."""
    return set_sign(order_set(state.orders[order_row])) * node_peak(state.trail_nodes, order_row)


@kernel
def trailing_remove(state, order_row):
    """
    Take an order that trails out of its set and write its peak into its row.

    Writes: trail_sets, trail_nodes; orders.peak_ticks.
    """
    order = state.orders[order_row]
    assert order.active == TRAILS
    order.peak_ticks = trailing_peak(state, order_row)
    trail_set = state.trail_sets[order_set(order)]
    path_refresh(state.trail_nodes, node_unlink(trail_set, state.trail_nodes, order_row))
    set_refresh(trail_set, state.trail_nodes)


@kernel
def trailing_follow(state, market_row):
    """Let every set of a market follow the price that feeds it; call it whenever one of them changed."""
    for number in range(TRAIL_SETS_COUNT):
        height = set_height(state.markets[market_row], number)
        trail_set = state.trail_sets[market_row * TRAIL_SETS_COUNT + number]
        if height > trail_set.low and height != 0:
            set_raise(trail_set, state.trail_nodes, height)


@kernel
def trailing_fires(state, market_row):
    """Return whether any trailing stop of a market fires at the price that feeds it."""
    for number in range(TRAIL_SETS_COUNT):
        height = set_height(state.markets[market_row], number)
        if height <= state.trail_sets[market_row * TRAIL_SETS_COUNT + number].best and height != 0:
            return True
    return False


@kernel
def trailing_release(state, market_row):
    """
    Move what fires now into the ladder of stops, at its trigger: there ties are decided.

    Writes: trail_sets, trail_nodes, ladders, nodes; orders.peak_ticks, .price_trigger_ticks, .active.
    """
    for number in range(TRAIL_SETS_COUNT):
        height = set_height(state.markets[market_row], number)
        trail_set = state.trail_sets[market_row * TRAIL_SETS_COUNT + number]
        if height <= trail_set.best and height != 0:
            set_release(state, trail_set, set_sign(number), height)


@kernel
def trailing_write_back(state):
    """Write the peaks of all that trails into their orders, before anything stored is read as a whole."""
    for number in range(state.venue.markets_count * TRAIL_SETS_COUNT):
        set_write_back(state, state.trail_sets[number], set_sign(number))
