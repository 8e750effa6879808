"""
The books of twin and engine as plain numbers, equal after every entry: accounts, positions, orders, markets.
"""

from typing import Any

import numpy as np

from engine import core
from engine.core.inspect import account_row, market_fresh
from shared.codes import DeadmanScope, IgnoreReason, Liquidity, MarketState, Stp
from tests.reference import Reference
from tests.reference.state import FIRST_USER, HOUSE

Book = dict[Any, Any]
# What an account set or lost beside its cells: the engine's fields in the order of `twin_owned`.
OWNED = (
    "cross", "called_day", "day", "day_pnl_e6", "locked_day", "main_id", "sub", "subs", "guards", "leverage_most",
    "loss_most_e6", "slippage_bps", "stp",
)  # fmt: skip
# Fields of an order and of a position, the engine's name and the twin's; None and False of the twin are 0.
ORDERS = {
    "account_id": "account_id", "position_id": "position_id", "parent_id": "parent_id", "oco_id": "oco_id",
    "qty_lots": "lots", "qty_filled_lots": "lots_filled", "filled_e6": "notional_filled", "fee_e6": "fee",
    "pnl_e6": "pnl", "reserved_e6": "reserved", "placed_us": "placed_us", "expires_us": "expires_us",
    "price_ticks": "price", "price_trigger_ticks": "price_trigger", "price_activation_ticks": "price_activation",
    "trail_ticks": "trail_ticks", "trail_ppm": "trail_ppm", "close_percent": "close_percent", "status": "status",
    "peak_ticks": "price_peak", "due_us": "due_us", "kind": "kind", "reduce_only": "reduce_only",
    "post_only": "post_only", "client_order_id": "client_order_id",
}  # fmt: skip
POSITIONS = {
    "account_id": "account_id", "lots": "lots", "cost_e6": "cost", "margin_e6": "margin", "pnl_e6": "pnl",
    "fees_e6": "fees", "funding_e6": "funding", "entry_lots": "lots_opened", "entry_e6": "notional_opened",
    "exit_lots": "lots_closed", "exit_e6": "notional_closed", "cross": "cross", "called": "called",
}  # fmt: skip
HOUSE_FIELDS = ("account_id", "lots", "cost_e6", "margin_e6")
TEXTS = ("kind", "status", "client_order_id")


def twin_books(twin: Reference, markets_only: bool = False) -> dict[str, Book]:
    """Return the twin's accounts, positions, orders and markets as plain numbers."""
    state = twin.state
    if markets_only:
        return {"markets": {row.name: twin_market(twin, row) for row in state.markets.values()}}
    return {
        "accounts": {key: twin_account(twin, key) for key in state.accounts},
        "positions": {row.position_id: plain(row, POSITIONS) for row in state.positions.values()},
        "house": {row.position_id: plain(row, POSITIONS, HOUSE_FIELDS) for row in state.house.values()},
        "orders": {row.order_id: plain(row, ORDERS) for row in state.orders.values()},
        "priority": dict.fromkeys(row.order_id for row in sorted(state.orders.values(), key=lambda row: row.priority)),
        "markets": {row.name: twin_market(twin, row) for row in state.markets.values()},
    }


def plain(row: Any, fields: dict[str, str], wanted: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """Return the fields of one of the twin's rows as the engine holds them."""
    found = []
    for name, own in fields.items():
        if not wanted or name in wanted:
            value = getattr(row, own)
            if own == "due_us" and row.status != "delayed":
                value = 0
            found.append((value or "") if name in TEXTS else int(value or 0))
    return tuple(found)


def twin_account(twin: Reference, account_id: int) -> tuple[Any, ...]:
    """Return one of the twin's accounts with what it set: leverages, the dead-man's switch."""
    state = twin.state
    row = state.accounts[account_id]
    leverages = tuple(state.leverages.get((account_id, name), 0) for name in state.markets)
    scope = row.deadman_scope if row.deadman_us else ""
    return (
        row.free,
        row.reserved,
        int(row.frozen),
        row.deadman_us,
        scope,
        row.resets,
        leverages,
        twin_owned(twin, row),
    )


def twin_owned(twin: Reference, row: Any) -> tuple[int, ...]:
    """Return what an owner of the twin set, and what his day and his family are."""
    stp = None if row.stp is None else int(Stp[row.stp.upper()])
    guards = (row.leverage_most, row.loss_most, row.slippage_bps, stp)
    bits = sum(1 << place for place, value in enumerate(guards) if value is not None)
    cross = sum(1 << place for place, name in enumerate(twin.state.markets) if name in row.cross)
    day = (row.called_day, row.day, row.day_pnl, row.locked_day)
    return (cross, *day, row.main_id, row.sub, row.subs, bits, *(value or 0 for value in guards))


def twin_market(twin: Reference, row: Any) -> dict[str, Any]:
    """Return what the twin knows of a market: prices, what is used up, what is due, what was ignored."""
    return {
        "bid": row.bid, "ask": row.ask, "mark": row.mark, "index": row.index, "state": row.state,
        "fresh": int(twin.state.fresh(row)), "ignored": dict(sorted(row.ignored.items())),
        "used": (row.used[-1], row.used[1]) if row.liquidity == "quote_sized" else (0, 0),
        "funding": (row.funding_next_ms, row.funding_settled_ms, row.funding_rate_ppb),
        "sizes": tuple(min(size, row.limits["order_lots"]) for size in (row.bid_size, row.ask_size)),
    }  # fmt: skip


def engine_books(states: np.ndarray, markets_only: bool = False) -> dict[str, Book]:
    """Return the engine's accounts, positions, orders and markets in the same form."""
    if markets_only:
        return {"markets": engine_markets(states)}
    orders = core.orders_of(states)
    rows = core.positions_of(states)
    markets = engine_markets(states)
    return {
        "accounts": {row["account_id"]: engine_account(states, row, len(markets)) for row in core.accounts_of(states)},
        "positions": {
            row["position_id"]: tuple(row[name] for name in POSITIONS)
            for row in rows
            if row["account_id"] >= FIRST_USER and row["lots"]
        },
        "house": {
            row["position_id"]: tuple(row[name] for name in HOUSE_FIELDS) for row in rows if row["account_id"] == HOUSE
        },
        "orders": {row["order_id"]: engine_order(row) for row in orders},
        "priority": dict.fromkeys(row["order_id"] for row in sorted(orders, key=lambda row: row["priority"])),
        "markets": markets,
    }


def engine_order(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return one of the engine's orders; when a delay ends says something only while it lasts."""
    if row["status"] != "delayed":
        row["due_us"] = 0
    return tuple(row[name] for name in ORDERS)


def engine_account(states: np.ndarray, row: dict[str, Any], markets_count: int) -> tuple[Any, ...]:
    """Return one of the engine's accounts with what it set."""
    whole = states.view(np.ndarray)[0]["accounts"][account_row(row["account_id"])]
    leverages = tuple(int(value) for value in whole["leverage"][:markets_count])
    scope = DeadmanScope(row["deadman_scope"]).name.lower() if row["deadman_us"] else ""
    cells = (row["free_e6"], row["reserved_e6"], row["frozen"])
    owned = tuple(int(whole[name]) for name in OWNED)
    return (*cells, row["deadman_us"], scope, row["resets"], leverages, owned)


def engine_markets(states: np.ndarray) -> dict[str, Any]:
    """Return the engine's markets."""
    found = {}
    state = states.view(np.ndarray)[0]
    for index, name in enumerate(core.markets_of(states)):
        row, feed = state["markets"][index], state["feeds"][index]
        counts = (feed["quotes_ignored"] + feed["marks_ignored"]).tolist()
        reasons = {IgnoreReason(code).name: count for code, count in enumerate(counts) if count}
        most = int(row["config"]["order_lots_max"])
        sized = int(row["config"]["liquidity"]) == Liquidity.QUOTE_SIZED
        found[name] = {
            **{key: int(row[f"{key}_ticks"]) for key in ("bid", "ask", "mark", "index")},
            "state": MarketState(int(row["state"])).name.lower(),
            "fresh": int(market_fresh(states, index)),
            "ignored": dict(sorted(reasons.items())),
            "used": (int(row["bid_used_lots"]), int(row["ask_used_lots"])) if sized else (0, 0),
            "funding": tuple(int(row[f"funding_{key}"]) for key in ("next_ms", "settled_ms", "rate_ppb")),
            "sizes": tuple(min(int(row[key]), most) for key in ("bid_lots", "ask_lots")),
        }
    return found


def books_difference(twin: dict[str, Book], engine: dict[str, Book]) -> tuple[str, str]:
    """Return the name of the first book that differs, and its differing rows as readable lines; empty when equal."""
    for name, rows in twin.items():
        others = engine[name]
        if rows == others and (name != "priority" or list(rows) == list(others)):
            continue
        lines = [f"  fields: {fields_of(name)}"] if fields_of(name) else []
        for key in sorted({*rows, *others}, key=str):
            one, other = rows.get(key), others.get(key)
            lines += [f"  {name} {key}\n    twin:   {one}\n    engine: {other}"] if one != other else []
        if name == "priority":
            lines = [f"  by priority\n    twin:   {list(rows)}\n    engine: {list(others)}"]
        return name, "\n".join(lines)
    return "", ""


def fields_of(name: str) -> tuple[str, ...]:
    """Return the names of the numbers in a book's rows."""
    return {
        "accounts": ("free", "reserved", "frozen", "deadman_us", "scope", "resets", "leverages", *OWNED),
        "positions": tuple(POSITIONS),
        "house": HOUSE_FIELDS,
        "orders": tuple(ORDERS),
    }.get(name, ())
