"""engine/core/watch.py: what an operator watches, against the same worked out from every row; and its bounds."""

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine import core
from engine.core import watch
from engine.core.kernel import JIT
from engine.core.limits import PPM
from engine.library import Engine
from shared.codes import ACCOUNT_FIRST
from tests.builders import BTC, SOL, instruction, opened, step

DORMANT = "trigger"
FAR_PPM = 900_000  # an account that no price of a long liquidates has no band


def market_rows(engine: Engine) -> Any:
    """Return the markets' records."""
    return engine.states.view(np.ndarray)[0]["markets"]


def row_of(engine: Engine, market: str) -> int:
    """Return the row of a market."""
    return core.markets_of(engine.states).index(market)


def distances(engine: Engine) -> dict[int, tuple[int, str]]:
    """Return of every account with a position (distance in 10⁻⁶, mode) of what is nearest to liquidation."""
    found: dict[int, tuple[int, str]] = {}
    names = core.markets_of(engine.states)
    notionals: dict[int, int] = {}
    for position in engine.positions():
        account = position["account_id"]
        if account < ACCOUNT_FIRST:
            continue
        market = market_rows(engine)[names.index(position["market"])]
        mark = int(market["mark_ticks"])
        if position["cross"]:
            value = abs(position["lots"]) * mark * int(market["config"]["unit_e6"])
            notionals[account] = notionals.get(account, 0) + value
        elif position["threshold_ticks"]:
            away = mark - position["threshold_ticks"]
            distance = (away if position["lots"] > 0 else -away) * PPM // mark
            found[account] = min(found.get(account, (distance, "isolated")), (distance, "isolated"))
    for account, notional in notionals.items():
        pool = core.pool_of(engine.states, account)
        distance = (pool["equity_e6"] - pool["maintenance_e6"]) * PPM // notional
        found[account] = min(found.get(account, (distance, "cross")), (distance, "cross"))
    return found


def steps(engine: Engine, market: str) -> dict[str, list[list[Any]]]:
    """Return a market's isolated positions by the far end of the price step of their liquidation."""
    row = market_rows(engine)[row_of(engine, market)]
    tick, lot = (Decimal(int(row["config"][name])).scaleb(-12) for name in ("tick_e12", "lot_e12"))
    width = watch.step_ticks_of(int(row["mark_ticks"]))
    sides: dict[str, dict[int, list[int]]] = {"longs": {}, "shorts": {}}
    for position in engine.positions():
        ticks = position["threshold_ticks"]
        if position["market"] != market or position["account_id"] < ACCOUNT_FIRST or ticks == 0:
            continue
        long = position["lots"] > 0
        far = ticks - ticks % width if long else ticks + -ticks % width
        held = sides["longs" if long else "shorts"].setdefault(far, [0, 0])
        held[0] += abs(position["lots"])
        held[1] += 1
    return {
        side: [
            [far * tick, held[far][0] * lot, held[far][1]]
            for far in sorted(held, reverse=side == "longs")[: watch.STEPS_MAX]
        ]
        for side, held in sides.items()
    }


def numbers(side: list[list[Any]]) -> list[list[Any]]:
    """Return the steps of one side with their texts as numbers."""
    return [[Decimal(price), Decimal(qty), count] for price, qty, count in side]


def ticket(engine: Engine, number: int, account: int, **keys: Any) -> None:
    """Open a ticket."""
    body = {"market": SOL, "side": "buy", "margin": "5", "leverage": 20, **keys}
    events = engine.apply("user_instruction", instruction(number, "trade_create", account, **body))
    assert events[0]["result"] == "OK", events


@pytest.mark.parametrize("seed", range(6))
def test_everything_is_what_the_rows_say(seed: int) -> None:
    """In a random history counts, money, the nearest, the ladders are those of all rows; no hash moves."""
    engine, chance = opened(4), random.Random(seed)
    mids = {BTC: 600_000, SOL: 15_000}
    for number in range(1, 300):
        step(engine, chance, number, mids)
        if number % 17:
            continue
        before = engine.state_hash()
        users = [row for row in engine.positions() if row["account_id"] >= ACCOUNT_FIRST]
        orders = engine.orders()
        assert core.watch_counts(engine.states) == {
            "accounts": sum(row["account_id"] >= ACCOUNT_FIRST for row in core.accounts_of(engine.states)),
            "positions": len(users),
            "orders": len(orders),
            "triggers": sum(order["status"] == DORMANT for order in orders),
        }
        assert core.watch_money_e6(engine.states) == 0
        wanted = distances(engine)
        found = core.watch_nearest(engine.states)
        told = {row["account"]: (row["distance_ppm"], row["mode"]) for row in found}
        assert told == {account: wanted[account] for account in told}
        assert told.keys() >= {account for account, (distance, _) in wanted.items() if distance < FAR_PPM}
        assert [row["distance_ppm"] for row in found] == sorted(row["distance_ppm"] for row in found)
        for index, market in enumerate(core.markets_of(engine.states)):
            ladder, met = core.watch_ladder(engine.states, index)
            held = steps(engine, market)
            assert {side: numbers(ladder[side]) for side in held} == held
            assert met == sum(row[2] for side in held.values() for row in side) and "truncated" not in ladder
        assert engine.state_hash() == before


@pytest.mark.parametrize("seed", range(4))
def test_cross_accounts_are_ranked_by_what_is_left_of_them(seed: int) -> None:
    """Accounts with cross positions stand by equity less maintenance margin ÷ notional, however marks move."""
    engine, chance = opened(12), random.Random(seed)
    numbers_of = iter(range(1, 1_000))
    for account in range(100, 112):
        for market, qty in ((BTC, f"{chance.uniform(0.05, 0.6):.3f}"), (SOL, f"{chance.uniform(10, 250):.0f}")):
            mode = {"market": market, "mode": "cross"}
            engine.apply("user_instruction", instruction(next(numbers_of), "margin_mode_set", account, **mode))
            high = {"market": market, "leverage": 20}
            engine.apply("user_instruction", instruction(next(numbers_of), "leverage_set", account, **high))
            order = {"market": market, "side": chance.choice(["buy", "sell"]), "kind": "market", "qty": qty}
            engine.apply("user_instruction", instruction(next(numbers_of), "order_place", account, **order))
    bid, seen = {BTC: 600_000, SOL: 15_000}, 0
    for _ in range(12):
        for market, ticks in (("BTC_USDC_PERP", 10), ("SOL_USDC_PERP", 100)):
            bid[market] = bid[market] * chance.randint(990, 1_010) // 1_000
            decimals = 1 if ticks == 10 else 2
            engine.price(market, f"{bid[market] / ticks:.{decimals}f}", f"{(bid[market] + 2) / ticks:.{decimals}f}")
        wanted = distances(engine)
        found = core.watch_nearest(engine.states)
        assert all(wanted[row["account"]] == (row["distance_ppm"], row["mode"]) for row in found)
        assert {row["account"] for row in found} >= {each for each, (away, _) in wanted.items() if away < FAR_PPM}
        assert [row["distance_ppm"] for row in found] == sorted(row["distance_ppm"] for row in found)
        assert all("price_liquidation" not in row for row in found)
        seen += len(found)
    assert seen > 50


def test_a_row_of_the_nearest_names_the_position() -> None:
    """The row says which position, how large, and at which mark; an isolated one also its price of liquidation."""
    engine = opened(1)
    ticket(engine, 1, 100)
    position = next(row for row in engine.positions() if row["account_id"] == 100)
    [row] = core.watch_nearest(engine.states)
    mark = int(market_rows(engine)[row_of(engine, SOL)]["mark_ticks"])
    distance = (mark - position["threshold_ticks"]) * PPM // mark
    assert row == {
        "account": 100,
        "market": SOL,
        "position_id": position["position_id"],
        "mode": "isolated",
        "qty": f"{position['lots'] / 100:.2f}",
        "price_mark": f"{mark / 100:.2f}",
        "price_liquidation": f"{position['threshold_ticks'] / 100:.2f}",
        "distance_ppm": distance,
    }
    assert 0 < distance < 50_000


def test_many_tickets_of_one_account_hide_nobody() -> None:
    """An account stands there once, by the nearest of its positions, however many it has before the others."""
    engine = opened(3)
    for number in range(1, 31):
        ticket(engine, number, 100, leverage=50)
    ticket(engine, 40, 101, leverage=20)
    ticket(engine, 41, 102, leverage=10)
    rows = core.watch_nearest(engine.states)
    assert [row["account"] for row in rows] == [100, 101, 102]
    assert rows[0]["position_id"] == min(row["position_id"] for row in engine.positions() if row["account_id"] == 100)


def test_a_market_without_a_mark_ranks_nobody() -> None:
    """Where no mark is known there is no distance, no position and no step."""
    engine = Engine()
    assert core.watch_nearest(engine.states) == []
    assert core.watch_ladder(engine.states, 0) == ({"step": "0.1", "longs": [], "shorts": []}, 0)
    assert core.watch_house(engine.states)[BTC] == {
        "qty": "0.00000",
        "notional": "0.000000",
        "pnl_unrealised": "0.000000",
    }


def test_the_house_stands_against_its_users() -> None:
    """The house's qty is the users' with the sign turned, its result theirs, at the mark and beside the quote."""
    engine = opened(1)
    order = {"market": SOL, "side": "buy", "kind": "market", "qty": "2"}
    engine.apply("user_instruction", instruction(1, "order_place", 100, **order))
    engine.price(SOL, "151.00", "151.02")
    held = next(row for row in engine.positions() if row["account_id"] == 100)
    mark = int(market_rows(engine)[row_of(engine, SOL)]["mark_ticks"])
    value = held["lots"] * mark * int(market_rows(engine)[row_of(engine, SOL)]["config"]["unit_e6"])
    house = core.watch_house(engine.states)[SOL]
    assert (house["qty"], house["bid"], house["ask"]) == ("-2.00", "151.00", "151.02")
    assert Decimal(house["notional"]) == Decimal(value).scaleb(-6)
    assert Decimal(house["pnl_unrealised"]) == Decimal(held["cost_e6"] - value).scaleb(-6)
    funds = core.watch_funds(engine.states)
    assert Decimal(funds["fees"]) > 0 and set(funds) == {"house", "fees", "insurance"}


@pytest.mark.parametrize("values", [[2**62, 2**62, 2**62, 5], [-(2**62), -(2**62), -(2**62), 2**62], [], [-1, 3]])
def test_a_sum_may_be_wider_than_its_parts(values: list[int]) -> None:
    """Halves are added up apart, so that no sum of cells is cut to 64 bits."""
    assert watch.wide_sum(np.array(values, np.int64)) == sum(values)


def test_money_out_of_nothing_shows() -> None:
    """A micro-USDC more in any cell, of a free row's too, is a sum other than 0."""
    engine = opened(2)
    ticket(engine, 1, 100)
    state = engine.states.view(np.ndarray)[0]
    last = int(state["positions_table"]["top"])
    for table, row, cell, sign in (
        ("accounts", 6, "free_e6", 1),
        ("accounts", 5, "reserved_e6", 1),
        ("positions", last, "margin_e6", 1),
        ("positions", last, "cost_e6", -1),
    ):
        state[table][cell][row] += 1
        assert core.watch_money_e6(engine.states) == sign
        state[table][cell][row] -= 1
    assert core.watch_money_e6(engine.states) == 0
    assert core.watch_money_rows(engine.states) >= last + 6


@pytest.mark.parametrize(
    ("mark", "width"),
    [(0, 1), (1, 1), (800, 2), (1_999, 2), (2_000, 5), (4_000, 10), (600_000, 1_000), (8_000_000, 20_000)],
)
def test_a_step_is_a_round_number(mark: int, width: int) -> None:
    """A step is 1, 2 or 5 times a power of ten ticks, at most a 400th of the mark and at least a tick."""
    assert watch.step_ticks_of(mark) == width


@pytest.mark.skipif(not JIT, reason="thousands of tickets take a minute with the compiler off")
def test_a_walk_of_a_ladder_ends() -> None:
    """Of a side with more positions than are added up the farther ones are left out, and that is said."""
    accounts = watch.STEPS_WALK_MAX // 200 + 1
    engine = opened(accounts)
    for number in range(watch.STEPS_WALK_MAX):
        ticket(engine, number + 1, ACCOUNT_FIRST + number // 200)
    whole, met = core.watch_ladder(engine.states, row_of(engine, SOL))
    assert (met, "truncated" in whole) == (watch.STEPS_WALK_MAX, False)
    ticket(engine, 10**6, ACCOUNT_FIRST + accounts - 1)
    cut, met = core.watch_ladder(engine.states, row_of(engine, SOL))
    assert (met, cut["truncated"]) == (watch.STEPS_WALK_MAX, True)
    assert sum(count for _, _, count in cut["longs"]) == watch.STEPS_WALK_MAX
    assert len(core.watch_nearest(engine.states)) <= watch.NEAREST_MAX
