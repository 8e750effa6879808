"""
The usual way through Python, for `bench wire` to be compared with: event records -> dicts -> orjson.

It knows the events that this bench causes and no other; the bytes must be those of the engine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from shared import records as r
from shared import units
from shared.codes import ACCOUNT_FIRST, EventKind, LedgerReason, Op, OrderStatus, Tif
from shared.stream_keys import event_id
from shared.wire_events_text import COUNTERS, KINDS, POSITIONS, REASONS, RESULTS, SIDES, SOURCES, names_of

AT = r.word_offsets(r.EVENT)
LEDGERS, STATUSES, OPS = names_of(LedgerReason), names_of(OrderStatus), names_of(Op)
TIFS = {int(tif): tif.name for tif in Tif}
Event = dict[str, Any]
Words = list[int]
SEQ, TIME, KIND, MARKET, TICK, LOT, ACCOUNT = (
    AT[name] for name in ("seq", "log_time_us", "kind", "market", "tick_e12", "lot_e12", "account")
)
ORDER, POSITION, QTY, PRICE, FEE, PNL, LABEL, OPENED, CLOSED = (
    AT[name]
    for name in (
        "order_id",
        "position_id",
        "qty_lots",
        "price_ticks",
        "fee_e6",
        "pnl_e6",
        "client_order_id",
        "opened_us",
        "closed_us",
    )
)


def money(amount_e6: int) -> str:
    """Return micro-USDC as text."""
    if amount_e6 < 0:
        return "-" + money(-amount_e6)
    return f"{amount_e6 // 1_000_000}.{amount_e6 % 1_000_000:06d}"


class Grid:
    """How numbers of one market are written."""

    def __init__(self, name: str, tick_e12: int, lot_e12: int) -> None:
        self.name = name
        self.tick_e12, self.lot_e12 = tick_e12, lot_e12
        self.price_decimals, self.qty_decimals = units.decimals_of(tick_e12), units.decimals_of(lot_e12)
        self.price_step = tick_e12 // 10 ** (12 - self.price_decimals)
        self.qty_step = lot_e12 // 10 ** (12 - self.qty_decimals)
        self.average_decimals = units.decimals_of(tick_e12 // 10_000)
        self.average_step = tick_e12 // 10_000 // 10 ** (12 - self.average_decimals)

    def price(self, ticks: int) -> str:
        """Return a price as text."""
        return text_of(ticks * self.price_step, self.price_decimals)

    def qty(self, lots: int) -> str:
        """Return a quantity as text."""
        return text_of(lots * self.qty_step, self.qty_decimals)

    def average(self, ticks_e4: int) -> str:
        """Return ten-thousandths of a tick as text."""
        return text_of(ticks_e4 * self.average_step, self.average_decimals)

    def exact(self, ticks_e4: int) -> str:
        """Return a price as text, finer than the grid only where it has to be."""
        return self.average(ticks_e4) if ticks_e4 % 10_000 else self.price(ticks_e4 // 10_000)


def text_of(scaled: int, decimals: int) -> str:
    """Return a whole number with its point where it belongs."""
    if decimals == 0:
        return str(scaled)
    whole, part = divmod(scaled, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"


class Answers:
    """Turns event records into entries of the events, keeping the chain of their ids."""

    def __init__(self, names: list[str], events_last: tuple[int, int]) -> None:
        self.names = dict(enumerate(names, 1))
        self.grids: dict[int, Grid] = {}
        self.last = event_id(*events_last)
        self.writers: dict[int, Callable[[Words, Grid], Event]] = {
            EventKind.ORDER_RESPONSE: order_response,
            EventKind.ORDER_CHANGED: order_changed,
            EventKind.CLOSED_ORDER: closed_order,
            EventKind.FILL: fill,
            EventKind.TRADE: trade,
            EventKind.POSITION_CHANGED: position_changed,
            EventKind.ACCOUNT_CHANGED: account_changed,
            EventKind.LEDGER: ledger,
        }

    def entries(self, events: np.ndarray) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return id and fields of the entries that these records make; the records of one cause come together."""
        made = []
        words = np.ascontiguousarray(events).view(np.int64).reshape(-1, r.EVENT_WORDS)[:, : AT["config"]].tolist()
        first = 0
        while first < len(words):
            seq = words[first][SEQ]
            last = first
            accounts, told = set(), []
            while last < len(words) and words[last][SEQ] == seq:
                event = words[last]
                told.append(self.writers[event[KIND]](event, self.grid(event)))
                if event[ACCOUNT] >= ACCOUNT_FIRST and event[KIND] != EventKind.TRADE:
                    accounts.add(event[ACCOUNT])
                last += 1
            identity = event_id(seq, 0)
            fields = {
                b"t": b"%d" % words[first][TIME],
                b"p": self.last,
                b"a": ",".join(map(str, sorted(accounts))).encode(),
                b"d": orjson.dumps(told),
            }
            made.append((identity, fields))
            self.last = identity
            first = last
        return made

    def grid(self, event: Words) -> Grid:
        """Return how the numbers of an event's market are written."""
        grid = self.grids.get(event[MARKET])
        if grid is None:
            if event[MARKET] not in self.names:
                return NO_GRID
            grid = self.grids[event[MARKET]] = Grid(self.names[event[MARKET]], event[TICK], event[LOT])
        return grid


NO_GRID = Grid("", 10**10, 10**10)


def label(event: Words) -> str:
    """Return an order's client order id, empty without one."""
    return units.text_of_words(event[LABEL : LABEL + r.CLIENT_ID_WORDS]) if event[LABEL] else ""


def order_response(event: Words, grid: Grid) -> Event:
    """Return the answer to an instruction."""
    told = {
        "e": "order_response",
        "account": event[ACCOUNT],
        "request_id": units.hex_of_pair(event[AT["request_hi"]], event[AT["request_lo"]]),
        "op": OPS[event[AT["op"]]],
        "result": RESULTS[event[AT["result"]]],
    }
    if event[ORDER]:
        told["order_id"] = event[ORDER]
    if event[POSITION]:
        told["position_id"] = event[POSITION]
    if event[AT["first_seq"]]:
        told["first_seq"] = event[AT["first_seq"]]
    return told


def order_head(kind: str, event: Words, grid: Grid) -> Event:
    """Return what both events of an order begin with."""
    told = {"e": kind, "account": event[ACCOUNT], "market": grid.name, "order_id": event[ORDER]}
    if event[POSITION]:
        told["position_id"] = event[POSITION]
    if name := label(event):
        told["client_order_id"] = name
    told["side"] = SIDES[event[AT["side"]]]
    told["kind"] = KINDS[event[AT["order_kind"]]]
    if tif := event[AT["tif"]]:
        told["tif"] = TIFS[tif]
    return told


def order_numbers(told: Event, event: Words, grid: Grid) -> None:
    """Add an order's quantities and its price."""
    if event[QTY]:
        told["qty"] = grid.qty(event[QTY])
    told["qty_filled"] = grid.qty(event[AT["qty_filled_lots"]])
    if event[PRICE]:
        told["price"] = grid.price(event[PRICE])


def order_changed(event: Words, grid: Grid) -> Event:
    """Return the post-image of a live order."""
    told = order_head("order_changed", event, grid)
    told["status"] = STATUSES[event[AT["status"]]]
    order_numbers(told, event, grid)
    if event[AT["slippage_bps"]] >= 0:
        told["slippage_bps"] = event[AT["slippage_bps"]]
    told["post_only"] = event[AT["post_only"]] != 0
    told["reduce_only"] = event[AT["reduce_only"]] != 0
    told["reserved"] = money(event[AT["reserved_e6"]])
    told["placed_us"] = event[OPENED]
    return told


def closed_order(event: Words, grid: Grid) -> Event:
    """Return the end of an order."""
    told = order_head("closed_order", event, grid)
    told["reason"] = REASONS[event[AT["reason"]]]
    order_numbers(told, event, grid)
    if event[AT["price_average_e4"]]:
        told["price_average"] = grid.average(event[AT["price_average_e4"]])
    told["fee"] = money(event[FEE])
    told["pnl_realised"] = money(event[PNL])
    told["placed_us"] = event[OPENED]
    told["closed_us"] = event[CLOSED]
    return told


def fill(event: Words, grid: Grid) -> Event:
    """Return one execution of a user's order."""
    return {
        "e": "fill",
        "account": event[ACCOUNT],
        "market": grid.name,
        "order_id": event[ORDER],
        "position_id": event[POSITION],
        "fill_id": event[AT["fill_id"]],
        "side": SIDES[event[AT["side"]]],
        "maker": event[AT["maker"]] != 0,
        "price": grid.exact(event[AT["price_average_e4"]]),
        "qty": grid.qty(event[QTY]),
        "notional": money(event[AT["notional_e6"]]),
        "fee": money(event[FEE]),
        "pnl_realised": money(event[PNL]),
    }


def trade(event: Words, grid: Grid) -> Event:
    """Return one execution as the public sees it."""
    return {
        "e": "trade",
        "market": grid.name,
        "price": grid.exact(event[AT["price_average_e4"]]),
        "qty": grid.qty(event[QTY]),
        "side": SIDES[event[AT["side"]]],
    }


def ledger(event: Words, grid: Grid) -> Event:
    """Return one leg of a movement of money."""
    counter = event[AT["counter"]]
    return {
        "e": "ledger",
        "account": event[ACCOUNT],
        "amount": money(event[AT["amount_e6"]]),
        "counter": f"position:{-counter}" if counter < 0 else COUNTERS.get(counter, f"account:{counter}"),
        "reason": LEDGERS[event[AT["reason"]]],
        "ref": event[AT["reference"]],
        "free_after": money(event[AT["free_e6"]]),
    }


def account_changed(event: Words, grid: Grid) -> Event:
    """Return the post-image of an account."""
    return {
        "e": "account_changed",
        "account": event[ACCOUNT],
        "free": money(event[AT["free_e6"]]),
        "reserved": money(event[AT["reserved_e6"]]),
    }


def position_changed(event: Words, grid: Grid) -> Event:
    """Return the post-image of a position."""
    told = {
        "e": "position_changed",
        "account": event[ACCOUNT],
        "market": grid.name,
        "position_id": event[POSITION],
        "kind": POSITIONS[event[AT["position_kind"]]],
        "qty": grid.qty(event[QTY]),
        "leverage": event[AT["leverage"]],
    }
    if event[AT["price_average_e4"]]:
        told["price_entry"] = grid.average(event[AT["price_average_e4"]])
    told["cost"] = money(event[AT["cost_e6"]])
    told["margin"] = money(event[AT["margin_e6"]])
    if event[AT["price_liquidation_ticks"]]:
        told["price_liquidation"] = grid.price(event[AT["price_liquidation_ticks"]])
    for name in ("take_profit", "stop_loss"):
        if event[AT[f"{name}_id"]]:
            told[name] = {
                "order_id": event[AT[f"{name}_id"]],
                "price_trigger": grid.price(event[AT[f"{name}_ticks"]]),
                "trigger_by": SOURCES[event[AT[f"{name}_by"]]],
            }
    told["pnl_realised"] = money(event[PNL])
    told["fees"] = money(event[FEE])
    told["funding"] = money(event[AT["funding_e6"]])
    told["opened_us"] = event[OPENED]
    return told
