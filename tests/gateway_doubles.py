"""Stand-ins for what a gateway talks to: streams, a scripted engine, a database, clocks; given by argument."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.sign_in.secret import Secrets, secrets_of_text
from persister.views import changes_of, outcome_replaces
from shared.settings import Settings, settings_read
from shared.stream_guard import Guard
from shared.stream_keys import event_id, seq_chunk_of_event_id
from shared.streams import Appended, AppendStatus, Entry, EventsEntry, Fields, Handover, Keys, StreamsDown
from tests import gateway_images as images

VENUE = "k3v9testxx"
SECRET = "5e" * 32
NOW_US = 1_763_700_000_000_000
MARKET = "BTC_USDC_PERP"
GENESIS = {
    "v": 1,
    "venue": VENUE,
    "rules": 1,
    "venue_set": {"starting_balance": "5000", "request_window_ms": 120_000},
    "markets": [
        {
            "market": MARKET,
            "tick": "0.1",
            "lot": "0.00001",
            "leverage_max": 50,
            "tiers": [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 50}],
        }
    ],
}


async def eventually(holds: Callable[[], Any], patience_s: float = 10.0) -> None:
    """Return when a condition holds; a coroutine function is awaited."""
    for _ in range(round(patience_s / 0.005)):
        found = holds()
        if (await found) if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to be")


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        """Start at a fixed moment."""
        self.us = NOW_US

    def now_us(self) -> int:
        """Return the wall clock."""
        return self.us

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.us += round(seconds * 1_000_000)


class Log:
    """Keeps what would be logged."""

    def __init__(self) -> None:
        """Start empty."""
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _line(self, event: str, **fields: Any) -> None:
        """Keep one line."""
        self.lines.append((event, fields))

    info = warning = error = exception = _line


def money(account: int, free: str, **more: Any) -> dict[str, Any]:
    """Return an account_changed."""
    return {"e": "account_changed", "account": account, "free": free, "reserved": "0.000000", **more}


class EngineToy:
    """A scripted engine: opens accounts, fills every order whole, remembers requests; knows no margin."""

    def __init__(self) -> None:
        """Start as after genesis."""
        self.owners: dict[str, int] = {}
        self.mains: dict[int, int] = {}
        self.requests: dict[tuple[int, str], tuple[bytes, int]] = {}
        self.number = 0

    def apply(self, seq: int, fields: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
        """Return the events of one log entry."""
        body = dict(fields).get(b"user_instruction")
        if body is None:
            return []
        command = orjson.loads(body)
        if command["op"] == "account_open":
            return self._account_open(command)
        account, request_id = command["account"], command["request_id"]
        response = {"e": "order_response", "account": account, "request_id": request_id, "op": command["op"]}
        known = self.requests.get((account, request_id))
        if known is not None:
            repeated = known[0] == body
            result = "REQUEST_REPEATED" if repeated else "REQUEST_ID_REUSED"
            return [response | {"result": result} | ({"first_seq": known[1]} if repeated else {})]
        if command.get("market", MARKET) != MARKET:
            return [response | {"result": "MARKET_UNKNOWN"}]
        self.requests[account, request_id] = (body, seq)
        if command["op"] == "batch":
            # Every order that a batch cancels is unknown here.
            results = ["ORDER_UNKNOWN" if "order_id" in each else "OK" for each in command["commands"]]
            return [response | {"result": "OK", "results": [{"result": result} for result in results]}]
        if command["op"] in images.SETTINGS:
            return [response | {"result": "OK"}, self._setting(command)]
        if command["op"] == "subaccount_open":
            return [response | {"result": "OK"}, *self._subaccount_open(account)]
        if command["op"] == "account_transfer":
            return [
                response | {"result": "OK"},
                *(money(each, "1.000000") for each in (account, command["account_to"])),
            ]
        return self._fill(response, command)

    def _setting(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return what an account has set."""
        kind = images.SETTINGS[command["op"]]
        keys = {name: value for name, value in command.items() if name not in ("v", "request_id", "op", "account")}
        if kind == "account_market_changed":
            keys = {"market": MARKET, "leverage": 0, "mode": "isolated"} | keys
        return {
            "e": kind,
            "account": command["account"],
            **{name: keys[name] for name in keys if keys[name] is not None},
        }

    def _subaccount_open(self, account: int) -> list[dict[str, Any]]:
        """Return a new account of the same owner."""
        main, owner = self.mains.get(account, account), f"sub{len(self.owners)}"
        sub = 1 + list(self.mains.values()).count(main)
        number = self.owners.setdefault(owner, 100 + len(self.owners))
        self.mains[number] = main
        opened = {"e": "account_opened", "account": number, "owner": "0" * 32, "main": main, "sub": sub}
        return [opened, money(number, "0.000000")]

    def _account_open(self, command: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the account of an owner, the same every time."""
        known = command["owner"] in self.owners
        account = self.owners.setdefault(command["owner"], 100 + len(self.owners))
        response = {"e": "order_response", "account": account, "request_id": command["request_id"]}
        events = [response | {"op": "account_open", "result": "OK"}]
        if not known:
            events.append({"e": "account_opened", "account": account, "owner": command["owner"]})
            events.append(money(account, "5000.000000"))
        return events

    def _fill(self, response: dict[str, Any], command: dict[str, Any]) -> list[dict[str, Any]]:
        """Return an order that is filled at once."""
        self.number += 1
        ids = {"order_id": self.number, "position_id": self.number}
        account = command["account"]
        return [
            response | {"result": "OK"} | ids,
            images.fill(account, MARKET, self.number),
            images.position_changed(account, MARKET, self.number),
            money(account, "4993.970000"),
            {"e": "trade", "market": MARKET, "price": "60000.0", "qty": "0.00100", "side": "buy"},
            {"e": "fill", "account": 99_999, "market": MARKET, "order_id": 7},
        ]


def events_entry(seq: int, events: list[dict[str, Any]], previous: bytes, log_time_us: int) -> EventsEntry:
    """Return events as they stand in the stream."""
    accounts = sorted({event["account"] for event in events if event.get("account", 0) >= 100})
    return EventsEntry(seq, 0, log_time_us, previous, ",".join(map(str, accounts)).encode(), orjson.dumps(events))


class FakeStreams:
    """The streams in memory; `mode` says what becomes of appends, `down` lets every verb fail."""

    def __init__(self, engine: EngineToy, clock: Clock) -> None:
        """Start with a founded venue."""
        self.engine = engine
        self.clock = clock
        self.guard = Guard(clock.now_us, lambda: clock.us / 1e6)
        self.keys = Keys(VENUE)
        self.log: list[Entry] = []
        self.events: list[EventsEntry] = []
        self.values: dict[str, bytes] = {}
        self.hashes: dict[str, dict[str, bytes]] = {}
        self.mode = AppendStatus.ACCEPTED
        self.down = False
        self.silent = False  # appends are taken, but nobody applies them
        self.applied = asyncio.Event()
        self.announced: asyncio.Queue[bytes] = asyncio.Queue()  # names of markets whose view changed
        self.impatient = False  # reads return empty-handed at once
        self.counter = 0
        self.losses = 0
        self.append_send: Any = lambda _keys, _fields: None  # sends nothing: `append` can be interrupted
        self.restores_count = 0
        self.venue_name: str | None = VENUE
        self.beats: dict[str, dict[str, Any]] = {}
        self.entry_add([(b"ts", b"1"), (b"genesis", orjson.dumps(GENESIS))])
        self.publish(1, [images.market_changed(MARKET)])

    def entry_add(self, fields: Fields) -> int:
        """Put one entry at the end of the log and return its seq."""
        self.log.append(Entry(len(self.log) + 1, fields))
        return len(self.log)

    def publish(self, seq: int, events: list[dict[str, Any]]) -> None:
        """Put events at the end of their stream, and into the views as the persister would."""
        previous = event_id(self.events[-1].seq, self.events[-1].chunk) if self.events else b""
        self.events.append(events_entry(seq, events, previous, self.clock.us))
        self.applied.set()
        self.view_write(self.events[-1])
        self.values[self.keys.views_cursor] = f"{seq}-0".encode()

    def view_write(self, entry: EventsEntry) -> None:
        """Keep views and outcomes as the view reader does."""
        changes = changes_of(self.keys, [entry])
        for key, fields in changes.hashes.items():
            view = self.hashes.setdefault(key, {})
            for name, value in fields.items():
                view.pop(name, None) if value is None else view.update({name: value})
        for key, outcome in changes.outcomes.items():
            if outcome_replaces(self.values.get(key), outcome):
                self.values[key] = outcome

    def _check(self) -> None:
        """Fail while down."""
        if self.down:
            raise StreamsDown("refused")

    async def guard_check(self, _keys: Keys, _deadline_s: float) -> str:
        """Return why nothing may be appended."""
        return self.guard.reason

    async def append(self, _keys: Keys, fields: Fields, _deadline_s: float, handover: Handover) -> Appended:
        """Append and, unless silent, apply at once: the answer is in the stream before the caller knows its seq."""
        if self.down:
            return Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")
        handover.take()
        if self.mode is AppendStatus.REFUSED:
            return Appended(self.mode, 0, "OOM")
        seq = self.entry_add(fields)
        if not self.silent:
            events = self.engine.apply(seq, fields)
            if events:
                self.publish(seq, events)
        for _ in range(3):
            await asyncio.sleep(0)
        return Appended(self.mode, seq if self.mode is AppendStatus.ACCEPTED else 0)

    async def read_events(self, _keys: Keys, after: tuple[int, int], count: int, _block_ms: int) -> list[EventsEntry]:
        """Return what follows, waiting for the first."""
        while True:
            self._check()
            found = [entry for entry in self.events if (entry.seq, entry.chunk) > after][:count]
            if found or self.impatient:
                return found
            self.applied.clear()
            await self.applied.wait()

    async def range_events(
        self, _keys: Keys, first: tuple[int, int], last: tuple[int, int], count: int
    ) -> list[EventsEntry]:
        """Return a range."""
        self._check()
        return [entry for entry in self.events if first <= (entry.seq, entry.chunk) <= last][:count]

    async def range_log(self, _keys: Keys, first: int, last: int, count: int) -> list[Entry]:
        """Return a range of the log."""
        self._check()
        return [entry for entry in self.log if first <= entry.seq <= last][:count]

    async def events_tip(self, _keys: Keys) -> tuple[int, int]:
        """Return the newest place."""
        self._check()
        return (self.events[-1].seq, self.events[-1].chunk) if self.events else (0, 0)

    async def events_first(self, _keys: Keys) -> tuple[int, int]:
        """Return the oldest place that is held."""
        self._check()
        return (self.events[0].seq, self.events[0].chunk) if self.events else (0, 0)

    async def get_json(self, key: str) -> Any:
        """Return a value."""
        self._check()
        text = self.values.get(key)
        return None if text is None else orjson.loads(text)

    async def set_json(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._check()
        self.values[key] = orjson.dumps(value)

    async def hash_read(self, key: str) -> dict[str, str]:
        """Return a hash."""
        self._check()
        return {name: value.decode() for name, value in self.hashes.get(key, {}).items()}

    async def converse(self, verb: Any) -> Any:
        """Drive a conversation of GET and HGETALL."""
        self._check()
        conversation = verb(None)
        try:
            request = next(conversation)
            while True:
                request = conversation.send(self._replies(request.commands))
        except StopIteration as end:
            return end.value

    def _replies(self, commands: Any) -> list[Any]:
        """Return the replies to commands, those inside MULTI once more at its EXEC."""
        replies: list[Any] = []
        queued: list[Any] = []
        for command in commands:
            if command[0] == "GET":
                reply: Any = self.values.get(command[1])
            elif command[0] == "MGET":
                reply = [self.values.get(key) for key in command[1:]]
            elif command[0] == "HGET":
                reply = self.hashes.get(command[1], {}).get(command[2])
            elif command[0] == "HGETALL":
                pairs = self.hashes.get(command[1], {}).items()
                reply = [part for name, value in pairs for part in (name.encode(), value)]
            elif command[0] == "XREVRANGE":
                reply = self._newest_beyond(command[3])
            elif command[0] == "SET":
                self.values[command[1]] = command[2]
                reply = b"OK"
            elif command[0] == "EXISTS":
                reply = int(command[1] in self.hashes or command[1] in self.values)
            else:
                replies.append(queued if command[0] == "EXEC" else b"OK")
                continue
            replies.append(reply)
            queued.append(reply)
        return replies

    def _newest_beyond(self, after: bytes) -> list[list[Any]]:
        """Return the newest events entry as the server does, nothing when it is not beyond an id."""
        beyond = [entry for entry in self.events[-1:] if (entry.seq, entry.chunk) > seq_chunk_of_event_id(after[1:])]
        return [[event_id(entry.seq, entry.chunk), []] for entry in beyond]

    async def listen(self, *_channels: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Yield the names of markets whose view is said to have changed."""
        while True:
            self._check()
            yield "markets", await self.announced.get()

    async def restores(self, _keys: Keys) -> int:
        """Return how often the log was restored."""
        self._check()
        return self.restores_count

    async def venue(self) -> str | None:
        """Return the pointer."""
        self._check()
        return self.venue_name

    async def leader_read(self, _keys: Keys) -> dict[str, Any]:
        """Return a heartbeat that moves on."""
        self._check()
        self.counter += 1
        return {"who": "toy", "counter": self.counter, "seq": len(self.log), "rules": 1}

    async def server_info(self) -> dict[str, Any]:
        """Return a durable server."""
        self._check()
        return {"appendfsync": "always", "appendonly": True}

    async def heartbeat(self, _keys: Keys, name: str, payload: dict[str, Any]) -> None:
        """Take a heartbeat."""
        self._check()
        self.beats[name] = payload

    async def heartbeats_read(self, _keys: Keys) -> dict[str, dict[str, Any]]:
        """Return the heartbeats."""
        self._check()
        return dict(self.beats)

    async def views_cursor_read(self, _keys: Keys) -> tuple[str | None, bytes]:
        """Return the view reader's cursor."""
        self._check()
        cursor = self.values.get(self.keys.views_cursor)
        return None if cursor is None else cursor.decode(), b""


def settings_of(tmp_path: Path, **changes: str) -> Settings:
    """Return settings of a development gateway."""
    return settings_read({"TIDEMARK_DATA": str(tmp_path), "TIDEMARK_RATE_FACTOR": "1000"} | changes)


def secrets() -> Secrets:
    """Return the keys of the test venue."""
    return secrets_of_text(SECRET, VENUE)
