"""
A recording as the simulator plays it: read and checked at once, then addressed by an endless index; pure.

Also here: how far back a player must go for a poller that comes back, so that every quote gets into the log although
Backpack's protocol acknowledges nothing (`Delivery`).
"""

import gzip
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from poller.backpack import FrameKind, frame_parse
from poller.forward import BATCH_ENTRIES_MAX, WAITING_ENTRIES_MAX
from poller.transport import READ_FRAMES_MAX, READY_FRAMES_MAX

# Update ids left free below the first recorded one, for the quotes that are re-sent while the recording is held.
HOLD_UPDATE_IDS = 1_000_000

# What a poller can hold in its memory, answered pings notwithstanding: its waiting room, a batch in flight that is put
# back, what the library has read ahead, and a few for the one in hand and the feed_status entries.
REWIND_FRAMES = WAITING_ENTRIES_MAX + 2 * BATCH_ENTRIES_MAX + READY_FRAMES_MAX + READ_FRAMES_MAX + 16
# A poller drops its socket when a quote waits for 3 s (connection.Patience.unforwarded_s) and answers no ping while it
# stands still: what was confirmed this long before its last sign of life is in the log.
REWIND_S = 10.0


class RecordingError(Exception):
    """The recording cannot be played; the text names the line."""


class Recorded(NamedTuple):
    """One frame of a recording."""

    stream: str
    market: str
    price: bool  # a quote; otherwise a mark
    data: dict[str, Any]


def recording_read(path: Path) -> list[Recorded]:
    """Return all frames of FILE.jsonl or FILE.jsonl.gz, in their order; raises RecordingError."""
    frames: list[Recorded] = []
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    frames.append(recorded_parse(line, f"{path.name}, line {number}"))
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path}: {error}") from None
    if not any(frame.price for frame in frames):
        raise RecordingError(f"{path.name} holds no bookTicker frame")
    return frames


def recorded_parse(line: bytes, place: str) -> Recorded:
    """Return one line's frame."""
    try:
        message = orjson.loads(line)
        market = message["data"]["s"]
    except (ValueError, TypeError, KeyError):
        raise RecordingError(f"{place}: not a frame") from None
    frame = frame_parse(line, (market,) if isinstance(market, str) else ())
    if frame.kind not in (FrameKind.PRICE, FrameKind.MARK):
        raise RecordingError(f"{place}: {frame.fault or 'not a frame'}")
    return Recorded(message["stream"], market, frame.kind == FrameKind.PRICE, orjson.loads(frame.body))


class Tape:
    """
    The frames of a recording under an index that goes on for ever when it loops.

    Update ids are kept; they are shifted by a constant only where room below the first is needed for a hold, and by
    whole laps so that they go on upwards when the recording starts again.
    """

    def __init__(self, frames: list[Recorded], hold: bool, loop: bool) -> None:
        assert frames, "a recording is never empty"
        self.frames = frames
        self.loop = loop
        self.firsts: dict[str, Recorded] = {}
        self.lasts: dict[str, Recorded] = {}
        for frame in frames:
            if frame.price:
                self.firsts.setdefault(frame.market, frame)
                self.lasts[frame.market] = frame
        lowest = min(frame.data["u"] for frame in self.firsts.values())
        self.shift = HOLD_UPDATE_IDS if hold and lowest < HOLD_UPDATE_IDS else 0
        highest = {name: max(f.data["u"] for f in frames if f.price and f.market == name) for name in self.firsts}
        self.lap_ids = {name: highest[name] - self.firsts[name].data["u"] + 1 for name in self.firsts}

    def ended(self, index: int) -> bool:
        """Return whether nothing is recorded at or after `index`."""
        return not self.loop and index >= len(self.frames)

    def frame(self, index: int) -> Recorded:
        """Return the frame at `index`, its update id as it is sent."""
        lap, place = divmod(index, len(self.frames))
        frame = self.frames[place]
        shift = self.shift + lap * self.lap_ids.get(frame.market, 0)
        if frame.price and shift:
            return frame._replace(data={**frame.data, "u": frame.data["u"] + shift})
        return frame

    def gap_us(self, index: int) -> int:
        """Return the recorded time between the frame before `index` and this one; a new lap begins a second later."""
        place = index % len(self.frames)
        if place == 0:
            return 1_000_000 if index else 0
        return max(0, self.frames[place].data["E"] - self.frames[place - 1].data["E"])

    def held(self, market: str, count: int) -> dict[str, Any]:
        """Return the first quote of a market as it is sent for the `count`-th time before the recording begins."""
        first = self.firsts[market].data
        return {**first, "u": first["u"] + self.shift - HOLD_UPDATE_IDS + count}

    def kept_up(self, market: str, count: int) -> dict[str, Any]:
        """Return the last quote of a market as it is sent for the `count`-th time after the recording's end."""
        last = self.lasts[market].data
        return {**last, "u": self.firsts[market].data["u"] + self.lap_ids[market] + self.shift + count}


class Delivery:
    """
    What one subscriber certainly has of a recording, and where to go on for the next one.

    After every chunk of frames the simulator sends a protocol ping. A pong says that the client's library has read
    everything before the ping, not that it is in the log; what may still be in the client's memory is bounded twice,
    by count (REWIND_FRAMES) and by time (REWIND_S), see there. A client that returns gets the frames from that point
    again, in a new session: some twice, none never.
    """

    def __init__(self, start: int) -> None:
        self.start = start  # this subscriber's first frame; everything before it is in the log
        self.confirmed_index = start  # its library has read all before this
        self.confirmed_s = 0.0
        self.recent: deque[tuple[float, int]] = deque()  # confirmations not older than REWIND_S, by time
        self.handled_index = start

    def confirm(self, index: int, now_s: float) -> None:
        """Note that the pong of a ping sent before frame `index` has come."""
        self.confirmed_index = max(self.confirmed_index, index)
        self.confirmed_s = now_s
        self.recent.append((now_s, self.confirmed_index))
        while self.recent and self.recent[0][0] <= now_s - REWIND_S:
            self.handled_index = self.recent.popleft()[1]

    def resume_index(self) -> int:
        """Return the first frame that may not be in the log."""
        return max(self.start, self.handled_index, self.confirmed_index - REWIND_FRAMES)
