"""
Prices for those who follow them: tickers, depths and running candles, from the markets' views.

A view is read once per change for all sockets. To lose an announcement is harmless: every view that somebody follows
is read again each second.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.candles import PRICES, running_of
from gateway.day_change import DayOpens
from gateway.errors import Refusal
from gateway.prices import LEVELS_MAX, depth_body, ticker_body
from gateway.socket.channels import Channel
from gateway.socket.messages import Update
from gateway.socket.session import encode
from shared.streams import Keys, StreamsAsync, StreamsError

AGAIN_S = 1.0
RETRY_S = 0.2
MOVING = frozenset({"seq", "log_time_us", "quote_age_ms", "mark_age_ms"})  # alone they are no news

View = Mapping[str, str]


class Taker(Protocol):
    """Somebody who takes prices."""

    def put_newest(self, name: str, frame: bytes) -> None:
        """Take how a channel stands."""


class MarketFeed:
    """Reads the views that are followed and hands on what changed in them."""

    def __init__(self, streams: StreamsAsync, keys: Keys, now_us: Callable[[], int], day_opens: DayOpens) -> None:
        """Start with nobody."""
        self._day_opens = day_opens
        self._streams = streams
        self._keys = keys
        self._now_us = now_us
        self._takers: dict[str, dict[Taker, Channel]] = {}  # by channel
        self._told: dict[str, dict[str, Any]] = {}  # what was told last, by channel
        self._changed: set[str] = set()
        self._wanted = asyncio.Event()
        self._somebody = asyncio.Event()

    def __len__(self) -> int:
        """Return how many channels somebody takes."""
        return len(self._takers)

    async def add(self, taker: Taker, channel: Channel) -> None:
        """Let somebody take a channel from now on, beginning with how it stands."""
        self._takers.setdefault(channel.name, {})[taker] = channel
        self._somebody.set()
        with contextlib.suppress(StreamsError):
            body = self._body(channel, await self._streams.hash_read(self._keys.view_market(channel.market)))
            if body is not None and taker in self._takers.get(channel.name, {}):
                self._told.setdefault(channel.name, essence_of(body))
                taker.put_newest(channel.name, frame_of(channel, body))

    def remove(self, taker: Taker, channel: Channel) -> None:
        """Let somebody take a channel no more."""
        takers = self._takers.get(channel.name, {})
        takers.pop(taker, None)
        if not takers:
            self._takers.pop(channel.name, None)
            self._told.pop(channel.name, None)
        if not self._takers:
            self._somebody.clear()

    async def run(self) -> None:
        """Keep everybody informed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._again())
            group.create_task(self._tell())

    async def _listen(self) -> None:
        """Note which markets changed, as long as somebody wants to know."""
        while True:
            await self._somebody.wait()
            with contextlib.suppress(StreamsError):
                async with contextlib.aclosing(self._streams.listen(self._keys.markets_channel)) as messages:
                    async for _channel, message in messages:
                        self._note({message.decode("utf-8", "replace")})
                        if not self._takers:
                            break
            await asyncio.sleep(RETRY_S)

    async def _again(self) -> None:
        """Look at every market now and then, whatever was announced."""
        while True:
            await self._somebody.wait()
            for market in sorted(self._markets("ticker")):
                await self._day_opens.look(market)
            await asyncio.sleep(AGAIN_S)
            self._note(self._markets())

    def _markets(self, topic: str = "") -> set[str]:
        """Return the markets that somebody follows, or follows one topic of."""
        named = [name.partition(".") for name in self._takers]
        return {market for found, _dot, market in named if topic in ("", found)}

    def _note(self, markets: set[str]) -> None:
        """Have these markets looked at."""
        if self._takers:
            self._changed |= markets
            self._wanted.set()

    async def _tell(self) -> None:
        """Read what changed and hand it on."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            changed, self._changed = self._changed & self._markets(), set()
            for market in sorted(changed):
                with contextlib.suppress(StreamsError):
                    self._market_tell(market, await self._streams.hash_read(self._keys.view_market(market)))

    def _market_tell(self, market: str, view: View) -> None:
        """Hand on what is new in a market's view."""
        for name, takers in self._takers.items():
            channel = next(iter(takers.values()))
            body = self._body(channel, view) if channel.market == market else None
            if body is None:
                continue
            essence = essence_of(body)
            if self._told.get(name) == essence:
                continue
            self._told[name] = essence
            frame = frame_of(channel, body)
            for taker in takers:
                taker.put_newest(name, frame)

    def _body(self, channel: Channel, view: View) -> dict[str, Any] | None:
        """Return what a channel says of a view, None while the engine has not stated it."""
        if not view:
            return None
        try:
            if channel.topic == "ticker":
                return ticker_body(channel.market, view, self._now_us(), self._day_opens.known(channel.market))
            if channel.topic == "candles":
                running = running_of(view)
                return None if running is None else candle_body(running) | {"seq": view.get("seq", "0")}
            return depth_body(view, LEVELS_MAX)
        except (Refusal, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None  # not stated yet, or not as we know it: a price that cannot be read is no price


def essence_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return what of a channel's body is news when it changes."""
    return {name: value for name, value in body.items() if name not in MOVING}


def candle_body(running: Mapping[str, Any]) -> dict[str, Any]:
    """Return the minute that runs as the list of candles shows it."""
    shown = {"open_ms": running["minute_ms"]} | {name: running[name] for name in PRICES}
    return shown | {"quotes": running["quotes"], "complete": False}


def frame_of(channel: Channel, body: dict[str, Any]) -> bytes:
    """Return the message that tells how a channel stands."""
    data = {name: value for name, value in body.items() if name != "seq"}
    return encode(Update(channel=channel.name, seq=str(body.get("seq", "0")), data=data))
