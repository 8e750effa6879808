"""
Entries of the log as the bytes that Redis answered: a sequence of Entry, made only where somebody looks at one.

Most entries of a log are quotes, which the compiled reader takes from the bytes as they are; building names, values and
lists for them first would cost more than everything that follows.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, overload

import numpy as np

from engine.core.kernel import JIT
from engine.decode.rows import entries_walk, named_find, rows_read, texts_walk
from engine.decode.words import AHEAD
from shared.records import COMMAND_WORDS
from shared.stream_ahead import Ahead
from shared.stream_keys import Entry, StreamsDown, follows, seq_of_log_id
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

    def __init__(self, streams: Any, keys: Any, fast: bool = True) -> None:
        self.streams = streams
        self.keys = keys
        self.raw = fast and JIT and hasattr(streams, "read_log_raw")
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


def padded(raw: bytes) -> np.ndarray:
    """Return bytes as a writable array with the room behind them that the compiled reader looks ahead into."""
    room = bytearray(len(raw) + AHEAD)
    room[: len(raw)] = raw
    return np.frombuffer(room, np.uint8)


@lru_cache(maxsize=1)
def rooms_of(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of a batch's records, and room for the indexes of what is left; kept for the next call."""
    return batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS), np.empty(batch.capacity, np.int64)


class LogReply(Sequence[Entry]):
    """
    The `length` entries that stand in `raw` from byte `first` to `end`, or to the last one.

    Shapes: raw uint8[n], writable, as long as the entries are looked at unchanged between those bytes; places
    int64[length + 1], where each entry begins, and where the last ends, given by who knows them already.
    """

    def __init__(
        self,
        raw: "np.ndarray | bytes",
        first: int,
        length: int,
        end: int | None = None,
        places: np.ndarray | None = None,
    ) -> None:
        # One kind of array: another would be compiled once more.
        self.raw = raw if isinstance(raw, np.ndarray) else padded(raw)
        self.length = length
        self.places = np.empty(length + 1, np.int64) if places is None else places
        last = len(raw) if end is None else end
        if places is None and entries_walk(self.raw, first, last, 0, length, self.places) != (length, last):
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
        texts = self.texts(index)
        return Entry(seq_of_log_id(texts[0]), list(zip(texts[1::2], texts[2::2], strict=True)))

    def kept(self, index: int) -> Callable[[], Entry]:
        """Return what gives one entry, made only then, when other bytes stand here."""
        raw = self.raw[self.places[index] : self.places[index + 1]].tobytes()
        return lambda: LogReply(raw, 0, 1).entry(0)

    def texts(self, index: int) -> list[bytes]:
        """Return the id, names and values of one entry."""
        raw, spans = self.raw, SPANS
        first, last = self.places[index : index + 2].tolist()
        count = texts_walk(raw, first, last, spans)
        if count > len(spans):
            spans = np.empty((count, 2), np.int64)
            texts_walk(raw, first, last, spans)
        return [raw[begin:end].tobytes() for begin, end in spans[:count].tolist()]

    def named(self, name: bytes) -> list[int]:
        """Return the indexes of the entries whose last value has this name, which says what they are."""
        found = np.empty(self.length, np.int64)
        count = named_find(self.raw, self.places, self.length, np.frombuffer(bytearray(name), np.uint8), found)
        indexes: list[int] = found[:count].tolist()
        return indexes

    def batch_fill(self, batch: Batch, last_seq: int) -> "Filled":
        """
        Fill an empty batch with the records of all entries, or up to a number that does not follow the one before.

        What the compiled reader leaves goes through the ordinary one, its number through the rule of gaps.
        """
        assert self.length <= batch.capacity, "more entries than the batch holds"
        words, left = rooms_of(batch)
        left_count, tick_seq = rows_read(self.raw, self.places, self.length, last_seq, words, left)
        for index in left[:left_count].tolist() if left_count else ():
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
