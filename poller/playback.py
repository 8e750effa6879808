"""
What the local Backpack sends and when: a recording from its file, or the synthetic market, each held back on request.

The recording never drops a frame: it stands still while nobody listens, waits for a slow listener, and goes back for
one that returns (recording.Delivery). The synthetic market waits for nobody, like the real one.
"""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from poller.backpack import STREAM_MARK, STREAM_PRICE
from poller.hub import Hub, Subscriber, frame_text
from poller.recording import HOLD_UPDATE_IDS, Delivery, Recorded, Tape
from poller.synthetic import Made, funding_next_ms
from poller.timing import Timing

HOLD_POLL_S = 0.05
HELD_QUOTE_S = 10.0  # a held quote is sent again so often; the engine keeps it fresh for 60 s beside its marks
MARK_S = 1.0
CHUNK_FRAMES = 100  # between two pings
PING_S = 0.25
SLIP_S = 1.0  # a player that is later than this moves its schedule instead of hurrying after it
OTHERS_PATIENCE_S = 1.0  # that the recording waits for a listener who is not the newest

Go = Callable[[], bool]


class Stamps:
    """Times of the frames sent: never ahead of now, never going back, marks always newer than the one before."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.newest: dict[str, tuple[int, int]] = {}

    def stamp(self, stream: str, data: dict[str, Any], lag_us: int = 0, match_us: int = 200) -> dict[str, Any]:
        """Return the data with its E `lag_us` ago and its T `match_us` before that."""
        sent_us, matched_us = self.newest.get(stream, (0, 0))
        step_us = 1 if stream.startswith(STREAM_MARK) else 0
        sent_us = max(sent_us + step_us, self.timing.now_us() - lag_us)
        matched_us = max(matched_us, sent_us - match_us)
        self.newest[stream] = sent_us, matched_us
        return {**data, "E": sent_us, "T": matched_us}

    def mark(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a mark with its times, the next funding at the next full hour."""
        stream = f"{STREAM_MARK}.{data['s']}"
        return {**self.stamp(stream, data), "n": funding_next_ms(self.timing.now_us())}


class RecordingPlayer:
    """Plays a tape to the newest subscriber, and to the others beside it."""

    def __init__(self, tape: Tape, hub: Hub, timing: Timing, speed: float, go: Go | None) -> None:
        self.tape = tape
        self.hub = hub
        self.timing = timing
        self.speed = speed  # 0: as fast as it is read
        self.go = go  # None: do not hold
        self.stamps = Stamps(timing)
        self.streams = frozenset(frame.stream for frame in tape.firsts.values())
        self.marked = {frame.market for frame in tape.frames if not frame.price}
        self.subject: Subscriber | None = None
        self.delivery = Delivery(0)
        self.index = 0
        self.due_s: float | None = None  # of the frame at index; None: now, whenever that is
        self.unpinged = 0
        self.pinged_s = 0.0
        self.kept_count = 0
        self.quotes: dict[str, dict[str, Any]] = {}  # the newest sent, by market
        self.marks: dict[str, dict[str, Any]] = {}  # the newest recorded, by market
        self.mark_due_s: dict[str, float] = {}
        self.mark_recorded_us: dict[str, int] = {}

    async def run(self) -> None:
        """Play for ever: what is recorded, then its last quote and marks."""
        if self.go is not None:
            await self.hold(self.go)
        while True:
            if not self.listener_follow():
                await self.timing.sleep(HOLD_POLL_S)
            elif self.tape.ended(self.index):
                await self.keep_up()
            else:
                await self.advance()

    def listener_follow(self) -> bool:
        """Return whether anybody listens; a newcomer gets everything that may not have reached the log."""
        listeners = self.hub.wanting(*self.streams)
        if listeners and listeners[-1] is not self.subject:
            self.subject = listeners[-1]
            self.index = self.delivery.resume_index()
            self.delivery = Delivery(self.index)
            self.due_s = None
        return bool(listeners)

    async def hold(self, go: Go) -> None:
        """Send first quotes and marks only, until the word is given."""
        subject, count, due_s = None, 0, 0.0
        while not go():
            if self.listener_follow():
                now_s = self.timing.monotonic_s()
                if self.subject is not subject or now_s >= due_s:
                    subject, due_s, count = self.subject, now_s + HELD_QUOTE_S, count + 1
                    for market in self.tape.firsts:
                        await self.quote_send(market, self.tape.held(market, count))
                await self.marks_send()
            await self.timing.sleep(HOLD_POLL_S)

    async def keep_up(self) -> None:
        """Send the last quotes and marks again, once a second."""
        self.kept_count += 1
        for market in self.tape.lasts:
            await self.quote_send(market, self.tape.kept_up(market, self.kept_count))
        await self.marks_send()
        await self.ping_send()
        await self.timing.sleep(MARK_S)

    async def advance(self) -> None:
        """Send the frame at index if it is due, else wait a little."""
        now_s = self.timing.monotonic_s()
        if self.due_s is None or self.speed == 0 or now_s - self.due_s > SLIP_S:
            self.due_s = now_s
        if self.due_s > now_s:
            await self.marks_send()
            if self.unpinged and now_s - self.pinged_s >= PING_S:
                await self.ping_send()
            await self.timing.sleep(min(self.due_s - now_s, HOLD_POLL_S))
            return
        await self.recorded_send(self.tape.frame(self.index), int((now_s - self.due_s) * 1e6))
        self.index += 1
        if self.speed and not self.tape.ended(self.index):
            self.due_s += self.tape.gap_us(self.index) / 1e6 / self.speed
        self.unpinged += 1
        if self.unpinged >= CHUNK_FRAMES:
            await self.ping_send()
            await self.marks_send()
            await self.window_wait()

    async def recorded_send(self, frame: Recorded, lag_us: int) -> None:
        """Send one recorded frame, and a mark behind it when a second of the recording has passed."""
        data, market = frame.data, frame.market
        if not frame.price:
            self.marks[market] = data
            await self.mark_send(market)
            return
        await self.quote_send(market, data, lag_us)
        if market not in self.marked:
            since_us = data["E"] - self.mark_recorded_us.get(market, 0)
            if not 0 <= since_us < MARK_S * 1e6:  # below 0: a new lap, or a step back for a newcomer
                self.mark_recorded_us[market] = data["E"]
                await self.mark_send(market)

    async def quote_send(self, market: str, data: dict[str, Any], lag_us: int = 0) -> None:
        """Send one quote with times of now."""
        self.quotes[market] = data
        stream = f"{STREAM_PRICE}.{market}"
        match_us = max(0, data["E"] - data["T"])
        await self.hub.send(stream, frame_text(stream, self.stamps.stamp(stream, data, lag_us, match_us)))

    async def marks_send(self) -> None:
        """Send the mark of every market whose last one is a second old."""
        now_s = self.timing.monotonic_s()
        for market in self.quotes:
            if now_s >= self.mark_due_s.get(market, 0.0):
                await self.mark_send(market)

    async def mark_send(self, market: str) -> None:
        """Send the mark of a market: as recorded, or made from the mid, with a funding rate of zero."""
        self.mark_due_s[market] = self.timing.monotonic_s() + MARK_S
        data = self.marks.get(market)
        if data is None:
            mid = mid_text(self.quotes[market])
            data = {"e": STREAM_MARK, "f": "0", "i": mid, "p": mid, "s": market}
        stream = f"{STREAM_MARK}.{market}"
        await self.hub.send(stream, frame_text(stream, self.stamps.mark(data)))

    async def ping_send(self) -> None:
        """Ask for a sign that everything sent so far was read."""
        self.unpinged = 0
        self.pinged_s = self.timing.monotonic_s()
        await self.hub.ping(self.streams, self.pong)

    def pong(self, subscriber: Subscriber) -> Callable[[], None]:
        """Return what the pong to a ping of this moment confirms."""
        if subscriber is not self.subject:
            return lambda: None
        delivery, index = self.delivery, self.index
        return lambda: delivery.confirm(index, self.timing.monotonic_s())

    async def window_wait(self) -> None:
        """Wait until everybody has read enough; only the newest listener is worth waiting for long."""
        begin_s = self.timing.monotonic_s()
        while late := self.hub.lagging():
            if self.hub.wanting(*self.streams)[-1:] != [self.subject]:
                return  # somebody new: nothing is sent before the place to go on from is chosen again
            if self.timing.monotonic_s() - begin_s > OTHERS_PATIENCE_S:
                for subscriber in late:
                    if subscriber is not self.subject:
                        subscriber.drop()
                        self.hub.remove(subscriber)
            await asyncio.wait([late[0].unconfirmed[0][1]], timeout=HOLD_POLL_S)
            await self.marks_send()


class SyntheticPlayer:
    """Plays synthetic frames in real time."""

    def __init__(self, frames: Iterator[Made], hub: Hub, timing: Timing, speed: float, go: Go | None) -> None:
        assert speed > 0, "the synthetic market has a clock"
        self.frames = frames
        self.hub = hub
        self.timing = timing
        self.speed = speed
        self.go = go
        self.stamps = Stamps(timing)

    async def run(self) -> None:
        """Play for ever."""
        if self.go is not None:
            await self.hold(self.go)
        origin_s: float | None = None
        for frame in self.frames:
            now_s = self.timing.monotonic_s()
            if origin_s is None or now_s - origin_s - frame.time_s / self.speed > SLIP_S:
                origin_s = now_s - frame.time_s / self.speed
            pause_s = origin_s + frame.time_s / self.speed - now_s
            if pause_s > 0:
                await self.timing.sleep(pause_s)
            self.frame_publish(frame)

    def frame_publish(self, frame: Made) -> None:
        """Send one frame with times of now."""
        if frame.stream.startswith(STREAM_MARK):
            data = self.stamps.mark(frame.data)
        else:
            data = self.stamps.stamp(frame.stream, frame.data)
        self.hub.publish(frame.stream, frame_text(frame.stream, data))

    async def hold(self, go: Go) -> None:
        """Send each market's first quote and mark again and again, until the word is given."""
        firsts: dict[str, Made] = {}
        for frame in self.frames:
            if frame.time_s > 0.5:
                break
            firsts.setdefault(frame.stream, frame)
        # The first second is all that is taken from the market; its later update ids stay above the held ones.
        count, quote_due_s, mark_due_s, known = 0, 0.0, 0.0, 0
        while not go():
            now_s = self.timing.monotonic_s()
            if len(self.hub.subscribers) != known:
                known, quote_due_s, mark_due_s = len(self.hub.subscribers), 0.0, 0.0
            if now_s >= quote_due_s:
                quote_due_s, count = now_s + HELD_QUOTE_S, count + 1
                for frame in firsts.values():
                    if frame.stream.startswith(STREAM_PRICE):
                        lower = frame.data["u"] - HOLD_UPDATE_IDS + count
                        self.frame_publish(frame._replace(data={**frame.data, "u": lower}))
            if now_s >= mark_due_s:
                mark_due_s = now_s + MARK_S
                for frame in firsts.values():
                    if frame.stream.startswith(STREAM_MARK):
                        self.frame_publish(frame)
            await self.timing.sleep(HOLD_POLL_S)


def mid_text(quote: dict[str, Any]) -> str:
    """Return the exact mid of a quote as decimal text; of a one-sided quote, the side there is."""
    sides = [Decimal(quote[key]) for key in ("a", "b") if quote[key] is not None]
    if not sides:
        return "0"
    return f"{sum(sides, Decimal(0)) / len(sides):f}"
