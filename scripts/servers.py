"""
Starting the embedded servers of one venue and waiting until they take work; two on one folder would lose data.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from scripts import embedded
from scripts.console import Console, LogWatcher
from scripts.processes import Child
from scripts.ready import postgres_is_up, redis_is_up

SERVER_PATIENCE_S = 60.0
HELD_SAID_S = 1.0  # an earlier server that is ending needs less

ChildStart = Callable[[embedded.Server], Child]


class Servers:
    """The servers of one data folder: each is started by the supervisor and kept by it from then on."""

    def __init__(
        self, data_dir: Path, sockets: Path, console: Console, watcher: LogWatcher, held_patience_s: float
    ) -> None:
        self.data_dir = data_dir
        self.sockets = sockets
        self.console = console
        self.watcher = watcher
        self.held_patience_s = held_patience_s  # for a server of an earlier start that still holds the folder

    async def start(self, child_start: ChildStart) -> None:
        """Start the servers that were not given by their URLs, both at once; raises EmbeddedError."""
        starts: list[Coroutine[Any, Any, None]] = []
        if not os.environ.get("REDIS_URL"):
            starts.append(self.redis_start(child_start))
        if not os.environ.get("DATABASE_URL"):
            starts.append(self.postgres_start(child_start))
        await together(*starts)

    async def redis_start(self, child_start: ChildStart) -> None:
        """Start Valkey and wait until it has read its file."""
        started_s = time.monotonic()
        socket = self.sockets / "redis.sock"
        child = await self.server_start(embedded.redis_server(self.data_dir, self.sockets), child_start)
        await self.until_up(child, lambda: redis_is_up(socket))
        words = "Valkey on a private socket, each write synced to disk"
        self.console.part("redis", words, time.monotonic() - started_s)

    async def postgres_start(self, child_start: ChildStart) -> None:
        """Start PostgreSQL, founding its data folder the first time."""
        started_s = time.monotonic()
        data = embedded.postgres_data(self.data_dir)
        new = not (data / "PG_VERSION").exists()
        server = await asyncio.to_thread(embedded.postgres_server, self.data_dir, self.sockets)
        child = await self.server_start(server, child_start)

        async def is_up() -> bool:
            return postgres_is_up(data, child.pid)

        await self.until_up(child, is_up)
        words = "PostgreSQL on a private socket" + ("; new data folder" if new else "")
        self.console.part("postgres", words, time.monotonic() - started_s)

    async def server_start(self, server: embedded.Server, child_start: ChildStart) -> Child:
        """Start one server; an earlier one that is still ending is waited for, two on one folder lose data."""
        since_s = time.monotonic()
        said = False
        while True:
            try:
                return child_start(server)
            except embedded.EmbeddedError as error:
                waited_s = time.monotonic() - since_s
                if waited_s > self.held_patience_s:
                    raise embedded.EmbeddedError(f"{error}; end it first") from None
            if waited_s > HELD_SAID_S and not said:
                said = True
                holder = embedded.lock_holder(server.lock_file)
                self.console.part(server.name, f"waits for an earlier server to end: {holder} holds its files")
            await asyncio.sleep(0.1)

    async def until_up(self, child: Child, is_up: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a server takes work; its own last words are the error when it does not."""
        deadline = time.monotonic() + SERVER_PATIENCE_S
        while not await is_up():
            if child.failures >= 3 or time.monotonic() > deadline:
                raise embedded.EmbeddedError(f"{child.name} does not start: {self.watcher.last_words(child.name)}")
            await asyncio.sleep(0.01)


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run parts of the start at once; the first error ends the others and is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
