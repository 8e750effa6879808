"""One machine on its way through the log: every checkpoint's hash and, if asked, every event is compared."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from engine.log_reply import LogReader, LogReply
from engine.publish import KEPT_MAX, Publisher
from scripts.moments import walk, walk_to_time
from shared.refusal import Refusal

WAIT_FOR_EVENTS_S = 2.0
HASHING_S, HASHING_PART = 0.5, 0.2  # more than both: it pays to read ahead which keyframes must be hashed
HASHES_KEPT = 1_000  # keyframes whose checkpoint may still come
SCAN_COUNT = 4_000
CHECKPOINT = b"checkpoint"


class Outcome(NamedTuple):
    """What a replay found."""

    venue: str
    start: str
    start_seq: int
    seq: int
    log_time_us: int
    state_hash: str
    record_hash: str
    entries: int
    entries_archived: int  # of them from the archive
    entries_per_s: int
    checkpoints_verified: int
    checkpoints_unknown: int  # of keyframes before the start
    checkpoints_different: list[int]
    events_compared: int | None  # None: not asked for
    events_unpublished: int
    trouble: str


def keyframes_stated(log: Any, after_seq: int, last_seq: int) -> set[int] | None:
    """
    Return the keyframes whose hash the log states up to an entry; None where finding out takes longer than hashing all.

    Hashing is most of a replay of many positions; a tenth of the keyframes that it passes have a checkpoint.
    """
    stated: set[int] = set()
    if log.streams is None or log.streams.log_first(log.keys) > after_seq + 1:
        return None
    reader = LogReader(log.streams, log.keys)
    while after_seq < last_seq:
        entries = reader.read(after_seq, SCAN_COUNT, None)
        if not isinstance(entries, LogReply):
            return None
        if not entries:
            break
        for index in entries.named(CHECKPOINT):
            with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                stated.add(orjson.loads(entries[index].fields[-1][1])["seq"])
        after_seq = entries[-1].seq
    return stated


class Replay:
    """One machine on its way through the log."""

    def __init__(self, log: Any, machine: Any, publisher: Publisher | None) -> None:
        self.log = log  # engine.log_source.LogSource
        self.machine = machine
        self.publisher = publisher  # keeps and compares; it never publishes here
        self.start_seq = machine.seq
        self.header = machine.header()
        self.hashes: dict[int, tuple[str, str]] = {}
        self.stated: set[int] | None = None  # the keyframes that must be hashed; None: all
        self.asked_for = False  # whether the log was asked which those are
        self.last_seq = 0  # up to where it would be asked; 0: not at all
        self.hashing_s = 0.0
        self.verified_count = 0
        self.unknown_count = 0
        self.different: list[int] = []
        self.compared_count = 0
        self.started_s = time.monotonic()

    def run(self, last_seq: int, advance: Callable[[int], None]) -> None:
        """Apply everything up to last_seq; raises Refusal at a gap, Divergence at other events."""
        self.last_seq = last_seq
        walk(self.machine, self.log, last_seq, lambda count: self.batch_end(count, advance), self.stepped)

    def run_to_time(self, at_us: int, advance: Callable[[int], None]) -> None:
        """Apply everything up to the last entry with this log time."""
        walk_to_time(self.machine, self.log, at_us, lambda count: self.batch_end(count, advance), self.stepped)

    def stepped(self, machine: Any, step: Any) -> None:
        """Keep what a step derived, and look at the header."""
        self.machine = machine
        if self.publisher is not None:
            self.publisher.keep(step.outputs)
        self.header_look()

    def batch_end(self, count: int, advance: Callable[[int], None]) -> None:
        """Compare what a batch derived with the events."""
        if self.publisher is not None:
            self.compared_count += self.publisher.compare(self.machine.seq)
            if len(self.publisher.kept) > 2 * KEPT_MAX:
                raise Refusal(f"{self.missing_words(len(self.publisher.kept))}: no engine keeps that many")
        advance(count)

    def header_look(self) -> None:
        """Hash a keyframe; compare a checkpoint with the hash of its keyframe."""
        header, before = self.machine.header(), self.header
        self.header = header
        keyframe = before.keyframe_slot not in (0, header.keyframe_slot)
        if keyframe and (self.stated is None or header.seq in self.stated):
            self.keyframe_hash(header.seq)
        if header.checkpoint != before.checkpoint:
            seq, *claim = header.checkpoint
            own = self.hashes.get(seq)
            if own is None:
                self.unknown_count += 1
            elif own == tuple(claim):
                self.verified_count += 1
            else:
                self.different.append(seq)

    def keyframe_hash(self, seq: int) -> None:
        """Keep a keyframe's hash; once that takes a good part of the time, only of those that the log speaks of."""
        began_s = time.monotonic()
        self.hashes[seq] = self.machine.hashes()
        self.hashes.pop(min(self.hashes) if len(self.hashes) > HASHES_KEPT else -1, None)
        now_s = time.monotonic()
        self.hashing_s += now_s - began_s
        elapsed_s = now_s - self.started_s
        if self.last_seq and not self.asked_for and self.hashing_s > max(HASHING_S, HASHING_PART * elapsed_s):
            self.asked_for = True
            self.stated = keyframes_stated(self.log, seq, self.last_seq)

    def events_judge(self) -> tuple[int, str]:
        """
        Return how many outputs are not in the events, and what is wrong with that, "" when nothing is.

        A live engine may be a batch behind, so the events are read again for a moment. What stays unpublished is right
        only beyond what the last leader stood for: entries that nobody has answered yet, as after any stop.
        """
        if self.publisher is None:
            return 0, ""
        deadline = time.monotonic() + WAIT_FOR_EVENTS_S
        while True:
            self.compared_count += self.publisher.compare(self.machine.seq)
            if not self.publisher.kept or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        seq = self.published_seq()
        missing_count = sum(output.seq <= seq for output in self.publisher.kept)
        trouble = f"{self.missing_words(missing_count)}: all up to entry {seq} was published" if missing_count else ""
        return len(self.publisher.kept), trouble

    def published_seq(self) -> int:
        """
        Return the entry up to which every output must be in the events.

        A leader publishes before it shows life, and a checkpoint's snapshot waits for the events before it. Events that
        begin nowhere lack even the genesis.
        """
        assert self.publisher is not None
        streams, keys = self.publisher.streams, self.publisher.keys
        heartbeat = streams.leader_read(keys) or {}  # type: ignore[attr-defined]
        seqs = [self.machine.header().checkpoint[0], int(heartbeat.get("seq", 0))]
        if streams.events_tip(keys) == (0, 0):
            seqs.append(self.machine.seq)
        return max(seqs)

    def missing_words(self, count: int) -> str:
        """Return in words what the events lack."""
        assert self.publisher is not None
        first, tip = self.publisher.kept[0], self.publisher.streams.events_tip(self.publisher.keys)
        return f"the events end at {tip[0]}-{tip[1]} and lack {count} outputs from {first.seq}-{first.chunk} on"

    def outcome(self, venue: str, start: str, unpublished: int, trouble: str) -> Outcome:
        """Return what was found."""
        seconds = max(1e-6, time.monotonic() - self.started_s)
        state_hash, record_hash = self.machine.hashes()
        entries = self.machine.seq - self.start_seq
        return Outcome(
            venue=venue,
            start=start,
            start_seq=self.start_seq,
            seq=self.machine.seq,
            log_time_us=self.machine.header().log_time_us,
            state_hash=state_hash,
            record_hash=record_hash,
            entries=entries,
            entries_archived=self.log.archived_count,
            entries_per_s=round(entries / seconds),
            checkpoints_verified=self.verified_count,
            checkpoints_unknown=self.unknown_count,
            checkpoints_different=self.different,
            events_compared=None if self.publisher is None else self.compared_count,
            events_unpublished=unpublished,
            trouble=trouble,
        )
