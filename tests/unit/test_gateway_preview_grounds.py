"""The founded states that the calculator keeps: one a configuration, and none for ever."""

from typing import Any, cast

from engine.core import Ground
from gateway.preview.worker import GROUNDS_MAX, USES_MAX, Grounds
from tests.preview_house import House
from tests.unit.test_gateway_preview import CALLER, NAMES, founded


class Founded:
    """Counts what is founded."""

    def __init__(self) -> None:
        """Start at none."""
        self.count = 0

    def __call__(self, _markets: list[dict[str, Any]], _venue: dict[str, Any]) -> Ground:
        """Return something that stands for a ground."""
        self.count += 1
        return cast(Ground, object())


def asked_of(house: House) -> Any:
    """Return a question of the caller."""
    return house.question(CALLER, {"body": {"market": NAMES[0], "side": "buy", "qty": "1"}})


def test_a_configuration_has_one_ground_until_it_has_served_long() -> None:
    """The same markets have the same ground; after so many questions, or other parameters, another."""
    counted = Founded()
    grounds = Grounds(counted)
    question, changed = asked_of(founded()), asked_of(founded(fee_taker_ppm=600))
    first = grounds.of(question)
    assert grounds.of(changed) is not first
    assert all(grounds.of(question) is first for _ in range(USES_MAX - 1))
    assert counted.count == 2
    assert grounds.of(question) is not first
    assert counted.count == 3


def test_the_ground_asked_for_longest_ago_is_forgotten() -> None:
    """No more than so many configurations are kept, those in use first."""
    counted = Founded()
    grounds = Grounds(counted)
    questions = [asked_of(founded(fee_taker_ppm=500 + number)) for number in range(GROUNDS_MAX + 1)]
    first = grounds.of(questions[0])
    for question in questions[1:GROUNDS_MAX]:
        grounds.of(question)
    assert grounds.of(questions[0]) is first
    grounds.of(questions[GROUNDS_MAX])
    assert grounds.of(questions[0]) is first
    assert counted.count == GROUNDS_MAX + 1
    grounds.of(questions[1])
    assert counted.count == GROUNDS_MAX + 2
