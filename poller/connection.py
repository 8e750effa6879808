"""
One subscription to the outside venue after another: open, subscribe, read, judge, drop, back off, again.

A session is one connection. Its `feed_status` up is in the log before the first subscribe frame leaves, so no quote of
it can precede it there. Three clocks watch a session: no data frame for seconds (a half-open socket), our own loop
not run for a second (what waits in the socket is old), quotes not forwarded for seconds (the log is away). Each drops
the socket unread; nothing stale is ever forwarded.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from poller.backpack import STREAM_MARK, STREAM_PRICE, FrameKind, frame_parse, streams_of, subscribe_frame
from poller.forward import MARK_UPDATE, PRICE_UPDATE, Forwarder
from poller.timing import Timing
from poller.transport import Connect, Socket, SocketClosed
from shared.metrics import Counts

FRAMES = {kind: kind.name.lower() for kind in FrameKind}  # as metrics call them
SOURCE_CHARACTERS_MAX = 32  # of a feed_status; longer names of recordings are cut


class Drop(StrEnum):
    """Why a session ended."""

    UNREACHABLE = "unreachable"
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    STALLED = "stalled"
    UNFORWARDED = "unforwarded"
    SUPERSEDED = "superseded"


class Patience(NamedTuple):
    """How long a session may be in each kind of trouble, and how long to wait between two."""

    silence_s: float = 5.0  # without a readable quote or mark; marks come every second
    stall_s: float = 1.0  # that our own loop may stand still
    unforwarded_s: float = 3.0  # that a quote may wait for the log; the recording's rewind counts on it
    undelivered_mark_s: float = 15.0  # after which a stream that never delivered is named
    undelivered_price_s: float = 60.0  # quiet books say nothing for half a minute
    watch_s: float = 0.1  # between two looks
    backoff_first_s: float = 0.25
    backoff_max_s: float = 30.0
    settled_s: float = 10.0  # a session that lived so long starts the back-off again


class Feed:
    """Keeps the venue subscribed."""

    def __init__(
        self,
        url: str,
        markets: tuple[str, ...],
        source: str,
        forwarder: Forwarder,
        connect: Connect,
        timing: Timing,
        logger: Any,
        patience: Patience | None = None,
        price_age_max_ms: int | None = None,
        chance: random.Random | None = None,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.url = url
        self.markets = frozenset(markets)
        self.streams = streams_of(markets)
        self.source = source[:SOURCE_CHARACTERS_MAX]
        self.forwarder = forwarder
        self.connect = connect
        self.timing = timing
        self.logger = logger
        self.patience = patience or Patience()
        self.price_age_max_ms = price_age_max_ms
        self.chance = chance or random.SystemRandom()
        self.token = token  # names a session
        self.counts: Counter[str] = Counter()
        self.frames = Counts((kind,) for kind in FRAMES.values())
        self.began_s = timing.monotonic_s()
        self.market_seen_s: dict[str, float] = {}  # when the last quote or mark of each market arrived
        self.session = ""
        self.session_seq = 0  # of its `up`; 0 until that is in the log
        self.session_since_s = 0.0
        self.drop_reason: Drop | None = None
        self.socket: Socket | None = None
        self.seen_s = 0.0  # when the last quote or mark arrived
        self.beat_s = 0.0  # when the watch last found our loop running
        self.delivered: set[str] = set()
        self.undelivered: list[str] = []

    # --- sessions -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold one session after another, for ever."""
        failures = 0
        while True:
            begin_s = self.timing.monotonic_s()
            reason = await self.session_run()
            lived_s = self.timing.monotonic_s() - begin_s
            failures = 0 if lived_s >= self.patience.settled_s else failures + 1
            pause_s = self.backoff_s(failures)
            self.counts[f"session_{reason}"] += 1
            self.logger.warning(
                "feed_down", reason=reason, session=self.session, lived_s=round(lived_s, 3), pause_s=round(pause_s, 3)
            )
            await self.timing.sleep(pause_s)

    def backoff_s(self, failures: int) -> float:
        """Return the pause before the next try: doubling, half of it by chance, so that no crowd marches in step."""
        longest_s = min(self.patience.backoff_max_s, self.patience.backoff_first_s * 2 ** min(max(failures - 1, 0), 16))
        return longest_s * (0.5 + 0.5 * self.chance.random())

    async def session_run(self) -> Drop:
        """Hold one session; return why it ended."""
        self.session, self.session_seq, self.drop_reason = self.token(8), 0, None
        self.undelivered = []
        try:
            self.socket = await self.connect(self.url)
        except SocketClosed as error:
            self.logger.info("feed_unreachable", why=str(error))
            return Drop.UNREACHABLE
        session = self.session.encode()
        reason = Drop.CLOSED
        try:
            self.session_seq = await self.forwarder.status_put(self.status_body("up"), session)
            self.logger.info("feed_up", session=self.session, seq=self.session_seq, source=self.source)
            await self.socket.send(subscribe_frame(self.streams))
            reason = await self.session_read(self.socket, session)
        except SocketClosed as error:
            self.logger.info("feed_closed", why=str(error))
        finally:
            self.socket.abort()
            self.socket = None
            # Queued behind the quotes that go before it; lost with us when the log stays away, which is harmless.
            self.forwarder.status_put(self.status_body("down"), session)
        return reason

    def status_body(self, status: str) -> bytes:
        """Return the JSON of a feed_status."""
        body: dict[str, str | int] = {"status": status, "source": self.source}
        if self.price_age_max_ms is not None:
            body["price_age_max_ms"] = self.price_age_max_ms
        return orjson.dumps(body)

    def drop(self, reason: Drop) -> None:
        """End the session in force, unread."""
        if self.drop_reason is None and self.socket is not None:
            self.drop_reason = reason
            self.socket.abort()
            self.forwarder.discard(self.session.encode())

    # --- one session's frames -------------------------------------------------------------------------------------

    async def session_read(self, socket: Socket, session: bytes) -> Drop:
        """Forward frames until the socket closes or is dropped; return why."""
        self.session_since_s = self.seen_s = self.beat_s = self.timing.monotonic_s()
        self.delivered = set()
        watch = asyncio.create_task(self.watch())
        stall_s = self.patience.stall_s + self.patience.watch_s
        try:
            while True:
                raw = await socket.receive()
                now_s = self.timing.monotonic_s()
                if now_s - self.beat_s > stall_s:
                    # The frame beats the watch to it after a SIGCONT: it has waited as long as we stood still.
                    self.drop(Drop.STALLED)
                if self.drop_reason is not None:
                    return self.drop_reason
                self.frame_forward(raw, session, now_s)
                await self.forwarder.room()
        except SocketClosed as error:
            if self.drop_reason is not None:
                return self.drop_reason
            self.logger.info("feed_closed", why=str(error))
            return Drop.CLOSED
        finally:
            watch.cancel()

    def frame_forward(self, raw: bytes, session: bytes, now_s: float) -> None:
        """Queue a quote or mark; count and name whatever else it is."""
        frame = frame_parse(raw, self.markets)
        self.frames.add(FRAMES[frame.kind])
        if frame.kind == FrameKind.PRICE:
            self.seen_s = self.market_seen_s[frame.market] = now_s
            self.delivered.add(f"{STREAM_PRICE}.{frame.market}")
            self.forwarder.put(PRICE_UPDATE, frame.body, session)
        elif frame.kind == FrameKind.MARK:
            self.seen_s = self.market_seen_s[frame.market] = now_s
            self.delivered.add(f"{STREAM_MARK}.{frame.market}")
            self.forwarder.put(MARK_UPDATE, frame.body, session)
        elif frame.kind == FrameKind.ERROR:
            self.counts[f"error_{frame.code}"] += 1
            self.logger.warning("feed_error", code=frame.code, message=frame.body.decode())
        else:
            name = f"unreadable_{frame.fault}"
            self.counts[name] += 1
            # The first of its kind, then each power of two: a venue gone mad must not fill the disk.
            if (self.counts[name] & (self.counts[name] - 1)) == 0:
                start = repr(raw[:120])
                self.logger.warning("frame_unreadable", fault=frame.fault, count=self.counts[name], start=start)

    async def watch(self) -> None:
        """Look at the session every tenth of a second until it must be dropped."""
        while True:
            before_s = self.timing.monotonic_s()
            await self.timing.sleep(self.patience.watch_s)
            now_s = self.timing.monotonic_s()
            reason = self.judge(before_s, now_s)
            if reason is not None:
                self.drop(reason)
                return
            self.beat_s = now_s
            self.undelivered_notice(now_s)

    def judge(self, before_s: float, now_s: float) -> Drop | None:
        """Return why the session must be dropped now, or None."""
        if now_s - before_s > self.patience.watch_s + self.patience.stall_s:
            return Drop.STALLED
        if self.forwarder.oldest_age_s() > self.patience.unforwarded_s:
            return Drop.UNFORWARDED
        # While we wait for room ourselves, silence proves nothing, but that ends before silence is suspicious.
        if now_s - self.seen_s > self.patience.silence_s:
            return Drop.HALF_OPEN
        return None

    def undelivered_notice(self, now_s: float) -> None:
        """Name the streams that have delivered nothing: a closed or renamed market is silent without an error."""
        age_s = now_s - self.session_since_s
        if age_s < self.patience.undelivered_mark_s:
            return
        priced = age_s >= self.patience.undelivered_price_s
        missing = [
            name for name in self.streams if name not in self.delivered and (priced or name.startswith(STREAM_MARK))
        ]
        if missing != self.undelivered:
            self.undelivered = missing
            self.logger.warning("streams_undelivered", streams=missing, session=self.session)
