"""An output that is sent before anything is noted of it: the same rules, one question earlier."""

from types import SimpleNamespace
from typing import Any

import pytest

from engine.encode.encoded import Encoded
from engine.encode.kept import runs_of
from engine.publish import Last
from engine.publish_fast import FastPublisher
from engine.turns_fast import AT_ONCE_MAX, FastTurn
from shared.streams import Keys, StreamsUnknown, event_id
from shared.wire_events import Output
from tests.engine_toy import ToyClock, ToyServer, ToyStreams, link_publisher
from tests.engine_toy_port import ToyLinkPort

KEYS = Keys("toyvenue01")


def encoded(first_seq: int, last_seq: int) -> Encoded:
    """Return one output a seq, chained, as a batch has them before anything is noted."""
    found = Encoded()
    found.runs = runs_of(
        [
            Output(seq, 0, seq * 1_000, event_id(seq - 1, 0) if seq > 1 else b"0-0", b"", b"[%d]" % seq)
            for seq in range(first_seq, last_seq + 1)
        ]
    )
    return found


def publisher_of(server: ToyServer, fault: Any = None) -> FastPublisher:
    """Return a publisher that has published the first output, and knows it."""
    streams = ToyStreams(server, ToyClock(), fault)
    publisher: Any = link_publisher(lambda: ToyLinkPort(streams, KEYS), streams, KEYS, Last(0, 0, ""))[1]
    publisher.keep(encoded(1, 1))
    publisher.publish()
    publisher.compare(1)
    assert publisher.tip_id == (1, 0)
    return publisher


def test_what_follows_is_there_before_it_is_kept_and_read_back_as_ever() -> None:
    """The stream has it at once; kept afterwards, it is nothing more to publish, and is dropped when it was seen."""
    server = ToyServer()
    publisher = publisher_of(server)
    more = encoded(2, 2)
    publisher.append_at_once(more)
    assert [event.seq for event in server.events] == [1, 2] and not publisher.kept
    publisher.keep(more)
    assert not publisher.unsent()
    publisher.link.take_all()
    assert (publisher.tip_id, publisher.published_count, publisher.settled(2)) == ((2, 0), 2, False)
    assert publisher.compare(2) == 1 and publisher.settled(2)


@pytest.mark.parametrize("reason", ["two", "none", "gap", "tip", "transaction", "question"])
def test_anything_else_goes_the_usual_way(reason: str) -> None:
    """Two outputs, what does not follow the stream's end, and what would come between others are not sent at once."""
    server = ToyServer()
    publisher = publisher_of(server)
    more = {"two": encoded(2, 3), "none": Encoded(), "gap": encoded(3, 3)}.get(reason, encoded(2, 2))
    if reason == "tip":
        publisher.tip_id = None
    elif reason == "transaction":
        publisher.keep(encoded(2, 2))
        publisher.append_ask()
        more = encoded(3, 3)
    elif reason == "question":
        publisher.compare_ask(1)
    publisher.append_at_once(more)
    assert [event.seq for event in server.events] == [1]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_that_breaks_meanwhile_is_told_with_the_next_send(moment: str) -> None:
    """What the batch caused is noted first; then it is as with any transaction whose answer is lost."""
    failures: list[Exception] = []

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and when == moment and failures:
            raise failures.pop()

    server = ToyServer()
    publisher = publisher_of(server, fault)
    failures.append(StreamsUnknown("cut"))
    more = encoded(2, 2)
    publisher.append_at_once(more)
    publisher.keep(more)
    with pytest.raises(StreamsUnknown):
        publisher.link.send()
    publisher.link.open()
    publisher.reconnected()
    publisher.publish()
    assert publisher.compare(2) == 1
    assert [event.seq for event in server.events] == [1, 2] and publisher.settled(2)


@pytest.mark.parametrize(
    ("count", "leading", "awake", "sent"),
    [(1, True, True, True), (AT_ONCE_MAX + 1, True, True, False), (1, False, True, False), (1, True, False, False)],
)
def test_only_a_leader_that_has_not_slept_sends_at_once_what_few_entries_caused(
    count: int, leading: bool, awake: bool, sent: bool
) -> None:
    """A standby, a leader that may have slept through a restoration, and a long batch note first."""
    told: list[Any] = []
    turn: Any = FastTurn.__new__(FastTurn)
    machine, leadership = SimpleNamespace(entries_count=count), SimpleNamespace(leading=leading)
    turn.runner = SimpleNamespace(parts=SimpleNamespace(machine=machine, leadership=leadership), awake=lambda: awake)
    turn.publisher = SimpleNamespace(append_at_once=told.append)
    turn.at_once("outputs")
    assert told == (["outputs"] if sent else [])
