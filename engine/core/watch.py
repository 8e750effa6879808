"""
What an operator watches of a whole state, every second: counts, all money, who is nearest to liquidation, the house.

Every walk ends after so many positions however many there are; only the sum of all money takes longer with each row,
and `watch_money_rows` says how many those are. Writes nothing but scratch sums.
"""

from typing import Any

import numpy as np
from numpy import int64

from engine.core import cross, ladder, limits, triggers
from engine.core.inspect import account_row, markets_of
from engine.core.kernel import entry, kernel
from shared import units
from shared.codes import ACCOUNT_FEES, ACCOUNT_FIRST, ACCOUNT_HOUSE, ACCOUNT_INSURANCE

NEAREST_MAX = 20
NEAREST_WALK_MAX = 256  # positions of one ladder that are met in search of so many accounts
STEPS_MAX = 25  # price steps of one side of a liquidation ladder
STEPS_WALK_MAX = 2_000  # positions of one side that are added up
STEP_PARTS = 400  # a step is at most this part of the mark
LIMB_BITS = 32
NEAREST_LADDERS = (triggers.THRESHOLD, triggers.THRESHOLD + 1, triggers.BAND, triggers.BAND + 1)
ISOLATED_LADDERS = 2  # the first of them: what stands there is a price of liquidation
NEAREST_WORDS = 3  # position row, price in ticks, account id
HEALTH_WORDS = 3  # equity − maintenance margin, notional, row of the largest position
FUNDS = {"house": ACCOUNT_HOUSE, "fees": ACCOUNT_FEES, "insurance": ACCOUNT_INSURANCE}


def watch_counts(states: np.ndarray) -> dict[str, int]:
    """Return how many users' accounts and positions there are, live orders, and those of them that wait for a price."""
    state = states.view(np.ndarray)[0]
    markets_count = int(state["venue"]["markets_count"])
    ladders = state["ladders"]["count"].reshape(-1, limits.LADDERS_COUNT)[:markets_count]
    trailing = state["trail_sets"]["count"][: markets_count * limits.TRAIL_SETS_COUNT]
    return {
        "accounts": max(0, int(state["venue"]["account_next"]) - ACCOUNT_FIRST),
        "positions": int(state["positions_table"]["live"]) - markets_count,  # the house has one in every market
        "orders": int(state["orders_table"]["live"]),
        "triggers": int(ladders[:, triggers.QUOTE_SELL : triggers.THRESHOLD].sum()) + int(trailing.sum()),
    }


def watch_money_rows(states: np.ndarray) -> int:
    """Return how many rows `watch_money_e6` adds up."""
    state = states.view(np.ndarray)[0]
    return int(state["accounts_table"]["top"]) + int(state["positions_table"]["top"])


def watch_money_e6(states: np.ndarray) -> int:
    """Return the sum of every cell that money lies in; it is 0, or money was made or lost."""
    state = states.view(np.ndarray)[0]
    accounts = state["accounts"][1 : int(state["accounts_table"]["top"]) + 1]
    positions = state["positions"][1 : int(state["positions_table"]["top"]) + 1]
    return wide_sum(accounts["free_e6"] + accounts["reserved_e6"]) + wide_sum(
        positions["margin_e6"] - positions["cost_e6"]
    )


def wide_sum(values: np.ndarray) -> int:
    """Return the sum of 64-bit integers, which may itself be wider: halves are added up apart."""
    return (int((values >> LIMB_BITS).sum()) << LIMB_BITS) + int((values & (2**LIMB_BITS - 1)).sum())


def watch_funds(states: np.ndarray) -> dict[str, str]:
    """Return what the house, the collected fees and the insurance fund have, in USDC."""
    accounts = states.view(np.ndarray)[0]["accounts"]
    return {name: units.money_text(int(accounts[account_row(account)]["free_e6"])) for name, account in FUNDS.items()}


def watch_house(states: np.ndarray) -> dict[str, dict[str, str]]:
    """Return the house's position in each market: signed qty, notional and result at mark, and the market's quote."""
    state = states.view(np.ndarray)[0]
    found = {}
    for index, name in enumerate(markets_of(states)):
        market = state["markets"][index]
        position = state["positions"][int(state["market_links"][index]["house_row"])]
        lots, config = int(position["lots"]), market["config"]
        value_e6 = lots * int(market["mark_ticks"]) * int(config["unit_e6"])
        found[name] = {
            "qty": qty_text(config, lots),
            "notional": units.money_text(abs(value_e6)),
            "pnl_unrealised": units.money_text(value_e6 - int(position["cost_e6"])),
        } | {
            key: price_text(config, int(market[f"{key}_ticks"])) for key in ("bid", "ask") if market[f"{key}_ticks"] > 0
        }
    return found


def price_text(config: Any, ticks: int) -> str:
    """Return a price of a market as text."""
    tick_e12 = int(config["tick_e12"])
    return units.decimal_text(ticks * tick_e12, units.decimals_of(tick_e12))


def qty_text(config: Any, lots: int) -> str:
    """Return a quantity of a market as text."""
    lot_e12 = int(config["lot_e12"])
    return units.decimal_text(lots * lot_e12, units.decimals_of(lot_e12))


@kernel
def nearest_fill(state, market_row, number, block, figures):
    """Write the first positions of a ladder, one an account, into figures[block]; their order is that of firing."""
    row = state.ladders[market_row * limits.LADDERS_COUNT + number]
    node = int64(row.best_node)
    found = int64(0)
    met = int64(0)
    while node != ladder.NODE_NONE and found < NEAREST_MAX and met < NEAREST_WALK_MAX:
        position_row = node - limits.ORDERS_CAPACITY
        if position_row >= limits.POSITIONS_CAPACITY:  # it waits there to be told a margin call
            position_row -= limits.POSITIONS_CAPACITY
        account_id = int64(state.positions[position_row].account_id)
        known = False
        for index in range(found):
            known = known or figures[block, index, 2] == account_id
        if not known:
            figures[block, found, 0] = position_row
            figures[block, found, 1] = ladder.ladder_place(int64(state.nodes[node].place), number % 2 == 0)
            figures[block, found, 2] = account_id
            found += 1
        node = ladder.ladder_after(row, state.nodes, node)
        met += 1


@entry
def nearest_write(states, markets_count, figures):
    """
    Write who stands first in each market's NEAREST_LADDERS.

    Shapes: figures int64[markets × 4, NEAREST_MAX, NEAREST_WORDS], zeros; a position row of 0 is none.
    """
    state = states[0]
    for market_row in range(markets_count):
        for side in range(2):
            block = 4 * market_row + side
            nearest_fill(state, market_row, int64(triggers.THRESHOLD + side), block, figures)
            nearest_fill(state, market_row, int64(triggers.BAND + side), block + 2, figures)


@entry
def healths_write(states, rows, figures):
    """Write the HEALTH_WORDS of accounts over their cross positions, at the marks of now; writes `pool`."""
    state = states[0]
    for index in range(len(rows)):
        figures[index, 0] = cross.account_health_e6(state, rows[index])
        links = state.account_links[rows[index]]
        largest_e6 = int64(-1)
        bits = links.cross_markets
        while bits != 0:
            market_row = int64(ladder.lowest_bit(bits))
            bits &= bits - 1
            market = state.markets[market_row]
            position_row = int64(links.markets[market_row].net)
            notional_e6 = abs(state.positions[position_row].lots) * market.mark_ticks * market.config.unit_e6
            figures[index, 1] += notional_e6
            if notional_e6 > largest_e6:
                largest_e6 = notional_e6
                figures[index, 2] = position_row


def watch_nearest(states: np.ndarray) -> list[dict[str, Any]]:
    """
    Return the NEAREST_MAX accounts nearest to liquidation, the nearest first, each by what brings it there.

    Of isolated positions the distance is that of the mark to the price of liquidation, ÷ mark; of an account's cross
    positions it is equity − maintenance margin, ÷ notional. Cross accounts are found by their bands, which lie no
    farther off than the liquidation does if all marks moved alike.
    """
    state = states.view(np.ndarray)[0]
    names = markets_of(states)
    figures = np.zeros((4 * len(names), NEAREST_MAX, NEAREST_WORDS), np.int64)
    nearest_write(states, len(names), figures)
    marks = state["markets"]["mark_ticks"].tolist()
    ranked: list[tuple[int, int, int, int]] = []  # distance, account, position row, ticks or 0
    pooled: set[int] = set()
    for block, rows in enumerate(figures.tolist()):
        mark_ticks, kind = marks[block // 4], block % 4
        for position_row, ticks, account_id in rows:
            if position_row == 0:
                break
            if kind >= ISOLATED_LADDERS:
                pooled.add(account_id)
            elif mark_ticks > 0:
                away = mark_ticks - ticks if kind == 0 else ticks - mark_ticks
                ranked.append((away * limits.PPM // mark_ticks, account_id, position_row, ticks))
    ranked += pooled_distances(states, sorted(pooled))
    found: dict[int, dict[str, Any]] = {}
    for distance_ppm, account_id, position_row, ticks in sorted(ranked):
        if account_id not in found:
            found[account_id] = near_row(state, names, (distance_ppm, account_id, position_row, ticks))
            if len(found) == NEAREST_MAX:
                break
    return list(found.values())


def pooled_distances(states: np.ndarray, accounts: list[int]) -> list[tuple[int, int, int, int]]:
    """Return (distance, account, row of its largest cross position, 0) of accounts with cross positions."""
    rows = np.array([account_row(account_id) for account_id in accounts], np.int64)
    figures = np.zeros((len(accounts), HEALTH_WORDS), np.int64)
    healths_write(states, rows, figures)
    return [
        (health_e6 * limits.PPM // notional_e6, account_id, position_row, 0)
        for account_id, (health_e6, notional_e6, position_row) in zip(accounts, figures.tolist(), strict=True)
        if notional_e6 > 0
    ]


def near_row(state: Any, names: list[str], ranked: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return one of those nearest to liquidation, for people."""
    distance_ppm, account_id, position_row, ticks = ranked
    position = state["positions"][position_row]
    market_row = int(position["market_id"]) - 1
    market = state["markets"][market_row]
    config = market["config"]
    row = {
        "account": account_id,
        "market": names[market_row],
        "position_id": int(position["position_id"]),
        "mode": "cross" if ticks == 0 else "isolated",
        "qty": qty_text(config, int(position["lots"])),
        "price_mark": price_text(config, int(market["mark_ticks"])),
    }
    if ticks:
        row["price_liquidation"] = price_text(config, ticks)
    return row | {"distance_ppm": distance_ppm}


@kernel
def steps_fill(state, market_row, side, step_ticks, figures):
    """Write (price_ticks, lots, positions) of the nearest price steps into figures[side]; returns the positions met."""
    row = state.ladders[market_row * limits.LADDERS_COUNT + triggers.THRESHOLD + side]
    node = int64(row.best_node)
    step = int64(-1)
    met = int64(0)
    while node != ladder.NODE_NONE and met < STEPS_WALK_MAX:
        ticks = ladder.ladder_place(int64(state.nodes[node].place), side == 0)
        # The far end of its step: a mark that has come so far has liquidated the whole step.
        ticks = ticks // step_ticks * step_ticks if side == 0 else -(-ticks // step_ticks) * step_ticks
        if step < 0 or figures[side, step, 0] != ticks:
            if step + 1 == STEPS_MAX:
                return met
            step += 1
            figures[side, step, 0] = ticks
        figures[side, step, 1] += abs(state.positions[node - limits.ORDERS_CAPACITY].lots)
        figures[side, step, 2] += 1
        node = ladder.ladder_after(row, state.nodes, node)
        met += 1
    return met


@entry
def steps_write(states, market_row, step_ticks, figures):
    """
    Write the steps of a market's isolated longs and shorts by price of liquidation; returns the positions met.

    Shapes: figures int64[2, STEPS_MAX, 3], zeros; a step of no positions is none.
    """
    met = steps_fill(states[0], market_row, int64(0), step_ticks, figures)
    return met + steps_fill(states[0], market_row, int64(1), step_ticks, figures)


def step_ticks_of(mark_ticks: int) -> int:
    """Return the width of a price step: the largest 1, 2 or 5 × 10ⁿ ticks that is no more than mark ÷ STEP_PARTS."""
    bound = max(1, mark_ticks // STEP_PARTS)
    power = 1
    while power * 10 <= bound:
        power *= 10
    return max(width * power for width in (1, 2, 5) if width * power <= bound)


def watch_ladder(states: np.ndarray, market_row: int) -> tuple[dict[str, Any], int]:
    """
    Return how much isolated longs and shorts would be liquidated by price, the nearest step first, and positions met.

    `truncated` says that a side has more positions than are added up: what lies farther off is left out.
    """
    state = states.view(np.ndarray)[0]
    market = state["markets"][market_row]
    config, step_ticks = market["config"], step_ticks_of(int(market["mark_ticks"]))
    figures = np.zeros((2, STEPS_MAX, 3), np.int64)
    met = int(steps_write(states, market_row, step_ticks, figures))
    first = market_row * limits.LADDERS_COUNT + triggers.THRESHOLD
    held = state["ladders"]["count"][first : first + 2].tolist()
    sides = figures.tolist()
    cut = any(STEPS_WALK_MAX == sum(step[2] for step in side) < count for side, count in zip(sides, held, strict=True))
    longs, shorts = (
        [[price_text(config, ticks), qty_text(config, lots), count] for ticks, lots, count in side if count > 0]
        for side in sides
    )
    found = {"step": price_text(config, step_ticks), "longs": longs, "shorts": shorts}
    return found | ({"truncated": True} if cut else {}), met
