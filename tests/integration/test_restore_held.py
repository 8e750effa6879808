"""scripts/restore_held.py: which entries log and archive hold together, and which of the log's end is believed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from persister.archive import ArchiveFiles
from scripts.restore_held import SEQ_MAX, Holdings, Remembered
from shared.stream_keys import Entry, Keys, log_digest, log_id, restored_body
from shared.streams import Streams

KEYS = Keys("heldvenue1")
START_US = 1_800_000_000_000_000


def entry(seq: int, history: str = "a") -> Entry:
    """Return one entry of one history."""
    return Entry(seq, [(b"ts", b"%d" % (START_US + seq)), (b"clock_tick", f'{{"history":"{history}"}}'.encode())])


def remembered(seq: int, history: str = "a") -> Remembered:
    """Return what somebody remembers who read that history."""
    return Remembered(seq, log_digest(entry(seq, history)).hex(), "a snapshot")


class Bench:
    """A real log and a real archive, filled as a test wants them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.streams = Streams(url)
        self.client = redis.Redis.from_url(url)
        self.folder = folder

    def log(self, *entries: Entry) -> None:
        """Fill the log."""
        for each in entries:
            self.client.xadd(KEYS.log, dict(each.fields), id=log_id(each.seq))  # type: ignore[arg-type]

    def archive(self, *entries: Entry) -> None:
        """Fill the archive."""
        files = ArchiveFiles(self.folder, KEYS.venue)
        assert files.begin()
        files.append(list(entries))
        files.close()

    def holdings(self, *memories: Remembered) -> Holdings:
        """Return what both hold."""
        return Holdings(self.streams, KEYS, self.folder, list(memories))


@pytest.fixture
def bench(redis_url: str, tmp_path: Path) -> Iterator[Bench]:
    """Lend an empty log and an empty archive."""
    made = Bench(redis_url, tmp_path / "archive")
    yield made
    made.streams.close()
    made.client.close()


def places(holdings: Holdings, after_seq: int = 0) -> list[tuple[int, str]]:
    """Return what is read, by number and holder."""
    return [(held.entry.seq, held.place) for held in holdings.read(after_seq)]


def test_each_fills_what_the_other_lacks(bench: Bench) -> None:
    """A hole in the log comes from the archive, the log goes on behind the archive's end, and a gap of both ends it."""
    bench.log(*(entry(seq) for seq in (1, 2, 4, 5, 6, 8)))
    bench.archive(*(entry(seq) for seq in range(1, 5)))
    assert places(bench.holdings()) == [
        (1, "both"), (2, "both"), (3, "archive"), (4, "both"), (5, "log"), (6, "log"),
    ]  # fmt: skip


def test_the_archives_bytes_win(bench: Bench) -> None:
    """One changed entry in the log is read as it was archived; what follows in the log is the same history."""
    bench.log(*(entry(seq, "b" if seq == 3 else "a") for seq in range(1, 8)))
    bench.archive(*(entry(seq) for seq in range(1, 6)))
    found = list(bench.holdings().read(0))
    assert [held.place for held in found] == ["both", "both", "differs", "both", "both", "log", "log"]
    assert [held.entry for held in found] == [entry(seq) for seq in range(1, 8)]


def test_numbers_given_out_again_are_not_believed(bench: Bench) -> None:
    """A log that lost its end and went on says otherwise what the archive holds: its own end is dropped."""
    bench.log(*(entry(seq, "a" if seq < 4 else "b") for seq in range(1, 9)))
    bench.archive(*(entry(seq) for seq in range(1, 7)))
    found = list(bench.holdings().read(0))
    assert [held.entry for held in found] == [entry(seq) for seq in range(1, 7)]


@pytest.mark.parametrize(
    ("memories", "believed_to"),
    [
        ([], SEQ_MAX),
        ([remembered(6)], SEQ_MAX),
        ([remembered(6, "b")], 3),
        ([remembered(5), remembered(7, "b")], 5),
        ([remembered(5, "b"), remembered(7)], SEQ_MAX),
        ([remembered(12, "b")], SEQ_MAX),
    ],
)
def test_memories_decide_how_far_the_logs_end_counts(
    bench: Bench, memories: list[Remembered], believed_to: int
) -> None:
    """Behind the archive the log counts up to the newest entry that agrees, unless nobody remembers otherwise."""
    bench.log(*(entry(seq) for seq in range(1, 9)))
    bench.archive(*(entry(seq) for seq in range(1, 4)))
    holdings = bench.holdings(*memories)
    assert holdings.believed_to == believed_to
    assert places(holdings)[-1][0] == min(8, believed_to)


def test_a_stated_gap_is_part_of_what_is_held(bench: Bench) -> None:
    """What an earlier restoration stated as lost does not end the reading."""
    gap = Entry(6, [(b"ts", b"%d" % START_US), (b"restored", restored_body(3, 5))])
    bench.log(entry(1), entry(2), gap, entry(7))
    assert places(bench.holdings()) == [(1, "log"), (2, "log"), (6, "log"), (7, "log")]


def test_counters_that_promise_another_number_are_seen(bench: Bench) -> None:
    """A log whose next entry would skip numbers is not right, whatever it holds."""
    bench.log(entry(1), entry(2))
    assert bench.holdings().counted
    bench.client.execute_command("XSETID", KEYS.log, log_id(50))
    assert not bench.holdings().counted


def test_a_damaged_file_is_told_and_passed_over(bench: Bench) -> None:
    """What cannot be read of the archive is named; the log gives what it still holds, the next file the rest."""
    later = Entry(4, [(b"ts", b"%d" % (START_US + 3_600_000_000)), (b"clock_tick", b"{}")])
    bench.log(*(entry(seq) for seq in range(1, 4)))
    bench.archive(*(entry(seq) for seq in range(1, 4)), later)
    closed, opened = sorted((bench.folder / KEYS.venue).glob("*.zst"))
    assert "open" in opened.name
    content = bytearray(closed.read_bytes())
    content[20] ^= 0xFF
    closed.write_bytes(bytes(content))
    holdings = bench.holdings()
    assert places(holdings) == [(1, "log"), (2, "log"), (3, "log"), (4, "archive")]
    assert [closed.name in words for words in holdings.damage] == [True]
