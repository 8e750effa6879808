"""
The verbs of the streams as coroutines: the asyncio transport, re-exported by `streams.py`.

Like the blocking one it sends in one piece, says exactly what is known when that fails, and sends nothing twice.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import redis
import redis.asyncio

from shared import stream_trimming, stream_values, stream_verbs, stream_views
from shared.stream_client import AWAY, CONNECT_TIMEOUT_S, FAILED, OPTIONS, failed, reply_value
from shared.stream_guard import Client, Conversation, Link, Request, ServerError, Talk, guard_check, guard_holds, pack
from shared.stream_keys import Appended, AppendStatus, Fields, Handover, Keys, StreamsDown, StreamsError
from shared.stream_pipe import Pipe
from shared.stream_verbs import append_command
from shared.stream_wire import Wire, wire_of

CONNECTIONS_MAX = 48  # each for one verb at a time

P = ParamSpec("P")
T = TypeVar("T")


def awaiting(
    verb: Callable[Concatenate[Talk, P], Conversation[T]],
) -> "Callable[Concatenate[StreamsAsync, P], Coroutine[Any, Any, T]]":
    """Return a verb as a coroutine method of StreamsAsync."""

    @functools.wraps(verb)
    async def method(self: "StreamsAsync", *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.converse(lambda link: verb(Talk(self.guard, link), *args, **kwargs))

    return method


class StreamsAsync(Client):
    """
    The verbs as coroutines; each verb has a connection to itself while it runs, idle ones are used again.

    Single entries that may go out at once share one (`append_send`).
    """

    def __init__(self, url: str, connect: Callable[[], Any] | None = None, **options: Any) -> None:
        """Prepare; `connect` gives a connection that is not open yet, in place of the library's."""
        super().__init__(url, **options)
        self.make = (
            connect or redis.asyncio.ConnectionPool.from_url(url, socket_timeout=None, **OPTIONS).make_connection
        )
        self.idle: list[tuple[Any, Link]] = []
        self.room = asyncio.Semaphore(CONNECTIONS_MAX)
        self.closed = False
        self.piped: tuple[Pipe, Any, Link] | None = None  # for single entries: the connection and what is known of it

    @classmethod
    async def connect(cls, url: str, **options: Any) -> "StreamsAsync":
        """Return a client whose server answered."""
        streams = cls(url, **options)
        await streams.ping()
        return streams

    async def close(self) -> None:
        """Close the idle connections and that of single entries; one in use is closed when its verb ends."""
        self.closed = True
        if self.piped is not None:
            (_pipe, connection, _link), self.piped = self.piped, None
            await hang_up(connection)
        while self.idle:
            connection, _link = self.idle.pop()
            await hang_up(connection)

    async def append(
        self, keys: Keys, fields: Fields, deadline_s: float = math.inf, handover: Handover | None = None
    ) -> Appended:
        """Append one entry, as `stream_verbs.append`; having found no connection in time is REFUSED as well."""
        if self.piped is not None and self.piped[0].ended:
            (_pipe, connection, _link), self.piped = self.piped, None
            await hang_up(connection)
            self.lost()
        try:
            return await self.converse(
                lambda link: stream_verbs.append(Talk(self.guard, link), keys, fields, deadline_s, handover),
                deadline_s,
            )
        except StreamsDown:
            return Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")

    def append_send(self, keys: Keys, fields: Fields) -> "asyncio.Future[Any] | None":
        """
        Send one entry at once and return the future of the server's reply (`append_outcome` says what it means).

        None, and nothing was sent, where something stands in the way: the server has to be looked at, no connection
        is at hand, too many are unanswered. `append` is for all that. The future fails with an OSError when no reply
        comes; it may be cancelled at any time.
        """
        if self.piped is None:
            self.piped = self.pipe_take()
            if self.piped is None:
                return None
        pipe, _connection, link = self.piped
        if link.run_id != self.guard.run_id_named and not pipe.waiting:
            pipe.end(ConnectionError("the leader names another server"))
        if not pipe.open or not guard_holds(Talk(self.guard, link), keys):
            return None
        return pipe.send(pack([append_command(keys, fields)]))

    def pipe_take(self) -> tuple[Pipe, Any, Link] | None:
        """Return an idle connection whose server was looked at as one for single entries, None when none is at hand."""
        for index, (connection, link) in enumerate(self.idle):
            if link.run_id and link.wire is not None and not link.wire.stale:
                del self.idle[index]
                return Pipe(link.wire, self.timeout_s), connection, link
        return None

    async def converse(self, verb: Callable[[Link], Conversation[T]], deadline_s: float = math.inf) -> T:
        """Drive one verb to its result on one connection; StreamsDown when none gets free in time."""
        if self.room.locked():
            await self.room_wait(deadline_s)
        else:
            await self.room.acquire()  # at once
        try:
            connection, link = await self.take()
            conversation = verb(link)
            try:
                request = next(conversation)
                while True:
                    try:
                        replies = await self.exchange(connection, link, request)
                    except StreamsError as error:
                        request = conversation.throw(error)
                    else:
                        request = conversation.send(replies)
            except StopIteration as end:
                return end.value
            finally:
                if self.closed:
                    await hang_up(connection)
                elif connection.is_connected:
                    self.idle.append((connection, link))
        finally:
            self.room.release()

    async def room_wait(self, deadline_s: float) -> None:
        """Have room for one more connection; StreamsDown when none gets free in time."""
        try:
            async with asyncio.timeout(min(self.timeout_s, deadline_s - self.guard.monotonic_s())):
                await self.room.acquire()
        except TimeoutError:
            raise StreamsDown("no connection got free in time") from None

    async def take(self) -> tuple[Any, Link]:
        """Return an idle connection that is still alive, or a new one that is not open yet."""
        while self.idle:
            connection, link = self.idle.pop()
            try:
                stale = link.wire.stale if link.wire is not None else await connection.can_read()
            except FAILED:
                stale = True
            except BaseException:
                # Cancelled while asking: it is nobody's any more.
                await hang_up(connection)
                raise
            if not stale:
                return connection, link
            await hang_up(connection)
            self.lost()
        return self.make(), Link()

    async def exchange(self, connection: Any, link: Link, request: Request) -> list[Any]:
        """Return the replies to one request; StreamsDown when it was certainly not applied."""
        self.settled_check(request)
        await self.open(connection, link, request.deadline_s)
        self.guarded_check(link, request)
        if link.wire is not None and link.wire.stale:
            await hang_up(connection)
            self.lost()
            raise StreamsDown("not sent: the connection has ended")
        patience_s = self.patience_s(request)
        replies: list[Any] = []
        try:
            if link.wire is not None:
                replies = await wire_replies(link.wire, request, patience_s)
            else:
                async with asyncio.timeout(patience_s):
                    await library_replies(connection, request, replies)
        except FAILED as error:
            await hang_up(connection)
            return failed(self, request, replies, error)
        except BaseException:
            # Cancelled in the middle: an answer may still come, and would be taken for that of the next verb.
            await hang_up(connection)
            raise
        self.settled = self.settled or request.settles
        return replies

    async def open(self, connection: Any, link: Link, deadline_s: float = math.inf, lend: bool = True) -> None:
        """Have the connection open; `lend`: its replies are read by ourselves, where it lends its transport."""
        if connection.is_connected:
            return
        link.run_id, link.wire = "", None
        try:
            async with asyncio.timeout(min(CONNECT_TIMEOUT_S, deadline_s - self.guard.monotonic_s())):
                await connection.connect()
        except FAILED as error:
            await hang_up(connection)
            raise StreamsDown(str(error) or "no connection in time") from error
        except BaseException:
            await hang_up(connection)
            raise
        if lend:
            link.wire = wire_of(connection)

    async def listen(self, *channels: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Yield (channel, message) of what is published from now on; raises StreamsDown when the connection is lost."""
        connection = self.make()
        await self.open(connection, Link(), lend=False)
        try:
            await connection.send_packed_command([pack([["SUBSCRIBE", *channels]])], check_health=False)
            while True:
                kind, channel, message = await connection.read_response(disable_decoding=True, timeout=math.inf)
                if kind == b"message":
                    yield channel.decode(), message
        except FAILED as error:
            self.lost()
            raise StreamsDown(str(error)) from error
        finally:
            await hang_up(connection)

    guard_check = awaiting(guard_check)
    ping = awaiting(stream_verbs.ping)
    venue = awaiting(stream_verbs.venue)
    venue_set = awaiting(stream_verbs.venue_set)
    restores = awaiting(stream_verbs.restores)
    server_info = awaiting(stream_verbs.server_info)
    append_many = awaiting(stream_verbs.append_many)
    append_engine = awaiting(stream_verbs.append_engine)
    genesis = awaiting(stream_verbs.genesis)
    read_log = awaiting(stream_verbs.read_log)
    range_log = awaiting(stream_verbs.range_log)
    log_tip = awaiting(stream_verbs.log_tip)
    log_first = awaiting(stream_verbs.log_first)
    log_entries = awaiting(stream_verbs.log_entries)
    trim = awaiting(stream_trimming.trim)
    publish = awaiting(stream_verbs.publish)
    read_events = awaiting(stream_verbs.read_events)
    range_events = awaiting(stream_verbs.range_events)
    events_tip = awaiting(stream_verbs.events_tip)
    events_first = awaiting(stream_verbs.events_first)
    get_json = awaiting(stream_values.get_json)
    set_json = awaiting(stream_values.set_json)
    delete = awaiting(stream_values.delete)
    hash_read = awaiting(stream_values.hash_read)
    view_markets_write = awaiting(stream_values.view_markets_write)
    ops_write = awaiting(stream_values.ops_write)
    heartbeat = awaiting(stream_values.heartbeat)
    heartbeats_read = awaiting(stream_values.heartbeats_read)
    leader_read = awaiting(stream_values.leader_read)
    leader_write = awaiting(stream_values.leader_write)
    views_cursor_read = awaiting(stream_views.views_cursor_read)
    views_commit = awaiting(stream_views.views_commit)
    views_clear = awaiting(stream_views.views_clear)
    views_clear_older = awaiting(stream_views.views_clear_older)
    views_generation_read = awaiting(stream_views.views_generation_read)
    views_number = awaiting(stream_views.views_number)
    views_switch = awaiting(stream_views.views_switch)
    views_write = awaiting(stream_views.views_write)
    outcomes_write = awaiting(stream_views.outcomes_write)


async def wire_replies(wire: Wire, request: Request, patience_s: float) -> list[Any]:
    """Return the replies to one request; raises OSError when they do not come whole."""
    replies = await wire.ask(pack(request.commands), len(request.commands), patience_s)
    for reply in replies[:-1]:
        if isinstance(reply, ServerError) and reply.code in AWAY:
            raise ConnectionError(f"{reply.code} {reply.text}")
    return replies


async def library_replies(connection: Any, request: Request, replies: list[Any]) -> None:
    """Put the replies to one request into a list as the client library reads them."""
    await connection.send_packed_command([pack(request.commands)], check_health=False)
    while len(replies) < len(request.commands):
        try:
            reply = await connection.read_response(disable_decoding=True, timeout=math.inf)
        except redis.exceptions.ResponseError as error:
            reply = error
        replies.append(reply_value(reply))


async def hang_up(connection: Any) -> None:
    """Close a connection, whatever state it is in."""
    with contextlib.suppress(*FAILED):
        await connection.disconnect(nowait=True)
