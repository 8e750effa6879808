"""
The wrong entries of an operator: parameters out of their bounds, markets and accounts that are not there.
"""

from collections.abc import Iterator
from typing import Any

from shared.genesis import MARKET_BOUNDS, VENUE_BOUNDS
from tests.corpus import MARKET, OPERATOR_BASES, Case, instruction
from tests.corpus_orders import written

TIER = {"floor": "0", "mmr_ppm": 6_670, "leverage_max": 50}
TIER_SECOND = {"floor": "1000000", "mmr_ppm": 10_000, "leverage_max": 40}


def operator_cases() -> Iterator[Case]:
    """Yield an operator's instructions that change nothing."""
    for base, bounds in (("venue_set", VENUE_BOUNDS), ("market_set", MARKET_BOUNDS)):
        for name, (low, high) in bounds.items():
            beyond = [(value, "PARAMETER_OUT_OF_RANGE") for value in (low - 1, high + 1, 2**63)]
            for value, code in [*beyond, *NOT_WHOLES]:
                yield Case(f"{base} {name}: {value!r}", code, instruction(base, {name: value}))
    for name, tiers, code in TIERS:
        yield Case(f"market_set tiers: {name}", code, instruction("market_set", {"tiers": tiers}))
    for base, changes, code in TABLE:
        yield Case(f"{base} {written(changes)}", code, instruction(base, changes))
    for base, body in OPERATOR_BASES.items():
        yield Case(f"{base} with a colour", "FIELD_UNKNOWN", instruction(base, {"colour": "red"}))
        yield Case(f"{base} for nobody", "ACCOUNT_UNKNOWN", instruction(base, {"account": 999}))
        if "market" in body:
            unknown = {"market": "DOGE_USDC_PERP"}
            yield Case(f"{base} of no market", "MARKET_UNKNOWN", instruction(base, unknown))
            yield Case(f"{base} without market", "FIELD_MISSING", instruction(base, {"market": ...}))
            yield Case(f"{base} market: 1", "FIELD_TYPE_INVALID", instruction(base, {"market": 1}))


NOT_WHOLES: list[tuple[Any, str]] = [
    ("5", "FIELD_TYPE_INVALID"),
    (True, "FIELD_TYPE_INVALID"),
    (None, "FIELD_TYPE_INVALID"),
    ([5], "FIELD_TYPE_INVALID"),
    (5.5, "NUMBER_NOT_TEXT"),
]
TIERS: list[tuple[str, Any, str]] = [
    ("null", None, "FIELD_TYPE_INVALID"),
    ("an object", TIER, "FIELD_TYPE_INVALID"),
    ("of numbers", [5], "FIELD_TYPE_INVALID"),
    ("of lists", [[]], "FIELD_TYPE_INVALID"),
    ("none", [], "PARAMETER_OUT_OF_RANGE"),
    ("nine", [TIER] * 9, "PARAMETER_OUT_OF_RANGE"),
    ("an empty one", [{}], "FIELD_MISSING"),
    ("without a floor", [{"mmr_ppm": 6_670, "leverage_max": 50}], "FIELD_MISSING"),
    ("with a colour", [TIER | {"colour": "red"}], "FIELD_UNKNOWN"),
    ("with an amount", [TIER | {"amount": "0"}], "FIELD_UNKNOWN"),
    ("floor a fraction", [TIER | {"floor": 0.5}], "NUMBER_NOT_TEXT"),
    ("floor a word", [TIER | {"floor": "none"}], "NUMBER_MALFORMED"),
    ("floor true", [TIER | {"floor": True}], "FIELD_TYPE_INVALID"),
    ("floor negative", [TIER | {"floor": "-1"}], "PARAMETER_OUT_OF_RANGE"),
    ("floor too fine", [TIER, TIER_SECOND | {"floor": "0.0000001"}], "PARAMETER_OUT_OF_RANGE"),
    ("rate as text", [TIER | {"mmr_ppm": "6670"}], "FIELD_TYPE_INVALID"),
    ("rate a fraction", [TIER | {"mmr_ppm": 6670.5}], "NUMBER_NOT_TEXT"),
    ("rate zero", [TIER | {"mmr_ppm": 0}], "PARAMETER_OUT_OF_RANGE"),
    ("rate beyond a half", [TIER | {"mmr_ppm": 500_001, "leverage_max": 1}], "PARAMETER_OUT_OF_RANGE"),
    ("leverage zero", [TIER | {"leverage_max": 0}], "PARAMETER_OUT_OF_RANGE"),
    ("leverage above the market's", [TIER | {"leverage_max": 51}], "PARAMETER_OUT_OF_RANGE"),
    ("no room above maintenance", [TIER | {"mmr_ppm": 20_000}], "PARAMETER_OUT_OF_RANGE"),
    ("first not from zero", [TIER | {"floor": "1"}], "PARAMETER_OUT_OF_RANGE"),
    ("second from zero", [TIER, TIER_SECOND | {"floor": "0"}], "PARAMETER_OUT_OF_RANGE"),
    ("rate not rising", [TIER, TIER_SECOND | {"mmr_ppm": 6_670}], "PARAMETER_OUT_OF_RANGE"),
    ("amount not whole", [TIER, TIER_SECOND | {"floor": "0.000001"}], "PARAMETER_OUT_OF_RANGE"),
]
TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("venue_set", {"orders_open_max": ...}, "FIELD_MISSING"),
    ("venue_set", {"insurance_balance": "5"}, "FIELD_UNKNOWN"),
    ("venue_set", {"rules": 3}, "FIELD_UNKNOWN"),
    ("venue_set", {"starting_balance": "-1"}, "PARAMETER_OUT_OF_RANGE"),
    ("venue_set", {"starting_balance": "0.0000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("venue_set", {"starting_balance": "1000000000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("venue_set", {"starting_balance": "999999999999"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"price_band_ppm": ...}, "FIELD_MISSING"),
    ("market_set", {"state": "open"}, "FIELD_UNKNOWN"),
    ("market_set", {"order_qty_max": "5"}, "FIELD_UNKNOWN"),
    ("market_set", {"tick": "0"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"tick": "-0.1"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"tick": "0.000000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"tick": "1001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"lot": "0"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"lot": "1001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"tick": "0.5"}, "MARKET_IN_USE"),
    ("market_set", {"lot": "0.0001"}, "MARKET_IN_USE"),
    ("market_set", {"lot": "0.0001", "leverage_max": 49}, "MARKET_IN_USE"),
    ("market_set", {"leverage_max": 49}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"market": "ETH_USDC_PERP", "tick": "0.00001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"market": "ETH_USDC_PERP", "lot": "1000", "tick": "1000"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"notional_min": "-1"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"notional_min": "0.0000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"notional_min": "1000000000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"liquidity": "house"}, "FIELD_VALUE_UNKNOWN"),
    ("market_set", {"liquidity": "none"}, "FIELD_VALUE_UNKNOWN"),
    ("market_set", {"liquidity": ""}, "FIELD_VALUE_UNKNOWN"),
    ("market_set", {"liquidity": 1}, "FIELD_TYPE_INVALID"),
    ("market_set", {"liquidity": None}, "FIELD_TYPE_INVALID"),
    ("settle", {"price": ...}, "FIELD_MISSING"),
    ("settle", {"price": "0"}, "PRICE_OUT_OF_RANGE"),
    ("settle", {"price": "-65000.0"}, "PRICE_OUT_OF_RANGE"),
    ("settle", {"price": "838860.8"}, "PRICE_OUT_OF_RANGE"),
    ("settle", {"price": "65000.05"}, "PRICE_NOT_ON_TICK"),
    ("freeze", {"account": 0}, "ACCOUNT_UNKNOWN"),
    ("freeze", {"account": 2}, "ACCOUNT_UNKNOWN"),
    ("freeze", {"market": MARKET}, "FIELD_UNKNOWN"),
    ("credit", {"amount": ...}, "FIELD_MISSING"),
    ("credit", {"reason": ...}, "FIELD_MISSING"),
    ("credit", {"amount": "0"}, "AMOUNT_OUT_OF_RANGE"),
    ("credit", {"amount": "0.0000001"}, "AMOUNT_OUT_OF_RANGE"),
    ("credit", {"amount": "1000000000"}, "AMOUNT_OUT_OF_RANGE"),
    ("credit", {"amount": "-1000000000"}, "AMOUNT_OUT_OF_RANGE"),
    ("credit", {"amount": "-6000"}, "MARGIN_INSUFFICIENT"),
    ("credit", {"reason": ""}, "TEXT_INVALID"),
    ("credit", {"reason": "x" * 33}, "TEXT_INVALID"),
    ("credit", {"reason": "süß"}, "TEXT_INVALID"),
    ("credit", {"reason": 1}, "FIELD_TYPE_INVALID"),
    ("credit", {"account": 3}, "ACCOUNT_UNKNOWN"),
    ("venue_set", {"account": lambda world: world.account}, "ACCOUNT_UNKNOWN"),
    ("halt", {"account": lambda world: world.account}, "ACCOUNT_UNKNOWN"),
]
