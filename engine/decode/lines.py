"""
Lines of the archive -> the words of feed records, compiled: straight from the bytes of a decompressed frame.

A quote, a mark or a tick in canonical form is read where it stands, escapes and all; of any other line only the shape
is looked at, and its texts are written out as Redis answers them when its record is wanted. What is in another form,
or has another number than the next, is left to shared.archive. No bytes can lead it out of bounds.
"""

from numpy import int64

from engine.core.kernel import entry, entry_beside, inlined, kernel
from engine.decode.feed import FUNDED, NEXT, NEXT_MAX_MS, PRESENT, QUOTED
from engine.decode.feed_steps import LINE_MARK, LINE_MARK_END, LINE_QUOTE, LINE_QUOTE_END, STEP_LITERALS, steps_read
from engine.decode.rows import (
    FEED_WORDS,
    KIND,
    KIND_MARK,
    KIND_PRICE,
    KIND_TICK,
    SEQ,
    SESSION,
    TS,
)
from engine.decode.scan import (
    BACKSLASH,
    DOLLAR,
    MINUS,
    QUOTE,
    STAR,
    ZERO,
    leading,
    literal,
    literal_of,
    number_read,
    text_read,
    text_stops,
    word_read,
)
from shared.records import TEXT_WORDS
from shared.wire import TS_MAX_US, TS_MIN_US

TS_DIGITS = 16
COMMA = 44
TEXTS_MAX = 8  # names and values of one line that are written out
LINE_ROOM = 200  # bytes that a line may grow by when it is written out

L_SEQ, L_FIELDS, L_TS = literal_of(b'{"seq":'), literal_of(b',"f":['), literal_of(b'["ts","')
L_TICK, L_SESSION = literal_of(b'"],["clock_tick","{}"]]}\n'), literal_of(b'"],["session","')
L_OPEN, L_BETWEEN, L_SHUT, L_END = literal_of(b'["'), literal_of(b'","'), literal_of(b'"]'), literal_of(b"]}\n")
# As words, the first byte highest.
R_HEAD, R_ID_HIGH, R_ID_LOW, R_LINE = (
    int.from_bytes(text.ljust(8, b"\0"), "big") for text in (b"*2\r\n$", b"10000000", b"00000000", b"\r\n")
)
ID_BYTES = 17  # of an id in front of its number


@entry_beside
def lines_walk(raw, at, end, expected, places, rows):
    """
    Return (how many lines, the place after the last, how many are no feed records): entries in canonical form, numbered
    from `expected` on.

    Shapes: raw uint8[n], n >= end; places int64[m + 1]; rows int64[m, FEED_WORDS].
    Writes: places[i], where line i begins, places[count], where the last ends; rows[i], the words of a quote, a mark or
            a tick, for any other entry its number and the kind 0. Stops in front of a line of another form.
    """
    count, others, most = int64(0), int64(0), len(rows)
    places[0] = at
    while count < most and at < end:
        row = rows[count]
        seq, body = number_read(raw, literal(raw, at, L_SEQ))
        body = literal(raw, body, L_FIELDS)
        if body < 0 or seq != expected:
            break
        after = feed_line_read(raw, body, row)
        if after < 0:
            row[:] = 0
            after = fields_end(raw, body)
        if after < 0 or after > end:
            break
        others += int64(row[KIND] == 0)
        row[SEQ] = seq
        at = after
        expected += 1
        count += 1
        places[count] = at
    return count, int64(at), others


@entry
def lines_fill(raw, places, rows, words, out, out_places, found, left):
    """
    Return (how many lines were written out, how many were left, the newest clock_tick's seq or 0).

    Shapes: raw uint8[n]; places int64[m + 1], rows int64[m, FEED_WORDS] as lines_walk left them, or a stretch of them;
            words int64[k, COMMAND_WORDS], found int64[k], left int64[k], k >= m; out uint8[s]; out_places int64[k + 1].
    Writes: words[i] of every feed record; out, the others as Redis answers entries numbered 1, 2, 3 …, with their
            places as rows_read takes them, and found[…] their indexes; left[…] those that are not written here.
    """
    found_count, left_count, tick_seq, to = int64(0), int64(0), int64(0), int64(0)
    for index in range(len(rows)):
        known = rows[index]
        if known[KIND] != 0:
            row_copy(words[index], known)
            if known[KIND] == KIND_TICK:
                tick_seq = known[SEQ]
            continue
        after = line_write(raw, places[index], places[index + 1], found_count + 1, out, to)
        if after < 0:
            left[left_count] = index
            left_count += 1
            continue
        out_places[found_count], found[found_count] = to, index
        found_count += 1
        to = after
    out_places[found_count] = to
    return found_count, left_count, tick_seq


@entry
def rows_place(side, found, rows, words):
    """
    Put records that were read apart where they belong, with their numbers.

    Shapes: side int64[f, COMMAND_WORDS]; found int64[f], their places in rows int64[m, FEED_WORDS] and in
            words int64[k, COMMAND_WORDS].
    """
    for index in range(len(found)):
        row, read = words[found[index]], side[index]
        for word in range(len(row)):
            row[word] = read[word]
        row[SEQ] = rows[found[index], SEQ]


@entry
def rows_copy(rows, first_seq, words):
    """
    Return how many quotes there are; copy the words of feed records to where a batch keeps them.

    They are numbered from `first_seq` on.
    Shapes: rows int64[m, FEED_WORDS]; words int64[k, COMMAND_WORDS], k >= m.
    """
    quotes = int64(0)
    for index in range(len(rows)):
        row_copy(words[index], rows[index])
        words[index, SEQ] = first_seq + index
        quotes += int64(rows[index, KIND] == KIND_PRICE)
    return quotes


@inlined
def row_copy(row, known):
    """Fill a record of a batch with the words of a feed record; what an instruction left there is cleared."""
    kind = row[KIND]
    if kind != KIND_PRICE and kind != KIND_MARK and kind != KIND_TICK:
        row[FEED_WORDS:] = 0
    for word in range(FEED_WORDS):
        row[word] = known[word]


@kernel
def feed_line_read(raw, at, row):
    """Return the place after the line of a quote, a mark or a tick from its fields on, -1 otherwise; fill its row."""
    at = literal(raw, at, L_TS)
    ts_us, after = number_read(raw, at)
    if after != at + TS_DIGITS or not TS_MIN_US <= ts_us <= TS_MAX_US:
        return int64(-1)
    row[:] = 0
    row[TS] = ts_us
    at = literal(raw, after, L_SESSION)
    if at < 0:
        row[KIND] = KIND_TICK
        return literal(raw, after, L_TICK)
    at = text_read(raw, at, row, SESSION, TEXT_WORDS)
    if literal(raw, at, STEP_LITERALS[LINE_QUOTE]) >= 0:
        row[KIND] = KIND_PRICE
        row[PRESENT] = QUOTED
        return steps_read(raw, at, row, int64(LINE_QUOTE), int64(LINE_QUOTE_END))
    row[KIND] = KIND_MARK
    row[PRESENT] = FUNDED
    at = steps_read(raw, at, row, int64(LINE_MARK), int64(LINE_MARK_END))
    return at if row[NEXT] <= NEXT_MAX_MS else int64(-1)


@kernel
def escaped_end(raw, at):
    """Return (the place of the quote that closes a text, how many bytes only escape another), (-1, 0) without one."""
    escapes = int64(0)
    while 0 <= at < len(raw):
        count = leading(text_stops(word_read(raw, at)))
        at += count
        if count == 8:
            continue
        if at >= len(raw):
            break
        if raw[at] == QUOTE:
            return int64(at), escapes
        if raw[at] != BACKSLASH or at + 1 >= len(raw) or (raw[at + 1] != QUOTE and raw[at + 1] != BACKSLASH):
            break
        escapes += 1
        at += 2
    return int64(-1), int64(0)


@kernel
def fields_end(raw, at):
    """Return the place after a line whose fields begin at `at`, -1 when it is not in canonical form."""
    while at >= 0:
        at, _ = escaped_end(raw, literal(raw, at, L_OPEN))
        at, _ = escaped_end(raw, literal(raw, at, L_BETWEEN))
        at = literal(raw, at, L_SHUT)
        after = literal(raw, at, L_END)
        if after >= 0:
            return after
        at = at + 1 if 0 <= at < len(raw) and raw[at] == COMMA else int64(-1)
    return int64(-1)


@kernel
def line_write(raw, at, end, number, out, to):
    """Return the place after a line written as Redis answers an entry of this number, -1 when it is not written."""
    if to + end - at + LINE_ROOM > len(out):
        return int64(-1)
    _, at = number_read(raw, literal(raw, at, L_SEQ))
    at = literal(raw, at, L_FIELDS)
    to = word_write(out, to, R_HEAD) - 3
    to = word_write(out, natural_write(out, to, ID_BYTES + naturals_count(number)), R_LINE) - 6
    to = word_write(out, word_write(out, to, R_ID_HIGH), R_ID_LOW)
    out[to] = MINUS
    to = word_write(out, natural_write(out, to + 1, number), R_LINE) - 6
    out[to] = STAR
    counted = to + 1  # one digit, written below
    to = word_write(out, to + 2, R_LINE) - 6
    texts = int64(0)
    while at >= 0 and texts < TEXTS_MAX:
        to, at = escaped_write(raw, literal(raw, at, L_OPEN), out, to)
        to, at = escaped_write(raw, literal(raw, at, L_BETWEEN), out, to)
        at = literal(raw, at, L_SHUT)
        texts += 2
        if literal(raw, at, L_END) == end:
            out[counted] = ZERO + texts
            return int64(to)
        at = at + 1 if 0 <= at < len(raw) and raw[at] == COMMA else int64(-1)
    return int64(-1)


@kernel
def escaped_write(raw, at, out, to):
    """Return (place after what was written, place of the closing quote) of a text written as the protocol's."""
    close, escapes = escaped_end(raw, at)
    if close < 0:
        return int64(to), int64(-1)
    out[to] = DOLLAR
    to = word_write(out, natural_write(out, to + 1, close - at - escapes), R_LINE) - 6
    while at < close:
        word = word_read(raw, at)
        count = min(leading(text_stops(word)), close - at)
        word_write(out, to, word)
        at += count
        to += count
        if at < close and count < 8:
            out[to] = raw[at + 1]
            to += 1
            at += 2
    return word_write(out, to, R_LINE) - 6, int64(close)


@kernel
def word_write(out, to, word):
    """Return the place after eight bytes written from `to` on, the first the highest of the word."""
    out[to] = (word >> 56) & 255
    out[to + 1] = (word >> 48) & 255
    out[to + 2] = (word >> 40) & 255
    out[to + 3] = (word >> 32) & 255
    out[to + 4] = (word >> 24) & 255
    out[to + 5] = (word >> 16) & 255
    out[to + 6] = (word >> 8) & 255
    out[to + 7] = word & 255
    return int64(to + 8)


@kernel
def naturals_count(number):
    """Return how many digits a number has that is not negative."""
    count = int64(1)
    while number >= 10:
        number //= 10
        count += 1
    return count


@kernel
def natural_write(out, to, number):
    """Return the place after a number, not negative, written from `to` on."""
    after = to + naturals_count(number)
    at = after
    while at > to:
        at -= 1
        out[at] = ZERO + number % 10
        number //= 10
    return int64(after)
