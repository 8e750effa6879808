"""
One batch of records in, state and events out; the only dispatch on what an entry is.

An entry runs in four steps: log time moves, what is due happens, the command, settle. Its result is counted; a refused
one changes the header and what the passing of time causes, nothing else.
"""

from numpy import int64

from engine.core import (
    commands,
    due,
    events,
    founding,
    prices,
    requests,
    settle,
    validate,
    validate_orders,
    validate_trades,
)
from engine.core.kernel import entry, kernel
from engine.core.limits import EVENTS_CHUNK
from shared.codes import BatchStatus, EntryKind, Op, ResultCode
from shared.records import TEXT_WORDS

OK = int(ResultCode.OK)


@entry
def batch_apply(states, records, words, configs, config_words, first, count):
    """
    Apply commands first … first + count − 1 and return (applied, events, BatchStatus).

    Shapes: states STATE[1]; records COMMAND[n] and the same as int64[n, COMMAND_WORDS]; configs CONFIG[m] and the
            same as int64[m, CONFIG_WORDS].
    Writes: the state; events[0 … events) are what happened since the call began.
    A status other than DONE ends the batch right after the entry that caused it; after EVENTS_FULL the entry at
    `first + applied` has begun and goes on with the next call.
    """
    state = states[0]
    state.events_count = 0
    for index in range(count):
        if not events.room(state):
            return int64(index), state.events_count, int64(BatchStatus.EVENTS_FULL)
        record = records[first + index]
        if state.entry_open == 0:
            entry_begin(state, record, words[first + index], configs, config_words)
            state.entry_open = 1
        if not settle.settle(state):
            return int64(index), state.events_count, int64(BatchStatus.EVENTS_FULL)
        status = entry_end(state, record)
        if status != int64(BatchStatus.DONE):
            return int64(index + 1), state.events_count, status
    return int64(count), state.events_count, int64(BatchStatus.DONE)


@kernel
def entry_begin(state, record, words, configs, config_words):
    """Run an entry up to its settling: time, what is due, the command."""
    header = state.header
    header.seq = record.seq
    header.entries[record.kind] += 1
    state.entry_events = 0
    if record.kind == EntryKind.GENESIS:
        founding.genesis_apply(state, record, configs, config_words)
        return
    due.time_move(state, record)
    due.due_run(state)
    if record.kind == EntryKind.PRICE_UPDATE:
        prices.price_update_apply(state, record)
    elif record.kind == EntryKind.MARK_UPDATE:
        prices.mark_update_apply(state, record)
    elif record.kind == EntryKind.USER_INSTRUCTION or record.kind == EntryKind.VENUE_INSTRUCTION:
        instruction_apply(state, record, words)
    elif record.kind == EntryKind.FEED_STATUS:
        prices.feed_status_apply(state, record)
    elif record.kind == EntryKind.LEAD:
        lead_apply(state, record)


@kernel
def entry_end(state, record):
    """Close an entry and return the BatchStatus that its end calls for."""
    header = state.header
    state.entry_open = 0
    if state.entry_events > 0:
        header.events_seq = header.seq
        header.events_chunk = (state.entry_events - 1) // EVENTS_CHUNK
    keyframe = due.keyframe_enter(header)
    if record.kind == EntryKind.CHECKPOINT:
        return int64(BatchStatus.CHECKPOINT)
    if record.kind == EntryKind.LEAD and header.lead_seq == header.seq:
        return int64(BatchStatus.LEAD)
    if keyframe:
        return int64(BatchStatus.KEYFRAME)
    return int64(BatchStatus.DONE)


@kernel
def lead_apply(state, record):
    """Make an engine the leader; one with older rules than those in force changes nothing."""
    header = state.header
    if record.rules < header.rules:
        header.leads_ignored += 1
        return
    header.rules = record.rules
    header.lead_seq = record.seq
    for word in range(TEXT_WORDS):
        header.leader[word] = record.who[word]


@kernel
def instruction_apply(state, record, words):
    """Check an instruction, carry it out if nothing stands against it, answer it once and remember it."""
    code = record.code_early
    first_seq = int64(0)
    digest = int64(0)
    if code == OK:
        digest = requests.body_digest(words)
        code, first_seq = requests.request_check(state, record, digest)
        if code == OK:
            code = instruction_validate(state, record)
    state.header.results[code] += 1
    if code == OK:
        commands.instruction_execute(state, record)
    else:
        events.emit_order_response(state, record, record.account, code, int64(0), int64(0), first_seq)
    if record.code_early == OK and requests.refusal_is_final(code):
        requests.request_remember(state, record, digest, code)


@kernel
def instruction_validate(state, record):
    """Return the first rule that an instruction breaks, in the order of docs/commands.md."""
    code = validate.envelope_validate(state, record)
    if code != OK:
        return code
    if record.op == Op.ORDER_PLACE:
        return validate_orders.order_place_validate(state, record)
    if record.op == Op.ORDER_CANCEL:
        return validate_orders.order_cancel_validate(state, record)
    if record.op == Op.TRADE_CREATE:
        return validate_trades.trade_create_validate(state, record)
    if record.op == Op.TRADE_CLOSE:
        return validate_trades.trade_close_validate(state, record)
    if record.op == Op.POSITION_TRIGGERS_SET:
        return validate_trades.triggers_set_validate(state, record)
    if record.op == Op.ACCOUNT_OPEN:
        return founding.account_open_validate(state, record)
    return int64(OK)
