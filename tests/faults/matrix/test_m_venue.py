"""A whole venue: its gateway killed and pestered, its poller asleep, dead and doubled."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.clock import now_us
from tests.faults.recomputed import venue_recompute
from tests.faults.venue_client import Answer, Trader, Venue, eventually, venue_running

MARKET = "BTC_USDC_PERP"
BUY = {"market": MARKET, "side": "buy", "kind": "market", "qty": "0.0001"}
ORDER = "/api/v1/trade/order"
RETRIES = 50
IDLE = 1_000
PRICE_AGE_MS = 1_500
ANSWER_S_MAX = 3.5
HEADER_S = 10.0
SLEEP_S, SLEEP_FULL_S = 3.0, 8.0
DEAD_FULL_S = 60.0


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """Run one venue with a standby on simulated prices that become stale soon."""
    with venue_running(tmp_path_factory.mktemp("venue"), "--feed", "simulated", "--engines", "2") as venue:
        body = {"v": 1, "account": 0, "request_id": "f" * 32, "op": "market_set"}
        text = json.dumps({**body, "market": MARKET, "price_age_max_ms": PRICE_AGE_MS}).encode()
        with venue.streams() as streams:
            assert streams.append(venue.keys, [(b"ts", b"%d" % now_us()), (b"venue_instruction", text)]).seq
        yield venue


@pytest.fixture(scope="module")
def traders(venue: Venue) -> list[Trader]:
    """Return four accounts, once the price is fresh."""
    traders = venue.traders_open(4)
    eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
    return traders


def buy(venue: Venue, trader: Trader, key: str) -> Answer:
    """Send one order under a key of the client's own."""
    return venue.call("POST", ORDER, BUY, trader, {"Idempotency-Key": key})


def results_of(venue: Venue, first_seq: int) -> dict[str, list[tuple[int, str]]]:
    """Return seq and result of every answer by its request, from an entry on."""
    venue_recompute(venue)
    results: dict[str, list[tuple[int, str]]] = {}
    for one in venue.happened(first_seq):
        if one.event["e"] == "order_response":
            results.setdefault(one.event["request_id"], []).append((one.seq, one.event["result"]))
    return results


def test_gateway_killed_in_flight(venue: Venue, traders: list[Trader]) -> None:
    """Requests torn by the gateway's death and sent again under their keys are executed once, each."""
    first_seq = venue.log_tip() + 1
    answered: dict[str, dict[str, Any]] = {}
    torn: Counter[str] = Counter()
    over = threading.Event()

    def trade(number: int, trader: Trader) -> None:
        for index in range(1_000):
            key = f"kill-{number}-{index}"
            while key not in answered:
                try:
                    answer = buy(venue, trader, key)
                except OSError as error:
                    torn[type(error).__name__] += 1
                else:
                    if answer.status == 200:
                        answered[key] = answer.body
                        break
                time.sleep(0.05)
            if over.is_set():
                return
            time.sleep(0.06)

    threads = [threading.Thread(target=trade, args=each) for each in enumerate(traders)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.7)
        gateway = venue.pids()["gateway"]
        os.kill(gateway, signal.SIGKILL)
        eventually(lambda gateway=gateway: venue.pids()["gateway"] not in (0, gateway), "another gateway")
        eventually(venue.is_ready, "readiness")
    over.set()
    for thread in threads:
        thread.join()
    assert torn, "nothing was in flight"
    results = results_of(venue, first_seq)
    for key, body in answered.items():
        told = results[body["request_id"]]
        assert [seq for seq, result in told if result == "OK"] == [int(body["seq"])], key
        assert {result for _, result in told} <= {"OK", "REQUEST_REPEATED"}, key


def test_fifty_retries_of_one_request(venue: Venue, traders: list[Trader]) -> None:
    """Fifty at once under one key are one execution, and everybody who is answered hears of the same one."""
    first_seq = venue.log_tip() + 1
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(buy(venue, traders[0], "fifty"))) for _ in range(RETRIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = Counter(answer.status for answer in answers)
    assert statuses.total() == RETRIES
    assert statuses[200] > 0
    assert set(statuses) <= {200, 202, 429}, statuses
    told = {(answer.body["request_id"], answer.body["seq"]) for answer in answers if answer.status == 200}
    [(request_id, seq)] = told
    accepted = [place for place, result in results_of(venue, first_seq)[request_id] if result == "OK"]
    assert accepted == [int(seq)]


def test_slow_and_idle_clients(venue: Venue, traders: list[Trader], full: bool) -> None:
    """A thousand sockets that say nothing and some that read nothing delay nobody, and are dropped in time."""
    host, port = venue.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((host, int(port)), timeout=5)) for _ in range(IDLE)]
        for each in idle[:20]:
            with contextlib.suppress(OSError):
                each.settimeout(0.2)
                each.sendall(b"GET /api/v1/markets HTTP/1.1\r\nHost: x\r\n\r\n" * 500)  # and never read
        begin_s = time.monotonic()
        for number in range(8):
            answer = buy(venue, traders[1], f"unhurt-{number}")
            assert answer.status == 200, answer
            assert answer.took_s < ANSWER_S_MAX
            time.sleep(0.1)
        assert venue.is_ready()
        if full:
            time.sleep(max(0.0, begin_s + HEADER_S + 2.0 - time.monotonic()))
            closed = 0
            for each in idle[20:]:
                each.settimeout(1.0)
                with contextlib.suppress(TimeoutError, ConnectionResetError):
                    closed += each.recv(1) == b""
            assert closed == IDLE - 20


def refused_as_stale(venue: Venue, trader: Trader, key: str) -> bool:
    """Return whether an order is refused because the price is too old."""
    answer = buy(venue, trader, key)
    assert answer.status in (200, 409), answer
    return answer.body.get("code") == "PRICE_STALE"


@pytest.mark.parametrize("kind", ["asleep", "dead"])
def test_poller_silent(venue: Venue, traders: list[Trader], kind: str, full: bool) -> None:
    """Without its poller a market's price becomes stale and refuses; with it back, it trades again by itself."""
    poller = venue.pids()["poller"]
    seconds = (SLEEP_FULL_S if kind == "asleep" else DEAD_FULL_S) if full else SLEEP_S
    first_seq = venue.log_tip() + 1
    os.kill(poller, signal.SIGSTOP)
    begin_s = time.monotonic()
    try:
        numbers = iter(range(10_000))
        eventually(lambda: refused_as_stale(venue, traders[2], f"{kind}-{next(numbers)}"), "a stale price", 10.0, 0.15)
        time.sleep(max(0.0, begin_s + seconds - time.monotonic()))
        assert not venue.ticker(MARKET).get("fresh")
    finally:
        os.kill(poller, signal.SIGCONT if kind == "asleep" else signal.SIGKILL)
    eventually(lambda: not refused_as_stale(venue, traders[3], f"{kind}-back-{next(numbers)}"), "trading", 20.0, 0.2)
    assert (venue.pids()["poller"] == poller) == (kind == "asleep")
    ups = [entry for entry in venue.log_read(first_seq)
           if entry.fields[-1][0] == b"feed_status" and b'"up"' in entry.fields[-1][1]]  # fmt: skip
    assert len(ups) <= 2, "the session was renewed again and again"
    venue_recompute(venue)


def test_two_pollers(venue: Venue, traders: list[Trader]) -> None:
    """A poller that slept and finds another in its place harms nothing: one price, in order, and trading goes on."""
    first = venue.pids()["poller"]
    environment = dict(
        each.split("=", 1) for each in Path(f"/proc/{first}/environ").read_text().split("\0") if "=" in each
    )
    command = Path(f"/proc/{first}/cmdline").read_text().rstrip("\0").split("\0")
    os.kill(first, signal.SIGSTOP)
    second = subprocess.Popen(
        command, env=environment, cwd=os.readlink(f"/proc/{first}/cwd"), stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(2.0)
        os.kill(first, signal.SIGCONT)
        time.sleep(1.5)
        assert second.poll() is None
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price", 10.0)
        answer = buy(venue, traders[3], "two-pollers")
        assert answer.status == 200, answer
    finally:
        second.kill()
        second.wait()
    eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price", 20.0)
    assert venue.pids()["poller"] == first
    venue_recompute(venue)
