"""
Entries of the log go in, outputs come out: the state with what is needed to apply a batch to it.

Everything above this file sees a Machine and knows no market; everything below it (shared.wire, engine.core) knows no
stream. The only rule of its own is that numbers have no gaps.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine import core
from engine.documents import DocumentUnreadable
from engine.log_reply import LogReply
from engine.witness import gap_refusal
from shared import units, wire
from shared.codes import BatchStatus
from shared.stream_keys import follows, log_digest
from shared.wire_events import Encoder

BATCH_MAX = 4_000
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
    outputs: list[Any]


class Machine:
    """One state and what applies entries to it."""

    def __init__(self, states: Any = None, capacity: int = BATCH_MAX) -> None:
        self.states = core.allocate() if states is None else states
        self.batch = wire.Batch(capacity)
        self.encoder = Encoder(core.markets_of(self.states), core.header(self.states)["events_last"])
        self.checkpoint = CHECKPOINT_NONE
        self.entries: Sequence[Any] = []
        self.applied_count = 0  # of the batch
        self.seq = self.header().seq
        self.last_entry: Any = None  # the entry `seq`; None before the first batch
        self.tick_seq = 0  # the newest `clock_tick` loaded

    def header(self) -> Header:
        """Return the fields that the shell acts on, as they are after the last step."""
        header = {**core.header(self.states), "checkpoint": self.checkpoint}
        return Header(**{name: header[name] for name in Header._fields})

    def last_digest(self) -> str:
        """Return the digest of the entry applied last; empty when none was applied since the start."""
        return log_digest(self.last_entry).hex() if self.last_entry is not None else ""

    def load(self, entries: Sequence[Any]) -> None:
        """Take as many entries as the batch holds; raises Refusal when their numbers do not go on without a gap."""
        assert self.applied_count == len(self.entries), "the batch before was not applied to its end"
        self.batch.clear()
        if isinstance(entries, LogReply):
            filled = entries.batch_fill(self.batch, self.seq)
            if filled.gap is not None:
                raise gap_refusal(*filled.gap)
            self.tick_seq = filled.tick_seq or self.tick_seq
            self.entries, self.applied_count = entries, 0
            return
        seq = self.seq
        for entry in entries:
            if entry.seq != seq + 1 and not follows(seq, entry):
                raise gap_refusal(seq, entry.seq)
            seq = entry.seq
            self.batch.add(seq, entry.fields)
            if entry.fields and entry.fields[-1][0] == b"clock_tick":
                self.tick_seq = seq
        self.entries = entries
        self.applied_count = 0

    def step(self) -> Step | None:
        """Apply on to the next entry after which the shell has to act; None at the end of the batch."""
        outputs: list[Any] = []
        while self.applied_count < len(self.entries):
            first = self.applied_count
            applied, events_count, code = core.apply_batch(self.states, self.batch, first, len(self.entries) - first)
            status = BatchStatus(code)
            complete = status != BatchStatus.EVENTS_FULL
            outputs.extend(self.encoder.feed(core.events_of(self.states, events_count), complete))
            self.applied_count += applied
            if complete:
                return self.step_end(status, outputs)
        return None

    def step_end(self, status: BatchStatus, outputs: list[Any]) -> Step:
        """Return the step that ends with the entry applied last."""
        assert self.applied_count > 0
        entry = self.entries[self.applied_count - 1]
        self.seq = entry.seq
        self.last_entry = entry
        if status == BatchStatus.CHECKPOINT:
            record = self.batch.commands[self.applied_count - 1]
            self.checkpoint = (
                int(record["checkpoint_seq"]),
                hex_of_words(record["state_hash"]),
                hex_of_words(record["record_hash"]),
            )
        return Step(status, entry.seq, outputs)

    def hashes(self) -> tuple[str, str]:
        """Return the state hash and the record hash."""
        return core.hashes(self.states)

    def copy_size_max(self) -> int:
        """Return how many bytes a copy can ever take."""
        return int(self.states.nbytes) + 1_000_000

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


def machine_restore(content: dict[str, Any] | None) -> Machine:
    """Return the machine of a document's content, or of the empty state; raises DocumentUnreadable."""
    if content is None:
        return Machine()
    try:
        return Machine(core.restore(content))
    except (core.SnapshotMismatch, KeyError, ValueError, TypeError) as error:
        raise DocumentUnreadable(f"the state does not verify: {error}") from error


def hex_of_words(words: Any) -> str:
    """Return the hash that a record holds as four words."""
    return struct.pack(">4q", *(int(word) for word in words)).hex()
