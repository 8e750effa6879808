"""scripts/bench_recovery.py at a size that takes seconds: a whole restart is measured, of one seed's entries."""

from rich.console import Console

from scripts.bench_recovery import Tail, measure

ENTRIES = 3_000


def test_a_small_recovery_is_measured() -> None:
    """A restarted engine applies the whole tail and leads; replay ends in one state, in memory that stays flat."""
    figures, table = measure(ENTRIES, 200, 20, 1, Console(quiet=True))
    assert figures["applied"] >= ENTRIES
    assert 0 < figures["restored_s"] < figures["tip_s"] <= figures["leading_s"]
    assert figures["replay_rss_mib"] < figures["replay_tenth_rss_mib"] + 64
    assert len(figures["state_hash"]) == 64
    assert table.row_count > 5


def test_the_tail_is_of_its_seed() -> None:
    """The same seed gives the same entries: quotes mostly, marks, one tick a second, some instructions."""
    tails = [Tail(1_767_225_600_000_000, 5, 7, 20) for _ in range(2)]
    entries = [[tail.entry() for _ in range(3_000)] for tail in tails]
    assert entries[0] == entries[1]
    kinds = [fields[-1][0] for fields in entries[0]]
    assert kinds.count(b"clock_tick") == 10
    assert kinds.count(b"price_update") > 2_800
    assert kinds.count(b"mark_update") > 30
    assert kinds.count(b"user_instruction") > 30
