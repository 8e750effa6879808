"""The fast way of a turn: what is under way when something else happens is taken, dropped or used, never confused."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.runner import Runner
from engine.turns import FULL_PAUSE_S, READ_COUNT
from shared.refusal import Refusal
from shared.streams import Entry, StreamsRefused, StreamsUnknown
from tests.engine_toy import ToyVenue, turns
from tests.engine_toy_port import ToyLinkPort
from tests.simulation.redis_clients import decode


class TrimmedSource:
    """A log of which an archive holds the beginning."""

    def __init__(self, inner: Any, archived: list[Entry]) -> None:
        self.inner = inner
        self.archived = archived
        self.reads = 0
        self.open = False

    def in_archive(self, after_seq: int) -> bool:
        """Return whether the archive is being read there."""
        return self.reads > 0 and after_seq < self.archived[-1].seq

    def close(self) -> None:
        """Let go of the archive."""
        self.open = False

    def read(self, after_seq: int, count: int, block_ms: int | None = None) -> Sequence[Entry]:
        """Return entries from where they are."""
        if after_seq >= self.archived[-1].seq:
            return self.inner.read(after_seq, count, block_ms)
        self.reads += 1
        self.open = True
        return [entry for entry in self.archived if entry.seq > after_seq][: count // 10]


class WatchedPort(ToyLinkPort):
    """Counts what is asked at once."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sends: list[list[bytes]] = []

    def send(self, data: bytes) -> None:
        """Remember the commands of one send."""
        self.sends.append([command[0] for command in decode(bytes(data))])
        super().send(data)


class WatchedVenue(ToyVenue):
    """A venue whose engine's link is watched."""

    port: WatchedPort

    def port_maker(self, streams: Any) -> Any:
        """Return what connects an engine's link."""

        def connect() -> WatchedPort:
            self.port = WatchedPort(streams, self.keys)
            return self.port

        return connect


def leading(venue: ToyVenue) -> Runner:
    """Return a leading engine with nothing left to do."""
    engine = venue.engine(founded=True)
    turns(engine, lambda: engine.parts.leadership.leading and not engine.parts.publisher.kept)
    return engine


def settled(engine: Runner, seq: int) -> bool:
    """Return whether everything up to an entry is applied and seen."""
    return engine.parts.machine.seq >= seq and engine.parts.publisher.settled(seq)


def test_far_from_the_end_the_next_read_is_under_way_while_a_batch_is_applied(tmp_path: Path) -> None:
    """A full answer has the next question sent before it is applied; at the end nothing is asked ahead."""
    venue = WatchedVenue(tmp_path, wire="fast")
    engine = leading(venue)
    under_way: list[int | None] = []
    load = engine.parts.machine.load

    def loaded(entries: Any) -> None:
        under_way.append(engine.way.asked_after)
        load(entries)

    engine.parts.machine.load = loaded
    last = [venue.add(1) for _ in range(2 * READ_COUNT + 10)][-1]
    turns(engine, lambda: settled(engine, last))
    assert under_way == [last - READ_COUNT - 10, last - 10, None]
    assert len(venue.server.events) == len([entry for entry in venue.server.log if entry.fields[-1][0] != b"lead"])


def test_near_the_end_a_turn_is_one_send(tmp_path: Path) -> None:
    """What an entry causes and the question for the next ones leave together; the reading back comes later."""
    venue = WatchedVenue(tmp_path, wire="fast")
    engine = leading(venue)
    engine.turn()
    venue.add(5)
    engine.way.read_and_apply()  # nothing yet: this was asked before
    engine.way.read_and_apply()
    sends, engine.way.compared_last_s = len(venue.port.sends), venue.clock.monotonic_s()
    engine.way.ask(idle=False)
    [sent] = venue.port.sends[sends:]
    assert sent == [b"XADD", b"XREAD"]
    turns(engine, lambda: not engine.parts.publisher.kept)


def test_a_read_asked_ahead_of_a_gap_is_not_used(tmp_path: Path) -> None:
    """The log begins behind what is needed: the archive is read first, then the log from where the archive ends."""
    venue = ToyVenue(tmp_path, wire="fast")
    for _ in range(3 * READ_COUNT):
        venue.add(1)
    archived, venue.server.log = venue.server.log[: READ_COUNT + 500], venue.server.log[READ_COUNT + 500 :]
    engine = venue.engine(founded=True)
    source = TrimmedSource(engine.parts.source, archived)
    engine.parts = engine.parts._replace(source=source)
    engine.connected = True
    engine.way.open()
    last = venue.server.log[-1].seq
    for _ in range(40):
        engine.way.once()
    assert source.reads > 3
    assert not source.open, "the archive has ended"
    assert engine.parts.machine.seq == last
    assert engine.parts.machine.state["total"] == last - 1


def test_a_gap_that_nobody_fills_is_refused(tmp_path: Path) -> None:
    """In the middle or at the beginning, whatever was asked ahead: the refusal names the numbers."""
    venue = ToyVenue(tmp_path, wire="fast")
    engine = leading(venue)
    for _ in range(2 * READ_COUNT):
        venue.add(1)
    del venue.server.log[READ_COUNT + 50]
    with pytest.raises(Refusal, match="missing"):
        turns(engine, lambda: False, 100)


def test_a_refused_transaction_leaves_the_read_behind_it_in_order(tmp_path: Path) -> None:
    """Redis takes nothing for a while: reading goes on by what was asked, each entry is applied and published once."""
    refusals = [StreamsRefused("OOM no room"), StreamsRefused("OOM no room")]

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and when == "before" and refusals and armed:
            raise refusals.pop()

    armed: list[bool] = []
    venue = ToyVenue(tmp_path, wire="fast")
    engine = venue.engine(fault, founded=True)
    turns(engine, lambda: engine.parts.leadership.leading and not engine.parts.publisher.kept)
    armed.append(True)
    for amount in range(5):
        last = venue.add(amount)
        engine.turn()
    turns(engine, lambda: settled(engine, last))
    assert not refusals
    assert engine.meters.entries_count == engine.parts.machine.seq
    assert [entry.seq for entry in venue.server.events][-5:] == list(range(last - 4, last + 1))
    assert venue.log.named("redis_refuses")
    assert not venue.log.named("redis_away")


def test_an_answer_that_is_lost_under_way_has_everything_looked_at_again(tmp_path: Path) -> None:
    """The transaction may have been applied: the engine connects anew, asks for the end, and doubles nothing."""
    failures = [StreamsUnknown("cut"), StreamsUnknown("cut")]

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and armed and when == ("before", "after")[len(failures) % 2] and failures:
            raise failures.pop()

    armed: list[bool] = []
    venue = ToyVenue(tmp_path, wire="fast")
    engine = venue.engine(fault, founded=True)
    turns(engine, lambda: engine.parts.leadership.leading and not engine.parts.publisher.kept)
    armed.append(True)
    for amount in range(4):
        last = venue.add(amount)
        turns(engine, functools.partial(settled, engine, last))
    assert not failures
    assert [entry.seq for entry in venue.server.events][-4:] == list(range(last - 3, last + 1))
    assert len(venue.log.named("redis_connected")) == 3


def test_an_engine_that_keeps_too_much_reads_no_further_and_does_not_spin(tmp_path: Path) -> None:
    """With nothing to publish or to read back it waits a moment in each turn, and reads on when there is room."""
    venue = ToyVenue(tmp_path, wire="fast")
    engine = leading(venue)
    full = [True]
    engine.parts.publisher.full = lambda: bool(full)
    engine.turn()
    venue.add(1)
    seq, before_s = engine.parts.machine.seq, venue.clock.monotonic_s()
    for _ in range(10):
        engine.way.once()
    assert engine.parts.machine.seq <= seq + 1
    assert venue.clock.monotonic_s() - before_s >= 8 * FULL_PAUSE_S
    full.clear()
    last = venue.add(1)
    turns(engine, lambda: settled(engine, last))
