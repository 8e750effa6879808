"""
EVENT rows -> the texts of events entries, compiled: what an entry is cut into, and what stands before its events.

An entry's text is what goes into XADD behind the stream's key, in the protocol's own form: its id, then the names and
values of t, p, a and d. Rows are bytes, and so the place of a row is its first byte's.
"""

from numpy import int64

from engine.core.kernel import entry, inlined, kernel
from engine.encode import programs as p
from engine.encode.digits import POWERS, ZERO, digits_count, natural_put, number_put
from engine.encode.fields import BYTE_AT, COMMA, EVENT_BYTES, KIND, MARKET_SLOTS, event_put
from engine.encode.memory import word_get, word_put
from engine.encode.steps import SCALES_FIXED, SCALES_OF_MARKET
from shared import records as r
from shared.codes import ACCOUNT_FIRST, EventKind, Op, ResultCode
from shared.wire_events import EVENTS_BASE, EVENTS_CHUNK

DONE, ROOM, WAIT, BROKEN = range(4)  # what entries_put answers: all is written; more room; more rows; no text
SEQ, LOG_TIME, ACCOUNT, OP, RESULT, PARTS = (
    BYTE_AT[name] for name in ("seq", "log_time_us", "account", "op", "result", "parts")
)

# The encoder's state between two calls: the newest output, where to write, how many are written, the next row, and the
# time of the entry that the newest output belongs to.
LAST_SEQ, LAST_CHUNK, AT_BYTE, MARKS_COUNT, ROW, ENTRY_US, STATE_WORDS = range(7)

# One output: its place, that of the one before it, where its text begins, goes on behind its id, and ends.
MARK_SEQ, MARK_CHUNK, MARK_PREVIOUS_SEQ, MARK_PREVIOUS_CHUNK, MARK_FIRST, MARK_REST, MARK_END, MARK_WORDS = range(8)

SCALES_COUNT = SCALES_FIXED + MARKET_SLOTS * SCALES_OF_MARKET + 1  # the last is a product's room
RESULTS_CAPACITY = r.PARTS_MAX
K_ANSWER, K_RESULT = int(EventKind.ORDER_RESPONSE), int(EventKind.BATCH_RESULT)
OP_BATCH, OK = int(Op.BATCH), int(ResultCode.OK)
DASH, OPENING, CLOSING = (ord(mark) for mark in "-[]")
LINE_END = ord("\r") | ord("\n") << 8

LENGTH_DIGITS_MAX = 7  # of one entry's data
SLACK_BYTES = 128  # rubbish behind a text, and texts copied without looking
HEADER_BYTES_MAX = 256 + 21 * EVENTS_CHUNK


def _word(text: bytes) -> int:
    return int.from_bytes(text.ljust(8, b"\0"), "little")


W_ID, W_BEFORE_NONE = _word(b"$"), _word(b"3\r\n0-0\r\n")
W_T, W_P, W_A, W_D = (_word(b"$1\r\n%c\r\n$" % letter) for letter in b"tpad")  # eight bytes each


@kernel
def results_find(rows, first, end, results):
    """Return how many results an entry has among its rows from `first` on, one too many when there is no room."""
    found = int64(0)
    seq = word_get(rows, first + SEQ)
    for row in range(first, end, EVENT_BYTES):
        if word_get(rows, row + SEQ) != seq:
            break
        if word_get(rows, row + KIND) == K_RESULT:
            if found == len(results):
                return found + 1
            results[found] = row
            found += 1
    return found


@kernel
def account_note(accounts, count, account):
    """Return how many accounts there are with this one; they stay ascending, each once."""
    if count == 0 or account > accounts[count - 1]:
        accounts[count] = account
        return count + 1
    low, high = int64(0), count - 1  # the place lies between, both included
    while low < high:
        middle = (low + high) >> 1
        if accounts[middle] < account:
            low = middle + 1
        else:
            high = middle
    if accounts[low] == account:
        return count
    for index in range(count, low, -1):
        accounts[index] = accounts[index - 1]
    accounts[low] = account
    return count + 1


@kernel
def chunk_look(rows, first, rows_end, accounts):
    """
    Return (end of a chunk's rows, how many it prints, accounts it names, place of an accepted batch's answer or -1).

    Writes: accounts, ascending.
    """
    printed, named, answer = int64(0), int64(0), int64(-1)
    seq = word_get(rows, first + SEQ)
    row = first
    while row < rows_end and printed < EVENTS_CHUNK and word_get(rows, row + SEQ) == seq:
        kind = word_get(rows, row + KIND)
        if kind != K_RESULT:
            printed += 1
            account = word_get(rows, row + ACCOUNT)
            if account >= ACCOUNT_FIRST and 0 <= kind < len(p.TOUCHES) and p.TOUCHES[kind] != 0:
                named = account_note(accounts, named, account)
            if kind == K_ANSWER and word_get(rows, row + OP) == OP_BATCH and word_get(rows, row + RESULT) == OK:
                answer = row
        row += EVENT_BYTES
    return row, printed, named, answer


@kernel
def time_of(rows, row):
    """Return the log time of an entry, which its first printed event states."""
    while word_get(rows, row + KIND) == K_RESULT:
        row += EVENT_BYTES
    return word_get(rows, row + LOG_TIME)


@kernel
def decimal_length(number):
    """Return how many characters a number that is not negative has."""
    count = int64(0)
    while number >= 10**8:
        number //= 10**8
        count += 8
    return count + digits_count(number)


@inlined
def line_end(raw, at):
    """Return the place after the end of a line."""
    word_put(raw, at, LINE_END)
    return at + 2


@kernel
def number_bulk_put(raw, at, number):
    """Return the place after a number as a text of the protocol, whose `$` is written."""
    if number <= -(2**63):  # its opposite is no int64
        length = int64(20)
    elif number < 0:
        length = decimal_length(-number) + 1
    else:
        length = decimal_length(number)
    at = line_end(raw, natural_put(raw, at, length))
    return line_end(raw, number_put(raw, at, number))


@kernel
def place_bulk_put(raw, at, seq, chunk):
    """Return the place after an entry's id as a text of the protocol, whose `$` is written."""
    at = line_end(raw, natural_put(raw, at, decimal_length(EVENTS_BASE + seq) + 1 + decimal_length(chunk)))
    at = natural_put(raw, at, EVENTS_BASE + seq)
    word_put(raw, at, DASH)
    return line_end(raw, natural_put(raw, at + 1, chunk))


@kernel
def header_put(raw, at, seq, chunk, state, accounts, named):
    """
    Return (place behind the id, place after the header up to the `$` of the data's length).

    Reads: state's newest output, which is the one before this, and its entry's time.
    """
    word_put(raw, at, W_ID)
    rest = place_bulk_put(raw, at + 1, seq, chunk)
    word_put(raw, rest, W_T)
    at = number_bulk_put(raw, rest + 8, state[ENTRY_US])
    word_put(raw, at, W_P)
    if state[LAST_SEQ] == 0:
        word_put(raw, at + 8, W_BEFORE_NONE)
        at += 16
    else:
        at = place_bulk_put(raw, at + 8, state[LAST_SEQ], state[LAST_CHUNK])
    word_put(raw, at, W_A)
    length = max(named - 1, int64(0))
    for index in range(named):
        length += decimal_length(accounts[index])
    at = line_end(raw, natural_put(raw, at + 8, length))
    for index in range(named):
        if index > 0:
            word_put(raw, at, COMMA)
            at += 1
        at = natural_put(raw, at, accounts[index])
    at = line_end(raw, at)
    word_put(raw, at, W_D)
    return rest, at + 8


@inlined
def length_guess(printed):
    """Return how many digits the length of so many events' data probably has."""
    return int64(3) if printed <= 3 else int64(4) if printed < 40 else int64(5) if printed < 400 else int64(6)


@kernel
def header_close(raw, first, end, guess, length):
    """
    Return by how much the header moves to stand right before its data, whose length gets its digits.

    Byte by byte: the data stands behind. Reads: `end`, where the digits were to begin, `guess` of them.
    """
    digits = decimal_length(length)
    by = guess - digits
    if by > 0:
        for index in range(end - 1, first - 1, -1):
            raw[index + by] = raw[index]
    elif by < 0:
        for index in range(first, end):
            raw[index + by] = raw[index]
    for place in range(digits):
        raw[end + by + place] = ZERO + length // POWERS[digits - 1 - place] % 10
    raw[end + guess], raw[end + guess + 1] = LINE_END % 256, LINE_END // 256
    return by


@inlined
def events_put(rows, first, end, raw, at, scales, names, answer, results, found):
    """Return the place after a chunk's events and the commas between them; -ROOM or -BROKEN when there is none."""
    begin = at
    for row in range(first, end, EVENT_BYTES):
        kind = word_get(rows, row + KIND)
        if kind == K_RESULT:
            continue
        if at + p.EVENT_BYTES_MAX + SLACK_BYTES > len(raw):
            return int64(-ROOM)
        if kind < 0 or kind >= len(p.PROGRAMS) or p.PROGRAMS[kind] < 0:
            return int64(-BROKEN)
        if at > begin:
            word_put(raw, at, COMMA)
            at += 1
        at = event_put(rows, row, raw, at, scales, names, results, found if row == answer else int64(0))
        if at < 0:
            return int64(-BROKEN)
    return at


@entry
def entries_put(rows, rows_end, complete, state, scales, names, accounts, results, raw, marks):
    """
    Return DONE, ROOM, WAIT or BROKEN; write the outputs of the rows from state[ROW] on, and that they are the newest.

    Shapes: rows uint8[n]; state int64[STATE_WORDS]; scales uint8[SCALES_COUNT × SCALE_BYTES];
            names uint8[m], NAME_BYTES a market; accounts int64[EVENTS_CHUNK]; results int64[RESULTS_CAPACITY];
            raw uint8[b], the room for texts; marks int64[k, MARK_WORDS], one for each.
    Writes: state[ROW], the first row not yet written: what is not `complete` keeps its open chunk for the next call.
    """
    while state[ROW] < rows_end:
        first, begin, count = state[ROW], state[AT_BYTE], state[MARKS_COUNT]
        end, printed, named, answer = chunk_look(rows, first, rows_end, accounts)
        if end == rows_end and printed < EVENTS_CHUNK and complete == 0:
            return int64(WAIT)
        found = int64(0)
        if answer >= 0:
            found = results_find(rows, first, rows_end, results)
            parts = word_get(rows, answer + PARTS)
            if found < parts and complete == 0:
                return int64(WAIT)
            if found != parts or found > len(results):
                return int64(BROKEN)
        if printed > 0:
            if count == len(marks) or begin + HEADER_BYTES_MAX + SLACK_BYTES > len(raw):
                return int64(ROOM)
            seq = word_get(rows, first + SEQ)
            chunk = state[LAST_CHUNK] + 1 if state[LAST_SEQ] == seq else int64(0)
            if chunk == 0:
                state[ENTRY_US] = time_of(rows, first)
            guess = length_guess(printed)
            begin += LENGTH_DIGITS_MAX - guess
            rest, header_end = header_put(raw, begin, seq, chunk, state, accounts, named)
            data = header_end + guess + 2
            word_put(raw, data, OPENING)
            at = events_put(rows, first, end, raw, data + 1, scales, names, answer, results, found)
            if at < 0:
                return -at
            word_put(raw, at, CLOSING | LINE_END << 8)
            by = header_close(raw, begin, header_end, guess, at + 1 - data)
            mark = marks[count]
            mark[MARK_SEQ], mark[MARK_CHUNK] = seq, chunk
            mark[MARK_PREVIOUS_SEQ], mark[MARK_PREVIOUS_CHUNK] = state[LAST_SEQ], state[LAST_CHUNK]
            mark[MARK_FIRST], mark[MARK_REST], mark[MARK_END] = begin + by, rest + by, at + 3
            state[LAST_SEQ], state[LAST_CHUNK] = seq, chunk
            state[AT_BYTE], state[MARKS_COUNT] = at + 3, count + 1
        state[ROW] = end
    return int64(DONE)
