"""A venue that stands still, made in memory and laid into real servers, files and rows as a test wants it."""

import asyncio
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import redis

from engine import core, rows
from engine.documents import document_pack, document_unpack, file_path
from engine.ingest import Machine, machine_restore
from engine.rows import RowStore
from persister.archive import ArchiveFiles
from persister.views import Changes, outcome_add
from scripts.handing import Place, history_hand, history_position
from scripts.stopped import Stopped
from shared import genesis, stream_surgery
from shared.archive import archive_segments, archive_tip
from shared.database import Database
from shared.stream_keys import (
    Entry,
    EventsEntry,
    Keys,
    event_id,
    events_digest,
    events_fields,
    log_digest,
    log_id,
    restored_body,
)
from shared.streams import Streams

VENUE = "cornervenu"
KEYS = Keys(VENUE)
MARKET = "BTC_USDC_PERP"
START_US = 1_800_000_000_000_000
STEP_US = 400_000
SNAPSHOT_EVERY = 40
ACCOUNT_FIRST = 100
DATABASE_TIMEOUT_S = 30.0


class History(NamedTuple):
    """Entries of a log from its first, what they caused, and the snapshots on the way."""

    entries: list[Entry]
    outputs: list[EventsEntry]
    documents: dict[int, dict[str, Any]]  # by seq

    def events_to(self, seq: int) -> list[EventsEntry]:
        """Return what was caused up to an entry."""
        return [output for output in self.outputs if output.seq <= seq]

    def to(self, seq: int) -> "History":
        """Return the same, ended at an entry."""
        entries = [entry for entry in self.entries if entry.seq <= seq]
        return History(entries, self.events_to(seq), {at: one for at, one in self.documents.items() if at <= seq})


def entry_of(seq: int, kind: str, body: dict[str, Any], session: bool = False) -> Entry:
    """Return an entry; each one's time is a little after the one's before."""
    middle = [(b"session", b"corners")] if session else []
    return Entry(seq, [(b"ts", b"%d" % (START_US + seq * STEP_US)), *middle, (kind.encode(), orjson.dumps(body))])


def instruction(seq: int, op: str, account: int, **keys: Any) -> Entry:
    """Return an instruction whose request id is its seq; accounts are opened by the venue."""
    kind = "venue_instruction" if op == "account_open" else "user_instruction"
    return entry_of(seq, kind, {"v": 1, "account": account, "request_id": f"{seq:032x}", "op": op, **keys})


def account_open(seq: int, number: int) -> Entry:
    """Return the entry that opens an account for the owner of a number."""
    return instruction(seq, "account_open", 0, owner=f"{number:032x}")


def wish(seq: int) -> Entry:
    """Return the entry of an ordinary moment: a tick, a quote, or an order far below the price."""
    if seq % 4 == 0:
        return entry_of(seq, "clock_tick", {})
    if seq % 4 == 1:
        time_us = START_US + seq * STEP_US
        quote = {"A": "5", "B": "5", "E": time_us, "T": time_us, "a": "60000.1", "b": "60000.0", "e": "bookTicker"}
        return entry_of(seq, "price_update", {**quote, "s": MARKET, "u": str(seq)}, session=True)
    order = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.001", "price": "50000.0"}
    return instruction(seq, "order_place", ACCOUNT_FIRST + seq % 3, **order)


def history_make(last_seq: int, opened_at: int) -> History:
    """Return a history of three accounts that place orders; a fourth account is opened late."""
    entries = [
        entry_of(1, "genesis", genesis.default(VENUE)),
        entry_of(2, "feed_status", {"status": "up", "source": "simulated"}, session=True),
        *(account_open(seq, seq) for seq in (3, 4, 5)),
        *(wish(seq) if seq != opened_at else account_open(seq, seq) for seq in range(6, last_seq + 1)),
    ]
    return History(*grown(Machine(), entries, []))


def history_without(history: History, first_lost: int, last_lost: int, last_seq: int) -> History:
    """Return how a history went on after a range of it was stated as lost."""
    kept = history.to(first_lost - 1)
    ts = (b"ts", b"%d" % (START_US + (last_lost + 1) * STEP_US))
    stated = Entry(last_lost + 1, [ts, (b"restored", restored_body(first_lost, last_lost))])
    later = [stated, *(wish(seq) for seq in range(last_lost + 2, last_seq + 1))]
    machine = machine_restore(document_unpack(kept.documents[first_lost - 1]))
    entries, outputs, documents = grown(machine, later, kept.outputs[-1:])
    return History(kept.entries + entries, kept.outputs + outputs[1:], kept.documents | documents)


def grown(
    machine: Machine, entries: list[Entry], outputs: list[EventsEntry]
) -> tuple[list[Entry], list[EventsEntry], dict[int, dict[str, Any]]]:
    """Return entries, outputs and snapshots after the machine applied the entries."""
    documents = {}
    for entry in entries:
        machine.load([entry])
        while (step := machine.step()) is not None:
            outputs = [*outputs, *(EventsEntry(*output) for output in step.outputs)]
        if entry.seq % SNAPSHOT_EVERY == 0:
            documents[entry.seq] = document_of(machine, outputs[-1])
    return entries, outputs, documents


def document_of(machine: Machine, last: EventsEntry) -> dict[str, Any]:
    """Return the snapshot of a machine as an engine writes it."""
    buffer = memoryview(bytearray(core.snapshot_size(machine.states)))
    content = core.snapshot_document(buffer, core.snapshot_copy(machine.states, buffer))
    witness = {
        "log": {"seq": machine.seq, "digest": machine.last_digest()},
        "events": {"seq": last.seq, "chunk": last.chunk, "digest": events_digest(last).hex()},
    }
    return document_pack(content, {"venue": VENUE, "witness": witness, "created_us": START_US})


class Corner:
    """One venue that stands still: what a test has laid into its servers and folders."""

    def __init__(self, redis_url: str, database_url: str, folder: Path) -> None:
        self.redis_url = redis_url
        self.database_url = database_url
        self.data_dir = folder / "data"
        self.archive = self.data_dir / "archive"
        (self.data_dir / "snapshots").mkdir(parents=True)
        self.streams = Streams(redis_url)
        self.client: Any = redis.Redis.from_url(redis_url)
        self.streams.venue_set(VENUE)

    def close(self) -> None:
        """Let go of the servers."""
        self.streams.close()
        self.client.close()

    def stopped(self) -> Stopped:
        """Return the venue as a command that changes it sees it."""
        store = RowStore(lambda: Database.connect(self.database_url), VENUE, DATABASE_TIMEOUT_S)
        return Stopped(self.data_dir, self.archive, KEYS, self.streams, store, self.database_url)

    def streams_put(self, history: History) -> None:
        """Lay the log and its events into Redis; the server's own counter says what it would have said."""
        self.client.delete(KEYS.log, KEYS.events)
        self.streams.converse(
            stream_surgery.append_raw(KEYS.log, [(log_id(seq), fields) for seq, fields in history[0]])
        )
        events = [(event_id(output.seq, output.chunk), events_fields(output)) for output in history.outputs]
        self.streams.converse(stream_surgery.append_raw(KEYS.events, events))
        tip = history.entries[-1].seq
        self.client.execute_command("XSETID", KEYS.log, log_id(tip), "ENTRIESADDED", tip, "MAXDELETEDID", "0-0")

    def snapshots_put(self, history: History, *seqs: int) -> None:
        """Lay snapshots of a history into files."""
        for seq in seqs:
            file_path(self.data_dir / "snapshots", seq).write_bytes(orjson.dumps(history.documents[seq]))

    def rows_put(self, history: History, snapshot_seq: int) -> None:
        """Lay the history's rows into Postgres, and one snapshot."""
        place = Place(self.redis_url, self.database_url, KEYS, self.archive)
        history_hand(place, history_position(place), history.outputs)
        self.sql(lambda database: rows.snapshot_write(database, history.documents[snapshot_seq]))

    def archive_put(self, *parts: list[Entry]) -> None:
        """Lay entries into the archive, each part a closed file of its own."""
        files = ArchiveFiles(self.archive, VENUE)
        assert files.begin()
        for part in parts:
            files.append(part)
            files.file_close()
        files.close()

    def archive_cursor_put(self, entry: Entry) -> None:
        """Have Postgres say how far the archive goes."""
        statement = "INSERT INTO archive_cursor (venue, seq, digest, synced_us) VALUES ($1, $2, $3, 1)"
        self.sql(lambda database: database.execute(statement, VENUE, entry.seq, log_digest(entry)))

    def archive_cursor(self) -> int:
        """Return how far Postgres says that the archive goes."""
        found = self.sql(lambda database: rows.archive_read(database, VENUE))
        return int(found["seq"]) if found is not None else 0

    def outcomes_put(self, history: History) -> set[bytes]:
        """Lay every outcome into Redis as the view reader does; return their keys."""
        changes = Changes({}, {}, [])
        for output in history.outputs:
            for event in orjson.loads(output.data):
                if event["e"] == "order_response":
                    outcome_add(changes, KEYS.outcome(event["account"], event["request_id"]), output, event)
        self.client.mset(changes.outcomes)
        return self.outcomes()

    def outcomes(self) -> set[bytes]:
        """Return the keys of the outcomes that are stored."""
        return set(self.client.keys(KEYS.prefix + "outcome:*"))

    def sql(self, work: Any) -> Any:
        """Return what the work gives on a connection of its own."""
        return asyncio.run(self.sql_run(work))

    async def sql_run(self, work: Any) -> Any:
        """Return what the work gives on a connection of its own."""
        database = await Database.connect(self.database_url)
        try:
            return await work(database)
        finally:
            await database.close()

    def archive_ends(self) -> tuple[int, list[tuple[int, int]]]:
        """Return where the archive ends, and which entries its closed files hold."""
        segments = [(one.first_seq, one.last_seq) for one in archive_segments(self.archive, VENUE) if not one.is_open]
        return archive_tip(self.archive, VENUE)[0], segments

    def log_held(self) -> list[Entry]:
        """Return the whole log."""
        return self.streams.range_log(KEYS, 1, 10_000, 10_000)

    def account_given(self) -> int:
        """Return the account that somebody new would be given, were the venue to go on."""
        log, machine = self.log_held(), Machine()
        asked = account_open(log[-1].seq + 1, 10**6)
        asked = asked._replace(fields=[log[-2].fields[0], *asked.fields[1:]])  # at the time where the log stands
        answers: list[dict[str, Any]] = []
        for entry in itertools.chain(log, [asked]):
            machine.load([entry])
            while (step := machine.step()) is not None:
                answers = [event for output in step.outputs for event in orjson.loads(output.data)]
        [opened] = [event["account"] for event in answers if event["e"] == "account_opened"]
        return int(opened)
