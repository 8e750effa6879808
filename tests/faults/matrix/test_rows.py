"""The matrix itself: every row has tests that exist, and the page says what the rows say."""

import ast

import pytest

from tests.faults.matrix.rows import HERE, ROWS
from tests.faults.matrix.table import BEGIN, PAGE, page_with, results
from tests.integration.conftest import REPOSITORY


def functions_of(path: str) -> set[str]:
    """Return the test functions of a file."""
    tree = ast.parse((REPOSITORY / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("name", [each.name for each in ROWS])
def test_row_has_its_tests(name: str) -> None:
    """Every row names tests, and each of them is there."""
    [row] = [each for each in ROWS if each.name == name]
    assert row.tests
    for test in row.tests:
        path, _, function = test.partition("::")
        assert function in functions_of(path), test


def test_every_test_has_its_row() -> None:
    """No test of this folder stands outside the table."""
    named = {test for row in ROWS for test in row.tests}
    for path in sorted((REPOSITORY / HERE).glob("test_m_*.py")):
        for function in functions_of(f"{HERE}{path.name}"):
            if function.startswith("test_"):
                assert f"{HERE}{path.name}::{function}" in named


def test_the_page_says_what_the_rows_say() -> None:
    """The table in docs/guarantees.md is this one: `python -m tests.faults.matrix.table --write` makes it so."""
    text = PAGE.read_text()
    assert BEGIN in text
    assert text == page_with(text)


def test_results_tell_green_from_red() -> None:
    """A row is green when all its tests ran and passed, red when one failed, and never silently neither."""
    row = ROWS[0]
    passed = {test: [("passed", 1.0)] for test in row.tests}
    assert results(passed)[0]["result"] == "green"
    assert results({**passed, row.tests[0]: [("passed", 1.0), ("failed", 2.0)]})[0]["result"] == "red"
    assert results({**passed, row.tests[0]: [("skipped", 0.0)]})[0]["result"] == "skipped"
    assert results({})[0]["result"] == "not run"
    assert {told["result"] for told in results(passed)[1:]} <= {"not run", "green so far"}
