"""
A violent real day with accounts of all kinds: engine and twin agree on every event, money is conserved, and whoever is
liquidated had to be.

The suite plays the worst part of two recorded days, which need the public replay set beside the repository.
`python -m tests.faults.test_violent_day --accounts 200 --twin` and `--accounts 10000` play a whole one.
"""

import argparse
import sys
from pathlib import Path

import pytest

from engine.core import kernel
from tests.faults.violent_feed import DAYS, Frame, frames_read, frames_worst
from tests.faults.violent_run import DayRun

HOUR_S = 3_600
SECONDS = 5.0  # of one test; what is not played by then is left out
WISHES = 40.0  # of one account over a whole day
SMALL = 1 if kernel.JIT else 4  # by which the interpreted engine plays less


def frames_of(name: str, span_s: int) -> list[Frame]:
    """Return the quotes of a day's worst time span; skips the test when the recording is not there."""
    path = DAYS[name].path
    if not path.exists():
        pytest.skip(f"the public replay set is not beside the repository: {path.name} is missing")
    return frames_worst(frames_read(path), span_s // SMALL)


@pytest.mark.parametrize("name", DAYS)
def test_worst_hour_beside_the_twin(name: str) -> None:
    """Engine and twin agree on every event of 40 accounts in the part of a day that moves furthest."""
    run = DayRun(DAYS[name], frames_of(name, HOUR_S // 4), 40 // SMALL, with_twin=True)
    if run.play(16.0, SECONDS):
        assert run.oracle.figures["fills with users"] > 0
        assert run.oracle.figures["liquidations"] > 0


@pytest.mark.parametrize("name", DAYS)
def test_worst_hour_of_many(name: str) -> None:
    """Every liquidation among 300 accounts in the worst hour is recomputed; money and lots are conserved."""
    run = DayRun(DAYS[name], frames_of(name, HOUR_S), 300 // SMALL, seed=2)
    if run.play(10.0, SECONDS):
        assert run.oracle.figures["liquidations"] >= 20 // SMALL
        assert run.oracle.figures["positions scanned"] > 0


def main() -> None:
    """Play a day, or its worst hours, and say what was verified."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--twin", action="store_true", help="compare every entry with the twin")
    parser.add_argument("--day", choices=DAYS, default="btc")
    parser.add_argument("--hours", type=float, help="only the worst so many hours")
    parser.add_argument("--wishes", type=float, default=WISHES, help="of one account over all")
    parser.add_argument("--samples", type=int, default=200, help="of the whole state: conservation, nobody left alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="with --twin: a file for the entries when something differs")
    asked = parser.parse_args()
    day = DAYS[asked.day]
    if not day.path.exists():
        sys.exit(f"the public replay set is not beside the repository: {day.path.name} is missing")
    frames = frames_read(day.path)
    if asked.hours is not None:
        frames = frames_worst(frames, int(asked.hours * HOUR_S))
    run = DayRun(day, frames, asked.accounts, asked.seed, asked.twin)
    run.progress = True
    try:
        run.play(asked.wishes, samples=asked.samples)
    except Exception:
        print(run.summary())
        if asked.save:
            run.save(Path(asked.save))
        raise
    print(run.summary())


if __name__ == "__main__":
    main()
