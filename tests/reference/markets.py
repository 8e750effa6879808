"""
What a market of the twin is: its parameters, its prices, its state, and the texts of its ticks and lots.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.reference.texts import ceil_of, decimals_of, floor_of, number_text

WINDOW_TICKS = 1 << 23
PPM = 1_000_000
RATES = (
    "fee_maker_ppm", "fee_taker_ppm", "fee_liquidation_ppm", "spread_max_ppm", "spike_ppm", "mark_band_ppm",
    "price_band_ppm",
)  # fmt: skip
NEWER = {
    "liquidity": "quote",
    "depth_levels": 50,
    "taker_delay_ms": 0,
    "notional_max": "0",
    "open_interest_notional_max": "0",
}
CALL = Fraction(5, 4)  # of the maintenance margin: below it a margin call is told


@dataclass
class Candidate:
    """A price that jumped, waiting to be confirmed; `doubled` is twice its ticks."""

    doubled: int
    count: int = 1


@dataclass
class Market:
    """One market: parameters in force, its state, and everything its feed has told so far."""

    market_id: int
    name: str
    parameters: dict[str, Any]
    tick: Fraction = Fraction(1)
    lot: Fraction = Fraction(1)
    unit: int = 1
    rates: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    tiers: list[tuple[int, int, int]] = field(default_factory=list)
    liquidity: str = "quote"
    state: str = "open"
    bid: int = 0
    ask: int = 0
    bid_size: int = 0
    ask_size: int = 0
    used: dict[int, int] = field(default_factory=lambda: {1: 0, -1: 0})
    mark: int = 0
    index: int = 0
    quote_us: int = -1
    mark_us: int = -1
    quoted_in_session: bool = False
    quoted_now: bool = False
    touched: bool = False  # something has changed since nothing fired last
    update_id: int = -1
    mark_event_us: int = -1
    quote_candidate: Candidate | None = None
    mark_candidate: Candidate | None = None
    funding_next_ms: int = 0
    funding_settled_ms: int = 0
    funding_rate_ppb: int = 0
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

    def average_text(self, notional: int, lots: int) -> str:
        """Return notional ÷ lots as price text to a ten-thousandth of a tick, rounded half up."""
        ticks = Fraction(abs(notional), abs(lots) * self.unit)
        tenth_thousandths = (ticks * 10_000 + Fraction(1, 2)).__floor__()
        return number_text(Fraction(tenth_thousandths, 10_000) * self.tick, decimals_of(self.tick) + 4)

    def exact_text(self, notional: int, lots: int) -> str:
        """Return notional ÷ lots as price text: on the grid if it lies there once rounded, else as an average."""
        average = self.average_text(notional, lots)
        ticks = Fraction(average) / self.tick
        return average if ticks.denominator != 1 else self.price_text(ticks.numerator)

    def touch(self, sign: int) -> int:
        """Return what a taker of this side pays or gets: the ask to buy, the bid to sell."""
        return self.ask if sign > 0 else self.bid

    def source(self, sign: int, trigger_by: str) -> int:
        """Return the price that a trigger of an order of this side looks at."""
        return {"quote": self.touch(sign), "mark": self.mark, "index": self.index}[trigger_by]

    def bound(self, sign: int, slippage_bps: int) -> int:
        """Return the worst price that `slippage_bps` off the mid allows."""
        slippage_ppm = 100 * slippage_bps
        exact = Fraction(self.mid_doubled * (PPM + sign * slippage_ppm), 2 * PPM)
        return min(max(floor_of(exact) if sign > 0 else ceil_of(exact), 1), WINDOW_TICKS - 1)

    def in_band(self, price: int) -> bool:
        """Return whether users may trade with each other at this price."""
        low, high = self.band()
        return low <= price <= high

    def band(self) -> tuple[int, int]:
        """Return the lowest and the highest price at which users may trade with each other."""
        band = self.rates["price_band_ppm"]
        return ceil_of(Fraction(self.mark * (PPM - band), PPM)), floor_of(Fraction(self.mark * (PPM + band), PPM))

    def banded(self, price: int) -> int:
        """Return the price inside the band, and the window, that is nearest to a price."""
        low, high = self.band()
        return min(max(price, max(1, low)), min(WINDOW_TICKS - 1, high))

    def maintenance(self, lots: int, mark: int) -> Fraction:
        """Return the exact maintenance margin of `lots` at `mark`, in micro-USDC."""
        notional = abs(lots) * mark * self.unit
        amount, before, worst = 0, 0, 0  # in millionths of a micro-USDC
        for floor, ppm, _leverage in self.tiers:
            amount += floor * (ppm - before)
            before = ppm
            worst = max(worst, notional * ppm - amount)
        return Fraction(worst, PPM)

    def liquidatable(self, lots: int, cost: int, margin: int) -> bool:
        """Return whether equity at mark is at or below the maintenance margin, nothing rounded."""
        return margin + lots * self.mark * self.unit - cost <= self.maintenance(lots, self.mark)

    def threshold(self, lots: int, cost: int, margin: int, scale: Fraction = Fraction(1)) -> int | None:
        """
        Return the mark at which equity is down to the maintenance margin, None when no mark in the window does it.

        With a scale: down to so much of it, as for a margin call.
        """
        amount, before, found = Fraction(0), 0, []
        for floor, ppm, _leverage in self.tiers:
            amount += Fraction(floor * (ppm - before), PPM)
            before = ppm
            rate = scale * Fraction(ppm, PPM)
            if lots > 0:
                found.append(floor_of((cost - margin - scale * amount) / (lots * self.unit * (1 - rate))))
            else:
                found.append(ceil_of((-cost + margin + scale * amount) / (-lots * self.unit * (1 + rate))))
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

    def too_large(self, lots: int, name: str) -> bool:
        """Return whether so many lots pass a limit on lots, or at mark the one on their value; 0 is none."""
        most, value_most = self.limits[f"{name}_lots"], self.limits[f"{name}_notional"]
        return lots > most or 0 < value_most < lots * self.mark * self.unit


def unit_of(parameters: dict[str, Any]) -> Fraction:
    """Return the money of one tick times one lot, in micro-USDC."""
    return Fraction(parameters["tick"]) * Fraction(parameters["lot"]) * PPM


def market_configure(market: Market, parameters: dict[str, Any]) -> None:
    """Put parameters in force; tiers given as (floor, rate, leverage) with floors in micro-USDC."""
    market.parameters = parameters
    market.tick, market.lot = Fraction(parameters["tick"]), Fraction(parameters["lot"])
    unit = unit_of(parameters)
    assert unit.denominator == 1
    assert unit >= 1
    market.unit = unit.numerator
    market.rates = {name: int(parameters[name]) for name in RATES}
    market.limits = {
        "leverage_max": int(parameters["leverage_max"]),
        "price_age_max_ms": int(parameters["price_age_max_ms"]),
        "depth_levels": int(parameters["depth_levels"]),
        "taker_delay_ms": int(parameters["taker_delay_ms"]),
        "notional_min": int(Fraction(parameters["notional_min"]) * PPM),
        "order_lots": 10**10 // market.unit,
        "order_notional": int(Fraction(parameters["notional_max"]) * PPM),  # of an account's exposure; 0 none
        "open_interest_lots": 9 * 10**10 // market.unit,
        "open_interest_notional": int(Fraction(parameters["open_interest_notional_max"]) * PPM),  # 0 none
    }
    market.liquidity = parameters["liquidity"]
    market.tiers = [
        (int(Fraction(tier["floor"]) * PPM), int(tier["mmr_ppm"]), int(tier["leverage_max"]))
        for tier in parameters["tiers"]
    ]


def market_read(market_id: int, found: dict[str, Any]) -> Market:
    """Return the market that one row of genesis describes."""
    market = Market(market_id, found["market"], {})
    market_configure(market, {**NEWER, **found})
    return market
