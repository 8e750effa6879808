"""A scripted engine on a real Redis, beside the real view reader: what a live gateway needs around it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import orjson

from gateway.app import app_build
from gateway.desk import Desk, Gateway, Parts
from gateway.limits import Limits
from gateway.mail import MailFolder
from persister.views import ViewReader
from shared import clock
from shared.database import Database
from shared.streams import Keys, StreamsAsync, StreamsError, event_id
from tests.documented import HOOKS
from tests.gateway_doubles import GENESIS, MARKET, VENUE, EngineToy, Log, events_entry, eventually, secrets, settings_of
from tests.gateway_images import market_changed

HEARTBEAT_S = 0.1
TICKER = {
    "bid": "60999.9",
    "ask": "61000.1",
    "mark": "61000.0",
    "fresh": "1",
    "seq": "1",
    "quote_us": "1",
    "mark_us": "1",
}


class LiveVenue:
    """Founds a venue and answers its instructions; `held` keeps answers back."""

    def __init__(self, redis_url: str) -> None:
        """Prepare."""
        self.streams = StreamsAsync(redis_url)
        self.streams_views = StreamsAsync(redis_url)
        self.keys = Keys(VENUE)
        self.engine = EngineToy()
        self.applied = 1
        self.previous = b""
        self.held = False
        self.tasks: list[asyncio.Task[None]] = []

    async def found(self) -> None:
        """Found the venue: genesis, its events, the pointer."""
        await self.streams.genesis(self.keys, [(b"ts", b"%d" % clock.now_us()), (b"genesis", orjson.dumps(GENESIS))])
        await self.publish(1, [market_changed(MARKET)], create=True)
        await self.streams.venue_set(VENUE)
        await self.streams.view_markets_write(self.keys, {MARKET: TICKER})
        views = ViewReader(self.streams_views, self.keys, Log(), clock.monotonic_s)
        self.tasks = [asyncio.ensure_future(work) for work in (self.lead(), self.apply(), views.run())]

    async def publish(self, seq: int, events: list[dict[str, Any]], create: bool = False) -> None:
        """Publish what one entry caused."""
        entry = events_entry(seq, events, self.previous, clock.now_us())
        fields = [(b"t", b"%d" % entry.log_time_us), (b"p", entry.previous), (b"a", entry.accounts), (b"d", entry.data)]
        await self.streams.publish(self.keys, [(event_id(seq, 0), fields)], create)
        self.previous = event_id(seq, 0)

    async def lead(self) -> None:
        """Show life, and name the server that was looked at."""
        for counter in range(1_000_000):
            with contextlib.suppress(StreamsError):
                run_id = (await self.streams.server_info())["run_id"]
                beat = {"who": "toy", "counter": counter, "seq": self.applied, "rules": 1, "run_id": run_id}
                await self.streams.leader_write(self.keys, beat)
            await asyncio.sleep(HEARTBEAT_S)

    async def apply(self) -> None:
        """Answer each entry of the log once."""
        while True:
            try:
                if not self.held:
                    for entry in await self.streams.read_log(self.keys, self.applied, 500, 200):
                        await self.events_tip_read()  # before: what fails here is asked again, an answer is given once
                        events = self.engine.apply(entry.seq, entry.fields)
                        if events:
                            await self.publish(entry.seq, events)
                        self.applied = entry.seq
            except StreamsError:
                pass
            await asyncio.sleep(0.002)

    async def events_tip_read(self) -> None:
        """Look at the events' end after a lost connection, as the client demands before it publishes again."""
        if not self.streams.settled:
            await self.streams.events_tip(self.keys)

    async def stop(self) -> None:
        """Stop everything."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.streams.close()
        await self.streams_views.close()


class LiveGateway:
    """A whole gateway in this process over real servers, with a client."""

    def __init__(self, tmp_path: Path, redis_url: str, database: Database, **changes: str) -> None:
        """Build it."""
        self.mails: list[Any] = []
        self.parts = Parts(
            settings_of(tmp_path, **changes),
            StreamsAsync(redis_url),
            StreamsAsync(redis_url),
            database,
            MailFolder(tmp_path / "mail", self.mails.append),
            clock.now_us,
            clock.monotonic_s,
            Log(),
        )
        self.desk = Desk(self.parts, VENUE, secrets())
        self.gateway = Gateway(self.parts, Limits(1_000, clock.monotonic_s), self.desk)
        transport = httpx2.ASGITransport(app_build(self.gateway), raise_app_exceptions=False)
        self.client = httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080", timeout=20, event_hooks=HOOKS
        )

    async def __aenter__(self) -> "LiveGateway":
        """Open the desk and show life."""
        await self.desk.open()
        self.tasks = [asyncio.ensure_future(work) for work in (self.desk.run(), self.beat())]
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.client.aclose()
        await self.parts.streams.close()
        await self.parts.streams_tail.close()

    async def beat(self) -> None:
        """Do what the process's heartbeat does."""
        while True:
            with contextlib.suppress(StreamsError):
                await self.parts.streams.heartbeat(self.desk.keys, "gateway", {"pid": 0})
                self.desk.watch.wrote()
            await asyncio.sleep(HEARTBEAT_S)

    async def ready(self) -> None:
        """Wait until an instruction can be taken."""

        async def is_ready() -> bool:
            return (await self.client.get("/ready")).status_code == 200

        await eventually(is_ready)

    async def link(self, email: str) -> str:
        """Return the token of a fresh link."""
        count = len(self.mails)
        assert (await self.client.post("/api/v1/auth", json={"email": email})).status_code == 202
        await eventually(lambda: len(self.mails) > count)
        return str(self.mails[-1].link).partition("token=")[2]

    async def sign_in(self, email: str = "ada@example.com") -> dict[str, str]:
        """Return the headers of a signed-in program."""
        answer = await self.client.post("/api/v1/auth/verify", json={"token": await self.link(email)})
        assert answer.status_code == 200, answer.text
        self.client.cookies.clear()
        return {"Authorization": f"Bearer {answer.json()['token']}"}


@contextlib.asynccontextmanager
async def house(tmp_path: Path, redis_url: str, database_url: str) -> AsyncIterator[tuple[LiveVenue, LiveGateway]]:
    """Yield a founded venue and a ready gateway that outlives all others."""
    database = await Database.connect(database_url, timeout_s=2.0)
    venue = LiveVenue(redis_url)
    await venue.found()
    try:
        async with LiveGateway(tmp_path, redis_url, database) as gateway:
            await gateway.ready()
            yield venue, gateway
    finally:
        await venue.stop()
        await database.close()
