"""
Recordings of frames as a feed: several files merged by time, a tick every second, a session for each file that begins.

A frame's own time `E` is when it reaches the venue. At equal times the file named first comes first, and in a file the
line above; a tick comes before what has its time.
"""

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from engine.backtest_feed import NAMES, Fed, FeedError, FeedRows, feed_row, session_open
from engine.beside import Beside
from engine.decode.feed import EVENT
from engine.decode.frames import BODY_BYTES, frames_walk
from engine.decode.rows import FEED_WORDS, KIND, KIND_TICK, SESSION, TS
from engine.decode.words import AHEAD
from shared.records import TEXT_WORDS
from shared.stream_keys import Entry, Fields
from shared.units import words_of_text
from shared.wire import TS_MAX_US, TS_MIN_US

PRICE_AGE_MAX_MS = 60_000  # as long as a poller's player keeps a recorded quote fresh by its marks
CHUNK_BYTES = 2**20
CHUNKS_AHEAD_BYTES = 8 * 2**20
LINE_BYTES_MIN = 64  # of any frame; room is made for as many lines
LINE_BYTES_MAX = 2**20
TICK_US = 1_000_000
STILL_US = 60_000_000  # the clock goes on ticking for so long when nothing comes; then it jumps to what comes next
PADDING = b"\0" * AHEAD  # the compiled reader looks so far ahead

FrameRead = Callable[[bytes, str], tuple[bytes, bytes]]  # (line, place) -> (b"price_update" or b"mark_update", body)


class Chunk(NamedTuple):
    """
    Consecutive frames of one file.

    Shapes: rows int64[m, FEED_WORDS]; spans int64[m, 2], where each data object lies in the content.
    """

    rows: np.ndarray
    content: bytes
    spans: np.ndarray
    odd: dict[int, bytes]  # the data objects of those in another form, by index
    read_bytes: int  # of the file, with everything up to here

    def body(self, index: int) -> bytes:
        """Return the data object of a frame in canonical form."""
        begin, end = self.spans[index].tolist()
        return self.odd[index] if index in self.odd else self.content[begin:end]


class Recording:
    """One file: its frames in their order, read ahead."""

    def __init__(self, path: Path, frame_read: FrameRead, chunk_bytes: int) -> None:
        self.path = path
        self.chunk_bytes = chunk_bytes
        self.frame_read = frame_read
        self.size = path.stat().st_size
        self.lines_count = 0  # before the content that is being read
        self.last_us = 0
        self.chunks = Beside(self.read(), lambda chunk: len(chunk.content) + chunk.rows.nbytes, CHUNKS_AHEAD_BYTES)
        self.chunk: Chunk | None = None
        self.at = 0  # in the chunk
        self.read_bytes = 0
        self.begun = False  # whether its session is open
        self.advance(0)

    def advance(self, count: int) -> None:
        """Pass over so many frames of the chunk at hand; take the next one when it is used up."""
        self.at += count
        if self.chunk is None or self.at >= len(self.chunk.rows):
            self.chunk, self.at = next(self.chunks, None), 0
            self.read_bytes = self.chunk.read_bytes if self.chunk is not None else self.size

    def times(self) -> np.ndarray:
        """Return the times of what is left of the chunk at hand, ascending."""
        assert self.chunk is not None
        return self.chunk.rows[self.at :, TS]

    def read(self) -> Iterator[Chunk]:
        """Yield the file's frames; raises FeedError at a line that is none."""
        rest = b""
        try:
            with self.path.open("rb") as raw, packed(raw, self.path) as file:
                while True:
                    piece = file.read(self.chunk_bytes)
                    content = rest + piece
                    end = content.rfind(b"\n") + 1 if piece else len(content)
                    if len(content) - end > LINE_BYTES_MAX:
                        raise FeedError(f"{self.path.name}, line {self.lines_count + 1}: longer than any frame")
                    if end:
                        yield self.chunk_of(content[:end], raw.tell())
                    rest = content[end:]
                    if not piece:
                        return
        except (OSError, EOFError) as error:
            raise FeedError(f"{self.path}: {error}") from None

    def chunk_of(self, content: bytes, read_bytes: int) -> Chunk:
        """Return the frames of whole lines."""
        raw, at, end = np.frombuffer(content + PADDING, np.uint8), 0, len(content)
        most = end // LINE_BYTES_MIN + 1
        places, ends = np.empty(most + 1, np.int64), np.empty(most, np.int64)
        rows, spans = np.empty((most, FEED_WORDS), np.int64), np.empty((most, 2), np.int64)
        odd: dict[int, bytes] = {}
        count = 0
        while at < end:
            walked, at = frames_walk(raw, at, end, places, ends, rows[count:])
            spans[count : count + walked, 0] = places[:walked] + BODY_BYTES
            spans[count : count + walked, 1] = ends[:walked]
            count += walked
            if at >= end:
                break
            after = content.find(b"\n", at) + 1 or end
            line = content[at:after]
            if line.strip():
                if count == most:
                    raise FeedError(f"{self.place(content, at)}: not a frame")
                rows[count], odd[count] = self.odd_read(line, self.place(content, at))
                spans[count] = 0
                count += 1
            at = after
        self.lines_count += content.count(b"\n")
        rows = rows[:count]
        if count:
            rows[0, TS] = max(int(rows[0, TS]), self.last_us)
            np.maximum.accumulate(rows[:, TS], out=rows[:, TS])
            self.last_us = int(rows[-1, TS])
        return Chunk(rows, content, spans[:count], odd, read_bytes)

    def place(self, content: bytes, at: int) -> str:
        """Return in words where a line of the content stands."""
        return f"{self.path.name}, line {self.lines_count + content.count(bytes((10,)), 0, at) + 1}"

    def odd_read(self, line: bytes, place: str) -> tuple[np.ndarray, bytes]:
        """Return the words and the data object of a frame in another form; raises FeedError when it is none."""
        name, body = self.frame_read(line, place)
        # Its time is read with the rest of it; any stamp will do until then.
        row = feed_row([(b"ts", b"1700000000000000"), (b"session", b"x"), (name, body)])
        if row is None:
            raise FeedError(f"{place}: no price update and no mark price that a venue could read")
        if not TS_MIN_US <= row[EVENT] <= TS_MAX_US:
            raise FeedError(f"{place}: its time E is {int(row[EVENT])}, not in microseconds of this century")
        row[TS] = row[EVENT]
        return row, body


class RecordingsFeed:
    """Several recordings as one feed."""

    def __init__(
        self,
        paths: list[Path],
        frame_read: FrameRead,
        price_age_max_ms: int = PRICE_AGE_MAX_MS,
        from_us: int | None = None,
        to_us: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """Open the files; `price_age_max_ms` is how long a recorded quote counts as fresh."""
        self.notes: list[str] = []
        self.genesis: dict[str, Any] | None = None
        self.from_us, self.to_us = from_us, to_us
        self.price_age_max_ms = price_age_max_ms
        self.files = [Recording(path, frame_read, chunk_bytes) for path in paths]
        self.sessions_count = 0
        self.session_words = [0] * TEXT_WORDS
        self.session = b""
        self.tick_us = 0  # of the newest tick, or when the clock began
        self.newest_us = 0
        self.skip()

    def skip(self) -> None:
        """Pass over what is earlier than what is asked for."""
        for file in self.files:
            while self.from_us is not None and file.chunk is not None:
                early = int(np.searchsorted(file.times(), self.from_us, "left"))
                if early == 0:
                    break
                file.advance(early)

    def first_us(self) -> int | None:
        """Return the time of the next frame, None when there is none."""
        firsts = [int(file.times()[0]) for file in self.files if file.chunk is not None]
        return None if not firsts or (self.to_us is not None and min(firsts) > self.to_us) else min(firsts)

    def take(self, until_us: int | None, count: int, seq: int) -> Fed | None:
        """Return what comes next, see Feed."""
        if self.to_us is not None:
            until_us = self.to_us if until_us is None else min(until_us, self.to_us)
        chosen = self.choose(until_us, count)
        if not chosen:
            return None
        times = np.concatenate([file.times()[:taken] for file, taken in chosen])
        order = np.argsort(times, kind="stable")  # the files stand in their order
        which = np.repeat(np.arange(len(chosen)), [taken for _, taken in chosen])[order]
        begins = [(int((which == place).argmax()), file) for place, (file, _) in enumerate(chosen) if not file.begun]
        if begins:
            first, file = min(begins, key=lambda found: found[0])
            if first == 0:
                return self.begin(file, seq)
            order, which = order[:first], which[:first]
        return self.rows_of(chosen, order, which, seq, count)

    def choose(self, until_us: int | None, count: int) -> list[tuple[Recording, int]]:
        """Return how many frames of each file come before anything that is not read yet, and before a time passes."""
        live = [file for file in self.files if file.chunk is not None]
        if not live:
            return []
        # Of a file whose chunk ends, what comes behind may have the time of its last frame.
        horizon_us, bounding = min((int(file.times()[-1]), place) for place, file in enumerate(live))
        chosen = []
        for place, file in enumerate(live):
            times = file.times()
            taken = int(np.searchsorted(times, horizon_us, "right" if place <= bounding else "left"))
            if until_us is not None and until_us <= horizon_us:
                taken = min(taken, int(np.searchsorted(times, until_us, "right")))
            if taken:
                chosen.append((file, min(taken, count)))
        return chosen

    def begin(self, file: Recording, seq: int) -> list[Entry]:
        """Return the entries with which a file's session opens, at the time of its next frame."""
        file.begun = True
        self.sessions_count += 1
        self.session = b"backtest-%d" % self.sessions_count
        self.session_words = words_of_text(self.session.decode(), TEXT_WORDS)
        opened_us = int(file.times()[0])
        entries = self.ticks(opened_us, seq)
        name = file.path.name.removesuffix(".gz").removesuffix(".jsonl").encode("ascii", "replace").decode()
        fields = [(b"ts", b"%d" % opened_us), (b"session", self.session)]
        return [
            *entries,
            Entry(seq + len(entries), session_open(fields, f"recording:{name}", self.price_age_max_ms)),
        ]

    def rows_of(
        self, chosen: list[tuple[Recording, int]], order: np.ndarray, which: np.ndarray, seq: int, count: int
    ) -> FeedRows:
        """Return frames of the chosen files in their order, with the ticks that are due among them, `count` in all."""
        chunks = [_chunk(file) for file, _ in chosen]
        parts = [chunk.rows[file.at : file.at + taken] for chunk, (file, taken) in zip(chunks, chosen, strict=True)]
        begins = np.cumsum([0, *map(len, parts[:-1])])
        indexes = order + (np.array([file.at for file, _ in chosen]) - begins)[which]
        rows = np.concatenate(parts)[order]
        rows[:, SESSION : SESSION + TEXT_WORDS] = self.session_words
        due, firsts = self.stamps(rows[:, TS].tolist())
        ticks = np.zeros((len(due), FEED_WORDS), np.int64)
        ticks[:, TS], ticks[:, KIND] = due, KIND_TICK
        merged = np.argsort(np.concatenate([ticks[:, TS], rows[:, TS]]), kind="stable")[:count]
        if merged[-1] < len(due) and due[merged[-1]] in firsts:
            merged = merged[:-1]  # the two ticks of a jump stay together
        fed, origins = np.concatenate([ticks, rows])[merged], merged - len(due)  # an origin below zero: a tick
        self.advance(chosen, which[origins[origins >= 0]], fed)
        session = self.session

        def fields_of(index: int) -> Fields:
            origin, stamp = int(origins[index]), (b"ts", b"%d" % int(fed[index, TS]))
            if origin < 0:
                return [stamp, (b"clock_tick", b"{}")]
            body = chunks[int(which[origin])].body(int(indexes[origin]))
            return [stamp, (b"session", session), (NAMES[int(fed[index, KIND])], body)]

        return FeedRows(fed, seq, fields_of)

    def advance(self, chosen: list[tuple[Recording, int]], which: np.ndarray, fed: np.ndarray) -> None:
        """Pass over what was fed: the files' frames and the ticks."""
        for (file, _), passed in zip(chosen, np.bincount(which, minlength=len(chosen)).tolist(), strict=True):
            file.advance(passed)
        ticked = fed[:, KIND] == KIND_TICK
        if ticked.any():
            self.tick_us = int(fed[ticked][-1, TS])
        if not ticked.all():
            self.newest_us = max(self.newest_us, int(fed[~ticked][-1, TS]))

    def stamps(self, times: list[int]) -> tuple[list[int], set[int]]:
        """
        Return when ticks are due up to the last of these times, and which of them are the first of a jump's two.

        Every full second, until nothing has come for a minute; then right before what comes and at its time.
        """
        due: list[int] = []
        firsts: set[int] = set()
        newest_us = self.newest_us
        tick_us = self.tick_us
        for time_us in times:
            jumps = time_us - newest_us > STILL_US
            last_us = newest_us + STILL_US if jumps else time_us
            due += range((tick_us // TICK_US + 1) * TICK_US, last_us + 1, TICK_US)
            tick_us = due[-1] if due else tick_us
            if jumps:
                due += (time_us - TICK_US, time_us)
                firsts.add(time_us - TICK_US)
                tick_us = time_us
            newest_us = time_us
        return due, firsts

    def ticks(self, to_us: int, seq: int, one: bool = False) -> list[Entry]:
        """Return the ticks that are due in front of an entry that is no frame; `one`: the next, or a jump's."""
        due, firsts = self.stamps([max(to_us, self.newest_us)])
        if one and due:
            due = due[: 2 if due[0] in firsts else 1]
        if due:
            self.tick_us = due[-1]
        if not one or (len(due) == 2 and due[0] in firsts):
            self.newest_us = max(self.newest_us, to_us)
        return [Entry(seq + index, [(b"ts", b"%d" % stamp), (b"clock_tick", b"{}")]) for index, stamp in enumerate(due)]

    def clock_begin(self, at_us: int) -> None:
        """Have the clock begin at the venue's founding."""
        self.tick_us = self.newest_us = at_us

    def progress(self) -> tuple[int, int]:
        """Return bytes read and bytes in all."""
        return sum(file.read_bytes for file in self.files), sum(file.size for file in self.files)

    def close(self) -> None:
        """Let go of the files."""
        for file in self.files:
            file.chunks.close()


def packed(raw: BinaryIO, path: Path) -> contextlib.AbstractContextManager[Any]:
    """Return what gives the lines of an open file, unpacked where its name says that it is packed."""
    return gzip.open(raw) if path.suffix == ".gz" else contextlib.nullcontext(raw)


def _chunk(file: Recording) -> Chunk:
    assert file.chunk is not None
    return file.chunk
