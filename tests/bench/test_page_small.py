"""scripts/bench_page.py at a size that takes seconds: the page is measured under quotes, and loads little."""

import pytest
from rich.console import Console

from scripts.bench_browser import browser_missing
from scripts.bench_page import GOAL_BYTES, Plan, goals_of, measure, percentile

FIGURES = {"fps_p1": 31.0, "heap_first_bytes": 10_000_000, "heap_last_bytes": 11_500_000, "age_p99_ms": 240.0,
           "load_bytes": 249_000, "interactive_ms": 990}  # fmt: skip


def test_percentiles_are_measured_values() -> None:
    """The slowest hundredth is one that was measured; of nothing it is zero."""
    values = [float(number) for number in range(1, 201)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (101, 199, 200)
    assert percentile([], 0.99) == 0.0


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("frames", {"fps_p1": 29.9}),
        ("memory", {"heap_last_bytes": 12_100_000}),
        ("age", {"age_p99_ms": 251.0}),
        ("age", {"age_p99_ms": None}),
        ("load_bytes", {"load_bytes": 250_001}),
        ("interactive", {"interactive_ms": 1_001}),
    ],
)
def test_each_goal_can_be_missed(name: str, worse: dict[str, float | None]) -> None:
    """All goals are met by good figures, and one figure that is worse misses its own goal alone."""
    assert all(goals_of(FIGURES).values())
    assert [goal for goal, met in goals_of(FIGURES | worse).items() if not met] == [name]


@pytest.mark.timeout(180)
@pytest.mark.skipif(bool(browser_missing()), reason=browser_missing())
def test_a_page_is_measured() -> None:
    """Frames, ages and heap of five seconds are there, and the first load stays within its bytes."""
    figures, tables = measure(Plan(5.0, loads=1), Console(quiet=True))
    assert figures["frames"] > 10
    assert figures["quotes_per_s"] > 50
    assert figures["age_median_ms"] > 0
    assert figures["heap_last_bytes"] > 1_000_000
    assert 0 < figures["load_files_bytes"] < figures["load_bytes"] <= GOAL_BYTES
    assert len(tables) == 1
