"""
Rare bugs, which random seeds meet seldom, each with the story in which it shows: who stops where, and what then.

A story is a script in the place of the seed's faults; the same story with the shipped classes must end well.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

from engine.ingest import Machine
from engine.leadership import Leadership
from engine.log_source import LogSource
from engine.publish import Publisher
from engine.recovery import Start
from engine.rows import SNAPSHOT_UPSERT
from engine.runner import Runner
from engine.snapshots import Snapshots
from engine.wiring import Engine
from engine.writer import RowDesk
from tests.simulation.cast import SHIPPED, Around, Cast
from tests.simulation.faults import Faults
from tests.simulation.loop import Process
from tests.simulation.processes import Child
from tests.simulation.redis_wire import Packet
from tests.simulation.redis_wire import Plan as RedisPlan
from tests.simulation.world import Plan

LONG_S = 40.0  # within which every story has come to its end
SEQ_MAX = 2**62
STORY = Plan(trouble_s=LONG_S, inputs_min=1, engines=2, wall_rate=3)
ALONE = STORY._replace(engines=1)


class Script(Faults, ABC):
    """A story: nothing goes wrong by chance."""

    async def run(self, end_s: float) -> None:
        """Tell the story, which ends in time."""
        async with asyncio.timeout(end_s):
            await self.story()

    @abstractmethod
    async def story(self) -> None:
        """Do what the story does."""

    async def until(self, holds: Any) -> Any:
        """Return what `holds` gives as soon as it gives something."""
        while True:
            if found := holds():
                return found
            await asyncio.sleep(0.01)

    def standby(self) -> Child | None:
        """Return an engine that follows, once another leads."""
        if self.deeds.leader() is None:
            return None
        return next((child for child, _ in self.world.runners() if not self.world.leads(child)), None)

    def log_first(self) -> int:
        """Return the oldest entry that the log holds."""
        log = self.world.looks.stream(self.world.keys.log)
        return int(log[0][0].partition(b"-")[2]) if log else 0


# --- no check that the log goes on with the next number


class MachineTrusting(Machine):
    """Takes whatever comes next for the next."""

    def load(self, entries: Sequence[Any]) -> None:
        """Take entries, and let nobody see that some are missing before them."""
        if entries and entries[0].seq > self.seq + 1:
            self.seq = entries[0].seq - 1
        super().load(entries)


class EngineOfLogAlone(Engine):
    """An engine that has no archive to read what was trimmed from."""

    def runner_build(self, start: Start, leadership: Leadership) -> Runner:
        """Return a runner that reads the log alone."""
        runner = super().runner_build(start, leadership)
        parts = runner.parts._replace(source=LogSource(self.streams, leadership.keys, None))
        return Runner(parts, runner.pid, runner.drain)


class EngineTrusting(EngineOfLogAlone):
    """The same, and it does not look at the numbers of what it reads."""

    def machine_restore(self, content: dict[str, Any] | None) -> Any:
        """Return a machine that trusts."""
        machine = super().machine_restore(content)
        machine.__class__ = MachineTrusting
        return machine


class StandbyBehindTrim(Script):
    """A standby stands still until the log was trimmed beyond what it has read."""

    async def story(self) -> None:
        child = await self.until(self.standby)
        child.process.stop()
        seq = child.end.runner.parts.machine.seq
        await self.until(lambda: self.log_first() > seq + 1)
        child.process.go_on()
        await asyncio.sleep(5.0)


# --- an upsert of the snapshot's row without a condition


class StatementsUnguarded(Around):
    """The statements of a transaction in which the upsert's condition always holds."""

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        """Return the row of a query."""
        if query == SNAPSHOT_UPSERT:
            arguments = (*arguments[:2], SEQ_MAX)
        return await self.inner.fetchrow(query, *arguments)


class DatabaseUnguarded(Around):
    """A connection on which a snapshot replaces whatever row is there."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Lend a transaction that asks for nothing."""
        async with self.inner.transaction() as statements:
            yield StatementsUnguarded(statements)


class RowDeskUnguarded(RowDesk):
    """Writes the row whatever stands there."""

    def __init__(self, connect: Any, *arguments: Any, **options: Any) -> None:
        async def connected() -> DatabaseUnguarded:
            return DatabaseUnguarded(await connect())

        super().__init__(connected, *arguments, **options)


class WriterLate(Script):
    """A leader stands still between the file of its snapshot and the row; another leads on and writes newer ones."""

    def statement(self, process: Process, name: str, moment: str) -> Any:
        """Stop the first leader when it is about to write its second snapshot's row."""
        plan = super().statement(process, name, moment)
        if name.startswith("SELECT venue, seq FROM engine_snapshots") and self.armed and self.caught is None:
            self.caught = process
            self.world.loop.call_outside(self.world.loop.time() + plan.delay_s / 2, process.stop)
        return plan

    armed = False
    caught: Process | None = None

    async def story(self) -> None:
        await self.until(lambda: self.world.looks.rows("engine_snapshots"))
        self.armed = True
        process = await self.until(lambda: self.caught)
        stopped_seq = self.row_seq()
        await self.until(lambda: self.row_seq() > stopped_seq)
        process.go_on()
        await asyncio.sleep(2.0)

    def row_seq(self) -> int:
        """Return the entry of the snapshot in the one row."""
        return max((row["seq"] for row in self.world.looks.rows("engine_snapshots")), default=0)


# --- a snapshot that is handed over before its outputs are out


class PublisherSettled:
    """A publisher all of whose outputs are believed to be in the stream."""

    def settled(self, _seq: int) -> bool:
        """Return what is hoped for."""
        return True


class RunnerHasty(Runner):
    """Hands a keyframe over as soon as it is copied."""

    def header_act(self) -> None:
        """Do what the entry asks for, and have the snapshot written at once."""
        super().header_act()
        leading = self.parts.leadership.leading
        self.parts.snapshots.hand_over(PublisherSettled(), leading)  # type: ignore[arg-type]


class EngineHasty(Engine):
    """An engine with that loop."""

    def runner_build(self, start: Start, leadership: Leadership) -> Runner:
        """Return the hasty runner."""
        runner = super().runner_build(start, leadership)
        return RunnerHasty(runner.parts, runner.pid, runner.drain)


class DiesBeforePublishing(Script):
    """A leader has copied a keyframe; what it publishes next never arrives, and then it dies."""

    caught: Process | None = None

    def exchange(self, process: Process, packet: Packet) -> RedisPlan:
        """Lose the packet that carries the outputs of a keyframe just copied."""
        plan = super().exchange(process, packet)
        if self.caught is None and self.publishes_keyframe(process, packet):
            self.caught = process
            return plan._replace(cut="lost")
        return plan

    def publishes_keyframe(self, process: Process, packet: Packet) -> bool:
        """Return whether the packet carries outputs that a held copy of the state has in it."""
        events = self.world.keys.events.encode()
        if not any(command[0] == b"XADD" and command[1] == events for command in packet.commands):
            return False
        for child, runner in self.world.runners():
            if child.process is process:
                snapshots: Snapshots = runner.parts.snapshots
                publisher: Publisher = runner.parts.publisher
                held = snapshots.held
                return held is not None and bool(publisher.kept) and publisher.kept[0].seq <= held.seq
        return False

    async def story(self) -> None:
        process = await self.until(lambda: self.caught)
        await asyncio.sleep(0.3)  # long enough for a file that is written too early
        process.kill()
        await asyncio.sleep(4.0)


STORIES: dict[str, tuple[Plan, type[Script], Cast, Cast]] = {
    "no_gap_check": (
        STORY,
        StandbyBehindTrim,
        SHIPPED._replace(engine=EngineTrusting),
        SHIPPED._replace(engine=EngineOfLogAlone),
    ),
    "upsert_unconditional": (STORY, WriterLate, SHIPPED._replace(rows=RowDeskUnguarded), SHIPPED),
    "snapshot_before_emission": (ALONE, DiesBeforePublishing, SHIPPED._replace(engine=EngineHasty), SHIPPED),
}
