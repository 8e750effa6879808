"""`tidemark why` in words: every kind of event and of entry has its sentence."""

import json

import pytest

from scripts.why_words import WORDS, cause_words, event_words
from shared.codes import EntryKind, EventKind
from shared.stream_keys import Entry
from tests.golden.recording import entries_read
from tests.property.entries import START_US
from tests.property.venues import EngineVenue

INSIDE = {"none", "batch_result"}  # never printed alone


def test_every_kind_has_words() -> None:
    """No event is told by its mere name."""
    assert set(WORDS) == {kind.name.lower() for kind in EventKind} - INSIDE


def test_recorded_events_are_told() -> None:
    """Each event of the recorded history gives one sentence, with no field missing and no brace left in it."""
    told = set()
    for recorded in entries_read()[:6]:
        venue = EngineVenue(recorded.first, START_US)
        for entry in recorded.entries:
            for event in venue.apply(entry.kind, entry.body, entry.ts_us, entry.session):
                words = event_words(event)
                assert words and "{" not in words and "\n" not in words
                told.add(event["e"])
    assert {"order_response", "fill", "ledger", "position_changed", "closed_order", "trigger_fired"} <= told


def test_a_kind_of_a_newer_build_is_named() -> None:
    """What this build does not know is told by its name."""
    assert event_words({"e": "comet_seen"}) == "comet_seen"


@pytest.mark.parametrize("kind", [kind.name.lower() for kind in EntryKind if kind.name not in ("NONE", "MALFORMED")])
def test_every_cause_has_words(kind: str) -> None:
    """Each kind of entry is named as a cause, and so is one that cannot be read."""
    body = json.dumps({"request_id": "1f", "op": "order_place", "s": "BTC_USDC_PERP", "b": "1", "a": "2", "p": "3"})
    assert cause_words(Entry(1, [(b"ts", b"1"), (kind.encode(), body.encode())]))
    assert cause_words(Entry(1, [(b"ts", b"1"), (kind.encode(), b"\xff{")])) == f"{kind}, not readable"


def test_a_request_names_its_operation() -> None:
    """An instruction is told with its request and what it asked for."""
    body = json.dumps({"request_id": "00ab", "op": "order_place"}).encode()
    assert cause_words(Entry(1, [(b"ts", b"1"), (b"user_instruction", body)])) == "request 00ab: order place"
    assert "operator" in cause_words(Entry(1, [(b"ts", b"1"), (b"venue_instruction", body)]))
