"""
What a back-test feeds its venue: stretches of quotes as compiled records, and the few entries between them.

A feed is asked for what comes next, up to a time; what it gives is numbered there and then. Nothing is read twice and
nothing is made of a quote but its record, until somebody looks at its bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
import orjson

from engine.archive_reader import Piece, segment_pieces
from engine.beside import Beside
from engine.decode.lines import rows_copy
from engine.decode.rows import FEED_WORDS, KIND, KIND_MARK, KIND_PRICE, KIND_TICK, SEQ, TS
from engine.log_reply import Filled
from shared.archive import ArchiveDamaged, Segment, header_check
from shared.archive_frames import frames_read
from shared.records import COMMAND_WORDS
from shared.stream_keys import Entry, Fields
from shared.wire import Batch

PIECES_AHEAD_BYTES = 16 * 2**20
TICK_BODY = b"{}"
NAMES = {KIND_PRICE: b"price_update", KIND_MARK: b"mark_update", KIND_TICK: b"clock_tick"}
# What operators did with markets is part of what a recorded venue was; what they did with accounts is not.
VENUE_OPS = frozenset(
    {"venue_set", "market_set", "market_halt", "market_resume", "market_reduce_only", "market_settle"}
)
FEED_STATUS, VENUE_INSTRUCTION, GENESIS = b"feed_status", b"venue_instruction", b"genesis"


class FeedError(Exception):
    """A recording cannot be used; the text says which and why."""


class FeedRows(Sequence[Entry]):
    """
    Quotes, marks and ticks that follow each other in the venue's log, as records; entries where somebody looks.

    Shapes: rows int64[n, FEED_WORDS], whose numbers do not count: the first is `first_seq`.
    """

    def __init__(self, rows: np.ndarray, first_seq: int, fields_of: Callable[[int], Fields]) -> None:
        self.rows = rows
        self.first_seq = first_seq
        self.fields_of = fields_of
        self.quotes_filled = -1  # how many quotes a batch was filled with

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.entry(index % len(self))

    def entry(self, index: int) -> Entry:
        """Return one entry."""
        return Entry(self.first_seq + index, self.fields_of(index))

    def kept(self, index: int) -> Callable[[], Entry]:
        """Return what gives one entry later."""
        return partial(self.entry, index)

    @property
    def quotes_count(self) -> int:
        """Return how many of them are quotes."""
        return self.quotes_filled if self.quotes_filled >= 0 else int((self.rows[:, KIND] == KIND_PRICE).sum())

    def batch_fill(self, batch: Batch, last_seq: int) -> Filled:
        """Fill an empty batch with all records."""
        assert self.first_seq == last_seq + 1, "rows are numbered for the place that they are put at"
        words = batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS)
        self.quotes_filled = int(rows_copy(self.rows, self.first_seq, words))
        batch.count = len(self.rows)
        return Filled(0, None)


Fed = FeedRows | list[Entry]


class Feed(Protocol):
    """What a back-test reads from."""

    notes: list[str]  # what whoever looks at the result should know
    genesis: dict[str, Any] | None  # the configuration of the venue that was recorded, where it is known

    def first_us(self) -> int | None:
        """Return the time of the next entry, None when there is none."""

    def take(self, until_us: int | None, count: int, seq: int) -> Fed | None:
        """Return what comes next, numbered from `seq` on; None when it is later than a time, or there is no more."""

    def ticks(self, to_us: int, seq: int, one: bool = False) -> list[Entry]:
        """Return the ticks that an entry of a time needs in front of it and that the feed will not bring itself."""

    def clock_begin(self, at_us: int) -> None:
        """Take the time at which the venue is founded."""

    def progress(self) -> tuple[int, int]:
        """Return how much of how much has been read, in whatever unit."""

    def close(self) -> None:
        """Let go of files."""


class Stretch(NamedTuple):
    """A part of a recorded log: records, or one entry that is kept as it is."""

    rows: np.ndarray
    piece: Piece
    first: int  # where in the piece the records begin
    indexes: np.ndarray | None = None  # where in the piece they are, when some in between are left out
    kept: Fields | None = None

    def entry(self, index: int) -> Entry:
        """Return the recorded entry of one record."""
        return self.piece.entry(self.first + index if self.indexes is None else int(self.indexes[index]))

    def rest(self, count: int) -> "Stretch":
        """Return what stands behind so many records."""
        indexes = None if self.indexes is None else self.indexes[count:]
        return self._replace(rows=self.rows[count:], first=self.first + count, indexes=indexes)


class ArchiveFeed:
    """
    The log of a venue as its archive holds it: quotes, marks, ticks, the feed's status, what was set for markets.

    What accounts did, how the venue was founded and who led it stays out: the back-test has a venue of its own.
    """

    def __init__(self, segments: list[tuple[Segment, str]], from_us: int | None, to_us: int | None) -> None:
        """Prepare; segments come with their venue's name, in the order of their numbers."""
        self.notes: list[str] = []
        self.genesis: dict[str, Any] | None = None
        self.from_us, self.to_us = from_us, to_us
        self.total = sum(segment.path.stat().st_size for segment, _ in segments)
        self.read_bytes = 0
        self.left_out_count = 0
        self.reading = Beside(self.pieces(segments), lambda piece: piece[0].rows.nbytes, PIECES_AHEAD_BYTES)
        self.opened = False  # whether the session of the first quote was stated
        self.stretches = self.stretches_read()
        self.next: Stretch | None = next(self.stretches, None)

    def pieces(self, segments: list[tuple[Segment, str]]) -> Iterator[tuple[Piece, int]]:
        """Yield the pieces of every file, and how many bytes of all files come before the end of each."""
        passed, seq = 0, 0
        for segment, venue in segments:
            size = segment.path.stat().st_size
            for piece in segment_pieces(segment, venue, 0):
                if piece.seq(0) <= seq:
                    raise ArchiveDamaged(
                        segment.path, 0, f"it begins with {piece.seq(0)}, the one before ends at {seq}"
                    )
                seq = piece.seq(-1)
                # A file tells no more of itself than its numbers.
                span = segment.last_seq - segment.first_seq + 1 if segment.last_seq else 0
                part = (seq - segment.first_seq + 1) / span if span else 0
                yield piece, passed + int(size * part)
            passed += size

    def stretches_read(self) -> Iterator[Stretch]:
        """Yield what is used of every piece, within the times that are asked for."""
        for piece, read_bytes in self.reading:
            self.read_bytes = read_bytes
            rows = piece.rows
            if piece.others == 0 and self.from_us is None and self.to_us is None:
                yield Stretch(rows, piece, 0)  # another core wrote them: they are not even looked at here
                continue
            first = 0
            for index in np.flatnonzero(rows[:, KIND] == 0).tolist():
                entry = piece.entry(index)
                read = feed_row(entry.fields)
                kept = self.kept(entry) if read is None else None
                if read is not None:
                    read[SEQ] = rows[index, SEQ]
                    rows[index] = read
                elif kept is not None:
                    yield from self.run(piece, first, index)
                    if self.from_us is None or stamp_us(kept) >= self.from_us or kept[-1][0] != FEED_STATUS:
                        yield Stretch(rows[index:index], piece, index, kept=kept)
                    first = index + 1
            yield from self.run(piece, first, len(rows))

    def run(self, piece: Piece, first: int, last: int) -> Iterator[Stretch]:
        """Yield the records of a piece from one place up to another, those in between without one left out."""
        rows = piece.rows[first:last]
        wanted = rows[:, KIND] != 0
        if self.from_us is not None:
            wanted &= rows[:, TS] >= self.from_us
        if self.to_us is not None:
            wanted &= rows[:, TS] <= self.to_us
        if wanted.all():
            if len(rows):
                yield Stretch(rows, piece, first)
        elif wanted.any():
            yield Stretch(rows[wanted], piece, first, first + np.flatnonzero(wanted))

    def kept(self, entry: Entry) -> Fields | None:
        """Return the fields of an entry that is none of the feed's records, None when it is left out."""
        name, body = entry.fields[-1] if entry.fields else (b"", b"")
        if name == FEED_STATUS:
            return entry.fields
        if name in (VENUE_INSTRUCTION, GENESIS):
            try:
                data = orjson.loads(body)
                if name == GENESIS:
                    self.genesis = {"venue_set": data["venue_set"], "markets": data["markets"]}
                elif data.get("op") in VENUE_OPS:
                    return entry.fields
            except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
                return None
        self.left_out_count += name.endswith(b"_instruction")
        return None

    def first_us(self) -> int | None:
        """Return the time of the next entry."""
        if self.next is None:
            return None
        return stamp_us(self.next.kept) if self.next.kept is not None else int(self.next.rows[0, TS])

    def take(self, until_us: int | None, count: int, seq: int) -> Fed | None:
        """Return what comes next, see Feed."""
        stretch = self.next
        if stretch is None:
            return None
        if stretch.kept is not None:
            if until_us is not None and stamp_us(stretch.kept) > until_us:
                return None
            self.opened = self.opened or stretch.kept[-1][0] == FEED_STATUS
            self.next = next(self.stretches, None)
            return [Entry(seq, stretch.kept)]
        rows = stretch.rows[:count]
        if until_us is not None:
            late = rows[:, TS] > until_us
            rows = rows[: int(late.argmax())] if late.any() else rows
        if len(rows) == 0:
            return None
        if not self.opened:
            quoted = rows[:, KIND] != KIND_TICK
            first = int(quoted.argmax()) if quoted.any() else len(rows)
            if first == 0:
                self.opened = True
                return [Entry(seq, session_open(stretch.entry(0).fields, "archive", None))]
            rows = rows[:first]
        rest = stretch.rest(len(rows))
        self.next = rest if len(rest.rows) else next(self.stretches, None)
        return FeedRows(rows, seq, lambda index: stretch.entry(index).fields)

    def ticks(self, to_us: int, seq: int, one: bool = False) -> list[Entry]:
        """Return nothing: the log has its own."""
        return []

    def clock_begin(self, at_us: int) -> None:
        """Do nothing: the log has its own clock."""

    def progress(self) -> tuple[int, int]:
        """Return bytes read and bytes in all."""
        return (self.read_bytes if self.next is not None else self.total), self.total

    def close(self) -> None:
        """Let go of the files."""
        self.reading.close()
        if self.left_out_count:
            self.notes.append(f"{self.left_out_count:,} instructions of the recorded accounts were left out")
            self.left_out_count = 0


def feed_row(fields: Fields) -> np.ndarray | None:
    """Return the words of a quote, a mark or a tick in whatever form, None of any other entry."""
    name = fields[-1][0] if fields else b""
    if name not in NAMES.values():
        return None
    batch = Batch(1)
    batch.add(1, fields)
    row = batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS)[0, :FEED_WORDS].copy()
    return row if NAMES.get(int(row[KIND])) == name else None


def stamp_us(fields: Fields) -> int:
    """Return the time of an entry's fields, 0 without one."""
    name, value = fields[0] if fields else (b"", b"")
    return int(value) if name == b"ts" and value.isdigit() and len(value) < 19 else 0


def session_open(fields: Fields, source: str, price_age_max_ms: int | None) -> Fields:
    """Return the entry that opens the session of an entry of the feed, right in front of it."""
    found = dict(fields)
    body: dict[str, Any] = {"status": "up", "source": source[:32]}
    if price_age_max_ms is not None:
        body["price_age_max_ms"] = price_age_max_ms
    session = found.get(b"session", b"backtest")
    return [(b"ts", found[b"ts"]), (b"session", session), (FEED_STATUS, orjson.dumps(body))]


def segment_of(path: Path) -> tuple[Segment, str]:
    """Return a file of an archive, whatever it is called, and its venue's name; raises FeedError."""
    from shared.archive import FILE_NAME

    try:
        frame = next(frames_read(path, torn=True), None)
        header = orjson.loads(frame.lines[0]) if frame is not None else {}
        first_seq, venue = int(header["first"]), str(header["venue"])
        match = FILE_NAME.fullmatch(path.name)
        segment = Segment(first_seq, int(match[2] or 0) if match else 0, (match[3] or "") if match else "", path)
        header_check(segment, venue, frame.lines[0] if frame is not None else b"")
    except (ValueError, KeyError, TypeError, IndexError, ArchiveDamaged, OSError) as error:
        raise FeedError(f"{path} is no file of an archive: {error}") from None
    return segment, venue


__all__ = ["FEED_WORDS", "ArchiveFeed", "Fed", "Feed", "FeedError", "FeedRows", "segment_of"]
