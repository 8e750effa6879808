"""
A user's or operator's instruction -> the words of its record: the envelope, then the keys of its operation; pure.

A wrong envelope makes the entry malformed. From there on a wrong key or value is a code: `code_early` for what the
rules in force do not know, `code_late` for the first value of a wrong type.
"""

import re
from collections.abc import Callable
from typing import Any

from shared import records as r
from shared import units
from shared.codes import Op, OrderKind, ResultCode, Side, Tif, TriggerBy
from shared.wire_rows import AT, BLANK, WORD_MAX, Malformed, Row, market_put, whole, words_put

_OPS = {op.name.lower(): op for op in Op if op != Op.NONE}
_HEX32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,36}", re.ASCII)
OK = ResultCode.OK


def instruction_read(row: Row, data: dict[str, Any]) -> None:
    """Fill the envelope, then the keys of the operation; from here on a wrong key or value is a code."""
    if whole(data.pop("v"), 1) != 1:
        raise Malformed
    row[AT["account"]] = whole(data.pop("account"), 2**31 - 1)
    request_id = data.pop("request_id")
    if _HEX32.fullmatch(request_id) is None:
        raise Malformed
    row[AT["request_hi"]], row[AT["request_lo"]] = units.pair_of_hex(request_id)
    name = data.pop("op")
    if type(name) is not str:
        raise Malformed
    op = _OPS.get(name)
    if op is None:
        row[AT["code_early"]] = ResultCode.OP_UNKNOWN
        return
    row[AT["op"]] = op
    keys, required = OPERATIONS[op]
    if not data.keys() <= set(keys):
        row[AT["code_early"]] = ResultCode.FIELD_UNKNOWN
        return
    for key in keys:
        code = KEYS[key](row, data[key]) if key in data else OK
        if code == ResultCode.FIELD_UNKNOWN:
            row[AT["code_early"]] = code
            return
        if code == OK and key in required and key not in data:
            code = ResultCode.FIELD_MISSING
        if row[AT["code_late"]] == OK:
            row[AT["code_late"]] = code


def _present(row: Row, bit: int) -> ResultCode:
    row[AT["present"]] |= bit
    return OK


def _decimal_put(row: Row, field: str, value: Any) -> ResultCode:
    """Store a user's decimal, text or JSON integer."""
    if type(value) is float:
        return ResultCode.NUMBER_NOT_TEXT
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    parts = units.decimal_parse(value)
    if parts is None:
        return ResultCode.NUMBER_MALFORMED
    row[AT[field + "_units"]], row[AT[field + "_e12"]] = parts
    return OK


def _decimal_key(field: str, bit: int) -> Callable[[Row, Any], ResultCode]:
    def put(row: Row, value: Any) -> ResultCode:
        _present(row, bit)
        return _decimal_put(row, field, value)

    return put


def _choice_key(
    field: str, choices: dict[str, int], unknown: ResultCode = ResultCode.FIELD_VALUE_UNKNOWN
) -> Callable[[Row, Any], ResultCode]:
    def put(row: Row, value: Any) -> ResultCode:
        if type(value) is not str:
            return ResultCode.FIELD_TYPE_INVALID
        if value not in choices:
            return unknown
        row[AT[field]] = choices[value]
        return OK

    return put


def _whole_key(field: str, bit: int = 0) -> Callable[[Row, Any], ResultCode]:
    """An integer; one outside the word's range is stored as -1, which every range check refuses."""

    def put(row: Row, value: Any) -> ResultCode:
        if type(value) is float:
            return ResultCode.NUMBER_NOT_TEXT
        if type(value) is not int:
            return ResultCode.FIELD_TYPE_INVALID
        row[AT[field]] = value if 0 <= value <= WORD_MAX else -1
        return _present(row, bit)

    return put


def _trigger_key(field: str, bit: int, bit_null: int) -> Callable[[Row, Any], ResultCode]:
    """`{"price_trigger", "trigger_by"?}`, or the bare price; null removes."""

    def put(row: Row, value: Any) -> ResultCode:
        row[AT[field + "_by"]] = TriggerBy.QUOTE
        if value is None:
            return _present(row, bit_null)
        _present(row, bit)
        if type(value) is not dict:
            return _decimal_put(row, field, value)
        if not value.keys() <= {"price_trigger", "trigger_by"}:
            return ResultCode.FIELD_UNKNOWN
        if "price_trigger" not in value:
            return ResultCode.FIELD_MISSING
        code = _decimal_put(row, field, value["price_trigger"])
        if code == OK and "trigger_by" in value:
            code = _choice_key(field + "_by", _TRIGGER_BY)(row, value["trigger_by"])
        return code

    return put


def _market_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    market_put(row, value)
    return _present(row, r.PRESENT_MARKET)


def _flag_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not bool:
        return ResultCode.FIELD_TYPE_INVALID
    row[AT["post_only"]] = int(value)
    return OK


def _percent_key(row: Row, value: Any) -> ResultCode:
    _present(row, r.PRESENT_PERCENT)
    scratch = BLANK.copy()
    code = _decimal_put(scratch, "qty", value)
    whole = scratch[AT["qty_e12"]] == 0
    row[AT["percent"]] = scratch[AT["qty_units"]] if whole else -1
    return code


def _client_id_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if _CLIENT_ID.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    words_put(row, "client_order_id", units.words_of_text(value, r.CLIENT_ID_WORDS))
    return _present(row, r.PRESENT_CLIENT_ORDER_ID)


def _owner_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if _HEX32.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    row[AT["owner_hi"]], row[AT["owner_lo"]] = units.pair_of_hex(value)
    return OK


_TRIGGER_BY = {by.name.lower(): int(by) for by in TriggerBy if by}
KEYS: dict[str, Callable[[Row, Any], ResultCode]] = {
    "owner": _owner_key,
    "market": _market_key,
    "side": _choice_key("side", {"buy": Side.BUY, "sell": Side.SELL}),
    # Kinds come with later rules: one that these do not know is refused like an unknown key.
    "kind": _choice_key("order_kind", {"market": OrderKind.MARKET, "limit": OrderKind.LIMIT}, ResultCode.FIELD_UNKNOWN),
    "qty": _decimal_key("qty", r.PRESENT_QTY),
    "price": _decimal_key("price", r.PRESENT_PRICE),
    "margin": _decimal_key("margin", r.PRESENT_MARGIN),
    "percent": _percent_key,
    "leverage": _whole_key("leverage"),
    "tif": _choice_key("tif", {tif.name: tif for tif in Tif if tif}),
    "post_only": _flag_key,
    "slippage_bps": _whole_key("slippage_bps", r.PRESENT_SLIPPAGE),
    "take_profit": _trigger_key("take_profit", r.PRESENT_TAKE_PROFIT, r.PRESENT_TAKE_PROFIT_NULL),
    "stop_loss": _trigger_key("stop_loss", r.PRESENT_STOP_LOSS, r.PRESENT_STOP_LOSS_NULL),
    "client_order_id": _client_id_key,
    "order_id": _whole_key("order_id", r.PRESENT_ORDER_ID),
    "position_id": _whole_key("position_id"),
}


def _keys(names: str) -> tuple[str, ...]:
    return tuple(names.split())


# op -> (its keys in canonical order, those that must be there)
OPERATIONS: dict[Op, tuple[tuple[str, ...], frozenset[str]]] = {
    Op.ACCOUNT_OPEN: (("owner",), frozenset({"owner"})),
    Op.ORDER_PLACE: (
        _keys("market side kind qty price tif post_only slippage_bps take_profit stop_loss client_order_id"),
        frozenset({"market", "side", "kind", "qty"}),
    ),
    Op.ORDER_CANCEL: (("order_id", "client_order_id"), frozenset()),
    Op.ORDERS_CANCEL: (("market",), frozenset()),
    Op.TRADE_CREATE: (
        _keys("market side margin qty leverage slippage_bps take_profit stop_loss client_order_id"),
        frozenset({"market", "side", "leverage"}),
    ),
    Op.TRADE_CLOSE: (("position_id", "qty", "percent"), frozenset({"position_id"})),
    Op.POSITION_TRIGGERS_SET: (("position_id", "take_profit", "stop_loss"), frozenset({"position_id"})),
}
