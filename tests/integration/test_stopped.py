"""scripts/stopped.py: which venue a changing command means, and that no process of it may live."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from persister.archive import ArchiveFiles
from scripts.access import AccessError
from scripts.exits import EXIT_IMPOSSIBLE, EXIT_MUST_NOT, ToolStop
from scripts.stopped import heartbeats_wait, venue_find, venue_stopped
from shared.database import Database
from shared.stream_keys import Entry, Keys
from shared.streams import Streams

VENUE = "stopped001"


@pytest.fixture
def streams(redis_url: str) -> Iterator[Streams]:
    """Lend a client of an empty Redis."""
    client = Streams(redis_url)
    yield client
    client.close()


def live_insert(database_url: str, venue: str) -> None:
    """Have Postgres know a live venue."""

    async def run() -> None:
        database = await Database.connect(database_url)
        try:
            await database.execute("INSERT INTO venues (venue, founded_us, live) VALUES ($1, 1, true)", venue)
        finally:
            await database.close()

    asyncio.run(run())


def test_a_process_that_lives_is_named(streams: Streams) -> None:
    """A heartbeat that is still there when it should have gone keeps the command out, with exit code 3."""
    keys = Keys(VENUE)
    streams.set_json(keys.process("persister"), {"pid": 1})
    with pytest.raises(ToolStop, match="persister") as stopped:
        heartbeats_wait(streams, keys)
    assert stopped.value.code == EXIT_MUST_NOT
    streams.set_json(keys.process("persister"), {"pid": 1}, 300)
    heartbeats_wait(streams, keys)


def test_the_venue_is_found_by_whoever_still_knows_it(streams: Streams, database_url: str, tmp_path: Path) -> None:
    """Redis names it, else Postgres; two names are two venues, and none at all is a sentence."""
    with pytest.raises(ToolStop, match="nobody knows a venue"):
        venue_find(streams, database_url, tmp_path, tmp_path / "archive")
    live_insert(database_url, VENUE)
    assert venue_find(streams, database_url, tmp_path, tmp_path / "archive") == VENUE
    streams.venue_set("another001")
    with pytest.raises(ToolStop, match="different venues") as stopped:
        venue_find(streams, database_url, tmp_path, tmp_path / "archive")
    assert stopped.value.code == EXIT_IMPOSSIBLE


def test_the_archive_alone_may_know_it(streams: Streams, database_url: str, tmp_path: Path) -> None:
    """With Redis and Postgres empty the one archived venue is meant; of several none is chosen."""
    for name in ("archived01", "archived02"):
        files = ArchiveFiles(tmp_path, name)
        assert files.begin()
        files.append([Entry(1, [(b"ts", b"1800000000000000"), (b"clock_tick", b"{}")])])
        files.close()
        if name == "archived01":
            assert venue_find(streams, database_url, tmp_path / "data", tmp_path) == name
    with pytest.raises(ToolStop, match="archived01, archived02"):
        venue_find(streams, database_url, tmp_path / "data", tmp_path)


def test_the_folder_is_held_though_no_server_is_started(
    streams: Streams, redis_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With servers given by URL nobody else may change the same folder meanwhile."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    streams.venue_set(VENUE)
    with venue_stopped(tmp_path, None, "to be looked at") as venue:
        assert venue.keys.venue == VENUE
        with pytest.raises(AccessError, match="another venue"), venue_stopped(tmp_path, None, ""):
            pass
    assert not (tmp_path / "lock").exists()
