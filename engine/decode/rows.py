"""
A reply of Redis -> where its entries lie, and the command records of those in canonical form, compiled.

What is here reads quotes, marks, ticks and instructions exactly as our own processes write them, and leaves every other
entry to shared.wire; a row that is read here has the same words as there. Arrays are writable views, for another kind
would be compiled once more; what lies behind an `end` may be anything.
"""

import numpy as np
from numpy import int64

from engine.core.kernel import entry, inlined, kernel
from engine.decode.feed import mark_read, quote_read
from engine.decode.instructions import instruction_read
from engine.decode.scan import (
    DIGITS_MAX,
    DOLLAR,
    NEWLINE,
    NINE,
    POWERS,
    RETURN,
    STAR,
    ZERO,
    literal,
    literal_of,
    number_read,
    text_read,
    word_read,
)
from shared.codes import EntryKind
from shared.records import TEXT_WORDS
from shared.wire import TS_MAX_US, TS_MIN_US
from shared.wire_rows import AT

FIELDS_MAX = 1_000_000  # names and values of one entry that are walked over
LENGTH_DIGITS_MAX = 12
TS_DIGITS = 16
BROKEN, MISSING = -1, -2  # in place of a place: these are no list of entries; more bytes must come

KIND_PRICE, KIND_MARK, KIND_TICK, KIND_USER, KIND_VENUE = (
    int(kind)
    for kind in (
        EntryKind.PRICE_UPDATE,
        EntryKind.MARK_UPDATE,
        EntryKind.CLOCK_TICK,
        EntryKind.USER_INSTRUCTION,
        EntryKind.VENUE_INSTRUCTION,
    )
)
SEQ, TS, KIND, SESSION = (AT[name] for name in ("seq", "ts_us", "kind", "session"))
FEED_WORDS = AT["status"]  # the first word that no quote, mark or tick fills

ID_BASE = b"1000000000000000-"
# What stands in front of a seq of so many digits.
HEADS = np.array([literal_of(b"*2\r\n$%d\r\n%b" % (len(ID_BASE) + n, ID_BASE)) for n in range(DIGITS_MAX + 1)])
L_PAIR = literal_of(b"*2\r\n")
L_ID, L_BASE = literal_of(b"*2\r\n$"), literal_of(b"\r\n" + ID_BASE)
L_PLAIN, L_FEED = literal_of(b"\r\n*4\r\n$2\r\nts\r\n$16\r\n"), literal_of(b"\r\n*6\r\n$2\r\nts\r\n$16\r\n")
L_SESSION = literal_of(b"\r\n$7\r\nsession\r\n")
L_PRICE, L_MARK = literal_of(b"\r\n$12\r\nprice_update\r\n"), literal_of(b"\r\n$11\r\nmark_update\r\n")
L_TICK = literal_of(b"\r\n$10\r\nclock_tick\r\n$2\r\n{}\r\n")
L_USER, L_VENUE = literal_of(b"\r\n$16\r\nuser_instruction\r\n"), literal_of(b"\r\n$17\r\nvenue_instruction\r\n")
# A line with a number of one, two or three digits: the bytes of a word that do not vary; and what ends it.
LINE_1, LINE_2, LINE_3 = 0xFF00FFFF00000000 - 2**64, 0xFF0000FFFF000000 - 2**64, 0xFF000000FFFF0000 - 2**64
LINE_END = RETURN << 8 | NEWLINE


@entry
def entries_walk(raw, at, end, first, count, places):
    """
    Return (how many entries of `count` are known to be whole, the place after the last); (-1, …) for no entries.

    Begins with entry `first` at `at`; where bytes are missing it ends, and goes on from what it returned.
    Shapes: raw uint8[n], of which those up to `end` count; places int64[count + 1] or longer.
    Writes: places[i], where entry i begins; places[count], where the last ends.
    """
    for index in range(first, count):
        places[index] = at
        after = plain_end(raw, at, end)
        if after < 0:
            after = entry_end(raw, at, end)
        if after == MISSING:
            return int64(index), int64(at)
        if after == BROKEN:
            return int64(-1), int64(at)
        at = after
    places[count] = at
    return int64(count), int64(at)


@entry
def texts_walk(raw, at, end, spans):
    """
    Return how many texts (id, names, values) the entry between two places has; fewer are told than there is room for.

    Shapes: raw uint8[n]; spans int64[m, 2]. Writes: spans[i], where text i begins and ends.
    """
    count = int64(0)
    while at < end:
        if raw[at] == STAR:
            _, at = line_read(raw, at, end, int64(STAR))
        else:
            length, at = line_read(raw, at, end, int64(DOLLAR))
            if count < len(spans):
                spans[count, 0], spans[count, 1] = at, at + length
            count += 1
            at += length + 2
        if at < 0:
            return int64(0)
    return count


@entry
def named_find(raw, places, count, name, found):
    """
    Return how many entries have this name in front of their last value.

    Shapes: raw, places as entries_walk left them; name uint8[k]; found int64[m], m >= count. Writes: their indexes.
    """
    found_count = int64(0)
    for index in range(count):
        end = places[index + 1]
        _, at = line_read(raw, places[index], end, int64(STAR))
        at = bulk_end(raw, at, end)
        length, at = line_read(raw, at, end, int64(STAR))
        for _ in range(length - 2):
            at = bulk_end(raw, at, end)
        size, at = line_read(raw, at, end, int64(DOLLAR))
        same = length >= 2 and size == len(name)
        for byte in range(len(name)):
            same = same and raw[at + byte] == name[byte]
        if same:
            found[found_count] = index
            found_count += 1
    return found_count


@entry
def rows_read(raw, places, count, last_seq, words, left):
    """
    Return (how many rows were left, the newest clock_tick's seq or 0).

    Shapes: raw, places as entries_walk left them; words int64[m, COMMAND_WORDS], left int64[m], m >= count.
    Writes: words[i] of every entry in canonical form whose number follows the one before; left[…] the indexes of all
            others, ascending: who reads them must look at their numbers too.
    """
    left_count, tick_seq = int64(0), int64(0)
    expected, digits = int64(last_seq + 1), int64(1)
    for index in range(count):
        while digits < DIGITS_MAX and expected >= POWERS[digits]:
            digits += 1
        first = literal(raw, places[index], HEADS[digits])
        seq, _ = number_read(raw, first)
        at, end, kind = int64(first + digits), places[index + 1], int64(0)
        if first >= 0 and seq == expected:
            feed, plain = literal(raw, at, L_FEED), literal(raw, at, L_PLAIN)
            if feed >= 0:
                kind = feed_read(raw, feed, end, words[index])
            elif plain >= 0:
                kind = plain_read(raw, plain, end, words[index])
        if kind == 0:
            left[left_count] = index
            left_count += 1
            # What has no plain number is followed by nothing that would be taken here.
            seq, digits = seq_read(raw, places[index]), int64(1)
        elif kind == KIND_TICK:
            tick_seq = seq
        words[index, SEQ] = seq
        expected = seq + 1 if seq > 0 else int64(-1)
    return left_count, tick_seq


@inlined
def plain_end(raw, at, end):
    """Return the place after the entry at `at` if it is framed as those of our own are, -1 otherwise."""
    size, at = line_read(raw, literal(raw, at, L_PAIR), end, int64(DOLLAR))
    if at < 0:
        return int64(-1)
    at += size
    stamp = literal(raw, at, L_FEED)
    if stamp >= 0:
        size, at = line_read(raw, literal(raw, stamp + TS_DIGITS, L_SESSION), end, int64(DOLLAR))
        if at < 0:
            return int64(-1)
        at += size
        value = literal(raw, at, L_PRICE)
        if value < 0:
            value = literal(raw, at, L_MARK)
    else:
        stamp = literal(raw, at, L_PLAIN)
        value = literal(raw, stamp + TS_DIGITS, L_USER) if stamp >= 0 else int64(-1)
    size, at = line_read(raw, value, end, int64(DOLLAR))
    if at < 0 or at + size + 2 > end:
        return int64(-1)
    at += size + 2
    return at if raw[at - 2] == RETURN and raw[at - 1] == NEWLINE else int64(-1)


@kernel
def entry_end(raw, at, end):
    """Return the place after the entry at `at`, BROKEN when there is none, MISSING when it goes on past `end`."""
    length, at = line_read(raw, at, end, int64(STAR))
    if at < 0:
        return at
    if length != 2:
        return int64(BROKEN)
    at = bulk_end(raw, at, end)
    length, at = line_read(raw, at, end, int64(STAR))
    if length > FIELDS_MAX or length % 2 == 1:
        return int64(BROKEN)
    for _ in range(length):
        at = bulk_end(raw, at, end)
        if at < 0:
            return at
    return at


@inlined
def bulk_end(raw, at, end):
    """Return the place after a text of the protocol, BROKEN when there is none, MISSING when it goes on past `end`."""
    length, at = line_read(raw, at, end, int64(DOLLAR))
    if at < 0:
        return at
    at += length + 2
    if at > end:
        return int64(MISSING)
    return at if raw[at - 2] == RETURN and raw[at - 1] == NEWLINE else int64(BROKEN)


@inlined
def line_read(raw, at, end, mark):
    """Return (number, place after) of a line that begins with `mark`; (0, BROKEN or MISSING, or `at` < 0 again)."""
    word = word_read(raw, at)
    first, second = (word >> 48 & 0xFF) - ZERO, (word >> 40 & 0xFF) - ZERO
    if word & LINE_2 == mark << 56 | LINE_END << 24 and at + 5 <= end and 1 <= first <= 9 and 0 <= second <= 9:
        return first * 10 + second, int64(at + 5)
    if word & LINE_1 == mark << 56 | LINE_END << 32 and at + 4 <= end and 0 <= first <= 9:
        return first, int64(at + 4)
    third = (word >> 32 & 0xFF) - ZERO
    digits = 1 <= first <= 9 and 0 <= second <= 9 and 0 <= third <= 9
    if word & LINE_3 == mark << 56 | LINE_END << 16 and at + 6 <= end and digits:
        return first * 100 + second * 10 + third, int64(at + 6)
    return line_long(raw, at, end, mark)


@kernel
def line_long(raw, at, end, mark):
    """Return what line_read does, byte by byte."""
    if at < 0:
        return int64(0), int64(at)
    if at >= end:
        return int64(0), int64(MISSING)
    if raw[at] != mark:
        return int64(0), int64(BROKEN)
    number, first = int64(0), at + 1
    at = first
    while at < end and ZERO <= raw[at] <= NINE:
        if at - first == LENGTH_DIGITS_MAX or (at > first and raw[first] == ZERO):
            return int64(0), int64(BROKEN)
        number = number * 10 + (int64(raw[at]) - ZERO)
        at += 1
    if (at < end and (at == first or raw[at] != RETURN)) or (at + 1 < end and raw[at + 1] != NEWLINE):
        return int64(0), int64(BROKEN)
    if at + 2 > end:
        return int64(0), int64(MISSING)
    return number, int64(at + 2)


@kernel
def seq_read(raw, at):
    """Return the seq of the entry at `at`, 0 when its id is not one of the log's plain ones."""
    length, at = number_read(raw, literal(raw, at, L_ID))
    first = literal(raw, at, L_BASE)
    seq, at = number_read(raw, first)
    return seq if at >= 0 and at - first == length - len(ID_BASE) else int64(0)


@inlined
def stamp_read(raw, at):
    """Return the time of the entry that stands at `at`, 0 when it is none that an entry can have."""
    ts_us, _ = number_read(raw, at)
    return ts_us if TS_MIN_US <= ts_us <= TS_MAX_US else int64(0)


@kernel
def plain_read(raw, at, end, row):
    """Return the kind of a tick or an instruction whose time stands at `at`, 0 when it is left; fill its row."""
    ts_us = stamp_read(raw, at)
    if ts_us == 0:
        return int64(0)
    at += TS_DIGITS
    if literal(raw, at, L_TICK) == end:
        row_clear(row)
        row[TS], row[KIND] = ts_us, KIND_TICK
        return int64(KIND_TICK)
    kind, value = int64(KIND_USER), literal(raw, at, L_USER)
    if value < 0:
        kind, value = int64(KIND_VENUE), literal(raw, at, L_VENUE)
    body = body_find(raw, value, end)
    if body < 0:
        return int64(0)
    row_clear(row)
    row[TS], row[KIND] = ts_us, kind
    good = instruction_read(raw, body, int64(kind == KIND_VENUE), row) + 2 == end
    return kind if good else int64(0)


@kernel
def feed_read(raw, at, end, row):
    """Return the kind of a quote or a mark whose time stands at `at`, 0 when it is left; fill its row."""
    ts_us = stamp_read(raw, at)
    length, first = line_read(raw, literal(raw, at + TS_DIGITS, L_SESSION), end, int64(DOLLAR))
    if ts_us == 0 or first < 0:
        return int64(0)
    row_clear(row)
    row[TS] = ts_us
    at = text_read(raw, first, row, SESSION, TEXT_WORDS)
    if at - first != length:
        return int64(0)
    price = literal(raw, at, L_PRICE)
    if price >= 0:
        row[KIND] = KIND_PRICE
        return int64(KIND_PRICE) if quote_read(raw, body_find(raw, price, end), row) + 2 == end else int64(0)
    row[KIND] = KIND_MARK
    at = mark_read(raw, body_find(raw, literal(raw, at, L_MARK), end), row)
    return int64(KIND_MARK) if at + 2 == end else int64(0)


@inlined
def body_find(raw, at, end):
    """Return where a value begins whose length stands at `at` and which ends the entry, -1 when it does not."""
    length, at = line_read(raw, at, end, int64(DOLLAR))
    return at if at >= 0 and at + length + 2 == end else int64(-1)


@kernel
def row_clear(row):
    """Make a row all zeros, as it is where a batch has never been written."""
    kind = row[KIND]
    # An entry of the feed fills none of the words behind its own.
    feed = kind in (KIND_PRICE, KIND_MARK, KIND_TICK)
    row[: FEED_WORDS if feed else len(row)] = 0
