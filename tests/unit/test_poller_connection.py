"""One session after another: when a socket is dropped, what is never forwarded, what the log is told."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import orjson
import pytest

from poller.connection import Drop, Feed, Patience
from poller.forward import WAITING_ENTRIES_MAX, Forwarder
from poller.witness import Witness
from tests.poller_doubles import (
    KEYS,
    Clock,
    Connector,
    FakeSocket,
    FakeStreams,
    Silent,
    mark_frame,
    price_frame,
    settle,
)

MARKETS = ("BTC_USDC_PERP", "ETH_USDC_PERP")


class Bench:
    """A feed over sockets and a log in memory."""

    def __init__(self, price_age_max_ms: int | None = None) -> None:
        self.clock = Clock()
        self.streams = FakeStreams()
        self.connector = Connector()
        self.logger = Silent()
        witness = Witness(self.streams, KEYS)
        self.forwarder = Forwarder(self.streams, KEYS, self.clock.timing, self.logger, witness, self.check)
        self.feed = Feed(
            "ws://test",
            MARKETS,
            "recording:a_name_that_is_longer_than_the_log_takes",
            self.forwarder,
            self.connector,
            self.clock.timing,
            self.logger,
            Patience(),
            price_age_max_ms,
            random.Random(1),
        )

    async def check(self) -> None:
        """Find the venue unchanged."""

    @property
    def socket(self) -> FakeSocket:
        """Return the newest socket."""
        return self.connector.sockets[-1]

    def statuses(self) -> list[tuple[str, str]]:
        """Return status and session of every feed_status."""
        return [
            (orjson.loads(fields[-1][1])["status"], fields[1][1].decode())
            for fields in self.streams.entries
            if fields[-1][0] == b"feed_status"
        ]

    def numbers(self) -> list[int]:
        """Return the update ids in the log."""
        return [body["u"] for body in self.streams.bodies("price_update")]

    async def live(self, seconds: float) -> None:
        """Let time pass with a mark every half second."""
        for _ in range(int(seconds * 2)):
            self.socket.put(mark_frame())
            await self.clock.advance(0.5)


def run(test: Callable[[Bench], Awaitable[None]], price_age_max_ms: int | None = None) -> None:
    """Run a test beside a running feed."""

    async def main() -> None:
        bench = Bench(price_age_max_ms)
        tasks = [asyncio.create_task(bench.forwarder.run()), asyncio.create_task(bench.feed.run())]
        await settle()
        try:
            await test(bench)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_up_is_in_the_log_before_anything_is_subscribed() -> None:
    """No subscribe frame leaves before the session's opening is in the log."""

    async def main() -> None:
        bench = Bench()
        bench.streams.down = True
        tasks = [asyncio.create_task(bench.forwarder.run()), asyncio.create_task(bench.feed.run())]
        await bench.clock.advance(2.0)
        assert bench.socket.sent == []
        bench.streams.down = False
        await bench.clock.advance(1.0)
        assert bench.streams.kinds() == ["feed_status"]
        assert len(bench.socket.sent) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_feed_status_body() -> None:
    """The opening names the source, cut to what the log takes, and the price age when one is set."""

    async def test(bench: Bench) -> None:
        source = "recording:a_name_that_is_longer_than_the_log_takes"[:32]
        assert bench.streams.bodies("feed_status") == [{"status": "up", "source": source, "price_age_max_ms": 5000}]

    run(test, price_age_max_ms=5000)


def test_quotes_and_marks_are_forwarded_in_order() -> None:
    """What arrives is in the log in its order, under the session of its connection."""

    async def test(bench: Bench) -> None:
        bench.socket.put(price_frame(1), mark_frame(), price_frame(2, "ETH_USDC_PERP"), price_frame(3))
        await settle()
        assert bench.streams.kinds() == ["feed_status", "price_update", "mark_update", "price_update", "price_update"]
        assert {fields[1][1] for fields in bench.streams.entries} == {bench.feed.session.encode()}

    run(test)


def test_garbage_and_errors_are_counted_and_the_session_goes_on() -> None:
    """Garbage, error frames and foreign markets end nothing; each is counted under its name."""

    async def test(bench: Bench) -> None:
        bench.socket.put(
            b"\xff\x00", b"{}", price_frame(1, "DOGE_USDC_PERP"), b'{"error":{"code":4006,"message":"x"},"id":null}'
        )
        bench.socket.put(price_frame(7))
        await settle()
        assert bench.numbers() == [7]
        assert dict(bench.feed.counts) == {
            "unreadable_not_json": 1,
            "unreadable_not_a_data_frame": 1,
            "unreadable_market_unknown": 1,
            "error_4006": 1,
        }

    run(test)


def test_silent_socket_is_dropped_and_a_new_session_opened() -> None:
    """A socket without a mark for five seconds is half-open: down, then up under another session."""

    async def test(bench: Bench) -> None:
        await bench.live(20)
        assert len(bench.connector.sockets) == 1
        await bench.clock.advance(5.5)
        assert bench.connector.sockets[0].aborted
        await bench.clock.advance(1.0)
        states = bench.statuses()
        assert [status for status, _ in states] == ["up", "down", "up"]
        assert states[0][1] == states[1][1] != states[2][1]
        assert bench.feed.counts["session_half_open"] == 1

    run(test)


def test_error_frames_are_no_sign_of_life() -> None:
    """A socket that delivers nothing but errors and garbage is dropped like a silent one."""

    async def test(bench: Bench) -> None:
        for _ in range(60):
            bench.connector.sockets[0].put(b"garbage", b'{"error":{"code":4002,"message":"x"},"id":null}')
            await bench.clock.advance(0.1)
        assert bench.connector.sockets[0].aborted

    run(test)


def test_closed_socket_ends_with_its_quotes_then_down() -> None:
    """What arrived before a close is forwarded, then the log is told that the feed is down."""

    async def test(bench: Bench) -> None:
        bench.socket.put(price_frame(1), price_frame(2))
        bench.socket.frames.put_nowait(None)
        await settle()
        assert bench.streams.kinds() == ["feed_status", "price_update", "price_update", "feed_status"]
        assert bench.feed.counts["session_closed"] == 1

    run(test)


def test_own_stall_drops_the_socket_unread() -> None:
    """After our own stand-still the buffered quotes are never forwarded; a new session begins."""

    async def test(bench: Bench) -> None:
        await bench.live(2)
        bench.clock.jump(3.0)
        bench.connector.sockets[0].put(*(price_frame(number) for number in range(100)))
        await bench.clock.advance(1.0)
        assert bench.numbers() == []
        assert bench.connector.sockets[0].aborted
        assert bench.connector.sockets[0].taken <= 4 + 1
        assert bench.feed.counts["session_stalled"] == 1
        bench.socket.put(price_frame(200))
        await settle()
        assert bench.numbers() == [200]

    run(test)


def test_stall_is_noticed_by_the_watch_too() -> None:
    """A stall during which nothing arrived ends the session as well: what comes next would be old."""

    async def test(bench: Bench) -> None:
        await bench.live(2)
        bench.clock.jump(3.0)
        await bench.clock.advance(0.0)
        assert bench.connector.sockets[0].aborted

    run(test)


def test_log_away_for_seconds_drops_the_socket() -> None:
    """Quotes not forwarded for three seconds are forgotten, and the session renewed when the log is back."""

    async def test(bench: Bench) -> None:
        await bench.live(1)
        bench.streams.down = True
        bench.connector.sockets[0].put(*(price_frame(number) for number in range(1, 50)))
        await bench.clock.advance(2.5)
        assert not bench.connector.sockets[0].aborted
        await bench.clock.advance(1.5)
        assert bench.connector.sockets[0].aborted
        await bench.clock.advance(20)
        assert len(bench.connector.sockets) == 2
        assert bench.socket.sent == []
        bench.streams.down = False
        await bench.clock.advance(1.0)
        assert bench.numbers() == []
        assert [status for status, _ in bench.statuses()] == ["up", "down", "up"]
        assert len(bench.socket.sent) == 1

    run(test)


def test_short_outage_loses_nothing() -> None:
    """An outage of two seconds neither drops the socket nor a quote."""

    async def test(bench: Bench) -> None:
        await bench.live(1)
        bench.streams.down = True
        bench.socket.put(*(price_frame(number) for number in range(1, 1_000)))
        await bench.clock.advance(2.0)
        bench.streams.down = False
        await bench.clock.advance(1.0)
        assert bench.numbers() == list(range(1, 1_000))
        assert len(bench.connector.sockets) == 1

    run(test)


def test_reading_stops_while_the_waiting_room_is_full() -> None:
    """With the log away, the socket is read only as far as there is room, and silence is then not held against it."""

    async def test(bench: Bench) -> None:
        bench.streams.down = True
        bench.socket.put(*(price_frame(number) for number in range(10_000)))
        await bench.clock.advance(1.0)
        assert bench.socket.taken <= WAITING_ENTRIES_MAX + 501
        bench.streams.down = False
        await bench.clock.advance(0.5)
        await settle()
        await bench.clock.advance(0.2)
        assert bench.numbers() == list(range(10_000))

    run(test)


def test_back_off_doubles_with_jitter_and_starts_again() -> None:
    """Tries grow apart up to the longest pause, each with a random half, and a settled session forgives."""

    async def test(bench: Bench) -> None:
        pauses = [bench.feed.backoff_s(failures) for failures in range(1, 12)]
        longest = [min(30.0, 0.25 * 2**i) for i in range(11)]
        assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, longest, strict=True))
        assert len({round(pause / limit, 6) for pause, limit in zip(pauses, longest, strict=True)}) > 5
        bench.connector.refusing = True
        await bench.live(12)
        bench.socket.frames.put_nowait(None)
        await bench.clock.advance(60)
        assert 5 <= bench.connector.tried <= 14
        bench.connector.refusing = False
        await bench.clock.advance(30)
        assert len(bench.connector.sockets) == 2

    run(test)


def test_refused_connections_write_nothing() -> None:
    """Tries that never connect leave no entry in the log."""

    async def main() -> None:
        bench = Bench()
        bench.connector.refusing = True
        tasks = [asyncio.create_task(bench.forwarder.run()), asyncio.create_task(bench.feed.run())]
        await bench.clock.advance(60)
        assert bench.streams.entries == []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_undelivered_streams_are_named() -> None:
    """A market whose marks never come is named after a quarter of a minute, quiet books after a minute."""

    async def test(bench: Bench) -> None:
        bench.socket.put(price_frame(1))
        await bench.live(14)
        assert bench.feed.undelivered == []
        await bench.live(3)
        assert bench.feed.undelivered == ["markPrice.ETH_USDC_PERP"]
        await bench.live(45)
        assert bench.feed.undelivered == ["bookTicker.ETH_USDC_PERP", "markPrice.ETH_USDC_PERP"]
        bench.socket.put(mark_frame("ETH_USDC_PERP"), price_frame(2, "ETH_USDC_PERP"))
        await bench.live(1)
        assert bench.feed.undelivered == []
        assert bench.logger.events().count("streams_undelivered") == 3

    run(test)


@pytest.mark.parametrize("reason", [Drop.SUPERSEDED, Drop.STALLED])
def test_drop_from_outside_opens_another_session(reason: Drop) -> None:
    """A session dropped by the watch is followed by one of another name."""

    async def test(bench: Bench) -> None:
        first = bench.feed.session
        bench.feed.drop(reason)
        bench.feed.drop(Drop.HALF_OPEN)
        await bench.clock.advance(1.0)
        assert bench.feed.session != first
        assert bench.feed.counts[f"session_{reason}"] == 1

    run(test)


def test_stop_says_down() -> None:
    """A feed that is cancelled leaves `down` for the farewell."""

    async def main() -> None:
        bench = Bench()
        forward = asyncio.create_task(bench.forwarder.run())
        feed = asyncio.create_task(bench.feed.run())
        await settle()
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)
        await bench.forwarder.drained()
        assert [status for status, _ in bench.statuses()] == ["up", "down"]
        assert bench.socket.aborted
        forward.cancel()
        await asyncio.gather(forward, return_exceptions=True)

    asyncio.run(main())
