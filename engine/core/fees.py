"""Maker, taker and liquidation fee of one fill; rounded up, against the account."""

from numpy import int64

from engine.core.integers import mul_div_ceil
from engine.core.kernel import kernel
from engine.core.limits import PPM


@kernel
def fee_e6(notional_e6, rate_ppm):
    """
    Return the fee of one fill.

    Rounds: up, against the account: the venue may gain 10⁻⁶, never lose it.
    Source: docs/risk.md#fees
    """
    return mul_div_ceil(notional_e6, rate_ppm, int64(PPM))


@kernel
def fee_liquidation_e6(notional_e6, rate_ppm, left_e6):
    """Return the fee of a forced close: at most what the margin and the result leave, never below zero."""
    return min(fee_e6(notional_e6, rate_ppm), max(int64(0), left_e6))
