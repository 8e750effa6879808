"""
The programs of all events laid out in arrays of numbers, which one compiled interpreter walks (engine.encode.entries).
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from engine.encode.digits import SCALE_BYTES
from engine.encode.shapes import SHAPES
from engine.encode.steps import Do, Scale, Step
from shared import records as r
from shared.codes import EventKind
from shared.wire_events_text import ACCOUNT

WORD_BYTES = 8
SHORT_BYTES = 24  # of a text that are copied before its length is looked at
TEXT_BYTES_MAX = 48
NUMBER_BYTES, DECIMAL_BYTES, HEX_BYTES = 20, 52, 32
BYTES = {
    Do.NUMBER: NUMBER_BYTES,
    Do.THOUSANDTH: NUMBER_BYTES,
    Do.DECIMAL: DECIMAL_BYTES + 1,
    Do.EXACT: DECIMAL_BYTES + 1,
    Do.STEP: DECIMAL_BYTES + 1,
    Do.MARKET: WORD_BYTES * r.NAME_WORDS + 1,
    Do.CLIENT: WORD_BYTES * r.CLIENT_ID_WORDS + 1,
    Do.HEX: HEX_BYTES,
    Do.COUNTER: len("position:") + NUMBER_BYTES + 1,
}
FIXED_TEXTS = ("position:", "account:", ',"results":[', ",", "]")
NAMELESS = -1  # of a code that has no name
OF_MARKET = -1  # all bits of the place of a market's scales are added

# The words of a row of STEPS, as bytes from its first: what to do, the text before it and its length, the word that it
# is about, whether it is left out when that is 0, and two numbers: scale and whether it is the market's; first name
# and how many; value and how many bytes of steps to step over.
DO, TEXT, TEXT_BYTES, WORD, OPTIONAL, FIRST, SECOND = range(0, 7 * WORD_BYTES, WORD_BYTES)
STEP_WORDS = 8
STEP_BYTES = STEP_WORDS * WORD_BYTES
NAME_BYTES = 2 * WORD_BYTES  # a row of NAMES: the text and its length


class Texts:
    """Texts laid end to end, each with room for what is copied without looking; equal ones once."""

    def __init__(self) -> None:
        """Start without any."""
        self.bytes = b""
        self.placed: dict[str, int] = {}

    def put(self, text: str) -> int:
        """Return the first byte of a text."""
        assert len(text) <= TEXT_BYTES_MAX
        if text not in self.placed:
            self.placed[text] = len(self.bytes)
            short = len(text) <= SHORT_BYTES
            self.bytes += text.encode("ascii").ljust(SHORT_BYTES if short else TEXT_BYTES_MAX, b"\0")
        return self.placed[text]


class Layout:
    """All programs as numbers."""

    def __init__(self, shapes: dict[EventKind, tuple[Step, ...]]) -> None:
        """Lay out the programs of `shapes`."""
        self.texts = Texts()
        self.names: list[list[int]] = []  # first byte and length; NAMELESS where a code has no name
        self.tables: dict[tuple[tuple[int, str], ...], int] = {}
        self.steps: list[list[int]] = []
        self.fixed = [[self.texts.put(text), len(text)] for text in FIXED_TEXTS]
        self.programs = [NAMELESS] * (max(EventKind) + 1)
        for kind, shape in shapes.items():
            self.programs[kind] = len(self.steps) * STEP_BYTES
            self.steps += self.laid(shape)
            self.steps.append([int(Do.END)] + [0] * (STEP_WORDS - 1))

    def laid(self, shape: Iterable[Step]) -> list[list[int]]:
        """Return the rows of some steps; a text that only writes goes in front of the next one's."""
        rows: list[list[int]] = []
        waiting = ""
        for step in shape:
            if waiting and (step.optional or step.inner or len(waiting + step.text) > TEXT_BYTES_MAX):
                rows.append(self.row(Step(Do.TEXT, waiting)))
                waiting = ""
            if step.do == Do.TEXT:
                waiting += step.text
                continue
            inner = self.laid(step.inner)
            rows.append(self.row(step, waiting, len(inner)))
            rows += inner
            waiting = ""
        return [*rows, self.row(Step(Do.TEXT, waiting))] if waiting else rows

    def row(self, step: Step, before: str = "", inner_count: int = 0) -> list[int]:
        """Return one step as numbers."""
        text = before + step.text
        first, second = 0, 0
        if step.inner:
            first, second = step.value, inner_count * STEP_BYTES
        elif step.names is not None:
            first, second = self.table(step.names), max(step.names) + 1
        elif step.do in (Do.DECIMAL, Do.STEP):
            first, second = step.scale * SCALE_BYTES, OF_MARKET if step.scale >= Scale.TICK else 0
        elif step.do == Do.EXACT:
            first, second = Scale.TICK * SCALE_BYTES, OF_MARKET
        row = [int(step.do), self.texts.put(text), len(text), step.word * WORD_BYTES, int(step.optional), first, second]
        return row + [0] * (STEP_WORDS - len(row))

    def table(self, names: Mapping[int, str]) -> int:
        """Return where the names of a run of codes from 0 on begin."""
        key = tuple(names.items())
        if key not in self.tables:
            self.tables[key] = len(self.names)
            for code in range(max(names) + 1):
                name = names.get(code)
                self.names.append([0, NAMELESS] if name is None else [self.texts.put(name), len(name)])
        return self.tables[key]


def flat(shape: Iterable[Step]) -> Iterator[Step]:
    """Yield all steps of a program, the inner ones too."""
    for step in shape:
        yield step
        yield from flat(step.inner)


def bytes_most(shape: Iterable[Step]) -> int:
    """Return how many bytes a program can write at most, results aside."""
    count = 0
    for step in flat(shape):
        named = max(map(len, step.names.values())) if step.names and step.do == Do.NAME else 0
        count += len(step.text) + BYTES.get(step.do, 0) + named
    return count


def kinds_missing(kinds: Iterable[EventKind]) -> list[str]:
    """Return the names of the kinds of events that have no program."""
    return [kind.name for kind in kinds if kind.name != "NONE" and kind not in SHAPES]


assert not kinds_missing(EventKind), f"events without a program in engine.encode.shapes: {kinds_missing(EventKind)}"

_LAYOUT = Layout(SHAPES)
STEPS = np.array(_LAYOUT.steps, np.int64).view(np.uint8).reshape(-1)
TEXTS = np.frombuffer(_LAYOUT.texts.bytes, np.uint8)
NAMES = np.array(_LAYOUT.names, np.int64).view(np.uint8).reshape(-1)
PROGRAMS = np.array(_LAYOUT.programs, np.int64)
T_POSITION, T_ACCOUNT, T_RESULTS, T_COMMA, T_BRACKET = range(len(FIXED_TEXTS))
FIXED = np.array(_LAYOUT.fixed, np.int64)
# Of each kind: whether its account is named in the entry's `a`, and whether its market's grids are needed.
TOUCHES = np.array([int(any(s.word == ACCOUNT for s in flat(SHAPES.get(kind, ())))) for kind in EventKind], np.int64)
_GRIDS = (Scale.TICK, Scale.LOT, Scale.AVERAGE, Scale.HALF)
GRIDDED = np.array(
    [int(any(s.do == Do.EXACT or s.scale in _GRIDS for s in flat(SHAPES.get(kind, ())))) for kind in EventKind],
    np.int64,
)
assert [int(kind) for kind in EventKind] == list(range(len(EventKind))), "kinds are counted without gaps"

RESULT_BYTES_MAX = bytes_most(SHAPES[EventKind.BATCH_RESULT]) + 1
EVENT_BYTES_MAX = max(map(bytes_most, SHAPES.values())) + len(',"results":[]') + r.PARTS_MAX * RESULT_BYTES_MAX
