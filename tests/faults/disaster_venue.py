"""A venue that traded, was trimmed and archived, and stands still; copies of its folder for whatever befalls one."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from scripts import embedded, privileges
from tests.faults.venue_client import Trader, Venue, eventually, venue_running
from tests.integration.conftest import REPOSITORY, process_end

MARKET = "BTC_USDC_PERP"
ENVIRONMENT = {"TIDEMARK_TRIM": "on", "TIDEMARK_KEEP_KEYFRAMES_S": "2", "TIDEMARK_KEEP_EVENTS_S": "8"}
EARLY_S = 14.0
ARCHIVED_S = 2.5  # the archive holds by then what was answered
LATER_S = 28.0  # three keyframes must count before anything is trimmed
TOOL_PATIENCE_S = 120.0
REFUSED_PATIENCE_S = 40.0


class Told(NamedTuple):
    """One instruction that was carried out, as its sender was told."""

    account: int
    request_id: str
    seq: int


class Stopped(NamedTuple):
    """A venue's folder that nothing runs on, and what its traders were told before."""

    folder: Path
    venue: str
    traders: list[Trader]
    told: list[Told]

    @property
    def data_dir(self) -> Path:
        """Return the data folder."""
        return self.folder / "data"

    def copy(self, target: Path) -> "Stopped":
        """Return a copy of it all."""
        target.mkdir(parents=True, exist_ok=True)
        folder_copy(self.data_dir, target / "data")
        return self._replace(folder=target, told=list(self.told))


def folder_copy(source: Path, target: Path) -> None:
    """Copy a stopped venue's data folder, and its database where that lies elsewhere."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    if privileges.postgres_home(source) != source:
        subprocess.run(["rm", "-rf", str(embedded.postgres_data(target))], check=True)
        subprocess.run(
            ["cp", "-a", str(embedded.postgres_data(source)), str(embedded.postgres_data(target))], check=True
        )


def part_back(early: Path, later: Path, part: str) -> None:
    """Put one server's files of an earlier copy into a later folder, as a restored backup would."""
    if part == "redis":
        old, new = early / "redis", later / "redis"
    else:
        old, new = embedded.postgres_data(early), embedded.postgres_data(later)
    subprocess.run(["rm", "-rf", str(new)], check=True)
    subprocess.run(["cp", "-a", str(old), str(new)], check=True)


class Trade:
    """A little trading over HTTP; what was carried out is remembered."""

    def __init__(self, venue: Venue, traders: list[Trader], told: list[Told]) -> None:
        self.venue = venue
        self.traders = traders
        self.told = told

    def send(self, trader: Trader, method: str, path: str, body: Any) -> dict[str, Any]:
        """Send one instruction; return its answer's body, {} when it was not carried out."""
        answer = self.venue.call(method, path, body, trader)
        if answer.status != 200:
            return {}
        self.told.append(Told(trader.account, answer.body["request_id"], int(answer.body["seq"])))
        return answer.body

    def run(self, seconds: float) -> None:
        """Open and close, place and cancel and leave some, until the time is over."""
        end_s = time.monotonic() + seconds
        resting = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.0001", "price": "30000"}
        ticket = {"market": MARKET, "margin": "20", "leverage": 5}
        for number in itertools.count():
            if time.monotonic() > end_s:
                return
            trader = self.traders[number % len(self.traders)]
            opened = self.send(
                trader, "POST", "/api/v1/trade/create", {**ticket, "side": ("buy", "sell")[number // 4 % 2]}
            )
            placed = self.send(trader, "POST", "/api/v1/trade/order", resting)
            if opened and number % 3:
                self.send(trader, "POST", "/api/v1/trade/close", {"position_id": opened["position_id"]})
            if placed and number % 2:
                self.send(trader, "DELETE", f"/api/v1/trade/order/{placed['order_id']}", None)
            time.sleep(0.05)


def venue_make(folder: Path) -> tuple[Stopped, Path]:
    """Return a venue that traded long enough to be trimmed, and a copy of its data folder from long before its end."""
    told: list[Told] = []
    with venue_running(folder, "--feed", "simulated", environment=ENVIRONMENT) as venue:
        traders = venue.traders_open(4)
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
        Trade(venue, traders, told).run(EARLY_S)
        name = venue.keys.venue
    early = folder / "early"
    folder_copy(folder / "data", early)
    with venue_running(folder, "--feed", "simulated", environment=ENVIRONMENT) as venue:
        trade_again(venue, traders, told, LATER_S)
        time.sleep(ARCHIVED_S)
    return Stopped(folder, name, traders, told), early


def trade_again(venue: Venue, traders: list[Trader], told: list[Told], seconds: float) -> None:
    """Trade as soon as there is a price; at least one instruction must be carried out."""
    eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
    count = len(told)
    Trade(venue, traders, told).run(seconds)
    assert len(told) > count, "nothing was carried out"


def tool(stopped: Stopped, *words: str, code: int = 0) -> str:
    """Run `tidemark …` on the folder; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", *words, "--data", str(stopped.data_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TOOL_PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def tool_json(stopped: Stopped, *words: str, code: int = 0) -> dict[str, Any]:
    """Run `tidemark … --json` on the folder; return its one object."""
    found: dict[str, Any] = json.loads(tool(stopped, *words, "--json", code=code))
    return found


def refused(stopped: Stopped) -> dict[str, Any]:
    """Start the venue, which must refuse to go on; return the refusal, and see that it names what helps."""
    ready_file, log = stopped.folder / "ready.json", stopped.folder / "console.txt"
    command = [sys.executable, "-m", "scripts.cli", "run", "--data", str(stopped.data_dir), "--feed", "simulated"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready_file)],
            stdout=output,
            stderr=output,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(REPOSITORY)},
        )
    try:
        eventually(lambda: bool(helps(stopped)), f"a process says what helps; {log}", REFUSED_PATIENCE_S)
    finally:
        process.send_signal(signal.SIGINT)
        process_end(process)
    found = helps(stopped)[-1]
    assert "tidemark log restore" in found or "tidemark reset" in found, found
    reason: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        reason = orjson.loads((stopped.data_dir / "refused.json").read_bytes())
    return reason


def helps(stopped: Stopped) -> list[str]:
    """Return what processes have said that helps, since the last time they were started."""
    found = []
    for name in ("engine", "persister", "poller", "gateway"):
        for fact in facts(stopped.data_dir / "logs" / f"{name}.log"):
            if fact.get("event") == "refused":
                found.append(str(fact.get("help")))
            elif fact.get("event") == "cannot_run" and fact.get("kind") == "FoundingImpossible":
                found.append(str(fact.get("reason")))
    return found


def facts(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a log."""
    for line in path.read_bytes().splitlines() if path.exists() else []:
        if line.startswith(b"{"):
            yield json.loads(line)
