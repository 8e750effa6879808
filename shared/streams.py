"""
The Redis streams as a few verbs, blocking (Streams, here) and for asyncio (StreamsAsync, in `streams_async.py`).

What is sent and what answers mean stands in `stream_verbs.py`; a transport connects, sends in one piece, reads the
replies, and says exactly what is known when that fails. Nothing is ever sent twice by itself.
`losses` counts connections found broken: whoever reads compares it and checks its witness again when it moved.
"""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import redis

from shared import stream_trimming, stream_values, stream_verbs, stream_views
from shared.stream_client import FAILED, OPTIONS, failed, reply_value
from shared.stream_guard import Client, Conversation, Link, Request, Talk, pack
from shared.stream_keys import (  # noqa: F401 - names that belong to this file's surface
    SEQ_BASE,
    VENUE_POINTER,
    Appended,
    AppendStatus,
    DuplicateId,
    Entry,
    EventsEntry,
    Fields,
    Handover,
    Keys,
    StreamsDown,
    StreamsError,
    StreamsRefused,
    StreamsUnknown,
    event_id,
    events_digest,
    events_fields,
    fields_digest,
    follows,
    log_digest,
    log_id,
    restored_body,
    seq_chunk_of_event_id,
    seq_of_log_id,
)
from shared.stream_raw import RawReader, socket_of
from shared.streams_async import StreamsAsync  # noqa: F401 - the other transport

P = ParamSpec("P")
T = TypeVar("T")


def blocking(verb: Callable[Concatenate[Talk, P], Conversation[T]]) -> "Callable[Concatenate[Streams, P], T]":
    """Return a verb as a method of Streams."""

    @functools.wraps(verb)
    def method(self: "Streams", *args: P.args, **kwargs: P.kwargs) -> T:
        return self.converse(verb(Talk(self.guard, self.link), *args, **kwargs))

    return method


class Streams(Client):
    """The verbs, blocking, on one connection; for one thread."""

    def __init__(self, url: str, connect: Callable[[], Any] | None = None, **options: Any) -> None:
        """Prepare; `connect` gives a connection that is not open yet, in place of the library's."""
        super().__init__(url, **options)
        self.link = Link()
        make = connect or redis.ConnectionPool.from_url(url, socket_timeout=self.timeout_s, **OPTIONS).make_connection
        self.make: Callable[[], Any] = make
        self.connection: Any = make()
        self.raw_reader = RawReader()

    @classmethod
    def connect(cls, url: str, **options: Any) -> "Streams":
        """Return a client whose server answered."""
        streams = cls(url, **options)
        streams.ping()
        return streams

    def twin(self) -> "Streams":
        """Return another client of the same server, which is not connected yet."""
        times = {"clock_us": self.guard.clock_us, "monotonic_s": self.guard.monotonic_s}
        return Streams(self.url, self.make, timeout_s=self.timeout_s, **times)

    def close(self) -> None:
        """Close the connection; the next verb opens it again."""
        self.connection.disconnect()
        self.link.run_id = ""

    def converse(self, conversation: Conversation[T]) -> T:
        """Drive one verb to its result."""
        if self.link.run_id:
            self.stale_drop()  # before anything is believed of a server that may be another by now
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
        self.guarded_check(self.link, request)
        connection = self.connection
        timeout_s = self.patience_s(request)
        replies: list[Any] = []
        try:
            lent = socket_of(connection) if request.raw else None
            if lent is not None:
                return [self.raw_reader.ask(lent, request.commands[0], timeout_s)]
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
        self.stale_drop()
        self.settled_check(request)
        if not connection.is_connected:
            self.link.run_id = ""
            try:
                connection.connect()
            except FAILED as error:
                self.close()
                raise StreamsDown(str(error)) from error

    def stale_drop(self) -> None:
        """Close a connection that the server has closed."""
        try:
            stale = self.connection.is_connected and self.connection.can_read(0)
        except FAILED:
            stale = True
        if stale:
            self.close()
            self.lost()

    ping = blocking(stream_verbs.ping)
    venue = blocking(stream_verbs.venue)
    venue_set = blocking(stream_verbs.venue_set)
    restores = blocking(stream_verbs.restores)
    server_info = blocking(stream_verbs.server_info)
    append = blocking(stream_verbs.append)
    append_many = blocking(stream_verbs.append_many)
    append_engine = blocking(stream_verbs.append_engine)
    genesis = blocking(stream_verbs.genesis)
    read_log = blocking(stream_verbs.read_log)
    read_log_raw = blocking(stream_verbs.read_log_raw)
    range_log = blocking(stream_verbs.range_log)
    log_tip = blocking(stream_verbs.log_tip)
    log_first = blocking(stream_verbs.log_first)
    log_entries = blocking(stream_verbs.log_entries)
    trim = blocking(stream_trimming.trim)
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
    ops_write = blocking(stream_values.ops_write)
    heartbeat = blocking(stream_values.heartbeat)
    heartbeats_read = blocking(stream_values.heartbeats_read)
    leader_read = blocking(stream_values.leader_read)
    leader_write = blocking(stream_values.leader_write)
    views_cursor_read = blocking(stream_views.views_cursor_read)
    views_commit = blocking(stream_views.views_commit)
    views_clear = blocking(stream_views.views_clear)
    views_clear_older = blocking(stream_views.views_clear_older)
    views_generation_read = blocking(stream_views.views_generation_read)
    views_number = blocking(stream_views.views_number)
    views_switch = blocking(stream_views.views_switch)
    views_write = blocking(stream_views.views_write)
    outcomes_write = blocking(stream_views.outcomes_write)
