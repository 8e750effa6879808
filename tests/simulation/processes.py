"""
The processes of a simulated venue: each built as its `__main__` builds it, from parts that know only virtual time.

A child is what the supervisor keeps up: one life of a process after the other. What a process does is its own.
"""

import asyncio
import errno
import os
import random
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from engine import core
from engine.wiring import Outside as EngineOutside
from engine.wiring import engine_run
from gateway.__main__ import work as gateway_work
from gateway.__main__ import work_result as gateway_result
from gateway.desk import Gateway, Parts
from gateway.limits import Limits
from gateway.mail import MailFolder, mail_keep
from persister.__main__ import EXIT_AGAIN, VenueOther
from persister.__main__ import Parts as PersisterParts
from persister.archive import Disk
from poller.__main__ import Outside as PollerOutside
from poller.__main__ import serve as poller_serve
from poller.timing import Timing
from shared.refusal import EXIT_REFUSED, LogRestored, RefusalStands
from shared.refusal import Refusal as RefusalLasting
from tests.simulation import baton
from tests.simulation.baton import SimClock, SimKilled, SimThread
from tests.simulation.doors import Crash, GatewayDoor
from tests.simulation.loop import Process

URL = "redis://simulated"
LASTING = (70, 78, 79)
BACKOFF_S = 0.25
BUFFER_BYTES = 4_000_000


Fact = tuple[float, str, str, dict[str, Any]]  # when, who, what, its fields


class Facts:
    """The log of one process: what it said, and when; shown when a seed fails."""

    def __init__(self, told: list[Fact], now_s: Callable[[], float], name: str) -> None:
        self.told = told
        self.now_s = now_s
        self.name = name

    def info(self, event: str, **fields: Any) -> None:
        """Keep one fact."""
        self.told.append((round(self.now_s(), 6), self.name, event, fields))

    warning = error = exception = info

    def debug(self, event: str, **fields: Any) -> None:
        """Say nothing."""


class Memory:
    """Memory for an engine's copy of its state."""

    def __init__(self, _bytes_count: int) -> None:
        self.view = memoryview(bytearray(BUFFER_BYTES))

    def touch_ahead(self, length: int) -> None:
        """Nothing to touch."""


class WriterPort:
    """The engine's second process, as tasks that die with the engine; it can also die alone and is started again."""

    def __init__(self, world: Any, process: Process, memory: Memory, venue: str, log: Any) -> None:
        self.world = world
        self.process = process
        self.memory = memory
        self.venue = venue
        self.log = log
        self.messages: list[dict[str, Any]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.alive = False
        self.start()

    def start(self) -> None:
        """Begin a life."""
        cast, connect = self.world.cast, self.world.postgres.connector(self.process)
        self.alive = True
        self.rows = cast.rows(connect, self.venue, self.messages.append, now_us=self.process.now_us)
        folder = self.world.settings.data_dir / "snapshots"
        self.desk = cast.desk(
            self.memory.view,
            folder,
            core.snapshot_document,
            self.messages.append,
            self.rows.put,
            now_us=self.process.now_us,
        )
        self.tasks = [self.process.task(self.rows.run(), "rows")]

    def die(self) -> None:
        """End this life; the engine is told so, and another begins after a second."""
        if not self.alive:
            return
        self.alive = False
        for task in self.tasks:
            task.cancel()
        self.messages += [{"kind": "trouble", "text": "the snapshot writer died"}, {"kind": "free"}]
        self.process.task(self.start_later(), "writer")

    async def start_later(self) -> None:
        """Begin another life."""
        await asyncio.sleep(1.0)
        self.start()

    def send(self, job: dict[str, Any]) -> bool:
        """Take one job."""
        if self.alive:
            self.tasks.append(self.process.task(self.take(self.desk, job), "writer"))
        return self.alive

    async def take(self, desk: Any, job: dict[str, Any]) -> None:
        """Do one job after the moment that it takes."""
        await asyncio.sleep(self.world.chance_writer.uniform(0.002, 0.03))
        desk.take(job)

    def receive(self, _now_s: float) -> list[dict[str, Any]]:
        """Return what there is to say."""
        messages, self.messages[:] = list(self.messages), []
        return messages

    def close(self) -> None:
        """End with the engine."""
        for task in self.tasks:
            task.cancel()


async def gateway_main(world: Any, process: Process, child: "Child") -> int:
    """Run one gateway; return its exit code."""
    parts = Parts(
        world.settings,
        streams_async(world, process),
        streams_async(world, process),
        world.postgres.database(process, 2.0),
        MailFolder(world.settings.data_dir / "mail", mail_keep),
        process.now_us,
        process.monotonic_s,
        world.facts(process.name),
        world.chance_tokens.getrandbits,
    )
    gateway = Gateway(parts, Limits(1, process.monotonic_s))
    child.end = GatewayDoor(world, process, gateway)
    task = asyncio.ensure_future(gateway_work(gateway))
    await asyncio.wait({task})
    return await gateway_result(gateway, task)


async def poller_main(world: Any, process: Process, child: "Child") -> int:
    """Run one poller; return its exit code."""
    child.end = stop = asyncio.Event()

    async def connect(url: str) -> Any:
        socket = await world.outside.connect(url)
        process.on_kill.append(socket.abort)
        return socket

    async def database(_url: str) -> Any:
        return world.postgres.database(process)

    outside = PollerOutside(
        lambda _url: streams_async(world, process), connect, database, world.chance_backoff, world.token
    )
    timing = Timing(process.now_us, process.monotonic_s, asyncio.sleep)
    return await poller_serve(world.settings, world.facts(process.name), timing, stop, outside)


class ArchiveDisk(Disk):
    """The disk of one persister's archive: full when the world says so, and the process may die amid a write."""

    def __init__(self, world: Any, process: Process) -> None:
        self.world = world
        self.process = process

    def write(self, descriptor: int, content: bytes) -> None:
        """Write all of it, or as much as there is room for, or as much as the process lives to write."""
        if self.world.disk_full:
            os.write(descriptor, content[: len(content) // 3])
            raise OSError(errno.ENOSPC, "no space left on device")
        if self.world.faults.dies_writing():
            os.write(descriptor, content[: len(content) // 2])
            self.process.kill()
            raise SimKilled
        super().write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        """Take what was written for synced: the folder outlives every process."""


async def persister_main(world: Any, process: Process, child: "Child") -> int:
    """Run one persister; return its exit code."""
    streams = streams_async(world, process)
    database = world.cast.database(world.postgres.database(process))
    facts = world.facts(process.name)

    async def offload(work: Callable[..., Any], *arguments: Any) -> Any:
        await asyncio.sleep(world.chance_writer.uniform(0.0005, 0.005))
        return work(*arguments)

    class Persister(world.cast.persister):  # type: ignore[misc, name-defined]
        """The persister on the simulated disk; its files are let go of when it is killed, as a kernel does."""

        def parts_build(self) -> PersisterParts:
            """Return what serves the venue."""
            self.parts = parts = super().parts_build()
            parts.archiver.files.disk = ArchiveDisk(world, process)
            # In seconds what takes a venue minutes: a seed must trim often enough to need its archive.
            parts.trimmer.keyframes_min, parts.trimmer.pass_every_s = 1, 0.7
            process.on_kill.append(parts.archiver.files.release)
            return parts

    child.end = persister = Persister(
        world.settings, streams, database, facts, process.monotonic_s, process.now_us, world.chance_backoff, offload
    )
    try:
        await persister.run()
    except (VenueOther, LogRestored) as error:
        facts.warning("venue_changed", text=str(error))
        return EXIT_AGAIN
    except (RefusalLasting, RefusalStands) as error:
        facts.error("refusal_ends_process", text=str(error))
        return EXIT_REFUSED
    finally:
        await streams.close()
        await database.close()
    raise AssertionError("a persister ends by an exception")


async def engine_main(world: Any, process: Process, child: "Child") -> int:
    """Run one engine in a thread of its own; return its exit code."""
    facts = world.facts(process.name)
    streams = world.cast.streams(
        URL,
        connect=world.redis.connector(process, blocking=True),
        clock_us=process.now_us,
        monotonic_s=process.monotonic_s,
    )

    settings = msgspec.structs.replace(world.settings, wire=world.wire_of(child))

    def port(memory: Memory, venue: str, log: Any) -> WriterPort:
        return WriterPort(world, process, memory, venue, log)

    outside = EngineOutside(
        streams,
        world.postgres.connector(process),
        SimClock(process),
        child.number,
        Memory,
        port,
        baton.call,
        world.token,
        lambda: world.venue_name,
        world.block_ms,
        link=world.redis.port(process),
    )
    child.end = engine = world.cast.engine(settings, outside, facts)
    return await SimThread(process, lambda: engine_run(engine), process.name).done


def streams_async(world: Any, process: Process) -> Any:
    """Return a process's client of Redis."""
    connect = world.redis.connector(process)
    return world.cast.streams_async(URL, connect=connect, clock_us=process.now_us, monotonic_s=process.monotonic_s)


Main = Callable[[Any, Process, "Child"], Awaitable[int]]
MAINS: dict[str, Main] = {
    "engine": engine_main,
    "poller": poller_main,
    "gateway": gateway_main,
    "persister": persister_main,
}


class Child:
    """One process that is kept up: its present life, and the exit codes of those before."""

    def __init__(self, world: Any, kind: str, number: int) -> None:
        self.world = world
        self.kind = kind
        self.number = number
        self.name = f"{kind}{number}"
        self.process: Process | None = None
        self.end: Any = None  # what the world holds of the present life: engine, door, persister
        self.codes: list[int] = []
        self.lives = 0
        self.clock_offset_us = 0  # of the lives to come
        self.wanted = True

    @property
    def alive(self) -> bool:
        """Return whether it runs now, be it stopped."""
        return self.process is not None and self.process.alive

    async def keep(self) -> None:
        """Begin one life after the other until it ends for good or is not wanted any more."""
        while self.wanted:
            code = await self.life()
            if code is not None:
                self.codes.append(code)
                if code in LASTING:
                    self.world.facts(self.name).error("lasting", code=code)
                    return
            await asyncio.sleep(BACKOFF_S * self.world.chance_backoff.uniform(0.6, 1.6))

    async def life(self) -> int | None:
        """Live once; return the exit code, None when it was killed."""
        self.lives += 1
        process = self.process = Process(self.world.loop, self.name, self.clock_offset_us)
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def end(code: int | None) -> None:
            if not ended.done():
                ended.set_result(code)

        async def run() -> None:
            try:
                end(await MAINS[self.kind](self.world, process, self))
            except Exception:
                self.world.crashes.append(Crash(self.name, traceback.format_exc()))
                end(1)

        process.on_kill.append(lambda: end(None))
        process.task(run(), self.name)
        code = await ended
        process.kill()
        self.end = None
        return code

    def kill(self) -> None:
        """Kill the present life."""
        if self.process is not None and self.process.alive:
            self.process.kill()


def folder_prepare(folder: Path, chance: random.Random) -> None:
    """Make a data folder with a secret."""
    folder.mkdir(parents=True)
    (folder / "snapshots").mkdir()
    (folder / "secret").write_text(f"{chance.getrandbits(256):064x}\n")
