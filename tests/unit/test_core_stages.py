"""engine/core/stages.py: how much is closed, against fractions, on the borders of tiers and of health."""

import random
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from engine.core import kernel, stages, state

PPM = 10**6
STATES = state.allocate()
ACCOUNT_ROW = 5
Tiers = list[tuple[int, int]]  # floor in micros, rate in ppm


@kernel.entry
def stage_of(states):
    """Return what is closed of the first position of a state."""
    return stages.stage_lots(states[0], 1)


class Bench:
    """One account with positions in up to two markets, written straight into the tables, and the rule in fractions."""

    def __init__(self, tiers: Tiers, unit_e6: int = 1, mark: int = 100, fee_ppm: int = 0) -> None:
        self.tiers, self.unit_e6, self.mark, self.fee_ppm = tiers, unit_e6, mark, fee_ppm
        self.other: tuple[int, int, int] | None = None  # lots, cost and mark in another market
        self.free = 0
        self.market_write(0, mark)

    def market_write(self, row: int, mark: int) -> None:
        """Write a market with the tiers, the unit and the fee."""
        market = STATES.view(np.ndarray)[0]["markets"][row]
        config, amount, before = market["config"], 0, 0
        for index, (floor_e6, mmr_ppm) in enumerate(self.tiers):
            amount += floor_e6 * (mmr_ppm - before) // PPM
            before = mmr_ppm
            config["tiers"][index] = (floor_e6, mmr_ppm, 1, amount)
        config["tiers_count"], config["unit_e6"], config["leverage_max"] = len(self.tiers), self.unit_e6, 50
        config["fee_liquidation_ppm"], market["mark_ticks"] = self.fee_ppm, mark

    def position_write(self, row: int, market: int, lots: int, cost: int, margin: int, cross: int) -> None:
        """Write a position."""
        table = STATES.view(np.ndarray)[0]
        position = table["positions"][row]
        position["position_id"], position["account_id"], position["market_id"] = row, 100, market + 1
        position["lots"], position["cost_e6"], position["margin_e6"], position["cross"] = lots, cost, margin, cross
        if cross:
            links = table["account_links"][ACCOUNT_ROW]
            links["cross_markets"] |= 1 << market
            links["markets"][market]["net"] = row

    def stage(self, lots: int, cost: int, margin: int = 0, cross: int = 0) -> int:
        """Return what the engine closes of a position."""
        table = STATES.view(np.ndarray)[0]
        table["account_links"][ACCOUNT_ROW]["cross_markets"] = 0
        table["accounts"][ACCOUNT_ROW]["free_e6"] = self.free
        self.position_write(1, 0, lots, cost, margin, cross)
        if self.other is not None:
            other_lots, other_cost, other_mark = self.other
            self.market_write(1, other_mark)
            self.position_write(2, 1, other_lots, other_cost, 0, 1)
        return int(stage_of(STATES))

    def maintenance(self, lots: int, mark: int) -> Fraction:
        """Return the exact maintenance margin of lots at a mark."""
        value, amount, before, found = abs(lots) * mark * self.unit_e6, Fraction(0), 0, Fraction(0)
        for floor_e6, mmr_ppm in self.tiers:
            amount += Fraction(floor_e6 * (mmr_ppm - before), PPM)
            before = mmr_ppm
            found = max(found, Fraction(value * mmr_ppm, PPM) - amount)
        return found

    def tried(self, lots: int) -> list[int]:
        """Return what is kept at each tier below a position's own, the highest first, up to the first that is none."""
        one, found = self.mark * self.unit_e6, []
        for floor_e6, _ in reversed([tier for tier in self.tiers[1:] if tier[0] <= abs(lots) * one]):
            kept = (floor_e6 - 1) // one
            if kept == 0:
                break
            found.append(kept)
        return found

    def expected(self, lots: int, cost: int, margin: int, cross: int) -> int:
        """Return what the rule closes: down to the highest tier that leaves a sound rest, else all."""
        sign, whole = (1 if lots > 0 else -1), abs(lots)
        for kept in self.tried(lots):
            part = whole - kept
            share = ceil(Fraction(cost * part, whole))
            pnl = sign * part * self.mark * self.unit_e6 - share
            if cross:
                sound = self.cross_sound(sign * kept, cost - share, pnl, part)
            else:
                released = floor(Fraction(margin * part, whole))
                equity = margin - released + sign * kept * self.mark * self.unit_e6 - (cost - share)
                sound = released + pnl >= 0 and equity > self.maintenance(kept, self.mark)
            if sound:
                return part
        return whole

    def cross_sound(self, kept: int, cost: int, pnl: int, part: int) -> bool:
        """Return whether the account is sound when lots are closed at mark and the fee is paid."""
        equity = self.free + pnl + kept * self.mark * self.unit_e6 - cost
        needed = self.maintenance(kept, self.mark)
        if self.other is not None:
            lots, other_cost, mark = self.other
            equity += lots * mark * self.unit_e6 - other_cost
            needed += self.maintenance(lots, mark)
        fee = ceil(Fraction(part * self.mark * self.unit_e6 * self.fee_ppm, PPM))
        return equity - min(fee, max(0, equity)) > needed


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("cross", [0, 1])
def test_a_stage_leaves_the_most_that_is_sound(sign: int, cross: int) -> None:
    """Whatever tiers, price and backing: what is closed is what the rule says, in fractions."""
    chance, closed = random.Random(f"{sign} {cross}"), set()
    for _ in range(600):
        tiers: Tiers = [(0, chance.randint(1, 20_000))]
        for _ in range(chance.randint(0, 4)):
            tiers.append((tiers[-1][0] + chance.randint(1, 40) * PPM, tiers[-1][1] + chance.randint(1, 60_000)))
        bench = Bench(tiers, chance.randint(1, 3), chance.choice([1, 97, 60_001]), chance.choice([0, 1, 10_000]))
        lots = sign * chance.randint(1, 60 * PPM // bench.unit_e6 // bench.mark + 1)
        value = lots * bench.mark * bench.unit_e6
        needed = floor(bench.maintenance(lots, bench.mark))
        equity = chance.choice([needed, needed - 1, needed * 9 // 10, needed // 2, needed // 20, 0, -needed])
        cost = value * chance.randint(80, 120) // 100 or sign
        backing = equity - value + cost
        if cross:
            if chance.random() < 0.6:
                other = chance.randint(-20, 20) * PPM // bench.unit_e6 // 100 or 1
                bench.other = (other, other * 100 * bench.unit_e6 + chance.randint(-PPM, PPM), 100)
                backing += floor(bench.maintenance(other, 100)) - other * 100 * bench.unit_e6 + bench.other[1]
            bench.free, backing = backing, 0
        expected = bench.expected(lots, cost, backing, cross)
        assert bench.stage(lots, cost, backing, cross) == expected
        closed.add(0 if expected == abs(lots) else 1)
    assert closed == {0, 1}


@pytest.mark.parametrize(("free", "lots"), [(40_001, 6), (40_000, 10)])
def test_a_tier_is_left_by_one_lot(free: int, lots: int) -> None:
    """Four lots are worth less than the floor of five, and are sound with a micro more than their one per cent."""
    bench = Bench([(0, 10_000), (5_000_000, 500_000)], 1, 1_000_000)
    bench.free = free
    assert bench.stage(10, 10_000_000, 0, 1) == lots


def test_a_floor_of_one_lot_keeps_nothing() -> None:
    """When the lower tier holds less than a lot, the whole is closed, however sound."""
    bench = Bench([(0, 10_000), (1_000_000, 500_000)], 1, 1_000_000)
    bench.free = 400_000
    assert bench.stage(1, 1_000_000, 0, 1) == 1
    assert bench.stage(2, 2_000_000, 0, 1) == 2
