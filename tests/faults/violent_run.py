"""
A violent day played: the feed and the crowd into the library's engine, beside it the oracle and, when asked, the twin.
"""

import json
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine import core
from shared import genesis
from shared.codes import ACCOUNT_FIRST, ACCOUNT_INSURANCE
from tests.faults.liquidation_oracle import E6
from tests.faults.violent_crowd import Crowd
from tests.faults.violent_feed import Day, Feed, Frame
from tests.faults.violent_oracle import Holding, Oracle
from tests.faults.violent_told import Told
from tests.property import books
from tests.property.entries import SECOND_US, Entry
from tests.property.venues import Difference, EngineVenue, TwinVenue, events_difference, name_of

INSURANCE = "40"  # so little that it is used up and the house has to pay
BEFORE_US = 10 * SECOND_US  # from the founding to the first quote
WISHES_US = 200_000  # from a quote to the first wish after it
SAMPLES = 40  # of the whole state over a run, at least
PROGRESS_S = 10.0


class DayRun:
    """One day, or a part of it, on one venue."""

    def __init__(self, day: Day, frames: list[Frame], accounts: int, seed: int = 1, with_twin: bool = False) -> None:
        start_us = frames[0].event_us - BEFORE_US
        self.first: dict[str, Any] = {"markets": day.markets, "insurance_balance": INSURANCE}
        self.frames = frames
        self.engine = EngineVenue(self.first, start_us)
        self.twin = TwinVenue(self.first, start_us) if with_twin else None
        self.told = Told()
        settings = {key: value for key, value in self.first.items() if key != "markets"}
        self.oracle = Oracle(genesis.default("library0aa", day.markets, **settings), self.told)
        self.feed, self.crowd = Feed(day, seed, start_us), Crowd(day, seed, accounts, self.told)
        self.oracle.prices(Entry("genesis", {}, start_us))
        self.applied: list[Entry] = []  # with the twin only
        self.entries = self.events = self.frames_played = 0
        self.started = self.shown = time.monotonic()
        self.progress = False

    def play(self, wishes_each: float, seconds: float = 1e9, samples: int = SAMPLES) -> bool:
        """Play the frames with so many wishes of each account over all; return whether all was played in time."""
        for entry in [*self.feed.opening(), *self.crowd.opening(self.feed.tick_us)]:
            self.apply(entry)
        end, owed = time.monotonic() + seconds, 0.0
        every = max(1, len(self.frames) // samples)
        for number, frame in enumerate(self.frames):
            owed += wishes_each * len(self.crowd.accounts) / len(self.frames)
            for entry in self.step(frame, int(owed)):
                self.apply(entry)
            owed -= int(owed)
            self.frames_played = number + 1
            if number % every == every - 1:
                self.sample()
            if time.monotonic() > end:
                break
        self.sample()
        self.end_check()
        return self.frames_played == len(self.frames)

    def step(self, frame: Frame, wishes: int) -> Iterator[Entry]:
        """Yield what comes with one quote, then what accounts wish."""
        yield from self.feed.step(frame)
        ts_us = frame.event_us + WISHES_US
        self.crowd.look(frame, ts_us)
        yield from self.crowd.wishes(wishes, ts_us)

    def apply(self, entry: Entry) -> None:
        """Apply one entry to all; raises Difference or AssertionError where they do not agree."""
        self.entries += 1
        found = self.engine.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        self.events += len(found)
        if self.twin is not None:
            self.applied.append(entry)
            seen = self.twin.apply(entry.kind, entry.body, entry.ts_us, entry.session)
            kinds, text = events_difference(seen, found)
            if kinds:
                raise Difference(f"{name_of(entry)}: events {kinds}", f"entry {self.entries}: {entry}\n{text}")
        self.oracle.entry(entry, found)
        if self.progress and time.monotonic() - self.shown > PROGRESS_S:
            self.shown = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Check the whole state: money and lots conserved, what was told is what is, nobody left alone."""
        states = self.engine.engine.states
        positions = core.positions_of(states)
        money = sum(row["free_e6"] + row["reserved_e6"] for row in core.accounts_of(states))
        money += sum(row["margin_e6"] - row["cost_e6"] for row in positions)
        assert money == 0, f"the cells add up to {money} micro-dollars"
        lots = dict.fromkeys(self.oracle.terms, 0)
        for row in positions:
            lots[row["market"]] += row["lots"]
            if row["account_id"] >= ACCOUNT_FIRST:
                held, lot = Holding.told(self.told.positions[row["position_id"]]), self.oracle.terms[row["market"]].lot
                assert (held.qty, held.cost * E6, held.margin * E6) == (
                    row["lots"] * lot, row["cost_e6"], row["margin_e6"],
                ), row  # fmt: skip
        assert not any(lots.values()), f"lots do not add up to nothing: {lots}"
        assert len(self.told.positions) == sum(row["account_id"] >= ACCOUNT_FIRST for row in positions)
        self.prices_compare()
        self.oracle.scan()
        if self.twin is not None:
            name, text = books.books_difference(books.twin_books(self.twin), books.engine_books(states))
            if name:
                raise Difference(f"book {name}", f"after entry {self.entries}\n{text}")

    def prices_compare(self) -> None:
        """Assert that every market stands at the prices and the freshness that the feed leads to."""
        for name, view in core.market_views(self.engine.engine.states).items():
            walk = self.oracle.terms[name].walk
            assert [Fraction(view[key]) for key in ("bid", "ask", "mark")] == [walk.bid, walk.ask, walk.mark], name
            assert bool(view["fresh"]) == walk.fresh(), name

    def end_check(self) -> None:
        """Check what needs to be asked once: invariants, the fund, every account's legs."""
        assert self.engine.engine.invariants() == []
        assert self.twin is None or self.twin.sound() == []
        fund = self.engine.engine.account(ACCOUNT_INSURANCE)
        assert fund is not None
        assert fund["free_e6"] == self.oracle.insurance * E6
        assert self.told.legs_wrong() == []

    # --- what is said ------------------------------------------------------------------------------------------------

    def line(self) -> str:
        """Return one line on where the run stands."""
        figures, took = self.oracle.figures, time.monotonic() - self.started
        return (
            f"{took:6.0f} s  quote {self.frames_played} of {len(self.frames)}, {self.entries:,} entries, "
            f"{self.events:,} events, {figures['fills']:,} fills, {figures['liquidations']:,} liquidations, "
            f"{figures['deficits']:,} deficits, {len(self.told.positions):,} positions open"
        )

    def summary(self) -> str:
        """Return what was played and what was verified."""
        lines = [
            self.line(),
            f"largest deficit {float(self.oracle.deficit_largest):,.6f} USDC",
        ]
        lines += [f"  {name:<40} {count:>10,}" for name, count in sorted(self.oracle.figures.items())]
        lines += [f"  {name:<40} {count:>10,}" for name, count in sorted(self.told.counts.items())]
        lines += [f"  {name:<40} {count:>10,}" for name, count in sorted(self.told.results.items())]
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the entries so far where `python -m tests.property.test_twin --replay` reads them."""
        entries = [vars(entry) for entry in self.applied]
        path.write_text(json.dumps({"cause": "", "restore": False, "first": self.first, "entries": entries}))
