"""
The shape of an instruction: which keys, which types; the first rule broken, key by key in canonical order.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.reference.parameters import GUARDS, MARKET_KEYS, VENUE_KEYS, parameter_read
from tests.reference.texts import number_read

HEX_32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,36}", re.ASCII)
REASON = re.compile(r"[ -~]{1,32}", re.ASCII)
CHOICES = {
    "side": ("buy", "sell"),
    "kind": (
        "market", "limit", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop",
    ),
    "tif": ("GTC", "IOC", "FOK", "GTD"),
    "trigger_by": ("quote", "mark", "index"),
    "stp": ("cancel_taker", "cancel_maker", "cancel_both"),
    "tpsl": ("position", "order"),
    "scope": ("opening", "all"),
    "mode": ("isolated", "cross"),
}  # fmt: skip
DECIMALS = (
    "qty", "quote_qty", "close_percent", "price", "price_trigger", "price_activation", "margin", "percent", "amount",
)  # fmt: skip
WHOLES = (
    "leverage", "slippage_bps", "order_id", "position_id", "trail_ticks", "trail_ppm", "expires_ms", "timeout_ms",
    "account_to",
)  # fmt: skip
FLAGS = ("post_only", "reduce_only")
TEXTS = {"client_order_id": CLIENT_ID, "owner": HEX_32, "reason": REASON}
TRIGGERS = ("take_profit", "stop_loss")
TERMS = (
    "price", "price_trigger", "trigger_by", "trail_ticks", "trail_ppm", "price_activation", "tif", "expires_ms",
    "post_only", "reduce_only", "position_id", "stp", "slippage_bps",
)  # fmt: skip
ORDER_KEYS = (
    "market", "side", "kind", "qty", "quote_qty", "close_percent", *TERMS, "take_profit", "stop_loss", "tpsl", "oco",
    "client_order_id",
)  # fmt: skip
LEG_KEYS = ("market", "side", "kind", "qty", *TERMS, "client_order_id")
TRADE_KEYS = (
    "market", "side", "margin", "qty", "leverage", "slippage_bps", "take_profit", "stop_loss", "client_order_id",
)  # fmt: skip
Keys = tuple[tuple[str, ...], tuple[str, ...]]
USER_OPERATIONS: dict[str, Keys] = {
    "account_open": (("owner",), ("owner",)),
    "order_place": (ORDER_KEYS, ("market", "side", "kind")),
    "order_amend": (("order_id", "client_order_id", "qty", "price", "price_trigger"), ()),
    "order_cancel": (("order_id", "client_order_id"), ()),
    "orders_cancel": (("market",), ()),
    "trade_create": (TRADE_KEYS, ("market", "side", "leverage")),
    "trade_close": (("position_id", "qty", "percent"), ("position_id",)),
    "positions_close_all": (("market",), ()),
    "position_reverse": (("position_id",), ("position_id",)),
    "position_triggers_set": (("position_id", *TRIGGERS), ("position_id",)),
    "margin_change": (("position_id", "amount"), ("position_id", "amount")),
    "leverage_set": (("market", "leverage"), ("market", "leverage")),
    "margin_mode_set": (("market", "mode"), ("market", "mode")),
    "account_guards_set": (GUARDS, ()),
    "subaccount_open": ((), ()),
    "account_transfer": (("account_to", "amount"), ("account_to", "amount")),
    "deadman_set": (("timeout_ms", "scope"), ("timeout_ms",)),
    "account_reset": ((), ()),
    "batch": (("commands",), ("commands",)),
}
OPERATOR_OPERATIONS: dict[str, Keys] = {
    "venue_set": (VENUE_KEYS, ()),
    "market_set": (("market", *MARKET_KEYS), ("market",)),
    "market_halt": (("market",), ("market",)),
    "market_resume": (("market",), ("market",)),
    "market_reduce_only": (("market",), ("market",)),
    "market_settle": (("market", "price"), ("market", "price")),
    "account_freeze": ((), ()),
    "account_unfreeze": ((), ()),
    "account_credit": (("amount", "reason"), ("amount", "reason")),
}
BATCH_EXCEPT = ("account_open", "subaccount_open", "batch", "account_reset")
BATCH_MAX = 20
Read = tuple[str | None, Any]


@dataclass
class Instruction:
    """One instruction as read: its envelope, its values, and the first shape it broke before and after the memory."""

    account_id: int
    request_id: str
    op: str
    early: str | None = None
    late: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    operator: bool = False

    @property
    def digest(self) -> tuple[Any, ...]:
        """Return what two sendings of one instruction share, however their numbers were written."""
        return (self.op, tuple(sorted((key, repr(value)) for key, value in self.values.items())))


def parsed(value: Any) -> Any:
    """Return a JSON value as the venue's parser sees it: an integer that leaves 64 bits is a float."""
    if isinstance(value, dict):
        return {key: parsed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [parsed(each) for each in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        return float(value)
    return value


def instruction_read(body: dict[str, Any], operator: bool = False) -> Instruction | None:
    """Return the instruction, or None when its envelope cannot be read."""
    body = parsed(body)
    account, request_id, op = body.get("account"), body.get("request_id"), body.get("op")
    version = body.get("v")
    if type(version) is not int or version != 1:
        return None
    if type(account) is not int or not 0 <= account < 2**31 or not isinstance(op, str):
        return None
    if not isinstance(request_id, str) or HEX_32.fullmatch(request_id) is None:
        return None
    found = Instruction(account, request_id, op, operator=operator)
    operations = USER_OPERATIONS | OPERATOR_OPERATIONS if operator else USER_OPERATIONS
    if op not in operations:
        found.early = "OP_UNKNOWN"
        return found
    rest = {key: value for key, value in body.items() if key not in ("v", "account", "request_id", "op")}
    found.early, found.late, found.values = keys_read(rest, *operations[op], reader_of(op))
    if op in ("venue_set", "market_set") and not set(rest) - {"market"}:
        found.late = found.late or "FIELD_MISSING"
    return found


def keys_read(
    rest: dict[str, Any], keys: tuple[str, ...], required: tuple[str, ...], reader: Callable[[str, Any], Read]
) -> tuple[str | None, str | None, dict[str, Any]]:
    """Return the early and the late code of an object's keys, and its values."""
    values: dict[str, Any] = {}
    late = None
    if any(key not in keys for key in rest):
        return "FIELD_UNKNOWN", None, values
    for key in keys:
        if key in rest:
            code, values[key] = reader(key, rest[key])
        else:
            code = "FIELD_MISSING" if key in required else None
        if code == "FIELD_UNKNOWN":
            return code, None, values
        late = late or code
    return None, late, values


def reader_of(op: str) -> Callable[[str, Any], Read]:
    """Return how the values of an operation are read."""
    return guard_read if op == "account_guards_set" else value_read


def guard_read(key: str, value: Any) -> Read:
    """Return the code that a guard breaks, or None, and its value; null removes it."""
    if value is None:
        return None, None
    names = {"leverage_max": "leverage", "daily_loss_max": "amount"}
    return value_read(names.get(key, key), value)


def value_read(key: str, value: Any) -> Read:
    """Return the code that a value of this key breaks, or None, and the value as the twin keeps it."""
    if key in TRIGGERS:
        return trigger_read(value)
    if key == "oco":
        return leg_read(value)
    if key == "commands":
        return commands_read(value)
    if key in VENUE_KEYS or key in MARKET_KEYS:
        return parameter_read(key, value)
    if key in DECIMALS:
        return number_read(value)
    if key in WHOLES:
        if isinstance(value, float):
            return "NUMBER_NOT_TEXT", None
        return (None, value) if type(value) is int else ("FIELD_TYPE_INVALID", None)
    if key in FLAGS:
        return (None, value) if isinstance(value, bool) else ("FIELD_TYPE_INVALID", None)
    if not isinstance(value, str):
        return "FIELD_TYPE_INVALID", None
    if key in CHOICES and value not in CHOICES[key]:
        return ("FIELD_UNKNOWN" if key == "kind" else "FIELD_VALUE_UNKNOWN"), None
    if key in TEXTS and TEXTS[key].fullmatch(value) is None:
        return "TEXT_INVALID", None
    return None, value


def trigger_read(value: Any) -> Read:
    """Return the code that an SL or TP breaks, or None, and its trigger, source and limit; None itself removes one."""
    if value is None:
        return None, None
    if not isinstance(value, dict):
        code, number = number_read(value)
        return code, (number, "quote", None)
    if any(key not in ("price_trigger", "trigger_by", "price") for key in value):
        return "FIELD_UNKNOWN", None
    if "price_trigger" not in value:
        return "FIELD_MISSING", (None, "quote", None)
    code, number = number_read(value["price_trigger"])
    source, limit = value.get("trigger_by", "quote"), None
    if code is None:
        code, _ = value_read("trigger_by", source)
    if code is None and "price" in value:
        code, limit = number_read(value["price"])
    return code, (number, source, limit)


def leg_read(value: Any) -> Read:
    """Return the code that the other leg of an OCO breaks, or None, and its own values."""
    if not isinstance(value, dict):
        return "FIELD_TYPE_INVALID", None
    early, late, values = keys_read(value, LEG_KEYS, ("kind",), value_read)
    return early or late, values


def commands_read(value: Any) -> Read:
    """Return the code that a batch breaks as a whole, or None, and its commands as instructions without envelope."""
    if not isinstance(value, list):
        return "FIELD_TYPE_INVALID", None
    if not 1 <= len(value) <= BATCH_MAX:
        return "BATCH_SIZE_INVALID", None
    return None, [command_read(each) for each in value]


def command_read(value: Any) -> Instruction:
    """Return one command of a batch."""
    if not isinstance(value, dict) or not isinstance(value.get("op"), str):
        return Instruction(0, "", "", early="FIELD_TYPE_INVALID")
    found = Instruction(0, "", value["op"])
    if found.op not in USER_OPERATIONS or found.op in BATCH_EXCEPT:
        found.early = "OP_UNKNOWN"
        return found
    rest = {key: given for key, given in value.items() if key != "op"}
    found.early, found.late, found.values = keys_read(rest, *USER_OPERATIONS[found.op], reader_of(found.op))
    return found
