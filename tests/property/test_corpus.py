"""
Every wrong entry of the corpus through the library's raw path: a named error, and a book of record that did not move.
"""

import json
from typing import Any

import pytest

from engine import core
from shared.codes import EntryKind
from shared.records import BATCH_MAX
from shared.wire_instructions import BATCH_OPS
from tests.corpus import MARKET, Case, World, all_cases, entry, json_text
from tests.property.histories import START_US
from tests.property.venues import EngineVenue

CASES = all_cases()
# What is said of an instruction as a whole, and so never of one command of a batch.
WHOLE = (
    "RECORD_MALFORMED", "OP_UNKNOWN", "REQUEST_REPEATED", "REQUEST_ID_REUSED", "REQUEST_TOO_OLD", "REQUEST_ID_EARLY",
    "INSTRUCTION_LATE", "INSTRUCTION_EARLY", "ACCOUNT_UNKNOWN",
)  # fmt: skip
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


def test_wrong_command_of_a_batch_is_named(prepared: tuple[EngineVenue, World]) -> None:
    """Each wrong instruction gets the same code as a command of a batch, and the batch moves nothing of the book."""
    venue, world = prepared
    names = {op.name.lower() for op in BATCH_OPS}
    commands: list[tuple[Any, str]] = [
        (None, "FIELD_TYPE_INVALID"), ({"order_id": 1}, "FIELD_TYPE_INVALID"), ({"op": 5}, "FIELD_TYPE_INVALID"),
        *[({"op": op}, "OP_UNKNOWN") for op in ("batch", "account_open", "account_reset", "market_halt", "")],
        ({"op": "orders_cancel", "account": 101}, "FIELD_UNKNOWN"),
    ]  # fmt: skip
    for case in CASES:
        if case.code not in WHOLE:
            body = json.loads(case.fields(world, "0" * 32)[-1][1])
            rest = {key: value for key, value in body.items() if key not in ("v", "account", "request_id")}
            if rest["op"] in names:
                commands.append((rest, case.code))
    assert len(commands) > 600
    record = venue.engine.record_hash()
    for first in range(0, len(commands), BATCH_MAX):
        part = commands[first : first + BATCH_MAX]
        envelope = {"v": 1, "account": world.account, "request_id": f"{0x200000 + first:032x}", "op": "batch"}
        text = json_text({**envelope, "commands": [command for command, _code in part]})
        [answer] = venue.engine.apply_raw(entry(b"%d" % world.ts_us, b"user_instruction", text.encode()))
        assert answer["result"] == "OK"
        for result, (command, code) in zip(answer["results"], part, strict=True):
            assert result == {"result": code}, command
        assert venue.engine.record_hash() == record


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
