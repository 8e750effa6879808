"""Bodies become canonical fields or a refusal that names the key."""

from typing import Any

import pytest

from gateway import schemas
from gateway.errors import Refusal
from gateway.instructions import Instruction
from shared import wire_instructions as wire
from shared.codes import Op

ORDER = {"market": "BTC_USDC_PERP", "side": "buy", "qty": "0.001"}


@pytest.mark.parametrize("operation", schemas.OPERATIONS, ids=lambda operation: operation.op)
def test_operations_have_the_keys_of_the_wire(operation: schemas.Operation) -> None:
    """The gateway and the log agree on every operation's keys and their order, and no key is lost in the struct."""
    keys, _required = wire.OPERATIONS[Op[operation.op.upper()]]
    assert operation.keys == tuple(keys)
    assert set(schemas.schema_fields(operation.schema)) == set(keys)


def test_every_operation_of_the_rules_is_offered() -> None:
    """No operation that the engine knows is missing here."""
    assert {operation.op for operation in schemas.OPERATIONS} == {op.name.lower() for op in wire.OPERATIONS}


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
        ({"kind": "stop_market"}, "FIELD_VALUE_UNKNOWN", "kind"),
        ({"tif": "gtc"}, "FIELD_VALUE_UNKNOWN", "tif"),
        ({"post_only": 1}, "FIELD_TYPE_INVALID", "post_only"),
        ({"slippage_bps": "5"}, "FIELD_TYPE_INVALID", "slippage_bps"),
        ({"slippage_bps": 5.0}, "NUMBER_NOT_TEXT", "slippage_bps"),
        ({"slippage_bps": 2**70}, "SLIPPAGE_OUT_OF_RANGE", "slippage_bps"),
        ({"market": ""}, "MARKET_UNKNOWN", "market"),
        ({"market": "BTC\x00"}, "MARKET_UNKNOWN", "market"),
        ({"client_order_id": "ä"}, "TEXT_INVALID", "client_order_id"),
        ({"take_profit": {"price": "1"}}, "FIELD_UNKNOWN", "take_profit.price"),
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
    assert (caught.value.code, caught.value.detail) == ("FIELD_MISSING", {"field": "qty"})
    trade = {"market": "X", "side": "buy", "leverage": 5}
    with pytest.raises(Refusal, match="FIELD_MISSING"):
        schemas.operation_read(schemas.TRADE_CREATE, trade)
    with pytest.raises(Refusal, match="FIELDS_EXCLUSIVE"):
        schemas.operation_read(schemas.TRADE_CREATE, trade | {"qty": "1", "margin": "1"})


def test_null_removes_a_trigger_and_absence_keeps_it() -> None:
    """Only the operation that sets triggers knows null, and it does not confuse it with a key left out."""
    fields = schemas.operation_read(schemas.TRIGGERS_SET, {"position_id": 1, "stop_loss": None})
    assert fields == {"position_id": 1, "stop_loss": None}


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"1", b"{", b'{"a":NaN}', b"\xff", b"[" * 60_000, b'{"a":"\\ud800"}', b'{"a":1e400}']
)
def test_bodies_that_are_no_object(data: bytes) -> None:
    """Whatever cannot be read as one JSON object is BODY_MALFORMED, at any depth."""
    with pytest.raises(Refusal, match="BODY_MALFORMED"):
        schemas.body_object(data)
