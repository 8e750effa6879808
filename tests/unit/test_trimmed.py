"""A log that begins behind an engine: trimmed while it slept, or lost."""

import pytest

from engine.runner import Runner
from engine.trimmed import BehindTrim
from shared.refusal import LogRestored, Refusal
from shared.streams import log_digest
from tests.engine_toy import ToyVenue, turns


def venue_slept(tmp_path, wire) -> tuple[ToyVenue, Runner]:
    """Return a venue whose log begins two entries beyond what its standby has applied, and the standby."""
    venue = ToyVenue(tmp_path, wire=wire)
    leader = venue.engine(founded=True)
    while not venue.store.rows:
        venue.add(1)
        leader.turn()
        venue.clock.sleep_s(0.1)
    standby = venue.engine()
    turns(standby, lambda: standby.parts.machine.seq == venue.server.log[-1].seq)
    for _ in range(10):
        venue.add(1)
    stands = standby.parts.machine.seq
    venue.server.log = [entry for entry in venue.server.log if entry.seq > stands + 2]
    return venue, standby


def archive_up_to(venue: ToyVenue) -> None:
    """Let the archive hold the log to its end."""
    last = venue.server.log[-1]
    venue.store.archive = {"seq": last.seq, "digest": log_digest(last).hex()}


def test_trimmed_while_it_slept_is_a_restart(tmp_path, wire):
    """A newer keyframe counts and the archive holds the rest: nothing was lost, the restart starts further on."""
    venue, standby = venue_slept(tmp_path, wire)
    venue.store.counted = venue.server.log[0].seq
    archive_up_to(venue)
    with pytest.raises(BehindTrim):
        turns(standby, lambda: False, 400)


def test_lost_while_it_slept_is_a_refusal(tmp_path, wire):
    """No keyframe counts that would explain the gap: the log was cut, and the venue stops."""
    venue, standby = venue_slept(tmp_path, wire)
    archive_up_to(venue)
    venue.store.counted = standby.parts.machine.seq - 1
    with pytest.raises(Refusal):
        turns(standby, lambda: False, 400)


def test_silent_postgres_is_no_reason_to_refuse(tmp_path, wire):
    """What was heard before the sleep does not count, and without a new answer nobody is accused."""
    venue, standby = venue_slept(tmp_path, wire)
    venue.store.slow = True
    before_s = venue.clock.monotonic_s()
    with pytest.raises(BehindTrim, match="Postgres does not say"):
        turns(standby, lambda: False, 400)
    assert venue.clock.monotonic_s() - before_s < 10


def test_hole_in_the_middle_is_refused_at_once(tmp_path, wire):
    """Trimming takes from the beginning; an entry that is missing in the middle needs no question."""
    venue, standby = venue_slept(tmp_path, wire)
    venue.store.slow = True
    venue.server.log = [venue.server.log[0]._replace(seq=1), *venue.server.log]
    with pytest.raises(Refusal, match="missing"):
        turns(standby, lambda: False, 400)


def test_leader_that_slept_through_a_restoration_publishes_nothing(tmp_path, wire):
    """What it derived before may be of a log that is no more: it asks before it publishes, and ends."""
    venue = ToyVenue(tmp_path, wire=wire)
    leader = venue.engine(founded=True)
    turns(leader, lambda: leader.parts.leadership.leading)
    venue.add(1)
    while not leader.parts.publisher.kept:
        leader.way.read_and_apply()
    published = len(venue.server.events)
    venue.clock.sleep_s(8)
    venue.server.values[venue.keys.restores] = 1
    with pytest.raises(LogRestored):
        leader.way.publish()
    assert len(venue.server.events) == published
