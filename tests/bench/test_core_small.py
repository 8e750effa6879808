"""Small inputs of the core's benchmarks: they run, and their results are what a plain book and arithmetic say."""

import numpy as np
import pytest

from scripts import bench_book, bench_streams
from scripts.bench_cross import BIDS, MARKETS, CrossVenue
from scripts.bench_triggers import KINDS, TriggerVenue


@pytest.mark.parametrize(
    ("liquidity", "part"), [("book", "rest"), ("book", "cross"), ("quote", "rest"), ("quote", "take")]
)
def test_the_core_fills_as_a_plain_book(liquidity: str, part: str) -> None:
    """Fills, makers, prices and lots are those of the stream; two runs end in the same state."""
    stream = bench_streams.Stream(part, 40, 40, levels=10)
    measured = bench_book.measure(stream, liquidity, 1)
    assert measured.fills == stream.expected.fills
    assert measured.digest == stream.expected.digest.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_quiet_quotes_fire_nothing(kind: str) -> None:
    """The walk of quotes, and a climb, pass resting triggers of each kind without an event."""
    venue = TriggerVenue(kind, 20)
    venue.quote(np.array(bench_streams.quotes(20)))
    if kind == "trailing":
        venue.climb(20)


def test_a_fall_looks_at_few() -> None:
    """Quiet quotes come near nobody; a fall by a tenth fires nothing and looks at an account a few times."""
    venue = CrossVenue(20)
    venue.quiet(50)
    before = venue.evaluations()
    venue.quote(MARKETS[0], -np.arange(1, 51) * (BIDS[MARKETS[0]] // 500))
    assert 0 < venue.evaluations() - before <= 4 * venue.accounts
    assert venue.scan_seconds() > 0
