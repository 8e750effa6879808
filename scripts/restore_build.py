"""
Building the restored streams beside the old ones, reading them back, and putting them in their place in one piece.

A crash before that leaves everything as it was; two streams under other names remain, which the next try removes.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from scripts.exits import ToolStop
from scripts.restore_plan import Plan
from scripts.restore_replay import machine_at, outputs_derive
from scripts.restore_survey import raw_read
from shared import stream_surgery
from shared.stream_keys import Entry, Keys, event_id, events_fields, fields_digest, log_id, restored_body
from shared.stream_surgery import Raw
from shared.streams import Streams

WRITE_ENTRIES = 500
WRITE_BYTES = 4_000_000


class Built(NamedTuple):
    """One stream that stands under its building name."""

    entries: int
    digest: bytes


def restore_run(streams: Streams, plan: Plan, time_us: int, advance: Callable[[int], None]) -> int:
    """Put the planned streams in place; return how often the log has been restored now."""
    keys, survey = plan.survey.keys, plan.survey
    streams.converse(stream_surgery.keys_drop([keys.log_new, keys.events_new]))
    if not plan.log_right:
        built = stream_write(streams, keys.log_new, log_entries(plan, time_us))
        stream_prove(streams, keys.log_new, built)
    events_count = 0
    if not plan.events_right:
        built = stream_write(streams, keys.events_new, events_entries(streams, plan, advance))
        stream_prove(streams, keys.events_new, built)
        events_count = built.entries
    drop = [keys.leader.encode(), *plan.outcomes]
    if not views_follow(streams, keys, keys.events if plan.events_right else keys.events_new):
        drop += streams.converse(stream_surgery.keys_scan(keys.prefix + "views_cursor*"))
        drop += streams.converse(stream_surgery.keys_scan(keys.prefix + "views_witness*"))
    log_last = None if plan.log_right else last_seq(plan)
    restores = survey.restores + 1
    events_new = None if plan.events_right else events_count > 0
    streams.converse(stream_surgery.streams_replace(keys, log_last, events_new, restores, drop))
    if streams.views_cursor_read(keys)[0] is None:
        for pattern in ("view:*account:*", "view:venue", "view:g*:venue"):
            names = streams.converse(stream_surgery.keys_scan(keys.prefix + pattern))
            streams.converse(stream_surgery.keys_drop(names))
    return restores


def views_follow(streams: Streams, keys: Keys, events: str) -> bool:
    """Return whether the views stand on an entry that the restored events hold; others are removed and made anew."""
    cursor, witness = streams.views_cursor_read(keys)
    seq, _, chunk = (cursor or "").partition("-")
    if not (seq.isdigit() and chunk.isdigit()):
        return False
    place = event_id(int(seq), int(chunk))
    found = streams.converse(stream_surgery.range_raw(events, place, place, 1))
    return bool(found) and fields_digest(*found[0]) == witness


def last_seq(plan: Plan) -> int:
    """Return the last number of the restored log: the entry that states what is lost, or the last that is held."""
    return plan.lost[1] + 1 if plan.lost is not None else plan.kept_to


def log_entries(plan: Plan, time_us: int) -> Iterator[Raw]:
    """Yield the restored log: what is held, and where something is lost the one entry that says so."""
    for held in plan.holdings.read_to(plan.walk.first_seq, plan.kept_to):
        yield log_id(held.entry.seq), held.entry.fields
    if plan.lost is not None:
        entry = restored_entry(plan.lost, time_us)
        yield log_id(entry.seq), entry.fields


def restored_entry(lost: tuple[int, int], time_us: int) -> Entry:
    """Return the entry that states a range as lost; its own number is above all that anybody remembers."""
    return Entry(lost[1] + 1, [(b"ts", b"%d" % time_us), (b"restored", restored_body(*lost))])


def events_entries(streams: Streams, plan: Plan, advance: Callable[[int], None]) -> Iterator[Raw]:
    """Yield the restored events: the stream's own up to the snapshot, and what follows as it is derived."""
    if plan.kept_events is not None:
        first, last = plan.kept_events
        yield from raw_read(streams, plan.survey.keys.events, event_id(*first), event_id(*last))
    after_seq = plan.base.seq if plan.base is not None else 0
    entries = plan.holdings.read_to(after_seq + 1, plan.kept_to)
    for output in outputs_derive(machine_at(plan.base), entries, advance, []):
        yield event_id(output.seq, output.chunk), events_fields(output)


def stream_write(streams: Streams, key: str, entries: Iterable[Raw]) -> Built:
    """Return the stream that the entries became."""
    digest, count = blake2b(digest_size=32), 0
    batch: list[Raw] = []
    bytes_count = 0
    for stream_id, fields in entries:
        digest.update(fields_digest(stream_id, fields))
        batch.append((stream_id, fields))
        bytes_count += sum(len(value) for _, value in fields)
        if len(batch) == WRITE_ENTRIES or bytes_count > WRITE_BYTES:
            streams.converse(stream_surgery.append_raw(key, batch))
            count, batch, bytes_count = count + len(batch), [], 0
    if batch:
        streams.converse(stream_surgery.append_raw(key, batch))
    return Built(count + len(batch), digest.digest())


def stream_prove(streams: Streams, key: str, built: Built) -> None:
    """Return when Redis holds what was written, byte for byte; raises ToolStop otherwise."""
    digest, count = blake2b(digest_size=32), 0
    for stream_id, fields in raw_read(streams, key, b"-"):
        digest.update(fields_digest(stream_id, fields))
        count += 1
    if (count, digest.digest()) != (built.entries, built.digest):
        raise ToolStop(
            f"Redis holds {count} entries under {key} where {built.entries} were written: nothing was replaced;"
            " `./scripts/tidemark doctor` looks at the server"
        )
