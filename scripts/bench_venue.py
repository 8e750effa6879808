"""A venue in memory of any size, filled through its own entries, for measurements; every number from a fixed seed."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from engine import core
from engine.core.kernel import entry
from shared import genesis, wire
from shared.codes import BatchStatus, OrderStatus

START_US = 1_767_225_600_000_000
MARKET = "BTC_USDC_PERP"
BID_TICKS = 600_000
ACCOUNT_POSITIONS = 100
CHUNK = 5_000
SEED = 20_261_121
# A few accounts hold everything.
LIMITS: dict[str, Any] = {"positions_open_max": 1_000, "triggers_open_max": 1_000, "starting_balance": "1000000"}


@entry
def linear_scan(states, prices_ticks):
    """
    Return how many triggers and thresholds fire over a run of prices, by looking at every row for every price.

    Shapes: states STATE[1], prices_ticks int64[n].
    """
    state = states[0]
    fired = 0
    for index in range(len(prices_ticks)):
        price = prices_ticks[index]
        for row in range(1, state.orders_table.top + 1):
            order = state.orders[row]
            if order.status == OrderStatus.TRIGGER:
                above = (order.kind == 3) == (order.side == 1)
                trigger = order.price_trigger_ticks
                fired += int(price >= trigger) if above else int(price <= trigger)
        for row in range(1, state.positions_table.top + 1):
            position = state.positions[row]
            if position.account_id >= 100:
                value = position.lots * price - position.cost_e6 + position.margin_e6
                fired += int(value <= 0)
    return fired


class BenchVenue:
    """
    One market, `resting` SL and TP orders ten per cent around the price, two on each ticket.

    Shapes: positions = resting ÷ 2, spread over accounts of ACCOUNT_POSITIONS each; `net` gives each its own account.
    """

    def __init__(
        self,
        resting: int,
        progress: Callable[[int], None] | None = None,
        *,
        net: bool = False,
        limits: dict[str, Any] | None = None,
    ) -> None:
        self.states = core.allocate()
        self.batch = wire.Batch(CHUNK)
        self.ts_us = START_US
        self.update_id = 0
        self.request = 0
        self.random = np.random.default_rng(SEED)
        per_account = 1 if net else ACCOUNT_POSITIONS
        self._one("genesis", _genesis(limits or LIMITS), session=False)
        self._one("feed_status", b'{"status":"up","source":"bench"}')
        self._quotes(np.zeros(1, np.int64))
        self._accounts(max(200, resting // 2 // per_account + 1))
        left, account = resting // 2, 100
        while left > 0:
            count = min(left, CHUNK - CHUNK % per_account)
            self._open(count, account, per_account, net)
            account += -(-count // per_account)
            left -= count
            if progress is not None:
                progress(2 * count)

    def _one(self, kind: str, body: bytes, *, session: bool = True) -> None:
        """Apply one entry given as JSON."""
        self.batch.clear()
        fields = [(b"ts", b"%d" % self.ts_us)] + ([(b"session", b"bench")] if session else []) + [(kind.encode(), body)]
        self.batch.add(core.header(self.states)["seq"] + 1, fields)
        self._run(1)

    def _run(self, count: int) -> int:
        """Apply the first `count` commands of the batch; returns the events."""
        first = events = 0
        while first < count:
            applied, happened, status = core.apply_batch(self.states, self.batch, first, count - first)
            first, events = first + applied, events + happened
            assert status != BatchStatus.LEAD
        return events

    def _repeat(self, fields: list[tuple[bytes, bytes]], count: int) -> np.ndarray:
        """Fill the batch with `count` copies of one entry, seqs running on; returns the records to vary."""
        self.batch.clear()
        self.batch.add(1, fields)
        records = self.batch.commands[:count]
        records[:] = records[0]
        records["seq"] = core.header(self.states)["seq"] + 1 + np.arange(count)
        records["ts_us"] = self.ts_us
        return records

    def _instructions(self, body: bytes, count: int) -> np.ndarray:
        """Fill the batch with `count` user instructions of one shape, each with a request id of its own."""
        envelope = b'{"v":1,"account":100,"request_id":"%032x",' % 0
        records = self._repeat([(b"ts", b"%d" % self.ts_us), (b"user_instruction", envelope + body)], count)
        records["request_lo"] = self.request + 1 + np.arange(count)
        self.request += count
        return records

    def _wait(self, seconds: int) -> None:
        """Move log time on by a tick and the one that confirms it, so that requests are forgotten."""
        for step_us in ((seconds - 1) * 1_000_000, 1_000_000):
            self.ts_us += step_us
            self._one("clock_tick", b"{}", session=False)

    def _tick(self, seconds: int) -> None:
        """Wait, and renew the quote."""
        self._wait(seconds)
        self._quotes(np.zeros(1, np.int64))

    def minutes_pass(self) -> None:
        """Let the memory of requests empty itself, as it does wherever fewer than its capacity come in a window."""
        self._tick(260)

    def _accounts(self, count: int) -> None:
        for at in range(0, count, CHUNK):
            part = min(CHUNK, count - at)
            records = self._instructions(b'"op":"account_open","owner":"%032x"}' % 1, part)
            records["owner_lo"] = at + 1 + np.arange(part)
            self._run(part)

    def _open(self, count: int, account: int, per_account: int, net: bool) -> None:
        """Open positions at the touch, each with an SL and a TP of its own distance."""
        self._tick(130)
        tail = b'"take_profit":"66000.0","stop_loss":"54000.0"}'
        body = b'"op":"trade_create","market":"BTC_USDC_PERP","side":"buy","qty":"0.0001","leverage":5,' + tail
        if net:
            body = b'"op":"order_place","market":"BTC_USDC_PERP","side":"buy","kind":"market","qty":"0.001",' + tail
        records = self._instructions(body, count)
        records["account"] = account + np.arange(count) // per_account
        up, down = self.random.integers(100, 60_000, count), self.random.integers(100, 50_000, count)
        for name, ticks in (("take_profit", BID_TICKS + up), ("stop_loss", BID_TICKS - down)):
            records[f"{name}_units"], records[f"{name}_e12"] = ticks // 10, (ticks % 10) * 10**11
        happened = self._run(count)
        assert happened >= 6 * count, "an opening was refused"

    def _quotes(self, steps: np.ndarray) -> None:
        """Apply quotes at BID_TICKS + steps."""
        body = b'{"A":"1","B":"1","E":%d,"T":1,"a":"60000.1","b":"60000.0","e":"bookTicker","s":"BTC_USDC_PERP","u":1}'
        entry = [(b"ts", b"%d" % self.ts_us), (b"session", b"bench"), (b"price_update", body % self.ts_us)]
        self._quotes_fill(self._repeat(entry, len(steps)), steps)
        self._run(len(steps))

    def _quotes_fill(self, records: np.ndarray, steps: np.ndarray) -> None:
        """Write prices and update ids into quote records."""
        for name, ticks in (("bid", BID_TICKS + steps), ("ask", BID_TICKS + steps + 1)):
            records[f"{name}_units"], records[f"{name}_e12"] = ticks // 10, (ticks % 10) * 10**11
        records["update_id"] = self.update_id + 1 + np.arange(len(steps))
        self.update_id += len(steps)

    def quiet_ticks(self, count: int) -> float:
        """Return the seconds of one tick that moves inside the empty gap around the price."""
        elapsed = 0.0
        for _ in range(count // CHUNK):
            self._quotes(np.zeros(1, np.int64))
            self._quotes_fill(self._repeat_last(CHUNK), self.random.integers(-40, 41, CHUNK))
            started = time.perf_counter()
            events = self._run(CHUNK)
            elapsed += time.perf_counter() - started
            assert events == 0, "a quiet tick fired"
        return elapsed / (count // CHUNK * CHUNK)

    def _repeat_last(self, count: int) -> np.ndarray:
        """Fill the batch with copies of the quote applied last, seqs running on."""
        records = self.batch.commands[:count]
        records[:] = records[0]
        records["seq"] = core.header(self.states)["seq"] + 1 + np.arange(count)
        return records

    def linear_ticks(self, count: int) -> float:
        """Return the seconds of one tick of the linear reference."""
        prices = BID_TICKS + self.random.integers(-40, 41, count)
        linear_scan(self.states, prices[:1])
        started = time.perf_counter()
        linear_scan(self.states, prices)
        return (time.perf_counter() - started) / count

    def opens_and_closes(self, count: int) -> tuple[float, float]:
        """Return the seconds of one open with SL and TP, and of one close."""
        opening = closing = 0.0
        for _ in range(count // CHUNK):
            self._tick(260)
            first = int(self.states.view(np.ndarray)[0]["venue"]["position_next"])
            tail = b'"take_profit":"66000.0","stop_loss":"54000.0"}'
            body = b'"op":"trade_create","market":"BTC_USDC_PERP","side":"buy","qty":"0.0001","leverage":5,' + tail
            records = self._instructions(body, CHUNK)
            records["account"] = 100 + np.arange(CHUNK) % 200
            started = time.perf_counter()
            happened = self._run(CHUNK)
            opening += time.perf_counter() - started
            assert happened >= 6 * CHUNK, "an opening was refused"
            records = self._instructions(b'"op":"trade_close","position_id":1}', CHUNK)
            records["account"] = 100 + np.arange(CHUNK) % 200
            records["position_id"] = first + np.arange(CHUNK)
            started = time.perf_counter()
            self._run(CHUNK)
            closing += time.perf_counter() - started
        done = count // CHUNK * CHUNK
        return opening / done, closing / done

    def state_hash(self) -> str:
        """Return the digest of the state as it stands; the same for everybody after the same run."""
        return core.hashes(self.states)[0]


def _genesis(limits: dict[str, Any]) -> bytes:
    """Return the genesis of a venue of these limits."""
    return orjson.dumps(genesis.default("benchvenue", None, **limits))
