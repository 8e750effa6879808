"""
The one tail of the events stream that a gateway keeps: who waits for which seq, what touched whom last.

It starts at the stream's end. An entry that nobody waits for is never parsed; of every entry the accounts touched are
noted, for read-your-own-writes, and the newest are kept in a ring for those who follow. The chain of `p` is checked on
every entry. A break is all right only where the stream was trimmed beyond what was read: then "last touched" is
forgotten. Any other is a history that is not the one we read.
"""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from gateway.ring import Audience, Ring, place_of_id
from shared import refusal
from shared.streams import EventsEntry, Keys, StreamsAsync, StreamsError, event_id, events_digest

READ_COUNT = 500
READ_BLOCK_MS = 1_000
RECONNECT_PAUSE_S = 0.1
EMPTY_READS_MAX = 3  # then the witness is looked for: a deleted stream is silent, not an error
KEPT_MAX = 8_192  # entries kept unparsed while an append whose seq is not known yet is in flight
CONFIGURING = ("market_changed", "venue_changed")  # the events that state a new configuration
_CONFIGURED = tuple(f'"{kind}"'.encode() for kind in CONFIGURING)

Position = tuple[int, int]


class Cause(NamedTuple):
    """What one log entry caused, as far as its instruction's sender may know it."""

    seq: int
    log_time_us: int
    response: dict[str, Any]
    events: list[dict[str, Any]]  # of the same account


class HistoryWentBack(refusal.Refusal):
    """The events stream no longer holds what this process has read: nothing may be trusted until a person looked."""


class Tail:
    """Reads the events of one venue and hands each awaited answer to its waiter."""

    def __init__(
        self, streams: StreamsAsync, keys: Keys, log: Any, on_configured: Callable[[dict[str, Any], int], None]
    ) -> None:
        """Prepare; `start` places it, `run` keeps it reading."""
        self._streams = streams
        self._keys = keys
        self._log = log
        self._on_configured = on_configured
        self.position: Position = (0, 0)
        self.floor: Position = (0, 0)  # what touched whom is known from here on
        self.connected = False
        self.ring = Ring()
        self.audience = Audience()
        self._touched: dict[int, Position] = {}
        self._waiters: dict[int, tuple[str, asyncio.Future[Cause]]] = {}
        self._reaching: list[tuple[Position, int, asyncio.Future[None]]] = []  # a heap: who waits for which place
        self._reaching_count = 0  # since the beginning: of two that wait for one place the earlier comes first
        self._partial: dict[int, list[EventsEntry]] = {}
        self._in_flight = 0
        self._kept: OrderedDict[Position, EventsEntry] = OrderedDict()
        self._digest = b""  # of the entry at `position`, the witness of what was read
        self._losses = 0  # of the client, when the witness was last found
        self._trimmed = False  # the stream begins behind `position`: the next entry may follow one that is gone

    async def start(self) -> None:
        """Place the tail at the stream's end."""
        self._losses = self._streams.losses
        self.position = self.floor = await self._streams.events_tip(self._keys)
        self.ring.start(self.position)
        entries = await self._streams.range_events(self._keys, self.position, self.position, 1)
        self._digest = events_digest(entries[0]) if entries else b""
        self.connected = True

    async def run(self) -> None:
        """Read for ever; after a lost connection or a long silence only when the witness was found."""
        empty_reads = 0
        while True:
            try:
                if not self.connected or empty_reads >= EMPTY_READS_MAX:
                    await self._witness_check()
                    empty_reads = 0
                if not self.connected:
                    self.connected = True
                    self._log.info("tail_resumed", seq=self.position[0])
                entries = await self._streams.read_events(self._keys, self.position, READ_COUNT, READ_BLOCK_MS)
                if self._streams.losses != self._losses or (entries and not self._follows(entries[0])):
                    # A connection broke meanwhile: these entries may come from a server that lost what was read.
                    await self._witness_check()
            except StreamsError as error:
                if self.connected:
                    self._log.warning("tail_lost", seq=self.position[0], reason=str(error))
                self.connected = False
                await asyncio.sleep(RECONNECT_PAUSE_S)
                continue
            empty_reads = 0 if entries else empty_reads + 1
            for entry in entries:
                self.take(entry)
            if entries:
                await asyncio.sleep(0)  # whoever was answered just now goes before the next question

    async def _witness_check(self) -> None:
        """Raise HistoryWentBack unless the stream still holds the entry read last, or has been trimmed beyond it."""
        losses = self._streams.losses
        if self.position != (0, 0):
            entries = await self._streams.range_events(self._keys, self.position, self.position, 1)
            if not entries:
                await self._absent_check()
            elif self._digest and events_digest(entries[0]) != self._digest:
                text = f"events entry {self.position[0]}-{self.position[1]} has other bytes than the gateway has read"
                raise HistoryWentBack(text, stream="events", remembered=list(self.position))
        self._losses = losses

    async def _absent_check(self) -> None:
        """Raise HistoryWentBack unless the entry read last lies before all that the stream holds."""
        first = await self._streams.events_first(self._keys)
        if first > self.position:
            self._trimmed = True
            return
        tip = await self._streams.events_tip(self._keys)
        text = (
            f"the events hold {first[0]}-{first[1]} to {tip[0]}-{tip[1]},"
            f" but not {self.position[0]}-{self.position[1]}, which the gateway has read"
        )
        raise HistoryWentBack(text, stream="events", remembered=list(self.position), first=list(first), tip=list(tip))

    def _follows(self, entry: EventsEntry) -> bool:
        """Return whether an entry names the one read last as the one before it."""
        return self.position == (0, 0) or entry.previous == event_id(*self.position)

    def _gap_take(self, entry: EventsEntry) -> None:
        """Forget what may be outdated when trimming took entries unread; raise HistoryWentBack for any other gap."""
        if not self._trimmed:
            previous = entry.previous.decode("ascii", "replace")
            text = (
                f"events entry {entry.seq}-{entry.chunk} follows {previous!r},"
                f" but the gateway has read {self.position[0]}-{self.position[1]} before it"
            )
            found = [entry.seq, entry.chunk]
            raise HistoryWentBack(text, stream="events", remembered=list(self.position), found=found, previous=previous)
        self._touched.clear()
        self.floor = (entry.seq, entry.chunk)
        self.ring.start(place_of_id(entry.previous))
        for listener in self.audience.everybody():
            listener.cut(self.position)
        self._log.warning("events_trimmed_unread", seq=entry.seq, after=self.position[0])

    def take(self, entry: EventsEntry) -> None:
        """Note whom the entry touched and answer whoever waits for it; raises HistoryWentBack when it cannot follow."""
        place = (entry.seq, entry.chunk)
        if not self._follows(entry):
            self._gap_take(entry)
        self._trimmed = False
        self.position = place
        self._digest = events_digest(entry)
        while self._reaching and self._reaching[0][0] <= place:
            future = heapq.heappop(self._reaching)[2]
            if not future.done():
                future.set_result(None)
        if entry.accounts:
            for account in entry.accounts.split(b","):
                if account.isdigit():
                    self._touched[int(account)] = place
        if any(tag in entry.data for tag in _CONFIGURED):
            self._configured(entry)
        if entry.seq in self._waiters:
            self._answer(entry)
        elif self._in_flight:
            self._kept[place] = entry
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        held = self.ring.append(entry)
        for listener in self.audience.of(entry):
            listener.hear(held)

    def _configured(self, entry: EventsEntry) -> None:
        """Hand on what an operator changed."""
        for event in events_read(entry):
            if event.get("e") in CONFIGURING:
                self._on_configured(event, entry.seq)

    def touched(self, account_id: int) -> Position:
        """Return the last place that touched an account; where nothing was seen, the place from which on one looked."""
        return self._touched.get(account_id, self.floor)

    async def reached(self, place: Position, timeout_s: float) -> bool:
        """Return whether the tail has come as far as a place, now or within a time; what it then knows is complete."""
        if self.position >= place:
            return True
        if timeout_s <= 0:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reaching_count += 1
        waiting = (place, self._reaching_count, future)
        heapq.heappush(self._reaching, waiting)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return self.position >= place
        finally:
            if waiting in self._reaching:
                self._reaching.remove(waiting)
                heapq.heapify(self._reaching)
        return True

    def append_begins(self) -> None:
        """Keep entries from now on: the answer may be read before the append returns its seq."""
        self._in_flight += 1

    def append_ends(self) -> None:
        """Stop keeping entries once no append is in flight."""
        assert self._in_flight > 0
        self._in_flight -= 1
        if not self._in_flight:
            self._kept.clear()

    def expect(self, seq: int, request_id: str) -> "asyncio.Future[Cause]":
        """Return the future of an entry's answer; call between append_begins and append_ends."""
        assert self._in_flight > 0
        assert seq not in self._waiters, "a log seq is one instruction"
        future: asyncio.Future[Cause] = asyncio.get_running_loop().create_future()
        self._waiters[seq] = (request_id, future)
        for place, entry in list(self._kept.items()):
            if place[0] == seq:
                self._answer(entry)
        return future

    def forget(self, seq: int) -> None:
        """Stop waiting for an entry."""
        self._waiters.pop(seq, None)
        self._partial.pop(seq, None)

    def _answer(self, entry: EventsEntry) -> None:
        """Resolve the waiter of an entry if its response is in what was read of it."""
        waiter = self._waiters.get(entry.seq)
        if waiter is None:
            return
        parts = self._partial.setdefault(entry.seq, [])
        parts.append(entry)
        cause = cause_of(parts, waiter[0])
        if cause is not None:
            self.forget(entry.seq)
            if not waiter[1].done():
                waiter[1].set_result(cause)


def cause_of(entries: list[EventsEntry], request_id: str) -> Cause | None:
    """
    Return the answer to a request in the chunks of one entry, with all events of its account, or None.

    That a sub-account was opened is told to whoever asked, beside it stands nothing of the new account.
    """
    events = [event for entry in entries for event in events_read(entry)]
    for event in events:
        if event.get("e") == "order_response" and event.get("request_id") == request_id:
            account = event.get("account")
            told = "account_opened" if event.get("op") == "subaccount_open" else None
            own = [
                other
                for other in events
                if (other.get("account") == account or other.get("e") == told) and other is not event
            ]
            return Cause(entries[0].seq, entries[0].log_time_us, event, own)
    return None


def events_read(entry: EventsEntry) -> list[dict[str, Any]]:
    """Return the events of an entry; one that holds none of ours reads as none."""
    try:
        events = orjson.loads(entry.data)
    except orjson.JSONDecodeError:
        return []
    return [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
