"""Reading the log from Redis and, below what Redis holds, from the archive."""

from pathlib import Path
from typing import Any

from engine.log_source import LogSource
from shared.archive import archive_folder, entry_line, header_line, open_name
from shared.archive_frames import frame_pack
from shared.stream_keys import Entry, Keys, restored_body

VENUE = "toyvenue01"


def entry_of(seq: int) -> Entry:
    """Return an entry that can be told from every other."""
    return Entry(seq, [(b"ts", b"%d" % (1_800_000_000_000_000 + seq)), (b"add", b"%d" % seq)])


class Held:
    """A Redis that holds some of the log, and counts how often it was asked."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.asked_count = 0

    def read_log(self, keys: Any, after_seq: int, count: int, block_ms: int | None = None) -> list[Entry]:
        self.asked_count += 1
        return [entry for entry in self.entries if entry.seq > after_seq][:count]

    def range_log(self, keys: Any, first_seq: int, last_seq: int, count: int) -> list[Entry]:
        return [entry for entry in self.entries if first_seq <= entry.seq <= last_seq][:count]

    def log_tip(self, keys: Any) -> int:
        return self.entries[-1].seq if self.entries else 0

    def log_first(self, keys: Any) -> int:
        return self.entries[0].seq if self.entries else 0


def archive_write(folder: Path, entries: list[Entry]) -> None:
    """Write an open segment with these entries."""
    home = archive_folder(folder, VENUE)
    home.mkdir(parents=True)
    lines = [header_line(VENUE, entries[0].seq, "", 0), *(entry_line(entry) for entry in entries)]
    (home / open_name(entries[0].seq)).write_bytes(frame_pack(lines))


def source_of(tmp_path: Path, archived: range, held: range | None) -> LogSource:
    """Return a source over an archive and a Redis that hold these ranges."""
    archive_write(tmp_path, [entry_of(seq) for seq in archived])
    streams = None if held is None else Held([entry_of(seq) for seq in held])
    return LogSource(streams, Keys(VENUE), tmp_path)


def read_all(source: LogSource, after_seq: int, count: int = 7) -> list[Entry]:
    """Return everything that follows a seq, read in small pieces."""
    found: list[Entry] = []
    while entries := source.read(found[-1].seq if found else after_seq, count):
        found += entries
    return found


def test_trimmed_range_comes_from_the_archive(tmp_path: Path) -> None:
    """What Redis has trimmed is read from the archive, the rest from Redis, without a seam."""
    source = source_of(tmp_path, range(1, 81), range(41, 121))
    assert read_all(source, 0) == [entry_of(seq) for seq in range(1, 121)]
    assert source.archived_count == 40
    assert source.place == "log"


def test_archive_is_read_on_without_asking_redis(tmp_path: Path) -> None:
    """While the trimmed range lasts, Redis is asked once."""
    source = source_of(tmp_path, range(1, 81), range(81, 91))
    seq = 0
    while seq < 80:
        seq = source.read(seq, 10)[-1].seq
    assert source.streams.asked_count == 1


def test_archive_alone_is_opened_once(tmp_path: Path) -> None:
    """Without Redis the archive gives everything, going on where the read before ended."""
    source = source_of(tmp_path, range(1, 51), None)
    source.read(0, 10)
    opened = source.archived
    assert [entry.seq for entry in source.read(10, 10)] == list(range(11, 21))
    assert source.archived is opened
    assert read_all(source, 20)[-1] == entry_of(50)
    assert source.tip() == 50 and source.first() == 1


def test_large_reads_of_the_archive_are_the_same_entries(tmp_path: Path) -> None:
    """Many entries at once, handed on as bytes for the compiled reader, are those that were archived, odd ones too."""
    odd = [(b"ts", b""), (b"\xff\x00", b"\r\n$3\r\n"), (b"x", b"y" * 5_000)]
    entries = [entry_of(seq) if seq % 7 else Entry(seq, odd * (seq % 5)) for seq in range(1, 301)]
    archive_write(tmp_path, entries)
    assert list(LogSource(None, Keys(VENUE), tmp_path).read(0, 300)) == entries


def test_what_nobody_holds_stays_a_gap(tmp_path: Path) -> None:
    """A hole between archive and Redis comes back as Redis gave it, so that the reader refuses it."""
    source = source_of(tmp_path, range(1, 31), range(41, 51))
    assert source.read(30, 5)[0].seq == 41
    assert [entry.seq for entry in source.range(25, 50)] == list(range(25, 31))
    assert source.find(35) is None


def test_a_hole_in_the_middle_stays_one(tmp_path: Path) -> None:
    """An entry that was deleted inside Redis's log is refused, although the archive holds it."""
    source = source_of(tmp_path, range(1, 31), range(1, 41))
    del source.streams.entries[9]
    assert source.read(9, 5)[0].seq == 11


def test_stated_loss_is_no_gap(tmp_path: Path) -> None:
    """A `restored` entry that names the range before it is stepped over, in Redis as in the archive."""
    lost = Entry(20, [(b"ts", b"1"), (b"restored", restored_body(11, 19))])
    entries = [*(entry_of(seq) for seq in range(1, 11)), lost, entry_of(21)]
    archive_write(tmp_path, entries)
    assert read_all(LogSource(None, Keys(VENUE), tmp_path), 0) == entries
    assert read_all(LogSource(Held(entries), Keys(VENUE), tmp_path), 0) == entries


def test_one_entry_is_found_wherever_it_lies(tmp_path: Path) -> None:
    """An entry is given from Redis, else from the archive, else not at all."""
    source = source_of(tmp_path, range(1, 31), range(21, 41))
    assert source.find(5) == entry_of(5)
    assert source.find(40) == entry_of(40)
    assert source.find(41) is None
