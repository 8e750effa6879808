"""
The treap under trailing stops: append, unlink, give a whole subtree one peak. It knows heights, not sides or markets.

A node keeps the smallest offsets and the best trigger of its subtree. A peak that a whole subtree takes is noted at its
top, as pending, and handed down when somebody passes: what is pending nearest to the root is the newest.

A height is the price of a sell and the negative price of a buy, so that both follow the highest height and fire at or
below their trigger's. A node's number is its order's row. Node 0 is no node; it holds what an empty subtree has.
"""

from numpy import int64

from engine.core.integers import ceil_div
from engine.core.kernel import kernel
from engine.core.limits import PPM

NODE_NONE = 0
OFFSET_NONE = 2**30  # larger than any offset
HEIGHT_NEVER = -(2**30)  # of the trigger of an empty subtree; below every height


@kernel
def nodes_clear(nodes):
    """Make node 0 say what an empty subtree has; zeros do not."""
    none = nodes[NODE_NONE]
    none.ticks_low = OFFSET_NONE
    none.ppm_low = OFFSET_NONE
    none.best = HEIGHT_NEVER
    none.stale = 0


@kernel
def height_trigger(height, offset_ticks, offset_ppm):
    """
    Return the height of the trigger of a peak; of two offsets the smaller counts, OFFSET_NONE is no offset.

    Rounds: away from the peak: a sell's trigger down, a buy's up.
    """
    if offset_ppm == OFFSET_NONE:
        return height - offset_ticks
    return height - min(offset_ticks, ceil_div(abs(height) * offset_ppm, PPM))


@kernel
def node_trigger(nodes, node):
    """Return the height of a node's own trigger; nothing is pending above it."""
    entry = nodes[node]
    return height_trigger(int64(entry.peak), int64(entry.offset_ticks), int64(entry.offset_ppm))


@kernel
def subtree_assign(nodes, node, height):
    """Let every peak in a subtree be `height`, by a note at its top."""
    entry = nodes[node]
    entry.peak = height
    entry.pending = height
    entry.best = height_trigger(height, int64(entry.ticks_low), int64(entry.ppm_low))
    entry.stale = 1


@kernel
def node_pass(nodes, node):
    """Hand a node's pending peak to its children, before somebody goes below it."""
    entry = nodes[node]
    height = int64(entry.pending)
    if height != 0:
        if entry.left != NODE_NONE:
            subtree_assign(nodes, int64(entry.left), height)
        if entry.right != NODE_NONE:
            subtree_assign(nodes, int64(entry.right), height)
        entry.pending = 0


@kernel
def node_refresh(nodes, node):
    """Set what a node knows of its subtree from its children, and return whether that changed anything."""
    entry = nodes[node]
    left = nodes[int64(entry.left)]
    right = nodes[int64(entry.right)]
    ticks_low = min(int64(entry.offset_ticks), min(int64(left.ticks_low), int64(right.ticks_low)))
    ppm_low = min(int64(entry.offset_ppm), min(int64(left.ppm_low), int64(right.ppm_low)))
    stale = int64(entry.stale) | int64(left.stale) | int64(right.stale)
    if entry.pending != 0:
        best = height_trigger(int64(entry.pending), ticks_low, ppm_low)
    else:
        own = height_trigger(int64(entry.peak), int64(entry.offset_ticks), int64(entry.offset_ppm))
        best = max(own, max(int64(left.best), int64(right.best)))
    same = entry.best == best and entry.ticks_low == ticks_low and entry.ppm_low == ppm_low and entry.stale == stale
    entry.best = best
    entry.ticks_low = ticks_low
    entry.ppm_low = ppm_low
    entry.stale = stale
    return not same


@kernel
def path_refresh(nodes, node):
    """Refresh a node and those above it, as far as anything changes."""
    at = node
    while at != NODE_NONE and node_refresh(nodes, at):
        at = int64(nodes[at].parent)


@kernel
def subtree_replace(trail_set, nodes, parent, before, after):
    """Make `after` stand where `before` stood below `parent`, or at the root."""
    if parent == NODE_NONE:
        trail_set.root = after
    elif nodes[parent].left == before:
        nodes[parent].left = after
    else:
        nodes[parent].right = after
    if after != NODE_NONE:
        nodes[after].parent = parent


@kernel
def node_lift(trail_set, nodes, node):
    """Exchange a node with its parent, keeping the order of the treap; the caller refreshes both."""
    parent = int64(nodes[node].parent)
    grandparent = int64(nodes[parent].parent)
    node_pass(nodes, parent)
    node_pass(nodes, node)
    if nodes[parent].left == node:
        inner = int64(nodes[node].right)
        nodes[parent].left = inner
        nodes[node].right = parent
    else:
        inner = int64(nodes[node].left)
        nodes[parent].right = inner
        nodes[node].left = parent
    if inner != NODE_NONE:
        nodes[inner].parent = parent
    subtree_replace(trail_set, nodes, grandparent, parent, node)
    nodes[parent].parent = node


@kernel
def node_append(trail_set, nodes, node):
    """Put a node, filled but for its links, at the end of its set's treap."""
    parent = int64(NODE_NONE)
    at = int64(trail_set.root)
    while at != NODE_NONE:
        node_pass(nodes, at)
        parent = at
        at = int64(nodes[at].right)
    entry = nodes[node]
    entry.left = NODE_NONE
    entry.right = NODE_NONE
    entry.parent = parent
    if parent == NODE_NONE:
        trail_set.root = node
    else:
        nodes[parent].right = node
    while parent != NODE_NONE and nodes[parent].weight > entry.weight:
        node_lift(trail_set, nodes, node)
        node_refresh(nodes, parent)
        parent = int64(entry.parent)
    node_refresh(nodes, node)
    path_refresh(nodes, parent)
    trail_set.count += 1


@kernel
def node_unlink(trail_set, nodes, node):
    """Take a node out of its treap, refresh what was below it, and return the parent it had, for the caller to."""
    assert trail_set.count > 0
    entry = nodes[node]
    above = int64(entry.parent)
    while entry.left != NODE_NONE or entry.right != NODE_NONE:
        lift = int64(entry.left)
        if lift == NODE_NONE or (entry.right != NODE_NONE and nodes[int64(entry.right)].weight < nodes[lift].weight):
            lift = int64(entry.right)
        node_lift(trail_set, nodes, lift)
    at = int64(entry.parent)
    subtree_replace(trail_set, nodes, at, node, int64(NODE_NONE))
    entry.parent = NODE_NONE
    while at != above:
        node_refresh(nodes, at)
        at = int64(nodes[at].parent)
    trail_set.count -= 1
    return above


@kernel
def node_peak(nodes, node):
    """Return the present peak of a node: what is pending nearest to the root is the newest."""
    height = int64(nodes[node].peak)
    at = int64(nodes[node].parent)
    while at != NODE_NONE:
        if nodes[at].pending != 0:
            height = int64(nodes[at].pending)
        at = int64(nodes[at].parent)
    return height
