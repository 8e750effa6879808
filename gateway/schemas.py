"""
The operations and the one reader that turns JSON bytes into their canonical fields or a refusal.

Here only shape is checked (known keys, JSON types, the words of an enumeration), because the engine's answer names a
code but no key; what a number means is the engine's business alone.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from gateway import bodies
from gateway.errors import GatewayCode, Refusal
from gateway.shapes import Shape, decimal_read, plain_read
from shared.codes import ResultCode
from shared.records import BATCH_MAX


class Operation(NamedTuple):
    """One operation of the log: its name, its struct, keys of which exactly one is needed."""

    op: str
    schema: type[Struct]
    one_of: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys in canonical order."""
        return self.schema.__struct_fields__


ORDER_PLACE = Operation("order_place", bodies.OrderPlace, ("qty", "quote_qty", "close_percent"))
ORDER_AMEND = Operation("order_amend", bodies.OrderAmend, ("order_id", "client_order_id"))
ORDER_CANCEL = Operation("order_cancel", bodies.OrderCancel, ("order_id", "client_order_id"))
ORDERS_CANCEL = Operation("orders_cancel", bodies.OrdersCancel)
TRADE_CREATE = Operation("trade_create", bodies.TradeCreate, ("margin", "qty"))
TRADE_CLOSE = Operation("trade_close", bodies.TradeClose)
POSITIONS_CLOSE_ALL = Operation("positions_close_all", bodies.PositionsCloseAll)
POSITION_REVERSE = Operation("position_reverse", bodies.PositionReverse)
TRIGGERS_SET = Operation("position_triggers_set", bodies.TriggersSet)
MARGIN_CHANGE = Operation("margin_change", bodies.MarginChange)
LEVERAGE_SET = Operation("leverage_set", bodies.LeverageSet)
MARGIN_MODE_SET = Operation("margin_mode_set", bodies.MarginModeSet)
DEADMAN_SET = Operation("deadman_set", bodies.DeadmanSet)
ACCOUNT_RESET = Operation("account_reset", bodies.AccountReset)
ACCOUNT_GUARDS_SET = Operation("account_guards_set", bodies.AccountGuardsSet)
SUBACCOUNT_OPEN = Operation("subaccount_open", bodies.SubaccountOpen)
ACCOUNT_TRANSFER = Operation("account_transfer", bodies.AccountTransfer)
BATCH = Operation("batch", bodies.Batch)
ACCOUNT_OPEN = Operation("account_open", bodies.AccountOpen)
OPERATIONS_OF_BATCH = (
    ORDER_PLACE,
    ORDER_AMEND,
    ORDER_CANCEL,
    ORDERS_CANCEL,
    TRADE_CREATE,
    TRADE_CLOSE,
    POSITIONS_CLOSE_ALL,
    POSITION_REVERSE,
    TRIGGERS_SET,
    MARGIN_CHANGE,
    LEVERAGE_SET,
    MARGIN_MODE_SET,
    DEADMAN_SET,
    ACCOUNT_GUARDS_SET,
    ACCOUNT_TRANSFER,
)
OPERATIONS_OF_PREVIEW = (ORDER_PLACE, TRADE_CREATE, TRADE_CLOSE, POSITION_REVERSE, MARGIN_CHANGE)
OPERATIONS_SIZED = (ORDER_PLACE, TRADE_CREATE)  # of these, those that may state a size in place of a quantity
OPERATIONS = (*OPERATIONS_OF_BATCH, ACCOUNT_RESET, SUBACCOUNT_OPEN, BATCH, ACCOUNT_OPEN)
_BY_OP = {operation.op: operation for operation in OPERATIONS_OF_BATCH}
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
    if operation is ACCOUNT_GUARDS_SET and not values:
        raise Refusal(ResultCode.FIELD_MISSING.name, {"fields": list(operation.keys)})
    if operation.one_of:
        given = [name for name in operation.one_of if name in values]
        if len(given) != 1:
            code = ResultCode.FIELDS_EXCLUSIVE if given else ResultCode.FIELD_MISSING
            raise Refusal(code.name, {"fields": list(operation.one_of)})
    return {name: values[name] for name in operation.keys if name in values}


def value_read(name: str, shape: Shape, value: Any) -> Any:
    """Return one value in canonical form; raises Refusal naming the key."""
    match shape:
        case Shape.TRIGGER:
            return trigger_read(name, value)
        case Shape.TRIGGER_OR_NULL:
            return None if value is None else trigger_read(name, value)
        case Shape.LEG:
            if not isinstance(value, dict):
                raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "an object"})
            return inner_read(name, partial(body_read, bodies.Leg, value))
        case Shape.COMMANDS:
            return commands_read(name, value)
        case _:
            return plain_read(name, shape, value)


def inner_read(name: str, read: Callable[[], Any]) -> Any:
    """Return what a value inside another reads as; a refusal names the way to its key."""
    try:
        return read()
    except Refusal as refusal:
        inner = refusal.detail.get("field")
        raise Refusal(refusal.code, refusal.detail | {"field": f"{name}.{inner}" if inner else name}) from None


def trigger_read(name: str, value: Any) -> Any:
    """Return a trigger as it was meant: decimal text, or an object in canonical order."""
    if isinstance(value, dict):
        return inner_read(name, partial(body_read, bodies.Trigger, value))
    return decimal_read(name, value)


def commands_read(name: str, value: Any) -> list[dict[str, Any]]:
    """Return the commands of a batch, each with its op in front; one of a wrong shape refuses the batch."""
    if not isinstance(value, list):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "a list of operations"})
    if not 1 <= len(value) <= BATCH_MAX:
        raise Refusal(ResultCode.BATCH_SIZE_INVALID.name, {"field": name, "count": len(value), "max": BATCH_MAX})
    return [inner_read(f"{name}[{index}]", partial(command_read, each)) for index, each in enumerate(value)]


def command_read(command: Any) -> dict[str, Any]:
    """Return one command of a batch."""
    if not isinstance(command, dict):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"expected": "an object"})
    op = command.get("op")
    if not isinstance(op, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": "op", "expected": "text"})
    if op not in _BY_OP:
        raise Refusal(ResultCode.OP_UNKNOWN.name, {"field": "op", "known": list(_BY_OP)})
    rest = {key: each for key, each in command.items() if key != "op"}
    return {"op": op, **operation_read(_BY_OP[op], rest)}


def preview_read(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the operation and the fields of an instruction that is to be calculated; raises Refusal with the key."""
    for name in body:
        if name not in bodies.PreviewAsked.__struct_fields__:
            known_keys = list(bodies.PreviewAsked.__struct_fields__)
            raise Refusal(ResultCode.FIELD_UNKNOWN.name, {"field": name[:64], "known": known_keys})
    if "body" not in body:
        raise Refusal(ResultCode.FIELD_MISSING.name, {"field": "body"})
    inner = body["body"]
    if not isinstance(inner, dict):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": "body", "expected": "an object"})
    sized = "size" in body
    known = {operation.op: operation for operation in (OPERATIONS_SIZED if sized else OPERATIONS_OF_PREVIEW)}
    op = body.get("op", TRADE_CREATE.op if "margin" in inner and not sized else ORDER_PLACE.op)
    if not isinstance(op, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": "op", "expected": "text"})
    if op not in known:
        raise Refusal(ResultCode.FIELD_VALUE_UNKNOWN.name, {"field": "op", "allowed": list(known)})
    read = operation_read_sized if sized else operation_read
    return op, inner_read("body", partial(read, known[op], inner))


def operation_read_sized(operation: Operation, body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an operation whose size stands beside its body; raises Refusal with the key's name."""
    given = [name for name in operation.one_of if name in body]
    if given:
        raise Refusal(ResultCode.FIELDS_EXCLUSIVE.name, {"field": given[0], "fields": ["size", *operation.one_of]})
    return operation_read(operation._replace(one_of=()), body)


def preview_size_read(body: dict[str, Any]) -> dict[str, str] | None:
    """Return the size that stands in place of a quantity, None without one; raises Refusal with the key's name."""
    if "size" not in body:
        return None
    size = body["size"]
    if not isinstance(size, dict):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": "size", "expected": "an object"})
    read: dict[str, str] = inner_read("size", partial(body_read, bodies.PreviewSize, size))
    if len(read) != 1:
        code = ResultCode.FIELDS_EXCLUSIVE if read else ResultCode.FIELD_MISSING
        raise Refusal(code.name, {"field": "size", "fields": list(bodies.PreviewSize.__struct_fields__)})
    return read
