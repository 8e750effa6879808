"""The page on a phone: nothing wider than the screen, everything within reach of a thumb."""

from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Screens
from tests.browser.steered_venue import Venue

BTC = "BTC_USDC_PERP"
TABS = ("Positions", "Orders", "Fills", "Funding", "History", "Ledger", "Equity")


def test_a_phone_scrolls_no_way_but_down(screens: Screens, venue: Venue, email: str) -> None:
    """With a position, orders and every tab open, at 390 pixels nothing makes the page wider than the screen."""
    screen, caller = screens(email, size=PHONE, has_touch=True, is_mobile=True), venue.program(email)
    assert screen.sideways() <= 0
    body = {"market": BTC, "side": "buy", "qty": "0.01", "stop_loss": venue.feed.away(BTC, -30)}
    caller.do("POST", "/api/v1/trade/order", body)
    expect(screen.part("positions-row")).to_have_count(1)
    for name in TABS:
        screen.tab(name)
        assert screen.sideways() <= 0, name
    screen.page.goto(f"{venue.url}/#/sessions")
    expect(screen.part("session").first).to_be_visible()
    assert screen.sideways() <= 0


def test_a_trade_by_touch(screens: Screens, venue: Venue, email: str) -> None:
    """On a phone one buys with the ticket and closes the position by tapping."""
    screen = screens(email, size=PHONE, has_touch=True, is_mobile=True)
    screen.ticket("buy", "0.01")
    screen.send()
    expect(screen.part("positions-row")).to_have_count(1)
    screen.show("Positions")
    screen.part("position-close-100").tap()
    expect(screen.part("positions-row")).to_have_count(0)
    assert venue.program(email).items("/api/v1/account/positions") == []
