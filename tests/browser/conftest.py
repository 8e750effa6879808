"""One browser and one venue for all browser tests; a page for each, watched for complaints."""

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.bench_browser import browser_missing, browser_running
from tests.browser.steered_venue import Venue, steered_venue
from tests.browser.watching import Watch

if TYPE_CHECKING:
    from tests.browser.screen import Screen

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 10_000
Screens = Callable[..., "Screen"]
NUMBERS = itertools.count(1)
# Without playwright the files cannot even be read; without a browser each test says so in one line.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


@pytest.fixture(scope="package")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """Return the venue that all browser tests share; each signs in as somebody else."""
    if missing := browser_missing():
        pytest.skip(missing)
    with steered_venue(tmp_path_factory.mktemp("browser")) as venue:
        venue.past_write()
        yield venue


@pytest.fixture(scope="package")
def browser(venue: Venue) -> Iterator[Any]:
    """Return the browser."""
    with browser_running() as browser:
        yield browser


@pytest.fixture
def screens(browser: Any, venue: Venue, tmp_path: Path) -> Iterator[Screens]:
    """
    Return a function that opens a page of its own: `screens("ada@example.com", size=PHONE, theme="dark")`.

    With an address it is signed in there and live. After the test nothing may have been complained of.
    """
    from tests.browser.screen import Screen

    opened: list[Screen] = []

    def open_one(email: str = "", *, size: dict[str, int] = DESKTOP, theme: str = "dark", **options: Any) -> Screen:
        context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce", **options)
        context.set_default_timeout(PATIENCE_MS)
        watch = Watch(context, venue.url)
        screen = Screen(context.new_page(), venue, watch)
        opened.append(screen)
        if email:
            screen.sign_in(email)
        return screen

    yield open_one
    for number, screen in enumerate(opened):
        screen.page.screenshot(path=str(tmp_path / f"end-{number}.png"))
        screen.page.context.close()
    for screen in opened:
        screen.watch.check()


@pytest.fixture
def email(request: pytest.FixtureRequest) -> str:
    """Return an address that only this test uses."""
    name = request.node.name.removeprefix("test_").partition("[")[0].replace("_", "-")[:50]
    return f"{name}-{next(NUMBERS)}@example.com"
