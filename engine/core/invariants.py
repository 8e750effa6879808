"""What must hold of a whole state between two entries; for tests, replay, recovery, inspector. Slow, exact."""

from typing import Any

import numpy as np

from engine.core import limits, settle, triggers
from engine.core.kernel import entry
from shared.codes import ACCOUNT_FIRST, OrderStatus


def invariants(states: np.ndarray) -> list[str]:
    """Return a sentence for everything that does not hold; an empty list is a sound state."""
    state = states.view(np.ndarray)[0]
    if int(state["venue"]["markets_count"]) == 0:
        return []
    found: list[str] = []
    live = {
        name: state[name][1 : int(state[f"{name}_table"]["top"]) + 1] for name in ("accounts", "orders", "positions")
    }
    live["accounts"] = live["accounts"][live["accounts"]["account_id"] > 0]
    live["orders"] = live["orders"][live["orders"]["order_id"] > 0]
    live["positions"] = live["positions"][live["positions"]["position_id"] > 0]
    _money(live, found)
    _markets(state, live, found)
    _links(state, live, found)
    _ladders(states, state, live, found)
    return found


def _money(live: dict[str, np.ndarray], found: list[str]) -> None:
    """Money is conserved, reserves add up, nobody but EXTERNAL and HOUSE is below zero."""
    accounts, orders, positions = live["accounts"], live["orders"], live["positions"]
    total = sum(map(int, accounts["free_e6"])) + sum(map(int, accounts["reserved_e6"]))
    total += sum(map(int, positions["margin_e6"])) - sum(map(int, positions["cost_e6"]))
    if total != 0:
        found.append(f"money is not conserved: the cells add up to {total} micro-USDC")
    reserved: dict[int, int] = {}
    for order in orders[orders["reserved_e6"] != 0]:
        account_id = int(order["account_id"])
        reserved[account_id] = reserved.get(account_id, 0) + int(order["reserved_e6"])
    for account in accounts:
        account_id = int(account["account_id"])
        if int(account["reserved_e6"]) != reserved.get(account_id, 0):
            found.append(
                f"account {account_id} reserves {account['reserved_e6']}, its orders {reserved.get(account_id, 0)}"
            )
        if account_id >= 4 and account["free_e6"] < 0:
            found.append(f"account {account_id} has {account['free_e6']} micro-USDC free")


def _markets(state: Any, live: dict[str, np.ndarray], found: list[str]) -> None:
    """Lots add up to zero in every market, the house included, and open interest is Σ of longs."""
    for market in state["markets"][: int(state["venue"]["markets_count"])]:
        lots = live["positions"][live["positions"]["market_id"] == market["market_id"]]["lots"]
        if int(lots.sum()) != 0:
            found.append(f"market {market['market_id']}: lots add up to {lots.sum()}")
        if int(lots[lots > 0].sum()) != int(market["open_interest_lots"]):
            found.append(f"market {market['market_id']}: open interest {market['open_interest_lots']}, Σ longs differs")


def _links(state: Any, live: dict[str, np.ndarray], found: list[str]) -> None:
    """Every live row is reachable exactly once: counted in its table, its account's counts and its position."""
    for name in ("orders", "positions", "accounts"):
        if len(live[name]) != int(state[f"{name}_table"]["live"]):
            found.append(f"{name}: {len(live[name])} rows live, {state[f'{name}_table']['live']} counted")
        ids = live[name][name[:-1] + "_id"]
        if len(np.unique(ids)) != len(ids):
            found.append(f"{name}: an id stands twice")
    children: dict[int, tuple[int, int]] = {}
    for position in live["positions"]:
        if position["account_id"] >= ACCOUNT_FIRST and position["lots"] == 0:
            found.append(f"position {position['position_id']} has no lots")
        for key in ("take_profit_id", "stop_loss_id"):
            if position[key]:
                children[int(position[key])] = (int(position["position_id"]), int(position["account_id"]))
    dormant = live["orders"][live["orders"]["status"] == OrderStatus.TRIGGER]
    for order in dormant:
        owner = children.pop(int(order["order_id"]), None)
        if owner != (int(order["position_id"]), int(order["account_id"])):
            found.append(
                f"order {order['order_id']} is a trigger of position {order['position_id']}, which has another"
            )
    found.extend(f"position {owner[0]} names order {order_id}, which is gone" for order_id, owner in children.items())


@entry
def ladders_count(states, market_row):
    """Return how many nodes a market's ladders hold."""
    total = 0
    for number in range(limits.LADDERS_COUNT):
        total += states[0].ladders[market_row * limits.LADDERS_COUNT + number].count
    return total


@entry
def left_alone(states, market_row):
    """Return whether something fires in a tradable market, which a settled state never shows."""
    return triggers.anything_fires(states[0], market_row) and settle.tradable(states[0], market_row)


@entry
def thresholds_count(states, market_row, positions):
    """Return how many users' positions of a market have a liquidation threshold, counted the long way."""
    total = 0
    for row in range(1, positions + 1):
        position = states[0].positions[row]
        if position.position_id > 0 and position.market_id == market_row + 1 and position.account_id >= ACCOUNT_FIRST:
            total += int(triggers.margin.threshold_ticks(states[0], row) != 0)
    return total


def _ladders(states: np.ndarray, state: Any, live: dict[str, np.ndarray], found: list[str]) -> None:
    """Every resting and dormant order and every threshold is in a ladder, and nothing that fires is left alone."""
    top = int(state["positions_table"]["top"])
    for index in range(int(state["venue"]["markets_count"])):
        own = live["orders"][live["orders"]["market_id"] == index + 1]
        expected = int((own["status"] != OrderStatus.ATTACHED).sum()) + int(thresholds_count(states, index, top))
        held = int(ladders_count(states, index))
        if held != expected:
            found.append(f"market {index + 1}: its ladders hold {held} nodes, {expected} should be there")
        if left_alone(states, index):
            found.append(f"market {index + 1}: something fires and was left alone")
