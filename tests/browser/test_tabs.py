"""The account's tabs by hand: forms of a position, orders in place, histories by pages, curve, sub-accounts, reset."""

import csv
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.caller import Caller
from tests.browser.conftest import Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue

BTC, SOL = "BTC_USDC_PERP", "SOL_USDC_PERP"
ORDER = "/api/v1/trade/order"
HISTORY = "/api/v1/account/history"
PAGE_ROWS = 50  # of a history, as the page asks for them


def within(row: Locator, name: str) -> Locator:
    """Return a part of a row by its name."""
    return row.locator(f'[data-test="{name}"]')


def position_of(caller: Caller) -> dict[str, Any]:
    """Return the one position as the API shows it."""
    [position] = caller.items("/api/v1/account/positions")
    return position


def price_off(caller: Caller, market: str, percent: int) -> str:
    """Return a whole price so many percent off the mark."""
    mark = caller.get(f"/api/v1/market/{market}/ticker")["mark"]
    return str(int(float(mark)) * (100 + percent) // 100)


def test_take_profit_and_stop_loss_by_the_form(screens: Screens, venue: Venue, email: str) -> None:
    """The form sets, refuses in words inside itself, changes one and removes the other; the API agrees."""
    screen, caller = screens(email), venue.program(email)
    caller.do("POST", ORDER, {"market": BTC, "side": "buy", "qty": "0.01"})
    row = screen.part("positions-row")
    within(row, "position-triggers").click()
    screen.part("take_profit").fill(price_off(caller, BTC, 20))
    screen.part("stop_loss").fill(price_off(caller, BTC, 10))
    screen.part("triggers-save").click()
    expect(screen.part("form-refusal")).to_have_attribute("data-code", "TRIGGER_WOULD_FIRE_IMMEDIATELY")
    assert "take_profit" not in position_of(caller), "a refusal changes nothing"
    screen.part("stop_loss").fill(price_off(caller, BTC, -10))
    screen.page.keyboard.press("Enter")
    expect(screen.part("triggers-form")).to_have_count(0)
    screen.eventually(lambda: {"take_profit", "stop_loss"} <= set(position_of(caller)), "TP and SL are not set")
    kept = position_of(caller)["stop_loss"]
    within(row, "position-triggers").click()
    screen.part("take_profit-clear").click()
    screen.part("triggers-save").click()
    screen.eventually(lambda: "take_profit" not in position_of(caller), "the TP is not removed")
    assert position_of(caller)["stop_loss"] == kept
    expect(within(row, "position-tp")).to_have_text("–")


def test_margin_is_moved_and_a_position_turned_around(screens: Screens, venue: Venue, email: str) -> None:
    """Margin goes into a position and out again; reversing asks once and leaves as much the other way."""
    screen, caller = screens(email), venue.program(email)
    caller.do("POST", ORDER, {"market": SOL, "side": "buy", "qty": "3"})
    row = screen.part("positions-row")
    before = position_of(caller)["margin"]
    for button in ("margin-add", "margin-remove"):
        within(row, "position-margin").click()
        screen.part("margin-amount").fill("25.5")
        screen.part(button).click()
        expect(screen.part("margin-form")).to_have_count(0)
        screen.eventually(
            lambda added=button == "margin-add": (position_of(caller)["margin"] != before) == added, "it did not move"
        )
    within(row, "position-reverse").click()
    assert position_of(caller)["qty"] == "3.00", "nothing happens before the answer"
    screen.confirm("Reverse")
    screen.eventually(lambda: position_of(caller)["qty"] == "-3.00", "it was not turned around")
    expect(within(screen.part("positions-row"), "position-side")).to_contain_text("Short")


def test_an_order_is_changed_in_place_and_cancelled(screens: Screens, venue: Venue, email: str) -> None:
    """Escape leaves an order as it was, Enter sends price and size; all orders of one market go by one question."""
    screen, caller = screens(email), venue.program(email)
    for market, qty in ((BTC, "0.01"), (SOL, "1"), (SOL, "2")):
        body = {"market": market, "side": "buy", "kind": "limit", "qty": qty, "price": price_off(caller, market, -5)}
        caller.do("POST", ORDER, body)
    screen.tab("Orders")
    expect(screen.part("orders-row")).to_have_count(3)
    row = screen.part("orders-row").first
    identity, price = row.get_attribute("data-id"), price_off(caller, SOL, -8)

    def order() -> dict[str, Any]:
        return next(each for each in caller.items("/api/v1/account/orders") if str(each["order_id"]) == identity)

    before = order()
    within(row, "order-edit").click()
    screen.part("amend-price").fill(price)
    screen.page.keyboard.press("Escape")
    expect(screen.part("order-amend")).to_have_count(0)
    assert order() == before
    within(row, "order-edit").click()
    screen.part("amend-price").fill(price)
    screen.part("amend-qty").fill("4")
    screen.page.keyboard.press("Enter")
    screen.eventually(lambda: (order()["price"], order()["qty"]) == (f"{price}.00", "4.00"), "it was not changed")
    screen.part("orders-filter").select_option(SOL)
    expect(screen.part("orders-row")).to_have_count(2)
    screen.part("cancel-all").click()
    screen.confirm("Cancel orders")
    screen.eventually(lambda: [each["market"] for each in caller.items("/api/v1/account/orders")] == [BTC], "not gone")
    screen.part("orders-filter").select_option("")
    within(screen.part("orders-row"), "order-cancel").click()
    expect(screen.part("orders-empty")).to_be_visible()


def trade(caller: Caller, count: int) -> None:
    """Buy and sell in turn, every third time in another market."""
    for number in range(count):
        market, qty = (BTC, "0.001") if number % 3 == 0 else (SOL, "0.1")
        caller.do("POST", ORDER, {"market": market, "side": "sell" if number % 2 else "buy", "qty": qty})


def places(caller: Caller, name: str, query: str = "") -> list[str]:
    """Return the places of a whole history, once it has what was done before."""
    seq = caller.get("/api/v1/account")["seq"]
    return [item["at"] for item in caller.items(f"{HISTORY}/{name}?limit=500&wait_seq={seq}{query}")]


def older_all(screen: Screen, name: str) -> None:
    """Ask for older rows until there are none."""
    while screen.part(f"{name}-older").count():
        shown = len(screen.ids(f"{name}-row"))
        screen.part(f"{name}-older").click()
        screen.eventually(lambda shown=shown: len(screen.ids(f"{name}-row")) > shown, "no older rows come")


def test_a_history_is_the_apis_page_by_page(screens: Screens, venue: Venue, email: str, tmp_path: Path) -> None:
    """Pages, what happens meanwhile, a filter and the file: each shows what the API lists, every row once."""
    screen, caller = screens(email), venue.program(email)
    trade(caller, PAGE_ROWS + 15)
    screen.tab("Fills")
    expect(screen.part("fills-row")).to_have_count(PAGE_ROWS)
    trade(caller, 4)
    expect(screen.part("fills-row")).to_have_count(PAGE_ROWS + 4)
    older_all(screen, "fills")
    everything = places(caller, "fills")
    assert screen.ids("fills-row") == everything
    screen.part("fills-filter").select_option(BTC)
    of_market = places(caller, "fills", f"&market={BTC}")
    screen.eventually(lambda: screen.ids("fills-row") == of_market[:PAGE_ROWS], "the filter shows something else")
    trade(caller, 2)  # the first is in this market, the second is not
    of_market = places(caller, "fills", f"&market={BTC}")
    screen.eventually(lambda: screen.ids("fills-row") == of_market[:PAGE_ROWS], "a live fill is wrong here")
    screen.part("fills-filter").select_option("")
    expect(screen.part("fills-row")).to_have_count(PAGE_ROWS)
    with screen.page.expect_download() as saving:
        screen.part("fills-csv").click()
    saving.value.save_as(tmp_path / "fills.csv")
    with (tmp_path / "fills.csv").open(newline="") as file:
        assert [row["at"] for row in csv.DictReader(file)] == places(caller, "fills")


def test_each_history_shows_its_rows_as_they_happen(screens: Screens, venue: Venue, email: str) -> None:
    """Closed positions, closed orders and the ledger grow while they are looked at, and equal the API's lists."""
    screen, caller = screens(email), venue.program(email)
    screen.tab("History")
    expect(screen.part("closed-positions-empty")).to_be_visible()
    trade(caller, 2)
    caller.do("POST", "/api/v1/trade/close-all", {})
    closed = places(caller, "positions")
    assert closed
    screen.eventually(lambda: screen.ids("closed-positions-row") == closed, "closed positions differ")
    screen.part("history-kind-filter").select_option("orders")
    screen.eventually(lambda: screen.ids("closed-orders-row") == places(caller, "orders"), "closed orders differ")
    screen.tab("Ledger")
    screen.eventually(lambda: screen.ids("ledger-row") == places(caller, "ledger"), "the ledger differs")
    screen.part("ledger-filter").select_option("fee")
    screen.eventually(lambda: screen.ids("ledger-row") == places(caller, "ledger", "&reason=fee"), "fees differ")


def test_money_goes_to_a_sub_account_and_the_account_is_reset(screens: Screens, venue: Venue, email: str) -> None:
    """A sub-account is opened, given money, acted for and emptied; a reset asks for its word and begins anew."""
    screen, caller = screens(email), venue.program(email)
    screen.part("subaccount-open").click()
    expect(screen.part("account-switch")).to_be_visible()
    screen.part("transfer").click()
    screen.part("transfer-amount").fill("99999")
    screen.part("transfer-send").click()
    expect(screen.part("form-refusal")).to_have_attribute("data-code", "MARGIN_INSUFFICIENT")
    screen.part("transfer-amount").fill("250.5")
    screen.part("transfer-send").click()
    expect(screen.part("transfer-form")).to_have_count(0)
    screen.part("account-switch").select_option(index=1)
    expect(screen.part("equity")).to_have_attribute("data-value", "250.500000")
    sub = screen.part("account-switch").input_value()
    screen.page.reload()
    screen.trading()
    assert screen.part("account-switch").input_value() == sub, "a reload acts for the same account"
    screen.part("transfer").click()
    screen.part("transfer-all").click()
    screen.part("transfer-send").click()
    expect(screen.part("equity")).to_have_attribute("data-value", "0.000000")
    screen.part("account-switch").select_option(index=0)
    caller.do("POST", ORDER, {"market": SOL, "side": "buy", "qty": "2"})
    expect(screen.part("positions-row")).to_have_count(1)
    screen.part("reset").click()
    expect(screen.part("reset-send")).to_be_disabled()
    screen.part("reset-word").fill("reset")
    screen.part("reset-send").click()
    expect(screen.part("positions-row")).to_have_count(0)
    expect(screen.part("equity")).to_have_attribute("data-value", "5000.000000")


def test_the_curve_is_drawn_and_saved(screens: Screens, venue: Venue, email: str, tmp_path: Path) -> None:
    """The curve has as many points as the API tells, grows when money moves, and is saved as it is shown."""
    screen, caller = screens(email), venue.program(email)
    trade(caller, 2)
    screen.tab("Equity")
    expect(screen.part("equity-chart")).to_be_visible()
    expect(screen.part("equity-now")).to_be_visible()
    shown = int(str(screen.part("equity-chart").get_attribute("data-points")))
    assert shown == len(caller.items(f"{HISTORY}/equity")) >= 2
    screen.part("equity-1D").click()
    expect(screen.part("equity-1D")).to_have_attribute("aria-pressed", "true")
    expect(screen.part("equity-chart")).to_be_visible()
    with screen.page.expect_download() as saving:
        screen.part("equity-csv").click()
    saving.value.save_as(tmp_path / "equity.csv")
    with (tmp_path / "equity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["equity"]
    assert rows[-1]["balance"] == caller.items(f"{HISTORY}/equity")[-1]["balance"]


def test_what_is_empty_says_what_to_do(screens: Screens, venue: Venue, email: str) -> None:
    """A fresh account's tabs hold sentences instead of nothing, and each tab is reached by its number."""
    screen = screens(email)
    for digit, name in enumerate(("positions", "orders", "fills", "funding", "closed-positions"), 1):
        screen.page.keyboard.press(str(digit))
        expect(screen.part(f"{name}-empty")).to_be_visible()
        assert len(screen.part(f"{name}-empty").inner_text()) > 40
    screen.page.keyboard.press("6")
    expect(screen.part("ledger-row")).to_have_count(1)
    screen.page.keyboard.press("x")
    screen.told("Nothing to close")
