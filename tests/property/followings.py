"""
A world of sockets in memory, drawn from a seed: a stream that is cut off behind, a tail, views that lag, clients that
are cut and come again; each client holds what it is told against the stream itself.

`python -m tests.property.followings --seeds 1000` walks through that many worlds.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from gateway.errors import Refusal
from gateway.ring import Ring
from gateway.socket.channels import PRIVATE, PRIVATE_OF_KIND, channel_of, public_channel
from gateway.socket.joining import Following, Source
from gateway.socket.outbox import Outbox, Piece
from gateway.socket.session import Follow, Place, place_of_text
from gateway.tail import Tail
from shared.streams import Keys, StreamsDown
from tests.property.followings_world import ACCOUNTS, MARKETS, World

CHANNELS = sorted(PRIVATE) + [
    f"{topic}.{market}" for topic in ("trades", "liquidations", "candles") for market in MARKETS
]
ACTIONS = 250
CLIENTS = 4
AT_ONCE = 25  # worlds in one event loop


class Silent:
    """A log that nobody reads."""

    def info(self, *_words: Any, **_fields: Any) -> None:
        """Take a line."""

    warning = error = exception = info


class Wire:
    """A connection whose client reads when it likes."""

    def __init__(self, chance: random.Random) -> None:
        """Begin with nothing on the way."""
        self.chance = chance
        self.arrived: list[bytes] = []
        self.reading = asyncio.Event()
        self.reading.set()

    def buffered(self) -> int:
        """Return that nothing waits in the connection."""
        return 0

    async def send(self, pieces: Sequence[Piece]) -> None:
        """Take messages once the client reads."""
        await self.reading.wait()
        self.arrived += [piece.data for piece in pieces if piece.first and piece.last]
        await asyncio.sleep(0)

    async def close(self, _code: int, _reason: str) -> None:
        """Take a goodbye."""


class Client:
    """One client of an account: it holds every message against the stream, and remembers where it stands."""

    def __init__(self, world: World, source: Source, seen: Counter[str]) -> None:
        """Choose what is followed."""
        chance = world.chance
        self.world, self.source, self.seen = world, source, seen
        self.account = chance.choice(ACCOUNTS)
        self.channels = chance.sample(CHANNELS, chance.randint(1, 6))
        self.place: Place | None = None  # everything up to here was told
        self.next = 0  # index in the world's entries at which the next event is looked for
        self.excused = False  # a gap was told and no snapshot yet
        self.failed: list[Exception] = []
        self.wire: Wire | None = None
        self.following: Following | None = None
        self.outbox: Outbox | None = None
        self.sending: asyncio.Task[None] | None = None
        self.pings = 0

    def connect(self) -> None:
        """Open a socket and follow, from where the last one ended if there was one."""
        assert self.wire is None
        self.wire = Wire(self.world.chance)
        self.outbox = Outbox(self.wire, time.monotonic, self.world.chance.choice((200, 1_000, 1_000_000)))
        start = self.place if self.world.chance.random() < 0.95 else None
        if start is None:
            self.excused, self.place = True, None
        if start is not None and self.world.chance.random() < 0.03:
            start = start._replace(seq=start.seq + self.world.chance.choice((1, 10**6)))  # perhaps nowhere
            self.place = start
        channels = [channel_of(name, MARKETS) for name in self.channels]
        private = any(channel.private for channel in channels)
        follow = Follow(channels, self.account if private else None, "s", start)
        self.following = Following(
            self.source, follow, self.outbox, lambda _following, error: self.failed.append(error)
        )
        self.sending = asyncio.ensure_future(self.outbox.run())
        self.following.start()

    def failures_check(self) -> None:
        """Forget why followings ended, which may only be that the views do not say."""
        assert all(isinstance(error, Refusal) for error in self.failed), self.failed
        self.failed.clear()

    def cut(self) -> None:
        """Lose the socket, and of what was on the way all that was not read."""
        assert self.wire is not None and self.following is not None and self.sending is not None
        self.following.stop()
        self.sending.cancel()
        self.wire = self.following = self.outbox = self.sending = None

    def ping(self) -> None:
        """Have it said up to where everything is told."""
        assert self.following is not None and self.outbox is not None
        place = self.following.follow.complete_to(self.source.tail.ring)
        if place is not None:
            self.outbox.put(orjson.dumps({"type": "pong", "at": place.text}))

    def read(self, count: int) -> None:
        """Take messages that have arrived."""
        assert self.wire is not None
        for frame in self.wire.arrived[:count]:
            self.take(orjson.loads(frame))
        del self.wire.arrived[:count]

    def take(self, message: dict[str, Any]) -> None:
        """Hold one message against the stream."""
        self.seen[message["type"]] += 1
        match message["type"]:
            case "event":
                assert self.place is not None and not self.excused and self.place_is_real(), message
                expected = self.expected()
                assert expected is not None, f"nothing more was to be told: {message}"
                place, channel, event = expected
                assert (message["at"], message["channel"]) == (place.text, channel), (message, expected)
                if not channel.startswith("liquidations"):
                    assert message["data"] == event
                self.place = place
            case "snapshot":
                assert self.excused, "a snapshot that nobody needs"
                self.place, self.excused = place_of_text(message["at"]), False
            case "gap":
                self.seen[message["reason"]] += 1
                assert self.gap_is_true(message), message
                self.excused = True
            case "live" | "pong":
                assert not self.excused and self.place_is_real(), message
                expected = self.expected()
                assert expected is None or expected[0] > place_of_text(message["at"]), (message, expected)
                self.place = max(self.place or Place(0, 0), place_of_text(message["at"]))

    def place_is_real(self) -> bool:
        """Return whether we stand at an entry that there is, or was."""
        assert self.place is not None
        return any((entry.seq, entry.chunk) == self.place.entry for entry in self.world.entries)

    def gap_is_true(self, message: dict[str, Any]) -> bool:
        """Return whether what follows a place cannot be told: it is no place, or what follows it is gone."""
        place = place_of_text(message["from"])
        places = [(entry.seq, entry.chunk) for entry in self.world.entries]
        first = self.world.held()[0]
        if place.entry not in places:
            return message["reason"] in ("ahead", "unknown") or place.entry < (first.seq, first.chunk)
        index = places.index(place.entry)
        gone = self.world.trimmed > index + 1 or (self.world.trimmed > index and not place.whole)
        return message["reason"] == "trimmed" and gone

    def expected(self) -> tuple[Place, str, dict[str, Any]] | None:
        """Return the first event after our place that our channels tell, by looking at the stream alone."""
        assert self.place is not None
        for entry in self.world.entries:
            if (entry.seq, entry.chunk) < self.place.entry:
                continue
            for index, event in enumerate(orjson.loads(entry.data)):
                place = Place(entry.seq, entry.chunk, index)
                channel = self.channel_of(event)
                if place > self.place and channel is not None:
                    return place, channel, event
        return None

    def channel_of(self, event: dict[str, Any]) -> str | None:
        """Return on which of our channels an event is told."""
        mine = event.get("account") == self.account
        candidates = [PRIVATE_OF_KIND.get(event["e"]), "events"] if mine else []
        return next((name for name in [*candidates, public_channel(event)] if name in self.channels), None)


async def walk(seed: int) -> Counter[str]:
    """Walk through one world and return what was seen in it; raises AssertionError."""
    chance = random.Random(seed)
    world = World(chance)
    seen: Counter[str] = Counter()
    tail = Tail(world, Keys("k3v9testxx"), Silent(), lambda _event, _seq: None)  # type: ignore[arg-type]
    tail.ring = Ring(chance.choice((2, 5, 50)), chance.choice((500, 100_000)))
    while not tail.connected:
        try:
            await tail.start()
        except StreamsDown:
            continue
    source = Source(world, Keys("k3v9testxx"), tail, world, lambda _reason: None, 0.0)  # type: ignore[arg-type]
    reading = asyncio.ensure_future(tail.run())
    clients = [Client(world, source, seen) for _ in range(CLIENTS)]
    actions: list[Callable[[], None]] = [world.append, world.append, world.append, world.views_move, world.tail_stop]
    if chance.random() < 0.5:
        actions.append(world.trim)
    for _ in range(ACTIONS):
        for _ in range(chance.randrange(3)):
            chance.choice(actions)()
        client_act(chance.choice(clients), chance)
        for _ in range(chance.choice((0, 1, 3, 10))):
            await asyncio.sleep(0)
        assert not reading.done(), reading.exception()
    await settle(world, clients)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return seen


def client_act(client: Client, chance: random.Random) -> None:
    """Do something that clients do."""
    if client.wire is None:
        client.connect()
        return
    if client.failed:
        # The views were too far behind the events: a client tries again.
        client.failures_check()
        client.seen["error"] += 1
        client.cut()
        return
    what = chance.random()
    if what < 0.1:
        client.cut()
    elif what < 0.2:
        client.ping()
    elif what < 0.3:
        client.wire.reading.clear() if client.wire.reading.is_set() else client.wire.reading.set()
    else:
        client.read(chance.choice((1, 2, 5, 1_000)))


async def settle(world: World, clients: list[Client]) -> None:
    """Let the faults stop and everybody catch up; then everything must have been told."""
    world.cursor = len(world.entries) - 1
    world.tail_reads.set()
    for client in clients:
        if client.failed and client.wire is not None:
            client.failures_check()
            client.cut()
        if client.wire is None:
            client.connect()
        assert client.wire is not None
        client.wire.reading.set()
    for client in clients:
        for _ in range(100_000):
            assert client.wire is not None
            if client.failed:
                client.failures_check()
                client.cut()
                client.connect()
            client.read(1_000)
            if client.place is not None and not client.excused and client.expected() is None:
                break
            await asyncio.sleep(0.0005)
        else:
            raise AssertionError(f"never told: {client.expected()}")
        client.cut()


async def walks(seeds: Iterable[int]) -> list[Counter[str] | BaseException]:
    """Walk through several worlds at once, each by itself."""
    return await asyncio.gather(*(walk(seed) for seed in seeds), return_exceptions=True)


def main() -> None:
    """Walk through many worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    seen: Counter[str] = Counter()
    for first in range(arguments.first, arguments.first + arguments.seeds, AT_ONCE):
        seeds = range(first, min(first + AT_ONCE, arguments.first + arguments.seeds))
        for seed, found in zip(seeds, asyncio.run(walks(seeds)), strict=True):
            if isinstance(found, BaseException):
                print(f"seed {seed}: {found!r}")
                sys.exit(1)
            seen += found
    print(orjson.dumps({"seeds": arguments.seeds, **dict(sorted(seen.items()))}).decode())


if __name__ == "__main__":
    main()
