"""docs/risk.md: its worked numbers are what the engine does, and every formula that the source cites stands there."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from engine.library import Engine
from tests.property.venues import EngineVenue
from tests.scenario.runner import START_US, Runner, Scenario

MICROS = 10**6
SCORE_MAX = 2**62 - 1
REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "risk.md").read_text()
# What the page says of its examples.
SCENE = """
VENUE   starting_balance=10000
MARKET  M1 tick=1 lot=1 leverage_max=20 spread_max_ppm=30000
MARKET  M2 tick=1 lot=1 leverage_max=20
FEED    up
QUOTE   M1 990/1010
QUOTE   M2 99/101
OPEN    A1  OK
OPEN    A2  OK
OPEN    A3  OK
"""


def examples() -> list[Scenario]:
    """Return the worked blocks of the page, each named by the heading it stands under."""
    found = []
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"(?:^    (?:#|[A-Z_]{3,} ).*\n)+", section, re.MULTILINE)
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
    wanted |= {"Cross margin", "What may leave", "Fitting", "Cross liquidation", "Margin calls", "Auto-deleveraging"}
    wanted |= {"Liquidation in stages", "Limits", "Guards", "Sub-accounts"}
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


def tiers_read(text: str) -> list[tuple[int, int, int]]:
    """Return `0: 1 %; 100000: 5 %` as floors, rates and amounts in micro."""
    tiers: list[tuple[int, int, int]] = []
    for floor_text, rate in (row.split(":") for row in text.split(";")):
        floor, mmr = int(floor_text) * MICROS, int(rate.split()[0]) * MICROS // 100
        amount = floor * (mmr - tiers[-1][1]) // MICROS + tiers[-1][2] if tiers else 0
        tiers.append((floor, mmr, amount))
    return tiers


def maintenance(tiers: list[tuple[int, int, int]], notional: int) -> Fraction:
    """Return the exact maintenance margin."""
    return max(Fraction(notional * mmr, MICROS) - amount for _, mmr, amount in tiers)


def test_stages_are_recomputed() -> None:
    """Each row of the table of stages closes what the page's rule says, and keeps what is healthy."""
    for position, tiers_text, keep, closed, kept in rows_of(section_of("Liquidation in stages")):
        lots, mark, margin, cost = (Fraction(word) for word in position.replace("−", "-").split(","))
        tiers, ticks = tiers_read(tiers_text), int(mark * MICROS)
        own = max(number for number, tier in enumerate(tiers) if tier[0] <= abs(lots) * ticks)
        found = None
        for floor, _, _ in reversed(tiers[1 : own + 1]):
            left = (floor - 1) // ticks
            gone = abs(lots) - left
            released = int(margin * MICROS * gone) // int(abs(lots))
            part = -(int(-cost * MICROS * gone) // int(abs(lots)))
            equity = int(margin * MICROS) - released - left * ticks - (int(cost * MICROS) - part)
            needed = maintenance(tiers, left * ticks)
            if released - gone * ticks - part >= 0 and equity > needed:
                found = (left, gone, f"{equity / MICROS:.6f}, {int(needed) / MICROS:.6f}")
                break
        assert found == ((int(keep), int(closed), kept) if kept != "–" else None)
        assert found or int(closed) == abs(lots)


def test_calls_are_recomputed() -> None:
    """Each row of the table of margin calls is the first mark at which 1.25 times the maintenance margin is reached."""
    for position, tiers_text, called in rows_of(section_of("Margin calls")):
        lots, cost, margin = (Fraction(word) for word in position.replace("−", "-").split(","))
        tick = Fraction(1, 10 ** len(called.partition(".")[2]))
        for price, reached in ((Fraction(called), True), (Fraction(called) + (tick if lots > 0 else -tick), False)):
            needed = maintenance(tiers_read(tiers_text), int(abs(lots) * price * MICROS)) / MICROS
            assert (margin + lots * price - cost <= needed * 5 / 4) == reached


def test_scores_are_recomputed() -> None:
    """Each score of the table comes out of the page's formula."""
    for position, score in rows_of(section_of("Auto-deleveraging")):
        lots, cost, backing = position.replace("−", "-").split(",")
        value, spent = int(lots) * 955 * MICROS, int(cost) * MICROS
        result = value - spent
        across = "across" in backing
        equity = int(Fraction(backing.split()[-1]) * MICROS) + (0 if across else result)
        rate = min(abs(result) * MICROS // abs(spent), SCORE_MAX)
        winning = min(rate * abs(value) // equity, SCORE_MAX) if equity > 0 else SCORE_MAX
        found = winning if result > 0 or equity <= 0 else -min(rate * equity // abs(value), SCORE_MAX)
        assert found == int(score.replace("−", "-"))


def held(price: Fraction, lots: int, low: int = 1, high: int = 2**23 - 1) -> int:
    """Return a price in whole ticks, rounded in favour of the position, between two others."""
    ticks = -int(-price // 1) if lots > 0 else int(price // 1)
    return min(max(ticks, low), high)


def bound(lots: int, price: int, funded: int, mark: int) -> int:
    """Return how far down or up users are met: the fund bears a gap, never a price worse than the mark."""
    return max(funded, min(price, mark)) if lots > 0 else min(funded, max(price, mark))


def fractions(text: str) -> list[Fraction]:
    """Return the numbers of a cell."""
    return [Fraction(word) for word in re.findall(r"-?[\d.]+", text.replace("−", "-"))]


def test_bankruptcy_prices_are_recomputed() -> None:
    """Each row of an isolated position has the price, the limit, and what all of the fund would make of it."""
    for position, *shown in rows_of(section_of("Bankruptcy price").split("| cross:")[0]):
        lots, cost, margin = fractions(position)
        mark, price, fund, limit, whole = (int(word) for word in shown)
        assert held((cost - margin) / lots, int(lots)) == price
        assert held((cost - margin - fund) / lots, int(lots)) == whole
        assert bound(int(lots), price, whole, mark) == limit


def test_bankruptcy_prices_across_are_recomputed() -> None:
    """Each row of a cross position has its share of the equity, in the band; and what all of the equity would be."""
    for account, *shown in rows_of("| cross:" + section_of("Bankruptcy price").split("| cross:")[1]):
        equity, *numbers = (int(number * MICROS) for number in fractions(account))
        rows = [tuple(numbers[at : at + 3]) for at in range(0, len(numbers), 3)]
        lots, mark, cost = rows[0]
        parts = [abs(count * ticks // MICROS) // 256 + 1 for count, ticks, _ in rows]
        won = [count * ticks // MICROS - spent for count, ticks, spent in rows]
        behind = equity * parts[0] // sum(parts) - won[0]
        low, high = -(-mark * 95 // (100 * MICROS)), mark * 105 // (100 * MICROS)
        (backing, price, fund, limit, alone) = (fractions(word)[0] for word in shown)
        assert Fraction(behind, MICROS) == backing
        assert held(Fraction(cost - behind, lots), lots, low, high) == price
        funded = held(Fraction(cost - behind - int(fund) * MICROS, lots), lots, low, high)
        assert bound(lots, int(price), funded, mark // MICROS) == limit
        assert held(Fraction(cost - equity + won[0], lots), lots) == alone


def test_figures_of_deviations_are_recomputed() -> None:
    """What the text says that another rule would have done comes out of that rule."""
    text = " ".join(PAGE.split())
    pool, needed, lots, entry = 1000, 140, 20, 1000
    lowest = entry - (pool - needed) // lots
    assert lots * (entry - lowest + 1) > pool - needed
    edge = max(entry - pool // lots, entry * 95 // 100)
    told = f"Of {pool} beside a position that needs {needed}, {pool - needed} may be lost to a user: {lots} from"
    assert f"{told} {entry} down to {lowest}, where it would be {edge}." in text
    fee, cash, lost = Fraction(25 * 1019, 100), 525, 280
    shown = f"(A fee of {float(fee)} on 25 at 1019, taken from {cash} of cash beside a position that has lost {lost},"
    assert f"{shown} would leave −{float(fee - cash + lost)} to whoever" in text
    assert f"here it is {min(fee, cash - lost)}.)" in text
    assert f"of 200 {200 * 201 // 2} instead of {2 * 200}," in text
    assert f"30000 in a tier of 5× need {30_000 // 5}, and {30_000 // 50} at the 50× of before." in text


def bands_read() -> list[tuple[int, list[tuple[int, int, int]], str, list[str]]]:
    """Return the rows of the table of bands: equity, positions as (sign, lots, mark), what is guarded, the rest."""
    found = []
    for account, guarded, *shown in rows_of("| account" + section_of("Bands").split("| account")[1]):
        words = re.findall(r"(long|short) (\d+) at (\d+)", account)
        positions = [(1 if side == "long" else -1, int(lots), int(mark)) for side, lots, mark in words]
        found.append((int(account.split(";")[0]), positions, guarded, shown))
    return found


def test_bands_are_recomputed() -> None:
    """Each row of the table of bands comes out of the page's formulas."""
    for equity, positions, guarded, shown in bands_read():
        notionals = [lots * mark * MICROS for _, lots, mark in positions]
        needed = sum(notional // 100 for notional in notionals)
        level = equity * MICROS - needed if guarded == "h" else 4 * equity * MICROS - 5 * needed
        weights = [notional // 256 + 1 for notional in notionals]
        parts = [min(level - 2, 2**59) * weight // sum(weights) for weight in weights]
        value, rate = (Fraction(1), Fraction(1, 100)) if guarded == "h" else (Fraction(4), Fraction(5, 100))
        slopes = [lots * (value - sign * rate) for sign, lots, _ in positions]
        ticks = [int(part // (slope * MICROS)) for part, slope in zip(parts, slopes, strict=True)]
        beyond = [mark - sign * (tick + 1) for (sign, _, mark), tick in zip(positions, ticks, strict=True)]
        columns = [[Fraction(word) for word in column.split(",")] for column in shown]
        assert columns == [[Fraction(level, MICROS)], slopes, [Fraction(part, MICROS) for part in parts], ticks, beyond]


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("row", range(len(bands_read())))
def test_bands_are_where_the_engine_looks_again(row: int, number: int) -> None:
    """An account is not evaluated up to the band's last tick, and is at the first beyond it."""
    equity, positions, guarded, shown = bands_read()[row]
    market = "leverage_max=20 mark_band_ppm=900000 fee_maker_ppm=0 fee_taker_ppm=0"
    lines = [f"VENUE starting_balance={equity}", *(f"MARKET M{at} tick=1 lot=1 {market}" for at in (1, 2)), "FEED up"]
    for at, (sign, _, mark) in enumerate(positions, start=1):
        lines += [f"QUOTE M{at} {mark - (sign > 0)}/{mark + (sign < 0)}", f"MARK M{at} {mark}"]
    lines.append("OPEN A1 OK")
    for at, (sign, lots, _) in enumerate(positions, start=1):
        lines += [f"MODE A1 M{at} cross OK", f"LEVERAGE A1 M{at} x20 OK"]
        lines.append(f"ORDER_PLACE A1 M{at} {'BUY' if sign > 0 else 'SELL'} {lots} @ market OK")
    if guarded == "h":
        # What is guarded is lost, and maintenance margin with it: the day's call is told. Then all is as it was.
        away = positions[0][2] - int(shown[0]) // positions[0][1]
        lines += [f"MARK M1 {away}", "EVENT margin_call account=A1", f"MARK M1 {positions[0][2]}"]
        lines += ["CREDIT A1 1 gift OK", "CREDIT A1 -1 taken OK"]
    runner = Runner(Scenario("bands"), lambda first: EngineVenue(first, START_US))
    for line in lines:
        words = line.split()
        runner.line(words[0], words[1:])
    assert isinstance(runner.venue, EngineVenue)
    states = runner.venue.engine.states
    before = int(states["evaluations"][0])
    first = int(shown[-1].split(",")[number])
    runner.line("MARK", [f"M{number + 1}", str(first + positions[number][0])])
    assert int(states["evaluations"][0]) == before
    runner.line("MARK", [f"M{number + 1}", str(first)])
    assert int(states["evaluations"][0]) == before + 1


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
