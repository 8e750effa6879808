"""
The scenario tables, on the engine and on the twin; together they reach every result, event and reason.
"""

from typing import Any

import pytest

from shared.codes import CloseReason, EventKind, ResultCode
from tests.property.venues import EngineVenue, TwinVenue
from tests.scenario.runner import START_US, Runner, Scenario, instructions_of, scenarios_all

SCENARIOS = scenarios_all()
# Printed inside an order_response, never alone.
KINDS_NEVER = {"batch_result"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_on_twin(scenario: Scenario) -> None:
    """The twin answers every line of the table as written."""
    Runner(scenario, lambda first: TwinVenue(first, START_US)).run()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_on_engine(scenario: Scenario) -> None:
    """The engine answers every line of the table as written, and its state is sound at the end."""
    runner = Runner(scenario, lambda first: EngineVenue(first, START_US))
    runner.run()
    assert isinstance(runner.venue, EngineVenue)
    assert runner.venue.engine.invariants() == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_step_by_step(scenario: Scenario) -> None:
    """All comes out the same when the events buffer is full after every step of an entry."""

    def crowded(first: dict[str, Any]) -> EngineVenue:
        venue = EngineVenue(first, START_US)
        venue.crowd()
        return venue

    Runner(scenario, crowded).run()


def test_a_wrong_value_is_noticed() -> None:
    """A table fails at any line of its own that expects another value or code."""
    scenario = next(each for each in SCENARIOS if each.name.startswith("the better price first"))
    for at, (number, words) in enumerate(scenario.lines):
        if words[0] in ("VENUE", "MARKET", "FEED", "QUOTE", "EVENTS"):
            continue
        wrong = list(scenario.lines)
        spoilt = "PRICE_STALE" if words[-1] == "OK" else f"{words[-1]}1"
        wrong[at] = (number, [*words[:-1], spoilt])
        with pytest.raises(AssertionError, match=f"line {number}:"):
            Runner(Scenario(scenario.name, wrong), lambda first: TwinVenue(first, START_US)).run()


def test_names_are_told_apart() -> None:
    """No two tables have the same name."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))


def test_every_code_appears() -> None:
    """Every result code is the answer of some line."""
    codes = {instruction.expected for scenario in SCENARIOS for instruction in instructions_of(scenario)}
    codes |= {words[-1] for scenario in SCENARIOS for _, words in scenario.lines if words[0] == "ENTRY"}
    assert codes == {code.name for code in ResultCode}


def test_every_event_and_reason_is_caused() -> None:
    """Some line causes an event of each kind, and some order or position ends for each reason."""
    kinds: set[str] = set()
    reasons: set[str] = set()
    for scenario in SCENARIOS:
        runner = Runner(scenario, lambda first: TwinVenue(first, START_US))
        runner.run()
        kinds |= runner.kinds
        reasons |= runner.reasons
    assert {kind.name.lower() for kind in EventKind if kind} - KINDS_NEVER <= kinds
    assert {reason.name.lower() for reason in CloseReason if reason} <= reasons
