"""
Writes that nobody waits for, on a connection of their own: heartbeats, market views, the signs of life of a process.

What they say is said again within a second, so an answer only matters when it is an error. It is looked at with the
next write or look; one that does not come in time counts as a lost connection of the client beside which this stands.
"""

import contextlib
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared import stream_values
from shared.stream_client import ERROR_REPLY, FAILED, reply_value
from shared.stream_guard import Conversation, Request, Talk, pack
from shared.stream_keys import Keys, StreamsDown

UNDER_WAY_MAX = 64  # answers that are not here yet; with one more write the oldest is waited for
BYTES_MAX = 1 << 20  # of the writes that they answer


class Sent(NamedTuple):
    """A write that was sent and whose answer nobody has looked at."""

    conversation: Conversation[None]
    request: Request
    bytes_count: int
    sent_s: float


class Aside:
    """The verbs that only write, for the thread of one blocking client; they return as soon as the write is sent."""

    def __init__(self, streams: Any) -> None:
        """Prepare beside a client (shared.streams.Streams); the connection is opened with the first write."""
        self.streams = streams
        self.twin: Any = None
        self.under_way: deque[Sent] = deque()
        self.bytes_count = 0

    def leader_read(self, keys: Keys) -> dict[str, Any] | None:
        """Return what the client itself reads: this one waits, on the client's connection."""
        heartbeat: dict[str, Any] | None = self.streams.leader_read(keys)
        return heartbeat

    def leader_write(self, keys: Keys, payload: Mapping[str, Any]) -> None:
        """Send the leader's heartbeat."""
        self.send(stream_values.leader_write(self.talk(), keys, payload))

    def heartbeat(self, keys: Keys, name: str, payload: Mapping[str, Any]) -> None:
        """Send the sign of life of this process."""
        self.send(stream_values.heartbeat(self.talk(), keys, name, payload))

    def view_markets_write(self, keys: Keys, views: Mapping[str, Mapping[str, str]]) -> None:
        """Send the views of markets."""
        self.send(stream_values.view_markets_write(self.talk(), keys, views))

    def ops_write(self, keys: Keys, fields: Mapping[str, str]) -> None:
        """Send what operators are told."""
        self.send(stream_values.ops_write(self.talk(), keys, fields))

    def look(self) -> None:
        """
        Take the answers that have come, without waiting for one.

        Raises StreamsRefused for an error that the server answered, StreamsDown when the connection was lost or an
        answer is late; the client is told of the loss.
        """
        if not self.under_way:
            return
        try:
            while self.under_way and self.twin.connection.can_read(0):
                self.answer_take()
            late_s = self.streams.guard.monotonic_s() - self.streams.timeout_s
            if self.under_way and self.under_way[0].sent_s < late_s:
                raise TimeoutError("no answer to what was written aside")
        except FAILED as error:
            raise self.lost(error) from error

    def settle(self) -> None:
        """Wait until everything that was sent is answered; raises as `look` does."""
        self.answers_wait(0, 0)

    def close(self) -> None:
        """Hang up and forget what is under way; the next write opens a connection again."""
        self.under_way.clear()
        self.bytes_count = 0
        if self.twin is not None:
            self.twin.close()
            self.twin = None

    # -- parts

    def talk(self) -> Talk:
        """Return what a verb may look at."""
        return Talk(self.streams.guard, self.streams.link)

    def send(self, conversation: Conversation[None]) -> None:
        """Send what a verb writes; raises what became of earlier ones, and StreamsDown when this one was not sent."""
        request = next(conversation)
        data = pack(request.commands)
        self.look()
        self.answers_wait(UNDER_WAY_MAX - 1, BYTES_MAX - len(data))
        try:
            if self.twin is None:
                self.twin = self.streams.twin()
            if not self.twin.connection.is_connected:
                self.twin.open(request)
            self.twin.connection.send_packed_command([data], check_health=False)
        except (StreamsDown, *FAILED) as error:
            raise self.lost(error) from error
        except BaseException:
            self.close()
            raise
        self.under_way.append(Sent(conversation, request, len(data), self.streams.guard.monotonic_s()))
        self.bytes_count += len(data)

    def answers_wait(self, count_max: int, bytes_max: int) -> None:
        """Wait for the oldest answers until no more than this is under way."""
        try:
            while self.under_way and (len(self.under_way) > count_max or self.bytes_count > bytes_max):
                self.answer_take()
        except FAILED as error:
            raise self.lost(error) from error

    def answer_take(self) -> None:
        """Take the oldest answer, waiting for it where it has not come; an error in it is raised by its verb."""
        sent = self.under_way[0]
        replies: list[Any] = []
        try:
            while len(replies) < len(sent.request.commands):
                replies.append(self.reply_take())
        except BaseException:
            self.twin.close()
            raise
        self.under_way.popleft()
        self.bytes_count -= sent.bytes_count
        with contextlib.suppress(StopIteration):
            sent.conversation.send(replies)
            raise AssertionError("a verb beside the client asks once")

    def reply_take(self) -> Any:
        """Return the next reply, an error as a value."""
        try:
            reply = self.twin.connection.read_response(disable_decoding=True, timeout=self.streams.timeout_s)
        except ERROR_REPLY as error:
            reply = error
        return reply_value(reply)

    def lost(self, error: Exception) -> StreamsDown:
        """Hang up, tell the client, and return what to raise: what is said aside is said again, so no more is asked."""
        self.close()
        self.streams.lost()
        return StreamsDown(str(error) or type(error).__name__)
