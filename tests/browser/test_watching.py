"""The watch over every page sees what it is there for: without this, silence would prove nothing."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

FOREIGN = "http://127.0.0.1:9/elsewhere"
SETTLED_MS = 200
SINS = {
    "script:": "setTimeout(() => { throw new Error('out of a callback'); }, 0)",
    "console error: said": "console.error('said')",
    "console warning: warned": "console.warn('warned')",
    "policy: script-src": "document.body.appendChild(document.createElement('script')).textContent = 'var inline = 1'",
    "policy: style-src": "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">styled</p>')",
    "policy: connect-src": f"fetch('{FOREIGN}').catch(() => {{}})",
    "policy: img-src": f"document.body.appendChild(new Image()).src = '{FOREIGN}.png'",
    "policy: frame-src": f"document.body.appendChild(document.createElement('iframe')).src = '{FOREIGN}'",
}


def test_complaints_are_noted(screens: Screens, venue: Venue) -> None:
    """Errors, warnings and whatever the policy forbids are noted, each in words that name it, and fail the test."""
    screen = screens()
    screen.page.goto(venue.url)
    expect(screen.page.get_by_label("Mail address")).to_be_visible()
    for words, sin in SINS.items():
        screen.watch.check()
        screen.page.evaluate(f"() => {{ {sin}; }}")
        screen.eventually(
            lambda words=words: any(words in note for note in screen.watch.notes), f"{words} is not noted"
        )
        screen.page.wait_for_timeout(SETTLED_MS)  # one sin may be complained of in several ways
        with pytest.raises(AssertionError, match="the page complained"):
            screen.watch.check()
        screen.watch.notes.clear()


def test_what_is_expected_is_not_noted(screens: Screens, venue: Venue) -> None:
    """A complaint that a test announced passes, others do not."""
    screen = screens()
    screen.watch.expect("announced")
    screen.page.goto(venue.url)
    screen.page.evaluate("() => { console.error('announced'); console.error('surprising'); }")
    screen.eventually(lambda: screen.watch.notes, "nothing is noted")
    assert all("announced" not in note for note in screen.watch.notes)
    screen.watch.notes.clear()
