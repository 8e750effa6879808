"""
The price-indexed structure under resting orders, triggers and liquidation thresholds: push, best, drop.

A ladder knows places, not prices: a place is the price for "fires at or above" and its mirror for "fires at or below"
(`ladder_place`), so the next to fire is always the smallest place, ties by the smaller `tie`. Sixteen places share a
bucket; a bucket is a treap, so that any number of equal prices costs O(log n); a bitmap of three levels finds the next
used bucket; the best place is cached, so that a tick which fires nothing costs one comparison.

A node's number is its order's row, or ORDERS_CAPACITY + the position's row. Node 0 is never used.
"""

from numpy import int64

from engine.core.kernel import kernel
from engine.core.limits import (
    BUCKET_SHIFT,
    LADDER_BUCKETS,
    LADDER_SUMMARY,
    LADDER_TOP,
    PRICE_WINDOW_TICKS,
    WORD_SHIFT,
)

WORD_MASK = 2**WORD_SHIFT - 1
NODE_NONE = 0


@kernel
def ladder_place(price_ticks, below):
    """Return the place of a price: 0 … PRICE_WINDOW_TICKS − 1; `below` 1 for what fires at or below its price."""
    if below:
        return PRICE_WINDOW_TICKS - 1 - price_ticks
    return price_ticks


@kernel
def node_weight(ladder, node):
    """Return a number that looks random and depends on the node and the process alone; it balances the treaps."""
    mixed = ((node + 1 + ladder.seed) * 2_654_435_761) & (2**32 - 1)
    mixed = ((mixed ^ (mixed >> 15)) * 668_265_263) & (2**32 - 1)
    return mixed ^ (mixed >> 13)


@kernel
def lowest_bit(word):
    """Return the index of the lowest set bit of a word of up to 32 bits; word != 0."""
    index = 0
    if word & 0xFFFF == 0:
        word >>= 16
        index += 16
    if word & 0xFF == 0:
        word >>= 8
        index += 8
    if word & 0xF == 0:
        word >>= 4
        index += 4
    if word & 0x3 == 0:
        word >>= 2
        index += 2
    if word & 0x1 == 0:
        index += 1
    return index


@kernel
def bucket_mark(ladder, bucket):
    """Set the bits that say the bucket is used."""
    word = bucket >> WORD_SHIFT
    group = word >> WORD_SHIFT
    ladder.words[word] |= int64(1) << (bucket & WORD_MASK)
    ladder.summary[group] |= int64(1) << (word & WORD_MASK)
    ladder.top[group >> WORD_SHIFT] |= int64(1) << (group & WORD_MASK)


@kernel
def bucket_unmark(ladder, bucket):
    """Clear the bits of an emptied bucket, upward as far as nothing else is there."""
    word = bucket >> WORD_SHIFT
    group = word >> WORD_SHIFT
    ladder.words[word] &= ~(int64(1) << (bucket & WORD_MASK))
    if ladder.words[word] == 0:
        ladder.summary[group] &= ~(int64(1) << (word & WORD_MASK))
        if ladder.summary[group] == 0:
            ladder.top[group >> WORD_SHIFT] &= ~(int64(1) << (group & WORD_MASK))


@kernel
def bucket_first(ladder):
    """Return the first used bucket, or −1."""
    for top in range(len(ladder.top)):
        if ladder.top[top] != 0:
            group = (top << WORD_SHIFT) + lowest_bit(ladder.top[top])
            word = (group << WORD_SHIFT) + lowest_bit(ladder.summary[group])
            return (word << WORD_SHIFT) + lowest_bit(ladder.words[word])
    return int64(-1)


@kernel
def bucket_from(ladder, bucket):
    """Return the first used bucket at or after `bucket`, or −1."""
    if bucket >= LADDER_BUCKETS:
        return int64(-1)
    word = bucket >> WORD_SHIFT
    bits = ladder.words[word] >> (bucket & WORD_MASK)
    if bits != 0:
        return bucket + lowest_bit(bits)
    word += 1
    group = word >> WORD_SHIFT
    if group < LADDER_SUMMARY:
        bits = ladder.summary[group] >> (word & WORD_MASK)
        if bits != 0:
            word += lowest_bit(bits)
            return (word << WORD_SHIFT) + lowest_bit(ladder.words[word])
        group += 1
    top = group >> WORD_SHIFT
    shift = group & WORD_MASK
    while top < LADDER_TOP:
        bits = ladder.top[top] >> shift
        if bits != 0:
            group = (top << WORD_SHIFT) + shift + lowest_bit(bits)
            word = (group << WORD_SHIFT) + lowest_bit(ladder.summary[group])
            return (word << WORD_SHIFT) + lowest_bit(ladder.words[word])
        top += 1
        shift = 0
    return int64(-1)


@kernel
def node_before(nodes, left, right):
    """Return whether node `left` fires before node `right`: by place, then by tie."""
    if nodes[left].place != nodes[right].place:
        return nodes[left].place < nodes[right].place
    return nodes[left].tie < nodes[right].tie


@kernel
def child_replace(ladder, nodes, bucket, parent, before, after):
    """Make `after` stand where `before` stood below `parent`, or at the bucket's root."""
    if parent == NODE_NONE:
        ladder.roots[bucket] = after
    elif nodes[parent].left == before:
        nodes[parent].left = after
    else:
        nodes[parent].right = after
    if after != NODE_NONE:
        nodes[after].parent = parent


@kernel
def node_rotate_up(ladder, nodes, bucket, node):
    """Exchange a node with its parent, keeping the order of the treap."""
    parent = int64(nodes[node].parent)
    grandparent = int64(nodes[parent].parent)
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
    child_replace(ladder, nodes, bucket, grandparent, parent, node)
    nodes[parent].parent = node


@kernel
def ladder_insert(ladder, nodes, node, place, tie):
    """
    Add a node at a place; a place outside the window is the caller's bug.

    Writes: ladder, nodes.
    """
    assert node != NODE_NONE and 0 <= place < PRICE_WINDOW_TICKS
    entry = nodes[node]
    entry.place = place
    entry.tie = tie
    entry.left = NODE_NONE
    entry.right = NODE_NONE
    entry.parent = NODE_NONE
    bucket = place >> BUCKET_SHIFT
    at = int64(ladder.roots[bucket])
    if at == NODE_NONE:
        ladder.roots[bucket] = node
        bucket_mark(ladder, bucket)
    else:
        parent = at
        while at != NODE_NONE:
            parent = at
            at = int64(nodes[at].left) if node_before(nodes, node, at) else int64(nodes[at].right)
        entry.parent = parent
        if node_before(nodes, node, parent):
            nodes[parent].left = node
        else:
            nodes[parent].right = node
        weight = node_weight(ladder, node)
        while entry.parent != NODE_NONE and node_weight(ladder, int64(entry.parent)) > weight:
            node_rotate_up(ladder, nodes, bucket, node)
    ladder.count += 1
    if ladder.count == 1 or node_before(nodes, node, ladder.best_node):
        ladder.best_node = node
        ladder.best_place = place


@kernel
def ladder_remove(ladder, nodes, node):
    """Take a node out; it must be in this ladder."""
    assert ladder.count > 0
    entry = nodes[node]
    bucket = int64(entry.place) >> BUCKET_SHIFT
    while entry.left != NODE_NONE or entry.right != NODE_NONE:
        lift = int64(entry.left)
        right = int64(entry.right)
        if lift == NODE_NONE or (right != NODE_NONE and node_weight(ladder, right) < node_weight(ladder, lift)):
            lift = right
        node_rotate_up(ladder, nodes, bucket, lift)
    child_replace(ladder, nodes, bucket, int64(entry.parent), node, NODE_NONE)
    entry.parent = NODE_NONE
    if ladder.roots[bucket] == NODE_NONE:
        bucket_unmark(ladder, bucket)
    ladder.count -= 1
    if ladder.best_node == node:
        ladder_best_find(ladder, nodes)


@kernel
def ladder_best_find(ladder, nodes):
    """Cache the node that fires next."""
    bucket = bucket_first(ladder)
    if bucket < 0:
        ladder.best_node = NODE_NONE
        ladder.best_place = PRICE_WINDOW_TICKS
        return
    node = int64(ladder.roots[bucket])
    while nodes[node].left != NODE_NONE:
        node = int64(nodes[node].left)
    ladder.best_node = node
    ladder.best_place = int64(nodes[node].place)


@kernel
def bucket_least(ladder, nodes, bucket):
    """Return the first node of the first used bucket at or after `bucket`, or NODE_NONE."""
    bucket = bucket_from(ladder, bucket)
    if bucket < 0:
        return int64(NODE_NONE)
    node = int64(ladder.roots[bucket])
    while nodes[node].left != NODE_NONE:
        node = int64(nodes[node].left)
    return node


@kernel
def ladder_seek(ladder, nodes, place):
    """Return the first node at or after a place, or NODE_NONE."""
    if ladder.count == 0 or place >= PRICE_WINDOW_TICKS:
        return int64(NODE_NONE)
    if place <= ladder.best_place:
        return ladder.best_node
    bucket = place >> BUCKET_SHIFT
    found = int64(NODE_NONE)
    at = int64(ladder.roots[bucket])
    while at != NODE_NONE:
        if nodes[at].place >= place:
            found = at
            at = int64(nodes[at].left)
        else:
            at = int64(nodes[at].right)
    return found if found != NODE_NONE else bucket_least(ladder, nodes, bucket + 1)


@kernel
def ladder_after(ladder, nodes, node):
    """Return the node that follows `node`, or NODE_NONE."""
    if nodes[node].right != NODE_NONE:
        at = int64(nodes[node].right)
        while nodes[at].left != NODE_NONE:
            at = int64(nodes[at].left)
        return at
    at = node
    parent = int64(nodes[at].parent)
    while parent != NODE_NONE and nodes[parent].right == at:
        at = parent
        parent = int64(nodes[at].parent)
    if parent != NODE_NONE:
        return parent
    return bucket_least(ladder, nodes, (int64(nodes[node].place) >> BUCKET_SHIFT) + 1)


@kernel
def ladder_clear(ladder, seed):
    """Make an allocated ladder an empty one; zero pages are not, because place 0 is a place."""
    ladder.seed = seed
    ladder.best_node = NODE_NONE
    ladder.best_place = PRICE_WINDOW_TICKS
    ladder.count = 0
