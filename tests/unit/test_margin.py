"""engine/core/margin.py: the integer tests of risk against exact fractions."""

import random
from fractions import Fraction

import numpy as np

from engine.core import kernel, margin, state
from shared import records as r

PPM = 10**6
WINDOW = 2**23


@kernel.entry
def liquidatable(config, lots, cost_e6, margin_e6, mark_ticks):
    """Call the kernel from Python."""
    return margin.liquidatable(config, lots, cost_e6, margin_e6, mark_ticks)


@kernel.entry
def threshold_ticks(states, row):
    """Call the kernel from Python."""
    return margin.threshold_ticks(states[0], row)


def config(unit_e6: int, tiers: list[tuple[int, int]]) -> np.void:
    """Return a market's configuration row with the given (floor_e6, mmr_ppm) tiers."""
    rows = np.zeros(1, r.CONFIG)
    rows = rows if kernel.JIT else rows.view(np.recarray)
    rows["unit_e6"] = unit_e6
    amount, before = 0, 0
    for index, (floor_e6, mmr_ppm) in enumerate(tiers):
        amount += floor_e6 * (mmr_ppm - before) // PPM
        rows["tiers"][0][index] = (floor_e6, mmr_ppm, 10, amount)
        before = mmr_ppm
    rows["tiers_count"] = len(tiers)
    return rows[0]


def maintenance(row: np.void, notional_e6: int) -> Fraction:
    """Return the maintenance margin as docs/risk.md states it."""
    tiers = row["tiers"][: int(row["tiers_count"])]
    return max(Fraction(notional_e6 * int(t["mmr_ppm"]), PPM) - int(t["amount_e6"]) for t in tiers)


def drawn(chance: random.Random) -> tuple[np.void, int, int, int]:
    """Return a market and a position (lots, cost, margin) around plausible and implausible values."""
    tiers = [(0, chance.randint(1, 20_000))]
    for _ in range(chance.randint(0, 3)):
        floor, mmr = tiers[-1]
        tiers.append((floor + chance.randint(1, 10**6) * PPM, mmr + chance.randint(1, 20_000)))
    row = config(chance.choice([1, 100, 10**4]), tiers)
    lots = chance.randint(1, 10 ** chance.randint(1, 6)) * chance.choice([-1, 1])
    price = chance.randint(1, WINDOW - 1)
    cost = lots * price * int(row["unit_e6"])
    return row, lots, cost, abs(cost) // chance.randint(1, 60) - chance.choice([0, 0, abs(cost) // 50])


def test_liquidatable_is_equity_at_or_below_maintenance() -> None:
    """The rounded comparison agrees with exact fractions on either side of the border and on it."""
    chance = random.Random(1)
    for _ in range(3_000 if kernel.JIT else 200):
        row, lots, cost, margin_e6 = drawn(chance)
        mark = max(1, min(WINDOW - 1, abs(cost) // (abs(lots) * int(row["unit_e6"])) + chance.randint(-2_000, 2_000)))
        value = lots * mark * int(row["unit_e6"])
        expected = margin_e6 + value - cost <= maintenance(row, abs(value))
        assert bool(liquidatable(row, lots, cost, margin_e6, mark)) == expected


def test_the_threshold_is_the_exact_border() -> None:
    """A position is liquidatable at its threshold and not one tick before it; 0 says that no price liquidates it."""
    chance = random.Random(2)
    states = state.allocate()
    for _ in range(2_000 if kernel.JIT else 100):
        row, lots, cost, margin_e6 = drawn(chance)
        states[0]["markets"][0]["config"] = row
        position = states[0]["positions"][1]
        position["market_id"], position["lots"], position["cost_e6"], position["margin_e6"] = 1, lots, cost, margin_e6

        def hit(mark: int, row: np.void = row, lots: int = lots, cost: int = cost, own: int = margin_e6) -> bool:
            value = lots * mark * int(row["unit_e6"])
            return own + value - cost <= maintenance(row, abs(value))

        threshold = int(threshold_ticks(states, 1))
        if threshold == 0:
            assert not hit(1 if lots > 0 else WINDOW - 1)
            continue
        assert 1 <= threshold < WINDOW and hit(threshold)
        before = threshold + 1 if lots > 0 else threshold - 1
        assert not 1 <= before < WINDOW or not hit(before)
