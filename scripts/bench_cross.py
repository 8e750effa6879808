"""
Accounts with cross positions, a hundred thousand of them: quiet quotes beside them, and a fall.

Questions: what does a quote cost beside them that comes near nobody, against one without them? When one of their
markets falls by a tenth, tick by tick, how often is an account looked at, how long does that take, and how much less is
it than looking at every account on every tick?
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
from engine.core import cross
from engine.core.kernel import entry
from scripts.bench_venue import CHUNK, SEED, START_US, BenchVenue
from shared import genesis, wire

MARKETS = ("BTC_USDC_PERP", "ETH_USDC_PERP")
BIDS = {"BTC_USDC_PERP": 600_000, "ETH_USDC_PERP": 300_000}
DECIMALS = {"BTC_USDC_PERP": 1, "ETH_USDC_PERP": 2}
NOTIONAL = (10_000, 38_000)  # of each of the two positions, USDC; every account has 5 000
LIMITS = {"request_window_ms": 5_000, "starting_balance": "5000"}
SCANS = 20


@entry
def scan(states):
    """Return how many accounts are liquidatable, by looking at every one."""
    state = states[0]
    found = 0
    for row in range(1, state.accounts_table.top + 1):
        if cross.holds(state, row) and cross.account_health_e6(state, row) <= 0:
            found += 1
    return found


class CrossVenue(BenchVenue):
    """Two markets and `accounts` accounts, each long in both by cross margin, at four to fifteen times its money."""

    def __init__(self, accounts: int, progress: Callable[[int], None] | None = None) -> None:
        self.states = core.allocate()
        self.batch = wire.Batch(CHUNK)
        self.ts_us = START_US
        self.update_id = self.request = 0
        self.random = np.random.default_rng(SEED)
        self.accounts = accounts
        markets = [market for market in genesis.MARKETS_DEFAULT if market["market"] in MARKETS]
        self._one("genesis", orjson.dumps(genesis.default("benchvenue", markets, **LIMITS)), session=False)
        self._one("feed_status", b'{"status":"up","source":"bench"}')
        for name in MARKETS:
            self.quote(name, np.zeros(1, np.int64))
        self._accounts(accounts)
        for name in MARKETS:
            for at in range(0, accounts, CHUNK):
                part = min(CHUNK, accounts - at)
                self._wait(10)
                for each in MARKETS:
                    self.quote(each, np.zeros(1, np.int64))
                self._choose(name, at, part)
                self._buy(name, at, part)
                if progress is not None:
                    progress(part)

    def _choose(self, name: str, at: int, count: int) -> None:
        """Let so many accounts have cross margin in a market, and twenty times leverage."""
        for keys in (b'"op":"margin_mode_set","mode":"cross"', b'"op":"leverage_set","leverage":20'):
            records = self._instructions(b'%s,"market":"%s"}' % (keys, name.encode()), count)
            records["account"] = 100 + at + np.arange(count)
            assert self._run(count) == 3 * count, "a choice was refused"

    def _buy(self, name: str, at: int, count: int) -> None:
        """Let so many accounts buy at the market, each for a notional of its own."""
        body = b'"op":"order_place","market":"%s","side":"buy","kind":"market","qty":"1"}' % name.encode()
        records = self._instructions(body, count)
        records["account"] = 100 + at + np.arange(count)
        price = BIDS[name] / 10 ** DECIMALS[name]
        lots = (self.random.integers(*NOTIONAL, count) / price * 100).astype(np.int64) + 1
        records["qty_units"], records["qty_e12"] = lots // 100, lots % 100 * 10**10
        assert self._run(count) >= 6 * count, "an opening was refused"

    def quote(self, name: str, steps: np.ndarray) -> float:
        """Apply quotes of a market so many ticks from where it began; returns the seconds of all."""
        body = b'{"A":"1","B":"1","E":%d,"T":1,"a":"1","b":"1","e":"bookTicker","s":"%s","u":1}'
        fields = [(b"ts", b"%d" % self.ts_us), (b"session", b"bench")]
        fields.append((b"price_update", body % (self.ts_us, name.encode())))
        scale = 10 ** DECIMALS[name]
        elapsed = 0.0
        for at in range(0, len(steps), CHUNK):
            bids = BIDS[name] + steps[at : at + CHUNK]
            records = self._repeat(fields, len(bids))
            for side, ticks in (("bid", bids), ("ask", bids + 1)):
                records[f"{side}_units"], records[f"{side}_e12"] = ticks // scale, ticks % scale * (10**12 // scale)
            records["update_id"] = self.update_id + 1 + np.arange(len(bids))
            self.update_id += len(bids)
            started = time.perf_counter()
            events = self._run(len(bids))
            elapsed += time.perf_counter() - started
            assert events == 0, "a quote fired something"
        return elapsed

    def evaluations(self) -> int:
        """Return how many looks at an account there have been."""
        return int(self.states.view(np.ndarray)[0]["evaluations"])

    def quiet(self, count: int) -> float:
        """Return the seconds of one quote that moves by a few ticks around the price, near nobody's band."""
        before = self.evaluations()
        self.quote(MARKETS[0], np.zeros(1, np.int64))
        seconds = self.quote(MARKETS[0], self.random.integers(-40, 41, count)) / count
        assert self.evaluations() == before, "a quiet quote came near somebody"
        return seconds

    def fall(self, thousandths: int) -> tuple[int, float]:
        """Let the first market fall by so many thousandths, a tick a quote; returns the quotes and their seconds."""
        ticks = BIDS[MARKETS[0]] * thousandths // 1_000
        return ticks, self.quote(MARKETS[0], -1 - np.arange(ticks))

    def scan_seconds(self) -> float:
        """Return the seconds of looking at every account once."""
        scan(self.states)
        started = time.perf_counter()
        for _ in range(SCANS):
            assert scan(self.states) == 0
        return (time.perf_counter() - started) / SCANS


def measure(accounts: int, quotes: int, repeats: int, console: Console) -> tuple[dict[str, Any], Table]:
    """Return figures and table of quiet quotes with and without cross accounts, measured in turn, and of a fall."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("cross accounts", total=2 * accounts + 1)
        crowded = CrossVenue(accounts, lambda count: progress.advance(task, count))
    venues = {"without": CrossVenue(0), "beside": crowded}
    times: dict[str, list[float]] = {name: [] for name in venues}
    for _ in range(repeats + 1):
        for name, venue in venues.items():
            times[name].append(venue.quiet(quotes))
    quiet = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    naive = crowded.scan_seconds()
    before = crowded.evaluations()
    falls, seconds = crowded.fall(100)  # thousandths
    looks = crowded.evaluations() - before
    table = Table("quiet quote, ns", "beside, ns", "ratio", "fall of 10 %: quotes", "looks", "s", "naive, s", "ratio")
    table.title = f"{accounts:,} accounts with two cross positions"
    row = [
        f"{quiet['without'] * 1e9:.0f}",
        f"{quiet['beside'] * 1e9:.0f}",
        f"{quiet['beside'] / quiet['without']:.2f}×",
    ]
    row += [f"{falls:,}", f"{looks:,}", f"{seconds:.2f}", f"{naive * falls:,.1f}", f"{naive * falls / seconds:,.0f}×"]
    table.add_row(*row)
    figures = {
        "accounts": accounts,
        "quiet_ns": {name: round(value * 1e9, 1) for name, value in quiet.items()},
        "quiet_ratio": round(quiet["beside"] / quiet["without"], 3),
        "fall_quotes": falls,
        "fall_looks": looks,
        "fall_s": round(seconds, 3),
        "scan_s": round(naive, 6),
        "naive_ratio": round(naive * falls / seconds, 1),
        "looks_ratio": round(accounts * falls / max(1, looks), 1),
        "state_hash": crowded.state_hash(),
    }
    return figures, table
