"""
Recorded frames of Backpack, one a line -> the words of feed records, compiled.

A frame in canonical form is read where it stands; any other line is left to who knows the outside venue's shapes. The
record has the frame's own time, but no number and no session yet.
"""

from numpy import int64

from engine.core.kernel import entry_beside, kernel
from engine.decode.feed import EVENT, FUNDED, MARKET, NEXT, NEXT_MAX_MS, PRESENT, QUOTED
from engine.decode.feed_steps import (
    FRAME_MARK,
    FRAME_MARK_END,
    FRAME_QUOTE,
    FRAME_QUOTE_END,
    STEP_LITERALS,
    steps_read,
)
from engine.decode.rows import KIND, KIND_MARK, KIND_PRICE, TS
from engine.decode.scan import literal, literal_of, text_read
from shared.records import NAME_WORDS
from shared.wire import TS_MAX_US, TS_MIN_US

L_BODY, L_CLOSE = literal_of(b'{"data":'), literal_of(b'"}\n')
BODY_BYTES = 8  # of what stands before a frame's data object
STREAM_BYTES = len(b',"stream":"bookTicker.'), len(b',"stream":"markPrice.')
STREAM_QUOTE, STREAM_MARK = STREAM_BYTES


@entry_beside
def frames_walk(raw, at, end, places, bodies, rows):
    """
    Return (how many lines, the place after the last of them): frames in canonical form from a place on.

    Shapes: raw uint8[n], n >= end; places int64[m + 1]; bodies int64[m]; rows int64[m, FEED_WORDS].
    Writes: places[i], where line i begins, places[count], where the last ends; bodies[i], where its data object ends;
            rows[i], its words. Stops in front of a line of another form.
    """
    count, most = int64(0), len(rows)
    places[0] = at
    while count < most and at < end:
        row = rows[count]
        row[:] = 0
        body = frame_read(raw, at, row)
        after = stream_end(raw, body, row)
        if after < 0 or after > end or not TS_MIN_US <= row[EVENT] <= TS_MAX_US:
            break
        row[TS] = row[EVENT]
        bodies[count] = body - (STREAM_QUOTE if row[KIND] == KIND_PRICE else STREAM_MARK)
        at = after
        count += 1
        places[count] = at
    return count, int64(at)


@kernel
def frame_read(raw, at, row):
    """Return the place of the market in a frame's stream, -1 when it is not in canonical form; fill its row."""
    if literal(raw, at, STEP_LITERALS[FRAME_QUOTE]) >= 0:
        row[KIND] = KIND_PRICE
        row[PRESENT] = QUOTED
        return steps_read(raw, at, row, int64(FRAME_QUOTE), int64(FRAME_QUOTE_END))
    row[KIND] = KIND_MARK
    row[PRESENT] = FUNDED
    at = steps_read(raw, at, row, int64(FRAME_MARK), int64(FRAME_MARK_END))
    return at if row[NEXT] <= NEXT_MAX_MS else int64(-1)


@kernel
def stream_end(raw, at, row):
    """Return the place after a frame whose stream names its market at `at`, -1 when it names another."""
    first, second, third = row[MARKET], row[MARKET + 1], row[MARKET + 2]
    row[MARKET : MARKET + NAME_WORDS] = 0
    at = text_read(raw, at, row, MARKET, NAME_WORDS)
    same = row[MARKET] == first and row[MARKET + 1] == second and row[MARKET + 2] == third
    return literal(raw, at, L_CLOSE) if same else int64(-1)
