"""
What a random venue is founded with: markets of every mode, tight tiers, balances and tables small enough to run out.
"""

import random
from typing import Any

MARKETS: list[dict[str, Any]] = [
    {"market": "BTC_USDC_PERP", "tick": "0.1", "lot": "0.00001", "leverage_max": 50},
    {"market": "SOL_USDC_PERP", "tick": "0.01", "lot": "0.01", "leverage_max": 50},
    {"market": "ODD_USDC_PERP", "tick": "0.5", "lot": "0.1", "leverage_max": 20, "fee_maker_ppm": 333,
     "fee_taker_ppm": 777, "fee_liquidation_ppm": 12_345, "tiers": [
         {"floor": "0", "mmr_ppm": 20_000, "leverage_max": 20},
         {"floor": "2000", "mmr_ppm": 40_000, "leverage_max": 10},
         {"floor": "9000", "mmr_ppm": 90_000, "leverage_max": 5}]},
    {"market": "DUST_USDC_PERP", "tick": "0.0001", "lot": "1", "leverage_max": 8, "notional_min": "0.5"},
    {"market": "WIDE_USDC_PERP", "tick": "1", "lot": "1", "leverage_max": 20},
    {"market": "EDGE_USDC_PERP", "tick": "0.05", "lot": "0.001", "leverage_max": 20, "price_band_ppm": 200_000,
     "tiers": [{"floor": "0", "mmr_ppm": 49_000, "leverage_max": 20},
               {"floor": "50000", "mmr_ppm": 99_000, "leverage_max": 10}]},
    {"market": "TINY_USDC_PERP", "tick": "0.01", "lot": "0.1", "leverage_max": 3, "spread_max_ppm": 900_000,
     "spike_ppm": 900_000, "mark_band_ppm": 900_000, "price_band_ppm": 900_000, "notional_min": "0.01",
     "tiers": [{"floor": "0", "mmr_ppm": 100_000, "leverage_max": 3}]},
    {"market": "HIGH_USDC_PERP", "tick": "0.00001", "lot": "0.1", "leverage_max": 50},
]  # fmt: skip
# About where each market trades, in money.
PRICES = {"BTC_USDC_PERP": 64_000.0, "SOL_USDC_PERP": 150.0, "ODD_USDC_PERP": 200.0, "DUST_USDC_PERP": 0.3,
          "WIDE_USDC_PERP": 120.0, "EDGE_USDC_PERP": 40.0, "TINY_USDC_PERP": 0.04, "HIGH_USDC_PERP": 83.5,
          "PEAK_USDC_PERP": 7_000_000.0}  # fmt: skip
MODES = ("quote", "quote_sized", "book")


def genesis_body(chance: random.Random) -> dict[str, Any]:
    """Return a first configuration: some of the markets in some of the modes, and limits that may be small."""
    only = chance.choice([None, None, None, *MODES])
    chosen = [market for market in MARKETS if chance.random() < 0.35] or [chance.choice(MARKETS)]
    if len(chosen) < 3 and chance.random() < 0.6:
        chosen = [market for market in MARKETS if market in chosen or chance.random() < 0.5]
    markets = [market_drawn(chance, market, only) for market in chosen]
    body: dict[str, Any] = {
        "markets": markets,
        "starting_balance": chance.choice(["5000", "5000", "250", "40", "1000.000001", "3000000"]),
        "insurance_balance": chance.choice(["0", "10", "100000"]),
        "orders_open_max": chance.choice([3, 200, 200]),
        "triggers_open_max": chance.choice([4, 400, 400]),
        "positions_open_max": chance.choice([2, 200, 200]),
    }
    if chance.random() < 0.15:
        body["orders_max"] = chance.choice([2, 5, 12])
    if chance.random() < 0.12:
        body["positions_max"] = len(markets) + chance.choice([1, 2, 4])
    if chance.random() < 0.2:
        body["request_window_ms"] = chance.choice([5_000, 5_000, 30_000])
    if chance.random() < (0.4 if body.get("request_window_ms") == 5_000 else 0.03):
        body["requests_max"] = chance.choice([3, 8, 30])
    if chance.random() < 0.3:
        body["accounts_max"] = chance.choice([2, 4, 6])
    if chance.random() < 0.3:
        body["stp_owner"] = 1
    if chance.random() < 0.2:
        body["subaccounts_max"] = chance.choice([0, 1, 3])
    return body


def giants_body() -> dict[str, Any]:
    """Return a configuration in which accounts can reach the limits on size and on open interest."""
    market = {"market": "WIDE_USDC_PERP", "tick": "1", "lot": "1", "leverage_max": 20, "liquidity": "quote"}
    return {"markets": [market], "starting_balance": "3000000", "insurance_balance": "100000"}


def turnover_body() -> dict[str, Any]:
    """Return a configuration in which one position can turn over more money than its sums may hold."""
    market = {"market": "PEAK_USDC_PERP", "tick": "1", "lot": "1", "leverage_max": 20, "liquidity": "quote"}
    return {"markets": [market], "starting_balance": "90000000000", "accounts_max": 6}


def crowd_body(chance: random.Random, sized: bool) -> dict[str, Any]:
    """Return a configuration in which accounts may have more orders in the book than one taker can meet."""
    market = {"market": "SOL_USDC_PERP", "tick": "0.01", "lot": "0.01", "leverage_max": 50, "notional_min": "0"}
    market["liquidity"] = "quote_sized" if sized else chance.choice(MODES)
    return {"markets": [market], "starting_balance": "3000000", "orders_open_max": 1_000, "triggers_open_max": 1_000}


def market_drawn(chance: random.Random, market: dict[str, Any], only: str | None) -> dict[str, Any]:
    """Return a market's parameters with a mode of liquidity and, now and then, other rates."""
    found = {**market, "liquidity": only or chance.choice(MODES)}
    if found["liquidity"] == "quote_sized":
        found["depth_levels"] = chance.choice([1, 2, 3, 50])
    if chance.random() < 0.12:
        found["taker_delay_ms"] = chance.choice([1, 100, 300, 1_500, 6_000])
    if chance.random() < 0.15:
        found["price_band_ppm"] = chance.choice([2_000, 500_000])
    if chance.random() < 0.1:
        found["fee_maker_ppm"] = chance.choice([0, 500, 100_000])
    if chance.random() < 0.1:
        found["fee_taker_ppm"] = chance.choice([0, 1, 20_000])
    if chance.random() < 0.1:
        found["notional_min"] = chance.choice(["0", "25"])
    if chance.random() < 0.1:
        found["notional_max"] = chance.choice(["1000", "30000"])
    if chance.random() < 0.1:
        found["open_interest_notional_max"] = chance.choice(["1000", "50000"])
    return found
