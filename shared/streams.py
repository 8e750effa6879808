"""
The Redis streams as a few verbs, blocking (Streams) and for asyncio (StreamsAsync); the only user of the client.

What is sent and what answers mean stands in `stream_verbs.py`; here are the two transports: connect, send in one
piece, read the replies, and say exactly what is known when that fails. Nothing is ever sent twice by itself.
`losses` counts connections found broken: whoever reads compares it and checks its witness again when it moved.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import stream_values, stream_verbs
from shared.stream_guard import Client, Conversation, Link, Request, ServerError, Talk, pack, unanswered
from shared.stream_keys import (  # noqa: F401 - names that belong to this file's surface
    SEQ_BASE,
    VENUE_POINTER,
    Appended,
    AppendStatus,
    DuplicateId,
    Entry,
    EventsEntry,
    Fields,
    Keys,
    StreamsDown,
    StreamsError,
    StreamsRefused,
    StreamsUnknown,
    event_id,
    events_digest,
    events_fields,
    fields_digest,
    log_digest,
    log_id,
    seq_chunk_of_event_id,
    seq_of_log_id,
)

CONNECT_TIMEOUT_S = 2.0
CONNECTIONS_MAX = 64

P = ParamSpec("P")
T = TypeVar("T")

# The client takes these for lost connections; in truth the server answered, and applied nothing.
ANSWERED = (redis.exceptions.BusyLoadingError, redis.exceptions.AuthenticationError)
FAILED = (redis.exceptions.RedisError, OSError)
CODES: dict[type[Exception], str] = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.AuthenticationError: "NOAUTH",
    redis.exceptions.ExecAbortError: "EXECABORT",
}
OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "driver_info": None,
    "retry": Retry(NoBackoff(), 0),  # the client's own would send an XADD twice
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
}


def server_error(error: Exception) -> ServerError:
    """Return an error reply by its code; the client strips those it knows from the text."""
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return ServerError(code, str(error))
    first, _, rest = str(error).partition(" ")
    return ServerError(first, rest) if first.isupper() and first.isalpha() else ServerError("ERR", str(error))


def reply_value(reply: Any) -> Any:
    """Return a reply with the error replies inside it as values."""
    if isinstance(reply, Exception):
        return server_error(reply)
    if isinstance(reply, list) and any(isinstance(item, Exception) for item in reply):
        return [reply_value(item) for item in reply]
    return reply


def failed(client: Client, request: Request, replies: list[Any], error: Exception) -> list[Any]:
    """Return the replies when the server did answer all the same; otherwise raise what is known."""
    if isinstance(error, ANSWERED) and len(replies) + 1 == len(request.commands):
        return [*replies, server_error(error)]
    client.lost()
    raise unanswered(request, error) from error


def blocking(verb: Callable[Concatenate[Talk, P], Conversation[T]]) -> "Callable[Concatenate[Streams, P], T]":
    """Return a verb as a method of Streams."""

    @functools.wraps(verb)
    def method(self: "Streams", *args: P.args, **kwargs: P.kwargs) -> T:
        return self.converse(verb(Talk(self.guard, self.link), *args, **kwargs))

    return method


def awaiting(
    verb: Callable[Concatenate[Talk, P], Conversation[T]],
) -> "Callable[Concatenate[StreamsAsync, P], Coroutine[Any, Any, T]]":
    """Return a verb as a coroutine method of StreamsAsync."""

    @functools.wraps(verb)
    async def method(self: "StreamsAsync", *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.converse(lambda link: verb(Talk(self.guard, link), *args, **kwargs))

    return method


class Streams(Client):
    """The verbs, blocking, on one connection; for one thread."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.link = Link()
        pool = redis.ConnectionPool.from_url(url, socket_timeout=self.timeout_s, **OPTIONS)
        self.connection: Any = pool.make_connection()

    @classmethod
    def connect(cls, url: str, **options: Any) -> "Streams":
        """Return a client whose server answered."""
        streams = cls(url, **options)
        streams.ping()
        return streams

    def close(self) -> None:
        """Close the connection; the next verb opens it again."""
        self.connection.disconnect()
        self.link.run_id = ""

    def converse(self, conversation: Conversation[T]) -> T:
        """Drive one verb to its result."""
        try:
            request = next(conversation)
            while True:
                try:
                    replies = self.exchange(request)
                except StreamsError as error:
                    request = conversation.throw(error)
                else:
                    request = conversation.send(replies)
        except StopIteration as end:
            return end.value

    def exchange(self, request: Request) -> list[Any]:
        """Return the replies to one request; StreamsDown when it was certainly not applied."""
        self.open(request)
        connection = self.connection
        timeout_s = self.patience_s(request)
        replies: list[Any] = []
        try:
            connection.send_packed_command([pack(request.commands)], check_health=False)
            while len(replies) < len(request.commands):
                try:
                    reply = connection.read_response(disable_decoding=True, timeout=timeout_s)
                except redis.exceptions.ResponseError as error:
                    reply = error
                replies.append(reply_value(reply))
        except FAILED as error:
            self.close()
            return failed(self, request, replies, error)
        except BaseException:
            self.close()
            raise
        self.settled = self.settled or request.settles
        return replies

    def open(self, request: Request) -> None:
        """Have a live connection; one that the server closed meanwhile is noticed before anything is sent on it."""
        connection = self.connection
        try:
            stale = connection.is_connected and connection.can_read(0)
        except FAILED:
            stale = True
        if stale:
            self.close()
            self.lost()
        self.settled_check(request)
        if not connection.is_connected:
            self.link.run_id = ""
            try:
                connection.connect()
            except FAILED as error:
                self.close()
                raise StreamsDown(str(error)) from error

    ping = blocking(stream_verbs.ping)
    venue = blocking(stream_verbs.venue)
    venue_set = blocking(stream_verbs.venue_set)
    server_info = blocking(stream_verbs.server_info)
    append = blocking(stream_verbs.append)
    append_many = blocking(stream_verbs.append_many)
    append_engine = blocking(stream_verbs.append_engine)
    genesis = blocking(stream_verbs.genesis)
    read_log = blocking(stream_verbs.read_log)
    range_log = blocking(stream_verbs.range_log)
    log_tip = blocking(stream_verbs.log_tip)
    log_first = blocking(stream_verbs.log_first)
    publish = blocking(stream_verbs.publish)
    read_events = blocking(stream_verbs.read_events)
    range_events = blocking(stream_verbs.range_events)
    events_tip = blocking(stream_verbs.events_tip)
    events_first = blocking(stream_verbs.events_first)
    get_json = blocking(stream_values.get_json)
    set_json = blocking(stream_values.set_json)
    delete = blocking(stream_values.delete)
    hash_read = blocking(stream_values.hash_read)
    view_markets_write = blocking(stream_values.view_markets_write)
    heartbeat = blocking(stream_values.heartbeat)
    leader_read = blocking(stream_values.leader_read)
    leader_write = blocking(stream_values.leader_write)
    views_cursor_read = blocking(stream_values.views_cursor_read)
    views_commit = blocking(stream_values.views_commit)
    views_clear = blocking(stream_values.views_clear)


class StreamsAsync(Client):
    """The verbs as coroutines; each verb has a connection to itself while it runs, idle ones are used again."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.pool = redis.asyncio.ConnectionPool.from_url(url, socket_timeout=None, **OPTIONS)
        self.idle: list[tuple[Any, Link]] = []
        self.room = asyncio.Semaphore(CONNECTIONS_MAX)
        self.closed = False

    @classmethod
    async def connect(cls, url: str, **options: Any) -> "StreamsAsync":
        """Return a client whose server answered."""
        streams = cls(url, **options)
        await streams.ping()
        return streams

    async def close(self) -> None:
        """Close the idle connections; one in use is closed when its verb ends."""
        self.closed = True
        while self.idle:
            connection, _link = self.idle.pop()
            await hang_up(connection)

    async def append(self, keys: Keys, fields: Fields, deadline_s: float = math.inf) -> Appended:
        """Append one entry, as `stream_verbs.append`; having found no connection in time is REFUSED as well."""
        try:
            return await self.converse(
                lambda link: stream_verbs.append(Talk(self.guard, link), keys, fields, deadline_s), deadline_s
            )
        except StreamsDown:
            return Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")

    async def converse(self, verb: Callable[[Link], Conversation[T]], deadline_s: float = math.inf) -> T:
        """Drive one verb to its result on one connection; StreamsDown when none gets free in time."""
        try:
            async with asyncio.timeout(min(self.timeout_s, deadline_s - self.guard.monotonic_s())):
                await self.room.acquire()
        except TimeoutError:
            raise StreamsDown("no connection got free in time") from None
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

    async def take(self) -> tuple[Any, Link]:
        """Return an idle connection that is still alive, or a new one that is not open yet."""
        while self.idle:
            connection, link = self.idle.pop()
            try:
                stale = await connection.can_read()
            except FAILED:
                stale = True
            if not stale:
                return connection, link
            await hang_up(connection)
            self.lost()
        return self.pool.make_connection(), Link()

    async def exchange(self, connection: Any, link: Link, request: Request) -> list[Any]:
        """Return the replies to one request; StreamsDown when it was certainly not applied."""
        self.settled_check(request)
        await self.open(connection, link, request.deadline_s)
        patience_s = self.patience_s(request)
        replies: list[Any] = []
        try:
            async with asyncio.timeout(patience_s):
                await connection.send_packed_command([pack(request.commands)], check_health=False)
                while len(replies) < len(request.commands):
                    try:
                        reply = await connection.read_response(disable_decoding=True, timeout=math.inf)
                    except redis.exceptions.ResponseError as error:
                        reply = error
                    replies.append(reply_value(reply))
        except FAILED as error:
            await hang_up(connection)
            return failed(self, request, replies, error)
        except BaseException:
            # Cancelled in the middle: an answer may still come, and would be taken for that of the next verb.
            await hang_up(connection)
            raise
        self.settled = self.settled or request.settles
        return replies

    async def open(self, connection: Any, link: Link, deadline_s: float = math.inf) -> None:
        """Have the connection open."""
        if connection.is_connected:
            return
        link.run_id = ""
        try:
            async with asyncio.timeout(min(CONNECT_TIMEOUT_S, deadline_s - self.guard.monotonic_s())):
                await connection.connect()
        except FAILED as error:
            await hang_up(connection)
            raise StreamsDown(str(error) or "no connection in time") from error
        except BaseException:
            await hang_up(connection)
            raise

    async def listen(self, *channels: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (channel, message) of what is published from now on; raises StreamsDown when the connection is lost."""
        connection = self.pool.make_connection()
        await self.open(connection, Link())
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

    ping = awaiting(stream_verbs.ping)
    venue = awaiting(stream_verbs.venue)
    venue_set = awaiting(stream_verbs.venue_set)
    server_info = awaiting(stream_verbs.server_info)
    append_many = awaiting(stream_verbs.append_many)
    append_engine = awaiting(stream_verbs.append_engine)
    genesis = awaiting(stream_verbs.genesis)
    read_log = awaiting(stream_verbs.read_log)
    range_log = awaiting(stream_verbs.range_log)
    log_tip = awaiting(stream_verbs.log_tip)
    log_first = awaiting(stream_verbs.log_first)
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
    heartbeat = awaiting(stream_values.heartbeat)
    leader_read = awaiting(stream_values.leader_read)
    leader_write = awaiting(stream_values.leader_write)
    views_cursor_read = awaiting(stream_values.views_cursor_read)
    views_commit = awaiting(stream_values.views_commit)
    views_clear = awaiting(stream_values.views_clear)


async def hang_up(connection: Any) -> None:
    """Close a connection, whatever state it is in."""
    with contextlib.suppress(*FAILED):
        await connection.disconnect(nowait=True)
