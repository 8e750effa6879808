"""
Trailing stops against a list that is looked at as a whole on every price: peaks, fires, triggers, restores.
"""

import random
from dataclasses import dataclass

import numpy as np
import pytest

from engine.core import kernel, trailing
from engine.core.limits import PPM, PRICE_TICKS_MAX
from shared.codes import Side, TriggerBy
from tests.trailing_market import TrailingMarket

STEPS = 6_000 if kernel.JIT else 500
ROWS = 700 if kernel.JIT else 80
SOURCES = {
    (Side.SELL, TriggerBy.QUOTE): "bid_ticks",
    (Side.BUY, TriggerBy.QUOTE): "ask_ticks",
    (Side.SELL, TriggerBy.MARK): "mark_ticks",
    (Side.BUY, TriggerBy.MARK): "mark_ticks",
    (Side.SELL, TriggerBy.INDEX): "index_ticks",
    (Side.BUY, TriggerBy.INDEX): "index_ticks",
}


@dataclass
class Stop:
    """One trailing stop as the list knows it."""

    order_id: int
    side: Side
    by: TriggerBy
    ticks: int
    ppm: int
    peak: int

    def trigger(self) -> int:
        """Return the price it fires at."""
        if self.side == Side.SELL:
            return self.peak - self.ticks if self.ticks else self.peak * (PPM - self.ppm) // PPM
        return self.peak + self.ticks if self.ticks else -(-self.peak * (PPM + self.ppm) // PPM)

    def fires(self, price: int) -> bool:
        """Return whether it fires at a price of its source."""
        if not 1 <= self.trigger() <= PRICE_TICKS_MAX:
            return False
        return price <= self.trigger() if self.side == Side.SELL else price >= self.trigger()


class Pair:
    """A market of the engine and the list, driven together."""

    def __init__(self, chance: random.Random, centre: int, wide: bool) -> None:
        self.chance, self.wide = chance, wide
        self.market = TrailingMarket(1 + chance.randrange(3))
        self.stops: dict[int, Stop] = {}
        self.order_next = 1
        self.prices = dict.fromkeys(("bid_ticks", "ask_ticks", "mark_ticks", "index_ticks"), 0)
        self.move("bid_ticks", centre)

    def move(self, name: str, price: int) -> None:
        """Set a price in both, follow, and compare what fires."""
        self.prices[name] = min(max(price, 1), PRICE_TICKS_MAX)
        for stop in self.stops.values():
            if SOURCES[stop.side, stop.by] == name:
                best = max if stop.side == Side.SELL else min
                stop.peak = best(stop.peak, self.prices[name])
        self.market.follow(self.prices)
        firing = {row: stop for row, stop in self.stops.items() if stop.fires(self.prices[SOURCES[stop.side, stop.by]])}
        assert self.market.fires() == bool(firing)
        if self.chance.random() < 0.2:
            return  # as in a halted market: nothing is released, all go on trailing
        released = self.market.release()
        assert released == {row: (stop.peak, stop.trigger()) for row, stop in firing.items()}
        assert not self.market.fires()
        for row in firing:
            del self.stops[row]

    def offsets(self) -> tuple[int, int]:
        """Return (ticks, ppm) of which one is 0; often equal, sometimes such that the trigger is outside the window."""
        chance = self.chance
        if chance.random() < 0.5:
            if self.wide and chance.random() < 0.2:
                return chance.randrange(1, PRICE_TICKS_MAX + 1), 0
            return chance.choice((1, 5, chance.randrange(1, 60), chance.randrange(1, 900))), 0
        if self.wide and chance.random() < 0.2:
            return 0, chance.randrange(1, PPM)
        return 0, chance.choice((1, 100, 101, chance.randrange(1, 5_000), chance.randrange(1, 50_000)))

    def insert(self) -> None:
        """Let a new stop trail in both, if its source has a price."""
        side, by = self.chance.choice(list(SOURCES))
        peak = self.prices[SOURCES[side, by]]
        free = [row for row in self.chance.sample(range(1, ROWS), 3) if row not in self.stops]
        if peak and free:
            stop = Stop(self.order_next, side, by, *self.offsets(), peak)
            self.order_next += 1
            self.stops[free[0]] = stop
            self.market.insert(free[0], stop.order_id, side, by, stop.ticks, stop.ppm, peak)

    def remove(self) -> None:
        """Take a stop out of both; its row shows its peak."""
        if self.stops:
            row = self.chance.choice(list(self.stops))
            assert self.market.peak(row) == self.stops[row].peak
            self.market.remove(row)
            assert self.market.peaks()[row] == self.stops.pop(row).peak

    def write_back(self) -> None:
        """Compare every peak that a snapshot would hold."""
        self.market.write_back()
        peaks = self.market.peaks()
        assert {row: int(peaks[row]) for row in self.stops} == {row: stop.peak for row, stop in self.stops.items()}

    def restore(self) -> None:
        """Write back, forget the structure, and build it anew from the rows alone."""
        self.write_back()
        self.market.clear()
        rows = list(self.stops)
        self.chance.shuffle(rows)
        rows.sort(key=lambda row: self.stops[row].peak * (-1 if self.stops[row].side == Side.SELL else 1))
        for row in rows:
            self.market.insert_again(row)

    def step(self) -> None:
        """Do one random thing."""
        chance = self.chance
        drawn = chance.random()
        if drawn < 0.30:
            self.insert()
        elif drawn < 0.42:
            self.remove()
        elif drawn < 0.44:
            self.write_back()
        elif drawn < 0.46:
            self.restore()
        else:
            name = chance.choice(list(self.prices))
            near = self.prices[name] or self.prices["bid_ticks"]
            if self.wide and chance.random() < 0.01:
                near = chance.randrange(1, PRICE_TICKS_MAX + 1)
            self.move(name, near + chance.choice((-1, 1, 1, chance.randrange(-12, 13))))


@pytest.mark.parametrize("seed", range(6))
def test_every_peak_and_fire_is_that_of_the_list(seed: int) -> None:
    """Through random inserts, removals, prices and restores, what fires, at which trigger and peak, is what it must."""
    chance = random.Random(seed)
    pair = Pair(chance, chance.choice((3, 40_000, PRICE_TICKS_MAX - 20)), wide=seed % 2 == 1)
    for _ in range(STEPS):
        pair.step()
    pair.write_back()


@pytest.mark.parametrize("side", [Side.SELL, Side.BUY])
def test_a_monotone_price_and_a_zigzag_keep_the_groups_right(side: Side) -> None:
    """Stops set on the way down and back up, again and again, share a peak as soon as the price passes them."""
    chance = random.Random(int(side))
    pair = Pair(chance, 100_000, wide=False)
    name = SOURCES[side, TriggerBy.QUOTE]
    sign = 1 if side == Side.SELL else -1
    pair.move(name, 100_000)
    for lap in range(30 if kernel.JIT else 4):
        for step in list(range(20)) + list(range(20, -1 - lap, -1)):
            pair.move(name, 100_000 - sign * step)
            row = chance.randrange(1, ROWS)
            if row not in pair.stops:
                stop = Stop(pair.order_next, side, TriggerBy.QUOTE, 200, 0, pair.prices[name])
                pair.order_next += 1
                pair.stops[row] = stop
                pair.market.insert(row, stop.order_id, side, TriggerBy.QUOTE, 200, 0, stop.peak)
        pair.write_back()
    assert pair.stops


def test_the_trigger_is_rounded_away_from_the_peak() -> None:
    """For random peaks and offsets the pure function gives the floor of a sell's trigger and the ceiling of a buy's."""
    chance = random.Random(7)
    for _ in range(2_000 if kernel.JIT else 300):
        side, ticks, ppm = chance.choice((Side.SELL, Side.BUY)), chance.randrange(1, PRICE_TICKS_MAX + 1), 0
        if chance.random() < 0.6:
            ticks, ppm = 0, chance.randrange(1, PPM)
        peak = chance.randrange(1, PRICE_TICKS_MAX + 1)
        expected = Stop(1, side, TriggerBy.QUOTE, ticks, ppm, peak).trigger()
        arguments = (np.int64(side), np.int64(peak), np.int64(ticks), np.int64(ppm))
        assert trigger_ticks(*arguments) == expected


@kernel.entry
def trigger_ticks(side, peak_ticks, trail_ticks, trail_ppm):
    """Call the kernel from Python."""
    return trailing.trailing_trigger_ticks(side, peak_ticks, trail_ticks, trail_ppm)
