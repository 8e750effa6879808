"""engine/core/inspect.py: the levels of users' resting orders, against the orders themselves added up by price."""

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine import core
from engine.core.inspect import BOOK_ORDERS_MAX
from engine.core.triggers import REST_BUY
from engine.library import Engine
from tests.builders import BTC, SOL, instruction, opened, step


def summed(engine: Engine, market: str, side: str, levels: int) -> list[list[str]]:
    """Return the best levels of one side from the list of all orders."""
    config = engine.states.view(np.ndarray)[0]["markets"][core.markets_of(engine.states).index(market)]["config"]
    tick, lot = (Decimal(int(config[name])).scaleb(-12) for name in ("tick_e12", "lot_e12"))
    held: dict[int, int] = {}
    for order in engine.orders():
        if (order["market"], order["side"], order["status"]) == (market, side, "resting"):
            left = order["qty_lots"] - order["qty_filled_lots"]
            held[order["price_ticks"]] = held.get(order["price_ticks"], 0) + left
    best = sorted(held, reverse=side == "buy")[:levels]
    return [[str((ticks * tick).normalize()), str((held[ticks] * lot).normalize())] for ticks in best]


def plain(side: list[list[str]]) -> list[list[str]]:
    """Return levels with the decimals that say nothing left out."""
    return [[str(Decimal(text).normalize()) for text in level] for level in side]


def placed(engine: Engine, number: int, side: str, price: str, qty: str, **keys: Any) -> None:
    """Rest one limit order."""
    order = {"market": BTC, "side": side, "kind": "limit", "qty": qty, "price": price, **keys}
    events = engine.apply("user_instruction", instruction(number, "order_place", 100, **order))
    assert events[0]["result"] == "OK", events


def best_order(engine: Engine, number: int) -> int:
    """Return the row of the best order of a ladder of the first market."""
    return int(engine.states.view(np.ndarray)[0]["ladders"]["best_node"][number])


@pytest.mark.parametrize("seed", range(4))
def test_levels_are_the_orders_added_up(seed: int) -> None:
    """After each of many random entries every market's levels are its resting orders by price, and nothing changed."""
    engine, chance = opened(3), random.Random(seed)
    mids = {BTC: 600_000, SOL: 15_000}
    for number in range(1, 260):
        step(engine, chance, number, mids)
        if number % 13:
            continue
        before = engine.state_hash()
        for row, market in enumerate(core.markets_of(engine.states)):
            levels = chance.choice([1, 2, 50])
            book = core.book_levels(engine.states, row, levels)
            assert plain(book["bids"]) == summed(engine, market, "buy", levels)
            assert plain(book["asks"]) == summed(engine, market, "sell", levels)
            assert "truncated" not in book
        assert engine.state_hash() == before


def test_best_first_and_partly_filled() -> None:
    """Buys fall and sells rise in price, equal prices are one level, and only what is left of an order counts."""
    engine = opened(1)
    for number, (side, price) in enumerate(
        [("buy", "59000"), ("buy", "59100"), ("buy", "59000"), ("sell", "61000"), ("sell", "60900")], 1
    ):
        placed(engine, number, side, price, "0.002")
    book = core.book_levels(engine.states, 0)
    assert book == {
        "bids": [["59100.0", "0.00200"], ["59000.0", "0.00400"]],
        "asks": [["60900.0", "0.00200"], ["61000.0", "0.00200"]],
    }
    state = engine.states.view(np.ndarray)[0]
    row = best_order(engine, REST_BUY)
    state["orders"]["qty_filled_lots"][row] = state["orders"]["qty_lots"][row] - 1
    assert core.book_levels(engine.states, 0)["bids"][0] == ["59100.0", "0.00001"]


def test_no_orders_are_no_levels() -> None:
    """An empty book is two empty lists."""
    assert core.book_levels(opened(1).states, 0) == {"bids": [], "asks": []}


def test_a_crowded_side_says_that_it_was_cut() -> None:
    """A side with more orders than are looked at stops there and says so, unless its levels were full before."""
    engine = opened(1)
    placed(engine, 1, "buy", "59000", "0.002")
    placed(engine, 2, "sell", "61000", "0.002")
    assert "truncated" not in core.book_levels(engine.states, 0)
    # Thousands of orders take a minute to place here: one that follows itself is as many.
    node = best_order(engine, REST_BUY)
    engine.states.view(np.ndarray)[0]["nodes"]["right"][node] = node
    book = core.book_levels(engine.states, 0)
    assert book["truncated"] is True
    assert book["bids"] == [["59000.0", f"{Decimal('0.002') * BOOK_ORDERS_MAX:.5f}"]]
    assert book["asks"] == [["61000.0", "0.00200"]]


def test_full_levels_are_not_cut() -> None:
    """Levels asked for and found are the whole truth about them, however many orders stand behind."""
    engine = opened(1)
    placed(engine, 1, "buy", "59000", "0.002")
    placed(engine, 2, "buy", "58000", "0.002")
    assert core.book_levels(engine.states, 0, 1) == {"bids": [["59000.0", "0.00200"]], "asks": []}
