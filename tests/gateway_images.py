"""Whole events as the engine writes them, for stand-ins that state only what a test is about."""

from typing import Any

_TIERS = [{"floor": "0.000000", "mmr_ppm": 10_000, "leverage_max": 50, "amount": "0.000000"}]
_TERMS = {
    "fee_maker_ppm": 200,
    "fee_taker_ppm": 500,
    "fee_liquidation_ppm": 10_000,
    "spread_max_ppm": 20_000,
    "spike_ppm": 100_000,
    "mark_band_ppm": 50_000,
    "price_band_ppm": 50_000,
    "price_age_max_ms": 10_000,
    "notional_min": "1.000000",
    "liquidity": "quote",
    "depth_levels": 50,
    "taker_delay_ms": 0,
    "notional_max": "0.000000",
    "open_interest_notional_max": "0.000000",
    "order_qty_max": "100.00000",
    "open_interest_max": "1000.00000",
}

# Operation -> the event in which it is told.
SETTINGS = {
    "leverage_set": "account_market_changed",
    "margin_mode_set": "account_market_changed",
    "account_guards_set": "account_guards_changed",
}


def market_changed(market: str, **stated: Any) -> dict[str, Any]:
    """Return a market's configuration."""
    event = {"e": "market_changed", "market": market, "id": 1, "tick": "0.1", "lot": "0.00001", "state": "open"}
    return event | {"leverage_max": 50, **_TERMS, "tiers": _TIERS} | stated


def fill(account: int, market: str, number: int, **stated: Any) -> dict[str, Any]:
    """Return an execution that bought 0.001 at 60 000; order, position and fill have one number."""
    event = {"e": "fill", "account": account, "market": market, "order_id": number, "position_id": number}
    event |= {"fill_id": number, "side": "buy", "maker": False, "price": "60000.0", "qty": "0.00100"}
    return event | {"notional": "60.000000", "fee": "0.030000", "pnl_realised": "0.000000"} | stated


def position_changed(account: int, market: str, number: int, **stated: Any) -> dict[str, Any]:
    """Return a position of 0.001 from 60 000 on."""
    event = {"e": "position_changed", "account": account, "market": market, "position_id": number, "kind": "ticket"}
    event |= {"qty": "0.00100", "leverage": 10, "price_entry": "60000.00000", "cost": "60.000000"}
    event |= {"margin": "6.000000", "pnl_realised": "0.000000", "fees": "0.030000", "funding": "0.000000"}
    return event | {"opened_us": 1_763_700_000_000_000} | stated


def order_changed(account: int, market: str, number: int, **stated: Any) -> dict[str, Any]:
    """Return a resting limit order."""
    event = {"e": "order_changed", "account": account, "market": market, "order_id": number, "side": "buy"}
    event |= {"kind": "limit", "tif": "GTC", "status": "resting", "qty": "0.00100", "qty_filled": "0.00000"}
    event |= {"price": "50000.0", "post_only": False, "reduce_only": False, "reserved": "5.025000"}
    return event | {"placed_us": 1_763_700_000_000_000} | stated


def closed_order(account: int, market: str, number: int, **stated: Any) -> dict[str, Any]:
    """Return a market order that was filled whole."""
    event = {"e": "closed_order", "account": account, "market": market, "order_id": number, "side": "buy"}
    event |= {"kind": "market", "tif": "IOC", "reason": "filled", "qty": "0.00100", "qty_filled": "0.00100"}
    event |= {"price": "63000.0", "price_average": "60000.00000", "fee": "0.030000", "pnl_realised": "0.000000"}
    return event | {"placed_us": 1_763_700_000_000_000, "closed_us": 1_763_700_000_000_000} | stated
