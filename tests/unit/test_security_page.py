"""The table of threats in docs/operations.md is whole, and every test that it names exists."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
PAGE = TESTS.parent / "docs" / "operations.md"
# A word or two of every threat that must be answered for, whatever the row calls it.
THREATS = (
    "link is used twice", "link is used late", "mail scanner", "another purpose", "links are guessed", "in logs",
    "address is known, by the answer", "address is known, by the time", "flooded with mails", "forged host",
    "redirect to elsewhere", "signs a browser in as somebody else", "planted before signing in", "another algorithm",
    "`none`", "expired", "another venue", "foreign signing key", "weak secret", "revoked session goes on",
    "revoked session while Postgres is away", "visitor's cookie", "cookie leaks", "another site reads",
    "WebSocket from another site", "stranger on a private route", "other accounts' ids", "changed on its way",
    "request is sent again", "key does more than it should", "anybody can sign", "which keys there are",
    "order is sent twice", "bodies too large", "slow bodies", "slow headers", "header floods", "SQL", "log lines",
    "numbers that only some reader takes", "unknown keys", "forwarded headers", "many addresses",
    "takes all connections", "floods the engine",
    "out of the pages' files", "foreign script",
    "as its operators do", "framing", "traces in errors", "metrics tell too much",
    "sign-up dies halfway", "an hour ago", "number is given anew",
    "Redis and Postgres are reached", "process is taken over", "package is exchanged",
)  # fmt: skip
NAMED = re.compile(r"`((?:\w+/)*\w+\.py)::(\w+)`")


def rows() -> list[tuple[str, str, str]]:
    """Return the rows of the table: threat, what stands against it, tests."""
    section = PAGE.read_text().partition("\n## Security\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(cells[0].strip(), cells[1].strip(), cells[2].strip()) for cells in lines[1:]]


def named_in(name: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((TESTS / name).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}


def test_every_threat_is_answered_for() -> None:
    """Each threat of the list has exactly one row, each row something that stands against it and a test."""
    threats = [threat for threat, _against, _tests in rows()]
    for words in THREATS:
        assert len([threat for threat in threats if words in threat]) == 1, words
    assert len(set(threats)) == len(threats)
    for threat, against, tests in rows():
        assert any(words in threat for words in THREATS), f"unknown to this test: {threat}"
        assert against, threat
        assert NAMED.search(tests), threat


def test_every_test_that_is_named_exists() -> None:
    """No row names a test that is gone, or hides one behind words."""
    for threat, _against, tests in rows():
        named = NAMED.findall(tests)
        assert NAMED.sub("", tests).strip(", ") == "", threat
        for file, test in named:
            assert test in named_in(file), f"{threat}: {file}::{test}"


def test_every_test_of_the_threats_stands_in_the_table() -> None:
    """What the files of threats test is in the table, so that nobody has to look for it."""
    named = {(file, test) for _threat, _against, tests in rows() for file, test in NAMED.findall(tests)}
    files = ("unit/test_gateway_threats.py", "unit/test_gateway_threats_sent.py", "integration/test_threats.py")
    missing = [(file, test) for file in files for test in sorted(named_in(file)) if (file, test) not in named]
    assert missing == [("unit/test_gateway_threats.py", "test_a_label_is_what_the_browser_called_itself")]
