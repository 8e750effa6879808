"""History in a real Postgres: every row once, whatever dies, runs twice, hangs or cannot be stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from persister.history import CursorMoved, HistoryReader, HistoryStore
from persister.reader import EVENTS_PER_CHUNK, Position
from shared.clock import monotonic_s
from shared.database import Database, DatabaseDown
from shared.refusal import Refusal
from shared.streams import Streams, StreamsAsync
from tests import persister_doubles as events
from tests.faults.proxy import proxied_postgres
from tests.persister_doubles import KEYS, Chain, ListLog, until
from tests.store_servers import own_redis

TABLES = (
    "closed_orders", "closed_positions", "fills", "funding", "ledger", "candles", "trades", "funding_rates",
    "persister_rejects",
)  # fmt: skip


class Place:
    """One history reader with what it reads from and writes to."""

    def __init__(self, streams: StreamsAsync, database: Database) -> None:
        self.log = ListLog()
        self.database = database
        self.streams = streams
        self.store = HistoryStore(database, KEYS.venue, self.log)
        self.reader = HistoryReader(streams, KEYS, self.store, self.log, monotonic_s)

    async def reaches(self, seq: int) -> None:
        """Run the reader until it has committed an entry."""
        task = asyncio.create_task(self.reader.run())
        try:
            await until(lambda: self.reader.position.seq >= seq or task.done())
        finally:
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        found = {}
        for table in TABLES:
            [row] = await self.database.fetch(f"SELECT count(*) AS n FROM {table}")
            found[table] = row["n"]
        return {table: count for table, count in found.items() if count}


@contextlib.asynccontextmanager
async def place(redis_url: str, database_url: str, **options: Any) -> AsyncIterator[Place]:
    """Lend a history reader."""
    streams = await StreamsAsync.connect(redis_url)
    database = await Database.connect(database_url, **options)
    try:
        yield Place(streams, database)
    finally:
        await streams.close()
        await database.close()


@pytest.fixture
def streams(redis_url: str) -> Any:
    """Lend a client that publishes."""
    client = Streams.connect(redis_url)
    yield client
    client.close()


def whole_day(count: int) -> dict[str, int]:
    """Return the rows of a day of `count` orders."""
    return dict.fromkeys(("closed_orders", "fills", "ledger", "candles"), count)


def test_rows_are_what_was_published(redis_url: str, database_url: str, streams: Streams) -> None:
    """Each kind has its row with ids, place, time and the event; a second chunk's index goes on from the first."""
    chain = Chain()
    events.publish(
        streams,
        [
            chain.entry(1, {"e": "market_changed", "market": "BTC_USDC_PERP"}),
            chain.entry(5, events.fill(101, 7), events.closed_order(101, 3), events.ledger(101, "-1.000001")),
            chain.entry(
                5,
                events.closed_position(101, 4),
                events.candle(60_000),
                events.funding(101, 4, 9_000),
                events.trade("60000.0"),
                events.funding_settled(9_000),
                events.funding_skipped(10_000),
                chunk=1,
            ),
        ],
    )

    async def scene() -> None:
        async with place(redis_url, database_url) as here:
            await here.reaches(5)
            fetchrow = here.database.fetchrow
            order = await fetchrow("SELECT * FROM closed_orders")
            assert order == {
                "venue": KEYS.venue, "account_id": 101, "order_id": 3, "market": "BTC_USDC_PERP", "seq": 5,
                "position": 1, "closed_us": 77, "data": events.closed_order(101, 3),
            }  # fmt: skip
            closed = await fetchrow("SELECT seq, position, position_id, closed_us FROM closed_positions")
            assert closed == {"seq": 5, "position": EVENTS_PER_CHUNK, "position_id": 4, "closed_us": 78}
            fill = await fetchrow("SELECT account_id, fill_id, order_id, seq, position, filled_us FROM fills")
            assert fill == {
                "account_id": 101, "fill_id": 7, "order_id": 1, "seq": 5, "position": 0, "filled_us": 5_000_000,
            }  # fmt: skip
            leg = await fetchrow("SELECT seq, chunk, index, amount, data FROM ledger")
            assert leg == {
                "seq": 5, "chunk": 0, "index": 2, "amount": Decimal("-1.000001"),
                "data": events.ledger(101, "-1.000001"),
            }  # fmt: skip
            paid = await fetchrow("SELECT position_id, due_ms, seq, position, amount, data FROM funding")
            assert paid == {
                "position_id": 4, "due_ms": 9_000, "seq": 5, "position": EVENTS_PER_CHUNK + 2,
                "amount": Decimal("-0.600001"), "data": events.funding(101, 4, 9_000),
            }  # fmt: skip
            assert (await fetchrow("SELECT minute_ms, seq FROM candles")) == {"minute_ms": 60_000, "seq": 5}
            traded = await fetchrow("SELECT market, seq, position, traded_us, data FROM trades")
            assert traded == {
                "market": "BTC_USDC_PERP", "seq": 5, "position": EVENTS_PER_CHUNK + 3, "traded_us": 5_000_000,
                "data": events.trade("60000.0"),
            }  # fmt: skip
            rates = await here.database.fetch("SELECT due_ms, seq, position, data FROM funding_rates ORDER BY due_ms")
            assert rates == [
                {"due_ms": each["due_ms"], "seq": 5, "position": EVENTS_PER_CHUNK + 4 + place, "data": each}
                for place, each in enumerate((events.funding_settled(9_000), events.funding_skipped(10_000)))
            ]
            cursor = await fetchrow("SELECT seq, chunk, log_time_us FROM persister_cursor")
            assert cursor == {"seq": 5, "chunk": 1, "log_time_us": 5_000_000}
            assert not here.log.named("history_row_rejected")

    asyncio.run(scene())


def test_killed_between_insert_and_commit(redis_url: str, database_url: str, streams: Streams) -> None:
    """A reader that dies with its rows inserted and not committed leaves nothing; the next one writes them once."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 30))

    async def scene() -> None:
        async with place(redis_url, database_url) as here:
            alive = here.store.reject
            entries = await here.streams.read_events(KEYS, (0, 0), 100)
            poison = entries[-1]._replace(seq=31, data=b"{")

            async def die(*_arguments: Any) -> None:
                raise KeyboardInterrupt

            # The reject is the last statement before the commit: by then every row is inserted.
            here.store.reject = die  # type: ignore[method-assign]
            await here.store.begin()
            with pytest.raises(KeyboardInterrupt):
                await here.store.commit(Position(), [*entries, poison])
            here.store.reject = alive  # type: ignore[method-assign]
            assert await here.counts() == {}
            assert await here.store.begin() == Position()
            await here.reaches(30)
            assert await here.counts() == whole_day(30)

    asyncio.run(scene())


def test_commit_whose_answer_is_lost(redis_url: str, database_url: str, streams: Streams) -> None:
    """After a COMMIT without an answer the cursor is read again: the rows are there once, applied or not."""
    chain = Chain()

    async def scene() -> None:
        with proxied_postgres(database_url) as (proxy, url):
            async with place(redis_url, url, timeout_s=0.5) as here:
                for fault in ("cut_reply", "cut_request", "deaf"):
                    events.publish(streams, events.day(chain, chain.last[0] + 1, 40))
                    proxy.set(fault, b"COMMIT")
                    await here.reaches(chain.last[0])
                assert proxy.hit == 3
                assert await here.counts() == whole_day(chain.last[0])
                assert len(here.log.named("history_waits")) == 3

    asyncio.run(scene())


def test_two_persisters(redis_url: str, database_url: str, streams: Streams) -> None:
    """Several readers at once write every row once, because the cursor is moved only from where each believes it."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 5))

    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            places = [await stack.enter_async_context(place(redis_url, database_url)) for _ in range(3)]
            work = [asyncio.create_task(here.reaches(605)) for here in places]
            for _ in range(60):
                events.publish(streams, events.day(chain, chain.last[0] + 1, 10))
                await asyncio.sleep(0.005)
            await asyncio.gather(*work)
            assert await places[0].counts() == whole_day(605)
            assert sum(len(here.log.named("history_cursor_moved")) for here in places) > 0
            assert not any(here.log.named("history_row_rejected") for here in places)

    asyncio.run(scene())


def test_stale_cursor_writes_nothing(redis_url: str, database_url: str, streams: Streams) -> None:
    """A reader whose cursor was moved by another stores nothing of its batch."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 3))

    async def scene() -> None:
        async with place(redis_url, database_url) as here:
            await here.reaches(3)
            entries = await here.streams.read_events(KEYS, (0, 0), 10)
            with pytest.raises(CursorMoved):
                await here.store.commit(Position(), entries)
            assert await here.counts() == whole_day(3)

    asyncio.run(scene())


POISON: list[Any] = [
    events.closed_order(101, 2**63),
    events.closed_order("101", 1),
    events.closed_order(101, 1.5),
    events.closed_order(101, 1000, reason="a\x00b"),
    events.closed_order(101, 1001, market="X\x00"),
    events.closed_order(101, 1002, market=None),
    {"e": "closed_order", "account": 101},
    {"e": "fill\x00", "account": 101},
    {"e": 5},
    "text",
    None,
    {**events.ledger(101, "-1"), "amount": "nothing"},
    {**events.ledger(101, "-1"), "amount": "1e9999999"},
    {**events.ledger(101, "-1"), "amount": None},
    {**events.candle(1), "minute_ms": True},
    events.closed_order(101, 1),  # there already
]


def test_poison_goes_aside(redis_url: str, database_url: str, streams: Streams) -> None:
    """What cannot be stored is kept byte for byte with an alarm; the good rows are stored, and the cursor goes on."""
    chain = Chain()
    batch = events.day(chain, 1, 3)
    batch.append(chain.entry(4, *POISON, events.closed_order(101, 4)))
    batch += [chain.entry(seq, data=data) for seq, data in enumerate((b"", b"{", b"\xff\x00", b"{}", b"null"), 5)]
    batch += events.day(chain, 10, 3)
    events.publish(streams, batch)

    async def scene() -> None:
        async with place(redis_url, database_url) as here:
            await here.reaches(12)
            counts = await here.counts()
            # {"e": "fill\0"} is a kind that nobody stores, hence no reject.
            assert counts.pop("persister_rejects") == len(POISON) - 1 + 5
            assert counts == {**whole_day(6), "closed_orders": 7}
            assert sum(n for kind, n in here.store.rows.by.items() if kind != ("audit",)) == sum(counts.values())
            assert len(here.log.named("history_row_rejected")) == len(POISON) - 1 + 5
            rows = await here.database.fetch("SELECT seq, index, data FROM persister_rejects ORDER BY seq, index")
            whole = [bytes(row["data"]) for row in rows if row["index"] == -1]
            assert whole == [b"", b"{", b"\xff\x00", b"{}", b"null"]
            assert b"a\\u0000b" in bytes(rows[3]["data"])

    asyncio.run(scene())


def test_postgres_away_for_a_while(redis_url: str, database_url: str, streams: Streams) -> None:
    """While Postgres hangs or is gone the reader keeps trying, and catches up by itself."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 5))

    async def scene() -> None:
        with proxied_postgres(database_url) as (proxy, url):
            async with place(redis_url, url, timeout_s=0.3) as here:
                await here.reaches(5)
                target, proxy.target = proxy.target, "/nowhere"
                proxy.cut()
                task = asyncio.create_task(here.reaches(25))
                await asyncio.sleep(0.1)
                events.publish(streams, events.day(chain, 6, 20))
                await until(lambda: bool(here.log.named("history_waits")))
                proxy.target = target
                await task
                assert await here.counts() == whole_day(25)

    asyncio.run(scene())


@pytest.mark.parametrize("previous", [b"", b"0-0", b"1000000000000001-0", b"1000000000000003-0", b"\xff"])
def test_broken_chain_is_refused(redis_url: str, database_url: str, streams: Streams, previous: bytes) -> None:
    """An entry that does not follow ours is refused with both places; nothing of its batch is stored."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 2))

    async def scene() -> None:
        async with place(redis_url, database_url) as here:
            await here.reaches(2)
            stream_id, fields = chain.entry(3, events.closed_order(101, 3))
            fields[1] = (b"p", previous)
            events.publish(streams, [(stream_id, fields)])
            with pytest.raises(Refusal, match=r"3-0 follows .* has 2-0 before it") as caught:
                await here.reaches(3)
            assert caught.value.reason["found"] == [3, 0]
            assert await here.counts() == whole_day(2)

    asyncio.run(scene())


def test_lost_tail_is_refused(database_url: str) -> None:
    """Events that end before the cursor, or hold another entry there, are refused at start, with exact numbers."""

    async def scene(url: str) -> None:
        async with place(url, database_url) as here:
            publisher = Streams.connect(url)
            chain = Chain()
            events.publish(publisher, events.day(chain, 1, 9))
            await here.reaches(9)
            publisher.delete(KEYS.events)
            with pytest.raises(Refusal, match=r"the events end at 0-0, but .* stands at 9-0"):
                await here.reaches(10)
            chain = Chain()
            events.publish(publisher, events.day(chain, 1, 5))
            with pytest.raises(Refusal, match="the events end at 5-0"):
                await here.reaches(10)
            # The numbers are used again, for something else.
            events.publish(publisher, [*events.day(chain, 6, 3), *events.day(chain, 9, 4, account=102)])
            with pytest.raises(Refusal, match="9-0 is not the one"):
                await here.reaches(12)
            publisher.close()

    with own_redis() as server:
        asyncio.run(scene(server.url))


def test_lost_tail_is_noticed_by_a_live_reader(database_url: str) -> None:
    """A reader that waits for events notices within its silence that the stream is gone, with no lost connection."""

    async def scene(url: str) -> None:
        now = [0.0]
        async with place(url, database_url) as here:
            here.reader.monotonic_s = lambda: now[0]
            publisher = Streams.connect(url)
            events.publish(publisher, events.day(Chain(), 1, 4))
            task = asyncio.create_task(here.reaches(5))
            await until(lambda: here.reader.position.seq == 4)
            publisher.delete(KEYS.events)
            now[0] += 3.0
            with pytest.raises(Refusal):
                await task
            publisher.close()

    with own_redis() as server:
        asyncio.run(scene(server.url))


def test_redis_killed_and_back(database_url: str) -> None:
    """After a restart of Redis the reader checks its witness and goes on where it stood."""

    async def scene(server: Any) -> None:
        async with place(server.url, database_url) as here:
            publisher = Streams.connect(server.url)
            chain = Chain()
            events.publish(publisher, events.day(chain, 1, 4))
            task = asyncio.create_task(here.reaches(8))
            await until(lambda: here.reader.position.seq == 4)
            server.kill()
            await asyncio.sleep(0.1)
            await asyncio.to_thread(server.start)
            assert publisher.events_tip(KEYS) == (4, 0)
            events.publish(publisher, events.day(chain, 5, 4))
            await task
            assert await here.counts() == whole_day(8)
            publisher.close()

    with own_redis() as server:
        asyncio.run(scene(server))


def test_down_is_down(redis_url: str, tmp_path: Any) -> None:
    """With no Postgres at all every try says so, and the pause between tries grows."""

    async def scene() -> None:
        async with place(redis_url, f"postgresql:///x?host={tmp_path}&user=x") as here:
            with pytest.raises(DatabaseDown):
                await here.store.begin()
            task = asyncio.create_task(here.reader.run())
            await until(lambda: len(here.log.named("history_waits")) >= 3)
            task.cancel()
            pauses = [fields["pause_s"] for fields in here.log.named("history_waits")]
            assert pauses == sorted(set(pauses))

    asyncio.run(scene())
