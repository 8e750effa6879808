"""
The first configuration of a venue: the default markets, and the genesis entry's JSON <-> configuration records; pure.

A configuration that breaks a bound is refused here as a whole, before anything is founded on it.
"""

from typing import Any

from shared import records as r
from shared import units
from shared.codes import Liquidity
from shared.rules import RULES_VERSION
from shared.wire_rows import PRINTABLE, Row

STEP_E12_MAX = 10**15  # of a tick and of a lot
TICK_E12_GRID = 20_000  # a tick has at most eight decimals, so that averages and halves print exactly
MONEY_MAX_E6 = 10**18  # of any amount that a configuration states

_AT = r.word_offsets(r.COMMAND)
CONFIG_AT = r.word_offsets(r.CONFIG)

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
    "subaccounts_max": 10,
    "stp_owner": 0,
}
VENUE_NEWER = {"subaccounts_max", "stp_owner"}  # a genesis of earlier rules says nothing of them

# Lowest and highest of each whole number that a venue states.
VENUE_BOUNDS = {
    "request_window_ms": (5_000, 86_400_000),  # as long as an instruction may be late, or it could run twice
    "accounts_max": (1, r.ACCOUNTS_MAX),
    "orders_max": (1, r.ORDERS_MAX),
    "positions_max": (1, r.POSITIONS_MAX),
    "requests_max": (1, r.REQUESTS_MAX),
    "orders_open_max": (1, r.ORDERS_OPEN_MAX),
    "triggers_open_max": (1, r.TRIGGERS_OPEN_MAX),
    "positions_open_max": (1, r.POSITIONS_MAX),
    "subaccounts_max": (0, 100),
    "stp_owner": (0, 1),
}

# Lowest and highest of each whole number that a market states.
MARKET_BOUNDS = {
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
}
# What a market states in money.
MARKET_MONEY = ("notional_min", "notional_max", "open_interest_notional_max")
MMR_PPM_BOUNDS = (1, 500_000)
LIQUIDITIES = {liquidity.name.lower(): int(liquidity) for liquidity in Liquidity if liquidity}

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
    "liquidity": "quote",
    "depth_levels": 50,
    "taker_delay_ms": 0,
    "notional_max": "0",
    "open_interest_notional_max": "0",
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


def read(row: Row, data: dict[str, Any]) -> list[Row]:
    """Fill a genesis command's words, return the markets' configurations; ValueError, KeyError or TypeError: unfit."""
    if _whole(data["v"], 1, 1) != 1 or data.keys() != {"v", "venue", "rules", "venue_set", "markets"}:
        raise ValueError("genesis keys")
    at = _AT["venue"]
    row[at : at + r.VENUE_WORDS] = units.words_of_text(data["venue"], r.VENUE_WORDS)
    row[_AT["rules"]] = _whole(data["rules"], 1, 10**6)
    venue_set = data["venue_set"]
    if not VENUE_DEFAULT.keys() - VENUE_NEWER <= venue_set.keys() <= VENUE_DEFAULT.keys():
        raise ValueError("venue_set keys")
    for name, value in {**VENUE_DEFAULT, **venue_set}.items():
        if name.endswith("_balance"):
            row[_AT[name + "_e6"]] = _money(value)
        else:
            row[_AT[name]] = _whole(value, *VENUE_BOUNDS[name])
    balances_e6 = row[_AT["starting_balance_e6"]] * row[_AT["accounts_max"]] + row[_AT["insurance_balance_e6"]]
    if balances_e6 >= r.BALANCES_E6_MAX:
        raise ValueError("all starting balances together leave 64 bits")
    markets = data["markets"]
    if not 1 <= len(markets) <= r.MARKETS_CAPACITY or len({m["market"] for m in markets}) != len(markets):
        raise ValueError("one to sixteen markets, each once")
    row[_AT["config_count"]] = len(markets)
    return [market_words(market) for market in markets]


def market_words(market: dict[str, Any]) -> Row:
    """Return a market's configuration as the words of its row, every bound checked."""
    words = [0] * r.CONFIG_WORDS
    tick_e12, lot_e12 = units.decimal_e12(market["tick"]), units.decimal_e12(market["lot"])
    unit_e18 = tick_e12 * lot_e12
    if not (step_is_sound("tick", tick_e12) and step_is_sound("lot", lot_e12)):
        raise ValueError("tick and lot are positive, and a tick has at most eight decimals")
    if unit_e18 % 10**18 or unit_e18 // 10**18 > r.UNIT_E6_MAX:
        raise ValueError("tick × lot must be a whole number of micro-USDC, and not more than one USDC")
    if PRINTABLE.fullmatch(market["market"]) is None:
        raise ValueError(f"not a market's name: {market['market']!r}")
    words[: r.NAME_WORDS] = units.words_of_text(market["market"], r.NAME_WORDS)
    values = {
        "tick_e12": tick_e12,
        "lot_e12": lot_e12,
        "unit_e6": unit_e18 // 10**18,
        "notional_min_e6": _money(market["notional_min"]),
        # What came with later rules, a genesis of the first ones does not say.
        "notional_max_e6": _money(market.get("notional_max", "0")),
        "open_interest_notional_max_e6": _money(market.get("open_interest_notional_max", "0")),
        "liquidity": LIQUIDITIES[market.get("liquidity", "quote")],
        "order_lots_max": r.LOTS_UNIT_MAX * 10**18 // unit_e18,
        "open_interest_lots_max": r.INTEREST_UNIT_MAX * 10**18 // unit_e18,
    }
    for name, bounds in MARKET_BOUNDS.items():
        values[name] = _whole(market.get(name, MARKET_DEFAULT[name]), *bounds)
    for name, value in values.items():
        words[CONFIG_AT[name]] = value
    tiers = [(_money(tier["floor"]), tier["mmr_ppm"], tier["leverage_max"]) for tier in market["tiers"]]
    for _floor_e6, _mmr_ppm, leverage_max in tiers:
        _whole(leverage_max, 1, values["leverage_max"])
    tiers_put(words, tiers)
    return words


def step_is_sound(name: str, step_e12: int) -> bool:
    """Return whether a tick or a lot is inside its own bounds."""
    return 0 < step_e12 <= STEP_E12_MAX and (name != "tick" or step_e12 % TICK_E12_GRID == 0)


def tiers_put(words: Row, tiers: list[tuple[int, int, int]]) -> None:
    """
    Store tiers given as (floor_e6, mmr_ppm, leverage_max); raises ValueError.

    Floors and maintenance rise, leverage leaves room above maintenance, amounts are whole.
    """
    if not 1 <= len(tiers) <= r.TIERS_CAPACITY:
        raise ValueError("one to eight tiers")
    floor_before, mmr_before, amount_e6 = -1, 0, 0
    for index, (floor_e6, mmr_ppm, leverage_max) in enumerate(tiers):
        _whole(mmr_ppm, *MMR_PPM_BOUNDS)
        _whole(leverage_max, *MARKET_BOUNDS["leverage_max"])
        if floor_e6 <= floor_before or mmr_ppm <= mmr_before or (index == 0) != (floor_e6 == 0):
            raise ValueError("tiers must start at 0 and rise in floor and maintenance")
        if leverage_max * mmr_ppm >= units.PPM:
            raise ValueError("1 ÷ leverage must exceed the maintenance rate")
        step, rest = divmod(floor_e6 * (mmr_ppm - mmr_before), units.PPM)
        if rest:
            raise ValueError("a tier's maintenance amount must be whole micro-USDC")
        amount_e6 += step
        at = CONFIG_AT["tiers"] + index * (r.TIER.itemsize // 8)
        words[at : at + 4] = [floor_e6, mmr_ppm, leverage_max, amount_e6]
        floor_before, mmr_before = floor_e6, mmr_ppm
    words[CONFIG_AT["tiers_count"]] = len(tiers)


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"not a whole number from {low} to {high}: {value!r}")
    return value


def _money(text: Any) -> int:
    value_e12 = units.decimal_e12(text)
    if value_e12 % 10**6 or not 0 <= value_e12 // 10**6 <= MONEY_MAX_E6:
        raise ValueError(f"not an amount: {text!r}")
    return value_e12 // 10**6
