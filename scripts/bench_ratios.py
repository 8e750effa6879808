"""
The core beside other engines in one run: the same streams for all, each engine's fills held against those expected.

A ratio is ours ÷ theirs of medians; a peer that stops early is compared over what it did.
"""

import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from scripts import bench_book, bench_peers, bench_streams
from scripts.bench_triggers import TriggerVenue

PARTS = {"book": ("rest", "cross"), "quote": ("rest", "take")}
TICK_TRIGGERS = 1_000
QUOTES = 200_000
Size = tuple[int, int]  # resting orders, prices a side
Streams = dict[str, bench_streams.Stream]


@dataclass(frozen=True)
class Row:
    """One line of the table: an engine on one part of one stream."""

    peer: str
    what: str
    ours: float
    theirs: float
    goal: float
    agrees: str  # whether its fills are the expected ones

    @property
    def ratio(self) -> float:
        """Return how many times faster the core is."""
        return self.ours / self.theirs


class Workloads:
    """The streams, drawn once, with what the core makes of each; drawn and measured when first asked for."""

    def __init__(self, operations: int, repeats: int) -> None:
        self.operations = operations
        self.repeats = repeats
        self._streams: dict[tuple[str, Size], Streams] = {}
        self._measured: dict[tuple[str, Size, str], bench_book.Measured] = {}

    def streams(self, liquidity: str, size: Size) -> Streams:
        """Return the parts that suit a liquidity, upon a book of one size."""
        key = (liquidity, size)
        if key not in self._streams:
            resting, levels = size
            self._streams[key] = {
                part: bench_streams.Stream(part, resting, self.operations, levels) for part in PARTS[liquidity]
            }
        return self._streams[key]

    def ours(self, liquidity: str, size: Size, part: str) -> bench_book.Measured:
        """Return what the core does with one part."""
        key = (liquidity, size, part)
        if key not in self._measured:
            stream = self.streams(liquidity, size)[part]
            self._measured[key] = bench_book.measure(stream, liquidity, self.repeats)
        return self._measured[key]

    def book(self, resting: int) -> dict[str, bench_book.Measured]:
        """Return what the core does with placements, cancels and fills by users, and against the outside quote."""
        size = (resting, bench_streams.LEVELS)
        return {
            "place and cancel": self.ours("book", size, "rest"),
            "cross, users fill": self.ours("book", size, "cross"),
            "place and cancel, outside quote": self.ours("quote", size, "rest"),
            "take, the house fills": self.ours("quote", size, "take"),
        }

    def specification(self, liquidity: str, size: Size, seconds: float) -> str:
        """Return the file that a driver reads."""
        streams = self.streams(liquidity, size)
        return json.dumps(
            {
                "middle_ticks": bench_streams.MIDDLE_TICKS,
                "load": next(iter(streams.values())).load,
                "parts": {part: stream.operations for part, stream in streams.items()},
                "quotes": bench_streams.quotes(QUOTES),
                "triggers": bench_streams.triggers(TICK_TRIGGERS),
                "seconds_max": seconds,
            }
        )

    def ticks_per_s(self) -> float:
        """Return the core's quotes a second past resting stops."""
        venue = TriggerVenue("stop", TICK_TRIGGERS)
        walk = np.array(bench_streams.quotes(QUOTES))
        return 1 / statistics.median(venue.quote(walk) for _ in range(self.repeats))


def measure(workloads: Workloads, seconds: float, console: Console) -> tuple[dict[str, Any], Table]:
    """Return the figures and the table of every peer that could be installed and run; the others with their reason."""
    rows: list[Row] = []
    said: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for peer in bench_peers.PEERS:
            try:
                with console.status(f"{peer.package}: installing"):
                    python = bench_peers.environment(folder, peer)
                for size in peer.sizes:
                    file = folder / f"{peer.liquidity}-{size[0]}-{size[1]}.json"
                    if not file.exists():
                        file.write_text(workloads.specification(peer.liquidity, size, seconds))
                    with console.status(f"{peer.package}: {size[0]:,} resting"):
                        answer = bench_peers.drive(python, peer, file)
                    said.setdefault(peer.package, []).append({"resting": size[0], "levels": size[1], **answer})
                    rows += rows_of(peer, size, answer, workloads)
            except bench_peers.PeerFailed as failure:
                failed[peer.package] = str(failure)
    figures = {
        "ratios": {f"{row.peer} {row.what}": round(row.ratio, 2) for row in rows},
        "agree": all(row.agrees != "no" for row in rows),
        "peers": said,
        "peers_failed": failed,
    }
    return figures, table_of(rows, failed)


def rows_of(peer: bench_peers.Peer, size: Size, answer: dict[str, Any], workloads: Workloads) -> list[Row]:
    """Return the lines of one run of a peer."""
    rows = []
    for part, theirs in answer["parts"].items():
        stream = workloads.streams(peer.liquidity, size)[part]
        ours = workloads.ours(peer.liquidity, size, part).per_s
        expected = stream.expected.fills_after[theirs["operations"] - 1] if theirs["operations"] else 0
        agrees = "yes" if theirs["fills"] == expected else "no"
        what = f"{part}, {size[0]:,} resting on {2 * size[1]:,} prices"
        rows.append(Row(peer.package, what, ours, theirs["per_s"], peer.goals["orders"], agrees))
    if "ticks" in answer and "ticks" in peer.goals and size == peer.sizes[0]:
        ticks = answer["ticks"]
        agrees = "yes" if ticks["fired"] == 0 else "no"
        what = f"quotes, {ticks['resting']:,} triggers"
        rows.append(Row(peer.package, what, workloads.ticks_per_s(), ticks["per_s"], peer.goals["ticks"], agrees))
    return rows


def table_of(rows: list[Row], failed: dict[str, str]) -> Table:
    """Return the table for people."""
    table = Table("peer", "stream", "ours/s", "theirs/s", "ratio", "goal", "same fills", title="other engines")
    for row in rows:
        goal = f"≥ {row.goal:g}× {'met' if row.ratio >= row.goal else 'missed'}"
        numbers = (f"{row.ours:,.0f}", f"{row.theirs:,.0f}", f"{row.ratio:,.2f}×")
        table.add_row(row.peer, row.what, *numbers, goal, row.agrees)
    for package, reason in failed.items():
        table.add_row(package, "not measured", "", "", "", "", reason[:200])
    return table
