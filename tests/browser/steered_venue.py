"""
One whole venue for all browser tests: its prices come from a steered feed, its page passes through a gate.

As a program this file is the supervisor with that feed in place of the simulator; as a module it starts that program
and says how one signs in. The pages call the prices simulated, because they are.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from poller.synthetic import ASSETS, Walk
from scripts import plan, supervisor
from tests.browser.caller import Caller
from tests.browser.gate import Gate
from tests.browser.steered_feed import SteeredFeed
from tests.cluster import cluster_give

REPOSITORY = Path(__file__).resolve().parents[2]
START_PATIENCE_S = 100.0
STOP_PATIENCE_S = 20.0
MAIL_PATIENCE_S = 10.0
# Stale after three seconds, in place of ten: a test waits for it.
ENVIRONMENT = {"TIDEMARK_TRIM": "off", "TIDEMARK_PRICE_AGE_MAX_MS": "3000"}
PAST_MINUTES = 26 * 60
PAST_SEED = 15
MINUTE_MS = 60_000
PAST_INSERT = "INSERT INTO candles (venue, market, minute_ms, seq, data) VALUES ($1, $2, $3, $4, $5)"


class SteeredOptions(plan.Options):
    """What the venue is asked to be: simulated prices, from a feed that listens already."""

    @property
    def simulator(self) -> bool:
        """Return that nothing has to be started for the feed."""
        return False

    @property
    def feed_source(self) -> str:
        """Return the feed's name as every answer states it."""
        return "simulated"


@dataclasses.dataclass
class Venue:
    """A running venue and what tests do to it from outside."""

    feed: SteeredFeed
    gate: Gate
    direct: str  # the gateway itself, past the gate
    data_dir: Path
    name: str
    database_url: str
    link_first: str  # the one on the console
    began_ms: int  # no quote of the venue is older

    @property
    def url(self) -> str:
        """Return where a browser goes."""
        return self.gate.url

    def link(self, email: str) -> str:
        """Return a fresh sign-in link for an address, as its mail states it."""
        before = self.mails()
        assert Caller(self.direct).call("POST", "/api/v1/auth", {"email": email}).status == 202
        return self.link_mailed(email, before)

    def mails(self) -> set[Path]:
        """Return the mails so far."""
        return set((self.data_dir / "mail").glob("*.json"))

    def link_mailed(self, email: str, before: set[Path]) -> str:
        """Return the link of the mail that comes for an address after these."""
        deadline_s = time.monotonic() + MAIL_PATIENCE_S
        while time.monotonic() < deadline_s:
            for path in self.mails() - before:
                mail = orjson.loads(path.read_bytes())
                if mail["to"] == email:
                    return str(mail["link"])
            time.sleep(0.02)
        raise AssertionError(f"no mail for {email}")

    def program(self, email: str) -> Caller:
        """Return an address's own caller, signed in past the page."""
        token = self.link(email).partition("token=")[2]
        answer = Caller(self.direct).call("POST", "/api/v1/auth/verify", {"token": token})
        assert answer.status == 200, answer.body
        return Caller(self.direct, answer.body["token"])

    def tidemark(self, *words: str) -> str:
        """Run `tidemark …` on this venue and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "scripts.cli", *words, "--data", str(self.data_dir)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def operator(self, email: str) -> None:
        """Open an account for an address and make it an operator's, before any session of it is looked at."""
        self.program(email)
        self.tidemark("user", "role", email, "operator")

    def past_write(self, minutes: int = PAST_MINUTES) -> None:
        """Give every market stored minutes of before the venue began, so that a chart has a past to show."""
        rows = list(past(self.name, self.feed, self.began_ms, minutes))

        async def write() -> None:
            connection = await asyncpg.connect(self.database_url)
            try:
                await connection.executemany(PAST_INSERT, rows)
            finally:
                await connection.close()

        apart(lambda: asyncio.run(write()))


def past(venue: str, feed: SteeredFeed, began_ms: int, minutes: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows of made-up minutes before the venue's first that lead to where each market's price stands."""
    first_ms = (began_ms // MINUTE_MS - minutes) * MINUTE_MS
    for market, asset in ASSETS.items():
        walk = Walk(market, random.Random(f"{PAST_SEED}/{market}"))
        mids = []
        for step in range(minutes * 4 + 1):
            walk.step(step * 15.0)
            mids.append(walk.mid_ticks())
        scale = feed.ticks[market] / mids[-1] / 10**asset.price_decimals
        for index in range(minutes):
            part = [mid * scale for mid in mids[index * 4 : index * 4 + 5]]
            shown = {"open": part[0], "high": max(part), "low": min(part), "close": part[-1]}
            prices = {name: f"{price:.{asset.price_decimals}f}" for name, price in shown.items()}
            minute_ms = first_ms + index * MINUTE_MS
            data = {"e": "candle", "market": market, "minute_ms": minute_ms, **prices, "quotes": 480}
            yield venue, market, minute_ms, 1, orjson.dumps(data).decode()


def apart(work: Callable[[], None]) -> None:
    """Run on a thread of its own what starts an event loop: playwright has one running on this one."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@contextlib.contextmanager
def steered_venue(folder: Path) -> Iterator[Venue]:
    """Lend a venue that takes instructions; everything stops afterwards."""
    feed, gate = SteeredFeed(), Gate()
    data_dir, ready_file, console = folder / "data", folder / "ready.json", folder / "console.txt"
    cluster_give(data_dir)
    began_ms = time.time_ns() // 1_000_000
    feed.open()
    command = [sys.executable, "-m", "tests.browser.steered_venue", str(data_dir), str(ready_file), feed.url]
    environment = {**os.environ, **ENVIRONMENT, "TIDEMARK_BASE_URL": gate.url, "PYTHONPATH": str(REPOSITORY)}
    with console.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=REPOSITORY, env=environment)
    try:
        ready = ready_wait(process, ready_file, console)
        gate.target = int(ready["url"].rpartition(":")[2])
        gate.open()
        yield Venue(
            feed, gate, ready["url"], data_dir, ready["venue"], ready["database_url"], ready["sign_in_url"], began_ms
        )
    finally:
        gate.shut()
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        feed.close()


def ready_wait(process: subprocess.Popen[bytes], ready_file: Path, console: Path) -> dict[str, Any]:
    """Return the ready file once the venue takes instructions."""
    deadline_s = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            ready: dict[str, Any] = json.loads(ready_file.read_text())
            if ready["sign_in_url"]:
                return ready
        time.sleep(0.05)
    raise AssertionError(f"the venue did not become ready:\n{console.read_text(errors='replace')[-3000:]}")


def main() -> int:
    """Run the venue until it is asked to stop; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("ready_file", type=Path)
    parser.add_argument("feed_url")
    words = parser.parse_args()
    return supervisor.main(SteeredOptions(words.data_dir, ready_file=words.ready_file, feed_url=words.feed_url))


if __name__ == "__main__":
    sys.exit(main())
