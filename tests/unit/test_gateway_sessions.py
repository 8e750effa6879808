"""A session token is believed only when every claim is as we write it; a revoked one is not believed at all."""

import asyncio
import base64
import json
import uuid
from typing import Any

import jwt
import pytest

from gateway.errors import Refusal
from gateway.sign_in.auth import AUDIENCE, SESSION_SECONDS, Session, Sessions, session_issue, session_of_token
from gateway.sign_in.remembered import AHEAD_S, CACHE_S, PAUSE_S
from gateway.sign_in.revocations import Revocations
from gateway.sign_in.secret import SecretError, email_digest, owner_of_digest, secrets_of_text
from shared.database import DatabaseDown
from tests.gateway_doubles import NOW_US, SECRET, VENUE, Clock, EngineToy, FakeStreams, Log, secrets
from tests.gateway_house import FakeDatabase

KEYS = secrets()
NOW_S = NOW_US // 1_000_000


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with changes; `...` drops one."""
    good = {
        "iss": VENUE,
        "aud": AUDIENCE,
        "sub": "101",
        "jti": str(uuid.UUID(int=5)),
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(body: dict[str, Any], kid: Any = None, key: bytes | None = None, algorithm: str = "HS256") -> str:
    """Return a token of the test venue's own key unless told otherwise."""
    name = KEYS.kid_signing() if kid is None else kid
    return jwt.encode(body, KEYS.sessions[KEYS.kid_signing()] if key is None else key, algorithm, {"kid": name})


def test_our_own_token_is_good_until_it_expires() -> None:
    """A token says which account it is for, from its issue to its expiry and not a second longer."""
    session, text = session_issue(KEYS, VENUE, 101, NOW_US)
    assert session_of_token(KEYS, VENUE, text, NOW_US) == session
    assert session_of_token(KEYS, VENUE, text, session.expires_us - 1) == session
    assert session_of_token(KEYS, VENUE, text, session.expires_us) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "othervenue"},
        {"aud": "something else"},
        {"aud": [AUDIENCE]},
        {"iat": NOW_S + 60},
        {"exp": NOW_S},
        {"exp": 10**30},
        {"exp": NOW_S + SESSION_SECONDS + 1},
        {"exp": str(NOW_S + 60)},
        {"exp": float("inf")},
        {"iat": True},
        {"sub": "0x65"},
        {"sub": "-1"},
        {"sub": "１０１"},
        {"sub": "1" * 30},
        {"jti": "not a uuid"},
        *({name: ...} for name in ("iss", "aud", "sub", "jti", "iat", "exp")),
    ],
    ids=str,
)
def test_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    """Whatever claim is missing, foreign or beyond its bounds, the token is worth nothing."""
    assert session_of_token(KEYS, VENUE, token(claims()), NOW_US) is not None
    assert session_of_token(KEYS, VENUE, token(claims(**changes)), NOW_US) is None


def test_other_algorithms_and_keys_are_refused() -> None:
    """Neither `none` in any spelling, nor another HMAC, nor an unknown or strange kid is taken."""
    good = claims()
    for name in ("none", "nOnE", "None"):
        head = {"alg": name, "typ": "JWT", "kid": KEYS.kid_signing()}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, good)]
        assert session_of_token(KEYS, VENUE, ".".join([*parts, ""]), NOW_US) is None
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        long_hash = token(good, algorithm="HS512")
    assert session_of_token(KEYS, VENUE, long_hash, NOW_US) is None
    assert session_of_token(KEYS, VENUE, token(good, key=b"x" * 32), NOW_US) is None
    for kid in ("../../dev/null", "", "unknown"):
        assert session_of_token(KEYS, VENUE, token(good, kid=kid), NOW_US) is None
    for text in ("", "a.b.c", "x" * 5_000, "ü"):
        assert session_of_token(KEYS, VENUE, text, NOW_US) is None


def test_keys_rotate() -> None:
    """A token of the former key holds while its line is in the file, and the owner of an account never changes."""
    new = "7f" * 32
    both = secrets_of_text(f"{new}\n{SECRET}\n", VENUE)
    retired = secrets_of_text(f"{new}\nowner {SECRET}\n", VENUE)
    _session, old_token = session_issue(KEYS, VENUE, 101, NOW_US)
    assert session_of_token(both, VENUE, old_token, NOW_US) is not None
    assert session_of_token(retired, VENUE, old_token, NOW_US) is None
    _session, new_token = session_issue(both, VENUE, 101, NOW_US)
    assert session_of_token(KEYS, VENUE, new_token, NOW_US) is None
    assert KEYS.owner == both.owner == retired.owner
    assert secrets_of_text(SECRET, "anothervenu").owner != KEYS.owner


@pytest.mark.parametrize("text", ["", "\n", "ab" * 31, "zz" * 32, "abc", f"owner {SECRET}", f"key: {SECRET}"])
def test_weak_secrets_stop_the_start(text: str) -> None:
    """Less than 32 bytes, or anything that is not hex, is no secret."""
    with pytest.raises(SecretError):
        secrets_of_text(text, VENUE)


def test_owner_is_a_keyed_digest() -> None:
    """The owner of an account is 32 hex digits that only the venue's key can derive from an address."""
    owner = owner_of_digest(email_digest(KEYS.owner, "ada@example.com"))
    assert len(owner) == 32
    assert int(owner, 16) >= 0
    other = secrets_of_text("00" * 32, VENUE)
    assert owner != owner_of_digest(email_digest(other.owner, "ada@example.com"))


class Time:
    """A monotonic clock that a test moves."""

    now_s = 10.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


class Desk:
    """Sessions over stand-ins for both servers."""

    def __init__(self) -> None:
        """Start with empty servers."""
        self.database, self.time, self.log = FakeDatabase(), Time(), Log()
        self.streams = FakeStreams(EngineToy(), Clock())
        self.sessions = self.another()

    def another(self) -> Sessions:
        """Return the sessions as another gateway sees them: the same servers, another memory."""
        marks = Revocations(self.streams, self.streams.keys, lambda: NOW_US, self.log)  # type: ignore[arg-type]
        return Sessions(KEYS, VENUE, self.database, marks, lambda: NOW_US, self.time)  # type: ignore[arg-type]

    def open(self, account_id: int = 101) -> tuple[Session, str]:
        """Return a session whose row is written."""
        session, text = session_issue(KEYS, VENUE, account_id, NOW_US)
        row = {"account_id": account_id, "expires_us": session.expires_us, "revoked_us": None}
        self.database.sessions[uuid.UUID(session.jti)] = row
        return session, text


async def refused(sessions: Sessions, text: str) -> bool:
    """Return whether a token is worth nothing."""
    try:
        await sessions.check(text)
    except Refusal as refusal:
        return refusal.code == "UNAUTHENTICATED"
    return False


def test_rows_are_cached_five_seconds_and_revocation_is_noticed() -> None:
    """A row is asked once in five seconds; a session revoked elsewhere ends within them, here at once."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        assert (await asyncio.gather(*(desk.sessions.check(text) for _ in range(50))))[0] == session
        assert desk.database.asked == 1
        desk.database.sessions[uuid.UUID(session.jti)]["revoked_us"] = NOW_US
        assert not await refused(desk.sessions, text)
        desk.time.now_s += CACHE_S
        assert await refused(desk.sessions, text)

    asyncio.run(scenario())


def test_whoever_comes_every_second_waits_for_nobody() -> None:
    """A row in use is looked at again before it is too old, beside the request; the next one learns what it says."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        await desk.sessions.check(text)
        desk.time.now_s += CACHE_S - AHEAD_S - 0.1
        await desk.sessions.check(text)
        assert desk.database.asked == 1
        desk.database.sessions[uuid.UUID(session.jti)]["revoked_us"] = NOW_US
        desk.time.now_s += 0.2
        assert not await refused(desk.sessions, text)  # the answer did not wait for the look
        for _ in range(10):
            await asyncio.sleep(0)
        assert desk.database.asked == 2
        assert await refused(desk.sessions, text)

    asyncio.run(scenario())


def test_a_socket_may_ask_for_something_newer() -> None:
    """Whoever holds a connection open learns of an end within the age it names, not only within the cache's."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        await desk.sessions.check(text)
        desk.database.sessions[uuid.UUID(session.jti)]["revoked_us"] = NOW_US
        desk.time.now_s += 0.9
        assert await desk.sessions.holds(session, 1.0)
        desk.time.now_s += 0.1
        assert not await desk.sessions.holds(session, 1.0)

    asyncio.run(scenario())


def test_with_postgres_down_memory_and_expiry_decide() -> None:
    """Trading needs no database: a good token passes, one known to be revoked does not, and nobody asks in vain."""

    async def scenario() -> None:
        desk = Desk()
        revoked, revoked_text = desk.open()
        await desk.sessions.revoke(revoked)
        desk.database.down = True
        desk.time.now_s += 60
        asked = desk.database.asked
        for _ in range(20):
            await desk.sessions.check(session_issue(KEYS, VENUE, 102, NOW_US)[1])
        assert desk.database.asked == asked + 1
        assert await refused(desk.sessions, revoked_text)

    asyncio.run(scenario())


@pytest.mark.parametrize("remembered", [False, True])
def test_a_revoked_session_does_not_pass_while_postgres_is_away(remembered: bool) -> None:
    """A gateway that cannot ask Postgres asks Redis: what another gateway ended has ended, however well remembered."""

    async def scenario() -> None:
        desk = Desk()
        other = desk.another()
        session, text = desk.open()
        if remembered:
            await other.check(text)
        await desk.sessions.revoke(session)
        desk.database.down = True
        desk.time.now_s += CACHE_S
        assert await refused(other, text)

    asyncio.run(scenario())


def test_postgres_is_asked_again_soon_after_it_was_away() -> None:
    """What Postgres could not be asked is asked again after a second, not after the five that an answer holds."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        await desk.sessions.check(text)
        desk.database.down = True
        desk.time.now_s += CACHE_S
        assert not await refused(desk.sessions, text)
        desk.database.down = False
        desk.database.sessions[uuid.UUID(session.jti)]["revoked_us"] = NOW_US
        desk.time.now_s += PAUSE_S
        assert await refused(desk.sessions, text)

    asyncio.run(scenario())


def test_what_nobody_foresaw_lets_nobody_pass() -> None:
    """A mark that cannot be read is a mistake that is told, not a reason to believe the token alone."""

    async def scenario() -> None:
        desk = Desk()
        _session, text = desk.open()
        desk.streams.values[desk.streams.keys.accounts_kept] = b"not json"
        with pytest.raises(ValueError, match="invalid literal"):
            await desk.sessions.check(text)

    asyncio.run(scenario())


def test_a_revocation_holds_although_its_row_could_not_be_written() -> None:
    """Signing out while Postgres is away fails and says so; the mark in Redis ends the session all the same."""

    async def scenario() -> None:
        desk = Desk()
        other = desk.another()
        session, text = desk.open()
        desk.database.down = True
        with pytest.raises(DatabaseDown):
            await desk.sessions.revoke(session)
        assert await refused(other, text)
        desk.database.down = False
        desk.time.now_s += CACHE_S
        assert await refused(other, text)
        assert await refused(desk.another(), text)

    asyncio.run(scenario())


def test_a_session_stays_ended_when_postgres_is_brought_back_as_it_was_before() -> None:
    """The row of an older Postgres says that the session lives; the mark says when it ended, and wins."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        await desk.sessions.revoke(session)
        desk.database.sessions[uuid.UUID(session.jti)]["revoked_us"] = None
        assert await refused(desk.another(), text)

    asyncio.run(scenario())


def test_a_clock_that_goes_back_brings_nobody_back() -> None:
    """What was ended stays ended on a gateway whose clock is behind that of the one which ended it."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        await desk.sessions.revoke(session)
        desk.database.sessions[uuid.UUID(session.jti)]["revoked_us"] = None
        marks = Revocations(desk.streams, desk.streams.keys, lambda: NOW_US, desk.log)  # type: ignore[arg-type]
        behind = Sessions(KEYS, VENUE, desk.database, marks, lambda: NOW_US - 4_000_000, desk.time)  # type: ignore[arg-type]
        assert await refused(behind, text)

    asyncio.run(scenario())


def test_without_redis_the_row_ends_a_session() -> None:
    """Marks are written as far as Redis takes them; a revocation that only the row knows holds as well."""

    async def scenario() -> None:
        desk = Desk()
        other = desk.another()
        session, text = desk.open()
        desk.streams.down = True
        await desk.sessions.revoke(session)
        assert [event for event, _fields in desk.log.lines] == ["revocation_mark_failed"]
        assert await refused(other, text)

    asyncio.run(scenario())


def test_a_token_without_a_row_is_refused() -> None:
    """A session that nobody wrote down, or that an older Postgres does not know, must sign in again."""

    async def scenario() -> None:
        desk = Desk()
        assert await refused(desk.sessions, session_issue(KEYS, VENUE, 101, NOW_US)[1])

    asyncio.run(scenario())


def test_a_session_is_ended_by_its_own_account_alone() -> None:
    """Whoever names a session of another account, one that has ended, or none at all, ends nothing."""

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open(101)
        assert not await desk.sessions.revoke_named(102, session.jti)
        for name in ("nonsense", str(uuid.UUID(int=7)), "", session.jti.upper(), f"{{{session.jti}}}"):
            assert not await desk.sessions.revoke_named(101, name)
        assert not await refused(desk.sessions, text)
        assert await desk.sessions.revoke_named(101, session.jti)
        assert await refused(desk.sessions, text)
        assert not await desk.sessions.revoke_named(101, session.jti)

    asyncio.run(scenario())


def test_a_token_that_was_verified_before_ends_all_the_same() -> None:
    """A token seen before is refused from its expiry on, and lends nothing to one that differs in a single letter."""

    async def scene() -> None:
        desk = Desk()
        session, text = desk.open()
        now_us = [NOW_US]
        marks = Revocations(desk.streams, desk.streams.keys, lambda: NOW_US, desk.log)  # type: ignore[arg-type]
        sessions = Sessions(KEYS, VENUE, desk.database, marks, lambda: now_us[0], desk.time)  # type: ignore[arg-type]
        assert await sessions.check(text) == session
        now_us[0] = session.expires_us - 1
        assert await sessions.check(text) == session
        forged = text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:]
        assert await refused(sessions, forged)
        now_us[0] = session.expires_us
        assert await refused(sessions, text)

    asyncio.run(scene())
