"""
Every metric that any process exports: its name, its labels, what it says; one table, which docs and dashboards follow.

Seconds are histograms unless they are an age. Labels come from closed sets alone: a route's template, never a path.
"""

from typing import NamedTuple

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
PREFIX = "tidemark_"


class Metric(NamedTuple):
    """One metric."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {}
EXPORTED: dict[str, list[str]] = {"engine": [], "poller": [], "persister": [], "gateway": []}


def gauge(roles: str, name: str, text: str, *labels: str) -> Metric:
    """Return a value that goes up and down, written down as exported by these processes."""
    return _named(roles, Metric(PREFIX + name, GAUGE, text, labels))


def counter(roles: str, name: str, text: str, *labels: str) -> Metric:
    """Return a value that only grows while its process lives."""
    assert name.endswith("_total"), name
    return _named(roles, Metric(PREFIX + name, COUNTER, text, labels))


def histogram(roles: str, name: str, text: str, *labels: str) -> Metric:
    """Return a distribution."""
    return _named(roles, Metric(PREFIX + name, HISTOGRAM, text, labels))


def _named(roles: str, metric: Metric) -> Metric:
    """Return the metric, which stands in the tables from now on."""
    assert metric.name not in METRICS, metric.name
    METRICS[metric.name] = metric
    for role in roles.split():
        EXPORTED[role].append(metric.name)
    return metric


ALL = "engine poller persister gateway"

BUILD = gauge(ALL, "build_info", "1; its labels say which build this process is.", "version", "rules")
LAG = gauge(
    "engine persister gateway",
    "lag_entries",
    "Entries between a reader of this process and its stream's end.",
    "reader",
)

# From heartbeats: each process says it of itself, a gateway of all that it hears of. Take `max by (…)` of them.
UP = gauge(ALL, "process_up", "1 for every process that says that it lives.", "process", "role")
STARTED = gauge(ALL, "process_start_time_seconds", "Since when the process lives, in Unix time.", "process")
PROCESS_SEQ = gauge(ALL, "process_seq", "Entry that the process stands at.", "process")
PROCESS_LAG = gauge(ALL, "process_lag_entries", "Entries that the process is behind.", "process")
LEADS = gauge("engine gateway", "engine_leader", "1 for the engine that leads.", "who")
PROMOTIONS = counter("engine gateway", "engine_promotions_total", "Times that this engine took the lead.", "who")
PROMOTION = gauge(
    "engine gateway", "engine_promotion_seconds", "From the last leader's silence to its own lead.", "who"
)
MISMATCHES = counter(
    "engine gateway", "engine_checkpoint_mismatch_total", "Checkpoints with another hash than its own.", "who"
)
KEPT = gauge("engine gateway", "engine_kept_outputs", "Outputs not yet seen in the events.", "who")
SNAPSHOT_SEQ = gauge("engine gateway", "engine_snapshot_seq", "Entry of the newest durable snapshot.", "who")
SNAPSHOTS_SKIPPED = counter("engine gateway", "engine_snapshots_skipped_total", "Keyframes not written.", "who")
SNAPSHOT_AGE = gauge(
    "engine gateway", "engine_snapshot_age_seconds", "Age of the newest durable snapshot; of its row, in the gateway."
)
ARCHIVE_SEQ = gauge("persister gateway", "archive_seq", "Newest entry on the archive's disk.")
ARCHIVE_TROUBLE = gauge("persister gateway", "archive_trouble", "1 while the archive cannot be written.")
KEYFRAMES = gauge("persister gateway", "keyframes_counted", "Keyframes read back and hashed again.")
REJECTS = counter("persister gateway", "history_rejects_total", "Events that history could not take.")
GENERATION = gauge("persister gateway", "views_generation", "Generation of views in force.")
TRIMMED = gauge("persister gateway", "trim_seq", "First entry that a stream still holds.", "stream")

APPLY = histogram("engine", "engine_apply_seconds", "From a batch of entries read to all of it applied.")
BATCH = histogram("engine", "engine_batch_entries", "Entries that one read of the log brought.")
ENTRIES = counter("engine", "engine_entries_total", "Entries applied since the process began.")
OUTPUTS = counter("engine", "engine_published_total", "Chunks of events published since the process began.")
TRIGGER = histogram(
    "engine", "engine_tick_to_trigger_seconds", "From a tick's stamp to the events of the triggers it fired published."
)
PAUSE = histogram("engine", "engine_snapshot_pause_seconds", "That the loop stood still to copy its state.")
REDIS_LOSSES = counter("engine", "engine_redis_losses_total", "Connections to Redis that broke.")

FEED_UP = gauge("poller", "feed_up", "1 while the outside venue's feed is subscribed.")
FEED_AGE = gauge("poller", "feed_age_seconds", "Since the last readable frame of a market.", "market")
FEED_FRAMES = counter("poller", "feed_frames_total", "Frames that came from the feed.", "kind")
FEED_RECONNECTS = counter("poller", "feed_reconnects_total", "Sessions of the feed that ended.", "reason")
FEED_WAITING = gauge("poller", "feed_waiting_entries", "Quotes and ticks that wait for the log.")
FEED_DISCARDED = counter("poller", "feed_discarded_total", "Quotes dropped because the log did not take them in time.")
FEED_OUTAGES = counter("poller", "feed_log_outages_total", "Times that the log took nothing.")
FEED_APPENDED = counter("poller", "feed_appended_total", "Entries that the log took.", "kind")
FEED_APPEND = histogram("poller", "feed_append_seconds", "From a batch of quotes sent to the log to its answer.")

HISTORY_BATCH = histogram("persister", "history_batch_seconds", "One transaction of history in Postgres.")
HISTORY_ROWS = counter("persister", "history_rows_total", "Rows of history that were written.", "kind")
VIEWS_COMMIT = histogram("persister", "views_commit_seconds", "One write of account views to Redis.")
VIEWS_ENTRIES = counter("persister", "views_entries_total", "Chunks of events that the views took.")

READY = gauge("gateway", "ready", "1 while this gateway takes instructions.")
DEGRADED = gauge("gateway", "degraded", "1 for each part that is not as it should be.", "part")
INSURANCE = gauge("gateway", "insurance_fund", "What the insurance fund holds, in the quote currency; to look at.")
TIP = gauge("gateway", "events_seq", "Entry of the newest event.")
STAGES = histogram("gateway", "order_stage_seconds", "How long each stage of an instruction took.", "stage", "via")
ORDERS = histogram(
    "gateway", "order_seconds", "From an instruction's coming to its outcome known; unknown ones do not count.", "via"
)
RESULTS = counter("gateway", "results_total", "Instructions by what became of them.", "op", "code")
HTTP = histogram("gateway", "http_seconds", "From a request's header to its answer.", "route", "status")
SOCKETS = gauge("gateway", "ws_sockets", "WebSocket connections that are open.")
BACKLOG = gauge("gateway", "ws_backlog_bytes", "Bytes that the slowest reader of a WebSocket has not taken.")
DROPPED = counter("gateway", "ws_dropped_total", "WebSocket connections that this gateway closed.", "code")
GAPS = counter("gateway", "ws_gap_total", "Resumptions that could not be whole.", "reason")
RING = gauge("gateway", "ring_entries", "Entries of the events kept for those who resume.")
TAIL_LAG = gauge("gateway", "tail_lag_seconds", "Since this gateway had read the newest event.")
LIMITED = counter("gateway", "limited_total", "Requests refused by a rate limit.", "limit")
MAIL = counter("gateway", "mail_total", "Tries to send a mail.", "transport", "outcome")
MAIL_QUEUE = gauge("gateway", "mail_queue", "Mails that wait.")
AUTH = counter("gateway", "auth_total", "Callers who said who they are.", "way", "outcome")
PREVIEW = histogram("gateway", "preview_seconds", "One answer of the order calculator.")
