"""
Scales, and the exact conversion between decimal text and integers; pure.

Outside speaks decimal text, inside speaks integers. A text either converts exactly or is refused by name; nothing here
ever rounds, except `ppb_parse` and `decimal_parse_long`, which the exchange's longer texts need.
"""

import re
from fractions import Fraction

PPM = 1_000_000
PPB = 1_000_000_000
E6 = 1_000_000
E12 = 1_000_000_000_000

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,12}))?", re.ASCII)
_LONG_DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,40})?(?:[eE]-?[0-9]{1,2})?", re.ASCII)


def decimal_parse(text: str) -> tuple[int, int] | None:
    """Return (whole part, fraction × 10¹²), both with the sign, or None when the text is no canonical decimal."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction = match.groups()
    units = int(whole)
    e12 = int(fraction.ljust(12, "0")) if fraction else 0
    return (-units, -e12) if sign else (units, e12)


def decimal_e12(text: str) -> int:
    """Return a decimal text × 10¹²; raises ValueError when it is none."""
    parts = decimal_parse(text)
    if parts is None:
        raise ValueError(f"not a decimal number: {text!r}")
    return parts[0] * E12 + parts[1]


def ppb_parse(text: str) -> int | None:
    """Return a rate × 10⁹, rounded half to even, or None when the text is no number or leaves ±1."""
    if _LONG_DECIMAL.fullmatch(text) is None:
        return None
    rate = Fraction(text)
    return round(rate * PPB) if abs(rate) <= 1 else None


def decimals_of(step_e12: int) -> int:
    """Return how many decimals a number on a grid of `step_e12` needs, 0 to 12."""
    decimals = 12
    while decimals > 0 and step_e12 % 10 == 0:
        step_e12 //= 10
        decimals -= 1
    return decimals


def decimal_text(value_e12: int, decimals: int) -> str:
    """Return value ÷ 10¹² with exactly `decimals` decimals; the digits cut off must be zeros."""
    scaled, rest = divmod(abs(value_e12), 10 ** (12 - decimals))
    assert rest == 0, "a value off its own grid"
    sign = "-" if value_e12 < 0 else ""
    if decimals == 0:
        return f"{sign}{scaled}"
    whole, fraction = divmod(scaled, 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}"


def money_text(amount_e6: int) -> str:
    """Return micro-USDC as text with six decimals."""
    sign = "-" if amount_e6 < 0 else ""
    whole, fraction = divmod(abs(amount_e6), E6)
    return f"{sign}{whole}.{fraction:06d}"


def words_of_text(text: str, count: int) -> list[int]:
    """Return ASCII text packed into `count` words, big-endian, zero-padded; ValueError when it does not fit."""
    raw = text.encode("ascii")
    if len(raw) > 8 * count:
        raise ValueError("text too long")
    raw = raw.ljust(8 * count, b"\0")
    return [int.from_bytes(raw[8 * i : 8 * i + 8], "big") for i in range(count)]


def text_of_words(words: list[int]) -> str:
    """Return the text that `words_of_text` packed."""
    return b"".join(int(word).to_bytes(8, "big") for word in words).rstrip(b"\0").decode("ascii")


def pair_of_hex(text: str) -> tuple[int, int]:
    """Return 32 hex digits as two signed words, high first."""
    raw = bytes.fromhex(text)
    return int.from_bytes(raw[:8], "big", signed=True), int.from_bytes(raw[8:], "big", signed=True)


def hex_of_pair(high: int, low: int) -> str:
    """Return two signed words as 32 lower-case hex digits."""
    return (high.to_bytes(8, "big", signed=True) + low.to_bytes(8, "big", signed=True)).hex()


def decimal_parse_long(text: str) -> tuple[int, int] | None:
    """Return a decimal text of up to 40 decimals as `decimal_parse` does, rounded half to even at 10⁻¹²."""
    if _LONG_DECIMAL.fullmatch(text) is None:
        return None
    value_e12 = round(Fraction(text) * E12)
    if abs(value_e12) >= 10**27:
        return None
    units, e12 = divmod(abs(value_e12), E12)
    return (-units, -e12) if value_e12 < 0 else (units, e12)
