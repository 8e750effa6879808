"""scripts/bench_gateway.py at a size that takes seconds: a whole venue is measured beside its floors."""

import pytest
from rich.console import Console

from scripts.bench_gateway import Plan, measure
from scripts.bench_load import Latencies


def test_percentiles_are_those_of_the_answers() -> None:
    """The median and the tail are latencies that were measured, in milliseconds; of none they are zero."""
    latencies = Latencies([0.001 * number for number in range(1, 101)], {}, 2.0)
    assert (latencies.percentile_ms(0.5), latencies.percentile_ms(0.99), latencies.percentile_ms(1.0)) == (51, 100, 100)
    assert latencies.figures()["per_s"] == 50
    assert Latencies([], {"X": 1}, 1.0).percentile_ms(0.5) == 0.0


@pytest.mark.timeout(120)
def test_a_small_load_is_measured() -> None:
    """Orders over both ways are all answered, and the stages of each are there, beside floors that are lower."""
    figures, tables = measure(Plan([2], 50.0, 0.5), Console(quiet=True))
    assert [(row["clients"], row["rate"]) for row in figures["loads"]] == [(2, 0.0), (2, 50.0)]
    for row in figures["loads"]:
        for way in ("http", "ws"):
            assert row[way]["answers"] > 5
            assert row[way]["refused"] == {}
            assert set(row[way]["stages_ms"]) == {"parse", "log", "engine", "tail", "answer"}
            assert sum(row[way]["stages_ms"].values()) > 0
        assert row["floor_p50_ms"] > 0
    assert len(tables) == 2
    assert set(figures["goals"]) >= {"p50_met", "p99_met", "ws_better"}
