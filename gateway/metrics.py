"""The page of metrics of one gateway: what all heartbeats say, what this one sees, what it counted; pure."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.metering import Meters
from gateway.processes import Beats
from shared import metric_names as names
from shared.beat_metrics import beats_samples
from shared.metrics import Sample, build_sample

TAIL = "tail"


class Facts(NamedTuple):
    """What this gateway itself has seen."""

    ready: bool
    tip_seq: int
    snapshot_age_s: float | None  # None: not known
    tail_seq: int = 0
    tail_lag_s: float = 0.0
    degraded: tuple[str, ...] = ()
    insurance: float | None = None  # to look at: nothing is computed from it


FACTS_NONE = Facts(False, 0, None)


def metrics_samples(beats: Beats, facts: Facts, meters: Meters) -> Iterator[Sample]:
    """Yield every sample of the page."""
    yield build_sample()
    yield from beats_samples(beats)
    yield Sample(names.READY, (), facts.ready)
    yield Sample(names.TIP, (), facts.tip_seq)
    yield Sample(names.LAG, (TAIL,), max(0, facts.tip_seq - facts.tail_seq))
    yield Sample(names.TAIL_LAG, (), facts.tail_lag_s)
    if facts.snapshot_age_s is not None:
        yield Sample(names.SNAPSHOT_AGE, (), facts.snapshot_age_s)
    if facts.insurance is not None:
        yield Sample(names.INSURANCE, (), facts.insurance)
    for part in facts.degraded:
        yield Sample(names.DEGRADED, (part,), 1)
    yield from meters.samples()
