"""`scripts/bench backtest`, small: every figure is there, and frames of any length give one state."""

from rich.console import Console

from scripts.bench_backtest import WORDS, measure


def test_long_and_short_frames_give_one_state() -> None:
    """The same log in frames of 10 000 and of 300 entries: equal hashes, and rates that are none of zero."""
    figures, [table] = measure(12_000, 1, Console(quiet=True))
    long, short = figures["long_frames"], figures["short_frames"]
    assert long["state_hash"] == short["state_hash"] and len(long["state_hash"]) == 64
    assert all(part[name] > 0 for part in (long, short) for name in WORDS) and table.row_count == len(WORDS)
