"""
Decimal text to exact numbers and back, for the twin alone: Fractions, and nothing shared with the engine.
"""

import re
from fractions import Fraction

DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?", re.ASCII)
MICRO = 1_000_000


def decimal_read(value: object) -> Fraction | None:
    """Return the exact number of a canonical decimal text or JSON integer, None when it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or DECIMAL.fullmatch(value) is None:
        return None
    return Fraction(value)


def number_read(value: object) -> tuple[str | None, Fraction | None]:
    """Return the code that a decimal breaks, or None, and its exact value."""
    if isinstance(value, float):
        return "NUMBER_NOT_TEXT", None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "FIELD_TYPE_INVALID", None
    number = decimal_read(value)
    return (None if number is not None else "NUMBER_MALFORMED"), number


def feed_number(value: str | int) -> Fraction:
    """Return the number of a feed's text, to the twelfth decimal."""
    return Fraction(half_even(Fraction(value) * 10**12), 10**12)


def decimals_of(step: Fraction) -> int:
    """Return how many decimals a multiple of `step` needs."""
    decimals = 0
    while (step * 10**decimals).denominator != 1:
        decimals += 1
    return decimals


def number_text(number: Fraction | int, decimals: int) -> str:
    """Return `number` with exactly `decimals` decimals; what is cut off must be nothing."""
    scaled = Fraction(number) * 10**decimals
    assert scaled.denominator == 1, "a number off its own grid"
    digits = f"{abs(scaled.numerator):0{decimals + 1}d}"
    sign = "-" if scaled < 0 else ""
    return sign + (digits[:-decimals] + "." + digits[-decimals:] if decimals else digits)


def money_text(amount_e6: int) -> str:
    """Return micro-USDC as text with six decimals."""
    return number_text(Fraction(amount_e6, MICRO), 6)


def rate_text(rate_ppb: int) -> str:
    """Return a rate of funding as text with nine decimals."""
    return number_text(Fraction(rate_ppb, 10**9), 9)


def half_text(doubled_ticks: int, tick: Fraction) -> str:
    """Return half of a whole number of ticks as price text with one decimal more than a price has."""
    return number_text(Fraction(doubled_ticks, 2) * tick, decimals_of(tick) + 1)


def ceil_of(number: Fraction | int) -> int:
    """Return the smallest integer that is not below `number`."""
    return -((-Fraction(number)).__floor__())


def floor_of(number: Fraction | int) -> int:
    """Return the largest integer that is not above `number`."""
    return Fraction(number).__floor__()


def half_even(number: Fraction) -> int:
    """Return the nearest integer, the even one of two."""
    return round(number)
