"""Prices that do not come any more: the page says so, greys its figures, lets nobody trade on them, and recovers."""

from playwright.sync_api import expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue


def test_a_silent_feed_is_shown(screens: Screens, venue: Venue, email: str) -> None:
    """Invented prices say so; the light changes when they are too old, the connection lives, a quote turns it back."""
    screen = screens(email)
    light = screen.part("feed").first
    expect(light).to_have_attribute("data-state", "fresh")
    expect(screen.part("simulated").first).to_have_text("Simulated prices")
    with venue.feed.silence():
        expect(light).to_have_attribute("data-state", "stale", timeout=8_000)
        expect(light).to_contain_text("stale", ignore_case=True)
        expect(screen.part("connection").first).to_have_attribute("data-state", "live")
        screen.ticket("buy", "0.01")
        expect(screen.part("ticket-submit")).to_have_attribute("data-state", "stale")
    expect(light).to_have_attribute("data-state", "fresh", timeout=20_000)
    screen.send()
    expect(screen.part("positions-row")).to_have_count(1)
