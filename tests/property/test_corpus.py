"""
Every wrong entry of the corpus through the library's raw path: a named error, and a book of record that did not move.
"""

from typing import Any

import pytest

from engine import core
from shared.codes import EntryKind
from tests.corpus import MARKET, Case, World, all_cases
from tests.property.histories import START_US
from tests.property.venues import EngineVenue

CASES = all_cases()
ACCEPTED = "ab" * 16


def request(venue: EngineVenue, account: int, number: int, body: dict[str, Any]) -> dict[str, Any]:
    """Send one sound instruction and return its answer."""
    request_id = ACCEPTED if number == 0 else f"{number:032x}"
    envelope = {"v": 1, "account": account, "request_id": request_id}
    events = venue.apply("user_instruction", {**envelope, **body}, START_US)
    answer = next(event for event in events if event["e"] == "order_response")
    assert answer["result"] == "OK", answer
    return answer


@pytest.fixture(scope="module")
def prepared() -> tuple[EngineVenue, World]:
    """Return an engine with a quote, two accounts, and an order and a ticket of each."""
    venue = EngineVenue({"markets": None}, START_US)
    venue.apply("feed_status", {"status": "up", "source": "simulated"}, START_US, "session1")
    quote = {"A": "1", "B": "1", "E": START_US, "T": START_US, "a": "65000.1", "b": "65000.0", "e": "bookTicker",
             "s": MARKET, "u": 1}  # fmt: skip
    venue.apply("price_update", quote, START_US, "session1")
    accounts, orders, positions = [], [], []
    resting = {
        "op": "order_place",
        "market": MARKET,
        "side": "buy",
        "kind": "limit",
        "qty": "0.001",
        "price": "64000.0",
    }
    ticket = {"op": "trade_create", "market": MARKET, "side": "buy", "qty": "0.002", "leverage": 5}
    for index in (0, 1):
        owner = {"op": "account_open", "owner": f"{index:032x}"}
        accounts.append(request(venue, 0, 1 + index, owner)["account"])
        placed = request(venue, accounts[index], 10 + index, {**resting, "client_order_id": "mine-1"})
        orders.append(placed["order_id"])
        positions.append(request(venue, accounts[index], 20 + index, ticket)["position_id"])
    accepted = {"op": "orders_cancel", "market": "ETH_USDC_PERP"}
    request(venue, accounts[0], 0, accepted)
    return venue, World(START_US, accounts[0], *orders[:1], *positions[:1], orders[1], positions[1], ACCEPTED, accepted)


def test_corpus_is_large() -> None:
    """The corpus holds at least three hundred cases, each with a name of its own."""
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("group", range(10))
def test_wrong_entry_is_named_and_changes_nothing(prepared: tuple[EngineVenue, World], group: int) -> None:
    """Each wrong entry is answered by the rule it breaks, or counted as malformed, and moves neither book nor time."""
    venue, world = prepared
    engine = venue.engine
    record, log_time_us = engine.record_hash(), core.header(engine.states)["log_time_us"]
    wrong = []
    for number, case in enumerate(CASES):
        if number % 10 == group:
            answered = corpus_answer(venue, world, case, f"{0x100000 + number:032x}")
            if answered != case.code:
                wrong.append(f"{case.name}: {answered}, expected {case.code}")
            assert engine.record_hash() == record, case.name
            assert core.header(engine.states)["log_time_us"] - log_time_us <= 2_000_000, case.name
    assert not wrong, "\n".join(wrong)


def corpus_answer(venue: EngineVenue, world: World, case: Case, request_id: str) -> str:
    """Return what one case was answered with: the code of its response, or that it was counted as malformed."""
    before = malformed_count(venue)
    events = venue.engine.apply_raw(case.fields(world, request_id))
    answers = [event["result"] for event in events if event["e"] == "order_response"]
    if answers:
        assert len(events) == 1, case.name
        return answers[0]
    assert events == [], case.name
    return "RECORD_MALFORMED" if malformed_count(venue) == before + 1 else "nothing"


def malformed_count(venue: EngineVenue) -> int:
    """Return how many entries the engine could not read."""
    return int(venue.engine.states[0]["header"]["entries"][EntryKind.MALFORMED])
