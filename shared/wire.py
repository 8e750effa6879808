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
from shared.codes import EntryKind, FeedStatus
from shared.wire_beside import Beside
from shared.wire_instructions import instruction_read
from shared.wire_rows import AT, BLANK, Malformed, Row, market_put, text_put, whole, words_put

TS_MIN_US = 1_577_836_800_000_000  # 2020-01-01
TS_MAX_US = 4_102_444_800_000_000  # 2100-01-01

_ROW = struct.Struct(f"={r.COMMAND_WORDS}q")
_KINDS = {kind.name.lower().encode(): kind for kind in EntryKind if kind != EntryKind.MALFORMED}
_FEED_KINDS = (EntryKind.PRICE_UPDATE, EntryKind.MARK_UPDATE, EntryKind.FEED_STATUS)
_TS = re.compile(rb"[1-9][0-9]{15}", re.ASCII)
_HEX64 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# What reading a wrong entry raises; the last when a number is longer than any field.
_UNREADABLE = (
    Malformed,
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)


class Batch:
    """
    Command records of consecutive entries, and the rows that belong to them beside.

    Shapes: commands is COMMAND[capacity], `count` of them filled; parts is COMMAND[n], configs CONFIG[m].
    `parts` and `configs` may be other arrays after each entry: take them when the batch is complete.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self.commands = np.zeros(capacity, r.COMMAND)
        self.capacity = capacity
        self.count = 0
        self._beside = Beside()
        self._bytes = self.commands.view(np.uint8).data.cast("B")

    @property
    def parts(self) -> np.ndarray:
        """The commands of batches and the other legs of OCO orders, at each record's `parts_first`."""
        return self._beside.parts

    @property
    def configs(self) -> np.ndarray:
        """The configurations of a genesis and the parameters of each market_set, at a record's `config_first`."""
        return self._beside.configs

    def clear(self) -> None:
        """Forget the commands; the arrays are used again."""
        self.count = 0
        self._beside.clear()

    def add(self, seq: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Append the record of one entry; any content is accepted."""
        assert self.count < self.capacity
        row = BLANK.copy()
        row[AT["seq"]] = seq
        at = self.count * r.COMMAND.itemsize
        try:
            _entry_read(row, seq, fields, self._beside)
            _ROW.pack_into(self._bytes, at, *row)
        except _UNREADABLE:
            row = BLANK.copy()
            row[AT["seq"]] = seq
            row[AT["kind"]] = EntryKind.MALFORMED
            _ROW.pack_into(self._bytes, at, *row)
        self.count += 1


def _entry_read(row: Row, seq: int, fields: Sequence[tuple[bytes, bytes]], beside: Beside) -> None:
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
    row[AT["ts_us"]] = ts_us
    row[AT["kind"]] = kind
    if session is not None:
        text_put(row, "session", session.decode("ascii"))
    if kind == EntryKind.GENESIS:
        # Only the first entry founds: a later one must not overwrite the configurations of a batch with the first.
        if seq != 1:
            raise Malformed
        row[AT["config_first"]] = beside.configs_add(genesis.read(row, data))
    elif kind in (EntryKind.USER_INSTRUCTION, EntryKind.VENUE_INSTRUCTION):
        instruction_read(row, data, beside)
    else:
        _READERS[kind](row, data)


def _number_put(row: Row, field: str, value: Any) -> None:
    """Store a feed's decimal text; digits past the twelfth are rounded half to even."""
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        raise Malformed
    parts = units.decimal_parse(value) or units.decimal_parse_long(value)
    if parts is None:
        raise Malformed
    row[AT[field + "_units"]], row[AT[field + "_e12"]] = parts


def _price_update_read(row: Row, data: dict[str, Any]) -> None:
    market_put(row, data["s"])
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
    row[AT["present"]] = present
    row[AT["event_us"]] = whole(data["E"])
    row[AT["update_id"]] = whole(update_id)


def _mark_update_read(row: Row, data: dict[str, Any]) -> None:
    market_put(row, data["s"])
    _number_put(row, "mark", data["p"])
    present = 0
    if data.get("i") is not None:
        _number_put(row, "index", data["i"])
        present |= r.PRESENT_INDEX
    if data.get("f") is not None and data.get("n") is not None:
        rate = units.ppb_parse(data["f"])
        if rate is None:
            raise Malformed
        row[AT["funding_rate_ppb"]] = rate
        row[AT["funding_next_ms"]] = whole(data["n"], TS_MAX_US // 1000)
        present |= r.PRESENT_FUNDING
    row[AT["present"]] = present
    row[AT["event_us"]] = whole(data["E"])


def _feed_status_read(row: Row, data: dict[str, Any]) -> None:
    if not data.keys() <= {"status", "source", "price_age_max_ms"}:
        raise Malformed
    row[AT["status"]] = {"up": FeedStatus.UP, "down": FeedStatus.DOWN}[data["status"]]
    text_put(row, "source", data["source"])
    if "price_age_max_ms" in data:
        row[AT["price_age_max_ms"]] = whole(data["price_age_max_ms"], 86_400_000)


def _clock_tick_read(row: Row, data: dict[str, Any]) -> None:
    if data:
        raise Malformed


def _lead_read(row: Row, data: dict[str, Any]) -> None:
    if data.keys() != {"who", "rules"}:
        raise Malformed
    text_put(row, "who", data["who"])
    row[AT["rules"]] = whole(data["rules"], 1_000_000)


def _checkpoint_read(row: Row, data: dict[str, Any]) -> None:
    if data.keys() != {"seq", "state_hash", "record_hash"}:
        raise Malformed
    row[AT["checkpoint_seq"]] = whole(data["seq"])
    for name in ("state_hash", "record_hash"):
        if _HEX64.fullmatch(data[name]) is None:
            raise Malformed
        words_put(row, name, list(struct.unpack(">4q", bytes.fromhex(data[name]))))


def _restored_read(row: Row, data: dict[str, Any]) -> None:
    whole(data["first_lost"])
    whole(data["last_lost"])


_READERS: dict[EntryKind, Callable[[Row, dict[str, Any]], None]] = {
    EntryKind.PRICE_UPDATE: _price_update_read,
    EntryKind.MARK_UPDATE: _mark_update_read,
    EntryKind.FEED_STATUS: _feed_status_read,
    EntryKind.CLOCK_TICK: _clock_tick_read,
    EntryKind.LEAD: _lead_read,
    EntryKind.CHECKPOINT: _checkpoint_read,
    EntryKind.RESTORED: _restored_read,
}
