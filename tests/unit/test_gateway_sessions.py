"""A session that was ended is not believed, whoever is away; what is known of it is at most five seconds old."""

import asyncio
import uuid

import pytest

from gateway.errors import Refusal
from gateway.sign_in import remembered
from gateway.sign_in.auth import Session, Sessions, session_issue
from gateway.sign_in.remembered import AHEAD_S, CACHE_S, GATHER_S, PAUSE_S
from gateway.sign_in.revocations import Revocations
from shared.database import DatabaseDown
from tests.gateway_doubles import NOW_US, VENUE, Clock, EngineToy, FakeStreams, Log, secrets
from tests.gateway_house import FakeDatabase

KEYS = secrets()


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
        assert desk.database.asked == 1
        await asyncio.sleep(2 * GATHER_S)
        assert desk.database.asked == 2
        assert await refused(desk.sessions, text)

    asyncio.run(scenario())


def test_many_who_trade_at_once_are_looked_at_together() -> None:
    """Whoever is looked at beside a request waits a moment for others; what the one look says, each learns."""

    async def scenario() -> None:
        desk = Desk()
        held = [desk.open(account_id) for account_id in range(101, 121)]
        await asyncio.gather(*(desk.sessions.check(text) for _session, text in held))
        desk.time.now_s += CACHE_S - AHEAD_S + 0.1
        ended = held[7][0]
        await desk.another().revoke(ended)
        asked = desk.database.asked
        await asyncio.gather(*(desk.sessions.check(text) for _session, text in held))
        await asyncio.sleep(2 * GATHER_S)
        assert desk.database.asked == asked + 1
        assert [session for session, text in held if await refused(desk.sessions, text)] == [ended]

    asyncio.run(scenario())


def test_who_has_to_wait_does_not_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose row is too old is answered from a look of its own, while others are still being gathered."""

    monkeypatch.setattr(remembered, "GATHER_S", 3_600.0)

    async def scenario() -> None:
        desk = Desk()
        session, text = desk.open()
        await desk.sessions.check(text)
        desk.time.now_s += CACHE_S - AHEAD_S + 0.1
        await desk.sessions.check(text)  # from now on it is gathered
        await desk.another().revoke(session)
        desk.time.now_s += AHEAD_S
        assert await asyncio.wait_for(refused(desk.sessions, text), 60.0)

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
        session, text = desk.open()
        desk.streams.values[desk.streams.keys.accounts_kept] = b"not json"
        with pytest.raises(ValueError, match="invalid literal"):
            await desk.sessions.check(text)
        with pytest.raises(ValueError, match="invalid literal"):
            await desk.sessions.holds(session, 1.0)

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
