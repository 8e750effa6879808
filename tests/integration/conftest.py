"""Real servers for the tests: one Valkey and one PostgreSQL a session, a fresh database a test, whole venues."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest
import redis

from scripts import embedded
from scripts.ready import postgres_is_up
from shared.database import Database
from tests.cluster import cluster_give

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TEMPLATE = "tidemark_template"
START_PATIENCE_S = 90.0
STOP_PATIENCE_S = 20.0
VenueStart = Callable[..., dict[str, Any]]


class Servers(NamedTuple):
    """The servers of one test session."""

    redis_url: str
    sockets: Path


@pytest.fixture(scope="session")
def embedded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Start both servers, migrate the template database, stop both at the end."""
    data_dir = tmp_path_factory.mktemp("servers")
    sockets = embedded.socket_folder(data_dir)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        # The database may forget at a power cut: nothing of a test outlives it.
        postgres = server_start(embedded.postgres_server(data_dir, sockets, fsync=False), data_dir)
        stack.callback(server_stop, postgres, signal.SIGINT)
        valkey = server_start(embedded.redis_server(data_dir, sockets), data_dir)
        stack.callback(server_stop, valkey, signal.SIGTERM)
        until(lambda: postgres_is_up(embedded.postgres_data(data_dir), postgres.pid), "PostgreSQL")
        until(lambda: redis_answers(embedded.redis_url(sockets)), "Valkey")
        asyncio.run(template_make(sockets))
        yield Servers(embedded.redis_url(sockets), sockets)


@pytest.fixture
def redis_url(embedded_servers: Servers) -> str:
    """Return the URL of a real, empty Redis."""
    client = redis.Redis.from_url(embedded_servers.redis_url)
    client.flushall()
    client.close()
    return embedded_servers.redis_url


@pytest.fixture
def database_url(embedded_servers: Servers, database_names: Iterator[int]) -> Iterator[str]:
    """Return the URL of a fresh, migrated database; it is dropped after the test."""
    name = f"test_{next(database_names)}"
    copy = f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy"
    asyncio.run(statement_run(embedded_servers.sockets, copy))
    yield embedded.database_url(embedded_servers.sockets, name)
    asyncio.run(statement_run(embedded_servers.sockets, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def database_names() -> Iterator[int]:
    """Return the numbers of the test databases."""
    return itertools.count(1)


@pytest.fixture(scope="session")
def tools_venue(
    embedded_servers: Servers, database_names: Iterator[int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Return a traded venue that tests of the reading tools only read (tools_scene.ToolsVenue)."""
    from tests.integration import tools_scene

    name = f"test_{next(database_names)}"
    asyncio.run(statement_run(embedded_servers.sockets, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    folder = tmp_path_factory.mktemp("tools")
    yield from tools_scene.tools_scene(folder, embedded.database_url(embedded_servers.sockets, name))


@pytest.fixture
def venue_process(tmp_path: Path) -> Iterator[VenueStart]:
    """
    Return a function that starts a whole `./scripts/run` with these options and returns its ready file.

    `venue_process("--hold", "--speed", "4", data="other", environment={…})`; it stops cleanly after the test.
    """
    started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(*options: str, data: str = "venue", environment: dict[str, str] | None = None) -> dict[str, Any]:
        data_dir = tmp_path / data
        cluster_give(data_dir)
        ready_file = tmp_path / f"{data}.ready.json"
        ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "scripts.cli", "run", "--data", str(data_dir)]
        log = tmp_path / f"{data}.console.txt"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--ready-file", str(ready_file), *options],
                stdout=output,
                stderr=output,
                env={"TIDEMARK_TRIM": "off", **os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
            )
        started.append((process, log))
        return ready_wait(process, ready_file, log)

    yield start
    for process, _ in started:
        process.send_signal(signal.SIGINT)
    for process, log in started:
        # A test may have killed it; stopped by request it ends with 0.
        assert process_end(process) in (0, -signal.SIGKILL), log.read_text(errors="replace")[-2000:]


def ready_wait(process: subprocess.Popen[bytes], ready_file: Path, log: Path) -> dict[str, Any]:
    """Return the ready file once the venue takes instructions."""
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, ValueError):
            ready: dict[str, Any] = json.loads(ready_file.read_text())
            if ready["sign_in_url"]:
                return ready
        time.sleep(0.05)
    raise AssertionError(f"the venue did not become ready:\n{log.read_text(errors='replace')[-3000:]}")


def process_end(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code; a process that does not end in time is killed, which fails the test."""
    try:
        return process.wait(STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def server_start(server: embedded.Server, data_dir: Path) -> subprocess.Popen[bytes]:
    """Start one server; it dies with this process."""
    with (data_dir / f"{server.name}.log").open("ab") as log:
        return subprocess.Popen(server.command, stdout=log, stderr=log, cwd="/", preexec_fn=server.prepare)


def server_stop(process: subprocess.Popen[bytes], kind: signal.Signals) -> None:
    """Ask one server to end and wait for it."""
    process.send_signal(kind)
    process_end(process)


def until(holds: Callable[[], bool], name: str) -> None:
    """Wait until a server is up."""
    deadline = time.monotonic() + START_PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"{name} does not start"
        time.sleep(0.01)


def redis_answers(url: str) -> bool:
    """Return whether Redis takes commands."""
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.RedisError:
        return False


async def template_make(sockets: Path) -> None:
    """Create the migrated database that every test's database is a copy of."""
    await statement_run(sockets, f"CREATE DATABASE {TEMPLATE}")
    database = await Database.connect(embedded.database_url(sockets, TEMPLATE))
    try:
        await database.migrate()
    finally:
        await database.close()


async def statement_run(sockets: Path, statement: str) -> None:
    """Run one statement in the servers' own database."""
    connection = await asyncpg.connect(embedded.database_url(sockets))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
