"""
Entries of the log go in, outputs come out: the state with what is needed to apply a batch to it.

Everything above this file sees a Machine and knows no market; everything below it (shared.wire, engine.core) knows no
stream. The only rule of its own is that numbers have no gaps.
"""

import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine import core
from engine.core.kernel import JIT
from engine.documents import DocumentUnreadable
from engine.encode.encoded import EventEncoder
from engine.fired import fired_find
from engine.witness import gap_refusal
from shared import records as r
from shared import units
from shared.codes import BatchStatus
from shared.stream_keys import follows, log_digest
from shared.wire import Batch
from shared.wire_events import Encoder

BATCH_MAX = 4_000
WIRE_DEFAULT = "fast" if JIT else "plain"
FIRED_MAX = 1_000  # prices that fired a trigger, of one call
PART_EVENTS = 512  # events after which they are encoded: a record is long, and they should still be in the cache
STATUSES = {int(status): status for status in BatchStatus}
DONE, EVENTS_FULL = int(BatchStatus.DONE), int(BatchStatus.EVENTS_FULL)
EVENT_BYTES = r.EVENT.itemsize
CHECKPOINT_NONE = (0, "", "")


class Header(NamedTuple):
    """The part of the state that the shell acts on."""

    seq: int
    log_time_us: int
    rules: int
    leader: str
    lead_seq: int
    events_last: tuple[int, int]
    venue: str
    feed_session: str
    keyframe_slot: int
    checkpoint: tuple[int, str, str]  # seq, state_hash, record_hash of the newest `checkpoint` applied


class Step(NamedTuple):
    """What applying a part of a batch gave: up to an entry after which the shell has to act, or to its end."""

    status: BatchStatus
    seq: int
    outputs: Sequence[Any]
    fired: Sequence[tuple[int, int]] = ()  # (seq, log time) of the prices that fired a trigger


class Machine:
    """One state and what applies entries to it; `wire` says whether compiled code reads and writes their texts."""

    def __init__(self, states: Any = None, capacity: int = BATCH_MAX, wire: str = WIRE_DEFAULT) -> None:
        self.states = core.allocate() if states is None else states
        self.fast = wire == "fast"
        self.batch = Batch(capacity)
        self.seqs = self.batch.commands["seq"]
        self.events = core.events_of(self.states, sys.maxsize)  # all that there is room for
        self.part = PART_EVENTS
        self.viewed: tuple[Any, Any, tuple[np.ndarray, ...]] | None = None
        self.event_words = self.events.view(np.int64).reshape(-1, r.EVENT_WORDS)
        self.event_bytes = self.events.view(np.uint8)
        self.fired = np.empty((FIRED_MAX, 2), np.int64)
        self.at_once: Callable[[Any], None] | None = None  # is shown what a whole batch causes before it is noted
        encoder: Any = EventEncoder if self.fast else Encoder
        self.encoder = encoder(core.markets_of(self.states), core.header(self.states)["events_last"])
        self.checkpoint = CHECKPOINT_NONE
        self.entries: Sequence[Any] = []
        self.entries_count = 0
        self.applied_count = 0  # of the batch
        self.seq = self.header().seq
        self.last_entry: Callable[[], Any] | None = None  # gives the entry `seq`; None before the first batch
        self.tick_seq = 0  # the newest `clock_tick` loaded

    def header(self) -> Header:
        """Return the fields that the shell acts on, as they are after the last step."""
        header = {**core.header(self.states), "checkpoint": self.checkpoint}
        return Header(**{name: header[name] for name in Header._fields})

    def last_digest(self) -> str:
        """Return the digest of the entry applied last; empty when none was applied since the start."""
        return log_digest(self.last_entry()).hex() if self.last_entry is not None else ""

    def load(self, entries: Sequence[Any]) -> None:
        """Take as many entries as the batch holds; raises Refusal when their numbers do not go on without a gap."""
        assert self.applied_count == self.entries_count, "the batch before was not applied to its end"
        self.batch.clear()
        # Of bytes: a reply of Redis, lines of the archive.
        batch_fill = getattr(entries, "batch_fill", None) if self.fast else None
        if batch_fill is not None:
            filled = batch_fill(self.batch, self.seq)
            if filled.gap is not None:
                raise gap_refusal(*filled.gap)
            self.tick_seq = filled.tick_seq or self.tick_seq
            self.entries, self.entries_count, self.applied_count = entries, len(entries), 0
            return
        seq = self.seq
        for entry in entries:
            if entry.seq != seq + 1 and not follows(seq, entry):
                raise gap_refusal(seq, entry.seq)
            seq = entry.seq
            self.batch.add(seq, entry.fields)
            if entry.fields and entry.fields[-1][0] == b"clock_tick":
                self.tick_seq = seq
        self.entries, self.entries_count, self.applied_count = entries, len(entries), 0

    def step(self, most: int | None = None) -> Step | None:
        """Apply on to the next entry after which the shell has to act, at most so many; None at the batch's end."""
        outputs: Any = None
        fired: list[tuple[int, int]] = []
        cut_seq = 0
        end = self.entries_count if most is None else min(self.entries_count, self.applied_count + most)
        while self.applied_count < end:
            count = min(self.part, end - self.applied_count)
            applied, events_count, code = core.apply_views(self.states, self.views(), self.applied_count, count)
            found = self.encoded(events_count, code != EVENTS_FULL)
            if self.at_once is not None and applied == self.entries_count and code == DONE:
                self.at_once(found)
            if events_count and (count := fired_find(self.event_words, events_count, self.fired)):
                fired += [(seq, time_us) for seq, time_us in self.fired[:count].tolist() if seq != cut_seq]
            if code == EVENTS_FULL:  # of an entry that goes on in the next call the first part has told
                cut_seq = int(self.events["seq"][events_count - 1])
            if outputs is None:
                outputs = found
            else:
                outputs.extend(found)
            self.applied_count += applied
            self.part = min(BATCH_MAX, PART_EVENTS * max(applied, 1) // max(events_count, 1) + 1)
            if code != EVENTS_FULL and (code != DONE or self.applied_count == end):
                return self.step_end(STATUSES[code], outputs, fired)
        return None

    def encoded(self, events_count: int, complete: bool) -> Sequence[Any]:
        """Return the outputs that the last call's events complete."""
        found: Sequence[Any]
        if self.fast:
            found = self.encoder.feed_bytes(self.event_bytes[: events_count * EVENT_BYTES], complete)
        else:
            found = self.encoder.feed(self.events[:events_count], complete)
        return found

    def views(self) -> tuple[np.ndarray, ...]:
        """Return the batch as the core takes it, made again only where it has other arrays."""
        parts, configs = self.batch.parts, self.batch.configs
        if self.viewed is None or self.viewed[0] is not parts or self.viewed[1] is not configs:
            self.viewed = parts, configs, core.batch_views(self.batch)
        return self.viewed[2]

    def step_end(self, status: BatchStatus, outputs: Sequence[Any], fired: list[tuple[int, int]]) -> Step:
        """Return the step that ends with the entry applied last."""
        assert self.applied_count > 0
        self.seq = int(self.seqs[self.applied_count - 1])
        self.last_entry = entry_kept(self.entries, self.applied_count - 1)
        if status == BatchStatus.CHECKPOINT:
            record = self.batch.commands[self.applied_count - 1]
            self.checkpoint = (
                int(record["checkpoint_seq"]),
                hex_of_words(record["state_hash"]),
                hex_of_words(record["record_hash"]),
            )
        return Step(status, self.seq, outputs, fired)

    def hashes(self) -> tuple[str, str]:
        """Return the state hash and the record hash."""
        return core.hashes(self.states)

    def copy_size_max(self) -> int:
        """Return how many bytes a copy can ever take."""
        return int(self.states.nbytes) + 1_000_000

    def copy_ready(self, buffer: memoryview) -> int:
        """Return how many bytes a copy would take now, with all that it runs loaded."""
        return core.snapshot_ready(self.states, buffer)

    def copy(self, buffer: memoryview) -> int:
        """Copy the live rows; return how many bytes they took."""
        return core.snapshot_copy(self.states, buffer)

    def market_views(self) -> dict[str, dict[str, Any]]:
        """Return what the market views show, by market."""
        return core.market_views(self.states)

    def adl_scores(self, market: str) -> tuple[Any, Any]:
        """Return the scores of a market's queue of deleveraging, longs and shorts, each descending."""
        return core.adl_scores(self.states, core.markets_of(self.states).index(market))

    def book_levels(self, market: str) -> dict[str, Any]:
        """Return users' resting orders of a market by price, the best first."""
        return core.book_levels(self.states, core.markets_of(self.states).index(market))

    def watched(self) -> dict[str, Any]:
        """Return what operators watch of the whole state: counts, who is nearest to liquidation, the house, funds."""
        states = self.states
        seen = {"nearest": core.watch_nearest(states), "house": core.watch_house(states)}
        return core.watch_counts(states) | seen | {"funds": core.watch_funds(states)}

    def liquidation_ladder(self, market_row: int) -> tuple[dict[str, Any], int]:
        """Return how much would be liquidated by price in a market, and how many positions were met."""
        return core.watch_ladder(self.states, market_row)

    def money_rows(self) -> int:
        """Return how many rows the sum of all money adds up."""
        return core.watch_money_rows(self.states)

    def money_sum_e6(self) -> int:
        """Return the sum of all money, which is 0."""
        return core.watch_money_e6(self.states)

    def account_view(self, account_id: int) -> dict[str, Any] | None:
        """Return one account with its positions and orders for people, None when there is none."""
        account = core.account_of(self.states, account_id)
        if account is None:
            return None
        return {
            "account": account_id,
            "free": units.decimal_text(account["free_e6"] * 10**6, 6),
            "reserved": units.decimal_text(account["reserved_e6"] * 10**6, 6),
            "positions": core.positions_of(self.states, account_id),
            "orders": core.orders_of(self.states, account_id),
        }

    def invariants_broken(self) -> list[str]:
        """Return a sentence for everything that does not hold of the state."""
        return core.invariants(self.states)


def entry_kept(entries: Sequence[Any], index: int) -> Callable[[], Any]:
    """Return what gives one of a batch's entries later, when the bytes of the batch are others."""
    kept = getattr(entries, "kept", None)
    if kept is not None:
        later: Callable[[], Any] = kept(index)
        return later
    entry = entries[index]
    return lambda: entry


def machine_restore(content: dict[str, Any] | None, wire: str = WIRE_DEFAULT) -> Machine:
    """Return the machine of a document's content, or of the empty state; raises DocumentUnreadable."""
    if content is None:
        return Machine(wire=wire)
    try:
        return Machine(core.restore(content), wire=wire)
    except (core.SnapshotMismatch, KeyError, ValueError, TypeError) as error:
        raise DocumentUnreadable(f"the state does not verify: {error}") from error


def hex_of_words(words: Any) -> str:
    """Return the hash that a record holds as four words."""
    return struct.pack(">4q", *(int(word) for word in words)).hex()
