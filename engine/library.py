"""
The core in one object: the wire's JSON in, events out; for tests, notebooks and back-tests. No Redis, no clock.

    engine = Engine()
    instruction = {"v": 1, "account": 0, "request_id": "00" * 16, "op": "account_open", "owner": "11" * 16}
    engine.apply("user_instruction", instruction)
    engine.price("BTC_USDC_PERP", "60000.0", "60000.1")
"""

from collections.abc import Sequence
from typing import Any

import orjson

from engine import core
from shared import genesis, wire
from shared.codes import BatchStatus
from shared.wire_events import Encoder

START_US = 1_767_225_600_000_000  # 2026-01-01, a full minute
TICK_US = 1_000_000
JUMP_US = 5_000_000
SESSION = "library"
_WITH_SESSION = ("price_update", "mark_update", "feed_status")


class Engine:
    """
    One venue in memory. `seq` counts by itself; the clock ticks as the poller's would when ts moves on.

    markets: genesis entries (missing keys have the defaults); None for the four default markets.
    """

    def __init__(self, markets: list[dict[str, Any]] | None = None, ts_us: int = START_US, **venue_set: Any) -> None:
        self._states = core.allocate()
        self._batch = wire.Batch(1)
        self._encoder = Encoder([], (0, 0))
        self._update_id = 0
        self.ts_us = ts_us
        self.opening = self.apply("genesis", genesis.default("library0aa", markets, **venue_set))
        self.opening += self.apply("feed_status", {"status": "up", "source": "library"})

    @property
    def states(self) -> Any:
        """The state itself, for `engine.core`."""
        return self._states

    @property
    def seq(self) -> int:
        """The number of the last applied entry."""
        return int(core.header(self._states)["seq"])

    def apply(
        self, kind: str, body: dict[str, Any] | None = None, *, ts_us: int | None = None, session: str = SESSION
    ) -> list[dict[str, Any]]:
        """Apply one entry, after the ticks that are due by its time; return all events, in order."""
        moved = self.ts_us if ts_us is None else ts_us
        events = self._ticks(moved) if kind not in ("genesis", "clock_tick") else []
        fields = [(kind.encode(), orjson.dumps(body or {}))]
        if kind in _WITH_SESSION:
            fields.insert(0, (b"session", session.encode()))
        return events + self.apply_raw(fields, moved)

    def apply_raw(self, fields: Sequence[tuple[bytes, bytes]], ts_us: int | None = None) -> list[dict[str, Any]]:
        """Apply one entry given as its fields, with `ts` in front unless it is None there; no ticks."""
        stamped = list(fields) if ts_us is None else [(b"ts", b"%d" % ts_us), *fields]
        if ts_us is not None:
            self.ts_us = max(self.ts_us, ts_us)
        self._batch.clear()
        self._batch.add(self.seq + 1, stamped)
        events: list[dict[str, Any]] = []
        applied = 0
        while applied == 0:
            applied, count, status = core.apply_batch(self._states, self._batch, 0, 1)
            complete = status != BatchStatus.EVENTS_FULL
            for output in self._encoder.feed(core.events_of(self._states, count), complete):
                events += orjson.loads(output.data)
        return events

    def _ticks(self, ts_us: int) -> list[dict[str, Any]]:
        """Tick once a second up to ts_us; a long jump takes the two ticks that confirm it."""
        events: list[dict[str, Any]] = []
        tick_us = int(core.header(self._states)["tick_time_us"])
        if ts_us - tick_us > JUMP_US:
            events += self.apply("clock_tick", ts_us=ts_us - TICK_US)
            return events + self.apply("clock_tick", ts_us=ts_us)
        while tick_us + TICK_US <= ts_us:
            tick_us += TICK_US
            events += self.apply("clock_tick", ts_us=tick_us)
        return events

    def price(self, market: str, bid: str, ask: str, *, ts_us: int | None = None) -> list[dict[str, Any]]:
        """Apply a quote with the next update id."""
        moved = self.ts_us if ts_us is None else ts_us
        self._update_id += 1
        body = {"A": "1", "B": "1", "E": moved, "T": moved, "a": ask, "b": bid, "e": "bookTicker", "s": market}
        return self.apply("price_update", {**body, "u": self._update_id}, ts_us=ts_us)

    def state_hash(self) -> str:
        """Return the digest of the whole state."""
        return core.hashes(self._states)[0]

    def record_hash(self) -> str:
        """Return the digest of the book of record, which no refused entry changes."""
        return core.hashes(self._states)[1]

    def account(self, account_id: int) -> dict[str, int] | None:
        """Return one account's balances in micro-USDC, or None."""
        return core.account_of(self._states, account_id)

    def positions(self, account_id: int | None = None) -> list[dict[str, Any]]:
        """Return the positions of an account, or of all."""
        return core.positions_of(self._states, account_id)

    def orders(self, account_id: int | None = None) -> list[dict[str, Any]]:
        """Return the live orders of an account, or of all."""
        return core.orders_of(self._states, account_id)

    def invariants(self) -> list[str]:
        """Return what does not hold of the state; empty when it is sound."""
        return core.invariants(self._states)

    def restored(self) -> "Engine":
        """Return another engine that was restored from a snapshot of this one and goes on from the same entry."""
        twin = object.__new__(Engine)
        buffer = memoryview(bytearray(core.snapshot_size(self._states)))
        length = core.snapshot_copy(self._states, buffer)
        twin._states = core.restore(core.snapshot_document(buffer, length))
        twin._batch = wire.Batch(1)
        twin._encoder = Encoder(core.markets_of(twin._states), core.header(twin._states)["events_last"])
        twin._update_id, twin.ts_us, twin.opening = self._update_id, self.ts_us, []
        return twin
