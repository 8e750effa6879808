"""Recorded frames: the compiled reader takes what the poller would have logged, word for word, or leaves it."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest_feed import FeedError, feed_row
from engine.backtest_recordings import Recording
from engine.decode.feed import EVENT
from engine.decode.rows import SEQ, SESSION, TS
from scripts.backtest_files import frame_read
from shared.records import TEXT_WORDS
from shared.wire import TS_MAX_US, TS_MIN_US
from tests.property.canonical_inputs import TS_US, bytes_spoilt, feed_entry, value_spoilt

STREAMS = {b"price_update": "bookTicker", b"mark_update": "markPrice"}
Read = tuple[list[int], bytes]


def line_of(chance: random.Random, at_us: int) -> bytes:
    """Return a frame's line, now and then with something wrong about it."""
    while (fields := feed_entry(chance))[-1][0] not in STREAMS:
        pass
    name, body = fields[-1]
    body = body.replace(body.split(b'"E":')[1].split(b",")[0], b"%d" % at_us, 1)
    market = body.split(b'"s":"')[1].split(b'"')[0]
    way = chance.randrange(8)
    if way == 0:
        body = value_spoilt(chance, body)
    if way == 1:
        market = chance.choice((b"X", b"", market + b"Y"))
    line = b'{"data":%b,"stream":"%b.%b"}' % (body, STREAMS[name].encode(), market)
    if way == 2:
        line = bytes_spoilt(chance, line).replace(b"\n", b"")
    return line + chance.choice((b"\n", b"\n", b"\r\n", b" \n", b"\n\n"))


def plainly(line: bytes) -> Read:
    """Return words and body of one line as the poller and the wire read it; raises FeedError."""
    name, body = frame_read(line, "here")
    row = feed_row([(b"ts", b"%d" % TS_US), (b"session", b"x"), (name, body)])
    if row is None or not TS_MIN_US <= row[EVENT] <= TS_MAX_US:
        raise FeedError("unreadable, or of no time that a log may have")
    return row.tolist(), body


def compiled(path: Path, lines: list[bytes]) -> list[Read]:
    """Return the same of a whole recording; raises FeedError."""
    path.write_bytes(b"".join(lines))
    recording, found = Recording(path, frame_read, 700), []
    try:
        while (chunk := recording.chunk) is not None:
            found += [(chunk.rows[at].tolist(), chunk.body(at)) for at in range(len(chunk.rows))]
            recording.advance(len(chunk.rows))
    finally:
        recording.chunks.close()
    return found


def without_marks(read: Read) -> Read:
    """Return what was read without its time, its number and its session, which are the feed's to give."""
    words = np.array(read[0])
    words[[SEQ, TS]] = 0
    words[SESSION : SESSION + TEXT_WORDS] = 0
    return words.tolist(), read[1]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**40))
def test_frames_are_read_as_the_poller_reads_them(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Of any recording: the same records and bodies in the same order, or the error that names the line."""
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("recorded") / "recording.jsonl"
    lines = [line_of(chance, TS_US + chance.randrange(10**7)) for _ in range(chance.randrange(1, 14))]
    expected: list[Read] = []
    try:
        for line in filter(bytes.strip, lines):
            expected.append(plainly(line))  # noqa: PERF401 - what comes before an error counts
    except FeedError:
        with pytest.raises(FeedError, match="line "):
            compiled(path, lines)
        return
    found = compiled(path, lines)
    assert [without_marks(read) for read in found] == [without_marks(read) for read in expected]
    stamps = [read[0][TS] for read in found]
    events = [read[0][EVENT] for read in found]
    assert stamps == np.maximum.accumulate(events).tolist()
