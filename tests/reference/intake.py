"""
The shape of an instruction: which keys, which types; the first rule broken, key by key in canonical order.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.reference.texts import decimal_read

HEX_32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,36}", re.ASCII)
CHOICES = {
    "side": ("buy", "sell"),
    "kind": ("market", "limit"),
    "tif": ("GTC", "IOC", "FOK"),
    "trigger_by": ("quote", "mark", "index"),
}
DECIMALS = ("qty", "price", "margin", "percent")
WHOLES = ("leverage", "slippage_bps", "order_id", "position_id")
TRIGGERS = ("take_profit", "stop_loss")
ORDER_KEYS = (
    "market", "side", "kind", "qty", "price", "tif", "post_only", "slippage_bps", "take_profit", "stop_loss",
    "client_order_id",
)  # fmt: skip
TRADE_KEYS = (
    "market", "side", "margin", "qty", "leverage", "slippage_bps", "take_profit", "stop_loss", "client_order_id",
)  # fmt: skip
OPERATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "account_open": (("owner",), ("owner",)),
    "order_place": (ORDER_KEYS, ("market", "side", "kind", "qty")),
    "order_cancel": (("order_id", "client_order_id"), ()),
    "orders_cancel": (("market",), ()),
    "trade_create": (TRADE_KEYS, ("market", "side", "leverage")),
    "trade_close": (("position_id", "qty", "percent"), ("position_id",)),
    "position_triggers_set": (("position_id", *TRIGGERS), ("position_id",)),
}


@dataclass
class Instruction:
    """One instruction as read: its envelope, its values, and the first shape it broke before and after the memory."""

    account_id: int
    request_id: str
    op: str
    early: str | None = None
    late: str | None = None
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> tuple[Any, ...]:
        """Return what two sendings of one instruction share, however their numbers were written."""
        return (self.op, tuple(sorted((key, repr(value)) for key, value in self.values.items())))


def instruction_read(body: dict[str, Any]) -> Instruction | None:
    """Return the instruction, or None when its envelope cannot be read."""
    account, request_id, op = body.get("account"), body.get("request_id"), body.get("op")
    if body.get("v") != 1 or type(account) is not int or not 0 <= account < 2**31 or not isinstance(op, str):
        return None
    if not isinstance(request_id, str) or HEX_32.fullmatch(request_id) is None:
        return None
    found = Instruction(account, request_id, op)
    if op not in OPERATIONS:
        found.early = "OP_UNKNOWN"
        return found
    keys, required = OPERATIONS[op]
    rest = {key: value for key, value in body.items() if key not in ("v", "account", "request_id", "op")}
    if any(key not in keys for key in rest):
        found.early = "FIELD_UNKNOWN"
        return found
    for key in keys:
        if key in rest:
            code, found.values[key] = value_read(key, rest[key])
        else:
            code = "FIELD_MISSING" if key in required else None
        if code == "FIELD_UNKNOWN":
            found.early = code
            return found
        found.late = found.late or code
    return found


def value_read(key: str, value: Any) -> tuple[str | None, Any]:
    """Return the code that a value of this key breaks, or None, and the value as the twin keeps it."""
    if key in TRIGGERS:
        return trigger_read(value)
    if key in DECIMALS:
        return number_read(value)
    if key in WHOLES:
        if isinstance(value, float):
            return "NUMBER_NOT_TEXT", None
        return (None, value) if type(value) is int else ("FIELD_TYPE_INVALID", None)
    if key == "post_only":
        return (None, value) if isinstance(value, bool) else ("FIELD_TYPE_INVALID", None)
    if not isinstance(value, str):
        return "FIELD_TYPE_INVALID", None
    if key in CHOICES and value not in CHOICES[key]:
        return ("FIELD_UNKNOWN" if key == "kind" else "FIELD_VALUE_UNKNOWN"), None
    pattern = {"client_order_id": CLIENT_ID, "owner": HEX_32}.get(key)
    if pattern is not None and pattern.fullmatch(value) is None:
        return "TEXT_INVALID", None
    return None, value


def number_read(value: Any) -> tuple[str | None, Fraction | None]:
    """Return the code that a decimal breaks, or None, and its exact value."""
    if isinstance(value, float):
        return "NUMBER_NOT_TEXT", None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "FIELD_TYPE_INVALID", None
    number = decimal_read(value)
    return (None if number is not None else "NUMBER_MALFORMED"), number


def trigger_read(value: Any) -> tuple[str | None, tuple[Fraction | None, str] | None]:
    """Return the code that an SL or TP breaks, or None, and its price and source; None itself removes one."""
    if value is None:
        return None, None
    if not isinstance(value, dict):
        code, number = number_read(value)
        return code, (number, "quote")
    if any(key not in ("price_trigger", "trigger_by") for key in value):
        return "FIELD_UNKNOWN", None
    if "price_trigger" not in value:
        return "FIELD_MISSING", None
    code, number = number_read(value["price_trigger"])
    source = value.get("trigger_by", "quote")
    if code is None:
        code, _ = value_read("trigger_by", source)
    return code, (number, source)
