"""
The keys of the operations of a user, each with how it is read, in canonical order; pure.

`oco` is checked here and becomes a record of its own (`leg_read`): what it leaves out is the first leg's, which the
core fills in.
"""

from typing import Any

from shared import records as r
from shared.codes import DeadmanScope, MarginMode, OrderKind, ResultCode, Side, Stp, Tif, Tpsl, TriggerBy
from shared.wire_rows import AT, Row
from shared.wire_values import (
    CLIENT_ID,
    MARKET,
    OK,
    OWNER,
    Key,
    Shape,
    blank,
    choice_key,
    decimal_key,
    decimal_put,
    flag_key,
    keys_read,
    percent_key,
    present,
    whole_key,
)

SOURCES = {by.name.lower(): int(by) for by in TriggerBy if by}
SIDES = {"buy": int(Side.BUY), "sell": int(Side.SELL)}
# What a user may ask for; the engine's own kinds are not among them.
KINDS = {
    kind.name.lower(): int(kind)
    for kind in (
        OrderKind.MARKET,
        OrderKind.LIMIT,
        OrderKind.STOP_MARKET,
        OrderKind.STOP_LIMIT,
        OrderKind.TAKE_PROFIT_MARKET,
        OrderKind.TAKE_PROFIT_LIMIT,
        OrderKind.TRAILING_STOP,
    )
}
TIFS = {tif.name: int(tif) for tif in Tif if tif}
STPS = {stp.name.lower(): int(stp) for stp in Stp if stp}
TPSLS = {tpsl.name.lower(): int(tpsl) for tpsl in Tpsl if tpsl}
MODES = {mode.name.lower(): int(mode) for mode in MarginMode if mode}
SCOPES = {scope.name.lower(): int(scope) for scope in DeadmanScope if scope}


def _child_key(field: str, bit: int, bit_null: int, bit_price: int) -> Key:
    """Return the key of `{"price_trigger", "trigger_by"?, "price"?}`, or of the bare trigger; null removes."""

    def put(row: Row, value: Any) -> ResultCode:
        row[AT[field + "_by"]] = TriggerBy.QUOTE
        if value is None:
            return present(row, bit_null)
        present(row, bit)
        if type(value) is not dict:
            return decimal_put(row, field, value)
        if not value.keys() <= {"price_trigger", "trigger_by", "price"}:
            return ResultCode.FIELD_UNKNOWN
        if "price_trigger" not in value:
            return ResultCode.FIELD_MISSING
        code = decimal_put(row, field, value["price_trigger"])
        if code == OK and "trigger_by" in value:
            code = choice_key(field + "_by", SOURCES).read(row, value["trigger_by"])
        if "price" in value:
            present(row, bit_price)
            if code == OK:
                code = decimal_put(row, field + "_price", value["price"])
        return code

    return Key(put, Shape.CHILD, field, bit, bit_null, bit_price)


def _or_null(key: Key, bit_null: int) -> Key:
    """Return a key that takes null too, which removes what was set."""

    def put(row: Row, value: Any) -> ResultCode:
        return present(row, bit_null) if value is None else key.read(row, value)

    return key._replace(read=put, bit_null=bit_null)


def _oco_read(row: Row, value: Any) -> ResultCode:
    """Return the first rule that the other leg breaks; the leg itself is read again by who keeps it."""
    present(row, r.PRESENT_OCO)
    if type(value) is not dict:
        return ResultCode.FIELD_TYPE_INVALID
    leg = leg_read(value)
    return ResultCode(leg[AT["code_early"]] or leg[AT["code_late"]])


# Kinds come with later rules: one that these do not know is refused like an unknown key.
_KIND = choice_key("order_kind", KINDS, unknown=ResultCode.FIELD_UNKNOWN)
_SIDE = choice_key("side", SIDES, r.PRESENT_SIDE)
_QTY = decimal_key("qty", r.PRESENT_QTY)
_PRICE = decimal_key("price", r.PRESENT_PRICE)
_PRICE_TRIGGER = decimal_key("price_trigger", r.PRESENT_PRICE_TRIGGER)
_STP = choice_key("stp", STPS, r.PRESENT_STP)
_SLIPPAGE = whole_key("slippage_bps", r.PRESENT_SLIPPAGE)
_ORDER_ID = whole_key("order_id", r.PRESENT_ORDER_ID)
_POSITION_ID = whole_key("position_id", r.PRESENT_POSITION_ID)
_TAKE_PROFIT = _child_key("take_profit", r.PRESENT_TAKE_PROFIT, r.PRESENT_TAKE_PROFIT_NULL, r.PRESENT_TAKE_PROFIT_PRICE)
_STOP_LOSS = _child_key("stop_loss", r.PRESENT_STOP_LOSS, r.PRESENT_STOP_LOSS_NULL, r.PRESENT_STOP_LOSS_PRICE)

# What an order and the other leg of an OCO both say between their quantity and their bracket.
_TERMS: dict[str, Key] = {
    "price": _PRICE,
    "price_trigger": _PRICE_TRIGGER,
    "trigger_by": choice_key("trigger_by", SOURCES, r.PRESENT_TRIGGER_BY),
    "trail_ticks": whole_key("trail_ticks", r.PRESENT_TRAIL_TICKS),
    "trail_ppm": whole_key("trail_ppm", r.PRESENT_TRAIL_PPM),
    "price_activation": decimal_key("price_activation", r.PRESENT_ACTIVATION),
    "tif": choice_key("tif", TIFS),
    "expires_ms": whole_key("expires_ms", r.PRESENT_EXPIRES),
    "post_only": flag_key("post_only"),
    "reduce_only": flag_key("reduce_only", r.PRESENT_REDUCE_ONLY),
    "position_id": _POSITION_ID,
    "stp": _STP,
    "slippage_bps": _SLIPPAGE,
}
_HEAD: dict[str, Key] = {"market": MARKET, "side": _SIDE, "kind": _KIND, "qty": _QTY}
_LEG: dict[str, Key] = {**_HEAD, **_TERMS, "client_order_id": CLIENT_ID}
_LEG_REQUIRED = frozenset({"kind"})

ORDER_PLACE: dict[str, Key] = {
    **_HEAD,
    "quote_qty": decimal_key("quote_qty", r.PRESENT_QUOTE_QTY),
    "close_percent": percent_key("close_percent", r.PRESENT_CLOSE_PERCENT),
    **_TERMS,
    "take_profit": _TAKE_PROFIT,
    "stop_loss": _STOP_LOSS,
    "tpsl": choice_key("tpsl", TPSLS, r.PRESENT_TPSL),
    "oco": Key(_oco_read),
    "client_order_id": CLIENT_ID,
}
ORDER_AMEND: dict[str, Key] = {
    "order_id": _ORDER_ID,
    "client_order_id": CLIENT_ID,
    "qty": _QTY,
    "price": _PRICE,
    "price_trigger": _PRICE_TRIGGER,
}
ORDER_CANCEL: dict[str, Key] = {"order_id": _ORDER_ID, "client_order_id": CLIENT_ID}
MARKET_ONLY: dict[str, Key] = {"market": MARKET}
MARKET_SETTLE: dict[str, Key] = {"market": MARKET, "price": _PRICE}
TRADE_CREATE: dict[str, Key] = {
    "market": MARKET,
    "side": _SIDE,
    "margin": decimal_key("margin", r.PRESENT_MARGIN),
    "qty": _QTY,
    "leverage": whole_key("leverage"),
    "slippage_bps": _SLIPPAGE,
    "take_profit": _TAKE_PROFIT,
    "stop_loss": _STOP_LOSS,
    "client_order_id": CLIENT_ID,
}
TRADE_CLOSE: dict[str, Key] = {
    "position_id": _POSITION_ID,
    "qty": _QTY,
    "percent": percent_key("percent", r.PRESENT_PERCENT),
}
POSITION_ONLY: dict[str, Key] = {"position_id": _POSITION_ID}
POSITION_TRIGGERS_SET: dict[str, Key] = {
    "position_id": _POSITION_ID,
    "take_profit": _TAKE_PROFIT,
    "stop_loss": _STOP_LOSS,
}
MARGIN_CHANGE: dict[str, Key] = {"position_id": _POSITION_ID, "amount": decimal_key("amount")}
LEVERAGE_SET: dict[str, Key] = {"market": MARKET, "leverage": whole_key("leverage")}
MARGIN_MODE_SET: dict[str, Key] = {"market": MARKET, "mode": choice_key("mode", MODES)}
DEADMAN_SET: dict[str, Key] = {"timeout_ms": whole_key("timeout_ms"), "scope": choice_key("scope", SCOPES)}
ACCOUNT_OPEN: dict[str, Key] = {"owner": OWNER}
ACCOUNT_GUARDS_SET: dict[str, Key] = {
    "leverage_max": _or_null(whole_key("leverage_most", r.PRESENT_LEVERAGE_MOST), r.PRESENT_LEVERAGE_MOST_NULL),
    "daily_loss_max": _or_null(decimal_key("loss_most", r.PRESENT_LOSS_MOST), r.PRESENT_LOSS_MOST_NULL),
    "slippage_bps": _or_null(_SLIPPAGE, r.PRESENT_SLIPPAGE_NULL),
    "stp": _or_null(_STP, r.PRESENT_STP_NULL),
}
ACCOUNT_TRANSFER: dict[str, Key] = {"account_to": whole_key("account_to"), "amount": decimal_key("amount")}


def leg_read(data: dict[str, Any]) -> Row:
    """Return the other leg of an OCO as a record in which only its own keys are set."""
    leg = blank()
    leg[AT["trigger_by"]] = TriggerBy.QUOTE
    keys_read(leg, data, _LEG, _LEG_REQUIRED)
    return leg
