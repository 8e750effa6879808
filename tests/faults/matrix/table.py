"""
What became of each row, as JSON, and the matrix as the page shows it.

    python -m tests.faults.matrix.table --write

puts the table into docs/guarantees.md, where a test keeps it equal to rows.py.
"""

import sys
from pathlib import Path
from typing import Any

from tests.faults.matrix.rows import ROWS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guarantees.md"
BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"


def results(outcomes: dict[str, list[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Return every row with what became of its tests; green when each ran and passed."""
    told = []
    for number, each in enumerate(ROWS, 1):
        ran = {test: outcomes.get(test, []) for test in each.tests}
        words = {test: worst(phases) for test, phases in ran.items()}
        told.append(
            {
                "row": number,
                "name": each.name,
                "fault": each.fault,
                "expected": each.expected,
                "result": row_result(list(words.values())),
                "seconds": round(sum(seconds for phases in ran.values() for _, seconds in phases), 2),
                "tests": words,
            }
        )
    return told


def worst(phases: list[tuple[str, float]]) -> str:
    """Return the outcome of one test function with all its parameters."""
    names = [name for name, _ in phases]
    return next((name for name in ("failed", "skipped", "passed") if name in names), "not run")


def row_result(words: list[str]) -> str:
    """Return "green", or what keeps the row from it."""
    if "failed" in words:
        return "red"
    if all(word == "passed" for word in words):
        return "green"
    return "skipped" if "skipped" in words else "not run" if "passed" not in words else "green so far"


def table() -> str:
    """Return the matrix for people."""
    lines = ["| # | fault | what must happen | test |", "|---|---|---|---|"]
    for number, each in enumerate(ROWS, 1):
        names = ", ".join(f"`{test.rpartition('/')[2].replace('.py::', '::')}`" for test in each.tests)
        lines.append(f"| {number} | {each.fault} | {each.expected} | {names} |")
    return "\n".join(lines)


def page_with(text: str) -> str:
    """Return the page's text with the table as it is now between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with(PAGE.read_text()))
    else:
        print(table())
