"""
What one engine counts of its own work, and the page made of it.

The loop adds to plain integers; the page is made in another thread, which reads attributes alone and never asks the
core: a state is being written there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from shared import metric_names as names
from shared.beat_metrics import beat_samples
from shared.metrics import BOUNDS_COUNT, Sample, Times, build_sample

LOG_READER = "log"
ANSWERED = b'"e":"order_response"'
FIRED_MAX = 10_000  # prices that fired a trigger and are not published


class EngineMeters:
    """The instruments of one engine."""

    def __init__(self, now_us: Callable[[], int], log: Any = None) -> None:
        """Start at zero; with a log every published answer is told in it, which takes reading them all again."""
        self.now_us = now_us
        self.log = log
        self.apply = Times()
        self.batch = Times(BOUNDS_COUNT)
        self.trigger = Times()
        self.pause = Times()
        self.pause_last_us: int | None = None
        self.fired: deque[tuple[int, int]] = deque(maxlen=FIRED_MAX)
        self.entries_count = 0
        self.outputs_count = 0

    def applied(self, entries_count: int, seconds: float) -> None:
        """Count a batch of entries that was read and applied; one without entries is none."""
        if entries_count == 0:
            return
        self.apply.observe(seconds)
        self.batch.observe(entries_count)
        self.entries_count += entries_count

    def paused(self, seconds: float) -> None:
        """Count how long the copy of a snapshot held up the hot thread."""
        self.pause.observe(seconds)
        self.pause_last_us = round(1_000_000 * seconds)

    def published(self, first_seq: int, last_seq: int, count: int, outputs: Callable[[], Iterable[Any]]) -> None:
        """Count outputs that the events took, and how long a trigger's price was under way."""
        self.outputs_count += count
        while self.fired and self.fired[0][0] <= last_seq:
            seq, log_time_us = self.fired.popleft()
            if seq >= first_seq:  # what comes before was published by another engine
                self.trigger.observe(max(0, self.now_us() - log_time_us) / 1_000_000)
        if self.log is not None:
            for output in outputs():
                if ANSWERED in output.data:
                    answers_tell(self.log, output)

    def samples(self) -> Iterator[Sample]:
        """Yield what was counted so far."""
        yield build_sample()
        yield Sample(names.APPLY, (), self.apply)
        yield Sample(names.BATCH, (), self.batch)
        yield Sample(names.TRIGGER, (), self.trigger)
        yield Sample(names.PAUSE, (), self.pause)
        yield Sample(names.ENTRIES, (), self.entries_count)
        yield Sample(names.OUTPUTS, (), self.outputs_count)


def answers_tell(log: Any, output: Any) -> None:
    """Say in the log which instructions an output answers."""
    for event in orjson.loads(output.data):
        if event.get("e") == "order_response":
            log.debug(
                "instruction_applied",
                request_id=event.get("request_id"),
                seq=output.seq,
                account=event.get("account"),
                op=event.get("op"),
                result=event.get("result"),
            )


def beat_name(runner: Any) -> str:
    """Return the name under which an engine says that it lives; the one that leads has the plain one."""
    leadership = runner.parts.leadership
    return "engine" if leadership.leading else f"engine:{leadership.who}"


def beat_of(runner: Any) -> dict[str, Any]:
    """Return what an engine says of itself, in its heartbeat and on its page; reads attributes alone."""
    parts = runner.parts
    return {
        "role": runner.role(),
        "build": parts.build,
        "pid": runner.pid,
        "who": parts.leadership.who,
        "seq": parts.machine.seq,
        "lag": runner.lag,
        "rules": runner.header.rules,
        "since_us": runner.since_us,
        "kept": len(parts.publisher.kept),
        "snapshot_seq": parts.snapshots.durable_seq,
        "snapshots_skipped": parts.snapshots.skipped_count,
        "promotions": parts.leadership.promotions_count,
        "promotion_ms": runner.promotion_ms,
        "checkpoint_mismatches": parts.snapshots.mismatches_count,
        "metrics_port": runner.metrics_port,
    }


def page_samples(meters: EngineMeters, runner: Any) -> Iterator[Sample]:
    """Yield everything that one engine's page shows; before it has a runner, what it counts alone."""
    yield from meters.samples()
    if runner is None:
        return
    yield from beat_samples(beat_name(runner), beat_of(runner))
    yield Sample(names.LAG, (LOG_READER,), runner.lag)
    yield Sample(names.REDIS_LOSSES, (), runner.parts.streams.losses)
    durable_s = runner.parts.snapshots.durable_s
    if runner.parts.leadership.leading and durable_s is not None:
        yield Sample(names.SNAPSHOT_AGE, (), max(0.0, runner.parts.clock.monotonic_s() - durable_s))
