"""A sign-up that dies anywhere, and a Postgres that is brought back from before: nobody gets another's account."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.sign_in.secret import email_digest, owner_of_digest
from shared.database import Database
from tests.gateway_doubles import VENUE, secrets
from tests.gateway_live import LiveGateway, LiveVenue, house
from tests.mortal_tasks import Life, mortal_tasks

VERIFY = "/api/v1/auth/verify"
STEPS_MAX = 400
Work = Callable[[LiveGateway, str], Coroutine[Any, Any, None]]


async def asked(gateway: LiveGateway, email: str) -> None:
    """Ask for a link and have it mailed."""
    await gateway.desk.links.send(email)


async def followed(gateway: LiveGateway, email: str) -> None:
    """Follow the newest link of an address."""
    await gateway.desk.links.consume(token_of(gateway, email), "test")


async def pressed(gateway: LiveGateway, email: str) -> None:
    """Follow the newest link of an address through the route, to the answer."""
    answer = await gateway.client.post(VERIFY, json={"token": token_of(gateway, email)})
    assert answer.status_code == 200


def token_of(gateway: LiveGateway, email: str) -> str:
    """Return the token of the newest link that was mailed to an address."""
    return str(next(mail.link for mail in reversed(gateway.mails) if mail.to == email)).partition("token=")[2]


def owner_of(email: str) -> str:
    """Return the owner that an address means to the engine."""
    return owner_of_digest(email_digest(secrets().owner, email))


@contextlib.asynccontextmanager
async def gateway_mortal(tmp_path: Path, redis_url: str, database_url: str, life: Life) -> AsyncIterator[LiveGateway]:
    """Yield a gateway with servers' connections of its own, which break off when its life ends."""
    database = await Database.connect(database_url, timeout_s=2.0)
    gateway = LiveGateway(tmp_path, redis_url, database)
    await gateway.__aenter__()
    try:
        yield gateway
    finally:
        database.pool.terminate()
        for task in gateway.tasks:
            task.cancel()
        await asyncio.gather(*gateway.tasks, return_exceptions=True)
        await gateway.client.aclose()
        await gateway.parts.streams.close()
        await gateway.parts.streams_tail.close()
        await life.bury()


async def signed_in(gateway: LiveGateway, email: str, token: str | None = None) -> int:
    """Return the account that signing in leads to: by the link at hand while it is good, else by a new one."""
    for each in (token, None):
        answer = await gateway.client.post(VERIFY, json={"token": each or await gateway.link(email)})
        gateway.client.cookies.clear()
        if answer.status_code == 200:
            return int(answer.json()["account_id"])
        assert (answer.status_code, answer.json()["code"]) == (400, "LINK_INVALID"), answer.text
    raise AssertionError("a new link is good")


async def everybody_has_their_own(venue: LiveVenue, gateway: LiveGateway, accounts: dict[str, int]) -> None:
    """Assert that log, users and sessions agree about who has which account, and that no two share one."""
    assert len(set(accounts.values())) == len(accounts)
    for email, account_id in accounts.items():
        assert venue.engine.owners[owner_of(email)] == account_id
    rows = await gateway.parts.database.fetch("SELECT user_id, email, account_id FROM users WHERE venue = $1", VENUE)
    for row in rows:
        assert row["account_id"] in (None, accounts[row["email"]])
    emails = {row["user_id"]: row["email"] for row in rows}
    for row in await gateway.parts.database.fetch("SELECT user_id, account_id FROM sessions"):
        assert row["account_id"] == accounts[emails[row["user_id"]]]


@pytest.mark.parametrize("work", [asked, followed, pressed], ids=lambda work: work.__name__)
def test_a_sign_up_dies_at_each_of_its_steps(tmp_path: Path, redis_url: str, database_url: str, work: Work) -> None:
    """
    Killed at any await, a first sign-in leaves nothing that gives its person, or the next, another account.

    Each step of a gateway's life is the last one once: another gateway then signs in the same person, by the same link
    if that is still good, and a neighbour before them.
    """

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (venue, survivor):
            accounts: dict[str, int] = {}
            steps, came_to_its_end = 0, False
            with mortal_tasks():
                while not came_to_its_end:
                    steps += 1
                    assert steps < STEPS_MAX
                    email, neighbour = f"a{steps}@example.com", f"b{steps}@example.com"
                    life = Life(steps)
                    async with gateway_mortal(tmp_path / "mortal", redis_url, database_url, life) as mortal:
                        if work is not asked:
                            await mortal.link(email)
                        came_to_its_end = await asyncio.create_task(life.run(work(mortal, email)))
                        token = token_of(mortal, email) if work is not asked else None
                    accounts[neighbour] = await signed_in(survivor, neighbour)
                    accounts[email] = await signed_in(survivor, email, token)
            assert steps > (8 if work is asked else 12), "it has as many awaits as that"
            assert list(venue.engine.owners.values()) == list(range(100, 100 + len(accounts)))
            await everybody_has_their_own(venue, survivor, accounts)
            for email, account_id in accounts.items():
                assert await signed_in(survivor, email) == account_id

    asyncio.run(scenario())


def test_life_ends_between_two_awaits() -> None:
    """Work dies where it is told to, its tasks with it, and nothing of it runs afterwards, cleaning up included."""

    async def scenario() -> None:
        seen: list[str] = []

        async def part(name: str) -> None:
            try:
                seen.append(f"{name}1")
                await asyncio.sleep(0)
                seen.append(f"{name}2")
            finally:
                seen.append(f"{name} cleaned")

        async def whole() -> None:
            await part("a")
            await asyncio.create_task(part("b"))
            seen.append("end")

        everything = ["a1", "a2", "a cleaned", "b1", "b2", "b cleaned", "end"]
        with mortal_tasks():
            for steps, expected in ((1, 1), (2, 3), (3, 4), (4, 7)):
                seen.clear()
                life = Life(steps)
                lived = await asyncio.create_task(life.run(whole()))
                await asyncio.sleep(0.01)
                assert seen == everything[:expected], steps
                assert lived is (steps == 4)
                await life.bury()
                assert seen[-1] == everything[-1] if lived else seen[-1].endswith("cleaned")

    asyncio.run(scenario())
