"""
What drives one following: it brings snapshots and slices, paces itself by the client, and listens once it is live.

Between the last look at the ring and becoming a listener nothing is awaited, so no entry can slip between; what is
heard too early is known by its place.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.errors import GatewayCode, Refusal
from gateway.ring import Held, Position
from gateway.socket.channels import EVENTS, Channel
from gateway.socket.outbox import Outbox
from gateway.socket.session import Follow, Stage, Verdict
from gateway.tail import Tail
from gateway.views import AccountView, Standing, Views
from shared.streams import EventsEntry, Keys, StreamsAsync, StreamsError

SLICE_ENTRIES = 200
# Of all clients together: whoever asks for an hour of events must not slow down everybody's orders.
SLICES_AT_ONCE = 2
SLICE_PAUSE_S = 0.002
THREAD_BYTES = 32 * 1024  # a slice with more to parse is parsed in a thread
AGAIN_S = 0.2  # a place that is ahead is looked for once more
RETRY_S = 0.2
END: Position = (10**15, 0)
SNAPSHOT_TOPICS = frozenset({"account", "orders", "positions", EVENTS, "markets", "insurance"})


class Source:
    """Where followings come from: one gateway's tail, streams and views."""

    def __init__(
        self,
        streams: StreamsAsync,
        keys: Keys,
        tail: Tail,
        views: Views,
        gap: Callable[[str], None],
        pause_s: float = SLICE_PAUSE_S,
    ) -> None:
        """Keep them; `gap` counts."""
        self.streams = streams
        self.keys = keys
        self.tail = tail
        self.views = views
        self.gap = gap
        self._pause_s = pause_s
        self._slices = asyncio.Semaphore(SLICES_AT_ONCE)

    async def entries(self, place: Position) -> list[EventsEntry]:
        """Return the next entries of the stream from a place on, without taking all of the process for it."""
        async with self._slices:
            entries = await self.streams.range_events(self.keys, place, END, SLICE_ENTRIES)
            await asyncio.sleep(self._pause_s)
        return entries


class Following:
    """One following of one socket, driven."""

    def __init__(
        self, source: Source, follow: Follow, outbox: Outbox, failed: Callable[["Following", Exception], None]
    ) -> None:
        """Prepare; `failed` learns why it cannot go on."""
        self._source = source
        self.follow = follow
        self._outbox = outbox
        self._failed = failed
        self._task: asyncio.Task[None] | None = None
        self._heard: tuple[int | None, tuple[bytes, ...]] | None = None  # as the audience knows it

    def start(self) -> None:
        """Begin to catch up."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Tell nothing more."""
        self._leave()
        if self._task is not None:
            self._task.cancel()

    def narrow(self, names: list[str]) -> None:
        """Follow these channels no more."""
        self.follow.narrow(names)
        if self._heard is not None:
            self._leave()
            self._enter()

    def hear(self, held: Held) -> None:
        """Tell the entry that was read just now, or catch up later when the client has too much before it."""
        follow = self.follow
        try:
            if follow.stage is Stage.LIVE and self._outbox.full:
                follow.fall_behind(held.previous)
                self.start()
            if follow.stage is Stage.LIVE:
                self._put(follow.hear(held, self._source.tail.ring.parsed(held)))
            else:
                follow.owed_bytes += len(held.entry.data)
        except Exception as error:
            self._failed(self, error)

    def cut(self, told: Position) -> None:
        """Learn that what follows a place was trimmed unread."""
        if self.follow.stage is Stage.LIVE:
            self.follow.fall_behind(told)
            self.start()

    def _put(self, frames: list[bytes]) -> None:
        """Send messages."""
        for frame in frames:
            self._outbox.put(frame)

    def _enter(self) -> None:
        """Hear of what comes."""
        account = self.follow.account if self.follow.private else None
        self._heard = account, self.follow.tags
        self._source.tail.audience.add(self, *self._heard)

    def _leave(self) -> None:
        """Hear no more."""
        if self._heard is not None:
            self._source.tail.audience.remove(self, *self._heard)
            self._heard = None

    async def _run(self) -> None:
        """Catch up until live; while Redis is away, wait."""
        try:
            while self.follow.stage is not Stage.LIVE:
                await self._outbox.room()
                try:
                    await self._step()
                except StreamsError:
                    await asyncio.sleep(RETRY_S)
        except Exception as error:
            self._failed(self, error)

    async def _step(self) -> None:
        """Come a little further."""
        follow, ring = self.follow, self._source.tail.ring
        if follow.stage is Stage.SNAPSHOT:
            async with self._outbox.large:
                await self._outbox.room()
                await self._snapshot()
        elif not follow.in_ring(ring):
            await self._slice()
        elif follow.stage is Stage.VERIFY:
            self._put(follow.ring_verify(ring))
        else:
            self._ring_tell()
            await asyncio.sleep(0)
        while follow.gaps:
            self._source.gap(follow.gaps.pop())

    async def _snapshot(self) -> None:
        """Tell how things stand; raises Refusal when the views do not say."""
        follow = self.follow
        topics = {channel.topic for channel in follow.channels.values() if channel.private or not channel.market}
        if topics & SNAPSHOT_TOPICS or follow.private:
            standing = await self._source.views.standing(follow.account if follow.private else None)
        else:
            standing = Standing(self._source.tail.ring.tip, None, {})
        data = standing_data(follow.channels, standing)
        self._put(follow.snapshot(standing.place, data))
        if follow.stage is Stage.FAILED:
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"reason": "the views are too far behind the events"})

    def _ring_tell(self) -> None:
        """Tell what the ring holds as far as the client has room, and be live at its end."""
        follow, ring = self.follow, self._source.tail.ring
        for held in follow.ring_next(ring):
            if self._outbox.full:
                return
            self._put(follow.take(held, ring.parsed(held) if follow.concerned(held) else None))
        if follow.place.entry >= ring.tip:
            self._put(follow.live(ring))
            if self._heard is None:
                self._enter()

    async def _slice(self) -> None:
        """Tell what the stream holds beyond the ring."""
        follow, source = self.follow, self._source
        helds = [Held(entry) for entry in await source.entries(follow.place.entry)]
        first: Position = helds[0].place if helds else (0, 0)
        if first != follow.place.entry:
            first = await source.streams.events_first(source.keys)
        verdict, frames = follow.slice_judge(helds, first)
        self._put(frames)
        if verdict is Verdict.AGAIN:
            await asyncio.sleep(AGAIN_S)
        if verdict is not Verdict.JOINED:
            return
        await self._slice_parse(helds)
        for held in helds:
            if self._outbox.full:
                await self._outbox.room()
            self._put(follow.take(held, held.parsed() if follow.concerned(held) else None))

    async def _slice_parse(self, helds: list[Held]) -> None:
        """Parse what concerns this following, out of the event loop's way when it is much."""
        wanted = [held for held in helds if self.follow.concerned(held)]
        if sum(len(held.entry.data) for held in wanted) > THREAD_BYTES:
            await asyncio.to_thread(_parse_all, wanted)


def _parse_all(helds: list[Held]) -> None:
    """Parse entries."""
    for held in helds:
        held.parsed()


def standing_data(channels: Mapping[str, Channel], standing: Standing) -> dict[str, Any]:
    """Return a snapshot's data by channel; those that have no standing image are left out."""
    view = standing.account
    data: dict[str, Any] = {}
    for name, channel in channels.items():
        match channel.topic if channel.private or not channel.market else "":
            case "account":
                data[name] = account_image(view)
            case "orders":
                data[name] = view.orders if view else []
            case "positions":
                data[name] = positions_image(view)
            case "events":
                orders = view.orders if view else []
                data[name] = {"account": account_image(view), "orders": orders, "positions": positions_image(view)}
            case "markets":
                data[name] = markets_image(standing.venue)
            case "insurance":
                data[name] = _without(orjson.loads(standing.venue.get("insurance", "{}")), "e")
    return data


def account_image(view: AccountView | None) -> dict[str, Any]:
    """Return an account's money and settings, nothing of one that was not opened by then."""
    if view is None:
        return {}
    image = view.account | {"leverages": view.leverages, "modes": view.modes, "guards": view.guards}
    if view.margin_call is not None:
        image["margin_call"] = view.margin_call
    if view.main is not None:
        image |= {"main": view.main[0], "sub": view.main[1]}
    return image


def positions_image(view: AccountView | None) -> list[dict[str, Any]]:
    """Return the open positions, each with the newest warning of its margin."""
    if view is None:
        return []
    calls = view.margin_calls
    return [
        row | ({"margin_call": calls[row["position_id"]]} if row["position_id"] in calls else {})
        for row in view.positions
    ]


def markets_image(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return every market's parameters by name."""
    names = sorted(name for name in fields if name.startswith("market:"))
    return [_without(orjson.loads(fields[name]), "e", "seq") for name in names]


def _without(image: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an image without these keys."""
    return {name: value for name, value in image.items() if name not in names}
