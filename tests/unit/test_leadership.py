"""Who leads, when a standby tries, and when a new Redis is named."""

from engine.leadership import Leadership
from shared.streams import Keys
from tests.engine_toy import ToyVenue, turns


def leadership_new(venue: ToyVenue, who: str = "me", founded: bool = False) -> Leadership:
    """Return one engine's leadership on its own connection."""
    from tests.engine_toy import ToyStreams

    streams = ToyStreams(venue.server, venue.clock)
    return Leadership(streams, Keys("toyvenue01"), who, venue.clock.monotonic_s(), founded)


def watch(leadership: Leadership, venue: ToyVenue, seconds: float) -> None:
    """Look every 50 ms for a time."""
    for _ in range(round(seconds / 0.05)):
        venue.clock.sleep_s(0.05)
        leadership.look(venue.clock.monotonic_s())


def test_silent_key_makes_a_candidate_after_half_a_second(tmp_path):
    """A leader's key that does not change for 500 ms of our clock lets us try, not before."""
    venue = ToyVenue(tmp_path)
    venue.server.values[venue.keys.leader] = {"who": "dead", "counter": 7, "run_id": "run-1"}
    leadership = leadership_new(venue)
    watch(leadership, venue, 0.1)
    leadership.witnessed("run-1", venue.clock.monotonic_s())
    watch(leadership, venue, 0.35)
    assert not leadership.candidate(venue.clock.monotonic_s(), 0.0)
    watch(leadership, venue, 0.3)
    assert leadership.candidate(venue.clock.monotonic_s(), 0.0)
    assert not leadership.candidate(venue.clock.monotonic_s(), 0.2), "not applied to within 100 ms of the tip"


def test_changing_key_keeps_a_standby_waiting(tmp_path):
    """As long as the counter moves, nobody tries."""
    venue = ToyVenue(tmp_path)
    leadership = leadership_new(venue)
    leadership.witnessed("run-1", 0.0)
    for counter in range(100):
        venue.server.values[venue.keys.leader] = {"who": "alive", "counter": counter, "run_id": "run-1"}
        watch(leadership, venue, 0.1)
        assert not leadership.candidate(venue.clock.monotonic_s(), 0.0)


def test_own_pause_proves_nothing(tmp_path):
    """A pause between two looks was ours or Redis's: silence counts from after it."""
    venue = ToyVenue(tmp_path)
    venue.server.values[venue.keys.leader] = {"who": "alive", "counter": 7, "run_id": "run-1"}
    leadership = leadership_new(venue)
    watch(leadership, venue, 0.2)
    leadership.witnessed("run-1", venue.clock.monotonic_s())
    venue.clock.sleep_s(5.0)
    leadership.look(venue.clock.monotonic_s())
    assert not leadership.candidate(venue.clock.monotonic_s(), 0.0)


def test_leader_that_left_is_followed_at_once(tmp_path):
    """A leader that said good-bye needs no half second."""
    venue = ToyVenue(tmp_path)
    venue.server.values[venue.keys.leader] = {"who": "gone", "counter": 7, "run_id": "run-1", "left": True}
    leadership = leadership_new(venue)
    watch(leadership, venue, 0.05)
    leadership.witnessed("run-1", venue.clock.monotonic_s())
    assert leadership.candidate(venue.clock.monotonic_s(), 0.0)


def test_new_run_id_is_named_a_second_after_the_check(tmp_path):
    """After a restart of Redis the others get a second to refuse; the same Redis and a new venue need none."""
    venue = ToyVenue(tmp_path)
    venue.server.values[venue.keys.leader] = {"who": "dead", "counter": 7, "run_id": "run-0"}
    leadership = leadership_new(venue)
    watch(leadership, venue, 0.1)
    now_s = venue.clock.monotonic_s()
    leadership.witnessed("run-1", now_s)
    assert not leadership.run_id_clear(now_s + 0.99) and leadership.run_id_clear(now_s + 1.0)
    same = leadership_new(venue)
    watch(same, venue, 0.1)
    same.witnessed("run-0", venue.clock.monotonic_s())
    assert same.run_id_clear(venue.clock.monotonic_s())
    founder = leadership_new(venue, founded=True)
    founder.witnessed("run-9", venue.clock.monotonic_s())
    assert founder.candidate(venue.clock.monotonic_s(), 0.0)


def test_heartbeat_names_the_old_redis_until_the_second_is_over(tmp_path):
    """A leader that lives through a restart of Redis goes on showing life, but vouches for it only later."""
    venue = ToyVenue(tmp_path)
    engine = venue.engine(founded=True)
    turns(engine, lambda: engine.parts.leadership.leading)
    turns(engine, lambda: venue.server.values.get(venue.keys.leader, {}).get("run_id") == "run-1")
    venue.server.run_id = "run-2"
    engine.connected = False
    restarted_s = venue.clock.monotonic_s()
    counter = venue.server.values[venue.keys.leader]["counter"]
    turns(engine, lambda: venue.server.values[venue.keys.leader]["run_id"] == "run-2")
    assert venue.clock.monotonic_s() - restarted_s >= 1.0
    assert venue.server.values[venue.keys.leader]["counter"] - counter >= 7


def test_deposed_engine_stands_by_and_publishes_nothing(tmp_path):
    """The newest `lead` leads; the old leader applies it and stops publishing."""
    venue = ToyVenue(tmp_path)
    first = venue.engine(founded=True)
    turns(first, lambda: first.parts.leadership.leading)
    second = venue.engine()
    venue.clock.sleep_s(0.05)
    turns(second, lambda: second.parts.leadership.leading)  # the first one hangs meanwhile
    venue.add(5)
    seq = venue.add(6)
    turns(first, lambda: first.parts.machine.seq == seq)
    assert not first.parts.leadership.leading
    assert venue.server.events[-1].seq < seq and not first.parts.publisher.settled(seq)
    turns(second, lambda: second.parts.publisher.settled(seq) and second.parts.machine.seq == seq)
    turns(first, lambda: first.parts.publisher.settled(seq))
    assert second.parts.leadership.promotions_count == 1


def test_founder_that_another_overtook_waits_like_any_standby(tmp_path):
    """Whoever founded may lead at once; once somebody else has led, that privilege is gone."""
    venue = ToyVenue(tmp_path)
    founder = leadership_new(venue, founded=True)
    assert founder.leader_silent(venue.clock.monotonic_s())
    assert founder.lead_applied("", venue.clock.monotonic_s()) == ""
    assert founder.leader_silent(venue.clock.monotonic_s()), "no `lead` was in the log yet"
    assert founder.lead_applied("another", venue.clock.monotonic_s()) == ""
    assert not founder.leader_silent(venue.clock.monotonic_s())
