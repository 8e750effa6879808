"""What must hold of accounts with cross positions: their links, pools, bands and turns, each figure from the rows."""

from typing import Any, NamedTuple

import numpy as np

from engine.core import limits, triggers
from engine.core.inspect import account_row
from engine.core.invariants_lists import Live
from shared.codes import ACCOUNT_FIRST, PositionKind


class Pool(NamedTuple):
    """An account's cross positions by market row, with its exact distances from liquidation and from a margin call."""

    rows: dict[int, int]
    health_e6: int
    call_e6: int


def cross_check(state: Any, live: Live, tradable: list[bool], found: list[str]) -> None:
    """Append a sentence for everything that does not hold; `tradable` says of each market whether it is, now."""
    _links(state, live, found)
    today = int(state["header"]["log_time_us"]) // limits.DAY_US
    for account_id, rows in _positions(state, live, found).items():
        pool = _pool(state, account_id, rows)
        waits = int(state["accounts"][account_row(account_id)]["called_day"]) < today
        _bands(state, account_id, pool, waits, found)
        if all(tradable[market] and not state["markets"][market]["unsettled"] for market in rows):
            if pool.health_e6 <= 0:
                found.append(f"account {account_id} is liquidatable by {-pool.health_e6} and was left alone")
            elif pool.call_e6 <= 0 and waits and _quoted_since(state, rows, today):
                found.append(f"account {account_id} is due a margin call and was left alone")


def _links(state: Any, live: Live, found: list[str]) -> None:
    """Whose cross positions lie where, and what cross orders reserve, is as the rows say; none is stale."""
    count = int(state["accounts_table"]["top"]) + 1
    links, accounts = state["account_links"][:count], state["accounts"][:count]
    positions, orders = live.positions, live.orders
    markets = np.zeros(count, np.int64)
    crossed = positions["cross"] != 0
    owners = np.array([account_row(int(each)) for each in positions["account_id"][crossed]], np.int64)
    np.add.at(markets, owners, 1 << (positions["market_id"][crossed].astype(np.int64) - 1))
    reserved = np.zeros(count, np.int64)
    owners = np.array([account_row(int(each)) for each in orders["account_id"]], np.int64)
    chosen = (accounts["cross"][owners] >> (orders["market_id"].astype(np.int64) - 1)) & 1 != 0
    np.add.at(reserved, owners[chosen], orders["reserved_e6"][chosen])
    expected = {"cross_markets": markets, "reserved_cross_e6": reserved, "stale": np.zeros(count, np.int64)}
    for name, wanted in expected.items():
        for row in np.flatnonzero(links[name] != wanted)[:1]:
            found.append(f"account row {row}: its {name} is {links[name][row]}, its rows say {wanted[row]}")


def _positions(state: Any, live: Live, found: list[str]) -> dict[int, dict[int, int]]:
    """Return the rows of each account's cross positions by market row; each is to be a user's, net, without margin."""
    by_account: dict[int, dict[int, int]] = {}
    for position, row in zip(live.positions, live.position_rows, strict=True):
        name, market = f"position {position['position_id']}", int(position["market_id"]) - 1
        link = state["position_links"][row]
        if position["cross"] == 0:
            if link["band"]:
                found.append(f"{name} is isolated and has a band")
            continue
        account_id = int(position["account_id"])
        if account_id < ACCOUNT_FIRST or position["kind"] != PositionKind.NET or position["margin_e6"] != 0:
            found.append(f"{name} is cross, but no user's net position without margin")
        if not (int(state["accounts"][account_row(account_id)]["cross"]) >> market) & 1:
            found.append(f"{name} is cross in a market whose mode is not")
        by_account.setdefault(account_id, {})[market] = int(row)
    return by_account


def _pool(state: Any, account_id: int, rows: dict[int, int]) -> Pool:
    """Return an account's exact levels, from its rows and the marks of now."""
    owner = account_row(account_id)
    equity_e6 = int(state["accounts"][owner]["free_e6"]) + int(state["account_links"][owner]["reserved_cross_e6"])
    maintenance_e12 = 0
    for market, row in rows.items():
        config, position = state["markets"][market]["config"], state["positions"][row]
        value_e6 = int(position["lots"]) * int(state["markets"][market]["mark_ticks"]) * int(config["unit_e6"])
        equity_e6 += value_e6 - int(position["cost_e6"])
        maintenance_e12 += max(
            abs(value_e6) * int(tier["mmr_ppm"]) - int(tier["amount_e6"]) * limits.PPM
            for tier in config["tiers"][: int(config["tiers_count"])]
            if tier["floor_e6"] <= limits.NOTIONAL_E6_MAX
        )
    call_e6 = 4 * equity_e6 - 5 * maintenance_e12 // limits.PPM
    return Pool(rows, equity_e6 - maintenance_e12 // limits.PPM, call_e6)


def _bands(state: Any, account_id: int, pool: Pool, waits: bool, found: list[str]) -> None:
    """Who is due stands at place 0 in every market of its; nobody's band lies beyond its mark."""
    for market, row in pool.rows.items():
        link = state["position_links"][row]
        ladders = state["ladders"][market * limits.LADDERS_COUNT :][: limits.LADDERS_COUNT]
        node = limits.ORDERS_CAPACITY + row
        due = bool(link["band"] == triggers.BAND and state["nodes"][node]["place"] == triggers.DUE_PLACE)
        if pool.health_e6 <= 0 and not due:
            found.append(f"account {account_id} is liquidatable, but not due in market {market + 1}")
        if pool.call_e6 <= 0 and waits and not link["call"]:
            found.append(f"account {account_id} is close to liquidation, but not due a call in market {market + 1}")
        if due and int(ladders[triggers.BAND]["best_place"]) != triggers.DUE_PLACE:
            found.append(f"account {account_id} is due, but not first in market {market + 1}")


def _quoted_since(state: Any, rows: dict[int, int], day: int) -> bool:
    """Return whether a price of one of these markets is of this UTC day: so it has been settled since it began."""
    latest_us = max(max(int(state["markets"][market][name]) for name in ("quote_us", "mark_us")) for market in rows)
    return latest_us // limits.DAY_US >= day
