"""Which browser the page's tests and its benchmark drive, and what they say where there is none."""

from pathlib import Path

import pytest

from scripts.bench_browser import NAMES, browser_find, browser_missing


def program(folder: Path, name: str) -> str:
    """Return the path of a program that was just made."""
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_browser_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    """Each of the names is looked for on the PATH; the first that is there is taken."""
    assert browser_find({"PATH": str(tmp_path)}) is None
    path = program(tmp_path, name)
    assert browser_find({"PATH": str(tmp_path)}) == path
    assert browser_find({"PATH": str(tmp_path), "TIDEMARK_BROWSER": "another"}) is None


def test_a_browser_may_be_stated(tmp_path: Path) -> None:
    """TIDEMARK_BROWSER names the one to take, by name or by path, and no other is taken then."""
    program(tmp_path, NAMES[0])
    path = program(tmp_path, "mine")
    for stated in ("mine", path):
        assert browser_find({"PATH": str(tmp_path), "TIDEMARK_BROWSER": stated}) == path


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    """Without a browser there is one line that says how to get one; with one there is nothing to say."""
    pytest.importorskip("playwright", reason="it is in the dependency group dev")
    words = browser_missing({"PATH": str(tmp_path)})
    assert "chromium" in words
    assert "\n" not in words
    assert "nowhere" in browser_missing({"PATH": str(tmp_path), "TIDEMARK_BROWSER": "nowhere"})
    program(tmp_path, NAMES[1])
    assert browser_missing({"PATH": str(tmp_path)}) == ""
