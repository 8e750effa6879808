"""`tidemark top`: figures follow from two moments, the screen fits into 80 columns, and no venue is one sentence."""

import io
import json
import threading
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from scripts import cli
from scripts.ready import Ready
from scripts.top_facts import (
    TOLD_NOTHING,
    Look,
    Page,
    Venue,
    Window,
    addresses,
    figures_of,
    page_of,
    page_read,
    quantile,
    venue_of,
)
from scripts.top_screen import WIDTH, lived, screen
from shared import metric_names as names
from shared.metrics import Sample, TimesBy, page_render
from shared.streams import StreamsDown

NOW_US = 1_767_225_600_000_000
BEATS = {
    "engine": {"role": "leader", "pid": 4_194_304, "seq": 123_456_789, "lag": 0, "since_us": NOW_US - 90_000_000},
    "engine:0123456789abcdef": {"role": "recovering", "pid": 12, "seq": 123_000_000, "lag": 456_789},
    "gateway:65535": {"role": "gateway", "pid": 13, "seq": 123_456_789, "lag": 0, "since_us": NOW_US - 9 * 10**11},
    "persister": {"role": "persister", "pid": 14, "seq": 123_456_700, "lag": 89, "metrics_port": 9_999},
}
MARKET = {
    "bid": "104250.10", "ask": "104250.20", "mark": "104250.15", "open_interest": "123.45678", "state": "open",
    "fresh": "1", "quote_us": str(NOW_US - 400_000),
}  # fmt: skip


class NoStreams:
    """Redis, not asked in these tests."""

    def venue(self) -> str | None:
        """Return no venue."""
        return None


def venue(**metrics: str) -> Venue:
    """Return a venue of which nothing is asked."""
    return Venue("abcdefghij", NoStreams(), metrics, "recording:2026-01-01_flash_crash")  # type: ignore[arg-type]


def gateway_page(orders: int, seconds: float, refused: int = 0) -> Page:
    """Return a gateway's page after so many orders that took so long."""
    took, stages = TimesBy(), TimesBy()
    for _ in range(orders):
        took.observe(seconds, "http")
        stages.observe(seconds / 2, "engine", "http")
    samples = [
        *took.samples(names.ORDERS),
        *stages.samples(names.STAGES),
        Sample(names.RESULTS, ("order_place", "OK"), orders),
        Sample(names.RESULTS, ("order_place", "REDUCE_ONLY_WOULD_INCREASE"), refused),
        Sample(names.READY, (), 1),
        Sample(names.DEGRADED, ("fsync",), 1),
        Sample(names.LAG, ("tail",), 3),
        Sample(names.SOCKETS, (), 12),
    ]
    return parsed(samples)


def parsed(samples: list[Sample]) -> Page:
    """Return samples as `top` reads them from a page."""
    return page_of(page_render(samples).decode())


def moment(seconds: float, pages: dict[str, Page], beats: Any = BEATS, log_seq: int | None = 1_000) -> Look:
    """Return one moment."""
    return Look(seconds, NOW_US, beats, log_seq, log_seq, {"BTC_USDC_PERP": MARKET, "EMPTY_USDC_PERP": {}}, pages)


def drawn(figures: dict[str, Any]) -> list[str]:
    """Return the lines of a screen on a terminal of 80 columns."""
    out = io.StringIO()
    Console(file=out, width=WIDTH).print(screen(figures))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([], 0.5, None),
        ([(1.0, 0), (float("inf"), 0)], 0.5, None),
        ([(0.001, 0), (0.002, 10), (float("inf"), 10)], 0.5, 1.5),
        ([(0.001, 10), (0.002, 10), (float("inf"), 10)], 0.99, 0.99),
        ([(0.001, 5), (float("inf"), 10)], 0.99, 1.0),
    ],
)
def test_a_quantile_lies_within_its_bucket(
    buckets: list[tuple[float, float]], share: float, expected: float | None
) -> None:
    """As Prometheus draws it: even within a bucket, the last bound for what lies beyond, nothing of nothing."""
    found = quantile(buckets, share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_rates_are_of_all_gateways_and_survive_a_restart() -> None:
    """What grew counts over all processes; one that began again counts from its new zero, one that left not at all."""
    before = moment(0.0, {"gateway": gateway_page(100, 0.001), "gateway:2": gateway_page(50, 0.001)})
    after = moment(10.0, {"gateway": gateway_page(140, 0.001), "gateway:2": gateway_page(10, 0.001)})
    orders = figures_of(venue(), Window(before, after))["orders"]
    assert orders["per_s"] == pytest.approx(5.0)
    assert orders["results_per_s"] == {"OK": pytest.approx(5.0)}
    assert 0.5 < orders["p50_ms"] <= 1.0
    gone = figures_of(venue(), Window(before, moment(20.0, {})))
    assert (gone["orders"]["per_s"], gone["orders"]["p99_ms"], gone["ready"]) == (0.0, None, None)


def test_without_heartbeats_the_pages_say_who_lives() -> None:
    """While Redis is away each process still says on its own page who it is, and where it stands."""
    samples = [Sample(names.UP, ("persister", "persister"), 1), Sample(names.PROCESS_SEQ, ("persister",), 77)]
    figures = figures_of(venue(), Window(None, moment(1.0, {"persister": parsed(samples)}, {}, None)))
    row = {"name": "persister", "role": "persister", "pid": None, "seq": 77.0, "lag": None, "lived_s": None}
    assert figures["processes"] == [row]
    assert "persister" in "\n".join(drawn(figures))


class HungStreams(NoStreams):
    """Redis that takes a question and answers when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked = 0

    def hash_read(self, key: str) -> dict[str, str]:
        """Return nothing: it is not come to this."""
        raise AssertionError(key)

    def views_generation_read(self, _keys: Any) -> Any:
        """Return nothing for long."""
        self.asked += 1
        self.let_go.wait(20)
        raise StreamsDown("gone")


def test_a_hung_redis_is_asked_once() -> None:
    """The screen goes on without it, no second question is put, and when it ends with an error it is asked anew."""
    streams = HungStreams()
    place = Venue("abcdefghij", streams, {})  # type: ignore[arg-type]
    assert [place.told(), place.told()] == [TOLD_NOTHING, TOLD_NOTHING]
    assert streams.asked == 1
    streams.let_go.set()
    assert place.told() == TOLD_NOTHING
    assert place.told() == TOLD_NOTHING
    assert streams.asked == 2


def test_what_does_not_answer_is_absent() -> None:
    """Without an earlier moment there are no rates, without a page no figures of it, without Redis no seq."""
    figures = figures_of(venue(), Window(None, moment(1.0, {}, {}, None)))
    assert figures["redis"] is False
    assert figures["orders"]["per_s"] is None
    assert figures["engine"] == {
        "apply_p99_ms": None, "trigger_p99_ms": None, "pause_p99_ms": None, "snapshot_age_s": None, "kept": None
    }  # fmt: skip
    assert figures["processes"] == []
    json.dumps(figures)
    text = "\n".join(drawn(figures))
    assert "REDIS DOES NOT ANSWER" in text and "nobody shows life" in text


def test_the_screen_fits_into_eighty_columns() -> None:
    """Long names, large numbers and many codes stay within 80 columns, and no figure is cut off."""
    before, after = (moment(at, {"gateway": gateway_page(round(200 * at), 0.004, round(at))}) for at in (0.0, 10.0))
    figures = figures_of(venue(), Window(before, after))
    figures["orders"]["results_per_s"] |= {f"CODE_NUMBER_{number}": 1.5 for number in range(20)}
    lines = drawn(figures)
    assert max(len(line.rstrip()) for line in lines) <= WIDTH
    text = "\n".join(lines)
    for words in (
        "abcdefghij", "ready", "degraded: fsync", "123,456,789", "456,789", "engine:0123456789abcdef", "104250.10",
        "123.45678", "0.4 s", "STALE", "fresh", "200.0/s", "REDUCE_ONLY_WOULD_INCREASE", "CODE_NUMBER_19", "1m 30s",
        "10d 10h", "4194304", "tail 3", "12  slowest",
    ):  # fmt: skip
        assert words in text, words
    assert "…" not in text


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (59, "0m 59s"), (3_600, "1h 0m"), (90_000, "1d 1h")])
def test_how_long_a_process_lives(seconds: int | None, text: str) -> None:
    """The two largest units are shown."""
    assert lived(seconds) == text


def test_pages_are_found_by_ready_file_and_heartbeat() -> None:
    """The ready file names pages; a process that it does not know is found by the port in its heartbeat, once."""
    stated = {"engine": "http://127.0.0.1:1/metrics"}
    beats = {"engine": {"metrics_port": 1}, "engine:bb": {"metrics_port": 2}, "persister": {"metrics_port": 0}}
    assert addresses(stated, beats) == stated | {"engine:bb": "http://127.0.0.1:2/metrics"}
    assert page_read("http://127.0.0.1:1/metrics") == {}


def test_without_a_venue_it_is_one_sentence(tmp_path) -> None:
    """A folder on which nothing runs, and a Redis that names no venue, end with one sentence and no trace."""
    result = CliRunner().invoke(cli.main, ["top", "--once", "--data", str(tmp_path)], env={"REDIS_URL": ""})
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert f"no venue runs on {tmp_path}" in result.stderr
    nobody = CliRunner().invoke(
        cli.main, ["top", "--json", "--data", str(tmp_path)], env={"REDIS_URL": f"unix://{tmp_path}/none.sock"}
    )
    assert (nobody.exit_code, nobody.stderr.count("\n")) == (2, 1)
    assert "Redis does not answer" in nobody.stderr
    assert venue_of(Ready(), NoStreams()) is None  # type: ignore[arg-type]
