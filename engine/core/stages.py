"""
How much of a liquidatable position is closed: down to a tier that makes it healthy, else the whole.

Source: docs/risk.md#liquidation-in-stages
"""

from numpy import int64

from engine.core import cross, fees, margin, tables
from engine.core.integers import mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel


@kernel
def stage_lots(state, position_row):
    """
    Return how many lots of a liquidatable position are closed now; reads only.

    The tiers below its own are tried from the highest down: what is kept has the greatest notional that is still
    inside, all at mark.
    Writes: pool.
    """
    position = state.positions[position_row]
    market = state.markets[int64(position.market_id) - 1]
    config = market.config
    lots = abs(position.lots)
    price_e6 = market.mark_ticks * config.unit_e6
    tier = config.tiers_count - 1
    while config.tiers[tier].floor_e6 > lots * price_e6:
        tier -= 1
    while tier > 0:
        kept_lots = (config.tiers[tier].floor_e6 - 1) // price_e6
        if kept_lots == 0:
            return lots
        if position.cross != 0:
            healthy = cross_healthy(state, position_row, lots - kept_lots)
        else:
            healthy = isolated_healthy(state, position_row, lots - kept_lots)
        if healthy:
            return lots - kept_lots
        tier -= 1
    return lots


@kernel
def cost_part_e6(position, lots):
    """
    Return the share of a position's signed cost that falls to so many of its lots.

    Rounds: up, against the account.
    """
    return mul_div_ceil(position.cost_e6, lots, abs(position.lots))


@kernel
def value_part_e6(position, market, lots):
    """Return what so many lots of a position are worth at mark, signed as the position is."""
    value_e6 = lots * market.mark_ticks * market.config.unit_e6
    return value_e6 if position.lots > 0 else -value_e6


@kernel
def kept_signed_lots(position, lots):
    """Return the signed lots that closing so many of a position leaves."""
    return position.lots - lots if position.lots > 0 else position.lots + lots


@kernel
def isolated_healthy(state, position_row, lots):
    """Return whether closing lots of an isolated position at mark costs no margin beyond theirs and leaves it sound."""
    position = state.positions[position_row]
    market = state.markets[int64(position.market_id) - 1]
    released_e6 = mul_div_floor(position.margin_e6, lots, abs(position.lots))
    cost_e6 = cost_part_e6(position, lots)
    if released_e6 + value_part_e6(position, market, lots) - cost_e6 < 0:
        return False
    return not margin.liquidatable(
        market.config,
        kept_signed_lots(position, lots),
        position.cost_e6 - cost_e6,
        position.margin_e6 - released_e6,
        market.mark_ticks,
    )


@kernel
def cross_healthy(state, position_row, lots):
    """
    Return whether closing lots of a cross position at mark, the liquidation fee paid, leaves its account sound.

    That the fee takes no more than the equity is no question here: an account of which it takes all is not sound.
    Writes: pool.
    """
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    market = state.markets[market_row]
    account_row = tables.account_row(int64(position.account_id))
    cost_e6 = cost_part_e6(position, lots)
    value_e6 = value_part_e6(position, market, lots)
    cash_e6 = cross.cash_e6(state, account_row) + value_e6 - cost_e6
    fee_e6 = fees.fee_e6(abs(value_e6), market.config.fee_liquidation_ppm)
    cross.pool_sum(state, account_row, market_row, kept_signed_lots(position, lots), position.cost_e6 - cost_e6)
    return cross.health_e6(state.pool, cash_e6 - fee_e6) >= 1
