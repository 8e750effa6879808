"""The shipped clients on the simulated wire: what they say of each way in which a packet or a server can fail."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from shared.streams import AppendStatus, Fields, Keys, Streams, StreamsAsync, StreamsDown, StreamsUnknown, event_id
from tests.simulation import baton
from tests.simulation.baton import SimThread
from tests.simulation.loop import Process, SimLoop, dispose
from tests.simulation.redis_wire import Packet, Plan, RedisServer

T = TypeVar("T")

KEYS = Keys("wire")
TICK: Fields = [(b"ts", b"1"), (b"clock_tick", b"{}")]
ACCEPTED, REFUSED, UNKNOWN = AppendStatus.ACCEPTED, AppendStatus.REFUSED, AppendStatus.UNKNOWN
# What becomes of an append under each fault: what the client says, and how many entries there are afterwards.
FATES = {
    "": (ACCEPTED, 1),
    "before": (UNKNOWN, 0),
    "after": (UNKNOWN, 1),
    "torn": (UNKNOWN, 0),
    "deaf": (UNKNOWN, 1),
    "lost": (UNKNOWN, 0),
}


class Scene:
    """A server with a founded, led venue, and one process; `fault` is the next appending packet's."""

    def __init__(self) -> None:
        self.loop = SimLoop()
        self.server = RedisServer(self.loop, random.Random(1), self.plan)
        self.process = Process(self.loop, "client")
        self.fault = Plan()
        self.server.execute(b"XADD", KEYS.log.encode(), b"1000000000000000-1", b"ts", b"1", b"genesis", b"{}")
        self.server.execute(b"SET", b"tidemark:venue", b"wire")
        self.lead()

    def lead(self) -> None:
        """Name the server as the leading engine does."""
        heartbeat = b'{"who":"x","counter":1,"run_id":"%s"}' % self.server.model.run_id.encode()
        self.server.execute(b"SET", KEYS.leader.encode(), heartbeat)

    def plan(self, _process: Process, packet: Packet) -> Plan:
        """Return the fault for a packet that appends or publishes."""
        if any(command[0] == b"XADD" for command in packet.commands):
            fault, self.fault = self.fault, Plan()
            return fault
        return Plan()

    def streams_async(self) -> StreamsAsync:
        """Return the asyncio client of the process."""
        clocks = {"clock_us": self.process.now_us, "monotonic_s": self.process.monotonic_s}
        return StreamsAsync("redis://simulated", connect=self.server.connector(self.process), **clocks)

    def streams(self) -> Streams:
        """Return the blocking client of the process."""
        clocks = {"clock_us": self.process.now_us, "monotonic_s": self.process.monotonic_s}
        return Streams("redis://simulated", connect=self.server.connector(self.process, blocking=True), **clocks)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a task of the process gives."""

        async def inside() -> T:
            return await self.process.task(work)

        return self.loop.run(inside())

    def blocking(self, work: Any) -> Any:
        """Return what blocking code gives with a client of its own."""

        async def run() -> Any:
            return await SimThread(self.process, lambda: work(self.streams())).done

        return self.loop.run(run())

    def entries(self) -> int:
        """Return how many entries followed the first."""
        return len(self.server.model.stream(KEYS.log).ids) - 1


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Lend a scene; its threads end with it."""
    one = Scene()
    yield one
    one.process.kill()
    baton.join(one.loop)
    dispose(one.loop)


@pytest.mark.parametrize("cut", FATES)
def test_an_append_says_exactly_what_is_known(scene: Scene, cut: str) -> None:
    """Whatever breaks, an append is ACCEPTED, REFUSED or UNKNOWN, and never the wrong one; nothing is sent twice."""
    status, count = FATES[cut]

    async def work() -> Any:
        streams = scene.streams_async()
        scene.fault = Plan(cut=cut)
        appended = await streams.append_many(KEYS, [TICK, TICK])
        await asyncio.sleep(10)
        assert (await streams.append(KEYS, TICK)).status is ACCEPTED
        return appended

    appended = scene.run(work())
    assert {one.status for one in appended} == {status}
    assert scene.entries() == 2 * count + 1


@pytest.mark.parametrize("cut", FATES)
def test_a_blocking_publish_says_exactly_what_is_known(scene: Scene, cut: str) -> None:
    """The blocking client raises StreamsUnknown for what may be there, and publishes nothing before it has looked."""

    def work(streams: Streams) -> tuple[str, int]:
        scene.fault = Plan(cut=cut)
        entry = (event_id(1, 0), [(b"t", b"1"), (b"p", b"0-0"), (b"a", b""), (b"d", b"[]")])
        try:
            streams.publish(KEYS, [entry], create=True)
            said = "done"
        except StreamsUnknown:
            said = "unknown"
            with pytest.raises(StreamsDown):
                streams.publish(KEYS, [entry], create=True)
        return said, streams.events_tip(KEYS)[0]

    said, tip = scene.blocking(work)
    # One command alone: half of its bytes are no command.
    assert (said, tip) == ("done" if not cut else "unknown", FATES[cut][1])


def test_a_read_waits_and_is_answered_at_once(scene: Scene) -> None:
    """A blocking read gets an entry the moment it is there, and nothing at the end of its time."""

    def work(streams: Streams) -> list[Any]:
        told: list[Any] = [len(streams.read_log(KEYS, 1, 10, 500)), round(scene.loop.time(), 2)]
        scene.loop.call_outside(
            scene.loop.time() + 0.2, scene.server.execute, b"XADD", KEYS.log.encode(), b"*", b"a", b"b"
        )
        told += [streams.read_log(KEYS, 1, 10, 500)[0].seq, round(scene.loop.time(), 2)]
        return told

    assert scene.blocking(work) == [0, 0.5, 2, 0.7]


def test_a_published_message_reaches_who_listens(scene: Scene) -> None:
    """A subscriber gets what is published after it has subscribed, and StreamsDown when the server dies."""

    async def work() -> list[Any]:
        told: list[Any] = []
        scene.loop.call_outside(0.5, scene.server.execute, b"PUBLISH", b"news", b"one")
        scene.loop.call_outside(0.6, scene.server.down)
        messages = scene.streams_async().listen("news")
        told.append(await anext(messages))
        with pytest.raises(StreamsDown):
            await anext(messages)
        return told

    assert scene.run(work()) == [("news", b"one")]


def test_a_server_that_came_back_is_another(scene: Scene) -> None:
    """After a restart nothing that was answered is lost, and nothing is appended before the leader names the server."""

    async def work() -> list[Any]:
        streams = scene.streams_async()
        told: list[Any] = [(await streams.append(KEYS, TICK)).status]
        scene.server.restart("power")
        await asyncio.sleep(0.1)
        told.append((await streams.append(KEYS, TICK)).reason)
        scene.lead()
        told.append((await streams.append(KEYS, TICK)).seq)
        return told

    assert scene.run(work()) == [ACCEPTED, "RUN_ID_NOT_NAMED", 3]


def test_a_hung_server_does_later_what_it_was_told(scene: Scene) -> None:
    """A packet that reached a hung server takes effect when it goes on, although its sender has given up."""

    async def work() -> Any:
        streams = scene.streams_async()
        await streams.append(KEYS, TICK)
        scene.server.hang()
        appended = await streams.append(KEYS, TICK)
        assert scene.entries() == 1
        scene.server.unhang()
        await asyncio.sleep(0.1)
        return appended.status

    assert scene.run(work()) is UNKNOWN
    assert scene.entries() == 2


@pytest.mark.parametrize(("kill", "count"), [("before", 0), ("after", 1)])
def test_a_process_dies_at_an_exchange(scene: Scene, kill: str, count: int) -> None:
    """A process may die before its packet leaves or when its effect is there; either way it never hears of it."""
    told: list[Any] = []

    async def work() -> None:
        streams = scene.streams_async()
        scene.fault = Plan(kill=kill)
        told.append(await streams.append(KEYS, TICK))

    async def watch() -> None:
        scene.process.task(work())
        await asyncio.sleep(20)

    scene.loop.run(watch())
    assert told == [] and not scene.process.alive
    assert scene.entries() == count and not scene.server.sockets


def test_a_server_that_lost_its_tail_gives_numbers_out_again(scene: Scene) -> None:
    """The disaster that witnesses look for: the newest changes are gone, and the next entry takes their number."""

    async def work() -> list[int]:
        streams = scene.streams_async()
        seqs = [(await streams.append(KEYS, TICK)).seq for _ in range(3)]
        scene.server.restart("lost_tail", lose=2)
        scene.lead()
        await asyncio.sleep(2)
        return [*seqs, (await streams.append(KEYS, TICK)).seq]

    seqs = scene.run(work())
    assert seqs[:3] == [2, 3, 4] and seqs[3] == 3
