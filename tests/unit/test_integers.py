"""engine/core/integers.py: exact arithmetic against Python's own integers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import integers
from engine.core.kernel import entry

E12 = 10**12
LEFT = st.integers(-(2**60) + 1, 2**60 - 1)
RIGHT = st.integers(0, 2**61)
DIVISOR = st.integers(1, 2**60 - 1)


@entry
def mul_div_floor(left, right, divisor):
    """Call the kernel from Python."""
    return integers.mul_div_floor(left, right, divisor)


@entry
def mul_div_ceil(left, right, divisor):
    """Call the kernel from Python."""
    return integers.mul_div_ceil(left, right, divisor)


@entry
def mul_div_saturate(left, right, divisor):
    """Call the kernel from Python."""
    return integers.mul_div_saturate(left, right, divisor)


@entry
def ceil_div(dividend, divisor):
    """Call the kernel from Python."""
    return integers.ceil_div(dividend, divisor)


@entry
def decimal_steps(whole, e12, step_e12):
    """Call the kernel from Python."""
    return integers.decimal_steps(whole, e12, step_e12)


@given(LEFT, RIGHT, DIVISOR)
@settings(max_examples=2_000, deadline=None)
def test_mul_div_floor_is_the_exact_floor(left: int, right: int, divisor: int) -> None:
    """The floor of a product over a divisor equals Python's, wherever the quotient fits."""
    expected = left * right // divisor
    if abs(expected) < 2**62 and abs(left // divisor * right) < 2**62:
        assert mul_div_floor(left, right, divisor) == expected


@given(LEFT, st.integers(0, 10**6), st.sampled_from([1, 7, 10**6, 10**16, 2**40 + 1]))
@settings(max_examples=1_000, deadline=None)
def test_mul_div_ceil_is_the_exact_ceiling(left: int, right: int, divisor: int) -> None:
    """The ceiling of a rate on an amount equals Python's."""
    expected = -(-left * right // divisor)
    if abs(expected) < 2**62:
        assert mul_div_ceil(left, right, divisor) == expected


def of_any_size(least: int) -> st.SearchStrategy[int]:
    """Return a strategy of whole numbers from `least` to 2⁶² − 1, of every length, its borders among them."""
    any_size = st.integers(0, 62).flatmap(lambda bits: st.integers(max(least, 2**bits - 2), 2**bits))
    return st.one_of(any_size, st.integers(least, 2**62)).map(lambda found: min(found, 2**62 - 1))


@given(of_any_size(0), of_any_size(0), of_any_size(1))
@settings(max_examples=3_000, deadline=None)
def test_mul_div_saturate_is_the_floor_or_the_bound(left: int, right: int, divisor: int) -> None:
    """The floor of a product over a divisor equals Python's; one that is greater than 2⁶² − 1 is that."""
    assert mul_div_saturate(left, right, divisor) == min(left * right // divisor, 2**62 - 1)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_mul_div_saturate_at_the_bound(over: int) -> None:
    """The bound itself, one below and one above it: a quotient just there is exact, the next one is cut."""
    assert mul_div_saturate(2**61 + over, 2, 1) == min(2**62 + 2 * over, 2**62 - 1)
    assert mul_div_saturate(2**62 - 1, 2**40 + over, 2**40) == min((2**62 - 1) * (2**40 + over) >> 40, 2**62 - 1)


@given(st.integers(-(2**62), 2**62), st.integers(1, 2**40))
@settings(max_examples=500, deadline=None)
def test_ceil_div_rounds_up(dividend: int, divisor: int) -> None:
    """A ceiling division rounds towards plus infinity, for either sign."""
    assert ceil_div(dividend, divisor) == -(-dividend // divisor)


@given(st.integers(0, 10**15 - 1), st.integers(0, E12 - 1), st.sampled_from([-1, 1]), st.integers(1, 10**15))
@settings(max_examples=2_000, deadline=None)
def test_decimal_steps_divides_a_decimal_exactly(whole: int, e12: int, sign: int, step: int) -> None:
    """A decimal of two words becomes its floored count of steps and the rest, or the out-of-range mark."""
    value = sign * (whole * E12 + e12)
    steps, rest = decimal_steps(sign * whole, sign * e12, step)
    expected, expected_rest = divmod(value, step)
    if abs(expected) < 10**15:
        assert (steps, rest) == (expected, expected_rest)
    elif sign > 0:
        assert steps >= 10**15
