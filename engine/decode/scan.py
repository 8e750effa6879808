"""
Bytes, eight at a time: literals, digits, decimals, texts; nothing here can read outside of the array.

A place of -1 stands for "not so": whatever is looked for there is not found, so that it is handed on and checked once.
What is looked for within the last AHEAD bytes of the array is not found either: so one look at the place is enough for
all words behind it. Texts of the protocol end with a carriage return, which is in no literal, number, name or text of
these: so none of them goes on past the end of the value that it stands in.
"""

import numpy as np
from numpy import int64

from engine.core.kernel import inlined, kernel
from engine.decode.words import inside, leading, word_load

QUOTE, BACKSLASH, MINUS, POINT, ZERO, NINE = 34, 92, 45, 46, 48, 57
STAR, DOLLAR, RETURN, NEWLINE = 42, 36, 13, 10
DIGITS_MAX = 18  # of a whole number: more leave 64 bits
WHOLE_DIGITS_MAX, DECIMALS_MAX = 15, 12  # of a decimal
LITERAL_WORDS = 4
LENGTH = 2 * LITERAL_WORDS  # where a literal says how long it is

# One value in each byte of a word.
BYTES_01, BYTES_06, BYTES_0F = 0x0101010101010101, 0x0606060606060606, 0x0F0F0F0F0F0F0F0F
BYTES_10, BYTES_20, BYTES_30, BYTES_3F = 0x1010101010101010, 0x2020202020202020, 0x3030303030303030, 0x3F3F3F3F3F3F3F3F
BYTES_40, BYTES_7F = 0x4040404040404040, 0x7F7F7F7F7F7F7F7F
BYTES_80, BYTES_F0 = BYTES_01 * 0x80 - 2**64, BYTES_01 * 0xF0 - 2**64  # as signed words
QUOTES, BACKSLASHES = BYTES_01 * QUOTE, BYTES_01 * BACKSLASH
POWERS = np.array([10**power for power in range(DIGITS_MAX + 1)], np.int64)


def literal_of(text: bytes) -> np.ndarray:
    """Return a literal of 1 to 32 bytes: its words, each with the mask of the bytes that count, and its length."""
    assert 0 < len(text) <= 8 * LITERAL_WORDS
    words = []
    for at in range(0, 8 * LITERAL_WORDS, 8):
        part = text[at : at + 8]
        padded = (part.ljust(8, b"\0"), (b"\xff" * len(part)).ljust(8, b"\0"))
        words += [int.from_bytes(each, "big", signed=True) for each in padded]
    return np.array([*words, len(text)], np.int64)


@inlined
def word_read(raw, at):
    """Return eight bytes as one word, the first one highest; zero where not all of them are inside of the array."""
    return word_load(raw, at) if 0 <= at <= len(raw) - 8 else int64(0)


@inlined
def literal(raw, at, text):
    """Return the place after `text` when it stands at `at`, -1 otherwise; shapes: text as literal_of gives it."""
    if not inside(raw, at) or word_load(raw, at) & text[1] != text[0]:
        return int64(-1)
    length = text[LENGTH]
    if length > 8 and word_load(raw, at + 8) & text[3] != text[2]:
        return int64(-1)
    if length > 16 and word_load(raw, at + 16) & text[5] != text[4]:
        return int64(-1)
    if length > 24 and word_load(raw, at + 24) & text[7] != text[6]:
        return int64(-1)
    return int64(at + length)


@inlined
def first_is(word, byte):
    """Return whether a word begins with a byte."""
    return (word >> 56) & 0xFF == byte


@inlined
def digits_leading(word):
    """Return how many digits a word begins with."""
    digits = word ^ BYTES_30
    return leading((((digits & BYTES_0F) + BYTES_06) & BYTES_10) | (digits & BYTES_F0))


@inlined
def digits_value(word, count):
    """Return the number that the first 1 to 8 bytes of a word are the digits of."""
    # They become the last ones; then pairs, fours and eights of them are summed side by side.
    digits = (word ^ BYTES_30) >> (64 - 8 * count)
    digits = ((digits >> 8) * 10 + digits) & 0x00FF00FF00FF00FF
    digits = ((digits >> 16) * 100 + digits) & 0x0000FFFF0000FFFF
    return ((digits >> 32) * 10_000 + digits) & 0xFFFFFFFF


@inlined
def digits_append(number, word, count):
    """Return a number with the first 0 to 8 bytes of a word as further digits."""
    return number * POWERS[count] + digits_value(word, count) if count > 0 else number


@inlined
def number_read(raw, at):
    """Return (number, place after) of 1 to 18 digits without a leading zero; (0, -1) otherwise."""
    if not inside(raw, at):
        return int64(0), int64(-1)
    word = word_load(raw, at)
    count = digits_leading(word)
    if count == 0 or (count > 1 and first_is(word, ZERO)):
        return int64(0), int64(-1)
    number = digits_value(word, count)
    if count < 8:
        return number, int64(at + count)
    word = word_load(raw, at + 8)
    count = digits_leading(word)
    number = digits_append(number, word, count)
    if count < 8:
        return number, int64(at + 8 + count)
    # A time: where it ends is known without looking for it.
    if digits_leading(word_load(raw, at + 16)) == 0:
        return number, int64(at + 16)
    return number_end(raw, at + 16, number)


@kernel
def number_end(raw, at, number):
    """Return (number, place after) of a number of 17 or 18 digits, of which 16 are read; (0, -1) if there are more."""
    word = word_load(raw, at)
    count = digits_leading(word)
    if count > DIGITS_MAX - 16:
        return int64(0), int64(-1)
    return digits_append(number, word, count), int64(at + count)


@inlined
def whole_read(raw, at, row, word):
    """Return the place after a whole number of up to 18 digits, -1 when there is none; store it."""
    row[word], at = number_read(raw, at)
    return at


@inlined
def decimal_parse(raw, at):
    """
    Return (whole part, fraction × 10¹², place after) of a decimal of up to 12 decimals; (…, …, -1) when there is none.

    A minus in front of nothing but zeros is lost, as it is in any integer.
    """
    if inside(raw, at) and raw[at] == MINUS:
        return negative_parse(raw, at + 1)
    return natural_parse(raw, at)


@kernel
def negative_parse(raw, at):
    """Return what decimal_parse does of what follows a minus."""
    units, e12, at = natural_parse(raw, at)
    return -units, -e12, at


@inlined
def natural_parse(raw, at):
    """Return what decimal_parse does of a decimal that is not negative."""
    nothing = int64(0), int64(0), int64(-1)
    if not inside(raw, at):
        return nothing
    word = word_load(raw, at)
    count = digits_leading(word)
    if count == 0 or (count > 1 and first_is(word, ZERO)):
        return nothing
    units = digits_value(word, count)
    if count == 8:
        word = word_load(raw, at + 8)
        count = digits_leading(word)
        units = digits_append(units, word, count)
        count += 8
        if count > WHOLE_DIGITS_MAX:
            return nothing
    at += count
    word = word_load(raw, at)
    if not first_is(word, POINT):
        return units, int64(0), int64(at)
    count = digits_leading(word << 8)
    if 0 < count < 7:
        e12 = digits_value(word << 8, count)
    else:
        e12, count = decimals_read(raw, at + 1)
    if not 0 < count <= DECIMALS_MAX:
        return nothing
    return units, e12 * POWERS[DECIMALS_MAX - count], int64(at + 1 + count)


@kernel
def decimals_read(raw, at):
    """Return (number, count) of 0 to 16 digits; more are not looked at."""
    word = word_load(raw, at)
    count = digits_leading(word)
    number = digits_append(int64(0), word, count)
    if count < 8:
        return number, count
    word = word_load(raw, at + 8)
    count = digits_leading(word)
    return digits_append(number, word, count), int64(count + 8)


@inlined
def decimal_read(raw, at, row, word):
    """Return the place after a decimal of up to 12 decimals, -1 when there is none; store whole part and fraction."""
    row[word], row[word + 1], at = decimal_parse(raw, at)
    return at


@inlined
def text_stops(word):
    """Return a word with a mark in every byte that no text holds unescaped: controls, quote, backslash, not ASCII."""
    delete, quote, backslash = word ^ BYTES_7F, word ^ QUOTES, word ^ BACKSLASHES
    different = ((delete & BYTES_3F) + BYTES_3F) | delete
    different &= ((quote & BYTES_3F) + BYTES_3F) | quote
    different &= ((backslash & BYTES_3F) + BYTES_3F) | backslash
    controls = ~(word | (word >> 1)) & BYTES_20
    return (~different & BYTES_40) | (word & BYTES_80) | controls


@inlined
def text_read(raw, at, row, word, words_count):
    """
    Return the place after a printable text of at least one byte, where no more text follows; -1 when there is none.

    Writes: its words from `word` on, of which it may fill `words_count`.
    """
    if not inside(raw, at):
        return int64(-1)
    for index in range(words_count):
        part = word_load(raw, at + 8 * index)
        count = leading(text_stops(part))
        if count < 8:
            if count > 0:
                row[word + index] = part & (int64(-1) << (64 - 8 * count))
            elif index == 0:
                return int64(-1)
            return int64(at + 8 * index + count)
        row[word + index] = part
    return int64(at + 8 * words_count)


@inlined
def hex_word(word):
    """Return (number, whether it is one) of eight lower-case hex digits."""
    letters = (word >> 6) & BYTES_01
    values = (word & BYTES_0F) + 9 * letters
    above_nine = ((values + BYTES_06) >> 4) & BYTES_01
    # Written again they must be the same digits.
    sound = values & BYTES_F0 == 0 and values + BYTES_30 + 0x27 * above_nine == word
    values = (values | (values >> 4)) & 0x00FF00FF00FF00FF
    values = (values | (values >> 8)) & 0x0000FFFF0000FFFF
    return (values | (values >> 16)) & 0xFFFFFFFF, sound


@kernel
def hex_read(raw, at, row, word):
    """Return the place after 32 lower-case hex digits, -1 when there are none; store them as two words."""
    if not inside(raw, at):
        return int64(-1)
    for index in range(2):
        high, high_sound = hex_word(word_load(raw, at + 16 * index))
        low, low_sound = hex_word(word_load(raw, at + 16 * index + 8))
        if not (high_sound and low_sound):
            return int64(-1)
        row[word + index] = (high << 32) | low
    return int64(at + 32)
