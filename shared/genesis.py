"""
The first configuration of a venue: the default markets, and the genesis entry's JSON <-> configuration records; pure.

A configuration that breaks a bound is refused here as a whole, before anything is founded on it.
"""

from typing import Any

import numpy as np

from shared import records as r
from shared import units
from shared.codes import RULES_VERSION
from shared.wire_rows import PRINTABLE

LOTS_UNIT_MAX = 10**10  # lots × unit of one order and of one account in a market
INTEREST_UNIT_MAX = 9 * 10**10  # lots × unit of one market's open interest
STEP_E12_MAX = 10**15

_AT = r.word_offsets(r.COMMAND)

VENUE_DEFAULT: dict[str, Any] = {
    "starting_balance": "5000",
    "insurance_balance": "1000000",
    "request_window_ms": 120_000,
    "accounts_max": r.ACCOUNTS_MAX,
    "orders_max": r.ORDERS_MAX,
    "positions_max": r.POSITIONS_MAX,
    "requests_max": r.REQUESTS_MAX,
    "orders_open_max": 200,
    "triggers_open_max": 400,
    "positions_open_max": 200,
}

_VENUE_MAX = {
    "request_window_ms": 86_400_000,
    "accounts_max": r.ACCOUNTS_MAX,
    "orders_max": r.ORDERS_MAX,
    "positions_max": r.POSITIONS_MAX,
    "requests_max": r.REQUESTS_MAX,
    "orders_open_max": r.ORDERS_OPEN_MAX,
    "triggers_open_max": r.TRIGGERS_OPEN_MAX,
    "positions_open_max": r.POSITIONS_MAX,
}

MARKET_DEFAULT: dict[str, Any] = {
    "leverage_max": 50,
    "fee_maker_ppm": 200,
    "fee_taker_ppm": 500,
    "fee_liquidation_ppm": 10_000,
    "spread_max_ppm": 20_000,
    "spike_ppm": 100_000,
    "mark_band_ppm": 50_000,
    "price_band_ppm": 50_000,
    "price_age_max_ms": 10_000,
    "notional_min": "1",
}

_MARKETS = {
    "BTC_USDC_PERP": ("0.1", "0.00001", 50, 6_670),
    "ETH_USDC_PERP": ("0.01", "0.0001", 50, 12_500),
    "SOL_USDC_PERP": ("0.01", "0.01", 50, 13_500),
    "ADA_USDC_PERP": ("0.0001", "1", 20, 25_000),
}

MARKETS_DEFAULT: list[dict[str, Any]] = [
    {
        "market": name,
        "tick": tick,
        "lot": lot,
        **MARKET_DEFAULT,
        "leverage_max": leverage_max,
        "tiers": [{"floor": "0", "mmr_ppm": mmr_ppm, "leverage_max": leverage_max}],
    }
    for name, (tick, lot, leverage_max, mmr_ppm) in _MARKETS.items()
]


def default(venue: str, markets: list[dict[str, Any]] | None = None, **venue_set: Any) -> dict[str, Any]:
    """Return the genesis JSON of a venue; `markets` entries override the defaults key by key."""
    filled = [{**MARKET_DEFAULT, **market} for market in markets] if markets is not None else MARKETS_DEFAULT
    for market in filled:
        market.setdefault("tiers", [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": market["leverage_max"]}])
    return {
        "v": 1,
        "venue": venue,
        "rules": RULES_VERSION,
        "venue_set": {**VENUE_DEFAULT, **venue_set},
        "markets": filled,
    }


def read(row: list[int], data: dict[str, Any], configs: np.ndarray) -> None:
    """Fill a genesis command's words and the configuration rows; ValueError, KeyError or TypeError when it is unfit."""
    if _whole(data["v"], 1, 1) != 1 or data.keys() != {"v", "venue", "rules", "venue_set", "markets"}:
        raise ValueError("genesis keys")
    at = _AT["venue"]
    row[at : at + r.VENUE_WORDS] = units.words_of_text(data["venue"], r.VENUE_WORDS)
    row[_AT["rules"]] = _whole(data["rules"], 1, 10**6)
    venue_set = data["venue_set"]
    if venue_set.keys() != VENUE_DEFAULT.keys():
        raise ValueError("venue_set keys")
    for name, value in venue_set.items():
        if name.endswith("_balance"):
            row[_AT[name + "_e6"]] = _money(value)
        else:
            row[_AT[name]] = _whole(value, 1, _VENUE_MAX[name])
    balances_e6 = row[_AT["starting_balance_e6"]] * row[_AT["accounts_max"]] + row[_AT["insurance_balance_e6"]]
    if balances_e6 >= 2**60:
        raise ValueError("all starting balances together leave 64 bits")
    markets = data["markets"]
    if not 1 <= len(markets) <= r.MARKETS_CAPACITY or len({m["market"] for m in markets}) != len(markets):
        raise ValueError("one to sixteen markets, each once")
    for index, market in enumerate(markets):
        _market_read(configs[index], market)
    row[_AT["config_first"]] = 0
    row[_AT["config_count"]] = len(markets)


def _market_read(config: Any, market: dict[str, Any]) -> None:
    """Fill one configuration row and check its bounds."""
    tick_e12, lot_e12 = units.decimal_e12(market["tick"]), units.decimal_e12(market["lot"])
    unit_e18 = tick_e12 * lot_e12
    if not (0 < tick_e12 <= STEP_E12_MAX and 0 < lot_e12 <= STEP_E12_MAX) or unit_e18 % 10**18:
        raise ValueError("tick × lot must be a whole number of micro-USDC")
    if tick_e12 % 20_000:
        raise ValueError("a tick has at most eight decimals, so that averages print exactly")
    unit_e6 = unit_e18 // 10**18
    if unit_e6 > 10**6:
        raise ValueError("tick × lot too large")
    if PRINTABLE.fullmatch(market["market"]) is None:
        raise ValueError(f"not a market's name: {market['market']!r}")
    config["market"] = units.words_of_text(market["market"], r.NAME_WORDS)
    config["tick_e12"], config["lot_e12"], config["unit_e6"] = tick_e12, lot_e12, unit_e6
    config["leverage_max"] = _whole(market["leverage_max"], 1, 1000)
    for name in ("fee_maker_ppm", "fee_taker_ppm", "fee_liquidation_ppm"):
        config[name] = _whole(market[name], 0, 100_000)
    for name in ("spread_max_ppm", "spike_ppm", "mark_band_ppm", "price_band_ppm"):
        config[name] = _whole(market[name], 1, 900_000)
    config["price_age_max_ms"] = _whole(market["price_age_max_ms"], 100, 86_400_000)
    config["notional_min_e6"] = _money(market["notional_min"])
    config["order_lots_max"] = LOTS_UNIT_MAX // unit_e6
    config["open_interest_lots_max"] = INTEREST_UNIT_MAX // unit_e6
    _tiers_read(config, market["tiers"])


def _tiers_read(config: Any, tiers: list[dict[str, Any]]) -> None:
    """Fill the tiers: floors and maintenance rise, leverage leaves room above maintenance, amounts are whole."""
    if not 1 <= len(tiers) <= r.TIERS_CAPACITY:
        raise ValueError("one to eight tiers")
    floor_before, mmr_before, amount_e6 = -1, 0, 0
    for index, tier in enumerate(tiers):
        floor_e6, mmr_ppm = _money(tier["floor"]), _whole(tier["mmr_ppm"], 1, 500_000)
        leverage_max = _whole(tier["leverage_max"], 1, int(config["leverage_max"]))
        if floor_e6 <= floor_before or mmr_ppm <= mmr_before or (index == 0) != (floor_e6 == 0):
            raise ValueError("tiers must start at 0 and rise in floor and maintenance")
        if leverage_max * mmr_ppm >= units.PPM:
            raise ValueError("1 ÷ leverage must exceed the maintenance rate")
        step, rest = divmod(floor_e6 * (mmr_ppm - mmr_before), units.PPM)
        if rest:
            raise ValueError("a tier's maintenance amount must be whole micro-USDC")
        amount_e6 += step
        config["tiers"][index] = (floor_e6, mmr_ppm, leverage_max, amount_e6)
        floor_before, mmr_before = floor_e6, mmr_ppm
    config["tiers_count"] = len(tiers)


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"not a whole number from {low} to {high}: {value!r}")
    return value


def _money(text: Any) -> int:
    value_e12 = units.decimal_e12(text)
    if value_e12 < 0 or value_e12 % 10**6 or value_e12 > 10**27:
        raise ValueError(f"not an amount: {text!r}")
    return value_e12 // 10**6
