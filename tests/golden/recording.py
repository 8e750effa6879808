"""
Recorded histories and the hashes that the core's state had on the way: what a stored byte may not do unnoticed.

    python -m tests.golden.recording            write the hashes anew, of the same entries
    python -m tests.golden.recording --entries  draw the entries anew too

A hash changes only in a commit that says which behaviour changed, and why.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.property.entries import START_US, Entry
from tests.property.histories import History, genesis_body
from tests.property.venues import EngineVenue, TwinVenue

ENTRIES = Path(__file__).with_name("entries.jsonl.gz")
HASHES = Path(__file__).with_name("hashes.json")
SEEDS = range(1_000, 1_012)
COUNT = 120
EVERY = 5  # entries between two hashes
DIGITS = 16  # of a hash that are kept


class Recorded(NamedTuple):
    """One history: its first configuration and its entries."""

    seed: int
    first: dict[str, Any]
    entries: list[Entry]


def drawn(seed: int) -> Recorded:
    """Return a random history, steered by the twin alone."""
    first = genesis_body(seed)
    twin = TwinVenue(first, START_US)
    entries = []
    for entry in History(seed, twin).entries(COUNT):
        twin.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        entries.append(entry)
    return Recorded(seed, first, entries)


def entries_write() -> None:
    """Draw the histories anew."""
    with gzip.GzipFile(ENTRIES, "wb", mtime=0) as file:
        for seed in SEEDS:
            recorded = drawn(seed)
            entries = [[entry.kind, entry.body, entry.ts_us, entry.session] for entry in recorded.entries]
            file.write((json.dumps([seed, recorded.first, entries], separators=(",", ":")) + "\n").encode())


def entries_read() -> list[Recorded]:
    """Return the recorded histories."""
    with gzip.open(ENTRIES, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [Recorded(seed, first, [Entry(*entry) for entry in entries]) for seed, first, entries in rows]


def hashes_of(recorded: Recorded, restart_at: int = -1) -> Iterator[str]:
    """Yield the state's hash every few entries, with a restart after one of them."""
    venue = EngineVenue(recorded.first, START_US)
    for index, entry in enumerate(recorded.entries):
        venue.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        if index == restart_at:
            venue = venue.restored()
        if index % EVERY == EVERY - 1 or index == len(recorded.entries) - 1:
            yield venue.engine.state_hash()[:DIGITS]


def main() -> None:
    """Write the hashes, and the entries if asked to."""
    if "--entries" in sys.argv[1:]:
        entries_write()
    found = {str(recorded.seed): list(hashes_of(recorded)) for recorded in entries_read()}
    HASHES.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main()
