"""
May an operator change a market or the venue so? The parameters given are laid over those in force and judged together.

Each value alone is inside its bounds already: whoever read the instruction saw to that. Reads the state, and fills
`ask` and `merged`.
"""

from numpy import int64

from engine.core import validate
from engine.core.integers import mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from engine.core.validate import OK
from shared.codes import ACCOUNT_FIRST, ResultCode
from shared.records import (
    BALANCES_E6_MAX,
    INTEREST_UNIT_MAX,
    LOTS_UNIT_MAX,
    MARKET_PARAMETERS,
    NAME_WORDS,
    TIERS_CAPACITY,
    UNIT_E6_MAX,
    VENUE_PARAMETERS,
)

UNIT_SCALE = 10**18  # tick and lot are × 10¹², a unit × 10⁶
TICK = 1 << MARKET_PARAMETERS.index("tick")
LOT = 1 << MARKET_PARAMETERS.index("lot")
LEVERAGE_MAX = 1 << MARKET_PARAMETERS.index("leverage_max")
FEE_MAKER = 1 << MARKET_PARAMETERS.index("fee_maker_ppm")
FEE_TAKER = 1 << MARKET_PARAMETERS.index("fee_taker_ppm")
FEE_LIQUIDATION = 1 << MARKET_PARAMETERS.index("fee_liquidation_ppm")
SPREAD_MAX = 1 << MARKET_PARAMETERS.index("spread_max_ppm")
SPIKE = 1 << MARKET_PARAMETERS.index("spike_ppm")
MARK_BAND = 1 << MARKET_PARAMETERS.index("mark_band_ppm")
PRICE_BAND = 1 << MARKET_PARAMETERS.index("price_band_ppm")
PRICE_AGE_MAX = 1 << MARKET_PARAMETERS.index("price_age_max_ms")
NOTIONAL_MIN = 1 << MARKET_PARAMETERS.index("notional_min")
LIQUIDITY = 1 << MARKET_PARAMETERS.index("liquidity")
DEPTH_LEVELS = 1 << MARKET_PARAMETERS.index("depth_levels")
TAKER_DELAY = 1 << MARKET_PARAMETERS.index("taker_delay_ms")
NOTIONAL_MAX = 1 << MARKET_PARAMETERS.index("notional_max")
INTEREST_MAX = 1 << MARKET_PARAMETERS.index("open_interest_notional_max")
TIERS = 1 << MARKET_PARAMETERS.index("tiers")

STARTING_BALANCE = 1 << VENUE_PARAMETERS.index("starting_balance")
ACCOUNTS = 1 << VENUE_PARAMETERS.index("accounts_max")


@kernel
def market_settle_validate(state, command):
    """Return what a settlement price breaks, PRICE_OUT_OF_RANGE or PRICE_NOT_ON_TICK; fills ask.price_ticks."""
    ask = state.ask
    code, ask.price_ticks = validate.price_convert(
        state.markets[ask.market_row], command.price_units, command.price_e12
    )
    return code


@kernel
def market_set_validate(state, command, configs):
    """
    Return the first rule that a market's new parameters break; fills `merged`.

    Shapes: configs CONFIG[…]; the command's own is configs[command.config_first].
    Codes:  FIELD_MISSING, MARKET_IN_USE, PARAMETER_OUT_OF_RANGE.
    """
    if command.parameters == 0:
        return int64(ResultCode.FIELD_MISSING)
    config = state.markets[state.ask.market_row].config
    merged = state.merged
    config_copy(merged, config)
    config_merge(merged, configs[command.config_first], command.parameters)
    regrids = merged.tick_e12 != config.tick_e12 or merged.lot_e12 != config.lot_e12
    if regrids and market_used(state, state.ask.market_row):
        return int64(ResultCode.MARKET_IN_USE)
    unit_e6 = mul_div_floor(merged.tick_e12, merged.lot_e12, int64(UNIT_SCALE))
    whole = unit_e6 == mul_div_ceil(merged.tick_e12, merged.lot_e12, int64(UNIT_SCALE))
    if not whole or unit_e6 < 1 or unit_e6 > UNIT_E6_MAX:
        return int64(ResultCode.PARAMETER_OUT_OF_RANGE)
    merged.unit_e6 = unit_e6
    merged.order_lots_max = LOTS_UNIT_MAX // unit_e6
    merged.open_interest_lots_max = INTEREST_UNIT_MAX // unit_e6
    for tier in range(merged.tiers_count):
        if merged.tiers[tier].leverage_max > merged.leverage_max:
            return int64(ResultCode.PARAMETER_OUT_OF_RANGE)
    return int64(OK)


@kernel
def market_used(state, market_row):
    """Return whether a market has a live order, or a position with lots, the house's included."""
    first = state.market_links[market_row].position_first
    if state.positions[first].lots != 0 or state.position_links[first].market_next != ROW_NONE:
        return True
    for row in range(1, state.orders_table.top + 1):
        if state.orders[row].order_id != 0 and state.orders[row].market_id == market_row + 1:
            return True
    return False


@kernel
def config_merge(target, source, given):
    """Lay the given parameters of a configuration over another."""
    if given & TICK:
        target.tick_e12 = source.tick_e12
    if given & LOT:
        target.lot_e12 = source.lot_e12
    if given & LEVERAGE_MAX:
        target.leverage_max = source.leverage_max
    if given & FEE_MAKER:
        target.fee_maker_ppm = source.fee_maker_ppm
    if given & FEE_TAKER:
        target.fee_taker_ppm = source.fee_taker_ppm
    if given & FEE_LIQUIDATION:
        target.fee_liquidation_ppm = source.fee_liquidation_ppm
    if given & SPREAD_MAX:
        target.spread_max_ppm = source.spread_max_ppm
    if given & SPIKE:
        target.spike_ppm = source.spike_ppm
    if given & MARK_BAND:
        target.mark_band_ppm = source.mark_band_ppm
    if given & PRICE_BAND:
        target.price_band_ppm = source.price_band_ppm
    if given & PRICE_AGE_MAX:
        target.price_age_max_ms = source.price_age_max_ms
    if given & NOTIONAL_MIN:
        target.notional_min_e6 = source.notional_min_e6
    if given & LIQUIDITY:
        target.liquidity = source.liquidity
    if given & DEPTH_LEVELS:
        target.depth_levels = source.depth_levels
    if given & TAKER_DELAY:
        target.taker_delay_ms = source.taker_delay_ms
    if given & NOTIONAL_MAX:
        target.notional_max_e6 = source.notional_max_e6
    if given & INTEREST_MAX:
        target.open_interest_notional_max_e6 = source.open_interest_notional_max_e6
    if given & TIERS:
        tiers_copy(target, source)


@kernel
def config_copy(target, source):
    """Copy a market's configuration."""
    for word in range(NAME_WORDS):
        target.market[word] = source.market[word]
    target.tick_e12 = source.tick_e12
    target.lot_e12 = source.lot_e12
    target.unit_e6 = source.unit_e6
    target.leverage_max = source.leverage_max
    target.fee_maker_ppm = source.fee_maker_ppm
    target.fee_taker_ppm = source.fee_taker_ppm
    target.fee_liquidation_ppm = source.fee_liquidation_ppm
    target.spread_max_ppm = source.spread_max_ppm
    target.spike_ppm = source.spike_ppm
    target.mark_band_ppm = source.mark_band_ppm
    target.price_band_ppm = source.price_band_ppm
    target.price_age_max_ms = source.price_age_max_ms
    target.notional_min_e6 = source.notional_min_e6
    target.liquidity = source.liquidity
    target.depth_levels = source.depth_levels
    target.taker_delay_ms = source.taker_delay_ms
    target.notional_max_e6 = source.notional_max_e6
    target.open_interest_notional_max_e6 = source.open_interest_notional_max_e6
    target.order_lots_max = source.order_lots_max
    target.open_interest_lots_max = source.open_interest_lots_max
    tiers_copy(target, source)


@kernel
def tiers_copy(target, source):
    """Copy the tiers of a configuration."""
    target.tiers_count = source.tiers_count
    for tier in range(TIERS_CAPACITY):
        row = source.tiers[tier]
        target.tiers[tier].floor_e6 = row.floor_e6
        target.tiers[tier].mmr_ppm = row.mmr_ppm
        target.tiers[tier].leverage_max = row.leverage_max
        target.tiers[tier].amount_e6 = row.amount_e6


@kernel
def venue_set_validate(state, command):
    """Return FIELD_MISSING, or PARAMETER_OUT_OF_RANGE when all accounts' starting balances together leave 64 bits."""
    if command.parameters == 0:
        return int64(ResultCode.FIELD_MISSING)
    balance_e6 = state.venue.starting_balance_e6
    accounts = state.venue.accounts_max
    if command.parameters & STARTING_BALANCE:
        balance_e6 = command.starting_balance_e6
    if command.parameters & ACCOUNTS:
        accounts = command.accounts_max
    # There may be more accounts already than a lower limit lets in.
    accounts = max(accounts, state.venue.account_next - ACCOUNT_FIRST)
    if balance_e6 > (BALANCES_E6_MAX - 1) // accounts:
        return int64(ResultCode.PARAMETER_OUT_OF_RANGE)
    return int64(OK)
