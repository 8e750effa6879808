"""Coming in by a link and going out again, in a real browser."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue


def test_the_consoles_link_is_one_click(screens: Screens, venue: Venue) -> None:
    """Whoever opens the link of the console stands before a live chart with the starting balance; it holds once."""
    screen = screens()
    screen.page.goto(venue.link_first)
    screen.trading()
    assert screen.page.url.partition("#")[0] == f"{venue.url}/", "no token stays in the address"
    expect(screen.part("equity").first).to_have_attribute("data-value", "5000.000000")
    again = screens()
    again.page.goto(venue.link_first)
    expect(again.page.locator("body")).to_contain_text(
        re.compile("no longer|used|expired|not valid|void", re.IGNORECASE)
    )
    expect(again.part("chart")).to_have_count(0)


def test_an_address_signs_in_and_out(screens: Screens, venue: Venue, email: str) -> None:
    """The first screen asks for an address and sends a link there; who signs out stands before it again."""
    screen = screens()
    screen.page.goto(venue.url)
    expect(screen.page.locator('[data-screen="sign-in"]').first).to_be_visible()
    before = venue.mails()
    screen.page.get_by_label("Mail address").fill(email)
    screen.page.get_by_role("button", name="Send link").click()
    expect(screen.page.locator('[data-screen="sign-in"]').first).to_contain_text(email)
    screen.page.goto(venue.link_mailed(email, before))
    screen.trading()
    screen.page.reload()
    screen.trading()
    screen.sign_out()
    expect(screen.page.locator('[data-screen="sign-in"]').first).to_be_visible()
    screen.page.reload()
    expect(screen.page.locator('[data-screen="sign-in"]').first).to_be_visible()


def test_a_session_is_ended_elsewhere(screens: Screens, venue: Venue, email: str) -> None:
    """The sessions page lists where the account is signed in; ending one sends its page to the first screen."""
    here, there = screens(email), screens(email)
    here.page.goto(f"{venue.url}/#/sessions")
    expect(here.part("session")).to_have_count(2)
    other = here.part("session", current="false")
    expect(other).to_have_count(1)
    other.get_by_role("button", name="Sign out there").click()
    here.confirm("Sign out")
    expect(here.part("session")).to_have_count(1)
    expect(there.page.locator('[data-screen="sign-in"]').first).to_be_visible(timeout=20_000)
