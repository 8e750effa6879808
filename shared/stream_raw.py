"""
An answer of the server as its bytes, unread: for whoever reads a million entries and can read them faster itself.

The answer's end is found without reading it: an ECHO of a word that nobody could know follows the question, so no entry
can pretend to be it.
"""

import secrets
import socket
from typing import Any, NamedTuple

from shared.stream_guard import Command, ServerError, pack

BYTES_FIRST = 1 << 16
ROOM_MIN = 1 << 14
LINE_END = b"\r\n"
NOTHING = b"*-1\r\n"


class RawEntries(NamedTuple):
    """Entries of a stream as they came: `length` of them in `raw` from byte `first` to the end."""

    raw: bytes
    first: int
    length: int


def socket_of(connection: Any) -> Any:
    """
    Return the client's socket of an open connection, None where it has none to lend (then its replies are read by it).

    The library has no public way to it; a connection of another kind simply does without.
    """
    lent = getattr(connection, "_sock", None)
    return lent if isinstance(lent, socket.socket) else None


class Question(NamedTuple):
    """What is sent, and how the answer ends."""

    text: bytes
    end: bytes

    @classmethod
    def new(cls, command: Command) -> "Question":
        """Return one command with an echo behind it that nobody can foresee."""
        word = secrets.token_hex(16).encode()
        return cls(pack([command, ["ECHO", word]]), b"$%d\r\n%b\r\n" % (len(word), word))


class RawReader:
    """Asks one question at a time on a connection's socket; keeps the room it reads into."""

    def __init__(self) -> None:
        self.room = bytearray(BYTES_FIRST)

    def ask(self, lent: Any, command: Command, timeout_s: float) -> bytes | ServerError:
        """Return the answer's bytes, or the error that the server answered; raises OSError when it does not come."""
        question = Question.new(command)
        lent.sendall(question.text)
        return self.receive(lent, question.end, timeout_s)

    def receive(self, lent: Any, end: bytes, timeout_s: float) -> bytes | ServerError:
        """Read until the end has come; an error is a line, and the echo may be one as well."""
        timeout_before = lent.gettimeout()
        lent.settimeout(timeout_s)
        try:
            return self.receive_all(lent, end)
        finally:
            lent.settimeout(timeout_before)

    def receive_all(self, lent: Any, end: bytes) -> bytes | ServerError:
        """Read until the end has come, each piece within the socket's time-out."""
        got = 0
        while True:
            if len(self.room) - got < ROOM_MIN:
                self.room += bytes(len(self.room))
            with memoryview(self.room) as view:
                count = lent.recv_into(view[got:])
            if count == 0:
                raise ConnectionError("the server closed the connection in the middle of an answer")
            got += count
            if self.room.startswith(b"-"):
                error = error_read(bytes(self.room[:got]), end)
                if error is not None:
                    return error
            elif self.room.endswith(end, 0, got):
                return bytes(memoryview(self.room)[: got - len(end)])


def error_read(received: bytes, end: bytes) -> ServerError | None:
    """Return the error in front of an echo or of another error, None while that has not come whole."""
    line, _, rest = received.partition(LINE_END)
    if rest != end and not (rest.startswith(b"-") and rest.endswith(LINE_END)):
        return None
    return error_of(line[1:])


def error_of(line: bytes) -> ServerError:
    """Return the error that a line of the protocol says behind its mark."""
    code, _, text = line.decode("utf-8", "replace").partition(" ")
    return ServerError(code, text)


def entries_head(key: str) -> bytes:
    """Return what XREAD's answer about one stream begins with, up to the number of its entries."""
    name = key.encode()
    return b"*1\r\n*2\r\n$%d\r\n%b\r\n*" % (len(name), name)


def entries_of(reply: bytes, key: str) -> RawEntries | None:
    """Return the entries of XREAD's answer about one stream, None when it is no such answer."""
    if reply == NOTHING:
        return RawEntries(reply, len(reply), 0)
    head = entries_head(key)
    line_end = reply.find(LINE_END, len(head))
    digits = reply[len(head) : line_end]
    if not reply.startswith(head) or not 0 < len(digits) < 12 or not digits.isdigit():
        return None
    return RawEntries(reply, line_end + len(LINE_END), int(digits))


def replies_read(raw: bytes, at: int, count: int) -> tuple[list[Any], int]:
    """Return so many replies as values, errors as ServerError, and the place after them; `raw` holds them whole."""
    values = []
    for _ in range(count):
        value, at = reply_read(raw, at)
        values.append(value)
    return values, at


def reply_read(raw: bytes, at: int) -> tuple[Any, int]:
    """Return one reply as a value and the place after it."""
    end = raw.index(b"\r\n", at)
    mark, text, after = raw[at : at + 1], raw[at + 1 : end], end + 2
    if mark == b"*":
        return replies_read(raw, after, int(text)) if int(text) >= 0 else (None, after)
    if mark == b"$":
        length = int(text)
        return (raw[after : after + length], after + length + 2) if length >= 0 else (None, after)
    if mark == b":":
        return int(text), after
    return (error_of(text) if mark == b"-" else text), after
