"""
Event records -> the bytes of events entries: canonical JSON, one entry's events in one chunk of at most 512; pure.

An event record carries its market's scales, so encoding needs nothing but the record and the market's name.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from shared import records as r
from shared import units
from shared.codes import (
    ACCOUNT_FIRST,
    CloseReason,
    EventKind,
    LedgerReason,
    MarketState,
    Op,
    OrderKind,
    OrderStatus,
    PositionKind,
    ResultCode,
    Side,
    Tif,
    TriggerBy,
)

EVENTS_BASE = 10**15
EVENTS_CHUNK = 512
_AT = r.word_offsets(r.EVENT)
_CONFIG_AT = {name: r.CONFIG.fields[name][1] // 8 for name in r.CONFIG.names or ()} if r.CONFIG.fields else {}
_TIER_WORDS = r.TIER.itemsize // 8
_COUNTERS = {1: "external", 2: "house", 3: "fees", 4: "insurance"}

Words = list[int]


class Output(NamedTuple):
    """One events entry, complete: its id is (10¹⁵ + seq)-chunk, its fields t, p, a and d."""

    seq: int
    chunk: int
    log_time_us: int
    previous: bytes
    accounts: bytes
    data: bytes

    @property
    def id(self) -> bytes:
        """Return the explicit id that this entry has in the events stream."""
        return b"%d-%d" % (EVENTS_BASE + self.seq, self.chunk)

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return the fields of the stream entry, in order."""
        return [
            (b"t", b"%d" % self.log_time_us),
            (b"p", self.previous),
            (b"a", self.accounts),
            (b"d", self.data),
        ]


class Encoder:
    """
    Turns event records into events entries, keeping the chain of ids and the entry that is still open.

    `events_last` is (seq, chunk) of the last events entry before the first record, (0, 0) before genesis.
    """

    def __init__(self, markets: list[str], events_last: tuple[int, int]) -> None:
        self._markets = dict(enumerate(markets, 1))
        self._last = events_last
        self._open: list[Words] = []

    def feed(self, events: np.ndarray, complete: bool = True) -> list[Output]:
        """
        Return the entries that these records complete.

        Shapes: EVENT[n] in order. `complete` is False when the last entry goes on in the next call (EVENTS_FULL).
        """
        outputs: list[Output] = []
        words = np.ascontiguousarray(events).view(np.int64).reshape(-1, r.EVENT_WORDS).tolist()
        for event in words:
            if self._open and self._open[0][0] != event[0]:
                outputs += self._entry()
            self._open.append(event)
        if complete and self._open:
            outputs += self._entry()
        return outputs

    def _entry(self) -> list[Output]:
        """Encode and forget the open entry."""
        events, self._open = self._open, []
        outputs = []
        seq, log_time_us = events[0][0], events[0][1]
        for chunk, at in enumerate(range(0, len(events), EVENTS_CHUNK)):
            part = events[at : at + EVENTS_CHUNK]
            data = "[" + ",".join([self._event(event) for event in part]) + "]"
            ids = sorted({event[_ACCOUNT] for event in part if event[_KIND] in _OF_ACCOUNT} - set(range(ACCOUNT_FIRST)))
            last_seq, last_chunk = self._last
            previous = b"%d-%d" % (EVENTS_BASE + last_seq, last_chunk) if last_seq else b"0-0"
            accounts = ",".join(map(str, ids)).encode()
            outputs.append(Output(seq, chunk, log_time_us, previous, accounts, data.encode()))
            self._last = (seq, chunk)
        return outputs

    def _event(self, event: Words) -> str:
        """Return one event's JSON object."""
        kind = event[_KIND]
        if kind == EventKind.MARKET_CHANGED:
            at = _AT["config"]
            self._markets[event[_MARKET]] = units.text_of_words(event[at : at + r.NAME_WORDS])
        market = self._markets.get(event[_MARKET], "")
        return _ENCODERS[kind](event, market)


_KIND, _MARKET, _ACCOUNT = _AT["kind"], _AT["market"], _AT["account"]
_TICK, _LOT = _AT["tick_e12"], _AT["lot_e12"]


def _names(codes: type) -> dict[int, str]:
    return {int(code): code.name.lower() for code in codes}  # type: ignore[attr-defined]


_SIDES, _KINDS, _STATUSES = _names(Side), _names(OrderKind), _names(OrderStatus)
_REASONS, _LEDGER, _BY = _names(CloseReason), _names(LedgerReason), _names(TriggerBy)
_OPS, _POSITIONS, _STATES = _names(Op), _names(PositionKind), _names(MarketState)
_TIFS = {int(tif): tif.name for tif in Tif}
_RESULTS = {int(code): code.name for code in ResultCode}
_BOOLS = ("false", "true")


def _get(event: Words, name: str) -> int:
    return event[_AT[name]]


def _money(event: Words, name: str) -> str:
    return units.money_text(event[_AT[name]])


def _price(event: Words, name: str) -> str:
    tick_e12 = event[_TICK]
    return units.decimal_text(event[_AT[name]] * tick_e12, units.decimals_of(tick_e12))


def _qty(event: Words, name: str) -> str:
    lot_e12 = event[_LOT]
    return units.decimal_text(event[_AT[name]] * lot_e12, units.decimals_of(lot_e12))


def _average(event: Words, name: str) -> str:
    tick_e12 = event[_TICK]
    return units.decimal_text(event[_AT[name]] * (tick_e12 // 10_000), units.decimals_of(tick_e12 // 10_000))


def _half(event: Words, name: str) -> str:
    tick_e12 = event[_TICK] // 2
    return units.decimal_text(event[_AT[name]] * tick_e12, units.decimals_of(tick_e12))


def _optional(event: Words, key: str, name: str, text: Callable[[Words, str], object]) -> str:
    """Return `,"key":"text"` when the field is not zero, else nothing."""
    return f',"{key}":"{text(event, name)}"' if event[_AT[name]] else ""


def _optional_id(event: Words, key: str, name: str) -> str:
    return f',"{key}":{event[_AT[name]]}' if event[_AT[name]] else ""


def _client_id(event: Words) -> str:
    at = _AT["client_order_id"]
    if event[at] == 0:
        return ""
    return f',"client_order_id":"{units.text_of_words(event[at : at + r.CLIENT_ID_WORDS])}"'


def _request_id(event: Words) -> str:
    return units.hex_of_pair(_get(event, "request_hi"), _get(event, "request_lo"))


def _account_opened(event: Words, market: str) -> str:
    owner = units.hex_of_pair(_get(event, "owner_hi"), _get(event, "owner_lo"))
    return f'{{"e":"account_opened","account":{event[_ACCOUNT]},"owner":"{owner}"}}'


def _order_response(event: Words, market: str) -> str:
    return (
        f'{{"e":"order_response","account":{event[_ACCOUNT]},"request_id":"{_request_id(event)}",'
        f'"op":"{_OPS[_get(event, "op")]}","result":"{_RESULTS[_get(event, "result")]}"'
        f"{_optional_id(event, 'order_id', 'order_id')}{_optional_id(event, 'position_id', 'position_id')}"
        f"{_optional_id(event, 'first_seq', 'first_seq')}}}"
    )


def _order_head(event: Words, market: str) -> str:
    """Return what both order events begin with, up to tif."""
    tif = _get(event, "tif")
    return (
        f'"account":{event[_ACCOUNT]},"market":"{market}","order_id":{_get(event, "order_id")}'
        f"{_optional_id(event, 'position_id', 'position_id')}{_client_id(event)}"
        f',"side":"{_SIDES[_get(event, "side")]}","kind":"{_KINDS[_get(event, "order_kind")]}"'
        + (f',"tif":"{_TIFS[tif]}"' if tif else "")
    )


def _order_numbers(event: Words) -> str:
    """Return quantities and prices, from qty to trigger_by."""
    trigger = _get(event, "price_trigger_ticks")
    return (
        f"{_optional(event, 'qty', 'qty_lots', _qty)},"
        f'"qty_filled":"{_qty(event, "qty_filled_lots")}"{_optional(event, "price", "price_ticks", _price)}'
        f"{_optional(event, 'price_trigger', 'price_trigger_ticks', _price)}"
        + (f',"trigger_by":"{_BY[_get(event, "trigger_by")]}"' if trigger else "")
    )


def _order_changed(event: Words, market: str) -> str:
    return (
        f'{{"e":"order_changed",{_order_head(event, market)},"status":"{_STATUSES[_get(event, "status")]}"'
        f'{_order_numbers(event)},"post_only":{_BOOLS[_get(event, "post_only")]},'
        f'"reduce_only":{_BOOLS[_get(event, "reduce_only")]},"reserved":"{_money(event, "reserved_e6")}",'
        f'"placed_us":{_get(event, "opened_us")}}}'
    )


def _closed_order(event: Words, market: str) -> str:
    return (
        f'{{"e":"closed_order",{_order_head(event, market)},"reason":"{_REASONS[_get(event, "reason")]}"'
        f"{_order_numbers(event)}{_optional(event, 'price_average', 'price_average_e4', _average)}"
        f',"fee":"{_money(event, "fee_e6")}","pnl_realised":"{_money(event, "pnl_e6")}",'
        f'"placed_us":{_get(event, "opened_us")},"closed_us":{_get(event, "closed_us")}}}'
    )


def _fill(event: Words, market: str) -> str:
    return (
        f'{{"e":"fill","account":{event[_ACCOUNT]},"market":"{market}","order_id":{_get(event, "order_id")},'
        f'"position_id":{_get(event, "position_id")},"fill_id":{_get(event, "fill_id")},'
        f'"side":"{_SIDES[_get(event, "side")]}","maker":{_BOOLS[_get(event, "maker")]},'
        f'"price":"{_price(event, "price_ticks")}","qty":"{_qty(event, "qty_lots")}",'
        f'"fee":"{_money(event, "fee_e6")}","pnl_realised":"{_money(event, "pnl_e6")}"}}'
    )


def _trade(event: Words, market: str) -> str:
    return (
        f'{{"e":"trade","market":"{market}","price":"{_price(event, "price_ticks")}",'
        f'"qty":"{_qty(event, "qty_lots")}","side":"{_SIDES[_get(event, "side")]}"}}'
    )


def _child(event: Words, name: str) -> str:
    """Return a position's SL or TP, or nothing."""
    if not _get(event, f"{name}_id"):
        return ""
    return (
        f',"{name}":{{"order_id":{_get(event, f"{name}_id")},"price_trigger":"{_price(event, f"{name}_ticks")}",'
        f'"trigger_by":"{_BY[_get(event, f"{name}_by")]}"}}'
    )


def _position_changed(event: Words, market: str) -> str:
    return (
        f'{{"e":"position_changed","account":{event[_ACCOUNT]},"market":"{market}",'
        f'"position_id":{_get(event, "position_id")},"kind":"{_POSITIONS[_get(event, "position_kind")]}",'
        f'"qty":"{_qty(event, "qty_lots")}","leverage":{_get(event, "leverage")}'
        f"{_optional(event, 'price_entry', 'price_average_e4', _average)}"
        f',"cost":"{_money(event, "cost_e6")}","margin":"{_money(event, "margin_e6")}"'
        f"{_optional(event, 'price_liquidation', 'price_liquidation_ticks', _price)}"
        f"{_child(event, 'take_profit')}{_child(event, 'stop_loss')}"
        f',"pnl_realised":"{_money(event, "pnl_e6")}","fees":"{_money(event, "fee_e6")}",'
        f'"opened_us":{_get(event, "opened_us")}}}'
    )


def _closed_position(event: Words, market: str) -> str:
    direction = "long" if _get(event, "side") > 0 else "short"
    return (
        f'{{"e":"closed_position","account":{event[_ACCOUNT]},"market":"{market}",'
        f'"position_id":{_get(event, "position_id")},"kind":"{_POSITIONS[_get(event, "position_kind")]}",'
        f'"direction":"{direction}","qty":"{_qty(event, "qty_lots")}",'
        f'"price_entry":"{_average(event, "price_average_e4")}","price_exit":"{_average(event, "price_exit_e4")}",'
        f'"pnl_realised":"{_money(event, "pnl_e6")}","fees":"{_money(event, "fee_e6")}",'
        f'"reason":"{_REASONS[_get(event, "reason")]}","opened_us":{_get(event, "opened_us")},'
        f'"closed_us":{_get(event, "closed_us")}}}'
    )


def _account_changed(event: Words, market: str) -> str:
    return (
        f'{{"e":"account_changed","account":{event[_ACCOUNT]},"free":"{_money(event, "free_e6")}",'
        f'"reserved":"{_money(event, "reserved_e6")}"}}'
    )


def _ledger(event: Words, market: str) -> str:
    counter = _get(event, "counter")
    name = f"position:{-counter}" if counter < 0 else _COUNTERS[counter]
    return (
        f'{{"e":"ledger","account":{event[_ACCOUNT]},"amount":"{_money(event, "amount_e6")}","counter":"{name}",'
        f'"reason":"{_LEDGER[_get(event, "reason")]}","ref":{_get(event, "reference")},'
        f'"free_after":"{_money(event, "free_e6")}"}}'
    )


def _trigger_fired(event: Words, market: str) -> str:
    return (
        f'{{"e":"trigger_fired","account":{event[_ACCOUNT]},"market":"{market}","order_id":{_get(event, "order_id")},'
        f'"position_id":{_get(event, "position_id")},"price_trigger":"{_price(event, "price_trigger_ticks")}",'
        f'"trigger_by":"{_BY[_get(event, "trigger_by")]}","price":"{_price(event, "price_ticks")}"}}'
    )


def _liquidation(event: Words, market: str) -> str:
    return (
        f'{{"e":"liquidation","account":{event[_ACCOUNT]},"market":"{market}",'
        f'"position_id":{_get(event, "position_id")},"order_id":{_get(event, "order_id")},'
        f'"qty":"{_qty(event, "qty_lots")}","price":"{_price(event, "price_ticks")}",'
        f'"price_mark":"{_price(event, "price_mark_ticks")}","fee":"{_money(event, "fee_e6")}"}}'
    )


def _deficit(event: Words, market: str) -> str:
    return (
        f'{{"e":"deficit","account":{event[_ACCOUNT]},"market":"{market}",'
        f'"position_id":{_get(event, "position_id")},"payer":"{_COUNTERS[_get(event, "counter")]}",'
        f'"amount":"{_money(event, "amount_e6")}"}}'
    )


def _candle(event: Words, market: str) -> str:
    prices = ""
    if _get(event, "close_x2"):
        prices = "".join(f',"{name}":"{_half(event, f"{name}_x2")}"' for name in ("open", "high", "low", "close"))
    return (
        f'{{"e":"candle","market":"{market}","minute_ms":{_get(event, "minute_ms")}{prices},'
        f'"quotes":{_get(event, "quotes")}}}'
    )


def _market_changed(event: Words, market: str) -> str:
    at = _AT["config"]
    config = {name: event[at + offset] for name, offset in _CONFIG_AT.items()}
    tick_e12, lot_e12 = config["tick_e12"], config["lot_e12"]
    rates = "".join(f',"{name}":{value}' for name, value in config.items() if name.endswith(("_ppm", "_ms")))
    tiers = []
    for tier in range(config["tiers_count"]):
        first = at + _CONFIG_AT["tiers"] + tier * _TIER_WORDS
        floor_e6, mmr_ppm, leverage_max, amount_e6 = event[first : first + _TIER_WORDS]
        tiers.append(
            f'{{"floor":"{units.money_text(floor_e6)}","mmr_ppm":{mmr_ppm},"leverage_max":{leverage_max},'
            f'"amount":"{units.money_text(amount_e6)}"}}'
        )
    lots = units.decimals_of(lot_e12)
    return (
        f'{{"e":"market_changed","market":"{market}","id":{event[_MARKET]},'
        f'"tick":"{units.decimal_text(tick_e12, units.decimals_of(tick_e12))}",'
        f'"lot":"{units.decimal_text(lot_e12, lots)}","state":"{_STATES[_get(event, "status")]}",'
        f'"leverage_max":{config["leverage_max"]}{rates},"notional_min":"{units.money_text(config["notional_min_e6"])}",'
        f'"order_qty_max":"{units.decimal_text(config["order_lots_max"] * lot_e12, lots)}",'
        f'"open_interest_max":"{units.decimal_text(config["open_interest_lots_max"] * lot_e12, lots)}",'
        f'"tiers":[{",".join(tiers)}]}}'
    )


_ENCODERS: dict[int, Callable[[Words, str], str]] = {
    EventKind.ORDER_RESPONSE: _order_response,
    EventKind.ORDER_CHANGED: _order_changed,
    EventKind.CLOSED_ORDER: _closed_order,
    EventKind.FILL: _fill,
    EventKind.TRADE: _trade,
    EventKind.POSITION_CHANGED: _position_changed,
    EventKind.CLOSED_POSITION: _closed_position,
    EventKind.ACCOUNT_CHANGED: _account_changed,
    EventKind.LEDGER: _ledger,
    EventKind.TRIGGER_FIRED: _trigger_fired,
    EventKind.LIQUIDATION: _liquidation,
    EventKind.DEFICIT: _deficit,
    EventKind.MARKET_CHANGED: _market_changed,
    EventKind.ACCOUNT_OPENED: _account_opened,
    EventKind.CANDLE: _candle,
}
_OF_ACCOUNT = frozenset(_ENCODERS) - {EventKind.TRADE, EventKind.MARKET_CHANGED, EventKind.CANDLE}
