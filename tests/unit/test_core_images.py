"""engine/core/images.py: what a state shows is what its events have said so far, and looking changes nothing."""

from typing import Any

import orjson
import pytest

from engine import core
from engine.core.images import images, outcomes
from persister.reader import Event
from persister.views import Changes, change_apply
from shared.codes import ACCOUNT_FIRST
from shared.streams import EventsEntry, Keys
from shared.wire_events import Encoder
from tests.golden import recording
from tests.property.entries import START_US
from tests.property.venues import EngineVenue
from tests.views_shown import shown

RECORDED = recording.entries_read()
KEYS = Keys("library0aa")
EVERY = 20


def told(changes: Changes, events: list[dict[str, Any]]) -> None:
    """Let a view reader take in events."""
    entry = EventsEntry(1, 0, 1, b"", b"", b"")
    for event in events:
        change_apply(KEYS, changes, entry, Event(0, event["e"], event, b""))


def imaged(states: Any, page_events: int) -> Changes:
    """Return the views of a state's images."""
    changes = Changes({}, {}, [])
    encoder = Encoder(core.markets_of(states), (0, 0))
    for page in images(states, page_events):
        for output in encoder.feed(page):
            told(changes, orjson.loads(output.data))
    return changes


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: str(recorded.seed))
def test_images_are_what_the_events_said(recorded: recording.Recorded) -> None:
    """Every few entries of a history the views made of images equal those made of events, and the hash stays."""
    venue = EngineVenue(recorded.first, START_US)
    changes = Changes({}, {}, [])
    told(changes, venue.engine.opening)
    for index, entry in enumerate(recorded.entries):
        told(changes, venue.apply(entry.kind, entry.body, entry.ts_us, entry.session))
        if index % EVERY == EVERY - 1:
            before = venue.engine.state_hash(), int(venue.engine.states["touched"][0])
            found = imaged(venue.engine.states, 3 if index % (2 * EVERY) == EVERY - 1 else 2_000)
            expected, of_state = shown(changes.hashes), shown(found.hashes)
            # The first configuration of the venue itself is told by its genesis alone.
            untold = of_state[KEYS.view_venue].keys() - expected[KEYS.view_venue].keys()
            assert untold <= {"venue", "insurance"}
            for name in untold:
                del of_state[KEYS.view_venue][name]
            assert of_state == expected
            assert before == (venue.engine.state_hash(), int(venue.engine.states["touched"][0]))
            assert not found.outcomes


@pytest.mark.parametrize("recorded", RECORDED[:4], ids=lambda recorded: str(recorded.seed))
def test_outcomes_are_what_was_answered(recorded: recording.Recorded) -> None:
    """What a state remembers of a request is the newest answer that decided it, with the number of its entry."""
    venue = EngineVenue(recorded.first, START_US)
    answers: dict[tuple[int, str, int], str] = {}
    for entry in recorded.entries:
        events = venue.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        for event in events:
            if event["e"] == "order_response":
                answers[event["account"], event["request_id"], venue.engine.seq] = event["result"]
    remembered = outcomes(venue.engine.states)
    assert remembered
    assert [row.seq for row in remembered] == sorted(row.seq for row in remembered)
    for row in remembered:
        assert row.account_id >= ACCOUNT_FIRST
        assert answers[row.account_id, row.request_id, row.seq] == row.result
