"""The operator's page in a real browser: refused to traders in words, true for operators."""

import re

from playwright.sync_api import expect

from tests.browser.axe import hindrances
from tests.browser.conftest import PHONE, Screens
from tests.browser.steered_venue import Venue

PROCESSES = ("engine", "gateway", "persister", "poller")


def test_a_trader_is_told_how_to_become_an_operator(screens: Screens, venue: Venue, email: str) -> None:
    """Without the role the page shows no figure, and names the command that gives it."""
    screen = screens(email)
    screen.page.goto(f"{venue.url}/ops")
    expect(screen.page.locator("body")).to_contain_text("tidemark user role")
    expect(screen.part("processes")).to_have_count(0)


def test_an_operator_sees_the_venue(screens: Screens, venue: Venue, email: str) -> None:
    """Processes, the sum of all money, who is near liquidation: what is shown follows what happens."""
    venue.operator(email)
    screen = screens(email)
    screen.page.goto(f"{venue.url}/ops")
    processes = screen.part("processes")
    expect(processes).to_be_visible(timeout=15_000)
    for name in PROCESSES:
        expect(processes).to_contain_text(name)
    expect(screen.part("invariant").first).to_have_attribute("data-state", "ok")
    caller = venue.program(email)
    caller.do("POST", "/api/v1/trade/leverage", {"market": "SOL_USDC_PERP", "leverage": 50})
    opened = caller.do("POST", "/api/v1/trade/order", {"market": "SOL_USDC_PERP", "side": "buy", "qty": "100"})
    expect(screen.part("nearest")).to_contain_text(str(opened["positions"][0]["position_id"]), timeout=15_000)
    expect(screen.part("events")).to_contain_text(re.compile("fill", re.IGNORECASE))
    assert screen.sideways() <= 0
    found = hindrances(screen.page)
    screen.page.emulate_media(color_scheme="light")
    screen.page.set_viewport_size(PHONE)
    found += hindrances(screen.page)
    assert screen.sideways() <= 0
    assert not found, "\n".join(found)
