"""The documents name only commands and options that exist, and each command is in the operators' pages."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from scripts import cli

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TYPED = re.compile(r"\./scripts/tidemark ((?:[^`\n\\;·|]|\\\n)+)")
PLACEHOLDER = re.compile(r"[A-Z<…]")


class Typed(NamedTuple):
    """One command line of a page."""

    page: str
    words: list[str]


def typed_of(path: Path) -> Iterator[Typed]:
    """Yield the command lines of a page."""
    for found in TYPED.finditer(path.read_text()):
        text = found[1].replace("\\\n", " ").split("#")[0].split(" && ")[0].strip().rstrip(".,:)")
        try:
            yield Typed(path.name, shlex.split(text))
        except ValueError:
            yield Typed(path.name, text.split())


ALL = [typed for path in PAGES for typed in typed_of(path)]


def command_of(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """Return the command that these words name, and the words behind its name."""
    context = click.Context(cli.main)
    command: click.Command | None = cli.main
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command = command.get_command(context, rest.pop(0))
    return command, rest


@pytest.mark.parametrize("typed", ALL, ids=lambda typed: f"{typed.page}: {' '.join(typed.words)}"[:70])
def test_what_is_written_can_be_typed(typed: Typed) -> None:
    """Each command line of the documents names a command, and options, that there are."""
    command, rest = command_of(typed.words)
    assert command is not None, typed
    known = {option for parameter in command.params for option in parameter.opts}
    for word in rest:
        if word.startswith("--") and not PLACEHOLDER.search(word):
            assert word.partition("=")[0] in known | {"--help"}, typed


def test_every_command_is_documented() -> None:
    """Each command that does something is named in the pages for operators."""
    pages = "".join((REPOSITORY / "docs" / name).read_text() for name in ("tools.md", "operations.md", "recovery.md"))
    context = click.Context(cli.main)
    for name in cli.main.list_commands(context):
        command = cli.main.get_command(context, name)
        assert command is not None
        names = (
            [f"{name} {inner}" for inner in command.list_commands(context)] if isinstance(command, click.Group) else []
        )
        for words in names or [name]:
            if name != "bench":
                assert words in pages, words
