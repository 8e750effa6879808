"""
The verbs on what lies beside the streams: JSON values, heartbeats, the views of markets.

Generators without I/O like those of `stream_verbs.py`.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import orjson

from shared.stream_guard import Argument, Command, Conversation, Talk, ask, json_read
from shared.stream_keys import Keys, StreamsRefused

HEARTBEAT_EXPIRE_MS = 3_000


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


def ops_write(talk: Talk, keys: Keys, fields: Mapping[str, str]) -> Conversation[None]:
    """Write what the leading engine tells operators; always the same fields, so that none is another engine's."""
    yield from ask(["HSET", keys.ops, *(text for pair in fields.items() for text in pair)], writes=True)


def heartbeat(talk: Talk, keys: Keys, name: str, payload: Mapping[str, Any]) -> Conversation[None]:
    """Say that this process lives; the key goes away by itself when nobody says so again."""
    yield from ask(
        ["SET", keys.process(name), orjson.dumps(payload), "PX", HEARTBEAT_EXPIRE_MS],
        ["HSET", keys.processes, name, b"1"],
        writes=True,
    )


def heartbeats_read(talk: Talk, keys: Keys) -> Conversation[dict[str, dict[str, Any]]]:
    """Return the heartbeats of all processes that live, by name; those that went away leave the list of names."""
    [flat_reply] = yield from ask(["HGETALL", keys.processes])
    names = sorted(name.decode("utf-8", "replace") for name in flat_reply[::2])
    if not names:
        return {}
    [texts] = yield from ask(["MGET", *(keys.process(name) for name in names)])
    beats = {name: json_read(text) for name, text in zip(names, texts, strict=True)}
    gone = [name for name, beat in beats.items() if beat is None]
    if gone:
        # One that still lives names itself again within a second.
        with contextlib.suppress(StreamsRefused):
            yield from ask(["HDEL", keys.processes, *gone], writes=True)
    return {name: beat for name, beat in beats.items() if isinstance(beat, dict)}


def leader_read(talk: Talk, keys: Keys) -> Conversation[dict[str, Any] | None]:
    """Return the leader's heartbeat as it was last written, however long ago."""
    heartbeat_read = yield from get_json(talk, keys.leader)
    return heartbeat_read if isinstance(heartbeat_read, dict) else None


def leader_write(talk: Talk, keys: Keys, payload: Mapping[str, Any]) -> Conversation[None]:
    """Write the leader's heartbeat."""
    yield from set_json(talk, keys.leader, payload)
