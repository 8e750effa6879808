"""
The verbs on what lies beside the streams: JSON values, heartbeats, views, outcomes.

Generators without I/O like those of `stream_verbs.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.stream_guard import Argument, Command, Conversation, Request, Talk, ask, expect, json_read
from shared.stream_keys import Keys, StreamsRefused

HEARTBEAT_EXPIRE_MS = 3_000
OUTCOME_EXPIRE_MS = 24 * 3_600 * 1_000


def get_json(talk: Talk, key: str) -> Conversation[Any]:
    """Return the JSON under a key, None without it."""
    [text] = yield from ask(["GET", key])
    return json_read(text)


def set_json(talk: Talk, key: str, value: Any, expire_ms: int | None = None) -> Conversation[None]:
    """Write JSON under a key, for ever or for a time."""
    command: list[Argument] = ["SET", key, orjson.dumps(value)]
    if expire_ms is not None:
        command += ["PX", expire_ms]
    yield from ask(command, writes=True)


def delete(talk: Talk, *names: str) -> Conversation[None]:
    """Remove keys; one that is absent is no error."""
    yield from ask(["DEL", *names], writes=True)


def hash_read(talk: Talk, key: str) -> Conversation[dict[str, str]]:
    """Return a hash as texts, empty when it is absent."""
    [flat_reply] = yield from ask(["HGETALL", key])
    texts = [item.decode("utf-8", "replace") for item in flat_reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def view_markets_write(talk: Talk, keys: Keys, views: Mapping[str, Mapping[str, str]]) -> Conversation[None]:
    """Write the fields of each market's view and say on the channel which markets changed."""
    commands: list[Command] = []
    for market, fields in views.items():
        commands.append(["HSET", keys.view_market(market), *(text for pair in fields.items() for text in pair)])
        commands.append(["PUBLISH", keys.markets_channel, market])
    yield from ask(*commands, writes=True)


def heartbeat(talk: Talk, keys: Keys, name: str, payload: Mapping[str, Any]) -> Conversation[None]:
    """Say that this process lives; the key goes away by itself when nobody says so again."""
    yield from ask(["SET", keys.process(name), orjson.dumps(payload), "PX", HEARTBEAT_EXPIRE_MS], writes=True)


def leader_read(talk: Talk, keys: Keys) -> Conversation[dict[str, Any] | None]:
    """Return the leader's heartbeat as it was last written, however long ago."""
    heartbeat_read = yield from get_json(talk, keys.leader)
    return heartbeat_read if isinstance(heartbeat_read, dict) else None


def leader_write(talk: Talk, keys: Keys, payload: Mapping[str, Any]) -> Conversation[None]:
    """Write the leader's heartbeat."""
    yield from set_json(talk, keys.leader, payload)


def views_cursor_read(talk: Talk, keys: Keys) -> Conversation[tuple[str | None, bytes]]:
    """Return the view reader's cursor, None when there is none, and the digest of the entry it stands on."""
    cursor, witness = yield from ask(["GET", keys.views_cursor], ["GET", keys.views_witness])
    return None if cursor is None else cursor.decode("ascii", "replace"), witness or b""


def views_commit(
    talk: Talk,
    keys: Keys,
    cursor: tuple[str | None, str],
    witness: bytes,
    hashes: Mapping[str, Mapping[str, bytes | None]],
    outcomes: Mapping[str, bytes],
    replaces: Callable[[bytes | None, bytes], bool],
) -> Conversation[bool]:
    """
    Write views, outcomes and the cursor's move from cursor[0] to cursor[1] in one piece, then announce the cursor.

    False, and nothing written, when the cursor stands elsewhere. A hash's field of None is removed; an outcome is
    written when `replaces(there, new)` says so.
    """
    before, after = cursor
    reads: list[Command] = [["WATCH", keys.views_cursor], ["GET", keys.views_cursor]]
    if outcomes:
        reads.append(["MGET", *outcomes])
    try:
        replies = yield from ask(*reads)
    except StreamsRefused:
        yield from ask(["UNWATCH"])
        raise
    if replies[1] != (None if before is None else before.encode()):
        yield from ask(["UNWATCH"])
        return False
    commands: list[Command] = []
    for key, fields in hashes.items():
        gone = [field for field, value in fields.items() if value is None]
        kept = [part for field, value in fields.items() if value is not None for part in (field, value)]
        commands += ([["HDEL", key, *gone]] if gone else []) + ([["HSET", key, *kept]] if kept else [])
    for index, (key, value) in enumerate(outcomes.items()):
        if replaces(replies[2][index], value):
            commands.append(["SET", key, value, "PX", OUTCOME_EXPIRE_MS])
    commands += [["SET", keys.views_cursor, after], ["SET", keys.views_witness, witness]]
    answers = yield Request([["MULTI"], *commands, ["EXEC"]], writes=True)
    results = expect(answers[-1])
    if results is None:
        return False
    for result in results:
        expect(result)
    yield from ask(["PUBLISH", keys.views_channel, after], writes=True)
    return True


def views_clear(talk: Talk, keys: Keys) -> Conversation[int]:
    """Remove all account views of the venue and their cursor; return how many views there were."""
    position, count = b"0", 0
    while True:
        [[position, found]] = yield from ask(["SCAN", position, "MATCH", keys.view_account_pattern, "COUNT", 1_000])
        if found:
            yield from ask(["DEL", *found], writes=True)
            count += len(found)
        if position == b"0":
            break
    yield from ask(["DEL", keys.views_cursor, keys.views_witness], writes=True)
    return count
