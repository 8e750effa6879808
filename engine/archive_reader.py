"""
The archive as the engine reads it: lines decompressed and looked at ahead of the core, records made by compiled code.

The rules are those of shared.archive, which also reads every line that is not in canonical form: the same entries come
out, and the same ArchiveDamaged at the same line. A line becomes an Entry only where somebody looks at it.
"""

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from engine.beside import Beside
from engine.decode.lines import lines_fill, lines_walk, rows_place
from engine.decode.rows import FEED_WORDS, SEQ, rows_read
from engine.decode.words import AHEAD
from engine.log_reply import TICK, Filled
from shared.archive import (
    ArchiveDamaged,
    Reading,
    Segment,
    Walk,
    entry_of_line,
    segment_check,
)
from shared.archive_frames import Frame, frames_read
from shared.records import COMMAND_WORDS
from shared.stream_keys import Entry, follows
from shared.wire import Batch

PIECE_LINES = 4_096
FRAMES_AHEAD_BYTES = 32 * 2**20
PIECES_AHEAD_BYTES = 16 * 2**20
BLOCK_UNUSED = 3  # references to a block while it is looked at: the list, the loop, the call
SIDE_BYTES = 4 * 2**20
PADDING, PADDED_BYTES_MAX = b"\0" * AHEAD, 256 * 1024


class Piece(NamedTuple):
    """
    Consecutive lines of one frame, each of one entry.

    Shapes: raw uint8[n], the frame's; places int64[m + 1], where each line begins, and where the last ends;
            rows int64[m, FEED_WORDS], the words of feed records, of other entries the number alone.
    """

    content: bytes
    raw: np.ndarray
    places: np.ndarray
    rows: np.ndarray
    others: int  # of them no feed records; 0 is sure, more may be of a larger piece

    def seq(self, index: int) -> int:
        """Return the number of one entry."""
        return int(self.rows[index, SEQ])

    def line(self, index: int) -> bytes:
        """Return the line of one entry."""
        return self.content[self.places[index] : self.places[index + 1]]

    def entry(self, index: int) -> Entry:
        """Return one entry."""
        return entry_of_line(self.line(index))

    def part(self, first: int, last: int) -> "Piece":
        """Return the lines from one up to another."""
        if first == 0 and last >= len(self.rows):
            return self
        return self._replace(places=self.places[first : last + 1], rows=self.rows[first:last])


class Lines(Sequence[Entry]):
    """Entries that stand in pieces of the archive, made where somebody looks at one."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self.firsts = [0]  # of each piece, the number of entries before it; then of all
        for piece in pieces:
            self.firsts.append(self.firsts[-1] + len(piece.rows))

    def __len__(self) -> int:
        return self.firsts[-1]

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self.entry(each) for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.entry(index % len(self))

    def __iter__(self) -> Iterator[Entry]:
        return map(self.entry, range(len(self)))

    def entry(self, index: int) -> Entry:
        """Return one entry as shared.archive reads it."""
        place = bisect_right(self.firsts, index) - 1
        return self.pieces[place].entry(index - self.firsts[place])

    def kept(self, index: int) -> Callable[[], Entry]:
        """Return what gives one entry later."""
        return partial(self.entry, index)

    def batch_fill(self, batch: Batch, last_seq: int) -> Filled:
        """Fill an empty batch with the records of all entries, or up to a number that does not follow."""
        words = batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS)
        tick_seq, seq = 0, last_seq
        for piece, first in zip(self.pieces, self.firsts, strict=False):
            if piece.seq(0) != seq + 1 and not follows(seq, piece.entry(0)):
                return Filled(tick_seq, (seq, piece.seq(0)))
            tick_seq = max(tick_seq, piece_fill(piece, batch, words[first:], first))
            seq = piece.seq(-1)
        batch.count = len(self)
        return Filled(tick_seq, None)


class Side:
    """Where entries are read that are no feed records: as Redis answers them, and their records."""

    def __init__(self) -> None:
        self.out = np.zeros(SIDE_BYTES, np.uint8)
        self.places = np.empty(PIECE_LINES + 1, np.int64)
        self.found = np.empty(PIECE_LINES, np.int64)
        self.left = np.empty(PIECE_LINES, np.int64)
        self.words = np.zeros((0, COMMAND_WORDS), np.int64)

    def words_for(self, count: int) -> np.ndarray:
        """Return room for so many records."""
        if len(self.words) < count:
            self.words = np.zeros((min(PIECE_LINES, 2 * count), COMMAND_WORDS), np.int64)
        return self.words[:count]


SIDE = Side()


def piece_fill(piece: Piece, batch: Batch, words: np.ndarray, first: int) -> int:
    """Fill a batch from its row `first` on, whose words these are; return the newest tick's number, 0 without one."""
    raw, places, rows = piece.raw, piece.places, piece.rows
    counts = lines_fill(raw, places, rows, words, SIDE.out, SIDE.places, SIDE.found, SIDE.left)
    found_count, left_count, tick_seq = counts
    left = SIDE.left[:left_count].tolist()
    if found_count:
        read, indexes = SIDE.words_for(found_count), SIDE.found[:found_count]
        unread = np.empty(found_count, np.int64)
        unread_count, _ = rows_read(SIDE.out, SIDE.places, found_count, 0, read, unread)
        rows_place(read, indexes, rows, words)
        left = sorted([*left, *indexes[unread[:unread_count]].tolist()])
    for index in left:
        entry = piece.entry(index)
        batch.count = first + index
        batch.add(entry.seq, entry.fields)
        if entry.fields and entry.fields[-1][0] == TICK:
            tick_seq = max(tick_seq, entry.seq)
    return int(tick_seq)


class ArchiveReader:
    """Reads a venue's archive forward from one seq to another, ahead of whoever takes; closed by whoever opened it."""

    def __init__(self, folder: Path, venue: str, after_seq: int, to_seq: int | None) -> None:
        pieces = archive_pieces(folder, venue, after_seq, to_seq)
        self.pieces = Beside(pieces, lambda piece: piece.rows.nbytes + piece.places.nbytes, PIECES_AHEAD_BYTES)
        self.rest: Piece | None = None

    def take(self, count: int) -> Lines:
        """Return up to `count` entries, none at the end; raises ArchiveDamaged where one of them cannot be believed."""
        taken, wanted = [], count
        while wanted > 0:
            piece = self.rest if self.rest is not None else next(self.pieces, None)
            self.rest = None
            if piece is None:
                break
            if len(piece.rows) > wanted:
                self.rest = piece.part(wanted, len(piece.rows))
                piece = piece.part(0, wanted)
            taken.append(piece)
            wanted -= len(piece.rows)
        return Lines(taken)

    def close(self) -> None:
        """Let go of the files."""
        self.pieces.close()


def archive_pieces(folder: Path, venue: str, after_seq: int, to_seq: int | None) -> Iterator[Piece]:
    """Yield what shared.archive.archive_entries yields, in pieces; raises what it raises, where it does."""
    walk, before = Walk(folder, venue, after_seq, to_seq), None
    for segment in walk.segments():
        with walk.reading():
            for piece in segment_pieces(segment, venue, walk.seq):
                if before is not None and piece.seq(0) != before + 1 and not follows(before, piece.entry(0)):
                    words = f"it begins with {piece.seq(0)}, the file before ends at {walk.seq}"
                    raise ArchiveDamaged(segment.path, 0, words)
                if to_seq is not None and piece.seq(-1) >= to_seq:
                    if piece.seq(0) <= to_seq:
                        yield piece.part(0, to_seq - piece.seq(0) + 1)
                    return
                walk.seq = before = piece.seq(-1)
                yield piece


def segment_pieces(segment: Segment, venue: str, after_seq: int) -> Iterator[Piece]:
    """Yield the entries of one file after a seq, in pieces; raises ArchiveDamaged as segment_entries does."""
    segment_check(segment)
    reading, room = Reading(segment, venue, after_seq), Room()
    frames = Beside(frames_read(segment.path, segment.is_open), frame_size, FRAMES_AHEAD_BYTES)
    try:
        for frame in frames:
            yield from frame_pieces(frame.content, reading, room)
    except ValueError as error:
        raise ArchiveDamaged(segment.path, reading.number + 1, str(error)) from None
    finally:
        frames.close()
    reading.end()


def frame_size(frame: Frame) -> int:
    """Return how many bytes a frame takes while it waits."""
    return len(frame.content)


def frame_pieces(content: bytes, reading: Reading, room: "Room") -> Iterator[Piece]:
    """Yield the entries of a frame's lines, those in canonical form as many as follow each other at a time."""
    at, end = 0, len(content)
    # The compiled reader looks some bytes ahead: a frame gets as many more, of a long one the last line is left.
    raw = np.frombuffer(content + PADDING if end <= PADDED_BYTES_MAX else content, np.uint8)
    while at < end:
        if reading.number > 0 and not reading.closed:
            places, rows = room.take()
            count, after, others = lines_walk(raw, at, end, reading.last_seq + 1, places, rows)
            if count > 0:
                at = after
                room.use(count)
                piece = Piece(content, raw, places[: count + 1], rows[:count], others)
                reading.walked(count, piece.line(count - 1))
                passed = max(0, reading.after_seq - piece.seq(0) + 1)  # their numbers follow each other
                if passed < count:
                    yield piece.part(passed, count)
                continue
        line, after = line_at(content, at)
        entry = reading.line(line)
        if entry is not None:
            rows = np.zeros((1, FEED_WORDS), np.int64)
            rows[0, SEQ] = entry.seq
            yield Piece(content, raw, np.array([at, at + len(line)]), rows, 1)
        at = after


class Room:
    """Where the next lines' places and words go; what nobody looks at any more is used again."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.places = np.empty(0, np.int64)
        self.rows = np.empty((0, FEED_WORDS), np.int64)

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """Return room for the places and the words of at least one line."""
        if len(self.rows) == 0:
            block = self.block()
            self.rows = block[: PIECE_LINES * FEED_WORDS].reshape(PIECE_LINES, FEED_WORDS)
            self.places = block[PIECE_LINES * FEED_WORDS :]
        return self.places, self.rows

    def block(self) -> np.ndarray:
        """Return memory that no piece holds."""
        self.rows = self.places = np.empty((0, FEED_WORDS), np.int64)
        for block in self.blocks:
            if sys.getrefcount(block) == BLOCK_UNUSED:
                return block
        self.blocks.append(np.empty(PIECE_LINES * (FEED_WORDS + 2), np.int64))
        return self.blocks[-1]

    def use(self, count: int) -> None:
        """Leave what was filled with so many lines to whoever looks at them."""
        self.places, self.rows = self.places[count + 1 :], self.rows[count:]


def line_at(content: bytes, at: int) -> tuple[bytes, int]:
    """Return the line that begins at a place, and the place after it; lines end as bytes.splitlines ends them."""
    after = content.find(b"\n", at) + 1 or len(content)
    line = content[at:after].splitlines(keepends=True)[0]
    return line.rstrip(b"\r\n"), at + len(line)
