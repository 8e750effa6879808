"""The modules behind the account's tabs, asked in a browser: order of rows, histories that merge, bodies of forms."""

import random
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

CALL = """async ([file, name, calls]) => {
  const main = document.querySelector('script[type=module]').src;
  const module = await import(new URL(`./panels/${file}.js`, main));
  return calls.map((given) => module[name](...given) ?? null);
}"""
ORDER = """async ([rows, direction, kind]) => {
  const main = document.querySelector('script[type=module]').src;
  const {rows_sorted} = await import(new URL('./panels/table.js', main));
  return rows_sorted(rows, {key: 'value', kind, sort: (row) => row.value}, direction).map((row) => row.id);
}"""
HOLD = """async ([rows, shown]) => {
  const main = document.querySelector('script[type=module]').src;
  const {rows_held} = await import(new URL('./panels/table.js', main));
  return rows_held(rows, shown, (row) => row.id).map((row) => row.id);
}"""
SEED = 6


def page_of(screens: Screens, venue: Venue) -> Page:
    """Return the page of nobody: all modules can be had and nothing moves."""
    page: Page = screens().page
    page.goto(venue.url)
    expect(page.get_by_role("button", name="Send link")).to_be_visible()
    return page


def ask(page: Page, file: str, name: str, *calls: list[Any]) -> list[Any]:
    """Return what a function of a panel's module answers to each call."""
    answers: list[Any] = page.evaluate(CALL, [file, name, list(calls)])
    return answers


def test_rows_are_sorted_as_decimals(screens: Screens, venue: Venue) -> None:
    """Decimals of any length sort by value and not as text; what has none comes last both ways; equals stay."""
    page = page_of(screens, venue)
    values = ["-10.5", "9", "10", "-9.75", None, "9.000000000001", "100000000000000.000001", "9"]
    rows = [{"id": str(number), "value": value} for number, value in enumerate(values)]
    assert page.evaluate(ORDER, [rows, "up", "decimal"]) == ["0", "3", "1", "7", "5", "2", "6", "4"]
    assert page.evaluate(ORDER, [rows, "down", "decimal"]) == ["6", "2", "5", "1", "7", "3", "0", "4"]
    texts = [{"id": text, "value": text} for text in ("SOL", "BTC", "ETH")]
    assert page.evaluate(ORDER, [texts, "up", "text"]) == ["BTC", "ETH", "SOL"]


def test_an_order_that_is_held_keeps_its_places(screens: Screens, venue: Venue) -> None:
    """While a row is pointed at, what was shown stays where it was; what is gone is gone, what is new comes last."""
    page = page_of(screens, venue)
    rows = [{"id": name} for name in "eadb"]
    assert page.evaluate(HOLD, [rows, ["b", "c", "a", "d"]]) == ["b", "a", "d", "e"]


def test_histories_merge_without_gap_or_repeat(screens: Screens, venue: Venue) -> None:
    """However pages and live events overlap, every place is there once, the newest first, as the API orders them."""
    chance = random.Random(SEED)
    page = page_of(screens, venue)
    items = [
        {"at": f"{seq}-{chunk}-{index}", "time_us": 1_000_000 * (seq // 3)}
        for seq in range(1, 40)
        for chunk in range(2)
        for index in (0, 9, 10)
    ]
    newest_first = items[::-1]
    calls = []
    for _ in range(20):
        cut = chance.randrange(len(items))
        page_of_history = newest_first[cut:]
        live = [each for each in newest_first if each in newest_first[: cut + chance.randrange(9)]]
        chance.shuffle(live)
        calls.append([page_of_history, live])
    for answer in ask(page, "past", "merged", *calls):
        assert answer == newest_first
    assert ask(page, "past", "matches", [{"market": "M"}, {"market": ""}], [{"market": "M"}, {"market": "N"}]) == [
        True,
        False,
    ]


def test_only_what_the_venue_amends_is_offered(screens: Screens, venue: Venue) -> None:
    """A limit order's price and size, a stop's trigger, never what the venue refuses; the body has what differs."""
    page = page_of(screens, venue)
    limit = {"status": "resting", "kind": "limit", "price": "140.00", "qty": "2.00"}
    stop = {"status": "trigger", "kind": "stop_limit", "price": "99.0", "price_trigger": "100.0", "qty": "1"}
    loss = {"status": "trigger", "kind": "stop_market", "price_trigger": "100.0", "position_id": 7}
    offered = ask(
        page,
        "order_amend",
        "amendable",
        [limit],
        [limit | {"oco_order_id": 8}],
        [stop],
        [loss],
        [{"status": "trigger", "kind": "trailing_stop", "price_trigger": "1", "qty": "1"}],
        [limit | {"status": "attached"}],
        [limit | {"status": "delayed"}],
    )
    assert offered == [["price", "qty"], ["price"], ["price", "price_trigger", "qty"], ["price_trigger"], [], [], []]
    bodies = ask(
        page,
        "order_amend",
        "amend_body",
        [limit, {"price": "140", "qty": "2"}],
        [limit, {"price": "141.5", "qty": "2"}],
        [limit, {"price": "140", "qty": "3"}],
    )
    assert bodies == [{}, {"price": "141.5"}, {"qty": "3"}]


def test_a_trigger_keeps_what_the_form_does_not_ask(screens: Screens, venue: Venue) -> None:
    """Emptied it is removed, unchanged it is left out, moved it keeps which price it watches and its limit."""
    before = {"order_id": 1, "price_trigger": "100.50", "trigger_by": "mark", "price": "99.0"}
    changes = ask(
        page_of(screens, venue),
        "position_forms",
        "trigger_change",
        [before, {"price": "", "by": "mark"}],
        [before, {"price": "100.5", "by": "mark"}],
        [before, {"price": "101", "by": "mark"}],
        [before, {"price": "100.5", "by": "quote"}],
        [None, {"price": "", "by": "quote"}],
        [None, {"price": "90", "by": "index"}],
    )
    assert changes == [
        None,
        None,
        {"price_trigger": "101", "trigger_by": "mark", "price": "99.0"},
        {"price_trigger": "100.5", "trigger_by": "quote", "price": "99.0"},
        None,
        {"price_trigger": "90", "trigger_by": "index"},
    ]


def test_the_margin_ratio_is_that_of_the_nearest(screens: Screens, venue: Venue) -> None:
    """What is nearest to liquidation counts: an isolated position by its own margin, the cross ones together."""
    isolated = {"market": "SOL_USDC_PERP", "mode": "isolated", "equity": "100", "margin_maintenance": "30"}
    crossed = {"market": "BTC_USDC_PERP", "mode": "cross", "equity": "1000", "margin_maintenance": "5"}
    account = {"cross": {"equity": "1000", "margin_maintenance": "650"}}
    risks = ask(
        page_of(screens, venue),
        "account",
        "risk_of",
        [{"account": {}, "positions": {}}],
        [{"account": {}, "positions": {"1": isolated}}],
        [{"account": account, "positions": {"1": isolated, "2": crossed}}],
        [{"account": {}, "positions": {"1": isolated | {"equity": "-1"}}}],
    )
    assert risks == [
        None,
        {"percent": 30, "what": "SOL-USDC"},
        {"percent": 65, "what": "cross positions"},
        {"percent": 100, "what": "SOL-USDC"},
    ]
