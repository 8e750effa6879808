"""
How quotes and marks stand in an archive's lines and in recorded frames: literals, and what is read behind each.

One kernel goes through these tables, so that each of the four forms costs nothing to compile.
"""

from enum import IntEnum

import numpy as np

from engine.core.kernel import kernel
from engine.decode.feed import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    EVENT,
    INDEX,
    MARK,
    MARKET,
    NEXT,
    UPDATE,
    price_read,
    rate_read,
)
from engine.decode.scan import literal, literal_of, number_read, text_read, whole_read
from shared.records import NAME_WORDS


class Reading(IntEnum):
    """What stands behind the literal of a step."""

    NOTHING = 0
    DECIMAL = 1
    WHOLE = 2
    TIME = 3  # a whole number that is not kept
    RATE = 4
    NAME = 5


Step = tuple[bytes, Reading, int]  # a literal, what is read behind it, into which word
QUOTE_STEPS: tuple[Step, ...] = (
    (b'{"A":"', Reading.DECIMAL, ASK_SIZE),
    (b'","B":"', Reading.DECIMAL, BID_SIZE),
    (b'","E":', Reading.WHOLE, EVENT),
    (b',"T":', Reading.TIME, 0),
    (b',"a":"', Reading.DECIMAL, ASK),
    (b'","b":"', Reading.DECIMAL, BID),
    (b'","e":"bookTicker', Reading.NOTHING, 0),
    (b'","s":"', Reading.NAME, MARKET),
    (b'","u":', Reading.WHOLE, UPDATE),
    (b"}", Reading.NOTHING, 0),
)
MARK_STEPS: tuple[Step, ...] = (
    (b'{"E":', Reading.WHOLE, EVENT),
    (b',"T":', Reading.TIME, 0),
    (b',"e":"markPrice","f":"', Reading.RATE, 0),
    (b'","i":"', Reading.DECIMAL, INDEX),
    (b'","n":', Reading.WHOLE, NEXT),
    (b',"p":"', Reading.DECIMAL, MARK),
    (b'","s":"', Reading.NAME, MARKET),
    (b'"}', Reading.NOTHING, 0),
)


def framed(steps: tuple[Step, ...], before: bytes, after: bytes, escaped: bool) -> list[Step]:
    """Return steps with what stands before the first and after the last; `escaped` as in a text of JSON."""
    texts = [text.replace(b'"', b'\\"') if escaped else text for text, _, _ in steps]
    texts[0], texts[-1] = before + texts[0], texts[-1] + after
    return [(text, reading, word) for text, (_, reading, word) in zip(texts, steps, strict=True)]


_LINE_QUOTE = framed(QUOTE_STEPS, b'"],["price_update","', b'"]]}\n', True)
_LINE_MARK = framed(MARK_STEPS, b'"],["mark_update","', b'"]]}\n', True)
_FRAME_QUOTE = framed(QUOTE_STEPS, b'{"data":', b',"stream":"bookTicker.', False)
_FRAME_MARK = framed(MARK_STEPS, b'{"data":', b',"stream":"markPrice.', False)
_STEPS = [*_LINE_QUOTE, *_LINE_MARK, *_FRAME_QUOTE, *_FRAME_MARK]
LINE_QUOTE, LINE_QUOTE_END = 0, len(_LINE_QUOTE)
LINE_MARK, LINE_MARK_END = LINE_QUOTE_END, LINE_QUOTE_END + len(_LINE_MARK)
FRAME_QUOTE, FRAME_QUOTE_END = LINE_MARK_END, LINE_MARK_END + len(_FRAME_QUOTE)
FRAME_MARK, FRAME_MARK_END = FRAME_QUOTE_END, FRAME_QUOTE_END + len(_FRAME_MARK)
STEP_LITERALS = np.array([literal_of(text) for text, _, _ in _STEPS])
STEP_READINGS = np.array([(int(reading), word) for _, reading, word in _STEPS])
DECIMAL, WHOLE, TIME, RATE, NAME = (
    int(reading) for reading in (Reading.DECIMAL, Reading.WHOLE, Reading.TIME, Reading.RATE, Reading.NAME)
)


@kernel
def steps_read(raw, at, row, first, last):
    """Return the place after steps from `first` up to `last`, -1 where the bytes are others; fill their words."""
    for step in range(first, last):
        at = literal(raw, at, STEP_LITERALS[step])
        if at < 0:
            break
        reading, word = STEP_READINGS[step][0], STEP_READINGS[step][1]
        if reading == DECIMAL:
            at = price_read(raw, at, row, word)
        elif reading == WHOLE:
            at = whole_read(raw, at, row, word)
        elif reading == TIME:
            _, at = number_read(raw, at)
        elif reading == NAME:
            at = text_read(raw, at, row, word, NAME_WORDS)
        elif reading == RATE:
            at = rate_read(raw, at, row)
    return at
