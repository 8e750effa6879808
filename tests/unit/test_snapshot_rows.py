"""A state's integers as the decimals, prices and times that people read."""

import random

import pytest

from engine.core import trailing
from engine.core.kernel import entry
from scripts.snapshot_rows import Grid, trigger_ticks
from scripts.sources import time_text, time_us_of
from shared.codes import OrderKind, Side

GRID = Grid("BTC", 10**11, 10**7, bid_ticks=599_999, ask_ticks=600_001, mark_ticks=600_000, index_ticks=600_002)


@entry
def core_trigger_ticks(side, peak_ticks, trail_ticks, trail_ppm):
    """Return at which price the core fires a trailing stop."""
    return trailing.trailing_trigger_ticks(side, peak_ticks, trail_ticks, trail_ppm)


def test_trailing_triggers_are_those_of_the_core() -> None:
    """The shown trigger of a trailing stop is the one at which the core fires it, by ticks and by ppm, both sides."""
    chance = random.Random(5)
    for _ in range(2_000):
        side = chance.choice((Side.BUY, Side.SELL))
        peak, by_ticks = chance.randrange(1, 10**7), chance.random() < 0.5
        trail_ticks, trail_ppm = (chance.randrange(1, 10**6), 0) if by_ticks else (0, chance.randrange(1, 10**6))
        order = {
            "kind": OrderKind.TRAILING_STOP, "side": side, "peak_ticks": peak, "active": trailing.TRAILS,
            "trail_ticks": trail_ticks, "trail_ppm": trail_ppm, "price_activation_ticks": 7,
        }  # fmt: skip
        assert trigger_ticks(order) == core_trigger_ticks(int(side), peak, trail_ticks, trail_ppm)
    assert trigger_ticks({**order, "active": 0}) == 7


def test_averages_are_exact_to_four_more_decimals() -> None:
    """Cost over quantity is a price with four decimals more than the market's own, rounded once."""
    assert GRID.average(60_000_050_000, 100_000) == "60000.05000"
    assert GRID.average(-60_000_050_000, -100_000) == "60000.05000"
    assert GRID.average(1, 3) == "0.03333"
    assert GRID.average(5, 0) == ""
    assert (GRID.price(600_001), GRID.price(0), GRID.qty(1)) == ("60000.1", "", "0.00001")
    assert GRID.value_e6(100_000, 600_000) == 60_000_000_000


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-01 00:00:01.5", 1_500_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-02", 86_400_000_000),
        ("1795312400000001", 1_795_312_400_000_001),
        ("1795312400", 1_795_312_400_000_000),
    ],
)
def test_times_are_read(text: str, time_us: int) -> None:
    """A time is ISO 8601, UTC where it names no zone, or seconds or microseconds since 1970."""
    assert time_us_of(text) == time_us


@pytest.mark.parametrize("text", ["", "now", "10:00", "2026-13-01", "2026-01-01T25:00:00", "1e9", "-5"])
def test_no_times_are_refused(text: str) -> None:
    """What is no time is not taken for one."""
    with pytest.raises(ValueError, match=r".*"):
        time_us_of(text)


def test_times_come_back() -> None:
    """What is shown can be typed."""
    for time_us in (0, 1_795_312_400_123_000, 1_700_000_000_000_000):
        assert time_us_of(time_text(time_us)) == time_us
