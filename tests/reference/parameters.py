"""
What an operator may set: the shapes and bounds of the venue's and a market's parameters, and what a whole must keep to.
"""

from fractions import Fraction
from typing import Any

from tests.reference.images import VENUE_PARAMETERS
from tests.reference.markets import PPM
from tests.reference.texts import number_read

VENUE_KEYS = VENUE_PARAMETERS
GUARDS = ("leverage_max", "daily_loss_max", "slippage_bps", "stp")  # what an owner may set for himself
MARKET_KEYS = (
    "tick", "lot", "leverage_max", "fee_maker_ppm", "fee_taker_ppm", "fee_liquidation_ppm", "spread_max_ppm",
    "spike_ppm", "mark_band_ppm", "price_band_ppm", "price_age_max_ms", "notional_min", "liquidity", "depth_levels",
    "taker_delay_ms", "notional_max", "open_interest_notional_max", "tiers",
)  # fmt: skip
WHOLES = {
    "request_window_ms": (5_000, 86_400_000),
    "accounts_max": (1, 131_000),
    "orders_max": (1, 1_050_000),
    "positions_max": (1, 524_000),
    "requests_max": (1, 262_000),
    "orders_open_max": (1, 1_000),
    "triggers_open_max": (1, 1_000),
    "positions_open_max": (1, 524_000),
    "subaccounts_max": (0, 100),
    "stp_owner": (0, 1),
    "leverage_max": (1, 1_000),
    "fee_maker_ppm": (0, 100_000),
    "fee_taker_ppm": (0, 100_000),
    "fee_liquidation_ppm": (0, 100_000),
    "spread_max_ppm": (1, 900_000),
    "spike_ppm": (1, 900_000),
    "mark_band_ppm": (1, 900_000),
    "price_band_ppm": (1, 900_000),
    "price_age_max_ms": (100, 86_400_000),
    "depth_levels": (1, 50),
    "taker_delay_ms": (0, 60_000),
    "mmr_ppm": (1, 500_000),
}
MONEY_MAX = 10**12  # USDC
MONEY = ("starting_balance", "notional_min", "notional_max", "open_interest_notional_max", "floor")
STEP_MAX = 1_000
TICK_GRID = Fraction(2, 10**8)  # so that halves and averages of prices print exactly
TIER_KEYS = ("floor", "mmr_ppm", "leverage_max")
OUT = "PARAMETER_OUT_OF_RANGE"
Read = tuple[str | None, Any]


def parameter_read(name: str, value: Any) -> Read:
    """Return the code that one parameter breaks by itself, or None, and its value."""
    if name in ("tick", "lot"):
        code, number = number_read(value)
        if number is not None and not 0 < number <= STEP_MAX:
            code = OUT
        if number is not None and name == "tick" and (number / TICK_GRID).denominator != 1:
            code = OUT
        return code, number
    if name in MONEY:
        code, number = number_read(value)
        if number is not None and not (0 <= number <= MONEY_MAX and (number * PPM).denominator == 1):
            code = OUT
        return code, number
    if name == "liquidity":
        if not isinstance(value, str):
            return "FIELD_TYPE_INVALID", None
        return (None if value in ("quote", "quote_sized", "book") else "FIELD_VALUE_UNKNOWN"), value
    if name == "tiers":
        return tiers_read(value)
    if isinstance(value, float):
        return "NUMBER_NOT_TEXT", None
    if type(value) is not int:
        return "FIELD_TYPE_INVALID", None
    low, high = WHOLES[name]
    return (None if low <= value <= high else OUT), value


def tiers_read(value: Any) -> Read:
    """Return the code that a list of tiers breaks, or None, and the tiers as plain objects."""
    if not isinstance(value, list):
        return "FIELD_TYPE_INVALID", None
    if not 1 <= len(value) <= 8:
        return OUT, None
    worst, tiers = None, []
    for given in value:
        code, tier = tier_read(given)
        if code == "FIELD_UNKNOWN":
            return code, None
        worst = worst or code
        tiers.append(tier)
    if worst is None and not tiers_sound(tiers):
        worst = OUT
    return worst, tiers


def tier_read(given: Any) -> Read:
    """Return the code that one tier breaks, or None, and the tier."""
    if not isinstance(given, dict):
        return "FIELD_TYPE_INVALID", None
    if any(key not in TIER_KEYS for key in given):
        return "FIELD_UNKNOWN", None
    if any(key not in given for key in TIER_KEYS):
        return "FIELD_MISSING", None
    read = {key: parameter_read(key, given[key]) for key in TIER_KEYS}
    code = next((code for code, _ in read.values() if code is not None), None)
    return code, {key: value for key, (_, value) in read.items()}


def tiers_sound(tiers: list[dict[str, Any]]) -> bool:
    """Return whether tiers begin at nothing, rise, leave room above maintenance and have whole amounts."""
    before_floor, before_rate = Fraction(-1), 0
    for index, tier in enumerate(tiers):
        floor, rate, leverage = tier["floor"], tier["mmr_ppm"], tier["leverage_max"]
        if floor <= before_floor or rate <= before_rate or (index == 0) != (floor == 0):
            return False
        if leverage * rate >= PPM or (floor * (rate - before_rate)).denominator != 1:
            return False
        before_floor, before_rate = floor, rate
    return True


def market_sound(parameters: dict[str, Any]) -> bool:
    """Return whether a whole market's parameters go together."""
    unit = Fraction(parameters["tick"]) * Fraction(parameters["lot"]) * PPM
    highest = max(int(tier["leverage_max"]) for tier in parameters["tiers"])
    return unit.denominator == 1 and 1 <= unit <= PPM and highest <= int(parameters["leverage_max"])
