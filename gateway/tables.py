"""
Rows as CSV for spreadsheets: RFC 4180 with a header row and fixed columns; pure.

A spreadsheet takes a text that begins with certain characters for a formula. Only a caller's own text can do harm so;
numbers keep their sign.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

FORMULA_FIRST = ("=", "+", "-", "@", "\t", "\r")
TEXTS_OF_CALLERS = frozenset({"client_order_id"})
MEDIA_TYPE = "text/csv"


def csv_wanted(accept: str | None) -> bool:
    """Return whether what the caller takes first is CSV."""
    first = (accept or "").partition(",")[0].partition(";")[0]
    return first.strip().lower() == MEDIA_TYPE


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV; a key that a row does not have is an empty field."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell_text(name, row[name]) if name in row else "" for name in columns])
    return written.getvalue()


def cell_text(name: str, value: Any) -> str:
    """Return a value as the text of its cell."""
    if isinstance(value, str):
        guarded = name in TEXTS_OF_CALLERS and value.startswith(FORMULA_FIRST)
        return f"'{value}" if guarded else value
    return orjson.dumps(value).decode()
