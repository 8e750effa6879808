"""Keep-until-seen publishing, by both publishers: nothing missing, nothing twice, differences stop the engine."""

import pytest

from engine.publish import Divergence, Last, Publisher
from shared.streams import DuplicateId, Keys, StreamsDown, StreamsRefused, StreamsUnknown, event_id, events_digest
from shared.wire_events import Output
from tests.engine_toy import ToyClock, ToyServer, ToyStreams, link_publisher
from tests.engine_toy_port import ToyLinkPort

KEYS = Keys("toyvenue01")
NOTHING = Last(0, 0, "")


def outputs(first_seq: int, last_seq: int) -> list[Output]:
    """Return one output a seq, chained."""
    made = []
    previous = b"0-0" if first_seq == 1 else event_id(first_seq - 1, 0)
    for seq in range(first_seq, last_seq + 1):
        made.append(Output(seq, 0, seq * 1_000, previous, b"", b"[%d]" % seq))
        previous = event_id(seq, 0)
    return made


@pytest.fixture(params=["plain", "fast"])
def publisher_new(request):
    """Return what makes a publisher on its own connection, of each kind."""

    def new(server: ToyServer, fault=None, last: Last = NOTHING):
        streams = ToyStreams(server, ToyClock(), fault)
        if request.param == "plain":
            return Publisher(streams, KEYS, last)
        return link_publisher(lambda: ToyLinkPort(streams, KEYS), streams, KEYS, last)[1]

    return new


def reconnect(publisher) -> None:
    """Have a new connection, as a runner has it after a loss."""
    if hasattr(publisher, "link"):
        publisher.link.open()
    publisher.reconnected()


def test_published_and_seen_is_dropped(publisher_new):
    """What was published is dropped only when it was read back."""
    server = ToyServer()
    publisher = publisher_new(server)
    publisher.keep(outputs(1, 3))
    assert len(publisher.publish()) == 3
    assert len(publisher.kept) == 3 and not publisher.settled(1)
    assert publisher.compare(3) == 3
    assert publisher.settled(3) and server.events == outputs(1, 3)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_unanswered_publish_is_neither_lost_nor_doubled(publisher_new, moment):
    """A transaction whose answer is lost is looked up, not guessed."""
    server = ToyServer()
    failures = [StreamsUnknown("cut")]

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and when == moment and failures:
            raise failures.pop()

    publisher = publisher_new(server, fault)
    publisher.keep(outputs(1, 3))
    with pytest.raises(StreamsUnknown):
        publisher.publish()
    reconnect(publisher)
    publisher.publish()
    publisher.compare(3)
    assert server.events == outputs(1, 3) and publisher.settled(3)


def test_recovery_drops_what_the_stream_holds_and_publishes_the_rest(publisher_new):
    """Outputs derived again are compared up to the stream's end and kept above it."""
    server = ToyServer()
    server.events, server.events_there = outputs(1, 5), True
    publisher = publisher_new(server)
    publisher.keep(outputs(1, 8))
    assert publisher.compare(8) == 5
    assert len(publisher.publish()) == 3
    assert server.events == outputs(1, 8)


def test_below_the_first_id_is_dropped_unseen(publisher_new):
    """What the stream has trimmed was published once."""
    server = ToyServer()
    server.events, server.events_there = outputs(1, 9)[6:], True
    publisher = publisher_new(server)
    publisher.keep(outputs(1, 9))
    assert publisher.compare(9) == 9


def test_trimmed_while_an_engine_stood_still_is_dropped_too(publisher_new):
    """A standby that slept compares with what is left; what was trimmed meanwhile is no divergence."""
    server = ToyServer()
    server.events_there, server.events = True, outputs(1, 2)
    standby = publisher_new(server)
    standby.keep(outputs(1, 6))
    assert standby.compare(6) == 2
    server.events = outputs(1, 8)[4:]
    assert standby.compare(6) == 4
    assert standby.settled(6)


def test_trimmed_up_to_beyond_what_was_applied_is_dropped_at_once(publisher_new):
    """What waits for outputs that are not derived yet says already that nothing older is left."""
    server = ToyServer()
    server.events_there, server.events = True, outputs(1, 2)
    standby = publisher_new(server)
    standby.keep(outputs(1, 6))
    assert standby.compare(6) == 2
    server.events = outputs(1, 9)[7:]
    assert standby.compare(6) == 4
    assert standby.settled(6)


def test_what_was_read_and_not_derived_yet_is_remembered_too(publisher_new):
    """A stream that lost its tail is refused by it: those entries would settle outputs that are not there."""
    server = ToyServer()
    server.events_there, server.events = True, outputs(1, 5)
    standby = publisher_new(server)
    standby.keep(outputs(1, 3))
    assert standby.compare(3) == 3
    [memory] = standby.memory()
    assert memory.seq > 3
    assert memory.digest == events_digest(server.events[memory.seq - 1]).hex()


def test_hole_in_the_middle_of_the_events_is_a_divergence(publisher_new):
    """An entry that is gone although the stream begins before it was deleted, not trimmed."""
    server = ToyServer()
    server.events_there, server.events = True, [entry for entry in outputs(1, 6) if entry.seq != 3]
    standby = publisher_new(server)
    standby.keep(outputs(1, 6))
    with pytest.raises(Divergence):
        standby.compare(6)


def test_other_bytes_stop_the_engine_and_show_both(publisher_new):
    """A difference names the place and both sides."""
    server = ToyServer()
    server.events, server.events_there = outputs(1, 2), True
    server.events[1] = server.events[1]._replace(data=b"[other]")
    publisher = publisher_new(server)
    publisher.keep(outputs(1, 2))
    with pytest.raises(Divergence, match=r"2-0.*\[other\].*\[2\]"):
        publisher.compare(2)


def test_entry_without_an_output_stops_the_engine(publisher_new):
    """The stream holds something at a place where nothing was derived."""
    server = ToyServer()
    server.events, server.events_there = outputs(1, 2), True
    publisher = publisher_new(server)
    publisher.keep(outputs(1, 1))
    with pytest.raises(Divergence, match="nothing was derived"):
        publisher.compare(2)


def test_standby_waits_for_what_it_has_not_derived(publisher_new):
    """Entries beyond what was applied are compared later, and are not read twice."""
    server = ToyServer()
    server.events, server.events_there = outputs(1, 4), True
    publisher = publisher_new(server)
    publisher.keep(outputs(1, 2))
    assert publisher.compare(2) == 2
    publisher.keep(outputs(3, 4))
    assert publisher.compare(4) == 2 and publisher.settled(4)


def test_broken_chain_stops_before_it_is_published(publisher_new):
    """An output that does not follow the stream's end is never appended."""
    server = ToyServer()
    server.events, server.events_there = outputs(1, 3), True
    publisher = publisher_new(server, last=Last(1, 0, ""))
    publisher.keep(outputs(5, 5))
    with pytest.raises(Divergence, match="follows"):
        publisher.publish()
    assert server.events == outputs(1, 3)


def test_refused_stays_kept(publisher_new):
    """What Redis refuses (memory full, read only) is kept and goes out later."""
    server = ToyServer()
    failures: list[Exception] = [StreamsRefused("OOM"), StreamsDown("away")]

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and failures:
            raise failures.pop(0)

    publisher = publisher_new(server, fault)
    publisher.keep(outputs(1, 2))
    with pytest.raises(StreamsRefused):
        publisher.publish()
    with pytest.raises((StreamsDown, StreamsUnknown)):  # what is sent in one piece with more may have been applied
        publisher.publish()
    reconnect(publisher)
    publisher.publish()
    assert server.events == outputs(1, 2)


def test_deleted_end_is_named(publisher_new):
    """Ids that Redis refuses although its stream ends below them stop the engine instead of a circle."""
    server = ToyServer()

    def fault(verb: str, when: str) -> None:
        if verb == "publish":
            raise DuplicateId([b"1-0"])

    publisher = publisher_new(server, fault)
    publisher.keep(outputs(1, 1))
    for _ in range(3):
        assert publisher.publish() == []
    with pytest.raises(Divergence, match="takes none either"):
        publisher.publish()


def test_missing_stream_is_created_by_genesis_alone(publisher_new):
    """Only what genesis causes may make the events stream."""
    server = ToyServer()
    publisher = publisher_new(server, last=Last(1, 0, ""))
    publisher.keep(outputs(2, 2))
    with pytest.raises(StreamsRefused, match="absent"):
        publisher.publish()
