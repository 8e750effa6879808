"""
The scenario tables, on the engine and on the twin.
"""

from pathlib import Path

import pytest

from shared.codes import ResultCode
from tests.property.venues import EngineVenue, TwinVenue
from tests.scenario.runner import START_US, Runner, Scenario, scenarios_read

SCENARIOS = [scenario for path in sorted(Path(__file__).parent.glob("*.txt")) for scenario in scenarios_read(path)]
# Codes of the first rules that no entry of theirs can bring about: no operation halts a market or freezes an account.
UNREACHABLE = {"ACCOUNT_FROZEN", "MARKET_HALTED", "MARKET_REDUCE_ONLY"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_on_twin(scenario: Scenario) -> None:
    """The twin answers every line of the table as written."""
    Runner(scenario, lambda first: TwinVenue(first, START_US)).run()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_on_engine(scenario: Scenario) -> None:
    """The engine answers every line of the table as written."""
    Runner(scenario, lambda first: EngineVenue(first, START_US)).run()


def test_every_code_appears() -> None:
    """Every result code that can be reached is the answer of some line."""
    codes = {
        code for scenario in SCENARIOS for code in Runner(scenario, lambda first: TwinVenue(first, START_US)).run()
    }
    assert codes == {code.name for code in ResultCode} - UNREACHABLE
