"""
What must still be in the streams, or this process refuses to go on.

A lost tail passes every other check: the log goes back, its counters and its anchor stay intact, and a live reader
reads on into numbers that are used twice. So whoever remembers an entry, remembers its digest too, and the streams must
hold it.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from shared.refusal import Refusal
from shared.stream_keys import events_digest, log_digest

THIS_ENGINE = "this engine"


class VenueOther(Exception):
    """Redis names another venue than the one this process serves."""


class Memory(NamedTuple):
    """One entry that somebody remembers: of the log (chunk 0) or of the events; no digest: only that it was there."""

    stream: str  # "log" or "events"
    seq: int
    chunk: int
    digest: str
    holder: str  # who remembers it, for the refusal's text


def memories_of(document: dict[str, Any], place: str) -> list[Memory]:
    """Return what a snapshot remembers of both streams."""
    log, events = document["witness"]["log"], document["witness"]["events"]
    holder = f"the snapshot at {document['seq']} ({place})"
    return [
        Memory("log", log["seq"], 0, log["digest"], holder),
        Memory("events", events["seq"], events["chunk"], events["digest"], holder),
    ]


def postgres_memories(postgres: dict[str, Any]) -> list[Memory]:
    """Return what the history reader's cursor and the archive remember."""
    memories = []
    if cursor := postgres.get("cursor"):
        holder = "the persister's history cursor"
        memories.append(Memory("events", cursor["seq"], cursor["chunk"], cursor["digest"], holder))
    if archive := postgres.get("archive"):
        memories.append(Memory("log", archive["seq"], 0, archive["digest"], "the archive"))
    return memories


def views_memories(cursor: str | None, digest: bytes) -> list[Memory]:
    """Return what the view reader's cursor remembers; one that cannot be read remembers nothing."""
    seq, _, chunk = (cursor or "").partition("-")
    if not (seq.isdigit() and chunk.isdigit()):
        return []
    return [Memory("events", int(seq), int(chunk), digest.hex(), "the view reader")]


class WitnessStreams(Protocol):
    """The verbs of shared.streams that witnesses use."""

    def venue(self) -> str | None: ...
    def range_log(self, keys: Any, first_seq: int, last_seq: int, count: int) -> list[Any]: ...
    def range_events(self, keys: Any, first: tuple[int, int], last: tuple[int, int], count: int) -> list[Any]: ...
    def log_tip(self, keys: Any) -> int: ...
    def log_first(self, keys: Any) -> int: ...
    def events_tip(self, keys: Any) -> tuple[int, int]: ...
    def events_first(self, keys: Any) -> tuple[int, int]: ...


def witness_check(
    streams: WitnessStreams,
    keys: Any,
    venue: str,
    memories: Iterable[Memory],
    archived: Callable[[int], bool] = lambda seq: False,
) -> None:
    """
    Return when the streams hold every remembered entry; raise Refusal with exact numbers when one is missing.

    An events entry below the stream's first id was trimmed and passes; one of the log does when `archived`, asked only
    then, says that the archive goes on to where the log begins.
    """
    named = streams.venue()
    if named != venue:
        raise VenueOther(f"Redis names the venue {named}, this process serves {venue}")
    for memory in sorted(set(memories), key=lambda memory: (memory.stream, memory.seq, memory.chunk)):
        if memory.seq <= 0:
            continue
        if memory.stream == "log":
            witness_check_log(streams, keys, memory, archived)
        else:
            witness_check_events(streams, keys, memory)


def witness_check_log(streams: WitnessStreams, keys: Any, memory: Memory, archived: Callable[[int], bool]) -> None:
    """Raise Refusal unless the log holds the entry with its digest, or was trimmed behind it after it was archived."""
    entries = streams.range_log(keys, memory.seq, memory.seq, 1)
    if entries and (not memory.digest or log_digest(entries[0]).hex() == memory.digest):
        return
    first, tip = streams.log_first(keys), streams.log_tip(keys)
    if not entries and memory.seq < first and (memory.holder == THIS_ENGINE or archived(first - 1)):
        return  # an engine's own position is judged where it reads on: by the gap
    numbers = {"stream": "log", "remembered": memory.seq, "holder": memory.holder, "first": first, "tip": tip}
    if entries:
        text = f"entry {memory.seq} of the log is not the one that {memory.holder} remembers"
    elif tip < memory.seq:
        text = f"the log ends at {tip}, but {memory.holder} remembers entry {memory.seq}"
    else:
        text = f"entry {memory.seq} that {memory.holder} needs is gone: the log runs from {first} to {tip}"
    raise Refusal(text, **numbers)


def witness_check_events(streams: WitnessStreams, keys: Any, memory: Memory) -> None:
    """Raise Refusal unless the events hold the entry with its digest or begin above it."""
    place = (memory.seq, memory.chunk)
    entries = streams.range_events(keys, place, place, 1)
    if entries and (not memory.digest or events_digest(entries[0]).hex() == memory.digest):
        return
    first, tip = streams.events_first(keys), streams.events_tip(keys)
    if not entries and place < first:
        return
    numbers = {"stream": "events", "remembered": list(place), "holder": memory.holder, "first": first, "tip": tip}
    if entries:
        text = f"events entry {memory.seq}-{memory.chunk} is not the one that {memory.holder} remembers"
    elif tip < place:
        text = f"the events end at {tip[0]}-{tip[1]}, but {memory.holder} remembers {memory.seq}-{memory.chunk}"
    else:
        text = f"events entry {memory.seq}-{memory.chunk} that {memory.holder} remembers is missing"
    raise Refusal(text, **numbers)


def gap_refusal(last_seq: int, found_seq: int) -> Refusal:
    """Return the refusal of a log that does not go on with the next number."""
    return Refusal(
        f"the log goes from {last_seq} to {found_seq}: entries {last_seq + 1} to {found_seq - 1} are missing",
        stream="log",
        expected=last_seq + 1,
        found=found_seq,
    )
