"""Views and outcomes in a real Redis: what is there, and what is never there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from persister.views import ViewReader
from shared.clock import monotonic_s
from shared.refusal import Refusal
from shared.stream_guard import ask
from shared.streams import Keys, Streams, StreamsAsync, StreamsUnknown
from tests import persister_doubles as events
from tests.faults.proxy import proxied
from tests.persister_doubles import KEYS, Chain, ListLog, until

REPOSITORY = Path(__file__).resolve().parent.parent.parent
REQUEST = "ab" * 16


class Place:
    """One view reader with what it reads and writes."""

    def __init__(self, streams: StreamsAsync) -> None:
        self.log = ListLog()
        self.streams = streams
        self.now_s: float | None = None
        self.reader = ViewReader(streams, KEYS, self.log, lambda: monotonic_s() if self.now_s is None else self.now_s)

    async def reaches(self, seq: int) -> None:
        """Run the reader until it has written an entry."""
        task = asyncio.create_task(self.reader.run())
        try:
            await until(lambda: self.reader.position.seq >= seq or task.done())
        finally:
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def view(self, account: int) -> dict[str, Any]:
        """Return an account's view, decoded."""
        fields = await self.streams.hash_read(KEYS.view_account(account))
        return {name: orjson.loads(text) for name, text in fields.items()}

    async def outcome(self, request_id: str = REQUEST, account: int = 101) -> Any:
        """Return the stored outcome of a request."""
        return await self.streams.get_json(KEYS.outcome(account, request_id))


@contextlib.asynccontextmanager
async def place(url: str, **options: Any) -> AsyncIterator[Place]:
    """Lend a view reader."""
    streams = await StreamsAsync.connect(url, **options)
    try:
        yield Place(streams)
    finally:
        await streams.close()


@pytest.fixture
def streams(redis_url: str) -> Iterator[Streams]:
    """Lend a client that publishes."""
    client = Streams.connect(redis_url)
    yield client
    client.close()


def test_view_follows_the_account(redis_url: str, streams: Streams) -> None:
    """A view holds the newest post-images with their seq, and nothing that is gone; the venue's the configuration."""
    chain = Chain()
    events.publish(
        streams,
        [
            chain.entry(1, {"e": "market_changed", "market": "BTC_USDC_PERP"}),
            chain.entry(3, {"e": "account_opened", "account": 101, "owner": "0" * 32}, events.account_changed(101)),
            chain.entry(
                5, events.order_changed(101, 1), events.order_changed(101, 2), events.account_changed(101, "4.0")
            ),
            chain.entry(6, events.position_changed(101, 9, "-0.10"), events.position_changed(101, 8, "0.10")),
            chain.entry(6, events.order_changed(102, 3), chunk=1),
            chain.entry(8, events.closed_order(101, 1), events.position_changed(101, 9, "0.00"), events.fill(101, 1)),
            chain.entry(9, events.closed_position(101, 8), events.candle(60_000)),
            chain.entry(10, {"e": "venue_changed", "request_window_ms": 60_000}),
            chain.entry(11, {"e": "market_changed", "market": "BTC_USDC_PERP", "state": "halted"}),
            chain.entry(12, {"e": "account_market_changed", "account": 101, "market": "BTC_USDC_PERP", "leverage": 7}),
        ],
    )

    async def scene() -> None:
        async with place(redis_url) as here:
            await here.reaches(12)
            assert await here.view(101) == {
                "account": {
                    "account": 101, "free": "4.0", "reserved": "0.000000", "seq": 5, "log_time_us": 5_000_000,
                },
                "order:2": {**events.order_changed(101, 2), "seq": 5},
                "leverage:BTC_USDC_PERP": 7,
                "seq": 12,
            }  # fmt: skip
            assert await here.view(102) == {"order:3": {**events.order_changed(102, 3), "seq": 6}, "seq": 6}
            assert await here.view(103) == {}
            stored = await here.streams.hash_read(KEYS.view_venue)
            assert {name: orjson.loads(text) for name, text in stored.items()} == {
                "venue": {"e": "venue_changed", "request_window_ms": 60_000, "seq": 10},
                "market:BTC_USDC_PERP": {
                    "e": "market_changed", "market": "BTC_USDC_PERP", "state": "halted", "seq": 11,
                },
            }  # fmt: skip
            cursor, witness = await here.streams.views_cursor_read(KEYS)
            assert cursor == "12-0"
            assert witness == here.reader.position.digest

    asyncio.run(scene())


def test_view_holds_what_an_owner_has_chosen(redis_url: str, streams: Streams) -> None:
    """Mode, guards, whose sub-account it is and the newest margin calls stand in the view; the fund in the venue's."""
    chain, market = Chain(), {"market": "BTC_USDC_PERP"}
    sums = {"equity": "1.000000", "margin_maintenance": "0.900000"}
    opened = {"e": "account_opened", "account": 105, "owner": "0" * 32, "main": 101, "sub": 1}
    call = {"e": "margin_call", "account": 101}
    events.publish(
        streams,
        [
            chain.entry(
                1, {"e": "account_market_changed", "account": 101, **market, "leverage": 7, "mode": "isolated"}
            ),
            chain.entry(2, {"e": "account_market_changed", "account": 101, **market, "leverage": 0, "mode": "cross"}),
            chain.entry(3, {"e": "account_guards_changed", "account": 101, "leverage_max": 5, "stp": "cancel_both"}),
            chain.entry(4, {"e": "account_guards_changed", "account": 101, "leverage_max": 5}),
            chain.entry(5, events.response(101, REQUEST, "OK"), opened, events.account_changed(105, "0.000000")),
            chain.entry(6, {**call, "mode": "cross", **sums}, {**call, **market, "position_id": 8, **sums}),
            chain.entry(7, {**call, **market, "position_id": 9, **sums}, events.closed_position(101, 8)),
            chain.entry(8, {**call, **market, "position_id": 10, **sums}, events.position_changed(101, 10, "0")),
            chain.entry(9, {"e": "insurance_changed", "balance": "5.000000"}),
            chain.entry(10, {"e": "adl", "account": 101, **market}, {"e": "liquidation", "account": 101, **market}),
        ],
    )

    async def scene() -> None:
        async with place(redis_url) as here:
            await here.reaches(10)
            told = {"account": 101, "seq": 6, "log_time_us": 6_000_000}
            assert await here.view(101) == {
                "mode:BTC_USDC_PERP": "cross",
                "guards": {"account": 101, "leverage_max": 5, "seq": 4, "log_time_us": 4_000_000},
                "subaccount:105": 1,
                "margin_call": {**told, "mode": "cross", **sums},
                "margin_call:9": {**told, **market, "position_id": 9, **sums, "seq": 7, "log_time_us": 7_000_000},
                "seq": 8,
            }
            sub = await here.view(105)
            assert (sub["main"], sub["sub"], sub["seq"], sub["account"]["free"]) == (101, 1, 5, "0.000000")
            stored = await here.streams.hash_read(KEYS.view_venue)
            assert orjson.loads(stored["insurance"]) == {
                "e": "insurance_changed", "balance": "5.000000", "seq": 9, "log_time_us": 9_000_000,
            }  # fmt: skip
            assert not here.log.named("view_event_unusable")

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("results", "kept"),
    [
        (["OK"], 0),
        (["MARGIN_INSUFFICIENT"], 0),
        (["MARGIN_INSUFFICIENT", "OK"], 1),
        (["MARGIN_INSUFFICIENT", "PRICE_STALE"], 1),
        (["MARGIN_INSUFFICIENT", "REQUEST_SUPERSEDED"], 0),
        (["OK", "REQUEST_REPEATED", "REQUEST_ID_REUSED", "REQUEST_SUPERSEDED"], 0),
        (["REQUEST_SUPERSEDED", "PRICE_STALE"], 1),
        (["REQUEST_REPEATED"], None),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_outcome_is_the_one_that_counts(
    redis_url: str, streams: Streams, results: list[str], kept: int | None, together: bool
) -> None:
    """An accepted outcome is replaced by nothing and a repeat replaces nothing, in one batch or in several."""

    async def scene() -> None:
        chain = Chain()
        async with place(redis_url) as here:
            entries = [
                chain.entry(seq, events.response(101, REQUEST, result, order_id=seq))
                for seq, result in enumerate(results, 1)
            ]
            for part in [entries] if together else [[entry] for entry in entries]:
                events.publish(streams, part)
                if not together:
                    await here.reaches(streams.events_tip(KEYS)[0])
            await here.reaches(len(results))
            found = await here.outcome()
            if kept is None:
                assert found is None
            else:
                response = events.response(101, REQUEST, results[kept], order_id=kept + 1)
                assert found == {"seq": kept + 1, "log_time_us": (kept + 1) * 1_000_000, "response": response}

    asyncio.run(scene())


def test_cursor_goes_with_the_views(redis_url: str, streams: Streams) -> None:
    """A commit from a stale cursor writes nothing; one whose answer is lost is written once."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 5))

    async def scene() -> None:
        with proxied(redis_url) as (proxy, url):
            async with place(url, timeout_s=0.3) as here:
                await here.reaches(5)
                entries = await here.streams.read_events(KEYS, (0, 0), 3)
                before = await here.view(101)
                assert await here.reader.write(None, entries) is False
                assert await here.reader.write("4-0", entries) is False
                assert await here.view(101) == before
                for fault in ("cut_reply", "cut_request", "deaf"):
                    events.publish(streams, events.day(chain, chain.last[0] + 1, 5))
                    proxy.set(fault, b"EXEC")
                    await here.reaches(chain.last[0])
                assert proxy.hit == 3
                assert (await here.view(101))["seq"] == chain.last[0]
                proxy.set("cut_reply", b"EXEC")
                with pytest.raises(StreamsUnknown):
                    await here.reader.write("20-0", entries)

    asyncio.run(scene())


def test_each_outage_is_said_once(redis_url: str, streams: Streams) -> None:
    """A Redis that is away is reported once an outage, which a write that went through or a quiet read ends."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 1))

    async def scene() -> None:
        with proxied(redis_url) as (proxy, url):
            async with place(url, timeout_s=0.3) as here:
                task = asyncio.create_task(here.reader.run())
                await until(lambda: here.reader.position.seq == 1)
                for outage in (1, 2):
                    proxy.set("cut_reply", b"EXEC")
                    events.publish(streams, events.day(chain, chain.last[0] + 1, 1))
                    await until(lambda: here.reader.position.seq == chain.last[0] and not here.reader.waiting)
                    assert len(here.log.named("views_wait")) == outage
                proxy.cut()
                await until(lambda: len(here.log.named("views_wait")) == 3)
                await until(lambda: not here.reader.waiting)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())


def test_two_view_readers(redis_url: str, streams: Streams) -> None:
    """Two readers at once leave what one would have left, and readers are told of the cursor."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 5))

    async def scene() -> None:
        async with place(redis_url) as first, place(redis_url) as second:
            heard: list[bytes] = []

            async def listen() -> None:
                async for _channel, message in first.streams.listen(KEYS.views_channel):
                    heard.append(message)

            listener = asyncio.create_task(listen())
            work = [asyncio.create_task(here.reaches(305)) for here in (first, second)]
            for _ in range(30):
                events.publish(streams, events.day(chain, chain.last[0] + 1, 10))
                await asyncio.sleep(0.003)
            await asyncio.gather(*work)
            assert (await first.view(101))["account"]["free"] == f"{5_000 - 305}.000000"
            for seq in range(1, 306):
                assert (await first.outcome(f"{seq:032x}"))["seq"] == seq
            await until(lambda: b"305-0" in heard)
            listener.cancel()
            assert len(heard) == len(set(heard)), "each move of the cursor was made once"

    asyncio.run(scene())


def test_rebuild_without_cursor(redis_url: str, streams: Streams) -> None:
    """Without a cursor the views are rebuilt from the events alone: nothing stale stays, accepted outcomes stay."""
    chain = Chain()
    entries = [*events.day(chain, 1, 9), chain.entry(10, events.order_changed(101, 77))]
    events.publish(streams, entries)

    async def scene() -> None:
        async with place(redis_url) as here:
            await here.reaches(10)
            expected = await here.view(101)
            await here.streams.delete(KEYS.views_cursor, KEYS.views_witness)
            streams.converse(command("HSET", KEYS.view_account(101), "order:555", "{}"))
            streams.converse(command("HSET", KEYS.view_account(999), "order:1", "{}"))
            other = Keys("otherlife1")
            streams.converse(command("HSET", other.view_account(101), "seq", "1"))
            async with place(redis_url) as fresh:
                await fresh.reaches(10)
                assert await fresh.view(101) == expected
                assert await fresh.view(999) == {}
                assert await fresh.streams.hash_read(other.view_account(101)) == {"seq": "1"}
                assert (await fresh.outcome(f"{3:032x}"))["seq"] == 3

    asyncio.run(scene())


def test_unusable_events_are_passed(redis_url: str, streams: Streams) -> None:
    """An event that cannot be one changes nothing, is said aloud, and stops nobody."""
    bad: list[Any] = [
        None, 5, {}, {"e": 1}, {"e": "order_changed", "account": 101}, {"e": "order_changed", "account": "101"},
        {"e": "position_changed", "account": 101, "position_id": 1, "qty": 5}, events.order_changed(101, 1.5),
        events.response(101, None, "OK"), events.response(101, REQUEST, None),
        {"e": "margin_call", "account": 101, "position_id": "8"}, {"e": "insurance_changed", "balance": 5},
        {"e": "account_opened", "account": 105, "main": 101}, {"e": "account_guards_changed", "account": None},
        {"e": "something_new", "account": 101, "x": 1}, {"e": "trade", "market": "X"},
    ]  # fmt: skip
    chain = Chain()
    entries = [chain.entry(1, *bad, events.account_changed(101)), chain.entry(2, data=b"\xff[")]
    events.publish(streams, [*entries, chain.entry(3, events.order_changed(101, 4))])

    async def scene() -> None:
        async with place(redis_url) as here:
            await here.reaches(3)
            assert sorted(await here.view(101)) == ["account", "order:4", "seq"]
            assert len(here.log.named("view_event_unusable")) == len(bad) - 3 + 1

    asyncio.run(scene())


def test_broken_chain_is_refused(redis_url: str, streams: Streams) -> None:
    """An entry that does not follow ours is refused and none of its batch is written."""
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 2))

    async def scene() -> None:
        async with place(redis_url) as here:
            await here.reaches(2)
            chain.entry(3, events.account_changed(101, "3.0"))
            events.publish(streams, [chain.entry(4, events.account_changed(101, "4.0"))])
            with pytest.raises(Refusal, match=r"4-0 follows '1000000000000003-0'.* has 2-0"):
                await here.reaches(4)
            assert (await here.view(101))["seq"] == 2
            with pytest.raises(Refusal):
                async with place(redis_url) as again:
                    await again.reaches(4)

    asyncio.run(scene())


def test_everything_lost_under_a_live_reader(streams: Streams, redis_url: str) -> None:
    """When Redis loses events and cursor together, a reader that lives refuses instead of rebuilding from nothing."""
    events.publish(streams, events.day(Chain(), 1, 4))

    async def scene() -> None:
        async with place(redis_url) as here:
            here.now_s = 0.0
            task = asyncio.create_task(here.reaches(5))
            await until(lambda: here.reader.position.seq == 4)
            streams.converse(command("FLUSHALL"))
            here.now_s = 3.0
            with pytest.raises(Refusal, match="the events end at 0-0"):
                await task
            with pytest.raises(Refusal):
                await here.reaches(5)

    asyncio.run(scene())


# -- the process


def command(*words: str) -> Any:
    """Return a conversation of one command, for what no verb does."""
    return ask([*words])
