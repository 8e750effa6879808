"""Bodies become canonical fields or a refusal that names the key."""

from typing import Any

import pytest

from gateway import schemas
from gateway.errors import Refusal
from gateway.instructions import Instruction
from gateway.shapes import WORDS, Shape
from shared import wire_instructions as wire
from shared import wire_orders
from shared.codes import Op, OrderKind

ORDER = {"market": "BTC_USDC_PERP", "side": "buy", "qty": "0.001"}


@pytest.mark.parametrize("operation", schemas.OPERATIONS, ids=lambda operation: operation.op)
def test_operations_have_the_keys_of_the_wire(operation: schemas.Operation) -> None:
    """The gateway and the log agree on every operation's keys and their order."""
    keys, _required = wire.OPERATIONS[Op[operation.op.upper()]]
    assert operation.keys == tuple(keys)
    assert set(schemas.schema_fields(operation.schema)) == set(keys)


def test_every_operation_of_the_rules_is_offered() -> None:
    """No operation of a user that the engine knows is missing here, nor one that a batch may hold."""
    assert {operation.op for operation in schemas.OPERATIONS} == {op.name.lower() for op in wire.USER_OPS}
    assert {operation.op for operation in schemas.OPERATIONS_OF_BATCH} == {op.name.lower() for op in wire.BATCH_OPS}


def test_words_are_those_of_the_wire() -> None:
    """The gateway and the log know the same words of every enumeration, and users may ask for all kinds but ours."""
    wires = {
        Shape.SIDE: wire_orders.SIDES, Shape.KIND: wire_orders.KINDS, Shape.TIF: wire_orders.TIFS,
        Shape.STP: wire_orders.STPS, Shape.TPSL: wire_orders.TPSLS, Shape.SCOPE: wire_orders.SCOPES,
        Shape.TRIGGER_BY: wire_orders.SOURCES, Shape.MODE: wire_orders.MODES,
    }  # fmt: skip
    assert {shape: set(words) for shape, (_codes, words) in WORDS.items()} == {
        shape: set(words) for shape, words in wires.items()
    }
    ours = {OrderKind.NONE, OrderKind.LIQUIDATION, OrderKind.SETTLEMENT, OrderKind.ADL}
    assert set(wire_orders.KINDS.values()) == set(OrderKind) - ours


def test_entry_is_canonical() -> None:
    """An instruction is written with the envelope first, keys in the wire's order, without blanks."""
    body = {"stop_loss": "50000", "qty": 2, "side": "buy", "market": "BTC_USDC_PERP", "client_order_id": "a"}
    fields = schemas.operation_read(schemas.ORDER_PLACE, body)
    entry = Instruction(101, "0" * 32, "order_place", 5, fields).entry()
    assert entry == [
        (b"ts", b"5"),
        (
            b"user_instruction",
            b'{"v":1,"account":101,"request_id":"00000000000000000000000000000000","op":"order_place",'
            b'"market":"BTC_USDC_PERP","side":"buy","kind":"market","qty":"2","stop_loss":"50000",'
            b'"client_order_id":"a"}',
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"colour": 1}, "FIELD_UNKNOWN", "colour"),
        ({"qty": 1.5}, "NUMBER_NOT_TEXT", "qty"),
        ({"qty": 10**40}, "NUMBER_NOT_TEXT", "qty"),
        ({"qty": True}, "FIELD_TYPE_INVALID", "qty"),
        ({"qty": None}, "FIELD_TYPE_INVALID", "qty"),
        ({"qty": "1e3"}, "NUMBER_MALFORMED", "qty"),
        ({"qty": "+1"}, "NUMBER_MALFORMED", "qty"),
        ({"qty": "١"}, "NUMBER_MALFORMED", "qty"),
        ({"qty": " 1"}, "NUMBER_MALFORMED", "qty"),
        ({"qty": "NaN"}, "NUMBER_MALFORMED", "qty"),
        ({"qty": "1" * 40}, "NUMBER_MALFORMED", "qty"),
        ({"qty": "1" * 60_000}, "NUMBER_MALFORMED", "qty"),
        ({"side": "BUY"}, "FIELD_VALUE_UNKNOWN", "side"),
        ({"side": 1}, "FIELD_TYPE_INVALID", "side"),
        ({"kind": "liquidation"}, "FIELD_VALUE_UNKNOWN", "kind"),
        ({"stp": "none"}, "FIELD_VALUE_UNKNOWN", "stp"),
        ({"tpsl": 1}, "FIELD_TYPE_INVALID", "tpsl"),
        ({"reduce_only": "true"}, "FIELD_TYPE_INVALID", "reduce_only"),
        ({"expires_ms": "1"}, "FIELD_TYPE_INVALID", "expires_ms"),
        ({"expires_ms": 2**80}, "EXPIRY_IN_PAST", "expires_ms"),
        ({"trail_ppm": 0.5}, "NUMBER_NOT_TEXT", "trail_ppm"),
        ({"trail_ticks": 2**80}, "TRAIL_OUT_OF_RANGE", "trail_ticks"),
        ({"oco": "limit"}, "FIELD_TYPE_INVALID", "oco"),
        ({"oco": {}}, "FIELD_MISSING", "oco.kind"),
        ({"oco": {"kind": "limit", "tpsl": "order"}}, "FIELD_UNKNOWN", "oco.tpsl"),
        ({"oco": {"kind": "limit", "price": 1.5}}, "NUMBER_NOT_TEXT", "oco.price"),
        ({"tif": "gtc"}, "FIELD_VALUE_UNKNOWN", "tif"),
        ({"post_only": 1}, "FIELD_TYPE_INVALID", "post_only"),
        ({"slippage_bps": "5"}, "FIELD_TYPE_INVALID", "slippage_bps"),
        ({"slippage_bps": 5.0}, "NUMBER_NOT_TEXT", "slippage_bps"),
        ({"slippage_bps": 2**70}, "SLIPPAGE_OUT_OF_RANGE", "slippage_bps"),
        ({"market": ""}, "MARKET_UNKNOWN", "market"),
        ({"market": "BTC\x00"}, "MARKET_UNKNOWN", "market"),
        ({"client_order_id": "ä"}, "TEXT_INVALID", "client_order_id"),
        ({"take_profit": {"colour": "1"}}, "FIELD_UNKNOWN", "take_profit.colour"),
        ({"take_profit": {"price": "1"}}, "FIELD_MISSING", "take_profit.price_trigger"),
        ({"take_profit": {}}, "FIELD_MISSING", "take_profit.price_trigger"),
        ({"take_profit": {"price_trigger": 1.5}}, "NUMBER_NOT_TEXT", "take_profit.price_trigger"),
        ({"take_profit": None}, "FIELD_TYPE_INVALID", "take_profit"),
        ({"take_profit": [1]}, "FIELD_TYPE_INVALID", "take_profit"),
    ],
)
def test_wrong_values_name_their_key(changes: dict[str, Any], code: str, field: str) -> None:
    """A wrong value is refused by the code of its rule, and the detail says which key it was."""
    with pytest.raises(Refusal) as caught:
        schemas.operation_read(schemas.ORDER_PLACE, ORDER | changes)
    assert (caught.value.code, caught.value.detail["field"]) == (code, field)


def test_missing_and_exclusive_keys() -> None:
    """A needed key that is missing, and two that exclude each other, are refused by name."""
    with pytest.raises(Refusal) as caught:
        schemas.operation_read(schemas.ORDER_PLACE, {"market": "X", "side": "buy"})
    assert caught.value.code == "FIELD_MISSING"
    assert caught.value.detail == {"fields": ["qty", "quote_qty", "close_percent"]}
    with pytest.raises(Refusal, match="FIELDS_EXCLUSIVE"):
        schemas.operation_read(schemas.ORDER_PLACE, ORDER | {"quote_qty": "5"})
    trade = {"market": "X", "side": "buy", "leverage": 5}
    with pytest.raises(Refusal, match="FIELD_MISSING"):
        schemas.operation_read(schemas.TRADE_CREATE, trade)
    with pytest.raises(Refusal, match="FIELDS_EXCLUSIVE"):
        schemas.operation_read(schemas.TRADE_CREATE, trade | {"qty": "1", "margin": "1"})


@pytest.mark.parametrize(
    ("commands", "code", "field"),
    [
        ({}, "FIELD_TYPE_INVALID", "commands"),
        ([], "BATCH_SIZE_INVALID", "commands"),
        ([{"op": "orders_cancel"}] * 21, "BATCH_SIZE_INVALID", "commands"),
        ([{"op": "orders_cancel"}, 5], "FIELD_TYPE_INVALID", "commands[1]"),
        ([{"order_id": 5}], "FIELD_TYPE_INVALID", "commands[0].op"),
        ([{"op": "batch", "commands": []}], "OP_UNKNOWN", "commands[0].op"),
        ([{"op": "account_reset"}], "OP_UNKNOWN", "commands[0].op"),
        ([{"op": "subaccount_open"}], "OP_UNKNOWN", "commands[0].op"),
        ([{"op": "account_guards_set"}], "FIELD_MISSING", "commands[0]"),
        (
            [{"op": "account_transfer", "account_to": 2**80, "amount": 1}],
            "ACCOUNT_TARGET_UNKNOWN",
            "commands[0].account_to",
        ),
        ([{"op": "market_halt", "market": "X"}], "OP_UNKNOWN", "commands[0].op"),
        ([{"op": "order_cancel", "order_id": "5"}], "FIELD_TYPE_INVALID", "commands[0].order_id"),
        ([{"op": "order_cancel"}], "FIELD_MISSING", "commands[0]"),
        ([{"op": "order_place", **ORDER, "stop_loss": {}}], "FIELD_MISSING", "commands[0].stop_loss.price_trigger"),
    ],
)
def test_a_batch_of_a_wrong_shape_names_the_key(commands: Any, code: str, field: str) -> None:
    """One command of a wrong shape refuses the whole batch, and the detail says the way to the key."""
    with pytest.raises(Refusal) as caught:
        schemas.operation_read(schemas.BATCH, {"commands": commands})
    assert (caught.value.code, caught.value.detail["field"]) == (code, field)


def test_a_batch_is_canonical_inside() -> None:
    """Each command has its op in front, its keys in the wire's order and its defaults filled in."""
    place = {**ORDER, "oco": {"price_trigger": 5, "kind": "stop_market"}, "op": "order_place", "price": "7"}
    fields = schemas.operation_read(schemas.BATCH, {"commands": [place, {"order_id": 3, "op": "order_cancel"}]})
    assert [list(command.items()) for command in fields["commands"]] == [
        [
            ("op", "order_place"),
            ("market", "BTC_USDC_PERP"),
            ("side", "buy"),
            ("kind", "market"),
            ("qty", "0.001"),
            ("price", "7"),
            ("oco", {"kind": "stop_market", "price_trigger": "5"}),
        ],
        [("op", "order_cancel"), ("order_id", 3)],
    ]


def test_null_removes_a_trigger_and_absence_keeps_it() -> None:
    """Only the operation that sets triggers knows null, and it does not confuse it with a key left out."""
    fields = schemas.operation_read(schemas.TRIGGERS_SET, {"position_id": 1, "stop_loss": None})
    assert fields == {"position_id": 1, "stop_loss": None}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"leverage_max": 2**70}, "LEVERAGE_OUT_OF_RANGE", "leverage_max"),
        ({"slippage_bps": 2**70}, "SLIPPAGE_OUT_OF_RANGE", "slippage_bps"),
        ({"leverage_max": 5.0}, "NUMBER_NOT_TEXT", "leverage_max"),
        ({"daily_loss_max": "1e3"}, "NUMBER_MALFORMED", "daily_loss_max"),
        ({"daily_loss_max": False}, "FIELD_TYPE_INVALID", "daily_loss_max"),
        ({"stp": "cancel_nobody"}, "FIELD_VALUE_UNKNOWN", "stp"),
    ],
)
def test_a_wrong_guard_names_its_key(body: dict[str, Any], code: str, field: str) -> None:
    """A guard is read as an order's own key of that shape, beside the null that removes it."""
    with pytest.raises(Refusal) as caught:
        schemas.operation_read(schemas.ACCOUNT_GUARDS_SET, body)
    assert (caught.value.code, caught.value.detail["field"]) == (code, field)


def test_null_removes_a_guard_and_nothing_to_do_is_refused() -> None:
    """Each guard may be null, one that is left out is left out; a body without any sets nothing and is refused."""
    nothing = dict.fromkeys(schemas.ACCOUNT_GUARDS_SET.keys)
    assert schemas.operation_read(schemas.ACCOUNT_GUARDS_SET, nothing) == nothing
    assert schemas.operation_read(schemas.ACCOUNT_GUARDS_SET, {"stp": "cancel_both"}) == {"stp": "cancel_both"}
    with pytest.raises(Refusal) as caught:
        schemas.operation_read(schemas.ACCOUNT_GUARDS_SET, {})
    assert (caught.value.code, caught.value.detail["fields"]) == ("FIELD_MISSING", list(nothing))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"1", b"{", b'{"a":NaN}', b"\xff", b"[" * 60_000, b'{"a":"\\ud800"}', b'{"a":1e400}']
)
def test_bodies_that_are_no_object(data: bytes) -> None:
    """Whatever cannot be read as one JSON object is BODY_MALFORMED, at any depth."""
    with pytest.raises(Refusal, match="BODY_MALFORMED"):
        schemas.body_object(data)
