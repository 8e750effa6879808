"""
One batch of records in, state and events out; the only dispatch on what an entry is.

An entry runs in four steps: log time moves, what is due happens, the command, settle. Its result is counted; a refused
one changes the header and what the passing of time causes, nothing else.
"""

from numpy import int64

from engine.core import (
    ahead,
    amending,
    commands,
    due,
    events,
    events_venue,
    founding,
    lifecycle,
    prices,
    requests,
    settle,
    validate,
    validate_accounts,
    validate_markets,
    validate_orders,
    validate_owners,
    validate_trades,
)
from engine.core.kernel import JIT, entry_beside, kernel
from engine.core.limits import AHEAD, EVENTS_CHUNK
from shared.codes import ACCOUNT_INSURANCE, BatchStatus, EntryKind, Op, ResultCode
from shared.records import TEXT_WORDS

OK = int(ResultCode.OK)
COMMAND_ITSELF = -1  # entry_part before a batch's commands
# How far an entry has come whose events filled the buffer.
STAGE_NONE = 0
STAGE_DUE = 1
STAGE_COMMAND = 2
STAGE_SETTLE = 3


@entry_beside
def batch_apply(states, records, words, parts, part_words, configs, config_words, first, count):
    """
    Apply commands first … first + count − 1 and return (applied, events, BatchStatus).

    Shapes: states STATE[1]; records COMMAND[n] and the same as int64[n, COMMAND_WORDS]; parts, configs: what records
            point at, COMMAND[m] and CONFIG[k], with their words likewise.
    Writes: the state; events[0 … events) are what happened since the call began.
    A status other than DONE ends the batch right after the entry that caused it; after EVENTS_FULL the entry at
    `first + applied` has begun and goes on with the next call.
    """
    state = states[0]
    state.events_count = 0
    for index in range(count):
        if JIT and index % AHEAD == 0:
            ahead.look_ahead(state, records, first + index, min(AHEAD, count - index))
        if not events.room(state):
            return int64(index), state.events_count, int64(BatchStatus.EVENTS_FULL)
        record = records[first + index]
        if state.entry_stage == STAGE_NONE:
            entry_begin(state, record, configs)
        if not entry_run(state, record, words[first + index], parts, part_words, configs, config_words):
            return int64(index), state.events_count, int64(BatchStatus.EVENTS_FULL)
        status = entry_end(state, record)
        if status != int64(BatchStatus.DONE):
            return int64(index + 1), state.events_count, status
    return int64(count), state.events_count, int64(BatchStatus.DONE)


@kernel
def entry_begin(state, record, configs):
    """Begin an entry: its number, and log time."""
    header = state.header
    header.seq = record.seq
    header.entries[record.kind] += 1
    state.entry_events = 0
    state.insurance_told_e6 = state.accounts[ACCOUNT_INSURANCE].free_e6
    if record.kind == EntryKind.GENESIS:
        founding.genesis_apply(state, record, configs)
        state.entry_stage = STAGE_SETTLE
        return
    due.time_move(state, record)
    state.entry_stage = STAGE_DUE


@kernel
def entry_run(state, record, words, parts, part_words, configs, config_words):
    """
    Run an entry from where it stands to its end; returns False when the events buffer is full before that.

    Every function here is compiled with all that it uses: the fewer stand above each other, the sooner it is done.
    """
    if state.entry_stage == STAGE_DUE:
        if not due.due_run(state):
            return False
        state.entry_stage = STAGE_COMMAND
        state.entry_part = COMMAND_ITSELF
    while state.entry_stage == STAGE_COMMAND:
        if not lifecycle.task_run(state):
            return False
        if state.entry_part >= 0 and (state.ask.batch == 0 or state.entry_part >= record.parts_count):
            state.entry_stage = STAGE_SETTLE
        elif not events.room(state):
            return False
        elif state.entry_part >= 0:
            state.entry_part += 1
            instruction_run(
                state, record, parts[record.parts_first + state.entry_part - 1], int64(1), int64(0), parts, configs
            )
        else:
            state.entry_part = 0
            state.ask.batch = 0
            if record.kind == EntryKind.PRICE_UPDATE:
                prices.price_update_apply(state, record)
            elif record.kind == EntryKind.MARK_UPDATE:
                prices.mark_update_apply(state, record)
            elif record.kind == EntryKind.USER_INSTRUCTION or record.kind == EntryKind.VENUE_INSTRUCTION:
                digest = requests.body_digest(record, words, part_words, parts, config_words)
                instruction_run(state, record, record, int64(0), digest, parts, configs)
            elif record.kind == EntryKind.FEED_STATUS:
                prices.feed_status_apply(state, record)
            elif record.kind == EntryKind.LEAD:
                lead_apply(state, record)
    return settle.settle(state)


@kernel
def entry_end(state, record):
    """Close an entry, the insurance fund told last if it changed, and return the BatchStatus that its end calls for."""
    header = state.header
    state.entry_stage = STAGE_NONE
    if state.accounts[ACCOUNT_INSURANCE].free_e6 != state.insurance_told_e6:
        events_venue.emit_insurance_changed(state)
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
def instruction_run(state, record, command, batch, digest, parts, configs):
    """
    Check an instruction, or (`batch` 1) one command of it, carry it out if nothing stands against it, answer it once.

    An instruction is remembered with its result; a command's result goes into the batch's answer.
    """
    state.ask.by_user = int64(record.kind == EntryKind.USER_INSTRUCTION)
    code = command.code_early
    first_seq = int64(0)
    if code == OK and batch == 0:
        code, first_seq = requests.request_check(state, record, digest)
        if code == OK:
            code = validate.time_validate(state, record)
    if code == OK:
        code = instruction_validate(state, command, parts, configs)
    state.ask.batch = batch
    if code == OK and command.op == Op.BATCH:
        events.emit_batch_answer(state, record)
        state.ask.batch = 1
    elif code == OK:
        commands.instruction_execute(state, command, configs)
    elif batch == 1:
        events.emit_batch_result(state, command, code, int64(0), int64(0))
    else:
        events.emit_order_response(state, record, record.account, code, int64(0), int64(0), first_seq)
    if batch == 0:
        state.header.results[code] += 1
        if record.code_early == OK and requests.refusal_is_final(code):
            requests.request_remember(state, record, digest, code)


@kernel
def instruction_validate(state, record, parts, configs):
    """Return the first rule that an instruction breaks, in the order of docs/commands.md."""
    code = validate.envelope_validate(state, record)
    op = record.op
    if code != OK:
        return code
    if op == Op.ORDER_PLACE:
        return validate_orders.order_place_validate(state, record, parts)
    if op == Op.ORDER_AMEND:
        return amending.order_amend_validate(state, record)
    if op == Op.ORDER_CANCEL:
        return validate.order_named_validate(state, record)
    if op == Op.TRADE_CREATE:
        return validate_trades.trade_create_validate(state, record)
    if op == Op.TRADE_CLOSE:
        return validate_trades.trade_close_validate(state, record)
    if op == Op.POSITION_REVERSE:
        return validate_trades.reverse_validate(state, record)
    if op == Op.POSITION_TRIGGERS_SET:
        return validate_trades.triggers_set_validate(state, record)
    if op == Op.ACCOUNT_OPEN:
        return validate_owners.account_open_validate(state, record)
    return rare_validate(state, record, configs)


@kernel
def rare_validate(state, record, configs):
    """Return the first rule that an operation on an account as a whole, or an operator's, breaks."""
    op = record.op
    if op == Op.POSITIONS_CLOSE_ALL:
        return validate_accounts.close_all_validate(state, record)
    if op == Op.MARGIN_CHANGE:
        return validate_accounts.margin_change_validate(state, record)
    if op == Op.LEVERAGE_SET:
        return validate_accounts.leverage_set_validate(state, record)
    if op == Op.MARGIN_MODE_SET:
        return validate_owners.margin_mode_set_validate(state, record)
    if op == Op.ACCOUNT_GUARDS_SET:
        return validate_owners.guards_set_validate(state, record)
    if op == Op.SUBACCOUNT_OPEN:
        return validate_owners.subaccount_open_validate(state, record)
    if op == Op.ACCOUNT_TRANSFER:
        return validate_owners.account_transfer_validate(state, record)
    if op == Op.DEADMAN_SET:
        return validate_accounts.deadman_set_validate(state, record)
    if op == Op.ACCOUNT_RESET:
        return validate_accounts.account_reset_validate(state, record)
    if op == Op.ACCOUNT_CREDIT:
        return validate_accounts.account_credit_validate(state, record)
    if op == Op.VENUE_SET:
        return validate_markets.venue_set_validate(state, record)
    if op == Op.MARKET_SET:
        return validate_markets.market_set_validate(state, record, configs)
    if op == Op.MARKET_SETTLE:
        return validate_markets.market_settle_validate(state, record)
    return int64(OK)
