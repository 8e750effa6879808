"""
Who is calling: session tokens (JWT) and their rows.

The token alone says which account it is for, so trading needs no database. The row says whether it was revoked; what a
row said is believed for five seconds, and for as long as Postgres cannot be asked.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt

from gateway.errors import GatewayCode, Refusal
from gateway.secret import Secrets
from shared.database import Database, DatabaseError

SESSION_SECONDS = 7 * 24 * 3600
AUDIENCE = "tidemark session"
ALGORITHM = "HS256"
CACHE_S = 5.0
CACHE_MAX = 100_000
LOOKUP_TIMEOUT_S = 0.5
LOOKUP_PATIENCE_S = 0.05  # for a session that is remembered; the look goes on and the next request sees what it found
PAUSE_S = 1.0  # after a failed look-up, how long nobody asks again
CLOCK_AHEAD_S = 5  # another gateway's clock may be this much ahead when it issued
TOKEN_LENGTH_MAX = 2_048

SESSION_SELECT = "SELECT account_id, expires_us, revoked_us FROM sessions WHERE jti = $1 AND venue = $2"
SESSION_REVOKE = "UPDATE sessions SET revoked_us = $3 WHERE jti = $1 AND venue = $2 AND revoked_us IS NULL"


class Session(NamedTuple):
    """A caller."""

    account_id: int
    jti: str
    expires_us: int


class _Known(NamedTuple):
    """What a session's row said, and when."""

    valid: bool
    asked_s: float


def session_issue(secrets: Secrets, venue: str, account_id: int, now_us: int) -> tuple[Session, str]:
    """Return a new session and its token; the caller writes the row."""
    now_s = now_us // 1_000_000
    session = Session(account_id, str(uuid.uuid4()), (now_s + SESSION_SECONDS) * 1_000_000)
    claims = {
        "iss": venue,
        "aud": AUDIENCE,
        "sub": str(account_id),
        "jti": session.jti,
        "iat": now_s,
        "exp": now_s + SESSION_SECONDS,
    }
    kid = secrets.kid_signing()
    return session, jwt.encode(claims, secrets.sessions[kid], algorithm=ALGORITHM, headers={"kid": kid})


def session_of_token(secrets: Secrets, venue: str, token: str, now_us: int) -> Session | None:
    """Return the session that a token states, None unless every claim holds; the row is looked at elsewhere."""
    if len(token) > TOKEN_LENGTH_MAX:
        return None
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = secrets.sessions.get(kid) if isinstance(kid, str) else None
        if key is None:
            return None
        # Time is compared below with our own clock; the library would ask its own.
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=venue,
            options={
                "require": ["exp", "iat", "jti", "sub", "aud", "iss"],
                "verify_exp": False,
                "verify_iat": False,
                "strict_aud": True,
            },
        )
        return _session_of_claims(claims, now_us)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _session_of_claims(claims: dict[str, Any], now_us: int) -> Session | None:
    """Return the session of verified claims, None when a time or a name is not as we write it."""
    issued_s, expires_s, subject = claims["iat"], claims["exp"], claims["sub"]
    if type(issued_s) is not int or type(expires_s) is not int or type(subject) is not str:
        return None
    now_s = now_us // 1_000_000
    if not issued_s - CLOCK_AHEAD_S <= now_s < expires_s or expires_s - issued_s > SESSION_SECONDS:
        return None
    if not (subject.isascii() and subject.isdigit() and len(subject) < 19):
        return None
    return Session(int(subject), str(uuid.UUID(claims["jti"])), expires_s * 1_000_000)


class Sessions:
    """Checks tokens for one venue, with a short memory of their rows."""

    def __init__(
        self,
        secrets: Secrets,
        venue: str,
        database: Database,
        now_us: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        """Keep what checking needs."""
        self._secrets = secrets
        self._venue = venue
        self._database = database
        self._now_us = now_us
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._pause_until_s = float("-inf")

    async def check(self, token: str) -> Session:
        """Return the caller of a token; raises Refusal(UNAUTHENTICATED)."""
        session = session_of_token(self._secrets, self._venue, token, self._now_us())
        if session is None or not await self._valid(session.jti):
            raise Refusal(GatewayCode.UNAUTHENTICATED)
        return session

    async def revoke(self, session: Session) -> None:
        """End a session: here at once, elsewhere within five seconds; raises DatabaseError when it is not written."""
        self._remember(session.jti, False)
        await self._database.execute(SESSION_REVOKE, uuid.UUID(session.jti), self._venue, self._now_us())

    async def _valid(self, jti: str) -> bool:
        """Return whether the session holds, as far as it can be known now."""
        now_s = self._monotonic_s()
        known = self._known.get(jti)
        if known is not None and (now_s - known.asked_s < CACHE_S or not known.valid):
            return known.valid
        if now_s >= self._pause_until_s:
            await self._ask(jti, LOOKUP_TIMEOUT_S if known is None else LOOKUP_PATIENCE_S)
            known = self._known.get(jti)
        # Postgres cannot be asked and nothing is remembered: the signature and the expiry decide.
        return known.valid if known is not None else True

    async def _ask(self, jti: str, patience_s: float) -> None:
        """Look at the row and wait a while for it; callers of one session share one look."""
        task = self._asking.get(jti)
        if task is None:
            task = self._asking[jti] = asyncio.ensure_future(self._look_up(jti))
            task.add_done_callback(lambda _done: self._asking.pop(jti, None))
        await asyncio.wait({task}, timeout=patience_s)

    async def _look_up(self, jti: str) -> None:
        """Remember what the row says; when it cannot be asked, leave the memory and pause."""
        try:
            query = self._database.fetchrow(SESSION_SELECT, uuid.UUID(jti), self._venue)
            row = await asyncio.wait_for(query, LOOKUP_TIMEOUT_S)
        except (DatabaseError, TimeoutError):
            self._pause_until_s = self._monotonic_s() + PAUSE_S
            return
        self._remember(jti, row is not None and row["revoked_us"] is None)

    def _remember(self, jti: str, valid: bool) -> None:
        """Keep what is known of a session, the oldest knowledge making room; a revoked one stays revoked."""
        known = self._known.get(jti)
        if known is not None and not known.valid:
            return
        self._known[jti] = _Known(valid, self._monotonic_s())
        self._known.move_to_end(jti)
        while len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
