"""
Instruments that cost an addition, and their page in Prometheus' text.

A hot path adds to plain integers; whoever reads the page pays for the rest. A gateway's page has thousands of lines,
and nobody may wait for it: written here it takes 2 ms, by Prometheus' client, which the tests read it with, 40.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shared.metric_names import BUILD, METRICS, Metric
from shared.rules import BUILD_VERSION, RULES_VERSION

BOUNDS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BOUNDS_COUNT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 4_000)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Times:
    """How often a value fell between two bounds, and the sum of all; the last count has no upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = BOUNDS_S) -> None:
        """Start with nothing observed."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total: float = 0

    def observe(self, value: float) -> None:
        """Count one value, in the first bucket whose bound it does not exceed."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class TimesBy:
    """One distribution for each combination of labels that was met."""

    __slots__ = ("bounds", "by")

    def __init__(self, bounds: Sequence[float] = BOUNDS_S) -> None:
        """Start with no combination."""
        self.bounds = bounds
        self.by: dict[tuple[str, ...], Times] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one value of a combination."""
        times = self.by.get(labels)
        if times is None:
            times = self.by[labels] = Times(self.bounds)
        times.observe(value)

    def samples(self, metric: Metric) -> "Iterator[Sample]":
        """Yield the distribution of each combination."""
        for labels, times in list(self.by.items()):
            yield Sample(metric, labels, times)


class Counts:
    """One count for each combination of labels; those that are known from the start begin at 0."""

    __slots__ = ("by",)

    def __init__(self, known: Iterable[tuple[str, ...]] = ()) -> None:
        """Start with the known combinations at 0: a rate sees the first one of a kind only then."""
        self.by: dict[tuple[str, ...], int] = dict.fromkeys(known, 0)

    def add(self, *labels: str, count: int = 1) -> None:
        """Count one or more of a combination."""
        self.by[labels] = self.by.get(labels, 0) + count

    def samples(self, metric: Metric) -> "Iterator[Sample]":
        """Yield the count of each combination."""
        for labels, count in list(self.by.items()):
            yield Sample(metric, labels, count)


class Sample(NamedTuple):
    """One value of one metric: a number, or a distribution."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Times


def build_sample() -> Sample:
    """Return which build this process is."""
    return Sample(BUILD, (BUILD_VERSION, str(RULES_VERSION)), 1)


def page_render(samples: Iterable[Sample]) -> bytes:
    """Return the samples as Prometheus' text, each metric once, by name; of two with equal labels the later stands."""
    by_name: dict[str, dict[tuple[str, ...], float | Times]] = {}
    for metric, labels, value in samples:
        assert METRICS.get(metric.name) is metric, f"{metric.name} is not in the table of metrics"
        assert len(labels) == len(metric.labels), f"{metric.name} has the labels {metric.labels}"
        by_name.setdefault(metric.name, {})[labels] = value
    lines: list[str] = []
    for name in sorted(by_name):
        metric, values = METRICS[name], by_name[name]
        lines.append(f"# HELP {name} {metric.text}\n# TYPE {name} {metric.kind}\n")
        for labels in sorted(values):
            value = values[labels]
            stated = ",".join(f'{key}="{escaped(text)}"' for key, text in zip(metric.labels, labels, strict=True))
            if isinstance(value, Times):
                times_render(lines, name, stated, value)
            else:
                lines.append(f"{name}{{{stated}}} {number(value)}\n" if stated else f"{name} {number(value)}\n")
    return "".join(lines).encode()


def times_render(lines: list[str], name: str, stated: str, times: Times) -> None:
    """Add a distribution's lines: cumulated counts by upper bound, count, sum; others may add to it meanwhile."""
    counts, total = list(times.counts), times.total
    start = f'{name}_bucket{{{stated}{"," if stated else ""}le="'
    below = 0
    for bound, count in zip((*map(number, times.bounds), "+Inf"), counts, strict=True):
        below += count
        lines.append(f'{start}{bound}"}} {below}\n')
    named = f"{{{stated}}}" if stated else ""
    lines.append(f"{name}_count{named} {below}\n{name}_sum{named} {number(total)}\n")


def number(value: float) -> str:
    """Return a value as text: whole numbers whole, whatever their size."""
    if isinstance(value, int):
        return str(int(value))
    return repr(value) if math.isfinite(value) else {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")


def escaped(text: str) -> str:
    """Return a label's value as it stands between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
