"""
The venue's log applied again from the empty state, beside the venue: events, checkpoints, views and history compared.
"""

from typing import Any

from engine.ingest import Machine, machine_restore
from tests.faults.venue_client import Venue, eventually

CHUNK = 1_000


class Recomputed:
    """What a machine of our own makes of a log, entry by entry or all at once."""

    def __init__(self) -> None:
        self.machine: Machine = machine_restore(None)
        self.outputs: list[Any] = []
        self.hashes: dict[int, tuple[str, str]] = {}
        self.checkpoints_right = 0

    def apply(self, entries: list[Any]) -> None:
        """Apply entries that go on where the machine stands; each checkpoint must state the machine's own hashes."""
        for first in range(0, len(entries), CHUNK):
            self.machine.load(entries[first : first + CHUNK])
            slot, checkpoint = self.machine.header().keyframe_slot, self.machine.checkpoint
            while (step := self.machine.step()) is not None:
                self.outputs += step.outputs
                header = self.machine.header()
                if header.keyframe_slot != slot:
                    slot = header.keyframe_slot
                    self.hashes[header.seq] = self.machine.hashes()
                if header.checkpoint != checkpoint:
                    checkpoint = header.checkpoint
                    assert self.hashes[checkpoint[0]] == checkpoint[1:], f"checkpoint of {checkpoint[0]}"
                    self.checkpoints_right += 1

    def read_on(self, venue: Venue, seq: int) -> None:
        """Apply what the venue's log holds up to and with `seq`; nothing when the machine has read that far."""
        if seq > self.machine.seq:
            self.apply([entry for entry in venue.log_read(self.machine.seq + 1) if entry.seq <= seq])


def venue_recompute(venue: Venue) -> Recomputed:
    """Return the machine at some end of the log after asserting that the live venue published exactly its events."""
    entries = venue.log_read()
    tip = entries[-1].seq
    eventually(lambda: venue.applied(tip), "the engine applies the log's end")
    again = Recomputed()
    again.apply(entries)

    def published() -> bool:
        return [tuple(entry) for entry in venue.events_read() if entry.seq <= tip] == [
            tuple(output) for output in again.outputs
        ]

    eventually(published, "the events are those of the log", 5.0, 0.2)
    assert again.machine.invariants_broken() == []
    return again
