"""The whole persister process: it waits, serves, stops, refuses and stays refused, and leaves another venue."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.database import Database
from shared.refusal import EXIT_REFUSED, REFUSAL_FILE
from shared.stream_guard import ask
from shared.streams import Streams
from tests import persister_doubles as events
from tests.persister_doubles import KEYS, Chain
from tests.store_servers import OwnRedis, own_redis

REPOSITORY = Path(__file__).resolve().parent.parent.parent
REQUEST = "ab" * 16


class Process:
    """A persister process on servers of the test's own."""

    def __init__(self, redis_url: str, database_url: str, data_dir: Path) -> None:
        self.log = data_dir / "persister.log"
        environment = {"TIDEMARK_TRIM": "off", **os.environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url}
        environment |= {"TIDEMARK_DATA": str(data_dir), "PYTHONPATH": str(REPOSITORY)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "persister"], env=environment, stderr=log, cwd="/")

    def says(self, event: str) -> None:
        """Wait until it has logged this event."""
        deadline_s = time.monotonic() + events.PATIENCE_S
        while f'"event":"{event}"' not in self.log.read_text():
            assert time.monotonic() < deadline_s, f"{event} is not in {self.log.read_text()}"
            time.sleep(0.01)

    def ends(self) -> int:
        """Return its exit code."""
        return self.process.wait(events.PATIENCE_S)

    def stop(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a Redis that may be killed."""
    with own_redis() as server:
        yield server


@pytest.fixture
def process(own: OwnRedis, database_url: str, tmp_path: Path) -> Iterator[Process]:
    """Lend a running persister."""
    started = Process(own.url, database_url, tmp_path)
    yield started
    started.stop()


def rows_reach(database_url: str, count: int) -> None:
    """Wait until history holds so many closed orders."""

    async def wait() -> None:
        database = await Database.connect(database_url)
        try:
            async with asyncio.timeout(events.PATIENCE_S):
                while True:
                    [row] = await database.fetch("SELECT count(*) AS n FROM closed_orders")
                    if row["n"] == count:
                        return
                    await asyncio.sleep(0.02)
        finally:
            await database.close()

    asyncio.run(wait())


def test_process_waits_serves_and_stops(own: OwnRedis, process: Process, database_url: str, tmp_path: Path) -> None:
    """It waits for the venue, keeps both stores through kills of itself and of Redis, says so, and stops when asked."""
    streams = Streams.connect(own.url)
    process.says("venue_awaited")
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 5))
    streams.venue_set(KEYS.venue)
    rows_reach(database_url, 5)
    process.process.kill()
    process.ends()
    events.publish(streams, events.day(chain, 6, 5))
    again = Process(own.url, database_url, tmp_path)
    try:
        rows_reach(database_url, 10)
        own.kill()
        own.start()
        assert streams.events_tip(KEYS) == (10, 0)
        events.publish(streams, events.day(chain, 11, 5))
        rows_reach(database_url, 15)
        deadline_s = time.monotonic() + events.PATIENCE_S
        while (streams.get_json(KEYS.process("persister")) or {}).get("seq") != 15:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        beat = streams.get_json(KEYS.process("persister"))
        assert (beat["role"], beat["pid"], beat["views_seq"], beat["lag"]) == ("persister", again.process.pid, 15, 0)
        again.process.send_signal(signal.SIGTERM)
        assert again.ends() == 0
    finally:
        again.stop()
    streams.close()


def test_process_refuses_and_stays_refused(own: OwnRedis, process: Process, database_url: str, tmp_path: Path) -> None:
    """A broken chain is written down in three places before the process exits, and each of them keeps a restart out."""
    streams = Streams.connect(own.url)
    chain = Chain()
    events.publish(streams, events.day(chain, 1, 5))
    streams.venue_set(KEYS.venue)
    rows_reach(database_url, 5)
    chain.last = (77, 0)
    events.publish(streams, events.day(chain, 80, 1))
    assert process.ends() == EXIT_REFUSED
    file = tmp_path / REFUSAL_FILE
    assert "has 5-0 before it" in file.read_text()
    assert streams.get_json(KEYS.refused)["before"] == [5, 0]

    async def row() -> Any:
        database = await Database.connect(database_url)
        [row] = await database.fetch("SELECT process, reason FROM refusals")
        await database.close()
        return row

    assert asyncio.run(row())["process"] == "persister"
    for place_left in ("file", "key", "row"):
        if place_left != "file":
            file.unlink(missing_ok=True)
        if place_left == "row":
            streams.delete(KEYS.refused)
        again = Process(own.url, database_url, tmp_path)
        try:
            assert again.ends() == EXIT_REFUSED, place_left
        finally:
            again.stop()
    streams.close()


def test_process_leaves_another_venue(own: OwnRedis, process: Process) -> None:
    """When Redis names another venue, the process ends, to begin again with that one."""
    streams = Streams.connect(own.url)
    streams.venue_set(KEYS.venue)
    process.says("serving")
    streams.delete("tidemark:venue")
    streams.venue_set("otherlife1")
    assert process.ends() == 1
    streams.close()


def command(*words: str) -> Any:
    """Return a conversation of one command, for what no verb does."""
    return ask([*words])
