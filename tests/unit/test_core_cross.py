"""engine/core/cross.py: an account's cross positions together, against exact fractions; what may leave the pool."""

import random
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from engine.core import cross, kernel, state

STATES = state.allocate()
ACCOUNT_ROW = 7
TIERS = {
    "flat": [(0, 10_000, 50, 0)],
    "convex": [(0, 5_000, 50, 0), (40_000, 25_000, 20, 800), (90_000, 100_000, 5, 7_550)],
    "unreachable": [(0, 20_000, 25, 0), (10**17 + 1, 500_000, 1, 48 * 10**15)],
}


@kernel.entry
def summed(states, account_row, market_row, lots, cost_e6, cash_e6):
    """Return (results, initial margin, maintenance, health, call level) of an account, one position perhaps changed."""
    own = states[0]
    cross.pool_sum(own, account_row, market_row, lots, cost_e6)
    pool = own.pool
    health_e6 = cross.health_e6(pool, cash_e6)
    return pool.results_e6, pool.initial_e6, cross.maintenance_e6(pool), health_e6, cross.call_e6(pool, cash_e6)


@kernel.entry
def leaving(states, account_row):
    """Return what may leave an account's pool, and its cash."""
    return cross.leave_e6(states[0], account_row), cross.cash_e6(states[0], account_row)


def laid_out(chance: random.Random, shapes: list[str]) -> list[dict[str, int]]:
    """Put markets of these tiers and one account's cross positions into the state; return the positions."""
    row = STATES.view(np.ndarray)[0]
    account, links = row["accounts"][ACCOUNT_ROW], row["account_links"][ACCOUNT_ROW]
    account["leverage"] = 0
    links["cross_markets"] = 0
    held = []
    for market_row, shape in enumerate(shapes):
        market, config = row["markets"][market_row], row["markets"][market_row]["config"]
        market["mark_ticks"] = chance.randint(1, 200)
        config["unit_e6"], config["leverage_max"] = chance.randint(1, 9), 50
        config["tiers_count"] = len(TIERS[shape])
        for tier, values in zip(config["tiers"], TIERS[shape], strict=False):
            tier["floor_e6"], tier["mmr_ppm"], tier["leverage_max"], tier["amount_e6"] = values
        if chance.random() < 0.2:
            continue
        lots = chance.choice([1, -1]) * chance.randint(1, 99)
        value = lots * int(market["mark_ticks"]) * int(config["unit_e6"])
        position = row["positions"][market_row + 1]
        position["lots"], position["cost_e6"] = lots, value + chance.randint(-900, 900)
        links["markets"][market_row]["net"] = market_row + 1
        links["cross_markets"] |= 1 << market_row
        account["leverage"][market_row] = chance.choice([0, 1, 3, 50])
        held.append({"market": market_row, "lots": lots, "cost": int(position["cost_e6"])})
    return held


def expected(held: list[dict[str, int]], shapes: list[str]) -> tuple[int, int, Fraction]:
    """Return (results, initial margin, exact maintenance margin)."""
    row = STATES.view(np.ndarray)[0]
    results, initial, maintenance = 0, 0, Fraction(0)
    for one in held:
        market = row["markets"][one["market"]]
        value = one["lots"] * int(market["mark_ticks"]) * int(market["config"]["unit_e6"])
        results += value - one["cost"]
        initial += -(-abs(value) // (int(row["accounts"][ACCOUNT_ROW]["leverage"][one["market"]]) or 10))
        tiers = TIERS[shapes[one["market"]]]
        maintenance += max(Fraction(abs(value) * mmr, 10**6) - amount for _, mmr, _, amount in tiers)
    return results, initial, maintenance


def figures(market_row: int, lots: int, cost: int, cash: int) -> list[int]:
    """Return the core's sums."""
    return [int(one) for one in summed(STATES, ACCOUNT_ROW, market_row, lots, cost, cash)]


@pytest.mark.parametrize("seed", range(40))
def test_sums_are_exact(seed: int) -> None:
    """Liquidatable and due a call are exactly what fractions say, at their borders as elsewhere."""
    chance = random.Random(seed)
    shapes = [chance.choice(["flat", "convex", "unreachable"]) for _ in range(chance.randint(1, 5))]
    held = laid_out(chance, shapes)
    if chance.random() < 0.5:
        market_row, lots = chance.randrange(len(shapes)), chance.randint(-99, 99)
        cost = chance.randint(-9_000, 9_000) if lots else 0
        after = [one for one in held if one["market"] != market_row]
        after += [{"market": market_row, "lots": lots, "cost": cost}]
    else:
        market_row, lots, cost, after = cross.NO_MARKET, 0, 0, held
    results, initial, maintenance = expected(after, shapes)
    for off in range(-2, 3):
        cash = floor(maintenance) - results + off
        found = figures(market_row, lots, cost, cash)
        assert found[:3] == [results, initial, floor(maintenance)]
        assert found[3] == floor(cash + results) - floor(maintenance)
        assert (found[3] <= 0) == (cash + results <= maintenance)
        cash = floor(maintenance * 5 / 4) - results + off
        assert (figures(market_row, lots, cost, cash)[4] <= 0) == (4 * (cash + results) <= 5 * maintenance)


def money_put(free: int, reserved: int) -> None:
    """Give the account free money and reserves of cross orders."""
    row = STATES.view(np.ndarray)[0]
    row["accounts"][ACCOUNT_ROW]["free_e6"] = free
    row["account_links"][ACCOUNT_ROW]["reserved_cross_e6"] = reserved


def left(free: int, reserved: int = 0) -> list[int]:
    """Return what may leave the pool with so much money, and the cash."""
    money_put(free, reserved)
    return [int(one) for one in leaving(STATES, ACCOUNT_ROW)]


@pytest.mark.parametrize("seed", range(20))
def test_what_leaves_keeps_the_rest_alive(seed: int) -> None:
    """No more leaves than is free and available, and the account stays above its maintenance margin by a micro."""
    chance = random.Random(seed)
    shapes = ["flat", "convex", "flat"]
    held: list[dict[str, int]] = []
    while not held:
        held = laid_out(chance, shapes)
    results, initial, maintenance = expected(held, shapes)
    for free in [chance.randint(-500, 2_000), initial - results, floor(maintenance) - results + 1, initial + 9]:
        reserved = chance.choice([0, 400])
        health = free + reserved + results - floor(maintenance)
        assert left(free, reserved) == [max(0, min(free, free + results - initial, health - 1)), free + reserved]


def test_without_a_cross_position_all_that_is_free_may_leave() -> None:
    """Then only free money counts, and below nothing there is nothing."""
    STATES.view(np.ndarray)[0]["account_links"][ACCOUNT_ROW]["cross_markets"] = 0
    assert [left(free)[0] for free in (-1, 0, 5)] == [0, 0, 5]


def test_an_equity_beyond_all_margins_is_no_call() -> None:
    """Five quarters of the largest maintenance margin are compared with the largest equity without leaving 64 bits."""
    row: Any = STATES.view(np.ndarray)[0]
    laid_out(random.Random(1), ["flat"])
    row["account_links"][ACCOUNT_ROW]["cross_markets"] = 0
    assert figures(cross.NO_MARKET, 0, 0, 2**62)[4] > 0
    assert figures(cross.NO_MARKET, 0, 0, -(2**62))[4] < 0
