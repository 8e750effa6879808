"""
One command as a list of words before it becomes a record: where its fields stand, and how values are stored; pure.
"""

import re
from typing import Any

from shared import records as r
from shared import units

WORD_MAX = 2**62
AT = r.word_offsets(r.COMMAND)
BLANK = [0] * r.COMMAND_WORDS
PRINTABLE = re.compile(r"[\x20-\x7e]{1,32}", re.ASCII)

Row = list[int]


class Malformed(Exception):
    """The entry cannot be read; caught where the entry is, never outside `shared.wire`."""


def text_put(row: Row, field: str, text: Any) -> None:
    """Store 1 to 32 printable characters as words."""
    if type(text) is not str or PRINTABLE.fullmatch(text) is None:
        raise Malformed
    words_put(row, field, units.words_of_text(text, r.TEXT_WORDS))


def words_put(row: Row, field: str, words: list[int]) -> None:
    """Store a run of words from a field's first one on."""
    at = AT[field]
    row[at : at + len(words)] = words


def market_put(row: Row, name: Any) -> None:
    """Store a market's name; one that cannot be a name is stored as one that no market has."""
    if type(name) is not str:
        raise Malformed
    sound = PRINTABLE.fullmatch(name) is not None and len(name) <= 8 * r.NAME_WORDS
    words_put(row, "market", units.words_of_text(name, r.NAME_WORDS) if sound else [0] * r.NAME_WORDS)


def whole(value: Any, high: int = WORD_MAX) -> int:
    """Return a JSON integer from 0 to `high`, or raise."""
    if type(value) is not int or not 0 <= value <= high:
        raise Malformed
    return value
