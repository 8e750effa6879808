"""
The outside venue: prices that walk, frames to whoever has subscribed, and every way in which it can misbehave.

It belongs to no process of ours: it goes on while a poller is dead or stopped, and what that one does not read waits in
its socket. All chance is the seed's.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from poller.transport import SocketClosed

BURST_S = 0.35  # on average between two bursts of quotes: the outside venue's books move together
BURST_QUOTES = (2, 4, 6, 9)
MARK_S = 1.0
WAITING_FRAMES_MAX = 4_000
CONNECT_S = 0.02


class Listing(NamedTuple):
    """A market as the outside venue lists it: where its price starts, and how many decimals its prices have."""

    market: str
    price_ticks: int
    decimals: int


LISTINGS = (
    Listing("BTC_USDC_PERP", 600_000, 1),
    Listing("ETH_USDC_PERP", 300_000, 2),
    Listing("SOL_USDC_PERP", 15_000, 2),
)
MARKETS = tuple(listing.market for listing in LISTINGS)


def price_text(ticks: int, decimals: int) -> str:
    """Return a price as text."""
    return f"{ticks // 10**decimals}.{ticks % 10**decimals:0{decimals}d}"


class OutsideSocket:
    """One subscriber's end of a connection; what is not read waits."""

    def __init__(self, venue: "OutsideVenue") -> None:
        self.venue = venue
        self.waiting: deque[bytes] = deque()
        self.reader: asyncio.Future[None] | None = None
        self.subscribed = False
        self.closed = False

    async def receive(self) -> bytes:
        """Return the next frame; raises SocketClosed."""
        while not self.waiting:
            if self.closed:
                raise SocketClosed("closed")
            self.reader = asyncio.get_running_loop().create_future()
            await self.reader
        return self.waiting.popleft()

    async def send(self, text: str) -> None:
        """Subscribe."""
        if self.closed:
            raise SocketClosed("closed")
        self.subscribed = orjson.loads(text)["method"] == "SUBSCRIBE"

    def abort(self) -> None:
        """Drop the connection at once, unread."""
        self.waiting.clear()
        self.close()

    def close(self) -> None:
        """End the connection; what was sent before can still be read."""
        self.closed = True
        self.venue.sockets.pop(self, None)
        self.wake()

    def push(self, frame: bytes) -> None:
        """Send one frame; a subscriber who reads nothing for long is cut off."""
        if len(self.waiting) >= WAITING_FRAMES_MAX:
            self.close()
            return
        self.waiting.append(frame)
        self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(None)


class OutsideVenue:
    """Prices and the connections to them."""

    def __init__(self, chance: random.Random, now_us: Callable[[], int]) -> None:
        self.chance = chance
        self.now_us = now_us
        self.sockets: dict[OutsideSocket, None] = {}  # in the order of their opening
        self.prices = {listing.market: listing.price_ticks for listing in LISTINGS}
        self.update_ids = dict.fromkeys(MARKETS, 1_000)
        self.silent = False
        self.refusing = False
        self.hostile_share = 0.0  # of the quotes, that are not what they should be
        self.violence = 1.0  # how far prices jump
        self.counts: Counter[str] = Counter()

    async def connect(self, _url: str) -> OutsideSocket:
        """Return an open connection; raises SocketClosed while the venue takes none."""
        await asyncio.sleep(CONNECT_S)
        if self.refusing:
            raise SocketClosed("refused")
        socket = OutsideSocket(self)
        self.sockets[socket] = None
        return socket

    def cut(self) -> None:
        """Close every connection."""
        for socket in list(self.sockets):
            socket.close()

    async def quotes_run(self) -> None:
        """Quote for ever, in bursts, now this market, now that."""
        while True:
            await asyncio.sleep(self.chance.expovariate(1.0 / BURST_S))
            for _ in range(self.chance.choice(BURST_QUOTES)):
                listing = self.chance.choice(LISTINGS)
                self.walk(listing)
                frame = self.quote(listing)
                if self.chance.random() < self.hostile_share:
                    frame = self.spoiled(listing)
                self.tell(frame)

    async def marks_run(self) -> None:
        """State every market's mark once a second."""
        while True:
            await asyncio.sleep(MARK_S)
            for listing in LISTINGS:
                self.tell(self.mark(listing))

    def walk(self, listing: Listing) -> None:
        """Move a price: mostly a little, now and then far enough to fire stops and to liquidate."""
        share = self.chance.gauss(0.0, 0.0006) * self.violence
        if self.chance.random() < 0.02:
            share *= 12
        step = round(self.prices[listing.market] * max(-0.05, min(0.05, share)))
        low, high = listing.price_ticks // 3, listing.price_ticks * 3
        self.prices[listing.market] = min(high, max(low, self.prices[listing.market] + step))

    def tell(self, frame: bytes) -> None:
        """Send a frame to all who subscribed."""
        if self.silent:
            return
        self.counts["frames"] += 1
        for socket in list(self.sockets):
            if socket.subscribed:
                socket.push(frame)

    def quote(self, listing: Listing, **changes: Any) -> bytes:
        """Return the frame of the present quote, with other values where they are given."""
        market, decimals = listing.market, listing.decimals
        bid = self.prices[market]
        ask = bid + self.chance.choice((1, 1, 2, 5))
        self.update_ids[market] += self.chance.choice((1, 1, 3))
        now_us = self.now_us()
        body = {
            "A": f"{self.chance.randrange(1, 900) / 10}",
            "B": f"{self.chance.randrange(1, 900) / 10}",
            "E": now_us,
            "T": now_us - 40,
            "a": price_text(ask, decimals),
            "b": price_text(bid, decimals),
            "e": "bookTicker",
            "s": market,
            "u": self.update_ids[market],
        }
        return orjson.dumps({"stream": f"bookTicker.{market}", "data": body | changes})

    def mark(self, listing: Listing) -> bytes:
        """Return the frame of the present mark."""
        market, now_us = listing.market, self.now_us()
        near = self.prices[market] + self.chance.randrange(-3, 4)
        body = {
            "E": now_us,
            "T": now_us - 100,
            "e": "markPrice",
            "f": f"{self.chance.randrange(-300, 300) / 1e6:.8f}",
            "i": price_text(near + 1, listing.decimals),
            "n": (now_us // 3_600_000_000 + 1) * 3_600_000,
            "p": price_text(near, listing.decimals),
            "s": market,
        }
        return orjson.dumps({"stream": f"markPrice.{market}", "data": body})

    def spoiled(self, listing: Listing) -> bytes:
        """Return a frame that nothing may be done upon."""
        kind = self.chance.choice(("twice", "old", "crossed", "zero", "spike", "one_sided", "huge", "strange", "text"))
        self.counts[f"hostile_{kind}"] += 1
        price, decimals = self.prices[listing.market], listing.decimals
        match kind:
            case "twice":
                return self.quote(listing, u=self.update_ids[listing.market])
            case "old":
                return self.quote(listing, u=max(1, self.update_ids[listing.market] - 50))
            case "crossed":
                return self.quote(listing, a=price_text(price - 9, decimals))
            case "zero":
                return self.quote(listing, b="0.0", a="0.0")
            case "spike":
                far = price * self.chance.choice((2, 3)) // 2
                return self.quote(listing, b=price_text(far, decimals), a=price_text(far + 1, decimals))
            case "one_sided":
                return self.quote(listing, b=None, B=None)
            case "huge":
                return self.quote(listing, b="999999999999999.9", a="999999999999999.9")
            case "strange":
                return orjson.dumps({"stream": "bookTicker.DOGE_USDC_PERP", "data": {"s": "DOGE_USDC_PERP"}})
            case _:
                return b"not a frame"
