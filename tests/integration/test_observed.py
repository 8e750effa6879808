"""A live venue seen from outside: every page of metrics, `tidemark top`, and one instruction through all logs."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from shared.metric_names import EXPORTED, METRICS
from tests.faults.venue_client import Trader, Venue, eventually, venue_running
from tests.integration.conftest import REPOSITORY
from tests.metrics_text import Samples, read

MARKET = "SOL_USDC_PERP"
# What appears only once something happened that nobody makes happen here.
RARE = {"tidemark_degraded", "tidemark_engine_snapshot_age_seconds"}


def page(url: str) -> Samples:
    """Return what Prometheus would read at an address."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return read(answer.read())


def metrics_of(samples: Samples) -> set[str]:
    """Return the metrics of a page."""
    found = set()
    for name, _ in samples:
        plain = {name, *(name.removesuffix(suffix) for suffix in ("_bucket", "_count", "_sum"))}
        [metric] = plain & set(METRICS)
        found.add(metric)
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample."""
    return samples[f"tidemark_{name}", tuple(sorted(labels.items()))]


def told(venue: Venue, process: str, event: str, request_id: str) -> list[dict[str, Any]]:
    """Return what a process has logged of one instruction."""
    lines = [line for line in venue.log_lines(process) if line["event"] == event]
    return [line for line in lines if line.get("request_id") == request_id]


def stops_put(venue: Venue, trader: Trader) -> None:
    """Put a stop on either side of the price, so near that the next quotes fire one."""
    for side, away in (("buy", 0.03), ("sell", -0.03)):
        price = float(venue.ticker(MARKET)["mark"]) + away
        stop = {"market": MARKET, "side": side, "qty": "0.1", "kind": "stop_market", "price_trigger": f"{price:.2f}"}
        answer = venue.call("POST", "/api/v1/trade/order", stop, trader)
        assert answer.status == 200 or answer.body["code"] == "TRIGGER_WOULD_FIRE_IMMEDIATELY", answer.body


def triggered(venue: Venue, trader: Trader, url: str) -> bool:
    """Return whether the engine has timed a trigger; another try each time that it has not."""
    stops_put(venue, trader)
    return value(page(url), "engine_tick_to_trigger_seconds_count") >= 1


def socket_order(venue: Venue, trader: Trader, url: str) -> None:
    """Send an order over a WebSocket, which is open and seen as open meanwhile, and is counted by its own way."""
    headers = {"Authorization": f"Bearer {trader.token}"}
    with connect(venue.url.replace("http", "ws") + "/ws", additional_headers=headers) as socket:
        wish = {"op": "order", "id": "1", "body": {"market": MARKET, "side": "buy", "qty": "0.1"}}
        socket.send(json.dumps(wish))
        answer: dict[str, Any] = {}
        while answer.get("type") != "answer":
            answer = json.loads(socket.recv(20))
        assert answer["status"] == 200, answer
        seen = page(url)
        assert value(seen, "ws_sockets") == 1
        for stage in ("parse", "log", "engine", "answer"):
            assert value(seen, "order_stage_seconds_count", stage=stage, via="ws") == 1, stage
    [line] = told(venue, "gateway", "instruction", answer["body"]["request_id"])
    assert line["via"] == "ws"
    eventually(lambda: value(page(url), "ws_sockets") == 0, "it is closed")


def lines_check(venue: Venue, trader: Trader) -> None:
    """Assert that every line of every log is a fact with its fields, and that none holds the session's token."""
    for process in ("engine", "poller", "persister", "gateway"):
        text = (venue.data_dir / "logs" / f"{process}.log").read_text()
        assert trader.token not in text, process
        # Development's mails stand beside the facts, on a line of their own.
        facts = [json.loads(line) for line in text.splitlines() if not line.startswith("Sign in to ")]
        for fact in facts:
            assert list(fact)[:4] == ["time", "level", "process", "event"], fact
            assert fact["process"] == process and "path" not in fact, fact


def shown_live(venue: Venue, words: bytes) -> bytes:
    """Return what `top` draws on a terminal until these words are there; Ctrl-C then ends it, and gives it back."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 80))
    command = [sys.executable, "-m", "scripts.cli", "top", "--every", "0.2", "--data", str(venue.data_dir)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # the other side of a terminal that ended
        while words not in drawn:
            assert select.select([ours], [], [], 30)[0], drawn[-2_000:]
            drawn += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        while select.select([ours], [], [], 30)[0]:
            drawn += os.read(ours, 65_536)
    os.close(ours)
    assert process.wait(20) == 0, drawn[-2_000:]
    return drawn


def test_a_venue_can_be_watched(tmp_path: Path) -> None:
    """
    Each process's page says exactly what the table says it exports; `top` shows it; logs name the request throughout.

    A trigger that a quote fires is timed, a page is refused through a proxy, and a request id that one looks for is in
    the gateway's, the engine's and the persister's log with the same seq.
    """
    with venue_running(tmp_path, environment={"TIDEMARK_LOG_LEVEL": "debug"}) as venue:
        [trader] = venue.traders_open(1)
        bought = venue.call("POST", "/api/v1/trade/order", {"market": MARKET, "side": "buy", "qty": "0.1"}, trader)
        assert bought.status == 200, bought.body
        first = bought.body
        refused = venue.call("POST", "/api/v1/trade/order", {"market": MARKET, "side": "buy", "qty": "0.0001"}, trader)
        assert refused.status == 422

        pages = json.loads(venue.ready_file.read_text())["metrics"]
        assert set(pages) == {"engine", "poller", "persister", "gateway"}
        targets = json.loads((venue.data_dir / "metrics-targets.json").read_text())
        assert {target["labels"]["instance"]: f"http://{target['targets'][0]}/metrics" for target in targets} == pages
        eventually(lambda: triggered(venue, trader, pages["engine"]), "a stop fires", pause_s=0.5)
        eventually(lambda: told(venue, "persister", "instruction_stored", first["request_id"]) != [], "it is stored")
        for process, url in pages.items():
            assert metrics_of(page(url)) <= set(EXPORTED[process]), process
            eventually(lambda: set(EXPORTED[process]) - metrics_of(page(url)) <= RARE, f"{process} shows all")  # noqa: B023

        seen = page(pages["gateway"])
        assert value(seen, "results_total", op="order_place", code="OK") >= 2
        assert value(seen, "results_total", op="order_place", code=refused.body["code"]) == 1
        for stage in ("parse", "log", "engine", "answer"):
            assert value(seen, "order_stage_seconds_count", stage=stage, via="http") >= 3, stage
        log_tip = venue.log_tip()
        eventually(lambda: value(page(pages["engine"]), "engine_entries_total") >= log_tip, "all is applied")
        assert value(page(pages["poller"]), "feed_age_seconds", market=MARKET) < 5

        for process, event in (
            ("gateway", "instruction"), ("engine", "instruction_applied"), ("persister", "instruction_stored"),
        ):  # fmt: skip
            for body, result in ((first, "OK"), (refused.body, refused.body["code"])):
                eventually(lambda: told(venue, process, event, body["request_id"]) != [], f"{process} tells it")  # noqa: B023
                [line] = told(venue, process, event, body["request_id"])
                assert (line["account"], line["op"], line["result"]) == (trader.account, "order_place", result)
                assert str(line["seq"]) == body["seq"], (process, line)

        socket_order(venue, trader, pages["gateway"])
        lines_check(venue, trader)
        shown = venue.command("top", "--once")
        assert shown.returncode == 0, shown.stderr
        assert max(len(line.rstrip()) for line in shown.stdout.splitlines()) <= 80
        for words in (venue.keys.venue, "ready", "leader", "persister", MARKET, "fresh"):
            assert words in shown.stdout, shown.stdout
        assert b"Traceback" not in shown_live(venue, b"(over 1 s)")
        figures = json.loads(venue.command("top", "--once", "--json").stdout)
        assert figures["ready"] is True and figures["feed_up"] == 1.0
        assert {row["name"].partition(":")[0] for row in figures["processes"]} == {
            "engine", "gateway", "persister", "poller"
        }  # fmt: skip
        assert figures["log_seq"] >= log_tip and set(figures["readers"]) == {
            "log",
            "tail",
            "history",
            "views",
            "archive",
        }
    down = venue.command("top", "--once")
    assert (down.returncode, down.stderr.count("\n")) == (2, 1)
    assert "no venue runs on" in down.stderr
