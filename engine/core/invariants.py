"""What must hold of a whole state between two entries; for tests, replay, recovery, inspector. Slow, exact."""

from typing import Any

import numpy as np
from numpy import int64

from engine.core import ladder, limits, margin, prices, settle, trailing, triggers
from engine.core.invariants_cross import cross_check
from engine.core.invariants_lists import Live, lists_check, live_of
from engine.core.kernel import entry
from shared.codes import ACCOUNT_FIRST, OrderKind, OrderStatus

TRAILS = 1  # order.active of a trailing stop that follows its price


def invariants(states: np.ndarray) -> list[str]:
    """Return a sentence for everything that does not hold; an empty list is a sound state."""
    state = states.view(np.ndarray)[0]
    if int(state["venue"]["markets_count"]) == 0:
        return []
    found: list[str] = []
    live = live_of(state)
    _money(live, found)
    _markets(state, live, found)
    _time(state, found)
    lists_check(state, live, found)
    _ladders(states, state, live, found)
    free = [bool(tradable_now(states, index)) for index in range(int(state["venue"]["markets_count"]))]
    cross_check(state, live, free, found)
    return found


def _money(live: Live, found: list[str]) -> None:
    """
    Money is conserved, reserves add up, nobody but EXTERNAL and HOUSE is below zero.

    But for the account of a cross position, which then reserves nothing.
    """
    accounts, orders, positions = live.accounts, live.orders, live.positions
    total = sum(map(int, accounts["free_e6"])) + sum(map(int, accounts["reserved_e6"]))
    total += sum(map(int, positions["margin_e6"])) - sum(map(int, positions["cost_e6"]))
    if total != 0:
        found.append(f"money is not conserved: the cells add up to {total} micro-USDC")
    pools = set(positions["account_id"][positions["cross"] != 0].tolist())
    reserved: dict[int, int] = {}
    for order in orders[orders["reserved_e6"] != 0]:
        account_id = int(order["account_id"])
        reserved[account_id] = reserved.get(account_id, 0) + int(order["reserved_e6"])
        if order["status"] != OrderStatus.RESTING or order["reduce_only"]:
            found.append(f"order {order['order_id']} reserves money although it opens nothing")
    for account in accounts:
        account_id = int(account["account_id"])
        if int(account["reserved_e6"]) != reserved.get(account_id, 0):
            found.append(
                f"account {account_id} reserves {account['reserved_e6']}, its orders {reserved.get(account_id, 0)}"
            )
        if account_id >= 4 and account["free_e6"] < 0 and (account_id not in pools or account["reserved_e6"] > 0):
            found.append(f"account {account_id} has {account['free_e6']} micro-USDC free")


def _markets(state: Any, live: Live, found: list[str]) -> None:
    """Lots add up to zero in every market, the house included, and open interest is Σ of longs; budgets are sound."""
    for market in state["markets"][: int(state["venue"]["markets_count"])]:
        name = f"market {market['market_id']}"
        lots = live.positions[live.positions["market_id"] == market["market_id"]]["lots"]
        if int(lots.sum()) != 0:
            found.append(f"{name}: lots add up to {lots.sum()}")
        if int(lots[lots > 0].sum()) != int(market["open_interest_lots"]):
            found.append(f"{name}: open interest {market['open_interest_lots']}, Σ longs differs")
        if market["bid_used_lots"] < 0 or market["ask_used_lots"] < 0:
            found.append(f"{name}: less than nothing of the quote's size is used")


def _time(state: Any, found: list[str]) -> None:
    """Nothing that was due is left, the first funding is known, and nothing of an entry is left over."""
    now_us = int(state["header"]["log_time_us"])
    due = []
    for market in state["markets"][: int(state["venue"]["markets_count"])]:
        next_ms = int(market["funding_next_ms"])
        if next_ms == 0:
            continue
        due.append(next_ms * 1000)
        if next_ms * 1000 <= now_us or next_ms <= market["funding_settled_ms"]:
            found.append(f"market {market['market_id']}: its funding of {next_ms} is past")
    if int(state["due"]["funding_us"]) != min(due, default=0):
        found.append(f"the first funding is at {min(due, default=0)}, not at {state['due']['funding_us']}")
    least_us = int(state["header"]["lag_us"].min())
    if int(state["lag_least_us"]) != least_us:
        found.append(f"the smallest lag is {least_us}, not {state['lag_least_us']}")
    begun = ("touched", "entry_stage", "settle_step", "settle_cursor", "stale_count")
    if state["due"]["funding_market"] or state["task"]["kind"] or state["adl"]["position_id"]:
        found.append("something of the last entry is left over")
    elif any(state[name] for name in begun):
        found.append(f"of the last entry is left over: {[name for name in begun if state[name]]}")
    for name, table, key in (("expiry", "orders", "expires_us"), ("deadman", "accounts", "deadman_us")):
        if state[f"{name}_count"] and int(state[table][int(state[f"{name}_heap"][0])][key]) <= now_us:
            found.append(f"{name}: something due was left alone")


@entry
def ladders_count(states, market_row):
    """Return how many nodes a market's ladders hold."""
    total = 0
    for number in range(limits.LADDERS_COUNT):
        total += states[0].ladders[market_row * limits.LADDERS_COUNT + number].count
    return total


@entry
def trails_count(states, market_row):
    """Return how many trailing stops of a market follow its prices."""
    total = 0
    for number in range(limits.TRAIL_SETS_COUNT):
        total += states[0].trail_sets[market_row * limits.TRAIL_SETS_COUNT + number].count
    return total


@entry
def tradable_now(states, market_row):
    """Return whether fills may happen in a market now."""
    return prices.tradable(states[0], market_row)


@entry
def left_alone(states, market_row):
    """
    Return whether something of a market itself fires there while it is tradable, which a settled state never shows.

    Accounts that may be due because of another market's mark are looked at one by one elsewhere.
    """
    state = states[0]
    if not prices.tradable(state, market_row):
        return False
    for number in range(triggers.QUOTE_SELL, triggers.BAND):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return True
    return (
        trailing.trailing_fires(state, market_row)
        or settle.resting_next(state, market_row) != limits.ROW_NONE
        or settle.delayed_due(state, market_row) != limits.ROW_NONE
    )


@entry
def thresholds_count(states, market_row, positions):
    """Return how many nodes a market's ladders hold of users' positions: thresholds counted the long way, and bands."""
    state = states[0]
    total = 0
    for row in range(1, positions + 1):
        position = state.positions[row]
        if position.position_id > 0 and position.market_id == market_row + 1 and position.account_id >= ACCOUNT_FIRST:
            total += int(margin.threshold_ticks(state, row) != 0)
            total += int(position.called == 0 and margin.call_threshold_ticks(state, row) != 0)
            if position.cross != 0:
                total += int(state.position_links[row].band != 0) + int(state.position_links[row].call != 0)
    return total


@entry
def bands_left(states, market_row):
    """Return whether a mark stands beyond a band of its market, whose account should have been looked at."""
    for number in (triggers.BAND, triggers.BAND + 1):
        if triggers.band_left(states[0], market_row, int64(number)) != ladder.NODE_NONE:
            return True
    return False


def _ladders(states: np.ndarray, state: Any, live: Live, found: list[str]) -> None:
    """
    Every resting and dormant order and every threshold is where it waits, and nothing that fires is left alone.

    Only a market whose configuration was changed may hold what would fire: until it is settled the next time.
    """
    top = int(state["positions_table"]["top"])
    for index in range(int(state["venue"]["markets_count"])):
        bests = state["ladders"]["best_place"][index * limits.LADDERS_COUNT :][: limits.LADDERS_COUNT]
        if (state["market_links"]["bests"][index] != bests).any():
            found.append(f"market {index + 1}: the places side by side are not the best places of its ladders")
        own = live.orders[live.orders["market_id"] == index + 1]
        follows = (own["kind"] == OrderKind.TRAILING_STOP) & (own["active"] == TRAILS)
        follows &= own["status"] == OrderStatus.TRIGGER
        waiting = np.isin(own["status"], (OrderStatus.RESTING, OrderStatus.TRIGGER)) & ~follows
        expected = int(waiting.sum()) + int(thresholds_count(states, index, top))
        held = int(ladders_count(states, index))
        if held != expected:
            found.append(f"market {index + 1}: its ladders hold {held} nodes, {expected} should be there")
        followers = int(trails_count(states, index))
        if followers != int(follows.sum()):
            found.append(f"market {index + 1}: {followers} trailing stops follow, {follows.sum()} should")
        if not state["markets"][index]["unsettled"] and left_alone(states, index):
            found.append(f"market {index + 1}: something fires and was left alone")
        if bands_left(states, index):
            found.append(f"market {index + 1}: its mark has left a band whose account was not looked at")
