"""
Reading the events so that nothing is missing: each entry proven to follow the one before, and none changed behind us.

An entry names the one before it (`p`), and every reader checks that. A lost tail passes this check, so a reader also
remembers its newest entry by digest and looks for it at start, after every lost connection, and after 3 s of silence.

The first entry after a pause is read at once; what follows it within the reader's `group_s` is read together, for every
commit of ours keeps the servers from whoever waits for an answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from shared.refusal import Refusal
from shared.streams import EventsEntry, Keys, StreamsAsync, event_id, events_digest

READ_COUNT = 500
READ_BLOCK_MS = 1_000
SILENCE_S = 3.0
EVENTS_PER_CHUNK = 512
# What the very first entry may name as the one before it.
CHAIN_START = (b"", b"0-0", event_id(0, 0))


class Position(NamedTuple):
    """The newest entry whose effect is stored, and its digest; (0, 0) before the first."""

    seq: int = 0
    chunk: int = 0
    digest: bytes = b""

    @property
    def place(self) -> tuple[int, int]:
        """Return (seq, chunk)."""
        return self.seq, self.chunk

    @property
    def text(self) -> str:
        """Return seq-chunk."""
        return f"{self.seq}-{self.chunk}"


class Event(NamedTuple):
    """One event of an entry; `body` is None when it is not an object with a name."""

    event_index: int  # in its chunk
    kind: str
    body: dict[str, Any] | None
    raw: bytes  # only of an event that cannot be used


class Reader:
    """The events after a position."""

    def __init__(
        self,
        name: str,
        streams: StreamsAsync,
        keys: Keys,
        position: Position,
        monotonic_s: Callable[[], float],
        group_s: float = 0.0,
    ) -> None:
        """Start behind the position; its entry is looked for with the first read."""
        self.name = name
        self.streams = streams
        self.keys = keys
        self.position = position
        self.monotonic_s = monotonic_s
        self.losses = -1
        self.heard_s = monotonic_s()
        self.group_s = group_s
        self.group_ends_s = float("-inf")  # when the next entries are asked for at the earliest

    async def read(self) -> list[EventsEntry]:
        """Return the next entries, none when it stays silent; raises Refusal when they do not follow."""
        if self.streams.losses != self.losses or self.monotonic_s() - self.heard_s >= SILENCE_S:
            await self.witness()
        if self.monotonic_s() < self.group_ends_s:
            await asyncio.sleep(min(self.group_s, self.group_ends_s - self.monotonic_s()))
        entries = await self.streams.read_events(self.keys, self.position.place, READ_COUNT, READ_BLOCK_MS)
        if self.streams.losses != self.losses:
            # Another connection broke meanwhile: these entries may come from a server that lost what we remember.
            await self.witness()
        if entries:
            self.heard_s = self.monotonic_s()
            self.group_ends_s = self.heard_s + (0.0 if len(entries) == READ_COUNT else self.group_s)
        chain_check(self.name, self.position, entries)
        return entries

    async def witness(self) -> None:
        """Return when the stream holds the entry at our position, unchanged; raise Refusal otherwise."""
        losses = self.streams.losses
        if self.position.seq > 0:
            place = self.position.place
            found = await self.streams.range_events(self.keys, place, place, 1)
            if not found or (self.position.digest and events_digest(found[0]) != self.position.digest):
                await self.refuse(bool(found))
        self.losses = losses
        self.heard_s = self.monotonic_s()

    async def refuse(self, found: bool) -> None:
        """Raise the Refusal that says what became of the entry we remember."""
        first = await self.streams.events_first(self.keys)
        tip = await self.streams.events_tip(self.keys)
        if found:
            text = f"events entry {self.position.text} is not the one that the persister's {self.name} remembers"
        elif tip < self.position.place:
            text = (
                f"the events end at {tip[0]}-{tip[1]}, but the persister's {self.name} stands at {self.position.text}"
            )
        else:
            text = f"the events begin at {first[0]}-{first[1]}, after {self.position.text}, where {self.name} stands"
        raise Refusal(text, stream="events", reader=self.name, cursor=self.position.text, first=first, tip=tip)


def position_of(entry: EventsEntry) -> Position:
    """Return the position of a reader that has stored this entry."""
    return Position(entry.seq, entry.chunk, events_digest(entry))


async def reach_back(streams: StreamsAsync, keys: Keys) -> bool:
    """Return whether the events are held from their very first entry on, or there are none yet."""
    first = await streams.events_first(keys)
    found = await streams.range_events(keys, first, first, 1)
    return not found or found[0].previous in CHAIN_START


def chain_check(name: str, position: Position, entries: list[EventsEntry]) -> None:
    """Raise Refusal unless each entry names the one before it."""
    before = position.place
    for entry in entries:
        expected = CHAIN_START if before == (0, 0) else (event_id(*before),)
        if entry.previous not in expected:
            raise Refusal(
                f"events entry {entry.seq}-{entry.chunk} follows {entry.previous.decode('ascii', 'replace')!r},"
                f" but the persister's {name} has {before[0]}-{before[1]} before it",
                stream="events",
                reader=name,
                found=[entry.seq, entry.chunk],
                previous=entry.previous.decode("ascii", "replace"),
                before=list(before),
            )
        before = (entry.seq, entry.chunk)


def events_read(entry: EventsEntry) -> list[Event]:
    """Return the events of an entry; what cannot be used is there without a body, so that nothing is skipped unseen."""
    try:
        items = orjson.loads(entry.data)
    except orjson.JSONDecodeError:
        items = None
    if not isinstance(items, list):
        return [Event(-1, "", None, entry.data)]
    events = []
    for index, item in enumerate(items):
        kind = item.get("e") if isinstance(item, dict) else None
        if isinstance(kind, str):
            events.append(Event(index, kind, item, b""))
        else:
            events.append(Event(index, "", None, orjson.dumps(item)))
    return events
