"""
Where a reply of the server ends: its frame found once, in one walk, however the bytes come; and what it plainly says.

A walk stops where bytes are missing and goes on from there when more have come, so a reply of a hundred megabytes that
arrives in a thousand pieces is read once. Nothing is read beyond `end`.
"""

import numpy as np
from numpy import int64

from engine.core.kernel import entry

STAR, DOLLAR, PLUS, DASH, COLON, RETURN, NEWLINE, ZERO, NINE = 42, 36, 43, 45, 58, 13, 10, 48, 57
DIGITS_MAX = 12  # of a length
LINE_BYTES_MAX = 1 << 16  # of a status or an error
AT, AWAITED, LOOKED, CONTENT = range(4)
STATE_WORDS = 4
WHOLE, MISSING, RUBBISH = 1, 0, -1


def state_of(at: int, replies_count: int) -> np.ndarray:
    """Return the state of a walk that begins at a byte and ends after so many replies."""
    return np.array([at, replies_count, at, -1], np.int64)


@entry
def replies_walk(raw, end, state):
    """
    Walk on over replies; return 1 when the awaited ones are there whole, 0 when bytes are missing, -1 at rubbish.

    Shapes: raw uint8[n], n >= end; state int64[4].
    Writes: state: AT, where the next item begins; AWAITED, items still to come; LOOKED, how far the end of a line was
            searched; CONTENT, where the text ends that is being walked over, or -1.
    """
    at, awaited, content = state[0], state[1], state[3]
    while awaited > 0:
        if content >= 0:
            if end < content + 2:
                break
            if raw[content] != RETURN or raw[content + 1] != NEWLINE:
                return int64(-1)
            at, content, awaited = content + 2, int64(-1), awaited - 1
            continue
        if at >= end:
            break
        mark = raw[at]
        if mark in (PLUS, DASH):
            place = max(state[2], at + 1)
            while place + 1 < end and not (raw[place] == RETURN and raw[place + 1] == NEWLINE):
                place += 1
            state[2] = place
            if place + 1 >= end:
                if place - at > LINE_BYTES_MAX:
                    return int64(-1)
                break
            at, awaited = place + 2, awaited - 1
            continue
        # A length, a number: a line so short that it is read again when it has not come whole.
        place = at + 1
        negative = place < end and raw[place] == DASH
        if negative:
            place += 1
        first, number = place, int64(0)
        while place < end and ZERO <= raw[place] <= NINE and place - first < 20:
            if place - first < DIGITS_MAX:  # a longer one is no length, and what it says is not asked here
                number = number * 10 + (int64(raw[place]) - ZERO)
            place += 1
        digits_most = 19 if mark == COLON else DIGITS_MAX
        if mark not in (COLON, DOLLAR, STAR) or place - first > digits_most:
            return int64(-1)
        if place + 1 >= end:
            if place < end and raw[place] != RETURN:
                return int64(-1)
            break
        if place == first or raw[place] != RETURN or raw[place + 1] != NEWLINE:
            return int64(-1)
        at = place + 2
        if mark == COLON:
            awaited -= 1
        elif negative:
            if number != 1:
                return int64(-1)
            awaited -= 1
        elif mark == DOLLAR:
            content = at + number
        else:
            awaited += number - 1
    state[0], state[1], state[3] = at, awaited, content
    return int64(1) if awaited == 0 else int64(0)


@entry
def appended_walk(raw, at, end, count):
    """
    Return 1 when the bytes say that all of so many XADDs were done in one transaction, 0 when they say anything else.

    Shapes: raw uint8[n], n >= end; the replies to MULTI, to each command and to EXEC, framed before; of one XADD alone,
    its own.
    """
    if count > 1:
        # The replies of the same commands have the same lengths: +OK, and +QUEUED as often as there are commands.
        queued = at + 5
        at = queued + 9 * count
        if at >= end or raw[queued - 4] != 79 or raw[at] != STAR:
            return int64(0)
        for index in range(count):
            if raw[queued + 9 * index] != PLUS:
                return int64(0)
        while at < end and raw[at] != NEWLINE:
            at += 1
        at += 1
    for _ in range(count):
        if at + 1 >= end or raw[at] != DOLLAR or raw[at + 1] == DASH:
            return int64(0)
        at += 1
        length = int64(0)
        while at < end and ZERO <= raw[at] <= NINE:
            length = length * 10 + (int64(raw[at]) - ZERO)
            at += 1
        at += length + 4
    return int64(1) if at == end else int64(0)


@entry
def head_walk(raw, at, end, head):
    """
    Return (place after, count) of the head of XREAD's answer about one stream; place 0 when bytes are missing.

    Shapes: raw uint8[n], n >= end; head uint8[k], what stands before the count. The place is -1 when anything else
    stands there: nothing was found, or an error.
    """
    length = len(head)
    for index in range(min(length, end - at)):
        if raw[at + index] != head[index]:
            return int64(-1), int64(0)
    place, count = at + length, int64(0)
    first = place
    while place < end and ZERO <= raw[place] <= NINE and place - first < DIGITS_MAX:
        count = count * 10 + (int64(raw[place]) - ZERO)
        place += 1
    if place + 1 >= end:
        return int64(0), int64(0)
    if place == first or raw[place] != RETURN or raw[place + 1] != NEWLINE:
        return int64(-1), int64(0)
    return int64(place + 2), count
