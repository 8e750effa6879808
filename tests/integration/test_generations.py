"""Views made anew in a real Redis: a generation takes another's place whole, and says what was said before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
import redis

from engine import core
from engine.documents import bytes_write_durably, document_pack, file_path
from gateway.views import Views
from persister.rebuild import Rebuild
from persister.views import ViewReader
from shared.clock import monotonic_s
from shared.database import Database
from shared.streams import Fields, Keys, Streams, StreamsAsync, events_digest
from tests.builders import instruction, opened
from tests.persister_doubles import Chain, ListLog, until
from tests.views_shown import shown

KEYS = Keys("library0aa")
NEXT = Keys(KEYS.venue, 1)
ACCOUNTS = (100, 101, 102)


class Story(NamedTuple):
    """A venue's events in two halves, and the snapshot that stands between them."""

    before: list[tuple[bytes, Fields]]
    after: list[tuple[bytes, Fields]]
    document: dict[str, Any]  # without its witness


def story() -> Story:
    """Return events of three accounts that hold positions, orders, guards and a sub-account."""
    engine, chain = opened(0), Chain()
    halves: list[list[tuple[bytes, Fields]]] = [[], []]
    content: dict[str, Any] = {}
    wishes: list[tuple[int, dict[str, Any]]] = [
        *((0, {"op": "account_open", "owner": f"{number:032x}"}) for number in (1, 2, 3)),
        (100, {"op": "order_place", "market": "BTC_USDC_PERP", "side": "buy", "qty": "0.01", "kind": "market"}),
        (101, {"op": "leverage_set", "market": "BTC_USDC_PERP", "leverage": 7}),
        (101, {"op": "account_guards_set", "leverage_max": 9}),
        (102, {"op": "subaccount_open"}),
        (100, {"op": "order_place", "market": "BTC_USDC_PERP", "side": "buy", "qty": "0.01", "kind": "limit",
               "price": "50000.0"}),
        (102, {"op": "order_cancel", "order_id": 77}),
    ]  # fmt: skip
    chain_entries(chain, engine.opening, 1, halves[0])
    for number, (account, wish) in enumerate(wishes * 2, 1):
        body = instruction(number, account=account, **wish)
        chain_entries(chain, engine.apply("user_instruction", body), engine.seq, halves[number > len(wishes)])
        if number == len(wishes):
            buffer = memoryview(bytearray(core.snapshot_size(engine.states)))
            content = core.snapshot_document(buffer, core.snapshot_copy(engine.states, buffer))
    return Story(halves[0], halves[1], content)


def chain_entries(chain: Chain, events: list[dict[str, Any]], seq: int, half: list[tuple[bytes, Fields]]) -> None:
    """Add what one entry caused."""
    if events:
        half.append(chain.entry(seq, *events))


class Venue:
    """The streams and the snapshots of one venue, and a view reader with what makes its views anew."""

    def __init__(self, streams: StreamsAsync, database: Database, folder: Path, publisher: Streams) -> None:
        self.log, self.streams, self.database, self.publisher = ListLog(), streams, database, publisher
        self.folder = folder
        self.passed_s = 0.0
        self.rebuild = Rebuild(streams, KEYS.venue, database, folder, self.log, self.monotonic_s)
        self.reader = ViewReader(streams, KEYS, self.log, self.monotonic_s, self.rebuild)
        self.story = story()

    def monotonic_s(self) -> float:
        """Return a clock that a test can push on."""
        return monotonic_s() + self.passed_s

    def publish(self, entries: list[tuple[bytes, Fields]]) -> int:
        """Publish entries and return the seq of the last."""
        self.publisher.publish(KEYS, entries, create=self.publisher.events_tip(KEYS) == (0, 0))
        return self.publisher.events_tip(KEYS)[0]

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Run the view reader."""
        task = asyncio.create_task(self.reader.run())
        try:
            yield
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def document(self) -> dict[str, Any]:
        """Return the snapshot as the engine writes it, behind the newest event."""
        tip = self.publisher.events_tip(KEYS)
        last = self.publisher.range_events(KEYS, tip, tip, 1)[0]
        place = {"seq": last.seq, "chunk": last.chunk, "digest": events_digest(last).hex()}
        witness = {"events": place, "log": {"seq": last.seq, "digest": ""}}
        return document_pack(self.story.document, {"venue": KEYS.venue, "witness": witness})

    async def row_write(self, document: dict[str, Any]) -> None:
        """Make a document the snapshot in Postgres."""
        await self.database.execute("INSERT INTO engine_snapshots (id, snapshot_data) VALUES (1, $1)", document)

    async def views(self, keys: Keys) -> dict[str, dict[str, str]]:
        """Return the views of all accounts in a generation, by account, and the venue's."""
        found = {str(number): await self.streams.hash_read(keys.view_account(number)) for number in (*ACCOUNTS, 103)}
        return found | {"venue": await self.streams.hash_read(keys.view_venue)}

    async def outcomes(self) -> dict[str, Any]:
        """Return all outcomes that are stored."""
        found = {}
        for number in range(1, 40):
            for account in ACCOUNTS:
                outcome = await self.streams.get_json(KEYS.outcome(account, f"{number:032x}"))
                if outcome is not None:
                    found[f"{account}:{number}"] = outcome
        return found


@contextlib.asynccontextmanager
async def venue(redis_url: str, database_url: str, folder: Path) -> AsyncIterator[Venue]:
    """Lend a venue without a word of its story said."""
    streams, publisher = await StreamsAsync.connect(redis_url), Streams.connect(redis_url)
    database = await Database.connect(database_url)
    try:
        yield Venue(streams, database, folder, publisher)
    finally:
        await streams.close()
        publisher.close()
        await database.close()


def test_a_rebuild_says_what_was_said(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Asked for, the next generation shows what the one before showed; readers follow, outcomes stay, the old goes."""

    async def scene() -> None:
        async with venue(redis_url, database_url, tmp_path) as here, here.reading():
            here.publish(here.story.before)
            await here.row_write(here.document())
            last = here.publish(here.story.after[:-1])
            await until(lambda: here.reader.position.seq == last)
            views = Views(here.streams, KEYS, Untouched(), here.monotonic_s)  # type: ignore[arg-type]
            old, outcomes = await here.views(KEYS), await here.outcomes()
            assert (await views.account(100)).seq == last
            await here.streams.set_json(KEYS.views_rebuild, {"asked_us": 1})
            await until(lambda: here.reader.keys.generation == 1)
            new = await here.views(NEXT)
            del new["venue"]["venue"]  # told to nobody before its first change
            assert shown(new) == shown(old)
            assert await here.outcomes() == outcomes
            last = here.publish(here.story.after[-1:])
            await until(lambda: here.reader.position.seq == last)
            assert await here.streams.views_cursor_read(KEYS) == (f"{last}-0", here.reader.position.digest)
            account = await views.account(100)
            assert (account.seq, [row["order_id"] for row in account.orders]) == (last, [2, 4])
            read = await views.outcome(100, f"{4:032x}")
            assert read.outcome is not None
            assert (read.outcome["response"]["order_id"], read.rebuilt_us) == (1, here.story.document["log_time_us"])
            assert await here.streams.get_json(KEYS.views_rebuild) is None
            assert await here.views(KEYS) == old, "a reader of the old generation is not disturbed for a minute"
            here.passed_s = 61.0
            await until(lambda: bool(here.log.named("views_older_removed")))
            assert not any((await here.views(KEYS)).values())
            assert shown(await here.views(NEXT)) | {"venue": None} == shown(old) | {"venue": None}
            assert await here.outcomes() | outcomes == await here.outcomes()

    asyncio.run(scene())


class Untouched:
    """A tail that has read everything and seen nothing of any account."""

    position = (2**40, 0)

    def touched(self, _account_id: int) -> tuple[int, int]:
        """Return the place before everything."""
        return (0, 0)


@pytest.mark.parametrize("damage", ["none", "row", "row away"])
def test_lost_views_come_from_a_snapshot(redis_url: str, database_url: str, tmp_path: Path, damage: str) -> None:
    """With the cursor gone and the beginning trimmed, views and outcomes come from the newest snapshot that holds."""

    async def scene() -> None:
        async with venue(redis_url, database_url, tmp_path) as here:
            here.publish(here.story.before)
            async with here.reading():
                await until(lambda: here.reader.position.seq == here.publisher.events_tip(KEYS)[0])
                old, told = await here.views(KEYS), await here.outcomes()
            document = here.document()
            if damage == "row":
                await here.row_write({**document, "seq": document["seq"] + 1})
            elif damage == "none":
                await here.row_write(document)
            if damage != "none":
                bytes_write_durably(file_path(tmp_path, document["seq"]), orjson.dumps(document))
                # Of a later moment, but of events that nobody holds: it must not be taken.
                ahead = {**document["witness"], "events": {"seq": 10**6, "chunk": 0, "digest": "00" * 32}}
                later = document_pack({**here.story.document, "seq": 10**6}, {"venue": KEYS.venue, "witness": ahead})
                bytes_write_durably(file_path(tmp_path, 10**6), orjson.dumps(later))
            with redis.Redis.from_url(redis_url) as client:
                client.delete(KEYS.views_cursor, KEYS.views_witness, *client.keys(f"{KEYS.prefix}outcome:*"))
                client.xtrim(KEYS.events, maxlen=1, approximate=False)
            fresh = ViewReader(here.streams, KEYS, here.log, here.monotonic_s, here.rebuild)
            here.reader = fresh
            async with here.reading():
                last = here.publish(here.story.after)
                await until(lambda: fresh.position.seq == last)
            assert fresh.keys.generation == 1
            assert len(here.log.named("snapshot_unusable")) == {"none": 0, "row": 2, "row away": 1}[damage]
            remembered = await here.outcomes()
            for name, outcome in told.items():
                if outcome["response"]["op"] == "account_open":
                    continue  # sent by nobody's account yet: that is how it is remembered
                assert remembered[name]["seq"] == outcome["seq"]
                assert remembered[name]["response"]["result"] == outcome["response"]["result"]
                assert remembered[name]["response"]["rebuilt"] is True
            assert {name for name, outcome in remembered.items() if "rebuilt" not in outcome["response"]}
            positions = [name for name in (await here.views(NEXT))["100"] if name.startswith("position:")]
            assert positions == [name for name in old["100"] if name.startswith("position:")]

    asyncio.run(scene())


def test_without_a_snapshot_it_waits(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Nothing is shown rather than half of it: the reader says once that it waits, until there is a snapshot."""

    async def scene() -> None:
        async with venue(redis_url, database_url, tmp_path) as here:
            here.publish(here.story.before)
            with redis.Redis.from_url(redis_url) as client:
                client.xtrim(KEYS.events, maxlen=1, approximate=False)
            async with here.reading():
                await until(lambda: bool(here.log.named("views_rebuild_waits")))
                await asyncio.sleep(1.2)
                assert len(here.log.named("views_rebuild_waits")) == 1
                assert not any((await here.views(KEYS)).values())
                assert not any((await here.views(NEXT)).values())
                await here.row_write(here.document())
                await until(lambda: here.reader.keys.generation == 1)
                assert "position:100" in (await here.views(NEXT))["100"]

    asyncio.run(scene())


def test_one_of_two_rebuilds_is_in_force(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Two that make the same generation at once leave one whole; who comes late leaves what is in force alone."""

    async def scene() -> None:
        async with venue(redis_url, database_url, tmp_path) as here:
            here.publish(here.story.before)
            await here.row_write(here.document())
            here.publish(here.story.after)
            async with here.reading():
                await until(lambda: here.reader.position.seq == here.publisher.events_tip(KEYS)[0])
            old = await here.views(KEYS)
            results = await asyncio.gather(here.rebuild.run(0), here.rebuild.run(0))
            assert sorted(results) == [False, True]
            in_force = (await here.streams.views_generation_read(KEYS)).number
            assert in_force in (1, 2)
            new = await here.views(Keys(KEYS.venue, in_force))
            assert not any((await here.views(Keys(KEYS.venue, 3 - in_force))).values())
            assert shown({name: new[name] for name in ("100", "101", "102", "103")}) == shown(
                {name: old[name] for name in ("100", "101", "102", "103")}
            )
            assert not await here.streams.views_switch(Keys(KEYS.venue, 9), 0, "1-0", 5)
            written = await here.streams.views_commit(
                KEYS, ((await here.streams.views_cursor_read(KEYS))[0], "9-9"), b"", {KEYS.view_venue: {"x": b"1"}},
                {}, lambda _there, _new: True,
            )  # fmt: skip
            assert not written, "the generation before is not written any more"
            assert "x" not in await here.streams.hash_read(KEYS.view_venue)

    asyncio.run(scene())


def test_genesis_is_kept_before_it_is_trimmed(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """The venue's first configuration stands in its view from the start: the log loses its first entry one day."""
    genesis = {"v": 1, "venue": KEYS.venue, "venue_set": {"request_window_ms": 90_000}, "markets": []}

    async def scene() -> None:
        async with venue(redis_url, database_url, tmp_path) as here:
            here.publisher.genesis(KEYS, [(b"ts", b"1"), (b"genesis", orjson.dumps(genesis))])
            last = here.publish(here.story.before)
            async with here.reading():
                await until(lambda: here.reader.position.seq == last)
            stored = orjson.loads((await here.streams.hash_read(KEYS.view_venue))["venue"])
            assert stored == {"e": "venue_changed", "request_window_ms": 90_000, "seq": 1}

    asyncio.run(scene())


def test_heartbeats_are_found_without_searching(redis_url: str) -> None:
    """All processes that live are read by one list of names; one that went away leaves the list."""
    streams = Streams.connect(redis_url)
    try:
        assert streams.heartbeats_read(KEYS) == {}
        streams.heartbeat(KEYS, "engine", {"role": "leader", "seq": 5})
        streams.heartbeat(KEYS, "engine:ab", {"role": "standby", "seq": 4})
        assert streams.heartbeats_read(KEYS) == {
            "engine": {"role": "leader", "seq": 5},
            "engine:ab": {"role": "standby", "seq": 4},
        }
        streams.delete(KEYS.process("engine:ab"))
        assert list(streams.heartbeats_read(KEYS)) == ["engine"]
        assert streams.hash_read(KEYS.processes) == {"engine": "1"}
    finally:
        streams.close()
