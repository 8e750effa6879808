"""Making a capsule: the state before its first entry rebuilt, its entries applied once, what was live preferred."""

import platform
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from engine import core
from engine.documents import bytes_write_durably, document_pack
from engine.wiring import ENGINE_VERSION
from scripts.capsule_file import VERSION, Execution, capsule_bytes, difference_first
from scripts.exits import ToolStop
from scripts.moments import moment_rebuilt
from scripts.progress import Going
from scripts.sources import Sources
from shared import clock
from shared.records import SCHEMA_VERSION
from shared.rules import RULES_VERSION
from shared.stream_keys import Entry, events_digest
from shared.streams import StreamsError

BATCH = 1_000


def capsule_make(data_dir: Path, archive: Path | None, first_seq: int, last_seq: int, path: Path) -> dict[str, Any]:
    """Write the capsule; return what it holds, and what was different from live already here; raises ToolStop."""
    with Sources(data_dir, archive) as sources:
        tip = sources.log.tip()
        if last_seq > tip:
            raise ToolStop(f"the log ends at entry {tip:,}: there is no entry {last_seq:,} yet; name a smaller --to")
        start = moment_rebuilt(sources, first_seq - 1)
        snapshot = document_of(start.machine, sources.venue) if start.machine.seq else None
        entries = entries_read(sources, start.machine.seq, last_seq)
        execution = Execution(start.machine, {entry_checkpoint(entry) for entry in entries} - {0})
        with Going("capsule", len(entries)) as going:
            for at in range(0, len(entries), BATCH):
                execution.apply(entries[at : at + BATCH])
                going.advance(len(entries[at : at + BATCH]))
        ran = execution.ran()
        expected = {**ran._asdict(), "checkpoints": checkpoints_stated(execution), "events_from": "derived"}
        expected |= events_live(sources, first_seq, last_seq)
    content = capsule_bytes(header_of(sources.venue, first_seq, last_seq), snapshot, iter(entries), expected)
    bytes_write_durably(path, content)
    return {
        "file": str(path), "entries": len(entries), "checkpoints": len(ran.checkpoints), "events": ran.events,
        "bytes": len(content), "trouble": difference_first(expected, ran, first_seq),
    }  # fmt: skip


def header_of(venue: str, first_seq: int, last_seq: int) -> dict[str, Any]:
    """Return the first line: what is in it, and with what it was made."""
    import numba

    return {
        "tidemark": "capsule",
        "v": VERSION,
        "venue": venue,
        "rules": RULES_VERSION,
        "schema": SCHEMA_VERSION,
        "engine_version": ENGINE_VERSION,
        "from": first_seq,
        "to": last_seq,
        "created_us": clock.now_us(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


def document_of(machine: Any, venue: str) -> dict[str, Any]:
    """Return a machine's state as a snapshot's document."""
    header = machine.header()
    buffer = memoryview(bytearray(core.snapshot_size(machine.states) + 4_096))
    content = core.snapshot_document(buffer, machine.copy(buffer))
    frame = {"venue": venue, "engine_version": ENGINE_VERSION, "witness": {}}
    frame |= {"seq": header.seq, "log_time_us": header.log_time_us, "rules": header.rules}
    return document_pack(content, frame)


def entries_read(sources: Sources, after_seq: int, last_seq: int) -> list[Entry]:
    """Return the entries after a seq and up to another; raises ToolStop when they are not all held."""
    entries = list(sources.log.range(after_seq + 1, last_seq))
    if not entries or entries[-1].seq != last_seq:
        end = entries[-1].seq if entries else after_seq
        raise ToolStop(f"log and archive hold nothing between {end:,} and {last_seq:,}; name an --archive that does")
    return entries


def entry_checkpoint(entry: Entry) -> int:
    """Return the keyframe that an entry states a hash of, 0 for any other entry."""
    if not entry.fields or entry.fields[-1][0] != b"checkpoint":
        return 0
    digits = entry.fields[-1][1].removeprefix(b'{"seq":').partition(b",")[0]
    return int(digits) if digits.isdigit() and len(digits) < 19 else 0


def checkpoints_stated(execution: Execution) -> list[tuple[int, str, str]]:
    """Return what the log states of the keyframes in the slice: live's word, not ours."""
    stated = {claim[0]: claim for claim in execution.claims}
    return [stated[own[0]] for own in execution.checkpoints if own[0] in stated]


def events_live(sources: Sources, first_seq: int, last_seq: int) -> dict[str, Any]:
    """Return number and digest of the events that were published live, nothing where they are not all held any more."""
    streams = sources.log.streams
    if streams is None:
        return {}
    digest, count, place = blake2b(digest_size=32), 0, (first_seq, 0)
    try:
        first, tip = streams.events_first(sources.keys), streams.events_tip(sources.keys)
        if first > (first_seq, 0) or tip < (last_seq, 0):
            return {}
        while found := streams.range_events(sources.keys, place, (last_seq, 2**31), BATCH):
            for entry in found:
                count += 1
                digest.update(events_digest(entry))
            place = (found[-1].seq, found[-1].chunk + 1)
    except StreamsError:
        return {}
    return {"events": count, "events_digest": digest.hexdigest(), "events_from": "stream"}
