"""
Event records -> the bytes of events entries: canonical JSON, an entry's events in chunks of at most 512; pure.

An event record carries its market's scales, so encoding needs nothing but the record and the market's name.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from shared import records as r
from shared import units
from shared import wire_events_accounts as accounts
from shared import wire_events_markets as markets
from shared import wire_events_orders as orders
from shared.codes import ACCOUNT_FIRST, EventKind, Op, ResultCode
from shared.wire_events_text import ACCOUNT, KIND, MARKET, Words, get

EVENTS_BASE = 10**15
EVENTS_CHUNK = 512


class Output(NamedTuple):
    """One events entry, complete: its id is (10¹⁵ + seq)-chunk, its fields t, p, a and d."""

    seq: int
    chunk: int
    log_time_us: int
    previous: bytes
    accounts: bytes
    data: bytes

    @property
    def id(self) -> bytes:
        """Return the explicit id that this entry has in the events stream."""
        return b"%d-%d" % (EVENTS_BASE + self.seq, self.chunk)

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return the fields of the stream entry, in order."""
        return [
            (b"t", b"%d" % self.log_time_us),
            (b"p", self.previous),
            (b"a", self.accounts),
            (b"d", self.data),
        ]


class Encoder:
    """
    Turns event records into events entries, keeping the chain of ids and the entry that is still open.

    `events_last` is (seq, chunk) of the last events entry before the first record, (0, 0) before genesis.
    """

    def __init__(self, names: list[str], events_last: tuple[int, int]) -> None:
        self._names = dict(enumerate(names, 1))
        self._last = events_last
        self._open: list[Words] = []
        self._results: list[Words] = []  # of the commands of the open entry's batch

    def feed(self, events: np.ndarray, complete: bool = True) -> list[Output]:
        """
        Return the entries that these records complete.

        Shapes: EVENT[n] in order. `complete` is False when the last entry goes on in the next call (EVENTS_FULL).
        """
        outputs: list[Output] = []
        words = np.ascontiguousarray(events).view(np.int64).reshape(-1, r.EVENT_WORDS).tolist()
        for event in words:
            if self._open and self._open[0][0] != event[0]:
                outputs += self._entry()
            (self._results if event[KIND] == EventKind.BATCH_RESULT else self._open).append(event)
        if complete and self._open:
            outputs += self._entry()
        return outputs

    def _entry(self) -> list[Output]:
        """Encode and forget the open entry; only what is printed counts for its chunks."""
        events, self._open = self._open, []
        outputs = []
        seq, log_time_us = events[0][0], events[0][1]
        for chunk, at in enumerate(range(0, len(events), EVENTS_CHUNK)):
            part = events[at : at + EVENTS_CHUNK]
            data = "[" + ",".join([self._event(event) for event in part]) + "]"
            named = {event[ACCOUNT] for event in part if event[KIND] in _OF_ACCOUNT}
            ids = sorted(account for account in named if account >= ACCOUNT_FIRST)
            last_seq, last_chunk = self._last
            previous = b"%d-%d" % (EVENTS_BASE + last_seq, last_chunk) if last_seq else b"0-0"
            touched = ",".join(map(str, ids)).encode()
            outputs.append(Output(seq, chunk, log_time_us, previous, touched, data.encode()))
            self._last = (seq, chunk)
        assert not self._results, "results of a batch that no answer counts"
        return outputs

    def _event(self, event: Words) -> str:
        """Return one event's JSON object."""
        kind = event[KIND]
        if kind == EventKind.ORDER_RESPONSE:
            return orders.order_response(event, self._results_of(event))
        if kind == EventKind.MARKET_CHANGED:
            at = markets.CONFIG
            self._names[event[MARKET]] = units.text_of_words(event[at : at + r.NAME_WORDS])
        return _ENCODERS[kind](event, self._names.get(event[MARKET], ""))

    def _results_of(self, event: Words) -> list[Words]:
        """Return and forget the results that belong to an answer: an accepted batch has one for each command."""
        if get(event, "op") != Op.BATCH or get(event, "result") != ResultCode.OK:
            return []
        results, self._results = self._results, []
        assert len(results) == get(event, "parts")
        return results


_ENCODERS: dict[int, Callable[[Words, str], str]] = {
    EventKind.ORDER_CHANGED: orders.order_changed,
    EventKind.CLOSED_ORDER: orders.closed_order,
    EventKind.FILL: orders.fill,
    EventKind.TRADE: orders.trade,
    EventKind.POSITION_CHANGED: accounts.position_changed,
    EventKind.CLOSED_POSITION: accounts.closed_position,
    EventKind.ACCOUNT_CHANGED: accounts.account_changed,
    EventKind.LEDGER: accounts.ledger,
    EventKind.TRIGGER_FIRED: orders.trigger_fired,
    EventKind.LIQUIDATION: accounts.liquidation,
    EventKind.DEFICIT: accounts.deficit,
    EventKind.MARGIN_CALL: accounts.margin_call,
    EventKind.ADL: accounts.adl,
    EventKind.ACCOUNT_GUARDS_CHANGED: accounts.account_guards_changed,
    EventKind.MARKET_CHANGED: markets.market_changed,
    EventKind.ACCOUNT_OPENED: accounts.account_opened,
    EventKind.CANDLE: markets.candle,
    EventKind.VENUE_CHANGED: markets.venue_changed,
    EventKind.INSURANCE_CHANGED: markets.insurance_changed,
    EventKind.ACCOUNT_MARKET_CHANGED: accounts.account_market_changed,
    EventKind.FUNDING: accounts.funding,
    EventKind.FUNDING_SETTLED: markets.funding_settled,
    EventKind.FUNDING_SKIPPED: markets.funding_skipped,
}
_OF_ACCOUNT = (frozenset(_ENCODERS) | {EventKind.ORDER_RESPONSE}) - {
    EventKind.TRADE,
    EventKind.MARKET_CHANGED,
    EventKind.CANDLE,
    EventKind.VENUE_CHANGED,
    EventKind.INSURANCE_CHANGED,
    EventKind.FUNDING_SETTLED,
    EventKind.FUNDING_SKIPPED,
}
