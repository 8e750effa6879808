"""What everybody remembers of a venue whose log is to be restored: snapshots, cursors, refusals, the streams' ends."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.documents import DocumentUnreadable
from engine.recovery import Candidate, Recovery
from engine.rows import RowStore
from scripts.restore_held import SEQ_MAX, Remembered
from scripts.sources import Quiet
from shared import stream_surgery
from shared.database import Database
from shared.refusal import refusal_file_read
from shared.stream_keys import Keys, fields_digest, seq_chunk_of_event_id
from shared.streams import Streams

DATABASE_TIMEOUT_S = 30.0
PAGE = 1_000

Place = tuple[int, int]
NOWHERE: Place = (0, 0)


class Base(NamedTuple):
    """One snapshot whose seal is right; its tables, which may be large, are read again when they are wanted."""

    seq: int
    place: str  # "file", "border", "row" or "keyframe"
    rules: int
    log_digest: str  # of the entry that it was made at
    events_last: Place  # the newest events entry before it
    events_digest: str
    read: Callable[[], dict[str, Any]]


class Survey(NamedTuple):
    """What is known of one venue beside its two streams."""

    keys: Keys
    bases: list[Base]  # the newest first
    history: tuple[Place, str] | None  # the history cursor and its digest; None before the first event
    remembered: list[Remembered]  # of the log, by seq
    refusals: list[tuple[str, dict[str, Any]]]  # place and reason
    restores: int
    restore_from: int  # the first entry that an interrupted restoration was to change; 0 when none was


def survey_make(streams: Streams, store: RowStore, data_dir: Path, keys: Keys) -> Survey:
    """Return what is remembered; raises StreamsError and DatabaseError when somebody cannot be asked."""
    rows = store.call(lambda database: rows_read(database, keys.venue))
    bases = list(bases_read(data_dir, store, keys.venue))
    refusals = [("Postgres", reason) for reason in rows["refusals"]]
    written = refusal_file_read(data_dir)
    if written is not None:
        refusals.append(("the data folder", written))
    in_redis = streams.get_json(keys.refused)
    if in_redis is not None:
        refusals.append(("Redis", in_redis if isinstance(in_redis, dict) else {"text": str(in_redis)}))
    remembered = [
        *(Remembered(seq, digest, holder) for seq, digest, holder in rows["remembered"]),
        *(base_memory(base) for base in bases),
        *streams_memories(streams, keys),
        *(memory for place, reason in refusals if (memory := refusal_memory(place, reason)) is not None),
    ]
    restores = max(rows["restorations"], streams.restores(keys))
    begun = [seq for _, reason in refusals if (seq := seq_of(reason.get("restore_from")))]
    return Survey(keys, bases, rows["history"], remembered, refusals, restores, min(begun, default=0))


def bases_read(data_dir: Path, store: RowStore, venue: str) -> Iterator[Base]:
    """Yield every snapshot whose seal is right, the newest first; one of a seq may differ from another of the same."""
    recovery = Recovery(venue, data_dir / "snapshots", store, lambda _content: None, Quiet())
    for candidate in recovery.candidates():
        base = base_read(candidate)
        if base is not None:
            yield base


def base_read(candidate: Candidate) -> Base | None:
    """Return a snapshot as it is read, None when it cannot be believed."""
    try:
        document = candidate.read()
        log, events = document["witness"]["log"], document["witness"]["events"]
        if (document["seq"], log["seq"]) != (candidate.seq, candidate.seq):
            return None
        place = int(events["seq"]), int(events["chunk"])
        head = candidate.seq, candidate.place, int(document["rules"]), str(log["digest"])
        return Base(*head, place, str(events["digest"]), candidate.read)
    except (DocumentUnreadable, OSError, KeyError, TypeError, ValueError):
        return None


def base_memory(base: Base) -> Remembered:
    """Return what a snapshot remembers of the log."""
    return Remembered(base.seq, base.log_digest, f"the snapshot at {base.seq} ({base.place})")


def streams_memories(streams: Streams, keys: Keys) -> Iterator[Remembered]:
    """Yield the largest numbers that Redis itself still knows."""
    yield Remembered(streams.log_tip(keys), "", "the log")
    yield Remembered(streams.events_tip(keys)[0], "", "the events")
    leader = streams.leader_read(keys) or {}
    yield Remembered(seq_of(leader.get("seq")), "", "the last leader")
    names = streams.converse(stream_surgery.keys_scan(keys.prefix + "views_cursor*"))
    for text in streams.converse(stream_surgery.values_read(names)) if names else []:
        yield Remembered(seq_of((text or b"").decode("ascii", "replace")), "", "the view reader")


def refusal_memory(place: str, reason: dict[str, Any]) -> Remembered | None:
    """Return the entry that whoever refused remembers, None when it names none."""
    seq = max(seq_of(reason.get(name)) for name in ("remembered", "cursor"))
    holder = str(reason.get("holder") or reason.get("process") or "somebody")
    return Remembered(seq, "", f"{holder} (a refusal in {place})") if seq else None


def seq_of(value: Any) -> int:
    """Return the seq that a refusal, a cursor or a heartbeat states: a number, [seq, chunk] or "seq-chunk"; else 0."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        text = value.partition("-")[0]
        value = int(text) if text.isdigit() and len(text) < 17 else 0
    return value if type(value) is int and 0 < value < SEQ_MAX else 0


async def rows_read(database: Database, venue: str) -> dict[str, Any]:
    """Return what Postgres remembers: refusals, cursors, how often the log was restored."""
    await database.migrate()
    refusals = await database.fetch("SELECT reason FROM refusals WHERE venue = $1 ORDER BY at", venue)
    cursor = await database.fetchrow("SELECT seq, chunk, digest FROM persister_cursor WHERE venue = $1", venue)
    archive = await database.fetchrow("SELECT seq, digest FROM archive_cursor WHERE venue = $1", venue)
    restored = await database.fetch("SELECT seq FROM restorations WHERE venue = $1 ORDER BY seq", venue)
    remembered = [(int(row["seq"]), "", "an earlier restoration") for row in restored]
    history = None
    if cursor is not None and cursor["seq"] > 0:
        history = (int(cursor["seq"]), int(cursor["chunk"])), bytes(cursor["digest"]).hex()
        remembered.append((history[0][0], "", "the history in Postgres"))
    if archive is not None:
        remembered.append((int(archive["seq"]), bytes(archive["digest"]).hex(), "the archive's cursor"))
    reasons = [row["reason"] for row in refusals if isinstance(row["reason"], dict)]
    return {"refusals": reasons, "history": history, "remembered": remembered, "restorations": len(restored)}


class EventsHeld(NamedTuple):
    """The events as the stream holds them: where each unbroken run begins, and what stands at the places asked for."""

    starts: list[Place]  # of every run whose entries name one another
    tip: Place
    digests: dict[Place, str]


def events_survey(streams: Streams, keys: Keys, places: set[Place]) -> EventsHeld:
    """Return how the chain of the events runs, and the digests at some places."""
    starts: list[Place] = []
    digests: dict[Place, str] = {}
    before: bytes | None = None
    for stream_id, fields in raw_read(streams, keys.events, b"-"):
        place = seq_chunk_of_event_id(stream_id)
        if before is None or dict(fields).get(b"p") != before:
            starts.append(place)
        if place in places:
            digests[place] = fields_digest(stream_id, fields).hex()
        before = stream_id
    return EventsHeld(starts, seq_chunk_of_event_id(before) if before else NOWHERE, digests)


def raw_read(streams: Streams, key: str, first: bytes, last: bytes = b"+") -> Iterator[stream_surgery.Raw]:
    """Yield a stream's entries byte for byte, from one id to another, both included."""
    while page := streams.converse(stream_surgery.range_raw(key, first, last, PAGE)):
        yield from page
        first = b"(" + page[-1][0]


def outcomes_read(streams: Streams, keys: Keys, from_seq: int) -> dict[bytes, dict[str, Any]]:
    """Return the stored outcomes of entries from a seq on, by key."""
    found: dict[bytes, dict[str, Any]] = {}
    names = streams.converse(stream_surgery.keys_scan(keys.prefix + "outcome:*"))
    for index in range(0, len(names), PAGE):
        part = names[index : index + PAGE]
        for name, text in zip(part, streams.converse(stream_surgery.values_read(part)), strict=True):
            outcome = outcome_of(text)
            if outcome is not None and seq_of(outcome.get("seq")) >= from_seq:
                found[name] = outcome
    return found


def outcome_of(text: bytes | None) -> dict[str, Any] | None:
    """Return a stored outcome, None when it is none."""
    try:
        outcome = orjson.loads(text or b"")
    except orjson.JSONDecodeError:
        return None
    return outcome if isinstance(outcome, dict) else None


def store_make(database_url: str, venue: str) -> RowStore:
    """Return the rows of Postgres; every call has a bounded time."""
    return RowStore(lambda: Database.connect(database_url), venue, DATABASE_TIMEOUT_S)
