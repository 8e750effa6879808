"""
Followers of the WebSocket while servers and processes are killed, hung and trimmed under them, held against the stream.

Redis and the engine are killed, gateways killed and hung, the view reader hung, the views rebuilt, and the stream
trimmed as far as the views have come or beyond what a hung gateway has read: then a gap is owed, and nothing else.
`python -m tests.faults.ws_outages --followers 40 --seconds 60` draws as many outages as that takes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from persister.history import CURSOR_READ
from shared.stream_views import generation_of
from shared.streams import EventsEntry, Keys, StreamsAsync, StreamsError, event_id
from tests.faults.second_gateway import SecondGateway
from tests.faults.venue_client import Trader, Venue, hung, venue_running
from tests.faults.ws_storm_checks import Truth, place_of
from tests.faults.ws_storm_clients import Record

MARKETS = ("BTC_USDC_PERP", "SOL_USDC_PERP")
CHANNELS = (("events",), ("account", "orders", "positions", "fills", "funding", "ledger", "responses"))
TRADERS = 6
PATIENCE_S = 30.0
LOST = (OSError, WebSocketException, TimeoutError)


class Options(NamedTuple):
    """How large, how long, from which seed; `outages` are taken in turn, or drawn when there are none."""

    followers: int
    seconds: float
    seed: int
    outages: tuple[str, ...] = ()


class Follower:
    """One program that follows an account over sockets that it cuts itself, and keeps what it is told as records."""

    def __init__(self, urls: list[str], trader: Trader, seed: str) -> None:
        """Choose what is followed."""
        self.urls = urls
        self.trader = trader
        self.chance = random.Random(seed)
        self.channels = self.chance.choice(CHANNELS)
        self.records: list[Record] = []
        self.place = ""
        self.connections = 0
        self.gaps: Counter[str] = Counter()
        self.complete_to: tuple[int, ...] = ()

    async def run(self, stopped: asyncio.Event) -> None:
        """Follow until told to stop, over one socket after the other."""
        while not stopped.is_set():
            end_s = time.monotonic() + self.chance.expovariate(1 / 3.0)
            with contextlib.suppress(*LOST):
                await self.follow(lambda end_s=end_s: stopped.is_set() or time.monotonic() > end_s)  # type: ignore[misc]
            await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.2, 2.0)))

    async def finish(self, tip: tuple[int, int]) -> None:
        """Follow until everything up to a place was told."""
        async with asyncio.timeout(PATIENCE_S):
            while self.complete_to[:2] < tip:
                with contextlib.suppress(*LOST):
                    await self.follow(lambda: self.complete_to[:2] >= tip)
                await asyncio.sleep(0.1)

    async def follow(self, enough: Callable[[], bool]) -> None:
        """Follow over one socket from where the last one ended, and abort it."""
        url = "ws" + self.chance.choice(self.urls).removeprefix("http") + "/ws"
        headers = {"Authorization": f"Bearer {self.trader.token}"}
        async with connect(url, additional_headers=headers, open_timeout=5, max_size=None) as socket:
            self.connections += 1
            asked = {"op": "subscribe", "id": 1, "channels": self.channels}
            if self.place and self.chance.random() < 0.97:
                asked["from"] = self.place
            else:
                self.begin()
            await socket.send(json.dumps(asked))
            while not enough():
                try:
                    async with asyncio.timeout(0.3):
                        text = await socket.recv()
                except TimeoutError:
                    await socket.send('{"op":"ping"}')
                    continue
                self.take(json.loads(text))
            socket.transport.abort()

    def begin(self) -> None:
        """Begin a new record, which needs a snapshot."""
        if self.records:
            self.records[-1].ended = True
        self.records.append(Record(self.trader.account, self.channels))
        self.place = ""

    def take(self, message: dict[str, Any]) -> None:
        """Keep one message."""
        record = self.records[-1] if self.records else None
        match message["type"]:
            case "gap":
                self.gaps[message["reason"]] += 1
                self.begin()
            case "snapshot":
                assert record is not None
                record.snapshots.append((message["at"], message["data"].get("events", message["data"])))
                self.place = message["at"]
            case "event":
                assert record is not None
                record.early += not record.snapshots
                record.events.append((message["at"], message["channel"], message["data"]))
                self.place = message["at"]
            case "live" | "pong" if "at" in message:
                self.place = message["at"]
                self.complete_to = place_of(message["at"])
            case "error":
                raise ConnectionError(message["code"])


class Copy:
    """The events stream as it goes by, from its beginning, before anything of it is trimmed."""

    def __init__(self, venue: Venue) -> None:
        """Start empty."""
        self.keys = venue.keys
        self.streams = StreamsAsync(venue.redis_url)
        self.entries: list[EventsEntry] = []
        self.place = (0, 0)

    async def run(self) -> None:
        """Read for ever."""
        while True:
            with contextlib.suppress(StreamsError):
                self.take(await self.streams.read_events(self.keys, self.place, 2_000, 200))
            await asyncio.sleep(0.01)

    def take(self, entries: list[EventsEntry]) -> None:
        """Keep entries, each of which follows the one before."""
        for entry in entries:
            assert not self.entries or entry.previous == event_id(*self.place), "the copy has a hole"
            self.entries.append(entry)
            self.place = entry.seq, entry.chunk


class Outages:
    """What befalls the venue."""

    def __init__(self, venue: Venue, second: SecondGateway, copy: Copy) -> None:
        """Keep whom it befalls."""
        self.venue, self.second, self.copy = venue, second, copy
        self.all: dict[str, Callable[[], Awaitable[None]]] = {
            "redis killed": lambda: self.kill("redis"),
            "engine killed": lambda: self.kill("engine"),
            "gateway killed": lambda: self.kill("gateway"),
            "second gateway killed": self.second_kill,
            "view reader hung": lambda: self.hang("persister", 2.0),
            "gateway hung": lambda: self.hang("gateway", 1.0),
            "trimmed behind the views": self.trim_views,
            "trimmed unread": self.trim_unread,
            "views rebuilt": self.rebuild,
        }

    def pid(self, process: str) -> int:
        """Return the id of a process of the venue."""
        return next(pid for name, pid in self.venue.pids().items() if name.startswith(process))

    async def kill(self, process: str) -> None:
        """Kill a process, unless it is just being started again after the last time."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(process), signal.SIGKILL)

    async def second_kill(self) -> None:
        """Kill the second gateway and start it again."""
        self.second.kill()
        await asyncio.to_thread(self.second.start)

    async def hang(self, process: str, seconds: float) -> None:
        """Stop a process for a while."""
        with hung(self.pid(process)):
            await asyncio.sleep(seconds)

    async def trim_views(self) -> None:
        """Trim everything before where the views stand."""
        with contextlib.closing(self.venue.redis()) as client:
            generation = generation_of(client.get(self.copy.keys.views_generation)).number  # type: ignore[arg-type]
            cursor: bytes = client.get(Keys(self.copy.keys.venue, generation).views_cursor) or b"0-0"  # type: ignore[assignment]
            seq, chunk = (int(part) for part in cursor.split(b"-"))
            self.trim(client, min((seq, chunk), await self.stored()))

    async def trim_unread(self) -> None:
        """Trim what a hung gateway has not read."""
        with hung(self.pid("gateway")):
            await asyncio.sleep(1.0)
            with contextlib.closing(self.venue.redis()) as client:
                self.trim(client, await self.stored())

    async def stored(self) -> tuple[int, int]:
        """Return up to where history and the copy have everything: what they lack nobody may trim."""
        rows = await asyncio.to_thread(self.venue.rows, CURSOR_READ, self.venue.keys.venue)
        return min((rows[0]["seq"], rows[0]["chunk"]), self.copy.place)

    def trim(self, client: Any, place: tuple[int, int]) -> None:
        """Trim everything before a place."""
        client.xtrim(self.copy.keys.events, minid=event_id(*place), approximate=False)

    async def rebuild(self) -> None:
        """Ask for a new generation of the views."""
        with contextlib.closing(self.venue.redis()) as client:
            client.set(self.copy.keys.views_rebuild, orjson.dumps({"asked_us": 0}))


async def trade(urls: list[str], trader: Trader, stopped: asyncio.Event, seed: str) -> None:
    """Place and cancel orders until told to stop, whatever becomes of them."""
    chance = random.Random(seed)
    headers = {"Authorization": f"Bearer {trader.token}"}
    async with httpx2.AsyncClient(timeout=3, headers=headers) as http:
        while not stopped.is_set():
            market, side = chance.choice(MARKETS), chance.choice(("buy", "sell"))
            body: dict[str, Any] = {"market": market, "side": side, "qty": "0.01" if market[0] == "B" else "0.5"}
            resting = body | {"op": "order_place", "side": "buy", "kind": "limit", "price": "10.0", "qty": "1"}
            url = chance.choice(urls) + "/api/v1/trade/order"
            with contextlib.suppress(httpx2.HTTPError):
                match chance.randrange(4):
                    case 0:
                        await http.post(url + "s", json={"commands": [resting] * 10})
                    case 1:
                        await http.delete(url + "s")
                    case _:
                        await http.post(url, json=body)
            await asyncio.sleep(chance.uniform(0.02, 0.2))


async def outages_run(options: Options, venue: Venue, second: SecondGateway) -> dict[str, Any]:
    """Return what was found after so many outages, problems among it."""
    chance = random.Random(options.seed)
    traders = await asyncio.to_thread(venue.traders_open, TRADERS)
    urls = [venue.url, second.url]
    copy, stopped = Copy(venue), asyncio.Event()
    outages = Outages(venue, second, copy)
    copying = asyncio.ensure_future(copy.run())
    followers = [Follower(urls, traders[n % TRADERS], f"{options.seed} {n}") for n in range(options.followers)]
    busy = [asyncio.ensure_future(follower.run(stopped)) for follower in followers]
    busy += [asyncio.ensure_future(trade(urls, trader, stopped, f"{options.seed} {trader}")) for trader in traders]
    happened: list[str] = []
    end_s = time.monotonic() + options.seconds
    turns = list(options.outages) or [chance.choice(list(outages.all)) for _ in range(10_000)]
    while turns and time.monotonic() < end_s:
        await asyncio.sleep(chance.uniform(0.5, 2.0))
        happened.append(turns.pop(0))
        await outages.all[happened[-1]]()
    await asyncio.sleep(1.0)
    stopped.set()
    await asyncio.gather(*busy)
    await asyncio.to_thread(ready_wait, venue)
    await asyncio.sleep(1.0)
    await asyncio.gather(*(follower.finish(copy.place) for follower in followers))
    await asyncio.sleep(0.5)
    copying.cancel()
    await copy.streams.close()
    truth = Truth(copy.entries)
    problems = [problem for follower in followers for record in follower.records for problem in truth.problems(record)]
    return {
        "happened": dict(Counter(happened)),
        "entries": len(copy.entries),
        "connections": sum(follower.connections for follower in followers),
        "records": sum(len(follower.records) for follower in followers),
        "events_told": sum(len(record.events) for follower in followers for record in follower.records),
        "gaps": dict(sum((follower.gaps for follower in followers), Counter[str]())),
        "problems": problems[:20],
    }


def ready_wait(venue: Venue) -> None:
    """Wait until the venue takes instructions again."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not venue.is_ready():
        assert time.monotonic() < deadline_s, "the venue did not come back"
        time.sleep(0.1)


def run(options: Options, folder: Path) -> dict[str, Any]:
    """Return what was found at a venue of its own."""
    with venue_running(folder, environment={"TIDEMARK_KEEP_KEYFRAMES_S": "5"}) as venue:
        second = SecondGateway(venue, folder / "second.log")
        second.start()
        try:
            return asyncio.run(outages_run(options, venue, second))
        finally:
            second.stop()


def main() -> None:
    """Print what was found as one JSON line; 1 when there are problems."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--followers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-") as folder:
        found = run(Options(arguments.followers, arguments.seconds, arguments.seed), Path(folder))
    print(orjson.dumps(found).decode())
    sys.exit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
