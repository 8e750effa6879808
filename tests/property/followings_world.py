"""A stream of events in memory that grows, loses its beginning and fails now and then, and views that lag behind it."""

import asyncio
import random
from typing import Any

import orjson

from gateway.socket.channels import PRIVATE_OF_KIND, PUBLIC_OF_KIND
from gateway.views import Standing
from shared.streams import EventsEntry, Keys, StreamsDown, event_id

MARKETS = ("AAA", "BBB")
ACCOUNTS = (100, 101, 102)
KINDS = sorted(set(PRIVATE_OF_KIND) | {"trade", "candle", "insurance_changed"})


class World:
    """The stream with all it ever held, and how far the views have come."""

    def __init__(self, chance: random.Random) -> None:
        """Begin with a few entries."""
        self.chance = chance
        self.entries: list[EventsEntry] = []  # all there ever were
        self.trimmed = 0  # how many of them are gone
        self.cursor = 0  # index of the entry that the views hold everything up to
        self.losses = 0
        self.news = asyncio.Event()
        self.tail_reads = asyncio.Event()  # not set: the gateway's tail hears nothing
        self.tail_reads.set()
        for _ in range(chance.randint(1, 20)):
            self.append()
        self.cursor = chance.randrange(len(self.entries))

    def append(self) -> None:
        """Put what one log entry caused at the end: one chunk or a few."""
        chance = self.chance
        seq = (self.entries[-1].seq if self.entries else 0) + chance.choice((1, 1, 1, 2, 5))
        for chunk in range(chance.choice((1, 1, 1, 1, 2, 3))):
            events = [self.event() for _ in range(chance.choice((1, 1, 2, 3, 8)))]
            touched = sorted({event["account"] for event in events if event.get("account", 0) >= 100})
            last = self.entries[-1] if self.entries else None
            previous = event_id(last.seq, last.chunk) if last else b"0-0"
            accounts = ",".join(map(str, touched)).encode()
            self.entries.append(EventsEntry(seq, chunk, seq * 1_000, previous, accounts, orjson.dumps(events)))
        self.news.set()

    def event(self) -> dict[str, Any]:
        """Return one event of an account or of a market."""
        kind = self.chance.choice(KINDS)
        event: dict[str, Any] = {"e": kind, "n": self.chance.randrange(1_000)}
        if kind in PRIVATE_OF_KIND:
            event["account"] = self.chance.choice((*ACCOUNTS, 3))
        if kind in PUBLIC_OF_KIND and kind != "insurance_changed":
            event["market"] = self.chance.choice(MARKETS)
        return event

    def trim(self) -> None:
        """Lose some of the oldest entries, the last one never; what the views have not seen only by a mistake."""
        most = self.cursor if self.chance.random() < 0.9 else len(self.entries) - 1
        self.trimmed = max(self.trimmed, min(most, self.trimmed + self.chance.choice((1, 3, 10))))

    def tail_stop(self) -> None:
        """Let the gateway's tail hear nothing, or everything again."""
        self.tail_reads.clear() if self.tail_reads.is_set() else self.tail_reads.set()

    def views_move(self) -> None:
        """Let the views come further, entry by entry: they may stop inside a seq."""
        self.cursor = min(len(self.entries) - 1, self.cursor + self.chance.choice((1, 2, 5, 100)))

    def held(self) -> list[EventsEntry]:
        """Return what the stream still holds."""
        return self.entries[self.trimmed :]

    # -- the verbs that a gateway uses

    async def pause(self) -> None:
        """Take some time, and fail now and then."""
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        if self.chance.random() < 0.02:
            self.losses += 1
            raise StreamsDown("gone for a moment")

    async def range_events(
        self, _keys: Keys, first: tuple[int, int], last: tuple[int, int], count: int
    ) -> list[EventsEntry]:
        """Return a range, in smaller slices than were asked for."""
        await self.pause()
        count = min(count, self.chance.choice((1, 2, 5)))
        return [entry for entry in self.held() if first <= (entry.seq, entry.chunk) <= last][:count]

    async def read_events(self, _keys: Keys, after: tuple[int, int], count: int, _block_ms: int) -> list[EventsEntry]:
        """Return what follows, waiting for the first."""
        while True:
            await self.pause()
            await self.tail_reads.wait()
            found = [entry for entry in self.held() if (entry.seq, entry.chunk) > after][
                : self.chance.choice((1, 2, 50))
            ]
            if found:
                return found
            self.news.clear()
            await self.news.wait()

    async def events_first(self, _keys: Keys) -> tuple[int, int]:
        """Return the oldest place that is held."""
        await self.pause()
        return self.held()[0].seq, self.held()[0].chunk

    async def events_tip(self, _keys: Keys) -> tuple[int, int]:
        """Return the newest place."""
        return self.entries[-1].seq, self.entries[-1].chunk

    async def standing(self, _account: int | None) -> Standing:
        """Return views that hold everything up to the cursor."""
        await self.pause()
        entry = self.entries[self.cursor]
        place = entry.seq, entry.chunk
        await self.pause()
        return Standing(place, None, {})
