"""Trimming on a real Redis and Postgres: what anybody needs stays, whoever is late, away, or of another time."""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from persister.trimming import Floors, Trimmer, keyframe_floor
from shared.database import Database, DatabaseDown
from shared.stream_guard import Talk, ask
from shared.stream_trimming import trim
from shared.streams import AppendStatus, Keys, Streams, StreamsAsync
from tests import persister_doubles as events
from tests.persister_doubles import Chain, ListLog
from tests.streams_house import KEYS, found

ENTRIES = 1_000
NODE = 100  # entries of a stream that Redis takes away together
DAY_S = 86_400.0

Play = Callable[["Place"], Any]


class ArchiveAt:
    """An archiver that stands still."""

    def __init__(self, seq: int) -> None:
        self.position = (seq, "")
        self.archives = seq > 0


class Place(NamedTuple):
    """A venue of a thousand entries in both streams, everybody at their end."""

    streams: Streams
    client: StreamsAsync
    database: Database
    archive: ArchiveAt
    log: ListLog

    def trimmer(self, keep_keyframes_s: float = 0.0, keep_events_s: float = 0.0, restores: int = 0) -> Trimmer:
        """Return a trimmer."""
        keep_s = keep_keyframes_s, keep_events_s
        return Trimmer(self.client, KEYS, self.database, self.archive, self.log, restores, *keep_s)

    async def keyframes(self, *seqs: int, counted: bool = True, age_s: float = 0.0) -> None:
        """Insert keyframes."""
        for seq in seqs:
            await self.database.execute(
                "INSERT INTO engine_keyframes (venue, seq, kind, snapshot_data, created_at, verified_us)"
                " VALUES ($1, $2, 'recent', '{}', now() - make_interval(secs => $3), $4)",
                KEYS.venue, seq, age_s, 1 if counted else None,
            )  # fmt: skip

    async def readers(self, history: int, views: int) -> None:
        """Set both readers' cursors."""
        await self.database.execute("DELETE FROM persister_cursor")
        await self.database.execute("INSERT INTO persister_cursor VALUES ($1, $2, 0, '', 0)", KEYS.venue, history)
        set_raw(self.streams, KEYS.views_cursor, f"{views}-0")

    def firsts(self) -> tuple[int, int]:
        """Return the first seq of log and events."""
        return self.streams.log_first(KEYS), self.streams.events_first(KEYS)[0]


def set_raw(streams: Streams, key: str, value: str) -> None:
    """Write a key."""
    streams.converse(ask(["SET", key, value], writes=True))


@pytest.fixture
def streams(redis_url: str) -> Iterator[Streams]:
    """Lend a producer of a venue with a thousand entries in each stream; entry `n` of the events is of second `n`."""
    client = found(redis_url)
    ticks = [[(b"ts", b"1"), (b"clock_tick", b"{}")]] * (ENTRIES - 1)
    assert all(done.status == AppendStatus.ACCEPTED for done in client.append_many(KEYS, ticks))
    chain = Chain()
    client.publish(KEYS, [chain.entry(seq, events.candle(seq)) for seq in range(1, ENTRIES + 1)], create=True)
    yield client
    client.close()


def scene(streams: Streams, redis_url: str, database_url: str, play: Play) -> None:
    """Run a coroutine at the place."""

    async def run() -> None:
        client = await StreamsAsync.connect(redis_url)
        database = await Database.connect(database_url)
        try:
            here = Place(streams, client, database, ArchiveAt(ENTRIES), ListLog())
            await here.readers(ENTRIES, ENTRIES)
            await play(here)
        finally:
            await client.close()
            await database.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("keyframes", "floor"),
    [
        ([], 0),
        ([(9, True), (8, True)], 0),
        ([(9, False), (8, False), (7, False)], 7),
        ([(6, False), (9, False), (7, False), (8, False)], 7),
        ([(9, True), (8, True), (7, True), (6, True), (5, False)], 6),
        ([(9, True), (8, False), (7, False), (6, True), (5, False)], 6),
    ],
)
def test_floor_of_keyframes(keyframes: list[tuple[int, bool]], floor: int) -> None:
    """The newest three stay and every young one; fewer than three keep everything."""
    assert keyframe_floor(keyframes) == floor


def test_both_streams_lose_what_nobody_needs(redis_url: str, database_url: str, streams: Streams) -> None:
    """The log begins at most one node below the oldest of three keyframes, the events below the log; floors stay."""

    async def play(here: Place) -> None:
        await here.keyframes(150, 555, 700, 905)
        trimmer = here.trimmer()
        floors = await trimmer.turn()
        assert floors == Floors(555, (1, 0))
        first = here.firsts()[0]
        assert 555 - NODE < first <= 555 and here.firsts()[1] == 1
        floors = await trimmer.turn()
        assert floors == Floors(555, (first, 0))
        assert first - NODE < here.firsts()[1] <= first
        assert trimmer.first == Floors(first, here.streams.events_first(KEYS))
        assert (trimmer.keyframes_counted, trimmer.reason) == (4, "")
        assert here.streams.range_log(KEYS, 555, 555, 1)
        assert here.streams.range_events(KEYS, (first, 0), (first, 0), 1)
        assert [entry.seq for entry in here.streams.range_log(KEYS, first, 2_000, 2_000)] == list(range(first, 1_001))

    scene(streams, redis_url, database_url, play)


def test_young_keyframes_stay(redis_url: str, database_url: str, streams: Streams) -> None:
    """The log reaches back to every keyframe of the last ten minutes, by the clock of Postgres."""

    async def play(here: Place) -> None:
        await here.keyframes(350, age_s=700.0)
        await here.keyframes(450, age_s=590.0)
        await here.keyframes(700, 800, 900)
        floors = await here.trimmer(keep_keyframes_s=600.0).turn()
        assert floors is not None and floors.log == 450

    scene(streams, redis_url, database_url, play)


async def archive_behind(here: Place) -> None:
    """The archive is at 320."""
    here.archive.position = (320, "")


async def history_behind(here: Place) -> None:
    """The history reader is at 320."""
    await here.readers(320, ENTRIES)


async def views_behind(here: Place) -> None:
    """The view reader is at 320."""
    await here.readers(ENTRIES, 320)


@pytest.mark.parametrize(
    ("late", "log_floor", "events_floor"),
    [(archive_behind, 320, 320), (history_behind, 800, 320), (views_behind, 800, 320)],
)
def test_whoever_is_late_keeps_what_he_has_not_seen(
    redis_url: str, database_url: str, streams: Streams, late: Any, log_floor: int, events_floor: int
) -> None:
    """The archive holds back the log, each reader the events, and neither loses the entry it stands on."""

    async def play(here: Place) -> None:
        await here.keyframes(800, 900, 950)
        await late(here)
        trimmer = here.trimmer()
        for _ in range(2):
            floors = await trimmer.turn()
        assert floors is not None and floors.log == log_floor
        assert log_floor - NODE < here.firsts()[0] <= log_floor
        assert floors.events <= (events_floor, 0)
        assert events_floor - 2 * NODE < here.firsts()[1] <= events_floor

    scene(streams, redis_url, database_url, play)


@pytest.mark.parametrize(("keep_s", "floor"), [(0.0, 950), (49.0, 950), (50.0, 950), (51.0, 949), (400.0, 600)])
def test_clients_can_resume(redis_url: str, database_url: str, streams: Streams, keep_s: float, floor: int) -> None:
    """Events that are young in log time stay, whatever their number; the clock of nobody else counts."""

    async def play(here: Place) -> None:
        trimmer = here.trimmer(keep_events_s=keep_s)
        assert await trimmer.resumable((950, 0)) == (floor, 0)
        assert await trimmer.resumable((floor - 7, 0)) == (floor - 7, 0)
        assert await here.trimmer(keep_events_s=DAY_S).resumable((950, 0)) == (1, 0)

    scene(streams, redis_url, database_url, play)


def test_time_is_found_in_sparse_events(redis_url: str, database_url: str, streams: Streams) -> None:
    """Few events over many entries give the same floor as a search entry by entry."""
    streams.delete(KEYS.events)
    chance = random.Random(5)
    seqs = sorted(chance.sample(range(1, 100_000), 40))
    chain = Chain()
    streams.publish(KEYS, [chain.entry(seq, events.candle(seq)) for seq in seqs], create=True)

    async def play(here: Place) -> None:
        for _ in range(60):
            keep_s, before = chance.uniform(0, 110_000), (chance.randrange(1, 100_001), 0)
            found = await here.trimmer(keep_events_s=keep_s).resumable(before)
            old = [seq for seq in seqs if seq < seqs[-1] - keep_s]
            lost = [seq for seq in seqs if (seq, 0) < found]
            assert lost == [seq for seq in old if (seq, 0) < before]

    scene(streams, redis_url, database_url, play)


async def two_keyframes(here: Place) -> None:
    """Only two keyframes count."""
    await here.database.execute("DELETE FROM engine_keyframes")
    await here.keyframes(900, 950)
    await here.keyframes(800, counted=False)


async def no_archive(here: Place) -> None:
    """Another process writes the archive, or none."""
    here.archive.archives = False


async def no_history(here: Place) -> None:
    """The history reader has stored nothing."""
    await here.database.execute("UPDATE persister_cursor SET seq = 0")


async def no_views(here: Place) -> None:
    """There are no views."""
    here.streams.delete(KEYS.views_cursor)


async def refused(here: Place) -> None:
    """A refusal stands."""
    here.streams.set_json(KEYS.refused, {"text": "no"})


async def another_venue(here: Place) -> None:
    """Redis names another venue."""
    here.streams.delete("tidemark:venue")
    here.streams.venue_set("another1")


async def no_venue(here: Place) -> None:
    """Redis names no venue."""
    here.streams.delete("tidemark:venue")


async def restored(here: Place) -> None:
    """The log was restored since the trimmer began."""
    set_raw(here.streams, KEYS.restores, "1")


async def end_lost(here: Place) -> None:
    """The log and the events are of an older time than what is remembered of them."""
    await here.database.execute("DELETE FROM engine_keyframes")
    await here.keyframes(ENTRIES + 1, ENTRIES + 200, ENTRIES + 300)
    await here.readers(ENTRIES + 400, ENTRIES + 400)
    here.archive.position = (ENTRIES + 400, "")


STOPS = (two_keyframes, no_archive, no_history, no_views, refused, another_venue, no_venue, restored, end_lost)


@pytest.mark.parametrize("stop", STOPS)
def test_nothing_is_trimmed_when_somebody_cannot_be_asked(
    redis_url: str, database_url: str, streams: Streams, stop: Any
) -> None:
    """Too few keyframes, no archive, a reader without a cursor, another venue or history: both streams stay whole."""

    async def play(here: Place) -> None:
        await here.keyframes(800, 900, 950)
        await stop(here)
        trimmer = here.trimmer()
        assert await trimmer.turn() is None
        assert here.firsts() == (1, 1) and trimmer.reason

    scene(streams, redis_url, database_url, play)


def test_nothing_is_trimmed_while_postgres_is_away(redis_url: str, database_url: str, streams: Streams) -> None:
    """Without Postgres the streams grow, the process goes on, and trimming says what it waits for."""

    async def play(here: Place) -> None:
        await here.keyframes(800, 900, 950)
        trimmer = here.trimmer()
        await here.database.close()
        with pytest.raises(DatabaseDown):
            await trimmer.turn()
        task = asyncio.create_task(trimmer.run())
        await events.until(lambda: "DatabaseDown" in trimmer.reason)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert here.firsts() == (1, 1)

    scene(streams, redis_url, database_url, play)


@pytest.mark.parametrize("change", [refused, another_venue, restored])
def test_a_zombie_trims_nothing(redis_url: str, database_url: str, streams: Streams, change: Any) -> None:
    """What changes between a trimmer's look and its cut, however long it slept there, leaves both streams whole."""
    sleeper = Streams.connect(redis_url)

    async def play(here: Place) -> None:
        cut = trim(Talk(sleeper.guard, sleeper.link), KEYS, 0, 800, (800, 0))
        looked = sleeper.exchange(next(cut))
        await change(here)
        with pytest.raises(StopIteration) as end:
            cut.send(sleeper.exchange(cut.send(looked)))
        assert end.value.value is None
        assert here.firsts() == (1, 1)

    scene(streams, redis_url, database_url, play)
    sleeper.close()


def test_two_trimmers_are_harmless(redis_url: str, database_url: str, streams: Streams) -> None:
    """Two trimmers at once, one with older floors, trim as the better of both alone would."""

    async def play(here: Place) -> None:
        await here.keyframes(500, 600, 700, 800, 900)
        ahead = here.trimmer()
        behind = here._replace(archive=ArchiveAt(420)).trimmer()
        for _ in range(3):
            await asyncio.gather(ahead.turn(), behind.turn())
        assert 700 - NODE < here.firsts()[0] <= 700

    scene(streams, redis_url, database_url, play)


def test_another_venues_streams_are_untouched(redis_url: str, database_url: str, streams: Streams) -> None:
    """Only keys of the trimmer's venue change."""
    other = Keys("another1")
    streams.converse(ask(["COPY", KEYS.log, other.log], ["COPY", KEYS.events, other.events], writes=True))

    async def play(here: Place) -> None:
        await here.keyframes(800, 900, 950)
        await here.trimmer().turn()
        assert here.firsts()[0] > 1
        assert (here.streams.log_first(other), here.streams.events_first(other)) == (1, (1, 0))

    scene(streams, redis_url, database_url, play)
