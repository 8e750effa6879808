"""
Redis, Postgres or the persister away while people trade: no lie, nothing lost, and everything resumes by itself.

An outage lasts a few seconds here; `TIDEMARK_TEST_OUTAGE_S=60 ./scripts/test tests/faults/test_outages.py -s` is the
full minute of each.
"""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.embedded import pid_file_sweep
from tests.faults.recomputed import venue_recompute
from tests.faults.truth import Crowd, crowd_trading, history_check, statuses_of, views_check
from tests.faults.venue_client import Trader, Venue, eventually, hung, venue_running

OUTAGE_S = float(os.environ.get("TIDEMARK_TEST_OUTAGE_S", "1.5"))
OUTAGE_REDIS_S = max(OUTAGE_S, 2.5)  # beyond the response timeout
ANSWER_S_MAX = 3.5  # the response timeout of 2 s, and a machine that has other work
RESUME_S_MAX = 20.0  # the supervisor's longest back-off and a start
OURS = ("poller", "engine", "persister", "gateway")

pytestmark = pytest.mark.timeout(180 + 3 * OUTAGE_S)


class Scene(NamedTuple):
    """A venue and those who trade on it."""

    venue: Venue
    traders: list[Trader]
    seqs: dict[str, int]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run one venue on simulated prices for all outages, one after the other."""
    with venue_running(tmp_path_factory.mktemp("outages"), "--feed", "simulated") as venue:
        traders = venue.traders_open(4)
        eventually(lambda: bool(venue.ticker("BTC_USDC_PERP").get("fresh")), "a fresh price")
        yield Scene(venue, traders, {})


@contextlib.contextmanager
def kept_dead(venue: Venue, name: str) -> Iterator[None]:
    """Kill a process, and again whenever the supervisor has brought it back, while the body runs."""
    over = threading.Event()

    def kill() -> None:
        killed = 0
        while not over.is_set():
            pid = venue.pids()[name]
            if pid != killed:
                killed = pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            over.wait(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def others_untouched(venue: Venue, before: dict[str, int], *touched: str) -> None:
    """Assert that nobody but the one that we touched was started again."""
    after = venue.pids()
    assert {name: after[name] for name in OURS if name not in touched} == {
        name: before[name] for name in OURS if name not in touched
    }


def trades_go_on(crowd: Crowd, begin_s: float, enough: int, what: str) -> float:
    """Return how long it took until instructions sent from now on were carried out."""
    return eventually(lambda: crowd.accepted_since(begin_s) >= enough, what, RESUME_S_MAX)


def only_accepted(crowd: Crowd, begin_s: float, end_s: float) -> Counter[str]:
    """Assert that everything sent and answered in a time was carried out, quickly; return the statuses."""
    answers = crowd.since(begin_s, end_s)
    statuses = statuses_of(answers)
    assert statuses["200 OK"] >= 5, statuses
    assert set(statuses) == {"200 OK"}, statuses
    assert max(answer.took_s for answer in answers) < ANSWER_S_MAX
    return statuses


@pytest.mark.parametrize("kind", ["hung", "killed"])
def test_persister_down(scene: Scene, kind: str) -> None:
    """Without a persister every order is answered; a view that is behind says so; both readers catch up."""
    venue, traders, _ = scene
    before = venue.pids()
    with crowd_trading(venue, traders) as crowd:
        trades_go_on(crowd, time.monotonic(), 8, "trading")
        down = hung(before["persister"]) if kind == "hung" else kept_dead(venue, "persister")
        with down:
            begin_s = time.monotonic()
            trades_go_on(crowd, begin_s, 20, "trading without a persister")
            balance = venue.call("GET", "/api/v1/account/balance", None, traders[0])
            assert balance.status == 503 or "behind_seq" in balance.body, balance
            time.sleep(max(0.0, begin_s + OUTAGE_S - time.monotonic()))
            end_s = time.monotonic()
        statuses = only_accepted(crowd, begin_s, end_s)

        def caught_up() -> bool:
            read = venue.call("GET", "/api/v1/account/balance", None, traders[0])
            return read.status == 200 and "behind_seq" not in read.body

        resumed_s = eventually(caught_up, "the views are current", RESUME_S_MAX)
    others_untouched(venue, before, "persister")
    counts = history_check(venue)
    print(f"\npersister {kind} {end_s - begin_s:.1f} s: {dict(statuses)}, views after {resumed_s:.1f} s, {counts}")


@pytest.mark.parametrize("kind", ["hung", "killed"])
def test_postgres_down(scene: Scene, kind: str) -> None:
    """Without Postgres trading goes on, also across an engine's restart, from the file; history catches up."""
    venue, traders, _ = scene
    files = venue.data_dir / "snapshots"
    eventually(lambda: any(files.iterdir()) if files.is_dir() else False, "a snapshot file")
    before = venue.pids()
    with crowd_trading(venue, traders) as crowd:
        trades_go_on(crowd, time.monotonic(), 8, "trading")
        with hung(before["postgres"]) if kind == "hung" else kept_dead(venue, "postgres"):
            begin_s = time.monotonic()
            trades_go_on(crowd, begin_s, 20, "trading without Postgres")
            history = venue.call("GET", "/api/v1/account/history/orders", None, traders[0])
            assert (history.status, history.body["code"]) == (503, "HISTORY_UNAVAILABLE"), history
            time.sleep(max(0.0, begin_s + OUTAGE_S - time.monotonic()))
            middle_s = time.monotonic()
            statuses = only_accepted(crowd, begin_s, middle_s)
            logged = venue.log_bytes("engine")
            os.kill(venue.pids()["engine"], signal.SIGKILL)
            killed_s = time.monotonic()
            eventually(lambda: venue.pids()["engine"] != before["engine"], "another engine")
            restart_s = trades_go_on(crowd, time.monotonic(), 8, "trading after the engine's restart without Postgres")
            restart_s = time.monotonic() - killed_s
        loaded = [line for line in venue.log_lines("engine", logged) if line["event"] == "snapshot_loaded"]
        assert [line["place"] for line in loaded] == ["file"]
        trades_go_on(crowd, time.monotonic(), 8, "trading with Postgres again")
        outage = statuses_of(crowd.since(begin_s))
        assert set(outage) <= {"200 OK", "202 ", "503 LOG_UNAVAILABLE", "503 INSTRUCTION_LATE"}, outage
    others_untouched(venue, before, "engine")
    counts = history_check(venue)
    scene.seqs["postgres back"] = venue.log_tip()
    times = f"history 503 after {history.took_s:.1f} s, engine back after {restart_s:.1f} s"
    print(f"\npostgres {kind}: {dict(statuses)}, {times}, then {dict(outage)}, {counts}")


def durable(venue: Venue, seq: int) -> None:
    """Wait until a snapshot newer than an entry stands in Postgres."""
    query = "SELECT seq FROM engine_snapshots WHERE venue = $1"

    def written() -> bool:
        rows = venue.rows(query, venue.keys.venue)
        return bool(rows) and rows[0]["seq"] > seq

    eventually(written, "a snapshot in Postgres", 25.0, 0.3)


@pytest.mark.parametrize("kind", ["hung", "killed"])
def test_redis_down(scene: Scene, kind: str) -> None:
    """Without Redis the answer is 503 or 202 UNKNOWN, and true; trading resumes by itself, nobody is restarted."""
    venue, traders, _ = scene
    before = venue.pids()
    with crowd_trading(venue, traders) as crowd:
        trades_go_on(crowd, time.monotonic(), 8, "trading")
        with hung(before["redis"]) if kind == "hung" else kept_dead(venue, "redis"):
            begin_s = time.monotonic() + 0.1
            time.sleep(OUTAGE_REDIS_S)
            ready = venue.call("GET", "/ready")
            assert ready.status == 503, ready
            assert venue.call("GET", "/health").status == 200
            end_s = time.monotonic()
        resumed_s = trades_go_on(crowd, end_s, 8, "trading again")
        eventually(venue.is_ready, "readiness")
        answers = crowd.answered(begin_s, end_s)
    statuses = statuses_of(answers)
    assert statuses, "nobody was answered"
    assert {status.split()[0] for status in statuses} <= {"202", "503"}, statuses
    assert max(answer.took_s for answer in answers) < ANSWER_S_MAX
    for answer in answers:
        assert "retry-after" in answer.headers, answer
        assert answer.status == 503 or answer.body["status"] == "UNKNOWN", answer
    others_untouched(venue, before)
    counts = history_check(venue)
    print(f"\nredis {kind} {OUTAGE_REDIS_S:.1f} s: {dict(statuses)}, resumed after {resumed_s:.1f} s, {counts}")


def test_half_made_pid_file_is_swept(tmp_path: Path) -> None:
    """What a Postgres killed in its first moment leaves behind does not keep the next one from starting."""
    path = tmp_path / "postmaster.pid"
    pid_file_sweep(tmp_path)
    path.write_text("4711\n")
    pid_file_sweep(tmp_path)
    assert path.exists()
    path.write_text("")
    pid_file_sweep(tmp_path)
    assert not path.exists()


def test_afterwards(scene: Scene) -> None:
    """After all of it the events are those of the log, every checkpoint is right, views equal the state."""
    venue, traders, seqs = scene
    durable(venue, seqs.get("postgres back", 0))
    again = venue_recompute(venue)
    cursor = again.machine.header().events_last[0]

    def viewed() -> bool:
        with venue.streams() as streams:
            text, _ = streams.views_cursor_read(venue.keys)
        return int((text or "0").partition("-")[0]) >= cursor

    eventually(viewed, "the views are current")
    accounts = views_check(venue, again)
    assert accounts >= len(traders)
    print(f"\n{again.machine.seq} entries, {len(again.outputs)} outputs, {again.checkpoints_right} checkpoints right")
