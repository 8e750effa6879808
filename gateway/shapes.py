"""
How a value of a body looks in JSON: the annotations of the structs' fields and the reader of each shape; pure.

A reader returns the value in canonical form or raises a refusal that names the key.
"""

import re
from enum import IntEnum, StrEnum
from typing import Annotated, Any

from msgspec import Meta

from gateway.errors import Refusal
from shared.codes import DeadmanScope, MarginMode, OrderKind, ResultCode, Side, Stp, Tif, Tpsl, TriggerBy
from shared.units import decimal_parse

INTEGER_MAX = 2**63 - 1
TEXT_LENGTH_MAX = 64
# The rule that a whole number too large for any record breaks.
BEYOND = {
    "leverage": ResultCode.LEVERAGE_OUT_OF_RANGE,
    "leverage_max": ResultCode.LEVERAGE_OUT_OF_RANGE,
    "slippage_bps": ResultCode.SLIPPAGE_OUT_OF_RANGE,
    "trail_ticks": ResultCode.TRAIL_OUT_OF_RANGE,
    "trail_ppm": ResultCode.TRAIL_OUT_OF_RANGE,
    "expires_ms": ResultCode.EXPIRY_IN_PAST,
    "timeout_ms": ResultCode.TIMEOUT_OUT_OF_RANGE,
    "order_id": ResultCode.ORDER_UNKNOWN,
    "position_id": ResultCode.POSITION_UNKNOWN,
    "account_to": ResultCode.ACCOUNT_TARGET_UNKNOWN,
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
    STP = "stp"
    TPSL = "tpsl"
    SCOPE = "scope"
    MODE = "mode"
    TRIGGER_BY = "trigger_by"
    TRIGGER = "trigger"
    TRIGGER_OR_NULL = "trigger_or_null"
    LEG = "leg"
    COMMANDS = "commands"
    DECIMAL_OR_NULL = "decimal_or_null"
    INTEGER_OR_NULL = "integer_or_null"
    STP_OR_NULL = "stp_or_null"
    SCOPES = "scopes"


# What an enumeration allows from outside.
WORDS: dict[Shape, tuple[type[IntEnum], tuple[str, ...]]] = {
    Shape.SIDE: (Side, ("buy", "sell")),
    Shape.KIND: (
        OrderKind,
        (
            "market",
            "limit",
            "stop_market",
            "stop_limit",
            "take_profit_market",
            "take_profit_limit",
            "trailing_stop",
        ),
    ),
    Shape.TIF: (Tif, ("GTC", "IOC", "FOK", "GTD")),
    Shape.STP: (Stp, ("cancel_taker", "cancel_maker", "cancel_both")),
    Shape.TPSL: (Tpsl, ("position", "order")),
    Shape.SCOPE: (DeadmanScope, ("opening", "all")),
    Shape.TRIGGER_BY: (TriggerBy, ("quote", "mark", "index")),
    Shape.MODE: (MarginMode, ("isolated", "cross")),
}
assert all(word.upper() in codes.__members__ for codes, words in WORDS.values() for word in words)
# What a value is that null may stand for.
NULLABLE = {
    Shape.DECIMAL_OR_NULL: Shape.DECIMAL,
    Shape.INTEGER_OR_NULL: Shape.INTEGER,
    Shape.STP_OR_NULL: Shape.STP,
}


# What a key of a program may do.
SCOPES = ("read", "trade")
# The mark that a shape leaves in its struct's schema; `documents/describe.py` puts the shape's own in its place.
SHAPE_MARK = "x-shape"
# What a reader takes as decimal text, as ECMA-262 reads it: its end is the end of the text.
_DECIMAL_PATTERN = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?$"
DECIMAL_SCHEMAS: list[dict[str, Any]] = [
    {"type": "string", "pattern": _DECIMAL_PATTERN},
    {"type": "integer", "minimum": -(10**15 - 1), "maximum": 10**15 - 1},
]
_NULL: dict[str, Any] = {"type": "null"}
_INTEGER: dict[str, Any] = {"type": "integer", "minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}


def shape_schema(shape: Shape) -> dict[str, Any]:
    """Return what JSON Schema says of a plain shape: what its reader takes, no more and no less."""
    if shape in WORDS:
        return {"type": "string", "enum": list(WORDS[shape][1])}
    match shape:
        case Shape.DECIMAL:
            return {"anyOf": DECIMAL_SCHEMAS}
        case Shape.DECIMAL_OR_NULL:
            return {"anyOf": [*DECIMAL_SCHEMAS, _NULL]}
        case Shape.INTEGER:
            return _INTEGER
        case Shape.INTEGER_OR_NULL:
            return {"anyOf": [_INTEGER, _NULL]}
        case Shape.STP_OR_NULL:
            return {"anyOf": [shape_schema(Shape.STP), _NULL]}
        case Shape.FLAG:
            return {"type": "boolean"}
        case Shape.SCOPES:
            words = {"type": "string", "enum": list(SCOPES)}
            return {"type": "array", "items": words, "minItems": 1, "maxItems": len(SCOPES), "uniqueItems": True}
        case _:
            assert shape is Shape.TEXT, "the others hold values of their own"
            return {"type": "string", "pattern": f"^[ -~]{{1,{TEXT_LENGTH_MAX}}}$"}


def shape_meta(shape: Shape, description: str) -> Meta:
    """Return the annotation that carries a shape and, for the documents, its meaning."""
    return Meta(description=description, extra={"shape": shape}, extra_json_schema={SHAPE_MARK: shape.value})


def _words_meta(shape: Shape, default: str = "") -> Meta:
    """Return the annotation of an enumeration, its words as the meaning."""
    text = ", ".join(WORDS[shape][1])
    return shape_meta(shape, f"{text}; {default} by default" if default else text)


DecimalText = Annotated[str | int, shape_meta(Shape.DECIMAL, 'decimal text such as "1.5"; a JSON integer is taken too')]
Integer = Annotated[int, shape_meta(Shape.INTEGER, "whole number")]
Flag = Annotated[bool, shape_meta(Shape.FLAG, "true or false")]
Scopes = Annotated[list[str], shape_meta(Shape.SCOPES, "what the key may do; who may trade may read")]
Text = Annotated[str, shape_meta(Shape.TEXT, "1 to 64 printable ASCII characters")]
SideText = Annotated[str, _words_meta(Shape.SIDE)]
KindText = Annotated[str, _words_meta(Shape.KIND, "market")]
TifText = Annotated[str, _words_meta(Shape.TIF)]
StpText = Annotated[str, _words_meta(Shape.STP, "cancel_taker")]
TpslText = Annotated[str, _words_meta(Shape.TPSL, "position")]
ScopeText = Annotated[str, _words_meta(Shape.SCOPE, "opening")]
TriggerByText = Annotated[str, _words_meta(Shape.TRIGGER_BY, "quote")]
ModeText = Annotated[str, _words_meta(Shape.MODE)]


def _null_meta(shape: Shape, text: str) -> Meta:
    """Return the annotation of a value that null removes."""
    return shape_meta(shape, f"{text}; null removes it, leaving it out keeps it")


DecimalChange = Annotated[str | int | None, _null_meta(Shape.DECIMAL_OR_NULL, 'decimal text such as "1.5"')]
IntegerChange = Annotated[int | None, _null_meta(Shape.INTEGER_OR_NULL, "whole number")]
StpChange = Annotated[str | None, _null_meta(Shape.STP_OR_NULL, ", ".join(WORDS[Shape.STP][1]))]


def plain_read(name: str, shape: Shape, value: Any) -> Any:
    """Return one value that holds no others, in canonical form; raises Refusal naming the key."""
    if shape in NULLABLE:
        return None if value is None else plain_read(name, NULLABLE[shape], value)
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
        case Shape.SCOPES:
            return scopes_read(name, value)
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
        raise Refusal(BEYOND[name].name, {"field": name})
    return value


def text_read(name: str, value: Any) -> str:
    """Return a text of printable ASCII."""
    if not isinstance(value, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "text"})
    if _TEXT.fullmatch(value) is None:
        code = ResultCode.MARKET_UNKNOWN if name == "market" else ResultCode.TEXT_INVALID
        raise Refusal(code.name, {"field": name, "expected": "1 to 64 printable ASCII characters"})
    return value


def scopes_read(name: str, value: Any) -> list[str]:
    """Return what a key may do, each word at most once."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "a list of words"})
    if not value or len(set(value)) != len(value) or not set(value) <= set(SCOPES):
        raise Refusal(ResultCode.FIELD_VALUE_UNKNOWN.name, {"field": name, "allowed": list(SCOPES)})
    return value


def word_read(name: str, shape: Shape, value: Any) -> str:
    """Return one of the words that an enumeration allows from outside."""
    words = WORDS[shape][1]
    if not isinstance(value, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": name, "expected": "text"})
    if value not in words:
        raise Refusal(ResultCode.FIELD_VALUE_UNKNOWN.name, {"field": name, "allowed": list(words)})
    return value
