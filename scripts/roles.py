"""Who of a venue's people is an operator, as its database has it; for the supervisor and `tidemark user`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from shared.database import Database, DatabaseError

VENUE_SELECT = "SELECT venue FROM venues WHERE live"
ROLE_UPDATE = "UPDATE users SET role = $3 WHERE venue = $1 AND email = $2 RETURNING account_id"
Work = Callable[[Database, str], Awaitable[Any]]


class VenueNone(Exception):
    """The database names no venue yet."""


def role_write(database_url: str, address: str, role: str) -> bool:
    """Give an address a role; return whether it has ever asked for a link at the venue of this database."""

    async def write(database: Database, venue: str) -> Any:
        return await database.fetchrow(ROLE_UPDATE, venue, address, role)

    return asyncio.run(connected(database_url, write)) is not None


def role_try(database_url: str, address: str, role: str) -> bool:
    """Give an address a role if that can be done now; return whether it was."""
    try:
        return role_write(database_url, address, role)
    except (DatabaseError, VenueNone):
        return False


async def connected(database_url: str, work: Work) -> Any:
    """Return what is done with the database at an address; raises VenueNone, DatabaseError."""
    database = await Database.connect(database_url)
    try:
        row = await database.fetchrow(VENUE_SELECT)
        if row is None:
            raise VenueNone
        return await work(database, row["venue"])
    finally:
        await database.close()
