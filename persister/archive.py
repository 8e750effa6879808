"""
The log -> files that stay for ever, one an hour; what lies on the disk for good is the archive's position.

Trimming believes that position, so it moves after the fsync alone. Every second what came is one frame of the open
file; a writer that died leaves at most its last frame torn, which the next one cuts off and writes again from the log.
What the files look like and how they are read: shared/archive.py.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import NamedTuple

import orjson

from shared.archive import (
    ArchiveDamaged,
    Segment,
    archive_entries,
    archive_folder,
    archive_lock,
    archive_segments,
    archive_tip,
    closed_name,
    closing_line,
    entry_line,
    entry_of_line,
    file_digest16,
    header_check,
    header_line,
    open_name,
    seq_of_line,
    ts_of,
)
from shared.archive_frames import frame_pack, frames_read
from shared.stream_keys import Entry, log_digest

HOUR_US = 3_600_000_000
SEGMENT_BYTES_MAX = 256 * 2**20
SUPERSEDED = ".superseded"
FRAME_ENTRIES_MAX = 5_000
SEQ_MAX = 2**63 - 1


class Disk:
    """What the writer asks of the operating system to keep its bytes; a test gives one that is full or slow."""

    def write(self, descriptor: int, content: bytes) -> None:
        """Write all of it at the file's end."""
        at = 0
        while at < len(content):
            at += os.write(descriptor, content[at:])

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk for good."""
        os.fsync(descriptor)


class Grown(NamedTuple):
    """How far the open file is; replaced as a whole after each fsync."""

    first_seq: int
    last_seq: int
    digest: str  # of the last entry
    entries: int
    size: int  # in bytes
    first_us: int  # producers' time of the first entry
    last_us: int  # the latest of any


class ArchiveFiles:
    """The files of one venue in the hands of their one writer."""

    def __init__(self, folder: Path, venue: str, disk: Disk | None = None, bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self.folder = folder
        self.venue = venue
        self.home = archive_folder(folder, venue)
        self.disk = disk or Disk()
        self.bytes_max = bytes_max
        self.thread_lock = threading.Lock()  # a thread may still write when its task was given up
        self.held: int | None = None
        self.descriptor: int | None = None
        self.grown: Grown | None = None
        self.tip = (0, "")  # seq and digest of the newest entry on the disk
        self.cut_bytes = 0  # what the last `begin` cut off: a torn frame
        self.closed_count = 0  # files that got their last name by us

    def begin(self) -> bool:
        """Take the files and mend a torn end; False while another writer has them; raises ArchiveDamaged, OSError."""
        with self.thread_lock:
            if self.held is None:
                self.held = archive_lock(self.folder, self.venue)
            if self.held is None:
                return False
            try:
                self.recover()
            except BaseException:
                self.release()
                raise
            return True

    def close(self) -> None:
        """Let go of the files; what was not synced may be torn."""
        with self.thread_lock:
            self.release()

    def release(self) -> None:
        """Close both descriptors."""
        for descriptor in (self.descriptor, self.held):
            if descriptor is not None:
                os.close(descriptor)
        self.descriptor = self.held = self.grown = None

    def recover(self) -> None:
        """Open the file that grows at the end of its last whole frame, and know the newest entry."""
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = self.grown = None
        self.cut_bytes = 0
        segments = archive_segments(self.folder, self.venue)
        for segment in segments[:-1]:
            if segment.is_open:
                raise ArchiveDamaged(segment.path, 0, "it is open, and there is a newer file")
        if segments and segments[-1].is_open:
            self.reopen(segments[-1])
        self.tip = archive_tip(self.folder, self.venue)

    def reopen(self, segment: Segment) -> None:
        """Go on with an open file: cut what is torn, finish what was being closed."""
        grown, closing = file_scan(segment, self.venue)
        descriptor = os.open(segment.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        size = os.fstat(descriptor).st_size
        if grown is None or grown.size < size:
            self.cut_bytes = size - (grown.size if grown else 0)
            os.ftruncate(descriptor, grown.size if grown else 0)
        try:
            # Whoever wrote this may have died before it was synced, file and name.
            self.disk.sync(descriptor)
            folder_sync(self.home)
        except OSError:
            os.close(descriptor)
            raise
        if grown is None:
            os.close(descriptor)
            segment.path.unlink()
            return
        self.descriptor, self.grown = descriptor, grown
        if closing:
            self.file_rename(grown)

    def append(self, entries: list[Entry]) -> None:
        """
        Keep the entries for good; after an OSError nothing of them counts, and `begin` must come first again.

        What is kept already is passed over: a thread whose task was given up may have written it meanwhile.
        """
        with self.thread_lock:
            assert self.held is not None, "the files are not ours"
            entries = [entry for entry in entries if entry.seq > self.tip[0]]
            try:
                start = 0
                for index, entry in enumerate(entries):
                    if self.file_ends(entries[start] if start < index else None, entry):
                        self.group_write(entries[start:index])
                        self.file_close()
                        start = index
                self.group_write(entries[start:])
                if self.grown is not None and self.grown.size >= self.bytes_max:
                    self.file_close()
            except BaseException:
                self.unsynced_cut()
                self.release()
                raise

    def unsynced_cut(self) -> None:
        """Cut off what was written and never synced: after a failed fsync it may be in memory alone and look whole."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self.descriptor, self.grown.size if self.grown is not None else 0)

    def file_ends(self, first: Entry | None, entry: Entry) -> bool:
        """Return whether an entry is of another hour than the file, whose first may not be written yet."""
        if self.grown is not None:
            first_us, last_us = self.grown.first_us, self.grown.last_us
        elif first is not None:
            first_us = last_us = ts_of(first)
        else:
            return False
        return max(last_us, ts_of(entry)) // HOUR_US > first_us // HOUR_US

    def group_write(self, group: list[Entry]) -> None:
        """Write entries as one frame of the open file, which is made when there is none, and wait for the disk."""
        if not group:
            return
        lines = [entry_line(entry) for entry in group]
        first_us = ts_of(group[0])
        grown = self.grown or Grown(group[0].seq, 0, "", 0, 0, first_us, first_us)
        made = self.descriptor is None
        if made:
            lines.insert(0, header_line(self.venue, group[0].seq, self.tip[1], first_us))
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self.descriptor = os.open(self.home / open_name(group[0].seq), flags, 0o644)
        assert self.descriptor is not None
        frame = frame_pack(lines)
        self.disk.write(self.descriptor, frame)
        self.disk.sync(self.descriptor)
        if made:
            folder_sync(self.home)
        self.tip = (group[-1].seq, log_digest(group[-1]).hex())
        self.grown = grown._replace(
            last_seq=self.tip[0],
            digest=self.tip[1],
            entries=grown.entries + len(group),
            size=grown.size + len(frame),
            last_us=max(grown.last_us, *(ts_of(entry) for entry in group)),
        )

    def file_close(self) -> None:
        """Close the open file under the name that says what is in it."""
        grown = self.grown
        if grown is None or self.descriptor is None:
            return
        frame = frame_pack([closing_line(grown.last_seq, grown.entries, grown.digest)])
        self.disk.write(self.descriptor, frame)
        self.disk.sync(self.descriptor)
        self.grown = grown._replace(size=grown.size + len(frame))
        self.file_rename(grown)

    def file_rename(self, grown: Grown) -> None:
        """Give a file with its closing line its last name."""
        path = self.home / open_name(grown.first_seq)
        os.rename(path, self.home / closed_name(grown.first_seq, grown.last_seq, file_digest16(path)))
        folder_sync(self.home)
        self.closed_count += 1
        assert self.descriptor is not None
        os.close(self.descriptor)
        self.descriptor = self.grown = None


def folder_sync(folder: Path) -> None:
    """Return when the folder's names are on the disk for good."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_scan(segment: Segment, venue: str) -> tuple[Grown | None, bool]:
    """
    Return how far an open file goes in whole frames, None without one, and whether it has its closing line.

    Raises ArchiveDamaged when whole frames follow bytes that are none: that is no torn end, and nobody may cut it off.
    """
    grown: Grown | None = None
    closing, number = False, 0
    try:
        for frame in frames_read(segment.path, torn=True):
            count = frame.lines_count
            if grown is None:
                header = header_check(segment, venue, frame.lines[0] if count else b"")
                grown = Grown(segment.first_seq, 0, "", 0, 0, int(header.get("us", 0)), 0)
                count -= 1
            number += frame.lines_count
            closing = count > 0 and seq_of_line(frame.last) is None
            grown = grown._replace(size=frame.end)
            if count > 0 and not closing:
                last = entry_of_line(frame.last)
                grown = grown._replace(
                    last_seq=last.seq,
                    digest=log_digest(last).hex(),
                    entries=grown.entries + count,
                    last_us=max(grown.first_us, grown.last_us, ts_of(last)),
                )
    except ValueError as error:
        raise ArchiveDamaged(segment.path, number + 1, str(error)) from None
    return grown, closing


def segment_times(segment: Segment) -> tuple[int, int]:
    """Return producers' time of a file's first and last entry, 0 where it cannot be read; raises ArchiveDamaged."""
    first_us, last_us, number = 0, 0, 0
    try:
        for frame in frames_read(segment.path):
            if number == 0:
                first_us = int(orjson.loads(frame.lines[0]).get("us", 0))
            number += frame.lines_count
            if seq_of_line(frame.last) is not None:
                last_us = max(last_us, ts_of(entry_of_line(frame.last)))
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ArchiveDamaged(segment.path, number, str(error)) from None
    return first_us, max(first_us, last_us)


def archive_cut(folder: Path, venue: str, kept_seq: int) -> list[Path]:
    """
    Let the archive end at an entry, or before what is damaged; return the files set aside, which hold what was cut.

    For `tidemark log restore` alone, which holds the archive's lock; done again after a crash, it finishes.
    """
    aside = []
    for segment in archive_segments(folder, venue):
        if end_of(segment, folder, venue) <= kept_seq:
            continue
        target = segment.path.with_name(segment.path.name + SUPERSEDED)
        shortened = segment_shorten(segment, folder, venue, kept_seq) if segment.first_seq <= kept_seq else None
        if shortened is not None:
            if segment.is_open and not target.exists():
                os.link(segment.path, target)
            os.replace(shortened, segment.path.with_name(open_name(segment.first_seq)))
        if shortened is None or not segment.is_open:
            os.replace(segment.path, target)
        folder_sync(segment.path.parent)
        aside.append(target)
    return aside


def end_of(segment: Segment, folder: Path, venue: str) -> int:
    """Return a file's last seq, that of an open one which is damaged as if it had no end."""
    try:
        return segment.last_seq or archive_tip(folder, venue)[0]
    except ArchiveDamaged:
        return SEQ_MAX


def segment_shorten(segment: Segment, folder: Path, venue: str, kept_seq: int) -> Path | None:
    """Return a new file under a name that nobody reads, with a file's readable entries up to one; None without any."""
    temporary = segment.path.with_name(f".{open_name(segment.first_seq)}")
    lines: list[bytes] = []
    with temporary.open("wb") as file:
        with contextlib.suppress(ArchiveDamaged):
            for entry in archive_entries(folder, venue, segment.first_seq - 1, kept_seq):
                lines = lines or [header_line(venue, entry.seq, header_before(segment), ts_of(entry))]
                lines.append(entry_line(entry))
                if len(lines) > FRAME_ENTRIES_MAX:
                    file.write(frame_pack(lines))
                    lines = [b""]
        if lines:
            file.write(frame_pack(lines))
        file.flush()
        os.fsync(file.fileno())
        kept = file.tell() > 0
    if not kept:
        temporary.unlink()
    return temporary if kept else None


def header_before(segment: Segment) -> str:
    """Return the digest that a file's header states of the entry before its first."""
    for frame in frames_read(segment.path):
        return str(orjson.loads(frame.lines[0]).get("before", ""))
    return ""
