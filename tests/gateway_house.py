"""One gateway over stand-ins, with a client; and the tables of signing in, in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from gateway import auth, history, links, readiness
from gateway.app import app_build
from gateway.desk import Desk, Gateway, Parts
from gateway.limits import Limits
from gateway.mail import MailFolder
from shared.database import DatabaseDown
from shared.refusal import REFUSAL_SELECT
from tests.gateway_doubles import VENUE, Clock, EngineToy, FakeStreams, Log, eventually, secrets, settings_of


class FakeDatabase:
    """The tables of signing in, in memory, by the very statements that are used; `down` lets all fail."""

    def __init__(self) -> None:
        """Start empty."""
        self.users: dict[Any, dict[str, Any]] = {}
        self.links: dict[bytes, dict[str, Any]] = {}
        self.sessions: dict[Any, dict[str, Any]] = {}
        self.closed: list[dict[str, Any]] = []
        self.liquidations: list[dict[str, Any]] = []
        self.history_seq = 0
        self.refused: dict[str, Any] | None = None
        self.down = False
        self.asked = 0

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["FakeDatabase"]:
        """Lend itself."""
        self._check()
        yield self

    def _check(self) -> None:
        """Fail while down."""
        self.asked += 1
        if self.down:
            raise DatabaseDown("away")

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run one of the known statements."""
        self._check()
        if query == links.LINKS_VOID:
            self.links = {key: row for key, row in self.links.items() if row["user_id"] != arguments[0]}
        elif query == links.LINK_INSERT:
            self.links[arguments[0]] = {"user_id": arguments[1], "purpose": arguments[2], "expires_us": arguments[4]}
        elif query == auth.SESSION_REVOKE:
            self.sessions[arguments[0]]["revoked_us"] = arguments[2]
        else:
            raise AssertionError(query)
        return 1

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return closed orders, or a market's liquidations."""
        self._check()
        if query == history.LIQUIDATIONS_SELECT:
            _venue, market, seq, position, limit = arguments
            rows = [row for row in self.liquidations if row["data"]["market"] == market]
        else:
            assert query == history.ORDERS_SELECT
            _venue, account_id, market, seq, position, limit = arguments
            rows = [row for row in self.closed if row["account_id"] == account_id and market in (None, row["market"])]
        if seq is not None:
            rows = [row for row in rows if (row["seq"], row["position"]) < (seq, position)]
        return sorted(rows, key=lambda row: (row["seq"], row["position"]), reverse=True)[:limit]

    async def fetchrow(self, query: str, *arguments: Any) -> dict[str, Any] | None:
        """Return the row of one of the known statements."""
        self._check()
        if query == links.PERSON_UPSERT:
            for row in self.users.values():
                if row["email_hash"] == arguments[3]:
                    return row
            user = {"user_id": arguments[0], "email": arguments[2], "email_hash": arguments[3], "account_id": None}
            return self.users.setdefault(arguments[0], user)
        if query == links.LINK_SELECT:
            link = self._link(*arguments[:3])
            return self.users[link["user_id"]] if link else None
        if query == links.LINK_CONSUME:
            return self._consume(*arguments)
        if query == auth.SESSION_SELECT:
            return self.sessions.get(arguments[0])
        if query in (history.CURSOR_SELECT, readiness.CURSOR_SELECT):
            return {"seq": self.history_seq}
        if query == REFUSAL_SELECT:
            return self.refused
        assert query == readiness.SNAPSHOT_SELECT, query
        return {"age_s": 1.0}

    def _link(self, token_hash: bytes, purpose: str, now_us: int) -> dict[str, Any] | None:
        """Return a link that still holds."""
        link = self.links.get(token_hash)
        return link if link and link["purpose"] == purpose and link["expires_us"] > now_us else None

    def _consume(self, token_hash: bytes, purpose: str, now_us: int, account_id: int, *rest: Any) -> Any:
        """Do what the one statement does."""
        link = self._link(token_hash, purpose, now_us)
        if link is None:
            return None
        del self.links[token_hash]
        self.users[link["user_id"]]["account_id"] = account_id
        jti = rest[1]
        self.sessions[jti] = {"account_id": account_id, "expires_us": rest[2], "revoked_us": None}
        return {"jti": jti}


class House:
    """One gateway over stand-ins, with a client."""

    def __init__(self, tmp_path: Path, **changes: str) -> None:
        """Build everything; nothing runs yet."""
        self.clock = Clock()
        self.engine = EngineToy()
        self.streams = FakeStreams(self.engine, self.clock)
        self.database = FakeDatabase()
        self.log = Log()
        self.mails: list[Any] = []
        self.passed_s = 0.0
        parts = Parts(
            settings_of(tmp_path, **changes),
            self.streams,  # type: ignore[arg-type]
            self.streams,  # type: ignore[arg-type]
            self.database,  # type: ignore[arg-type]
            MailFolder(tmp_path / "mail", self.mails.append),
            self.clock.now_us,
            self.monotonic_s,
            self.log,
        )
        self.gateway = Gateway(parts, Limits(parts.settings.rate_limit_factor, self.monotonic_s))
        self.desk = Desk(parts, VENUE, secrets())
        self.app = app_build(self.gateway)
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app, raise_app_exceptions=False), base_url="http://127.0.0.1:8080"
        )

    def monotonic_s(self) -> float:
        """Return a monotonic clock that runs with the event loop's and can be pushed on."""
        try:
            return asyncio.get_running_loop().time() + self.passed_s
        except RuntimeError:
            return self.passed_s

    async def __aenter__(self) -> "House":
        """Open the desk."""
        await self.desk.open()
        self.gateway.desk = self.desk
        self.work = asyncio.ensure_future(self.desk.run())
        self.desk.watch.wrote()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop."""
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)
        await self.client.aclose()

    async def link(self, email: str = "ada@example.com") -> str:
        """Return the token of a fresh link."""
        count = len(self.mails)
        answer = await self.client.post("/api/v1/auth", json={"email": email})
        assert answer.status_code == 202, answer.text
        await eventually(lambda: len(self.mails) > count)
        return str(self.mails[-1].link).partition("token=")[2]

    async def sign_in(self, email: str = "ada@example.com") -> dict[str, str]:
        """Return the headers of a signed-in program."""
        answer = await self.client.post("/api/v1/auth/verify", json={"token": await self.link(email)})
        assert answer.status_code == 200, answer.text
        self.client.cookies.clear()
        return {"Authorization": f"Bearer {answer.json()['token']}"}
