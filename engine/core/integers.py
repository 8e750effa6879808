"""
Exact integer arithmetic: products that leave 64 bits, directed rounding, decimal words to grid steps.

Nothing here relies on wrap-around: with the compiler off, an overflow is an error. Divisors are positive.
"""

from numpy import int64

from engine.core.kernel import kernel

E12 = 10**12
SAFE = 2**62
SATURATED = 2**62 - 1
HALF_BITS = 31
HALF = 2**31 - 1


@kernel
def ceil_div(dividend, divisor):
    """Return dividend ÷ divisor, rounded up; divisor > 0."""
    return -((-dividend) // divisor)


@kernel
def mul_div_floor(left, right, divisor):
    """
    Return ⌊left × right ÷ divisor⌋, exact over a 128-bit product.

    Units:  left signed, |left| < 2⁶⁰; 0 <= right < 2⁶²; 0 < divisor < 2⁶⁰; the quotient fits.
    Rounds: down, towards −∞.
    """
    assert right >= 0 and divisor > 0
    if right == 0:
        return int64(0)
    if -(SAFE // right) <= left <= SAFE // right:
        return (left * right) // divisor
    # Schoolbook: ⌊left ÷ divisor⌋ × right is exact; the rest is brought in by as many bits as leave room.
    quotient = (left // divisor) * right
    rest = left - (left // divisor) * divisor
    shift = int64(0)
    while (divisor << (shift + 2)) < SAFE:
        shift += 1
    assert shift > 0
    done = int64(62)
    part = int64(0)
    carry = int64(0)
    while done > 0:
        take = min(shift, done)
        done -= take
        digit = (right >> done) & ((int64(1) << take) - 1)
        carry = (carry << take) + rest * digit
        part = (part << take) + carry // divisor
        carry = carry % divisor
    return quotient + part


@kernel
def mul_div_ceil(left, right, divisor):
    """Return ⌈left × right ÷ divisor⌉, with the bounds of `mul_div_floor`; rounds up, towards +∞."""
    return -mul_div_floor(-left, right, divisor)


@kernel
def mul_div_saturate(left, right, divisor):
    """
    Return min(⌊left × right ÷ divisor⌋, SATURATED), exact over a product of four halves; nothing overflows.

    Units:  0 <= left, right <= SATURATED; 1 <= divisor <= SATURATED.
    Rounds: down.
    """
    assert 0 <= left <= SATURATED and 0 <= right <= SATURATED and 0 < divisor <= SATURATED
    if right == 0 or left <= SATURATED // right:
        return left * right // divisor
    low = (left & HALF) * (right & HALF)
    middle = (left >> HALF_BITS) * (right & HALF) + (left & HALF) * (right >> HALF_BITS)
    low += (middle & HALF) << HALF_BITS
    # The product is rest × 2⁶² + low.
    rest = (left >> HALF_BITS) * (right >> HALF_BITS) + (middle >> HALF_BITS) + (low >> (2 * HALF_BITS))
    if rest >= divisor:
        return int64(SATURATED)
    quotient = int64(0)
    for digit in range(2 * HALF_BITS - 1, -1, -1):
        rest = 2 * rest + ((low >> digit) & 1)
        quotient *= 2
        if rest >= divisor:
            rest -= divisor
            quotient += 1
    return quotient


@kernel
def decimal_steps(units, e12, step_e12):
    """
    Return (steps, rest) of a decimal ÷ step, floored; a count beyond 10¹⁵ is returned as 10¹⁵ + 1 with rest 0.

    Units:  units and e12 as in shared.records, step_e12 in 10⁻¹², 0 < step_e12 <= 10¹⁵.
    """
    if -4_000_000 < units < 4_000_000:
        value = units * E12 + e12
        steps = value // step_e12
        return steps, value - steps * step_e12
    # Long division by three decimal digits at a time: the carry stays below step × 10³.
    negative = units < 0
    if negative:
        units, e12 = -units, -e12
    steps = int64(0)
    carry = int64(0)
    for half in range(2):
        digits = units if half == 0 else e12
        scale = int64(E12) if half == 0 else int64(E12 // 1000)
        while scale > 0:
            if steps > 10**15:
                return int64(10**15 + 1), int64(0)
            carry = carry * 1000 + (digits // scale) % 1000
            steps = steps * 1000 + carry // step_e12
            carry = carry % step_e12
            scale = scale // 1000
    if steps > 10**15:
        return int64(10**15 + 1), int64(0)
    if negative:
        return (-steps, int64(0)) if carry == 0 else (-steps - 1, step_e12 - carry)
    return steps, carry
