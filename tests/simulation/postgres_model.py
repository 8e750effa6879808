"""
The simulated Postgres: connections with the verbs of shared.database, transactions, and the ways in which it fails.

A statement is looked up by its text (`postgres_statements.py`); one that nobody has modelled is a fault of the test.
Between asking and effect time passes; a plan says how much, and whether the server dies there, or the process does.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from shared.database import Database, DatabaseDown, DatabaseError, DatabaseRefused
from tests.simulation.loop import Process, SimLoop
from tests.simulation.postgres_statements import statement_of
from tests.simulation.postgres_tables import Row, Store, Transaction, refused

DELAY_S = 0.0005
ABORTED = "current transaction is aborted, commands ignored until end of transaction block"

Work = Callable[[], Awaitable[Any]]


class Plan(NamedTuple):
    """What becomes of one exchange: its time, its fault ("", down, unanswered, hang), who dies ("", before, after)."""

    delay_s: float = DELAY_S
    fault: str = ""
    kill: str = ""


class PostgresServer:
    """The server and what it holds."""

    def __init__(
        self, loop: SimLoop, chance: random.Random, plan: Callable[[Process, str, str], Plan] | None = None
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.plan = plan or (lambda _process, _name, _moment: Plan())
        self.store = Store()
        self.is_up = True
        self.held: asyncio.Future[None] | None = None  # set while the server hangs
        self.late: list[Work] = []  # what a hung server was told by clients that have given up: it does it all the same
        self.connections: set[Statements] = set()
        self.exchanges = 0

    @property
    def tables(self) -> dict[str, dict[tuple[Any, ...], Row]]:
        """Return the committed rows by table and key."""
        return self.store.tables

    def database(self, process: Process, timeout_s: float = 10.0) -> "SimDatabase":
        """Return a pool of a process."""
        return SimDatabase(self, process, timeout_s)

    def connector(self, process: Process, timeout_s: float = 10.0) -> Callable[[], Coroutine[Any, Any, "SimDatabase"]]:
        """Return what makes pools, as `Database.connect` does."""

        async def connect() -> SimDatabase:
            return self.database(process, timeout_s)

        return connect

    def down(self) -> None:
        """Die: what was not committed is gone, whoever waits is cut off."""
        self.is_up = False
        self.late.clear()
        # Also of those whose clients are gone already, and whose end a hung server has not seen.
        for transaction in list(dict.fromkeys(self.store.locks.values())):
            transaction.rollback()
        for connection in sorted(self.connections, key=lambda each: each.number):
            connection.cut()
        self.unhang()

    def up(self) -> None:
        """Live again with what was committed."""
        self.is_up = True

    def hang(self) -> None:
        """Take everything and do nothing."""
        if self.held is None:
            self.held = self.loop.create_future()

    def unhang(self) -> None:
        """Go on with everything that was asked meanwhile."""
        held, self.held = self.held, None
        if held is not None:
            held.set_result(None)
        late, self.late = self.late, []
        for work in late:
            self.loop.task_outside(quietly(work))

    def snapshot(self) -> dict[str, dict[tuple[Any, ...], Row]]:
        """Return a copy of what is committed."""
        return {name: dict(rows) for name, rows in self.store.tables.items()}

    def restore(self, copy: dict[str, dict[tuple[Any, ...], Row]]) -> None:
        """Become an older copy; whoever is connected is cut off."""
        was_up = self.is_up
        self.down()
        self.store.tables = {name: dict(rows) for name, rows in copy.items()}
        self.is_up = was_up


class Statements:
    """One connection with the verbs of shared.database.Statements."""

    def __init__(self, server: PostgresServer, process: Process, timeout_s: float) -> None:
        self.server = server
        self.process = process
        self.timeout_s = timeout_s
        self.number = server.exchanges
        self.transaction_now: Transaction | None = None
        self.running: Transaction | None = None  # of one statement alone
        self.broken = False  # nothing can be asked any more
        self.gone = False  # the server has ended the session too
        server.connections.add(self)
        process.on_kill.append(self.cut)

    def cut(self) -> None:
        """Lose the connection: its transaction is rolled back."""
        self.broken = self.gone = True
        self.server.connections.discard(self)
        for transaction in (self.transaction_now, self.running):
            if transaction is not None and self.server.held is not None:
                self.server.late.append(ended(transaction.rollback))
            elif transaction is not None:
                transaction.rollback()

    async def exchange(self, name: str, moment: str, work: Work, late: bool) -> Any:
        """Return what the server does when it is asked; `late`: it does so even when the asker has given up."""
        server = self.server
        if not self.process.alive:
            raise DatabaseDown("this process is dead")
        server.exchanges += 1
        plan = server.plan(self.process, name, moment)
        if plan.kill == "before":
            self.process.kill()
        try:
            async with asyncio.timeout(self.timeout_s):
                await asyncio.sleep(plan.delay_s)
                if self.broken or not server.is_up or plan.fault == "down":
                    raise DatabaseDown("ConnectionDoesNotExistError: connection was closed")
                while server.held is not None or plan.fault == "hang":
                    await asyncio.shield(server.held or server.loop.create_future())
                    if self.gone:
                        raise DatabaseDown("ConnectionDoesNotExistError: connection was closed")
                result = await work()
        except DatabaseDown:
            self.cut()
            raise
        except TimeoutError:
            if late and server.held is not None and not self.gone:
                server.late.append(work)
                self.server.connections.discard(self)
                self.broken = True
            else:
                self.cut()
            raise DatabaseDown(f"Postgres did not answer within {self.timeout_s} s") from None
        except asyncio.CancelledError:
            self.cut()
            raise
        if plan.kill == "after":
            self.process.kill()
            await server.loop.create_future()
        if plan.fault == "unanswered" or self.gone:
            self.cut()
            raise DatabaseDown("ConnectionDoesNotExistError: connection was closed in the middle of operation")
        return result

    async def run(self, query: str, arguments_of_all: list[Sequence[Any]]) -> list[Any]:
        """Return the result of a statement for each of these arguments, all or none of them done."""
        name, function = statement_of(query)

        async def work() -> list[Any]:
            alone = self.transaction_now is None
            transaction = self.transaction_now or Transaction(self.server.store, self.server.loop.now_us())
            if transaction.failed:
                raise refused("25P02", ABORTED)
            self.running = transaction if alone else None
            try:
                results = [await function(transaction, *arguments) for arguments in arguments_of_all]
            except BaseException as error:
                transaction.failed = isinstance(error, DatabaseRefused)
                if alone:
                    transaction.rollback()
                raise
            if alone:
                transaction.commit()
            return results

        return await self.exchange(name, "statement", work, late=self.transaction_now is None)

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Return all rows."""
        [rows] = await self.run(query, [arguments])
        assert isinstance(rows, list), query
        return rows

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        """Return the first row, None when there is none."""
        rows = await self.fetch(query, *arguments)
        return rows[0] if rows else None

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement; return how many rows it touched."""
        [result] = await self.run(query, [arguments])
        return len(result) if isinstance(result, list) else result

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once a row, all or none."""
        await self.run(query, list(rows))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["Statements"]:
        """Run the body in a transaction, or in a savepoint inside one; any error rolls it back."""
        if self.transaction_now is not None:
            async with self.savepoint(self.transaction_now):
                yield self
            return
        await self.exchange("BEGIN", "begin", self.begin, late=False)
        transaction = self.transaction_now
        assert transaction is not None
        try:
            yield self
        except BaseException:
            with contextlib.suppress(DatabaseError):
                await self.exchange("ROLLBACK", "rollback", ended(transaction.rollback), late=False)
            transaction.rollback()
            self.transaction_now = None
            raise
        await self.exchange("COMMIT", "commit", ended(transaction.commit), late=True)
        self.transaction_now = None

    async def begin(self) -> None:
        """Begin a transaction."""
        self.transaction_now = Transaction(self.server.store, self.server.loop.now_us())

    @contextlib.asynccontextmanager
    async def savepoint(self, transaction: Transaction) -> AsyncIterator[None]:
        """Run the body; an error undoes what it did."""
        point = transaction.savepoint()
        try:
            yield
        except BaseException:
            with contextlib.suppress(DatabaseError):
                await self.exchange("ROLLBACK TO", "rollback", ended(lambda: transaction.back_to(point)), late=False)
            raise


class SimDatabase(Database):
    """The database as the processes know it, with connections to the model: every verb has one to itself."""

    def __init__(self, server: PostgresServer, process: Process, timeout_s: float) -> None:
        super().__init__(None, timeout_s)
        self.server = server
        self.process = process

    @contextlib.asynccontextmanager
    async def statements(self, timeout_s: float | None = None) -> AsyncIterator[Statements]:
        """Lend one connection."""
        connection = Statements(self.server, self.process, timeout_s or self.timeout_s)
        try:
            yield connection
        finally:
            self.server.connections.discard(connection)
            if connection.cut in self.process.on_kill:
                self.process.on_kill.remove(connection.cut)

    async def migrate(self) -> list[str]:
        """Find everything migrated."""
        async with self.statements() as statements:
            await statements.exchange("migrate", "statement", nothing, late=False)
        return []

    async def close(self) -> None:
        """Close nothing: every verb has closed its own."""


def ended(act: Callable[[], None]) -> Work:
    """Return an act that waits for nothing as the work of an exchange."""

    async def work() -> None:
        act()

    return work


async def nothing() -> None:
    """Do nothing."""


async def quietly(work: Work) -> None:
    """Do what a client asked that has gone; nobody hears of an error."""
    with contextlib.suppress(DatabaseError):
        await work()
