"""
What one gateway counts of its own work; the route /metrics shows it beside what the heartbeats say.

Every instrument is there from the first second, so that whoever counts needs no condition. What somebody else keeps
anyway (open sockets, the ring, the queue of mails) is asked for when the page is read: `ask`.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from gateway.errors import GatewayCode, Refusal
from gateway.limits import LIMITS
from shared import metric_names as names
from shared.metric_names import GAUGE, Metric
from shared.metrics import Counts, Sample, Times, TimesBy

PARSE, LOG, ENGINE, ANSWER = "parse", "log", "engine", "answer"  # the stages of an instruction, in their order
HTTP, WS = "http", "ws"  # the ways that it comes
UNKNOWN = "UNKNOWN"  # the code of an instruction whose outcome is not known
ROUTE_NONE = "none"  # a request for an address that nobody serves
OUTCOMES = ACCEPTED, REFUSED, UNAVAILABLE = "accepted", "refused", "unavailable"  # of saying who one is
SESSION, KEY, LINK = "session", "key", "link"  # the ways of signing in
CLOSES = ("1003", "1007", "1008", "1009", "1011", "1012", "1013")  # the codes with which a gateway ends a WebSocket
GAP_REASONS = ("trimmed", "ahead", "venue", "unknown")

T = TypeVar("T")


class Meters:
    """The instruments of one gateway."""

    def __init__(self) -> None:
        """Start at zero."""
        self.stages = TimesBy()
        self.orders = TimesBy()
        self.requests = TimesBy()
        self.preview = Times()
        self.results = Counts()
        self.limited_by = Counts((name,) for name in LIMITS)
        self.callers = Counts((way, outcome) for way in (SESSION, KEY, LINK) for outcome in OUTCOMES)
        self.drops = Counts((code,) for code in CLOSES)
        self.gaps = Counts((reason,) for reason in GAP_REASONS)
        self.asked: dict[Metric, Callable[[], float]] = {}
        self.asked_many: dict[Metric, Callable[[], Iterable[tuple[tuple[str, ...], float]]]] = {}

    def stage(self, stage: str, via: str, seconds: float) -> None:
        """Count how long one stage of an instruction took; via is HTTP or WS."""
        self.stages.observe(seconds, stage, via)

    def order(self, via: str, seconds: float) -> None:
        """Count how long an instruction took from its coming to its outcome."""
        self.orders.observe(seconds, via)

    def result(self, op: str, code: str) -> None:
        """Count what became of an instruction: a result, a code of the gateway's own, or UNKNOWN."""
        self.results.add(op, code)

    def http(self, route: str, status: int, seconds: float) -> None:
        """Count one answer; route is `METHOD template`."""
        self.requests.observe(seconds, route, str(status))

    def limited(self, limit: str) -> None:
        """Count a refusal of a rate limit."""
        self.limited_by.add(limit)

    async def caller(self, way: str, check: Awaitable[T]) -> T:
        """Return what a check of a session, a key or a link finds, and count it; raises its Refusal."""
        try:
            found = await check
        except Refusal as refusal:
            unable = refusal.code in (GatewayCode.SIGN_IN_UNAVAILABLE, GatewayCode.UNAVAILABLE)
            self.callers.add(way, UNAVAILABLE if unable else REFUSED)
            raise
        self.callers.add(way, ACCEPTED)
        return found

    def ws_dropped(self, code: int) -> None:
        """Count a WebSocket that this gateway closed with a code."""
        self.drops.add(str(code))

    def ws_gap(self, reason: str) -> None:
        """Count a resumption that could not be whole."""
        self.gaps.add(reason)

    def ask(self, metric: Metric, value: Callable[[], float]) -> None:
        """Have a value without labels asked for whenever the page is read."""
        assert metric.kind == GAUGE and not metric.labels, metric.name
        self.asked[metric] = value

    def ask_many(self, metric: Metric, values: Callable[[], Iterable[tuple[tuple[str, ...], float]]]) -> None:
        """Have values, each with its labels, asked for whenever the page is read."""
        self.asked_many[metric] = values

    def samples(self) -> Iterator[Sample]:
        """Yield everything counted so far."""
        yield from self.stages.samples(names.STAGES)
        yield from self.orders.samples(names.ORDERS)
        yield from self.requests.samples(names.HTTP)
        yield Sample(names.PREVIEW, (), self.preview)
        yield from self.results.samples(names.RESULTS)
        yield from self.limited_by.samples(names.LIMITED)
        yield from self.callers.samples(names.AUTH)
        yield from self.drops.samples(names.DROPPED)
        yield from self.gaps.samples(names.GAPS)
        for metric, value in self.asked.items():
            yield Sample(metric, (), value())
        for metric, values in self.asked_many.items():
            for labels, number in values():
                yield Sample(metric, labels, number)
