"""
Twin and engine behind one face, one history on both, and what must be equal between them after every entry.
"""

import json
import random
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shared import genesis
from tests.property.entries import START_US, WITH_SESSION, Entry
from tests.property.histories import History, genesis_body
from tests.property.statistics import Statistics
from tests.reference import Reference
from tests.reference.state import FIRST_USER, INSURANCE, lots_total, money_total

IMAGES = {"account_changed": "account", "position_changed": "position_id", "order_changed": "order_id"}
INVARIANTS_EVERY = 50
WHOLE_EVERY = 10  # entries that tell nothing: only the markets are compared after those between
RESTORE_EVERY = 3  # of the histories; their engines are restored now and then
RESTORE_LIKELY = 0.015  # after an entry
HASH_EVERY = 10  # of the histories of a long run


class Difference(AssertionError):
    """Twin and engine do not agree; `cause` groups what is probably the same."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(f"{cause}\n{text}")
        self.cause, self.text = cause, text


class TwinVenue(Reference):
    """The twin, founded like the library's engine, which opens a feed session at once."""

    def __init__(self, first: dict[str, Any], ts_us: int) -> None:
        super().__init__()
        settings = {key: value for key, value in first.items() if key != "markets"}
        self.apply("genesis", genesis.default("library0aa", first["markets"], **settings), ts_us)
        self.apply("feed_status", {"status": "up", "source": "library"}, ts_us, "library")

    def sound(self) -> list[str]:
        """Return what does not hold of the twin itself: conservation, reserves, cells that may not be negative."""
        state = self.state
        wrong = [] if money_total(state) == 0 else ["money was made or lost"]
        uneven = [name for name, market in state.markets.items() if lots_total(state, market)]
        wrong += [f"lots of {name} do not sum to zero" for name in uneven]
        for key, account in state.accounts.items():
            reserved = sum(row.reserved for row in state.orders.values() if row.account_id == key)
            pooled = any(row.cross and row.account_id == key for row in state.positions.values()) and not reserved
            owed = account.free < 0 and (key >= FIRST_USER or key == INSURANCE) and not pooled
            if account.reserved != reserved or owed:
                wrong.append(f"account {key}: free {account.free}, reserved {account.reserved}, by orders {reserved}")
        live = ("resting", "trigger", "attached", "delayed")
        wrong += [f"order {row.order_id} is {row.status}" for row in state.orders.values() if row.status not in live]
        wrong += [f"told {event}" for event in state.events if event.get("status", "resting") not in live]
        wrong += [f"position {row.position_id} has no lots" for row in state.positions.values() if not row.lots]
        return wrong


class EngineVenue:
    """The library's engine, fed entry by entry through the same bytes that a log would hold, both ways of the wire."""

    def __init__(self, first: dict[str, Any], ts_us: int) -> None:
        from tests.property.wire_engine import WireEngine

        settings = {key: value for key, value in first.items() if key != "markets"}
        self.engine = WireEngine(markets=first["markets"], ts_us=ts_us, **settings)

    def crowd(self) -> None:
        """Leave room for the events of one step at a time: every entry is gone on with after each."""
        self.engine.states["events_room"] = 0

    def apply(self, kind: str, body: dict[str, Any], ts_us: int, session: str = "") -> list[dict[str, Any]]:
        """Apply one entry as raw fields and return its events."""
        from tests.property.wire_engine import canonical

        text = json.dumps(canonical(kind, body), separators=(",", ":")).encode()
        fields = [(kind.encode(), text)]
        if kind in WITH_SESSION:
            fields.insert(0, (b"session", session.encode()))
        return self.engine.apply_raw(fields, ts_us)

    def restored(self) -> "EngineVenue":
        """Return another venue whose engine was restored from a snapshot of this one, and goes on step by step."""
        other = object.__new__(EngineVenue)
        other.engine = self.engine.restored()
        assert other.engine.state_hash() == self.engine.state_hash()
        other.crowd()
        return other


def events_sorted(events: list[dict[str, Any]]) -> tuple[Counter[str], dict[tuple[str, int], str]]:
    """Return the facts of an entry as a multiset, and the newest post-image of each thing that changed."""
    facts: Counter[str] = Counter()
    images: dict[tuple[str, int], str] = {}
    for event in events:
        text = json.dumps(event)
        if event["e"] in IMAGES:
            images[(event["e"], event[IMAGES[event["e"]]])] = text
        else:
            facts[text] += 1
    return facts, images


def events_difference(
    twin: list[dict[str, Any]], engine: list[dict[str, Any]], any_order: bool = False
) -> tuple[str, str]:
    """Return the kinds of events that differ and the events themselves as readable lines; empty when they agree."""
    if [json.dumps(event) for event in twin] == [json.dumps(event) for event in engine]:
        return "", ""
    facts_twin, images_twin = events_sorted(twin)
    facts_engine, images_engine = events_sorted(engine)
    only_twin, only_engine = facts_twin - facts_engine, facts_engine - facts_twin
    kinds = {json.loads(text)["e"] for text in (*only_twin, *only_engine)}
    lines = [f"  twin only:   {text}" for text in only_twin.elements()]
    lines += [f"  engine only: {text}" for text in only_engine.elements()]
    for key in sorted({*images_twin, *images_engine}):
        if images_twin.get(key) != images_engine.get(key):
            kinds.add(key[0])
            lines.append(f"  twin:   {images_twin.get(key)}\n  engine: {images_engine.get(key)}")
    if not lines and any_order:
        return "", ""
    if not lines:
        kinds = {"another order"}
        names = [[event["e"] for event in events] for events in (twin, engine)]
        lines = ["  the same facts in another order:", f"  twin:   {names[0]}", f"  engine: {names[1]}"]
        pairs = ((one, two) for one, two in zip(twin, engine, strict=False) if one != two)
        lines += [f"  first: {one}\n  first: {two}" for one, two in [next(pairs, ({}, {}))]]
    return ",".join(sorted(kinds)), "\n".join(lines)


def name_of(entry: Entry) -> str:
    """Return what an entry is, for grouping: its kind, or the operation that it asks for."""
    return str(entry.body.get("op", entry.kind)) if entry.kind.endswith("_instruction") else entry.kind


@dataclass
class Run:
    """One venue on both sides, and what has been applied to it."""

    first: dict[str, Any]
    twin_only: bool = False
    hashes: bool = True
    any_order: bool = False  # of the events in one entry
    restore_likely: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    applied: list[Entry] = field(default_factory=list)
    counters: list[dict[str, int]] = field(default_factory=list)  # the twin's before each entry

    def __post_init__(self) -> None:
        """Found both venues."""
        self.twin = TwinVenue(self.first, START_US)
        self.engine = None if self.twin_only else EngineVenue(self.first, START_US)
        self.before = self.engine.engine.record_hash() if self.engine is not None and self.hashes else ""

    def apply(self, entry: Entry) -> list[dict[str, Any]]:
        """Apply one entry to both and return its events; raises Difference when they do not agree."""
        self.applied.append(entry)
        self.counters.append(dict(self.twin.state.counters))
        name = name_of(entry)
        seen = guarded(self.twin, entry, f"{name}: the twin raised")
        if self.engine is not None:
            found = guarded(self.engine, entry, f"{name}: the engine raised")
            self.compare(name, entry.kind.endswith("_instruction"), seen, found)
        if self.engine is None or len(self.applied) % INVARIANTS_EVERY == 0:
            self.invariants(name)
        return seen

    def compare(self, name: str, instruction: bool, seen: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
        """Compare events and books, and the record's hash over a refusal; restore the engine now and then."""
        from tests.property import books

        assert self.engine is not None
        kinds, text = events_difference(seen, found, self.any_order)
        if text:
            raise Difference(f"{name}: events {kinds}", text)
        quiet = not seen and not instruction and len(self.applied) % WHOLE_EVERY > 0
        states = self.engine.engine.states
        book, text = books.books_difference(books.twin_books(self.twin, quiet), books.engine_books(states, quiet))
        if text:
            raise Difference(f"{name}: book {book}", text)
        if self.restore_likely and self.chance.random() < self.restore_likely:
            self.engine = self.engine.restored()
        if self.hashes:
            after = self.engine.engine.record_hash()
            if len(found) == 1 and found[0].get("result", "OK") != "OK" and self.before != after:
                raise Difference(f"{name}: hash", "  refused, and yet the book of record changed")
            self.before = after

    def invariants(self, name: str) -> None:
        """Check what must hold of each side by itself."""
        wrong = self.twin.sound()
        if wrong:
            raise Difference(f"{name}: the twin is not sound", "\n".join(wrong))
        wrong = self.engine.engine.invariants() if self.engine is not None else []
        if wrong:
            raise Difference(f"{name}: invariants", "\n".join(wrong))

    def whole(self) -> None:
        """Check that an engine that was never restored ends with the same hash."""
        assert self.engine is not None
        other = EngineVenue(self.first, START_US)
        for entry in self.applied:
            other.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        if other.engine.state_hash() != self.engine.engine.state_hash():
            raise Difference("restore: hash", "  an engine that was restored and one that never was differ at the end")


def guarded(venue: Reference | EngineVenue, entry: Entry, cause: str) -> list[dict[str, Any]]:
    """Return the events of one entry on one side; what it raises becomes a Difference."""
    try:
        return venue.apply(entry.kind, entry.body, entry.ts_us, entry.session)
    except Exception as error:
        frames = "".join(traceback.format_tb(error.__traceback__)[-3:])
        raise Difference(f"{cause} {type(error).__name__}", f"{frames}  {error!r}") from error


def founded(seed: int, check_hash: bool, twin_only: bool, any_order: bool) -> Run:
    """Return a seed's venue, founded on both sides."""
    likely = RESTORE_LIKELY if seed % RESTORE_EVERY == 0 else 0.0
    return Run(genesis_body(seed), twin_only, check_hash, any_order, likely, random.Random(seed))


def run(
    seed: int,
    count: int,
    statistics: Statistics | None = None,
    check_hash: bool = True,
    twin_only: bool = False,
    any_order: bool = False,
    record: Run | None = None,
) -> int:
    """
    Run one random history on both and compare after every entry; returns how many entries it had.

    The engine is restored from a snapshot of itself now and then; one that never was must end with the same hash.
    """
    both = record or founded(seed, check_hash, twin_only, any_order)
    history = History(seed, both.twin)
    apply_all(both, history.entries(count), f"seed {seed}", statistics)
    if statistics is not None:
        statistics.note_end(both.twin)
    return len(both.applied)


def apply_all(both: Run, entries: Iterable[Entry], title: str, statistics: Statistics | None = None) -> None:
    """Apply entries one by one, count them, and check both sides at the end; a Difference says where it was."""
    try:
        for entry in entries:
            events = both.apply(entry)
            if statistics is not None:
                statistics.note(entry, events, both.twin)
        both.invariants("end")
        if both.hashes and not both.twin_only:
            both.whole()
    except Difference as problem:
        last = both.applied[-1] if both.applied else None
        where = f"{title}, shortest failing prefix {len(both.applied)} entries, the last: {last}"
        raise Difference(problem.cause, f"{where}\n{problem.text}") from problem
