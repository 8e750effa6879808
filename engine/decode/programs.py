"""
What the compiled reader of instructions goes by: tables made, once, of those that shared.wire reads by.

A program is one operation: its name, and its keys in canonical order as steps; a step is one key: what stands in front
of its value, how the value looks, and where it goes. Nothing is named here that shared says already. An operation with
a key that only shared.wire can read is not here, or ends, for an entry with that key, in front of it.
"""

from collections.abc import Mapping

import numpy as np

from engine.decode.scan import literal_of
from shared.codes import Op
from shared.wire_instructions import DEFAULTS, KEYS, OPERATOR_OPS
from shared.wire_orders import SOURCES
from shared.wire_rows import AT
from shared.wire_values import Key, Shape

# Their keys hold more than fits into one record: commands, or configurations with bounds of their own.
OPS_LEFT = frozenset({Op.BATCH, Op.VENUE_SET, Op.MARKET_SET})

LITERAL = len(literal_of(b"x"))  # words that a literal takes
# A step: the literal in front of the value, then
STEP_SHAPE, STEP_WORD, STEP_BIT, STEP_BIT_NULL, STEP_REQUIRED = range(LITERAL, LITERAL + 5)
STEP_CHOICE, STEP_CHOICE_END = STEP_REQUIRED + 1, STEP_REQUIRED + 2
STEP_BY_WORD, STEP_PRICE_WORD, STEP_BIT_PRICE = range(STEP_CHOICE_END + 1, STEP_CHOICE_END + 4)
STEP_WORDS = STEP_BIT_PRICE + 1
# A program: the literal of the operation's name, then
PROGRAM_OP, PROGRAM_OPERATOR, PROGRAM_STEP, PROGRAM_STEP_END, PROGRAM_WORD, PROGRAM_VALUE = range(LITERAL, LITERAL + 6)
# A choice: the literal of the word in its quotes, then
CHOICE_VALUE = LITERAL


class Tables:
    """The rows of the tables as they grow."""

    def __init__(self) -> None:
        self.programs: list[list[int]] = []
        self.steps: list[list[int]] = []
        self.choices: list[list[int]] = []
        self.sources = self.choices_add(SOURCES)
        for op in Op:
            if op in KEYS and op not in OPS_LEFT:
                self.program_add(op)

    def program_add(self, op: Op) -> None:
        """Append one operation and its steps."""
        keys, required = KEYS[op]
        first = len(self.steps)
        for name, key in keys.items():
            self.step_add(name, key, name in required)
        # An operation that says nothing where a key is left out writes its own number once more.
        field, value = DEFAULTS.get(op, ("op", int(op)))
        name_literal = literal_of(b'"%s"' % op.name.lower().encode()).tolist()
        row = [int(op), int(op in OPERATOR_OPS), first, len(self.steps), AT[field], int(value)]
        self.programs.append([*name_literal, *row])

    def step_add(self, name: str, key: Key, required: bool) -> None:
        """Append one key."""
        row = [*literal_of(b',"%s":' % name.encode()).tolist(), *[0] * (STEP_WORDS - LITERAL)]
        row[STEP_SHAPE], row[STEP_BIT], row[STEP_BIT_NULL] = int(key.shape), key.bit, key.bit_null
        row[STEP_REQUIRED] = int(required)
        if key.shape != Shape.OTHER:
            row[STEP_WORD] = AT[key.field + "_units" if key.shape in (Shape.DECIMAL, Shape.CHILD) else key.field]
        if key.shape == Shape.CHOICE:
            row[STEP_CHOICE], row[STEP_CHOICE_END] = self.choices_add(key.choices)
        if key.shape == Shape.CHILD:
            row[STEP_CHOICE], row[STEP_CHOICE_END] = self.sources
            row[STEP_BY_WORD], row[STEP_PRICE_WORD] = AT[key.field + "_by"], AT[key.field + "_price_units"]
            row[STEP_BIT_PRICE] = key.bit_price
        self.steps.append(row)

    def choices_add(self, choices: Mapping[str, int]) -> tuple[int, int]:
        """Append some words; return where they begin and end."""
        first = len(self.choices)
        for name, value in choices.items():
            self.choices.append([*literal_of(b'"%s"' % name.encode()).tolist(), value])
        return first, len(self.choices)


TABLES = Tables()
PROGRAMS, STEPS, CHOICES = (np.array(rows, np.int64) for rows in (TABLES.programs, TABLES.steps, TABLES.choices))
