"""What must hold of a venue after a disaster was mended: one log, its events, its rows, its views, its answers."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine import core
from engine.ingest import Machine, machine_restore
from engine.log_source import LogSource
from engine.rows import RowStore
from persister.history import INSERTS, batch_of
from scripts.access import servers_reach
from shared.codes import ACCOUNT_FIRST
from shared.database import Database
from shared.stream_keys import EventsEntry, Keys, follows
from shared.streams import Streams
from shared.wire_events import EVENTS_CHUNK
from tests.faults.disaster_venue import Stopped, Told, tool

PAGE = 1_000
TABLES = {
    "closed_order": ("closed_orders", "account_id, order_id, seq"),
    "closed_position": ("closed_positions", "account_id, position_id, seq"),
    "fill": ("fills", "account_id, fill_id, seq"),
    "ledger": ("ledger", "account_id, seq, chunk, index"),
    "candle": ("candles", "market, minute_ms, seq"),
    "trade": ("trades", "market, seq, position"),
    "funding_settled": ("funding_rates", "market, seq, position"),
}
# Rows named by the place of their event alone, and the kinds that they come from.
PLACED = {"trade": ("trade",), "funding_settled": ("funding_settled", "funding_skipped")}
NAMES = {
    "closed_order": ("account", "order_id"),
    "closed_position": ("account", "position_id"),
    "fill": ("account", "fill_id"),
    "candle": ("market", "minute_ms"),
}


class Proof(NamedTuple):
    """What was found true."""

    entries: int
    gaps: list[tuple[int, int]]
    rows: int
    accounts: int
    answers: int
    lost_answers: int


class Twin:
    """A machine that reads archive and log from the first entry, and what it derives."""

    def __init__(self, source: LogSource) -> None:
        self.source = source
        self.machine: Machine = machine_restore(None)
        self.outputs: list[EventsEntry] = []
        self.gaps: list[tuple[int, int]] = []

    def read_on(self, last_seq: int) -> None:
        """Apply up to and with an entry; nothing may be missing but what a `restored` states."""
        while self.machine.seq < last_seq:
            entries = list(self.source.read(self.machine.seq, min(PAGE, last_seq - self.machine.seq)))
            assert entries, f"neither log nor archive hold {self.machine.seq + 1}"
            seq = self.machine.seq
            for entry in entries:
                assert follows(seq, entry), f"{entry.seq} stands behind {seq}"
                if entry.seq > seq + 1:
                    self.gaps.append((seq + 1, entry.seq - 1))
                seq = entry.seq
            self.machine.load([entry for entry in entries if entry.seq <= last_seq])
            while (step := self.machine.step()) is not None:
                self.outputs += step.outputs


def proven(stopped: Stopped) -> Proof:
    """Assert that everything which is stored follows from archive and log; return what was compared."""
    archive = stopped.data_dir / "archive"
    with servers_reach(stopped.data_dir) as reached:
        streams = Streams(reached.redis_url)
        try:
            proof = stores_proven(streams, reached.database_url, Keys(stopped.venue), archive, stopped.told)
        finally:
            streams.close()
    tool(stopped, "replay", "--verify")
    tool(stopped, "audit", "verify")
    tool(stopped, "archive", "verify")
    return proof


def stores_proven(streams: Streams, database_url: str, keys: Keys, archive: Path, told: list[Told]) -> Proof:
    """Assert that events, rows, views and answers follow from archive and log."""
    source = LogSource(streams, keys, archive)
    twin = Twin(source)
    generation = streams.views_generation_read(keys)
    own = Keys(keys.venue, generation.number)
    cursor, _ = streams.views_cursor_read(keys)
    assert cursor is not None, "there are no views"
    twin.read_on(int(cursor.partition("-")[0]))
    accounts = views_proven(streams, own, twin.machine)
    twin.read_on(streams.log_tip(keys))
    assert twin.machine.invariants_broken() == []
    events_proven(streams, keys, twin)
    rows = rows_proven(database_url, keys.venue, twin)
    lost = answers_proven(twin, told)
    return Proof(twin.machine.seq, twin.gaps, rows, accounts, len(told), lost)


def events_proven(streams: Streams, keys: Keys, twin: Twin) -> None:
    """Assert that what the events stream holds is what was derived, byte for byte and without a hole."""
    place = (0, 0)
    held: list[Any] = []
    while page := streams.read_events(keys, place, PAGE, None):
        held += page
        place = page[-1].seq, page[-1].chunk
    assert held, "there are no events"
    first = held[0].seq, held[0].chunk
    derived = [output for output in twin.outputs if first <= (output.seq, output.chunk) <= place]
    assert [tuple(entry) for entry in held] == [tuple(output) for output in derived]


def views_proven(streams: Streams, keys: Keys, machine: Machine) -> int:
    """Assert that every account's view shows the state's balances, positions and orders; return how many there are."""
    accounts = [row["account_id"] for row in core.accounts_of(machine.states) if row["account_id"] >= ACCOUNT_FIRST]
    assert accounts
    for account in accounts:
        view = streams.hash_read(keys.view_account(account))
        shown = machine.account_view(account)
        assert shown is not None
        said = orjson.loads(view["account"])
        assert (said["free"], said["reserved"]) == (shown["free"], shown["reserved"]), account
        for name in ("position", "order"):
            ids = {int(key.partition(":")[2]) for key in view if key.startswith(f"{name}:")}
            assert ids == {one[f"{name}_id"] for one in shown[f"{name}s"]}, f"{name}s of {account}"
    return len(accounts)


def rows_proven(database_url: str, venue: str, twin: Twin) -> int:
    """Assert that the history holds each derived event once, up to its cursor, and nothing else; return the rows."""

    async def ask(database: Database) -> tuple[int, dict[str, Counter[tuple[Any, ...]]]]:
        cursor = await database.fetchrow("SELECT seq FROM persister_cursor WHERE venue = $1", venue)
        assert cursor is not None
        found = {}
        for kind, (table, columns) in TABLES.items():
            rows = await database.fetch(f"SELECT {columns} FROM {table} WHERE venue = $1", venue)
            found[kind] = Counter(tuple(row.values()) for row in rows)
        rejects = await database.fetchrow("SELECT count(*) AS n FROM persister_rejects WHERE venue = $1", venue)
        assert rejects is not None
        assert rejects["n"] == 0
        return int(cursor["seq"]), found

    last_seq, found = RowStore(lambda: Database.connect(database_url), venue, 60.0).call(ask)
    batch = batch_of(venue, [output for output in twin.outputs if output.seq <= last_seq])
    assert set(TABLES) <= set(INSERTS)
    for kind, names in NAMES.items():
        wanted = [
            (*(insert.event.body[name] for name in names), insert.entry.seq)
            for insert in batch.inserts[kind]
            if insert.event.body is not None
        ]
        assert found[kind] == Counter(wanted), kind
    for kind, kinds in PLACED.items():
        placed = [
            (body["market"], insert.entry.seq, insert.entry.chunk * EVENTS_CHUNK + insert.event.event_index)
            for each in kinds
            for insert in batch.inserts[each]
            if (body := insert.event.body) is not None
        ]
        assert found[kind] == Counter(placed), kind
    booked = [
        (insert.event.body["account"], insert.entry.seq, insert.entry.chunk, insert.event.event_index)
        for insert in batch.inserts["ledger"]
        if insert.event.body is not None
    ]
    assert found["ledger"] == Counter(booked)
    return sum(counter.total() for counter in found.values())


def answers_proven(twin: Twin, told: list[Told]) -> int:
    """Assert that each answer is what the log says, once; return how many of them stood in ranges stated as lost."""
    results = Counter(
        (event["account"], event["request_id"], output.seq)
        for output in twin.outputs
        if b'"order_response"' in output.data
        for event in orjson.loads(output.data)
        if event["e"] == "order_response" and event["result"] == "OK"
    )
    lost = [one for one in told if any(first <= one.seq <= last for first, last in twin.gaps)]
    for one in told:
        count = results[(one.account, one.request_id, one.seq)]
        assert count == (0 if one in lost else 1), f"{one} was answered {count} times"
    return len(lost)
