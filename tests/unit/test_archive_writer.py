"""persister/archive.py: what it calls kept is on the disk, whatever the disk does and wherever the writer dies."""

import hashlib
import os
from pathlib import Path

import pytest

from persister.archive import ArchiveFiles, Disk, file_scan, segment_times
from shared.archive import (
    ArchiveDamaged,
    archive_entries,
    archive_lock,
    archive_segments,
    archive_tip,
    closing_line,
    file_digest16,
)
from shared.archive_frames import frame_pack, frames_read, zstd
from shared.stream_keys import log_digest
from tests.archive_house import HOUR_US, START_US, VENUE, entries, entry, frames_written, names, writer


class DiskFailing(Disk):
    """A disk that writes so many bytes, and then half of what is asked and an error; or does not sync."""

    def __init__(self, bytes_left: int = 2**40, syncs_left: int = 2**40) -> None:
        self.bytes_left = bytes_left
        self.syncs_left = syncs_left

    def write(self, descriptor: int, content: bytes) -> None:
        """Write, or fail in the middle."""
        if len(content) > self.bytes_left:
            super().write(descriptor, content[: self.bytes_left])
            self.bytes_left = 0
            raise OSError(28, "No space left on device")
        self.bytes_left -= len(content)
        super().write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        """Sync, or fail."""
        self.syncs_left -= 1
        if self.syncs_left < 0:
            raise OSError(5, "Input/output error")
        super().sync(descriptor)


def seqs(folder: Path) -> list[int]:
    """Return the archived seqs."""
    return [found.seq for found in archive_entries(folder, VENUE, 0)]


def test_hours_are_files(tmp_path: Path) -> None:
    """A file closes when log time enters another hour, also in the middle of a batch; going back does not open one."""
    files = writer(tmp_path)
    hour_end = START_US - START_US % HOUR_US + HOUR_US
    times = [hour_end - 2, hour_end - 1, hour_end, hour_end - 1, hour_end + HOUR_US - 1, hour_end + 3 * HOUR_US]
    files.append([entry(seq, ts) for seq, ts in enumerate(times, 1)])
    files.append([entry(7, hour_end + 3 * HOUR_US), entry(8, 5)])
    files.close()
    found = archive_segments(tmp_path, VENUE)
    assert [(each.first_seq, each.last_seq) for each in found] == [(1, 2), (3, 5), (6, 0)]
    assert all(each.is_open or file_digest16(each.path) == each.digest16 for each in found)
    assert segment_times(found[0]) == (hour_end - 2, hour_end - 1)
    assert segment_times(found[2]) == (hour_end + 3 * HOUR_US,) * 2
    assert seqs(tmp_path) == list(range(1, 9))


def test_a_full_file_is_closed(tmp_path: Path) -> None:
    """A file that has reached its size is closed, and the next begins with the next entry."""
    files = writer(tmp_path, bytes_max=1)
    for first in (1, 4):
        files.append(entries(first, first + 2))
    files.close()
    assert [(each.first_seq, each.last_seq) for each in archive_segments(tmp_path, VENUE)] == [(1, 3), (4, 6)]
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6] and archive_tip(tmp_path, VENUE)[0] == 6


def test_a_writer_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    """A restart after any number of appends has the same tip, file and count as one writer would."""
    for first in (1, 4, 7):
        files = writer(tmp_path)
        assert files.tip == archive_tip(tmp_path, VENUE) and files.tip[0] == first - 1
        files.append(entries(first, first + 2))
        files.close()
    assert len(names(tmp_path)) == 1
    files = writer(tmp_path)
    files.append([entry(10, START_US + HOUR_US)])
    files.close()
    assert [each.last_seq for each in archive_segments(tmp_path, VENUE)] == [9, 0]
    assert seqs(tmp_path) == list(range(1, 11))


def test_the_header_names_the_entry_before(tmp_path: Path) -> None:
    """Each file states the digest of the entry before its first."""
    files = writer(tmp_path)
    files.append([entry(1), entry(2, START_US + HOUR_US)])
    files.close()
    headers = [next(frames_read(each.path)).lines[0] for each in archive_segments(tmp_path, VENUE)]
    assert b'"before":""' in headers[0] and log_digest(entry(1)).hex().encode() in headers[1]


def test_a_torn_end_costs_its_frame_alone(tmp_path: Path) -> None:
    """Cut at any byte, a file gives every whole frame, and the next writer goes on from there."""
    path, ends = frames_written(tmp_path, 3, 3)
    ends.insert(0, 0)
    content = path.read_bytes()
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        whole = 3 * sum(end <= size for end in ends[1:])
        assert seqs(tmp_path) == list(range(1, whole + 1))
        assert archive_tip(tmp_path, VENUE)[0] == whole
        files = writer(tmp_path)
        assert files.tip[0] == whole and files.cut_bytes == size - ends[whole // 3]
        files.append(entries(whole + 1, 9) or [entry(10)])
        files.close()
        assert seqs(tmp_path) == list(range(1, max(10, whole + 2)))[: max(9, whole + 1)]
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "tail",
    [b"\0" * 100, b"\x28\xb5\x2f\xfd" + b"\0" * 50, hashlib.blake2b(b"rubbish").digest()],
    ids=["zeros", "magic and zeros", "rubbish"],
)
def test_rubbish_at_the_end_is_a_torn_end(tmp_path: Path, tail: bytes) -> None:
    """Zeros or rubbish behind the last whole frame, as a power cut leaves them, are cut off."""
    files = writer(tmp_path)
    files.append(entries(1, 3))
    files.close()
    path = archive_segments(tmp_path, VENUE)[0].path
    path.write_bytes(path.read_bytes() + tail)
    assert seqs(tmp_path) == [1, 2, 3] and archive_tip(tmp_path, VENUE)[0] == 3
    files = writer(tmp_path)
    assert files.tip[0] == 3 and files.cut_bytes == len(tail)
    files.close()


def content_of(path: Path) -> bytes:
    """Return what a file's frames hold, nothing when one of them is damaged."""
    try:
        return b"".join(frame.content for frame in frames_read(path))
    except ValueError:
        return b""


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_damage_before_whole_frames_is_not_cut_off(tmp_path: Path, bits: int) -> None:
    """A changed byte with whole frames behind it stops writer and readers and costs nothing; in the last it is torn."""
    path, ends = frames_written(tmp_path, 3, 3)
    whole, content = path.read_bytes(), content_of(path)
    for place in range(len(whole)):
        changed = whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]
        path.write_bytes(changed)
        if content_of(path) == content:
            continue  # a bit that says nothing here
        if place >= ends[1]:
            assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]
            files = writer(tmp_path)
            assert (files.tip[0], files.cut_bytes) == (6, len(whole) - ends[1])
            files.close()
            continue
        with pytest.raises(ArchiveDamaged, match=f"line {1 if place < ends[0] else 5}: "):
            writer(tmp_path)
        with pytest.raises(ArchiveDamaged, match=path.name):
            seqs(tmp_path)
        with pytest.raises(ArchiveDamaged, match=path.name):
            archive_tip(tmp_path, VENUE)
        assert path.read_bytes() == changed
        if place >= ends[0]:
            assert [found.seq for found in archive_entries(tmp_path, VENUE, 0, 3)] == [1, 2, 3]


def test_a_full_disk_loses_nothing_that_counted(tmp_path: Path) -> None:
    """However many bytes fit, what was acknowledged is there, and once there is room the same entries follow."""
    probe = writer(tmp_path / "probe")
    probe.append(entries(1, 3))
    probe.append(entries(4, 6))
    assert probe.grown is not None
    whole = probe.grown.size
    probe.close()
    for room in range(0, whole, 3):
        folder = tmp_path / str(room)
        files = writer(folder, DiskFailing(bytes_left=room))
        with pytest.raises(OSError, match="No space"):
            append_twice(files)
        kept = files.tip[0]
        assert files.held is None, "the files are let go, so that the next try begins with mending"
        files = writer(folder)
        assert files.tip[0] == kept == (seqs(folder) or [0])[-1]
        files.append(entries(kept + 1, 6))
        files.close()
        assert seqs(folder) == [1, 2, 3, 4, 5, 6]


def test_a_damaged_frame_that_swallows_others_is_no_torn_end(tmp_path: Path) -> None:
    """A frame whose length was changed reads on over whole ones behind it and seems to be torn; nothing is cut off."""
    path, ends = frames_written(tmp_path, 3, 100)
    whole, torn = path.read_bytes(), 0
    for place in (*range(16), *range(ends[0], ends[0] + 16)):
        for bit in range(8):
            changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            path.write_bytes(changed)
            torn += swallowed(changed[0 if place < ends[0] else ends[0] :])
            if content_of(path).count(b"\n") < 301:
                with pytest.raises(ArchiveDamaged, match=path.name):
                    writer(tmp_path)
                assert path.read_bytes() == changed
    assert torn > 0, "some of these are what this test is about"


def swallowed(content: bytes) -> bool:
    """Return whether a frame takes everything behind it for its own and wants more."""
    decompressor = zstd.ZstdDecompressor()
    try:
        decompressor.decompress(content)
    except zstd.ZstdError:
        return False
    return not decompressor.eof


def append_twice(files: ArchiveFiles) -> None:
    """Append six entries in two goes."""
    files.append(entries(1, 3))
    files.append(entries(4, 6))


def test_a_disk_that_does_not_sync_keeps_nothing(tmp_path: Path) -> None:
    """What was written and not synced does not count."""
    files = writer(tmp_path, DiskFailing(syncs_left=1))
    files.append(entries(1, 3))
    with pytest.raises(OSError, match="Input/output"):
        files.append(entries(4, 6))
    assert files.tip[0] == 3
    files.disk = Disk()
    assert files.begin()
    assert files.tip[0] == 3, "the kernel may show what the disk never got"
    files.append(entries(4, 6))
    files.close()
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_what_a_dead_writer_left_is_synced_before_it_counts(tmp_path: Path) -> None:
    """A writer that died between writing and syncing left whole frames that a power cut would still take."""
    files = writer(tmp_path)
    files.append(entries(1, 3))
    files.close()
    files = ArchiveFiles(tmp_path, VENUE, DiskFailing(syncs_left=0))
    with pytest.raises(OSError, match="Input/output"):
        files.begin()
    assert files.tip == (0, "") and files.held is None


def test_a_writer_that_died_while_closing_is_finished(tmp_path: Path) -> None:
    """With the closing line written and the last name missing, the next writer gives the name and goes on."""
    files = writer(tmp_path)
    files.append(entries(1, 3))
    files.close()
    path = archive_segments(tmp_path, VENUE)[0].path
    ending = closing_line(3, 3, log_digest(entries(1, 3)[-1]).hex())
    path.write_bytes(path.read_bytes() + frame_pack([ending]))
    assert file_scan(archive_segments(tmp_path, VENUE)[0], VENUE)[1]
    files = writer(tmp_path)
    assert files.tip[0] == 3 and files.grown is None
    files.append(entries(4, 5))
    files.close()
    assert [(each.first_seq, each.last_seq) for each in archive_segments(tmp_path, VENUE)] == [(1, 3), (4, 0)]
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]


def test_an_open_file_that_is_not_the_last_is_damage(tmp_path: Path) -> None:
    """Two open files are nobody's writing."""
    files = writer(tmp_path)
    files.append(entries(1, 3))
    files.close()
    path = archive_segments(tmp_path, VENUE)[0].path
    path.with_name("log-0000000000000009.open.zst").write_bytes(path.read_bytes())
    with pytest.raises(ArchiveDamaged, match="there is a newer file"):
        writer(tmp_path)
    assert not writer_is_locked(tmp_path), "a writer that could not begin lets go"


def writer_is_locked(folder: Path) -> bool:
    """Return whether somebody holds the archive."""
    held = archive_lock(folder, VENUE)
    if held is not None:
        os.close(held)
    return held is None


def test_what_is_kept_is_not_kept_twice(tmp_path: Path) -> None:
    """Entries that overlap with those on the disk add what is new, once."""
    files = writer(tmp_path)
    for first, last in ((1, 5), (3, 7), (2, 6), (7, 7), (6, 9)):
        files.append(entries(first, last))
    files.close()
    assert seqs(tmp_path) == list(range(1, 10)) and archive_tip(tmp_path, VENUE)[0] == 9


def test_a_closed_writer_writes_nothing(tmp_path: Path) -> None:
    """Whoever let go of the files cannot append to them."""
    files = writer(tmp_path)
    files.close()
    with pytest.raises(AssertionError, match="not ours"):
        files.append([entry(1)])
    assert names(tmp_path) == []
