"""
Bugs put in on purpose, each as a cast of its own: the simulation must find every one of them.

A check that no bug ever trips proves nothing. These are the mistakes that such a venue is most likely to make; each is
a class or function in the place of a shipped one, and does everything else as that one does.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from engine.encode.kept import Commands
from engine.ingest import Machine, Step
from engine.leadership import Leadership
from engine.publish import Last, Publisher
from engine.publish_fast import FastPublisher
from engine.recovery import Recovery, Start
from engine.runner import Runner
from engine.wiring import Engine
from gateway.calls import Call, json_answer
from gateway.routes.trade import send
from gateway.schemas import Operation
from persister.__main__ import Parts as PersisterParts
from persister.__main__ import Persister
from persister.history import CURSOR_MOVE
from persister.trimming import Floors, Trimmer
from shared import stream_verbs, stream_views
from shared.codes import BatchStatus
from shared.stream_guard import Command, Conversation, Request, Talk, ask
from shared.streams import Fields, Keys, Streams, StreamsAsync, StreamsError, blocking, event_id
from shared.streams_async import awaiting
from shared.wire_events import Output
from tests.simulation.cast import SHIPPED, Around, Cast

OWN_ID = re.compile(rb"NOMKSTREAM\r\n\$[0-9]+\r\n[0-9]+-[0-9]+\r\n")
LENGTH_KEPT = 120  # entries that a trimming by length leaves


def changed(conversation: Conversation[Any], change: Callable[[Command], Command]) -> Conversation[Any]:
    """Return what a verb returns whose commands are sent changed."""
    try:
        request = next(conversation)
        while True:
            try:
                replies = yield request._replace(commands=[change(command) for command in request.commands])
            except StreamsError as error:
                request = conversation.throw(error)
            else:
                request = conversation.send(replies)
    except StopIteration as end:
        return end.value


# --- the gateway answers before the log has the instruction


async def send_acknowledged_early(call: Call, operation: Operation, body: dict[str, Any]) -> Response:
    """Answer at once, and send behind the caller's back."""

    async def quietly() -> None:
        with contextlib.suppress(Exception):
            await send(call, operation, body)

    asyncio.get_running_loop().create_task(quietly())
    await asyncio.sleep(0)
    return json_answer(call, {"result": "OK", "request_id": call.key()})


# --- events are published under ids that the server makes up


def publish_star(
    talk: Talk, keys: Keys, entries: Sequence[tuple[bytes, Fields]], create: bool = False
) -> Conversation[None]:
    """Append entries under ids of the server's own."""
    own = {stream_id for stream_id, _ in entries}

    def change(command: Command) -> Command:
        return [b"*" if part in own else part for part in command]

    yield from changed(stream_verbs.publish(talk, keys, entries, create), change)


class StreamsStar(Streams):
    """Publishes with `*`."""

    publish = blocking(publish_star)


class FastPublisherStar(FastPublisher):
    """The same over the engine's own link."""

    def commands_next(self, tip: tuple[int, int]) -> Commands:
        """Return commands without ids of ours."""
        commands = super().commands_next(tip)
        data = OWN_ID.sub(b"NOMKSTREAM\r\n$1\r\n*\r\n", bytes(commands.data))
        return commands._replace(data=memoryview(data))


class EngineStar(Engine):
    """An engine that publishes so."""

    def link_publisher(self, keys: Keys, last: Last) -> tuple[Any, Publisher]:
        """Return the link with that publisher."""
        link, publisher = super().link_publisher(keys, last)
        return link, publisher if link is None else FastPublisherStar(link, self.streams, keys, last)


# --- the engine's loop


class RunnerDropping(Runner):
    """Believes that the leader before has published everything."""

    def lead_applied(self, header: Any) -> None:
        """Take or give up the lead, and forget what was derived before."""
        leading = self.parts.leadership.leading
        super().lead_applied(header)
        if self.parts.leadership.leading and not leading:
            self.parts.publisher.kept.clear()


class RunnerTelling(Runner):
    """Publishes a checkpoint as an event."""

    def checkpoints_append(self, time_us: int) -> None:
        """Append what is durable, and tell it in the events."""
        due = list(self.parts.snapshots.checkpoints_due)
        super().checkpoints_append(time_us)
        publisher, machine = self.parts.publisher, self.parts.machine
        for message in due:
            last = publisher.last()
            chunk = last.chunk + 1 if last.seq == machine.seq else 0
            data = orjson.dumps([{"e": "checkpoint", "seq": message["seq"]}])
            before = event_id(last.seq, last.chunk)
            publisher.keep([Output(machine.seq, chunk, machine.header().log_time_us, before, b"", data)])


def engine_with(kind: type[Runner]) -> type[Engine]:
    """Return an engine whose loop is another."""

    class EngineWith(Engine):
        """An engine with another loop."""

        def runner_build(self, start: Start, leadership: Leadership) -> Runner:
            """Return the other runner, of the same parts."""
            runner = super().runner_build(start, leadership)
            return kind(runner.parts, runner.pid, runner.drain)

    return EngineWith


class MachineCareless(Machine):
    """Takes the bytes of the batch applied last for its own, while the next answer is received over them."""

    def step_end(self, status: BatchStatus, outputs: Sequence[Any], fired: list[tuple[int, int]]) -> Step:
        """Return the step, holding its last entry where it lies."""
        step = super().step_end(status, outputs, fired)
        entries, index = self.entries, self.applied_count - 1
        self.last_entry = lambda: entries[index]
        return step


class EngineCareless(Engine):
    """An engine with that machine."""

    def machine_restore(self, content: dict[str, Any] | None) -> Any:
        """Return the careless machine."""
        machine = super().machine_restore(content)
        machine.__class__ = MachineCareless
        return machine


class EnginePlaceless(Engine):
    """Takes a snapshot for the present: it goes on with whatever the log gets next."""

    def start_find(self, recovery: Recovery, leadership: Leadership) -> Start:
        """Return a start that stands at the end of the log."""
        start = super().start_find(recovery, leadership)
        if start.machine.seq:
            with contextlib.suppress(StreamsError):
                start.machine.seq = max(start.machine.seq, self.streams.log_tip(leadership.keys))
        return start


# --- the persister


class StatementsApart(Around):
    """The statements of a transaction but one, the cursor's move, which is kept for later."""

    def __init__(self, statements: Any) -> None:
        super().__init__(statements)
        self.moves: list[tuple[Any, ...]] = []

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement; the cursor's is only noted."""
        if query == CURSOR_MOVE:
            self.moves.append(arguments)
            return 1
        touched: int = await self.inner.execute(query, *arguments)
        return touched


class CursorApart(Around):
    """A database in which the history's cursor moves after the transaction that stores the rows."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Lend a transaction, and move the cursor when it is over."""
        async with self.inner.transaction() as statements:
            apart = StatementsApart(statements)
            yield apart
        for arguments in apart.moves:
            await self.inner.execute(CURSOR_MOVE, *arguments)


class TrimmerByLength(Trimmer):
    """Keeps the newest entries of both streams, whoever needs older ones."""

    async def turn(self) -> Floors | None:
        """Trim both streams to a length."""
        await self.streams.converse(lambda _link: trimmed_to_length(self.keys))
        return None


def trimmed_to_length(keys: Keys) -> Conversation[None]:
    """Leave the newest entries of both streams."""
    for key in (keys.log, keys.events):
        [rows] = yield from ask(["XREVRANGE", key, "+", "-", "COUNT", LENGTH_KEPT])
        if rows:
            yield Request([["XTRIM", key, "MINID", "~", rows[-1][0], "LIMIT", 10_000]], writes=True)


class PersisterTrimmingByLength(Persister):
    """Trims by length."""

    def parts_build(self) -> PersisterParts:
        """Return the parts with the other trimmer."""
        parts = super().parts_build()
        trimmer = object.__new__(TrimmerByLength)
        trimmer.__dict__.update(parts.trimmer.__dict__)
        return parts._replace(trimmer=trimmer)


def views_commit_unwatched(talk: Talk, *arguments: Any, **options: Any) -> Conversation[bool]:
    """Write views and cursor without having watched the cursor."""

    def change(command: Command) -> Command:
        return ["PING"] if command[0] == "WATCH" else command

    return (yield from changed(stream_views.views_commit(talk, *arguments, **options), change))


class StreamsUnwatched(StreamsAsync):
    """Writes views without WATCH."""

    views_commit = awaiting(views_commit_unwatched)


PLANTED: dict[str, Cast] = {
    "ack_before_append": SHIPPED._replace(send=send_acknowledged_early),
    "publish_star_ids": SHIPPED._replace(streams=StreamsStar, engine=EngineStar),
    "drop_kept_at_handover": SHIPPED._replace(engine=engine_with(RunnerDropping)),
    "reused_buffer": SHIPPED._replace(engine=EngineCareless),  # shows on the fast way alone
    "checkpoint_event": SHIPPED._replace(engine=engine_with(RunnerTelling)),
    "snapshot_without_position": SHIPPED._replace(engine=EnginePlaceless),
    "cursor_outside_transaction": SHIPPED._replace(database=CursorApart),
    "trim_maxlen": SHIPPED._replace(persister=PersisterTrimmingByLength),
    "views_without_watch": SHIPPED._replace(streams_async=StreamsUnwatched),
}
CASTS: dict[str, Cast] = {"": SHIPPED, **PLANTED}
