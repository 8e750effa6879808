"""Event records become canonical JSON in both encoders: keys in order, optional ones left out, a batch's results in."""

from typing import Any

import numpy as np
import pytest

from engine.encode.encoded import EventEncoder
from shared import records as r
from shared import units
from shared.codes import (
    CloseReason,
    EventKind,
    LedgerReason,
    Liquidity,
    MarginMode,
    MarketState,
    Op,
    OrderKind,
    OrderStatus,
    PositionKind,
    ResultCode,
    Side,
    Stp,
    Tif,
    TriggerBy,
)
from shared.wire_events import EVENTS_CHUNK, Encoder, Output

ORDER = {"order_id": 7, "side": Side.BUY, "order_kind": OrderKind.LIMIT, "tif": Tif.GTC, "slippage_bps": -1}


def record(kind: EventKind, **fields: Any) -> Any:
    """Return one event of account 101 in a market with tick 0.1 and lot 0.001."""
    event = np.zeros(1, r.EVENT)
    values = {"seq": 5, "market": 1, "tick_e12": 10**11, "lot_e12": 10**9, "account": 101, "kind": kind, **fields}
    for name, value in values.items():
        event[name] = value
    return event


def outputs(*events: Any) -> list[Output]:
    """Return the entries that these events become, in the compiled encoder as in the plain one."""
    found = Encoder(["BTC"], (0, 0)).feed(np.concatenate(events))
    assert EventEncoder(["BTC"], (0, 0)).feed(np.concatenate(events)) == found
    return found


def printed(kind: EventKind, **fields: Any) -> str:
    """Return one event's JSON."""
    [output] = outputs(record(kind, **fields))
    return output.data.decode()[1:-1]


CASES: list[tuple[EventKind, dict[str, Any], str]] = [
    (
        EventKind.ORDER_CHANGED,
        {**ORDER, "status": OrderStatus.RESTING, "qty_lots": 5, "price_ticks": 600, "expires_us": 9_000,
         "stp": Stp.CANCEL_MAKER, "oco_id": 8, "reduce_only": 1, "opened_us": 3},
        '{"e":"order_changed","account":101,"market":"BTC","order_id":7,"oco_order_id":8,"side":"buy","kind":"limit",'
        '"tif":"GTC","status":"resting","qty":"0.005","qty_filled":"0.000","price":"60.0","post_only":false,'
        '"reduce_only":true,"stp":"cancel_maker","expires_ms":9,"reserved":"0.000000","placed_us":3}',
    ),
    (
        EventKind.ORDER_CHANGED,
        {**ORDER, "order_kind": OrderKind.TRAILING_STOP, "tif": 0, "status": OrderStatus.TRIGGER,
         "trigger_by": TriggerBy.MARK, "trail_ppm": 500, "price_activation_ticks": 610, "price_peak_ticks": 620,
         "price_trigger_ticks": 619, "close_percent": 50, "slippage_bps": 0, "position_id": 4,
         "stp": Stp.CANCEL_TAKER},
        '{"e":"order_changed","account":101,"market":"BTC","order_id":7,"position_id":4,"side":"buy",'
        '"kind":"trailing_stop","status":"trigger","qty_filled":"0.000","price_trigger":"61.9","trigger_by":"mark",'
        '"trail_ppm":500,"price_activation":"61.0","price_peak":"62.0","close_percent":50,"slippage_bps":0,'
        '"post_only":false,"reduce_only":false,"reserved":"0.000000","placed_us":0}',
    ),
    (
        EventKind.CLOSED_ORDER,
        {**ORDER, "reason": CloseReason.TRIGGER_FAILED, "result": ResultCode.MARGIN_INSUFFICIENT, "oco_id": 8,
         "slippage_bps": 5, "price_average_e4": 6_000_001},
        '{"e":"closed_order","account":101,"market":"BTC","order_id":7,"side":"buy","kind":"limit","tif":"GTC",'
        '"reason":"trigger_failed","result":"MARGIN_INSUFFICIENT","qty_filled":"0.000","price_average":"60.00001",'
        '"fee":"0.000000","pnl_realised":"0.000000","placed_us":0,"closed_us":0}',
    ),
    (
        EventKind.CLOSED_ORDER,
        {**ORDER, "reason": CloseReason.OCO, "result": ResultCode.MARGIN_INSUFFICIENT},
        '{"e":"closed_order","account":101,"market":"BTC","order_id":7,"side":"buy","kind":"limit","tif":"GTC",'
        '"reason":"oco","qty_filled":"0.000","fee":"0.000000","pnl_realised":"0.000000","placed_us":0,"closed_us":0}',
    ),
    (
        EventKind.FILL,
        {"order_id": 7, "position_id": 4, "fill_id": 2, "side": Side.SELL, "maker": 1, "qty_lots": 5,
         "price_average_e4": 6_000_000, "notional_e6": 300_000},
        '{"e":"fill","account":101,"market":"BTC","order_id":7,"position_id":4,"fill_id":2,"side":"sell",'
        '"maker":true,"price":"60.0","qty":"0.005","notional":"0.300000","fee":"0.000000","pnl_realised":"0.000000"}',
    ),
    (
        EventKind.TRADE,
        {"side": Side.SELL, "qty_lots": 5, "price_average_e4": 6_000_050},
        '{"e":"trade","market":"BTC","price":"60.00050","qty":"0.005","side":"sell"}',
    ),
    (
        EventKind.POSITION_CHANGED,
        {"position_id": 4, "position_kind": PositionKind.NET, "qty_lots": -5, "leverage": 9, "stop_loss_id": 8,
         "stop_loss_ticks": 650, "stop_loss_by": TriggerBy.QUOTE, "stop_loss_price_ticks": 655, "funding_e6": -7},
        '{"e":"position_changed","account":101,"market":"BTC","position_id":4,"kind":"net","qty":"-0.005",'
        '"leverage":9,"cost":"0.000000","margin":"0.000000","stop_loss":{"order_id":8,"price_trigger":"65.0",'
        '"trigger_by":"quote","price":"65.5"},"pnl_realised":"0.000000","fees":"0.000000","funding":"-0.000007",'
        '"opened_us":0}',
    ),
    (
        EventKind.CLOSED_POSITION,
        {"position_id": 4, "position_kind": PositionKind.TICKET, "side": -1, "qty_lots": 5, "funding_e6": 7,
         "reason": CloseReason.MARKET_SETTLED},
        '{"e":"closed_position","account":101,"market":"BTC","position_id":4,"kind":"ticket","direction":"short",'
        '"qty":"0.005","price_entry":"0.00000","price_exit":"0.00000","pnl_realised":"0.000000","fees":"0.000000",'
        '"funding":"0.000007","reason":"market_settled","opened_us":0,"closed_us":0}',
    ),
    (
        EventKind.ACCOUNT_CHANGED,
        {"free_e6": 1, "frozen": 1, "deadman_us": 9, "resets": 2},
        '{"e":"account_changed","account":101,"free":"0.000001","reserved":"0.000000","frozen":true,"deadman_us":9,'
        '"resets":2}',
    ),
    (
        EventKind.ACCOUNT_CHANGED,
        {"reserved_e6": 1},
        '{"e":"account_changed","account":101,"free":"0.000000","reserved":"0.000001"}',
    ),
    (
        EventKind.ACCOUNT_CHANGED,
        {"free_e6": -1, "mode": MarginMode.CROSS, "resets": 2, "locked_until_ms": 86_400_000},
        '{"e":"account_changed","account":101,"free":"-0.000001","reserved":"0.000000","mode":"cross","resets":2,'
        '"locked_until_ms":86400000}',
    ),
    (
        EventKind.ACCOUNT_OPENED,
        {"owner_hi": 1, "owner_lo": -1},
        '{"e":"account_opened","account":101,"owner":"0000000000000001ffffffffffffffff"}',
    ),
    (
        EventKind.ACCOUNT_OPENED,
        {"owner_hi": 1, "owner_lo": -1, "account_main": 100, "sub": 2},
        '{"e":"account_opened","account":101,"owner":"0000000000000001ffffffffffffffff","main":100,"sub":2}',
    ),
    (
        EventKind.ACCOUNT_MARKET_CHANGED,
        {"leverage": 20, "mode": MarginMode.ISOLATED},
        '{"e":"account_market_changed","account":101,"market":"BTC","leverage":20,"mode":"isolated"}',
    ),
    (
        EventKind.ACCOUNT_GUARDS_CHANGED,
        {"guards": 15, "leverage_most": 5, "loss_most_e6": 12_500_000, "slippage_bps": 0, "stp": Stp.CANCEL_MAKER},
        '{"e":"account_guards_changed","account":101,"leverage_max":5,"daily_loss_max":"12.500000","slippage_bps":0,'
        '"stp":"cancel_maker"}',
    ),
    (
        EventKind.ACCOUNT_GUARDS_CHANGED,
        {"leverage_most": 5, "stp": Stp.CANCEL_MAKER},
        '{"e":"account_guards_changed","account":101}',
    ),
    (
        EventKind.LEDGER,
        {"amount_e6": -7, "counter": 105, "reason": LedgerReason.TRANSFER, "free_e6": 1},
        '{"e":"ledger","account":101,"amount":"-0.000007","counter":"account:105","reason":"transfer","ref":0,'
        '"free_after":"0.000001"}',
    ),
    (
        EventKind.LEDGER,
        {"amount_e6": -7, "counter": -4, "reason": LedgerReason.FUNDING, "reference": 4, "free_e6": 1},
        '{"e":"ledger","account":101,"amount":"-0.000007","counter":"position:4","reason":"funding","ref":4,'
        '"free_after":"0.000001"}',
    ),
    (
        EventKind.TRIGGER_FIRED,
        {"order_id": 7, "price_trigger_ticks": 600, "trigger_by": TriggerBy.INDEX, "price_ticks": 599},
        '{"e":"trigger_fired","account":101,"market":"BTC","order_id":7,"price_trigger":"60.0","trigger_by":"index",'
        '"price":"59.9"}',
    ),
    (
        EventKind.LIQUIDATION,
        {"position_id": 4, "order_id": 7, "qty_lots": 5, "price_ticks": 600, "price_mark_ticks": 601},
        '{"e":"liquidation","account":101,"market":"BTC","position_id":4,"order_id":7,"qty":"0.005","price":"60.0",'
        '"price_mark":"60.1"}',
    ),
    (
        EventKind.LIQUIDATION,
        {"position_id": 4, "order_id": 7, "qty_lots": 5, "price_ticks": 600, "price_mark_ticks": 601,
         "price_bankruptcy_ticks": 590},
        '{"e":"liquidation","account":101,"market":"BTC","position_id":4,"order_id":7,"qty":"0.005","price":"60.0",'
        '"price_mark":"60.1","price_bankruptcy":"59.0"}',
    ),
    (
        EventKind.MARGIN_CALL,
        {"position_id": 4, "mode": MarginMode.ISOLATED, "price_mark_ticks": 601, "equity_e6": 5, "maintenance_e6": 4},
        '{"e":"margin_call","account":101,"market":"BTC","position_id":4,"mode":"isolated","price_mark":"60.1",'
        '"equity":"0.000005","margin_maintenance":"0.000004"}',
    ),
    (
        EventKind.MARGIN_CALL,
        {"position_id": 4, "mode": MarginMode.CROSS, "price_mark_ticks": 601, "equity_e6": -5, "maintenance_e6": 4},
        '{"e":"margin_call","account":101,"mode":"cross","equity":"-0.000005","margin_maintenance":"0.000004"}',
    ),
    (
        EventKind.ADL,
        {"position_id": 4, "order_id": 9, "liquidation_id": 7, "qty_lots": 5, "price_ticks": 600},
        '{"e":"adl","account":101,"market":"BTC","position_id":4,"order_id":9,"liquidation_order_id":7,"qty":"0.005",'
        '"price":"60.0"}',
    ),
    (
        EventKind.DEFICIT,
        {"position_id": 4, "counter": 4, "amount_e6": 5},
        '{"e":"deficit","account":101,"market":"BTC","position_id":4,"payer":"insurance","amount":"0.000005"}',
    ),
    (
        EventKind.INSURANCE_CHANGED,
        {"free_e6": 5},
        '{"e":"insurance_changed","balance":"0.000005"}',
    ),
    (
        EventKind.POSITION_CHANGED,
        {"position_id": 4, "position_kind": PositionKind.NET, "mode": MarginMode.CROSS, "qty_lots": 5, "leverage": 9},
        '{"e":"position_changed","account":101,"market":"BTC","position_id":4,"kind":"net","mode":"cross",'
        '"qty":"0.005","leverage":9,"cost":"0.000000","margin":"0.000000","pnl_realised":"0.000000",'
        '"fees":"0.000000","funding":"0.000000","opened_us":0}',
    ),
    (
        EventKind.FUNDING,
        {"position_id": 4, "rate_ppb": -12_345, "price_mark_ticks": 600, "amount_e6": 7, "due_ms": 9},
        '{"e":"funding","account":101,"market":"BTC","position_id":4,"rate":"-0.000012345","price_mark":"60.0",'
        '"amount":"0.000007","due_ms":9}',
    ),
    (
        EventKind.FUNDING_SETTLED,
        {"rate_ppb": 100_000, "price_mark_ticks": 600, "amount_e6": -7, "due_ms": 9, "quotes": 3},
        '{"e":"funding_settled","market":"BTC","rate":"0.000100000","price_mark":"60.0","due_ms":9,"positions":3,'
        '"amount":"-0.000007"}',
    ),
    (
        EventKind.FUNDING_SKIPPED,
        {"due_ms": 9, "reason": 2},
        '{"e":"funding_skipped","market":"BTC","due_ms":9,"reason":"halted"}',
    ),
    (
        EventKind.VENUE_CHANGED,
        {"config": [5_000_000, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1] + [99] * (r.CONFIG_WORDS - 11)},
        '{"e":"venue_changed","starting_balance":"5.000000","request_window_ms":1,"accounts_max":2,"orders_max":3,'
        '"positions_max":4,"requests_max":5,"orders_open_max":6,"triggers_open_max":7,"positions_open_max":8,'
        '"subaccounts_max":9,"stp_owner":1}',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "text"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_an_event_is_canonical(kind: EventKind, fields: dict[str, Any], text: str) -> None:
    """Each kind prints its keys in order, and an optional one only when it is set."""
    assert printed(kind, **fields) == text


def test_a_market_states_its_liquidity_after_its_minimum() -> None:
    """The newer parameters stand together, the taker delay among them and not among the other times."""
    at = r.word_offsets(r.CONFIG)
    config = np.zeros(r.CONFIG_WORDS, np.int64)
    config[: r.NAME_WORDS] = units.words_of_text("ETH", r.NAME_WORDS)
    for name, value in {"tick_e12": 10**11, "lot_e12": 10**9, "liquidity": Liquidity.BOOK, "depth_levels": 5,
                        "taker_delay_ms": 250, "price_age_max_ms": 100, "notional_max_e6": 2_500_000,
                        "open_interest_notional_max_e6": 7}.items():  # fmt: skip
        config[at[name]] = value
    text = printed(EventKind.MARKET_CHANGED, config=config, status=MarketState.HALTED)
    assert '"price_age_max_ms":100,"notional_min":"0.000000","liquidity":"book","depth_levels":5,' in text
    newest = '"notional_max":"2.500000","open_interest_notional_max":"0.000007"'
    assert f'"depth_levels":5,"taker_delay_ms":250,{newest},"order_qty_max":"0.000"' in text
    assert text.startswith('{"e":"market_changed","market":"ETH","id":1,"tick":"0.1","lot":"0.001","state":"halted"')
    assert text.count("taker_delay_ms") == 1


def test_a_batch_answers_once_with_all_results() -> None:
    """Results stand in the answer in their order, wherever they come in the entry, and are no events of their own."""
    answer = record(EventKind.ORDER_RESPONSE, op=Op.BATCH, parts=2, order_id=0)
    first = record(EventKind.BATCH_RESULT, result=ResultCode.OK, order_id=7, position_id=4)
    second = record(EventKind.BATCH_RESULT, result=ResultCode.FOK_UNFILLABLE)
    [output] = outputs(answer, first, record(EventKind.ACCOUNT_CHANGED), second)
    head = '[{"e":"order_response","account":101,"request_id":"00000000000000000000000000000000","op":"batch",'
    assert output.data.decode() == (
        head + '"result":"OK","results":[{"result":"OK","order_id":7,"position_id":4},{"result":"FOK_UNFILLABLE"}]},'
        '{"e":"account_changed","account":101,"free":"0.000000","reserved":"0.000000"}]'
    )


def test_a_refused_batch_has_no_results() -> None:
    """An answer that is not of an accepted batch prints none, whatever stands in the record."""
    for fields in ({"op": Op.BATCH, "result": ResultCode.REQUEST_REPEATED, "first_seq": 3}, {"op": Op.ORDER_CANCEL}):
        assert "results" not in printed(EventKind.ORDER_RESPONSE, parts=5, **fields)


def test_only_what_is_printed_counts_for_chunks() -> None:
    """An entry with as many events as a chunk holds is one chunk, however many results its batch has."""
    answer = record(EventKind.ORDER_RESPONSE, op=Op.BATCH, parts=20)
    results = [record(EventKind.BATCH_RESULT)] * 20
    events = [record(EventKind.ACCOUNT_CHANGED)] * (EVENTS_CHUNK - 1)
    assert [output.chunk for output in outputs(answer, *results, *events)] == [0]
    assert [output.chunk for output in outputs(answer, *results, *events, events[0])] == [0, 1]


@pytest.mark.parametrize("made", [Encoder, EventEncoder])
def test_an_entry_in_two_calls_is_one(made: type[Encoder] | type[EventEncoder]) -> None:
    """A batch whose results come with the next call of the core is answered with all of them."""
    encoder = made(["BTC"], (0, 0))
    answer = record(EventKind.ORDER_RESPONSE, op=Op.BATCH, parts=2)
    assert encoder.feed(np.concatenate([answer, record(EventKind.BATCH_RESULT)]), complete=False) == []
    [output] = encoder.feed(record(EventKind.BATCH_RESULT))
    assert output.data.count(b'{"result":"OK"}') == 2
    [following] = encoder.feed(record(EventKind.CANDLE, seq=6))
    assert b"results" not in following.data


def test_who_is_touched() -> None:
    """Only events about an account name it, and the venue's own accounts never."""
    [output] = outputs(
        record(EventKind.FUNDING, account=105), record(EventKind.FUNDING_SETTLED, account=106),
        record(EventKind.FUNDING_SKIPPED, account=107, reason=1), record(EventKind.VENUE_CHANGED, account=108),
        record(EventKind.ACCOUNT_MARKET_CHANGED, account=102, mode=1), record(EventKind.ACCOUNT_CHANGED, account=2),
        record(EventKind.INSURANCE_CHANGED, account=109), record(EventKind.MARGIN_CALL, account=103, mode=2),
    )  # fmt: skip
    assert output.accounts == b"102,103,105"
