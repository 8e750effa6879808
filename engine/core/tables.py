"""
Rows and how they are found: free lists, and one open-addressing index for every kind of key.

Nothing here decides an outcome: which row a thing gets is never observable, only how many are live.
"""

from numpy import int64

from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from shared.codes import ACCOUNT_FIRST

LOW_BITS = 2**31 - 1
USER_ROW_FIRST = 5  # rows 1 … 4 are the venue's own accounts


@kernel
def row_acquire(table, links):
    """
    Return a free row, or ROW_NONE when the capacity is used up.

    Writes: table.live, table.top, table.free.
    """
    row = table.free
    if row != ROW_NONE:
        table.free = int64(links[row].next)
    elif table.top + 1 < len(links):
        table.top += 1
        row = table.top
    else:
        return int64(ROW_NONE)
    links[row].next = ROW_NONE
    table.live += 1
    return row


@kernel
def row_release(table, links, row):
    """Give a row back; the caller has cleared it."""
    assert row != ROW_NONE
    links[row].next = table.free
    table.free = row
    table.live -= 1
    assert table.live >= 0


@kernel
def account_row(account_id):
    """Return the row of an account id; accounts are never removed, so ids and rows run in step."""
    if account_id >= ACCOUNT_FIRST:
        return account_id - ACCOUNT_FIRST + USER_ROW_FIRST
    return account_id


@kernel
def mix(mixed, word):
    """Stir a word into a 31-bit number; only low bits are multiplied, so that nothing overflows."""
    mixed = (((mixed ^ (word & LOW_BITS)) * 2_654_435_769) >> 16) & LOW_BITS
    return (((mixed ^ ((word >> 31) & LOW_BITS) ^ ((word >> 62) & 3)) * 2_246_822_519) >> 16) & LOW_BITS


@kernel
def slot_home(slots, seed, key_a, key_b, key_c):
    """
    Return where a key would like to be.

    Ids run in sequence, and a removal walks to the end of its run of used slots: so they are scattered, but four by
    four, for what is asked for together has neighbouring ids. Request ids are chosen by strangers: so the seed differs
    from process to process, and nobody can aim at one slot.
    """
    if key_b == 0 and key_c == 0:
        return ((mix(seed, key_a >> 2) << 2) | (key_a & 3)) & (len(slots) - 1)
    return mix(mix(mix(seed, key_a), key_b), key_c) & (len(slots) - 1)


@kernel
def index_find(slots, seed, key_a, key_b, key_c):
    """Return the row of a key, or ROW_NONE."""
    mask = len(slots) - 1
    at = slot_home(slots, seed, key_a, key_b, key_c)
    while slots[at].row != ROW_NONE:
        slot = slots[at]
        if slot.key_a == key_a and slot.key_b == key_b and slot.key_c == key_c:
            return slot.row
        at = (at + 1) & mask
    return int64(ROW_NONE)


@kernel
def index_insert(slots, seed, key_a, key_b, key_c, row):
    """Add a key that is not there yet."""
    mask = len(slots) - 1
    at = slot_home(slots, seed, key_a, key_b, key_c)
    while slots[at].row != ROW_NONE:
        at = (at + 1) & mask
    slot = slots[at]
    slot.key_a = key_a
    slot.key_b = key_b
    slot.key_c = key_c
    slot.row = row


@kernel
def index_remove(slots, seed, key_a, key_b, key_c):
    """Remove a key that is there, and close the gap so that no search stops early."""
    mask = len(slots) - 1
    hole = slot_home(slots, seed, key_a, key_b, key_c)
    while not (slots[hole].key_a == key_a and slots[hole].key_b == key_b and slots[hole].key_c == key_c):
        assert slots[hole].row != ROW_NONE
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while slots[at].row != ROW_NONE:
        slot = slots[at]
        home = slot_home(slots, seed, slot.key_a, slot.key_b, slot.key_c)
        # The entry may move back into the hole only if its home does not lie between the hole and itself.
        if ((at - home) & mask) >= ((at - hole) & mask):
            target = slots[hole]
            target.key_a = slot.key_a
            target.key_b = slot.key_b
            target.key_c = slot.key_c
            target.row = slot.row
            hole = at
        at = (at + 1) & mask
    slots[hole].row = ROW_NONE
    slots[hole].key_a = 0
    slots[hole].key_b = 0
    slots[hole].key_c = 0


@kernel
def list_insert(following, preceding, keys, row, first, last):
    """
    Link `row` where its key belongs in a list that runs by `keys`, sought from the end; returns its (first, last) now.

    Shapes: following, preceding: the links of every row, ROW_NONE at an end.
    """
    before = last
    while before != ROW_NONE and keys[before] > keys[row]:
        before = int64(preceding[before])
    after = first if before == ROW_NONE else int64(following[before])
    following[row] = after
    preceding[row] = before
    if before == ROW_NONE:
        first = row
    else:
        following[before] = row
    if after == ROW_NONE:
        last = row
    else:
        preceding[after] = row
    return first, last


@kernel
def list_remove(following, preceding, row, first, last):
    """Unlink `row` from its neighbours; returns the list's (first, last) now."""
    after = int64(following[row])
    before = int64(preceding[row])
    if before == ROW_NONE:
        first = after
    else:
        following[before] = after
    if after == ROW_NONE:
        last = before
    else:
        preceding[after] = before
    following[row] = ROW_NONE
    preceding[row] = ROW_NONE
    return first, last
