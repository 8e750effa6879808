"""
A user's or operator's instruction -> the words of its record: the envelope, then the keys of its operation; pure.

A wrong envelope makes the entry malformed. From there on a wrong key or value is a code: `code_early` for what the
rules in force do not know, `code_late` for the first value of a wrong type. What does not fit in one record (a batch's
commands, the other leg of an OCO, a market's parameters) goes into rows beside it, once the instruction is sound.
"""

from typing import Any

from shared import records as r
from shared import units, wire_orders, wire_parameters
from shared.codes import DeadmanScope, EntryKind, Op, ResultCode, TriggerBy
from shared.wire_beside import Beside
from shared.wire_rows import AT, Malformed, Row, whole
from shared.wire_values import HEX32, OK, Key, blank, keys_read


def _commands_read(row: Row, value: Any) -> ResultCode:
    """Return what is wrong with a batch as a whole."""
    if type(value) is not list:
        return ResultCode.FIELD_TYPE_INVALID
    return OK if 1 <= len(value) <= r.BATCH_MAX else ResultCode.BATCH_SIZE_INVALID


# op -> its keys in canonical order, and those that must be there
_OPERATIONS: dict[Op, tuple[dict[str, Key], str]] = {
    Op.ACCOUNT_OPEN: (wire_orders.ACCOUNT_OPEN, "owner"),
    Op.ORDER_PLACE: (wire_orders.ORDER_PLACE, "market side kind"),
    Op.ORDER_AMEND: (wire_orders.ORDER_AMEND, ""),
    Op.ORDER_CANCEL: (wire_orders.ORDER_CANCEL, ""),
    Op.ORDERS_CANCEL: (wire_orders.MARKET_ONLY, ""),
    Op.TRADE_CREATE: (wire_orders.TRADE_CREATE, "market side leverage"),
    Op.TRADE_CLOSE: (wire_orders.TRADE_CLOSE, "position_id"),
    Op.POSITIONS_CLOSE_ALL: (wire_orders.MARKET_ONLY, ""),
    Op.POSITION_REVERSE: (wire_orders.POSITION_ONLY, "position_id"),
    Op.POSITION_TRIGGERS_SET: (wire_orders.POSITION_TRIGGERS_SET, "position_id"),
    Op.MARGIN_CHANGE: (wire_orders.MARGIN_CHANGE, "position_id amount"),
    Op.LEVERAGE_SET: (wire_orders.LEVERAGE_SET, "market leverage"),
    Op.MARGIN_MODE_SET: (wire_orders.MARGIN_MODE_SET, "market mode"),
    Op.DEADMAN_SET: (wire_orders.DEADMAN_SET, "timeout_ms"),
    Op.ACCOUNT_RESET: ({}, ""),
    Op.BATCH: ({"commands": Key(_commands_read)}, "commands"),
    Op.VENUE_SET: (wire_parameters.VENUE_SET, ""),
    Op.MARKET_SET: (wire_parameters.MARKET_SET, "market"),
    Op.MARKET_HALT: (wire_orders.MARKET_ONLY, "market"),
    Op.MARKET_RESUME: (wire_orders.MARKET_ONLY, "market"),
    Op.MARKET_REDUCE_ONLY: (wire_orders.MARKET_ONLY, "market"),
    Op.MARKET_SETTLE: (wire_orders.MARKET_SETTLE, "market price"),
    Op.ACCOUNT_FREEZE: ({}, ""),
    Op.ACCOUNT_UNFREEZE: ({}, ""),
    Op.ACCOUNT_CREDIT: (wire_parameters.ACCOUNT_CREDIT, "amount reason"),
    Op.ACCOUNT_GUARDS_SET: (wire_orders.ACCOUNT_GUARDS_SET, ""),
    Op.SUBACCOUNT_OPEN: ({}, ""),
    Op.ACCOUNT_TRANSFER: (wire_orders.ACCOUNT_TRANSFER, "account_to amount"),
}
KEYS = {op: (keys, frozenset(required.split())) for op, (keys, required) in _OPERATIONS.items()}
# op -> (the names of its keys in canonical order, those that must be there)
OPERATIONS: dict[Op, tuple[tuple[str, ...], frozenset[str]]] = {
    op: (tuple(keys), required) for op, (keys, required) in KEYS.items()
}
# op -> the field that says something though its key is left out, and what
DEFAULTS: dict[Op, tuple[str, int]] = {
    Op.ORDER_PLACE: ("trigger_by", TriggerBy.QUOTE),
    Op.DEADMAN_SET: ("scope", DeadmanScope.OPENING),
}
OPERATOR_OPS = frozenset(
    {
        Op.VENUE_SET,
        Op.MARKET_SET,
        Op.MARKET_HALT,
        Op.MARKET_RESUME,
        Op.MARKET_REDUCE_ONLY,
        Op.MARKET_SETTLE,
        Op.ACCOUNT_FREEZE,
        Op.ACCOUNT_UNFREEZE,
        Op.ACCOUNT_CREDIT,
    }
)
USER_OPS = frozenset(KEYS) - OPERATOR_OPS
BATCH_OPS = USER_OPS - {Op.ACCOUNT_OPEN, Op.SUBACCOUNT_OPEN, Op.BATCH, Op.ACCOUNT_RESET}


def _names(ops: frozenset[Op]) -> dict[str, Op]:
    return {op.name.lower(): op for op in ops}


_OPS = {EntryKind.USER_INSTRUCTION: _names(USER_OPS), EntryKind.VENUE_INSTRUCTION: _names(USER_OPS | OPERATOR_OPS)}
_OPS_OF_BATCH = _names(BATCH_OPS)


def instruction_read(row: Row, data: dict[str, Any], beside: Beside) -> None:
    """Fill the envelope, then the keys of the operation; from here on a wrong key or value is a code."""
    if whole(data.pop("v"), 1) != 1:
        raise Malformed
    row[AT["account"]] = whole(data.pop("account"), 2**31 - 1)
    request_id = data.pop("request_id")
    if HEX32.fullmatch(request_id) is None:
        raise Malformed
    row[AT["request_hi"]], row[AT["request_lo"]] = units.pair_of_hex(request_id)
    name = data.pop("op")
    if type(name) is not str:
        raise Malformed
    op = _OPS[EntryKind(row[AT["kind"]])].get(name)
    if op is None:
        row[AT["code_early"]] = ResultCode.OP_UNKNOWN
        return
    if not _command_read(row, op, data):
        return
    if op == Op.BATCH:
        _batch_keep(row, data["commands"], beside)
    elif op == Op.ORDER_PLACE and "oco" in data:
        row[AT["parts_first"]] = beside.parts_add([wire_orders.leg_read(data["oco"])])
        row[AT["parts_count"]] = 1
    elif op == Op.MARKET_SET:
        row[AT["config_first"]] = beside.configs_add([wire_parameters.config_read(data)])
        row[AT["config_count"]] = 1


def _command_read(row: Row, op: Op, data: dict[str, Any]) -> bool:
    """Fill the words of one operation; return whether its shape is sound."""
    row[AT["op"]] = op
    if op in DEFAULTS:
        field, value = DEFAULTS[op]
        row[AT[field]] = value
    keys, required = KEYS[op]
    if not keys_read(row, data, keys, required):
        return False
    nothing = op in (Op.VENUE_SET, Op.MARKET_SET) and row[AT["parameters"]] == 0
    if nothing and row[AT["code_late"]] == OK:
        row[AT["code_late"]] = ResultCode.FIELD_MISSING
    return row[AT["code_late"]] == OK


def _batch_keep(row: Row, commands: list[Any], beside: Beside) -> None:
    """Append a batch's commands in order, then the other legs of the OCO orders among them."""
    parts: list[Row] = []
    legs: list[Row] = []
    first = beside.parts_count
    for command in commands:
        part = blank()
        for name in ("seq", "ts_us", "kind", "account", "request_hi", "request_lo"):
            part[AT[name]] = row[AT[name]]
        sound = _part_read(part, command)
        if sound and part[AT["op"]] == Op.ORDER_PLACE and "oco" in command:
            part[AT["parts_first"]] = first + len(commands) + len(legs)
            part[AT["parts_count"]] = 1
            legs.append(wire_orders.leg_read(command["oco"]))
        parts.append(part)
    row[AT["parts_first"]] = beside.parts_add([*parts, *legs])
    row[AT["parts_count"]] = len(parts)


def _part_read(part: Row, command: Any) -> bool:
    """Fill the words of one command of a batch; return whether its shape is sound."""
    if type(command) is not dict or type(command.get("op")) is not str:
        part[AT["code_early"]] = ResultCode.FIELD_TYPE_INVALID
        return False
    op = _OPS_OF_BATCH.get(command["op"])
    if op is None:
        part[AT["code_early"]] = ResultCode.OP_UNKNOWN
        return False
    return _command_read(part, op, {key: value for key, value in command.items() if key != "op"})
