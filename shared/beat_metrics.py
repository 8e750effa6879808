"""
Heartbeats as metrics: each process says them of itself on its own page, a gateway of every process it hears of; pure.

A process that is away has no samples but is not forgotten by whoever watches: its `tidemark_process_up` is absent.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from shared import metric_names as names
from shared.metric_names import Metric
from shared.metrics import Sample

ENGINE = "engine"
LEADER = "leader"
PERSISTER = "persister"

# Heartbeat field -> metric, of every process, of each engine, and of the persister.
OF_PROCESSES = {"seq": names.PROCESS_SEQ, "lag": names.PROCESS_LAG}
OF_ENGINES = {
    "promotions": names.PROMOTIONS,
    "checkpoint_mismatches": names.MISMATCHES,
    "kept": names.KEPT,
    "snapshot_seq": names.SNAPSHOT_SEQ,
    "snapshots_skipped": names.SNAPSHOTS_SKIPPED,
}
OF_PERSISTER = {
    "archive_seq": names.ARCHIVE_SEQ,
    "keyframes_counted": names.KEYFRAMES,
    "history_rejects": names.REJECTS,
    "generation": names.GENERATION,
}
TRIMMED_FIELDS = {"log": "trim_log_seq", "events": "trim_events_seq"}


def beats_samples(beats: Mapping[str, Mapping[str, Any]]) -> Iterator[Sample]:
    """Yield what all heartbeats say; an engine promoted a moment ago beats under two names, and counts as leader."""
    for name, beat in sorted(beats.items(), key=lambda item: item[1].get("role") == LEADER):
        yield from beat_samples(name, beat)


def beat_samples(name: str, beat: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield what one heartbeat says."""
    role = str(beat.get("role", ""))
    yield Sample(names.UP, (name, role), 1)
    yield from fields_of(beat, OF_PROCESSES, (name,))
    if isinstance(beat.get("since_us"), int):
        yield Sample(names.STARTED, (name,), beat["since_us"] / 1_000_000)
    if name == ENGINE or name.startswith(f"{ENGINE}:"):
        yield from engine_samples(beat, role)
    elif name == PERSISTER:
        yield from fields_of(beat, OF_PERSISTER, ())
        yield Sample(names.ARCHIVE_TROUBLE, (), bool(beat.get("archive_error")))
        for stream, field in TRIMMED_FIELDS.items():
            yield from fields_of(beat, {field: names.TRIMMED}, (stream,))


def engine_samples(beat: Mapping[str, Any], role: str) -> Iterator[Sample]:
    """Yield what one engine says."""
    who = (str(beat.get("who", "")),)
    yield Sample(names.LEADS, who, role == LEADER)
    yield from fields_of(beat, OF_ENGINES, who)
    if isinstance(beat.get("promotion_ms"), int | float):
        yield Sample(names.PROMOTION, who, beat["promotion_ms"] / 1_000)


def fields_of(beat: Mapping[str, Any], metrics: Mapping[str, Metric], labels: tuple[str, ...]) -> Iterator[Sample]:
    """Yield the numbers among some fields of a heartbeat."""
    for field, metric in metrics.items():
        if isinstance(beat.get(field), int | float):
            yield Sample(metric, labels, beat[field])
