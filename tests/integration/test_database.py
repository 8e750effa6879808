"""The pool against a real Postgres: JSON in and out, transactions, migrations, and a server that hangs or is gone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from shared.database import Database, DatabaseDown, DatabaseRefused, Statements, errors_translated
from tests.faults.proxy import proxied_postgres


def scene(url: str, work: Callable[[Database], Awaitable[None]], timeout_s: float = 10.0) -> None:
    """Run a scene with a pool on this database."""

    async def run() -> None:
        database = await Database.connect(url, timeout_s=timeout_s)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(run())


def test_json_goes_in_and_comes_out(database_url: str) -> None:
    """A document is a Python value on both sides, and its generated columns are numbers that can be compared."""

    async def work(database: Database) -> None:
        document = {"venue": "v", "seq": 1000, "text": "é", "list": [1, None, True, "0.10"]}
        assert await database.execute("INSERT INTO engine_snapshots (snapshot_data) VALUES ($1)", document) == 1
        row = await database.fetchrow("SELECT snapshot_data, venue, seq, seq > 999 AS larger FROM engine_snapshots")
        assert row == {"snapshot_data": document, "venue": "v", "seq": 1000, "larger": True}
        for seq in ("x", None, {"a": 1}, 10**18, 1.5, -1):
            await database.execute("UPDATE engine_snapshots SET snapshot_data = $1", {"seq": seq})
            assert (await database.fetchrow("SELECT seq FROM engine_snapshots")) == {"seq": None}
        assert await database.fetchrow("SELECT 1 AS one WHERE false") is None
        assert await database.fetch("SELECT $1::numeric AS amount", Decimal("-1.000001")) == [
            {"amount": Decimal("-1.000001")}
        ]

    scene(database_url, work)


def test_one_live_venue(database_url: str) -> None:
    """A unique row decides who founds; the loser inserts nothing."""

    async def work(database: Database) -> None:
        insert = "INSERT INTO venues VALUES ($1, 1, true) ON CONFLICT DO NOTHING"
        counts = await asyncio.gather(*(database.execute(insert, f"v{number}") for number in range(8)))
        assert sum(counts) == 1
        with pytest.raises(DatabaseRefused):
            await database.execute("INSERT INTO venues VALUES ('w', 1, true)")

    scene(database_url, work)


def test_transaction_is_all_or_nothing(database_url: str) -> None:
    """An error rolls back its transaction, or only its savepoint, and leaves the connection usable."""

    async def work(database: Database) -> None:
        insert = "INSERT INTO venues VALUES ($1, 1, false)"

        async def fail() -> None:
            async with database.transaction() as statements:
                await statements.execute(insert, "a")
                raise ZeroDivisionError

        async def fail_inside(statements: Statements) -> None:
            async with statements.transaction():
                await statements.execute(insert, "c")
                await statements.execute(insert, "b")

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with database.transaction() as statements:
            await statements.execute(insert, "b")
            with pytest.raises(DatabaseRefused):
                await fail_inside(statements)
            await statements.executemany(insert, [("d",), ("e",)])
        rows = await database.fetch("SELECT venue FROM venues ORDER BY venue")
        assert [row["venue"] for row in rows] == ["b", "d", "e"]

    scene(database_url, work)


@pytest.mark.parametrize("value", ["x\x00y", "\ud800", 2**63, "five", None], ids=repr)
def test_poison_is_refused(database_url: str, value: object) -> None:
    """A value that a column cannot take is refused, not taken for a server that is away."""

    async def work(database: Database) -> None:
        column = "venue" if isinstance(value, str) and value != "five" else "founded_us"
        values = {"venue": "v", "founded_us": 1, column: value}
        with pytest.raises(DatabaseRefused):
            await database.execute("INSERT INTO venues VALUES ($1, $2, false)", values["venue"], values["founded_us"])
        with pytest.raises(DatabaseRefused):
            await database.execute("INSERT INTO refusals VALUES ('v', 'p', $1)", {"x": "a\x00b"})
        with pytest.raises(DatabaseRefused):
            await database.execute("SELECT nonsense")

    scene(database_url, work)


def test_hung_server_is_down_in_time(database_url: str) -> None:
    """A server that says nothing any more costs one time-out, and the pool works again as soon as it does."""
    with proxied_postgres(database_url) as (proxy, url):

        async def work(database: Database) -> None:
            await database.fetch("SELECT 1")
            proxy.set("deaf", b"pg_sleep")
            began_s = time.monotonic()
            with pytest.raises(DatabaseDown):
                await database.fetch("SELECT 1, pg_sleep(0)")
            assert time.monotonic() - began_s < 2.0
            proxy.set("deaf", b"COMMIT")
            with pytest.raises(DatabaseDown):
                async with database.transaction() as statements:
                    await statements.execute("INSERT INTO venues VALUES ('v', 1, false)")
            # Unknown to the caller; here it was applied.
            assert await database.fetch("SELECT venue FROM venues") == [{"venue": "v"}]
            proxy.cut()
            await asyncio.sleep(0.02)
            assert await database.fetch("SELECT 1 AS one") == [{"one": 1}]

        scene(url, work, timeout_s=0.3)


def test_cancelled_statement_leaves_no_trace(database_url: str) -> None:
    """A verb that is cancelled half-way throws its connection away; the next one gets its own answer."""

    async def work(database: Database) -> None:
        for _ in range(3):
            task = asyncio.create_task(database.fetch("SELECT 7 AS x, pg_sleep(5)"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await database.fetch("SELECT 8 AS x") == [{"x": 8}]

    scene(database_url, work)


def test_absent_server_is_down(tmp_path: Path) -> None:
    """A pool can be made before its server is there; each verb says that it is not."""

    async def work(database: Database) -> None:
        with pytest.raises(DatabaseDown):
            await database.fetch("SELECT 1")
        with pytest.raises(DatabaseDown):
            await database.migrate()

    scene(f"postgresql:///x?host={tmp_path}&user=x", work)


def test_a_connection_that_breaks_as_it_is_given_back_is_down() -> None:
    """What the driver calls its own fault happens when a server dies at the wrong moment; it ends no process."""
    with pytest.raises(DatabaseDown, match="switch to state"), errors_translated():
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress")


def test_migrations_run_once(database_url: str, tmp_path: Path) -> None:
    """Of several starters one runs a new file; one that fails leaves nothing; one that was edited is refused."""

    async def work(database: Database) -> None:
        assert await database.migrate() == []
        await database.execute("DROP TABLE schema_migrations")
        (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (a INT); INSERT INTO first VALUES (1);")
        (tmp_path / "notes.txt").write_text("not a migration")
        ran = await asyncio.gather(*(database.migrate(tmp_path) for _ in range(4)))
        assert sorted(ran) == [[], [], [], ["0001_first.sql"]]
        (tmp_path / "0002_second.sql").write_text("INSERT INTO first VALUES (2); SELECT nonsense;")
        with pytest.raises(DatabaseRefused):
            await database.migrate(tmp_path)
        assert await database.fetch("SELECT a FROM first") == [{"a": 1}]
        (tmp_path / "0002_second.sql").write_text("INSERT INTO first VALUES (2);")
        assert await database.migrate(tmp_path) == ["0002_second.sql"]
        (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (b INT);")
        with pytest.raises(DatabaseRefused, match="put changes into a new file"):
            await database.migrate(tmp_path)

    scene(database_url, work)
