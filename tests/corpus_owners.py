"""
The wrong entries of what an owner sets for himself: margin modes, guards, sub-accounts, transfers.
"""

from collections.abc import Iterator
from typing import Any

from tests.corpus import MARKET, NOT_WHOLES, Case, instruction
from tests.corpus_orders import written

OWNERS: list[tuple[str, dict[str, Any], str]] = [
    ("mode", {}, "MARGIN_MODE_IN_USE"),
    ("mode", {"market": ...}, "FIELD_MISSING"),
    ("mode", {"mode": ...}, "FIELD_MISSING"),
    ("mode", {"market": "DOGE_USDC_PERP"}, "MARKET_UNKNOWN"),
    ("mode", {"market": 1}, "FIELD_TYPE_INVALID"),
    ("mode", {"mode": 2}, "FIELD_TYPE_INVALID"),
    ("mode", {"mode": None}, "FIELD_TYPE_INVALID"),
    ("mode", {"mode": "CROSS"}, "FIELD_VALUE_UNKNOWN"),
    ("mode", {"mode": "none"}, "FIELD_VALUE_UNKNOWN"),
    ("mode", {"mode": ""}, "FIELD_VALUE_UNKNOWN"),
    ("mode", {"leverage": 5}, "FIELD_UNKNOWN"),
    ("mode", {"account": 999}, "ACCOUNT_UNKNOWN"),
    ("guards", {"leverage_max": ...}, "FIELD_MISSING"),
    ("guards", {"leverage_max": 0}, "LEVERAGE_OUT_OF_RANGE"),
    ("guards", {"leverage_max": 1_001}, "LEVERAGE_OUT_OF_RANGE"),
    ("guards", {"leverage_max": -1}, "LEVERAGE_OUT_OF_RANGE"),
    ("guards", {"leverage_max": 2**63}, "LEVERAGE_OUT_OF_RANGE"),
    ("guards", {"daily_loss_max": "0"}, "AMOUNT_OUT_OF_RANGE"),
    ("guards", {"daily_loss_max": "-0.5"}, "AMOUNT_OUT_OF_RANGE"),
    ("guards", {"daily_loss_max": "-5"}, "AMOUNT_OUT_OF_RANGE"),
    ("guards", {"daily_loss_max": "0.0000001"}, "AMOUNT_OUT_OF_RANGE"),
    ("guards", {"daily_loss_max": "1000000000"}, "AMOUNT_OUT_OF_RANGE"),
    ("guards", {"slippage_bps": 10_001}, "SLIPPAGE_OUT_OF_RANGE"),
    ("guards", {"slippage_bps": -1}, "SLIPPAGE_OUT_OF_RANGE"),
    ("guards", {"leverage_max": 0, "daily_loss_max": "0"}, "LEVERAGE_OUT_OF_RANGE"),
    ("guards", {"leverage_max": None, "daily_loss_max": "0", "slippage_bps": -1}, "AMOUNT_OUT_OF_RANGE"),
    ("guards", {"stp": "cancel_none"}, "FIELD_VALUE_UNKNOWN"),
    ("guards", {"stp": 1}, "FIELD_TYPE_INVALID"),
    ("guards", {"market": MARKET}, "FIELD_UNKNOWN"),
    ("guards", {"loss_most": "5"}, "FIELD_UNKNOWN"),
    ("sub", {"owner": "0" * 32}, "FIELD_UNKNOWN"),
    ("sub", {"account": 0}, "ACCOUNT_UNKNOWN"),
    ("transfer", {}, "ACCOUNT_TARGET_UNKNOWN"),
    ("transfer", {"account_to": lambda world: world.account + 1}, "ACCOUNT_TARGET_UNKNOWN"),
    ("transfer", {"account_to": 3}, "ACCOUNT_TARGET_UNKNOWN"),
    ("transfer", {"account_to": ...}, "FIELD_MISSING"),
    ("transfer", {"amount": ...}, "FIELD_MISSING"),
    ("transfer", {"amount": "0"}, "AMOUNT_OUT_OF_RANGE"),
    ("transfer", {"amount": "-5"}, "AMOUNT_OUT_OF_RANGE"),
    ("transfer", {"amount": "0.0000001"}, "AMOUNT_OUT_OF_RANGE"),
    ("transfer", {"amount": "1000000000"}, "AMOUNT_OUT_OF_RANGE"),
    ("transfer", {"reason": "rent"}, "FIELD_UNKNOWN"),
    ("market_set", {"notional_max": "-1"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"notional_max": "1000000000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"open_interest_notional_max": "0.0000001"}, "PARAMETER_OUT_OF_RANGE"),
    ("market_set", {"open_interest_notional_max": None}, "FIELD_TYPE_INVALID"),
]


def owner_cases() -> Iterator[Case]:
    """Yield settings of an owner and movements of his money that cannot be."""
    for base, changes, code in OWNERS:
        yield Case(f"{base} {written(changes)}", code, instruction(base, changes))
    for key in ("leverage_max", "slippage_bps"):
        for name, value, code in NOT_WHOLES:
            if value is not None:
                yield Case(f"guards {key}: {name}", code, instruction("guards", {key: value}))
    for base in ("mode", "guards", "sub", "transfer"):
        yield Case(f"{base} with a colour", "FIELD_UNKNOWN", instruction(base, {"colour": "red"}))
