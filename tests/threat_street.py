"""A running venue with people who came by the front door: signed in by mail, each with things of their own."""

import asyncio
import json
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from gateway.sign_in.secret import email_digest, owner_of_digest, secrets_read
from tests.faults.venue_client import Answer, Trader, Venue, eventually
from tests.key_signer import Signer

V1 = "/api/v1"
MARKET = "BTC_USDC_PERP"
HOLD_FRAMES_US = 1_700_000_000_000_000


def still_recording(folder: Path) -> Path:
    """Return a recording of a single quote, so that nothing happens that nobody asked for."""
    path = folder / "still.jsonl"
    data = {"A": "1", "B": "1", "E": HOLD_FRAMES_US, "T": HOLD_FRAMES_US, "a": "65000.1", "b": "65000.0"}
    frame = {"data": {**data, "e": "bookTicker", "s": MARKET, "u": 1}, "stream": f"bookTicker.{MARKET}"}
    path.write_text(json.dumps(frame) + "\n")
    return path


class Person:
    """Somebody with a mail address, a session, a key and some positions."""

    def __init__(self, venue: Venue, email: str) -> None:
        """Arrive; nothing is asked yet."""
        self.venue = venue
        self.email = email
        self.trader = Trader(0, "")
        self.account = 0
        self.signer = Signer(hash(email) % 10**9, venue.keys.venue)

    def sign_in(self) -> Trader:
        """Sign in by a new link; return the session, which is the newest now."""
        self.trader = signed_in(self.venue, self.email)
        self.account = self.trader.account
        return self.trader

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer to a request by session."""
        return self.venue.call(method, path, body, self.trader)

    def key_make(self, scopes: tuple[str, ...] = ("trade",)) -> None:
        """Register a key."""
        made = self.call("POST", f"{V1}/keys", {"public_key": self.signer.public_text, "scopes": list(scopes)})
        assert made.status == 201, made
        self.signer.key_id = made.body["key_id"]

    def signed(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Return the answer to a request signed by the key."""
        headers = self.signer.headers(method, target, body, time_us=time.time_ns() // 1_000)
        return self.venue.call(method, target, body or None, headers=headers)

    def owner(self) -> str:
        """Return by what the log knows this person."""
        secrets = secrets_read(self.venue.data_dir / "secret", self.venue.keys.venue)
        return owner_of_digest(email_digest(secrets.owner, self.email))


def mails_to(folder: Path, email: str) -> list[str]:
    """Return the tokens of the links that were mailed to an address, the newest last."""
    tokens = []
    for path in sorted(folder.glob("*.json"), key=lambda path: int(path.stem)):
        mail = json.loads(path.read_text())
        if mail["to"] == email:
            tokens.append(urllib.parse.parse_qs(urllib.parse.urlsplit(mail["link"]).query)["token"][0])
    return tokens


def signed_in(venue: Venue, email: str) -> Trader:
    """Return a new session of an address, by mail."""
    folder = venue.data_dir / "mail"
    count = len(mails_to(folder, email))
    asked = venue.call("POST", f"{V1}/auth", {"email": email})
    assert asked.status == 202, asked
    eventually(lambda: len(mails_to(folder, email)) > count, f"a mail to {email}", pause_s=0.01)
    answer = venue.call("POST", f"{V1}/auth/verify", {"token": mails_to(folder, email)[-1]})
    assert answer.status == 200, answer
    return Trader(answer.body["account_id"], answer.body["token"])


def accounts_of_log(venue: Venue) -> Iterator[tuple[str, int]]:
    """Yield every owner with the main account that the engine opened for it."""
    for happened in venue.happened():
        if happened.event["e"] == "account_opened" and "main" not in happened.event:
            yield happened.event["owner"], happened.event["account"]


def database_run(venue: Venue, *statements: str) -> None:
    """Run statements beside the venue's database, one after the other."""
    name = urllib.parse.urlsplit(venue.database_url).path.removeprefix("/")

    async def run() -> None:
        connection = await asyncpg.connect(venue.database_url.replace(f"/{name}", "/postgres", 1))
        try:
            for statement in statements:
                await connection.execute(statement.format(name=name, copy=f"{name}_copy"))
        finally:
            await connection.close()

    asyncio.run(run())


CLOSED = (
    "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
)


def database_copy(venue: Venue) -> None:
    """Make a copy of the venue's whole database, as a backup is one."""
    database_run(
        venue, *CLOSED, "CREATE DATABASE {copy} TEMPLATE {name}", "ALTER DATABASE {name} ALLOW_CONNECTIONS true"
    )


def database_restore(venue: Venue) -> None:
    """Put the copy in the database's place."""
    database_run(venue, *CLOSED, "DROP DATABASE {name} WITH (FORCE)", "ALTER DATABASE {copy} RENAME TO {name}")
