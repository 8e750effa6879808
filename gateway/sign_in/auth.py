"""
Sessions: their tokens (JWT) and their rows.

The token alone says which account it is for, so trading needs no database. The row says whether it was revoked; what it
said is believed for a while (`remembered.py`).
"""

import uuid
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jwt

from gateway.errors import GatewayCode, Refusal
from gateway.sign_in.remembered import CACHE_S, Remembered, Row
from gateway.sign_in.revocations import AT_ONCE_US, Revocations, fenced
from gateway.sign_in.secret import Secrets
from shared.database import Database

SESSION_SECONDS = 7 * 24 * 3600
AUDIENCE = "tidemark session"
ALGORITHM = "HS256"
CLOCK_AHEAD_S = 5  # another gateway's clock may be this much ahead when it issued
TOKEN_LENGTH_MAX = 2_048
VERIFIED_MAX = 4_096  # tokens whose signature need not be computed again

LISTED_MAX = 500

TRADER, OPERATOR = ROLES = ("trader", "operator")  # of people; a session that no person opened is a trader's
SESSIONS_LOOK = (
    "SELECT jti, sessions.account_id, expires_us, revoked_us, role FROM sessions LEFT JOIN users USING (user_id)"
    " WHERE jti = ANY($1) AND sessions.venue = $2"
)
SESSION_REVOKE = (
    "UPDATE sessions SET revoked_us = $4"
    " WHERE jti = $1 AND venue = $2 AND account_id = $3 AND revoked_us IS NULL AND expires_us > $4 RETURNING expires_us"
)
SESSIONS_SELECT = (
    "SELECT jti, created_us, expires_us, label FROM sessions"
    " WHERE venue = $1 AND account_id = $2 AND revoked_us IS NULL AND expires_us > $3"
    " ORDER BY created_us DESC, jti LIMIT $4"
)


class Session(NamedTuple):
    """What a token states."""

    account_id: int
    jti: str
    expires_us: int


class SessionRow(NamedTuple):
    """One place where somebody is signed in."""

    jti: str
    created_us: int
    expires_us: int
    label: str


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
    """Checks, lists and ends the sessions of one venue."""

    def __init__(
        self,
        secrets: Secrets,
        venue: str,
        database: Database,
        revocations: Revocations,
        now_us: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        """Keep what checking needs."""
        self._secrets = secrets
        self._venue = venue
        self._database = database
        self._revocations = revocations
        self._now_us = now_us
        self._remembered = Remembered(self._rows, revocations, monotonic_s)
        self._verified: dict[str, Session] = {}

    async def check(self, token: str) -> Session:
        """Return the session of a token; raises Refusal(UNAUTHENTICATED)."""
        session = self._stated(token)
        if session is None or not await self.holds(session):
            raise Refusal(GatewayCode.UNAUTHENTICATED)
        return session

    def _stated(self, token: str) -> Session | None:
        """Return the session that a token states, None for none: its claims are verified once, its end every time."""
        now_us = self._now_us()
        session = self._verified.get(token)
        if session is None:
            session = session_of_token(self._secrets, self._venue, token, now_us)
            if session is None:
                return None
            if len(self._verified) >= VERIFIED_MAX:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = session
        return session if now_us < session.expires_us else None

    async def holds(self, session: Session, age_max_s: float = CACHE_S) -> bool:
        """Return whether a session has neither expired nor been ended, as far as it can be known now."""
        known = await self._remembered.look(session.jti, age_max_s)
        now_us = self._now_us()
        if now_us >= min(session.expires_us, known.ends_us):
            return False
        if fenced(known.fences, session.account_id, session.expires_us - SESSION_SECONDS * 1_000_000):
            return False
        if not known.asked:
            return True  # neither server can be asked, or only the one that knows of no end: the signature decides
        return known.row is not None and known.row["revoked_us"] is None

    async def role(self, session: Session) -> str | None:
        """Return the role of who signed in, as old as any look at the session; None when it cannot be known now."""
        known = await self._remembered.look(session.jti)
        if not known.asked:
            return None
        return OPERATOR if known.row is not None and known.row["role"] == OPERATOR else TRADER

    async def listed(self, account_id: int) -> list[SessionRow]:
        """Return where an account is signed in, the newest first; raises DatabaseError."""
        rows = await self._database.fetch(SESSIONS_SELECT, self._venue, account_id, self._now_us(), LISTED_MAX)
        return [SessionRow(str(row["jti"]), row["created_us"], row["expires_us"], row["label"]) for row in rows]

    async def revoke(self, session: Session) -> None:
        """End the caller's own session: here at once, elsewhere within five seconds; raises DatabaseError."""
        self._remembered.end(session.jti, AT_ONCE_US)
        try:
            await self._revoke_row(session.account_id, session.jti)
        finally:
            await self._revocations.end(session.jti, AT_ONCE_US, session.expires_us)

    async def revoke_named(self, account_id: int, jti: str) -> bool:
        """End a session that an account names; False when it has no such live one; raises DatabaseError."""
        expires_us = await self._revoke_row(account_id, jti)
        if expires_us is None:
            return False
        self._remembered.end(jti, AT_ONCE_US)
        await self._revocations.end(jti, AT_ONCE_US, expires_us)
        return True

    async def _revoke_row(self, account_id: int, jti: str) -> int | None:
        """Note the end in the row and return when it would have expired; None when the account has no such live one."""
        try:
            name = uuid.UUID(jti)
        except ValueError:
            return None
        if str(name) != jti:
            return None  # an id has one spelling: what is remembered and marked goes by it
        row = await self._database.fetchrow(SESSION_REVOKE, name, self._venue, account_id, self._now_us())
        return None if row is None else int(row["expires_us"])

    async def _rows(self, jtis: Collection[str]) -> dict[str, Row]:
        """Return what Postgres holds of some sessions."""
        rows = await self._database.fetch(SESSIONS_LOOK, [uuid.UUID(jti) for jti in jtis], self._venue)
        return {str(row["jti"]): row for row in rows}
