"""
The archive of the log: names and lines of its files, and reading them so that nothing damaged is believed.

`<folder>/<venue>/log-FIRST-LAST-DIGEST16.zst` is closed for ever, `log-FIRST.open.zst` still grows. The bytes are those
of shared/archive_frames.py, the writer is persister/archive.py. Docs: docs/architecture.md#the-archive
"""

import base64
import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.archive_frames import frames_read
from shared.stream_keys import Entry, Fields, follows, log_digest

VERSION = 1
FILE_NAME = re.compile(r"log-([0-9]{16})(?:-([0-9]{16})-([0-9a-f]{16})|\.open)\.zst")
LOCK_FILE = "lock"
DIGEST_HEX = 16
LISTINGS_MAX = 100  # of a file that is gone when it is opened
SEQ_START = b'{"seq":'
TS_DIGITS_MAX = 18


class ArchiveDamaged(Exception):
    """A file of the archive cannot be believed from a line on; nothing behind it was given."""

    def __init__(self, path: Path, line: int, text: str) -> None:
        super().__init__(f"{path}, line {line}: {text}")
        self.path = path
        self.line = line  # counted from 1; 0 is the file as a whole
        self.text = text


class Segment(NamedTuple):
    """One file of the archive."""

    first_seq: int
    last_seq: int  # 0 while it is open
    digest16: str  # "" while it is open
    path: Path

    @property
    def is_open(self) -> bool:
        """Return whether it still grows."""
        return self.last_seq == 0


# -- names


def archive_folder(folder: Path, venue: str) -> Path:
    """Return where the files of one venue lie."""
    return folder / venue


def open_name(first_seq: int) -> str:
    """Return the name of the file that grows."""
    return f"log-{first_seq:016d}.open.zst"


def closed_name(first_seq: int, last_seq: int, digest16: str) -> str:
    """Return the name of a file that never changes again."""
    return f"log-{first_seq:016d}-{last_seq:016d}-{digest16}.zst"


def archive_venues(folder: Path) -> list[str]:
    """Return the venues of which the archive holds anything."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and archive_segments(folder, path.name))


def archive_segments(folder: Path, venue: str) -> list[Segment]:
    """Return the venue's files by ascending seq; an open one whose closed name is there already is left out."""
    home = archive_folder(folder, venue)
    if not home.is_dir():
        return []
    found: dict[int, Segment] = {}
    for path in home.iterdir():
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            continue
        segment = Segment(int(match[1]), int(match[2] or 0), match[3] or "", path)
        if segment.first_seq not in found or not segment.is_open:
            found[segment.first_seq] = segment
    return [found[first] for first in sorted(found)]


def archive_lock(folder: Path, venue: str) -> int | None:
    """Return a descriptor that keeps every other writer of this archive out until it is closed; None when one is in."""
    home = archive_folder(folder, venue)
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def archive_is_written(home: Path) -> bool:
    """Return whether somebody holds the lock of a venue's archive now; nothing is made or changed."""
    try:
        with (home / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def file_digest16(path: Path) -> str:
    """Return what a closed file's name must say of its bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()[:DIGEST_HEX]


# -- lines


def header_line(venue: str, first_seq: int, before: str, first_us: int) -> bytes:
    """Return a file's first line; `before` is the digest of the entry before its first, "" when nobody knows it."""
    body = {"tidemark": "archive", "v": VERSION, "venue": venue, "first": first_seq, "before": before, "us": first_us}
    return orjson.dumps(body) + b"\n"


def closing_line(last_seq: int, count: int, digest: str) -> bytes:
    """Return a closed file's last line."""
    return orjson.dumps({"last": last_seq, "entries": count, "digest": digest}) + b"\n"


def entry_line(entry: Entry) -> bytes:
    """Return the line of one entry: its fields as texts, base64 for what is none."""
    fields = [[text_of(name), text_of(value)] for name, value in entry.fields]
    return orjson.dumps({"seq": entry.seq, "f": fields}) + b"\n"


def entry_of_line(line: bytes) -> Entry:
    """Return the entry of a line; raises ValueError when it is none."""
    try:
        body = orjson.loads(line)
        seq = body["seq"]
        fields: Fields = [(bytes_of(name), bytes_of(value)) for name, value in body["f"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no entry: {type(error).__name__}") from None
    if type(seq) is not int or seq < 1:
        raise ValueError("no entry: its seq is none")
    return Entry(seq, fields)


def text_of(content: bytes) -> str | dict[str, str]:
    """Return bytes as JSON that gives the same bytes back."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(content).decode()}


def bytes_of(item: Any) -> bytes:
    """Return the bytes that `text_of` wrote."""
    if isinstance(item, str):
        return item.encode()
    return base64.b64decode(item["b64"], validate=True)


def seq_of_line(line: bytes) -> int | None:
    """Return the seq of an entry's line without reading the rest; None when it is another line."""
    if not line.startswith(SEQ_START):
        return None
    digits = line[len(SEQ_START) : line.find(b",", len(SEQ_START))]
    return int(digits) if digits.isdigit() else None


def ts_of(entry: Entry) -> int:
    """Return the producer's time of an entry, 0 without one that can be read."""
    for name, value in entry.fields:
        if name == b"ts" and value.isdigit() and len(value) <= TS_DIGITS_MAX:
            return int(value)
    return 0


# -- reading


def segment_check(segment: Segment) -> None:
    """Raise ArchiveDamaged when a closed file's bytes are not those that its name states."""
    if not segment.is_open and file_digest16(segment.path) != segment.digest16:
        raise ArchiveDamaged(segment.path, 0, "its bytes are not those it was closed with")


def segment_lines(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of a file's lines, its bytes and its header checked; raises ArchiveDamaged."""
    segment_check(segment)
    number = 0
    try:
        for frame in frames_read(segment.path, segment.is_open):
            for line in frame.lines:
                number += 1
                yield number, line
    except ValueError as error:
        raise ArchiveDamaged(segment.path, number + 1, str(error)) from None


def header_check(segment: Segment, venue: str, line: bytes) -> dict[str, Any]:
    """Return a file's header; raises ArchiveDamaged when it is not that of this venue and seq."""
    try:
        header = orjson.loads(line)
        named = (header["tidemark"], header["v"], header["venue"], header["first"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ArchiveDamaged(segment.path, 1, "it is no header of an archive") from None
    if named != ("archive", VERSION, venue, segment.first_seq):
        raise ArchiveDamaged(segment.path, 1, f"its header names {named}, expected {venue} from {segment.first_seq}")
    return dict(header)


class Reading:
    """What one file has shown so far, and the rules that each of its lines keeps to: header, numbers, closing line."""

    def __init__(self, segment: Segment, venue: str, after_seq: int) -> None:
        self.segment = segment
        self.venue = venue
        self.after_seq = after_seq  # entries up to it are passed over, and nothing but their numbers looked at
        self.number = 0  # of the newest line
        self.last_seq = segment.first_seq - 1
        self.last: Entry | bytes | None = None  # the newest entry, or its line; None when it was passed over
        self.count = 0  # entries so far
        self.closed = False

    def line(self, line: bytes) -> Entry | None:
        """Return the entry of the next line, None when it has none or is passed over; raises ArchiveDamaged."""
        self.number += 1
        if self.number == 1:
            header_check(self.segment, self.venue, line)
            return None
        if self.closed:
            raise ArchiveDamaged(self.segment.path, self.number, "there is a line behind the closing line")
        seq = seq_of_line(line)
        if seq is None:
            self.closed = True
            last = entry_of_line(self.last) if isinstance(self.last, bytes) else self.last
            closing_check(self.segment, self.number, line, last, self.last_seq, self.count)
            return None
        self.count += 1
        if seq <= self.after_seq and seq == self.last_seq + 1:
            self.last_seq, self.last = seq, None
            return None
        try:
            entry = entry_of_line(line)
        except ValueError as error:
            raise ArchiveDamaged(self.segment.path, self.number, str(error)) from None
        if not follows(self.last_seq, entry) and not (self.count == 1 and seq == self.segment.first_seq):
            raise ArchiveDamaged(self.segment.path, self.number, f"entry {entry.seq} stands behind {self.last_seq}")
        self.last_seq, self.last = entry.seq, entry
        return entry if entry.seq > self.after_seq else None

    def walked(self, count: int, last: bytes) -> None:
        """Note that the next lines are entries of the next numbers, and which line is the last of them."""
        self.number += count
        self.count += count
        self.last_seq += count
        self.last = last if self.last_seq > self.after_seq else None

    def end(self) -> None:
        """Note that there are no more lines; raises ArchiveDamaged when there should be."""
        if not self.segment.is_open and not self.closed:
            raise ArchiveDamaged(self.segment.path, 0, "it has no closing line")


def segment_entries(segment: Segment, venue: str, after_seq: int) -> Iterator[Entry]:
    """Yield the entries of one file after a seq, header, numbers and closing line checked; raises ArchiveDamaged."""
    reading = Reading(segment, venue, after_seq)
    for _, line in segment_lines(segment):
        entry = reading.line(line)
        if entry is not None:
            yield entry
    reading.end()


def closing_check(segment: Segment, number: int, line: bytes, last: Entry | None, last_seq: int, count: int) -> None:
    """Raise ArchiveDamaged unless a closing line states what was read; `last` is None when that was passed over."""
    try:
        body = orjson.loads(line)
        stated = (body["last"], body["entries"], body["digest"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ArchiveDamaged(segment.path, number, "it is neither an entry nor a closing line") from None
    digest = log_digest(last).hex() if last is not None else stated[2]
    if stated != (last_seq, count, digest) or (not segment.is_open and last_seq != segment.last_seq):
        raise ArchiveDamaged(segment.path, number, f"the closing line states {stated}, read were {last_seq}, {count}")


def archive_entries(
    folder: Path, venue: str, after_seq: int, to_seq: int | None = None
) -> Generator[Entry, None, None]:
    """
    Yield the archived entries after a seq and up to another, in order and without a gap; raises ArchiveDamaged.

    The first may lie beyond after_seq + 1 when the archive begins later: whoever needs that number checks it. What a
    living writer adds meanwhile is followed; a last frame that is not whole yet is left out.
    """
    walk, before = Walk(folder, venue, after_seq, to_seq), None
    for segment in walk.segments():
        with walk.reading():
            for entry in segment_entries(segment, venue, walk.seq):
                if before is not None and not follows(before, entry):
                    words = f"it begins with {entry.seq}, the file before ends at {walk.seq}"
                    raise ArchiveDamaged(segment.path, 0, words)
                if to_seq is not None and entry.seq > to_seq:
                    return
                walk.seq = before = entry.seq
                yield entry
                if entry.seq == to_seq:
                    return


class Walk:
    """The files that hold what follows a seq up to another, one by one, while a living writer renames and adds some."""

    def __init__(self, folder: Path, venue: str, after_seq: int, to_seq: int | None) -> None:
        self.folder = folder
        self.venue = venue
        self.seq = after_seq  # as far as has been read: whoever reads says so
        self.to_seq = to_seq
        self.gone = False  # the file was not there any more

    def segments(self) -> Generator[Segment, None, None]:
        """Yield each file that is to be read; raises ArchiveDamaged for one that is named and not there."""
        missed = 0
        while self.to_seq is None or self.seq < self.to_seq:
            segment = segment_next(self.folder, self.venue, self.seq)
            if segment is None:
                return
            if missed > LISTINGS_MAX:
                raise ArchiveDamaged(segment.path, 0, "its name is there, the file is not")
            begun, self.gone = self.seq, False
            yield segment
            missed += self.gone
            if not self.gone and (self.seq == begun or (segment.is_open and segment.path.exists())):
                return

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read a file inside; one that was closed under its other name meanwhile is looked for again."""
        try:
            yield
        except FileNotFoundError:
            self.gone = True


def segment_next(folder: Path, venue: str, after_seq: int) -> Segment | None:
    """Return the file that holds the next entry after a seq, None when all are behind it."""
    segments = archive_segments(folder, venue)
    for index, segment in enumerate(segments):
        following = segments[index + 1].first_seq if index + 1 < len(segments) else None
        last_seq = segment.last_seq or (following - 1 if following is not None else None)
        if last_seq is None or last_seq > after_seq:
            return segment
    return None


def archive_tip(folder: Path, venue: str, missed: int = 0) -> tuple[int, str]:
    """Return seq and digest of the newest archived entry, (0, "") without one; raises ArchiveDamaged."""
    for segment in reversed(archive_segments(folder, venue)):
        newest, number = b"", 0
        try:
            for frame in frames_read(segment.path, segment.is_open):
                newest = frame.last or newest
                number += frame.lines_count
            if not newest:
                continue  # not one whole frame: the tip is in the file before
            if seq_of_line(newest) is not None:
                entry = entry_of_line(newest)
                return entry.seq, log_digest(entry).hex()
            closing = orjson.loads(newest)
            return int(closing["last"]), str(closing["digest"])
        except FileNotFoundError:
            if missed >= LISTINGS_MAX:
                raise ArchiveDamaged(segment.path, 0, "its name is there, the file is not") from None
            return archive_tip(folder, venue, missed + 1)  # closed under its other name meanwhile
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveDamaged(segment.path, number, str(error)) from None
    return 0, ""
