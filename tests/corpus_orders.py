"""
The wrong entries of users beyond plain orders: every order kind, OCO, amend, and what changes an account.
"""

from collections.abc import Iterator
from typing import Any

from tests.corpus import MARKET, Case, World, instruction

TICKS_BEYOND = 2**23
MS_2100 = 4_102_444_800_000
STOP_LEG: dict[str, Any] = {"kind": "stop_market", "price_trigger": "64000.0"}


def now_ms(world: World) -> int:
    """Return the present, which no order can expire at."""
    return world.ts_us // 1_000


ORDERS: list[tuple[str, dict[str, Any], str]] = [
    ("stop", {"price_trigger": ...}, "FIELD_MISSING"),
    ("stop", {"qty": ...}, "FIELD_MISSING"),
    ("stop", {"tif": "GTD"}, "FIELD_MISSING"),
    ("stop_limit", {"price": ...}, "FIELD_MISSING"),
    ("stop_limit", {"price_trigger": ...}, "FIELD_MISSING"),
    ("stop_limit", {"tif": "GTD"}, "FIELD_MISSING"),
    ("take", {"price_trigger": ...}, "FIELD_MISSING"),
    ("take", {"kind": "take_profit_limit"}, "FIELD_MISSING"),
    ("trail", {"trail_ticks": ...}, "FIELD_MISSING"),
    ("quote", {"quote_qty": ...}, "FIELD_MISSING"),
    ("reduce", {"close_percent": ...}, "FIELD_MISSING"),
    ("stop", {"quote_qty": "100"}, "FIELDS_EXCLUSIVE"),
    ("stop", {"qty": ..., "quote_qty": "100"}, "FIELDS_EXCLUSIVE"),
    ("stop", {"qty": ..., "close_percent": "50"}, "FIELDS_EXCLUSIVE"),
    ("stop", {"tif": "GTC"}, "FIELDS_EXCLUSIVE"),
    ("stop", {"post_only": True}, "FIELDS_EXCLUSIVE"),
    ("stop", {"trail_ticks": 5}, "FIELDS_EXCLUSIVE"),
    ("stop", {"trail_ppm": 5}, "FIELDS_EXCLUSIVE"),
    ("stop", {"price_activation": "65000.0"}, "FIELDS_EXCLUSIVE"),
    ("stop", {"expires_ms": MS_2100}, "FIELDS_EXCLUSIVE"),
    ("stop", {"position_id": 1}, "FIELDS_EXCLUSIVE"),
    ("stop", {"tpsl": "order"}, "FIELDS_EXCLUSIVE"),
    ("stop", {"reduce_only": True, "stop_loss": "60000.0"}, "FIELDS_EXCLUSIVE"),
    ("stop_limit", {"slippage_bps": 5}, "FIELDS_EXCLUSIVE"),
    ("stop_limit", {"tif": "IOC", "post_only": True}, "FIELDS_EXCLUSIVE"),
    ("trail", {"trail_ppm": 100}, "FIELDS_EXCLUSIVE"),
    ("trail", {"price_trigger": "66000.0"}, "FIELDS_EXCLUSIVE"),
    ("trail", {"tif": "GTC"}, "FIELDS_EXCLUSIVE"),
    ("trail", {"post_only": True}, "FIELDS_EXCLUSIVE"),
    ("market", {"price_trigger": "66000.0"}, "FIELDS_EXCLUSIVE"),
    ("market", {"trigger_by": "mark"}, "FIELDS_EXCLUSIVE"),
    ("market", {"tif": "GTD", "expires_ms": MS_2100}, "FIELDS_EXCLUSIVE"),
    ("market", {"close_percent": "50"}, "FIELDS_EXCLUSIVE"),
    ("limit", {"price_trigger": "66000.0"}, "FIELDS_EXCLUSIVE"),
    ("limit", {"trigger_by": "quote"}, "FIELDS_EXCLUSIVE"),
    ("limit", {"quote_qty": "100"}, "FIELDS_EXCLUSIVE"),
    ("limit", {"qty": ..., "quote_qty": "100"}, "FIELDS_EXCLUSIVE"),
    ("limit", {"slippage_bps": 5}, "FIELDS_EXCLUSIVE"),
    ("limit", {"trail_ticks": 5}, "FIELDS_EXCLUSIVE"),
    ("limit", {"price_activation": "64000.0"}, "FIELDS_EXCLUSIVE"),
    ("limit", {"reduce_only": True}, "FIELDS_EXCLUSIVE"),
    ("limit", {"position_id": 1}, "FIELDS_EXCLUSIVE"),
    ("limit", {"tpsl": "order", "take_profit": ..., "stop_loss": ...}, "FIELDS_EXCLUSIVE"),
    ("reduce", {"reduce_only": False}, "FIELDS_EXCLUSIVE"),
    ("reduce", {"reduce_only": ...}, "FIELDS_EXCLUSIVE"),
    ("reduce", {"qty": "0.001"}, "FIELDS_EXCLUSIVE"),
    ("quote", {"qty": "0.001"}, "FIELDS_EXCLUSIVE"),
    ("quote", {"quote_qty": "0"}, "AMOUNT_OUT_OF_RANGE"),
    ("quote", {"quote_qty": "-5"}, "AMOUNT_OUT_OF_RANGE"),
    ("quote", {"quote_qty": "1000000000"}, "AMOUNT_OUT_OF_RANGE"),
    ("quote", {"quote_qty": "5.0000001"}, "AMOUNT_OUT_OF_RANGE"),
    ("quote", {"quote_qty": "0.1"}, "QTY_OUT_OF_RANGE"),
    ("quote", {"quote_qty": "0.7"}, "NOTIONAL_BELOW_MIN"),
    ("quote", {"quote_qty": "900000"}, "MARGIN_INSUFFICIENT"),
    ("reduce", {"close_percent": "0"}, "PERCENT_OUT_OF_RANGE"),
    ("reduce", {"close_percent": "101"}, "PERCENT_OUT_OF_RANGE"),
    ("reduce", {"close_percent": "-50"}, "PERCENT_OUT_OF_RANGE"),
    ("reduce", {"close_percent": "33.3"}, "PERCENT_OUT_OF_RANGE"),
    ("reduce", {}, "REDUCE_ONLY_WOULD_INCREASE"),
    ("reduce", {"close_percent": ..., "qty": "0.001"}, "REDUCE_ONLY_WOULD_INCREASE"),
    ("reduce_named", {"side": "buy"}, "REDUCE_ONLY_WOULD_INCREASE"),
    ("reduce_named", {"position_id": lambda world: world.other_position_id}, "POSITION_UNKNOWN"),
    ("stop", {"reduce_only": True}, "REDUCE_ONLY_WOULD_INCREASE"),
    ("stop", {"price_trigger": "0"}, "PRICE_OUT_OF_RANGE"),
    ("stop", {"price_trigger": "-66000.0"}, "PRICE_OUT_OF_RANGE"),
    ("stop", {"price_trigger": "838860.8"}, "PRICE_OUT_OF_RANGE"),
    ("stop", {"price_trigger": "66000.05"}, "PRICE_NOT_ON_TICK"),
    ("stop", {"price_trigger": "64000.0"}, "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
    ("stop", {"price_trigger": "65000.1"}, "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
    ("stop", {"price_trigger": "65000.0", "trigger_by": "mark"}, "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
    ("stop", {"price": "66000.05"}, "PRICE_NOT_ON_TICK"),
    ("stop", {"price": "0"}, "PRICE_OUT_OF_RANGE"),
    ("stop", {"qty": "0.00001"}, "NOTIONAL_BELOW_MIN"),
    ("stop", {"qty": "0.000001"}, "QTY_NOT_ON_LOT"),
    ("stop", {"qty": "999999999999999"}, "ORDER_ABOVE_MAX"),
    ("stop", {"slippage_bps": 10_001}, "SLIPPAGE_OUT_OF_RANGE"),
    ("stop", {"take_profit": "65500.0"}, "TRIGGER_WRONG_SIDE"),
    ("stop", {"stop_loss": "66500.0"}, "TRIGGER_WRONG_SIDE"),
    ("stop", {"client_order_id": "mine-1"}, "CLIENT_ORDER_ID_TAKEN"),
    ("stop_limit", {"price": "0"}, "PRICE_OUT_OF_RANGE"),
    ("stop_limit", {"price_trigger": "64000.0"}, "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
    ("take", {"price_trigger": "64000.0"}, "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
    ("trail", {"trail_ticks": 0}, "TRAIL_OUT_OF_RANGE"),
    ("trail", {"trail_ticks": TICKS_BEYOND}, "TRAIL_OUT_OF_RANGE"),
    ("trail", {"trail_ticks": ..., "trail_ppm": 0}, "TRAIL_OUT_OF_RANGE"),
    ("trail", {"trail_ticks": ..., "trail_ppm": 1_000_000}, "TRAIL_OUT_OF_RANGE"),
    ("trail", {"price_activation": "0"}, "PRICE_OUT_OF_RANGE"),
    ("trail", {"price_activation": "66000.05"}, "PRICE_NOT_ON_TICK"),
    ("trail", {"market": "ETH_USDC_PERP"}, "PRICE_STALE"),
    ("limit", {"tif": "GTD", "expires_ms": 0}, "EXPIRY_IN_PAST"),
    ("limit", {"tif": "GTD", "expires_ms": 1_577_836_800_000}, "EXPIRY_IN_PAST"),
    ("limit", {"tif": "GTD", "expires_ms": now_ms}, "EXPIRY_IN_PAST"),
    ("limit", {"tif": "GTD", "expires_ms": MS_2100 + 1}, "EXPIRY_IN_PAST"),
    ("limit", {"tif": "GTD", "expires_ms": -1}, "EXPIRY_IN_PAST"),
    ("limit", {"tif": "GTD", "expires_ms": 2**63}, "EXPIRY_IN_PAST"),
]


def order_cases() -> Iterator[Case]:
    """Yield orders whose keys do not fit their kind, or whose values no venue can use."""
    for base, changes, code in ORDERS:
        yield Case(f"{base} {written(changes)}", code, instruction(base, changes))
    for value in (1, 0, "true", None, []):
        wrong = instruction("reduce", {"reduce_only": value})
        yield Case(f"reduce_only: {value!r}", "FIELD_TYPE_INVALID", wrong)
    for base, key in (("stop", "trigger_by"), ("stop", "stp"), ("limit", "tpsl"), ("deadman", "scope")):
        for value, code in (("last", "FIELD_VALUE_UNKNOWN"), ("", "FIELD_VALUE_UNKNOWN"), (1, "FIELD_TYPE_INVALID"),
                            (None, "FIELD_TYPE_INVALID"), ("NONE", "FIELD_VALUE_UNKNOWN")):  # fmt: skip
            yield Case(f"{base} {key}: {value!r}", code, instruction(base, {key: value}))


def written(changes: dict[str, Any]) -> str:
    """Return changes as a name shows them."""
    texts = {key: getattr(value, "__name__", value) for key, value in changes.items()}
    return ", ".join(f"{key}={'left out' if value is ... else value}" for key, value in texts.items())


def oco_cases() -> Iterator[Case]:
    """Yield pairs whose legs are wrong by themselves or do not fit together."""
    legs: list[tuple[Any, str]] = [
        (None, "FIELD_TYPE_INVALID"),
        ("stop_market", "FIELD_TYPE_INVALID"),
        ([STOP_LEG], "FIELD_TYPE_INVALID"),
        ({}, "FIELD_MISSING"),
        ({"price_trigger": "64000.0"}, "FIELD_MISSING"),
        ({"kind": "stop_market"}, "FIELD_MISSING"),
        ({"kind": "stop_limit", "price_trigger": "64000.0"}, "FIELD_MISSING"),
        ({"kind": "trailing_stop"}, "FIELD_MISSING"),
        (STOP_LEG | {"tif": "GTD"}, "FIELD_MISSING"),
        (STOP_LEG | {"colour": "red"}, "FIELD_UNKNOWN"),
        (STOP_LEG | {"take_profit": "60000.0"}, "FIELD_UNKNOWN"),
        (STOP_LEG | {"oco": STOP_LEG}, "FIELD_UNKNOWN"),
        (STOP_LEG | {"kind": "liquidation"}, "FIELD_UNKNOWN"),
        (STOP_LEG | {"kind": 1}, "FIELD_TYPE_INVALID"),
        (STOP_LEG | {"qty": 0.5}, "NUMBER_NOT_TEXT"),
        (STOP_LEG | {"price_trigger": "64k"}, "NUMBER_MALFORMED"),
        (STOP_LEG | {"side": "SELL"}, "FIELD_VALUE_UNKNOWN"),
        (STOP_LEG | {"market": 1}, "FIELD_TYPE_INVALID"),
        (STOP_LEG | {"client_order_id": "a b"}, "TEXT_INVALID"),
        ({"kind": "market"}, "FIELDS_EXCLUSIVE"),
        ({"kind": "limit", "price": "67000.0"}, "FIELDS_EXCLUSIVE"),
        (STOP_LEG | {"tif": "GTC"}, "FIELDS_EXCLUSIVE"),
        (STOP_LEG | {"trail_ticks": 5}, "FIELDS_EXCLUSIVE"),
        (STOP_LEG | {"post_only": True}, "FIELDS_EXCLUSIVE"),
        (STOP_LEG | {"price_trigger": "0"}, "PRICE_OUT_OF_RANGE"),
        (STOP_LEG | {"price_trigger": "64000.05"}, "PRICE_NOT_ON_TICK"),
        (STOP_LEG | {"slippage_bps": 10_001}, "SLIPPAGE_OUT_OF_RANGE"),
        ({"kind": "trailing_stop", "trail_ticks": 0}, "TRAIL_OUT_OF_RANGE"),
        (STOP_LEG | {"tif": "GTD", "expires_ms": 1}, "EXPIRY_IN_PAST"),
        (STOP_LEG | {"qty": "0.002"}, "OCO_LEGS_DIFFER"),
        (STOP_LEG | {"side": "buy"}, "OCO_LEGS_DIFFER"),
        (STOP_LEG | {"market": "ETH_USDC_PERP"}, "OCO_LEGS_DIFFER"),
        (STOP_LEG | {"client_order_id": "fresh-2"}, "CLIENT_ORDER_ID_TAKEN"),
        (STOP_LEG | {"client_order_id": "mine-1"}, "CLIENT_ORDER_ID_TAKEN"),
        (STOP_LEG | {"price_trigger": "66000.0"}, "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
    ]
    for leg, code in legs:
        yield Case(f"oco leg {leg}", code, instruction("oco", {"oco": leg}))
    firsts: list[tuple[dict[str, Any], str]] = [
        ({"take_profit": "60000.0"}, "FIELDS_EXCLUSIVE"),
        ({"stop_loss": "70000.0"}, "FIELDS_EXCLUSIVE"),
        ({"tif": "IOC"}, "FIELDS_EXCLUSIVE"),
        ({"tif": "FOK"}, "FIELDS_EXCLUSIVE"),
        ({"kind": "market", "price": ...}, "FIELDS_EXCLUSIVE"),
        ({"qty": "0"}, "QTY_OUT_OF_RANGE"),
        ({"price": "64000.0"}, "OCO_LEG_WOULD_TAKE"),
    ]
    for changes, code in firsts:
        yield Case(f"oco {written(changes)}", code, instruction("oco", changes))


def account_cases() -> Iterator[Case]:
    """Yield amendments and changes of margin, leverage, switch and account that cannot be made."""
    table: list[tuple[str, dict[str, Any], str]] = [
        ("amend", {"order_id": ...}, "FIELD_MISSING"),
        ("amend", {"qty": ...}, "FIELD_MISSING"),
        ("amend", {"client_order_id": "mine-1"}, "FIELDS_EXCLUSIVE"),
        ("amend", {"order_id": lambda world: world.other_order_id}, "ORDER_UNKNOWN"),
        ("amend", {"order_id": ..., "client_order_id": "nobody"}, "ORDER_UNKNOWN"),
        ("amend", {"price_trigger": "66000.0"}, "FIELDS_EXCLUSIVE"),
        ("amend", {"qty": "0"}, "QTY_OUT_OF_RANGE"),
        ("amend", {"qty": "-0.001"}, "QTY_OUT_OF_RANGE"),
        ("amend", {"qty": "0.000001"}, "QTY_NOT_ON_LOT"),
        ("amend", {"qty": "999999999999999"}, "ORDER_ABOVE_MAX"),
        ("amend", {"qty": "0.00001", "price": "63999.0"}, "NOTIONAL_BELOW_MIN"),
        ("amend", {"qty": "5"}, "MARGIN_INSUFFICIENT"),
        ("amend", {"price": "0"}, "PRICE_OUT_OF_RANGE"),
        ("amend", {"price": "63999.05"}, "PRICE_NOT_ON_TICK"),
        ("amend", {"price": "69000.0"}, "PRICE_OUTSIDE_BAND"),
        ("amend", {"colour": "red"}, "FIELD_UNKNOWN"),
        ("amend", {"tif": "IOC"}, "FIELD_UNKNOWN"),
        ("reverse", {}, "POSITION_NOT_NET"),
        ("reverse", {"position_id": ...}, "FIELD_MISSING"),
        ("reverse", {"position_id": lambda world: world.other_position_id}, "POSITION_UNKNOWN"),
        ("reverse", {"qty": "1"}, "FIELD_UNKNOWN"),
        ("margin", {"amount": ...}, "FIELD_MISSING"),
        ("margin", {"position_id": ...}, "FIELD_MISSING"),
        ("margin", {"position_id": lambda world: world.other_position_id}, "POSITION_UNKNOWN"),
        ("margin", {"amount": "0"}, "AMOUNT_OUT_OF_RANGE"),
        ("margin", {"amount": "0.0000001"}, "AMOUNT_OUT_OF_RANGE"),
        ("margin", {"amount": "1000000000"}, "AMOUNT_OUT_OF_RANGE"),
        ("margin", {"amount": "-1000000000"}, "AMOUNT_OUT_OF_RANGE"),
        ("margin", {"amount": "6000"}, "MARGIN_INSUFFICIENT"),
        ("margin", {"amount": "-1"}, "MARGIN_BELOW_REQUIRED"),
        ("margin", {"amount": "-5000"}, "MARGIN_BELOW_REQUIRED"),
        ("leverage", {"market": ...}, "FIELD_MISSING"),
        ("leverage", {"leverage": ...}, "FIELD_MISSING"),
        ("leverage", {"leverage": 0}, "LEVERAGE_OUT_OF_RANGE"),
        ("leverage", {"leverage": 51}, "LEVERAGE_OUT_OF_RANGE"),
        ("leverage", {"market": "DOGE_USDC_PERP"}, "MARKET_UNKNOWN"),
        ("leverage", {"market": "ETH_USDC_PERP"}, "PRICE_STALE"),
        ("leverage", {"mode": "cross"}, "FIELD_UNKNOWN"),
        ("deadman", {"timeout_ms": ...}, "FIELD_MISSING"),
        ("deadman", {"timeout_ms": 1}, "TIMEOUT_OUT_OF_RANGE"),
        ("deadman", {"timeout_ms": 4_999}, "TIMEOUT_OUT_OF_RANGE"),
        ("deadman", {"timeout_ms": 86_400_001}, "TIMEOUT_OUT_OF_RANGE"),
        ("deadman", {"market": MARKET}, "FIELD_UNKNOWN"),
        ("close_all", {"market": "DOGE_USDC_PERP"}, "MARKET_UNKNOWN"),
        ("close_all", {"market": 1}, "FIELD_TYPE_INVALID"),
        ("close_all", {"qty": "1"}, "FIELD_UNKNOWN"),
        ("reset", {"market": MARKET}, "FIELD_UNKNOWN"),
        ("batch", {"commands": ...}, "FIELD_MISSING"),
        ("batch", {"commands": None}, "FIELD_TYPE_INVALID"),
        ("batch", {"commands": {}}, "FIELD_TYPE_INVALID"),
        ("batch", {"commands": "orders_cancel"}, "FIELD_TYPE_INVALID"),
        ("batch", {"commands": []}, "BATCH_SIZE_INVALID"),
        ("batch", {"commands": [{"op": "orders_cancel"}] * 21}, "BATCH_SIZE_INVALID"),
        ("batch", {"commands": [None] * 5_000}, "BATCH_SIZE_INVALID"),
        ("batch", {"market": MARKET}, "FIELD_UNKNOWN"),
        ("batch", {"account": 999}, "ACCOUNT_UNKNOWN"),
    ]
    for base, changes, code in table:
        yield Case(f"{base} {written(changes)[:60]}", code, instruction(base, changes))
