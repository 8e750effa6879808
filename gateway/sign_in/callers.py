"""
Who is calling: by a session's token, by its cookie, or by a request that a key signed; over HTTP and WebSocket alike.

A caller acts for one account and its sub-accounts within its scopes. A session may do all; a key reads or trades, and
never touches sessions and keys.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import HTTPConnection

from gateway.errors import GatewayCode, Refusal
from gateway.metering import KEY, SESSION, Meters
from gateway.shapes import SCOPES
from gateway.sign_in.auth import TRADER, Session, Sessions
from gateway.sign_in.keys import READ, TRADE, ApiKeys, KeyHeld
from gateway.sign_in.origins import SAFE_METHODS, cross_site_check, socket_origin_check
from gateway.sign_in.remembered import CACHE_S
from gateway.sign_in.signatures import (
    HEADERS,
    SOCKET_METHOD,
    SOCKET_SUBJECT,
    Signed,
    Subject,
    signed_of_headers,
    signed_read,
)
from shared.settings import Settings

COOKIE_DEVELOPMENT = "tidemark"
COOKIE = "__Host-tidemark"
ALL = "all"  # what only a session may do
TRADE_PATHS = "/api/v1/trade/"
READ_POSTS = frozenset({"/api/v1/trade/preview"})  # they only calculate
# Instructions that do not stand under TRADE_PATHS.
TRADES = frozenset(
    {
        "/api/v1/account/reset",
        "/api/v1/account/guards",
        "/api/v1/account/subaccounts",
        "/api/v1/account/transfer",
    }
)
SESSION_PATHS = ("/api/v1/auth/", "/api/v1/keys")
SIGNING = frozenset(name.lower().encode() for name in HEADERS)  # as a request's raw headers are named


class Caller(NamedTuple):
    """Somebody who may act for an account."""

    account_id: int
    way: str  # SESSION or KEY
    name: str  # the session's id, or the key's
    expires_us: int
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Return whether this caller may do what needs a scope; who may trade may read."""
        return scope in self.scopes or (scope == READ and TRADE in self.scopes)


class Token(NamedTuple):
    """A session's token as it was presented."""

    text: str
    by_cookie: bool  # a browser sent it by itself


class Presented(NamedTuple):
    """A signature as it was presented; None: its headers have not their form."""

    signed: Signed | None


class Callers:
    """Checks what callers present, for one venue."""

    def __init__(self, sessions: Sessions, api_keys: ApiKeys, meters: Meters | None = None) -> None:
        """Keep who checks, and where it is counted."""
        self._sessions = sessions
        self._api_keys = api_keys
        self._meters = meters or Meters()

    async def by_token(self, token: str) -> Caller:
        """Return the caller of a session's token; raises Refusal(UNAUTHENTICATED)."""
        session = await self._meters.caller(SESSION, self._sessions.check(token))
        return Caller(session.account_id, SESSION, session.jti, session.expires_us, frozenset({ALL, *SCOPES}))

    async def by_signature(self, signed: Signed | None, subject: Subject) -> Caller:
        """Return the caller whose key signed; raises Refusal(SIGNATURE_INVALID, SIGN_IN_UNAVAILABLE)."""
        held = await self._meters.caller(KEY, self._api_keys.check(signed, subject))
        return Caller(held.account_id, KEY, held.key_id, held.expires_us, held.scopes)

    async def by_message(self, key: str, time: str, window: str, signature: str) -> Caller:
        """Return the caller of a WebSocket's sign-in message; the texts are those of the headers; raises Refusal."""
        return await self.by_signature(signed_read(key, time, window, signature), SOCKET_SUBJECT)

    async def holds(self, caller: Caller, age_max_s: float = CACHE_S) -> bool:
        """Return whether a caller may still act: a socket asks every five seconds, with an `age_max_s` of one."""
        if caller.way == KEY:
            held = KeyHeld(caller.account_id, caller.name, caller.expires_us, caller.scopes)
            return await self._api_keys.holds(held, age_max_s)
        return await self._sessions.holds(Session(caller.account_id, caller.name, caller.expires_us), age_max_s)

    async def role(self, caller: Caller) -> str | None:
        """Return a caller's role, a key's being that of a trader; None when it cannot be known now."""
        if caller.way == KEY:
            return TRADER
        return await self._sessions.role(Session(caller.account_id, caller.name, caller.expires_us))


def cookie_name(settings: Settings) -> str:
    """Return the session cookie's name; `__Host-` needs https, which development has not."""
    return COOKIE_DEVELOPMENT if settings.environment == "development" else COOKIE


def presented_of(settings: Settings, connection: HTTPConnection) -> Token | Presented | None:
    """Return what a caller presents, None for nothing; raises Refusal when it is more than one thing."""
    present = {name for name, _value in connection.headers.raw}
    stated = connection.headers.get("authorization") if b"authorization" in present else None
    cookie = connection.cookies.get(cookie_name(settings)) if b"cookie" in present else None
    if not present.isdisjoint(SIGNING):
        values = [connection.headers.getlist(name) for name in HEADERS]
        if stated is not None or cookie is not None:
            raise Refusal(GatewayCode.UNAUTHENTICATED, {"reason": "a signature and a session at once"})
        return Presented(signed_of_headers(values))
    if stated is not None:
        scheme, _, token = stated.partition(" ")
        return Token(token.strip(), False) if scheme.lower() == "bearer" else None
    return None if cookie is None else Token(cookie, True)


async def request_caller(
    callers: Callers, settings: Settings, connection: HTTPConnection, body: Callable[[], Awaitable[bytes]]
) -> tuple[Caller, bytes | None]:
    """Return who sends a request, and the signature if a key signed it; raises Refusal."""
    presented = presented_of(settings, connection)
    match presented:
        case None:
            raise Refusal(GatewayCode.UNAUTHENTICATED)
        case Token():
            if presented.by_cookie:
                cross_site_check(settings, connection.scope["method"], connection)
            return await callers.by_token(presented.text), None
        case Presented():
            subject = subject_of(connection, connection.scope["method"], await body())
            caller = await callers.by_signature(presented.signed, subject)
            return caller, presented.signed.signature if presented.signed else None


async def socket_caller(callers: Callers, settings: Settings, connection: HTTPConnection) -> Caller | None:
    """
    Return who opens a WebSocket, None when the upgrade does not say; raises Refusal when it must not be accepted.

    The one door of `/ws`: the page's origin first, then the cookie, the token or the signature (method WS, no body).
    """
    presented = presented_of(settings, connection)
    socket_origin_check(settings, connection, isinstance(presented, Token) and presented.by_cookie)
    match presented:
        case None:
            if "authorization" in connection.headers:
                raise Refusal(GatewayCode.UNAUTHENTICATED)
            return None
        case Token():
            return await callers.by_token(presented.text)
        case Presented():
            return await callers.by_signature(presented.signed, subject_of(connection, SOCKET_METHOD, b""))


def subject_of(connection: HTTPConnection, method: str, body: bytes) -> Subject:
    """Return what a request's signature is about, byte for byte as it was sent."""
    query = connection.scope.get("query_string", b"")
    headers = connection.headers
    return Subject(
        method,
        connection.scope["raw_path"] + (b"?" + query if query else b""),
        headers.get("idempotency-key", "").encode("latin-1"),
        headers.get("request-time", "").encode("latin-1"),
        body,
    )


def scope_needed(method: str, path: str) -> str:
    """Return what a caller must be allowed to for a private route; what nobody thought of needs a session."""
    if path.startswith(SESSION_PATHS):
        return ALL
    if method in SAFE_METHODS or path in READ_POSTS:
        return READ
    return TRADE if path.startswith(TRADE_PATHS) or path in TRADES else ALL
