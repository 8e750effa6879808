"""Bring the database's tables up to date and end: before a venue starts, and as the first container."""

import asyncio
import sys

from scripts.supervisor import secret_make
from shared import settings
from shared.database import Database, DatabaseError


async def migrate(url: str) -> None:
    """Run the migrations that this database has not seen."""
    database = await Database.connect(url)
    try:
        await database.migrate()
    finally:
        await database.close()


def main() -> int:
    """Migrate the database of the settings, with --secret also make the sessions' secret; returns the exit code."""
    try:
        read = settings.settings_read()
        asyncio.run(migrate(read.database_url))
        if "--secret" in sys.argv[1:]:
            secret_make(read.secret_file)
    except (settings.SettingsError, DatabaseError) as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
