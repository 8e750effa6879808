"""Small inputs of the core's benchmarks: they run, and their results are what a plain book and arithmetic say."""

import numpy as np
import pytest

from scripts import bench_book, bench_streams
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
