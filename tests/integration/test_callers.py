"""The statements of signing in, sessions and keys on a real Postgres: what they match, and what two at once may do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.sign_in.keys import KEYS_MAX, KeyHeld
from shared.database import Database
from tests.gateway_doubles import VENUE
from tests.gateway_live import LiveGateway, LiveVenue
from tests.key_signer import Signer

VERIFY = "/api/v1/auth/verify"
KEYS = "/api/v1/keys"


@contextlib.asynccontextmanager
async def pair(tmp_path: Path, redis_url: str, database_url: str) -> AsyncIterator[tuple[LiveGateway, LiveGateway]]:
    """Yield two gateways of one venue, each with a memory of its own."""
    database = await Database.connect(database_url, timeout_s=5.0)
    venue = LiveVenue(redis_url)
    await venue.found()
    try:
        async with (
            LiveGateway(tmp_path / "one", redis_url, database) as one,
            LiveGateway(tmp_path / "two", redis_url, database) as two,
        ):
            await one.ready()
            yield one, two
    finally:
        await venue.stop()
        await database.close()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("login_links", "purpose", "change the address"),
        ("login_links", "expires_us", 1),
        ("users", "venue", "othervenue"),
        ("login_links", "token_hash", b"another"),
    ],
)
def test_a_link_is_matched_whole(
    tmp_path: Path, redis_url: str, database_url: str, table: str, column: str, value: Any
) -> None:
    """A link of another purpose, time, venue or token opens nothing and is not consumed."""

    async def scenario() -> None:
        async with pair(tmp_path, redis_url, database_url) as (one, _two):
            token = await one.link("ada@example.com")
            await one.parts.database.execute(f"UPDATE {table} SET {column} = $1", value)
            answer = await one.client.post(VERIFY, json={"token": token})
            assert (answer.status_code, answer.json()["code"]) == (400, "LINK_INVALID")
            assert await one.desk.links.person(token) is None
            assert len(await one.parts.database.fetch("SELECT 1 FROM login_links")) == 1
            assert await one.parts.database.fetch("SELECT 1 FROM sessions") == []

    asyncio.run(scenario())


def test_a_link_that_changes_between_look_and_consumption_opens_nothing(
    tmp_path: Path, redis_url: str, database_url: str
) -> None:
    """The statement that consumes looks at everything again: what was right a moment ago need not be."""

    async def scenario() -> None:
        async with pair(tmp_path, redis_url, database_url) as (one, _two):
            database = one.parts.database
            for change in ("purpose = 'another'", "expires_us = 1"):
                token = await one.link("ada@example.com")
                open_account = one.desk.links._account_open

                async def late(owner: str, change: str = change, open_account: Any = open_account) -> int:
                    await database.execute(f"UPDATE login_links SET {change}")
                    number: int = await open_account(owner)
                    return number

                one.desk.links._account_open = late
                answer = await one.client.post(VERIFY, json={"token": token})
                one.desk.links._account_open = open_account
                assert (answer.status_code, answer.json()["code"]) == (400, "LINK_INVALID")
            assert await database.fetch("SELECT 1 FROM sessions") == []

    asyncio.run(scenario())


def test_twenty_keys_are_the_most_however_many_ask_at_once(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Forty that register keys at once through two gateways make twenty, each public half once."""

    async def scenario() -> None:
        async with pair(tmp_path, redis_url, database_url) as (one, two):
            caller = await one.sign_in()
            bodies = [{"public_key": Signer(seed).public_text, "scopes": ["read"]} for seed in range(2 * KEYS_MAX)]
            calls = [
                (one, two)[number % 2].client.post(KEYS, json=body, headers=caller)
                for number, body in enumerate([*bodies, *bodies[:5]])
            ]
            answers = await asyncio.gather(*calls)
            assert sorted({answer.status_code for answer in answers} - {422}) == [201, 409]
            assert sum(answer.status_code == 201 for answer in answers) == KEYS_MAX
            rows = await one.parts.database.fetch("SELECT public_key FROM api_keys WHERE revoked_us IS NULL")
            assert len({row["public_key"] for row in rows}) == len(rows) == KEYS_MAX

    asyncio.run(scenario())


def test_a_key_is_replaced_once_however_many_ask(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Ten that rotate one key at once make one new key; the old one ends when it was said, on both gateways."""

    async def scenario() -> None:
        async with pair(tmp_path, redis_url, database_url) as (one, two):
            caller, old = await one.sign_in(), Signer(0)
            body = {"public_key": old.public_text, "scopes": ["read"]}
            old.key_id = (await one.client.post(KEYS, json=body, headers=caller)).json()["key_id"]
            path = f"{KEYS}/{old.key_id}/rotate"
            bodies = [{"public_key": Signer(seed).public_text, "overlap_s": 0} for seed in range(1, 11)]
            signed = old.headers("GET", "/api/v1/account", time_us=one.parts.now_us(), window_ms=60_000)
            assert (await two.client.get("/api/v1/account", headers=signed)).status_code == 200
            calls = [
                (one, two)[seed % 2].client.post(path, json=each, headers=caller) for seed, each in enumerate(bodies)
            ]
            answers = await asyncio.gather(*calls)
            assert sum(answer.status_code == 201 for answer in answers) == 1
            assert {answer.status_code for answer in answers} <= {201, 404, 422}
            held = KeyHeld(100, old.key_id, one.parts.now_us() + 10**9, frozenset({"read"}))
            for gateway in (one, two):
                assert not await gateway.desk.api_keys.holds(held, age_max_s=0.0)
                refused = await gateway.client.get("/api/v1/account", headers=signed)
                assert (refused.status_code, refused.json()["code"]) == (401, "SIGNATURE_INVALID")
            rows = await one.parts.database.fetch("SELECT rotated_to FROM api_keys ORDER BY rotated_to NULLS LAST")
            assert len(rows) == 2

    asyncio.run(scenario())


def test_sessions_and_keys_are_ended_by_their_owner_alone(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """The statements that end a session or a key match account, venue, expiry, and that it has not ended."""

    async def scenario() -> None:
        async with pair(tmp_path, redis_url, database_url) as (one, two):
            caller = await one.sign_in()
            session = await one.desk.sessions.check(caller["Authorization"].removeprefix("Bearer "))
            made = await one.client.post(
                KEYS, json={"public_key": Signer().public_text, "scopes": ["read"]}, headers=caller
            )
            key_id = made.json()["key_id"]
            assert not await one.desk.sessions.revoke_named(session.account_id + 1, session.jti)
            assert not await one.desk.api_keys.revoke(session.account_id + 1, key_id)
            with pytest.raises(Refusal, match="KEY_UNKNOWN"):
                await one.desk.api_keys.rotate(session.account_id + 1, key_id, bytes(32), 0)
            for table in ("sessions", "api_keys"):
                for change in ("venue = 'othervenue'", "expires_us = 1", "revoked_us = 1"):
                    await one.parts.database.execute(f"CREATE TABLE kept AS SELECT * FROM {table}")
                    await one.parts.database.execute(f"UPDATE {table} SET {change}")
                    assert await one.desk.sessions.listed(session.account_id) == [] or table != "sessions"
                    assert await one.desk.api_keys.listed(session.account_id) == [] or table != "api_keys"
                    ended = (
                        await one.desk.sessions.revoke_named(session.account_id, session.jti),
                        await one.desk.api_keys.revoke(session.account_id, key_id),
                    )[table == "api_keys"]
                    assert not ended, (table, change)
                    await one.parts.database.execute(f"DELETE FROM {table}")
                    await one.parts.database.execute(f"INSERT INTO {table} SELECT * FROM kept")
                    await one.parts.database.execute("DROP TABLE kept")
                    if table == "sessions":
                        await one.parts.database.execute("UPDATE api_keys SET revoked_us = NULL")
            assert VENUE == one.desk.venue == two.desk.venue

    asyncio.run(scenario())
