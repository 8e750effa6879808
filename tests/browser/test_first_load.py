"""What the page loads before one can trade: little, nothing twice, nothing again when it comes back."""

from collections import Counter
from typing import Any

from scripts.bench_page import GOAL_BYTES, first_load, requests_weighed
from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue


def test_a_first_load_is_small(browser: Any, screens: Screens, venue: Venue, email: str) -> None:
    """With a chart full of history everything until one can trade has at most 250 kB, and nothing comes twice."""
    state = screens(email).page.context.storage_state()
    loaded = first_load(browser, venue.url, state)
    assert loaded.bytes_all <= GOAL_BYTES, f"{loaded.bytes_all} bytes in {len(loaded.addresses)} requests"
    # How often it looks at the icon is the browser's own affair.
    counted = Counter(address for address in loaded.addresses if not address.endswith("/icon.svg"))
    assert not [address for address, count in counted.items() if count > 1]
    assert any("/candles" in address for address in loaded.addresses)


def test_a_second_load_asks_for_no_file_again(screens: Screens, venue: Venue, email: str) -> None:
    """Loaded again, the page's files come from the browser's own store: what passes the wire are answers of the API."""
    screen = screens(email)
    with requests_weighed(screen.page.context.new_cdp_session(screen.page)) as found:
        screen.page.reload()
        screen.trading()
    files = {address: size for address, size in found.values() if "/static/" in address and size > 0}
    assert not files
    assert sum(size for _, size in found.values()) < GOAL_BYTES // 4
