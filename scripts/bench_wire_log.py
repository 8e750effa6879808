"""
The log of `bench wire` and `bench latency`: canonical entries from one seed.

Orders come in fours, as a bot would send them: a limit order that rests, a market order that buys, one that sells, and
the cancel of the first. So half of them change the book alone and half trade, and nothing grows without end.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scripts.bench_recovery import MARK, MARKETS, PRICE, price_text
from shared.streams import Fields, log_id

SEED = 20_261_122
ACCOUNTS = 4_000
ACCOUNT_FIRST = 100
SESSION = b"bench"
SPAN_US = 8_000_000  # of log time, between two keyframes; in it a venue forgets the request ids of its first part
STEP_MAX_US = 1_000
TICK_EVERY = 2_000  # entries; the engine itself ticks when a slow loop meets none for 1.5 s
MARK_EVERY = 75
ORDERS_MAX = 400_000  # a venue remembers 262 000 request ids, each for five seconds at least
HEAD = b'{"v":1,"account":%d,"request_id":"%032x",'
MARKET = b'"op":"order_place","market":"BTC_USDC_PERP","side":"%s","kind":"market","qty":"0.001"}'
LIMIT = (
    b'"op":"order_place","market":"BTC_USDC_PERP","side":"buy","kind":"limit","qty":"0.001","price":"5%d.%d",'
    b'"client_order_id":"bench-%d"}'
)
CANCEL = b'"op":"order_cancel","client_order_id":"bench-%d"}'


class Start(NamedTuple):
    """Where a log goes on from: what its next entries must not repeat."""

    ts_us: int
    update_id: int
    request: int
    accounts: int


class Mix:
    """Entries of which `percent` in a hundred are orders; every one is canonical, none is refused."""

    def __init__(self, start: Start, percent: int, step_us: float, tick_every: int = TICK_EVERY) -> None:
        assert 0 <= percent <= 100
        self.chance = random.Random(SEED + percent)
        self.begin_us, self.update_id, self.request, self.accounts = start
        self.ts_us = self.begin_us
        self.step_us = step_us
        self.tick_every = tick_every
        self.percent = percent
        self.number = 0
        self.owed = 0  # hundredths of an order
        self.orders = self._orders()

    def entry(self) -> tuple[bytes, bytes, bool]:
        """Return the next entry's kind, its body and whether it carries the feed's session; time moves on a step."""
        self.number += 1
        self.ts_us = self.begin_us + int(self.number * self.step_us)
        if self.number % self.tick_every == 1:
            return b"clock_tick", b"{}", False
        if self.number % self.tick_every == 2:
            return b"price_update", self.quote(0), True
        self.owed += self.percent
        if self.owed >= 100:
            self.owed -= 100
            return b"user_instruction", next(self.orders), False
        if self.number % MARK_EVERY == 3:
            market, ticks, decimals = MARKETS[self.number // MARK_EVERY % 4]
            price, name = price_text(ticks, decimals), market.encode()
            return b"mark_update", MARK % (self.ts_us, self.ts_us, price + b"123456", price, name), True
        return b"price_update", self.quote(self.chance.choice((0, 0, 0, 1, 2, 3))), True

    def fields(self) -> Fields:
        """Return the next entry as it stands in the log."""
        kind, body, fed = self.entry()
        stamp = (b"ts", b"%d" % self.ts_us)
        return [stamp, (b"session", SESSION), (kind, body)] if fed else [stamp, (kind, body)]

    def quote(self, index: int) -> bytes:
        """Return the body of a quote, which moves inside the gap around the price."""
        chance = self.chance
        market, middle, decimals = MARKETS[index]
        self.update_id += 1
        ticks = middle + chance.randrange(-40, 41) * middle // 600_000
        sizes = (1 + chance.randrange(3), chance.randrange(100_000)) * 2
        prices = (price_text(ticks + 1, decimals), price_text(ticks, decimals))
        return PRICE % (*sizes, self.ts_us, self.ts_us, *prices, market.encode(), self.update_id)

    def _orders(self) -> Iterator[bytes]:
        """Yield the bodies of orders: rest, buy, sell, cancel."""
        chance = self.chance
        while True:
            maker, taker = (ACCOUNT_FIRST + chance.randrange(self.accounts) for _ in range(2))
            label = self.request
            yield self._head(maker) + LIMIT % (8_000 + chance.randrange(1_900), chance.randrange(10), label)
            yield self._head(taker) + MARKET % b"buy"
            yield self._head(taker) + MARKET % b"sell"
            yield self._head(maker) + CANCEL % label

    def _head(self, account: int) -> bytes:
        """Return the envelope of the next instruction; its id carries the time."""
        self.request += 1
        return HEAD % (account, (self.ts_us // 1_000) << 80 | 7 << 76 | 2 << 62 | self.request)


def step_us(entries: int) -> int:
    """Return how far log time moves with each of so many entries."""
    return max(1, min(STEP_MAX_US, SPAN_US // entries))


def reply_bytes(first_seq: int, entries: Sequence[Fields]) -> np.ndarray:
    """Return how many bytes each entry has in XREAD's answer, as int64[n]."""
    sizes = np.empty(len(entries), np.int64)
    for index, fields in enumerate(entries):
        texts = [log_id(first_seq + index), *(part for pair in fields for part in pair)]
        sizes[index] = sum(map(bulk_bytes, map(len, texts))) + len(b"*2\r\n*%d\r\n" % (2 * len(fields)))
    return sizes


def bulk_bytes(length: int) -> int:
    """Return the bytes of one text of this length on the wire."""
    return len(b"$%d\r\n\r\n" % length) + length
