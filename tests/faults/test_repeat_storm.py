"""A short storm of repetitions in the suite, and that its judge sees what it is there to see."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.faults.repeat_storm import (
    NO_ANSWER,
    Case,
    Options,
    Said,
    arithmetic_problems,
    cases_make,
    problems_of,
    storm_run,
)

CASE: Case = cases_make(7, 1)[1]
OK = {"result": "OK", "request_id": CASE.request_id, "seq": "57"}


def test_the_judge_passes_one_outcome() -> None:
    """One outcome told often, once as the first, beside answers that say nothing, is no problem."""
    said = [Said(200, "OK", OK, False), Said(200, "OK", OK, True), Said(202, "UNKNOWN", {}, False)]
    assert problems_of(CASE, [*said, Said(0, NO_ANSWER, {}, False)]) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([Said(200, "OK", OK | {"seq": "58"}, True)], "2 outcomes"),
        ([Said(200, "OK", OK, False)], "were the first"),
        ([Said(409, "REQUEST_ID_REUSED", {}, False)], "REQUEST_ID_REUSED"),
        ([Said(500, "INTERNAL", {}, False)], "INTERNAL"),
    ],
)
def test_the_judge_sees_what_is_wrong(said: list[Said], words: str) -> None:
    """Another outcome, two that came first, a refusal or a mistake of ours among the answers is named."""
    assert any(words in problem for problem in problems_of(CASE, [Said(200, "OK", OK, False), *said]))


def test_the_judge_counts_the_position() -> None:
    """A step too much in the quantity, or a second change of margin, is seen."""
    before = {"qty": "0.2", "margin": "10"}
    assert arithmetic_problems(before, {"qty": "0.2", "margin": "17.3"}, Decimal("7.25")) == []
    assert arithmetic_problems(before, {"qty": "0.213", "margin": "17.3"}, Decimal("7.25")) != []
    assert arithmetic_problems(before, {"qty": "0.2", "margin": "24.5"}, Decimal("7.25")) != []


@pytest.mark.timeout(120)
def test_a_short_storm(tmp_path: Path) -> None:
    """One order, one close, one change of margin, however often they are sent while gateways and the engine die."""
    left = storm_run(Options(96, 1.6, 1, 1, print), tmp_path)
    assert left["problems"] == []
    for figures in left["requests"]:
        assert figures["sent"] >= 96
        assert figures["kills"] >= 1
        assert figures["answers"]["OK"] > 10
