"""
The verbs on views and outcomes: what the view reader writes, in generations, and how one takes the place of another.

Generators without I/O like those of `stream_verbs.py`. A generation of views is a set of keys; the one in force is
named by one key, so a rebuild is seen whole or not at all. Outcomes and market views belong to no generation.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import orjson

from shared.stream_guard import Command, Conversation, Request, Talk, ask, expect
from shared.stream_keys import Keys, StreamsRefused

OUTCOME_EXPIRE_MS = 24 * 3_600 * 1_000
SCAN_COUNT = 1_000

Hashes = Mapping[str, Mapping[str, bytes | None]]
Replaces = Callable[[bytes | None, bytes], bool]


class Generation(NamedTuple):
    """The views in force: their number, the events entry they were rebuilt from, and its log time; 0 is the first."""

    number: int = 0
    start: str = ""
    log_time_us: int = 0


def generation_of(text: bytes | None) -> Generation:
    """Return the generation that a stored text names; without one, or an unreadable one, the first."""
    try:
        stored = orjson.loads(text or b"null")
        return Generation(int(stored["generation"]), str(stored["from"]), int(stored["log_time_us"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return Generation()


def views_generation_read(talk: Talk, keys: Keys) -> Conversation[Generation]:
    """Return the generation in force."""
    [text] = yield from ask(["GET", keys.views_generation])
    return generation_of(text)


def views_cursor_read(talk: Talk, keys: Keys) -> Conversation[tuple[str | None, bytes]]:
    """
    Return the view reader's cursor, None when there is none, and the digest of the entry it stands on.

    Of the generation in force, whichever the keys are of.
    """
    [text] = yield from ask(["GET", keys.views_generation])
    own = Keys(keys.venue, generation_of(text).number)
    cursor, witness = yield from ask(["GET", own.views_cursor], ["GET", own.views_witness])
    return None if cursor is None else cursor.decode("ascii", "replace"), witness or b""


def views_commit(
    talk: Talk,
    keys: Keys,
    cursor: tuple[str | None, str],
    witness: bytes,
    hashes: Hashes,
    outcomes: Mapping[str, bytes],
    replaces: Replaces,
) -> Conversation[bool]:
    """
    Write views, outcomes and the cursor's move from cursor[0] to cursor[1] in one piece, then announce the cursor.

    False, and nothing written, when the cursor stands elsewhere, or a later generation is in force. A hash's field of
    None is removed; an outcome is written when `replaces(there, new)` says so.
    """
    before, after = cursor
    reads: list[Command] = [
        ["WATCH", keys.views_cursor, keys.views_generation],
        ["GET", keys.views_cursor],
        ["GET", keys.views_generation],
    ]
    if outcomes:
        reads.append(["MGET", *outcomes])
    try:
        replies = yield from ask(*reads)
    except StreamsRefused:
        yield from ask(["UNWATCH"])
        raise
    in_force = generation_of(replies[2]).number
    stands_here = replies[1] == (None if before is None else before.encode())
    if not stands_here or keys.generation < in_force:
        yield from ask(["UNWATCH"])
        return False
    commands = hashes_commands(hashes)
    for index, (key, value) in enumerate(outcomes.items()):
        if replaces(replies[3][index], value):
            commands.append(["SET", key, value, "PX", OUTCOME_EXPIRE_MS])
    commands += [["SET", keys.views_cursor, after], ["SET", keys.views_witness, witness]]
    if not (yield from commit(commands)):
        return False
    if keys.generation == in_force:
        yield from ask(["PUBLISH", keys.views_channel, after], writes=True)
    return True


def hashes_commands(hashes: Hashes) -> list[Command]:
    """Return the commands that bring the hashes to these fields."""
    commands: list[Command] = []
    for key, fields in hashes.items():
        gone = [field for field, value in fields.items() if value is None]
        kept = [part for field, value in fields.items() if value is not None for part in (field, value)]
        commands += ([["HDEL", key, *gone]] if gone else []) + ([["HSET", key, *kept]] if kept else [])
    return commands


def commit(commands: list[Command]) -> Conversation[bool]:
    """Return whether the commands were carried out as one; not when what was watched has changed."""
    answers = yield Request([["MULTI"], *commands, ["EXEC"]], writes=True)
    results = expect(answers[-1])
    if results is None:
        return False
    for result in results:
        expect(result)
    return True


def views_write(talk: Talk, hashes: Hashes) -> Conversation[None]:
    """Write fields of a generation that nobody reads yet."""
    commands = hashes_commands(hashes)
    if commands:
        yield from ask(*commands, writes=True)


def outcomes_write(talk: Talk, outcomes: Mapping[str, bytes], replaces: Replaces) -> Conversation[bool]:
    """Write the outcomes that are not known better; False, and nothing written, when one changed meanwhile."""
    if not outcomes:
        return True
    try:
        _, there = yield from ask(["WATCH", *outcomes], ["MGET", *outcomes])
    except StreamsRefused:
        yield from ask(["UNWATCH"])
        raise
    commands: list[Command] = []
    for found, (key, value) in zip(there, outcomes.items(), strict=True):
        if replaces(found, value):
            commands.append(["SET", key, value, "PX", OUTCOME_EXPIRE_MS])
    return (yield from commit(commands))


def views_number(talk: Talk, keys: Keys) -> Conversation[int]:
    """Return a number for a new generation that none ever had: two that are made at once do not meet."""
    [number] = yield from ask(["INCR", keys.views_numbers], writes=True)
    return int(number)


def views_switch(talk: Talk, keys: Keys, before: int, start: str, log_time_us: int) -> Conversation[bool]:
    """Put the keys' generation in force in place of the one before; False when that is not in force any more."""
    _, text = yield from ask(["WATCH", keys.views_generation], ["GET", keys.views_generation])
    if generation_of(text).number != before:
        yield from ask(["UNWATCH"])
        return False
    named = orjson.dumps({"generation": keys.generation, "from": start, "log_time_us": log_time_us})
    if not (yield from commit([["SET", keys.views_generation, named]])):
        return False
    yield from ask(["PUBLISH", keys.views_channel, start], writes=True)
    return True


def views_clear(talk: Talk, keys: Keys) -> Conversation[int]:
    """
    Remove the views and the cursor of the keys' generation; return how many views went.

    The cursor goes first, so that whoever writes them begins anew; where one has done so meanwhile, the rest stays.
    """
    names = yield from views_scan(keys, lambda generation: generation == keys.generation)
    views = [name for name in names if b":views_" not in name]
    yield from ask(["DEL", keys.views_cursor, keys.views_witness, *views[:SCAN_COUNT]], writes=True)
    for at in range(SCAN_COUNT, len(views), SCAN_COUNT):
        _, begun = yield from ask(["WATCH", keys.views_cursor], ["EXISTS", keys.views_cursor])
        if begun:
            yield from ask(["UNWATCH"])
            return at
        if not (yield from commit([["DEL", *views[at : at + SCAN_COUNT]]])):
            return at
    return len(views)


def views_clear_older(talk: Talk, keys: Keys) -> Conversation[int]:
    """Remove every generation before the one in force; return how many views went."""
    [text] = yield from ask(["GET", keys.views_generation])
    in_force = generation_of(text).number
    names = yield from views_scan(keys, lambda generation: generation < in_force)
    for at in range(0, len(names), SCAN_COUNT):
        yield from ask(["DEL", *names[at : at + SCAN_COUNT]], writes=True)
    return sum(b":views_" not in name for name in names)


def views_scan(keys: Keys, chosen: Callable[[int], bool]) -> Conversation[list[bytes]]:
    """Return the keys of the chosen generations; the cursors come first, so that no half of one is believed."""
    name = re.compile(
        re.escape(keys.prefix)
        + r"(?:view:(?:g([0-9]+):)?(?:account:[0-9]+|venue)|views_(?:cursor|witness)(?::g([0-9]+))?)"
    )
    position, found = b"0", set[bytes]()
    while True:
        [[position, page]] = yield from ask(["SCAN", position, "MATCH", keys.prefix + "view*", "COUNT", SCAN_COUNT])
        for key in page:
            match = name.fullmatch(key.decode("ascii", "replace"))
            if match and chosen(int(match[1] or match[2] or 0)):
                found.add(key)
        if position == b"0":
            return sorted(found, key=lambda key: (b":views_" not in key, key))
