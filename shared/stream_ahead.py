"""
Reading the log one answer ahead: while an answer is applied, the server writes the next, on a connection of its own.

It only saves waiting. Whatever goes wrong there is no loss: the question is asked again on the client's own connection,
which finds out what is the matter. An answer asked for before the client's connection broke is never used.
"""

from typing import Any, NamedTuple

from shared.stream_keys import Keys, StreamsError, log_id
from shared.stream_raw import Question, RawEntries, RawReader, entries_of, socket_of
from shared.stream_verbs import read_request


class Asked(NamedTuple):
    """What was asked, and how often the client's connection had been lost before."""

    after_seq: int
    entries_max: int
    losses: int
    question: Question


class Ahead:
    """One question under way; for the thread of the client it belongs to."""

    def __init__(self, streams: Any) -> None:
        self.streams = streams  # shared.streams.Streams
        self.twin: Any = None
        self.asked: Asked | None = None
        self.reader = RawReader()

    def ask(self, keys: Keys, after_seq: int, count: int) -> None:
        """Ask for what follows a seq, without waiting for the answer."""
        if self.asked is not None:
            self.close()
        try:
            if self.twin is None:
                self.twin = self.streams.twin()
            request = read_request(keys.log, log_id(after_seq), count, None)
            self.twin.open(request)
            lent = socket_of(self.twin.connection)
            if lent is not None:
                question = Question.new(request.commands[0])
                lent.sendall(question.text)
                self.asked = Asked(after_seq, count, self.streams.losses, question)
        except (StreamsError, OSError):
            self.close()

    def take(self, keys: Keys, after_seq: int, count: int) -> RawEntries | None:
        """Return the answer to exactly this question, None when it was not asked, or is not to be had."""
        asked, self.asked = self.asked, None
        if asked is None:
            return None
        if asked[:3] != (after_seq, count, self.streams.losses):
            self.close()
            return None
        try:
            reply = self.reader.receive(socket_of(self.twin.connection), asked.question.end, self.streams.timeout_s)
        except OSError:
            self.close()
            return None
        return entries_of(reply, keys.log) if isinstance(reply, bytes) else None

    def close(self) -> None:
        """Hang up; the next question opens the connection again."""
        self.asked = None
        if self.twin is not None:
            self.twin.close()
            self.twin = None
