"""Handing events to the history as the persister does: its store, its cursor, its transactions, in batches."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from persister.audit import Instructions
from persister.history import CursorMoved, HistoryStore, batch_of
from persister.reader import Position, chain_check
from scripts.exits import EXIT_DIFFERENT, ToolStop
from scripts.sources import Quiet
from shared.database import Database
from shared.stream_keys import EventsEntry, Keys
from shared.streams import StreamsAsync

BATCH_ENTRIES = 500
DATABASE_TIMEOUT_S = 60.0


class Handed(NamedTuple):
    """What became of it."""

    before: Position
    after: Position
    entries: int
    rows: int
    rejects: int


class Place(NamedTuple):
    """Where history is kept, and where what it answers is looked up."""

    redis_url: str
    database_url: str
    keys: Keys
    archive: Path


def history_position(place: Place) -> Position:
    """Return where the history stands."""

    async def ask() -> Position:
        database = await Database.connect(place.database_url, timeout_s=DATABASE_TIMEOUT_S)
        try:
            await database.migrate()
            return await HistoryStore(database, place.keys.venue, Quiet()).begin()
        finally:
            await database.close()

    return asyncio.run(ask())


def history_hand(place: Place, before: Position, entries: Iterable[EventsEntry]) -> Handed:
    """Return what was stored of the entries, which follow the position; raises ToolStop when the cursor moved."""
    return asyncio.run(hand(place, before, iter(entries)))


async def hand(place: Place, before: Position, entries: Iterator[EventsEntry]) -> Handed:
    """Store the entries batch by batch, each with the cursor's move in one transaction."""
    streams = StreamsAsync(place.redis_url)
    database = await Database.connect(place.database_url, timeout_s=DATABASE_TIMEOUT_S)
    log: Any = Quiet()
    folder = place.archive if place.archive.is_dir() else None
    store = HistoryStore(database, place.keys.venue, log, Instructions(streams, place.keys, folder, log))
    position, count, rows = before, 0, 0
    try:
        for batch in batched_entries(entries):
            chain_check("history", position, batch)
            position = await store.commit(position, batch)
            count += len(batch)
            rows += sum(len(inserts) for inserts in batch_of(place.keys.venue, batch).inserts.values())
    except CursorMoved:
        raise ToolStop(
            f"the history moved on by itself behind {position.text}: a persister lives; see if it still needs this",
            EXIT_DIFFERENT,
        ) from None
    finally:
        await database.close()
        await streams.close()
    return Handed(before, position, count, rows, store.rejects_count)


def batched_entries(entries: Iterator[EventsEntry]) -> Iterator[list[EventsEntry]]:
    """Yield the entries in lists."""
    while batch := list(islice(entries, BATCH_ENTRIES)):
        yield batch
