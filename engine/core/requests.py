"""
The memory of request ids: what was accepted is answered once, what was refused cannot come back from behind.

Kept in an index by (account, id), and by expiry in a queue; what would expire before the queue's last stands in a heap.
So forgetting costs O(1) as a rule, O(log n) at worst, and happens exactly on time.
"""

from numpy import int64

from engine.core import tables, timers
from engine.core.kernel import inlined, kernel
from engine.core.limits import INSTRUCTION_LATE_US, ROW_NONE
from shared.codes import ResultCode

DIGEST_PRIME = 2**31 - 1
LANE_BITS = 2**31 - 1
ENVELOPE_WORDS = 4  # seq, ts and where parts and parameters lie lead a command and are no part of its body
UUID_VERSION_7 = 7


@kernel
def body_digest(record, words, part_words, parts, config_words):
    """
    Return a 62-bit digest of a command's body: two polynomial lanes over its words and those of what it points at.

    Shapes: words int64[COMMAND_WORDS]; part_words int64[n, COMMAND_WORDS]; config_words int64[m, CONFIG_WORDS].
    """
    left = int64(17)
    right = int64(31)
    left, right = words_digest(words, int64(ENVELOPE_WORDS), left, right)
    for index in range(record.parts_first, record.parts_first + record.parts_count):
        left, right = words_digest(part_words[index], int64(ENVELOPE_WORDS), left, right)
        part = parts[index]
        for leg in range(part.parts_first, part.parts_first + part.parts_count):
            left, right = words_digest(part_words[leg], int64(ENVELOPE_WORDS), left, right)
    for index in range(record.config_first, record.config_first + record.config_count):
        left, right = words_digest(config_words[index], int64(0), left, right)
    return (left << 31) | right


@kernel
def words_digest(words, first, left, right):
    """Return the two lanes gone on over words from `first` on; most are zero, so the others bring their place along."""
    for index in range(first, len(words)):
        word = words[index]
        if word != 0:
            low = (word & LANE_BITS) + index
            high = ((word >> 31) & LANE_BITS) + ((word >> 62) & 3)
            left = lane(lane(left * 1_000_003 + low) * 1_000_003 + high)
            right = lane(lane(right * 69_069 + high) * 69_069 + low)
    # What follows is another record.
    return lane(left * 1_000_003 + 1), right


@inlined
def lane(product):
    """Return product % DIGEST_PRIME, 0 <= product < 2⁶¹: a division by 2³¹ − 1 is a sum of two halves."""
    folded = (product & LANE_BITS) + (product >> 31)
    return folded - DIGEST_PRIME if folded >= DIGEST_PRIME else folded


@kernel
def id_time_us(request_hi, request_lo):
    """Return the time that a UUIDv7 carries, or −1 for any other id."""
    if (request_hi >> 12) & 0xF != UUID_VERSION_7 or (request_lo >> 62) & 0x3 != 2:
        return int64(-1)
    return ((request_hi >> 16) & 0xFFFFFFFFFFFF) * 1000


@kernel
def request_find(state, command):
    """Return the row that remembers this id of this account, or ROW_NONE."""
    return tables.index_find(
        state.requests_index, state.index_seed, command.account, command.request_hi, command.request_lo
    )


@kernel
def request_check(state, command, digest):
    """
    Return (code, first_seq): may this id be used now?

    Codes:  REQUEST_REPEATED, REQUEST_ID_REUSED, INSTRUCTION_EARLY, REQUEST_TOO_OLD, REQUEST_ID_EARLY,
            REQUEST_SUPERSEDED, REQUEST_MEMORY_FULL, OK. While log time stands still nothing is said of an id's own
            time: INSTRUCTION_EARLY, which is not final, comes first.
    """
    row = request_find(state, command)
    accepted = row != ROW_NONE and state.requests[row].result == int64(ResultCode.OK)
    if accepted:
        if state.requests[row].digest == digest:
            return int64(ResultCode.REQUEST_REPEATED), state.requests[row].request_id
        return int64(ResultCode.REQUEST_ID_REUSED), int64(0)
    time_us = id_time_us(command.request_hi, command.request_lo)
    now_us = state.header.log_time_us
    if command.ts_us - now_us > INSTRUCTION_LATE_US:
        return int64(ResultCode.INSTRUCTION_EARLY), int64(0)
    if time_us >= 0:
        if now_us - time_us > state.venue.request_window_ms * 1000:
            return int64(ResultCode.REQUEST_TOO_OLD), int64(0)
        if time_us - now_us > INSTRUCTION_LATE_US:
            return int64(ResultCode.REQUEST_ID_EARLY), int64(0)
    if row != ROW_NONE and command.ts_us <= state.requests[row].ts_us:
        return int64(ResultCode.REQUEST_SUPERSEDED), int64(0)
    if row == ROW_NONE and state.requests_table.live >= state.venue.requests_max:
        return int64(ResultCode.REQUEST_MEMORY_FULL), int64(0)
    return int64(ResultCode.OK), int64(0)


@kernel
def refusal_is_final(code):
    """
    Return whether a result of this module or of a later check is remembered.

    What the memory itself refused is not, but for the two that judge the id's own time; INSTRUCTION_EARLY is not final.
    """
    if code == int64(ResultCode.REQUEST_TOO_OLD) or code == int64(ResultCode.REQUEST_ID_EARLY):
        return True
    if code == int64(ResultCode.INSTRUCTION_EARLY):
        return False
    return code == int64(ResultCode.OK) or code > int64(ResultCode.REQUEST_MEMORY_FULL)


@kernel
def request_remember(state, command, digest, result):
    """Remember an instruction's final result; a refusal only until it is too late to send it again."""
    accepted = result == int64(ResultCode.OK)
    expires_us = command.ts_us + INSTRUCTION_LATE_US
    if accepted:
        time_us = id_time_us(command.request_hi, command.request_lo)
        expires_us = max(command.ts_us, time_us) + state.venue.request_window_ms * 1000
    if expires_us < state.header.log_time_us:
        return
    row = request_find(state, command)
    # What was accepted found room before it was carried out, even if it was that very change of the room.
    if row != ROW_NONE:
        request_forget(state, row)
    elif not accepted and state.requests_table.live >= state.venue.requests_max:
        return
    row = tables.row_acquire(state.requests_table, state.request_links)
    assert row != ROW_NONE
    request = state.requests[row]
    request.request_id = state.header.seq
    request.account_id = command.account
    request.request_hi = command.request_hi
    request.request_lo = command.request_lo
    request.ts_us = command.ts_us
    request.expires_us = expires_us
    request.digest = digest
    request.result = result
    request_link(state, row)


@kernel
def request_link(state, row):
    """Put a remembered request into the index, and at the queue's end or into the heap; also on restore."""
    request = state.requests[row]
    tables.index_insert(
        state.requests_index, state.index_seed, request.account_id, request.request_hi, request.request_lo, row
    )
    cells = len(state.request_queue)
    used = state.queue_end - state.queue_first
    if used == 0 or (used + 1 < cells and request.expires_us >= state.queue_expires_us):
        at = state.queue_end % cells
        state.request_queue[at] = row
        state.request_links[row].heap_at = -1 - at
        state.queue_end += 1
        state.queue_expires_us = request.expires_us
        return
    state.heap_count += 1
    timers.heap_rise(
        state.request_heap,
        state.request_links["heap_at"],
        state.requests["expires_us"],
        state.requests["request_id"],
        state.heap_count - 1,
        row,
    )


@kernel
def request_forget(state, row):
    """Drop one remembered request."""
    request = state.requests[row]
    tables.index_remove(
        state.requests_index, state.index_seed, request.account_id, request.request_hi, request.request_lo
    )
    queue_at = -1 - int64(state.request_links[row].heap_at)
    if queue_at >= 0:
        state.request_queue[queue_at] = ROW_NONE
        queue_advance(state)
    else:
        state.heap_count -= 1
        timers.heap_remove(
            state.request_heap,
            state.request_links["heap_at"],
            state.requests["expires_us"],
            state.requests["request_id"],
            state.heap_count,
            row,
        )
    request.request_id = 0
    request.account_id = 0
    request.request_hi = 0
    request.request_lo = 0
    request.ts_us = 0
    request.expires_us = 0
    request.digest = 0
    request.result = 0
    tables.row_release(state.requests_table, state.request_links, row)


@kernel
def queue_advance(state):
    """Pass over the cells at the head of the queue whose requests are forgotten."""
    cells = len(state.request_queue)
    while state.queue_first < state.queue_end and state.request_queue[state.queue_first % cells] == ROW_NONE:
        state.queue_first += 1


@kernel
def requests_expire(state):
    """Forget everything whose time log time has passed."""
    while state.queue_first < state.queue_end:
        row = int64(state.request_queue[state.queue_first % len(state.request_queue)])
        if state.requests[row].expires_us >= state.header.log_time_us:
            break
        request_forget(state, row)
    while state.heap_count > 0:
        row = int64(state.request_heap[0])
        if state.requests[row].expires_us >= state.header.log_time_us:
            return
        request_forget(state, row)
