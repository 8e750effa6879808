"""
Arithmetic of risk: notional, maintenance margin, the exact liquidation test and the threshold that indexes it.

Formulas and their sources: docs/risk.md. Reads only.
"""

from numpy import int64

from engine.core.integers import ceil_div, mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import PPM, PRICE_TICKS_MAX


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
def maintenance_floor_e6(config, notional_e6):
    """
    Return ⌊maintenance margin⌋ = maxₖ(⌊notional × mmrₖ⌋ − amountₖ).

    Rounds: down, and exactly right: for a whole x, x <= n·mmr ÷ 10⁶ − a holds just when x <= ⌊n·mmr ÷ 10⁶⌋ − a.
    Source: docs/risk.md#maintenance-margin
    """
    highest = int64(0)  # the first tier's amount is nothing
    for tier in range(config.tiers_count):
        row = config.tiers[tier]
        highest = max(highest, mul_div_floor(notional_e6, row.mmr_ppm, int64(PPM)) - row.amount_e6)
    return highest


@kernel
def maintenance_ceil_e6(config, notional_e6):
    """
    Return ⌈maintenance margin⌉, what a whole margin must reach to be enough.

    Rounds: up, against the account, and exactly right: a whole x >= n·mmr ÷ 10⁶ − a just when x >= ⌈n·mmr ÷ 10⁶⌉ − a.
    Source: docs/risk.md#maintenance-margin
    """
    highest = int64(0)  # the first tier's amount is nothing
    for tier in range(config.tiers_count):
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
    position = state.positions[position_row]
    config = state.markets[int64(position.market_id) - 1].config
    lots = position.lots
    if lots == 0:
        return int64(0)
    base = abs(lots) * config.unit_e6
    if lots > 0:
        backing_e6 = position.cost_e6 - position.margin_e6
        threshold = int64(0)
        for tier in range(config.tiers_count):
            row = config.tiers[tier]
            threshold = max(
                threshold, mul_div_floor(backing_e6 - row.amount_e6, int64(PPM), base * (PPM - row.mmr_ppm))
            )
        return min(threshold, int64(PRICE_TICKS_MAX))
    backing_e6 = position.margin_e6 - position.cost_e6
    threshold = int64(PRICE_TICKS_MAX + 1)
    for tier in range(config.tiers_count):
        row = config.tiers[tier]
        threshold = min(threshold, mul_div_ceil(backing_e6 + row.amount_e6, int64(PPM), base * (PPM + row.mmr_ppm)))
    return int64(0) if threshold > PRICE_TICKS_MAX else max(threshold, int64(1))


@kernel
def leverage_max(config, notional_e6):
    """Return the highest leverage that the tier of a notional allows."""
    allowed = config.tiers[0].leverage_max
    for tier in range(1, config.tiers_count):
        if notional_e6 >= config.tiers[tier].floor_e6:
            allowed = config.tiers[tier].leverage_max
    return allowed
