"""Instructions become records: one for the entry, and rows beside it for legs, batches and parameters."""

from typing import Any

import numpy as np
import orjson
import pytest

from shared import records as r
from shared import units, wire
from shared.codes import (
    DeadmanScope,
    EntryKind,
    Liquidity,
    MarginMode,
    Op,
    OrderKind,
    ResultCode,
    Side,
    Stp,
    Tif,
    TriggerBy,
)
from shared.wire_instructions import BATCH_OPS, OPERATIONS, OPERATOR_OPS, USER_OPS

TS_US = 1_767_225_600_000_000
LIMIT = {"op": "order_place", "market": "BTC_USDC_PERP", "side": "sell", "kind": "limit", "qty": "1", "price": "7.5"}
LEG = {"kind": "stop_limit", "price": "3", "price_trigger": "4", "stp": "cancel_both", "reduce_only": False}
ENVELOPE_WORDS = r.word_offsets(r.COMMAND)["kind"]  # what leads a record and is no part of its body


def add(batch: wire.Batch, entry_kind: str = "user_instruction", /, **body: Any) -> Any:
    """Add one instruction and return its record."""
    envelope = {"v": 1, "account": 101, "request_id": "0" * 31 + "1"}
    fields = [(b"ts", b"%d" % TS_US), (entry_kind.encode(), orjson.dumps(envelope | body))]
    batch.add(batch.count + 2, fields)
    return batch.commands[batch.count - 1]


def read(entry_kind: str = "user_instruction", /, **body: Any) -> Any:
    """Return the record of one instruction."""
    return add(wire.Batch(1), entry_kind, **body)


def words(rows: Any) -> Any:
    """Return the words that count as the body of these records."""
    return np.atleast_1d(rows).view(np.int64).reshape(-1, r.COMMAND_WORDS)[:, ENVELOPE_WORDS:]


def test_an_order_says_which_keys_it_has() -> None:
    """Values stand in their words, and `present` tells a key left out from its zero."""
    body = {
        **LIMIT, "tif": "GTD", "expires_ms": 0, "post_only": True, "reduce_only": False, "position_id": 7,
        "stp": "cancel_maker", "trigger_by": "mark", "trail_ticks": 0, "trail_ppm": 5, "price_activation": "0",
        "close_percent": 50, "tpsl": "order", "stop_loss": {"price_trigger": "2", "price": "1.5"},
    }  # fmt: skip
    row = read(**body)
    assert (row["code_early"], row["code_late"]) == (0, 0)
    assert (row["side"], row["order_kind"], row["tif"]) == (Side.SELL, OrderKind.LIMIT, Tif.GTD)
    assert (row["post_only"], row["reduce_only"], row["position_id"]) == (1, 0, 7)
    assert (row["stp"], row["trigger_by"], row["trail_ppm"]) == (Stp.CANCEL_MAKER, TriggerBy.MARK, 5)
    assert (row["close_percent"], row["price_units"], row["price_e12"]) == (50, 7, 5 * 10**11)
    assert (row["stop_loss_price_units"], row["stop_loss_price_e12"]) == (1, 5 * 10**11)
    given = (
        r.PRESENT_MARKET | r.PRESENT_SIDE | r.PRESENT_QTY | r.PRESENT_PRICE | r.PRESENT_EXPIRES
        | r.PRESENT_REDUCE_ONLY | r.PRESENT_POSITION_ID | r.PRESENT_STP | r.PRESENT_TRIGGER_BY | r.PRESENT_TRAIL_TICKS
        | r.PRESENT_TRAIL_PPM | r.PRESENT_ACTIVATION | r.PRESENT_CLOSE_PERCENT | r.PRESENT_TPSL | r.PRESENT_STOP_LOSS
        | r.PRESENT_STOP_LOSS_PRICE
    )  # fmt: skip
    assert row["present"] == given
    assert (row["parts_count"], row["config_count"]) == (0, 0)


def test_defaults_are_words_but_not_present() -> None:
    """What an order and a dead-man's switch leave out has its default where there is only one."""
    row = read(**LIMIT)
    assert row["trigger_by"] == TriggerBy.QUOTE
    assert not row["present"] & r.PRESENT_TRIGGER_BY
    assert read(op="deadman_set", timeout_ms=0)["scope"] == DeadmanScope.OPENING
    assert read(op="deadman_set", timeout_ms=0, scope="all")["scope"] == DeadmanScope.ALL


def test_a_leg_is_a_record_with_its_own_keys_alone() -> None:
    """An OCO's other leg stands beside, and what it leaves out is neither set nor present."""
    batch = wire.Batch(2)
    row = add(batch, **LIMIT, oco=LEG, client_order_id="a")
    assert (row["code_late"], row["parts_first"], row["parts_count"]) == (0, 0, 1)
    leg = batch.parts[0]
    assert (leg["order_kind"], leg["stp"], leg["side"], leg["qty_units"]) == (
        OrderKind.STOP_LIMIT,
        Stp.CANCEL_BOTH,
        0,
        0,
    )
    assert leg["present"] == r.PRESENT_PRICE | r.PRESENT_PRICE_TRIGGER | r.PRESENT_STP | r.PRESENT_REDUCE_ONLY
    assert not leg["market"].any()
    named = add(batch, **LIMIT, oco=LEG | {"market": "ETH_USDC_PERP", "side": "buy", "qty": "2"})
    leg = batch.parts[named["parts_first"]]
    assert units.text_of_words(leg["market"].tolist()) == "ETH_USDC_PERP"
    assert leg["present"] & (r.PRESENT_MARKET | r.PRESENT_SIDE | r.PRESENT_QTY)


@pytest.mark.parametrize(
    ("leg", "early", "late"),
    [
        ({"price": "3"}, "OK", "FIELD_MISSING"),
        (LEG | {"price": 1.5}, "OK", "NUMBER_NOT_TEXT"),
        (LEG | {"colour": 1}, "FIELD_UNKNOWN", "OK"),
        (LEG | {"kind": "liquidation"}, "FIELD_UNKNOWN", "OK"),
        ([LEG], "OK", "FIELD_TYPE_INVALID"),
    ],
)
def test_a_wrong_leg_is_the_orders_fault(leg: Any, early: str, late: str) -> None:
    """What is wrong inside `oco` is reported for the whole order, and the leg is not kept."""
    row = read(**LIMIT, oco=leg)
    assert (ResultCode(row["code_early"]).name, ResultCode(row["code_late"]).name) == (early, late)
    assert row["parts_count"] == 0


def test_the_first_wrong_value_counts() -> None:
    """A wrong type inside `oco` comes after one of a key before it, and before one of a key behind it."""
    wrong = LEG | {"price": 1.5}
    assert read(**LIMIT | {"qty": True}, oco=wrong)["code_late"] == ResultCode.FIELD_TYPE_INVALID
    assert read(**LIMIT, oco=wrong, client_order_id="a b")["code_late"] == ResultCode.NUMBER_NOT_TEXT


def test_a_batch_is_its_commands_then_their_legs() -> None:
    """Commands stand in order, each with account and codes of its own; legs come after all of them."""
    batch = wire.Batch(2)
    add(batch, **LIMIT, oco=LEG)
    commands: list[Any] = [
        {**LIMIT, "oco": LEG},
        {"op": "order_cancel", "order_id": 5},
        5,
        {"op": "market_halt", "market": "X"},
        {"op": "order_cancel", "colour": 1},
        {**LIMIT, "oco": LEG | {"price": "2"}},
        {"op": "margin_change", "position_id": 1, "amount": []},
    ]
    row = add(batch, op="batch", commands=commands)
    assert (row["op"], row["parts_first"], row["parts_count"]) == (Op.BATCH, 1, 7)
    parts = batch.parts[1:8]
    codes = [ResultCode(part["code_early"] or part["code_late"]).name for part in parts]
    assert codes == ["OK", "OK", "FIELD_TYPE_INVALID", "OP_UNKNOWN", "FIELD_UNKNOWN", "OK", "FIELD_TYPE_INVALID"]
    assert set(parts["account"]) == {101}
    assert set(parts["kind"]) == {EntryKind.USER_INSTRUCTION}
    assert [part["parts_first"] for part in parts if part["parts_count"]] == [8, 9]
    assert batch.parts[9]["price_units"] == 2


def test_equal_bodies_have_equal_words() -> None:
    """A body sent again, whatever stands before it in a batch, has the same words in its record and beside it."""
    commands = [{**LIMIT, "oco": LEG}, {"op": "orders_cancel"}]
    settings = {"op": "market_set", "market": "X", "tick": "0.5", "liquidity": "book"}
    batch = wire.Batch(9)
    first, first_set = add(batch, op="batch", commands=commands), add(batch, "venue_instruction", **settings)
    for _ in range(2):
        add(batch, **LIMIT, oco=LEG | {"price": "9"})
    again, again_set = add(batch, op="batch", commands=commands), add(batch, "venue_instruction", **settings)
    assert first["parts_first"] != again["parts_first"]
    assert (words(first) == words(again)).all()
    places = (int(first["parts_first"]), int(again["parts_first"]))
    assert (words(batch.parts[places[0] : places[0] + 3]) == words(batch.parts[places[1] : places[1] + 3])).all()
    assert (words(first_set) == words(again_set)).all()
    assert batch.configs[first_set["config_first"]] == batch.configs[again_set["config_first"]]


def test_rows_beside_grow_and_are_forgotten() -> None:
    """More rows than fit double the array and keep what is there; `clear` begins anew with clean rows."""
    batch = wire.Batch(30)
    for price in range(1, 26):
        add(batch, op="batch", commands=[{**LIMIT, "oco": LEG | {"price": str(price)}}] * 20)
    assert len(batch.parts) >= 25 * 40
    assert [batch.parts[batch.commands[i]["parts_first"] + 39]["price_units"] for i in (0, 24)] == [1, 25]
    batch.clear()
    row = add(batch, op="batch", commands=[{"op": "orders_cancel"}])
    assert row["parts_first"] == 0
    assert batch.parts[0]["price_units"] == batch.parts[0]["order_kind"] == 0


@pytest.mark.parametrize("op", sorted(OPERATOR_OPS))
def test_a_user_has_no_operators_operation(op: Op) -> None:
    """An operator's operation is unknown to users, alone and in anybody's batch."""
    name = op.name.lower()
    assert read(op=name)["code_early"] == ResultCode.OP_UNKNOWN
    assert read("venue_instruction", op=name)["code_early"] == 0
    for kind in ("user_instruction", "venue_instruction"):
        batch = wire.Batch(1)
        add(batch, kind, op="batch", commands=[{"op": name}])
        assert batch.parts[0]["code_early"] == ResultCode.OP_UNKNOWN


def test_what_a_batch_may_hold() -> None:
    """Every operation of a user may stand in a batch but opening, resetting and another batch."""
    assert {Op.ACCOUNT_OPEN, Op.SUBACCOUNT_OPEN, Op.ACCOUNT_RESET, Op.BATCH} == USER_OPS - BATCH_OPS


def test_every_operation_is_a_users_or_an_operators() -> None:
    """The wire knows every number of an operation; those of an owner come after the operators' and are users'."""
    assert set(OPERATIONS) == {op for op in Op if op}
    assert {Op.MARGIN_MODE_SET, Op.ACCOUNT_GUARDS_SET, Op.SUBACCOUNT_OPEN, Op.ACCOUNT_TRANSFER} <= USER_OPS
    assert {op for op in Op if Op.VENUE_SET <= op <= Op.ACCOUNT_CREDIT} == OPERATOR_OPS


def test_a_margin_mode_is_a_word() -> None:
    """A market's mode is one of two words."""
    for name, mode in (("isolated", MarginMode.ISOLATED), ("cross", MarginMode.CROSS)):
        row = read(op="margin_mode_set", market="X", mode=name)
        assert (row["code_late"], row["op"], row["mode"]) == (0, Op.MARGIN_MODE_SET, mode)
        assert row["present"] == r.PRESENT_MARKET


def test_a_guard_is_set_removed_or_left() -> None:
    """A value, null and nothing at all are told apart for each guard."""
    row = read(op="account_guards_set", leverage_max=5, daily_loss_max="12.5", slippage_bps=0, stp="cancel_both")
    assert (row["code_late"], row["leverage_most"], row["slippage_bps"], row["stp"]) == (0, 5, 0, Stp.CANCEL_BOTH)
    assert (row["loss_most_units"], row["loss_most_e12"]) == (12, 5 * 10**11)
    assert row["present"] == (r.PRESENT_LEVERAGE_MOST | r.PRESENT_LOSS_MOST | r.PRESENT_SLIPPAGE | r.PRESENT_STP)
    row = read(op="account_guards_set", leverage_max=None, daily_loss_max=None, slippage_bps=None, stp=None)
    assert (row["code_late"], row["leverage_most"], row["loss_most_units"], row["stp"]) == (0, 0, 0, 0)
    assert row["present"] == (
        r.PRESENT_LEVERAGE_MOST_NULL | r.PRESENT_LOSS_MOST_NULL | r.PRESENT_SLIPPAGE_NULL | r.PRESENT_STP_NULL
    )
    assert read(op="account_guards_set")["present"] == 0


def test_a_transfer_names_an_account_and_an_amount() -> None:
    """The target is a whole number, the amount a decimal."""
    row = read(op="account_transfer", account_to=105, amount="7.25")
    assert (row["code_late"], row["account"], row["account_to"]) == (0, 101, 105)
    assert (row["amount_units"], row["amount_e12"]) == (7, 25 * 10**10)
    assert read(op="account_transfer", account_to="105", amount="7")["code_late"] == ResultCode.FIELD_TYPE_INVALID
    assert read(op="subaccount_open")["op"] == Op.SUBACCOUNT_OPEN


def test_parameters_of_a_market() -> None:
    """What market_set gives stands in a configuration's row, bit by bit in canonical order; all else is zero."""
    tiers = [
        {"floor": "0", "mmr_ppm": 10_000, "leverage_max": 50},
        {"floor": "1000", "mmr_ppm": 20_000, "leverage_max": 20},
    ]
    batch = wire.Batch(1)
    row = add(batch, "venue_instruction", op="market_set", market="X", lot="0.01", liquidity="quote_sized", tiers=tiers)
    names = [name for bit, name in enumerate(r.MARKET_PARAMETERS) if row["parameters"] >> bit & 1]
    assert (row["code_late"], names) == (0, ["lot", "liquidity", "tiers"])
    config = batch.configs[row["config_first"]]
    assert (config["lot_e12"], config["liquidity"], config["tiers_count"]) == (10**10, Liquidity.QUOTE_SIZED, 2)
    assert config["tiers"][1].tolist() == (1_000_000_000, 20_000, 20, 10_000_000)
    assert config["tick_e12"] == config["depth_levels"] == 0
    row = add(batch := wire.Batch(1), "venue_instruction", op="market_set", market="X", notional_max="2.5",
              open_interest_notional_max=0)  # fmt: skip
    names = [name for bit, name in enumerate(r.MARKET_PARAMETERS) if row["parameters"] >> bit & 1]
    assert (row["code_late"], names) == (0, ["notional_max", "open_interest_notional_max"])
    assert batch.configs[row["config_first"]]["notional_max_e6"] == 2_500_000


def test_parameters_of_the_venue() -> None:
    """What venue_set gives stands in its own words."""
    row = read("venue_instruction", op="venue_set", starting_balance="7.5", positions_open_max=9, stp_owner=1)
    names = [name for bit, name in enumerate(r.VENUE_PARAMETERS) if row["parameters"] >> bit & 1]
    assert (row["code_late"], names) == (0, ["starting_balance", "positions_open_max", "stp_owner"])
    assert (row["stp_owner"], row["subaccounts_max"]) == (1, 0)
    assert (row["starting_balance_e6"], row["positions_open_max"], row["orders_max"]) == (7_500_000, 9, 0)
    for op in ("venue_set", "market_set"):
        assert read("venue_instruction", op=op, **({"market": "X"} if op == "market_set" else {}))["code_late"] == (
            ResultCode.FIELD_MISSING
        )


def test_a_credit_has_sign_and_reason() -> None:
    """An amount is signed in both words, and the reason is kept as text."""
    row = read("venue_instruction", op="account_credit", amount="-5.25", reason="a mistake of ours")
    assert (row["amount_units"], row["amount_e12"]) == (-5, -25 * 10**10)
    assert units.text_of_words(row["reason"].tolist()) == "a mistake of ours"


@pytest.mark.parametrize("body", [b'{"v":1,"venue":"a","rules":1,"venue_set":5,"markets":[]}', b'{"v":[]}', b"{}"])
def test_a_genesis_of_any_shape_is_read_or_malformed(body: bytes) -> None:
    """Whatever stands in a first entry, reading ends."""
    batch = wire.Batch(1)
    batch.add(1, [(b"ts", b"%d" % TS_US), (b"genesis", body)])
    assert batch.commands[0]["kind"] == EntryKind.MALFORMED
