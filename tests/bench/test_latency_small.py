"""scripts/bench_latency.py at a size that takes seconds: an open load and single instructions, on both paths."""

import numpy as np
import pytest
from rich.console import Console

from scripts.bench_latency import DRAIN_S, Plan, figures_of, measure


@pytest.mark.timeout(120)
def test_a_small_latency_is_measured() -> None:
    """Every order's answer comes, none is refused, single trips lie above their floor."""
    figures, tables = measure(
        Plan([800], 0.5, 10, accounts=30, small_pages=True, warm_entries=0, idle_s=0.1), Console(quiet=True)
    )
    for path in ("fast", "plain"):
        load = figures[path]["loads"]["800"]
        assert (load["orders"], load["missing"], load["refused"]) == (79, 0, 0)
        assert 0 < load["p50_ms"] <= load["p99_ms"] <= load["p999_ms"]
        trips = figures[path]["trips"]
        assert 0 < trips["floor"]["p50"] < trips["engine"]["p50"]
    assert set(figures["goals"]) == {"p99_not_worse", "sustained", "trip_p50_met", "trip_p99_met"}
    assert len(tables) == 2


def test_latency_counts_from_when_it_was_due() -> None:
    """What came is measured from its due time; what never came counts as later than all that did."""
    seqs = np.array([100, 102, 103, *range(105, 112)])  # others' entries lie between
    entries = {"due_s": np.arange(10) * 0.1 + 5.0, "orders": np.array([True] * 4 + [False] * 6), "seqs": seqs}
    events = {"seqs": np.array([102, 103, 100, 7, 104]), "times_s": np.array([5.15, 5.21, 5.01, 9.0, 9.0])}
    sent = {"behind": 1.0, "late_ms": 0.5}
    found = figures_of(entries, events, sent, {"good": 3})
    assert (found["orders"], found["missing"], found["refused"]) == (4, 1, 0)
    assert found["p50_ms"] == pytest.approx(30.0)
    assert found["p999_ms"] > 900 * DRAIN_S
    assert not found["sustained"]
