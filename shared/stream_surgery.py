"""
What only `tidemark log restore`, `reset` and their kind do to Redis, while every process of the venue stands still.

Conversations like those of `stream_verbs.py`, driven by `Streams.converse`. Nothing here edits a stream in place: new
ones are built beside the old, and one MULTI puts them there, so that a crash leaves the old or the new, never a third.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from shared.stream_guard import Command, Conversation, Request, ServerError, ask, expect
from shared.stream_keys import VENUE_POINTER, Fields, Keys, StreamsRefused, log_id
from shared.stream_verbs import flat, pairs

SCAN_COUNT = 1_000
UNKNOWN_OPTION = ("syntax", "wrong number", "unsupported")

Raw = tuple[bytes, Fields]  # an entry of either stream under its id, byte for byte


def range_raw(key: str, first: bytes, last: bytes, count: int) -> Conversation[list[Raw]]:
    """Return up to `count` entries between two ids as they stand; `(` before an id leaves it out."""
    [rows] = yield from ask(["XRANGE", key, first, last, "COUNT", count])
    return [(row[0], pairs(row[1])) for row in rows]


def append_raw(key: str, entries: Sequence[Raw]) -> Conversation[None]:
    """Append entries under their own ids to a stream, creating it; all or none."""
    commands: list[Command] = [["XADD", key, stream_id, *flat(fields)] for stream_id, fields in entries]
    replies = yield Request([["MULTI"], *commands, ["EXEC"]], writes=True)
    for reply in expect(replies[-1]):
        expect(reply)


def keys_scan(pattern: str) -> Conversation[list[bytes]]:
    """Return the names of all keys that match."""
    position, names = b"0", []
    while True:
        [[position, found]] = yield from ask(["SCAN", position, "MATCH", pattern, "COUNT", SCAN_COUNT])
        names += found
        if position == b"0":
            return sorted(set(names))


def values_read(names: Sequence[bytes]) -> Conversation[list[bytes | None]]:
    """Return what stands under each key, None for one that is gone or holds no text."""
    [values] = yield from ask(["MGET", *names])
    return list(values)


def keys_drop(names: Sequence[bytes | str]) -> Conversation[None]:
    """Remove keys, a thousand at a time."""
    for index in range(0, len(names), SCAN_COUNT):
        yield from ask(["DEL", *names[index : index + SCAN_COUNT]], writes=True)


def streams_replace(
    keys: Keys, last_seq: int | None, events: bool | None, restores: int, drop: Sequence[bytes | str]
) -> Conversation[None]:
    """
    Put the streams built under `log:new` and `events:new` in the place of log and events, in one MULTI.

    `last_seq` None leaves the log as it is; `events` None leaves the events, False removes them.

    The counter of appended entries becomes the last seq, as it is in a log that never lost anything; the counter of
    restorations moves, the pointer names the venue, and what must not outlive the old streams goes with them.
    """
    commands: list[Command] = [["SET", keys.restores, restores], ["SET", VENUE_POINTER, keys.venue]]
    if last_seq is not None:
        commands.append(["RENAME", keys.log_new, keys.log])
    if events is not None:
        commands.append(["RENAME", keys.events_new, keys.events] if events else ["DEL", keys.events])
    commands += [["DEL", *drop]] if drop else []
    counted: Command = ["XSETID", keys.log, log_id(last_seq or 0), "ENTRIESADDED", last_seq or 0, "MAXDELETEDID", "0-0"]
    replies = yield Request([["MULTI"], *commands, *([counted] if last_seq else []), ["EXEC"]], writes=True)
    results = expect(replies[-1])
    for result in results[: len(commands)]:
        expect(result)
    for counting in results[len(commands) :]:
        # A server before version 7 keeps no such counter; nobody can compare it there either.
        if isinstance(counting, ServerError) and not counting.text.lower().startswith(UNKNOWN_OPTION):
            raise StreamsRefused(f"{counting.code} {counting.text}")


def accounts_kept_note(keys: Keys, account_id: int, time_us: int) -> Conversation[None]:
    """Note that what was issued before a moment for accounts beyond one is worth nothing: others get the numbers."""
    [text] = yield from ask(["GET", keys.accounts_kept])
    kept = [pair for pair in orjson.loads(text or b"[]") if pair[0] < account_id]
    yield from ask(["SET", keys.accounts_kept, orjson.dumps([*kept, [account_id, time_us]])], writes=True)


def counters_read(key: str) -> Conversation[dict[str, Any]]:
    """Return what the server states of a stream: length, entries-added, max-deleted-entry-id; {} of an absent one."""
    [reply] = yield Request([["XINFO", "STREAM", key]])
    if isinstance(reply, ServerError):
        return {}
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def refusal_keep(keys: Keys, reason: dict[str, Any]) -> Conversation[None]:
    """Have a refusal stand in Redis; one that stands there already stays as it is."""
    yield from ask(["SET", keys.refused, orjson.dumps(reason), "NX"], writes=True)


def pointer_drop(venue: str) -> Conversation[None]:
    """Remove the pointer if it names this venue."""
    [named] = yield from ask(["GET", VENUE_POINTER])
    if named == venue.encode():
        yield from ask(["DEL", VENUE_POINTER], writes=True)


def newest_raw(key: str, before: bytes) -> Conversation[Raw | None]:
    """Return the newest entry whose id is smaller than one, None when there is none."""
    [rows] = yield from ask(["XREVRANGE", key, b"(" + before, "-", "COUNT", 1])
    return (rows[0][0], pairs(rows[0][1])) if rows else None
