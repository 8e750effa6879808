"""engine/core/margin.py: the integer tests of risk against exact fractions."""

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

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


@kernel.entry
def call_threshold_ticks(states, row):
    """Call the kernel from Python."""
    return margin.call_threshold_ticks(states[0], row)


@kernel.entry
def maintenance_parts(config, notional_e6):
    """Call the kernel from Python."""
    return margin.maintenance_parts(config, notional_e6)


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


@pytest.mark.parametrize(
    ("border", "equities", "maintenances"), [(threshold_ticks, 1, 1), (call_threshold_ticks, 4, 5)]
)
def test_the_threshold_is_the_exact_border(border: Any, equities: int, maintenances: int) -> None:
    """A position is liquidatable, or to be called, at its threshold and not one tick before it; 0: at no price."""
    chance = random.Random(2)
    states = state.allocate()
    for _ in range(2_000 if kernel.JIT else 100):
        row, lots, cost, margin_e6 = drawn(chance)
        states[0]["markets"][0]["config"] = row
        position = states[0]["positions"][1]
        position["market_id"], position["lots"], position["cost_e6"], position["margin_e6"] = 1, lots, cost, margin_e6

        def hit(mark: int, row: np.void = row, lots: int = lots, cost: int = cost, own: int = margin_e6) -> bool:
            value = lots * mark * int(row["unit_e6"])
            return equities * (own + value - cost) <= maintenances * maintenance(row, abs(value))

        threshold = int(border(states, 1))
        if threshold == 0:
            assert not hit(1 if lots > 0 else WINDOW - 1)
            continue
        assert 1 <= threshold < WINDOW and hit(threshold)
        before = threshold + 1 if lots > 0 else threshold - 1
        assert not 1 <= before < WINDOW or not hit(before)


def test_a_cross_position_has_no_threshold() -> None:
    """Neither threshold says anything of a position that the whole account carries."""
    states = state.allocate()
    states[0]["markets"][0]["config"] = config(100, [(0, 10_000)])
    position = states[0]["positions"][1]
    position["market_id"], position["lots"], position["cost_e6"], position["cross"] = 1, 5, 500_000, 1
    assert int(threshold_ticks(states, 1)) == int(call_threshold_ticks(states, 1)) == 0


def test_maintenance_margin_in_parts_is_exact() -> None:
    """Whole micros and millionths of one add up to the exact maintenance margin, up to the greatest notional."""
    chance = random.Random(3)
    for _ in range(3_000 if kernel.JIT else 200):
        row, lots, _, _ = drawn(chance)
        notional = chance.choice([abs(lots) * chance.randint(1, 10**6), chance.randint(0, 10**17)])
        whole, parts = maintenance_parts(row, np.int64(notional))
        assert 0 <= parts < PPM
        assert Fraction(int(whole) * PPM + int(parts), PPM) == maintenance(row, notional)


def test_a_tier_beyond_every_notional_is_no_tier() -> None:
    """A tier that begins above 10^17 micro changes nothing, however large its amount is."""
    near = config(100, [(0, 10_000), (10**12, 20_000)])
    far = config(100, [(0, 10_000), (10**12, 20_000), (9 * 10**17, 500_000)])
    for notional in (1, 10**12 + 1, 10**17):
        assert maintenance_parts(near, np.int64(notional)) == maintenance_parts(far, np.int64(notional))
        lots = np.int64(notional // 10**7)
        figures = [int(threshold_of(row, lots)) for row in (near, far)]
        assert figures[0] == figures[1]


def threshold_of(row: np.void, lots: np.int64) -> int:
    """Return the call threshold of a position of so many lots in a market of this configuration."""
    states = state.allocate()
    states[0]["markets"][0]["config"] = row
    position = states[0]["positions"][1]
    position["market_id"], position["lots"] = 1, max(1, lots)
    position["cost_e6"], position["margin_e6"] = position["lots"] * 10**5, position["lots"] * 10**4
    return int(call_threshold_ticks(states, 1))
