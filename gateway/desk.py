"""
What a gateway is made of: the parts it has from its first second, and the desk it opens once it knows its venue.

Everything comes in by argument; `__main__.py` builds the real parts, tests build others.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway import schemas
from gateway.day_change import DayOpens
from gateway.equity import Curves
from gateway.errors import GatewayCode, Refusal
from gateway.history import History
from gateway.identity import request_id_fresh
from gateway.instructions import Instruction, WaitingRoom
from gateway.limits import Limits
from gateway.mail import OUTCOMES, Mailer, Transport
from gateway.markets import Markets
from gateway.metering import Meters
from gateway.preview.calculator import Calculator
from gateway.readiness import Watch
from gateway.sign_in.auth import Sessions
from gateway.sign_in.callers import Callers
from gateway.sign_in.keys import ApiKeys
from gateway.sign_in.links import Links
from gateway.sign_in.revocations import Revocations
from gateway.sign_in.secret import Secrets
from gateway.socket.joining import Source
from gateway.socket.market_feed import MarketFeed
from gateway.socket.sockets import Sockets
from gateway.socket.valuation_feed import ValuationFeed
from gateway.tail import Tail
from gateway.views import Views
from shared import metric_names as names
from shared.codes import ResultCode
from shared.database import Database
from shared.settings import Settings
from shared.streams import Keys, StreamsAsync, StreamsError

CONFIGURATION_PAUSE_S = 1.0


@dataclass
class Parts:
    """What comes from outside; `streams_tail` is a client of its own, so that a full house never starves the tail."""

    settings: Settings
    streams: StreamsAsync
    streams_tail: StreamsAsync
    database: Database
    mail: Transport
    now_us: Callable[[], int]
    monotonic_s: Callable[[], float]
    log: Any
    # For request ids, which are to be nobody else's, not secret: asking the system for each costs as much as a lookup.
    randbits: Callable[[int], int] = field(default_factory=lambda: random.Random().getrandbits)
    meters: Meters = field(default_factory=Meters)
    settled: Callable[[], object] = lambda: None  # called once the desk is open


class Desk:
    """Everything that belongs to one venue."""

    def __init__(self, parts: Parts, venue: str, secrets: Secrets) -> None:
        """Build the parts of one venue; `open` makes them work."""
        settings = parts.settings
        self.parts = parts
        self.venue = venue
        self.keys = Keys(venue)
        self.markets = Markets()
        self.tail = Tail(parts.streams_tail, self.keys, parts.log, self.markets.configured)
        self.room = WaitingRoom(
            parts.streams,
            self.keys,
            self.tail,
            settings.response_timeout_s,
            parts.monotonic_s,
            parts.meters,
            parts.log,
        )
        self.views = Views(parts.streams, self.keys, self.tail, parts.monotonic_s)
        self.history = History(parts.database, venue, parts.monotonic_s)
        self.revocations = Revocations(parts.streams, self.keys, parts.now_us, parts.log)
        about = (secrets, venue, parts.database, self.revocations, parts.now_us, parts.monotonic_s)
        self.sessions = Sessions(*about)
        self.api_keys = ApiKeys(*about)
        self.callers = Callers(self.sessions, self.api_keys, parts.meters)
        self.mailer = Mailer(parts.mail, parts.now_us, parts.log, parts.randbits)
        parts.meters.ask(names.MAIL_QUEUE, lambda: self.mailer.waiting)
        parts.meters.ask_many(names.MAIL, self.mails_counted)
        self.links = Links(
            parts.database, secrets, venue, self.mailer, settings.base_url, self.account_open, parts.now_us, parts.log
        )
        self.calculator = Calculator(self.views, self.markets, parts.meters, parts.now_us, parts.monotonic_s, parts.log)
        self.watch = Watch(
            parts.streams,
            parts.database,
            settings.data_dir,
            self.keys,
            self.tail,
            self.markets,
            parts.monotonic_s,
            self.views.insurance,
        )

        meters = parts.meters
        self.source = Source(parts.streams, self.keys, self.tail, self.views, meters.ws_gap)
        self.curves = Curves(parts.database, venue)
        self.day_opens = DayOpens(parts.database, venue, parts.now_us, parts.monotonic_s)
        self.feed = MarketFeed(parts.streams, self.keys, parts.now_us, self.day_opens)
        self.valuations = ValuationFeed(self.views, self.markets, self.tail.audience, parts.monotonic_s)
        self.sockets = Sockets(settings.rate_limit_factor, parts.monotonic_s, meters.ws_dropped)
        meters.ask(names.SOCKETS, lambda: len(self.sockets))
        meters.ask(names.BACKLOG, self.sockets.backlog_bytes)
        meters.ask(names.RING, lambda: len(self.tail.ring))

    def mails_counted(self) -> list[tuple[tuple[str, str], int]]:
        """Return how many tries to send a mail ended in which way, for the metrics."""
        return [((self.mailer.transport.name, outcome), self.mailer.outcomes[outcome]) for outcome in OUTCOMES]

    async def open(self) -> None:
        """Take the venue's configuration and place the tail at the end of the events; raises StreamsError."""
        self.watch.restores = await self.parts.streams.restores(self.keys)  # before anything is remembered
        await self.markets.load(self.parts.streams, self.keys)
        while not self.markets.all():
            # The beginning is trimmed: the view reader has kept what it said.
            self.markets.stored((await self.views.configuration())[1])
            if not self.markets.all():
                self.parts.log.info("configuration_waits", reason="the view reader has written no market yet")
                await asyncio.sleep(CONFIGURATION_PAUSE_S)
        await self.tail.start()

    async def run(self) -> None:
        """Keep tail, mail, sockets and watch running; returns only by an exception that ends the process."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tail.run())
            group.create_task(self.links.run())
            group.create_task(self.mailer.run())
            group.create_task(self.watch.run())
            group.create_task(self.feed.run())
            group.create_task(self.valuations.run())
            group.create_task(self.sockets.run())
            group.create_task(self.calculator.run())
            group.create_task(self.configuration_follow())

    async def configuration_follow(self) -> None:
        """Take what was configured before this gateway's tail began, until the view reader has come as far."""
        cursor = (-1, 0)
        while cursor < self.tail.floor:
            try:
                cursor, fields = await self.views.configuration()
                self.markets.stored(fields)
            except StreamsError as error:
                self.parts.log.warning("configuration_waits", reason=type(error).__name__)
            if cursor < self.tail.floor:
                await asyncio.sleep(CONFIGURATION_PAUSE_S)

    async def account_open(self, owner: str) -> int:
        """Return the account of an owner, opened now or before; raises Refusal."""
        now_us = self.parts.now_us()
        fields = schemas.operation_read(schemas.ACCOUNT_OPEN, {"owner": owner})
        instruction = Instruction(
            0, request_id_fresh(now_us, self.parts.randbits), schemas.ACCOUNT_OPEN.op, now_us, fields
        )
        outcome = await self.room.send(instruction)
        if outcome.cause is None:
            raise Refusal(GatewayCode.SIGN_IN_UNAVAILABLE)
        response = outcome.cause.response
        if response["result"] != ResultCode.OK.name:
            raise Refusal(response["result"], seq=outcome.seq)
        return int(response["account"])


@dataclass
class Gateway:
    """One gateway process; `desk` is None until the venue is known."""

    parts: Parts
    limits: Limits
    desk: Desk | None = None
    beat: dict[str, dict[str, Any]] = field(default_factory=dict)  # what it says of itself, under its name
    state: dict[str, Any] = field(default_factory=lambda: {"waiting": "for the venue to be founded"})

    def __post_init__(self) -> None:
        """Have the limits' refusals counted."""
        self.limits.on_refused = self.parts.meters.limited
