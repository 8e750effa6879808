"""The embedded servers: settings that the promises rest on, locks, and survival of a SIGKILL."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import redis

from scripts import embedded
from tests.integration.conftest import process_end, redis_answers, server_start, server_stop, until


def test_redis_syncs_every_write(redis_url: str) -> None:
    """The server acknowledges nothing that is not on the disk, and evicts nothing."""
    config = redis.Redis.from_url(redis_url, decode_responses=True).config_get()
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": "", "port": "0"}
    assert {name: config[name] for name in wanted} == wanted


def test_database_is_migrated_and_checks_itself(database_url: str) -> None:
    """A test's database has the tables of the migrations, checksums, and one sort order everywhere."""

    async def ask() -> tuple[str, str, str, int]:
        connection = await asyncpg.connect(database_url)
        try:
            return (
                await connection.fetchval("SHOW data_checksums"),
                await connection.fetchval("SHOW listen_addresses"),
                await connection.fetchval("SELECT datlocprovider::text FROM pg_database WHERE datname = 'tidemark'"),
                await connection.fetchval("SELECT count(*) FROM pg_tables WHERE tablename = 'engine_snapshots'"),
            )
        finally:
            await connection.close()

    assert asyncio.run(ask()) == ("on", "", "b", 1)


def test_redis_killed_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """After SIGKILL the server comes back on the same folder with every acknowledged entry."""
    sockets = embedded.socket_folder(tmp_path)
    url = embedded.redis_url(sockets)
    server = embedded.redis_server(tmp_path, sockets)
    first = server_start(server, tmp_path)
    until(lambda: redis_answers(url), "Valkey")
    client = redis.Redis.from_url(url)
    for number in range(50):
        client.xadd("log", {"n": number})
    client.close()
    server_stop(first, signal.SIGKILL)
    second = server_start(server, tmp_path)
    until(lambda: redis_answers(url), "Valkey")
    assert redis.Redis.from_url(url).xlen("log") == 50
    server_stop(second, signal.SIGTERM)
    shutil.rmtree(sockets)


def test_lock_lives_as_long_as_its_holder(tmp_path: Path) -> None:
    """A folder's lock is held by the child that inherited it, and free when that child is dead."""
    path = tmp_path / "lock"
    descriptor = embedded.lock_take(path)
    assert descriptor is not None
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(descriptor,))
    os.close(descriptor)
    assert embedded.lock_take(path) is None
    child.kill()
    process_end(child)
    again = embedded.lock_take(path)
    assert again is not None
    os.close(again)


def test_lock_of_a_removed_file_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock's file is removed only by who holds it; who locked a file that was removed meanwhile takes the new one."""
    path = tmp_path / "lock"
    held = embedded.lock_take(path)
    assert held is not None
    embedded.lock_sign(held, 4711)
    embedded.lock_remove(path)
    assert path.exists(), "somebody else holds it"
    assert embedded.lock_holder(path) == "pid 4711"
    os.close(held)
    flock = fcntl.flock

    def flock_late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    again = embedded.lock_take(path)
    assert again is not None
    assert os.path.samestat(os.fstat(again), path.stat())
    assert embedded.lock_take(path) is None
    os.close(again)
    embedded.lock_remove(path)
    assert not path.exists()


def test_socket_folder_is_short_stable_and_closed(tmp_path: Path) -> None:
    """The sockets of a data folder are always at the same short place that others cannot enter."""
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    deep.mkdir(parents=True)
    folder = embedded.socket_folder(deep)
    assert folder == embedded.socket_folder(deep)
    assert len(str(folder / ".s.PGSQL.5432")) < 100
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()


def test_database_of_an_unknown_major_is_refused(tmp_path: Path) -> None:
    """A folder made by a version that is not here is refused with the version's name, never opened."""
    data = embedded.postgres_data(tmp_path)
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(embedded.EmbeddedError, match="PostgreSQL 9"):
        embedded.postgres_choose(tmp_path)
