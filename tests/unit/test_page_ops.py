"""What the operator's page tells operators to do is there: words for every part, sections and commands that exist."""

import re
from pathlib import Path

import click

from scripts.cli import main

ROOT = Path(__file__).parents[2]
TROUBLE = ROOT / "gateway" / "static" / "js" / "ops" / "trouble.js"
OPERATIONS = ROOT / "docs" / "operations.md"
NAMING = ("gateway/readiness.py", "gateway/processes.py", "gateway/routes/health.py", "gateway/routes/ops.py")
PART = re.compile(r"""found\[f?"([a-z]+)[:"]|(?:missing|degraded)\b[^\n]*\{"([a-z]+)":""")


def known() -> dict[str, str]:
    """Return the rows of the page's table: each part's text."""
    text = TROUBLE.read_text()
    table = text[text.index("const KNOWN") : text.index("const UNKNOWN")]
    return dict(re.findall(r"^  (\w+): \{\n(.*?)^  \},$", table, re.MULTILINE | re.DOTALL))


def test_every_part_that_may_be_wrong_has_its_words() -> None:
    """Whatever part readiness can name has a row on the operator's page, and no row is of a part that nobody names."""
    named = {part for source in NAMING for found in PART.findall((ROOT / source).read_text()) for part in found if part}
    assert {"redis", "leader", "divergence", "price", "venue"} <= named
    assert set(known()) == named | {"look"}
    assert '_degraded: dict[str, str] = {"look"' in (ROOT / "gateway/readiness.py").read_text()


def test_every_section_that_is_named_exists() -> None:
    """Each row names a heading of docs/operations.md, or one of its run books."""
    page = OPERATIONS.read_text()
    headings = set(re.findall(r"^#+ (.+)$", page, re.MULTILINE))
    books = {book.rstrip(".").partition(":")[0] for book in re.findall(r"^\*\*([^*]+)\*\*", page, re.MULTILINE)}
    for part, row in known().items():
        section = re.search(r"section: '([^']+)'", row)
        assert section, part
        heading, _, book = section[1].partition(": ")
        assert heading in headings, (part, heading)
        assert not book or book in books, (part, book)


def test_every_command_that_is_named_exists() -> None:
    """Each row's command is one of the command line's own, sub-commands included, with options that it knows."""
    for part, row in known().items():
        for line in re.findall(r"command: '([^']+)'", row):
            words = line.split()
            assert words[0] == "./scripts/tidemark", part
            command: click.Command = main
            for word in words[1:]:
                if word.startswith("--"):
                    assert any(word in option.opts for option in command.params), (part, line)
                    continue
                assert isinstance(command, click.Group), (part, line)
                found = command.get_command(click.Context(command), word)
                assert found is not None, (part, line)
                command = found
