"""
What the streams may lose, and taking it from them: nothing that anybody needs to come back, to compare or to resume.

The log keeps everything from the oldest keyframe that counts, and what the archive does not hold yet; the events keep
what a reader has not stored, what recovery compares with, and an hour for clients. Whatever cannot be asked keeps all.
"""

import asyncio
from typing import Any, NamedTuple, Protocol

from shared.database import Database, DatabaseError
from shared.streams import Keys, StreamsAsync, StreamsError

PASS_EVERY_S = 5.0
ROUNDS_MAX = 50
KEYFRAMES_MIN = 3
US = 1_000_000

# created_at and now() are of one clock, that of Postgres.
KEYFRAMES_COUNTED = """
SELECT seq, created_at > now() - make_interval(secs => $2) AS young FROM engine_keyframes
WHERE venue = $1 AND verified_us IS NOT NULL ORDER BY seq DESC
"""
HISTORY_CURSOR = "SELECT seq, chunk FROM persister_cursor WHERE venue = $1"

Place = tuple[int, int]


class Floors(NamedTuple):
    """The oldest entries that stay."""

    log: int
    events: Place


class Archive(Protocol):
    """What is asked of the archiver: whether it writes, and seq and digest of what lies on the disk."""

    archives: bool
    position: tuple[int, str]


def keyframe_floor(keyframes: list[tuple[int, bool]], count_min: int = KEYFRAMES_MIN) -> int:
    """Return the oldest of the newest three keyframes that count and of the young ones; 0 without three."""
    if len(keyframes) < count_min:
        return 0
    newest = sorted(keyframes, reverse=True)
    return min([seq for seq, _ in newest[:count_min]] + [seq for seq, young in newest if young])


class Trimmer:
    """Trims both streams of one venue, as long as this process archives its log."""

    def __init__(
        self,
        streams: StreamsAsync,
        keys: Keys,
        database: Database,
        archiver: Archive,
        log: Any,
        restores: int,
        keep_keyframes_s: float,
        keep_events_s: float,
        keyframes_min: int = KEYFRAMES_MIN,
        pass_every_s: float = PASS_EVERY_S,
    ) -> None:
        """Prepare; `run` begins. `restores`: how often the log was restored before this process remembered anything."""
        self.streams = streams
        self.keys = keys
        self.database = database
        self.archiver = archiver
        self.log = log
        self.restores = restores
        self.keep_keyframes_s = keep_keyframes_s
        self.keep_events_s = keep_events_s
        self.keyframes_min = keyframes_min
        self.pass_every_s = pass_every_s
        self.keyframes_counted = 0
        self.first = Floors(0, (0, 0))  # what the streams begin with, as last seen
        self.reason = "nothing was looked at yet"  # why nothing is trimmed

    async def run(self) -> None:
        """Trim for ever; whatever does not answer is asked again."""
        while True:
            try:
                await self.turn()
            except (DatabaseError, StreamsError) as error:
                self.reason = f"{type(error).__name__}: {error}"
                self.log.debug("trimming_waits", error=self.reason)
            await asyncio.sleep(self.pass_every_s)

    async def turn(self) -> Floors | None:
        """Trim up to what may go now; return the floors, None when nothing may."""
        floors = await self.floors()
        if floors is None:
            return None
        gone = [0, 0]
        for _ in range(ROUNDS_MAX):
            trimmed = await self.streams.trim(self.keys, self.restores, floors.log, floors.events)
            if trimmed is None:
                self.reason = "the venue is another, a refusal stands, or the log was restored"
                self.log.warning("trimming_stopped", reason=self.reason)
                return None
            gone = [gone[0] + trimmed[0], gone[1] + trimmed[1]]
            if trimmed == (0, 0):
                break
        if any(gone):
            self.log.info("trimmed", log_entries=gone[0], events_entries=gone[1], log_floor=floors.log)
        self.first = Floors(await self.streams.log_first(self.keys), await self.streams.events_first(self.keys))
        return floors

    async def floors(self) -> Floors | None:
        """Return what must stay; None, and why, when somebody has not said what he needs."""
        rows = await self.database.fetch(KEYFRAMES_COUNTED, self.keys.venue, self.keep_keyframes_s)
        self.keyframes_counted = len(rows)
        keyframe = keyframe_floor([(int(row["seq"]), bool(row["young"])) for row in rows], self.keyframes_min)
        archived = self.archiver.position[0] if self.archiver.archives else 0
        cursor = await self.database.fetchrow(HISTORY_CURSOR, self.keys.venue)
        views, _ = await self.streams.views_cursor_read(self.keys)
        self.reason = ""
        if not archived:
            self.reason = "this process does not archive the log"
        elif not keyframe:
            self.reason = f"{len(rows)} keyframes count, {self.keyframes_min} must"
        elif cursor is None or cursor["seq"] <= 0 or views is None:
            self.reason = "a reader of the events has stored nothing yet"
        if self.reason or cursor is None or views is None:
            return None
        seq, _, chunk = views.partition("-")
        floor, tip = min(keyframe, archived), await self.streams.log_tip(self.keys)
        if floor > tip:
            self.reason = f"the log ends at {tip}, {floor} must stay: it lost its end, and all of it would go"
            return None
        log_first = await self.streams.log_first(self.keys)
        readers = min((int(cursor["seq"]), int(cursor["chunk"])), (int(seq), int(chunk)), (log_first, 0))
        return Floors(floor, await self.resumable(readers))

    async def resumable(self, before: Place) -> Place:
        """Return the oldest events entry, not behind `before`, whose log time is young enough for clients to resume."""
        low = await self.streams.events_first(self.keys)
        tip = await self.streams.events_tip(self.keys)
        newest = await self.streams.range_events(self.keys, tip, tip, 1)
        if not newest or low >= before:
            return min(low, before)
        limit_us = newest[0].log_time_us - int(self.keep_events_s * US)
        high = before
        # Invariant: what lies below `low` is too old; the entry at `high`, or the first behind it, may not go.
        while low[0] < high[0]:
            middle = ((low[0] + high[0]) // 2, 0)
            found = await self.streams.range_events(self.keys, middle, tip, 1)
            if not found or found[0].log_time_us >= limit_us or found[0].log_time_us < 0:
                high = middle
            else:
                low = (max(found[0].seq, middle[0]) + 1, 0)
        return min(high, before)
