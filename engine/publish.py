"""
Every output is kept until it was read, with equal bytes, in the events stream.

That one rule serves the leader, the standby and recovery alike: a leader appends what the stream does not hold yet, and
everybody drops what the stream is seen to hold. Redis refuses an id that is not greater than the last, so publishing
again is harmless; comparing is what makes it exactly once. Nothing here knows what an output says.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from engine.witness import THIS_ENGINE, Memory
from shared.stream_keys import DuplicateId, StreamsError, event_id, events_digest, events_fields

PUBLISH_MAX = 500  # outputs in one MULTI/EXEC
PUBLISH_BYTES_MAX = 4_000_000
READ_COUNT = 1_000
DUPLICATES_MAX = 3  # in a row, although the stream's end was read in between: somebody deleted what stood there
KEPT_MAX = 200_000  # outputs that may wait for an events stream that takes nothing; then reading pauses


class Divergence(Exception):
    """What was derived differs from what the stream holds: a fault of determinism, so the process stops."""


class Last(NamedTuple):
    """The newest output derived: where it stands and its digest."""

    seq: int
    chunk: int
    digest: str


class PublishStreams(Protocol):
    """The verbs of shared.streams that publishing uses."""

    def publish(
        self, keys: Any, entries: list[tuple[bytes, list[tuple[bytes, bytes]]]], create: bool = False
    ) -> None: ...
    def read_events(self, keys: Any, after: tuple[int, int], count: int, block_ms: int | None) -> list[Any]: ...
    def events_tip(self, keys: Any) -> tuple[int, int]: ...
    def events_first(self, keys: Any) -> tuple[int, int]: ...


class Publisher:
    """The outputs of one engine on their way into the events stream."""

    def __init__(self, streams: PublishStreams, keys: Any, last: Last) -> None:
        self.streams = streams
        self.keys = keys
        self.kept: deque[Any] = deque()  # derived, not yet seen in the stream; ascending
        self.ahead: deque[Any] = deque()  # read in the stream, not yet derived; ascending
        self.newest: Any = None  # the newest output derived since the start
        self.start = last  # the newest output derived before it
        self.read_id = (last.seq, last.chunk)  # the last id read
        self.seen: Any = None  # the newest entry read and found equal
        self.first_id: tuple[int, int] | None = None  # the stream's first id; None: ask
        self.tip_id: tuple[int, int] | None = None  # the stream's last id; None: ask
        self.published_count = 0
        self.duplicates_count = 0

    def reconnected(self) -> None:
        """Forget what was believed of the stream; it is asked again before the next append."""
        self.tip_id = None
        self.first_id = None

    def keep(self, outputs: Sequence[Any]) -> None:
        """Keep the outputs that one step derived, in their order."""
        for output in outputs:
            assert self.newest is None or (output.seq, output.chunk) > (self.newest.seq, self.newest.chunk)
            self.newest = output
            self.kept.append(output)

    def last(self) -> Last:
        """Return the newest output derived, published or not."""
        if self.newest is None:
            return self.start
        return Last(self.newest.seq, self.newest.chunk, events_digest(self.newest).hex())

    def settled(self, seq: int) -> bool:
        """Return whether every output up to and including this seq was seen in the stream."""
        return not self.kept or self.kept[0].seq > seq

    def full(self) -> bool:
        """Return whether so much waits that deriving more would not help."""
        return len(self.kept) >= KEPT_MAX

    def memory(self) -> list[Memory]:
        """Return the newest entry that this process itself read in the stream, derived since or not."""
        newest = self.ahead[-1] if self.ahead else self.seen
        if newest is None:
            return []
        return [Memory("events", newest.seq, newest.chunk, events_digest(newest).hex(), THIS_ENGINE)]

    def publish(self) -> list[Any]:
        """
        Append the oldest kept outputs that the stream does not hold, in one transaction; return them.

        Whatever an answer leaves open, the next call asks the stream for its last id and starts from there. Raises
        StreamsError when Redis is away, refuses or does not answer, Divergence when the stream's end is not what the
        next output follows.
        """
        if self.tip_id is None:
            self.tip_id = self.streams.events_tip(self.keys)
        batch = self.batch_next(self.tip_id)
        if not batch:
            return []
        chain_check((batch[0].seq, batch[0].chunk), batch[0].previous, self.tip_id)
        entries = [(event_id(output.seq, output.chunk), events_fields(output)) for output in batch]
        try:
            self.streams.publish(self.keys, entries, create=batch[0].seq == 1)
        except StreamsError as error:
            self.publish_failed(entries[0][0], error)
            return []
        self.published((batch[-1].seq, batch[-1].chunk), len(batch))
        return batch

    def published(self, last_id: tuple[int, int], count: int) -> None:
        """Note that the stream has taken outputs, and ends with the last of them."""
        self.duplicates_count = 0
        self.tip_id = last_id
        self.published_count += count

    def publish_failed(self, first: bytes, error: StreamsError) -> None:
        """Note that the stream's end is to be asked again; returns after a duplicate, and raises everything else."""
        self.tip_id = None
        if not isinstance(error, DuplicateId):
            raise error
        self.duplicates_count += 1
        if self.duplicates_count > DUPLICATES_MAX:
            raise Divergence(f"Redis holds no {first!r} and takes none either: {error}") from error

    def batch_next(self, tip: tuple[int, int]) -> list[Any]:
        """Return the oldest kept outputs beyond the stream's end, as many as one transaction takes."""
        batch: list[Any] = []
        bytes_count = 0
        for output in self.kept:
            if (output.seq, output.chunk) <= tip:
                continue
            bytes_count += len(output.data) + len(output.accounts)
            if batch and (len(batch) == PUBLISH_MAX or bytes_count > PUBLISH_BYTES_MAX):
                break
            batch.append(output)
        return batch

    def compare(self, applied_seq: int) -> int:
        """
        Drop every kept output that the stream holds with equal bytes; return how many.

        Entries beyond what was applied wait until they are derived too. Raises Divergence, showing both.
        """
        if self.first_id is None:
            self.first_id = self.streams.events_first(self.keys)
        dropped_count = self.trimmed_drop(self.first_id)
        while True:
            dropped_count += self.compare_read(applied_seq)
            if self.ahead:
                return dropped_count
            entries = self.streams.read_events(self.keys, self.read_id, READ_COUNT, None)
            if not entries:
                return dropped_count
            self.ahead.extend(entries)
            dropped_count += self.trimmed_look()
            self.read_id = (entries[-1].seq, entries[-1].chunk)
            if self.tip_id is not None and self.read_id > self.tip_id:
                self.tip_id = self.read_id

    def trimmed_look(self) -> int:
        """Drop what was trimmed while this engine stood still, when what was read begins behind what is kept."""
        output, entry = (each[0] if each else None for each in (self.kept, self.ahead))
        if output is None or entry is None or (output.seq, output.chunk) >= (entry.seq, entry.chunk):
            return 0
        self.first_id = self.streams.events_first(self.keys)  # trimmed, or a divergence: this tells
        return self.trimmed_drop(self.first_id)

    def trimmed_drop(self, first_id: tuple[int, int]) -> int:
        """
        Drop every kept output below the stream's first id, published once and trimmed since; return how many.

        What was read there before, and waits for its output, is dropped with it.
        """
        while self.ahead and (self.ahead[0].seq, self.ahead[0].chunk) < first_id:
            self.ahead.popleft()
        return self.kept_drop_below(first_id)

    def kept_drop_below(self, first_id: tuple[int, int]) -> int:
        """Drop every kept output below an id; return how many."""
        dropped_count = 0
        while self.kept and (self.kept[0].seq, self.kept[0].chunk) < first_id:
            self.kept.popleft()
            dropped_count += 1
        return dropped_count

    def compare_read(self, applied_seq: int) -> int:
        """Drop the kept outputs that were read already; return how many."""
        dropped_count = 0
        while self.ahead and self.ahead[0].seq <= applied_seq:
            entry = self.ahead[0]
            output = self.kept[0] if self.kept else None
            if output is None or not outputs_equal(output, entry):
                dropped_count += self.difference_explain(output, entry)
                continue
            self.ahead.popleft()
            self.kept.popleft()
            self.seen = entry
            dropped_count += 1
        return dropped_count

    def difference_explain(self, output: Any, entry: Any) -> int:
        """
        Drop the outputs that the stream lost below its first id after that was asked, as a long replay sees it.

        Returns how many; raises Divergence, showing both sides, when that does not explain the difference.
        """
        if output is not None and (output.seq, output.chunk) < (entry.seq, entry.chunk):
            self.first_id = self.streams.events_first(self.keys)
            if dropped_count := self.trimmed_drop(self.first_id):
                return dropped_count
        raise Divergence(divergence_text(output, entry))


def chain_check(place: tuple[int, int], previous: bytes, tip: tuple[int, int]) -> None:
    """Raise Divergence unless an output follows the stream's last entry."""
    if tip == (0, 0) or previous == event_id(*tip):
        return
    raise Divergence(f"the events end at {tip[0]}-{tip[1]}, but {place[0]}-{place[1]} follows {previous!r}")


def outputs_equal(output: Any, entry: Any) -> bool:
    """Return whether an output and an events entry stand at the same place with the same bytes."""
    return (
        (output.seq, output.chunk) == (entry.seq, entry.chunk)
        and output.data == entry.data
        and output.log_time_us == entry.log_time_us
        and output.previous == entry.previous
        and output.accounts == entry.accounts
    )


def divergence_text(output: Any, entry: Any) -> str:
    """Return both sides of a difference for whoever must find its cause."""
    stream = f"the stream holds {entry.seq}-{entry.chunk} {events_fields(entry)}"
    if output is None:
        return f"{stream}, but nothing was derived there"
    return f"{stream}, but derived was {output.seq}-{output.chunk} {events_fields(output)}"
