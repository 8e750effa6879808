"""
What a market of the twin is: its parameters from genesis, its prices, and the texts of its ticks and lots.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.reference.texts import ceil_of, decimals_of, floor_of, number_text

WINDOW_TICKS = 1 << 23
PPM = 1_000_000


@dataclass
class Candidate:
    """A price that jumped, waiting to be confirmed; `doubled` is twice its ticks."""

    doubled: int
    count: int = 1


@dataclass
class Market:
    """One market: parameters as they were founded, and everything its feed has told so far."""

    market_id: int
    name: str
    tick: Fraction
    lot: Fraction
    unit: int
    rates: dict[str, int]
    limits: dict[str, int]
    tiers: list[tuple[int, int, int]]
    parameters: dict[str, Any]
    bid: int = 0
    ask: int = 0
    mark: int = 0
    index: int = 0
    quote_us: int = -1
    mark_us: int = -1
    quoted_in_session: bool = False
    update_id: int = -1
    mark_event_us: int = -1
    quote_candidate: Candidate | None = None
    mark_candidate: Candidate | None = None
    ignored: dict[str, int] = field(default_factory=dict)
    candle: list[int] = field(default_factory=list)
    candle_quotes: int = 0
    candle_close: int = 0

    @property
    def mid_doubled(self) -> int:
        """Return bid + ask."""
        return self.bid + self.ask

    def price_text(self, ticks: int) -> str:
        """Return whole ticks as price text."""
        return number_text(ticks * self.tick, decimals_of(self.tick))

    def qty_text(self, lots: int) -> str:
        """Return whole lots as quantity text."""
        return number_text(lots * self.lot, decimals_of(self.lot))

    def touch(self, sign: int) -> int:
        """Return what a taker of this side pays or gets: the ask to buy, the bid to sell."""
        return self.ask if sign > 0 else self.bid

    def bound(self, sign: int, slippage_bps: int) -> int:
        """Return the worst price that `slippage_bps` off the mid allows."""
        slippage_ppm = 100 * slippage_bps
        exact = Fraction(self.mid_doubled * (PPM + sign * slippage_ppm), 2 * PPM)
        return floor_of(exact) if sign > 0 else ceil_of(exact)

    def maintenance(self, lots: int, mark: int) -> Fraction:
        """Return the exact maintenance margin of `lots` at `mark`, in micro-USDC."""
        notional = abs(lots) * mark * self.unit
        amount, before, worst = Fraction(0), 0, Fraction(0)
        for floor, ppm, _leverage in self.tiers:
            amount += Fraction(floor * (ppm - before), PPM)
            before = ppm
            worst = max(worst, Fraction(notional * ppm, PPM) - amount)
        return worst

    def liquidatable(self, lots: int, cost: int, margin: int) -> bool:
        """Return whether equity at mark is at or below the maintenance margin, nothing rounded."""
        return margin + lots * self.mark * self.unit - cost <= self.maintenance(lots, self.mark)

    def threshold(self, lots: int, cost: int, margin: int) -> int | None:
        """Return the mark at which the position becomes liquidatable, None when no mark in the window does it."""
        amount, before, found = Fraction(0), 0, []
        for floor, ppm, _leverage in self.tiers:
            amount += Fraction(floor * (ppm - before), PPM)
            before = ppm
            rate = Fraction(ppm, PPM)
            if lots > 0:
                found.append(floor_of((cost - margin - amount) / (lots * self.unit * (1 - rate))))
            else:
                found.append(ceil_of((-cost + margin + amount) / (-lots * self.unit * (1 + rate))))
        ticks = max(found) if lots > 0 else min(found)
        if (ticks <= 0) if lots > 0 else (ticks >= WINDOW_TICKS):
            return None
        return min(max(ticks, 1), WINDOW_TICKS - 1)

    def leverage_allowed(self, notional: int) -> int:
        """Return the most leverage that the tier of `notional` allows."""
        allowed = self.tiers[0][2]
        for floor, _ppm, leverage in self.tiers:
            if notional >= floor:
                allowed = leverage
        return allowed


def market_read(market_id: int, found: dict[str, Any]) -> Market:
    """Return the market that one row of genesis describes."""
    tick, lot = Fraction(found["tick"]), Fraction(found["lot"])
    unit = tick * lot * PPM
    assert unit.denominator == 1
    assert unit >= 1
    tiers = [
        (int(Fraction(tier["floor"]) * PPM), int(tier["mmr_ppm"]), int(tier["leverage_max"])) for tier in found["tiers"]
    ]
    rates = {name: int(found[name]) for name in found if name.endswith("_ppm")}
    limits = {
        "leverage_max": int(found["leverage_max"]),
        "price_age_max_ms": int(found["price_age_max_ms"]),
        "notional_min": int(Fraction(found["notional_min"]) * PPM),
        "order_lots": 10**10 // unit.numerator,
        "open_interest_lots": 9 * 10**10 // unit.numerator,
    }
    return Market(market_id, found["market"], tick, lot, unit.numerator, rates, limits, tiers, dict(found))
