"""A short WebSocket storm in the suite, and that its judge sees what it is there to see."""

import json
from pathlib import Path

import pytest

from shared.streams import EventsEntry
from tests.faults.ws_storm import Options, storm_run
from tests.faults.ws_storm_checks import Truth, responses_problems
from tests.faults.ws_storm_clients import Record


def entry(seq: int, *events: dict[str, object], chunk: int = 0) -> EventsEntry:
    """Return an entry as a reader has it."""
    return EventsEntry(seq, chunk, 1_000_000 * seq, b"", b"", json.dumps(events).encode())


def position(account: int, qty: str) -> dict[str, object]:
    """Return a position as an event states it."""
    return {"e": "position_changed", "account": account, "position_id": 7, "qty": qty}


ENTRIES = [
    entry(5, position(101, "1"), position(102, "2")),
    entry(
        6, {"e": "fill", "account": 101}, {"e": "liquidation", "account": 102, "market": "BTC_USDC_PERP", "qty": "2"}
    ),
    entry(6, position(101, "3"), chunk=1),
]
TOLD = [("6-0-0", "events", {"e": "fill", "account": 101}), ("6-1-0", "events", position(101, "3"))]
SNAPSHOT = ("5-0", {"positions": [{"position_id": 7, "qty": "1"}], "orders": []})


def test_the_judge_passes_what_is_right() -> None:
    """What stands in the stream after the snapshot's place, whole or ended early, is no problem."""
    truth = Truth(ENTRIES)
    assert truth.problems(Record(101, ("events",), [SNAPSHOT], list(TOLD))) == []
    assert truth.problems(Record(101, ("events",), [SNAPSHOT], TOLD[:1], ended=True)) == []
    public = Record(0, ("liquidations",), [("5-0", {})], [("6-0-1", "x", {"kind": "liquidation", "qty": "2"})])
    assert truth.problems(public) == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Record(101, (), [SNAPSHOT], TOLD[:1]), "missing"),
        (Record(101, (), [SNAPSHOT], TOLD[1:], ended=True), "not 6-0-0"),
        (Record(101, (), [SNAPSHOT], [TOLD[0], TOLD[0], TOLD[1]]), "not 6-1-0"),
        (Record(101, (), [SNAPSHOT], [*TOLD, TOLD[1]]), "too many"),
        (Record(101, (), [SNAPSHOT], [TOLD[0], ("6-1-0", "events", position(101, "4"))]), "was told as"),
        (Record(101, (), [("5-0", {"positions": []})], list(TOLD)), "has positions"),
        (Record(101, (), [SNAPSHOT, SNAPSHOT], list(TOLD)), "2 snapshots"),
        (Record(101, (), [SNAPSHOT], list(TOLD), gaps=["5-0 trimmed"]), "gap"),
        (
            Record(0, (), [("5-0", {})], [("6-0-1", "x", {"kind": "liquidation", "qty": "2", "account": 102})]),
            "told as",
        ),
    ],
)
def test_the_judge_sees_what_is_wrong(record: Record, words: str) -> None:
    """An event that is missing, twice, out of turn or other than it is, a gap, a wrong snapshot, a name told."""
    assert any(words in problem for problem in Truth(ENTRIES).problems(record))


def test_the_judge_counts_acceptances() -> None:
    """An instruction told to be accepted is so once; one told to be refused never."""
    answered = {"e": "order_response", "account": 101, "request_id": "a", "result": "OK"}
    assert responses_problems([entry(7, answered)], ["a"], []) == []
    assert responses_problems([entry(7, answered), entry(8, answered)], ["a"], []) != []
    assert responses_problems([], ["a"], []) != []
    assert responses_problems([entry(7, answered)], [], ["a"]) != []


@pytest.mark.timeout(120)
def test_a_short_storm(tmp_path: Path) -> None:
    """Every program ends with exactly its account's events, through cuts, two gateways lost and one huge entry."""
    left = storm_run(Options(8, 7.0, 720, 3, print), tmp_path)
    assert left["problems"] == []
    assert left["cuts"] >= 20
    assert left["connections"] > left["followers"] + left["cuts"] // 4
    assert left["largest_entry"]["events"] >= 2_000
    assert left["largest_entry"]["chunks"] > 1
    assert left["records"] > left["followers"]
    assert left["instructions_accepted"] > 5
