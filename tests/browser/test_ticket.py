"""The order ticket: what is typed is read as it was meant, sizes in percent, presses that count once; its modules."""

import json
import random
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue
from tests.browser.test_core_modules import ask

NUMBERS = "panels/ticket_numbers"
FORM = "panels/ticket_form"
TERMS = {"market": "M", "tick": "0.1", "lot": "0.001", "bid": "100.0", "ask": "100.1", "leverage": 10}
CASES = 300
# Asks with a clock of ours: wishes come each so many ms, answers at once; returns when it was asked for what.
ASKING = """async ([steps, stirs]) => {
  const main = document.querySelector('script[type=module]').src;
  const {asking_new} = await import(new URL('./panels/ticket_asking.js', main));
  let now_ms = 0, number = 0, waiting = [], last = null;
  const asked = [];
  const timers = {
    now: () => now_ms,
    later(act, ms) { number += 1; waiting.push({at_ms: now_ms + Math.max(0, ms), act, number}); return number; },
    cancel(gone) { waiting = waiting.filter((each) => each.number !== gone); },
  };
  const tell = (shown) => { last = shown; };
  const ask = async (question) => { asked.push([now_ms, question.size]); return {size: question.size}; };
  const asking = asking_new({ask, tell, timers});
  async function pass(ms) {
    const until_ms = now_ms + ms;
    for (;;) {
      waiting.sort((one, other) => one.at_ms - other.at_ms);
      if (!waiting.length || waiting[0].at_ms > until_ms) break;
      const next = waiting.shift();
      now_ms = next.at_ms;
      next.act();
      await new Promise((resolve) => setTimeout(resolve));
    }
    now_ms = until_ms;
  }
  for (const [size, ms] of steps) { asking.want({size}); await pass(ms); }
  for (let turn = 0; turn < stirs; turn += 1) { asking.stir(); await pass(50); }
  return {asked, last};
}"""


def orders_sent(page: Page) -> list[str]:
    """Return a list to which the body of each order that the page sends is added."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data) if "/trade/order" in request.url else None)
    return sent


def submit_words(screen: Screen) -> str:
    """Return the first line of the ticket's button."""
    return screen.part("ticket-submit").inner_text().splitlines()[0]


@pytest.fixture(scope="module")
def blank(browser: Any, venue: Venue) -> Iterator[Page]:
    """Return a page of nobody, on which the modules are there and nothing moves."""
    context = browser.new_context()
    page: Page = context.new_page()
    page.goto(venue.url)
    expect(page.get_by_role("button", name="Send link")).to_be_visible()
    yield page
    context.close()


def test_a_share_is_sent_as_the_quantity_on_the_button(screens: Screens, venue: Venue, email: str) -> None:
    """An amount of money, a quarter, all: the button says how much that is, and so much is bought."""
    screen, caller = screens(email), venue.program(email)
    sent = orders_sent(screen.page)
    held = Decimal(0)
    for unit, share in (("usd", "777"), ("percent", "25"), ("percent", "100")):
        screen.part("ticket-unit").select_option(unit)
        if unit == "percent":
            screen.part(f"ticket-size-{share}").click()
        else:
            screen.part("ticket-size").fill(share)
        screen.send()
        expect(screen.part("ticket-submit")).to_have_attribute("aria-busy", "false")
        [position] = caller.items("/api/v1/account/positions")
        # All that fits may be asked for anew when the price moved meanwhile: what was sent last is what was taken.
        bought = Decimal(json.loads(sent[-1])["qty"])
        assert Decimal(position["qty"]) == held + bought, unit
        held += bought
        screen.told(f"Bought {bought.normalize():f} BTC")
        if unit == "usd":
            assert len(sent) == 1
            assert 770 < Decimal(position["cost"]) <= 777


def test_presses_send_once_and_nothing_that_is_unclear(screens: Screens, email: str) -> None:
    """The button names what is missing and Enter goes there; two presses in one go, or Enter held, are one order."""
    screen = screens(email)
    sent = orders_sent(screen.page)
    button, size = screen.part("ticket-submit"), screen.part("ticket-size")
    for typed, words in (("", "Enter a size"), ("0", "Correct the size first"), ("1,250", "Correct the size first")):
        screen.ticket("buy", typed)
        expect(button).to_have_attribute("data-state", "incomplete")
        expect(button).to_contain_text(words)
        button.click(force=True)  # a button that is announced as disabled may still be pressed
        expect(size).to_be_focused()
        screen.page.keyboard.press("Enter")
    expect(screen.part("ticket-size-told")).to_contain_text("1250 or as 1.250")
    expect(size).to_have_attribute("aria-invalid", "true")
    assert sent == []
    size.fill("0,01")
    expect(button).to_have_attribute("data-state", "ready")
    assert submit_words(screen) == "▲ Buy / Long 0.01 BTC"
    button.dblclick()
    expect(button).to_have_attribute("aria-busy", "false")
    assert len(sent) == 1
    size.focus()
    for _ in range(20):  # a key that is down already comes as a repeat
        screen.page.keyboard.down("Enter")
        screen.page.wait_for_timeout(40)
    screen.page.keyboard.up("Enter")
    assert len(sent) == 2


def test_leverage_and_mode_are_set_as_far_as_they_may(screens: Screens, venue: Venue, email: str) -> None:
    """Arrow keys set where the slider rests, a number out of range nothing; cross beside a position is refused."""
    screen, caller = screens(email), venue.program(email)
    sent: list[str] = []
    screen.page.on("request", lambda request: sent.append(request.url) if "/trade/leverage" in request.url else None)
    screen.part("ticket-leverage-slider").focus()
    for _ in range(4):
        screen.page.keyboard.press("ArrowRight")
    screen.told("Leverage of BTC is 14×")
    assert len(sent) == 1
    assert caller.get("/api/v1/account")["leverages"] == {"BTC_USDC_PERP": 14}
    for typed in ("500", "0", "3.5", "x"):
        screen.part("ticket-leverage").fill(typed)
        screen.page.keyboard.press("Tab")
        expect(screen.part("ticket-leverage-told")).to_contain_text("a whole number from 1 to 50")
        expect(screen.part("ticket-leverage")).to_have_value("14")
    assert len(sent) == 1
    screen.ticket("buy", "0.01")
    screen.send()
    screen.position()
    screen.part("ticket-mode-cross").click()
    expect(screen.part("ticket-leverage-told")).to_contain_text("Close the net position")
    expect(screen.part("ticket-mode-isolated")).to_have_attribute("aria-pressed", "true")


def test_typed_numbers_are_read_as_they_are_meant(blank: Page) -> None:
    """A comma is a point where nothing else can be meant, thousands are told from decimals, the rest is refused."""
    meant = {
        "0,5": "0.5",
        ".5": "0.5",
        "5.": "5",
        "007": "7",
        "12,50": "12.5",
        "0,125": "0.125",
        "1234,567": "1234.567",
    }
    meant |= {"1 234.5": "1234.5", "1'000": "1000", "1,234,567.50": "1234567.5", "1.234,5": "1234.5", "": ""}
    meant |= {"1.234.567": "1234567", "12.345": "12.345", "1\u00a0000\u00a0000": "1000000"}
    unclear = ["1,234", "1,23.4", "1.23,4.5", "--1", "-3", "1e5", ".", "1 25", "1 000 00", "1,2,3", "abc", "9" * 16]
    calls = [["number_read", typed] for typed in [*meant, *unclear]]
    read = ask(blank, NUMBERS, "each", calls)
    assert [each["text"] for each in read] == [*meant.values(), *[""] * len(unclear)]
    assert [bool(each["error"]) for each in read] == [False] * len(meant) + [True] * len(unclear)


def test_a_distance_in_percent_is_a_price_on_the_tick(blank: Page) -> None:
    """A price so many percent away is the nearest on the tick, computed without a rounding before."""
    choice = random.Random(7)
    calls, wanted = [], []
    for _ in range(CASES):
        tick = Decimal(choice.choice(["0.1", "0.01", "0.0001", "1", "0.5"]))
        start = tick * choice.randint(1, 900_000)
        percent, sign = Decimal(choice.randint(1, 99_999)) / 1000, choice.choice([1, -1])
        away = start * (100 + sign * percent) / 100
        calls.append(["price_away", str(start), str(percent), sign, str(tick)])
        wanted.append((away / tick).quantize(Decimal(1), ROUND_HALF_UP) * tick)
    assert [Decimal(text) for text in ask(blank, NUMBERS, "each", calls)] == wanted


def test_fields_become_the_instruction_that_they_mean(blank: Page) -> None:
    """Each kind sends the keys that it may have and no others; what is off the grid is rounded, and said to be."""
    [fresh] = ask(blank, FORM, "each", [["form_new", {}]])
    coin = {"size": {"unit": "coin", "text": "1,5"}}
    ends = {"take": {"unit": "percent", "text": "10"}, "stop": {"unit": "percent", "text": "5"}, "bracket": True}
    forms: list[dict[str, Any]] = [
        coin | ends,
        coin | ends | {"ticket": True, "kind": "limit", "reduce_only": True, "post_only": True, "leverage": 7},
        {"kind": "limit", "price": "99.97", "tif": "FOK", "post_only": True, "size": {"unit": "percent", "text": "25"}},
        coin | ends | {"kind": "stop_limit", "reduce_only": True, "trigger": "101", "price": "102", "tif": "IOC"},
        {
            "kind": "trailing_stop",
            "trail": {"unit": "price", "text": "1.55"},
            "size": {"unit": "coin", "text": "1.0009"},
        },
    ]
    read = ask(blank, FORM, "each", [["form_read", fresh | form, TERMS] for form in forms])
    plain = {"market": "M", "side": "buy"}
    assert [each["body"] for each in read] == [
        plain | {"kind": "market", "qty": "1.5", "take_profit": "110.1", "stop_loss": "95.1"},
        plain | {"leverage": 7, "qty": "1.5", "take_profit": "110.1", "stop_loss": "95.1"},
        plain | {"kind": "limit", "price": "100.0", "post_only": True},
        plain
        | {"kind": "stop_limit", "qty": "1.5", "price_trigger": "101", "price": "102"}
        | {"tif": "IOC", "reduce_only": True},
        plain | {"kind": "trailing_stop", "qty": "1", "trail_ticks": 15},
    ]
    assert all(each["ready"] for each in read)
    assert [each["op"] for each in read] == ["order_place", "trade_create", *["order_place"] * 3]
    assert read[2]["size"] == {"percent": "25"}
    assert [sorted(each["notes"]) for each in read[2:]] == [["price"], [], ["size", "trail"]]


def test_the_calculator_is_asked_after_a_pause_and_seldom(blank: Page) -> None:
    """Typing asks once when it pauses, moving prices each two seconds; haste asks at most four times a second."""
    typed = blank.evaluate(ASKING, [[[1, 60], [2, 60], [3, 60], [4, 600]], 120])
    assert [size for _, size in typed["asked"]] == [4] * len(typed["asked"])
    times_ms = [at_ms for at_ms, _ in typed["asked"]]
    assert times_ms[0] == 3 * 60 + 150
    assert [after - before for before, after in pairwise(times_ms)] == [2000] * 3
    assert (typed["last"]["answer"], typed["last"]["waiting"]) == ({"size": 4}, False)
    hasty = blank.evaluate(ASKING, [[[number, 160] for number in range(50)], 0])
    times_ms = [at_ms for at_ms, _ in hasty["asked"]]
    assert min(after - before for before, after in pairwise(times_ms)) >= 250
    assert len(times_ms) >= 10
