"""
The Postgres pool with a JSONB codec, its verbs, and the runner of the migrations; the only user of the driver.

A verb either succeeds, or raises DatabaseRefused (Postgres read it and said no: trying again helps nobody), or
DatabaseDown (away, hung, full or cut off: whether a COMMIT was applied is unknown, so look before trying again). A hung
server answers nothing, not even a request to cancel; therefore a connection past its time is thrown away.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
MIGRATION_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
MIGRATION_LOCK = 7_411_803_362_155_093
MIGRATION_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 5.0
# SQLSTATE classes and codes that say "not now" instead of "not this": connection, roll-back, resources, operator,
# system, a server that only reads.
TEMPORARY = ("08", "25006", "40", "53", "55P03", "57", "58", "XX")

T = TypeVar("T")
Row = dict[str, Any]


class DatabaseError(Exception):
    """Something about Postgres went wrong."""


class DatabaseDown(DatabaseError):
    """Postgres is away, hung, full or cut off; what was being committed may or may not be there."""


class DatabaseRefused(DatabaseError):
    """Postgres read the statement and refused it; nothing of its transaction or savepoint is there."""


class Statements:
    """The verbs on one connection."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self.connection = connection
        self.timeout_s = timeout_s

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Return all rows."""
        return [dict(row) for row in await self.bounded(self.connection.fetch, query, *arguments)]

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        """Return the first row, None when there is none."""
        row = await self.bounded(self.connection.fetchrow, query, *arguments)
        return None if row is None else dict(row)

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement and return how many rows it touched; without arguments it may be a script."""
        status = await self.bounded(self.connection.execute, query, *arguments)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once a row, all or none."""
        await self.bounded(self.connection.executemany, query, rows)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["Statements"]:
        """Run the body in a transaction, or in a savepoint inside one; any error rolls it back."""
        transaction = self.connection.transaction()
        await self.bounded(transaction.start)
        try:
            yield self
        except BaseException:
            # What is broken anyway rolls back by itself; the error that brought us here is the one to tell.
            with contextlib.suppress(DatabaseError):
                await self.bounded(transaction.rollback)
            raise
        await self.bounded(transaction.commit)

    async def bounded(self, statement: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Return the driver's result in time, or throw the connection away; its errors become ours."""
        with errors_translated():
            task = asyncio.create_task(statement(*arguments))
        try:
            done, _pending = await asyncio.wait({task}, timeout=self.timeout_s)
        except BaseException:
            await self.abandon(task)
            raise
        if not done:
            await self.abandon(task)
            raise DatabaseDown(f"Postgres did not answer within {self.timeout_s} s")
        with errors_translated():
            return task.result()

    async def abandon(self, task: "asyncio.Future[Any]") -> None:
        """Cut the connection, which ends the statement that waits on it."""
        with contextlib.suppress(asyncpg.InterfaceError, asyncpg.InternalClientError):
            self.connection.terminate()
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.CancelledError):
            await asyncio.wait_for(task, 1.0)


class Database:
    """A pool of connections; each verb uses one for itself."""

    def __init__(self, pool: Any, timeout_s: float) -> None:
        self.pool = pool
        self.timeout_s = timeout_s

    @classmethod
    async def connect(cls, url: str, timeout_s: float = 10.0, connections_max: int = 8) -> "Database":
        """Return the pool; it connects with the first verb, so that a process may start before its database."""
        pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=connections_max,
            init=connection_init,
            reset=connection_reset,
            timeout=CONNECT_TIMEOUT_S,
        )
        with errors_translated():
            await pool
        return cls(pool, timeout_s)

    async def close(self) -> None:
        """Close the pool, by force when the server does not answer."""
        try:
            await asyncio.wait_for(self.pool.close(), 2.0)
        except (asyncpg.InterfaceError, OSError):
            self.pool.terminate()

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Return all rows."""
        async with self.statements() as statements:
            return await statements.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        """Return the first row, None when there is none."""
        async with self.statements() as statements:
            return await statements.fetchrow(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement and return how many rows it touched."""
        async with self.statements() as statements:
            return await statements.execute(query, *arguments)

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once a row, all or none."""
        async with self.statements() as statements:
            await statements.executemany(query, rows)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """Run the body in one transaction."""
        async with self.statements() as statements, statements.transaction():
            yield statements

    @contextlib.asynccontextmanager
    async def statements(self, timeout_s: float | None = None) -> AsyncIterator[Statements]:
        """Lend one connection; after DatabaseDown it is thrown away."""
        with errors_translated():
            connection = await self.pool.acquire(timeout=CONNECT_TIMEOUT_S)
        try:
            yield Statements(connection, timeout_s or self.timeout_s)
        except (DatabaseDown, asyncio.CancelledError):
            # It has left the pool already.
            with contextlib.suppress(asyncpg.InterfaceError, asyncpg.InternalClientError):
                connection.terminate()
            raise
        finally:
            with errors_translated():
                await self.pool.release(connection, timeout=self.timeout_s)

    async def migrate(self, folder: Path = MIGRATIONS) -> list[str]:
        """Run the numbered files that this database has not seen, each in one transaction; return their names."""
        files = sorted(path for path in folder.iterdir() if MIGRATION_NAME.fullmatch(path.name))
        numbers = [int(path.name[:4]) for path in files]
        assert numbers == list(range(1, len(files) + 1)), f"migrations must be numbered 1, 2, 3 …: {numbers}"
        applied: list[str] = []
        async with self.statements(MIGRATION_TIMEOUT_S) as statements:
            for number, path in zip(numbers, files, strict=True):
                if await migration_run(statements, number, path):
                    applied.append(path.name)
        return applied


async def migration_run(statements: Statements, number: int, path: Path) -> bool:
    """Run one file unless it ran before; False when it did. A file that was edited since then is refused."""
    script = path.read_text()
    digest = hashlib.sha256(script.encode()).hexdigest()
    async with statements.transaction():
        # Starters of several processes queue here; all but the first find the work done.
        await statements.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        await statements.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
            " sha256 TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
        )
        ran = await statements.fetchrow("SELECT name, sha256 FROM schema_migrations WHERE number = $1", number)
        if ran is not None:
            if ran["sha256"] != digest:
                raise DatabaseRefused(
                    f"migration {number} ran here as {ran['name']} with other contents than {path.name} has now;"
                    " put changes into a new file"
                )
            return False
        await statements.execute(script)
        await statements.execute(
            "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)", number, path.name, digest
        )
    return True


async def connection_init(connection: Any) -> None:
    """Teach a new connection to take and give JSONB as Python values; binary, so that COPY works too."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


async def connection_reset(_connection: Any) -> None:
    """
    Give a connection back as it is: nothing of ours outlives its transaction, no setting, lock, cursor or listener.

    The driver itself rolls back what was left open; its own statement would cost each look-up a second exchange.
    """


def database_error(error: Exception) -> DatabaseError:
    """Return what the driver's error means to us."""
    if isinstance(error, asyncpg.PostgresError):
        code = getattr(error, "sqlstate", None) or ""
        # 08P01, a message that cannot be read, is about what we sent.
        kind = DatabaseDown if code.startswith(TEMPORARY) and code != "08P01" else DatabaseRefused
        return kind(f"{code} {error}")
    # The driver's own refusal of a value, before anything was sent.
    if isinstance(error, ValueError):
        return DatabaseRefused(str(error))
    return DatabaseDown(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def errors_translated() -> Iterator[None]:
    """Turn the driver's errors inside into ours; a connection that breaks as it is given back raises internal ones."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise database_error(error) from error
