"""engine/core/margin.py: maintenance margin and tiers against fractions, on the borders of every tier."""

import random
from fractions import Fraction
from math import ceil, floor

import numpy as np

from engine.core import kernel, margin, state

PPM = 10**6
STATES = state.allocate()


@kernel.entry
def figures(states, notional_e6, leverage):
    """Return both roundings of the maintenance margin, the tier's leverage, and the margin a notional asks for."""
    config = states[0].markets[0].config
    return (
        margin.maintenance_floor_e6(config, notional_e6),
        margin.maintenance_ceil_e6(config, notional_e6),
        margin.leverage_max(config, notional_e6),
        margin.margin_initial_e6(notional_e6, leverage),
    )


@kernel.entry
def average(notional_e6, lots, unit_e6):
    """Return the average price to show."""
    return margin.price_average_e4(notional_e6, lots, unit_e6)


def tiers_set(tiers: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Write tiers (floor, rate, leverage) into the first market; return them with their amounts."""
    config = STATES.view(np.ndarray)[0]["markets"][0]["config"]
    found, amount, before = [], 0, 0
    for index, (floor_e6, mmr_ppm, highest) in enumerate(tiers):
        amount += floor_e6 * (mmr_ppm - before) // PPM
        before = mmr_ppm
        config["tiers"][index] = (floor_e6, mmr_ppm, highest, amount)
        found.append((floor_e6, mmr_ppm, highest, amount))
    config["tiers_count"] = len(tiers)
    return found


def drawn(chance: random.Random) -> list[tuple[int, int, int]]:
    """Return one to four tiers whose amounts are whole."""
    tiers = [(0, chance.randint(1, 20_000), 50)]
    for _ in range(chance.randint(0, 3)):
        floor_e6, mmr_ppm, highest = tiers[-1]
        tiers.append((floor_e6 + chance.randint(1, 50) * PPM, mmr_ppm + chance.randint(1, 20_000), highest - 7))
    return tiers


def test_maintenance_margin_is_rounded_both_ways() -> None:
    """Floor and ceiling are those of the exact margin, whole or not, in every tier and at its borders."""
    chance = random.Random(1)
    for _ in range(150):
        tiers = tiers_set(drawn(chance))
        near = [one[0] + off for one in tiers for off in (-1, 0, 1)]
        for notional in [*near, chance.randint(0, 10**9), chance.randint(0, 10**9), chance.randint(0, 99) * PPM]:
            if notional < 0:
                continue
            exact = max(Fraction(notional * mmr_ppm, PPM) - amount for _, mmr_ppm, _, amount in tiers)
            leverage = chance.randint(1, 50)
            found = [int(one) for one in figures(STATES, notional, leverage)]
            highest = [tier[2] for tier in tiers if notional >= tier[0]][-1]
            assert found == [floor(exact), ceil(exact), highest, ceil(Fraction(notional, leverage))]


def test_an_average_price_is_rounded_half_up() -> None:
    """The shown average is notional ÷ lots in ten-thousandths of a tick, half up; nothing without lots."""
    assert int(average(5, 0, 1)) == 0
    chance = random.Random(2)
    for _ in range(300):
        lots, unit = chance.randint(1, 40_000), chance.choice([1, 3, 100])
        notional = chance.randint(0, 10**6)
        exact = Fraction(notional * 10_000, lots * unit)
        assert int(average(notional, lots, unit)) == floor(exact + Fraction(1, 2))
    assert int(average(1, 20_000, 1)) == 1 and int(average(1, 20_001, 1)) == 0
