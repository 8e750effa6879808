"""
The bodies of requests as msgspec structs, and the one reader that turns JSON bytes into canonical fields or a refusal.

A struct's fields stand in wire.md's order, so they are the canonical order of the instruction too. Here only shape is
checked (known keys, JSON types, the words of an enumeration), because the engine's answer names a code but no key;
what a number means is the engine's business alone.
"""

import re
from enum import IntEnum, StrEnum
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.errors import GatewayCode, Refusal
from shared.codes import OrderKind, ResultCode, Side, Tif, TriggerBy
from shared.units import decimal_parse

INTEGER_MAX = 2**63 - 1
TEXT_LENGTH_MAX = 64
# The rule that a whole number too large for any record breaks.
_BEYOND = {
    "leverage": ResultCode.LEVERAGE_OUT_OF_RANGE,
    "slippage_bps": ResultCode.SLIPPAGE_OUT_OF_RANGE,
    "order_id": ResultCode.ORDER_UNKNOWN,
    "position_id": ResultCode.POSITION_UNKNOWN,
}
_TEXT = re.compile(r"[\x20-\x7e]{1,64}", re.ASCII)


class Shape(StrEnum):
    """How a value looks in JSON."""

    DECIMAL = "decimal"
    INTEGER = "integer"
    FLAG = "flag"
    TEXT = "text"
    SIDE = "side"
    KIND = "kind"
    TIF = "tif"
    TRIGGER_BY = "trigger_by"
    TRIGGER = "trigger"
    TRIGGER_OR_NULL = "trigger_or_null"


def _meta(shape: Shape, description: str) -> Meta:
    """Return the annotation that carries a shape and, for the API description, its meaning."""
    return Meta(description=description, extra={"shape": shape})


DecimalText = Annotated[str | int, _meta(Shape.DECIMAL, 'decimal text such as "1.5"; a JSON integer is taken too')]
Integer = Annotated[int, _meta(Shape.INTEGER, "whole number")]
Flag = Annotated[bool, _meta(Shape.FLAG, "true or false")]
Text = Annotated[str, _meta(Shape.TEXT, "1 to 64 printable ASCII characters")]
SideText = Annotated[str, _meta(Shape.SIDE, "buy or sell")]
KindText = Annotated[str, _meta(Shape.KIND, "market (default) or limit")]
TifText = Annotated[str, _meta(Shape.TIF, "GTC, IOC or FOK")]
TriggerByText = Annotated[str, _meta(Shape.TRIGGER_BY, "quote (default), mark or index")]


class Trigger(Struct, forbid_unknown_fields=True):
    """A take-profit or stop-loss; a bare decimal text means its price_trigger."""

    price_trigger: DecimalText
    trigger_by: TriggerByText | UnsetType = UNSET


TriggerValue = Annotated[Trigger | str | int, _meta(Shape.TRIGGER, "decimal text, or an object with price_trigger")]
TriggerChange = Annotated[
    Trigger | str | int | None, _meta(Shape.TRIGGER_OR_NULL, "as in an order; null removes it, leaving it out keeps it")
]


class OrderPlace(Struct, forbid_unknown_fields=True):
    """POST /api/v1/trade/order: an order on the net position."""

    market: Text
    side: SideText
    qty: DecimalText
    kind: KindText = "market"
    price: DecimalText | UnsetType = UNSET
    tif: TifText | UnsetType = UNSET
    post_only: Flag | UnsetType = UNSET
    slippage_bps: Integer | UnsetType = UNSET
    take_profit: TriggerValue | UnsetType = UNSET
    stop_loss: TriggerValue | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


class OrderCancel(Struct, forbid_unknown_fields=True):
    """DELETE /api/v1/trade/order/{id}: the address is the body."""

    order_id: Integer | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


class OrdersCancel(Struct, forbid_unknown_fields=True):
    """DELETE /api/v1/trade/orders?market=: all, or those of one market."""

    market: Text | UnsetType = UNSET


class TradeCreate(Struct, forbid_unknown_fields=True):
    """POST /api/v1/trade/create: a ticket position of its own."""

    market: Text
    side: SideText
    leverage: Integer
    margin: DecimalText | UnsetType = UNSET
    qty: DecimalText | UnsetType = UNSET
    slippage_bps: Integer | UnsetType = UNSET
    take_profit: TriggerValue | UnsetType = UNSET
    stop_loss: TriggerValue | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


class TradeClose(Struct, forbid_unknown_fields=True):
    """POST /api/v1/trade/close: a ticket or net position, all, by quantity or by percent."""

    position_id: Integer
    qty: DecimalText | UnsetType = UNSET
    percent: DecimalText | UnsetType = UNSET


class TriggersSet(Struct, forbid_unknown_fields=True):
    """PUT /api/v1/trade/triggers: set, replace or remove a position's take-profit and stop-loss."""

    position_id: Integer
    take_profit: TriggerChange | UnsetType = UNSET
    stop_loss: TriggerChange | UnsetType = UNSET


class AccountOpen(Struct, forbid_unknown_fields=True):
    """The operation of a first sign-in; no route takes it from outside."""

    owner: Text


class SignIn(Struct, forbid_unknown_fields=True):
    """POST /api/v1/auth."""

    email: Annotated[str, _meta(Shape.TEXT, "where the link is sent")]


class Verify(Struct, forbid_unknown_fields=True):
    """POST /api/v1/auth/verify."""

    token: Annotated[str, _meta(Shape.TEXT, "the token of the link")]


class Operation(NamedTuple):
    """One operation of the log: its name, its struct, its keys in canonical order, keys of which one is needed."""

    op: str
    schema: type[Struct]
    keys: tuple[str, ...]
    one_of: tuple[str, ...] = ()


_ENDING_KEYS = ("slippage_bps", "take_profit", "stop_loss", "client_order_id")
_ORDER_PLACE_KEYS = ("market", "side", "kind", "qty", "price", "tif", "post_only", *_ENDING_KEYS)
_TRADE_CREATE_KEYS = ("market", "side", "margin", "qty", "leverage", *_ENDING_KEYS)

ORDER_PLACE = Operation(
    "order_place",
    OrderPlace,
    _ORDER_PLACE_KEYS,
)
ORDER_CANCEL = Operation("order_cancel", OrderCancel, ("order_id", "client_order_id"), ("order_id", "client_order_id"))
ORDERS_CANCEL = Operation("orders_cancel", OrdersCancel, ("market",))
TRADE_CREATE = Operation(
    "trade_create",
    TradeCreate,
    _TRADE_CREATE_KEYS,
    ("margin", "qty"),
)
TRADE_CLOSE = Operation("trade_close", TradeClose, ("position_id", "qty", "percent"))
TRIGGERS_SET = Operation("position_triggers_set", TriggersSet, ("position_id", "take_profit", "stop_loss"))
ACCOUNT_OPEN = Operation("account_open", AccountOpen, ("owner",))
OPERATIONS = (ORDER_PLACE, ORDER_CANCEL, ORDERS_CANCEL, TRADE_CREATE, TRADE_CLOSE, TRIGGERS_SET, ACCOUNT_OPEN)
# These create an order under the caller's own name, so that name is the request's identity when no key is given.
OPS_NAMED = frozenset({"order_place", "trade_create"})


class Field(NamedTuple):
    """One key of a body."""

    name: str
    shape: Shape
    required: bool


@cache
def schema_fields(schema: type[Struct]) -> dict[str, Field]:
    """Return the keys of a struct with their shapes, in the order of the struct."""
    hints = get_type_hints(schema, include_extras=True)
    fields = {}
    for field in msgspec.structs.fields(schema):
        shape = _shape_of(hints[field.name])
        fields[field.name] = Field(field.name, shape, field.required)
    return fields


def _shape_of(hint: Any) -> Shape:
    """Return the shape that an annotation carries, directly or in a union with UnsetType."""
    for candidate in (hint, *get_args(hint)):
        for extra in getattr(candidate, "__metadata__", ()):
            if isinstance(extra, Meta) and extra.extra:
                return Shape(extra.extra["shape"])
    raise TypeError(f"{hint} has no shape")


def body_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in `data`; raises Refusal(BODY_MALFORMED) with the place where reading stopped."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(GatewayCode.BODY_MALFORMED, {"reason": str(error)[:200]}) from None
    if not isinstance(value, dict):
        raise Refusal(GatewayCode.BODY_MALFORMED, {"reason": "the body is not an object"})
    return value


def body_read(schema: type[Struct], body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a body, checked and in canonical form; raises Refusal with the key's name."""
    fields = schema_fields(schema)
    for name in body:
        if name not in fields:
            raise Refusal(ResultCode.FIELD_UNKNOWN.name, {"field": name[:64], "known": list(fields)})
    values: dict[str, Any] = {}
    for field in fields.values():
        if field.name in body:
            values[field.name] = value_read(field.name, field.shape, body[field.name])
        elif field.required:
            raise Refusal(ResultCode.FIELD_MISSING.name, {"field": field.name})
    return values


def operation_read(operation: Operation, body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an operation in wire.md's order, defaults included."""
    values = body_read(operation.schema, body)
    if operation.op == ORDER_PLACE.op:
        values.setdefault("kind", "market")
    if operation.one_of:
        given = [name for name in operation.one_of if name in values]
        if len(given) != 1:
            code = ResultCode.FIELDS_EXCLUSIVE if given else ResultCode.FIELD_MISSING
            raise Refusal(code.name, {"fields": list(operation.one_of)})
    return {name: values[name] for name in operation.keys if name in values}


def value_read(name: str, shape: Shape, value: Any) -> Any:
    """Return one value in canonical form; raises Refusal naming the key."""
    match shape:
        case Shape.DECIMAL:
            return decimal_read(name, value)
        case Shape.INTEGER:
            return integer_read(name, value)
        case Shape.FLAG:
            if not isinstance(value, bool):
                raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "true or false"})
            return value
        case Shape.TEXT:
            return text_read(name, value)
        case Shape.TRIGGER:
            return trigger_read(name, value)
        case Shape.TRIGGER_OR_NULL:
            return None if value is None else trigger_read(name, value)
        case _:
            return word_read(name, shape, value)


def decimal_read(name: str, value: Any) -> str:
    """Return a decimal as text; integers are taken, fractions of JSON are not."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "decimal text"})
    if isinstance(value, float):
        raise Refusal(ResultCode.NUMBER_NOT_TEXT.name, {"field": name})
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        # No reader of JSON must keep such a number exact, so it is none.
        raise Refusal(ResultCode.NUMBER_NOT_TEXT.name, {"field": name})
    text = str(value)
    if len(text) > TEXT_LENGTH_MAX or decimal_parse(text) is None:
        raise Refusal(ResultCode.NUMBER_MALFORMED.name, {"field": name})
    return text


def integer_read(name: str, value: Any) -> int:
    """Return a whole number of at most 64 bits; a larger one is refused by the rule that its key would break."""
    if isinstance(value, float):
        raise Refusal(ResultCode.NUMBER_NOT_TEXT.name, {"field": name})
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "whole number"})
    if abs(value) > INTEGER_MAX:
        raise Refusal(_BEYOND[name].name, {"field": name})
    return value


def text_read(name: str, value: Any) -> str:
    """Return a text of printable ASCII."""
    if not isinstance(value, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "text"})
    if _TEXT.fullmatch(value) is None:
        code = ResultCode.MARKET_UNKNOWN if name == "market" else ResultCode.TEXT_INVALID
        raise Refusal(code.name, {"field": name, "expected": "1 to 64 printable ASCII characters"})
    return value


_LOWER: dict[Shape, tuple[type[IntEnum], tuple[str, ...]]] = {
    Shape.SIDE: (Side, ("buy", "sell")),
    Shape.KIND: (OrderKind, ("market", "limit")),
    Shape.TRIGGER_BY: (TriggerBy, ("quote", "mark", "index")),
    Shape.TIF: (Tif, ("GTC", "IOC", "FOK")),
}


def word_read(name: str, shape: Shape, value: Any) -> str:
    """Return one of the words that an enumeration allows from outside."""
    codes, words = _LOWER[shape]
    assert all(word.upper() in codes.__members__ for word in words)
    if not isinstance(value, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "text"})
    if value not in words:
        raise Refusal(ResultCode.FIELD_VALUE_UNKNOWN.name, {"field": name, "allowed": list(words)})
    return value


def trigger_read(name: str, value: Any) -> Any:
    """Return a trigger as it was meant: decimal text, or an object in canonical order."""
    if isinstance(value, dict):
        try:
            return body_read(Trigger, value)
        except Refusal as refusal:
            inner = refusal.detail.get("field", "")
            raise Refusal(refusal.code, refusal.detail | {"field": f"{name}.{inner}"}) from None
    return decimal_read(name, value)
