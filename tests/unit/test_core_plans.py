"""engine/core/plans.py: the arithmetic of one fill against exact fractions, most often at its borders."""

import random
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import numpy as np
import pytest

from engine.core import kernel, plans, state

STATES = state.allocate()
UNIT_E6 = 10
TAKER, MAKER, HOUSE_MAKER, FORCED = range(4)
FIELDS = ("close_lots", "cost_part_e6", "released_e6", "pnl_e6", "fee_e6", "alone_e6", "open_lots", "open_e6",
          "margin_in_e6", "open_loss_e6", "deficit_e6", "free_after_e6", "lots_after", "cost_after_e6",
          "margin_after_e6", "need_e6", "loss_e6")  # fmt: skip


class Fill(NamedTuple):
    """One fill onto a position: what is held, the fill, the market's mark."""

    held: int
    cost: int
    margin: int
    free: int
    sign: int
    lots: int
    price: int
    rate_ppm: int
    leverage: int
    mark: int
    cross: int = 0
    backing: int = 0  # of a cross position
    spare: int = 0  # what cross positions leave beside free money
    others: int = 0  # results of the other cross positions


@kernel.entry
def planned(states, way, held, cost_e6, margin_e6, free_e6, sign, lots, price, rate_ppm, leverage):
    """Plan one fill into the state's plan."""
    market = states[0].markets[0]
    plan = states[0].plan
    unit_e6 = market.config.unit_e6
    total_e6 = lots * price * unit_e6
    close_e6 = plans.closing_lots(held, sign, lots) * price * unit_e6
    if way == FORCED:
        plans.plan_forced(plan, market, held, cost_e6, margin_e6, free_e6, sign, lots, total_e6)
        return
    plans.plan_begin(plan, held, cost_e6, margin_e6, free_e6, sign, lots, close_e6, total_e6, rate_ppm)
    if way == TAKER:
        plans.plan_taker(plan, market, sign, leverage)
    elif way == MAKER:
        plans.plan_maker(plan, market, sign, leverage)
    else:
        plans.plan_maker_house(plan, market, sign, leverage)


@kernel.entry
def reserved(states, lots, price, leverage, rate_ppm):
    """Return a reserve and the lots of an open interest."""
    return plans.reserve_e6(states[0].markets[0], lots, price, leverage, rate_ppm), plans.long_lots(lots)


def plan_of(way: int, fill: Fill) -> dict[str, int]:
    """Return what the core plans."""
    row = STATES.view(np.ndarray)[0]
    row["markets"][0]["config"]["unit_e6"] = UNIT_E6
    row["markets"][0]["config"]["fee_liquidation_ppm"] = fill.rate_ppm
    row["markets"][0]["mark_ticks"] = fill.mark
    for name in row["plan"].dtype.names:
        row["plan"][name] = 77_777  # of the fill before: nothing of it may stay
    row["plan"]["cross"], row["plan"]["backing_e6"], row["plan"]["spare_e6"], row["plan"]["others_e6"] = fill[-4:]
    planned(STATES, way, *fill[:-5])
    return {name: int(row["plan"][name]) for name in FIELDS}


def expected_of(way: int, fill: Fill) -> dict[str, int]:
    """Return the same from docs/risk.md, in fractions."""
    closes = min(fill.lots, abs(fill.held)) if fill.held * fill.sign < 0 else 0
    opens = fill.lots - closes
    price_e6 = fill.price * UNIT_E6
    part = Fraction(closes, abs(fill.held)) if closes else Fraction(0)
    found = {"close_lots": closes, "open_lots": opens, "open_e6": opens * price_e6,
             "cost_part_e6": ceil(fill.cost * part), "released_e6": floor(fill.margin * part)}  # fmt: skip
    found["pnl_e6"] = -fill.sign * closes * price_e6 - found["cost_part_e6"] if closes else 0
    came = found["released_e6"] + found["pnl_e6"]
    fee = fee_of(fill.lots * price_e6, fill.rate_ppm)
    cost_after = fill.cost - found["cost_part_e6"] + fill.sign * opens * price_e6
    held_after = fill.held + fill.sign * fill.lots
    left = came
    if fill.cross:
        left += fill.free + fill.others + held_after * fill.mark * UNIT_E6 - cost_after
    found["fee_e6"] = min(fee, max(0, left)) if way == FORCED else fee
    alone = came - (fee_of(closes * price_e6, fill.rate_ppm) if opens and way != FORCED else found["fee_e6"])
    alone += fill.cross * floor(fill.backing * part)
    found["alone_e6"] = alone if closes else 0
    cash = came - found["fee_e6"]
    free = fill.free
    found["lots_after"] = fill.held + fill.sign * fill.lots
    margin = fill.margin - found["released_e6"]
    found["deficit_e6"] = 0
    if not closes or cash >= 0 or fill.cross:
        free += cash
    elif opens:
        found["deficit_e6"] = max(0, -alone)
        free += cash + found["deficit_e6"]
    elif found["lots_after"]:
        margin += cash
    else:
        found["deficit_e6"] = -cash
    wanted = ceil(Fraction(opens * price_e6, fill.leverage))
    loss = max(0, fill.sign * (opens * price_e6 - opens * fill.mark * UNIT_E6))
    found["need_e6"], found["loss_e6"] = (wanted, loss) if opens else (0, 0)
    moved = (0, 0) if fill.cross else opening(way, free, wanted, loss, fill.spare)
    found["margin_in_e6"], found["open_loss_e6"] = moved
    free -= found["margin_in_e6"] + found["open_loss_e6"]
    found["free_after_e6"] = free
    found["margin_after_e6"] = margin + found["margin_in_e6"] + found["open_loss_e6"]
    found["cost_after_e6"] = cost_after
    return found


def opening(way: int, free: int, wanted: int, loss: int, spare: int) -> tuple[int, int]:
    """Return (margin, open loss) that an opening part brings in."""
    if way == FORCED:
        return 0, 0
    if way == HOUSE_MAKER:
        margin = max(0, free) if wanted - 2 <= free < wanted else wanted
        return margin, min(max(0, min(free - margin, free - margin + spare)), loss)
    left = free - wanted - loss
    return (wanted + left if way == MAKER and wanted and -2 <= left < 0 else wanted), loss


def fee_of(notional_e6: int, rate_ppm: int) -> int:
    """Return a fee, rounded up."""
    return ceil(Fraction(notional_e6 * rate_ppm, 10**6))


def drawn(chance: random.Random, way: int) -> Fill:
    """Return a fill near a border: of the cash, or of free money."""
    held = chance.choice([0, chance.randint(1, 30)]) * chance.choice([1, -1])
    price = chance.randint(90, 110)
    cost = held * price * UNIT_E6 + chance.randint(-50, 50) * (held != 0)
    margin = chance.randint(-5, abs(cost) // 4 + 5) if held else 0
    lots = chance.choice([abs(held), 1, chance.randint(1, 40)]) or 1
    if way == FORCED:
        held = held or 7
        lots = chance.choice([abs(held), chance.randint(1, abs(held))])
        cost = cost or held * price * UNIT_E6
    sign = (-1 if held > 0 else 1) if way == FORCED else chance.choice([1, -1])
    cross = int(chance.random() < 0.3)
    fill = Fill(held, cost, 0 if cross else margin, 10**6, sign, lots, chance.randint(80, 120),
                chance.choice([0, 333, 500, 60_000]), chance.choice([1, 3, 10]), chance.randint(85, 115), cross,
                chance.randint(-500, 500), chance.choice([0, chance.randint(-30, 30)]),
                chance.randint(-999, 999) * cross)  # fmt: skip
    found = expected_of(way, fill)
    if chance.random() < 0.5:
        # Move the margin so that the closing's cash is next to nothing.
        cash = found["alone_e6"] if chance.random() < 0.5 else found["released_e6"] + found["pnl_e6"] - found["fee_e6"]
        off = chance.randint(-1, 1) - cash
        fill = fill._replace(backing=fill.backing + off) if cross else fill._replace(margin=fill.margin + off)
        found = expected_of(way, fill)
    # And free money so that what is left of it is next to nothing.
    return fill._replace(free=fill.free - found["free_after_e6"] + chance.randint(-4, 2))


@pytest.mark.parametrize("way", [TAKER, MAKER, HOUSE_MAKER, FORCED])
def test_a_plan_is_the_arithmetic_of_the_page(way: int) -> None:
    """Every figure of a plan is that of docs/risk.md, at the borders of cash and free money as elsewhere."""
    chance = random.Random(way)
    seen = set()
    for _ in range(2_000):
        fill = drawn(chance, way)
        expected = expected_of(way, fill)
        assert plan_of(way, fill) == expected, fill
        seen.add((expected["alone_e6"] > 0, expected["deficit_e6"] > 0, min(3, max(-3, expected["free_after_e6"]))))
    assert len(seen) >= (2 if way == FORCED else 6)


def test_a_forced_plan_takes_nothing_from_free_money() -> None:
    """What a liquidation lacks is a deficit, never free money, and its fee is at most what is left."""
    fill = Fill(10, 10_000, 500, 10**6, -1, 10, 96, 10_000, 1, 96)
    assert plan_of(FORCED, fill)["fee_e6"] == 96
    assert plan_of(FORCED, fill._replace(margin=430))["fee_e6"] == 30
    found = plan_of(FORCED, fill._replace(margin=390))
    assert (found["fee_e6"], found["deficit_e6"], found["free_after_e6"]) == (0, 10, 10**6)


@pytest.mark.parametrize("free_e6", [-2, -1, 0, 1, 2])
def test_a_margin_of_a_micro_is_brought_as_far_as_there_is_one(free_e6: int) -> None:
    """A resting order that the quote fills brings no margin when nothing is free, whatever it would need."""
    fill = Fill(0, 0, 0, free_e6, 1, 1, 1, 0, 10 * UNIT_E6, 1)
    assert plan_of(HOUSE_MAKER, fill) == expected_of(HOUSE_MAKER, fill)


def test_a_reserve_rounds_each_part_up() -> None:
    """A reserve is margin and taker fee at the limit, each rounded up; only long lots are open interest."""
    STATES.view(np.ndarray)[0]["markets"][0]["config"]["unit_e6"] = 7
    assert [int(one) for one in reserved(STATES, 3, 11, 10, 333)] == [24 + 1, 3]
    assert [int(one) for one in reserved(STATES, 10, 100, 7, 1_000)] == [1_000 + 7, 10]
    assert int(reserved(STATES, -3, 11, 10, 333)[1]) == 0
