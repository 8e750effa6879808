"""
Instructions in canonical form -> the words of their records, compiled: one reader over the tables of programs.

It takes what is sound and nothing else: any broken rule, even one that only has a code, is shared.wire's to name.
"""

import numpy as np
from numpy import int64

from engine.core.kernel import inlined, kernel
from engine.decode.programs import (
    CHOICE_VALUE,
    CHOICES,
    PROGRAM_OP,
    PROGRAM_OPERATOR,
    PROGRAM_STEP,
    PROGRAM_STEP_END,
    PROGRAM_VALUE,
    PROGRAM_WORD,
    PROGRAMS,
    STEP_BIT,
    STEP_BIT_NULL,
    STEP_BIT_PRICE,
    STEP_BY_WORD,
    STEP_CHOICE,
    STEP_CHOICE_END,
    STEP_PRICE_WORD,
    STEP_REQUIRED,
    STEP_SHAPE,
    STEP_WORD,
    STEPS,
)
from engine.decode.scan import (
    MINUS,
    QUOTE,
    WHOLE_DIGITS_MAX,
    decimal_parse,
    first_is,
    hex_read,
    inside,
    literal,
    literal_of,
    number_read,
    text_read,
    word_load,
)
from shared.codes import TriggerBy
from shared.records import CLIENT_ID_WORDS, NAME_WORDS, TEXT_WORDS
from shared.wire_rows import AT
from shared.wire_values import CLIENT_ID_TEXT, Shape

ACCOUNT_MAX = 2**31 - 1
CLIENT_ID_BYTES_MAX = 36
ACCOUNT, REQUEST, OP, PRESENT = AT["account"], AT["request_hi"], AT["op"], AT["present"]
DECIMAL, WHOLE, PERCENT, CHOICE, FLAG = (
    int(shape) for shape in (Shape.DECIMAL, Shape.WHOLE, Shape.PERCENT, Shape.CHOICE, Shape.FLAG)
)
MARKET, CLIENT_ID, OWNER, REASON, CHILD = (
    int(shape) for shape in (Shape.MARKET, Shape.CLIENT_ID, Shape.OWNER, Shape.REASON, Shape.CHILD)
)
BY_QUOTE = int(TriggerBy.QUOTE)
CLIENT_ID_BYTES = np.array([CLIENT_ID_TEXT.fullmatch(chr(byte)) is not None for byte in range(256)])

I_ACCOUNT, I_REQUEST, I_OP = literal_of(b'{"v":1,"account":'), literal_of(b',"request_id":"'), literal_of(b'","op":')
I_QUOTE, I_CLOSE, I_NULL = literal_of(b'"'), literal_of(b"}"), literal_of(b"null")
I_TRUE, I_FALSE = literal_of(b"true"), literal_of(b"false")
I_TRIGGER, I_BY, I_PRICE = literal_of(b'{"price_trigger":'), literal_of(b',"trigger_by":'), literal_of(b',"price":')


@kernel
def instruction_read(raw, at, operator, row):
    """
    Return the place after an instruction in canonical form, -1 for any other; fill its words in a cleared row.

    Units: operator 1 where an operator's operations are known, 0 where only a user's are.
    """
    account, at = number_read(raw, literal(raw, at, I_ACCOUNT))
    if at < 0 or account > ACCOUNT_MAX:
        return int64(-1)
    row[ACCOUNT] = account
    at = literal(raw, hex_read(raw, literal(raw, at, I_REQUEST), row, int64(REQUEST)), I_OP)
    index, after = int64(0), int64(-1)
    while index < len(PROGRAMS) and after < 0:
        after = literal(raw, at, PROGRAMS[index])
        index += 1
    program = PROGRAMS[index - 1]
    if after < 0 or program[PROGRAM_OPERATOR] > operator:
        return int64(-1)
    row[OP] = program[PROGRAM_OP]
    row[program[PROGRAM_WORD]] = program[PROGRAM_VALUE]
    # What comes is one of the keys that may still come; a step that is passed over is a key left out.
    at, present = after, int64(0)
    for step in range(program[PROGRAM_STEP], program[PROGRAM_STEP_END]):
        value = literal(raw, at, STEPS[step])
        if value >= 0:
            at, bits = value_read(raw, value, STEPS[step], row)
            present |= bits
        elif STEPS[step, STEP_REQUIRED] != 0:
            return int64(-1)
    row[PRESENT] = present
    return literal(raw, at, I_CLOSE)


@inlined
def value_read(raw, at, step, row):
    """Return (place after, bits of present) of one value by its step, (-1, …) when it is not as it should be."""
    shape, word, bit = step[STEP_SHAPE], step[STEP_WORD], step[STEP_BIT]
    if step[STEP_BIT_NULL] != 0:
        after = literal(raw, at, I_NULL)
        if after >= 0:
            if shape == CHILD:
                row[step[STEP_BY_WORD]] = BY_QUOTE
            return after, step[STEP_BIT_NULL]
    if shape == DECIMAL:
        row[word], row[word + 1], at = decimal_or_whole(raw, at)
    elif shape == CHOICE:
        at = choice_read(raw, at, step[STEP_CHOICE], step[STEP_CHOICE_END], row, word)
    elif shape == MARKET:
        at = quoted_read(raw, at, row, word, int64(NAME_WORDS))
    elif shape == WHOLE:
        row[word], at = number_read(raw, at)
    elif shape == FLAG:
        at = flag_read(raw, at, row, word)
    elif shape == CLIENT_ID:
        at = client_id_read(raw, at, row, word)
    elif shape == CHILD:
        return child_read(raw, at, step, row)
    elif shape == PERCENT:
        units, e12, at = decimal_or_whole(raw, at)
        row[word] = units if e12 == 0 else -1
    elif shape == OWNER:
        at = literal(raw, hex_read(raw, literal(raw, at, I_QUOTE), row, word), I_QUOTE)
    elif shape == REASON:
        at = quoted_read(raw, at, row, word, int64(TEXT_WORDS))
    else:
        at = int64(-1)
    return at, bit


@kernel
def decimal_or_whole(raw, at):
    """Return (whole part, fraction × 10¹², place after) of a decimal text or JSON integer; (…, …, -1) if it is none."""
    if not inside(raw, at):
        return int64(0), int64(0), int64(-1)
    word = word_load(raw, at)
    if first_is(word, QUOTE):
        units, e12, at = decimal_parse(raw, at + 1)
        return units, e12, literal(raw, at, I_QUOTE)
    begin = at + 1 if first_is(word, MINUS) else at
    units, after = number_read(raw, begin)
    # What -0 is depends on who reads it.
    if after - begin > WHOLE_DIGITS_MAX or (begin > at and units == 0):
        return int64(0), int64(0), int64(-1)
    return units if begin == at else -units, int64(0), after


@kernel
def choice_read(raw, at, choice, choice_end, row, word):
    """Return the place after one of some words in quotes, -1 when it is none of them; store what it stands for."""
    for index in range(choice, choice_end):
        after = literal(raw, at, CHOICES[index])
        if after >= 0:
            row[word] = CHOICES[index, CHOICE_VALUE]
            return after
    return int64(-1)


@inlined
def flag_read(raw, at, row, word):
    """Return the place after true or false, -1 when it is neither; store it."""
    after = literal(raw, at, I_TRUE)
    row[word] = int64(after >= 0)
    return after if after >= 0 else literal(raw, at, I_FALSE)


@kernel
def quoted_read(raw, at, row, word, words_count):
    """Return the place after a text in quotes, -1 when it is empty, too long or not plain; store its words."""
    return literal(raw, text_read(raw, literal(raw, at, I_QUOTE), row, word, words_count), I_QUOTE)


@kernel
def client_id_read(raw, at, row, word):
    """Return the place after a client order id in quotes, -1 when it is none; store its words."""
    first = literal(raw, at, I_QUOTE)
    after = text_read(raw, first, row, word, CLIENT_ID_WORDS)
    if after - first > CLIENT_ID_BYTES_MAX:
        return int64(-1)
    for index in range(first, after):
        if not CLIENT_ID_BYTES[raw[index]]:
            return int64(-1)
    return literal(raw, after, I_QUOTE)


@kernel
def child_read(raw, at, step, row):
    """Return (place after, bits of present) of a bracket's order, (-1, …) when it is none; store its words."""
    word, by_word, price_word = step[STEP_WORD], step[STEP_BY_WORD], step[STEP_PRICE_WORD]
    bits = step[STEP_BIT]
    row[by_word] = BY_QUOTE
    trigger = literal(raw, at, I_TRIGGER)
    row[word], row[word + 1], after = decimal_or_whole(raw, trigger if trigger >= 0 else at)
    if trigger < 0:
        return after, bits
    source = literal(raw, after, I_BY)
    if source >= 0:
        after = choice_read(raw, source, step[STEP_CHOICE], step[STEP_CHOICE_END], row, by_word)
    price = literal(raw, after, I_PRICE)
    if price >= 0:
        row[price_word], row[price_word + 1], after = decimal_or_whole(raw, price)
        bits |= step[STEP_BIT_PRICE]
    return literal(raw, after, I_CLOSE), bits
