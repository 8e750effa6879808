"""
The verbs on the streams, without I/O: what is sent, and what the answers mean.

Pure generators in the sense of `stream_guard.py`; `streams.py` turns each into a blocking and an asyncio method of
the same name. Every verb takes a Talk first, which the transports supply.
"""

import math
from collections.abc import Sequence
from typing import Any

from shared.stream_guard import (
    Argument,
    Command,
    Conversation,
    Request,
    ServerError,
    Talk,
    ask,
    expect,
    guard_check,
    info_fields,
)
from shared.stream_keys import (
    VENUE_POINTER,
    Appended,
    AppendStatus,
    DuplicateId,
    Entry,
    EventsEntry,
    Fields,
    Handover,
    Keys,
    StreamsDown,
    StreamsRefused,
    StreamsUnknown,
    event_id,
    log_id,
    seq_chunk_of_event_id,
    seq_of_log_id,
)
from shared.stream_raw import RawEntries, entries_of

DUPLICATE_TEXT = "equal or smaller than"
MULTI: Command = ["MULTI"]
EXEC: Command = ["EXEC"]

# The engine names a new run_id itself, and leadership keeps its room when producers stop at a full memory.
ENGINE_EXEMPT = ("RUN_ID_NOT_NAMED", "LOG_FULL")


# -- the venue and the server


def ping(talk: Talk) -> Conversation[None]:
    """Return when the server answers."""
    yield from ask(["PING"])


def venue(talk: Talk) -> Conversation[str | None]:
    """Return the id of the live venue, None when there is none."""
    [pointer] = yield from ask(["GET", VENUE_POINTER])
    return None if pointer is None else pointer.decode("utf-8", "replace")


def venue_set(talk: Talk, venue_id: str) -> Conversation[bool]:
    """Name the live venue; False when one is named already."""
    [answer] = yield from ask(["SET", VENUE_POINTER, venue_id, "NX"], writes=True)
    return answer is not None


def restores(talk: Talk, keys: Keys) -> Conversation[int]:
    """Return how often the venue's log was restored; who remembers what came before starts again when this moves."""
    [count] = yield from ask(["GET", keys.restores])
    return int(count) if count is not None and count.isdigit() else 0


def server_info(talk: Talk) -> Conversation[dict[str, Any]]:
    """Return what matters of the server: run_id, appendonly, appendfsync, maxmemory, used_memory, time_us, version."""
    server, memory, persistence, time = yield from ask(
        ["INFO", "server"], ["INFO", "memory"], ["INFO", "persistence"], ["TIME"]
    )
    fields = info_fields(server, memory, persistence)
    [fsync] = yield Request([["CONFIG", "GET", "appendfsync"]])
    return {
        "run_id": fields.get("run_id", ""),
        "version": fields.get("valkey_version") or fields.get("redis_version", ""),
        "appendonly": fields.get("aof_enabled") == "1",
        # A managed server may forbid CONFIG; then nobody can tell.
        "appendfsync": "unknown" if isinstance(fsync, ServerError) or len(fsync) < 2 else fsync[1].decode(),
        "maxmemory": int(fields.get("maxmemory", 0)),
        "used_memory": int(fields.get("used_memory", 0)),
        "time_us": int(time[0]) * 1_000_000 + int(time[1]),
    }


# -- the log


def append(
    talk: Talk, keys: Keys, fields: Fields, deadline_s: float = math.inf, handover: Handover | None = None
) -> Conversation[Appended]:
    """
    Append one entry to the log, as every producer does; see guard_check for when nothing is appended.

    What is not sent by `deadline_s` of the monotonic clock, or before it is called off, is never sent: REFUSED,
    UNREACHABLE.
    """
    [appended] = yield from append_guarded(talk, keys, [fields], True, deadline_s, handover)
    return appended


def append_many(talk: Talk, keys: Keys, entries: Sequence[Fields]) -> Conversation[list[Appended]]:
    """Append the entries one after the other, all or none of them."""
    return (yield from append_guarded(talk, keys, entries, named=True))


def append_engine(talk: Talk, keys: Keys, fields: Fields) -> Conversation[Appended]:
    """Append as `append` does, for the engine alone: it names a new run_id and cannot wait for that."""
    [appended] = yield from append_guarded(talk, keys, [fields], named=False)
    return appended


def append_guarded(
    talk: Talk,
    keys: Keys,
    entries: Sequence[Fields],
    named: bool,
    deadline_s: float = math.inf,
    handover: Handover | None = None,
) -> Conversation[list[Appended]]:
    """Return the outcome of each append; never raises, because each failure has a status of its own."""
    try:
        reason = yield from guard_check(talk, keys, deadline_s)
    except StreamsDown:
        return [Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")] * len(entries)
    if reason and (named or reason not in ENGINE_EXEMPT):
        return [Appended(AppendStatus.REFUSED, 0, reason)] * len(entries)
    commands = [append_command(keys, fields) for fields in entries]
    try:
        replies = yield from transaction(commands, deadline_s=deadline_s, guarded=True, handover=handover)
    except StreamsDown:
        return [Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")] * len(entries)
    except StreamsUnknown:
        return [Appended(AppendStatus.UNKNOWN, 0, "UNANSWERED")] * len(entries)
    outcomes = [append_outcome(reply) for reply in replies]
    if any(outcome.status is AppendStatus.REFUSED for outcome in outcomes):
        # The next append looks at everything again, the pointer first of all; so does this refusal.
        talk.guard.forget()
        if (yield from venue_is_another(keys, deadline_s)):
            return [item._replace(reason="VENUE_CHANGED") if item.seq == 0 else item for item in outcomes]
    return outcomes


def append_command(keys: Keys, fields: Fields) -> list[bytes | str | int]:
    """Return the command that appends one entry to a log that is there."""
    return ["XADD", keys.log, "NOMKSTREAM", "*", *flat(fields)]


def append_outcome(reply: Any) -> Appended:
    """Return what one XADD's reply means: an error and nil are certainly not applied."""
    if isinstance(reply, ServerError):
        return Appended(AppendStatus.REFUSED, 0, reply.code)
    if reply is None:
        return Appended(AppendStatus.REFUSED, 0, "LOG_ABSENT")
    return Appended(AppendStatus.ACCEPTED, seq_of_log_id(reply))


def venue_is_another(keys: Keys, deadline_s: float) -> Conversation[bool]:
    """Return whether the pointer names another venue; False when that cannot be asked."""
    try:
        [pointer] = yield Request([["GET", VENUE_POINTER]], deadline_s=deadline_s)
    except StreamsDown:
        return False
    return isinstance(pointer, bytes) and pointer != keys.venue.encode()


def genesis(talk: Talk, keys: Keys, fields: Fields) -> Conversation[bool]:
    """Create the log with its first entry; False when it has one."""
    [reply] = yield Request([["XADD", keys.log, log_id(1), *flat(fields)]], writes=True)
    if isinstance(reply, ServerError) and DUPLICATE_TEXT in reply.text:
        return False
    expect(reply)
    return True


def read_log(
    talk: Talk, keys: Keys, after_seq: int, count: int, block_ms: int | None = None
) -> Conversation[list[Entry]]:
    """Return up to `count` entries after a seq, waiting for the first; asserts nothing about gaps."""
    rows = yield from read_after(keys.log, log_id(after_seq), count, block_ms)
    return [Entry(seq_of_log_id(row[0]), pairs(row[1])) for row in rows]


def read_log_raw(
    talk: Talk, keys: Keys, after_seq: int, count: int, block_ms: int | None = None
) -> Conversation[RawEntries | list[Entry]]:
    """Return what `read_log` does, as the answer's bytes where the transport can give them."""
    request = read_request(keys.log, log_id(after_seq), count, block_ms)
    [reply] = yield request._replace(raw=True)
    expect(reply)
    if not isinstance(reply, bytes):
        return [Entry(seq_of_log_id(row[0]), pairs(row[1])) for row in (reply[0][1] if reply else [])]
    entries = entries_of(reply, keys.log)
    if entries is None:
        raise StreamsDown("the server answered something that is no list of entries")
    return entries


def range_log(talk: Talk, keys: Keys, first_seq: int, last_seq: int, count: int) -> Conversation[list[Entry]]:
    """Return up to `count` entries from first_seq to last_seq, both included."""
    [rows] = yield from ask(["XRANGE", keys.log, log_id(first_seq), log_id(last_seq), "COUNT", count])
    return [Entry(seq_of_log_id(row[0]), pairs(row[1])) for row in rows]


def log_entries(talk: Talk, keys: Keys, seqs: Sequence[int]) -> Conversation[dict[int, Entry]]:
    """Return those of the named entries that the log holds."""
    found = {}
    commands: list[Command] = [["XRANGE", keys.log, log_id(seq), log_id(seq), "COUNT", 1] for seq in seqs]
    if commands:
        replies = yield from ask(*commands)
        for seq, rows in zip(seqs, replies, strict=True):
            if rows:
                found[seq] = Entry(seq, pairs(rows[0][1]))
    return found


def log_tip(talk: Talk, keys: Keys) -> Conversation[int]:
    """Return the seq of the newest entry, 0 without one."""
    [rows] = yield from ask(["XREVRANGE", keys.log, "+", "-", "COUNT", 1])
    return seq_of_log_id(rows[0][0]) if rows else 0


def log_first(talk: Talk, keys: Keys) -> Conversation[int]:
    """Return the seq of the oldest entry that is held, 0 without one."""
    [rows] = yield from ask(["XRANGE", keys.log, "-", "+", "COUNT", 1])
    return seq_of_log_id(rows[0][0]) if rows else 0


# -- the events


def publish(
    talk: Talk, keys: Keys, entries: Sequence[tuple[bytes, Fields]], create: bool = False
) -> Conversation[None]:
    """
    Append entries under their own ids to the events, all or none but those that are there already.

    `create` is for what genesis causes: its first entry makes the stream. After a lost connection the first publish
    raises StreamsDown without sending, until `events_tip` was read: compare, then publish what is missing.
    """
    commands: list[list[bytes | str | int]] = [
        ["XADD", keys.events, *([] if create and index == 0 else ["NOMKSTREAM"]), stream_id, *flat(fields)]
        for index, (stream_id, fields) in enumerate(entries)
    ]
    replies = yield from transaction(commands, settled=True)
    publish_judge([stream_id for stream_id, _ in entries], replies)


def publish_judge(ids: Sequence[bytes], replies: Sequence[Any]) -> None:
    """Return when every XADD under its own id was done; raises DuplicateId or StreamsRefused."""
    duplicates = [
        stream_id
        for stream_id, reply in zip(ids, replies, strict=True)
        if isinstance(reply, ServerError) and DUPLICATE_TEXT in reply.text
    ]
    for reply in replies:
        if reply is None:
            raise StreamsRefused("the events stream is absent")
        if not (isinstance(reply, ServerError) and DUPLICATE_TEXT in reply.text):
            expect(reply)
    if duplicates:
        raise DuplicateId(duplicates)


def read_events(
    talk: Talk, keys: Keys, after: tuple[int, int], count: int, block_ms: int | None = None
) -> Conversation[list[EventsEntry]]:
    """Return up to `count` entries after (seq, chunk), waiting for the first."""
    rows = yield from read_after(keys.events, event_id(*after), count, block_ms)
    return [events_entry(*row) for row in rows]


def range_events(
    talk: Talk, keys: Keys, first: tuple[int, int], last: tuple[int, int], count: int
) -> Conversation[list[EventsEntry]]:
    """Return up to `count` entries from first to last, both included."""
    [rows] = yield from ask(["XRANGE", keys.events, event_id(*first), event_id(*last), "COUNT", count])
    return [events_entry(*row) for row in rows]


def events_tip(talk: Talk, keys: Keys) -> Conversation[tuple[int, int]]:
    """Return (seq, chunk) of the newest entry, (0, 0) without one."""
    [rows] = yield Request([["XREVRANGE", keys.events, "+", "-", "COUNT", 1]], settles=True)
    expect(rows)
    return seq_chunk_of_event_id(rows[0][0]) if rows else (0, 0)


def events_first(talk: Talk, keys: Keys) -> Conversation[tuple[int, int]]:
    """Return (seq, chunk) of the oldest entry that is held, (0, 0) without one."""
    [rows] = yield from ask(["XRANGE", keys.events, "-", "+", "COUNT", 1])
    return seq_chunk_of_event_id(rows[0][0]) if rows else (0, 0)


# -- parts


def transaction(
    commands: Sequence[Command],
    settled: bool = False,
    deadline_s: float = math.inf,
    guarded: bool = False,
    handover: Handover | None = None,
) -> Conversation[list[Any]]:
    """Return each command's reply from one MULTI/EXEC, the same error for all when it was refused as a whole."""
    if not commands:
        return []
    alone = len(commands) == 1
    sent = commands if alone else [MULTI, *commands, EXEC]
    replies = yield Request(
        sent, writes=True, settled=settled, deadline_s=deadline_s, guarded=guarded, handover=handover
    )
    return replies if alone else transaction_results(replies)


def transaction_results(replies: Sequence[Any]) -> list[Any]:
    """Return each command's reply from those to MULTI, the commands and EXEC; see `transaction`."""
    results = replies[-1]
    if isinstance(results, list):
        return results
    # The queueing's own error (OOM, READONLY) says more than EXECABORT.
    cause = next((reply for reply in replies[:-1] if isinstance(reply, ServerError)), results)
    return [cause] * (len(replies) - 2)


def read_request(key: str, after: bytes, count: int, block_ms: int | None) -> Request:
    """Return the question for the entries that follow an id; it waits up to block_ms for the first."""
    blocking: list[Argument] = ["BLOCK", block_ms] if block_ms else []
    return Request([["XREAD", "COUNT", count, *blocking, "STREAMS", key, after]], block_ms=block_ms or 0)


def read_after(key: str, after: bytes, count: int, block_ms: int | None) -> Conversation[list[Any]]:
    """Return the entries that follow an id as the server gives them; waits up to block_ms for the first."""
    [reply] = yield read_request(key, after, count, block_ms)
    expect(reply)
    return reply[0][1] if reply else []


def flat(fields: Fields) -> list[bytes]:
    """Return names and values in one row, as the server takes them."""
    return [part for pair in fields for part in pair]


def pairs(flat_fields: list[bytes]) -> Fields:
    """Return one row of names and values as pairs, in their order."""
    return list(zip(flat_fields[::2], flat_fields[1::2], strict=True))


def events_entry(stream_id: bytes, flat_fields: list[bytes]) -> EventsEntry:
    """Return an events entry; a foreign one never raises, its chain simply does not fit."""
    seq, chunk = seq_chunk_of_event_id(stream_id)
    fields = dict(pairs(flat_fields))
    log_time = fields.get(b"t", b"")
    return EventsEntry(
        seq,
        chunk,
        int(log_time) if log_time.isdigit() and len(log_time) < 19 else -1,
        fields.get(b"p", b""),
        fields.get(b"a", b""),
        fields.get(b"d", b""),
    )
