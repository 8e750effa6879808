"""Two gateways of one venue, one of them late: nobody is shown the past unmarked, and the lists are the events."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.own_writes import STRETCHES, scene_run
from tests.faults.own_writes_account import MARKET
from tests.faults.public_reads import depth_check, histories_check, trades_check
from tests.faults.venue_client import venue_running

TIMES = 300


@pytest.mark.timeout(180)
def test_reads_are_current_or_say_that_they_are_not(tmp_path: Path) -> None:
    """Written through one gateway, read through another at once; afterwards all lists are the events."""
    with venue_running(tmp_path, "--feed", "simulated") as venue:
        traders = venue.traders_open(12)
        result = asyncio.run(scene_run(venue, tmp_path, traders, TIMES, seed=3))
        assert result["old_unmarked"] == 0, result["wrong"]
        assert result["times"] > 0.9 * TIMES
        assert result["gateway_exit"] == 0
        late = [result["stretches"][stretch.name] for stretch in STRETCHES if stretch.tail_s]
        assert all(stretch["held"] for stretch in late), "the tail was never late: nothing was tried"
        assert result["marked"] < 0.5 * TIMES

        happened = venue.happened()
        counts = [histories_check(venue, trader, happened) for trader in traders]
        assert sum(each["fills"] for each in counts) > 10
        assert trades_check(venue, MARKET, happened) > 10
        assert depth_check(venue, MARKET) > 3
