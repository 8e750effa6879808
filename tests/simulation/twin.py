"""The twin that never failed: one machine that reads the whole log once, and all that it derives on the way."""

from collections.abc import Iterable, Sequence
from typing import Any

from engine.ingest import BATCH_MAX, Machine
from shared.streams import Entry, EventsEntry


class Twin:
    """What the log alone says: the outputs in their order, the state, and its hashes where somebody states them."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.outputs: list[Any] = []
        self.hashes: dict[int, tuple[str, str]] = {}

    def read(self, entries: Sequence[Entry], seqs: Iterable[int]) -> None:
        """Read entries that follow each other from the next one on, hashing the state after each of `seqs`."""
        wanted = sorted(seq for seq in set(seqs) if seq >= self.machine.seq)
        done = 0
        while True:
            if wanted and wanted[0] == self.machine.seq:
                self.hashes[wanted.pop(0)] = self.machine.hashes()
                continue
            if done == len(entries):
                return
            end = min(done + BATCH_MAX, len(entries))
            while wanted and end > done + 1 and entries[end - 1].seq > wanted[0]:
                end -= 1
            self.machine.load(list(entries[done:end]))
            while (step := self.machine.step()) is not None:
                self.outputs.extend(step.outputs)
            done = end

    def events(self) -> list[EventsEntry]:
        """Return the outputs as events entries."""
        return [
            EventsEntry(each.seq, each.chunk, each.log_time_us, each.previous, each.accounts, each.data)
            for each in self.outputs
        ]
