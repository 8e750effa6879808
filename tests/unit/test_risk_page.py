"""docs/risk.md: its worked numbers are what the engine does, and every formula that the source cites stands there."""

import re
from pathlib import Path

import pytest

from engine.library import Engine
from tests.property.venues import EngineVenue
from tests.scenario.runner import START_US, Runner, Scenario

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "risk.md").read_text()
# What the page says of its examples.
SCENE = """
VENUE   starting_balance=10000
MARKET  M1 tick=1 lot=1 leverage_max=20 spread_max_ppm=30000
FEED    up
QUOTE   M1 990/1010
OPEN    A1  OK
OPEN    A2  OK
OPEN    A3  OK
"""


def examples() -> list[Scenario]:
    """Return the worked blocks of the page, each named by the heading it stands under."""
    found = []
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"(?:^    (?:#|[A-Z_]+  ).*\n)+", section, re.MULTILINE)
        for block in blocks:
            scenario = Scenario(section.split("\n")[0])
            for number, line in enumerate((SCENE + block).splitlines(), start=1):
                words = line.split("#")[0].split()
                if words:
                    scenario.lines.append((number, words))
            found.append(scenario)
    return found


def section_of(title: str) -> str:
    """Return one section of the page."""
    return PAGE.split(f"# {title}\n")[1].split("\n#")[0]


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    rows = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_worked_examples_are_what_happens(example: Scenario) -> None:
    """Every worked block of the page runs on the engine as it is written."""
    Runner(example, lambda first: EngineVenue(first, START_US)).run()


def test_there_are_worked_examples() -> None:
    """The page works an example of each rule that moves money in more than one step."""
    wanted = {"Closing", "A maker's test", "Reserves", "Leverage", "Removing margin", "Trailing stops", "Funding"}
    assert {example.name for example in examples()} == wanted


def test_levels_cost_what_the_closed_form_says() -> None:
    """The table of `quote_sized` agrees with the sum over its lots, and so does the formula."""
    table = section_of("Liquidity").split("| touch")[1]
    for quote, used, lots, steps, cost in rows_of("| touch" + table):
        touch, spread, size = (int(word) for word in quote.split(","))
        first, count = int(used), int(lots)
        summed = sum(number // size for number in range(first, first + count))
        assert below(first + count, size) - below(first, size) == summed == int(steps)
        assert count * touch + spread * summed == int(cost)


def below(count: int, size: int) -> int:
    """Return the page's F: the sum of the levels of the lots numbered below `count`."""
    whole, rest = divmod(count, size)
    return size * whole * (whole - 1) // 2 + whole * rest


def test_cited_sections_exist() -> None:
    """Every section of the page that a source file names is there."""
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    cited = set()
    for package in ("engine", "shared", "gateway", "tests"):
        for path in (REPOSITORY / package).rglob("*.py"):
            cited |= set(re.findall(r"docs/risk\.md#([a-z-]+)", path.read_text()))
    cited |= set(re.findall(r"\(#([a-z-]+)\)", PAGE))
    assert cited - anchors == set()


def test_the_worked_position_is_recomputed() -> None:
    """Every figure of the table comes out of the engine."""
    engine = Engine()
    opening = {"v": 1, "account": 0, "request_id": "0" * 31 + "1", "op": "account_open", "owner": "1" * 32}
    engine.apply("user_instruction", opening)
    engine.price("BTC_USDC_PERP", "60000.0", "60000.1")
    order = {"op": "trade_create", "market": "BTC_USDC_PERP", "side": "buy", "margin": "500", "leverage": 10}
    trade = {"v": 1, "account": 100, "request_id": "0" * 31 + "2", **order, "take_profit": "61000"}
    opened = {event["e"]: event for event in engine.apply("user_instruction", trade)}
    later = engine.ts_us + 1_000_000
    closed = {event["e"]: event for event in engine.price("BTC_USDC_PERP", "61000.0", "61000.1", ts_us=later)}
    position, fill = opened["position_changed"], opened["fill"]
    margin, cost = float(position["margin"]), float(position["cost"])
    loss = round(cost - float(fill["qty"]) * 60_000.0, 6)
    expected = [
        "60000.0 / 60000.1",
        f"{fill['qty']} BTC at {fill['price']}",
        position["cost"],
        f"{margin - loss:.6f}",
        f"{loss:.6f}",
        position["margin"],
        fill["fee"],
        opened["account_changed"]["free"],
        position["price_liquidation"],
        closed["fill"]["pnl_realised"],
        closed["fill"]["fee"],
        closed["account_changed"]["free"],
    ]
    assert [row[1] for row in rows_of(section_of("A worked position"))] == expected
