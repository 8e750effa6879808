"""
The canonical form of feed entries -> command records, compiled: straight from the bytes of a reply of Redis.

What is here reads `price_update`, `mark_update` and `clock_tick` exactly as our poller writes them, and leaves every
other entry to shared.wire; a row that is read here has the same words as there. No bytes can lead it out of bounds:
every place is compared with the end before it is read. The file stands alone, so that Numba notices every change.
"""

import numpy as np
from numpy import int64

from engine.core.kernel import entry, kernel
from shared.codes import EntryKind
from shared.records import PRESENT_ASK, PRESENT_BID, PRESENT_FUNDING, PRESENT_INDEX
from shared.wire import TS_MAX_US, TS_MIN_US
from shared.wire_rows import AT

FIELDS_MAX = 1_000_000  # names and values of one entry that are walked over
DIGITS_MAX = 18  # of a whole number: more leave 64 bits
DECIMALS_MAX = 40
NAME_BYTES_MAX, SESSION_BYTES_MAX = 24, 32
QUOTE, BACKSLASH, MINUS, POINT, ZERO, NINE = 34, 92, 45, 46, 48, 57
STAR, DOLLAR, RETURN, NEWLINE = 42, 36, 13, 10
E12 = 10**12
WHOLE_END = 10**15

KIND_PRICE, KIND_MARK, KIND_TICK = (
    int(kind) for kind in (EntryKind.PRICE_UPDATE, EntryKind.MARK_UPDATE, EntryKind.CLOCK_TICK)
)
SEQ, TS, KIND, MARKET, SESSION, PRESENT = (AT[n] for n in ("seq", "ts_us", "kind", "market", "session", "present"))
BID, ASK, BID_SIZE, ASK_SIZE = (AT[f"{name}_units"] for name in ("bid", "ask", "bid_size", "ask_size"))
MARK, INDEX = AT["mark_units"], AT["index_units"]
RATE, NEXT, EVENT, UPDATE = (AT[n] for n in ("funding_rate_ppb", "funding_next_ms", "event_us", "update_id"))
FEED_WORDS = AT["status"]  # the first word that only other entries fill
FUNDED = PRESENT_INDEX | PRESENT_FUNDING
QUOTED = PRESENT_BID | PRESENT_ASK


def _text(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


T_ID = _text(b"1000000000000000-")
T_TS, T_SESSION = _text(b"ts"), _text(b"session")
T_PRICE, T_MARK, T_TICK, T_EMPTY = _text(b"price_update"), _text(b"mark_update"), _text(b"clock_tick"), _text(b"{}")
Q_ASK_SIZE, Q_BID_SIZE, Q_EVENT = _text(b'{"A":"'), _text(b',"B":"'), _text(b',"E":')
Q_ENGINE, Q_ASK, Q_BID = _text(b',"T":'), _text(b',"a":"'), _text(b',"b":"')
Q_MARKET, Q_UPDATE = _text(b',"e":"bookTicker","s":"'), _text(b',"u":')
M_EVENT, M_RATE, M_INDEX = _text(b'{"E":'), _text(b',"e":"markPrice","f":"'), _text(b',"i":"')
M_NEXT, M_MARK, M_MARKET = _text(b',"n":'), _text(b',"p":"'), _text(b',"s":"')
T_CLOSE = _text(b"}")


@entry
def entries_walk(raw, at, count, places):
    """
    Return the place after the last of `count` entries, -1 when the bytes are no such reply.

    Shapes: raw uint8[n]; places int64[count + 1] or longer.
    Writes: places[i], where entry i begins; places[count], where the last ends.
    """
    for index in range(count):
        places[index] = at
        length, at = length_read(raw, at, STAR)
        if length != 2:
            return int64(-1)
        at = bulk_end(raw, at)
        length, at = length_read(raw, at, STAR)
        if length > FIELDS_MAX or length % 2 == 1:
            return int64(-1)
        for _ in range(length):
            at = bulk_end(raw, at)
            if at < 0:
                return int64(-1)
        if at < 0:
            return int64(-1)
    places[count] = at
    return int64(at)


@entry
def texts_walk(raw, at, end, spans):
    """
    Return how many texts (id, names, values) the entry between two places has; fewer are told than there is room for.

    Shapes: raw uint8[n]; spans int64[m, 2]. Writes: spans[i], where text i begins and ends.
    """
    count = int64(0)
    while at < end:
        if raw[at] == STAR:
            _, at = length_read(raw, at, STAR)
        else:
            length, at = length_read(raw, at, DOLLAR)
            if count < len(spans):
                spans[count][0], spans[count][1] = at, at + length
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
        _, at = length_read(raw, places[index], STAR)
        at = bulk_end(raw, at)
        length, at = length_read(raw, at, STAR)
        for _ in range(length - 2):
            at = bulk_end(raw, at)
        if length >= 2 and field(raw, at, name) >= 0:
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
    left_count, tick_seq, expected = int64(0), int64(0), int64(last_seq + 1)
    for index in range(count):
        seq = seq_read(raw, places[index])
        kind = int64(0)
        if seq == expected:
            kind = row_read(raw, places[index], places[index + 1], words[index])
        if kind == 0:
            left[left_count] = index
            left_count += 1
        elif kind == KIND_TICK:
            tick_seq = seq
        words[index][SEQ] = seq
        # What has no plain number is followed by nothing that would be taken here.
        expected = seq + 1 if seq > 0 else int64(-1)
    return left_count, tick_seq


@kernel
def length_read(raw, at, mark):
    """Return (number, place after) of a line of the protocol that begins with `mark`; (0, -1) when there is none."""
    end = len(raw)
    if at < 0 or at >= end or raw[at] != mark:
        return int64(0), int64(-1)
    number, at = digits_read(raw, at + 1, end, 12)
    if at < 0 or at + 2 > end or raw[at] != RETURN or raw[at + 1] != NEWLINE:
        return int64(0), int64(-1)
    return number, at + 2


@kernel
def bulk_end(raw, at):
    """Return the place after a text of the protocol, -1 when there is none."""
    length, at = length_read(raw, at, DOLLAR)
    if at < 0 or at + length + 2 > len(raw) or raw[at + length] != RETURN or raw[at + length + 1] != NEWLINE:
        return int64(-1)
    return at + length + 2


@kernel
def digits_read(raw, at, end, most):
    """Return (number, place after) of up to `most` digits without a leading zero; (0, -1) otherwise."""
    number, first = int64(0), at
    while at < end and ZERO <= raw[at] <= NINE:
        if at - first == most or (at > first and raw[first] == ZERO):
            return int64(0), int64(-1)
        number = number * 10 + (int64(raw[at]) - ZERO)
        at += 1
    if at == first:
        return int64(0), int64(-1)
    return number, int64(at)


@kernel
def literal(raw, at, end, text):
    """Return the place after `text` when it stands at `at`, -1 otherwise or when `at` is -1 already."""
    length = len(text)
    if at < 0 or at + length > end:
        return int64(-1)
    for index in range(length):
        if raw[at + index] != text[index]:
            return int64(-1)
    return int64(at + length)


@kernel
def field(raw, at, text):
    """Return the place after a text of the protocol that says exactly `text`, -1 otherwise."""
    length, at = length_read(raw, at, DOLLAR)
    if length != len(text):
        return int64(-1)
    at = literal(raw, at, len(raw), text)
    return at + 2 if at >= 0 else int64(-1)


@kernel
def seq_read(raw, at):
    """Return the seq of the entry that begins at `at`, 0 when its id is not one of the log's plain ones."""
    _, at = length_read(raw, at, STAR)
    length, at = length_read(raw, at, DOLLAR)
    if at < 0:
        return int64(0)
    end = min(at + length, len(raw))
    at = literal(raw, at, end, T_ID)
    if at < 0:
        return int64(0)
    seq, at = digits_read(raw, at, end, DIGITS_MAX)
    return seq if at == end else int64(0)


@kernel
def row_read(raw, at, end, row):
    """Return the kind of an entry in canonical form and fill its row; 0 when it is left to the other reader."""
    _, at = length_read(raw, at, STAR)
    at = bulk_end(raw, at)
    fields, at = length_read(raw, at, STAR)
    at = field(raw, at, T_TS)
    length, at = length_read(raw, at, DOLLAR)
    if length != 16 or at < 0 or at + 18 > end:
        return int64(0)
    ts_us, after = digits_read(raw, at, at + 16, 16)
    if after != at + 16 or not TS_MIN_US <= ts_us <= TS_MAX_US:
        return int64(0)
    row_clear(row)
    row[TS] = ts_us
    at += 18
    if fields == 4:
        at = field(raw, field(raw, at, T_TICK), T_EMPTY)
        row[KIND] = KIND_TICK
        return int64(KIND_TICK) if at == end else int64(0)
    if fields != 6:
        return int64(0)
    length, at = length_read(raw, field(raw, at, T_SESSION), DOLLAR)
    if not 1 <= length <= SESSION_BYTES_MAX or at + length + 2 > end:
        return int64(0)
    if not text_pack(raw, at, at + length, row, SESSION):
        return int64(0)
    at += length + 2
    body = field(raw, at, T_PRICE)
    if body >= 0:
        length, body = length_read(raw, body, DOLLAR)
        good = body >= 0 and body + length + 2 == end and quote_read(raw, body, body + length, row)
        return int64(KIND_PRICE) if good else int64(0)
    length, body = length_read(raw, field(raw, at, T_MARK), DOLLAR)
    good = body >= 0 and body + length + 2 == end and mark_read(raw, body, body + length, row)
    return int64(KIND_MARK) if good else int64(0)


@kernel
def row_clear(row):
    """Make a row all zeros, as it is where a batch has never been written."""
    kind = row[KIND]
    # An entry of the feed fills none of the words behind its own.
    feed = kind in (KIND_PRICE, KIND_MARK, KIND_TICK)
    row[: FEED_WORDS if feed else len(row)] = 0


@kernel
def text_pack(raw, at, end, row, word):
    """Return whether the bytes are printable; pack them big-endian into the row's words from `word` on."""
    for index in range(end - at):
        byte = int64(raw[at + index])
        if byte < 32 or byte > 126:
            return False
        row[word + index // 8] |= byte << (56 - 8 * (index % 8))
    return True


@kernel
def quote_read(raw, at, end, row):
    """Return whether the bytes are a quote in canonical form; fill its row."""
    row[KIND] = KIND_PRICE
    row[PRESENT] = QUOTED
    at = decimal_read(raw, literal(raw, at, end, Q_ASK_SIZE), end, row, ASK_SIZE)
    at = decimal_read(raw, literal(raw, at, end, Q_BID_SIZE), end, row, BID_SIZE)
    at = whole_read(raw, literal(raw, at, end, Q_EVENT), end, row, EVENT)
    at = whole_read(raw, literal(raw, at, end, Q_ENGINE), end, row, UPDATE)  # its time is not kept: overwritten below
    at = decimal_read(raw, literal(raw, at, end, Q_ASK), end, row, ASK)
    at = decimal_read(raw, literal(raw, at, end, Q_BID), end, row, BID)
    at = market_read(raw, literal(raw, at, end, Q_MARKET), end, row)
    at = whole_read(raw, literal(raw, at, end, Q_UPDATE), end, row, UPDATE)
    return literal(raw, at, end, T_CLOSE) == end


@kernel
def mark_read(raw, at, end, row):
    """Return whether the bytes are a mark price in canonical form; fill its row."""
    row[KIND] = KIND_MARK
    row[PRESENT] = FUNDED
    at = whole_read(raw, literal(raw, at, end, M_EVENT), end, row, EVENT)
    at = whole_read(raw, literal(raw, at, end, Q_ENGINE), end, row, NEXT)  # its time is not kept: overwritten below
    at = rate_read(raw, literal(raw, at, end, M_RATE), end, row)
    at = decimal_read(raw, literal(raw, at, end, M_INDEX), end, row, INDEX)
    at = whole_read(raw, literal(raw, at, end, M_NEXT), end, row, NEXT)
    at = decimal_read(raw, literal(raw, at, end, M_MARK), end, row, MARK)
    at = market_read(raw, literal(raw, at, end, M_MARKET), end, row)
    return literal(raw, at, end, T_CLOSE) == end and row[NEXT] <= TS_MAX_US // 1000


@kernel
def whole_read(raw, at, end, row, word):
    """Return the place after a whole number, -1 when there is none; store it."""
    if at < 0:
        return int64(-1)
    row[word], at = digits_read(raw, at, end, DIGITS_MAX)
    return at


@kernel
def fraction_read(raw, at, end, places):
    """
    Return (decimals × 10^places, place after) of what may follow a whole number: a point and up to 40 digits.

    Rounds: half to even; so the result may be 10^places itself, when the whole part is even or all that counts.
    """
    value, count = int64(0), int64(0)
    over, above = int64(0), False  # the first digit cut off, and whether anything but zeros follows it
    if at < end and raw[at] == POINT:
        at += 1
        while at < end and ZERO <= raw[at] <= NINE:
            digit = int64(raw[at]) - ZERO
            if count < places:
                value = value * 10 + digit
            elif count == places:
                over = digit
            elif digit > 0:
                above = True
            count += 1
            at += 1
        if count == 0 or count > DECIMALS_MAX:
            return int64(0), int64(-1)
    for _ in range(count, places):
        value *= 10
    if over > 5 or (over == 5 and (above or value % 2 == 1)):
        value += 1
    return value, int64(at)


@kernel
def decimal_read(raw, at, end, row, word):
    """Return the place after a decimal and its closing quote, -1 when there is none; store whole part and fraction."""
    if at < 0:
        return int64(-1)
    negative = at < end and raw[at] == MINUS
    units, at = digits_read(raw, at + 1 if negative else at, end, 15)
    if at < 0:
        return int64(-1)
    e12, at = fraction_read(raw, at, end, 12)
    if at < 0 or at >= end or raw[at] != QUOTE:
        return int64(-1)
    if e12 == E12:
        units, e12 = units + 1, int64(0)
    if units >= WHOLE_END:
        return int64(-1)
    row[word] = -units if negative else units
    row[word + 1] = -e12 if negative else e12
    return at + 1


@kernel
def rate_read(raw, at, end, row):
    """Return the place after a funding rate within ±1 and its closing quote, -1 when there is none; store it."""
    if at < 0:
        return int64(-1)
    negative = at < end and raw[at] == MINUS
    if negative:
        at += 1
    if at >= end or raw[at] != ZERO:
        return int64(-1)
    rate, at = fraction_read(raw, at + 1, end, 9)
    if at < 0 or at >= end or raw[at] != QUOTE:
        return int64(-1)
    row[RATE] = -rate if negative else rate
    return at + 1


@kernel
def market_read(raw, at, end, row):
    """Return the place after a market's name and its closing quote, -1 when there is none; store it."""
    if at < 0:
        return int64(-1)
    first = at
    while at < end and raw[at] != QUOTE:
        if raw[at] == BACKSLASH:
            return int64(-1)
        at += 1
    if at >= end or not 1 <= at - first <= NAME_BYTES_MAX or not text_pack(raw, first, at, row, MARKET):
        return int64(-1)
    return at + 1
