"""
The engine's own connection to Redis on its fast path: several questions in one send, answers taken in their order.

A question says how many replies it awaits and what becomes of them; its answer stays in the one buffer that everything
is received into and is valid until the next is taken. Nothing is ever sent twice. Whatever breaks (an end, a silence,
bytes that are no protocol) closes the link and counts as a lost connection: StreamsUnknown when something written was
under way, else StreamsDown. An error that the server answers is an answer like any other.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.decode.rows import entries_walk
from engine.decode.words import AHEAD
from engine.link_port import Port
from engine.link_replies import RUBBISH, WHOLE, appended_walk, head_walk, replies_walk, state_of
from shared.stream_guard import Request, expect, pack, unanswered
from shared.stream_keys import StreamsDown
from shared.stream_raw import entries_head, replies_read, reply_read
from shared.stream_verbs import read_request

ROOM_FIRST = 1 << 20
ROOM_KEPT_MAX = 1 << 25  # a buffer that one huge answer made larger is let go of
RECEIVE_MIN = 1 << 16
ENTRIES_MAX = 100_000
FRONTS_MAX = 100  # questions of which the front is remembered
ID_BYTES_MAX = 64  # of an entry's id with what stands before it


class Frame(NamedTuple):
    """
    An answer as its bytes: those of `raw` from `begin` to `end`.

    Of a stream's entries also where they begin: `entries` of them, entry i at `places[i]`, the last before `places[n]`.
    """

    raw: np.ndarray
    begin: int
    end: int
    entries: int = 0
    places: np.ndarray | None = None

    def values(self, count: int) -> list[Any]:
        """Return so many replies as values, errors as ServerError."""
        values, _ = replies_read(self.raw[self.begin : self.end].tobytes(), 0, count)
        return values

    def entry(self, index: int) -> Any:
        """Return one of the stream's entries as the server's values: its id, its names and values in one row."""
        assert self.places is not None
        first, end = self.places[index : index + 2].tolist()
        value, _ = reply_read(self.raw[first:end].tobytes(), 0)
        return value

    def stream_id(self, index: int) -> bytes:
        """Return the id of one of the stream's entries."""
        assert self.places is not None
        first = int(self.places[index])
        return self.raw[first : first + ID_BYTES_MAX].tobytes().split(b"\r\n", 3)[2]

    def appended(self, count: int) -> bool:
        """Return whether the answer plainly says that all of so many XADDs were done."""
        return bool(appended_walk(self.raw, self.begin, self.end, count))


class Question(NamedTuple):
    """What is sent, in parts that nobody changes before; what is awaited, and who takes the answer."""

    parts: Sequence[bytes | memoryview]
    take: Callable[[Frame], None]
    replies: int = 1
    writes: bool = False
    head: np.ndarray | None = None  # of XREAD's answer about one stream, when its entries are to be found as well
    entries_max: int = ENTRIES_MAX  # that it asks for: an answer that says more is none


class Link:
    """Questions under way on one connection, none of them silent for longer than `timeout_s`; for one thread."""

    def __init__(self, connect: Callable[[], Port], timeout_s: float, lost: Callable[[], None]) -> None:
        self.connect = connect
        self.patience_s = timeout_s
        self.lost = lost  # counts the loss where everybody looks
        self.port: Port | None = None
        self.asked: deque[Question] = deque()
        self.unsent: list[bytes | memoryview] = []
        self.failed: OSError | None = None  # what sending at once met; raised with the next send
        self.room_make(ROOM_FIRST)
        self.begin = self.got = 0  # what was received and not taken
        self.places = np.empty(1_024, np.int64)
        self.state = state_of(0, 0)

    def room_make(self, length: int) -> None:
        """Have a buffer of this length; what is in it is lost."""
        self.raw = np.empty(length + AHEAD, np.uint8)  # who reads eight bytes at once may do so at the end, too
        self.view = self.raw.data[:length]

    def open(self) -> None:
        """Have a new connection and forget what was asked before; raises StreamsDown."""
        self.close()
        try:
            self.port = self.connect()
        except OSError as error:
            raise StreamsDown(str(error)) from error

    def close(self) -> None:
        """Hang up and forget what was asked."""
        port, self.port = self.port, None
        self.asked.clear()
        self.unsent.clear()
        self.failed = None
        self.begin = self.got = 0
        if port is not None:
            port.close()

    def take_all(self) -> None:
        """Take every answer that is under way, and those to what was not sent yet."""
        while self.asked:
            self.take()

    def writes_under_way(self) -> bool:
        """Return whether something that writes has been asked and not been answered."""
        return any(question.writes for question in self.asked)

    def ask(self, question: Question) -> None:
        """Have a question sent with the next send."""
        self.asked.append(question)
        self.unsent += question.parts

    def ask_at_once(self, text: bytes, take: Callable[[Frame], None]) -> None:
        """
        Send something that writes and nothing with it, when nothing is under way, and wait until something comes back.

        Who waits leaves the processor to those whom the server wakes. What breaks meanwhile the next send raises.
        """
        assert self.port is not None
        assert not self.asked
        self.asked.append(Question((), take, writes=True))
        try:
            self.port.send(text)
            self.more()
        except OSError as error:
            self.failed = error

    def send(self) -> None:
        """Send everything that was asked since the last send, in one piece."""
        if self.failed is not None:
            raise self.broken(self.failed) from self.failed
        if not self.unsent:
            return
        parts = self.unsent
        self.unsent = []
        if self.port is None:
            raise self.broken(ConnectionError("the link is not open"))
        try:
            self.port.send(b"".join(parts))
        except OSError as error:
            raise self.broken(error) from error

    def take(self) -> None:
        """Receive the answer to the oldest question and hand it on; raises StreamsDown or StreamsUnknown."""
        self.send()
        question = self.asked[0]
        try:
            frame = self.receive(question)
        except OSError as error:
            raise self.broken(error) from error
        self.asked.popleft()
        question.take(frame)

    def broken(self, error: Exception) -> Exception:
        """Return what is known now that the connection broke, and count the loss."""
        writes = self.writes_under_way()
        self.close()
        self.lost()
        return unanswered(Request((), writes=writes), error)

    def walks_load(self) -> None:
        """Have the compiled walks over answers loaded."""
        head = head_of("")
        head_walk(self.raw, 0, 0, head)
        entries_walk(self.raw, 0, 0, 0, 0, self.places)
        replies_walk(self.raw, 0, self.state)

    # --- receiving

    def receive(self, question: Question) -> Frame:
        """Return the answer to a question as soon as it is there whole; raises OSError when it does not come."""
        if self.begin == self.got:
            self.begin = self.got = 0
            if len(self.view) > ROOM_KEPT_MAX:
                self.room_make(ROOM_FIRST)
        elif 2 * self.begin > len(self.view):
            rest = self.got - self.begin
            self.view[:rest] = bytes(self.view[self.begin : self.got])
            self.begin, self.got = 0, rest
        if question.head is not None:
            return self.receive_entries(question, question.head)
        return self.receive_replies(question.replies)

    def receive_replies(self, count: int) -> Frame:
        """Return so many replies of any kind."""
        begin, state = self.begin, self.state
        state[:] = begin, count, begin, -1
        while True:
            found = replies_walk(self.raw, self.got, state)
            if found == WHOLE:
                self.begin = int(state[0])
                return Frame(self.raw, begin, self.begin)
            if found == RUBBISH:
                raise ConnectionError("Redis answered something that is not its protocol")
            self.more()

    def receive_entries(self, question: Question, head: np.ndarray) -> Frame:
        """Return XREAD's answer about one stream, its entries found; any other kind of reply as it is."""
        begin = self.begin
        while True:
            at, count = head_walk(self.raw, begin, self.got, head)
            if at > 0:
                break
            if at < 0:
                return self.receive_replies(1)
            self.more()
        if count > question.entries_max:
            raise ConnectionError("Redis answered more entries than it was asked for")
        if count + 1 > len(self.places):
            self.places = np.empty(2 * count, np.int64)
        walked = 0
        while True:
            walked, at = entries_walk(self.raw, at, self.got, walked, count, self.places)
            if walked == count:
                self.begin = int(at)
                return Frame(self.raw, begin, self.begin, count, self.places)
            if walked < 0:
                raise ConnectionError("Redis answered something that is no list of entries")
            self.more()

    def more(self) -> None:
        """Receive what has come, waiting for the first of it."""
        if len(self.view) - self.got < RECEIVE_MIN:
            received = self.view[: self.got]
            self.room_make(2 * len(self.view))
            self.view[: self.got] = received
        assert self.port is not None
        count = self.port.receive(self.view[self.got :], self.patience_s)
        if count == 0:
            raise ConnectionError("the server closed the connection")
        self.got += count


def head_of(key: str) -> np.ndarray:
    """Return what XREAD's answer about a stream begins with, for a question."""
    return np.frombuffer(bytearray(entries_head(key)), np.uint8)


class ReadTexts:
    """The questions for what follows an id of one stream; all but the id is the same again and again."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.fronts: dict[tuple[int, int | None], bytes] = {}

    def __call__(self, count: int, block_ms: int | None, after: bytes) -> bytes:
        """Return the question for up to `count` entries, waiting for the first so long."""
        front = self.fronts.get((count, block_ms))
        if front is None:
            [command] = read_request(self.key, b"", count, block_ms).commands
            front = pack([command]).removesuffix(b"$0\r\n\r\n")
            if len(self.fronts) < FRONTS_MAX:
                self.fronts[count, block_ms] = front
        return b"%b$%d\r\n%b\r\n" % (front, len(after), after)


def entries_expect(frame: Frame) -> None:
    """Return when the answer holds a stream's entries or none; raises StreamsRefused when the server answers no."""
    if frame.places is None:
        [value] = frame.values(1)
        if expect(value):
            raise StreamsDown("the server answered something that is no list of entries")
