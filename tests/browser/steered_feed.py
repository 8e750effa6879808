"""
A local Backpack whose prices stand where a test puts them: quotes and marks around them, or silence.

It speaks through the simulator's own conversation, on a thread of its own; what a poller sees is what it always sees.
"""

import asyncio
import contextlib
import random
import threading
import time
from decimal import Decimal
from typing import Any

from websockets.asyncio.server import serve

from poller.backpack import STREAM_MARK, STREAM_PRICE
from poller.hub import Hub, frame_text
from poller.playback import Stamps
from poller.simulator import converse
from poller.synthetic import ASSETS, Asset, decimal_pad
from poller.timing import Timing

START_PATIENCE_S = 10.0
STEPS = 8  # of a move from one price to another, so that none of them is taken for a spike
UPDATE_ID_FIRST = 10_000_000
FUNDING_RATE = "0.000100000000"


class SteeredFeed:
    """Quotes of all markets, `rate` a second and market, within `noise` ticks of where a test put the price."""

    def __init__(self, rate: float = 8.0, noise: int = 2, seed: int = 1) -> None:
        """Prepare; `open` listens."""
        self.rate = rate
        self.noise = noise
        self.chance = random.Random(seed)
        self.ticks = {market: self.ticks_of(asset, asset.price) for market, asset in ASSETS.items()}
        self.silent = False
        self.port = 0
        self.update_id = UPDATE_ID_FIRST
        self.opened = threading.Event()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)

    @staticmethod
    def ticks_of(asset: Asset, price: float | Decimal) -> int:
        """Return a price in ticks of its market."""
        return int(Decimal(str(price)).scaleb(asset.price_decimals))

    @property
    def url(self) -> str:
        """Return where a poller connects."""
        return f"ws://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, and quote from now on."""
        self.thread.start()
        assert self.opened.wait(START_PATIENCE_S), "the feed does not listen"

    def close(self) -> None:
        """Listen and quote no more."""
        self.closing.set()
        self.thread.join(START_PATIENCE_S)

    def price(self, market: str) -> str:
        """Return where a market's price stands."""
        return decimal_pad(self.ticks[market], ASSETS[market].price_decimals)

    def away(self, market: str, per_mille: int) -> str:
        """Return the price so many thousandths above where it stands; below for a negative number."""
        moved = self.ticks[market] * (1_000 + per_mille) // 1_000
        return decimal_pad(moved, ASSETS[market].price_decimals)

    def move(self, market: str, price: str, seconds: float = 1.0) -> None:
        """Bring a market's price there in small steps."""
        target, before = self.ticks_of(ASSETS[market], Decimal(price)), self.ticks[market]
        for step in range(1, STEPS + 1):
            self.ticks[market] = before + (target - before) * step // STEPS
            time.sleep(seconds / STEPS)

    @contextlib.contextmanager
    def silence(self) -> Any:
        """Quote nothing meanwhile; the connection stays."""
        self.silent = True
        try:
            yield
        finally:
            self.silent = False

    # ---- on its own thread ---------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve until it is closed."""
        hub = Hub()
        async with serve(lambda connection: converse(hub, connection), "127.0.0.1", 0, close_timeout=1) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self.opened.set()
            stamps = Stamps(Timing())
            mark_due_s = 0.0
            while not self.closing.is_set():
                if not self.silent:
                    for market in self.ticks:
                        self.publish(hub, f"{STREAM_PRICE}.{market}", stamps.stamp, self.quote(market))
                    if time.monotonic() >= mark_due_s:
                        mark_due_s = time.monotonic() + 0.5
                        for market in self.ticks:
                            self.publish(
                                hub, f"{STREAM_MARK}.{market}", lambda _, data: stamps.mark(data), self.mark(market)
                            )
                await asyncio.sleep(1 / self.rate)

    def publish(self, hub: Hub, stream: str, stamp: Any, data: dict[str, Any]) -> None:
        """Send one frame with times of now."""
        hub.publish(stream, frame_text(stream, stamp(stream, data)))

    def quote(self, market: str) -> dict[str, Any]:
        """Return the next quote, without its times."""
        asset = ASSETS[market]
        self.update_id += 1
        bid = self.ticks[market] + self.chance.randint(-self.noise, self.noise)
        size = decimal_pad(
            int(asset.qty_typical * self.chance.uniform(0.5, 2) * 10**asset.qty_decimals), asset.qty_decimals
        )
        return {
            "A": size,
            "B": size,
            "a": decimal_pad(bid + 1, asset.price_decimals),
            "b": decimal_pad(bid, asset.price_decimals),
            "e": STREAM_PRICE,
            "s": market,
            "u": self.update_id,
        }

    def mark(self, market: str) -> dict[str, Any]:
        """Return the mark, without its times and the next funding time."""
        price = self.price(market)
        return {"e": STREAM_MARK, "f": FUNDING_RATE, "i": price, "p": price, "s": market}
