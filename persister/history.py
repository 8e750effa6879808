"""
Events -> rows in Postgres: closed orders and positions, fills, trades, funding, liquidations, ledger, candles; all SQL.

The cursor moves in the transaction that inserts the rows, and only from where this reader believes it to be: whatever
dies or runs twice, no row is missing and none is there twice. A row that Postgres refuses goes to `persister_rejects`
with an alarm, and the cursor goes on: one bad row must not stop everybody's history.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import orjson

from persister.audit import Answered, Instructions, audit_append, audit_rows
from persister.reader import EVENTS_PER_CHUNK, Event, Position, Reader, events_read, position_of
from shared.database import Database, DatabaseError, DatabaseRefused, Statements
from shared.metrics import Counts, Times
from shared.refusal import REFUSAL_INSERT, REFUSAL_SELECT
from shared.streams import EventsEntry, Keys, StreamsAsync, StreamsError

PAUSE_S = 0.2
GROUP_S = 0.05  # entries that come within this are committed together
PAUSE_MAX_S = 5.0
REASON_LENGTH_MAX = 500
AUDIT = "audit"  # the rows of outcomes, among the kinds of rows that are counted

CURSOR_FOUND = """
INSERT INTO persister_cursor (venue, seq, chunk, digest, log_time_us) VALUES ($1, 0, 0, '', 0) ON CONFLICT DO NOTHING
"""
CURSOR_READ = "SELECT seq, chunk, digest FROM persister_cursor WHERE venue = $1"
CURSOR_MOVE = """
UPDATE persister_cursor SET seq = $4, chunk = $5, digest = $6, log_time_us = $7
WHERE venue = $1 AND seq = $2 AND chunk = $3
"""
REJECT_INSERT = """
INSERT INTO persister_rejects (venue, seq, chunk, index, kind, reason, data) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
"""
INSERTS = {
    "closed_order": """
INSERT INTO closed_orders (venue, account_id, order_id, market, seq, position, closed_us, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
""",
    "closed_position": """
INSERT INTO closed_positions (venue, account_id, position_id, market, seq, position, closed_us, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
""",
    "fill": """
INSERT INTO fills (venue, account_id, fill_id, order_id, market, seq, position, filled_us, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
""",
    "funding": """
INSERT INTO funding (venue, account_id, position_id, due_ms, market, seq, position, amount, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
""",
    "liquidation": """
INSERT INTO liquidations (venue, market, seq, position, kind, account_id, position_id, order_id, liquidated_us, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
""",
    "ledger": """
INSERT INTO ledger (venue, account_id, seq, chunk, index, booked_us, amount, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
""",
    "candle": "INSERT INTO candles (venue, market, minute_ms, seq, data) VALUES ($1, $2, $3, $4, $5)",
    "trade": "INSERT INTO trades (venue, market, seq, position, traded_us, data) VALUES ($1, $2, $3, $4, $5, $6)",
    "funding_settled": """
INSERT INTO funding_rates (venue, market, due_ms, seq, position, data) VALUES ($1, $2, $3, $4, $5, $6)
""",
}
# Whom a liquidation asked for the other side stands in the same feed; so does why a funding was not paid.
INSERTS |= {"adl": INSERTS["liquidation"], "funding_skipped": INSERTS["funding_settled"]}


class CursorMoved(Exception):
    """Another persister has moved the cursor: nothing of this batch was stored by us."""


class Insert(NamedTuple):
    """One row to insert, and the event it comes from."""

    entry: EventsEntry
    event: Event
    values: tuple[Any, ...]


class Reject(NamedTuple):
    """What cannot be stored, and why."""

    entry: EventsEntry
    event: Event
    reason: str


class Batch(NamedTuple):
    """The rows of some entries, by kind of event."""

    inserts: dict[str, list[Insert]]
    rejects: list[Reject]


def batch_of(venue: str, entries: list[EventsEntry]) -> Batch:
    """Return the rows that the entries become; what cannot be one is a reject."""
    batch = Batch({kind: [] for kind in INSERTS}, [])
    for entry in entries:
        for event in events_read(entry):
            if event.body is None:
                batch.rejects.append(Reject(entry, event, "not an event"))
            elif event.kind in INSERTS:
                try:
                    values = row_values(venue, entry, event, event.body)
                except (KeyError, TypeError, InvalidOperation) as error:
                    batch.rejects.append(Reject(entry, event, f"{type(error).__name__}: {error}"))
                else:
                    batch.inserts[event.kind].append(Insert(entry, event, values))
    return batch


def row_values(venue: str, entry: EventsEntry, event: Event, body: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row's values in the order of its INSERT."""
    position = entry.chunk * EVENTS_PER_CHUNK + event.event_index
    match event.kind:
        case "closed_order" | "closed_position":
            name = "order_id" if event.kind == "closed_order" else "position_id"
            ids = integers(body, "account", name)
            return venue, *ids, body["market"], entry.seq, position, *integers(body, "closed_us"), body
        case "fill":
            ids = integers(body, "account", "fill_id", "order_id")
            return venue, *ids, body["market"], entry.seq, position, entry.log_time_us, body
        case "funding":
            ids = integers(body, "account", "position_id", "due_ms")
            return venue, *ids, body["market"], entry.seq, position, Decimal(body["amount"]), body
        case "liquidation" | "adl":
            ids = integers(body, "account", "position_id", "order_id")
            return venue, body["market"], entry.seq, position, event.kind, *ids, entry.log_time_us, body
        case "trade":
            return venue, body["market"], entry.seq, position, entry.log_time_us, body
        case "funding_settled" | "funding_skipped":
            return venue, body["market"], *integers(body, "due_ms"), entry.seq, position, body
        case "ledger":
            place = entry.seq, entry.chunk, event.event_index
            return venue, *integers(body, "account"), *place, entry.log_time_us, Decimal(body["amount"]), body
        case _:
            assert event.kind == "candle"
            return venue, body["market"], *integers(body, "minute_ms"), entry.seq, body


def integers(body: dict[str, Any], *names: str) -> tuple[int, ...]:
    """Return the values of these keys, which must be integers: the driver would cut a fraction off in silence."""
    values = tuple(body[name] for name in names)
    for name, value in zip(names, values, strict=True):
        if type(value) is not int:
            raise TypeError(f"{name} is not an integer: {value!r}")
    return values


class HistoryStore:
    """The history of one venue in Postgres."""

    def __init__(self, database: Database, venue: str, log: Any, instructions: Instructions | None = None) -> None:
        """Keep where rows go, and who knows what an outcome answers."""
        self.database = database
        self.venue = venue
        self.log = log
        self.instructions = instructions
        self.rejects_count = 0  # since this process began
        self.rows = Counts((kind,) for kind in (*INSERTS, AUDIT))

    async def begin(self) -> Position:
        """Return the stored cursor; the first time, one before everything."""
        await self.database.execute(CURSOR_FOUND, self.venue)
        row = await self.database.fetchrow(CURSOR_READ, self.venue)
        assert row is not None
        return Position(row["seq"], row["chunk"], bytes(row["digest"]))

    async def commit(self, before: Position, entries: list[EventsEntry]) -> Position:
        """Store the entries' rows and move the cursor behind them, in one transaction; raises CursorMoved."""
        batch = batch_of(self.venue, entries)
        audited = await audit_rows(self.venue, entries, self.instructions)
        try:
            async with self.database.transaction() as statements:
                after = await self.cursor_move(statements, before, entries[-1])
                for kind, inserts in batch.inserts.items():
                    if inserts:
                        await statements.executemany(INSERTS[kind], [insert.values for insert in inserts])
                await audit_append(statements, self.venue, [row for _, row in audited])
                for reject in batch.rejects:
                    await self.reject(statements, reject)
        except DatabaseRefused:
            # Some row is poison; find out which, one by one.
            return await self.commit_one_by_one(before, entries, batch, audited)
        self.alarm(batch.rejects)
        counts = {kind: len(inserts) for kind, inserts in batch.inserts.items()}
        self.stored(counts, [answered for answered, _ in audited])
        return after

    async def commit_one_by_one(
        self,
        before: Position,
        entries: list[EventsEntry],
        batch: Batch,
        audited: list[tuple[Answered, tuple[Any, ...]]],
    ) -> Position:
        """Store what Postgres takes, each row in a savepoint of its own, and put the rest among the rejects."""
        rejects = list(batch.rejects)
        counts: Counter[str] = Counter()
        kept: list[Answered] = []
        async with self.database.transaction() as statements:
            after = await self.cursor_move(statements, before, entries[-1])
            for kind, inserts in batch.inserts.items():
                for insert in inserts:
                    try:
                        async with statements.transaction():
                            await statements.execute(INSERTS[kind], *insert.values)
                        counts[kind] += 1
                    except DatabaseRefused as error:
                        rejects.append(Reject(insert.entry, insert.event, str(error)))
            for answered, row in audited:
                try:
                    async with statements.transaction():
                        await audit_append(statements, self.venue, [row])
                    kept.append(answered)
                except DatabaseRefused as error:
                    event = Event(answered.place, "order_response", None, answered.response.encode())
                    rejects.append(Reject(answered.entry, event, str(error)))
            for reject in rejects:
                await self.reject(statements, reject)
        self.alarm(rejects)
        self.stored(counts, kept)
        return after

    def stored(self, counts: Mapping[str, int], answered: list[Answered]) -> None:
        """Count the rows that were written, and tell at level debug which instructions are in the history now."""
        for kind, count in counts.items():
            self.rows.add(kind, count=count)
        self.rows.add(AUDIT, count=len(answered))
        for one in answered:
            facts = {"request_id": one.request_id, "account": one.account_id, "op": one.op, "result": one.result}
            self.log.debug("instruction_stored", seq=one.entry.seq, **facts)

    async def cursor_move(self, statements: Statements, before: Position, newest: EventsEntry) -> Position:
        """Move the cursor to the newest entry; first of all, so that a second persister waits here for the first."""
        after = position_of(newest)
        moved = await statements.execute(
            CURSOR_MOVE, self.venue, before.seq, before.chunk, *after, max(newest.log_time_us, 0)
        )
        if moved != 1:
            raise CursorMoved
        return after

    async def reject(self, statements: Statements, reject: Reject) -> None:
        """Keep what could not be stored, byte for byte."""
        entry, event, reason = reject
        data = event.raw if event.body is None else orjson.dumps(event.body)
        place = entry.seq, entry.chunk, event.event_index
        await statements.execute(REJECT_INSERT, self.venue, *place, printable(event.kind), printable(reason), data)

    def alarm(self, rejects: list[Reject]) -> None:
        """Say loudly what was put aside."""
        self.rejects_count += len(rejects)
        for entry, event, reason in rejects:
            self.log.error(
                "history_row_rejected",
                seq=entry.seq,
                chunk=entry.chunk,
                index=event.event_index,
                kind=event.kind,
                reason=printable(reason),
            )

    async def refusal_read(self) -> Any:
        """Return the newest refusal of the venue, None when there is none."""
        row = await self.database.fetchrow(REFUSAL_SELECT, self.venue)
        return None if row is None else row["reason"]

    async def refusal_write(self, process: str, reason: dict[str, Any]) -> None:
        """Write a refusal down."""
        await self.database.execute(REFUSAL_INSERT, self.venue, process, reason)


def printable(text: str) -> str:
    """Return a text that Postgres takes, whatever an outsider put into it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:REASON_LENGTH_MAX]


class HistoryReader:
    """Follows the events and keeps the history; `position` is what is committed."""

    def __init__(
        self,
        streams: StreamsAsync,
        keys: Keys,
        store: HistoryStore,
        log: Any,
        monotonic_s: Callable[[], float],
        chance: random.Random | None = None,
    ) -> None:
        """Prepare; `run` begins."""
        self.streams = streams
        self.keys = keys
        self.store = store
        self.log = log
        self.monotonic_s = monotonic_s
        self.position = Position()
        self.commits = Times()
        self.pause_s = PAUSE_S
        self.chance = chance or random.SystemRandom()

    async def run(self) -> None:
        """Keep the history for ever; whoever is away is waited for, and everything is caught up with afterwards."""
        while True:
            try:
                await self.follow()
            except CursorMoved:
                self.log.warning("history_cursor_moved", seq=self.position.seq)
            except (DatabaseError, StreamsError) as error:
                self.log.warning("history_waits", error=f"{type(error).__name__}: {error}", pause_s=self.pause_s)
                # Jitter, so that several readers do not come back in step.
                await asyncio.sleep(self.pause_s * self.chance.uniform(0.5, 1.0))
                self.pause_s = min(self.pause_s * 2, PAUSE_MAX_S)

    async def follow(self) -> None:
        """Read and commit from the stored cursor on, until something fails."""
        self.position = await self.store.begin()
        reader = Reader("history reader", self.streams, self.keys, self.position, self.monotonic_s, GROUP_S)
        while True:
            entries = await reader.read()
            self.pause_s = PAUSE_S
            if entries:
                began_s = self.monotonic_s()
                self.position = reader.position = await self.store.commit(self.position, entries)
                self.commits.observe(self.monotonic_s() - began_s)
