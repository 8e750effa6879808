"""
The engine and the twin behind one face, and what must be equal between them after every entry.
"""

import json
import random
from collections import Counter
from typing import Any

import numpy as np

from engine import core
from shared import genesis
from shared.codes import IgnoreReason
from tests.property.histories import START_US, Entry, History, genesis_body
from tests.reference import Reference
from tests.reference.state import FIRST_USER

IMAGES = {"account_changed": "account", "position_changed": "position_id", "order_changed": "order_id"}


class TwinVenue(Reference):
    """The twin, founded like the library's engine, which opens a feed session at once."""

    def __init__(self, first: dict[str, Any], ts_us: int) -> None:
        super().__init__()
        settings = {key: value for key, value in first.items() if key != "markets"}
        self.apply("genesis", genesis.default("library0aa", first["markets"], **settings), ts_us)
        self.apply("feed_status", {"status": "up", "source": "library"}, ts_us, "library")


class EngineVenue:
    """The library's engine, fed entry by entry through the same bytes that a log would hold."""

    def __init__(self, first: dict[str, Any], ts_us: int) -> None:
        from engine.library import Engine

        settings = {key: value for key, value in first.items() if key != "markets"}
        self.engine = Engine(markets=first["markets"], ts_us=ts_us, **settings)

    def apply(self, kind: str, body: dict[str, Any], ts_us: int, session: str = "") -> list[dict[str, Any]]:
        """Apply one entry as raw fields and return its events."""
        text = json.dumps(body, separators=(",", ":")).encode()
        fields = [(kind.encode(), text)]
        if kind in ("price_update", "mark_update", "feed_status"):
            fields.insert(0, (b"session", session.encode()))
        return self.engine.apply_raw(fields, ts_us)

    def restored(self) -> "EngineVenue":
        """Return another venue whose engine was restored from a snapshot of this one."""
        other = object.__new__(EngineVenue)
        other.engine = self.engine.restored()
        assert other.engine.state_hash() == self.engine.state_hash()
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


def difference(twin: list[dict[str, Any]], engine: list[dict[str, Any]]) -> str:
    """Return what two event lists of one entry do not share, as readable lines; empty when they agree."""
    if [json.dumps(event) for event in twin] == [json.dumps(event) for event in engine]:
        return ""
    facts_twin, images_twin = events_sorted(twin)
    facts_engine, images_engine = events_sorted(engine)
    lines = [f"  twin only:   {text}" for text in (facts_twin - facts_engine).elements()]
    lines += [f"  engine only: {text}" for text in (facts_engine - facts_twin).elements()]
    for key in sorted({*images_twin, *images_engine}):
        if images_twin.get(key) != images_engine.get(key):
            lines.append(f"  twin:   {images_twin.get(key)}\n  engine: {images_engine.get(key)}")
    if not lines:
        lines = [
            "  another order:",
            *(f"  {one}\n  {two}" for one, two in zip(twin, engine, strict=False) if one != two),
        ]
    return "\n".join(lines)


def run(seed: int, count: int, check_hash: bool = True) -> int:
    """
    Run one random history on both and compare after every entry; returns how many entries it had.

    The engine is restored from a snapshot of itself now and then; one that never was must end with the same hash.
    """
    first = genesis_body(random.Random(seed))
    twin, engine = TwinVenue(first, START_US), EngineVenue(first, START_US)
    history = History(seed, twin)
    applied: list[Entry] = []
    before = engine.engine.record_hash() if check_hash else ""
    restores = random.Random(seed)
    for entry in history.entries(count):
        applied.append(entry)
        seen = twin.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        found = engine.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        where = f"seed {seed}, entry {len(applied)}: {entry}"
        wrong = difference(seen, found)
        assert not wrong, f"{where}\n{wrong}"
        for one, other in ((books(twin), engine_books(engine)), (markets(twin), engine_markets(engine))):
            assert one == other, f"{where}\n  twin:   {one}\n  engine: {other}"
        if restores.random() < 0.02:
            engine = engine.restored()
        if check_hash:
            after = engine.engine.record_hash()
            refused = len(found) == 1 and found[0].get("result", "OK") != "OK"
            assert not refused or before == after, f"{where}: refused, and yet the book of record changed"
            before = after
    assert engine.engine.invariants() == [], f"seed {seed}"
    if check_hash:
        whole = EngineVenue(first, START_US)
        for entry in applied:
            whole.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        assert whole.engine.state_hash() == engine.engine.state_hash(), f"seed {seed}: restored and whole differ"
    return len(applied)


def books(twin: Reference) -> dict[str, Any]:
    """Return the twin's cells and positions as plain numbers."""
    state = twin.state
    held = [*state.house.values(), *state.positions.values()]
    return {
        "cells": {key: (row.free, row.reserved) for key, row in state.accounts.items()},
        "positions": {row.position_id: (row.lots, row.cost, row.margin) for row in held},
        "orders": {key: (row.lots, row.reserved) for key, row in state.orders.items()},
    }


def engine_books(engine: EngineVenue) -> dict[str, Any]:
    """Return the engine's cells and positions as plain numbers, the house's among them."""
    states = engine.engine.states
    return {
        "cells": {row["account_id"]: (row["free_e6"], row["reserved_e6"]) for row in core.accounts_of(states)},
        "positions": {
            row["position_id"]: (row["lots"], row["cost_e6"], row["margin_e6"])
            for row in core.positions_of(states)
            if row["lots"] or row["account_id"] < FIRST_USER
        },
        "orders": {row["order_id"]: (row["qty_lots"], row["reserved_e6"]) for row in core.orders_of(states)},
    }


def markets(twin: Reference) -> dict[str, Any]:
    """Return what the twin knows of its markets' prices, in ticks, and what it ignored."""
    return {
        row.name: {
            "bid": row.bid,
            "ask": row.ask,
            "mark": row.mark,
            "index": row.index,
            "fresh": int(twin.state.fresh(row)),
            "ignored": row.ignored,
        }
        for row in twin.state.markets.values()
    }


def engine_markets(engine: EngineVenue) -> dict[str, Any]:
    """Return the same of the engine, from its market views."""
    found = {}
    state = engine.engine.states.view(np.ndarray)[0]
    for index, (name, view) in enumerate(core.market_views(engine.engine.states).items()):
        row, feed = state["markets"][index], state["feeds"][index]
        reasons = {IgnoreReason(code).name: int(count) for code, count in enumerate(feed["marks_ignored"]) if count}
        for reason, count in view["ignored"].items():
            reasons[reason.upper()] = reasons.get(reason.upper(), 0) + count
        prices = {key: int(row[f"{key}_ticks"]) for key in ("bid", "ask", "mark", "index")}
        found[name] = {**prices, "fresh": view["fresh"], "ignored": reasons}
    return found
