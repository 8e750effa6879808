"""
The naive scan: every account with cross positions on every tick, exactly, from the stored rows and the marks alone.

It knows nothing of bands, links or ladders. Maintenance margin is kept as whole micros and parts of 10⁻⁶ micro, so that
int64 holds it exactly.
"""

from typing import Any, NamedTuple

import numpy as np

from shared.codes import ACCOUNT_FIRST

PPM = 10**6
DAY_US = 86_400_000_000
ROW_FIRST = 5  # of the first user


class Holders(NamedTuple):
    """
    Every account that holds a cross position, by id.

    Shapes: accounts, cash, called_day int64[n]; lots, cost int64[n, markets]; positions: the ids of the positions.
    """

    accounts: np.ndarray
    lots: np.ndarray
    cost: np.ndarray
    cash: np.ndarray
    called_day: np.ndarray
    positions: set[int]


class Levels(NamedTuple):
    """Equity, whole maintenance margin, and the exact distances from liquidation and from a margin call."""

    equity: np.ndarray
    maintenance: np.ndarray
    health: np.ndarray
    call: np.ndarray


def holders_of(state: Any) -> Holders:
    """Return who holds cross positions, with the money behind them, from the rows."""
    markets = int(state["venue"]["markets_count"])
    rows = state["positions"][1 : int(state["positions_table"]["top"]) + 1]
    rows = rows[rows["cross"] != 0]
    accounts, at = np.unique(rows["account_id"].astype(np.int64), return_inverse=True)
    lots, cost = np.zeros((len(accounts), markets), np.int64), np.zeros((len(accounts), markets), np.int64)
    lots[at, rows["market_id"] - 1], cost[at, rows["market_id"] - 1] = rows["lots"], rows["cost_e6"]
    own = state["accounts"][accounts - ACCOUNT_FIRST + ROW_FIRST]
    cash = own["free_e6"].copy()
    orders = state["orders"][1 : int(state["orders_table"]["top"]) + 1]
    orders = orders[(orders["order_id"] > 0) & (orders["reserved_e6"] > 0)]
    places = np.searchsorted(accounts, orders["account_id"])
    for place, order in zip(places, orders, strict=True):
        if place < len(accounts) and accounts[place] == order["account_id"]:
            cash[place] += order["reserved_e6"] * ((own["cross"][place] >> (int(order["market_id"]) - 1)) & 1)
    return Holders(accounts, lots, cost, cash, own["called_day"].copy(), set(rows["position_id"].tolist()))


def scan(state: Any, holders: Holders) -> Levels:
    """Return the levels of every holder at the marks of now."""
    equity, whole, parts = holders.cash.copy(), np.zeros_like(holders.cash), np.zeros_like(holders.cash)
    for index in range(holders.lots.shape[1]):
        market = state["markets"][index]
        value = holders.lots[:, index] * (int(market["mark_ticks"]) * int(market["config"]["unit_e6"]))
        equity += value - holders.cost[:, index]
        most, rest = maintenance(np.abs(value), market["config"])
        whole += most
        parts += rest
    maintenance_floor = whole + parts // PPM
    return Levels(equity, maintenance_floor, equity - maintenance_floor, 4 * equity - (5 * whole + 5 * parts // PPM))


def maintenance(notional: np.ndarray, config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest of the tiers' maintenance margins, exactly, as whole micros and parts of 10⁻⁶ micro."""
    most, rest = np.zeros_like(notional), np.zeros_like(notional)
    high, low = notional // PPM, notional % PPM
    for tier in config["tiers"][: int(config["tiers_count"])]:
        mmr = int(tier["mmr_ppm"])
        tier_whole = high * mmr + low * mmr // PPM - int(tier["amount_e6"])
        tier_parts = low * mmr % PPM
        more = (tier_whole > most) | ((tier_whole == most) & (tier_parts > rest))
        most, rest = np.where(more, tier_whole, most), np.where(more, tier_parts, rest)
    return most, rest


def liquidatable(holders: Holders, levels: Levels, market_row: int) -> list[int]:
    """Return the ids of the liquidatable accounts that hold a cross position in a market, ascending."""
    return holders.accounts[(levels.health <= 0) & (holders.lots[:, market_row] != 0)].tolist()


def to_be_called(state: Any, holders: Holders, levels: Levels, market_row: int) -> list[int]:
    """Return the ids of the accounts there that are due a margin call, ascending."""
    today = int(state["header"]["log_time_us"]) // DAY_US
    due = (levels.call <= 0) & (holders.called_day < today) & (holders.lots[:, market_row] != 0)
    return holders.accounts[due].tolist()
