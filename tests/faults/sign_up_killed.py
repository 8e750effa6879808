"""
Gateways killed in the middle of first sign-ins, on a whole venue: nobody gets another's account, nobody gets two.

    python -m tests.faults.sign_up_killed --kills 20
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from tests.faults.venue_client import Venue, venue_running
from tests.integration.conftest import REPOSITORY
from tests.threat_street import V1, Person, accounts_of_log, mails_to, still_recording

AT_ONCE = 5  # gateways that start beside each other
READY_S = 30.0
SPREAD = 2.5  # the kills lie within so many times what a sign-in took: some come after its end


class Mortal:
    """A gateway of its own on the venue's servers, that may be killed."""

    def __init__(self, venue: Venue, folder: Path) -> None:
        """Start it; its mails go into the folder that it shares with the others."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.mails = folder / "mail"
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "NUMBA_DISABLE_JIT": "1",
            "REDIS_URL": venue.redis_url,
            "DATABASE_URL": venue.database_url,
            "TIDEMARK_DATA": str(folder),
            "TIDEMARK_SECRET_FILE": str(venue.data_dir / "secret"),
            "TIDEMARK_PORT": str(self.port),
            "TIDEMARK_RATE_FACTOR": "1000",
        }
        with (folder / "gateways.txt").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill it as a power switch would."""
        self.process.kill()
        self.process.wait()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Return status and body; raises OSError or HTTPException when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ready_wait(self) -> None:
        """Return when it takes instructions."""
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s:
            with suppress(OSError, http.client.HTTPException):
                if self.call("GET", "/ready")[0] == 200:
                    return
            assert self.process.poll() is None, "the gateway ended"
            time.sleep(0.02)
        raise AssertionError("the gateway is not ready")

    def sign_in(self, email: str) -> int | None:
        """Return the account of an address, by the newest link while it is good, else by a new one; None if cut off."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            for new in (False, True):
                tokens = mails_to(self.mails, email) if self.mails.exists() else []
                if new or not tokens:
                    self.call("POST", f"{V1}/auth", {"email": email})
                    tokens = self.mailed(email, len(tokens))
                status, body = self.call("POST", f"{V1}/auth/verify", {"token": tokens[-1] if tokens else "none"})
                if status == 200:
                    return int(body["account_id"])
        return None

    def mailed(self, email: str, count: int) -> list[str]:
        """Return the tokens mailed to an address once there are more than so many, or when this process has ended."""
        while True:
            tokens = mails_to(self.mails, email) if self.mails.exists() else []
            if len(tokens) > count or self.process.poll() is not None:
                return tokens
            time.sleep(0.002)


@contextmanager
def gateways(venue: Venue, folder: Path, count: int) -> Iterator[Iterator[Mortal]]:
    """Yield so many ready gateways, one after the other, a few starting at once; none outlives the test."""
    folder.mkdir()
    with ExitStack() as stack:

        def each() -> Iterator[Mortal]:
            for first in range(0, count, AT_ONCE):
                started = [Mortal(venue, folder) for _ in range(min(AT_ONCE, count - first))]
                for mortal in started:
                    stack.callback(mortal.kill)
                for mortal in started:
                    mortal.ready_wait()
                    yield mortal

        yield each()


def sign_ups_killed(venue: Venue, folder: Path, kills: int) -> dict[str, Any]:
    """
    Kill as many gateways at moments spread over a first sign-in; the next one signs the same person in.

    Asserts that each person then has the one account that the log opened for them, and signs in to it again; returns
    what there was.
    """
    before = dict(accounts_of_log(venue))
    with gateways(venue, folder, kills + 1) as starting:
        mortal = next(starting)
        begun_s = time.monotonic()
        accounts = {"first@example.com": mortal.sign_in("first@example.com")}
        took_s = time.monotonic() - begun_s
        cut_off = 0
        for number in range(kills):
            email = f"n{number}@example.com"
            killer = threading.Timer(took_s * SPREAD * number / kills, mortal.process.kill)
            killer.start()
            cut_off += mortal.sign_in(email) is None
            killer.join()
            mortal.kill()
            mortal = next(starting)
            accounts[email] = mortal.sign_in(email)
        assert cut_off > 0, "the moments lie within the sign-in"
        assert {email: mortal.sign_in(email) for email in accounts} == accounts
    assert None not in accounts.values()
    assert len(set(accounts.values())) == len(accounts)
    owners = dict(accounts_of_log(venue))
    assert len(owners) - len(before) == len(accounts), "one account a person"
    for email, account_id in accounts.items():
        assert owners[Person(venue, email).owner()] == account_id
    rows = venue.rows("SELECT email, account_id FROM users WHERE email = ANY($1)", list(accounts))
    assert {row["email"]: row["account_id"] for row in rows} == accounts
    sessions = venue.rows("SELECT u.email, s.account_id FROM sessions s JOIN users u USING (user_id)")
    assert all(accounts.get(row["email"], row["account_id"]) == row["account_id"] for row in sessions)
    return {"kills": kills, "cut_off": cut_off, "people": len(accounts), "sign_in_ms": round(took_s * 1_000)}


@click.command()
@click.option("--kills", type=click.IntRange(1, 500), default=20, show_default=True, help="How many gateways die.")
def main(kills: int) -> None:
    """Kill gateways in the middle of first sign-ins on a venue of its own, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="tidemark-killed-") as name:
        folder = Path(name)
        with venue_running(folder / "venue", "--feed", str(still_recording(folder)), "--hold") as venue:
            click.echo(json.dumps(sign_ups_killed(venue, folder / "mortal", kills)))


if __name__ == "__main__":
    main()
