"""
Events -> account views, outcomes and the venue's view in Redis, with the cursor in the same transaction.

Independent of Postgres. Without a cursor the events are read from their beginning, or, when that is trimmed, the views
are rebuilt from a snapshot (`rebuild.py`), as when an operator asks for it. A view that is missing is missing: readers
say so and never show zero.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import orjson

from persister.reader import Event, Position, Reader, events_read, position_of, reach_back
from shared.metrics import Times
from shared.stream_keys import Fields
from shared.streams import EventsEntry, Keys, StreamsAsync, StreamsError

PAUSE_S = 0.2
GROUP_S = 0.01  # entries that come within this are written together: whoever reads views waits no longer than for that
PROGRESS_S = 2.0
REBUILD_LOOK_S = 1.0
OLDER_KEPT_S = 60.0  # views of the generation before: a gateway may be reading them
RESULT_OK = "OK"
RESULT_REPEATED = "REQUEST_REPEATED"
RESULT_SUPERSEDED = "REQUEST_SUPERSEDED"
# Event kind -> the field that it sets, of the venue's view (each market has one of its own) and of an account's.
VENUE_FIELDS = {"market_changed": "market", "venue_changed": "venue", "insurance_changed": "insurance"}
ACCOUNT_FIELDS = {"account_changed": "account", "account_guards_changed": "guards", "margin_call": "margin_call"}

Hashes = dict[str, dict[str, bytes | None]]


class Changes(NamedTuple):
    """What a batch of entries changes: hash fields (None: removed), and the last outcome of each request."""

    hashes: Hashes
    outcomes: dict[str, bytes]
    unusable: list[tuple[EventsEntry, Event]]


def changes_of(keys: Keys, entries: Iterable[EventsEntry]) -> Changes:
    """Return what the entries change, the later ones winning."""
    changes = Changes({}, {}, [])
    for entry in entries:
        for event in events_read(entry):
            try:
                change_apply(keys, changes, entry, event)
            except (KeyError, TypeError, ValueError):
                changes.unusable.append((entry, event))
    return changes


def change_apply(keys: Keys, changes: Changes, entry: EventsEntry, event: Event) -> None:
    """Add one event's change; an event that is neither the venue's nor an account's changes nothing."""
    body = event.body
    if body is None:
        raise ValueError("not an event")
    if event.kind in VENUE_FIELDS:
        changes.hashes.setdefault(keys.view_venue, {}).update(venue_fields(event.kind, body, entry))
        return
    account = body.get("account")
    if account is None:
        return
    account_id = integer(account)
    if event.kind == "order_response":
        outcome_add(changes, keys.outcome(account_id, request_id(body)), entry, body)
        return
    view_add(changes, keys.view_account(account_id), entry, view_fields(event.kind, body, entry))
    if event.kind == "account_opened" and "main" in body:
        sub: dict[str, bytes | None] = {f"subaccount:{account_id}": b"%d" % integer(body["sub"])}
        view_add(changes, keys.view_account(integer(body["main"])), entry, sub)


def view_add(changes: Changes, key: str, entry: EventsEntry, fields: dict[str, bytes | None]) -> None:
    """Change the fields of one account's view, if there are any to change."""
    if fields:
        view = changes.hashes.setdefault(key, {})
        view.update(fields)
        view["seq"] = b"%d" % entry.seq


def venue_fields(kind: str, body: dict[str, Any], entry: EventsEntry) -> dict[str, bytes | None]:
    """Return the field of the venue's view that an event sets: a configuration, or what the insurance fund holds."""
    stamped = {**body, "seq": entry.seq}
    if kind == "market_changed":
        return {f"market:{text_of(body, 'market')}": orjson.dumps(stamped)}
    if kind == "insurance_changed":
        text_of(body, "balance")
        stamped["log_time_us"] = entry.log_time_us
    return {VENUE_FIELDS[kind]: orjson.dumps(stamped)}


def view_fields(kind: str, body: dict[str, Any], entry: EventsEntry) -> dict[str, bytes | None]:
    """Return the fields of the account's view that an event sets or removes."""
    stamped = {**body, "seq": entry.seq}
    if kind in ("account_changed", "account_guards_changed", "margin_call"):
        del stamped["e"]
        stamped["log_time_us"] = entry.log_time_us
        name = ACCOUNT_FIELDS[kind]
        if "position_id" in body:
            name += f":{integer(body['position_id'])}"
        return {name: orjson.dumps(stamped)}
    if kind == "account_market_changed":
        return account_market_fields(body)
    if kind == "account_opened" and "main" in body:
        return {"main": b"%d" % integer(body["main"]), "sub": b"%d" % integer(body["sub"])}
    if kind == "position_changed" and not decimal_is_zero(body["qty"]):
        return {f"position:{integer(body['position_id'])}": orjson.dumps(stamped)}
    if kind in ("position_changed", "closed_position"):
        position_id = integer(body["position_id"])
        return {f"position:{position_id}": None, f"margin_call:{position_id}": None}
    if kind == "order_changed":
        return {f"order:{integer(body['order_id'])}": orjson.dumps(stamped)}
    if kind == "closed_order":
        return {f"order:{integer(body['order_id'])}": None}
    return {}


def account_market_fields(body: dict[str, Any]) -> dict[str, bytes | None]:
    """Return what an account has set for a market: its leverage, 0 for none, and, since rules 3, its margin mode."""
    market, leverage = text_of(body, "market"), integer(body["leverage"])
    fields: dict[str, bytes | None] = {f"leverage:{market}": b"%d" % leverage if leverage else None}
    if "mode" in body:
        fields[f"mode:{market}"] = orjson.dumps(text_of(body, "mode"))
    return fields


def outcome_add(changes: Changes, key: str, entry: EventsEntry, response: dict[str, Any]) -> None:
    """Note the outcome of a request unless the batch has one that stays."""
    value = orjson.dumps({"seq": entry.seq, "log_time_us": entry.log_time_us, "response": response})
    if outcome_replaces(changes.outcomes.get(key), value):
        changes.outcomes[key] = value


def outcome_replaces(there: bytes | None, new: bytes) -> bool:
    """Return whether an outcome is written: an accepted one stays, and a repeat says nothing about the first."""
    result = result_of(new)
    if result == RESULT_REPEATED:
        return False
    if there is None or result == RESULT_OK:
        return True
    return result_of(there) != RESULT_OK and result != RESULT_SUPERSEDED


def result_of(outcome: bytes) -> str:
    """Return the result inside a stored outcome."""
    return orjson.loads(outcome)["response"]["result"]


def integer(value: Any) -> int:
    """Return the value, which must be an integer."""
    if type(value) is not int:
        raise TypeError(f"not an integer: {value!r}")
    return value


def text_of(body: dict[str, Any], name: str) -> str:
    """Return the value of a key, which must be a text."""
    if not isinstance(body[name], str):
        raise TypeError(f"{name} is no text: {body[name]!r}")
    return body[name]


def decimal_is_zero(text: Any) -> bool:
    """Return whether a decimal text is zero."""
    if not isinstance(text, str) or not text:
        raise TypeError(f"not a decimal text: {text!r}")
    return not text.strip("-0.")


def request_id(body: dict[str, Any]) -> str:
    """Return the request id of a response."""
    if not isinstance(body["request_id"], str) or not isinstance(body["result"], str):
        raise TypeError("request_id and result are texts")
    return body["request_id"]


class NoStart(Exception):
    """Nothing is there to make views of: no snapshot that verifies and whose events are still held."""


class Rebuilder(Protocol):
    """What makes the next generation of the views."""

    async def run(self, in_force: int) -> bool:
        """Put the generation after this one in force; raises NoStart; False when somebody else did."""


class ViewReader:
    """Follows the events and keeps the views; `position` is what is written, `keys` are of the generation in force."""

    def __init__(
        self,
        streams: StreamsAsync,
        keys: Keys,
        log: Any,
        monotonic_s: Callable[[], float],
        rebuilder: Rebuilder | None = None,
    ) -> None:
        """Prepare; `run` begins. Without a rebuilder views come from the events' beginning alone."""
        self.streams = streams
        self.keys = keys
        self.log = log
        self.monotonic_s = monotonic_s
        self.rebuilder = rebuilder
        self.position = Position()
        self.commits = Times()
        self.entries_count = 0
        self.waiting = False  # for Redis, which was said
        self.waiting_start = False  # for a snapshot, which was said
        self.look_next_s = float("-inf")
        self.older_until_s = float("inf")

    async def run(self) -> None:
        """Keep the views for ever; a Redis that is away is waited for."""
        while True:
            try:
                await self.follow()
            except StreamsError as error:
                if not self.waiting:
                    self.log.warning("views_wait", error=f"{type(error).__name__}: {error}")
                self.waiting = True
                await asyncio.sleep(PAUSE_S)

    async def follow(self) -> None:
        """Read and write from the stored cursor on, until it is moved, or the views are rebuilt, or something fails."""
        before, reader = await self.begin()
        started_s = shown_s = self.monotonic_s()
        while not await self.rebuilt():
            entries = await reader.read()
            if not entries:
                self.waiting = False
                continue
            written = await self.write(before, entries)
            # Not before: a Redis that lets us read and takes no write is one outage, not one a try.
            self.waiting = False
            if not written:
                self.log.warning("views_cursor_moved", cursor=before)
                return
            self.position = reader.position = position_of(entries[-1])
            before = self.position.text
            if self.monotonic_s() - shown_s > PROGRESS_S and self.monotonic_s() - started_s < 3_600:
                shown_s = self.monotonic_s()
                tip = await self.streams.events_tip(self.keys)
                if tip > self.position.place:
                    self.log.info("views_catching_up", seq=self.position.seq, to_seq=tip[0])

    async def begin(self) -> tuple[str | None, Reader]:
        """Return the stored cursor and a reader behind it; without a cursor all views are made anew."""
        # What this process remembers outlives a Redis that lost its end, cursor and all.
        await self.reader_at(self.position).witness()
        while True:
            generation = (await self.streams.views_generation_read(self.keys)).number
            self.keys = Keys(self.keys.venue, generation)
            text, witness = await self.streams.views_cursor_read(self.keys)
            if text is not None or self.rebuilder is None:
                break
            if generation == 0 and await reach_back(self.streams, self.keys):
                break
            if not await self.rebuild(self.rebuilder):
                await asyncio.sleep(REBUILD_LOOK_S)
        if generation > 0:
            self.older_until_s = self.monotonic_s() + OLDER_KEPT_S
        if text is None:
            count = await self.streams.views_clear(self.keys)
            self.log.info("views_from_the_beginning", removed=count)
            self.position = Position()
        else:
            seq, _, chunk = text.partition("-")
            self.position = Position(int(seq), int(chunk), witness)
        await self.genesis_note()
        return text, self.reader_at(self.position)

    async def rebuilt(self) -> bool:
        """Look once a second whether the views are to be rebuilt, and do it; remove older ones when it is time."""
        now_s = self.monotonic_s()
        if now_s < self.look_next_s:
            return False
        self.look_next_s = now_s + REBUILD_LOOK_S
        if now_s >= self.older_until_s:
            self.older_until_s = float("inf")
            count = await self.streams.views_clear_older(self.keys)
            self.log.info("views_older_removed", count=count)
        if self.rebuilder is None or await self.streams.get_json(self.keys.views_rebuild) is None:
            return False
        return await self.rebuild(self.rebuilder)

    async def rebuild(self, rebuilder: Rebuilder) -> bool:
        """Return whether another generation is in force now."""
        try:
            await rebuilder.run(self.keys.generation)
        except NoStart as error:
            if not self.waiting_start:
                self.log.warning("views_rebuild_waits", reason=str(error))
            self.waiting_start = True
            return False
        self.waiting_start = False
        return True

    async def genesis_note(self) -> None:
        """Keep what only genesis says of the venue itself, before the log is trimmed above it."""
        if "venue" in await self.streams.hash_read(self.keys.view_venue):
            return
        for entry in await self.streams.range_log(self.keys, 1, 1, 1):
            field = venue_of_genesis(entry.fields)
            if field is not None:
                await self.streams.views_write({self.keys.view_venue: {"venue": field}})

    def reader_at(self, position: Position) -> Reader:
        """Return a reader of what follows a position."""
        return Reader("view reader", self.streams, self.keys, position, self.monotonic_s, GROUP_S)

    async def write(self, before: str | None, entries: list[EventsEntry]) -> bool:
        """Write what the entries change and the cursor behind them; False when the cursor stands elsewhere."""
        changes = changes_of(self.keys, entries)
        after = position_of(entries[-1])
        began_s = self.monotonic_s()
        written = await self.streams.views_commit(
            self.keys, (before, after.text), after.digest, changes.hashes, changes.outcomes, outcome_replaces
        )
        self.commits.observe(self.monotonic_s() - began_s)
        self.entries_count += len(entries) if written else 0
        for entry, event in changes.unusable if written else ():
            self.log.error(
                "view_event_unusable", seq=entry.seq, chunk=entry.chunk, index=event.event_index, kind=event.kind
            )
        return written


def venue_of_genesis(fields: Fields) -> bytes | None:
    """Return the venue's field of its view as genesis states it, None when it states none that can be read."""
    for name, value in fields:
        if name != b"genesis":
            continue
        try:
            stated = orjson.loads(value)["venue_set"]
            integer(stated["request_window_ms"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return orjson.dumps({"e": "venue_changed", **stated, "seq": 1})
    return None
