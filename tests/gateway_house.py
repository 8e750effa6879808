"""One gateway over stand-ins, with a client; and the tables of signing in, in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from gateway import candles, day_change, equity, history, readiness
from gateway.app import app_build
from gateway.desk import Desk, Gateway, Parts
from gateway.limits import Limits
from gateway.mail import MailFolder
from gateway.sign_in import auth, keys, links
from shared.database import DatabaseDown
from shared.refusal import REFUSAL_SELECT
from tests import history_statements
from tests.documented import HOOKS
from tests.gateway_doubles import VENUE, Clock, EngineToy, FakeStreams, Log, eventually, secrets, settings_of


class FakeDatabase:
    """The tables of signing in, in memory, by the very statements that are used; `down` lets all fail."""

    def __init__(self) -> None:
        """Start empty."""
        self.users: dict[Any, dict[str, Any]] = {}
        self.links: dict[bytes, dict[str, Any]] = {}
        self.sessions: dict[Any, dict[str, Any]] = {}
        self.api_keys = KeysTable()
        self.history: dict[str, list[dict[str, Any]]] = {}  # rows by table
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
        elif not self.api_keys.execute(query, arguments):
            raise AssertionError(query)
        return 1

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return rows of history, sessions, keys."""
        self._check()
        if query == auth.SESSIONS_SELECT:
            return self._sessions_live(*arguments)
        if query == auth.SESSIONS_LOOK:
            found = [(jti, self.sessions[jti]) for jti in arguments[0] if jti in self.sessions]
            return [row | {"jti": jti, "role": self.role_of(row)} for jti, row in found]
        if query == keys.KEYS_LOOK:
            return [dict(self.api_keys.rows[key_id]) for key_id in arguments[0] if key_id in self.api_keys.rows]
        if query == keys.KEYS_SELECT:
            return self.api_keys.live(*arguments)
        found = history_statements.answer(self.history_rows, query, arguments)
        assert found is not None, query
        return found

    def history_rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of one history."""
        return self.history.setdefault(table, [])

    async def fetchrow(self, query: str, *arguments: Any) -> dict[str, Any] | None:
        """Return the row of one of the known statements."""
        self._check()
        if query == links.PERSON_UPSERT:
            for row in self.users.values():
                if row["email_hash"] == arguments[3]:
                    return row
            user = {"user_id": arguments[0], "email": arguments[2], "email_hash": arguments[3], "account_id": None}
            user["role"] = "trader"
            return self.users.setdefault(arguments[0], user)
        if query == links.LINK_SELECT:
            link = self._link(*arguments[:3])
            return self.users[link["user_id"]] if link else None
        if query == links.LINK_CONSUME:
            return self._consume(*arguments)
        if query == auth.SESSION_REVOKE:
            return self._session_revoke(*arguments)
        if query == keys.KEY_REVOKE:
            return self.api_keys.revoke(*arguments)
        if query in (history.CURSOR_SELECT, readiness.CURSOR_SELECT):
            return {"seq": self.history_seq}
        if query == REFUSAL_SELECT:
            return self.refused
        if query in (candles.NEWEST_SELECT, day_change.OPEN_SELECT, equity.SPAN_SELECT):
            found = history_statements.answer(self.history_rows, query, arguments)
            return found[0] if found else None
        assert query == readiness.SNAPSHOT_SELECT, query
        return {"age_s": 1.0}

    def role_of(self, session: dict[str, Any]) -> str | None:
        """Return the role of whoever a session is of, None when no person opened it."""
        role: str | None = self.users.get(session.get("user_id"), {}).get("role")
        return role

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
        row = {"jti": jti, "user_id": link["user_id"], "account_id": account_id, "created_us": now_us}
        row |= {"expires_us": rest[2], "label": rest[3]}
        self.sessions[jti] = row | {"revoked_us": None}
        return {"jti": jti}

    def _sessions_live(self, _venue: str, account_id: int, now_us: int, limit: int) -> list[dict[str, Any]]:
        """Return the live sessions of an account, the newest first."""
        rows = [row for row in self.sessions.values() if row["account_id"] == account_id and live(row, now_us)]
        return sorted(rows, key=lambda row: (-row["created_us"], row["jti"]))[:limit]

    def _session_revoke(self, jti: Any, _venue: str, account_id: int, now_us: int) -> dict[str, Any] | None:
        """End a live session of an account."""
        row = self.sessions.get(jti)
        if row is None or row["account_id"] != account_id or not live(row, now_us):
            return None
        row["revoked_us"] = now_us
        return row


def live(row: dict[str, Any], now_us: int) -> bool:
    """Return whether a session or key is neither ended nor expired."""
    return row["revoked_us"] is None and row["expires_us"] > now_us


class KeysTable:
    """The table of keys, in memory, by the very statements that are used."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[str, dict[str, Any]] = {}

    def execute(self, query: str, arguments: tuple[Any, ...]) -> bool:
        """Run one of the known statements; False when it is none."""
        if query == keys.KEY_INSERT:
            names = ("key_id", "venue", "account_id", "public_key", "scopes", "label", "created_us", "expires_us")
            row = dict(zip(names, arguments, strict=True))
            self.rows[row["key_id"]] = row | {"revoked_us": None, "rotated_to": None}
        elif query == keys.KEY_ROTATED:
            self.rows[arguments[0]] |= {"rotated_to": arguments[2], "expires_us": arguments[3]}
        else:
            return query == keys.KEYS_LOCK
        return True

    def live(self, _venue: str, account_id: int, now_us: int) -> list[dict[str, Any]]:
        """Return the live keys of an account, the newest first."""
        rows = [row for row in self.rows.values() if row["account_id"] == account_id and live(row, now_us)]
        return sorted(rows, key=lambda row: (-row["created_us"], row["key_id"]))

    def revoke(self, key_id: str, _venue: str, account_id: int, now_us: int) -> dict[str, Any] | None:
        """End a live key of an account and return its row."""
        row = self.rows.get(key_id)
        if row is None or row["account_id"] != account_id or not live(row, now_us):
            return None
        row["revoked_us"] = now_us
        return row


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
            transport=httpx2.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://127.0.0.1:8080",
            event_hooks=HOOKS,
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
