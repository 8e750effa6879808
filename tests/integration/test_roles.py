"""`tidemark user` on a real Postgres: a role is given by mail address, and reaches whoever is signed in."""

import asyncio
import json
import os
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.sign_in.remembered import CACHE_S
from scripts.users import user
from shared.database import Database
from tests.gateway_doubles import VENUE, eventually
from tests.gateway_live import house

OPS = "/api/v1/ops"


def typed(tmp_path: Path, *words: str) -> Result:
    """Return what the command answers."""
    return CliRunner().invoke(user, [*words, "--data", str(tmp_path)])


def ready_write(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Let the tool find the servers."""
    fields = {"redis_url": redis_url, "database_url": database_url, "venue": VENUE, "supervisor": os.getpid()}
    (tmp_path / "ready.json").write_text(json.dumps(fields))


async def venue_write(database_url: str) -> None:
    """Let the database name the venue."""
    database = await Database.connect(database_url)
    await database.execute("INSERT INTO venues (venue, founded_us, live) VALUES ($1, 1, true)", VENUE)
    await database.close()


def test_a_role_is_given_and_taken(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Within five seconds an open session sees the venue, and no more when the role is taken; nobody else does."""

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (_venue, gateway):
            ready_write(tmp_path, redis_url, database_url)
            await venue_write(database_url)
            ada, bob = await gateway.sign_in("ada@example.com"), await gateway.sign_in("bob@example.com")

            async def status() -> int:
                return int((await gateway.client.get(OPS, headers=ada)).status_code)

            assert await status() == 403
            for role, words, wanted in (("operator", "an operator", 200), ("trader", "a trader", 403)):
                result = await asyncio.to_thread(typed, tmp_path, "role", " Ada@Example.COM ", role)
                assert result.exit_code == 0 and f"ada@example.com is {words}" in result.output

                async def arrived(wanted: int = wanted) -> bool:
                    return await status() == wanted

                await eventually(arrived, 2 * CACHE_S)
                assert (await gateway.client.get(OPS, headers=bob)).status_code == 403

    asyncio.run(scenario())


def test_people_are_listed_with_their_roles(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Who asked for a link stands there, with an account once signed in; a stranger has no role to give."""

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (_venue, gateway):
            ready_write(tmp_path, redis_url, database_url)
            no_venue = await asyncio.to_thread(typed, tmp_path, "list")
            assert no_venue.exit_code == 2 and "./scripts/run" in no_venue.output
            await venue_write(database_url)
            await gateway.sign_in("ada@example.com")
            await gateway.link("bob@example.com")
            assert (await asyncio.to_thread(typed, tmp_path, "role", "bob@example.com", "operator")).exit_code == 0
            listed = await asyncio.to_thread(typed, tmp_path, "list", "--json")
            people = {row["email"]: (row["role"], row["account_id"]) for row in json.loads(listed.stdout)}
            assert people == {"ada@example.com": ("trader", 100), "bob@example.com": ("operator", None)}
            lines = (await asyncio.to_thread(typed, tmp_path, "list")).stdout.splitlines()
            assert [line.split()[0] for line in lines] == ["trader", "operator"]
            for address, words in (("eve@example.com", "never asked"), ("nobody", "no mail address")):
                refused = await asyncio.to_thread(typed, tmp_path, "role", address, "operator")
                assert refused.exit_code == 2 and words in refused.output, refused.output

    asyncio.run(scenario())
