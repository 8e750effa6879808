"""A position as it was told; a market's grid, tiers and prices: from these liquidations are recomputed, in integers."""

from dataclasses import dataclass

from tests.faults.price_walk import PriceWalk

MILLION = 10**6
MOST = 2**62 - 1
WINDOW_TICKS = 1 << 23


def scaled(text: str, decimals: int) -> int:
    """Return a decimal text as a whole number of its last place."""
    whole, _, part = text.partition(".")
    assert len(part) <= decimals, text
    return int(whole + part.ljust(decimals, "0"))


def money(text: str) -> int:
    """Return money in millionths."""
    return scaled(text, 6)


def up(dividend: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-dividend // divisor)


@dataclass
class Held:
    """One user's position: signed lots and cost, as told or as the fills since have left it."""

    position_id: int
    account: int
    market: str
    cross: bool
    lots: int
    cost: int
    margin: int

    def parts(self, lots: int, notional: int) -> tuple[int, int, int]:
        """Return cost part, released margin and pnl of closing lots for a notional."""
        cost, released = up(self.cost * lots, abs(self.lots)), self.margin * lots // abs(self.lots)
        return cost, released, (notional if self.lots > 0 else -notional) - cost

    def close(self, lots: int, cost: int, released: int) -> None:
        """Take a closed part off."""
        self.lots -= lots if self.lots > 0 else -lots
        self.cost, self.margin = self.cost - cost, self.margin - released


@dataclass
class Terms:
    """One market: its grid, its tiers and its prices so far."""

    walk: PriceWalk

    def __post_init__(self) -> None:
        """Read the parameters; tick and lot are powers of ten."""
        market = self.walk.market
        self.tick, self.lot = (len(market[key].partition(".")[2]) for key in ("tick", "lot"))
        self.unit = 10 ** (6 - self.tick - self.lot)
        self.book = market["liquidity"] == "book"
        self.fee_ppm = market["fee_liquidation_ppm"]
        self.tiers: list[tuple[int, int, int]] = []  # floor, rate, amount × 10⁶
        amount = before = 0
        for tier in market["tiers"]:
            amount += money(tier["floor"]) * (tier["mmr_ppm"] - before)
            before = tier["mmr_ppm"]
            self.tiers.append((money(tier["floor"]), before, amount))

    def mark(self) -> int:
        """Return the mark in ticks."""
        ticks = self.walk.mark * 10**self.tick
        assert ticks.denominator == 1
        return int(ticks)

    def value(self, lots: int) -> int:
        """Return what signed lots are worth at mark."""
        return lots * self.mark() * self.unit

    def maintenance(self, lots: int) -> int:
        """Return the maintenance margin of lots at mark, in 10⁻¹² of a dollar, exact."""
        value = abs(self.value(lots))
        return max(value * rate - amount for _, rate, amount in self.tiers)

    def kept(self, lots: int) -> list[int]:
        """Return how many lots a stage might keep, the most first."""
        one = self.mark() * self.unit
        floors = [floor for floor, _, _ in self.tiers[1:] if floor <= abs(lots) * one]
        return [(floor - 1) // one for floor in reversed(floors)]

    def used_up(self, held: Held, backing: int) -> int:
        """Return the price at which a backing is used up, in the position's favour and inside the window."""
        base = abs(held.lots) * self.unit
        ticks = up(held.cost - backing, base) if held.lots > 0 else (backing - held.cost) // base
        ticks = min(max(ticks, 1), WINDOW_TICKS - 1)
        if not held.cross:
            return ticks
        band = self.mark() * self.walk.market["price_band_ppm"]
        low, high = up(self.mark() * MILLION - band, MILLION), (self.mark() * MILLION + band) // MILLION
        return min(max(ticks, low), high)

    def prices(self, held: Held, backing: int, fund: int) -> tuple[int, int]:
        """Return the bankruptcy price and the limit: the fund bears no price that is worse than the mark."""
        bankruptcy, limit = self.used_up(held, backing), self.used_up(held, backing + fund)
        if held.lots > 0:
            return bankruptcy, max(limit, min(bankruptcy, self.mark()))
        return bankruptcy, min(limit, max(bankruptcy, self.mark()))
