"""
Bodies of `price_update` and `mark_update` exactly as our poller writes them -> the words of their records, compiled.

A decimal of more than twelve decimals and a rate are rounded half to even, as shared.units does it.
"""

from numpy import int64

from engine.core.kernel import inlined, kernel
from engine.decode.scan import (
    MINUS,
    NINE,
    POINT,
    WHOLE_DIGITS_MAX,
    ZERO,
    decimal_read,
    first_is,
    inside,
    literal,
    literal_of,
    number_read,
    text_read,
    whole_read,
    word_load,
)
from shared.records import NAME_WORDS, PRESENT_ASK, PRESENT_BID, PRESENT_FUNDING, PRESENT_INDEX
from shared.units import E12
from shared.wire import TS_MAX_US
from shared.wire_rows import AT

LONG_DECIMALS_MAX = 40
RATE_DECIMALS = 9
WHOLE_END = 10**WHOLE_DIGITS_MAX
NEXT_MAX_MS = TS_MAX_US // 1000

MARKET, PRESENT, EVENT, UPDATE = (AT[name] for name in ("market", "present", "event_us", "update_id"))
BID, ASK, BID_SIZE, ASK_SIZE = (AT[f"{name}_units"] for name in ("bid", "ask", "bid_size", "ask_size"))
MARK, INDEX, RATE, NEXT = (AT[n] for n in ("mark_units", "index_units", "funding_rate_ppb", "funding_next_ms"))
FUNDED = PRESENT_INDEX | PRESENT_FUNDING
QUOTED = PRESENT_BID | PRESENT_ASK

Q_ASK_SIZE, Q_BID_SIZE, Q_EVENT = literal_of(b'{"A":"'), literal_of(b'","B":"'), literal_of(b'","E":')
Q_ENGINE, Q_ASK, Q_BID = literal_of(b',"T":'), literal_of(b',"a":"'), literal_of(b'","b":"')
Q_MARKET, Q_UPDATE = literal_of(b'","e":"bookTicker","s":"'), literal_of(b'","u":')
M_EVENT, M_RATE, M_INDEX = literal_of(b'{"E":'), literal_of(b',"e":"markPrice","f":"'), literal_of(b'","i":"')
M_NEXT, M_MARK, M_MARKET = literal_of(b'","n":'), literal_of(b',"p":"'), literal_of(b'","s":"')
WHOLE_CLOSE, TEXT_CLOSE = literal_of(b"}"), literal_of(b'"}')


@kernel
def quote_read(raw, at, row):
    """Return the place after a quote in canonical form, -1 when there is none; fill its words in a cleared row."""
    row[PRESENT] = QUOTED
    at = price_read(raw, literal(raw, at, Q_ASK_SIZE), row, int64(ASK_SIZE))
    at = price_read(raw, literal(raw, at, Q_BID_SIZE), row, int64(BID_SIZE))
    at = whole_read(raw, literal(raw, at, Q_EVENT), row, EVENT)
    _, at = number_read(raw, literal(raw, at, Q_ENGINE))
    at = price_read(raw, literal(raw, at, Q_ASK), row, int64(ASK))
    at = price_read(raw, literal(raw, at, Q_BID), row, int64(BID))
    at = text_read(raw, literal(raw, at, Q_MARKET), row, MARKET, NAME_WORDS)
    at = whole_read(raw, literal(raw, at, Q_UPDATE), row, UPDATE)
    return literal(raw, at, WHOLE_CLOSE)


@kernel
def mark_read(raw, at, row):
    """Return the place after a mark price in canonical form, -1 when there is none; fill its words in a cleared row."""
    row[PRESENT] = FUNDED
    at = whole_read(raw, literal(raw, at, M_EVENT), row, EVENT)
    _, at = number_read(raw, literal(raw, at, Q_ENGINE))
    at = rate_read(raw, literal(raw, at, M_RATE), row)
    at = price_read(raw, literal(raw, at, M_INDEX), row, int64(INDEX))
    at = whole_read(raw, literal(raw, at, M_NEXT), row, NEXT)
    at = price_read(raw, literal(raw, at, M_MARK), row, int64(MARK))
    at = text_read(raw, literal(raw, at, M_MARKET), row, MARKET, NAME_WORDS)
    return literal(raw, at, TEXT_CLOSE) if row[NEXT] <= NEXT_MAX_MS else int64(-1)


@inlined
def price_read(raw, at, row, word):
    """Return the place after a decimal of up to 40 decimals, -1 when there is none; store whole part and fraction."""
    after = decimal_read(raw, at, row, word)
    return after if after >= 0 else long_read(raw, at, row, word)


@kernel
def long_read(raw, at, row, word):
    """Return what price_read does, digit by digit and rounded."""
    if not inside(raw, at):
        return int64(-1)
    negative = first_is(word_load(raw, at), MINUS)
    first = at + 1 if negative else at
    units, at = number_read(raw, first)
    if at - first > WHOLE_DIGITS_MAX:
        return int64(-1)
    e12, at = fraction_read(raw, at, int64(12))
    if e12 == E12:
        units, e12 = units + 1, int64(0)
    if units >= WHOLE_END:
        return int64(-1)
    row[word] = -units if negative else units
    row[word + 1] = -e12 if negative else e12
    return at


@kernel
def fraction_read(raw, at, places):
    """
    Return (decimals × 10^places, place after) of what may follow a whole number: a point and up to 40 digits.

    Rounds: half to even; so the result may be 10^places itself, when the whole part is even or all that counts.
    """
    value, count = int64(0), int64(0)
    over, above = int64(0), False  # the first digit cut off, and whether anything but zeros follows it
    if at < 0 or at >= len(raw):
        return int64(0), int64(-1)
    if raw[at] == POINT:
        at += 1
        while at < len(raw) and ZERO <= raw[at] <= NINE:
            digit = int64(raw[at]) - ZERO
            if count < places:
                value = value * 10 + digit
            elif count == places:
                over = digit
            elif digit > 0:
                above = True
            count += 1
            at += 1
        if count == 0 or count > LONG_DECIMALS_MAX:
            return int64(0), int64(-1)
    for _ in range(count, places):
        value *= 10
    if over > 5 or (over == 5 and (above or value % 2 == 1)):
        value += 1
    return value, int64(at)


@kernel
def rate_read(raw, at, row):
    """Return the place after a funding rate within ±1, -1 when there is none; store it."""
    if not inside(raw, at):
        return int64(-1)
    negative = first_is(word_load(raw, at), MINUS)
    if negative:
        at += 1
    if not first_is(word_load(raw, at), ZERO):
        return int64(-1)
    rate, at = fraction_read(raw, at + 1, int64(RATE_DECIMALS))
    row[RATE] = -rate if negative else rate
    return at
