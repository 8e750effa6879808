"""Recordings play exactly: each quote once and in order, at any speed, whoever leaves and returns."""

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from poller.hub import WINDOW_FRAMES, Hub, Subscriber
from poller.playback import CHUNK_FRAMES, RecordingPlayer, Stamps
from poller.recording import HOLD_UPDATE_IDS, REWIND_FRAMES, Tape, recording_read
from tests.poller_doubles import NOW_US, Clock, FakeConnection, mark_frame, price_frame, recording_write

BTC = "BTC_USDC_PERP"
QUOTES = f"bookTicker.{BTC}"
MARKS = f"markPrice.{BTC}"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LONG = DATA / "btc_binance_usdm_20240808_tick.jsonl.gz"


def quotes(count: int, gap_us: int = 10_000, first_id: int = 5_000_000) -> list[bytes]:
    """Return quotes at a steady pace."""
    return [price_frame(first_id + 3 * i, event_us=NOW_US - 10**12 + i * gap_us) for i in range(count)]


class Bench:
    """A player over frames, with connections in memory."""

    def __init__(
        self, path: Path, frames: list[bytes], speed: float = 1.0, loop: bool = False, hold: bool = False
    ) -> None:
        self.clock = Clock()
        self.hub = Hub()
        self.going = not hold
        self.tape = Tape(recording_read(recording_write(path, frames)), hold, loop)
        go = (lambda: self.going) if hold else None
        self.player = RecordingPlayer(self.tape, self.hub, self.clock.timing, speed, go)
        self.task = asyncio.create_task(self.player.run())

    def join(self, streams: tuple[str, ...] = (QUOTES, MARKS), answering: bool = True) -> FakeConnection:
        """Subscribe one more client."""
        connection = FakeConnection()
        connection.answering = answering
        self.hub.add(Subscriber(connection), streams)  # type: ignore[arg-type]
        return connection

    def leave(self, connection: FakeConnection) -> None:
        """End a client's connection."""
        self.hub.subscribers = [one for one in self.hub.subscribers if one.connection is not connection]

    async def stop(self) -> None:
        """End the player; raise what it raised."""
        self.task.cancel()
        results = await asyncio.gather(self.task, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results


def ids(connection: FakeConnection) -> list[int]:
    """Return the update ids a client was sent."""
    return [data["u"] for data in connection.data(QUOTES)]


def times_hold(data: list[dict[str, Any]], clock: Clock) -> bool:
    """Return whether E and T never go back, T is never after E, and E never ahead of now."""
    pairs = list(itertools.pairwise(data))
    return (
        all(a["E"] <= b["E"] and a["T"] <= b["T"] for a, b in pairs)
        and all(one["T"] <= one["E"] <= clock.now_us() for one in data)
    )  # fmt: skip


@pytest.mark.parametrize("speed", [0, 1, 4, 1000])
def test_every_quote_once_in_order_with_times_of_now(tmp_path: Path, speed: float) -> None:
    """At any speed each recorded quote arrives exactly once, in order, only its times changed."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(1_500), speed)
        client = bench.join()
        await bench.clock.advance(20)
        sent = client.data(QUOTES)[:1_500]
        assert [one["u"] for one in sent] == [5_000_000 + 3 * i for i in range(1_500)]
        assert all(one["E"] >= NOW_US + 100e6 for one in sent)
        assert times_hold(client.data(QUOTES), bench.clock)
        kept = ("A", "B", "a", "b", "e", "s")
        source = orjson.loads(quotes(1)[0])["data"]
        assert all([one[key] for key in kept] == [source[key] for key in kept] for one in sent)
        await bench.stop()

    asyncio.run(main())


@pytest.mark.parametrize("speed", [1, 5])
def test_gaps_are_divided_by_the_speed(tmp_path: Path, speed: float) -> None:
    """The rebased times keep the recorded gaps, divided by the speed, to the microsecond."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(100, gap_us=70_000), speed)
        client = bench.join()
        await bench.clock.advance(10)
        sent = client.data(QUOTES)[:100]
        gaps = [b["E"] - a["E"] for a, b in itertools.pairwise(sent)]
        assert all(abs(gap - 70_000 / speed) <= 60_000 for gap in gaps)
        assert abs(sum(gaps) - 99 * 70_000 / speed) <= 60_000
        await bench.stop()

    asyncio.run(main())


def test_late_player_states_when_frames_were_due(tmp_path: Path) -> None:
    """After a stand-still of half a second the frames follow at once, with the times at which they were due."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(100), speed=1)
        client = bench.join()
        await bench.clock.advance(0.2)
        bench.clock.jump(0.5)
        await bench.clock.advance(0.0)
        sent = client.data(QUOTES)
        assert len(sent) > 60
        assert times_hold(sent, bench.clock)
        assert {b["E"] - a["E"] for a, b in itertools.pairwise(sent)} <= {9_999, 10_000, 10_001}
        await bench.stop()

    asyncio.run(main())


def test_marks_come_every_second_from_the_mid(tmp_path: Path) -> None:
    """Marks are made each second from the exact mid, funding zero, the next funding at the next full hour, E rising."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(1_000), speed=1)
        client = bench.join()
        await bench.clock.advance(10)
        marks = client.data(MARKS)
        assert 9 <= len(marks) <= 12
        assert {(one["p"], one["i"], one["f"]) for one in marks} == {("86655.95", "86655.95", "0")}
        assert all(one["n"] % 3_600_000 == 0 and 0 < one["n"] * 1000 - one["E"] <= 3_600_000_000 for one in marks)
        assert all(a["E"] < b["E"] for a, b in itertools.pairwise(marks))
        await bench.stop()

    asyncio.run(main())


def test_marks_follow_the_recording_at_full_speed(tmp_path: Path) -> None:
    """As fast as it goes, there is still a mark for each recorded second, behind the quote it was made of."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(300, gap_us=1_000_000), speed=0)
        client = bench.join()
        await bench.clock.advance(0.01)
        streams = [orjson.loads(text)["stream"] for text in client.texts]
        assert streams[:600] == [QUOTES, MARKS] * 300
        marks = client.data(MARKS)
        assert all(a["E"] < b["E"] for a, b in itertools.pairwise(marks))
        await bench.stop()

    asyncio.run(main())


def test_recorded_marks_are_played(tmp_path: Path) -> None:
    """Marks in the recording are sent in their place with their own prices and rate."""

    async def main() -> None:
        frames = quotes(3)
        frames.insert(1, mark_frame(event_us=orjson.loads(frames[0])["data"]["E"]))
        bench = Bench(tmp_path, frames, speed=0)
        client = bench.join()
        await bench.clock.advance(3.0)
        streams = [orjson.loads(text)["stream"] for text in client.texts][:4]
        assert streams == [QUOTES, MARKS, QUOTES, QUOTES]
        assert {one["p"] for one in client.data(MARKS)} == {"86655.94871"}
        await bench.stop()

    asyncio.run(main())


def test_the_end_is_kept_up(tmp_path: Path) -> None:
    """After the end the last quote comes again each second with rising ids and fresh times, and so do marks."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(10), speed=0)
        client = bench.join()
        await bench.clock.advance(30)
        sent = client.data(QUOTES)
        assert 35 <= len(sent) <= 42
        assert all(a["u"] < b["u"] for a, b in itertools.pairwise(sent))
        assert bench.clock.now_us() - sent[-1]["E"] <= 1_100_000
        assert len(client.data(MARKS)) >= 28
        await bench.stop()

    asyncio.run(main())


def test_loop_goes_on_upwards(tmp_path: Path) -> None:
    """A looping recording starts again with update ids above all before."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(50), speed=10, loop=True)
        client = bench.join()
        await bench.clock.advance(3)
        got = ids(client)
        assert len(got) > 200
        assert all(a < b for a, b in itertools.pairwise(got))
        assert [u - got[50] for u in got[50:100]] == [u - got[0] for u in got[:50]]
        await bench.stop()

    asyncio.run(main())


@pytest.mark.parametrize("first_id", [1, HOLD_UPDATE_IDS - 1, HOLD_UPDATE_IDS, 5_123_107_839_020])
def test_hold_keeps_the_first_quote_fresh(tmp_path: Path, first_id: int) -> None:
    """Held, only first quote and marks come, fresh, with ids below the recording's; the word lets it run complete."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(20, first_id=first_id), speed=0, hold=True)
        client = bench.join()
        await bench.clock.advance(100)
        held = client.data(QUOTES)
        assert 9 <= len(held) <= 12
        assert held[0]["u"] > 0
        assert all(b["E"] - a["E"] < 20_000_000 for a, b in itertools.pairwise(held))
        assert len(client.data(MARKS)) >= 95
        bench.going = True
        await bench.clock.advance(0.2)
        got = ids(client)
        assert all(a < b for a, b in itertools.pairwise(got))
        assert [u - got[len(held)] for u in got[len(held) :]][:20] == [3 * i for i in range(20)]
        if first_id >= HOLD_UPDATE_IDS:
            assert got[len(held)] == first_id
        await bench.stop()

    asyncio.run(main())


def test_hold_greets_each_newcomer(tmp_path: Path) -> None:
    """Who connects while the recording is held gets its first quote at once."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(20), hold=True)
        bench.join()
        await bench.clock.advance(1.0)
        second = bench.join()
        await bench.clock.advance(0.2)
        assert len(second.data(QUOTES)) == 1
        assert bench.player.index == 0
        await bench.stop()

    asyncio.run(main())


def test_nothing_plays_without_a_listener(tmp_path: Path) -> None:
    """The recording stands still while nobody is subscribed to its quotes."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(100))
        stranger = bench.join(streams=("bookTicker.ETH_USDC_PERP", "markPrice.ETH_USDC_PERP"))
        await bench.clock.advance(60)
        assert bench.player.index == 0
        assert stranger.texts == []
        client = bench.join()
        await bench.clock.advance(3)
        assert ids(client)[:100] == [5_000_000 + 3 * i for i in range(100)]
        assert stranger.texts == []
        await bench.stop()

    asyncio.run(main())


def test_slow_listener_is_waited_for(tmp_path: Path) -> None:
    """Without pongs no more than a window of frames is sent; with them the rest follows, complete."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(5_000), speed=0)
        client = bench.join(answering=False)
        await bench.clock.advance(0.05)
        assert WINDOW_FRAMES <= len(client.texts) <= WINDOW_FRAMES + 3 * CHUNK_FRAMES
        assert not bench.tape.ended(bench.player.index)
        client.answering = True
        for waiter in client.pings:
            waiter.set_result(0.0)
        while not bench.tape.ended(bench.player.index):
            await bench.clock.advance(0.01)
        assert ids(client)[:5_000] == [5_000_000 + 3 * i for i in range(5_000)]
        await bench.stop()

    asyncio.run(main())


def test_only_the_newest_listener_confirms(tmp_path: Path) -> None:
    """Pongs of an older listener say nothing of what the newest one has."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(500), speed=0)
        bench.join()
        await bench.clock.advance(0.0)
        bench.join(answering=False)
        await bench.clock.advance(5.0)
        assert bench.tape.ended(bench.player.index)
        assert bench.player.delivery.confirmed_index == bench.player.delivery.start
        await bench.stop()

    asyncio.run(main())


def test_stopped_listener_does_not_keep_a_new_one_waiting(tmp_path: Path) -> None:
    """A newcomer takes over from a listener that answers no more, which is cut off; nothing is left out."""

    async def main() -> None:
        bench = Bench(tmp_path, quotes(5_000), speed=0)
        first = bench.join(answering=False)
        await bench.clock.advance(0.05)
        second = bench.join()
        for _ in range(200):
            await asyncio.sleep(0.01)
            await bench.clock.advance(0.5)
            if bench.tape.ended(bench.player.index):
                break
        assert first.aborted
        assert ids(second)[:5_000] == [5_000_000 + 3 * i for i in range(5_000)]
        await bench.stop()

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(12))
def test_no_quote_is_lost_by_a_poller_killed_at_random(tmp_path: Path, seed: int) -> None:
    """Whatever a killed client had read but not yet put away, the union of what was put away is complete."""

    async def main() -> None:
        chance = random.Random(seed)
        total, gap_us = chance.choice([(3_000, 1_000), (20_000, 1_000), (1_000, 50_000)])
        speed = chance.choice([1, 10, 0])
        bench = Bench(tmp_path, quotes(total, gap_us), speed)
        # What a client may hold: so many frames at most, and none for longer than it waits for the log.
        held_max = min(REWIND_FRAMES - CHUNK_FRAMES, int(5 * speed * 1e6 / gap_us) if speed else REWIND_FRAMES)
        kept: set[int] = set()
        for _ in range(chance.randint(1, 5)):
            client = bench.join()
            await bench.clock.advance(chance.choice([0.01, 0.5, 2.0, 12.0]))
            got = ids(client)
            in_memory = chance.randrange(held_max)
            kept.update(got[: max(0, len(got) - in_memory)] if not bench.tape.ended(bench.player.index) else got)
            bench.leave(client)
            await bench.clock.advance(chance.choice([0.0, 1.0]))
        last = bench.join()
        while not bench.tape.ended(bench.player.index):
            await bench.clock.advance(5.0)
        kept.update(ids(last))
        assert {5_000_000 + 3 * i for i in range(total)} <= kept
        await bench.stop()

    asyncio.run(main())


@pytest.mark.skipif(not LONG.exists(), reason="the shared data set is not here")
def test_the_long_recording_arrives_whole(tmp_path: Path) -> None:
    """All 66 089 quotes of the recorded day arrive once, in order, with the recorded prices and ids."""

    async def main() -> None:
        clock, hub = Clock(), Hub()
        frames = recording_read(LONG)
        player = RecordingPlayer(Tape(frames, hold=True, loop=False), hub, clock.timing, 0, lambda: True)
        task = asyncio.create_task(player.run())
        client = FakeConnection()
        hub.add(Subscriber(client), (QUOTES, MARKS))  # type: ignore[arg-type]
        await clock.advance(0.2)
        kept = ("A", "B", "a", "b", "u")
        sent = [tuple(one[key] for key in kept) for one in client.data(QUOTES)[: len(frames)]]
        assert len(frames) == 66_089
        assert sent == [tuple(frame.data[key] for key in kept) for frame in frames]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_stamps_survive_a_clock_that_steps_back() -> None:
    """When the wall clock steps back, times stand still rather than going back."""
    clock = Clock()
    stamps = Stamps(clock.timing)
    first = stamps.stamp(QUOTES, {"s": BTC})
    clock.jump(-5)
    again = stamps.stamp(QUOTES, {"s": BTC})
    assert again["E"] == first["E"]
    assert again["T"] == first["T"]
