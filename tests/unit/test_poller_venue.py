"""The poller's watch: whose venue it is, which session is in force, who else polls."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from poller.connection import Feed
from poller.forward import Forwarder
from poller.venue import VenueGuard, VenueLeft, Watch, venue_wait
from poller.witness import Witness
from shared.refusal import Refusal, RefusalStands, refusal_file_write
from tests.poller_doubles import KEYS, Clock, Connector, FakeStreams, Silent, mark_frame, settle

NO_FOLDER = Path("no-such-folder")


class Bench:
    """A watch over a feed and a log in memory."""

    def __init__(self, data_dir: Path) -> None:
        self.clock = Clock()
        self.streams = FakeStreams()
        self.connector = Connector()
        self.logger = Silent()
        timing = self.clock.timing
        self.witness = Witness(self.streams, KEYS)
        self.guard = VenueGuard(self.streams, KEYS, data_dir, self.witness)
        self.forwarder = Forwarder(self.streams, KEYS, timing, self.logger, self.witness, self.guard.check)
        self.feed = Feed(
            "ws://test", ("BTC_USDC_PERP",), "simulated", self.forwarder, self.connector, timing, self.logger,
            chance=random.Random(1),
        )  # fmt: skip
        self.watch = Watch(self.streams, KEYS, self.guard, self.feed, self.forwarder, timing, self.logger)
        self.counter = 0

    def leader(self, session: str | None, seq: int = 100, alive: bool = True) -> None:
        """Have the leader say which session is in force; None: ours."""
        self.counter += alive
        name = self.feed.session if session is None else session
        self.streams.values[KEYS.leader] = {
            "who": "w", "counter": self.counter, "seq": seq, "rules": 1, "run_id": "r", "session": name, "time_us": 1,
        }  # fmt: skip

    async def looks(self, seconds: int, session: str | None, **leader: int) -> None:
        """Let seconds pass, a mark and a look in each."""
        for _ in range(seconds):
            self.leader(session, **leader)
            self.connector.sockets[-1].put(mark_frame())
            await self.watch.look()
            await self.clock.advance(1.0)


def run(test: Callable[[Bench], Awaitable[None]], data_dir: Path = NO_FOLDER) -> None:
    """Run a test beside a running feed."""

    async def main() -> None:
        bench = Bench(data_dir)
        tasks = [asyncio.create_task(bench.forwarder.run()), asyncio.create_task(bench.feed.run())]
        await settle()
        try:
            await test(bench)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_venue_is_awaited_saying_so() -> None:
    """Without a venue, or without Redis, the poller waits and says why; it goes on when there is one."""

    async def main() -> None:
        clock, streams, logger = Clock(), FakeStreams(), Silent()
        streams.pointer, streams.down = None, True
        task = asyncio.create_task(venue_wait(streams, clock.timing, logger))
        await clock.advance(6.0)
        streams.down = False
        await clock.advance(6.0)
        assert 3 <= logger.events().count("waiting_for_venue") <= 4
        streams.pointer = "thevenue01"
        await clock.advance(0.2)
        assert await task == "thevenue01"

    asyncio.run(main())


@pytest.mark.parametrize(("what", "raised"), [("pointer", VenueLeft), ("key", RefusalStands), ("file", RefusalStands)])
def test_another_venue_or_a_refusal_ends_the_process(what: str, raised: type[Exception], tmp_path: Path) -> None:
    """A pointer to another venue, and a refusal written down in Redis or, Redis silent, in the data folder, is told."""

    async def test(bench: Bench) -> None:
        await bench.watch.look()
        if what == "pointer":
            bench.streams.pointer = "another"
        elif what == "key":
            bench.streams.values[KEYS.refused] = {"process": "engine", "reason": "gap"}
        else:
            bench.streams.down = True
            refusal_file_write(tmp_path, {"text": "gap"})
        with pytest.raises(raised):
            await bench.watch.look()

    run(test, tmp_path)


def test_a_log_without_what_we_remember_is_refused() -> None:
    """Entries that are gone from the log's end are a refusal at the next look; trimmed or unreadable ones are not."""

    async def test(bench: Bench) -> None:
        bench.forwarder.tick()
        await bench.clock.advance(0.1)
        assert bench.witness.seq == len(bench.streams.entries) > 1
        bench.streams.unreadable = True
        kept, bench.streams.entries = bench.streams.entries, []
        await bench.watch.look()
        bench.streams.unreadable = False
        with pytest.raises(Refusal, match="the log ends at 0, but the poller remembers entry"):
            await bench.watch.look()
        bench.streams.entries = kept
        await bench.watch.look()

    run(test)


def test_silent_redis_ends_nothing() -> None:
    """A Redis that does not answer, or has lost the pointer, is waited for."""

    async def test(bench: Bench) -> None:
        bench.streams.down = True
        await bench.watch.look()
        bench.streams.down, bench.streams.pointer = False, None
        await bench.watch.look()

    run(test)


def test_session_not_in_force_is_renewed() -> None:
    """When the living leader names another session for two seconds, a new one is opened."""

    async def test(bench: Bench) -> None:
        first = bench.feed.session
        await bench.looks(3, None)
        assert bench.feed.session == first
        await bench.looks(4, "another")
        assert bench.feed.session != first
        assert bench.feed.counts["session_superseded"] == 1

    run(test)


@pytest.mark.parametrize("case", ["behind", "dead", "other_poller"])
def test_session_is_kept_when_nothing_is_known(case: str) -> None:
    """A leader that has not read our opening, or is dead, or another living poller: the session stays."""

    async def test(bench: Bench) -> None:
        first = bench.feed.session
        for _ in range(8):
            if case == "other_poller":
                bench.streams.values[KEYS.process("poller")] = {"who": "somebody else"}
            await bench.looks(1, "another", seq=0 if case == "behind" else 100, alive=case != "dead")
        assert bench.feed.session == first

    run(test)


def test_heartbeat_tells_the_state() -> None:
    """The heartbeat names process, session, newest seq, lag and what was never delivered."""

    async def test(bench: Bench) -> None:
        await bench.looks(1, None)
        beat = bench.streams.values[KEYS.process("poller")]
        assert (beat["role"], beat["status"], beat["session"]) == ("poller", "up", bench.feed.session)
        assert beat["seq"] >= 1
        assert {"pid", "lag", "rules", "since_us", "undelivered", "forwarded", "frames", "who"} <= beat.keys()

    run(test)
