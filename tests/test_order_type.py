"""
What docs/architecture.md says of adding an order type: each of its five places knows every kind, or a test fails.

The keys that a kind needs are read from docs/commands.md; the core and the twin are asked, not searched.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import shapes
from shared import wire_orders
from shared.codes import OrderKind
from tests.property.histories import ORDER_KINDS
from tests.property.statistics import VENUES_OWN
from tests.property.venues import EngineVenue, TwinVenue
from tests.scenario.runner import START_US, Runner, Scenario, Venue, instructions_of, scenarios_all

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "commands.md").read_text()
ARCHITECTURE = (DOCS / "architecture.md").read_text()
KINDS = [kind.name.lower() for kind in OrderKind if kind and kind not in VENUES_OWN]
STRANGER = "iceberg"  # what nobody has added
SCENE = ["MARKET M1 tick=1 lot=1 leverage_max=20", "FEED up", "QUOTE M1 990/1010", "OPEN A1 OK"]
VALUES = {"price": "1011", "price_trigger": "1005", "trail_ticks": "3"}
# The bid is 990: a sell sleeps at one of the two triggers, and would fire at the other.
BELOW = {**VALUES, "price_trigger": "985"}
MOVES = ["M1 991/1009", "M1 1005/1015", "M1 991/1009", "M1 982/998"]
Found = Callable[[dict[str, Any], int], Venue]


def needs_of(kind: str) -> list[str]:
    """Return the keys that the page says a kind needs; of alternatives the first."""
    row = re.search(rf"^\|[^|]*`{kind}`[^|]*\|([^|]*)\|", PAGE.split("| `kind` |")[1], re.MULTILINE)
    assert row is not None, f"docs/commands.md has no row of {kind}"
    return [needed.split(" or ")[0].strip() for needed in row[1].split(",") if needed.strip()]


def run(found: Found, lines: list[str]) -> Runner:
    """Run lines on a fresh venue."""
    scenario = Scenario("an order of a kind", [(number, line.split()) for number, line in enumerate(SCENE + lines)])
    runner = Runner(scenario, lambda first: found(first, START_US))
    runner.run()
    return runner


def order_line(kind: str, keys: list[str], expected: str, values: dict[str, str] = VALUES) -> str:
    """Return the line that places an order of a kind with these keys."""
    return " ".join(["ORDER_PLACE A1 M1 SELL 1", f"kind={kind}", *(f"{key}={values[key]}" for key in keys), expected])


def placed(found: Found, kind: str, needs: list[str]) -> Runner:
    """Place an order of a kind with what it needs; one that sleeps refuses the trigger that is met already."""
    met = "TRIGGER_WOULD_FIRE_IMMEDIATELY"
    for values, other in ((VALUES, BELOW), (BELOW, VALUES)):
        try:
            runner = run(found, [order_line(kind, needs, "OK", values)])
        except AssertionError:
            continue
        if "price_trigger" in needs:
            run(found, [order_line(kind, needs, met, other)])
        return runner
    raise AssertionError(f"{kind} is not accepted")


def carries_out(found: Found, kind: str) -> None:
    """Ask a venue for an order of a kind: with what it needs, without each of it, and, dormant, until it wakes."""
    needs = needs_of(kind)
    for left_out in needs:
        run(found, [order_line(kind, [key for key in needs if key != left_out], "FIELD_MISSING")])
    runner = placed(found, kind, needs)
    assert runner.images["O1"]["kind"] == kind
    if set(needs) <= {"price"}:
        return
    assert runner.images["O1"]["status"] == "trigger"
    for move in MOVES:
        runner.line("QUOTE", move.split())
    assert "trigger_fired" in runner.kinds, f"{kind} sleeps on"


def wire_knows(kind: str) -> None:
    """The wire reads a kind, and the gateway lets it through."""
    assert kind in wire_orders.KINDS
    assert kind in shapes.WORDS[shapes.Shape.KIND][1]


def core_knows(kind: str) -> None:
    """The engine asks for what a kind needs, carries it out and prints it."""
    carries_out(EngineVenue, kind)


def twin_knows(kind: str) -> None:
    """The twin does the same."""
    carries_out(TwinVenue, kind)


def page_knows(kind: str) -> None:
    """The page of commands has a row for a kind."""
    needs_of(kind)


def tables_know(kind: str) -> None:
    """Some scenario places an order of a kind, and the random histories draw it."""
    placed = {each.keys.get("kind") for scenario in scenarios_all() for each in instructions_of(scenario)}
    assert kind in placed
    assert ORDER_KINDS.get(kind, 0) > 0


PLACES: dict[str, Callable[[str], None]] = {
    "wire": wire_knows,
    "core": core_knows,
    "twin": twin_knows,
    "page": page_knows,
    "tables": tables_know,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_place_knows_every_kind(kind: str, place: str) -> None:
    """Each of the five places knows each kind of order that a user may ask for."""
    PLACES[place](kind)


@pytest.mark.parametrize("place", PLACES)
def test_a_forgotten_place_is_missed(place: str) -> None:
    """A kind that a place has not heard of fails there."""
    with pytest.raises(AssertionError):
        PLACES[place](STRANGER)


def test_the_venues_own_kinds_cannot_be_asked_for() -> None:
    """What only the venue makes is on the page, and neither the wire nor the gateway takes it from outside."""
    for kind in VENUES_OWN:
        name = kind.name.lower()
        assert name not in wire_orders.KINDS
        assert name not in shapes.WORDS[shapes.Shape.KIND][1]
        assert f"`{name}`" in PAGE


def test_the_architecture_page_names_the_places() -> None:
    """The page says where an order type is added, and every file that it names is there."""
    section = ARCHITECTURE.split("## Adding an order type\n")[1].split("\n## ")[0]
    assert len(re.findall(r"^\| \d \|", section, re.MULTILINE)) == len(PLACES)
    files = re.findall(r"`([a-z_/]+\.(?:py|md|txt))`", section)
    assert files
    assert [name for name in files if not (DOCS.parent / name).exists()] == []
