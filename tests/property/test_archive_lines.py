"""The compiled reader of the archive gives what shared.archive gives: the same entries, records and damages."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.archive_reader import ArchiveReader, Lines, archive_pieces
from engine.core.kernel import JIT
from engine.decode.lines import lines_fill, lines_walk, rows_place
from shared.archive import (
    ArchiveDamaged,
    archive_entries,
    archive_folder,
    closed_name,
    closing_line,
    entry_line,
    file_digest16,
    header_line,
    open_name,
)
from shared.archive_frames import FRAME_START, frame_pack, frames_read
from shared.records import COMMAND_WORDS
from shared.stream_keys import Entry, log_digest, restored_body
from shared.wire import Batch
from tests.property.canonical_inputs import history

VENUE = "archtests1"
ORDER = (
    b'{"v":1,"account":101,"request_id":"%032x","op":"order_place","market":"BTC_USDC_PERP","side":"buy",'
    b'"kind":"limit","qty":"0.001","price":"59000.0"}'
)
ODD = (b"caf\xc3\xa9", b"\xff\xfe", b"a\nb\rc", b"\x00\x7f", b'back\\slash "quoted"', b"", b"x" * 200)
Outcome = tuple[list[Entry], str]


def log_of(chance: random.Random, count: int) -> list[Entry]:
    """Return a log of feed entries, good and spoilt, instructions, odd bytes and a lost range that is stated."""
    entries: list[Entry] = []
    seq = 0
    for entry in history(chance.getrandbits(30), count):
        way = chance.randrange(12)
        seq += 1
        fields = entry.fields
        if way == 0:
            fields = [(b"ts", b"1767225600000000"), (b"user_instruction", ORDER % chance.getrandbits(60))]
        elif way == 1:
            fields = [(chance.choice(ODD), chance.choice(ODD)) for _ in range(chance.randrange(1, 6))]
        elif way == 2 and entries:
            lost = chance.randrange(1, 5)
            fields = [(b"ts", b"1767225600000000"), (b"restored", restored_body(seq, seq + lost - 1))]
            seq += lost
        entries.append(Entry(seq, fields))
    return entries


def lines_of(chance: random.Random, entries: list[Entry], closes: bool, spoils: bool) -> list[bytes]:
    """Return the lines of a file of these entries, now and then with something wrong about one of them."""
    lines = [header_line(VENUE, entries[0].seq, "", 0), *map(entry_line, entries)]
    if closes:
        lines.append(closing_line(entries[-1].seq, len(entries), log_digest(entries[-1]).hex()))
    if spoils and chance.random() < 0.5:
        at = chance.randrange(len(lines))
        way = chance.randrange(7)
        if way == 0:
            del lines[at]
        elif way == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif way == 2:
            lines[at] = lines[at][: chance.randrange(len(lines[at]))] + b"\n"
        elif way == 3:
            lines[at] = lines[at].rstrip(b"\n") + chance.choice((b"", b"\r", b"\r\n", b" \n", b"\n\n"))
        elif way == 4:
            lines[at] = lines[at].replace(b'"', chance.choice((b"'", b'" ', b"")), 1)
        elif way == 5:
            place = chance.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + bytes([chance.randrange(256)]) + lines[at][place + 1 :]
        else:
            lines[at] = lines[at].replace(b":", b": ", chance.randrange(3))
    return lines or [b""]


def file_write(chance: random.Random, folder: Path, entries: list[Entry], closes: bool, spoils: bool = False) -> Path:
    """Write a file of several frames, closed or open; `spoils`: now and then with its bytes hurt; return its path."""
    home = archive_folder(folder, VENUE)
    home.mkdir(exist_ok=True)
    lines = lines_of(chance, entries, closes, spoils)
    cuts = sorted(chance.randrange(len(lines) + 1) for _ in range(chance.randrange(4)))
    frames = [frame_pack(lines[first:last]) for first, last in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    content = b"".join(frames)
    if spoils and chance.random() < 0.3:
        place = chance.randrange(len(content))
        way = chance.randrange(3)
        if way == 0:
            content = content[:place]
        elif way == 1:
            content = content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
        else:
            content += chance.choice((FRAME_START, b"\0" * 50, b"rubbish", FRAME_START + b"\xff" * 20))
    path = home / open_name(entries[0].seq)
    path.write_bytes(content)
    if closes:
        digest = file_digest16(path) if not spoils or chance.random() < 0.9 else "0123456789abcdef"
        path = path.rename(home / closed_name(entries[0].seq, entries[-1].seq, digest))
    return path


def archive_write(seed: int, folder: Path) -> int:
    """Write an archive of one to three files; return the last seq that was meant."""
    chance = random.Random(seed)
    entries = log_of(chance, chance.randrange(1, 40))
    cuts = sorted({chance.randrange(1, len(entries) + 1) for _ in range(chance.randrange(3))} - {len(entries)})
    for first, last in zip([0, *cuts], [*cuts, len(entries)], strict=True):
        file_write(chance, folder, entries[first:last], last < len(entries) or chance.random() < 0.5, True)
    return entries[-1].seq


def plainly(folder: Path, after_seq: int, to_seq: int | None) -> Outcome:
    """Return what the ordinary reader gives, and what it says in the end."""
    found: list[Entry] = []
    try:
        for entry in archive_entries(folder, VENUE, after_seq, to_seq):
            found.append(entry)  # noqa: PERF402 - what came before an error counts
    except ArchiveDamaged as error:
        return found, str(error)
    return found, ""


def compiled(folder: Path, after_seq: int, to_seq: int | None) -> Outcome:
    """Return the same of the compiled reader."""
    found: list[Entry] = []
    try:
        for piece in archive_pieces(folder, VENUE, after_seq, to_seq):
            found += Lines([piece])
    except ArchiveDamaged as error:
        return found, str(error)
    return found, ""


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**40))
def test_both_readers_give_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Of any archive, whole, torn or damaged: the same entries, then the same damage at the same line."""
    folder = tmp_path_factory.mktemp("archive")
    last_seq = archive_write(seed, folder)
    chance = random.Random(seed + 1)
    for after_seq, to_seq in ((0, None), (chance.randrange(last_seq + 2), chance.choice((None, last_seq // 2 + 1)))):
        assert compiled(folder, after_seq, to_seq) == plainly(folder, after_seq, to_seq)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40))
def test_the_records_are_those_of_the_ordinary_reader(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Word for word, whatever an earlier batch left in the rows; and the newest tick is the same."""
    folder = tmp_path_factory.mktemp("archive")
    entries = log_of(random.Random(seed), 60)
    file_write(random.Random(1), folder, entries, False)
    batch, expected = Batch(64), Batch(64)
    for first_seq in (1, entries[30].seq):  # the second time over rows that are used
        kept = [entry for entry in entries if entry.seq >= first_seq]
        reader = ArchiveReader(folder, VENUE, first_seq - 1, None)
        lines = reader.take(64)
        reader.close()
        assert list(lines) == kept and lines[-1] == kept[-1] and lines[2:5] == kept[2:5]
        batch.clear()
        expected.clear()
        before = kept[0].seq - 1 if first_seq == 1 else first_seq - 1
        filled = lines.batch_fill(batch, before)
        for entry in kept:
            expected.add(entry.seq, entry.fields)
        count = len(kept)
        assert filled.gap is None and batch.count == count
        words, others = (each.commands.view(np.int64).reshape(-1, COMMAND_WORDS)[:count] for each in (batch, expected))
        assert np.array_equal(words, others)
        ticks = [entry.seq for entry in kept if entry.fields and entry.fields[-1][0] == b"clock_tick"]
        assert filled.tick_seq == max(ticks, default=0)


def test_a_gap_between_what_is_held_and_what_comes_is_told(tmp_path: Path) -> None:
    """Lines that do not follow the entry applied last say so, with both numbers, and fill nothing behind it."""
    chance = random.Random(3)
    entries = [entry for entry in log_of(chance, 20) if entry.fields and entry.fields[-1][0] != b"restored"][:5]
    file_write(random.Random(1), tmp_path, [entry._replace(seq=9 + at) for at, entry in enumerate(entries)], False)
    reader = ArchiveReader(tmp_path, VENUE, 0, None)
    assert reader.take(10).batch_fill(Batch(10), 5).gap == (5, 9)
    reader.close()


def test_what_is_taken_in_parts_is_all_of_it(tmp_path: Path) -> None:
    """However few are taken at a time, every entry comes once and in order, over frames and files."""
    entries = [entry._replace(seq=at) for at, entry in enumerate(history(5, 60), 1)]
    for first in (0, 20, 40):
        file_write(random.Random(1), tmp_path, entries[first : first + 20], first < 40)
    for count in (1, 7, 20, 64):
        reader, found = ArchiveReader(tmp_path, VENUE, 0, None), []
        while taken := reader.take(count):
            assert len(taken) <= count
            found += taken
        reader.close()
        assert found == entries


def test_a_reader_that_is_closed_early_lets_go(tmp_path: Path) -> None:
    """Closed in the middle, its threads end, and the files can be taken away."""
    entries = [entry._replace(seq=at) for at, entry in enumerate(history(6, 40), 1)]
    path = file_write(random.Random(1), tmp_path, entries, False)
    reader = ArchiveReader(tmp_path, VENUE, 0, None)
    assert len(reader.take(3)) == 3
    reader.close()
    assert not reader.pieces.thread.is_alive()
    path.unlink()


def test_frames_are_cut_where_their_blocks_end(tmp_path: Path) -> None:
    """Many small frames, one of several blocks and an empty one come out as they went in, with their ends."""
    contents = [[b"line %d\n" % number] for number in range(50)]
    contents += [[random.Random(1).randbytes(400_000) + b"\n"], [], [b"last\n"], [b"a" * 3_000_000]]
    frames = [frame_pack(lines) for lines in contents]
    path = tmp_path / "file"
    path.write_bytes(b"".join(frames))
    found = list(frames_read(path))
    assert [frame.content for frame in found] == [b"".join(lines) for lines in contents]
    ends = np.cumsum([len(frame) for frame in frames]).tolist()
    assert [frame.end for frame in found] == ends


@pytest.mark.skipif(not JIT, reason="the compiler is off")
def test_nothing_is_compiled_twice(tmp_path: Path) -> None:
    """Reading an archive hands every kernel the one kind of arguments that the warm-up compiles."""
    file_write(random.Random(1), tmp_path, log_of(random.Random(2), 60), False)
    reader = ArchiveReader(tmp_path, VENUE, 0, None)
    reader.take(64).batch_fill(Batch(64), 0)
    reader.close()
    assert [len(kernel.signatures) for kernel in (lines_walk, lines_fill, rows_place)] == [1, 1, 1]
    assert not lines_walk.signatures[0][0].mutable and not lines_fill.signatures[0][0].mutable
