"""A recording is checked before it is played, and a returning poller is sent what may not be in the log."""

import gzip
from pathlib import Path

import pytest

from poller.recording import (
    HOLD_UPDATE_IDS,
    REWIND_FRAMES,
    REWIND_S,
    Delivery,
    RecordingError,
    Tape,
    recording_read,
)
from tests.poller_doubles import NOW_US, mark_frame, price_frame, recording_write


def test_delivery_goes_back_by_count_and_by_time() -> None:
    """The place to go on from is as late as both bounds allow, and never before this listener's start."""
    delivery = Delivery(100)
    assert delivery.resume_index() == 100
    delivery.confirm(50_000, 10.0)
    assert delivery.resume_index() == 50_000 - REWIND_FRAMES
    delivery.confirm(50_500, 10.0 + REWIND_S - 0.1)
    assert delivery.resume_index() == 50_500 - REWIND_FRAMES
    delivery.confirm(50_600, 10.0 + REWIND_S)
    assert delivery.resume_index() == 50_000
    fresh = Delivery(50_000)
    fresh.confirm(50_100, 1.0)
    assert fresh.resume_index() == 50_000


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"data":{"s":"X"},"stream":"depth.X"}', b'{"error":{"code":1},"id":null}', b'{"data":{}}']
)
def test_unusable_recordings_name_the_line(tmp_path: Path, line: bytes) -> None:
    """A line that is no quote or mark is refused with its number before anything is played."""
    with pytest.raises(RecordingError, match="line 2"):
        recording_read(recording_write(tmp_path, [price_frame(1), line]))


def test_recording_without_quotes_is_refused(tmp_path: Path) -> None:
    """An empty or missing file, or one of marks only, cannot be played."""
    with pytest.raises(RecordingError):
        recording_read(recording_write(tmp_path, [mark_frame()]))
    with pytest.raises(RecordingError):
        recording_read(tmp_path / "missing.jsonl")
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(price_frame(1) * 9)[:-9])
    with pytest.raises(RecordingError):
        recording_read(tmp_path / "torn.jsonl.gz")


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("loop", [False, True])
def test_tape_gives_each_index_its_frame(tmp_path: Path, hold: bool, loop: bool) -> None:
    """Frames, gaps and update ids follow from the index alone, lap after lap; the end is where nothing is recorded."""
    frames = [price_frame(10 + 2 * i, event_us=NOW_US + i * 1_000) for i in range(4)]
    tape = Tape(recording_read(recording_write(tmp_path, frames)), hold, loop)
    shift = HOLD_UPDATE_IDS if hold else 0
    assert [tape.frame(i).data["u"] - shift for i in range(8)] == [10, 12, 14, 16, 17, 19, 21, 23]
    assert [tape.gap_us(i) for i in range(6)] == [0, 1_000, 1_000, 1_000, 1_000_000, 1_000]
    assert tape.ended(3) is False
    assert tape.ended(4) is not loop
    assert tape.kept_up("BTC_USDC_PERP", 1)["u"] - shift == 18
