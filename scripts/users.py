"""`tidemark user`: who has signed in, and who of them sees what operators see; nothing but Postgres is asked."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.sign_in.auth import OPERATOR, ROLES
from gateway.sign_in.links import address_read
from scripts.access import servers_reach
from scripts.cli import data_option
from scripts.exits import ToolStop, ending
from scripts.roles import VenueNone, connected, role_write
from shared.database import Database

USERS_SELECT = "SELECT email, role, account_id, created_us FROM users WHERE venue = $1 ORDER BY created_us, email"


@click.group()
def user() -> None:
    """People by mail address, and their roles."""


@user.command("role")
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
@data_option
@ending
def user_role(email: str, role: str, data_dir: Path) -> None:
    """
    Make EMAIL an operator, who sees the page /ops, or a trader again.

    The address must have asked for a sign-in link. Whoever is signed in has the new role within five seconds.

    \b
    Examples:
      ./scripts/tidemark user role ada@example.org operator
      ./scripts/tidemark user role ada@example.org trader --data /srv/tidemark
    """
    address = address_read(email)
    if address is None:
        raise ToolStop(f"{email} is no mail address; give it as its person signs in, such as ada@example.org")
    with people_reach(data_dir) as database_url:
        written = role_write(database_url, address, role)
    if not written:
        hint = "`./scripts/tidemark user list` names who has"
        raise ToolStop(f"{address} has never asked for a sign-in link at this venue; {hint}")
    words = "an operator: /ops is open to this address" if role == OPERATOR else "a trader: /ops is closed"
    click.echo(f"{address} is {words} within 5 seconds.")


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@data_option
@ending
def user_list(as_json: bool, data_dir: Path) -> None:
    """
    List who has asked for a sign-in link, with role and account.

    \b
    Examples:
      ./scripts/tidemark user list
      ./scripts/tidemark user list --json --data /srv/tidemark
    """

    async def read(database: Database, venue: str) -> Any:
        return [dict(row) for row in await database.fetch(USERS_SELECT, venue)]

    with people_reach(data_dir) as database_url:
        rows = asyncio.run(connected(database_url, read))
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        since = datetime.fromtimestamp(row["created_us"] // 1_000_000, UTC)
        account = "no account yet" if row["account_id"] is None else f"account {row['account_id']}"
        click.echo(f"{row['role']:<9} {account:<15} {since:%Y-%m-%d %H:%M}Z  {row['email']}")
    click.echo(f"{len(rows)} people; who never signed in has no account.", err=True)


@contextlib.contextmanager
def people_reach(data_dir: Path) -> Iterator[str]:
    """Have the venue's database up, and yield its address; raises ToolStop, also when it names no venue."""
    with servers_reach(data_dir, redis=False, words="to look up its people") as reached:
        try:
            yield reached.database_url
        except VenueNone:
            raise ToolStop("the database names no venue yet; start one with ./scripts/run") from None
