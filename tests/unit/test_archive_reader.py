"""shared/archive.py: what was written comes back byte for byte, and nothing damaged is believed."""

import threading
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persister.archive import archive_cut
from shared.archive import (
    ArchiveDamaged,
    archive_entries,
    archive_folder,
    archive_lock,
    archive_segments,
    archive_tip,
    archive_venues,
    closed_name,
    closing_line,
    entry_line,
    entry_of_line,
    file_digest16,
    header_line,
    open_name,
    ts_of,
)
from shared.archive_frames import frame_pack
from shared.stream_keys import Entry, log_digest
from tests.archive_house import HOUR_US, START_US, VENUE, entries, entry, frames_written, names, restored, writer

HEADER = header_line(VENUE, 1, "", 0)
DIGEST = log_digest(entry(1)).hex()
FIELDS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=200)), min_size=1, max_size=5)


def read(folder: Path, after: int = 0, to: int | None = None) -> list[Entry]:
    """Return archived entries."""
    return list(archive_entries(folder, VENUE, after, to))


def closed(folder: Path, lines: list[bytes], first: int, last: int) -> Path:
    """Write a closed file of these lines whose name is right; return its path."""
    home = archive_folder(folder, VENUE)
    home.mkdir(exist_ok=True)
    path = home / open_name(first)
    path.write_bytes(frame_pack(lines))
    return path.rename(home / closed_name(first, last, file_digest16(path)))


@given(FIELDS, st.integers(1, 2**60))
def test_any_entry_comes_back_byte_for_byte(fields: list[tuple[bytes, bytes]], seq: int) -> None:
    """Whatever a producer put into an entry, its line gives the same entry back, as one line of JSON."""
    line = entry_line(Entry(seq, fields))
    assert entry_of_line(line) == Entry(seq, fields)
    assert line.count(b"\n") == 1 and orjson.loads(line)["seq"] == seq


@given(st.text(max_size=50))
def test_a_text_is_written_as_text(text: str) -> None:
    """A person can read in the archive what is text in the log."""
    line = entry_line(Entry(5, [(b"ts", b"17"), (b"note", text.encode("utf-8", "surrogatepass"))]))
    try:
        text.encode()
    except UnicodeEncodeError:
        assert orjson.loads(line)["f"][1][1].keys() == {"b64"}
    else:
        assert orjson.loads(line)["f"] == [["ts", "17"], ["note", text]]


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b'{"seq":1}', b'{"seq":"1","f":[]}', b'{"seq":0,"f":[]}', b'{"seq":1,"f":[["a"]]}',
     b'{"seq":1,"f":[["a",1]]}', b'{"seq":1,"f":[["a",{"b64":"*"}]]}', b'{"seq":1,"f":7}', b'{"seq":true,"f":[]}'],
)  # fmt: skip
def test_what_is_no_entry_is_refused(line: bytes) -> None:
    """A line of another shape raises ValueError and nothing else."""
    with pytest.raises(ValueError, match="no entry"):
        entry_of_line(line)


def test_time_of_an_entry_is_its_producers() -> None:
    """`ts` is read where it can be, and is 0 elsewhere."""
    assert ts_of(entry(1, 77)) == 77
    for value in (b"", b"x", b"-1", b"9" * 19, b"1.5"):
        assert ts_of(Entry(1, [(b"ts", value)])) == 0
    assert ts_of(Entry(1, [])) == 0


def test_reading_begins_and_ends_where_it_is_told(tmp_path: Path) -> None:
    """Any range is given whole, over the borders of files and frames, and the end is where the files end."""
    files = writer(tmp_path)
    for first in (1, 11, 21, 31):
        files.append(entries(first, first + 9, START_US + (first // 20) * HOUR_US))
    assert len(names(tmp_path)) == 2 and names(tmp_path)[1].endswith(".open.zst")
    for after, to in ((0, None), (0, 40), (5, 25), (19, 21), (20, 20), (39, None), (40, None), (99, None), (3, 4)):
        expected = [seq for seq in range(1, 41) if seq > after and (to is None or seq <= to)]
        assert [found.seq for found in read(tmp_path, after, to)] == expected
    assert archive_tip(tmp_path, VENUE) == (40, log_digest(read(tmp_path, 39)[0]).hex())
    assert archive_venues(tmp_path) == [VENUE]
    files.close()


def test_an_archive_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """No folder, no venue and foreign files are an empty archive."""
    assert archive_venues(tmp_path / "nowhere") == []
    assert archive_tip(tmp_path, VENUE) == (0, "")
    (tmp_path / VENUE).mkdir()
    for name in ("log-1.zst", "log-0000000000000001.zst.superseded", "notes.txt", "log-x.open.zst"):
        (tmp_path / VENUE / name).write_bytes(b"x")
    assert archive_segments(tmp_path, VENUE) == [] and read(tmp_path) == [] and archive_venues(tmp_path) == []


def test_a_lost_range_is_stepped_over_where_it_is_stated(tmp_path: Path) -> None:
    """`restored` is the one gap that an archive may have, inside a file and at a file's beginning."""
    files = writer(tmp_path)
    files.append([*entries(1, 3), restored(4, 9), entry(11)])
    files.append([entry(12, START_US + HOUR_US)])
    files.append([restored(13, 20)._replace(seq=21)])
    files.close()
    assert [found.seq for found in read(tmp_path)] == [1, 2, 3, 10, 11, 12, 21]
    assert [found.seq for found in read(tmp_path, 3)] == [10, 11, 12, 21]


def test_a_gap_that_is_not_stated_is_damage(tmp_path: Path) -> None:
    """A missing number, inside a file or between two, is refused with the place."""
    lines = [entry_line(each) for each in (*entries(1, 3), entry(5))]
    path = closed(tmp_path, [HEADER, *lines, closing_line(5, 4, log_digest(entry(5)).hex())], 1, 5)
    with pytest.raises(ArchiveDamaged, match="line 5: entry 5 stands behind 3"):
        read(tmp_path)
    path.unlink()
    for first, last in ((1, 3), (5, 6)):
        lines = [entry_line(each) for each in entries(first, last)]
        digest = log_digest(entries(first, last)[-1]).hex()
        ending = closing_line(last, len(lines), digest)
        closed(tmp_path, [header_line(VENUE, first, "", 0), *lines, ending], first, last)
    with pytest.raises(ArchiveDamaged, match="begins with 5, the file before ends at 3"):
        read(tmp_path)
    assert [found.seq for found in read(tmp_path, 4)] == [5, 6], "who asks for what is there gets it"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([header_line("another", 1, "", 0)], "line 1: its header names"),
        ([header_line(VENUE, 2, "", 0)], "line 1: its header names"),
        ([b"x\n"], "line 1: it is no header"),
        ([HEADER, entry_line(entry(1))], "no closing line"),
        ([HEADER, b"rubbish\n"], "line 2: it is neither"),
        ([HEADER, b'{"seq":1,"f":0}\n'], "line 2: no entry"),
        ([HEADER, entry_line(entry(1)), closing_line(1, 1, "00")], "line 3: the closing line"),
        (
            [HEADER, entry_line(entry(1)), closing_line(1, 2, DIGEST)],
            "states",
        ),
        (
            [HEADER, entry_line(entry(1)), closing_line(2, 1, DIGEST)],
            "states",
        ),
        (
            [
                header_line(VENUE, 1, "", 0),
                entry_line(entry(1)),
                closing_line(1, 1, DIGEST),
                b"{}\n",
            ],
            "behind the closing line",
        ),
    ],
)
def test_lines_that_do_not_fit_are_refused(tmp_path: Path, lines: list[bytes], words: str) -> None:
    """A header of another venue or seq, a foreign line, a wrong or missing end: file and line are named."""
    closed(tmp_path, lines, 1, 1)
    with pytest.raises(ArchiveDamaged, match=words):
        read(tmp_path)


def test_a_changed_byte_is_found_before_anything_is_given(tmp_path: Path) -> None:
    """One flipped bit anywhere in a closed file is refused, whatever was asked for."""
    files = writer(tmp_path)
    files.append(entries(1, 50))
    files.append(entries(51, 60, START_US + HOUR_US))
    files.close()
    path = archive_segments(tmp_path, VENUE)[0].path
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ArchiveDamaged, match="not those it was closed with"):
            read(tmp_path, 45, 46)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """The lock keeps a second writer out until the first lets go."""
    files = writer(tmp_path)
    assert archive_lock(tmp_path, VENUE) is None
    assert archive_lock(tmp_path, "another") is not None
    files.close()
    held = archive_lock(tmp_path, VENUE)
    assert held is not None and archive_lock(tmp_path, VENUE) is None


def test_reading_while_the_file_grows_and_is_closed(tmp_path: Path) -> None:
    """A reader beside a living writer gets every entry once and in order, however often files change their names."""
    files = writer(tmp_path, bytes_max=600)
    done = threading.Event()

    def write() -> None:
        for first in range(1, 2_001, 20):
            files.append(entries(first, first + 19))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seq = 0
    while not (done.is_set() and seq == 2_000):
        for found in archive_entries(tmp_path, VENUE, seq):
            assert found.seq == seq + 1
            seq = found.seq
    thread.join()
    files.close()
    assert len(names(tmp_path)) > 20


@pytest.mark.parametrize("kept", [0, 1, 5, 10, 11, 15, 20, 21, 29, 30, 99])
def test_the_archive_can_be_cut_at_any_entry(tmp_path: Path, kept: int) -> None:
    """After a cut the archive ends at that entry and grows on; what was cut lies aside; a second cut does nothing."""
    files = writer(tmp_path)
    for number, first in enumerate((1, 11, 21)):
        files.append(entries(first, first + 9, START_US + number * HOUR_US))
    files.close()
    aside = archive_cut(tmp_path, VENUE, kept)
    assert [found.seq for found in read(tmp_path)] == list(range(1, min(kept, 30) + 1))
    assert all(path.exists() for path in aside) and len(aside) == sum(last > kept for last in (10, 20, 30))
    assert archive_cut(tmp_path, VENUE, kept) == []
    files = writer(tmp_path)
    assert files.tip[0] == min(kept, 30)
    files.append([entry(files.tip[0] + 1)])
    files.close()
    assert len(read(tmp_path)) == min(kept, 30) + 1


def test_a_damaged_end_can_be_cut_off(tmp_path: Path) -> None:
    """What can be read of a damaged file stays, the file itself lies aside, and the archive grows on from there."""
    path, ends = frames_written(tmp_path, 3, 10)
    content = path.read_bytes()
    for place, kept in ((ends[0] + 50, 10), (50, 0)):
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        path.write_bytes(damaged)
        [aside] = archive_cut(tmp_path, VENUE, 30)
        assert aside.read_bytes() == damaged
        files = writer(tmp_path)
        assert files.tip[0] == kept
        files.append([entry(kept + 1)])
        files.close()
        assert [found.seq for found in read(tmp_path)] == list(range(1, kept + 2))
        aside.unlink()


def test_a_cut_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    """A crash between the two renames of a cut leaves an archive that the next cut makes right."""
    files = writer(tmp_path, bytes_max=1)
    files.append(entries(1, 10))
    files.close()
    [segment] = archive_segments(tmp_path, VENUE)
    closed_content = segment.path.read_bytes()
    [aside] = archive_cut(tmp_path, VENUE, 5)
    aside.rename(segment.path)  # as before the second rename
    assert segment.path.read_bytes() == closed_content
    assert archive_cut(tmp_path, VENUE, 5) == [aside]
    assert [found.seq for found in read(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_reader_goes_on_when_its_file_is_closed_under_it(tmp_path: Path) -> None:
    """A file that gets its last name while it is read is read to its end, and the next one after it."""
    files = writer(tmp_path)
    files.append(entries(1, 5))
    reading = archive_entries(tmp_path, VENUE, 0)
    assert next(reading).seq == 1
    files.append([entry(6), entry(7, START_US + HOUR_US)])
    files.close()
    assert [found.seq for found in reading] == [2, 3, 4, 5, 6, 7]


def test_a_name_without_a_file_is_damage(tmp_path: Path) -> None:
    """A link that leads nowhere is said, and nobody waits for it for ever."""
    (tmp_path / VENUE).mkdir()
    (tmp_path / VENUE / open_name(1)).symlink_to(tmp_path / "nowhere")
    for look in (lambda: read(tmp_path), lambda: archive_tip(tmp_path, VENUE)):
        with pytest.raises(ArchiveDamaged, match="its name is there, the file is not"):
            look()
