"""docs/page.md: it names each key and tab that the page has, its pictures are there and small, README shows one."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "page.md").read_text()
SCRIPTS = "\n".join(path.read_text() for path in sorted((REPOSITORY / "gateway" / "static" / "js").rglob("*.js")))
PICTURE_BYTES_MAX = 200_000
PICTURES = ("dark", "light", "phone", "stale", "disconnected", "ops")


def test_every_key_is_on_the_page() -> None:
    """Each key that a part of the page registers stands in the table, and no other does."""
    registered = set(re.findall(r"(?:useKey|register)\(\s*'([^']+)'", SCRIPTS)) | set("1234567")
    rows = PAGE.split("## Keys")[1].split("\n## ")[0].split("|---|---|")[1].splitlines()
    named = {key for row in rows if row for key in re.findall(r"`([^`]+)`", row.split("|")[1])}
    named |= set("1234567") if {"1", "7"} <= named else set()
    assert named - {"Enter"} == registered


def test_every_tab_is_on_the_page() -> None:
    """Each tab below the chart is explained in the table of parts."""
    parts = PAGE.split("## What is where")[1].split("\n## ")[0]
    for tab in ("Positions", "Orders", "Fills", "Funding", "History", "Ledger", "Equity"):
        assert re.search(rf"^\| [^|]*\b{tab}\b", parts, re.MULTILINE), tab
        assert f"'{tab}'" in SCRIPTS


def test_pictures_are_there_and_small() -> None:
    """Each picture that a page shows exists, and none of the page's has more than 200 kB."""
    for name in ("README.md", *(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))):
        text = (REPOSITORY / name).read_text()
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert (REPOSITORY / name).parent.joinpath(target).is_file(), f"{name}: {target}"
    for name in PICTURES:
        assert (REPOSITORY / "docs" / "img" / f"page_{name}.png").stat().st_size <= PICTURE_BYTES_MAX


def test_the_readme_shows_the_page() -> None:
    """The README has a picture of the page and leads to its documentation."""
    readme = (REPOSITORY / "README.md").read_text()
    assert "docs/img/page_" in readme
    assert "docs/page.md" in readme
