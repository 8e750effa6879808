"""
A headless browser for the page: found by its name, lent to the tests and to `bench page`.

Debian's and Google's are called chromium, chromium-browser or google-chrome; TIDEMARK_BROWSER names another one.
playwright is imported where it is used: it is a dependency of those who work on the page, not of the venue.
"""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Its own sandbox needs what a container may lack; nothing but the venue's own page is ever opened.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars")


def browser_find(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of a browser that can be driven, None when there is none."""
    stated = environment.get("TIDEMARK_BROWSER")
    for name in (stated,) if stated else NAMES:
        if found := shutil.which(name, path=environment.get("PATH", "")):
            return found
    return None


def browser_missing(environment: Mapping[str, str] = os.environ) -> str:
    """Return in one line what a browser's tests lack, empty when they can run."""
    if importlib.util.find_spec("playwright") is None:
        return "no browser tests: playwright is not installed (it is in the dependency group `dev`)"
    if browser_find(environment) is None:
        stated = environment.get("TIDEMARK_BROWSER")
        wanted = f"TIDEMARK_BROWSER={stated}" if stated else ", ".join(NAMES)
        return f"no browser tests: none of {wanted} is on the PATH (apt install chromium, or set TIDEMARK_BROWSER)"
    return ""


@contextlib.contextmanager
def browser_running(*arguments: str) -> Iterator[Any]:
    """Lend a headless browser of playwright's synchronous API."""
    from playwright.sync_api import sync_playwright

    missing = browser_missing()
    if missing:
        raise RuntimeError(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_find(), args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()
