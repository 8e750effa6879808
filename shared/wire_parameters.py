"""
The keys of what an operator changes: the venue's limits and a market's configuration, each inside its own bounds; pure.

A value of a wrong type or outside its bounds is a code here; what several parameters together must keep to is the
core's to judge, because it knows the ones in force.
"""

from typing import Any

from shared import genesis
from shared import records as r
from shared.codes import ResultCode
from shared.wire_rows import AT, Row
from shared.wire_values import MARKET, OK, REASON, Key, decimal_key, decimal_read, whole_read

_TIER_KEYS = ("floor", "mmr_ppm", "leverage_max")


def _step_read(value: Any) -> tuple[ResultCode, int]:
    """Return a tick or a lot × 10¹²."""
    code, whole, e12 = decimal_read(value)
    return code, whole * 10**12 + e12


def _money_read(value: Any) -> tuple[ResultCode, int]:
    """Return an amount in micro-USDC."""
    code, whole, e12 = decimal_read(value)
    if code == OK and (e12 % 10**6 or not 0 <= whole * 10**6 + e12 // 10**6 <= genesis.MONEY_MAX_E6):
        code = ResultCode.PARAMETER_OUT_OF_RANGE
    return code, (whole * 10**6 + e12 // 10**6 if code == OK else 0)


def _whole_read(value: Any, low: int, high: int) -> tuple[ResultCode, int]:
    """Return a whole number inside its bounds."""
    code = whole_read(value)
    if code == OK and not low <= value <= high:
        code = ResultCode.PARAMETER_OUT_OF_RANGE
    return code, (value if code == OK else 0)


def _tier_read(value: Any) -> tuple[ResultCode, tuple[int, int, int]]:
    """Return floor, maintenance rate and leverage of one tier."""
    nothing = (0, 0, 0)
    if type(value) is not dict:
        return ResultCode.FIELD_TYPE_INVALID, nothing
    if not value.keys() <= set(_TIER_KEYS):
        return ResultCode.FIELD_UNKNOWN, nothing
    if any(key not in value for key in _TIER_KEYS):
        return ResultCode.FIELD_MISSING, nothing
    code_floor, floor_e6 = _money_read(value["floor"])
    code_mmr, mmr_ppm = _whole_read(value["mmr_ppm"], *genesis.MMR_PPM_BOUNDS)
    code_leverage, leverage_max = _whole_read(value["leverage_max"], *genesis.MARKET_BOUNDS["leverage_max"])
    return code_floor or code_mmr or code_leverage, (floor_e6, mmr_ppm, leverage_max)


def _tiers_put(config: Row, value: Any) -> ResultCode:
    """Store the tiers with their amounts, if they rise as they must."""
    if type(value) is not list:
        return ResultCode.FIELD_TYPE_INVALID
    if not 1 <= len(value) <= r.TIERS_CAPACITY:
        return ResultCode.PARAMETER_OUT_OF_RANGE
    tiers = []
    worst = OK
    for each in value:
        code, tier = _tier_read(each)
        if code == ResultCode.FIELD_UNKNOWN:
            return code
        worst = worst or code
        tiers.append(tier)
    if worst != OK:
        return worst
    try:
        genesis.tiers_put(config, tiers)
    except ValueError:
        return ResultCode.PARAMETER_OUT_OF_RANGE
    return OK


def parameter_put(config: Row, name: str, value: Any) -> ResultCode:
    """Store one parameter of a market in the words of its configuration."""
    if name == "tiers":
        return _tiers_put(config, value)
    if name in ("tick", "lot"):
        code, step_e12 = _step_read(value)
        if code == OK and not genesis.step_is_sound(name, step_e12):
            code = ResultCode.PARAMETER_OUT_OF_RANGE
        number, field = step_e12, name + "_e12"
    elif name in genesis.MARKET_MONEY:
        code, number = _money_read(value)
        field = name + "_e6"
    elif name == "liquidity":
        if type(value) is not str:
            return ResultCode.FIELD_TYPE_INVALID
        code = OK if value in genesis.LIQUIDITIES else ResultCode.FIELD_VALUE_UNKNOWN
        number, field = genesis.LIQUIDITIES.get(value, 0), name
    else:
        code, number = _whole_read(value, *genesis.MARKET_BOUNDS[name])
        field = name
    if code == OK:
        config[genesis.CONFIG_AT[field]] = number
    return code


def config_read(data: dict[str, Any]) -> Row:
    """Return the words of a configuration in which only the given parameters are set."""
    config = [0] * r.CONFIG_WORDS
    for name in r.MARKET_PARAMETERS:
        if name in data:
            parameter_put(config, name, data[name])
    return config


def _market_key(name: str) -> Key:
    """Return the key that checks one parameter; the values are read again by who keeps the configuration."""
    bit = 1 << r.MARKET_PARAMETERS.index(name)

    def put(row: Row, value: Any) -> ResultCode:
        row[AT["parameters"]] |= bit
        return parameter_put([0] * r.CONFIG_WORDS, name, value)

    return Key(put)


def _venue_key(name: str) -> Key:
    """Return the key of one of the venue's limits, or of the starting balance."""
    bit = 1 << r.VENUE_PARAMETERS.index(name)

    def put(row: Row, value: Any) -> ResultCode:
        row[AT["parameters"]] |= bit
        if name == "starting_balance":
            code, row[AT["starting_balance_e6"]] = _money_read(value)
        else:
            code, row[AT[name]] = _whole_read(value, *genesis.VENUE_BOUNDS[name])
        return code

    return Key(put)


VENUE_SET: dict[str, Key] = {name: _venue_key(name) for name in r.VENUE_PARAMETERS}
MARKET_SET: dict[str, Key] = {"market": MARKET, **{name: _market_key(name) for name in r.MARKET_PARAMETERS}}
ACCOUNT_CREDIT: dict[str, Key] = {"amount": decimal_key("amount"), "reason": REASON}
