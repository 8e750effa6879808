"""
What `tidemark top` knows of a venue at one moment, and the figures that two moments make.

Heartbeats and market views come from Redis, everything else from the processes' own pages of metrics; whatever does not
answer is absent from the figures, never zero.
"""

import time
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from scripts.ready import Ready
from shared import metric_names as names
from shared.metric_names import Metric
from shared.streams import Keys, Streams, StreamsError

SCRAPE_TIMEOUT_S = 1.0
ANSWER_S = 1.0  # that Redis may take
MILLISECONDS = 1_000
ENGINE, GATEWAY = "engine", "gateway"
OF_A_PROCESS = (names.PROCESS_SEQ, names.PROCESS_LAG, names.STARTED)

Labels = tuple[tuple[str, str], ...]
Page = dict[str, dict[Labels, float]]  # sample's name -> labels -> value


class Look(NamedTuple):
    """One moment of a venue."""

    monotonic_s: float
    time_us: int
    beats: Mapping[str, Mapping[str, Any]]
    log_seq: int | None  # None: Redis does not answer
    events_seq: int | None
    markets: Mapping[str, Mapping[str, str]]
    pages: Mapping[str, Page]  # by process


class Told(NamedTuple):
    """What Redis says at one moment."""

    beats: Mapping[str, Mapping[str, Any]]
    log_seq: int | None
    events_seq: int | None
    markets: Mapping[str, Mapping[str, str]]


TOLD_NOTHING = Told({}, None, None, {})


class Venue:
    """Where a venue is looked at."""

    def __init__(self, name: str, streams: Streams, metrics: Mapping[str, str], feed: str = "") -> None:
        """Keep the places; nothing is asked yet."""
        self.name = name
        self.streams = streams
        self.metrics = metrics  # process -> address of its page
        self.feed = feed
        self.asking: Future[Told] | None = None  # a question that Redis has not answered yet
        self.pool = ThreadPoolExecutor(1)

    def told(self) -> Told:
        """Return what Redis says within a moment; while it hangs it is asked no second time."""
        if self.asking is None:
            self.asking = self.pool.submit(told, self)
        try:
            found = self.asking.result(ANSWER_S)
        except TimeoutError:
            return TOLD_NOTHING
        except StreamsError:
            found = TOLD_NOTHING
        self.asking = None
        return found

    def close(self) -> None:
        """Let go of everything."""
        self.streams.close()
        self.pool.shutdown(wait=False)


def venue_of(ready: Ready | None, streams: Streams) -> Venue | None:
    """Return the venue that runs on a folder or that Redis names, None when nobody has founded one yet."""
    name = (ready.venue if ready else None) or streams.venue()
    return Venue(name, streams, ready.metrics if ready else {}, ready.feed if ready else "") if name else None


def look(venue: Venue) -> Look:
    """Return what can be seen now."""
    found = venue.told()
    pages = pages_read(addresses(venue.metrics, found.beats))
    return Look(time.monotonic(), time.time_ns() // 1_000, *found, pages)


def told(venue: Venue) -> Told:
    """Return what Redis says; raises StreamsError."""
    streams, keys = venue.streams, Keys(venue.name)
    view = streams.hash_read(Keys(venue.name, streams.views_generation_read(keys).number).view_venue)
    markets = sorted(name.removeprefix("market:") for name in view if name.startswith("market:"))
    return Told(
        streams.heartbeats_read(keys),
        streams.log_tip(keys),
        streams.events_tip(keys)[0],
        {market: streams.hash_read(keys.view_market(market)) for market in markets},
    )


def addresses(stated: Mapping[str, str], beats: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return where pages are: as the ready file states it, and those of other processes of this machine that beat."""
    found = dict(stated)
    for name, beat in beats.items():
        url = f"http://127.0.0.1:{beat.get('metrics_port')}/metrics"
        if beat.get("metrics_port") and url not in found.values():
            found[name] = url
    return found


def pages_read(urls: Mapping[str, str]) -> dict[str, Page]:
    """Return the pages of all processes that answer within a second."""
    if not urls:
        return {}
    with ThreadPoolExecutor(len(urls)) as pool:
        return {name: page for name, page in zip(urls, pool.map(page_read, urls.values()), strict=True) if page}


def page_read(url: str) -> Page:
    """Return one process's page, empty when it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as answer:
            return page_of(answer.read().decode())
    except (OSError, ValueError):
        return {}


def page_of(text: str) -> Page:
    """Return a page of metrics by sample and labels; raises ValueError for what is none."""
    page: Page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            page.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return page


class Window:
    """Two moments of the same pages: what grew between them."""

    def __init__(self, before: Look | None, now: Look) -> None:
        """Compare; without an earlier moment everything grew since the processes began."""
        self.before = before
        self.now = now
        self.seconds = now.monotonic_s - before.monotonic_s if before else None

    def growth(self, sample: str, **labels: str) -> float:
        """Return by how much the samples of a name with these labels grew, on all pages; a restart begins at 0."""
        grown = 0.0
        for process, page in self.now.pages.items():
            earlier = self.before.pages.get(process, {}) if self.before else {}
            for found, value in page.get(sample, {}).items():
                if labels.items() <= dict(found).items():
                    past = earlier.get(sample, {}).get(found, 0.0)
                    grown += value - past if value >= past else value
        return grown

    def rate(self, metric: Metric, **labels: str) -> float | None:
        """Return a counter's growth a second, None without an earlier moment."""
        return self.growth(metric.name, **labels) / self.seconds if self.seconds else None

    def quantile_ms(self, metric: Metric, share: float, **labels: str) -> float | None:
        """Return the time that this share of what was observed between the moments took at most; None for nothing."""
        bounds: dict[float, float] = {}
        for page in self.now.pages.values():
            for found in page.get(f"{metric.name}_bucket", {}):
                bounds.setdefault(float(dict(found)["le"]), 0.0)
        for bound in bounds:
            text = "+Inf" if bound == float("inf") else repr(bound)
            bounds[bound] = self.growth(f"{metric.name}_bucket", le=text, **labels)
        return quantile(sorted(bounds.items()), share)

    def values(self, metric: Metric, label: str) -> list[str]:
        """Return the values that a label of a metric has on any page."""
        found = {dict(labels)[label] for page in self.now.pages.values() for labels in page.get(metric.name, {})}
        return sorted(found)

    def gauges(self, metric: Metric, **labels: str) -> list[float]:
        """Return a gauge's values on all pages."""
        return [
            value
            for page in self.now.pages.values()
            for found, value in page.get(metric.name, {}).items()
            if labels.items() <= dict(found).items()
        ]


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    """Return a quantile in ms of cumulated buckets in s, even within a bucket; the last bound for what lies beyond."""
    counts = list(buckets)
    if not counts or counts[-1][1] <= 0:
        return None
    wanted = share * counts[-1][1]
    below_bound = below_count = 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return below_bound * MILLISECONDS
            inside = count - below_count
            part = (wanted - below_count) / inside if inside else 1.0
            return (below_bound + (bound - below_bound) * part) * MILLISECONDS
        below_bound, below_count = bound, count
    return below_bound * MILLISECONDS


def figures_of(venue: Venue, window: Window) -> dict[str, Any]:
    """Return everything that the screen shows, ready for JSON."""
    now = window.now
    return {
        "venue": venue.name,
        "feed": venue.feed,
        "time_us": now.time_us,
        "window_s": round(window.seconds, 3) if window.seconds else None,
        "redis": now.log_seq is not None,
        "ready": any(window.gauges(names.READY)) if GATEWAY in {role_of(name) for name in now.pages} else None,
        "degraded": window.values(names.DEGRADED, "part"),
        "log_seq": now.log_seq,
        "events_seq": now.events_seq,
        "entries_per_s": per_s(window, "log_seq"),
        "processes": processes_of(now),
        "markets": [market_figures(market, view, now.time_us) for market, view in now.markets.items()],
        "orders": orders_of(window),
        "engine": engine_of(window),
        "readers": {
            reader: most(window.gauges(names.LAG, reader=reader)) for reader in window.values(names.LAG, "reader")
        },
        "feed_up": most(window.gauges(names.FEED_UP)),
        "feed_age_s": most(window.gauges(names.FEED_AGE)),
        "sockets": total(window.gauges(names.SOCKETS)),
        "backlog_bytes": most(window.gauges(names.BACKLOG)),
        "insurance_fund": least(window.gauges(names.INSURANCE)),
        "mails_waiting": total(window.gauges(names.MAIL_QUEUE)),
    }


def role_of(name: str) -> str:
    """Return what a process of this name is: `engine2` and `engine:4c1f` are engines."""
    return next((role for role in (ENGINE, GATEWAY) if name.startswith(role)), name)


def per_s(window: Window, field: str) -> float | None:
    """Return by how much a seq of the moments grew a second."""
    before = getattr(window.before, field) if window.before else None
    now = getattr(window.now, field)
    return None if before is None or now is None or not window.seconds else (now - before) / window.seconds


def processes_of(now: Look) -> list[dict[str, Any]]:
    """Return the processes that beat, engines first; without a heartbeat one says on its own page who it is."""
    found: dict[str, dict[str, Any]] = {}
    for page in now.pages.values():
        for labels in page.get(names.UP.name, {}):
            name, role = dict(labels)["process"], dict(labels)["role"]
            own = (("process", name),)
            seq, lag, since_s = (page.get(metric.name, {}).get(own) for metric in OF_A_PROCESS)
            found[name] = {"name": name, "role": role, "pid": None, "seq": seq, "lag": lag, "since_s": since_s}
    for name, beat in now.beats.items():
        since_us = beat.get("since_us")
        fields = {field: beat.get(field) for field in ("role", "pid", "seq", "lag")}
        found[name] = {"name": name, **fields, "since_s": since_us / 1_000_000 if since_us else None}
    for row in found.values():
        since_s = row.pop("since_s")
        row["lived_s"] = int(now.time_us / 1_000_000 - since_s) if since_s else None
    return sorted(found.values(), key=lambda row: (role_of(row["name"]) != ENGINE, row["name"]))


def market_figures(market: str, view: Mapping[str, str], time_us: int) -> dict[str, Any]:
    """Return what a market's view says."""
    fields = {name: view.get(name) for name in ("bid", "ask", "mark", "open_interest", "state")}
    quote_us = int(view.get("quote_us") or 0)
    age_s = max(0.0, (time_us - quote_us) / 1_000_000) if quote_us else None
    return {"market": market, **fields, "quote_age_s": age_s, "fresh": view.get("fresh") == "1"}


def orders_of(window: Window) -> dict[str, Any]:
    """Return how many instructions came, how long they took, and what became of them."""
    codes = {code: window.rate(names.RESULTS, code=code) for code in window.values(names.RESULTS, "code")}
    return {
        "per_s": window.rate(names.RESULTS),
        "p50_ms": window.quantile_ms(names.ORDERS, 0.5),
        "p99_ms": window.quantile_ms(names.ORDERS, 0.99),
        "stages_p99_ms": {
            stage: window.quantile_ms(names.STAGES, 0.99, stage=stage) for stage in ("parse", "log", "engine", "answer")
        },
        "results_per_s": {code: rate for code, rate in codes.items() if rate},
    }


def engine_of(window: Window) -> dict[str, Any]:
    """Return what the engines say of their work."""
    return {
        "apply_p99_ms": window.quantile_ms(names.APPLY, 0.99),
        "trigger_p99_ms": window.quantile_ms(names.TRIGGER, 0.99),
        "pause_p99_ms": window.quantile_ms(names.PAUSE, 0.99),
        "snapshot_age_s": least(window.gauges(names.SNAPSHOT_AGE)),
        "kept": most(window.gauges(names.KEPT)),
    }


def most(values: list[float]) -> float | None:
    """Return the greatest value, None for none."""
    return max(values) if values else None


def least(values: list[float]) -> float | None:
    """Return the smallest value, None for none."""
    return min(values) if values else None


def total(values: list[float]) -> float | None:
    """Return the sum, None for nothing."""
    return sum(values) if values else None
