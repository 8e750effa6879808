"""Instruments add up, pages are Prometheus' text, and one rule says who may read them."""

import itertools
import math
import socket
import timeit
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import RemoteDisconnected
from typing import Any

import pytest
from prometheus_client import core, generate_latest

from shared import metric_names as names
from shared.metric_names import METRICS, PREFIX, Metric
from shared.metrics import BOUNDS_S, Counts, Sample, Times, TimesBy, page_render
from shared.metrics_server import metrics_serve, reader_permitted
from tests.metrics_text import read


class Families:
    """Some families, as the client library asks for them."""

    def __init__(self, families: list[Any]) -> None:
        self.families = families

    def collect(self) -> list[Any]:
        return self.families


class ListLog:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (0.00025, 0), (0.000251, 1), (0.9, 11), (1.0, 11), (10.0, 14), (11.0, 15)]
)
def test_a_value_falls_into_the_first_bucket_that_bounds_it(value: float, bucket: int) -> None:
    """A bound belongs to its bucket, and what exceeds all bounds is counted too."""
    times = Times()
    times.observe(value)
    assert times.counts.index(1) == bucket
    assert (sum(times.counts), times.total) == (1, value)


def test_a_page_is_text_that_prometheus_reads() -> None:
    """Gauges, counters and distributions come back as they went in; buckets are cumulated, the last is everything."""
    stages = TimesBy()
    for seconds in (0.0004, 0.0004, 3.0, 99.0):
        stages.observe(seconds, "log", "http")
    results = Counts([("order_place", "OK")])
    results.add("order_place", "OK")
    results.add('or"der\n', "a\\b", count=2)
    page = page_render(
        [
            *stages.samples(names.STAGES),
            *results.samples(names.RESULTS),
            Sample(names.READY, (), True),
            Sample(names.PROCESS_SEQ, ("engine",), 41_220),
        ]
    )
    found = read(page)
    assert found["tidemark_ready", ()] == 1
    assert found["tidemark_process_seq", (("process", "engine"),)] == 41_220
    assert found["tidemark_results_total", (("code", "OK"), ("op", "order_place"))] == 1
    assert found["tidemark_results_total", (("code", "a\\b"), ("op", 'or"der\n'))] == 2
    stage = (("stage", "log"), ("via", "http"))
    assert found["tidemark_order_stage_seconds_count", stage] == 4
    assert found["tidemark_order_stage_seconds_sum", stage] == pytest.approx(102.0008)
    bounds = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "tidemark_order_stage_seconds_bucket"
    }
    assert len(bounds) == len(BOUNDS_S) + 1
    assert (bounds["0.00025"], bounds["0.0005"], bounds["2.5"], bounds["5.0"], bounds["+Inf"]) == (0, 2, 2, 3, 4)


def test_prometheus_own_client_writes_the_same() -> None:
    """What is written here is what the client library would write of the same values, infinities and all."""
    times = TimesBy()
    for seconds in (0.0, 0.0003, 0.7, 80.0):
        times.observe(seconds, "GET /a", "200")
    values = {"plain": 3.0, 'quo"ted\\\n': -0.5, "large": 2.0**60, "endless": math.inf, "none": math.nan}
    ours = page_render(
        [
            *times.samples(names.HTTP),
            *(Sample(names.PROCESS_SEQ, (name,), value) for name, value in values.items()),
            Sample(names.RESULTS, ("op", "OK"), 7),
        ]
    )
    counted = times.by["GET /a", "200"]
    below = list(itertools.accumulate(counted.counts))
    bounds = [*(repr(bound) for bound in BOUNDS_S), "+Inf"]
    http = core.HistogramMetricFamily(names.HTTP.name, names.HTTP.text, labels=names.HTTP.labels)
    http.add_metric(["GET /a", "200"], list(zip(bounds, below, strict=True)), counted.total)
    seq = core.GaugeMetricFamily(names.PROCESS_SEQ.name, names.PROCESS_SEQ.text, labels=names.PROCESS_SEQ.labels)
    for name in sorted(values):
        seq.add_metric([name], values[name])
    results = core.CounterMetricFamily(names.RESULTS.name, names.RESULTS.text, labels=names.RESULTS.labels)
    results.add_metric(["op", "OK"], 7)
    theirs = generate_latest(Families([http, seq, results]))  # type: ignore[arg-type]
    both = [{key: repr(float(value)) for key, value in read(page).items()} for page in (ours, theirs)]
    assert both[0] == both[1]
    comments = [line for line in theirs.splitlines() if line.startswith(b"#")]
    assert [line for line in ours.splitlines() if line.startswith(b"#")] == comments


def test_a_large_page_is_quick() -> None:
    """A gateway that has served everything writes its page in well under 0.1 s: nobody may wait for it."""
    times = TimesBy()
    for route in range(100):
        for status in (200, 400, 429):
            times.observe(0.001, f"GET /{route}", str(status))
    samples = list(times.samples(names.HTTP))
    assert min(timeit.repeat(lambda: page_render(samples), number=1, repeat=5)) < 0.1


def test_of_two_samples_with_equal_labels_the_later_stands() -> None:
    """Prometheus refuses a whole page with a sample twice; an engine that beats under two names must not do that."""
    samples = [Sample(names.LEADS, ("aa",), 0), Sample(names.LEADS, ("aa",), 1)]
    assert read(page_render(samples)) == {("tidemark_engine_leader", (("who", "aa"),)): 1}


def test_only_what_the_table_names_is_exported() -> None:
    """A metric that is not in the table, or has other labels than it says there, is our mistake."""
    with pytest.raises(AssertionError, match="not in the table"):
        page_render([Sample(Metric("tidemark_ready", names.GAUGE, "another"), (), 1)])
    with pytest.raises(AssertionError, match="has the labels"):
        page_render([Sample(names.READY, ("too many",), 1)])


def test_names_follow_prometheus_customs() -> None:
    """Counters end in _total, times in _seconds, all begin with our name; each says in a sentence what it is."""
    for name, metric in METRICS.items():
        assert name == metric.name and name.startswith(PREFIX)
        assert name.endswith("_total") == (metric.kind == names.COUNTER), name
        assert "\\" not in metric.text and "\n" not in metric.text, name
        assert metric.text.endswith(".") and metric.text[0].isupper() | metric.text[0].isdigit(), name
        if metric.kind == names.HISTOGRAM:
            assert name.endswith(("_seconds", "_entries")), name
    told = {name for exported in names.EXPORTED.values() for name in exported}
    assert told == set(METRICS)


@pytest.mark.parametrize(
    ("host", "headers", "token", "permitted"),
    [
        ("127.0.0.1", {}, "", True),
        ("::1", {}, "", True),
        ("::ffff:127.0.0.1", {}, "", True),
        ("192.0.2.7", {}, "", False),
        ("", {}, "", False),
        ("127.0.0.1", {"x-forwarded-for": "192.0.2.7"}, "", False),
        ("127.0.0.1", {"forwarded": "for=192.0.2.7"}, "", False),
        ("127.0.0.1", {"host": "127.0.0.1:8080"}, "", True),
        ("127.0.0.1", {"host": "localhost:8080"}, "", True),
        ("::1", {"host": "[::1]:8080"}, "", True),
        ("127.0.0.1", {"host": "rebound.example.org:8080"}, "", False),
        ("127.0.0.1", {"host": "["}, "", False),
        ("192.0.2.7", {"authorization": "Bearer t0ken"}, "t0ken", True),
        ("192.0.2.7", {"authorization": "Bearer t0ken", "host": "gateway:8080"}, "t0ken", True),
        ("192.0.2.7", {"authorization": "bearer  t0ken "}, "t0ken", True),
        ("192.0.2.7", {"authorization": "Bearer t0ken2"}, "t0ken", False),
        ("192.0.2.7", {"authorization": "Basic t0ken"}, "t0ken", False),
        ("192.0.2.7", {"authorization": "Bearer "}, "", False),
        ("192.0.2.7", {"authorization": "Bearer tökén"}, "t0ken", False),
    ],
)
def test_who_may_read(host: str, headers: dict[str, str], token: str, permitted: bool) -> None:
    """This very machine may, unless somebody came through a proxy; from elsewhere only who bears the token."""
    assert reader_permitted(host, headers, token) is permitted


def http(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """Return status and body of one GET."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_process_serves_its_page() -> None:
    """/health and /metrics answer, nothing else is there; a page that cannot be made costs one line of the log."""
    log, broken = ListLog(), False

    def samples() -> Iterator[Sample]:
        if broken:
            raise RuntimeError("a fault of ours")
        yield Sample(names.READY, (), 1)

    server = metrics_serve("127.0.0.1", free_port(), samples, "", log)
    assert server is not None
    try:
        port = server.server_address[1]
        assert http(port, "/health") == (200, b'{"status":"ok"}')
        status, page = http(port, "/metrics?x=1")
        assert (status, read(page)) == (200, {("tidemark_ready", ()): 1})
        assert http(port, "/metrics", **{"X-Forwarded-For": "192.0.2.7"})[0] == 401
        assert http(port, "/")[0] == 404
        broken = True
        with pytest.raises(RemoteDisconnected):
            http(port, "/metrics")
        assert log.lines == [("metrics_failed", {"reason": "RuntimeError: a fault of ours"})]
        broken = False
        assert http(port, "/metrics")[0] == 200
        again = metrics_serve("127.0.0.1", port, samples, "", log)
        assert again is None and log.lines[-1][0] == "metrics_unserved"
    finally:
        server.shutdown()
        server.server_close()
    assert metrics_serve("127.0.0.1", 0, samples, "", log) is None


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
