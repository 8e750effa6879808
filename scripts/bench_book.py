"""
The compiled core on a stream of orders: users' book or outside quote, any number of orders resting, records in batches.

Question: how many placements, cancels and fills a second does one core make with 10^5 orders resting, and are its fills
those of a plain price–time book? Everything an instruction costs is in: request memory, margins, reserves, events.
"""

import hashlib
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from rich.table import Table

from engine import core
from scripts import bench_streams as streams
from scripts.bench_venue import CHUNK, MARKET, START_US, BenchVenue
from shared import genesis, wire
from shared.codes import BatchStatus, EventKind, ResultCode

ACCOUNT_FIRST = 100
MAKER_ORDERS = 50  # resting orders of one account, about
TAKERS = 100
STEP_US = 50  # of log time a command: 100 000 ids are remembered at a time, and forgotten one by one
LIMITS = {"starting_balance": "1000000", "request_window_ms": 5_000}


@dataclass
class Measured:
    """What one part of a stream did to the core; `digest` is of its fills, in order."""

    per_s: float
    operations: int
    fills: int
    lots: int
    digest: str
    state_hash: str


class BookVenue(BenchVenue):
    """
    One market of a given liquidity, its quote one tick each side of the middle, filled with a stream's resting orders.

    Order ids count up as the stream's do, makers and takers are different accounts, so that nobody meets himself.
    """

    def __init__(self, liquidity: str, resting: int) -> None:
        self.states = core.allocate()
        self.batch = wire.Batch(CHUNK)
        self.ts_us = START_US
        self.update_id = self.request = 0
        self.makers = -(-resting // MAKER_ORDERS) + 1
        self._one("genesis", orjson.dumps(_genesis(liquidity)), session=False)
        self._one("feed_status", b'{"status":"up","source":"bench"}')
        self._renew()
        self._accounts(self.makers + TAKERS)
        place = b'"op":"order_place","market":"%s","side":"buy","kind":"limit","qty":"1","price":"1"}' % MARKET.encode()
        self._templates = {
            streams.PLACE: self._instructions(place, 1)[0].copy(),
            streams.CANCEL: self._instructions(b'"op":"order_cancel","order_id":1}', 1)[0].copy(),
        }
        self._templates[streams.TAKE] = self._templates[streams.PLACE]
        self.taken = 0

    def _renew(self) -> None:
        """Tick and quote, so that log time may run on and prices stay fresh."""
        self.update_id += 1
        self._one("clock_tick", b"{}", session=False)
        body = b'{"A":"1000","B":"1000","E":%d,"T":1,"a":"60000.1","b":"59999.9","e":"bookTicker","s":"%s","u":%d}'
        self._one("price_update", body % (self.ts_us, MARKET.encode(), self.update_id))

    def prepare(self, rows: np.ndarray) -> int:
        """Renew the prices, then fill the batch with rows of a stream; returns how many."""
        self._renew()
        count = len(rows)
        kinds, ids, sides, ticks, lots = rows.T
        records = self.batch.commands[:count]
        for kind, template in self._templates.items():
            records[kinds == kind] = template
        records["seq"] = core.header(self.states)["seq"] + 1 + np.arange(count)
        records["ts_us"] = self.ts_us + STEP_US * (1 + np.arange(count))
        records["request_lo"] = self.request + 1 + np.arange(count)
        self.ts_us += STEP_US * count
        self.request += count
        takes, cancels = kinds == streams.TAKE, kinds == streams.CANCEL
        # A taker gives back what it took with the next order: pairs share an account.
        taker = self.taken + np.cumsum(takes) - 1
        self.taken += int(takes.sum())
        accounts = np.where(takes, self.makers + taker // 2 % TAKERS, ids % self.makers)
        records["account"] = ACCOUNT_FIRST + accounts
        records["order_id"] = np.where(cancels, ids, 0)
        for name, values in (
            ("side", np.where(sides > 0, 1, 2)),
            ("qty_units", lots // 100_000),
            ("qty_e12", lots % 100_000 * 10**7),
            ("price_units", ticks // 10),
            ("price_e12", ticks % 10 * 10**11),
        ):
            records[name] = np.where(cancels, 0, values)
        return count

    def run_timed(self, rows: np.ndarray) -> float:
        """Apply rows in batches; returns the seconds spent inside the core."""
        seconds = 0.0
        for at in range(0, len(rows), CHUNK):
            count = self.prepare(rows[at : at + CHUNK])
            started = time.perf_counter()
            self._run(count)
            seconds += time.perf_counter() - started
        return seconds

    def run_read(self, rows: np.ndarray) -> tuple[int, int, str]:
        """Apply rows and read every event; returns (fills, lots, their digest) as the stream counts them."""
        fills = lots = 0
        digest = hashlib.sha256()
        for at in range(0, len(rows), CHUNK):
            count, first = self.prepare(rows[at : at + CHUNK]), 0
            while first < count:
                applied, happened, status = core.apply_batch(self.states, self.batch, first, count - first)
                assert status in (BatchStatus.DONE, BatchStatus.EVENTS_FULL, BatchStatus.KEYFRAME)
                events = core.events_of(self.states, happened)
                for taker, maker, price, part in fills_of(events[events["kind"] == EventKind.FILL]):
                    digest.update(b"%d,%d,%d,%d;" % (taker, maker, price, part))
                    fills, lots = fills + 1, lots + part
                first += applied
        return fills, lots, digest.hexdigest()

    def accepted(self) -> int:
        """Return how many instructions were accepted."""
        return int(self.states.view(np.ndarray)[0]["header"]["results"][ResultCode.OK])


def fills_of(events: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return (taker, maker, price in ticks, lots) of FILL events; the maker is 0 where the house was."""
    fills: list[tuple[int, int, int, int]] = []
    for event in events:
        order_id, lots = int(event["order_id"]), int(event["qty_lots"])
        if event["maker"]:
            fills[-1] = (fills[-1][0], order_id, *fills[-1][2:])
        else:
            fills.append((order_id, 0, price_of(event), lots))
    return fills


def price_of(event: Any) -> int:
    """Return the one price in ticks at which a fill was made; an event holds ten-thousandths of a tick."""
    return int(event["price_average_e4"]) // 10_000


def _genesis(liquidity: str) -> dict[str, Any]:
    """Return the genesis of a venue with one market."""
    market = {**genesis.MARKETS_DEFAULT[0], "liquidity": liquidity}
    assert market["market"] == MARKET
    return genesis.default("benchvenue", [market], **LIMITS)


def measure(stream: streams.Stream, liquidity: str, repeats: int) -> Measured:
    """Return the median rate of runs upon fresh books, after one whose every event was read and compared."""
    load = np.array(stream.load, np.int64).reshape(-1, streams.OPERATION_WORDS)
    rows = np.array(stream.operations, np.int64)
    found, state_hash, rates = (0, 0, ""), "", []
    for repeat in range(repeats + 1):
        venue = BookVenue(liquidity, len(load))
        venue.run_timed(load)
        before = venue.accepted()
        if repeat == 0:
            found, state_hash = venue.run_read(rows), ""
        else:
            rates.append(len(rows) / venue.run_timed(rows))
        assert venue.accepted() - before == len(rows), "an order was refused"
        assert state_hash in ("", venue.state_hash()), "two runs differ"
        state_hash = venue.state_hash()
    expected = stream.expected
    assert found == (expected.fills, expected.lots, expected.digest.hexdigest()), "not the fills of a plain book"
    return Measured(statistics.median(rates), len(rows), *found, state_hash)


def table_of(measured: dict[str, Measured]) -> tuple[dict[str, Any], Table]:
    """Return the figures and the table of some parts."""
    table = Table("book", "orders and cancels/s", "fills/s", "fills read", "state", title="orders upon a book")
    figures = {}
    for name, part in measured.items():
        fills_per_s = part.per_s * part.fills / part.operations
        table.add_row(name, f"{part.per_s:,.0f}", f"{fills_per_s:,.0f}", f"{part.fills:,}", part.state_hash[:12])
        figures[name] = {
            "per_s": round(part.per_s),
            "fills_per_s": round(fills_per_s),
            "fills": part.fills,
            "lots": part.lots,
            "fills_hash": part.digest,
            "state_hash": part.state_hash,
        }
    return figures, table
