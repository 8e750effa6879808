"""The pictures of docs/img: every state of the page that the documentation shows, made by the page itself."""

import time

import pytest
from playwright.sync_api import expect

from tests.browser import pictures
from tests.browser.conftest import PHONE, Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue

BTC, ETH, SOL = "BTC_USDC_PERP", "ETH_USDC_PERP", "SOL_USDC_PERP"
SETTLED_MS = 6_000 if pictures.wanted() else 0  # until preview and figures stand, and messages are gone
# One is made in every run, so that nothing here rots; the states that the others show have tests of their own.
asked = pytest.mark.skipif(not pictures.wanted(), reason="TIDEMARK_TEST_PICTURES is not set")


@pytest.fixture
def account(venue: Venue, email: str) -> str:
    """Return the address of an account with two positions, brackets and a resting order."""
    caller, feed = venue.program(email), venue.feed
    order = "/api/v1/trade/order"
    legs = {"take_profit": feed.away(BTC, 6), "stop_loss": feed.away(BTC, -5)}
    caller.do("POST", order, {"market": BTC, "side": "buy", "qty": "0.05", **legs})
    caller.do("POST", order, {"market": ETH, "side": "sell", "qty": "1"})
    caller.do(
        "POST", order, {"market": BTC, "side": "buy", "kind": "limit", "qty": "0.02", "price": feed.away(BTC, -3)}
    )
    feed.move(BTC, feed.away(BTC, 1))
    while pictures.wanted() and "change_24h" not in caller.get(f"/api/v1/market/{BTC}/ticker"):
        time.sleep(1)  # a gateway looks for the price of a day ago once a minute
    return email


def settled(screen: Screen) -> None:
    """Wait until the page stands as it stays."""
    expect(screen.part("positions-row")).to_have_count(2)
    screen.page.wait_for_timeout(SETTLED_MS)


@pytest.mark.parametrize("theme", ["dark", pytest.param("light", marks=asked)])
def test_a_picture_of_the_desktop(screens: Screens, venue: Venue, account: str, theme: str) -> None:
    """The trading page with an account that trades, the ticket filled."""
    screen = screens(account, theme=theme)
    screen.ticket("buy", "0.01", take=venue.feed.away(BTC, 10), stop=venue.feed.away(BTC, -5))
    settled(screen)
    assert pictures.take(screen.page, f"page_{theme}")


@asked
def test_a_picture_of_a_phone(screens: Screens, account: str) -> None:
    """The same on a phone."""
    screen = screens(account, size=PHONE, has_touch=True, is_mobile=True)
    settled(screen)
    assert pictures.take(screen.page, "page_phone")


@asked
def test_a_picture_of_a_stale_feed(screens: Screens, venue: Venue, account: str) -> None:
    """Prices that are too old to trade on."""
    screen = screens(account)
    settled(screen)
    with venue.feed.silence():
        expect(screen.part("feed").first).to_have_attribute("data-state", "stale", timeout=8_000)
        assert pictures.take(screen.page, "page_stale")
    expect(screen.part("feed").first).to_have_attribute("data-state", "fresh", timeout=20_000)


@asked
def test_a_picture_without_a_connection(screens: Screens, venue: Venue, account: str) -> None:
    """The gateway is gone."""
    screen = screens(account)
    settled(screen)
    screen.watch.expect("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket")
    with venue.gate.shut_meanwhile():
        expect(screen.part("connection").first).to_have_attribute("data-state", "lost")
        screen.page.wait_for_timeout(SETTLED_MS)
        assert pictures.take(screen.page, "page_disconnected")
    screen.live()


@asked
def test_a_picture_of_the_operators_page(screens: Screens, venue: Venue, account: str) -> None:
    """The venue as its operator sees it."""
    venue.operator(account)
    screen = screens(account)
    screen.page.goto(f"{venue.url}/ops")
    expect(screen.part("processes")).to_be_visible(timeout=15_000)
    screen.page.wait_for_timeout(SETTLED_MS)
    assert pictures.take(screen.page, "page_ops")
