"""
A seeded synthetic market of perpetuals: the same seed gives the same quotes, whenever it is played; pure.

The mid is a random walk whose volatility itself wanders (calm and wild minutes follow each other) and which is drawn
back, weakly, to where it began, so that a venue left alone for a month still shows plausible prices. It imitates no
real day; pages that show it say that it is simulated.
"""

import heapq
import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from poller.backpack import STREAM_MARK, STREAM_PRICE

YEAR_S = 31_536_000.0
REVERSION_PER_S = 1 / (7 * 86_400.0)  # back to where it began
CALM_PER_S = 1 / 300.0  # how fast a wild phase ends
WILDNESS_PER_ROOT_S = 0.06  # how fast the logarithm of the volatility wanders
WILDNESS_MAX = 1.6  # at most e^1.6 = five times the usual volatility
FUNDING_INTEREST = 0.0000125  # an hour, as Backpack's 0.01 % in eight hours
FUNDING_MAX = 0.0005
UPDATE_ID_FIRST = 10_000_000
HOUR_MS = 3_600_000


class Asset(NamedTuple):
    """What makes one market plausible."""

    price: float
    price_decimals: int
    qty_decimals: int
    qty_typical: float
    spread_ticks: float  # on average, at least 1
    volatility_year: float


ASSETS = {
    "BTC_USDC_PERP": Asset(87_000.0, 1, 5, 1.2, 1.6, 0.8),
    "ETH_USDC_PERP": Asset(2_900.0, 2, 4, 18.0, 2.0, 1.0),
    "SOL_USDC_PERP": Asset(135.0, 2, 2, 160.0, 1.4, 1.2),
    "ADA_USDC_PERP": Asset(0.42, 4, 0, 24_000.0, 1.1, 1.3),
}


class Made(NamedTuple):
    """One frame to come, without its times."""

    time_s: float  # since the beginning
    stream: str
    data: dict[str, Any]


class Walk:
    """The state of one market."""

    def __init__(self, market: str, chance: random.Random) -> None:
        self.market = market
        self.asset = ASSETS[market]
        self.chance = chance
        self.deviation = 0.0  # logarithm of mid ÷ first price
        self.wildness = 0.0  # logarithm of volatility ÷ usual volatility
        self.premium = 0.0  # mark ÷ index − 1
        self.update_id = UPDATE_ID_FIRST
        self.time_s = 0.0

    def step(self, time_s: float) -> None:
        """Walk on to `time_s`."""
        span_s = max(time_s - self.time_s, 0.0)
        self.time_s = time_s
        root = math.sqrt(span_s)
        self.wildness += -self.wildness * min(1.0, CALM_PER_S * span_s)
        self.wildness += WILDNESS_PER_ROOT_S * root * self.chance.gauss(0, 1)
        self.wildness = min(max(self.wildness, -WILDNESS_MAX), WILDNESS_MAX)
        volatility = self.asset.volatility_year / math.sqrt(YEAR_S) * math.exp(self.wildness)
        self.deviation += -self.deviation * min(1.0, REVERSION_PER_S * span_s)
        self.deviation += volatility * root * self.chance.gauss(0, 1)
        self.premium += -self.premium * min(1.0, span_s / 600) + 2e-6 * root * self.chance.gauss(0, 1)

    def mid_ticks(self) -> float:
        """Return the mid in ticks, not rounded."""
        return self.asset.price * math.exp(self.deviation) * 10**self.asset.price_decimals

    def price_text(self, ticks: int) -> str:
        """Return a price padded to the tick's decimals."""
        return decimal_pad(max(ticks, 1), self.asset.price_decimals)

    def quantity_text(self) -> str:
        """Return a size padded to the lot's decimals, at least one lot."""
        lots = round(self.asset.qty_typical * self.chance.lognormvariate(-0.5, 1.0) * 10**self.asset.qty_decimals)
        return decimal_pad(max(lots, 1), self.asset.qty_decimals)

    def quote(self) -> dict[str, Any]:
        """Return the next quote, without its times."""
        spread = 1
        wide = 1 - 1 / (self.asset.spread_ticks * math.exp(max(self.wildness, 0.0) / 2))
        while spread < 20 and self.chance.random() < wide:
            spread += 1
        bid = max(math.floor(self.mid_ticks() - spread / 2 + 0.5), 1)
        self.update_id += self.chance.randint(1, 9)
        return {
            "A": self.quantity_text(),
            "B": self.quantity_text(),
            "a": self.price_text(bid + spread),
            "b": self.price_text(bid),
            "e": STREAM_PRICE,
            "s": self.market,
            "u": self.update_id,
        }

    def mark(self) -> dict[str, Any]:
        """Return the mark, without its times and the next funding time."""
        mid = self.mid_ticks()
        funding = min(max(FUNDING_INTEREST + self.premium / 8, -FUNDING_MAX), FUNDING_MAX)
        return {
            "e": STREAM_MARK,
            "f": f"{funding:.12f}",
            "i": self.price_text(round(mid / (1 + self.premium))),
            "p": self.price_text(round(mid)),
            "s": self.market,
        }


def decimal_pad(number: int, decimals: int) -> str:
    """Return number ÷ 10^decimals as text with all its decimals."""
    if decimals == 0:
        return str(number)
    text = str(number).rjust(decimals + 1, "0")
    return f"{text[:-decimals]}.{text[-decimals:]}"


def funding_next_ms(now_us: int) -> int:
    """Return the next full hour."""
    return (now_us // 1000 // HOUR_MS + 1) * HOUR_MS


def synthetic_frames(seed: int, markets: tuple[str, ...], quotes_per_s: float) -> Iterator[Made]:
    """
    Yield frames for ever in the order of their times: `quotes_per_s` a market on average, a mark a second each.

    Each market draws from its own generator, so the quotes of one do not depend on which others are simulated.
    """
    walks = {market: Walk(market, random.Random(f"{seed}/{market}")) for market in markets if market in ASSETS}
    due = [(0.0, market, STREAM_PRICE) for market in walks] + [(0.01, market, STREAM_MARK) for market in walks]
    heapq.heapify(due)
    while due:
        time_s, market, kind = heapq.heappop(due)
        walk = walks[market]
        walk.step(time_s)
        if kind == STREAM_PRICE:
            yield Made(time_s, f"{STREAM_PRICE}.{market}", walk.quote())
            pause_s = min(walk.chance.expovariate(quotes_per_s * math.exp(walk.wildness / 2)), 5.0)
        else:
            yield Made(time_s, f"{STREAM_MARK}.{market}", walk.mark())
            pause_s = 1.0
        heapq.heappush(due, (time_s + pause_s, market, kind))
