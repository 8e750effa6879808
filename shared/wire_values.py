"""
One JSON value -> the words of its field, or the first rule of shape it breaks; pure.

A key's reader takes the row and the value and returns a code. Its `bit` is set whenever the key is there, sound or not.
What a key says besides its reader is the same once more as a table: engine.decode reads canonical values by it.
"""

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from shared import records as r
from shared import units
from shared.codes import ResultCode
from shared.wire_rows import AT, BLANK, PRINTABLE, WORD_MAX, Row, market_put, words_put

HEX32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
CLIENT_ID_TEXT = re.compile(r"[A-Za-z0-9_.:-]{1,36}", re.ASCII)
OK = ResultCode.OK

Reader = Callable[[Row, Any], ResultCode]


class Shape(IntEnum):
    """How the value of a key looks; one of OTHER shape is known to its reader alone."""

    OTHER = 0
    DECIMAL = 1
    WHOLE = 2
    PERCENT = 3
    CHOICE = 4
    FLAG = 5
    MARKET = 6
    CLIENT_ID = 7
    OWNER = 8
    REASON = 9
    CHILD = 10  # an order that hangs on another: a decimal, or an object around it


class Key(NamedTuple):
    """How the value of one key is read, and where it goes."""

    read: Reader
    shape: Shape = Shape.OTHER
    field: str = ""  # the first that the value fills
    bit: int = 0  # set when the key is there
    bit_null: int = 0  # set instead when its value is null, which is refused without it
    bit_price: int = 0  # of a child with a price
    choices: Mapping[str, int] = MappingProxyType({})


def present(row: Row, bit: int) -> ResultCode:
    """Say in the record that a key was there."""
    row[AT["present"]] |= bit
    return OK


def decimal_read(value: Any) -> tuple[ResultCode, int, int]:
    """Return the code, whole part and fraction of a user's decimal, text or JSON integer."""
    if type(value) is float:
        return ResultCode.NUMBER_NOT_TEXT, 0, 0
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID, 0, 0
    parts = units.decimal_parse(value)
    if parts is None:
        return ResultCode.NUMBER_MALFORMED, 0, 0
    return OK, *parts


def decimal_put(row: Row, field: str, value: Any) -> ResultCode:
    """Store a user's decimal as two words."""
    code, whole, e12 = decimal_read(value)
    if code == OK:
        row[AT[field + "_units"]], row[AT[field + "_e12"]] = whole, e12
    return code


def decimal_key(field: str, bit: int = 0) -> Key:
    """Return the key of a decimal."""

    def put(row: Row, value: Any) -> ResultCode:
        present(row, bit)
        return decimal_put(row, field, value)

    return Key(put, Shape.DECIMAL, field, bit)


def choice_key(
    field: str, choices: dict[str, int], bit: int = 0, unknown: ResultCode = ResultCode.FIELD_VALUE_UNKNOWN
) -> Key:
    """Return the key of one of some words."""

    def put(row: Row, value: Any) -> ResultCode:
        present(row, bit)
        if type(value) is not str:
            return ResultCode.FIELD_TYPE_INVALID
        if value not in choices:
            return unknown
        row[AT[field]] = choices[value]
        return OK

    return Key(put, Shape.CHOICE, field, bit, choices=choices)


def whole_read(value: Any) -> ResultCode:
    """Return what a JSON integer's type breaks."""
    if type(value) is float:
        return ResultCode.NUMBER_NOT_TEXT
    return OK if type(value) is int else ResultCode.FIELD_TYPE_INVALID


def whole_key(field: str, bit: int = 0) -> Key:
    """Return the key of an integer; one outside the word's range is stored as -1, which every check refuses."""

    def put(row: Row, value: Any) -> ResultCode:
        present(row, bit)
        code = whole_read(value)
        if code == OK:
            row[AT[field]] = value if 0 <= value <= WORD_MAX else -1
        return code

    return Key(put, Shape.WHOLE, field, bit)


def percent_key(field: str, bit: int) -> Key:
    """Return the key of a percentage; one that is not whole is stored as -1."""

    def put(row: Row, value: Any) -> ResultCode:
        present(row, bit)
        code, whole, e12 = decimal_read(value)
        if code == OK:
            row[AT[field]] = whole if e12 == 0 else -1
        return code

    return Key(put, Shape.PERCENT, field, bit)


def flag_key(field: str, bit: int = 0) -> Key:
    """Return the key of true or false."""

    def put(row: Row, value: Any) -> ResultCode:
        present(row, bit)
        if type(value) is not bool:
            return ResultCode.FIELD_TYPE_INVALID
        row[AT[field]] = int(value)
        return OK

    return Key(put, Shape.FLAG, field, bit)


def market_read(row: Row, value: Any) -> ResultCode:
    """Store a market's name."""
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    market_put(row, value)
    return present(row, r.PRESENT_MARKET)


def client_id_read(row: Row, value: Any) -> ResultCode:
    """Store a client order id."""
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if CLIENT_ID_TEXT.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    words_put(row, "client_order_id", units.words_of_text(value, r.CLIENT_ID_WORDS))
    return present(row, r.PRESENT_CLIENT_ORDER_ID)


def owner_read(row: Row, value: Any) -> ResultCode:
    """Store the digest of who opens an account."""
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if HEX32.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    row[AT["owner_hi"]], row[AT["owner_lo"]] = units.pair_of_hex(value)
    return OK


def reason_read(row: Row, value: Any) -> ResultCode:
    """Store an operator's reason, 1 to 32 printable characters."""
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if PRINTABLE.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    words_put(row, "reason", units.words_of_text(value, r.TEXT_WORDS))
    return OK


MARKET = Key(market_read, Shape.MARKET, "market", r.PRESENT_MARKET)
CLIENT_ID = Key(client_id_read, Shape.CLIENT_ID, "client_order_id", r.PRESENT_CLIENT_ORDER_ID)
OWNER = Key(owner_read, Shape.OWNER, "owner_hi")
REASON = Key(reason_read, Shape.REASON, "reason")


def keys_read(row: Row, data: dict[str, Any], keys: dict[str, Key], required: frozenset[str]) -> bool:
    """
    Store the values of an object key by key in the keys' order; return False when it ended early.

    Writes: code_early for a key or kind that the rules do not know, which ends it; code_late for the first of a wrong
    type or missing.
    """
    if not data.keys() <= keys.keys():
        row[AT["code_early"]] = ResultCode.FIELD_UNKNOWN
        return False
    for name, key in keys.items():
        if name in data:
            code = key.read(row, data[name])
        else:
            code = ResultCode.FIELD_MISSING if name in required else OK
        if code == ResultCode.FIELD_UNKNOWN:
            row[AT["code_early"]] = code
            return False
        if row[AT["code_late"]] == OK:
            row[AT["code_late"]] = code
    return True


def blank() -> Row:
    """Return the words of an empty record."""
    return BLANK.copy()
