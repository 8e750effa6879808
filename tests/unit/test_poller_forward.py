"""The forwarder: order, batches, one in flight, nothing twice, nothing lost, bounded."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from poller.forward import BATCH_ENTRIES_MAX, PRICE_UPDATE, WAITING_ENTRIES_MAX, Forwarder
from poller.witness import Witness
from shared.refusal import Refusal
from tests.poller_doubles import KEYS, Clock, FakeStreams, Silent, settle

SESSION = b"session1"


class Bench:
    """A forwarder over a log in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.streams = FakeStreams()
        self.logger = Silent()
        self.checks = 0
        self.witness = Witness(self.streams, KEYS)
        self.forwarder = Forwarder(self.streams, KEYS, self.clock.timing, self.logger, self.witness, self.check)

    async def check(self) -> None:
        """Count how often the venue was asked about."""
        self.checks += 1

    def put(self, first: int, last: int) -> None:
        """Queue quotes whose body is their number."""
        for number in range(first, last + 1):
            self.forwarder.put(PRICE_UPDATE, b"%d" % number, SESSION)

    def numbers(self) -> list[int]:
        """Return the quotes in the log."""
        return [int(fields[-1][1]) for fields in self.streams.entries if fields[-1][0] == PRICE_UPDATE]


def run(test: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a test beside a running forwarder."""

    async def main() -> None:
        bench = Bench()
        task = asyncio.create_task(bench.forwarder.run())
        await settle()
        try:
            await test(bench)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_entries_leave_in_order_with_stamp_and_session() -> None:
    """Entries reach the log in order, stamped with our clock in microseconds, feed entries with their session."""

    async def test(bench: Bench) -> None:
        seq = bench.forwarder.status_put(b"{}", SESSION)
        bench.put(1, 2)
        bench.forwarder.tick()
        await settle()
        assert await seq == 1
        stamp = (b"ts", b"%d" % bench.clock.now_us())
        assert bench.streams.entries == [
            [stamp, (b"session", SESSION), (b"feed_status", b"{}")],
            [stamp, (b"session", SESSION), (b"price_update", b"1")],
            [stamp, (b"session", SESSION), (b"price_update", b"2")],
            [stamp, (b"clock_tick", b"{}")],
        ]

    run(test)


def test_one_batch_in_flight_of_bounded_size() -> None:
    """While a batch is under way the next ones wait, and none is larger than the bound."""

    async def test(bench: Bench) -> None:
        bench.streams.gate = asyncio.Event()
        bench.put(1, 1)
        await settle()
        bench.put(2, 1_200)
        await settle()
        assert bench.streams.entries == []
        bench.streams.gate.set()
        await settle()
        assert bench.numbers() == list(range(1, 1_201))
        assert bench.streams.in_flight_max == 1
        assert max(bench.streams.batches) == BATCH_ENTRIES_MAX

    run(test)


@pytest.mark.parametrize("faults", [["lose"], ["vanish"], ["refuse"], ["lose", "vanish", "refuse", "lose", "lose"]])
def test_lost_answers_neither_double_nor_lose(faults: list[str]) -> None:
    """Whatever becomes of an answer, every entry is in the log once, in order."""

    async def test(bench: Bench) -> None:
        bench.streams.script = list(faults)
        bench.put(1, 700)
        await settle()
        bench.put(701, 900)
        await bench.clock.advance(3.0)
        assert bench.numbers() == list(range(1, 901))

    run(test)


def test_others_entries_between_are_not_taken_for_ours() -> None:
    """After an unknown answer the entries of other producers, even of equal content, do not count as ours."""

    async def test(bench: Bench) -> None:
        bench.put(1, 1)
        await settle()
        bench.streams.entries.append([(b"ts", b"5"), (b"session", b"other"), (b"price_update", b"2")])
        bench.streams.script = ["vanish"]
        bench.put(2, 2)
        await bench.clock.advance(1.0)
        assert bench.numbers() == [1, 2, 2]
        assert bench.streams.entries[-1][1] == (b"session", SESSION)

    run(test)


def test_unknown_answer_waits_for_a_readable_log() -> None:
    """While the log cannot be read, nothing is appended; afterwards only what is missing is."""

    async def test(bench: Bench) -> None:
        bench.streams.script = ["lose"]
        bench.streams.unreadable = True
        bench.put(1, 10)
        await bench.clock.advance(2.0)
        assert len(bench.streams.batches) == 1
        bench.put(11, 20)
        bench.streams.unreadable = False
        await bench.clock.advance(1.0)
        assert bench.numbers() == list(range(1, 21))

    run(test)


def test_refusal_stamps_again_and_asks_for_the_venue() -> None:
    """A refused batch is sent again with a new stamp, after the venue was asked about."""

    async def test(bench: Bench) -> None:
        bench.streams.down = True
        bench.put(1, 1)
        await bench.clock.advance(1.0)
        assert bench.checks > 0
        bench.streams.down = False
        await bench.clock.advance(1.0)
        assert bench.numbers() == [1]
        assert int(bench.streams.entries[0][0][1]) >= bench.clock.now_us() - 1_000_000
        assert bench.logger.events() == ["log_refuses", "log_accepts"]

    run(test)


def test_a_tick_after_a_gap_wants_to_be_confirmed() -> None:
    """The first tick that the log takes, and the first after an outage, ask for a second; those between do not."""

    async def test(bench: Bench) -> None:
        wanted = []
        for pause_s in (0.0, 0.1, 1.0, 9.0, 0.1):
            await bench.clock.advance(pause_s)
            bench.forwarder.tick()
            await settle()
            wanted.append(bench.forwarder.confirm_due)
        assert wanted == [True, False, False, True, False]

    run(test)


def test_a_tick_asked_for_meanwhile_is_no_refusal() -> None:
    """A tick that falls due while a batch is under way follows at once: nothing was refused."""

    async def test(bench: Bench) -> None:
        bench.streams.gate = asyncio.Event()
        bench.put(1, 1)
        await settle()
        bench.forwarder.tick()
        bench.streams.gate.set()
        await settle()
        assert bench.streams.kinds() == ["price_update", "clock_tick"]
        assert bench.checks == 0

    run(test)


@pytest.mark.parametrize("lost", ["cut", "replaced"])
def test_append_on_another_log_is_refused(lost: str) -> None:
    """After a lost connection the older memory is compared before the entry just accepted becomes the newest."""

    async def main() -> None:
        bench = Bench()
        task = asyncio.create_task(bench.forwarder.run())
        bench.put(1, 5)
        await settle()
        assert bench.witness.seq == 5
        del bench.streams.entries[3:]
        if lost == "replaced":
            bench.streams.entries += [[(b"ts", b"1"), (b"clock_tick", b"{}")]] * 4
        bench.streams.losses += 1
        bench.put(6, 6)
        await settle()
        with pytest.raises(Refusal, match="ends at 4" if lost == "cut" else "not the one that the poller"):
            await task

    asyncio.run(main())


def test_ticks_do_not_pile_up() -> None:
    """After an outage one tick is appended, not one for each second of it."""

    async def test(bench: Bench) -> None:
        bench.streams.down = True
        for _ in range(10):
            bench.forwarder.tick()
            await bench.clock.advance(1.0)
        bench.streams.down = False
        await bench.clock.advance(1.0)
        assert bench.streams.kinds() == ["clock_tick"]

    run(test)


def test_waiting_room_is_bounded() -> None:
    """A reader that waits for room never fills the room beyond its bound, and goes on when there is room."""

    async def test(bench: Bench) -> None:
        bench.streams.down = True
        read = 0

        async def reader() -> None:
            nonlocal read
            for number in range(1, 10_001):
                await bench.forwarder.room()
                bench.forwarder.put(PRICE_UPDATE, b"%d" % number, SESSION)
                read = number

        task = asyncio.create_task(reader())
        await bench.clock.advance(2.0)
        assert WAITING_ENTRIES_MAX <= read <= WAITING_ENTRIES_MAX + BATCH_ENTRIES_MAX
        assert bench.forwarder.full
        bench.streams.down = False
        while not task.done():
            await bench.clock.advance(0.5)
        await settle()
        assert bench.numbers() == list(range(1, 10_001))

    run(test)


def test_discard_forgets_quotes_only() -> None:
    """A discarded session's quotes vanish, in flight or waiting; its feed_status does not."""

    async def test(bench: Bench) -> None:
        bench.streams.down = True
        bench.put(1, 600)
        await bench.clock.advance(0.5)
        assert bench.forwarder.oldest_age_s() > 0.4
        bench.forwarder.discard(SESSION)
        assert bench.forwarder.oldest_age_s() == 0.0
        bench.forwarder.status_put(b'{"status":"down"}', SESSION)
        bench.streams.down = False
        await bench.clock.advance(1.0)
        assert bench.streams.kinds() == ["feed_status"]
        assert bench.forwarder.counts["discarded"] == 600

    run(test)


def test_discard_reaches_what_is_in_flight() -> None:
    """Quotes discarded while their batch is under way are not sent again when it fails, nor held against the next."""

    async def test(bench: Bench) -> None:
        bench.streams.gate = asyncio.Event()
        bench.streams.script = ["vanish"]
        bench.put(1, 5)
        await settle()
        bench.forwarder.discard(SESSION)
        bench.clock.jump(10)
        assert bench.forwarder.oldest_age_s() == 0.0
        bench.streams.gate.set()
        await bench.clock.advance(1.0)
        assert bench.streams.entries == []
        assert bench.forwarder.counts["discarded"] == 5

    run(test)


def test_equal_entries_are_told_apart_by_number() -> None:
    """Two entries of the same bytes whose answer was lost are both in the log, not one for both."""

    async def test(bench: Bench) -> None:
        bench.streams.script = ["lose"]
        bench.streams.unreadable = True
        for _ in range(2):
            bench.forwarder.put(PRICE_UPDATE, b"7", SESSION)
        await settle()
        del bench.streams.entries[1:]  # as if the second had been cut off
        bench.streams.unreadable = False
        await bench.clock.advance(1.0)
        assert bench.numbers() == [7, 7]

    run(test)


def test_drained_waits_for_the_last_answer() -> None:
    """The farewell ends only when nothing waits and nothing is in flight."""

    async def test(bench: Bench) -> None:
        bench.streams.gate = asyncio.Event()
        bench.put(1, 3)
        task = asyncio.create_task(bench.forwarder.drained())
        await settle()
        assert not task.done()
        bench.streams.gate.set()
        await settle()
        assert task.done()

    run(test)
