"""
Arithmetic of risk: notional, maintenance margin, the exact liquidation test and the threshold that indexes it.

Formulas and their sources: docs/risk.md. Reads only.
"""

from numpy import int64

from engine.core.integers import ceil_div, mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import NOTIONAL_E6_MAX, PPM, PRICE_TICKS_MAX


@kernel
def price_average_e4(notional_e6, lots, unit_e6):
    """
    Return an average price in ten-thousandths of a tick; 0 without lots.

    Rounds: half up; a figure to show, nothing is decided by it.
    """
    if lots == 0:
        return int64(0)
    return mul_div_floor(2 * notional_e6, int64(10_000), lots * unit_e6) // 2 + (
        mul_div_floor(2 * notional_e6, int64(10_000), lots * unit_e6) % 2
    )


@kernel
def tiers_reached(config):
    """
    Return how many of a market's tiers a notional can reach.

    The amounts of the others may be so large that a product with them leaves 128 bits: no formula looks at them.
    """
    count = config.tiers_count
    while count > 1 and config.tiers[count - 1].floor_e6 > NOTIONAL_E6_MAX:
        count -= 1
    return count


@kernel
def mmr_highest_ppm(config):
    """Return the maintenance rate of the highest tier that a notional can reach."""
    return config.tiers[tiers_reached(config) - 1].mmr_ppm


@kernel
def maintenance_floor_e6(config, notional_e6):
    """
    Return ⌊maintenance margin⌋ = maxₖ(⌊notional × mmrₖ⌋ − amountₖ).

    Rounds: down, and exactly right: for a whole x, x <= n·mmr ÷ 10⁶ − a holds just when x <= ⌊n·mmr ÷ 10⁶⌋ − a.
    Source: docs/risk.md#maintenance-margin
    """
    highest = int64(0)  # the first tier's amount is nothing
    for tier in range(tiers_reached(config)):
        row = config.tiers[tier]
        highest = max(highest, mul_div_floor(notional_e6, row.mmr_ppm, int64(PPM)) - row.amount_e6)
    return highest


@kernel
def maintenance_parts(config, notional_e6):
    """
    Return the exact maintenance margin as (whole micros, parts of 10⁻⁶ micro), the greatest over the tiers.

    Rounds: nothing; parts are 0 … 10⁶ − 1.
    Source: docs/risk.md#maintenance-margin
    """
    whole = int64(0)  # the first tier's amount is nothing
    parts = int64(0)
    for tier in range(tiers_reached(config)):
        row = config.tiers[tier]
        tier_whole = mul_div_floor(notional_e6, row.mmr_ppm, int64(PPM)) - row.amount_e6
        tier_parts = notional_e6 % PPM * row.mmr_ppm % PPM
        if tier_whole > whole or (tier_whole == whole and tier_parts > parts):
            whole = tier_whole
            parts = tier_parts
    return whole, parts


@kernel
def maintenance_ceil_e6(config, notional_e6):
    """
    Return ⌈maintenance margin⌉, what a whole margin must reach to be enough.

    Rounds: up, against the account, and exactly right: a whole x >= n·mmr ÷ 10⁶ − a just when x >= ⌈n·mmr ÷ 10⁶⌉ − a.
    Source: docs/risk.md#maintenance-margin
    """
    highest = int64(0)  # the first tier's amount is nothing
    for tier in range(tiers_reached(config)):
        row = config.tiers[tier]
        highest = max(highest, mul_div_ceil(notional_e6, row.mmr_ppm, int64(PPM)) - row.amount_e6)
    return highest


@kernel
def margin_initial_e6(notional_e6, leverage):
    """
    Return the margin that a notional asks for.

    Rounds: up, against the account.
    """
    return ceil_div(notional_e6, leverage)


@kernel
def liquidatable(config, lots, cost_e6, margin_e6, mark_ticks):
    """
    Return whether an isolated position's equity is at or below its maintenance margin at mark.

    Source: docs/risk.md#liquidation
    """
    value_e6 = lots * mark_ticks * config.unit_e6
    return margin_e6 + value_e6 - cost_e6 <= maintenance_floor_e6(config, abs(value_e6))


@kernel
def threshold_ticks(state, position_row):
    """
    Return the mark at which an isolated position becomes liquidatable, the exact integer; 0 when there is none.

    Units:  a long is liquidatable at or below it, a short at or above it; clamped to the window, where a threshold
            beyond it means "at every price".
    Source: docs/risk.md#liquidation-threshold
    """
    return equity_ticks(state, position_row, int64(1), int64(1))


@kernel
def call_threshold_ticks(state, position_row):
    """
    Return the mark at which an isolated position's equity is five quarters of its maintenance margin; 0: there is none.

    Units:  as `threshold_ticks`.
    Source: docs/risk.md#margin-calls
    """
    return equity_ticks(state, position_row, int64(4), int64(5))


@kernel
def equity_ticks(state, position_row, equities, maintenances):
    """Return the mark at which so many times the equity of an isolated position is so many times its maintenance."""
    position = state.positions[position_row]
    config = state.markets[int64(position.market_id) - 1].config
    lots = position.lots
    if lots == 0 or position.cross != 0:
        return int64(0)
    base = abs(lots) * config.unit_e6
    if lots > 0:
        backing_e6 = equities * (position.cost_e6 - position.margin_e6)
        threshold = int64(0)
        for tier in range(tiers_reached(config)):
            row = config.tiers[tier]
            divisor = base * (equities * PPM - maintenances * row.mmr_ppm)
            threshold = max(threshold, mul_div_floor(backing_e6 - maintenances * row.amount_e6, int64(PPM), divisor))
        return min(threshold, int64(PRICE_TICKS_MAX))
    backing_e6 = equities * (position.margin_e6 - position.cost_e6)
    threshold = int64(PRICE_TICKS_MAX + 1)
    for tier in range(tiers_reached(config)):
        row = config.tiers[tier]
        divisor = base * (equities * PPM + maintenances * row.mmr_ppm)
        threshold = min(threshold, mul_div_ceil(backing_e6 + maintenances * row.amount_e6, int64(PPM), divisor))
    return int64(0) if threshold > PRICE_TICKS_MAX else max(threshold, int64(1))


@kernel
def leverage_max(config, notional_e6):
    """Return the highest leverage that the tier of a notional allows."""
    allowed = config.tiers[0].leverage_max
    for tier in range(1, config.tiers_count):
        if notional_e6 >= config.tiers[tier].floor_e6:
            allowed = config.tiers[tier].leverage_max
    return allowed
