"""engine/core/reserves.py: cover, reserves and room recomputed the long way, on the states of recorded histories."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.core import kernel, limits, reserves
from shared.codes import ACCOUNT_FIRST, OrderStatus, PositionKind, Side
from tests.golden.recording import START_US, entries_read
from tests.property.venues import EngineVenue

RECORDED = entries_read()
EVERY = 12
LEVERAGE = 3
SIDES = {Side.BUY: 1, Side.SELL: -1}


class Resting(NamedTuple):
    """One resting order that may open: its row and what counts of it."""

    row: int
    side: int
    lots: int
    price: int
    fee_ppm: int


@kernel.entry
def figures(states, account_row, market_row, side, held, except_row):
    """Return the core's figures of one side of one account in one market."""
    state = states[0]
    return (
        reserves.resting_lots(state, account_row, market_row, side, except_row),
        reserves.cover_left_lots(state, account_row, market_row, side, held, except_row),
        reserves.net_lots(state, account_row, market_row),
        reserves.reserves_due_e6(state, account_row, market_row, LEVERAGE),
    )


@kernel.entry
def room(states, position_row, lots_after, except_row):
    """Return the room that a position's resting reduce-only orders leave."""
    return reserves.room_lots(states[0], position_row, lots_after, except_row)


def live(state: Any, name: str) -> list[int]:
    """Return the rows of a table that are in use."""
    used = state[name][: int(state[f"{name}_table"]["top"]) + 1]
    return [int(row) for row in np.flatnonzero(used[name[:-1] + "_id"]) if row >= limits.ROW_NONE + 1]


def resting_of(state: Any, account_id: int, market_row: int) -> list[Resting]:
    """Return an account's resting orders that may open in a market, the oldest first."""
    rows = [row for row in live(state, "orders") if state["orders"][row]["status"] == OrderStatus.RESTING]
    rows.sort(key=lambda row: int(state["orders"][row]["priority"]))
    found = []
    for row in rows:
        order = state["orders"][row]
        if (order["account_id"], order["market_id"], order["reduce_only"]) == (account_id, market_row + 1, 0):
            lots = int(order["qty_lots"]) - int(order["qty_filled_lots"])
            fee_ppm = max(int(order["fee_maker_ppm"]), int(order["fee_taker_ppm"]))
            found.append(Resting(row, int(order["side"]), lots, int(order["price_ticks"]), fee_ppm))
    return found


def covered(resting: list[Resting], held: int) -> dict[int, int]:
    """Return the lots of each order that the net position does not cover, the oldest of a side covered first."""
    left = {side: max(0, -held * sign) for side, sign in SIDES.items()}
    open_lots = {}
    for order in resting:
        cover = min(left[Side(order.side)], order.lots)
        left[Side(order.side)] -= cover
        open_lots[order.row] = order.lots - cover
    return open_lots


def account_check(states: Any, state: Any, account_row: int, market_row: int) -> None:
    """Compare every figure of one account in one market."""
    account_id = int(state["accounts"][account_row]["account_id"])
    resting = resting_of(state, account_id, market_row)
    nets = [int(state["positions"][row]["lots"]) for row in live(state, "positions")
            if state["positions"][row]["kind"] == PositionKind.NET
            and state["positions"][row]["account_id"] == account_id
            and state["positions"][row]["market_id"] == market_row + 1]  # fmt: skip
    held = sum(nets)
    unit_e6 = int(state["markets"][market_row]["config"]["unit_e6"])
    open_lots = covered(resting, held)
    due = 0
    for order in resting:
        notional = open_lots[order.row] * order.price * unit_e6
        due += -(-notional // LEVERAGE) + -(-notional * order.fee_ppm // 10**6)
        assert int(state["order_links"][order.row]["uncovered_lots"]) == open_lots[order.row]
    for side, sign in SIDES.items():
        own = [order for order in resting if order.side == side]
        for left_out in (limits.ROW_NONE, *(order.row for order in own[:1])):
            lots = sum(order.lots for order in own if order.row != left_out)
            for lots_held in (held, held - sign, -sign * (lots + 1)):
                cover = max(0, max(0, -lots_held * sign) - lots)
                found = figures(states, account_row, market_row, int(side), lots_held, left_out)
                assert [int(one) for one in found] == [lots, cover, held, due]


def position_check(states: Any, state: Any, position_row: int) -> None:
    """Compare the room of one position."""
    position = state["positions"][position_row]
    bound = []
    for row in live(state, "orders"):
        order = state["orders"][row]
        if order["reduce_only"] and order["status"] == OrderStatus.RESTING and (
            order["position_id"] == position["position_id"]
        ):  # fmt: skip
            bound.append((row, int(order["qty_lots"]) - int(order["qty_filled_lots"])))
    for after in (int(position["lots"]), 0, -1, 10**6):
        for left_out in (limits.ROW_NONE, *(row for row, _ in bound[:1])):
            expected = max(0, abs(after) - sum(lots for row, lots in bound if row != left_out))
            assert int(room(states, position_row, after, left_out)) == expected


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: str(recorded.seed))
def test_figures_are_those_of_the_rows(recorded: Any) -> None:
    """Cover, reserves, uncovered lots and room are what the rows say, before and after a restore."""
    venue = EngineVenue(recorded.first, START_US)
    for index, entry in enumerate(recorded.entries):
        venue.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        if index % EVERY != EVERY - 1:
            continue
        for one in (venue, venue.restored()):
            states = one.engine.states
            state = states.view(np.ndarray)[0]
            for account_row in live(state, "accounts"):
                if state["accounts"][account_row]["account_id"] >= ACCOUNT_FIRST:
                    for market_row in range(int(state["venue"]["markets_count"])):
                        account_check(states, state, account_row, market_row)
            for position_row in live(state, "positions"):
                if state["positions"][position_row]["account_id"] >= ACCOUNT_FIRST:
                    position_check(states, state, position_row)
