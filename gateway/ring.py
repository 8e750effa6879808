"""
The newest entries of the events stream in this gateway's memory, and who hears of the next one.

Entries are kept as they came and parsed when the first follower asks. Places are compared, never seqs: a cursor may
stand at a chunk inside a seq.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import orjson

from gateway.socket.channels import public_channel
from shared.streams import EventsEntry, seq_chunk_of_event_id

ENTRIES_MAX = 65_536
BYTES_MAX = 64 * 1024 * 1024
PARSED_MAX = 256  # entries that stay parsed, together no larger than
PARSED_BYTES_MAX = 8 * 1024 * 1024
ENTRY_OVERHEAD = 200  # bytes that an entry costs beside its data, about

Position = tuple[int, int]  # (seq, chunk)


class Parsed(NamedTuple):
    """An entry's events, each with its index: by account, and those that have a public channel."""

    events: list[tuple[int, dict[str, Any]]]
    by_account: dict[int, list[tuple[int, dict[str, Any]]]]
    public: list[tuple[int, str, dict[str, Any]]]
    closed: dict[int, dict[str, Any]]  # closed orders by id
    frames: dict[tuple[int, str], bytes]  # messages that were made of them, by index and channel


class Held:
    """One entry of the events, parsed at most once while somebody may ask again."""

    __slots__ = ("_parsed", "entry", "place")

    def __init__(self, entry: EventsEntry) -> None:
        """Keep the entry as it came."""
        self.entry = entry
        self.place: Position = (entry.seq, entry.chunk)
        self._parsed: Parsed | None = None

    @property
    def previous(self) -> Position:
        """Return the place of the entry before this one, (0, 0) when it names none."""
        return place_of_id(self.entry.previous)

    def parsed(self) -> Parsed:
        """Return what the entry holds."""
        if self._parsed is None:
            self._parsed = parse(self.entry)
        return self._parsed

    def forget(self) -> None:
        """Forget what was parsed."""
        self._parsed = None

    @property
    def is_parsed(self) -> bool:
        """Return whether it is parsed."""
        return self._parsed is not None


def parse(entry: EventsEntry) -> Parsed:
    """Return an entry's events; one that cannot be read has none, and what is no object keeps its index to itself."""
    try:
        listed = orjson.loads(entry.data)
    except orjson.JSONDecodeError:
        listed = []
    found = Parsed([], {}, [], {}, {})
    for index, event in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(event, dict) or not isinstance(event.get("e"), str):
            continue
        found.events.append((index, event))
        account = event.get("account")
        if isinstance(account, int):
            found.by_account.setdefault(account, []).append((index, event))
        channel = public_channel(event)
        if channel is not None:
            found.public.append((index, channel, event))
        if event["e"] == "closed_order" and isinstance(event.get("order_id"), int):
            found.closed[event["order_id"]] = event
    return found


def place_of_id(stream_id: bytes) -> Position:
    """Return (seq, chunk) of a stream id, (0, 0) for one that names no entry."""
    try:
        place = seq_chunk_of_event_id(stream_id)
    except ValueError:
        return (0, 0)
    return place if place[0] > 0 else (0, 0)


class Ring:
    """Every entry after `floor` up to `tip`, without a hole."""

    def __init__(self, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Start empty; `start` places it."""
        self.floor: Position = (0, 0)
        self.tip: Position = (0, 0)
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._first = 0  # what lies before is gone; cut off now and then
        self._places: list[Position] = []
        self._helds: list[Held | None] = []
        self._parsed: deque[Held] = deque()
        self._parsed_bytes = 0

    def __len__(self) -> int:
        """Return how many entries are held."""
        return len(self._helds) - self._first

    def start(self, place: Position) -> None:
        """Hold nothing, and whatever follows this place from now on."""
        self.floor = self.tip = place
        self._bytes = self._first = self._parsed_bytes = 0
        self._places.clear()
        self._helds.clear()
        self._parsed.clear()

    def append(self, entry: EventsEntry) -> Held:
        """Hold one entry more, which follows the newest; the oldest make room."""
        held = Held(entry)
        assert held.place > self.tip, "the events are read in order"
        self._places.append(held.place)
        self._helds.append(held)
        self._bytes += len(entry.data) + ENTRY_OVERHEAD
        self.tip = held.place
        while len(self) > self._entries_max or (self._bytes > self._bytes_max and len(self) > 1):
            self._drop()
        return held

    def _drop(self) -> None:
        """Let the oldest go."""
        held = self._helds[self._first]
        assert held is not None
        self.floor = held.place
        self._bytes -= len(held.entry.data) + ENTRY_OVERHEAD
        self._helds[self._first] = None
        self._first += 1
        if self._first > len(self._helds) // 2:
            del self._helds[: self._first], self._places[: self._first]
            self._first = 0

    def parsed(self, held: Held) -> Parsed:
        """Return what a held entry holds; of the entries that were asked for only the newest asked stay parsed."""
        if not held.is_parsed:
            self._parsed.append(held)
            self._parsed_bytes += len(held.entry.data)
            while len(self._parsed) > PARSED_MAX or (self._parsed_bytes > PARSED_BYTES_MAX and len(self._parsed) > 1):
                oldest = self._parsed.popleft()
                self._parsed_bytes -= len(oldest.entry.data)
                oldest.forget()
        return held.parsed()

    def at(self, place: Position) -> Held | None:
        """Return the entry at a place."""
        index = bisect_left(self._places, place, self._first)
        return self._helds[index] if index < len(self._places) and self._places[index] == place else None

    def newest(self, count: int) -> list[Held]:
        """Return up to `count` of the entries held, the newest first."""
        return [
            held for held in reversed(self._helds[max(self._first, len(self._helds) - count) :]) if held is not None
        ]

    def following(self, place: Position, count: int) -> list[Held]:
        """Return up to `count` entries after a place."""
        index = bisect_right(self._places, place, self._first)
        return [held for held in self._helds[index : index + count] if held is not None]


class Listener(Protocol):
    """Somebody who follows the events."""

    def hear(self, held: Held) -> None:
        """Take the entry that was read just now and may concern one."""

    def cut(self, told: Position) -> None:
        """Learn that what follows this place will never be heard."""


Group = dict[Listener, None]


class Audience:
    """Who hears of each entry as it is read: by account, and by public channel."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._accounts: dict[int, Group] = {}
        self._tags: dict[bytes, Group] = {}

    def add(self, listener: Listener, account: int | None, tags: Iterable[bytes]) -> None:
        """Let somebody hear of the entries that touch an account or hold one of the tags."""
        if account is not None:
            self._accounts.setdefault(account, {})[listener] = None
        for tag in tags:
            self._tags.setdefault(tag, {})[listener] = None

    def remove(self, listener: Listener, account: int | None, tags: Iterable[bytes]) -> None:
        """Let somebody hear no more."""
        if account is not None:
            _leave(self._accounts, account, listener)
        for tag in tags:
            _leave(self._tags, tag, listener)

    def everybody(self) -> list[Listener]:
        """Return all who hear anything."""
        groups = [*self._accounts.values(), *self._tags.values()]
        return list(dict.fromkeys(listener for group in groups for listener in group))

    def of(self, entry: EventsEntry) -> list[Listener]:
        """Return who hears of an entry."""
        found: Group = {}
        if self._accounts and entry.accounts:
            for account in entry.accounts.split(b","):
                if account.isdigit():
                    found.update(self._accounts.get(int(account), {}))
        for tag, group in self._tags.items():
            if tag in entry.data:
                found.update(group)
        return list(found)


def _leave(groups: dict[Any, Group], name: Any, listener: Listener) -> None:
    """Take somebody out of one group, and an empty group out."""
    group = groups.get(name)
    if group is not None:
        group.pop(listener, None)
        if not group:
            del groups[name]
