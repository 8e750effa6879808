"""
Views made anew, in a new generation: from a snapshot's state and its memory of requests, then from the events after it.

Asked for by an operator, or when the cursor is gone and the events no longer reach back to their beginning. The views
in force stay as they are, and as old as they are, until one SET puts the new ones in their place. What knows a state is
imported only when one is read, in a thread of its own: no event waits for a compiler.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from persister.archiver import Offload
from persister.reader import Event, Position, Reader, events_read, position_of, reach_back
from persister.views import RESULT_OK, Changes, NoStart, change_apply, changes_of, outcome_replaces, result_of
from shared.database import Database, DatabaseError
from shared.refusal import Refusal
from shared.streams import EventsEntry, Keys, StreamsAsync
from shared.wire_events import Encoder

OUTCOMES_PAGE = 1_000
KEYFRAMES_TRIED = 20

ROW_SELECT = "SELECT snapshot_data FROM engine_snapshots WHERE venue = $1"
KEYFRAME_SELECT = "SELECT snapshot_data FROM engine_keyframes WHERE venue = $1 ORDER BY seq DESC OFFSET $2 LIMIT 1"


class Start(NamedTuple):
    """A state to make views of, and the events entry that it stands behind; no state: before the first entry."""

    position: Position
    log_time_us: int
    states: Any


class Rebuild:
    """Makes the next generation of a venue's views."""

    def __init__(
        self,
        streams: StreamsAsync,
        venue: str,
        database: Database,
        folder: Path,
        log: Any,
        monotonic_s: Callable[[], float],
        offload: Offload = asyncio.to_thread,
    ) -> None:
        """Keep what it reads: Redis, and the snapshots in Postgres and in the data folder."""
        self.streams = streams
        self.keys = Keys(venue)
        self.database = database
        self.folder = folder
        self.log = log
        self.monotonic_s = monotonic_s
        self.offload = offload

    async def run(self, in_force: int) -> bool:
        """Make a generation and put it in place of the one in force; raises NoStart; False: another was faster."""
        started_s = self.monotonic_s()
        start = await self.start()
        keys = Keys(self.keys.venue, await self.streams.views_number(self.keys))
        images = await self.generation_make(keys, start)
        switched = images is not None and await self.streams.views_switch(
            keys, in_force, start.position.text, start.log_time_us
        )
        if not switched:
            await self.streams.views_clear(keys)
            self.log.warning("views_rebuilt_by_another", generation=keys.generation)
            return False
        await self.streams.delete(keys.views_rebuild)
        took_s = round(self.monotonic_s() - started_s, 1)
        place = start.position.text
        self.log.info("views_rebuilt", generation=keys.generation, start=place, images=images, took_s=took_s)
        return True

    async def generation_make(self, keys: Keys, start: Start) -> int | None:
        """Write a generation up to the events' end; return how many images it began with, None when it was cut off."""
        position, images = start.position, 0
        if start.states is not None:
            images = await self.state_write(keys, start)
            if not await self.streams.views_commit(
                keys, (None, position.text), position.digest, {}, {}, outcome_replaces
            ):
                return None
        try:
            return images if await self.catch_up(keys, position) else None
        except Refusal:
            if await self.streams.events_first(keys) > position.place > (0, 0):
                raise NoStart("the events behind the snapshot were trimmed meanwhile") from None
            raise

    async def start(self) -> Start:
        """Return the newest state whose place in the events is held; without one, their beginning if it is held."""
        async for place, document in self.documents():
            try:
                start = await self.start_of(document)
            except (ValueError, KeyError, TypeError) as error:
                self.log.warning("snapshot_unusable", place=place, reason=f"{type(error).__name__}: {error}")
                continue
            if start is not None:
                return start
            self.log.info(
                "snapshot_unusable", place=place, reason="the events no longer hold the entry it stands behind"
            )
        if await reach_back(self.streams, self.keys):
            return Start(Position(), 0, None)
        raise NoStart("no snapshot that verifies stands where the events still are; the engine writes one every 10 s")

    async def start_of(self, document: dict[str, Any]) -> Start | None:
        """Return the start that a snapshot gives, None when the events do not hold its entry; raises when damaged."""
        witness = document["witness"]["events"]
        position = Position(int(witness["seq"]), int(witness["chunk"]), bytes.fromhex(witness["digest"]))
        found = await self.streams.range_events(self.keys, position.place, position.place, 1)
        if not found or position_of(found[0]).digest != position.digest:
            return None
        states = await self.offload(state_restore, document, self.keys.venue)
        return Start(position, int(document["log_time_us"]), states)

    async def documents(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield the snapshots and where each was found: files and row, the newest first, then the keyframes."""
        newest = [(str(path), document) for path, document in await self.offload(files_read, self.folder)]
        away = False
        try:
            row = await self.database.fetchrow(ROW_SELECT, self.keys.venue)
            newest += [("the row", row["snapshot_data"])] if row is not None else []
        except DatabaseError as error:
            away = True
            self.log.warning("snapshots_of_postgres_wait", error=f"{type(error).__name__}: {error}")
        for place, document in sorted(newest, key=lambda found: seq_of(found[1]), reverse=True):
            yield place, document
        for offset in range(0 if away else KEYFRAMES_TRIED):
            try:
                row = await self.database.fetchrow(KEYFRAME_SELECT, self.keys.venue, offset)
            except DatabaseError:
                return
            if row is None:
                return
            yield f"keyframe {offset}", row["snapshot_data"]

    async def state_write(self, keys: Keys, start: Start) -> int:
        """Write what the state shows and what it remembers of requests; return how many images there were."""
        entry = EventsEntry(start.position.seq, start.position.chunk, start.log_time_us, b"", b"", b"")
        count = 0
        pages = state_pages(start.states)
        while (page := await self.offload(next, pages, None)) is not None:
            changes = Changes({}, {}, [])
            for event in page:
                change_apply(keys, changes, entry, event)
            await self.streams.views_write(keys_seen(changes))
            count += len(page)
        remembered = await self.offload(lambda: dict(outcomes_of(keys, start)))
        names = list(remembered)
        for at in range(0, len(names), OUTCOMES_PAGE):
            part = {name: remembered[name] for name in names[at : at + OUTCOMES_PAGE]}
            while not await self.streams.outcomes_write(part, memory_replaces):
                pass  # the reader in force wrote one of them meanwhile
        return count

    async def catch_up(self, keys: Keys, position: Position) -> bool:
        """Write the events after the start up to their end; False when a later generation is in force."""
        before = position.text if position.place > (0, 0) else None
        reader = Reader("view rebuild", self.streams, keys, position, self.monotonic_s)
        while reader.position.place < await self.streams.events_tip(keys):
            entries = await reader.read()
            if not entries:
                continue
            changes = changes_of(keys, entries)
            after = position_of(entries[-1])
            if not await self.streams.views_commit(
                keys, (before, after.text), after.digest, changes.hashes, changes.outcomes, outcome_replaces
            ):
                return False
            reader.position, before = after, after.text
        return True


def keys_seen(changes: Changes) -> dict[str, dict[str, bytes | None]]:
    """Return the fields that are there; a new generation has none to remove."""
    return {
        key: {name: value for name, value in fields.items() if value is not None}
        for key, fields in changes.hashes.items()
    }


def seq_of(document: Any) -> int:
    """Return the entry that a document says it is of, before it is believed; -1 when it says nothing of the kind."""
    seq = document.get("seq") if isinstance(document, dict) else None
    return seq if isinstance(seq, int) else -1


def memory_replaces(there: bytes | None, new: bytes) -> bool:
    """Return whether what is remembered of a request is written: never over an outcome that knows as much or more."""
    if there is None:
        return True
    newer = int(orjson.loads(new)["seq"]) > int(orjson.loads(there)["seq"])
    return result_of(there) != RESULT_OK and (newer or result_of(new) == RESULT_OK)


def files_read(folder: Path) -> Iterable[tuple[Path, dict[str, Any]]]:
    """Return the snapshots that lie in the data folder as JSON, the newest first; none is believed yet."""
    from engine.documents import files_list

    found = []
    for _seq, path in files_list(folder):
        try:
            found.append((path, orjson.loads(path.read_bytes())))
        except (OSError, orjson.JSONDecodeError):
            continue  # the engine replaces its files while we look
    return found


def state_restore(document: dict[str, Any], venue: str) -> Any:
    """Return the state that a snapshot holds; raises ValueError when it does not verify."""
    from engine.core.snapshot import SnapshotMismatch, restore
    from engine.documents import DocumentUnreadable, document_unpack, document_verify

    try:
        return restore(document_unpack(document_verify(document, venue)))
    except (DocumentUnreadable, SnapshotMismatch) as error:
        raise ValueError(str(error)) from error


def state_pages(states: Any) -> Iterator[list[Event]]:
    """Yield what a state shows as events, page by page."""
    from engine.core.images import images

    encoder = Encoder([], (0, 0))  # the first page states the markets, and so their names
    for page in images(states):
        events: list[Event] = []
        for output in encoder.feed(page):
            events += events_read(EventsEntry(output.seq, output.chunk, output.log_time_us, b"", b"", output.data))
        yield events


def outcomes_of(keys: Keys, start: Start) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of each outcome that the state remembers: its result and its entry, nothing else is known."""
    from engine.core.images import outcomes

    for row in outcomes(start.states):
        response = {
            "e": "order_response",
            "account": row.account_id,
            "request_id": row.request_id,
            "result": row.result,
            "rebuilt": True,
        }
        stored = {"seq": row.seq, "log_time_us": start.log_time_us, "ts": row.ts_us, "response": response}
        yield keys.outcome(row.account_id, row.request_id), orjson.dumps(stored)
