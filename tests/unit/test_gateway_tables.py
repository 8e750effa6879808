"""gateway/tables.py: rows as RFC 4180 text that comes back as it was and is no formula to a spreadsheet."""

import csv
import io

import pytest

from gateway.tables import csv_text, csv_wanted


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json, text/csv", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8, application/json", True),
        ("text/csvx", False),
    ],
)
def test_csv_is_what_a_caller_takes_first(accept: str | None, wanted: bool) -> None:
    """Only a first media type of text/csv asks for CSV."""
    assert csv_wanted(accept) is wanted


def test_rows_come_back_as_they_were() -> None:
    """Quotes, commas and line ends survive, absent keys are empty, other values are JSON."""
    rows = [
        {"client_order_id": 'a "quoted", name', "qty": "0.10", "maker": True, "at": 7},
        {"client_order_id": "two\r\nlines", "qty": "-1.5", "maker": False},
    ]
    text = csv_text(("client_order_id", "qty", "maker", "at"), rows)
    assert text.startswith("client_order_id,qty,maker,at\r\n")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["client_order_id", "qty", "maker", "at"],
        ['a "quoted", name', "0.10", "true", "7"],
        ["two\r\nlines", "-1.5", "false", ""],
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_callers_text_is_no_formula(name: str) -> None:
    """A name that a spreadsheet would run is marked as text; a negative amount is left alone."""
    [_, row] = csv.reader(
        io.StringIO(csv_text(("client_order_id", "amount"), [{"client_order_id": name, "amount": "-1"}]))
    )
    assert row == [f"'{name}", "-1"]
