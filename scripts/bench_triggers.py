"""
The compiled core on quotes that fire nothing, whatever rests: stop orders or trailing stops, 10^3 to 10^6 of them.

Question: does a quiet quote cost the same however many triggers rest, and does one that lifts every trailing stop?
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engine import core
from scripts import bench_streams as streams
from scripts.bench_venue import CHUNK, MARKET, START_US, BenchVenue
from shared import genesis, wire

KINDS = ("stop", "trailing")
ACCOUNT_FIRST = 100
ACCOUNT_TRIGGERS = 1_000
TRAIL_TICKS = (1_000, 60_000)
TRAIL_PPM = (2_000, 100_000)
LIMITS = {"triggers_open_max": ACCOUNT_TRIGGERS, "starting_balance": "1000000", "request_window_ms": 5_000}


class TriggerVenue(BenchVenue):
    """
    One market with `count` dormant orders of one kind, none of which the walk of quotes wakes.

    stop:     buy and sell stops as the stream draws them, up to ten per cent around the price.
    trailing: sells behind the bid, by ticks and by millionths in turn, placed while it falls: their peaks differ.
    """

    def __init__(self, kind: str, count: int, progress: Callable[[int], None] | None = None) -> None:
        self.states = core.allocate()
        self.batch = wire.Batch(CHUNK)
        self.ts_us = START_US
        self.update_id = self.request = 0
        self.random = np.random.default_rng(streams.SEED)
        self._one(
            "genesis",
            orjson.dumps(genesis.default("benchvenue", [genesis.MARKETS_DEFAULT[0]], **LIMITS)),
            session=False,
        )
        self._one("feed_status", b'{"status":"up","source":"bench"}')
        self._accounts(count // ACCOUNT_TRIGGERS + 1)
        stops = np.array(streams.triggers(count if kind == "stop" else 0), np.int64).reshape(-1, 2)
        batches = -(-count // CHUNK)
        for at in range(0, count, CHUNK):
            part = min(CHUNK, count - at)
            self._wait(10)
            self.quote(np.array([streams.MIDDLE_TICKS + (batches - at // CHUNK if kind == "trailing" else -1)]))
            records = self._stops(stops[at : at + part]) if kind == "stop" else self._trailing(part)
            records["account"] = ACCOUNT_FIRST + (at + np.arange(part)) // ACCOUNT_TRIGGERS
            records["ts_us"] = self.ts_us
            assert self._run(part) == 3 * part, (
                "a trigger was refused"
            )  # an answer, an order_changed, an account_changed each
            if progress is not None:
                progress(part)
        self.quote(np.array([streams.MIDDLE_TICKS - 1]))

    def _place(self, keys: bytes, count: int) -> np.ndarray:
        """Fill the batch with placements of 0.0001 of one shape."""
        body = b'"op":"order_place","market":"%s","side":"sell","qty":"0.0001",%s}' % (MARKET.encode(), keys)
        return self._instructions(body, count)

    def _stops(self, stops: np.ndarray) -> np.ndarray:
        """Fill the batch with stops of (side, trigger)."""
        records = self._place(b'"kind":"stop_market","price_trigger":"1"', len(stops))
        records["side"] = np.where(stops[:, 0] > 0, 1, 2)
        records["price_trigger_units"], records["price_trigger_e12"] = stops[:, 1] // 10, stops[:, 1] % 10 * 10**11
        return records

    def _trailing(self, count: int) -> np.ndarray:
        """Fill the batch with trailing sells, by ticks and by millionths in turn."""
        by_ppm = self._place(b'"kind":"trailing_stop","trail_ppm":1', 1)[0].copy()
        records = self._place(b'"kind":"trailing_stop","trail_ticks":1', count)
        requests, seqs = records["request_lo"].copy(), records["seq"].copy()
        records[1::2] = by_ppm
        records["request_lo"], records["seq"] = requests, seqs
        records["trail_ticks"][::2] = self.random.integers(*TRAIL_TICKS, len(records[::2]))
        records["trail_ppm"][1::2] = self.random.integers(*TRAIL_PPM, len(records[1::2]))
        return records

    def quote(self, bids: np.ndarray) -> float:
        """Apply quotes of these bids, two ticks wide; returns the seconds of one. Nothing may fire."""
        elapsed = 0.0
        self.ts_us += 1
        body = b'{"A":"1","B":"1","E":%d,"T":1,"a":"1","b":"1","e":"bookTicker","s":"%s","u":1}'
        fields = [(b"ts", b"%d" % self.ts_us), (b"session", b"bench")]
        fields.append((b"price_update", body % (self.ts_us, MARKET.encode())))
        for at in range(0, len(bids), CHUNK):
            part = bids[at : at + CHUNK]
            records = self._repeat(fields, len(part))
            for name, ticks in (("bid", part), ("ask", part + 2)):
                records[f"{name}_units"], records[f"{name}_e12"] = ticks // 10, ticks % 10 * 10**11
            records["update_id"] = self.update_id + 1 + np.arange(len(part))
            self.update_id += len(part)
            started = time.perf_counter()
            events = self._run(len(part))
            elapsed += time.perf_counter() - started
            assert events == 0, "a quiet quote fired"
        return elapsed / max(1, len(bids))

    def climb(self, count: int) -> float:
        """Return the seconds of one quote that is a tick above all before it."""
        bid = streams.MIDDLE_TICKS + streams.WALK_TICKS + 300
        return self.quote(bid + np.arange(count))


def measure(sizes: list[int], quotes: int, repeats: int, console: Console) -> tuple[dict[str, Any], Table]:
    """Return the figures and the table of quiet quotes past each kind and number of triggers, measured in turn."""
    venues = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("resting triggers", total=len(KINDS) * sum(sizes) + 1)
        for kind in KINDS:
            for size in sizes:
                venues[kind, size] = TriggerVenue(kind, size, lambda count: progress.advance(task, count))
    walk = np.array(streams.quotes(quotes))
    times: dict[tuple[str, int], list[float]] = {key: [] for key in venues}
    for _ in range(repeats + 1):
        for key, venue in venues.items():
            times[key].append(venue.quote(walk))
    quiet = {key: statistics.median(seconds[1:]) for key, seconds in times.items()}
    climbs = {size: venues["trailing", size].climb(quotes) for size in sizes}
    table = Table("resting", *(f"{kind}, ns" for kind in KINDS), "each quote lifts all trailing, ns", title="triggers")
    for size in sizes:
        row = [f"{quiet[kind, size] * 1e9:.0f}" for kind in KINDS]
        table.add_row(f"{size:,}", *row, f"{climbs[size] * 1e9:.0f}")
    flat = {kind: max(quiet[kind, n] for n in sizes) / min(quiet[kind, n] for n in sizes) for kind in KINDS}
    table.caption = ", ".join(f"{kind} flat within {ratio:.2f}×" for kind, ratio in flat.items())
    figures = {
        "quiet_ns": {kind: {str(size): round(quiet[kind, size] * 1e9, 1) for size in sizes} for kind in KINDS},
        "climb_ns": {str(size): round(seconds * 1e9, 1) for size, seconds in climbs.items()},
        "flatness": {kind: round(ratio, 3) for kind, ratio in flat.items()},
        "state_hash": {f"{kind} {size}": venue.state_hash() for (kind, size), venue in venues.items()},
    }
    return figures, table
