"""
Makes a failing history small: leaves out entries, keys, commands and markets for as long as the same thing differs.

Ids in what stays are followed: an order named by id is the same order when entries before it are gone.
"""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.property.entries import Entry
from tests.property.venues import HASH_EVERY, Difference, Run, founded, run

NAMES = {"account": "account", "account_to": "account", "order_id": "order", "position_id": "position"}
ENVELOPE = ("v", "account", "request_id", "op")
LOST = 900_000_000


@dataclass
class Piece:
    """One entry of the failing history, its place in it, and the next ids of the twin before it."""

    entry: Entry
    place: int
    counters: dict[str, int]


@dataclass
class Case:
    """A failing history: what it was founded with, its entries, what differs at its end."""

    first: dict[str, Any]
    pieces: list[Piece]
    cause: str
    twin_only: bool
    any_order: bool = False
    restore: bool = False  # from a snapshot after every entry
    text: str = ""  # what differed in the last run that failed

    def failing(self, first: dict[str, Any], pieces: list[Piece], originals: list[Piece]) -> Run | None:
        """Return the run of these entries if it ends in the same cause, None when it does not."""
        both = Run(first, self.twin_only, any_order=self.any_order, restore_likely=1.0 if self.restore else 0.0)
        problem = replay(both, pieces, originals)
        if problem is None or problem.cause != self.cause:
            return None
        self.text = problem.text
        return both


def replay(both: Run, pieces: list[Piece], originals: list[Piece]) -> Difference | None:
    """Apply some of a history's entries, their ids followed; returns how they failed, None when they did not."""
    counters: dict[int, dict[str, int]] = {}
    for piece in pieces:
        counters[piece.place] = dict(both.twin.state.counters)
        entry = copy.deepcopy(piece.entry)
        ids_follow(entry.body, originals, counters)
        try:
            both.apply(entry)
        except Difference as problem:
            return problem
    try:
        both.invariants("end")
    except Difference as problem:
        return problem
    return None


def ids_follow(body: Any, originals: list[Piece], counters: dict[int, dict[str, int]]) -> None:
    """Change the ids in a body, and in the commands inside, to those that the same things have now."""
    if isinstance(body, list):
        for element in body:
            ids_follow(element, originals, counters)
    if not isinstance(body, dict):
        return
    for key, value in body.items():
        if key in NAMES and type(value) is int and value > 0:
            body[key] = id_now(NAMES[key], value, originals, counters)
        elif isinstance(value, list | dict):
            ids_follow(value, originals, counters)


def id_now(name: str, value: int, originals: list[Piece], counters: dict[int, dict[str, int]]) -> int:
    """Return the id that a thing of the full history has in the shorter one."""
    maker = None
    for piece in originals:
        if piece.counters[name] >= value:
            break
        maker = piece
    if maker is None:
        return value
    if maker.place not in counters:
        return LOST + value
    return value - maker.counters[name] + counters[maker.place][name]


def shrink(
    seed: int, count: int, twin_only: bool, any_order: bool = False, seconds: float = 600
) -> tuple[Case, Run] | None:
    """Return the smallest failing history found from a seed's, with its run; None when the seed does not fail."""
    both = founded(seed, seed % HASH_EVERY == 0, twin_only, any_order)
    try:
        run(seed, count, record=both)
    except Difference as problem:
        return shrink_run(both, problem.cause, seconds)
    return None


def shrink_run(both: Run, cause: str, seconds: float = 600) -> tuple[Case, Run]:
    """Return the smallest failing history found from a run that failed, with its run."""
    end = time.monotonic() + seconds
    steps = zip(both.applied, both.counters, strict=True)
    originals = [Piece(entry, place, counters) for place, (entry, counters) in enumerate(steps)]
    case = Case(both.first, originals, cause, both.twin_only, both.any_order)
    found = case.failing(case.first, originals, originals)
    if found is None and not case.twin_only:
        case.restore = True
        found = case.failing(case.first, originals, originals)
    assert found is not None, f"{cause}: does not fail again from its entries alone"
    for change in (entries_drop, values_drop, entries_drop, first_drop):
        found = change(case, originals, end) or found
    return case, found


def entries_drop(case: Case, originals: list[Piece], end: float) -> Run | None:
    """Leave out runs of entries, long ones first, then single ones, until none can go."""
    found, size = None, max(1, len(case.pieces) // 2)
    while time.monotonic() < end:
        at, dropped = len(case.pieces) - 1 - size, False
        while at > -size and time.monotonic() < end:
            kept = case.pieces[: max(0, at)] + case.pieces[max(0, at + size) :]
            trial = case.failing(case.first, kept, originals)
            if trial is not None:
                found, dropped = trial, True
                case.pieces = kept[: len(trial.applied)]
            at -= size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return found


def values_drop(case: Case, originals: list[Piece], end: float) -> Run | None:
    """Leave out keys of instructions and commands of batches, one after another."""
    found = None
    for index in range(len(case.pieces) - 1, -1, -1):
        for path in paths_of(case.pieces[index].entry.body):
            if time.monotonic() > end:
                return found
            piece = copy.deepcopy(case.pieces[index])
            if not path_drop(piece.entry.body, path):
                continue
            trial_pieces = [*case.pieces[:index], piece, *case.pieces[index + 1 :]]
            trial = case.failing(case.first, trial_pieces, originals)
            if trial is not None:
                found, case.pieces = trial, trial_pieces[: len(trial.applied)]
                if index >= len(case.pieces):
                    break
    return found


def paths_of(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where in an instruction's body something may be left out, the last first."""
    found: list[tuple[Any, ...]] = []
    keys: list[Any] = []
    if isinstance(body, dict):
        if not path and "op" not in body:
            return []
        keys = [key for key in body if key not in ENVELOPE]
    elif isinstance(body, list):
        keys = list(range(len(body)))
    for key in reversed(keys):
        found.append((*path, key))
        found += paths_of(body[key], (*path, key))
    return found


def path_drop(body: Any, path: tuple[Any, ...]) -> bool:
    """Leave out one value of a body; returns whether it was there."""
    try:
        for key in path[:-1]:
            body = body[key]
        del body[path[-1]]
    except (KeyError, IndexError):
        return False
    return True


def first_drop(case: Case, originals: list[Piece], end: float) -> Run | None:
    """Leave out markets and settings of the venue's first configuration."""
    found = None
    trials: list[Callable[[dict[str, Any]], Any]] = []
    for name in [market["market"] for market in case.first["markets"]]:
        trials.append(lambda first, name=name: first["markets"].remove(market_of(first, name)))
        keys = [key for key in market_of(case.first, name) if key not in ("market", "tick", "lot", "leverage_max")]
        trials += [lambda first, name=name, key=key: market_of(first, name).pop(key) for key in keys]
    trials += [lambda first, key=key: first.pop(key) for key in case.first if key != "markets"]
    for leave_out in trials:
        first = copy.deepcopy(case.first)
        try:
            leave_out(first)
        except (KeyError, StopIteration, ValueError):
            continue
        trial = case.failing(first, case.pieces, originals) if first["markets"] and time.monotonic() < end else None
        if trial is not None:
            found, case.first = trial, first
    return found


def market_of(first: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a market of a first configuration."""
    return next(market for market in first["markets"] if market["market"] == name)


def case_write(case: Case, both: Run, path: Path) -> None:
    """Write a failing history to a file that `replay_file` reads."""
    entries = [vars(entry) for entry in both.applied]
    path.write_text(json.dumps({"cause": case.cause, "restore": case.restore, "first": case.first, "entries": entries}))


def replay_file(path: Path, any_order: bool = False) -> str:
    """Return how a history from a file fails now, empty when it does not."""
    kept = json.loads(path.read_text())
    both = Run(kept["first"], any_order=any_order, restore_likely=1.0 if kept["restore"] else 0.0)
    try:
        for row in kept["entries"]:
            both.apply(Entry(**row))
        both.invariants("end")
    except Difference as problem:
        return f"{problem.cause}\n{both.applied[-1]}\n{problem.text}"
    return ""


def text_of(case: Case, both: Run) -> str:
    """Return a small failing history as readable lines: what was founded, each entry with its answers, what differs."""
    lines = [f"cause: {case.cause}" + (", restored after every entry" if case.restore else ""), "founded with:"]
    lines += [f"  {key}: {value}" for key, value in case.first.items() if key != "markets"]
    lines += [f"  {json.dumps(market)}" for market in case.first["markets"]]
    again = Run(case.first, twin_only=True)
    lines.append(f"{len(both.applied)} entries, with what the twin answers:")
    for number, entry in enumerate(both.applied):
        lines.append(f"{number + 1:>3}  {entry}")
        try:
            events = again.twin.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        except Exception as problem:
            lines.append(f"       the twin raised {problem!r}")
            break
        lines += [f"       {brief(event)}" for event in events if event["e"] not in ("candle", "ledger")]
    return "\n".join([*lines, "what differs:", case.text])


def brief(event: dict[str, Any]) -> str:
    """Return an event without what says nothing new."""
    skipped = ("e", "request_id", "account_id", "placed_us", "opened_us", "closed_us")
    values = " ".join(f"{key}={json.dumps(value)}" for key, value in event.items() if key not in skipped)
    return f"{event['e']}: {values}"
