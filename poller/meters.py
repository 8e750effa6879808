"""The page of metrics of one poller: what its heartbeat says, how old each market's quote is, what the log takes."""

from collections.abc import Iterator
from typing import NamedTuple

from poller.connection import Drop, Feed
from poller.forward import CLOCK_TICK, FEED_STATUS, MARK_UPDATE, PRICE_UPDATE, Forwarder
from poller.venue import ROLE, Watch
from shared import metric_names as names
from shared.beat_metrics import beat_samples
from shared.metrics import Sample, build_sample


class Working(NamedTuple):
    """The parts of a poller that has found its venue."""

    feed: Feed
    forwarder: Forwarder
    watch: Watch


class Page:
    """What the page shows; nothing but the build before there is a venue."""

    def __init__(self) -> None:
        """Start without parts."""
        self.working: Working | None = None
        self.metrics_port = 0  # where it is served; 0: nowhere

    def samples(self) -> Iterator[Sample]:
        """Yield everything."""
        yield build_sample()
        if self.working is not None:
            yield from beat_samples(ROLE, self.working.watch.payload())
            yield from feed_samples(self.working.feed)
            yield from forwarder_samples(self.working.forwarder)


def feed_samples(feed: Feed) -> Iterator[Sample]:
    """Yield what came from the outside venue; a market that never delivered is as old as the process."""
    now_s = feed.timing.monotonic_s()
    yield Sample(names.FEED_UP, (), feed.socket is not None and feed.session_seq > 0)
    for market in sorted(feed.markets):
        yield Sample(names.FEED_AGE, (market,), max(0.0, now_s - feed.market_seen_s.get(market, feed.began_s)))
    yield from feed.frames.samples(names.FEED_FRAMES)
    for reason in Drop:
        yield Sample(names.FEED_RECONNECTS, (str(reason),), feed.counts[f"session_{reason}"])


def forwarder_samples(forwarder: Forwarder) -> Iterator[Sample]:
    """Yield what went into the log, and what waits for it."""
    yield Sample(names.FEED_WAITING, (), len(forwarder.waiting) + len(forwarder.flying))
    yield Sample(names.FEED_DISCARDED, (), forwarder.counts["discarded"])
    yield Sample(names.FEED_OUTAGES, (), forwarder.counts["outages"])
    for kind in (PRICE_UPDATE, MARK_UPDATE, FEED_STATUS, CLOCK_TICK):
        yield Sample(names.FEED_APPENDED, (kind.decode(),), forwarder.counts[kind.decode()])
    yield Sample(names.FEED_APPEND, (), forwarder.append)
