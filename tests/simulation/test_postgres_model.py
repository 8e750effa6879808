"""The simulated Postgres against a real one: every statement of the shipped processes, in random transactions."""

import ast
import asyncio
import contextlib
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persister import history
from shared.database import Database, DatabaseDown, DatabaseRefused
from tests.simulation.loop import Process, SimLoop, dispose
from tests.simulation.postgres_model import Plan, PostgresServer
from tests.simulation.postgres_scenes import STATEMENTS, VENUES, canonical, piece, play, refusals_told
from tests.simulation.postgres_statements import plain, statement_of
from tests.simulation.postgres_tables import TABLES

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SCENES = int(os.environ.get("TIDEMARK_TEST_SCENES", "150"))
PIECES_MAX = 12
EMPTY_EVERY = 5
SHIPPED = ("engine", "persister", "gateway", "poller", "shared")
# Nobody in the simulation signs in, and the migrations' runner belongs to the driver.
ELSEWHERE = {"gateway/sign_in/auth.py", "gateway/sign_in/keys.py", "gateway/sign_in/links.py", "shared/database.py"}
SQL = re.compile(
    r"\s*(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM \w+|SET LOCAL|WITH \w+ AS|LOCK|TRUNCATE)\b"
)
TIMES = ("created_at", "at")


def statements_shipped() -> Iterator[tuple[str, str]]:
    """Yield every SQL statement in the shipped modules, and where it stands."""
    for package in SHIPPED:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            name = path.relative_to(REPOSITORY).as_posix()
            for node in ast.walk(ast.parse(path.read_text())) if name not in ELSEWHERE else ():
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and SQL.match(plain(text)):
                    yield text, f"{name}:{node.lineno}"


def test_every_statement_is_modelled_and_compared() -> None:
    """No shipped module has SQL of which the simulation knows nothing, or that is never compared with a real server."""
    compared = {plain(sql) for sql in STATEMENTS}
    for sql, place in statements_shipped():
        assert plain(sql) in compared, f"{place}: {plain(sql)} is not in postgres_scenes.STATEMENTS"
        statement_of(sql)


class Pair:
    """The model and a real database, each with an asyncio of its own."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.real: Any = self.runner.run(self.connect(url))
        now_us = self.runner.run(self.real.fetchrow("SELECT (extract(epoch FROM now()) * 1e6)::bigint AS us"))["us"]
        self.loop = SimLoop(now_us)
        self.server = PostgresServer(self.loop, random.Random(0))
        self.model = self.server.database(Process(self.loop, "tester"))

    @staticmethod
    async def connect(url: str) -> Database:
        """Return the real pool."""
        return await Database.connect(url)

    def close(self) -> None:
        """Let go of both."""
        self.runner.run(self.real.close())
        self.runner.close()
        dispose(self.loop)

    def both(self, scene: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return what both tell of a scene."""
        mine: list[Any] = []
        real: list[Any] = []
        self.loop.run(scene_play(self.model, scene, mine))
        self.runner.run(scene_play(self.real, scene, real))
        return mine, real

    def empty(self) -> None:
        """Remove all rows on both sides."""
        self.runner.run(self.empty_real())
        for table in self.server.tables.values():
            table.clear()

    async def empty_real(self) -> None:
        """Remove all rows of the real database; the audit's only as a restore may."""
        async with self.real.transaction() as statements:
            await statements.execute("SET LOCAL tidemark.restoring = 'on'")
            for name in TABLES:
                await statements.execute(f"DELETE FROM {name}")

    def age(self, seconds: int) -> None:
        """Make every keyframe and snapshot older on both sides."""
        for name in ("engine_keyframes", "engine_snapshots"):
            move = f"UPDATE {name} SET created_at = created_at - make_interval(secs => $1)"
            self.runner.run(self.real.execute(move, float(seconds)))
            table = self.server.tables[name]
            for key, row in table.items():
                table[key] = {**row, "created_at": row["created_at"] - seconds * 1_000_000}

    def contents(self, name: str) -> tuple[list[Any], list[Any]]:
        """Return the rows of a table on both sides, without what only the clock says."""
        real = self.runner.run(self.real.fetch(f"SELECT * FROM {name}"))
        mine = list(self.server.tables[name].values())
        return rows_plain(mine), rows_plain(real)


def rows_plain(rows: list[dict[str, Any]]) -> list[Any]:
    """Return rows without their times, in an order of their own."""
    plain_rows = [{name: row[name] for name in sorted(row) if name not in TIMES} for row in rows]
    return sorted(plain_rows, key=canonical)


async def scene_play(database: Any, scene: list[Any], told: list[Any]) -> None:
    """Play the pieces of a scene one after the other."""
    for part in scene:
        await refusals_told(play(database, part, told), told)


@pytest.fixture
def pair(database_url: str) -> Iterator[Pair]:
    """Lend a model and an empty real database."""
    both = Pair(database_url)
    yield both
    both.close()


@pytest.mark.timeout(3_600)
def test_random_transactions_are_answered_as_a_real_server_does(pair: Pair) -> None:
    """Results, refusals and what is left in the tables are a real server's, transactions and savepoints included."""
    for seed in range(SCENES):
        chance = random.Random(seed)
        if seed % EMPTY_EVERY == 0:
            pair.empty()
        scene = [piece(chance) for _ in range(chance.randrange(1, PIECES_MAX))]
        mine, real = pair.both(scene)
        assert mine == real, difference(seed, scene, mine, real)
        if chance.random() < 0.2:
            pair.age(chance.choice((300, 660, 49 * 3_600)))
        for name in TABLES:
            here, there = pair.contents(name)
            assert here == there, f"scene {seed}, table {name}: {here} != {there}"


def difference(seed: int, scene: list[Any], mine: list[Any], real: list[Any]) -> str:
    """Return the first thing that two sides tell differently."""
    index = next((i for i, (one, other) in enumerate(zip(mine, real, strict=False)) if one != other), -1)
    shown = "\n".join(map(repr, scene))
    return f"scene {seed}, answer {index}:\nmodel {mine[index:][:1]}\nreal  {real[index:][:1]}\n{shown}"


CURSOR = (VENUES[0], 0, 0, 5, 0, b"a", 1)
LATER = (VENUES[0], 0, 0, 7, 0, b"b", 1)


async def race(database: Any, commits: bool) -> list[Any]:
    """Return what two persisters find when the second wants the cursor that the first has moved and not committed."""
    await database.execute(history.CURSOR_FOUND, VENUES[0])
    moved = asyncio.Event()
    one: list[Any] = []
    two: list[Any] = []

    async def first() -> None:
        try:
            async with database.transaction() as statements:
                one.append(await statements.execute(history.CURSOR_MOVE, *CURSOR))
                moved.set()
                await asyncio.sleep(0.05)
                two.append("the first ends")
                if not commits:
                    raise InterruptedError
        except InterruptedError:
            one.append("rolled back")

    async def second() -> None:
        await moved.wait()
        async with database.transaction() as statements:
            two.append(await statements.fetchrow(history.CURSOR_READ, VENUES[0]))
            two.append(await statements.execute(history.CURSOR_MOVE, *LATER))
            two.append(await statements.fetchrow(history.CURSOR_READ, VENUES[0]))

    await asyncio.gather(first(), second())
    return [one, two]


@pytest.mark.parametrize("commits", [True, False])
def test_a_second_transaction_waits_for_the_row(pair: Pair, commits: bool) -> None:
    """Who wants a row that another transaction holds waits, then goes by what that one left."""
    mine = pair.loop.run(race(pair.model, commits))
    real = pair.runner.run(race(pair.real, commits))
    assert mine == real
    assert "the first ends" in mine[1] and mine[1][-1]["seq"] == (5 if commits else 7)


class Scene:
    """A model alone, whose faults are given one by one."""

    def __init__(self) -> None:
        self.loop = SimLoop()
        self.faults: list[tuple[str, Plan]] = []  # moment, what happens at the next such
        self.server = PostgresServer(self.loop, random.Random(0), self.plan)
        self.process = Process(self.loop, "tester")
        self.database: Any = self.server.database(self.process, 1.0)

    def plan(self, _process: Process, _name: str, moment: str) -> Plan:
        """Return the fault of this moment, if there is one."""
        if self.faults and self.faults[0][0] == moment:
            return self.faults.pop(0)[1]
        return Plan()

    async def store(self) -> str:
        """Move the cursor and insert a row in one transaction; return what came of it."""
        try:
            async with self.database.transaction() as statements:
                await statements.execute(history.CURSOR_MOVE, *CURSOR)
                await statements.execute(history.INSERTS["candle"], VENUES[0], "M", 1, 5, {})
        except DatabaseDown:
            return "down"
        except DatabaseRefused:
            return "refused"
        return "stored"

    async def locked(self) -> None:
        """Return once somebody holds a row."""
        while not self.server.store.locks:  # noqa: ASYNC110 - there is no event for this
            await asyncio.sleep(0.0001)

    def stored(self) -> tuple[int, int]:
        """Return where the committed cursor stands, and how many rows there are."""
        cursor = self.server.tables["persister_cursor"][(VENUES[0],)]["seq"]
        return cursor, len(self.server.tables["candles"])


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Lend a model alone."""
    alone = Scene()
    yield alone
    dispose(alone.loop)


@pytest.mark.parametrize(
    ("moment", "fault", "there"),
    [
        ("begin", "down", False),
        ("statement", "down", False),
        ("statement", "unanswered", False),
        ("commit", "down", False),
        ("commit", "unanswered", True),
        ("commit", "hang", False),
    ],
)
def test_a_transaction_is_there_whole_or_not_at_all(scene: Scene, moment: str, fault: str, there: bool) -> None:
    """Whatever breaks, cursor and row are both there or both not; only an unanswered COMMIT leaves the asker unsure."""
    scene.loop.run(scene.database.execute(history.CURSOR_FOUND, VENUES[0]))
    scene.faults = [(moment, Plan(fault=fault))]
    assert scene.loop.run(scene.store()) == "down"
    assert scene.stored() == ((5, 1) if there else (0, 0))
    assert not scene.server.store.locks


def test_a_hung_server_does_what_it_was_told_when_it_goes_on(scene: Scene) -> None:
    """A COMMIT that a hung server received takes effect afterwards, although its sender has given up."""
    scene.loop.run(scene.database.execute(history.CURSOR_FOUND, VENUES[0]))

    async def hung() -> str:
        task = scene.process.task(scene.store())
        await scene.locked()
        await asyncio.sleep(0.0007)  # both statements are done: COMMIT is under way
        scene.server.hang()
        outcome = await task
        assert scene.stored() == (0, 0)
        scene.server.unhang()
        await asyncio.sleep(0.1)
        return outcome

    assert scene.loop.run(hung()) == "down"
    assert scene.stored() == (5, 1)
    assert not scene.server.store.locks


def test_a_killed_process_leaves_no_lock(scene: Scene) -> None:
    """What a killed process had not committed is gone at once, and nobody waits for it."""
    scene.loop.run(scene.database.execute(history.CURSOR_FOUND, VENUES[0]))
    other = scene.server.database(Process(scene.loop, "other"), 1.0)

    async def killed() -> int:
        scene.process.task(scene.store())
        await scene.locked()
        scene.process.kill()
        return await other.execute(history.CURSOR_MOVE, *LATER)

    assert scene.loop.run(killed()) == 1
    assert scene.stored() == (7, 0)


def test_who_waits_for_a_row_ends_with_the_server(scene: Scene) -> None:
    """A transaction that waits for a row when the server dies fails at once, and holds nothing afterwards."""
    scene.loop.run(scene.database.execute(history.CURSOR_FOUND, VENUES[0]))

    async def died() -> tuple[str, float]:
        async with contextlib.AsyncExitStack() as stack:
            statements = await stack.enter_async_context(scene.database.statements())
            transaction = statements.transaction()
            await transaction.__aenter__()
            await statements.execute(history.CURSOR_MOVE, *LATER)
            task = scene.process.task(scene.store())
            await asyncio.sleep(0.1)
            scene.server.down()
            scene.server.up()
            return await task, scene.loop.time()

    outcome, when_s = scene.loop.run(died())
    assert outcome == "down" and when_s < 0.2
    assert scene.stored() == (0, 0) and not scene.server.store.locks


def test_a_restored_server_knows_what_it_knew_then(scene: Scene) -> None:
    """A copy of some time ago replaces everything that was committed since."""
    scene.loop.run(scene.database.execute(history.CURSOR_FOUND, VENUES[0]))
    copy = scene.server.snapshot()
    assert scene.loop.run(scene.store()) == "stored"
    scene.server.restore(copy)
    assert scene.stored() == (0, 0)
