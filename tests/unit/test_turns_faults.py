"""Turns of an engine whose log, connection or leader is not where it should be: nothing stops, nothing is believed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.log_source import LogSource
from engine.turns import READ_COUNT, READ_COUNT_BEHIND
from shared.streams import Entry, StreamsDown
from tests.engine_toy import ToyVenue, turns
from tests.unit.test_log_source import archive_write
from tests.unit.test_turns import leading, settled

WAYS = ("plain", "fast")


def turns_of(way: Any, count: int) -> None:
    """Turn so often, without what a runner does about an error."""
    for _ in range(count):
        way.once()


class BrokenMeanwhile:
    """A log with an archive, in whose reading the client finds its connection broken and makes another by itself."""

    def __init__(self, streams: Any, entries: list[Entry]) -> None:
        self.streams = streams
        self.entries = entries

    def close(self) -> None:
        """Have no archive open."""

    def in_archive(self, _after_seq: int) -> bool:
        """Return whether the archive is being read."""
        return False

    def read(self, after_seq: int, count: int, _block_ms: int | None = None) -> Sequence[Entry]:
        """Return entries of a server that nobody has looked at."""
        self.streams.lost()
        return [entry for entry in self.entries if entry.seq > after_seq][:count]


@pytest.mark.parametrize("wire", WAYS)
def test_a_long_archive_is_read_in_full_batches_and_then_the_log(tmp_path: Path, wire: str) -> None:
    """While the archive gives all that is asked for, Redis is not asked ahead of it, and each entry is applied once."""
    venue = ToyVenue(tmp_path, wire=wire)
    for _ in range(READ_COUNT + 2 * READ_COUNT_BEHIND + 200):
        last = venue.add(1)
    archive_write(tmp_path / "archive", venue.server.log[:-100])
    venue.server.log = venue.server.log[-150:]
    engine = venue.engine(founded=True)
    engine.parts = engine.parts._replace(source=LogSource(engine.parts.streams, venue.keys, tmp_path / "archive"))
    turns(engine, lambda: settled(engine, last), 40)
    assert engine.parts.machine.state["total"] == last - 1
    assert [entry.seq for entry in venue.server.events] == list(range(1, last + 1))
    assert engine.parts.source.archived_count > 2 * READ_COUNT_BEHIND


@pytest.mark.parametrize("wire", WAYS)
def test_entries_of_a_connection_that_broke_meanwhile_are_not_applied(tmp_path: Path, wire: str) -> None:
    """Wherever they were to come from: another server may have given them."""
    venue = ToyVenue(tmp_path, wire=wire)
    engine = leading(venue)
    seq = engine.parts.machine.seq
    for _ in range(20):
        venue.add(1)
    source = BrokenMeanwhile(engine.parts.streams, list(venue.server.log))
    venue.server.log = venue.server.log[-5:]
    engine.parts = engine.parts._replace(source=source)
    with pytest.raises(StreamsDown, match="not believed"):
        turns_of(engine.way, 3)
    assert engine.parts.machine.seq == seq


@pytest.mark.parametrize("wire", WAYS)
def test_an_engine_that_keeps_too_much_reads_on_where_nobody_leads(tmp_path: Path, wire: str) -> None:
    """The dead leader was far behind: whoever follows it comes to the log's end, leads, and publishes everything."""
    venue = ToyVenue(tmp_path, wire=wire)
    for _ in range(2 * READ_COUNT):
        last = venue.add(1)
    engine = venue.engine()
    publisher = engine.parts.publisher
    publisher.full = lambda: len(publisher.kept) >= READ_COUNT // 2
    turns(engine, lambda: settled(engine, last) and engine.parts.leadership.leading, 2_000)
    assert [entry.seq for entry in venue.server.events] == list(range(1, last + 1))


@pytest.mark.parametrize("wire", WAYS)
def test_a_standby_that_keeps_too_much_waits_for_the_leader(tmp_path: Path, wire: str) -> None:
    """While somebody leads, what is kept stays bounded, and no turn goes round without a pause."""
    venue = ToyVenue(tmp_path, wire=wire)
    leader = leading(venue)
    for _ in range(4 * READ_COUNT):
        venue.add(1)
    standby = venue.engine()
    publisher = standby.parts.publisher
    publisher.full = lambda: len(publisher.kept) >= READ_COUNT // 2
    for _ in range(200):
        leader.duties()  # it lives, and publishes nothing
        standby.turn()
    assert READ_COUNT // 2 <= len(publisher.kept) <= 2 * READ_COUNT
    assert venue.clock.monotonic_s() >= 1.5
