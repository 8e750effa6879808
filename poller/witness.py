"""
The newest entry that this process knows to be in the log, which must stay there with the same bytes.

A log that lost its end passes every other check, and gives the lost numbers out again; whoever goes on with it makes a
loss of acknowledged entries permanent. So the memory is compared with the log every second, after everything that the
log did not take, and before anything newer is remembered when a connection broke.
"""

from typing import Any, Protocol

from shared.refusal import Refusal
from shared.stream_keys import Entry, Fields
from shared.streams import log_digest


class Log(Protocol):
    """The verbs of shared.streams that this file uses."""

    losses: int

    async def range_log(self, keys: Any, first_seq: int, last_seq: int, count: int) -> list[Entry]:
        """Return the entries between two seqs."""

    async def log_first(self, keys: Any) -> int:
        """Return the oldest seq."""

    async def log_tip(self, keys: Any) -> int:
        """Return the newest seq."""


class Witness:
    """One remembered entry."""

    def __init__(self, log: Log, keys: Any) -> None:
        self.log = log
        self.keys = keys
        self.seq = 0
        self.digest = b""
        self.losses = log.losses

    @property
    def doubtful(self) -> bool:
        """Return whether a connection broke since the log was last found to hold the entry."""
        return self.log.losses != self.losses

    async def begin(self) -> int:
        """Remember the log's newest entry; return its seq, 0 without one."""
        tip = await self.log.log_tip(self.keys)
        for entry in await self.log.range_log(self.keys, tip, tip, 1):
            self.note(entry.seq, entry.fields)
        return tip

    def note(self, seq: int, fields: Fields) -> None:
        """Remember an entry unless a newer one is remembered."""
        if seq > self.seq:
            self.seq, self.digest = seq, log_digest(Entry(seq, fields))

    async def check(self) -> None:
        """Return when the log holds the entry or begins above it; raises Refusal, and StreamsError of a silent log."""
        losses, seq, digest = self.log.losses, self.seq, self.digest
        if seq > 0:
            found = await self.log.range_log(self.keys, seq, seq, 1)
            if not found or log_digest(found[0]) != digest:
                await self.missing(seq, bool(found))
        self.losses = losses

    async def missing(self, seq: int, found: bool) -> None:
        """Raise the Refusal that says what became of the entry, unless it was trimmed."""
        first, tip = await self.log.log_first(self.keys), await self.log.log_tip(self.keys)
        if not found and seq < first:
            return
        if found:
            text = f"entry {seq} of the log is not the one that the poller remembers"
        elif tip < seq:
            text = f"the log ends at {tip}, but the poller remembers entry {seq}"
        else:
            text = f"entry {seq} that the poller remembers is missing: the log runs from {first} to {tip}"
        raise Refusal(text, stream="log", remembered=seq, holder="the poller", first=first, tip=tip)
