"""
A violent real day on which liquidity is thin and the fund small: auto-deleveraging happens, money is conserved, whoever
is asked stands as after a close at the bankruptcy price, nothing depends on the order in which accounts were opened.

The suite plays the worst part of the day with few accounts; it needs the public replay set beside the repository.
`python -m tests.faults.test_adl_day --accounts 10000 --shuffle` plays all of it.
"""

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from engine import core
from engine.core import kernel
from shared import genesis
from shared.codes import ACCOUNT_FIRST
from tests.faults.adl_crowd import INSURANCE, PATH, THIN, ThinCrowd, cross_owner
from tests.faults.adl_oracle import AdlOracle
from tests.faults.adl_terms import Terms, money
from tests.faults.price_walk import PriceWalk
from tests.faults.violent_feed import Feed, Frame, frames_read, frames_worst
from tests.faults.violent_run import BEFORE_US, WISHES_US
from tests.property.entries import Entry
from tests.property.venues import EngineVenue, TwinVenue, events_difference

WISHES = 12.0  # of one owner over all
PROGRESS_S = 15.0
FIRST: dict[str, Any] = {"markets": THIN.markets, "insurance_balance": INSURANCE}
Event = dict[str, Any]


class ThinVenue:
    """One engine, perhaps the twin beside it, whose accounts were opened by owners in some order."""

    def __init__(self, order: Sequence[int], start_us: int, with_twin: bool = False) -> None:
        self.engine = EngineVenue(FIRST, start_us)
        self.twin = TwinVenue(FIRST, start_us) if with_twin else None
        self.order = order
        self.account_of = {owner: ACCOUNT_FIRST + place for place, owner in enumerate(order)}
        self.owner_of = {account: owner for owner, account in self.account_of.items()}

    def opening(self, ts_us: int) -> Iterator[Entry]:
        """Yield the opening of every account."""
        for place, owner in enumerate(self.order):
            body = {"v": 1, "account": 0, "request_id": f"{10**9 + place:032x}", "op": "account_open"}
            yield Entry("user_instruction", {**body, "owner": f"{owner + 1:032x}"}, ts_us)

    def apply(self, entry: Entry) -> list[Event]:
        """Apply an entry in which an instruction's account is an owner; return its events, of accounts."""
        body = entry.body
        if entry.kind == "user_instruction" and body["op"] != "account_open":
            body = {**body, "account": self.account_of[body["account"]]}
        events = self.engine.apply(entry.kind, body, entry.ts_us, entry.session)
        if self.twin is not None:
            kinds, text = events_difference(self.twin.apply(entry.kind, body, entry.ts_us, entry.session), events)
            assert not kinds, f"{entry}: events {kinds}\n{text}"
        return events

    def digest(self, events: list[Event]) -> bytes:
        """Return a digest of an entry's events in which accounts are owners."""
        told = [{**event, "account": self.owner_of.get(event.get("account", 0), -1)} for event in events]
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).digest()

    def owned(self) -> dict[int, Any]:
        """Return what every owner has: cells and positions."""
        states = self.engine.engine.states
        found: dict[int, Any] = {
            self.owner_of[row["account_id"]]: [row["free_e6"], row["reserved_e6"]]
            for row in core.accounts_of(states)
            if row["account_id"] >= ACCOUNT_FIRST
        }
        for row in core.positions_of(states):
            if row["account_id"] >= ACCOUNT_FIRST:
                held = (row["market"], row["kind"], row["lots"], row["cost_e6"], row["margin_e6"])
                found[self.owner_of[row["account_id"]]].append(held)
        return found

    def conserved(self) -> None:
        """Assert that all cells add up to nothing, and the lots of each market."""
        states = self.engine.engine.states
        lots: dict[str, int] = {}
        total = sum(row["free_e6"] + row["reserved_e6"] for row in core.accounts_of(states))
        for row in core.positions_of(states):
            total += row["margin_e6"] - row["cost_e6"]
            lots[row["market"]] = lots.get(row["market"], 0) + row["lots"]
        assert total == 0 and not any(lots.values()), (total, lots)


class AdlRun:
    """The day on a venue whose accounts were opened in the order of their owners, with the oracle beside it."""

    def __init__(self, frames: list[Frame], owners: int, seed: int = 1, with_twin: bool = False) -> None:
        self.start_us = frames[0].event_us - BEFORE_US
        self.frames, self.seed = frames, seed
        self.venue = ThinVenue(range(owners), self.start_us, with_twin)
        self.feed, self.crowd = Feed(THIN, seed, self.start_us), ThinCrowd(owners, seed)
        body = genesis.default("library0aa", THIN.markets, insurance_balance=INSURANCE)
        terms = {market["market"]: Terms(PriceWalk(market)) for market in body["markets"]}
        self.oracle = AdlOracle(terms, money(INSURANCE + ".0"))
        self.oracle.prices(Entry("genesis", {}, self.start_us))
        self.entries: list[Entry] = []
        self.digests: list[bytes] = []
        self.ties: list[int] = []  # entries in which two cross accounts were due together
        self.started = self.shown = time.monotonic()
        self.progress = False

    def play(self, wishes_each: float, seconds: float = 1e9, samples: int = 40) -> bool:
        """Play the frames with so many wishes of each owner over all; return whether all was played in time."""
        for entry in self.venue.opening(self.start_us):
            self.oracle.entry(entry, self.venue.apply(entry))
        for entry in self.feed.opening():
            self.apply(entry)
        end, owed, played = time.monotonic() + seconds, 0.0, 0
        every = max(1, len(self.frames) // samples)
        for number, frame in enumerate(self.frames):
            for entry in self.feed.step(frame):
                self.apply(entry)
            ts_us = frame.event_us + WISHES_US
            self.crowd.look(frame, ts_us)
            if number == 0:
                # Leverage is refused before the first quote.
                for entry in self.crowd.opening(ts_us):
                    self.apply(entry)
            owed += wishes_each * len(self.crowd.owners) / len(self.frames)
            for entry in self.crowd.wishes(int(owed), ts_us):
                self.apply(entry)
            owed -= int(owed)
            played = number + 1
            if number % every == every - 1:
                self.venue.conserved()
                self.oracle.scan()
            if time.monotonic() > end:
                break
        self.venue.conserved()
        self.oracle.scan()
        assert self.venue.engine.engine.invariants() == []
        return played == len(self.frames)

    def apply(self, entry: Entry) -> None:
        """Apply one entry, check what it tells, and remember it for venues with other orders."""
        events = self.venue.apply(entry)
        ties = self.oracle.figures["entries in which ids may break a tie"]
        self.oracle.entry(entry, events)
        if self.oracle.figures["entries in which ids may break a tie"] > ties:
            self.ties.append(len(self.entries))
        self.entries.append(entry)
        self.digests.append(self.venue.digest(events))
        for event in events:
            if event["e"] == "account_changed":
                self.crowd.free[self.venue.owner_of[event["account"]]] = Decimal(event["free"])
        if self.progress and time.monotonic() - self.shown > PROGRESS_S:
            self.shown = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def again(self, order: Sequence[int]) -> tuple[ThinVenue, int | None]:
        """Give another venue, opened in an order, the same entries; return it and the first that differed, if any."""
        venue, differs = ThinVenue(order, self.start_us), None
        for entry in venue.opening(self.start_us):
            venue.apply(entry)
        for number, entry in enumerate(self.entries):
            events = venue.apply(entry)
            if differs is None and venue.digest(events) != self.digests[number]:
                differs = number
        venue.conserved()
        assert venue.engine.engine.invariants() == []
        return venue, differs

    def line(self) -> str:
        """Return one line on where the run stands."""
        figures, took = self.oracle.figures, time.monotonic() - self.started
        liquidations = figures["liquidation"]
        return (
            f"{took:6.0f} s  {len(self.entries):,} entries, {figures['fill']:,} fills, {liquidations:,} liquidations, "
            f"{figures['adl']:,} asked, {figures['deficit']:,} deficits, {len(self.oracle.held):,} positions open"
        )


def shuffled(owners: int, seed: int) -> list[int]:
    """Return all owners in another order, but those with cross positions, among whom ids break ties, as they were."""
    order = list(range(owners))
    random.Random(f"order {seed}").shuffle(order)
    cross = iter(range(owners))
    return [next(one for one in cross if cross_owner(one)) if cross_owner(owner) else owner for owner in order]


def test_thin_books_on_a_violent_day() -> None:
    """50 accounts in the worst hour: positions are asked as the rule says; opened in another order, all is equal."""
    if not PATH.exists():
        pytest.skip("the public replay set is not beside the repository")
    run = AdlRun(frames_worst(frames_read(PATH), 3_600), 50)
    if run.play(24.0 if kernel.JIT else 12.0, 10.0):
        assert run.oracle.figures["adl"] > 0
    venue, differs = run.again(shuffled(50, 1))
    assert differs is None and venue.owned() == run.venue.owned()


def main() -> None:
    """Play the day and say what was verified."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--hours", type=float, help="only the worst so many hours")
    parser.add_argument("--wishes", type=float, default=WISHES, help="of one owner over all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--twin", action="store_true", help="compare every entry with the twin")
    parser.add_argument("--shuffle", action="store_true", help="then with the accounts opened in two other orders")
    asked = parser.parse_args()
    if not PATH.exists():
        sys.exit(f"the public replay set is not beside the repository: {PATH.name} is missing")
    frames = frames_read(PATH)
    if asked.hours is not None:
        frames = frames_worst(frames, int(asked.hours * 3_600))
    run = AdlRun(frames, asked.accounts, asked.seed, asked.twin)
    run.progress = True
    run.play(asked.wishes)
    print(run.line())
    for name, count in sorted(run.oracle.figures.items()):
        print(f"  {name:<44} {count:>10,}")
    if not asked.shuffle:
        return
    venue, differs = run.again(shuffled(asked.accounts, asked.seed))
    assert differs is None and venue.owned() == run.venue.owned(), (
        f"entry {differs} differs: {run.entries[differs or 0]}"
    )
    print(f"opened in another order, cross accounts among themselves as before: all {len(run.entries):,} entries equal")
    order = list(range(asked.accounts))
    random.Random(f"any {asked.seed}").shuffle(order)
    venue, differs = run.again(order)
    assert differs is None or differs in run.ties, f"entry {differs} differs: {run.entries[differs or 0]}"
    before, after = run.venue.owned(), venue.owned()
    others = sum(before[owner] != after[owner] for owner in before)
    told = (
        "none differs" if differs is None else f"the first of them that differs is {differs:,}, then {others:,} owners"
    )
    print(f"opened in any order: {len(run.ties):,} entries in which ids may break a tie, {told}")


if __name__ == "__main__":
    main()
