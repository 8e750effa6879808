"""scripts/bench_snapshot.py at a size that takes seconds: copies are paused for and become durable."""

from rich.console import Console

from scripts.bench_recovery import environment_kept
from scripts.bench_snapshot import measure


def test_a_small_snapshot_is_measured() -> None:
    """Each snapshot stops the hot thread for a moment and is durable later, as file and as row."""
    with environment_kept():
        figures, table = measure([200], 3, Console(quiet=True))
    assert figures["rows"]["200"] > 600
    assert 0 < figures["pause_ms"]["200"] <= figures["pause_p99_ms"]["200"] <= figures["pause_worst_ms"]["200"]
    assert figures["pause_ms"]["200"] < figures["durable_ms"]["200"] <= figures["durable_worst_ms"]["200"]
    assert table.row_count == 1
