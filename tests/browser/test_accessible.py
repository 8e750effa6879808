"""Every screen in both themes and both sizes breaks none of axe's rules for people who see, hear or move otherwise."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import hindrances
from tests.browser.conftest import DESKTOP, PHONE, Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue

TABS = ("Positions", "Orders", "Fills", "Funding", "History", "Ledger", "Equity")
SIZES = {"desktop": DESKTOP, "phone": PHONE}


class Findings(dict[str, str]):
    """What hinders people, each once, with the screen on which it was first seen."""

    def look(self, screen: Screen, name: str) -> None:
        """Look at a screen as it stands."""
        for line in hindrances(screen.page):
            self.setdefault(re.sub(r"\d+", "#", line), f"{name}: {line}")

    def none(self) -> None:
        """Fail when there is one."""
        assert not self, "\n".join(self.values())


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", list(SIZES))
def test_the_trading_page_hinders_nobody(screens: Screens, venue: Venue, email: str, size: str, theme: str) -> None:
    """With a position, orders, each tab, a dialog, a refusal: nothing is found."""
    caller = venue.program(email)
    body = {"market": "BTC_USDC_PERP", "side": "buy", "qty": "0.01"}
    legs = {"stop_loss": venue.feed.away("BTC_USDC_PERP", -20), "take_profit": venue.feed.away("BTC_USDC_PERP", 20)}
    caller.do("POST", "/api/v1/trade/order", {**body, **legs})
    screen = screens(email, size=SIZES[size], theme=theme)
    expect(screen.part("positions-row")).to_have_count(1)
    found = Findings()
    found.look(screen, "trade")
    for name in TABS:
        screen.tab(name)
        found.look(screen, name)
    screen.page.keyboard.press("?")
    expect(screen.page.get_by_role("dialog")).to_be_visible()
    found.look(screen, "keys")
    screen.page.keyboard.press("Escape")
    screen.page.goto(f"{venue.url}/#/sessions")
    expect(screen.part("session").first).to_be_visible()
    found.look(screen, "sessions")
    found.none()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_signing_in_hinders_nobody(screens: Screens, venue: Venue, theme: str) -> None:
    """The first screen neither."""
    screen = screens(theme=theme)
    screen.page.goto(venue.url)
    expect(screen.page.get_by_label("Mail address")).to_be_visible()
    found = Findings()
    found.look(screen, "sign-in")
    found.none()


def test_nothing_moves_that_need_not(screens: Screens, email: str) -> None:
    """Who asks for less motion gets none: no animation runs longer than a blink."""
    screen = screens(email)
    running = screen.page.evaluate(
        "document.getAnimations().map((one) => one.effect?.getComputedTiming().duration ?? 0).filter((ms) => ms > 100)"
    )
    assert running == []
