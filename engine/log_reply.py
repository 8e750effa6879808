"""
Entries of the log as the bytes that Redis answered: a sequence of Entry, made only where somebody looks at one.

Most entries of a log are quotes, which the compiled reader takes from the bytes as they are; building names, values and
lists for them first would cost more than everything that follows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from engine.canonical import entries_walk, named_find, rows_read, texts_walk
from engine.core.kernel import JIT
from shared.records import COMMAND_WORDS
from shared.stream_ahead import Ahead
from shared.stream_keys import Entry, StreamsDown, follows, log_id, seq_of_log_id
from shared.stream_raw import RawEntries
from shared.wire import Batch

SPANS = np.zeros((16, 2), np.int64)  # room for the texts of any ordinary entry


TICK = b"clock_tick"
AHEAD_MIN = 500  # entries of one read from which on reading ahead is worth a second connection


class Filled(NamedTuple):
    """What filling a batch showed besides its records."""

    tick_seq: int  # of the newest `clock_tick`, 0 without one
    gap: tuple[int, int] | None  # the numbers on both sides of a gap; the batch ends before it then


class LogReader:
    """Reads one log forward: the answers' bytes where streams and compiler allow it, far from the end one ahead."""

    def __init__(self, streams: Any, keys: Any) -> None:
        self.streams = streams
        self.keys = keys
        self.raw = JIT and hasattr(streams, "read_log_raw")
        self.ahead = Ahead(streams) if self.raw else None

    def read(self, after_seq: int, count: int, block_ms: int | None) -> Sequence[Entry]:
        """Return up to `count` entries after a seq, waiting for the first; asserts nothing about gaps."""
        if self.ahead is None:
            entries: list[Entry] = self.streams.read_log(self.keys, after_seq, count, block_ms)
            return entries
        found = self.ahead.take(self.keys, after_seq, count)
        if found is None or found.length == 0:
            found = self.streams.read_log_raw(self.keys, after_seq, count, block_ms)
        if not isinstance(found, RawEntries):
            return list(found)
        reply = LogReply(*found)
        if len(reply) == count >= AHEAD_MIN:
            self.ahead.ask(self.keys, reply[-1].seq, count)
        else:
            self.ahead.close()
        return reply


def reply_of(entries: list[Entry]) -> Sequence[Entry]:
    """Return entries that came another way as Redis would have answered them, where there is a compiled reader."""
    if not JIT:
        return entries
    parts = []
    for entry in entries:
        stream_id = log_id(entry.seq)
        parts.append(b"*2\r\n$%d\r\n%b\r\n*%d\r\n" % (len(stream_id), stream_id, 2 * len(entry.fields)))
        for name, value in entry.fields:
            parts.append(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value))
    return LogReply(b"".join(parts), 0, len(entries), entries)


class LogReply(Sequence[Entry]):
    """
    The entries that stand in `raw` from byte `first` on.

    Shapes: bytes uint8[n]; places int64[length + 1], where each entry begins, and where the last ends.
    """

    def __init__(self, raw: bytes, first: int, length: int, made_of: Sequence[Entry] | None = None) -> None:
        self.raw = raw
        self.made_of = made_of  # the entries themselves, where they were there before the bytes
        self.bytes = np.frombuffer(raw, np.uint8)
        self.length = length
        self.places = np.empty(length + 1, np.int64)
        if entries_walk(self.bytes, first, length, self.places) != len(raw):
            raise StreamsDown("Redis answered something that is no list of entries")

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self.entry(each) for each in range(*index.indices(self.length))]
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return self.entry(index % self.length)

    def __iter__(self) -> Iterator[Entry]:
        return map(self.entry, range(self.length))

    def entry(self, index: int) -> Entry:
        """Return one entry as the ordinary verb would."""
        if self.made_of is not None:
            return self.made_of[index]
        texts = self.texts(index)
        return Entry(seq_of_log_id(texts[0]), list(zip(texts[1::2], texts[2::2], strict=True)))

    def texts(self, index: int) -> list[bytes]:
        """Return the id, names and values of one entry."""
        raw, spans = self.raw, SPANS
        first, last = self.places[index : index + 2].tolist()
        count = texts_walk(self.bytes, first, last, spans)
        if count > len(spans):
            spans = np.empty((count, 2), np.int64)
            texts_walk(self.bytes, first, last, spans)
        return [raw[begin:end] for begin, end in spans[:count].tolist()]

    def named(self, name: bytes) -> list[int]:
        """Return the indexes of the entries whose last value has this name, which says what they are."""
        found = np.empty(self.length, np.int64)
        count = named_find(self.bytes, self.places, self.length, np.frombuffer(name, np.uint8), found)
        indexes: list[int] = found[:count].tolist()
        return indexes

    def batch_fill(self, batch: Batch, last_seq: int) -> "Filled":
        """
        Fill an empty batch with the records of all entries, or up to a number that does not follow the one before.

        What the compiled reader leaves goes through the ordinary one, its number through the rule of gaps.
        """
        words = batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS)
        left = np.empty(self.length, np.int64)
        left_count, tick_seq = rows_read(self.bytes, self.places, self.length, last_seq, words, left)
        for index in left[:left_count].tolist():
            entry = self.entry(index)
            seq_before = int(batch.commands["seq"][index - 1]) if index else last_seq
            if not follows(seq_before, entry):
                return Filled(tick_seq, (seq_before, entry.seq))
            batch.count = index
            batch.add(entry.seq, entry.fields)
            if entry.fields and entry.fields[-1][0] == TICK:
                tick_seq = max(tick_seq, entry.seq)
        batch.count = self.length
        return Filled(tick_seq, None)
