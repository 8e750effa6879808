"""
The vocabulary in which events' JSON is described: a program is a run of steps, each a text and what follows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from shared import records as r
from shared.wire_events_text import AT


class Do(IntEnum):
    """What a step does after its text."""

    END = 0
    TEXT = 1  # nothing more
    NUMBER = 2
    THOUSANDTH = 3  # of a number, rounded down
    DECIMAL = 4  # in a scale
    EXACT = 5  # ten-thousandths of a tick: on the grid when they lie on it
    STEP = 6  # one step of a scale
    NAME = 7
    MARKET = 8
    CLIENT = 9
    HEX = 10
    COUNTER = 11
    CONFIG = 12  # learns a market's name and its grids
    RESULTS = 13  # the results of a batch, when there are any
    RESULT_END = 14
    UNLESS_IS = 15  # these step over what follows
    UNLESS_NOT = 16
    UNLESS_ABOVE = 17
    UNLESS_BELOW = 18
    UNLESS_HAS = 19


class Scale(IntEnum):
    """A row of the scales; those from TICK on exist once for each market."""

    MONEY = 0
    RATE = 1
    CONFIG_TICK = 2
    CONFIG_LOT = 3
    TICK = 4
    LOT = 5
    AVERAGE = 6
    HALF = 7


SCALES_FIXED, SCALES_OF_MARKET = int(Scale.TICK), len(Scale) - int(Scale.TICK)
CONFIG_AT = {f"config.{name}": AT["config"] + at for name, at in r.word_offsets(r.CONFIG).items()}
WORDS = {**AT, **CONFIG_AT}

Names = Mapping[int, str]


@dataclass(frozen=True)
class Step:
    """One step as it is written below; `optional` leaves it out, text and all, when its word is 0."""

    do: Do
    text: str = ""
    word: int = 0
    optional: bool = False
    scale: Scale = Scale.MONEY
    names: Names | None = None
    value: int = 0
    inner: tuple["Step", ...] = ()


def text(text: str) -> Step:
    """Return a step that only writes."""
    return Step(Do.TEXT, text)


def number(text: str, field: str, optional: bool = False) -> Step:
    """Return a whole number."""
    return Step(Do.NUMBER, text, WORDS[field], optional)


def decimal(text: str, field: str, scale: Scale, optional: bool = False) -> Step:
    """Return a decimal in a scale and the quote after it."""
    return Step(Do.DECIMAL, text, WORDS[field], optional, scale)


def money(text: str, field: str) -> Step:
    """Return micro-USDC and the quote after them."""
    return decimal(text, field, Scale.MONEY)


def name(text: str, field: str, names: Names, quote: str = '"') -> Step:
    """Return the name of a code and the quote after it."""
    return Step(Do.NAME, text, WORDS[field], names={code: each + quote for code, each in names.items()})


def when(do: Do, field: str, value: int, *inner: Step) -> Step:
    """Return steps that are walked only when a word is, is not, is above or below, or has the bits of a value."""
    return Step(do, "", WORDS[field], value=value, inner=inner)
