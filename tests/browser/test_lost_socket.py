"""A connection that is gone for ten seconds: afterwards the page shows what the API says, each thing once."""

import time
from typing import Any

from playwright.sync_api import expect

from tests.browser.caller import Caller
from tests.browser.conftest import Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue

BTC, ETH = "BTC_USDC_PERP", "ETH_USDC_PERP"
AWAY_S = 10.0
# What a browser itself says of a line that is cut.
CUT = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to")


def trade(caller: Caller, count: int) -> None:
    """Trade so often: each time an order that fills, one that rests, and half of them cancelled."""
    for number in range(count):
        side = ("buy", "sell")[number % 2]
        caller.do("POST", "/api/v1/trade/order", {"market": BTC, "side": side, "qty": f"0.00{number + 1}"})
        body = {"market": ETH, "side": "buy", "kind": "limit", "price": f"{1500 + number}", "qty": "0.1"}
        order = caller.do("POST", "/api/v1/trade/order", body)
        if number % 2:
            caller.do("DELETE", f"/api/v1/trade/order/{order['order_id']}", None)


def identities(items: list[dict[str, Any]], name: str) -> list[str]:
    """Return the items' names in their order."""
    return [str(item[name]) for item in items]


def compare(screen: Screen, caller: Caller) -> None:
    """See that every list of the page is the API's: nothing missing, nothing doubled, the same order."""
    for tab, what, part, name in (
        ("Fills", "", "fills-row", "fills"),
        ("History", "orders", "closed-orders-row", "orders"),
        ("History", "positions", "closed-positions-row", "positions"),
        ("Ledger", "", "ledger-row", "ledger"),
    ):
        screen.tab(tab)
        if what:
            screen.part("history-kind-filter").select_option(what)
        seq = caller.get("/api/v1/account")["seq"]
        wanted = identities(caller.items(f"/api/v1/account/history/{name}?limit=50&wait_seq={seq}"), "at")
        assert wanted, f"nothing to compare in {name}"
        screen.eventually(
            lambda part=part, wanted=wanted: screen.ids(part)[: len(wanted)] == wanted,
            f"{part}: the page shows {screen.ids(part)}, the API {wanted}",
        )
        assert len(set(screen.ids(part))) == len(screen.ids(part)), f"{part}: something is shown twice"
    screen.tab("Orders")
    wanted = identities(caller.items("/api/v1/account/orders"), "order_id")
    screen.eventually(lambda: sorted(screen.ids("orders-row")) == sorted(wanted), "the orders are others")


def test_ten_seconds_without_a_connection(screens: Screens, venue: Venue, email: str) -> None:
    """The page says that it is cut off and sends nothing meanwhile; back again it has everything exactly once."""
    caller = venue.program(email)
    screen = screens(email)
    trade(caller, 2)
    compare(screen, caller)
    screen.watch.expect(*CUT)
    with venue.gate.shut_meanwhile():
        began_s = time.monotonic()
        screen.ticket("buy", "0.01")
        expect(screen.part("connection").first).to_have_attribute("data-state", "lost")
        expect(screen.part("ticket-submit")).not_to_have_attribute("data-state", "ready")
        trade(caller, 4)
        screen.page.wait_for_timeout(max(0.0, AWAY_S - (time.monotonic() - began_s)) * 1_000)
    screen.live(patience_s=10)
    trade(caller, 2)
    compare(screen, caller)
    screen.equals(caller)


def test_a_pulled_cable_is_noticed(screens: Screens, venue: Venue, email: str) -> None:
    """Nothing comes and nobody says so: the page finds out by itself, and has everything when the line is back."""
    caller = venue.program(email)
    screen = screens(email)
    screen.watch.expect(*CUT)
    with venue.gate.swallowing():
        expect(screen.part("connection").first).to_have_attribute("data-state", "lost", timeout=15_000)
        trade(caller, 2)
    screen.live()
    compare(screen, caller)


def test_many_cuts_double_nothing(screens: Screens, venue: Venue, email: str) -> None:
    """Cut again and again while trades go on, the page ends with the API's own lists."""
    caller = venue.program(email)
    screen = screens(email)
    screen.watch.expect(*CUT)
    for _ in range(4):
        trade(caller, 1)
        with venue.gate.shut_meanwhile():
            trade(caller, 2)
        screen.live()
    compare(screen, caller)
    screen.equals(caller)
