"""
The heartbeats as Prometheus reads them: plain text, one line a sample; pure.

A process that is away has no lines but is not forgotten by whoever watches: its `tidemark_process_up` is absent.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.processes import ENGINE, LEADER, PERSISTER, Beats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metric(NamedTuple):
    """One metric: its name, whether it only grows, and what it says."""

    name: str
    kind: str  # gauge or counter
    text: str


class Facts(NamedTuple):
    """What this gateway itself has seen."""

    ready: bool
    tip_seq: int
    snapshot_age_s: float | None  # None: not known


# Heartbeat field -> metric, of every process, of each engine, and of the persister.
OF_PROCESSES = {
    "seq": Metric("tidemark_process_seq", "gauge", "Entry that the process stands at."),
    "lag": Metric("tidemark_process_lag_entries", "gauge", "Entries that the process is behind."),
}
OF_ENGINES = {
    "promotions": Metric("tidemark_engine_promotions_total", "counter", "Times that this engine took the lead."),
    "checkpoint_mismatches": Metric(
        "tidemark_engine_checkpoint_mismatch_total", "counter", "Checkpoints with another hash than its own."
    ),
    "kept": Metric("tidemark_engine_kept_outputs", "gauge", "Outputs not yet seen in the events."),
    "snapshot_seq": Metric("tidemark_engine_snapshot_seq", "gauge", "Entry of the newest durable snapshot."),
    "snapshots_skipped": Metric("tidemark_engine_snapshots_skipped_total", "counter", "Keyframes not written."),
}
OF_PERSISTER = {
    "archive_seq": Metric("tidemark_archive_seq", "gauge", "Newest entry on the archive's disk."),
    "keyframes_counted": Metric("tidemark_keyframes_counted", "gauge", "Keyframes read back and hashed again."),
    "history_rejects": Metric("tidemark_history_rejects_total", "counter", "Events that history could not take."),
    "generation": Metric("tidemark_views_generation", "gauge", "Generation of views in force."),
}
UP = Metric("tidemark_process_up", "gauge", "1 for every process that says that it lives.")
READY = Metric("tidemark_ready", "gauge", "1 while this gateway takes instructions.")
TIP = Metric("tidemark_events_seq", "gauge", "Entry of the newest event.")
SNAPSHOT_AGE = Metric("tidemark_engine_snapshot_age_seconds", "gauge", "Age of the snapshot's row in Postgres.")
LEADS = Metric("tidemark_engine_leader", "gauge", "1 for the engine that leads.")
PROMOTION = Metric("tidemark_engine_promotion_seconds", "gauge", "From the last leader's silence to its own lead.")
TRIMMED = Metric("tidemark_trim_seq", "gauge", "First entry that a stream still holds.")

Sample = tuple[Metric, Mapping[str, str], float]


def metrics_render(beats: Beats, facts: Facts) -> str:
    """Return everything known as Prometheus' text format."""
    lines: list[str] = []
    told: set[str] = set()
    samples = sorted(samples_of(beats, facts), key=lambda sample: (sample[0].name, sorted(sample[1].items())))
    for metric, labels, value in samples:
        if metric.name not in told:
            told.add(metric.name)
            lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]
        listed = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
        lines.append(f"{metric.name}{f'{{{listed}}}' if listed else ''} {number(value)}")
    return "\n".join(lines) + "\n"


def samples_of(beats: Beats, facts: Facts) -> Iterator[Sample]:
    """Yield every sample."""
    yield READY, {}, facts.ready
    yield TIP, {}, facts.tip_seq
    if facts.snapshot_age_s is not None:
        yield SNAPSHOT_AGE, {}, facts.snapshot_age_s
    for name, beat in beats.items():
        role = str(beat.get("role", ""))
        yield UP, {"process": name, "role": role}, 1
        yield from fields_of(beat, OF_PROCESSES, {"process": name})
        if name == ENGINE or name.startswith(f"{ENGINE}:"):
            yield from engine_samples(beat, role)
        elif name == PERSISTER:
            yield from fields_of(beat, OF_PERSISTER, {})
            for stream in ("log", "events"):
                yield from fields_of(beat, {f"trim_{stream}_seq": TRIMMED}, {"stream": stream})


def engine_samples(beat: Mapping[str, Any], role: str) -> Iterator[Sample]:
    """Yield what one engine says."""
    who = {"who": str(beat.get("who", ""))}
    yield LEADS, who, role == LEADER
    yield from fields_of(beat, OF_ENGINES, who)
    if isinstance(beat.get("promotion_ms"), int | float):
        yield PROMOTION, who, beat["promotion_ms"] / 1_000


def fields_of(beat: Mapping[str, Any], metrics: Mapping[str, Metric], labels: Mapping[str, str]) -> Iterator[Sample]:
    """Yield the numbers among some fields of a heartbeat."""
    for field, metric in metrics.items():
        if isinstance(beat.get(field), int | float):
            yield metric, labels, beat[field]


def number(value: float) -> str:
    """Return a sample's value: whole numbers whole, whatever their size."""
    return str(int(value)) if value == int(value) else repr(float(value))


def escaped(text: str) -> str:
    """Return a label's value as it stands between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
