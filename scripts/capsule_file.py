"""
A capsule: one file with a starting state, a slice of the log, and the hashes that must come of them.

Running one needs the core and the pure files beside it, no server and no venue: what happened there happens again, or
the first place where it does not is named. zstd lines of JSON: header, snapshot, entries, what is expected, digest.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.documents import DocumentUnreadable, document_unpack, document_verify, zstd
from shared.archive import entry_line, entry_of_line
from shared.records import SCHEMA_VERSION
from shared.rules import RULES_VERSION
from shared.stream_keys import Entry, events_digest

VERSION = 1
EVERY = 1_000  # entries between two hashes
LEVEL = 3


class CapsuleUnreadable(Exception):
    """This file is no capsule that can be believed, or none for this build; the text says why."""


class Capsule(NamedTuple):
    """What a file holds."""

    header: dict[str, Any]
    snapshot: dict[str, Any] | None  # the document; None: from the empty state
    entries: list[bytes]  # lines
    expected: dict[str, Any]


class Ran(NamedTuple):
    """What executing entries gave; the same names as in the line of what is expected."""

    seq: int
    state_hash: str
    record_hash: str
    checkpoints: list[tuple[int, str, str]]  # of the keyframes named: seq, state hash, record hash
    hashes_every_1000: list[tuple[int, str]]
    events: int
    events_digest: str


class Execution:
    """One machine on its way through a slice of the log."""

    def __init__(self, machine: Any, hashed: set[int]) -> None:
        self.machine = machine
        self.first_seq = machine.seq
        self.hashed = hashed  # also hash the state after these entries
        self.checkpoints: list[tuple[int, str, str]] = []
        self.claims: list[tuple[int, str, str]] = []  # what the log itself states of its keyframes
        self.every: list[tuple[int, str]] = []
        self.events_count = 0
        self.digest = blake2b(digest_size=32)
        self.look()

    def apply(self, entries: list[Entry]) -> None:
        """Apply entries, stopping for a hash wherever one is wanted; raises Refusal at a gap."""
        first = 0
        while first < len(entries):
            last = first
            while not self.stops_at(entries[last].seq) and last + 1 < len(entries):
                last += 1
            self.load(entries[first : last + 1])
            first = last + 1

    def stops_at(self, seq: int) -> bool:
        """Return whether the state after this entry is hashed."""
        return seq in self.hashed or (seq - self.first_seq) % EVERY == 0

    def load(self, entries: list[Entry]) -> None:
        """Apply entries in one batch, then look at the state."""
        room = self.machine.batch.capacity
        for at in range(0, len(entries), room):
            self.machine.load(entries[at : at + room])
            while (step := self.machine.step()) is not None:
                for output in step.outputs:
                    self.output(output)
                if self.machine.checkpoint != (self.claims or [(0, "", "")])[-1] and self.machine.checkpoint[0]:
                    self.claims.append(self.machine.checkpoint)
        self.look()

    def output(self, output: Any) -> None:
        """Take an output, or what the events stream holds of it, into the digest."""
        self.events_count += 1
        self.digest.update(events_digest(output))

    def look(self) -> None:
        """Hash the state where one is wanted."""
        seq = self.machine.seq
        if seq in self.hashed:
            self.checkpoints.append((seq, *self.machine.hashes()))
        if seq > self.first_seq and (seq - self.first_seq) % EVERY == 0:
            self.every.append((seq, self.machine.hashes()[0]))

    def ran(self) -> Ran:
        """Return what came of it."""
        state_hash, record_hash = self.machine.hashes()
        digest = self.digest.hexdigest()
        return Ran(self.machine.seq, state_hash, record_hash, self.checkpoints, self.every, self.events_count, digest)


def capsule_bytes(
    header: dict[str, Any], snapshot: dict[str, Any] | None, entries: Iterator[Entry], expected: dict[str, Any]
) -> bytes:
    """Return the bytes of a capsule's file."""
    lines = [orjson.dumps(header) + b"\n", orjson.dumps({"snapshot": snapshot}) + b"\n"]
    lines += [entry_line(entry) for entry in entries]
    digest = blake2b(b"".join(lines), digest_size=32).hexdigest()
    return bytes(
        zstd.compress(b"".join([*lines, orjson.dumps({"expected": expected, "digest": digest}), b"\n"]), LEVEL)
    )


def capsule_read(path: Path) -> Capsule:
    """Return a file's capsule; raises CapsuleUnreadable."""
    try:
        content = zstd.decompress(path.read_bytes())
    except zstd.ZstdError as error:
        raise CapsuleUnreadable(f"{path} is no capsule: {error}") from None
    lines = content.splitlines(keepends=True)
    if len(lines) < 3:
        raise CapsuleUnreadable(f"{path} is no capsule: it has {len(lines)} lines")
    try:
        header, snapshot, end = (orjson.loads(line) for line in (lines[0], lines[1], lines[-1]))
    except orjson.JSONDecodeError as error:
        raise CapsuleUnreadable(f"{path} is no capsule: {error}") from None
    if not isinstance(header, dict) or header.get("tidemark") != "capsule" or header.get("v") != VERSION:
        raise CapsuleUnreadable(f"{path} is no capsule of version {VERSION}")
    if blake2b(b"".join(lines[:-1]), digest_size=32).hexdigest() != end.get("digest"):
        raise CapsuleUnreadable(f"{path} was changed or cut: its digest does not match")
    for name, ours in (("rules", RULES_VERSION), ("schema", SCHEMA_VERSION)):
        if header.get(name) != ours:
            said = f"{path} is of {name} {header.get(name)} (engine {header.get('engine_version')})"
            raise CapsuleUnreadable(f"{said}, this build has {ours}: run it with a checkout of that build")
    return Capsule(header, snapshot.get("snapshot"), lines[2:-1], end["expected"])


def capsule_run(capsule: Capsule) -> Ran:
    """Return what executing a capsule gives here; raises CapsuleUnreadable, Refusal at a gap."""
    from engine.ingest import machine_restore

    try:
        content = None
        if capsule.snapshot is not None:
            content = document_unpack(document_verify(capsule.snapshot, capsule.header["venue"]))
        machine = machine_restore(content)
        entries = [entry_of_line(line) for line in capsule.entries]
    except (DocumentUnreadable, ValueError) as error:
        raise CapsuleUnreadable(f"what the capsule starts from cannot be read: {error}") from None
    execution = Execution(machine, {seq for seq, *_ in capsule.expected["checkpoints"]})
    execution.apply(entries)
    return execution.ran()


def difference_first(expected: dict[str, Any], ran: Ran, first_seq: int) -> str:
    """Return in words where what ran leaves what was expected, "" when it nowhere does."""
    before = first_seq - 1
    for (seq, wanted), (_, got) in zip(expected["hashes_every_1000"], ran.hashes_every_1000, strict=False):
        if wanted != got:
            return f"between the entries {before + 1:,} and {seq:,}: the state hashes to {got}, expected {wanted}"
        before = seq
    for stated, own in zip(expected["checkpoints"], ran.checkpoints, strict=False):
        if tuple(stated) != own:
            return f"checkpoint of {stated[0]:,}: the log states {tuple(stated[1:])}, here it is {own[1:]}"
    wanted_last = (expected["seq"], expected["state_hash"], expected["record_hash"])
    if wanted_last != ran[:3]:
        return f"between the entries {before + 1:,} and {expected['seq']:,}: {ran[:3]}, expected {wanted_last}"
    if len(expected["checkpoints"]) != len(ran.checkpoints):
        return f"{len(ran.checkpoints)} of {len(expected['checkpoints'])} checkpoints were met"
    if (expected["events"], expected["events_digest"]) != (ran.events, ran.events_digest):
        return f"the states are the same, the events are not: {ran.events:,} here, {expected['events']:,} expected"
    return ""
