"""Entries of a log, and a writer of an archive on a folder of the test's own."""

from pathlib import Path

from persister.archive import ArchiveFiles, Disk
from shared.archive import archive_segments
from shared.stream_keys import Entry, restored_body

VENUE = "archtests1"
HOUR_US = 3_600_000_000
START_US = 1_700_000 * HOUR_US // 3_600  # no full hour


def entry(seq: int, ts_us: int = START_US, body: bytes = b"") -> Entry:
    """Return a quote of the log."""
    return Entry(seq, [(b"ts", b"%d" % ts_us), (b"price_update", body or b'{"u":%d}' % seq)])


def entries(first: int, last: int, ts_us: int = START_US) -> list[Entry]:
    """Return quotes that follow each other, one a millisecond."""
    return [entry(seq, ts_us + 1_000 * (seq - first)) for seq in range(first, last + 1)]


def restored(first_lost: int, last_lost: int) -> Entry:
    """Return the entry that states a lost range."""
    return Entry(last_lost + 1, [(b"ts", b"%d" % START_US), (b"restored", restored_body(first_lost, last_lost))])


def writer(folder: Path, disk: Disk | None = None, **options: int) -> ArchiveFiles:
    """Return a writer that has the files."""
    files = ArchiveFiles(folder, VENUE, disk, **options)
    assert files.begin()
    return files


def frames_written(folder: Path, frames_count: int, entries_count: int) -> tuple[Path, list[int]]:
    """Return a new open file of frames of so many entries each, and where in it each frame ends."""
    files = writer(folder)
    ends = []
    for number in range(frames_count):
        files.append(entries(number * entries_count + 1, (number + 1) * entries_count))
        assert files.grown is not None
        ends.append(files.grown.size)
    files.close()
    return archive_segments(folder, VENUE)[0].path, ends


def names(folder: Path) -> list[str]:
    """Return the names of the archive's files."""
    return sorted(path.name for path in (folder / VENUE).glob("log-*"))
