"""
A recorded day as the feed of a small venue: one price, four markets, every mode of liquidity, marks beside the mid.

The quotes are those of the recording, at their own times; the marks, their rates and the markets' parameters are ours.
"""

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from tests.property.entries import SECOND_US, Entry

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SESSION = "violent1"
LAG_US = 40_000  # from a quote's own time to the log's
MARK_EARLY_US = 2_000_000  # by which a lagging mark comes before the next quote
JUMP_US = 5 * SECOND_US
FUNDING_MS = 1_800_000
RATES = ("0.0001", "-0.0002", "0.0005", "-0.0007", "0.003")


@dataclass(frozen=True)
class Frame:
    """One recorded quote."""

    event_us: int
    bid: str
    ask: str
    bid_size: str
    ask_size: str

    @property
    def mid(self) -> Decimal:
        """Return the middle of the two prices."""
        return (Decimal(self.bid) + Decimal(self.ask)) / 2


@dataclass(frozen=True)
class Day:
    """A recording, and the grid and the leverage of the markets that follow it."""

    name: str
    recording: str
    tick: str
    lot: str
    leverage_max: int
    tiers: tuple[tuple[str, int, int], ...]  # floor, mmr_ppm, leverage_max

    @property
    def path(self) -> Path:
        """Return where the recording lies when the public replay set is beside the repository."""
        return FOLDER / self.recording

    @property
    def markets(self) -> list[dict[str, Any]]:
        """Return the genesis entries of the day's markets."""
        tiers = [{"floor": floor, "mmr_ppm": ppm, "leverage_max": leverage} for floor, ppm, leverage in self.tiers]
        base = {"tick": self.tick, "lot": self.lot, "leverage_max": self.leverage_max, "price_age_max_ms": 60_000,
                "fee_liquidation_ppm": 1_000}  # fmt: skip
        modes: list[dict[str, Any]] = [
            {"market": f"{self.name}_QUOTE_PERP", "liquidity": "quote"},
            {"market": f"{self.name}_SIZED_PERP", "liquidity": "quote_sized", "depth_levels": 10},
            {"market": f"{self.name}_BOOK_PERP", "liquidity": "book"},
            {"market": f"{self.name}_LATE_PERP", "liquidity": "quote", "taker_delay_ms": 700},
        ]
        return [{**mode, **base, "tiers": tiers} for mode in modes]


DAYS = {
    "btc": Day(
        "BTC", "btc_perp_20220105_minute.jsonl.gz", "0.1", "0.00001", 100,
        (("0", 4_000, 100), ("100000", 10_000, 50), ("1000000", 40_000, 10)),
    ),
    "ada": Day(
        "ADA", "ada_binance_usdm_20221213_minute.jsonl.gz", "0.0001", "1", 75,
        (("0", 5_000, 75), ("100000", 12_500, 40), ("800000", 50_000, 8)),
    ),
}  # fmt: skip


def frames_read(path: Path) -> list[Frame]:
    """Return the quotes of a recording."""
    with gzip.open(path, "rb") as file:
        rows = [orjson.loads(line)["data"] for line in file]
    return [Frame(row["E"], row["b"], row["a"], row["B"], row["A"]) for row in rows]


def frames_worst(frames: list[Frame], span_s: int) -> list[Frame]:
    """Return the quotes of the time span in which the price moved furthest."""
    best, chosen, first = Decimal(0), frames, 0
    for last in range(len(frames)):
        while frames[last].event_us - frames[first].event_us > span_s * SECOND_US:
            first += 1
        part = frames[first : last + 1]
        moved = max(frame.mid for frame in part) / min(frame.mid for frame in part)
        if moved > best:
            best, chosen = moved, part
    return chosen


@dataclass
class Feed:
    """Turns quotes into ticks, quotes and marks of all markets, in log order; what it adds belongs to the seed."""

    day: Day
    seed: int
    tick_us: int
    update_id: int = 0
    chance: random.Random = field(init=False)
    before: Frame | None = None

    def __post_init__(self) -> None:
        """Draw from the seed."""
        self.chance = random.Random(f"feed {self.seed}")
        self.names = [market["market"] for market in self.day.markets]

    def opening(self) -> Iterator[Entry]:
        """Yield the session's beginning."""
        yield Entry("feed_status", {"status": "up", "source": "recording:day"}, self.tick_us, SESSION)

    def ticks(self, ts_us: int) -> Iterator[Entry]:
        """Yield the ticks up to a time; of a long silence the two that confirm it."""
        if ts_us - self.tick_us > JUMP_US:
            self.tick_us = ts_us - SECOND_US
            yield Entry("clock_tick", {}, self.tick_us)
        while ts_us - self.tick_us >= SECOND_US:
            self.tick_us += SECOND_US
            yield Entry("clock_tick", {}, self.tick_us)

    def step(self, frame: Frame) -> Iterator[Entry]:
        """Yield what comes with one recorded quote: marks that lag behind it, the quote in each market, fresh marks."""
        ts_us = frame.event_us + LAG_US
        if self.before is not None and ts_us - self.tick_us > MARK_EARLY_US:
            early_us = ts_us - MARK_EARLY_US
            yield from self.ticks(early_us)
            for name in self.names[1::2]:
                if self.chance.random() < 0.8:
                    yield self.mark(name, self.before, early_us)
        yield from self.ticks(ts_us)
        for name in self.names:
            yield self.quote(name, frame, ts_us)
        for name in self.names[::2]:
            if self.chance.random() < 0.7:
                yield self.mark(name, frame, ts_us + LAG_US)
        self.before = frame

    def quote(self, name: str, frame: Frame, ts_us: int) -> Entry:
        """Return the recorded quote in one market."""
        self.update_id += 1
        body = {"A": frame.ask_size, "B": frame.bid_size, "E": frame.event_us, "T": frame.event_us, "a": frame.ask,
                "b": frame.bid, "e": "bookTicker", "s": name, "u": self.update_id}  # fmt: skip
        return Entry("price_update", body, ts_us, SESSION)

    def mark(self, name: str, frame: Frame, ts_us: int) -> Entry:
        """Return a mark near the middle of a quote, rarely a false one, with the funding of the next half hour."""
        chance = self.chance
        off = chance.gauss(0, 0.0003) if chance.random() < 0.99 else chance.choice([-0.02, 0.02, -0.06])
        price = frame.mid * (1 + Decimal(f"{off:.6f}"))
        event_us = ts_us - LAG_US
        due_ms = (ts_us // 1_000 // FUNDING_MS + 1) * FUNDING_MS
        body = {"E": event_us, "T": event_us, "e": "markPrice", "f": chance.choice(RATES), "i": f"{frame.mid:f}",
                "n": due_ms, "p": f"{price:.6f}", "s": name}  # fmt: skip
        return Entry("mark_update", body, ts_us, SESSION)
