"""
The outputs kept until they were seen in the events stream, as bytes: appended and compared without making one of them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.encode import entries as e
from engine.encode import kept_bytes as b
from engine.encode.encoded import Encoded, Room, Run, Slab
from shared.stream_keys import seq_chunk_of_event_id
from shared.wire_events import Output

NONE_PLACE = (0, 0)
NONE_BEFORE = b"0-0"

Place = tuple[int, int]


class Commands(NamedTuple):
    """Outputs as the commands that append them: all places are (seq, chunk), `previous` is the first's predecessor."""

    data: memoryview  # valid until the next commands are made
    taken: int  # how many outputs
    first: Place
    previous: Place
    last: Place


class Compared(NamedTuple):
    """How many entries of an answer are the oldest kept outputs, and where in its bytes the entry after them begins."""

    matched: int
    place: int


class Kept:
    """Outputs in their order: derived, and not yet seen in the stream."""

    def __init__(self) -> None:
        """Start without any."""
        self._runs: deque[Run] = deque()
        self._count = 0
        self._newest: Run | None = None
        self._newest_place = NONE_PLACE
        self._seen: tuple[Slab, int] | None = None
        self._told = np.zeros(b.TOLD_WORDS, np.int64)
        self._heads: dict[bytes, np.ndarray] = {}
        self._room = np.empty(0, np.uint8)
        self._view = self._room.data

    def keep(self, outputs: Sequence[Output]) -> None:
        """Keep the outputs that one step derived, in their order."""
        runs = outputs.runs if isinstance(outputs, Encoded) else runs_of(outputs)
        for run in runs:
            assert run.newest > self._newest_place
            last = self._runs[-1] if self._runs else None
            if last is not None and last.slab is run.slab and last.end == run.first:
                last.end, last.newest = run.end, run.newest
            else:
                self._runs.append(Run(run.slab, run.first, run.end, run.newest))
            self._count += run.end - run.first
            self._newest, self._newest_place = run, run.newest

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __getitem__(self, index: int) -> Output:
        place = index + self._count if index < 0 else index
        for run in self._runs:
            if 0 <= place < run.end - run.first:
                return run.slab.output(run.first + place)
            place -= run.end - run.first
        raise IndexError(index)

    def __iter__(self) -> Iterator[Output]:
        for run in self._runs:
            for index in range(run.first, run.end):
                yield run.slab.output(index)

    def first_place(self) -> Place:
        """Return (seq, chunk) of the oldest output kept, (0, 0) without one."""
        return place_of(self._runs[0].slab, self._runs[0].first) if self._runs else NONE_PLACE

    def newest_place(self) -> Place:
        """Return (seq, chunk) of the newest output that was ever kept, (0, 0) without one."""
        return self._newest_place

    def newest(self) -> Output | None:
        """Return the newest output that was ever kept, dropped since or not."""
        return self._newest.slab.output(self._newest.end - 1) if self._newest else None

    def seen(self) -> Output | None:
        """Return the newest output that was dropped because the stream holds it."""
        return self._seen[0].output(self._seen[1]) if self._seen else None

    def drop(self, count: int) -> None:
        """Drop the oldest outputs: they were seen in the stream."""
        while count > 0:
            run = self._runs[0]
            taken = min(count, run.end - run.first)
            self._seen = run.slab, run.first + taken - 1
            self._taken(run, taken)
            count -= taken

    def drop_below(self, place: Place) -> int:
        """Drop every output below a place, seen once and trimmed since; return how many."""
        before = self._count
        while self._runs:
            run = self._runs[0]
            below = int(b.below_count(run.slab.room.marks, run.first, run.end, *place))
            if below == 0:
                break
            self._taken(run, below)
        return before - self._count

    def popleft(self) -> Output:
        """Return the oldest output and drop it, as a deque would."""
        output = self[0]
        self._taken(self._runs[0], 1)
        return output

    def clear(self) -> None:
        """Drop all."""
        self._runs.clear()
        self._count = 0

    def _taken(self, run: Run, count: int) -> None:
        """Step over the first outputs of the first run."""
        run.first += count
        self._count -= count
        if run.first == run.end:
            self._runs.popleft()

    def publish_bytes(self, after: Place, head: bytes, count_max: int, bytes_max: int) -> Commands:
        """
        Return the oldest outputs beyond a place as commands: `head`, up to the stream's key and options, and the text.

        At most `count_max` outputs, and no more than one if the commands would be more than `bytes_max` bytes.
        """
        told = self._told
        told[: b.FIRST_SEQ] = count_max, bytes_max, *after, 0, 0, 0
        heads = self._heads.get(head)
        if heads is None:
            heads = self._heads[head] = np.frombuffer(bytearray(head), np.uint8)
        for run in self._runs:
            if run.newest <= after:
                continue
            room = run.slab.room
            self._room_make(bytes_max)
            b.commands_put(self._room, heads, room.raw, room.marks, run.first, run.end, told)
            if told[b.TAKEN] == 0:
                self._room_make(int(told[b.WANTED]))
                b.commands_put(self._room, heads, room.raw, room.marks, run.first, run.end, told)
            if told[b.WANTED] != 0:
                break
        size, taken, _, *places = told[b.BYTES :].tolist()
        if taken == 0:
            return Commands(self._view[:0], 0, NONE_PLACE, NONE_PLACE, NONE_PLACE)
        seq, chunk, previous_seq, previous_chunk, last_seq, last_chunk = places
        previous = previous_seq, previous_chunk
        return Commands(self._view[:size], taken, (seq, chunk), previous, (last_seq, last_chunk))

    def _room_make(self, size: int) -> None:
        """Have room for so many bytes of commands."""
        if size > len(self._room):
            self._room = np.empty(size, np.uint8)
            self._view = self._room.data

    def compare(self, raw: np.ndarray, begin: int, end: int, count: int) -> Compared:
        """
        Return how many of the `count` entries that begin at a byte of an answer are the oldest kept outputs.

        Shapes: raw uint8[n], n >= end. Nothing is dropped; the first entry that is no kept output ends it.
        """
        assert 0 <= begin <= end <= len(raw)
        matched, place = 0, begin
        for run in self._runs:
            room = run.slab.room
            equal, place = b.replies_compare(raw, place, end, count - matched, room.raw, room.marks, run.first, run.end)
            matched += int(equal)
            if run.first + equal < run.end or matched == count:
                break
        return Compared(matched, int(place))


def place_of(slab: Slab, index: int) -> Place:
    """Return (seq, chunk) of one output."""
    seq, chunk = slab.room.marks[index, e.MARK_SEQ : e.MARK_CHUNK + 1].tolist()
    return seq, chunk


def runs_of(outputs: Sequence[Output]) -> list[Run]:
    """Return outputs that were made one by one as a run of their own slab."""
    texts = [bulk(output.id) for output in outputs]
    rests = [b"".join(bulk(name) + bulk(value) for name, value in output.fields) for output in outputs]
    if not texts:
        return []
    room = Room(sum(map(len, texts)) + sum(map(len, rests)), len(outputs))
    at = 0
    for index, (output, text, rest) in enumerate(zip(outputs, texts, rests, strict=True)):
        previous = NONE_PLACE if output.previous == NONE_BEFORE else seq_chunk_of_event_id(output.previous)
        end = at + len(text) + len(rest)
        room.raw[at:end] = np.frombuffer(text + rest, np.uint8)
        room.marks[index] = output.seq, output.chunk, *previous, at, at + len(text), end
        at = end
    return [Run(Slab(room), 0, len(outputs), (outputs[-1].seq, outputs[-1].chunk))]


def bulk(text: bytes) -> bytes:
    """Return a text in the protocol's form."""
    return b"$%d\r\n%b\r\n" % (len(text), text)
