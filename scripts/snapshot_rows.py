"""
A state as rows for people and programs: accounts, orders, positions, triggers, markets; decimals as text, times in UTC.

Integers become decimals here alone, exactly; an average is cut to four decimals more than its market's prices have.
Columns are read from the tables as a whole, and rows are made only of what was chosen: a state may hold 10⁶ of them.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from engine import core
from engine.core.inspect import position_threshold
from engine.core.snapshot import peaks_write
from scripts.exits import ToolStop
from scripts.sources import time_text
from shared import units
from shared.codes import ACCOUNT_FIRST, MarginMode, OrderKind, OrderStatus, PositionKind, Side, Stp, Tif, TriggerBy

Row = dict[str, Any]
HOUSES = {1: "external", 2: "house", 3: "fees", 4: "insurance"}
POSITION_FIELDS = (
    "position_id", "account_id", "market_id", "kind", "cross", "lots", "cost_e6", "leverage", "margin_e6", "pnl_e6",
    "fees_e6", "funding_e6", "opened_us",
)  # fmt: skip
ORDER_FIELDS = (
    "order_id", "account_id", "market_id", "side", "kind", "status", "tif", "qty_lots", "qty_filled_lots",
    "price_ticks", "price_trigger_ticks", "trigger_by", "reserved_e6", "reduce_only", "stp", "position_id",
    "client_order_id", "placed_us", "peak_ticks", "trail_ticks", "trail_ppm", "price_activation_ticks", "active",
)  # fmt: skip


class Grid(NamedTuple):
    """The scales and prices of one market."""

    name: str
    tick_e12: int
    lot_e12: int
    bid_ticks: int
    ask_ticks: int
    mark_ticks: int
    index_ticks: int

    def price(self, ticks: int) -> str:
        """Return ticks as a decimal, "" for none."""
        return units.decimal_text(ticks * self.tick_e12, units.decimals_of(self.tick_e12)) if ticks else ""

    def qty(self, lots: int) -> str:
        """Return lots as a decimal."""
        return units.decimal_text(lots * self.lot_e12, units.decimals_of(self.lot_e12))

    def average(self, amount_e6: int, lots: int) -> str:
        """Return money per quantity as a price, "" for none."""
        if not lots:
            return ""
        decimals = min(12, units.decimals_of(self.tick_e12) + 4)
        step = 10 ** (12 - decimals)
        price_e12 = Fraction(amount_e6 * 10**18, lots * self.lot_e12)
        return units.decimal_text(round(price_e12 / step) * step, decimals)

    def value_e6(self, lots: int, ticks: int) -> int:
        """Return what a quantity is worth at a price."""
        return lots * self.lot_e12 * ticks * self.tick_e12 // 10**18

    def source_ticks(self, by: int, side: int) -> int:
        """Return the price that wakes an order of this side and source, 0 while there is none."""
        if by == TriggerBy.QUOTE:
            return self.bid_ticks if side == Side.SELL else self.ask_ticks
        return self.mark_ticks if by == TriggerBy.MARK else self.index_ticks


def state_of(machine: Any) -> Any:
    """Return the one record of a machine's state."""
    return machine.states.view(np.ndarray)[0]


def grids_of(machine: Any) -> list[Grid]:
    """Return the grid of each market; a market's id is its place plus one."""
    markets = state_of(machine)["markets"]
    return [
        Grid(
            name,
            *(int(markets[index]["config"][field]) for field in ("tick_e12", "lot_e12")),
            *(int(markets[index][f"{field}_ticks"]) for field in ("bid", "ask", "mark", "index")),
        )
        for index, name in enumerate(core.markets_of(machine.states))
    ]


def live(machine: Any, table: str, account_id: int | None = None, ids: Iterable[int] | None = None) -> np.ndarray:
    """Return where the live rows of orders or positions stand, by ascending id; of one account, or of these ids."""
    state = state_of(machine)
    rows = state[table][: int(state[f"{table}_table"]["top"]) + 1]
    numbers = rows[f"{table.removesuffix('s')}_id"]
    chosen = numbers > 0
    chosen[0] = False  # the row that stands for none
    if account_id is not None:
        chosen &= rows["account_id"] == account_id
    if ids is not None:
        chosen &= np.isin(numbers, np.fromiter(ids, np.int64))
    places = np.flatnonzero(chosen)
    return places[np.argsort(numbers[places], kind="stable")]


def records(machine: Any, table: str, places: np.ndarray, fields: tuple[str, ...]) -> Iterable[Row]:
    """Yield these fields of the rows at these places."""
    rows = state_of(machine)[table][places]
    for values in zip(*(rows[field].tolist() for field in fields), strict=True):
        yield dict(zip(fields, values, strict=True))


def markets_rows(machine: Any) -> list[Row]:
    """Return one row a market: prices, open interest, state."""
    names = ("state", "bid", "ask", "mark", "index", "funding_rate", "open_interest", "house_lots", "fresh")
    views = core.market_views(machine.states)
    return [{"market": name, **{key: view.get(key, "") for key in names}} for name, view in views.items()]


def accounts_rows(machine: Any, account_id: int | None = None) -> list[Row]:
    """Return one row an account, the venue's own first."""
    state = state_of(machine)
    positions = state["positions"][live(machine, "positions", account_id)]
    orders = state["orders"][live(machine, "orders", account_id)]
    top = int(state["venue"]["account_next"])
    positions_counts = np.bincount(positions["account_id"][positions["lots"] != 0], minlength=top)
    orders_counts = np.bincount(orders["account_id"], minlength=top)
    margins_e6 = np.zeros(top, np.int64)
    np.add.at(margins_e6, positions["account_id"], positions["margin_e6"])
    one = core.account_of(machine.states, account_id) if account_id is not None else None
    rows = []
    for account in core.accounts_of(machine.states) if account_id is None else [one] if one else []:
        number = account["account_id"]
        rows.append(
            {
                "account": number,
                "name": HOUSES.get(number, ""),
                "free": units.money_text(account["free_e6"]),
                "reserved": units.money_text(account["reserved_e6"]),
                "margin": units.money_text(int(margins_e6[number])),
                "positions": int(positions_counts[number]),
                "orders": int(orders_counts[number]),
                "frozen": account["frozen"],
                "resets": account["resets"],
                "opened": time_text(account["opened_us"]) if account["opened_us"] else "",
            }
        )
    return rows


def positions_rows(machine: Any, account_id: int | None = None, ids: Iterable[int] | None = None) -> list[Row]:
    """Return the open positions by id, the house's first."""
    grids = grids_of(machine)
    places = live(machine, "positions", account_id, ids)
    places = places[state_of(machine)["positions"]["lots"][places] != 0]
    rows = []
    for place, position in zip(places.tolist(), records(machine, "positions", places, POSITION_FIELDS), strict=True):
        grid, lots = grids[position["market_id"] - 1], position["lots"]
        users = position["account_id"] >= ACCOUNT_FIRST
        gain_e6 = grid.value_e6(lots, grid.mark_ticks) - position["cost_e6"]
        rows.append(
            {
                "position_id": position["position_id"],
                "account": position["account_id"],
                "market": grid.name,
                "kind": PositionKind(position["kind"]).name.lower(),
                "mode": (MarginMode.CROSS if position["cross"] else MarginMode.ISOLATED).name.lower(),
                "side": "long" if lots > 0 else "short",
                "qty": grid.qty(abs(lots)),
                "price_entry": grid.average(position["cost_e6"], lots),
                "price_mark": grid.price(grid.mark_ticks),
                "price_liquidation": grid.price(int(position_threshold(machine.states, place))) if users else "",
                "leverage": position["leverage"],
                "margin": units.money_text(position["margin_e6"]),
                "pnl_unrealised": units.money_text(gain_e6) if grid.mark_ticks else "",
                "pnl_realised": units.money_text(position["pnl_e6"]),
                "fees": units.money_text(position["fees_e6"]),
                "funding": units.money_text(position["funding_e6"]),
                "opened": time_text(position["opened_us"]) if position["opened_us"] else "",
            }
        )
    return rows


def orders_rows(machine: Any, account_id: int | None = None, ids: Iterable[int] | None = None) -> list[Row]:
    """Return the live orders by id."""
    peaks_write(machine.states)
    grids = grids_of(machine)
    rows = []
    for order in records(machine, "orders", live(machine, "orders", account_id, ids), ORDER_FIELDS):
        grid = grids[order["market_id"] - 1]
        rows.append(
            {
                "order_id": order["order_id"],
                "account": order["account_id"],
                "market": grid.name,
                "side": Side(order["side"]).name.lower(),
                "kind": OrderKind(order["kind"]).name.lower(),
                "status": OrderStatus(order["status"]).name.lower(),
                "tif": Tif(order["tif"]).name if order["tif"] else "",
                "qty": grid.qty(order["qty_lots"]) if order["qty_lots"] else "",
                "qty_filled": grid.qty(order["qty_filled_lots"]),
                "price": grid.price(order["price_ticks"]),
                "price_trigger": grid.price(trigger_ticks(order)),
                "trigger_by": TriggerBy(order["trigger_by"]).name.lower() if order["trigger_by"] else "",
                "reserved": units.money_text(order["reserved_e6"]),
                "reduce_only": order["reduce_only"],
                "stp": Stp(order["stp"]).name.lower() if order["stp"] else "",
                "position_id": order["position_id"] or "",
                "client_order_id": units.text_of_words(order["client_order_id"]),
                "placed": time_text(order["placed_us"]),
            }
        )
    return rows


def trigger_ticks(order: Row) -> int:
    """Return the price in ticks that wakes a dormant order; 0 for none, or while a trailing stop is not active."""
    if order["kind"] != OrderKind.TRAILING_STOP:
        return int(order["price_trigger_ticks"])
    peak = order["peak_ticks"]
    if not order["active"] or peak <= 0:
        return int(order["price_activation_ticks"])
    sign = 1 if order["side"] == Side.SELL else -1
    if order["trail_ticks"] > 0:
        return int(peak - sign * order["trail_ticks"])
    return int(sign * (sign * peak * (units.PPM - sign * order["trail_ppm"]) // units.PPM))


def triggers_rows(machine: Any, market: str, near_ppm: int) -> list[Row]:
    """Return what waits for a price of this market within `near_ppm` of it, the nearest first; liquidations too."""
    peaks_write(machine.states)
    names = core.markets_of(machine.states)
    if market not in names:
        raise ToolStop(f"there is no market {market}: name one of {', '.join(names)}")
    market_id = names.index(market) + 1
    grid = grids_of(machine)[market_id - 1]
    found: list[tuple[Fraction, Row]] = []

    def add(row: Row, ticks: int, now_ticks: int) -> None:
        if ticks <= 0 or now_ticks <= 0:
            return
        away_ppm = Fraction((ticks - now_ticks) * units.PPM, now_ticks)
        if abs(away_ppm) <= near_ppm:
            row |= {"price_trigger": grid.price(ticks), "price_now": grid.price(now_ticks)}
            row["away"] = f"{units.decimal_text(round(away_ppm) * 10**8, 4)}%"
            found.append((abs(away_ppm), row))

    orders, places = state_of(machine)["orders"], live(machine, "orders")
    waiting = (orders["market_id"][places] == market_id) & (orders["status"][places] == OrderStatus.TRIGGER)
    for order in records(machine, "orders", places[waiting], ORDER_FIELDS):
        row = {"kind": OrderKind(order["kind"]).name.lower(), "id": order["order_id"], "account": order["account_id"]}
        row |= {"side": Side(order["side"]).name.lower(), "trigger_by": TriggerBy(order["trigger_by"]).name.lower()}
        row["qty"] = grid.qty(order["qty_lots"]) if order["qty_lots"] else "all"
        add(row, trigger_ticks(order), grid.source_ticks(order["trigger_by"], order["side"]))
    positions, places = state_of(machine)["positions"], live(machine, "positions")
    users = (positions["market_id"][places] == market_id) & (positions["account_id"][places] >= ACCOUNT_FIRST)
    places = places[users & (positions["lots"][places] != 0)]
    for place, position in zip(places.tolist(), records(machine, "positions", places, POSITION_FIELDS), strict=True):
        row = {"kind": "liquidation", "id": position["position_id"], "account": position["account_id"]}
        row |= {"side": "long" if position["lots"] > 0 else "short", "trigger_by": "mark"}
        row["qty"] = grid.qty(abs(position["lots"]))
        add(row, int(position_threshold(machine.states, place)), grid.mark_ticks)
    return [row for _, row in sorted(found, key=lambda item: (item[0], item[1]["id"]))]


def conservation_e6(machine: Any) -> int:
    """Return the sum of all money cells, less what positions cost: 0 in every sound state."""
    state = state_of(machine)
    positions = state["positions"][live(machine, "positions")]
    total = int(state["accounts"]["free_e6"].sum()) + int(state["accounts"]["reserved_e6"].sum())
    return total + int(positions["margin_e6"].sum()) - int(positions["cost_e6"].sum())
