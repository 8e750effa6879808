"""Copies of a house at rest, each with servers and a data folder of its own, for faults that leave nothing whole."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from shared.streams import Keys, Streams
from tests.faults.matrix.house import House
from tests.integration.conftest import Servers, statement_run
from tests.integration.engine_process import EngineProcess, Producer, until
from tests.store_servers import OwnRedis


class Copy:
    """One copy: its Redis, its database, its data folder, and an engine that is not started yet."""

    def __init__(self, house: House, database_url: str) -> None:
        self.before = house.sockets  # Redis's files as they were when the house came to rest
        self.folder = house.redis_copy()
        self.data_dir = Path(tempfile.mkdtemp(prefix="tidemark-data-", dir="/tmp"))
        shutil.copytree(house.engine.data_dir, self.data_dir, dirs_exist_ok=True)
        self.redis = OwnRedis(self.folder)
        self.redis.start()
        self.engine = EngineProcess(self.redis.url, database_url, self.data_dir)
        self.engine.log = self.data_dir / "engine-copy.log"
        self.database_url = database_url
        self.streams = Streams(self.redis.url)
        self.keys = Keys(house.keys.venue)
        self.producer = Producer(Streams(self.redis.url), self.keys)
        # Its request ids follow those of the house, which the copy remembers.
        self.producer.requests, self.producer.update_id = house.producer.requests, house.producer.update_id
        self.snapshot_seq = house.engine.facts("snapshot_durable")[-1]["seq"]

    def lead(self) -> None:
        """Start the engine and wait until producers may append."""
        self.engine.start()
        self.leading()

    def leading(self) -> None:
        """Wait until the engine leads and producers may append; the second tick confirms the first."""
        until(lambda: self.engine.facts("leader_promoted"), "leading", 30.0)
        until(self.producer.tick, "producers may append", 30.0)
        assert self.producer.tick()

    def end(self) -> None:
        """Kill and remove everything."""
        if self.engine.process is not None:
            self.engine.process.send_signal(signal.SIGCONT)
            self.engine.end(signal.SIGKILL)
        self.streams.close()
        self.producer.streams.close()
        self.redis.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)


def rest(house: House) -> None:
    """Bring a house to rest: a snapshot is durable, everything is published, nothing runs."""
    house.snapshot_make()
    house.trade_and_prove()
    for engine in house.engines:
        if house.lives(engine):
            assert engine.end() == 0
    house.redis.kill()


def database_copies(servers: Servers, names: Callable[[], int]) -> Callable[[str], str]:
    """Return a function that copies a database nobody is connected to and returns the copy's URL."""

    def copy(url: str) -> str:
        name = f"copy_{names()}"
        template = url.partition("?")[0].rpartition("/")[2]
        statement = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
        asyncio.run(statement_run(servers.sockets, statement))
        return url.replace(f"/{template}?", f"/{name}?")

    return copy
