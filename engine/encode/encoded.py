"""
Event records become the bytes of events entries; what the plain encoder gives is made only where somebody looks.
"""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from engine.encode import entries as e
from engine.encode.digits import INT64_MAX, POWERS, SCALE_BYTES
from engine.encode.fields import NAME_BYTES, NAME_LENGTH
from engine.encode.steps import Scale
from shared import records as r
from shared.wire_events import EVENTS_CHUNK, Encoder, Output

SLAB_BYTES = 4_000_000
BYTES_OF_MARK = 160  # of text for which a slab has one mark; no output is much shorter
SPARE_MAX = 8
JOINED_BYTES = (EVENTS_CHUNK + e.RESULTS_CAPACITY) * r.EVENT.itemsize  # of rows that end any chunk they go on with


class Room:
    """The memory of one slab: it goes from slab to slab."""

    def __init__(self, size: int, marks_count: int) -> None:
        """Take so many bytes and marks."""
        self.raw = np.empty(size, np.uint8)
        self.view = self.raw.data
        self.marks = np.empty((marks_count, e.MARK_WORDS), np.int64)


class Slab:
    """Texts of outputs one behind the other, with a mark for each; its room is given back when nobody holds it."""

    def __init__(self, room: Room, spare: list[Room] | None = None) -> None:
        """Begin at the front of a room, which goes to `spare` at the end."""
        self.room = room
        self._spare = spare

    def __del__(self) -> None:
        if self._spare is not None and len(self._spare) < SPARE_MAX:
            self._spare.append(self.room)

    def output(self, index: int) -> Output:
        """Return one output."""
        mark = self.room.marks[index].tolist()
        texts = texts_of(self.room.raw[mark[e.MARK_REST] : mark[e.MARK_END]].tobytes())
        log_time_us, previous, accounts, data = texts[1::2]
        return Output(mark[e.MARK_SEQ], mark[e.MARK_CHUNK], int(log_time_us), previous, accounts, data)


def texts_of(raw: bytes) -> list[bytes]:
    """Return the texts of a run of them in the protocol's form."""
    texts, at = [], 0
    while at < len(raw):
        end = raw.index(b"\r", at)
        length = int(raw[at + 1 : end])
        texts.append(raw[end + 2 : end + 2 + length])
        at = end + 4 + length
    return texts


def scale_row(decimals: int, factor: int) -> list[int]:
    """Return the scale of numbers that count `factor` units of their last decimal, or of none."""
    return [
        0,
        decimals,
        factor,
        INT64_MAX,
        int(POWERS[decimals]),
        int(POWERS[(16 if decimals > 8 else 8) - decimals]),
        0,
        0,
    ]


class Run:
    """Neighbouring outputs of one slab."""

    __slots__ = ("end", "first", "newest", "slab")

    def __init__(self, slab: Slab, first: int, end: int, newest: tuple[int, int]) -> None:
        """Hold the outputs from `first` to before `end`; the last of them stands at `newest`, (seq, chunk)."""
        self.slab = slab
        self.first = first
        self.end = end
        self.newest = newest


class Encoded(Sequence[Output]):
    """The outputs that some records completed: texts in slabs, which it holds; an Output is made where one looks."""

    def __init__(self) -> None:
        """Start without any."""
        self.runs: list[Run] = []

    def extend(self, more: "Encoded") -> None:
        """Take the outputs of the next records too."""
        self.runs += more.runs

    def __len__(self) -> int:
        return sum(run.end - run.first for run in self.runs)

    @overload
    def __getitem__(self, index: int) -> Output: ...
    @overload
    def __getitem__(self, index: slice) -> list[Output]: ...
    def __getitem__(self, index: int | slice) -> Output | list[Output]:
        if isinstance(index, slice):
            return list(self)[index]
        place = index + len(self) if index < 0 else index
        for run in self.runs:
            if 0 <= place < run.end - run.first:
                return run.slab.output(run.first + place)
            place -= run.end - run.first
        raise IndexError(index)

    def __iter__(self) -> Iterator[Output]:
        for run in self.runs:
            for index in range(run.first, run.end):
                yield run.slab.output(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


class EventEncoder:
    """
    Turns event records into events entries, keeping the chain of ids and the entry that is still open.

    `events_last` is (seq, chunk) of the last events entry before the first record, (0, 0) before genesis. On records
    that are not complete the full chunks of an open entry come out at once, not only at its end.
    """

    def __init__(self, names: list[str], events_last: tuple[int, int], slab_bytes: int = SLAB_BYTES) -> None:
        self._slab_bytes = slab_bytes
        self._state = np.zeros(e.STATE_WORDS, np.int64)
        self._state[e.LAST_SEQ], self._state[e.LAST_CHUNK] = events_last
        scales = np.zeros((e.SCALES_COUNT, SCALE_BYTES // 8), np.int64)
        scales[:] = scale_row(0, 0)  # that of a grid of 0, which is what their rows say
        scales[Scale.MONEY], scales[Scale.RATE] = scale_row(6, 1), scale_row(9, 1)
        self._scales = scales.view(np.uint8).reshape(-1)
        self._names = np.zeros((r.MARKETS_CAPACITY + 1) * NAME_BYTES, np.uint8)
        for market, name in enumerate(names, 1):
            text = name.encode("ascii").ljust(NAME_LENGTH, b"\0") + len(name).to_bytes(8, "little")
            self._names[market * NAME_BYTES : (market + 1) * NAME_BYTES] = np.frombuffer(text, np.uint8)
        self._accounts = np.empty(EVENTS_CHUNK, np.int64)
        self._results = np.empty(e.RESULTS_CAPACITY, np.int64)
        self._spare: list[Room] = []
        self._slab: Slab | None = None
        self._marks_count = 0  # of the slab
        self._open: np.ndarray | None = None  # rows of the chunk that goes on in the next call

    def feed(self, events: np.ndarray, complete: bool = True) -> Encoded:
        """
        Return the entries that these records complete.

        Shapes: EVENT[n] in order. `complete` is False when the last entry goes on in the next call (EVENTS_FULL).
        """
        return self.feed_bytes((events if events.flags.c_contiguous else events.copy()).view(np.uint8), complete)

    def feed_bytes(self, rows: np.ndarray, complete: bool) -> Encoded:
        """Return what `feed` does; shapes: rows uint8[n], the records as their bytes, which are quickly cut."""
        encoded = Encoded()
        if self._open is not None:
            rows = self._joined(self._open, rows, encoded)
        if len(rows) > 0:
            self._open = self._written(rows, complete, encoded)
        return encoded

    def _joined(self, opened: np.ndarray, rows: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Return the rows still to be written: those left open first, or what follows the chunk that they are of."""
        self._open = None
        few = rows[:JOINED_BYTES]
        if len(few) < len(rows):
            left = self._written(np.concatenate([opened, few]), False, encoded)
            done = len(opened) + len(few) - (0 if left is None else len(left))
            if done >= len(opened):
                return rows[done - len(opened) :]
            opened = opened[done:]
        return np.concatenate([opened, rows])

    def _written(self, rows: np.ndarray, complete: bool, encoded: Encoded) -> np.ndarray | None:
        """Write the outputs of some rows into slabs; return a copy of those that belong to an open chunk."""
        state, size = self._state, self._slab_bytes
        state[e.ROW] = 0
        while True:
            slab = self._slab or self._slab_new(size)
            raw, marks, first = slab.room.raw, slab.room.marks, self._marks_count
            status = e.entries_put(
                rows, len(rows), complete, state, self._scales, self._names, self._accounts, self._results, raw, marks
            )
            told = state.tolist()
            end = self._marks_count = told[e.MARKS_COUNT]
            if end > first:
                encoded.runs.append(Run(slab, first, end, (told[e.LAST_SEQ], told[e.LAST_CHUNK])))
            if status != e.ROOM:
                break
            size = self._slab_bytes if end > 0 else 2 * len(raw)  # not even one output found room: twice as much
            self._slab = None
        if status == e.BROKEN:
            broken(rows[told[e.ROW] :])
        return rows[told[e.ROW] :].copy() if status == e.WAIT else None

    def _slab_new(self, size: int) -> Slab:
        """Return a slab with so much room, from what was given back if it can be, and write there from now on."""
        usual = size == self._slab_bytes
        room = self._spare.pop() if usual and self._spare else Room(size, max(size // BYTES_OF_MARK, 1))
        self._slab = Slab(room, self._spare if usual else None)
        self._state[e.AT_BYTE] = self._state[e.MARKS_COUNT] = self._marks_count = 0
        return self._slab


def broken(rows: np.ndarray) -> None:
    """Raise what the plain encoder says of rows whose texts do not exist."""
    names = [f"market {number}" for number in range(1, r.MARKETS_CAPACITY + 1)]
    events = rows.copy().view(r.EVENT)
    Encoder(names, (0, 0)).feed(events)
    raise ValueError(f"an event of which no text is known: {events[0]}")
