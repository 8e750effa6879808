"""What must hold of the lists, counts, bindings and heaps of a state: every one recomputed from the rows alone."""

from typing import Any, NamedTuple

import numpy as np

from engine.core import limits
from engine.core.inspect import account_row
from engine.core.snapshot import requests_kept
from shared.codes import ACCOUNT_FIRST, ACCOUNT_HOUSE, OrderStatus, PositionKind, Side
from shared.records import MARKETS_CAPACITY, ORDERS_OPEN_MAX, TRIGGERS_OPEN_MAX

BY_COUNT = (OrderStatus.RESTING, OrderStatus.DELAYED)


class Live(NamedTuple):
    """The live rows of the three tables, and the number of each row."""

    accounts: np.ndarray
    orders: np.ndarray
    positions: np.ndarray
    account_rows: np.ndarray
    order_rows: np.ndarray
    position_rows: np.ndarray


def live_of(state: Any) -> Live:
    """Return the live rows of a state."""
    rows, numbers = [], []
    for name in ("accounts", "orders", "positions"):
        used = state[name][1 : int(state[f"{name}_table"]["top"]) + 1]
        chosen = np.flatnonzero(used[name[:-1] + "_id"])
        rows.append(used[chosen])
        numbers.append(chosen + 1)
    return Live(*rows, *numbers)


def lists_check(state: Any, live: Live, found: list[str]) -> None:
    """Append a sentence for everything that does not hold."""
    _tables(state, live, found)
    _account_counts(state, live, found)
    _protection(live, found)
    _reduce_only(state, live, found)
    _pairs(live, found)
    _account_lists(state, live, found)
    _market_lists(state, live, found)
    _requests(state, found)
    _heap(state, "expiry", live.orders["expires_us"], live.order_rows, found)
    _heap(state, "deadman", live.accounts["deadman_us"], live.account_rows, found)


def _requests(state: Any, found: list[str]) -> None:
    """Every remembered request stands in the queue or in the heap, once, and none is past its time."""
    requests = state["requests"][: int(state["requests_table"]["top"]) + 1]
    kept = np.flatnonzero(requests["request_id"])
    named = sorted(requests_kept(state).tolist())
    if len(kept) != int(state["requests_table"]["live"]) or named != kept.tolist():
        found.append(f"{len(kept)} requests are remembered, not just those of the queue and the heap")
    if (requests["expires_us"][kept] < state["header"]["log_time_us"]).any():
        found.append("a request is remembered for too long")


def _tables(state: Any, live: Live, found: list[str]) -> None:
    """Every table counts its live rows, and no id stands twice."""
    for name, rows in (("accounts", live.accounts), ("orders", live.orders), ("positions", live.positions)):
        if len(rows) != int(state[f"{name}_table"]["live"]):
            found.append(f"{name}: {len(rows)} rows live, {state[f'{name}_table']['live']} counted")
        ids = rows[name[:-1] + "_id"]
        if len(np.unique(ids)) != len(ids):
            found.append(f"{name}: an id stands twice")


def follows(orders: np.ndarray) -> np.ndarray:
    """Return which orders are, or will be, a position's SL or TP: reduce-only ones without a size of their own."""
    return (orders["reduce_only"] != 0) & (orders["qty_lots"] == 0) & (orders["close_percent"] == 0)


def _account_counts(state: Any, live: Live, found: list[str]) -> None:
    """What an account's links count of its orders and positions is what is there."""
    accounts = int(state["accounts_table"]["top"]) + 1
    links = state["account_links"][:accounts]
    orders, positions = live.orders, live.positions
    owner = np.array([account_row(int(each)) for each in orders["account_id"]], np.int64)
    market = orders["market_id"].astype(np.int64) - 1
    resting = np.isin(orders["status"], BY_COUNT)
    ticket = (orders["reduce_only"] == 0) & (orders["leverage"] != 0)
    opening = (orders["reduce_only"] == 0) & (orders["leverage"] == 0)
    held = np.array([account_row(int(each)) for each in positions["account_id"]], np.int64)
    where = positions["market_id"].astype(np.int64) - 1
    users = positions["account_id"] >= ACCOUNT_FIRST
    tickets = users & (positions["kind"] == PositionKind.TICKET)
    nets = users & (positions["kind"] == PositionKind.NET)
    wanted: dict[str, np.ndarray] = {
        "orders_resting": np.bincount(owner[resting], minlength=accounts),
        "orders_dormant": np.bincount(owner[~resting], minlength=accounts),
        "positions_open": np.bincount(held, minlength=accounts),
        "tickets_waiting": np.bincount(owner[ticket], minlength=accounts),
    }
    for name, weights in (("resting", orders["status"] == OrderStatus.RESTING), ("opening", opening)):
        wanted[name] = np.zeros((accounts, MARKETS_CAPACITY), np.int64)
        np.add.at(wanted[name], (owner[weights], market[weights]), 1)
    openly = (orders["status"] == OrderStatus.RESTING) & (orders["reduce_only"] == 0)
    for name, side in (("buy_lots", Side.BUY), ("sell_lots", Side.SELL)):
        chosen = openly & (orders["side"] == side)
        wanted[name] = np.zeros((accounts, MARKETS_CAPACITY), np.int64)
        left = orders["qty_lots"][chosen] - orders["qty_filled_lots"][chosen]
        np.add.at(wanted[name], (owner[chosen], market[chosen]), left)
    wanted["ticket_lots"] = np.zeros((accounts, MARKETS_CAPACITY), np.int64)
    np.add.at(wanted["ticket_lots"], (held[tickets], where[tickets]), np.abs(positions["lots"][tickets]))
    wanted["net"] = np.zeros((accounts, MARKETS_CAPACITY), np.int64)
    wanted["net"][held[nets], where[nets]] = live.position_rows[nets]
    for name, expected in wanted.items():
        told = links["markets"][name] if expected.ndim == 2 else links[name]
        wrong = np.argwhere(told != expected)
        if len(wrong):
            found.append(f"account row {wrong[0][0]}: its {name} are not what its rows say ({len(wrong)} differ)")
    if (links["orders_resting"] > ORDERS_OPEN_MAX).any() or (links["orders_dormant"] > TRIGGERS_OPEN_MAX).any():
        found.append("an account has more live orders than any may have")
    pending = int(((wanted["opening"] > 0) & (wanted["net"] == 0)).sum()) + int(ticket.sum())
    if pending != int(state["positions_pending"]):
        found.append(f"{state['positions_pending']} positions are said to be pending, {pending} are")


def _protection(live: Live, found: list[str]) -> None:
    """A position has lots, and its SL and TP are live dormant orders that name it; no other order is one."""
    named: dict[int, tuple[int, int]] = {}
    for position in live.positions:
        if position["account_id"] >= ACCOUNT_FIRST and position["lots"] == 0:
            found.append(f"position {position['position_id']} has no lots")
        for key in ("take_profit_id", "stop_loss_id"):
            if position[key]:
                named[int(position[key])] = (int(position["position_id"]), int(position["account_id"]))
    orders = live.orders
    for order in orders[follows(orders) & (orders["status"] != OrderStatus.ATTACHED)]:
        owner = named.pop(int(order["order_id"]), None)
        if owner != (int(order["position_id"]), int(order["account_id"])):
            found.append(
                f"order {order['order_id']} is a trigger of position {order['position_id']}, which has another"
            )
    found.extend(f"position {owner[0]} names order {order_id}, which is gone" for order_id, owner in named.items())


def _reduce_only(state: Any, live: Live, found: list[str]) -> None:
    """Every other reduce-only order is bound to a position that it closes, and those that rest fit into it together."""
    orders = live.orders
    rows = {int(position["position_id"]): index for index, position in enumerate(live.positions)}
    bound = np.zeros(len(live.positions), np.int64)
    resting = np.zeros(len(live.positions), np.int64)
    for order in orders[(orders["reduce_only"] != 0) & ~follows(orders) & (orders["status"] != OrderStatus.ATTACHED)]:
        index = rows.get(int(order["position_id"]), -1)
        if index < 0:
            found.append(f"order {order['order_id']} is bound to position {order['position_id']}, which is gone")
            continue
        position = live.positions[index]
        closes = (position["lots"] > 0) == (order["side"] == Side.SELL)
        if not closes or any(position[key] != order[key] for key in ("account_id", "market_id")):
            found.append(f"order {order['order_id']} is bound to position {order['position_id']}, but closes it not")
        bound[index] += 1
        if order["status"] == OrderStatus.RESTING:
            resting[index] += int(order["qty_lots"]) - int(order["qty_filled_lots"])
    counted = state["position_links"]["bound"][live.position_rows]
    for index in np.flatnonzero((counted != bound) | (resting > np.abs(live.positions["lots"]))):
        position = live.positions[index]
        found.append(
            f"position {position['position_id']} of {position['lots']} lots: {bound[index]} reduce-only orders are "
            f"bound to it, {counted[index]} counted; {resting[index]} lots of them rest"
        )


def _pairs(live: Live, found: list[str]) -> None:
    """The legs of a pair name each other, an attached child names a live parent, quantities and leverages are sound."""
    rows = {int(order["order_id"]): order for order in live.orders}
    for order_id, order in rows.items():
        other = rows.get(int(order["oco_id"]))
        if order["oco_id"] and (
            other is None or other["oco_id"] != order_id or other["account_id"] != order["account_id"]
        ):
            found.append(f"order {order_id} names {order['oco_id']} as its other leg, which does not name it")
        if order["status"] == OrderStatus.ATTACHED and int(order["parent_id"]) not in rows:
            found.append(f"order {order_id} waits for order {order['parent_id']}, which is gone")
        if order["qty_filled_lots"] > order["qty_lots"] or order["qty_filled_lots"] < 0:
            found.append(f"order {order_id} has filled {order['qty_filled_lots']} of {order['qty_lots']}")
    highest = live.accounts["leverage"].max(initial=0)
    if live.accounts["leverage"].min(initial=0) < 0 or highest > 1_000:
        found.append(f"a leverage of {highest} is set")


def _account_lists(state: Any, live: Live, found: list[str]) -> None:
    """An account's list of orders runs by priority and holds them all, its list of positions by id."""
    links = state["account_links"]
    walks = (
        ("order", live.orders, live.order_rows, state["orders"]["priority"], state["order_links"]["next"]),
        (
            "position",
            live.positions,
            live.position_rows,
            state["positions"]["position_id"],
            state["position_links"]["next"],
        ),
    )
    for name, rows, numbers, keys, nexts in walks:
        by_account: dict[int, list[tuple[int, int]]] = {}
        for order, number in zip(rows, numbers, strict=True):
            owner = account_row(int(order["account_id"]))
            by_account.setdefault(owner, []).append((int(keys[number]), int(number)))
        for owner, expected in by_account.items():
            walked = _walk(int(links[owner][f"{name}_first"]), nexts)
            if walked != [number for _, number in sorted(expected)] or int(links[owner][f"{name}_last"]) != walked[-1]:
                found.append(f"account row {owner}: its list of {name}s is not its {name}s in order")


def _walk(row: int, nexts: np.ndarray) -> list[int]:
    """Return the rows of a linked list."""
    walked: list[int] = []
    while row != limits.ROW_NONE and len(walked) <= len(nexts):
        walked.append(row)
        row = int(nexts[row])
    return walked


def _market_lists(state: Any, live: Live, found: list[str]) -> None:
    """A market's positions run by id, the house's first, its delayed orders by id; its uncovered lots add up."""
    for index in range(int(state["venue"]["markets_count"])):
        links = state["market_links"][index]
        own = live.positions["market_id"] == index + 1
        order = np.argsort(live.positions["position_id"][own])
        walked = _walk(int(links["position_first"]), state["position_links"]["market_next"])
        if walked != live.position_rows[own][order].tolist() or int(links["position_last"]) != walked[-1]:
            found.append(f"market {index + 1}: its list of positions is not its positions by id")
        elif walked[0] != int(links["house_row"]) or state["positions"][walked[0]]["account_id"] != ACCOUNT_HOUSE:
            found.append(f"market {index + 1}: its first position is not the house's")
        own = (live.orders["market_id"] == index + 1) & (live.orders["status"] == OrderStatus.DELAYED)
        order = np.argsort(live.orders["order_id"][own])
        walked = _walk(int(links["delayed_first"]), state["order_links"]["delayed_next"])
        if walked != live.order_rows[own][order].tolist() or int(links["delayed_last"]) != (walked or [0])[-1]:
            found.append(f"market {index + 1}: its list of delayed orders is not its delayed orders by id")
        own = (live.orders["market_id"] == index + 1) & (live.orders["status"] == OrderStatus.RESTING)
        uncovered = int(state["order_links"]["uncovered_lots"][live.order_rows[own]].sum())
        if uncovered != int(links["uncovered_lots"]):
            found.append(f"market {index + 1}: {links['uncovered_lots']} lots uncovered, its orders say {uncovered}")


def _heap(state: Any, name: str, times_us: np.ndarray, rows: np.ndarray, found: list[str]) -> None:
    """A heap holds every row that has a time, each where its link says, no parent later than its child."""
    count = int(state[f"{name}_count"])
    heap = state[f"{name}_heap"][:count].astype(np.int64)
    places = state["order_links" if name == "expiry" else "account_links"]["heap_at"]
    if sorted(heap.tolist()) != rows[times_us > 0].tolist():
        found.append(f"{name}: {count} rows wait, {int((times_us > 0).sum())} should")
        return
    keys = dict(zip(rows.tolist(), times_us.tolist(), strict=True))
    for at, row in enumerate(heap.tolist()):
        if int(places[row]) != at or (at > 0 and keys[int(heap[(at - 1) // 2])] > keys[row]):
            found.append(f"{name}: row {row} stands at {at} in the wrong place")
            return
