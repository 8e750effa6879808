"""
Numbers -> decimal text, compiled: eight digits at a time, exactly as shared.units writes them.

A text is written into `raw`, a room of bytes, eight bytes a store: up to seven bytes of rubbish stand behind it, which
what follows covers. A number is any int64 here, and a product of two is exact however large it is.
"""

import sys

import numpy as np
from numpy import int64, uint64

from engine.core.kernel import inlined, kernel
from engine.encode.memory import word_get, word_put

assert sys.byteorder == "little", "digits are put together with the first one in a word's lowest byte"

E4, E6, E8 = 10**4, 10**6, 10**8
POWERS = np.array([10**power for power in range(17)], np.int64)
ZERO, ZEROS = 0x30, 0x3030303030303030
INT64_MAX = 2**63 - 1
MINUS, POINT = ord("-"), ord(".")
LIMBS, LIMB_DIGITS = 8, 6  # a product of two int64 has at most 38 digits

# One scale, how a field's number becomes text: the grid, its decimals, what a step is in the last of them, the greatest
# number whose product with that is an int64, and the powers of ten for cutting the product and for padding a fraction.
# The words of a row, as bytes from its first.
STEP, DECIMALS, FACTOR, MOST, POWER, PAD = range(0, 48, 8)
SCALE_BYTES = 8 * LIMBS


@inlined
def divided(number, by):
    """Return a quotient of numbers that are not negative; the compiler need not think of any that are."""
    return int64(uint64(number) // uint64(by))


@inlined
def digits_eight(number):
    """Return the eight digits of a number below 10⁸ as a word of text, leading zeros included."""
    high = number * 109_951_163 >> 40  # ÷ 10⁴, exact for so few digits
    pairs = high | (number - high * E4) << 32  # twice four digits
    top = (pairs * 10486 >> 20) & 0x7F0000007F  # their hundreds
    hundreds = (pairs - 100 * top << 16) + top
    tens = (hundreds * 103 >> 10) & 0xF000F000F000F
    return (hundreds - 10 * tens << 8) + tens + ZEROS


@inlined
def digits_count(number):
    """Return how many digits a number below 10⁸ has; 0 has one."""
    return (
        int64(1)
        + int64(number >= 10)
        + int64(number >= 100)
        + int64(number >= 1_000)
        + int64(number >= 10_000)
        + int64(number >= 100_000)
        + int64(number >= 1_000_000)
        + int64(number >= 10_000_000)
    )


@inlined
def head_put(raw, at, number):
    """Return the place after the digits of a number below 10⁸, without leading zeros."""
    count = digits_count(number)
    word_put(raw, at, digits_eight(number) >> (64 - 8 * count))
    return at + count


@inlined
def natural_put(raw, at, number):
    """Return the place after the digits of a number that is not negative."""
    if number < E8:
        return head_put(raw, at, number)
    high = divided(number, E8)
    low = number - high * E8
    if high < E8:
        at = head_put(raw, at, high)
    else:
        top = divided(high, E8)
        at = head_put(raw, at, top)
        word_put(raw, at, digits_eight(high - top * E8))
        at += 8
    word_put(raw, at, digits_eight(low))
    return at + 8


@inlined
def number_put(raw, at, number):
    """Return the place after a whole number."""
    if number < 0:
        word_put(raw, at, MINUS)
        at += 1
        if number < -INT64_MAX:  # its opposite is no int64
            at = head_put(raw, at, int64(922))
            word_put(raw, at, digits_eight(int64(33_720_368)))
            word_put(raw, at + 8, digits_eight(int64(54_775_808)))
            return at + 16
        number = -number
    return natural_put(raw, at, number)


@inlined
def decimal_put(raw, at, value, scales, scale):
    """
    Return the place after value × factor ÷ 10^decimals as text with exactly the scale's decimals.

    Shapes: raw uint8[b]; scales uint8[n], the scale at byte `scale`. Writes: the last row of scales, when the product
            is wide.
    """
    most = word_get(scales, scale + MOST)
    if value > most or value < -most:
        return wide_put(raw, at, value, scales, scale)
    decimals = word_get(scales, scale + DECIMALS)
    scaled = value * word_get(scales, scale + FACTOR)
    if scaled < 0:
        word_put(raw, at, MINUS)
        at += 1
        scaled = -scaled
    if decimals == 6:  # money: dividing by a constant is a multiplication
        whole = divided(scaled, E6)
        fraction = scaled - whole * E6
    else:
        power = word_get(scales, scale + POWER)
        whole = divided(scaled, power)
        fraction = scaled - whole * power
    at = natural_put(raw, at, whole)
    if decimals == 0:
        return at
    word_put(raw, at, POINT)
    padded = fraction * word_get(scales, scale + PAD)
    if decimals > 8:
        high = divided(padded, E8)
        word_put(raw, at + 1, digits_eight(high))
        word_put(raw, at + 9, digits_eight(padded - high * E8))
    else:
        word_put(raw, at + 1, digits_eight(padded))
    return at + 1 + decimals


@kernel
def wide_put(raw, at, value, scales, scale):
    """Return the place after a decimal whose product may leave 64 bits; digit by digit."""
    decimals = word_get(scales, scale + DECIMALS)
    limbs = len(scales) - SCALE_BYTES
    for limb in range(LIMBS):
        word_put(scales, limbs + 8 * limb, int64(0))
    if value < 0 and word_get(scales, scale + FACTOR) != 0:
        word_put(raw, at, MINUS)
        at += 1
    left = -(value + 1) if value < 0 else value  # one less than the magnitude: that may be no int64
    one = int64(1) if value < 0 else int64(0)
    for place in range(LIMBS // 2):
        part = left % E6 + one
        left, one = left // E6, int64(0)
        rest = word_get(scales, scale + FACTOR)
        for other in range(LIMBS // 2):
            limb = limbs + 8 * (place + other)
            word_put(scales, limb, word_get(scales, limb) + part * (rest % E6))
            rest //= E6
    carry = int64(0)
    for index in range(LIMBS):
        total = word_get(scales, limbs + 8 * index) + carry
        carry = total // E6
        word_put(scales, limbs + 8 * index, total - carry * E6)
    begun = False
    for power in range(LIMBS * LIMB_DIGITS - 1, -1, -1):
        digit = word_get(scales, limbs + 8 * (power // LIMB_DIGITS)) // POWERS[power % LIMB_DIGITS] % 10
        begun = begun or digit > 0 or power <= decimals
        if begun:
            word_put(raw, at, ZERO + digit)
            at += 1
            if power == decimals and power > 0:
                word_put(raw, at, POINT)
                at += 1
    return at


@kernel
def scale_put(scales, scale, step_e12):
    """Write the scale of numbers on a grid of `step_e12`."""
    decimals, left = int64(12), int64(step_e12)
    while decimals > 0 and left % 10 == 0:
        left //= 10
        decimals -= 1
    scale_write(scales, scale, step_e12, decimals, step_e12 // POWERS[12 - decimals])


@kernel
def scale_write(scales, scale, step_e12, decimals, factor):
    """Write a scale of so many decimals."""
    word_put(scales, scale + STEP, step_e12)
    word_put(scales, scale + DECIMALS, decimals)
    word_put(scales, scale + FACTOR, factor)
    word_put(scales, scale + MOST, INT64_MAX // max(factor, int64(1)))
    word_put(scales, scale + POWER, POWERS[decimals])
    word_put(scales, scale + PAD, POWERS[(16 if decimals > 8 else 8) - decimals])
