"""
Log entries -> command records: JSON of any valid shape in, one fixed record out; pure and total.

Whatever an entry holds, it becomes a record: unreadable ones are MALFORMED, readable instructions carry the first rule
of shape they broke (`code_early`: keys; `code_late`: types), which the core reports in its own order of precedence.
"""

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from shared import genesis, units
from shared import records as r
from shared.codes import EntryKind, FeedStatus, Op, OrderKind, ResultCode, Side, Tif, TriggerBy

TS_MIN_US = 1_577_836_800_000_000  # 2020-01-01
TS_MAX_US = 4_102_444_800_000_000  # 2100-01-01
WORD_MAX = 2**62

_AT = r.word_offsets(r.COMMAND)
_ROW = struct.Struct(f"={r.COMMAND_WORDS}q")
_BLANK = [0] * r.COMMAND_WORDS
_KINDS = {kind.name.lower().encode(): kind for kind in EntryKind if kind != EntryKind.MALFORMED}
_FEED_KINDS = (EntryKind.PRICE_UPDATE, EntryKind.MARK_UPDATE, EntryKind.FEED_STATUS)
_OPS = {op.name.lower(): op for op in Op if op != Op.NONE}
_TS = re.compile(rb"[1-9][0-9]{15}", re.ASCII)
_HEX32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HEX64 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,32}", re.ASCII)
_CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,36}", re.ASCII)

Row = list[int]
OK = ResultCode.OK


class Malformed(Exception):
    """The entry cannot be read; it never leaves this module."""


class Batch:
    """
    Command records of consecutive entries, and the market configurations that a genesis among them states.

    Shapes: commands is COMMAND[capacity], configs CONFIG[MARKETS_CAPACITY]; `count` of the commands are filled.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self.commands = np.zeros(capacity, r.COMMAND)
        self.configs = np.zeros(r.MARKETS_CAPACITY, r.CONFIG)
        self.capacity = capacity
        self.count = 0
        self._bytes = memoryview(self.commands.view(np.uint8)).cast("B")

    def clear(self) -> None:
        """Forget the commands; the arrays are used again."""
        self.count = 0

    def add(self, seq: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Append the record of one entry; any content is accepted."""
        assert self.count < self.capacity
        row = _BLANK.copy()
        try:
            _entry_read(row, fields, self.configs)
        except (Malformed, ValueError, TypeError, KeyError, OverflowError, RecursionError, UnicodeError):
            row = _BLANK.copy()
            row[_AT["kind"]] = EntryKind.MALFORMED
        row[_AT["seq"]] = seq
        _ROW.pack_into(self._bytes, self.count * r.COMMAND.itemsize, *row)
        self.count += 1


def _entry_read(row: Row, fields: Sequence[tuple[bytes, bytes]], configs: np.ndarray) -> None:
    """Fill `row` from the fields of one entry; raises when it has no readable shape."""
    ts = session = body = kind = None
    for name, value in fields:
        if name == b"ts" and ts is None:
            ts = value
        elif name == b"session" and session is None:
            session = value
        elif name in _KINDS and kind is None:
            kind, body = _KINDS[name], value
        else:
            raise Malformed
    if ts is None or kind is None or body is None or _TS.fullmatch(ts) is None:
        raise Malformed
    ts_us = int(ts)
    if not TS_MIN_US <= ts_us <= TS_MAX_US or (kind in _FEED_KINDS) != (session is not None):
        raise Malformed
    data = orjson.loads(body)
    if type(data) is not dict:
        raise Malformed
    row[_AT["ts_us"]] = ts_us
    row[_AT["kind"]] = kind
    if session is not None:
        _text_put(row, "session", session.decode("ascii"))
    if kind == EntryKind.GENESIS:
        genesis.read(row, data, configs)
    else:
        _READERS[kind](row, data)


def _text_put(row: Row, field: str, text: Any) -> None:
    """Store 1 to 32 printable characters as words."""
    if type(text) is not str or _PRINTABLE.fullmatch(text) is None:
        raise Malformed
    _words_put(row, field, units.words_of_text(text, r.TEXT_WORDS))


def _words_put(row: Row, field: str, words: list[int]) -> None:
    at = _AT[field]
    row[at : at + len(words)] = words


def _market_put(row: Row, name: Any) -> None:
    """Store a market's name; one that cannot be a name is stored as one that no market has."""
    if type(name) is not str:
        raise Malformed
    try:
        words = units.words_of_text(name, r.NAME_WORDS)
    except (ValueError, UnicodeError):
        words = [0] * r.NAME_WORDS
    _words_put(row, "market", [word if word < WORD_MAX * 2 else 0 for word in words])


def _whole(value: Any, high: int = WORD_MAX) -> int:
    """Return a JSON integer from 0 to `high`, or raise."""
    if type(value) is not int or not 0 <= value <= high:
        raise Malformed
    return value


def _number_put(row: Row, field: str, value: Any) -> None:
    """Store a feed's decimal text; digits past the twelfth are rounded half to even."""
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        raise Malformed
    parts = units.decimal_parse(value) or units.decimal_parse_long(value)
    if parts is None:
        raise Malformed
    row[_AT[field + "_units"]], row[_AT[field + "_e12"]] = parts


def _price_update_read(row: Row, data: dict[str, Any]) -> None:
    _market_put(row, data["s"])
    present = 0
    for side, price, size, bit in (("bid", "b", "B", r.PRESENT_BID), ("ask", "a", "A", r.PRESENT_ASK)):
        if data[price] is not None:
            _number_put(row, side, data[price])
            present |= bit
        if data[size] is not None:
            _number_put(row, side + "_size", data[size])
    update_id = data["u"]
    if type(update_id) is str and update_id.isascii() and update_id.isdigit() and len(update_id) < 19:
        update_id = int(update_id)
    row[_AT["present"]] = present
    row[_AT["event_us"]] = _whole(data["E"])
    row[_AT["update_id"]] = _whole(update_id)


def _mark_update_read(row: Row, data: dict[str, Any]) -> None:
    _market_put(row, data["s"])
    _number_put(row, "mark", data["p"])
    present = 0
    if data.get("i") is not None:
        _number_put(row, "index", data["i"])
        present |= r.PRESENT_INDEX
    if data.get("f") is not None and data.get("n") is not None:
        rate = units.ppb_parse(data["f"])
        if rate is None:
            raise Malformed
        row[_AT["funding_rate_ppb"]] = rate
        row[_AT["funding_next_ms"]] = _whole(data["n"], TS_MAX_US // 1000)
        present |= r.PRESENT_FUNDING
    row[_AT["present"]] = present
    row[_AT["event_us"]] = _whole(data["E"])


def _feed_status_read(row: Row, data: dict[str, Any]) -> None:
    if not data.keys() <= {"status", "source", "price_age_max_ms"}:
        raise Malformed
    row[_AT["status"]] = {"up": FeedStatus.UP, "down": FeedStatus.DOWN}[data["status"]]
    _text_put(row, "source", data["source"])
    if "price_age_max_ms" in data:
        row[_AT["price_age_max_ms"]] = _whole(data["price_age_max_ms"], 86_400_000)


def _clock_tick_read(row: Row, data: dict[str, Any]) -> None:
    if data:
        raise Malformed


def _lead_read(row: Row, data: dict[str, Any]) -> None:
    if data.keys() != {"who", "rules"}:
        raise Malformed
    _text_put(row, "who", data["who"])
    row[_AT["rules"]] = _whole(data["rules"], 1_000_000)


def _checkpoint_read(row: Row, data: dict[str, Any]) -> None:
    if data.keys() != {"seq", "state_hash", "record_hash"}:
        raise Malformed
    row[_AT["checkpoint_seq"]] = _whole(data["seq"])
    for name in ("state_hash", "record_hash"):
        if _HEX64.fullmatch(data[name]) is None:
            raise Malformed
        _words_put(row, name, list(struct.unpack(">4q", bytes.fromhex(data[name]))))


def _restored_read(row: Row, data: dict[str, Any]) -> None:
    _whole(data["first_lost"])
    _whole(data["last_lost"])


def _instruction_read(row: Row, data: dict[str, Any]) -> None:
    """Fill the envelope, then the keys of the operation; from here on a wrong key or value is a code."""
    if _whole(data.pop("v"), 1) != 1:
        raise Malformed
    row[_AT["account"]] = _whole(data.pop("account"), 2**31 - 1)
    request_id = data.pop("request_id")
    if _HEX32.fullmatch(request_id) is None:
        raise Malformed
    row[_AT["request_hi"]], row[_AT["request_lo"]] = units.pair_of_hex(request_id)
    name = data.pop("op")
    if type(name) is not str:
        raise Malformed
    op = _OPS.get(name)
    if op is None:
        row[_AT["code_early"]] = ResultCode.OP_UNKNOWN
        return
    row[_AT["op"]] = op
    keys, required = OPERATIONS[op]
    if not data.keys() <= set(keys):
        row[_AT["code_early"]] = ResultCode.FIELD_UNKNOWN
        return
    for key in keys:
        code = KEYS[key](row, data[key]) if key in data else OK
        if code == ResultCode.FIELD_UNKNOWN:
            row[_AT["code_early"]] = code
            return
        if code == OK and key in required and key not in data:
            code = ResultCode.FIELD_MISSING
        if row[_AT["code_late"]] == OK:
            row[_AT["code_late"]] = code


def _present(row: Row, bit: int) -> ResultCode:
    row[_AT["present"]] |= bit
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
    row[_AT[field + "_units"]], row[_AT[field + "_e12"]] = parts
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
        row[_AT[field]] = choices[value]
        return OK

    return put


def _whole_key(field: str, bit: int = 0) -> Callable[[Row, Any], ResultCode]:
    """An integer; one outside the word's range is stored as -1, which every range check refuses."""

    def put(row: Row, value: Any) -> ResultCode:
        if type(value) is float:
            return ResultCode.NUMBER_NOT_TEXT
        if type(value) is not int:
            return ResultCode.FIELD_TYPE_INVALID
        row[_AT[field]] = value if 0 <= value <= WORD_MAX else -1
        return _present(row, bit)

    return put


def _trigger_key(field: str, bit: int, bit_null: int) -> Callable[[Row, Any], ResultCode]:
    """`{"price_trigger", "trigger_by"?}`, or the bare price; null removes."""

    def put(row: Row, value: Any) -> ResultCode:
        row[_AT[field + "_by"]] = TriggerBy.QUOTE
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
    _market_put(row, value)
    return _present(row, r.PRESENT_MARKET)


def _flag_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not bool:
        return ResultCode.FIELD_TYPE_INVALID
    row[_AT["post_only"]] = int(value)
    return OK


def _percent_key(row: Row, value: Any) -> ResultCode:
    _present(row, r.PRESENT_PERCENT)
    scratch = _BLANK.copy()
    code = _decimal_put(scratch, "qty", value)
    whole = scratch[_AT["qty_e12"]] == 0
    row[_AT["percent"]] = scratch[_AT["qty_units"]] if whole else -1
    return code


def _client_id_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if _CLIENT_ID.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    _words_put(row, "client_order_id", units.words_of_text(value, r.CLIENT_ID_WORDS))
    return _present(row, r.PRESENT_CLIENT_ORDER_ID)


def _owner_key(row: Row, value: Any) -> ResultCode:
    if type(value) is not str:
        return ResultCode.FIELD_TYPE_INVALID
    if _HEX32.fullmatch(value) is None:
        return ResultCode.TEXT_INVALID
    row[_AT["owner_hi"]], row[_AT["owner_lo"]] = units.pair_of_hex(value)
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

# op -> (its keys in canonical order, those that must be there)
OPERATIONS: dict[Op, tuple[tuple[str, ...], frozenset[str]]] = {
    Op.ACCOUNT_OPEN: (("owner",), frozenset({"owner"})),
    Op.ORDER_PLACE: (
        tuple("market side kind qty price tif post_only slippage_bps take_profit stop_loss client_order_id".split()),
        frozenset({"market", "side", "kind", "qty"}),
    ),
    Op.ORDER_CANCEL: (("order_id", "client_order_id"), frozenset()),
    Op.ORDERS_CANCEL: (("market",), frozenset()),
    Op.TRADE_CREATE: (
        tuple("market side margin qty leverage slippage_bps take_profit stop_loss client_order_id".split()),
        frozenset({"market", "side", "leverage"}),
    ),
    Op.TRADE_CLOSE: (("position_id", "qty", "percent"), frozenset({"position_id"})),
    Op.POSITION_TRIGGERS_SET: (("position_id", "take_profit", "stop_loss"), frozenset({"position_id"})),
}

_READERS: dict[EntryKind, Callable[[Row, dict[str, Any]], None]] = {
    EntryKind.PRICE_UPDATE: _price_update_read,
    EntryKind.MARK_UPDATE: _mark_update_read,
    EntryKind.FEED_STATUS: _feed_status_read,
    EntryKind.CLOCK_TICK: _clock_tick_read,
    EntryKind.USER_INSTRUCTION: _instruction_read,
    EntryKind.VENUE_INSTRUCTION: _instruction_read,
    EntryKind.LEAD: _lead_read,
    EntryKind.CHECKPOINT: _checkpoint_read,
    EntryKind.RESTORED: _restored_read,
}
