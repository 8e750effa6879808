"""
Kept outputs as bytes, compiled: the commands that append them, and whether an answer of Redis holds the same ones.

A text is never shorter than a word.
"""

from numpy import int64

from engine.core.kernel import entry, inlined, kernel
from engine.encode.entries import (
    MARK_CHUNK,
    MARK_END,
    MARK_FIRST,
    MARK_PREVIOUS_CHUNK,
    MARK_PREVIOUS_SEQ,
    MARK_REST,
    MARK_SEQ,
)
from engine.encode.memory import bytes_copy, word_get

ARRAY_MASK = 2**32 - 1
ENTRY_ARRAY = int.from_bytes(b"*2\r\n", "little")  # an entry is its id and its fields
FIELDS_ARRAY = int.from_bytes(b"*8\r\n", "little")  # t, p, a and d with their values
ARRAY_BYTES = 4

# What commands_put is told and tells: bounds, where to go on behind; bytes and commands written, the room that one more
# would need, the places of the first, of the one before it, and of the last.
COUNT_MAX, BYTES_MAX, AFTER_SEQ, AFTER_CHUNK, BYTES, TAKEN, WANTED = range(7)
FIRST_SEQ, FIRST_CHUNK, PREVIOUS_SEQ, PREVIOUS_CHUNK, LAST_SEQ, LAST_CHUNK, TOLD_WORDS = range(7, 14)


@inlined
def word_differs(ours, first, theirs, at):
    """Return the bits in which two words differ."""
    return word_get(ours, first) ^ word_get(theirs, at)


@kernel
def bytes_equal(ours, first, theirs, at, length):
    """Return whether two texts of the same length are equal: four words at a time, then one, then the last again."""
    offset = int64(0)
    while offset <= length - 32:
        differs = word_differs(ours, first + offset, theirs, at + offset)
        differs |= word_differs(ours, first + offset + 8, theirs, at + offset + 8)
        differs |= word_differs(ours, first + offset + 16, theirs, at + offset + 16)
        differs |= word_differs(ours, first + offset + 24, theirs, at + offset + 24)
        if differs != 0:
            return False
        offset += 32
    while offset <= length - 8:
        if word_differs(ours, first + offset, theirs, at + offset) != 0:
            return False
        offset += 8
    return word_differs(ours, first + length - 8, theirs, at + length - 8) == 0


@kernel
def place_find(marks, first, end, seq, chunk):
    """Return the index of the first output at (seq, chunk) or beyond it, `end` without one."""
    while first < end:
        middle = (first + end) >> 1
        here = marks[middle]
        if here[MARK_SEQ] < seq or (here[MARK_SEQ] == seq and here[MARK_CHUNK] < chunk):
            first = middle + 1
        else:
            end = middle
    return first


@entry
def below_count(marks, first, end, seq, chunk):
    """Return how many of the outputs from `first` on stand below (seq, chunk)."""
    return place_find(marks, first, end, seq, chunk) - first


@entry
def commands_put(out, head, raw, marks, first, end, told):
    """
    Write outputs of a run beyond a place as commands, and in `told` how many, and which.

    Shapes: out, head, raw uint8[…]; marks int64[m, MARK_WORDS]; told int64[TOLD_WORDS]. Reads: told, where to go on,
    what is written already, and the bounds. Stops before the command that would lead beyond them; the very first is
    written however long it is, and when `out` has no room for it, told[WANTED] says how much it needs.
    """
    index = place_find(marks, first, end, told[AFTER_SEQ], told[AFTER_CHUNK] + 1)
    at, taken = told[BYTES], told[TAKEN]
    told[WANTED] = 0
    while index < end and taken < told[COUNT_MAX]:
        mark = marks[index]
        length = mark[MARK_END] - mark[MARK_FIRST]
        after = at + len(head) + length
        if after > len(out) or (taken > 0 and after > told[BYTES_MAX]):
            told[WANTED] = after
            break
        if taken == 0:
            told[FIRST_SEQ], told[FIRST_CHUNK] = mark[MARK_SEQ], mark[MARK_CHUNK]
            told[PREVIOUS_SEQ], told[PREVIOUS_CHUNK] = mark[MARK_PREVIOUS_SEQ], mark[MARK_PREVIOUS_CHUNK]
        told[LAST_SEQ], told[LAST_CHUNK] = mark[MARK_SEQ], mark[MARK_CHUNK]
        bytes_copy(out, at, head, int64(0), int64(len(head)))
        bytes_copy(out, at + len(head), raw, mark[MARK_FIRST], length)
        at, taken, index = after, taken + 1, index + 1
    told[BYTES], told[TAKEN] = at, taken


@entry
def replies_compare(theirs, at, end, count, raw, marks, first, last):
    """
    Return (how many entries of an answer are the outputs from `first` on, place of the entry after them).

    Shapes: theirs, raw uint8[…]; marks int64[m, MARK_WORDS]. Stops at the first that differs, after `count`
    entries, at output `last`, or where the answer's bytes up to `end` hold no whole entry of the output's length.
    """
    matched = int64(0)
    while matched < count and first + matched < last:
        mark = marks[first + matched]
        id_bytes, rest_bytes = mark[MARK_REST] - mark[MARK_FIRST], mark[MARK_END] - mark[MARK_REST]
        rest = at + 2 * ARRAY_BYTES + id_bytes
        if rest + rest_bytes > end:
            break
        if word_get(theirs, at) & ARRAY_MASK != ENTRY_ARRAY:
            break
        if word_get(theirs, rest - ARRAY_BYTES) & ARRAY_MASK != FIELDS_ARRAY:
            break
        if not bytes_equal(raw, mark[MARK_FIRST], theirs, at + ARRAY_BYTES, id_bytes):
            break
        if not bytes_equal(raw, mark[MARK_REST], theirs, rest, rest_bytes):
            break
        at = rest + rest_bytes
        matched += 1
    return matched, int64(at)
