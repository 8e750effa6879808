"""
Who follows and who trades in the WebSocket storm: programs with the Python client, over connections that are cut.

A follower keeps everything it is told since its snapshot as one record. Now and then it forgets its place and begins a
new record, so that snapshots are taken in the middle of the storm, too.
"""

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tidemark_client import Client, Outcome, Refused, Stream, Unknown

MARKET = "BTC_USDC_PERP"
WHOLE = ("events",)
PARTS = ("account", "orders", "positions", "fills", "funding", "ledger", "responses", "events")
PUBLIC = (
    *(f"{topic}.{MARKET}" for topic in ("trades", "liquidations", "funding", "candles")), "insurance", "markets",
)  # fmt: skip
FORGET_SHARE = 0.002  # of messages after which a follower begins anew


@dataclass
class Record:
    """Everything that one follower was told between two times of beginning anew."""

    account: int  # 0: of the public
    channels: tuple[str, ...]
    snapshots: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # at, channel, data
    gaps: list[str] = field(default_factory=list)
    early: int = 0  # events before the snapshot
    ended: bool = False


class Follower:
    """One program that follows one account, or the public channels, through whichever gateway it meets."""

    def __init__(
        self, urls: list[str], account: int, token: str, channels: tuple[str, ...], http: httpx2.AsyncClient, seed: str
    ) -> None:
        """Prepare; `run` follows."""
        self.urls = urls
        self.account = account
        self.chance = random.Random(seed)
        self.channels = channels
        self.client = Client(self.chance.choice(urls), token=token, http=http)
        self.records: list[Record] = []
        self.streams: list[Stream] = []
        self.begin_anew = False

    @property
    def connections(self) -> int:
        """Return how often this follower has connected."""
        return sum(stream.connections for stream in self.streams)

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            record = Record(self.account, self.channels)
            self.records.append(record)
            stream = self.client.stream(*self.channels)
            self.streams.append(stream)
            async with contextlib.aclosing(stream.__aiter__()) as messages:
                async for message in messages:
                    # Another gateway goes on where this one is cut.
                    self.client.url = self.chance.choice(self.urls)
                    if message.kind == "gap":
                        record.gaps.append(f"{message.at} {message.data}")
                    elif message.kind == "snapshot":
                        record.snapshots.append((message.at, message.data))
                    elif message.kind == "event":
                        record.early += not record.snapshots
                        record.events.append((message.at, message.channel, message.data))
                    if self.begin_anew or self.chance.random() < FORGET_SHARE:
                        break
            self.begin_anew = False
            record.ended = True


class Trader:
    """One program that trades with an account until it is told to stop; every wish is brought to its end."""

    def __init__(
        self, urls: list[str], account: int, token: str, http: httpx2.AsyncClient, seed: str, pause_s: float
    ) -> None:
        """Prepare; `run` trades."""
        self.urls = urls
        self.account = account
        self.chance = random.Random(seed)
        self.pause_s = pause_s
        self.client = Client(self.chance.choice(urls), token=token, http=http, patience_s=30.0)
        self.accepted: list[str] = []  # request ids
        self.refused: list[str] = []
        self.codes: Counter[str] = Counter()
        self.wishes = 0

    async def run(self, stopped: asyncio.Event) -> None:
        """Trade."""
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), self.chance.expovariate(1 / self.pause_s))
                return
            self.client.url = self.chance.choice(self.urls)
            self.wishes += 1
            request_id = f"storm-{self.account}-{self.wishes}"
            try:
                outcome = await self.wish(request_id)
                assert outcome.seq
                self.accepted.append(outcome.request_id)
            except Refused as refused:
                self.codes[refused.code] += 1
                self.refused.append(request_id)
            except Unknown:
                self.codes["UNKNOWN"] += 1

    async def wish(self, request_id: str) -> Outcome:
        """Send one instruction: take, rest, or withdraw what rests."""
        kind = self.chance.random()
        side = self.chance.choice(("buy", "sell"))
        if kind < 0.5:
            return await self.client.order(MARKET, side, request_id, qty="0.001")
        if kind < 0.8:
            price = "56500" if side == "buy" else "62500"
            return await self.client.order(MARKET, side, request_id, kind="limit", qty="0.001", price=price)
        return await self.client.cancel_all(MARKET, request_id)
