"""The toy server at the other end of an engine's link: the protocol's bytes in and out, over the toy's verbs."""

from typing import Any

from shared.stream_guard import pack
from shared.streams import (
    DuplicateId,
    Keys,
    StreamsError,
    StreamsRefused,
    event_id,
    events_fields,
    log_id,
    seq_chunk_of_event_id,
    seq_of_log_id,
)
from tests.engine_toy_streams import ToyStreams
from tests.simulation.redis_clients import decode

ABSENT = "absent"


class ToyLinkPort:
    """Answers what a link asks; a verb that fails breaks the connection, one that is refused answers an error."""

    def __init__(self, streams: ToyStreams, keys: Keys) -> None:
        self.streams = streams
        self.keys = keys
        self.replies = b""
        self.broken = False

    def send(self, data: bytes) -> None:
        """Do every command; what follows one that broke the connection is not done."""
        queued: list[list[bytes]] | None = None
        try:
            for command in decode(bytes(data)):
                if command[0] == b"MULTI":
                    queued = []
                elif command[0] == b"EXEC":
                    assert queued is not None
                    self.replies += self.publish(queued, alone=False)
                    queued = None
                elif queued is not None:
                    queued.append(command)
                elif command[0] == b"XADD":
                    self.replies += self.publish([command], alone=True)
                else:
                    self.replies += self.read(command)
        except StreamsError:
            self.broken = True

    def receive(self, view: memoryview, _timeout_s: float) -> int:
        """Give what was answered, cut into pieces of nine bytes and more."""
        if not self.replies:
            if self.broken:
                raise ConnectionResetError("reset")
            raise TimeoutError("nothing was asked that is not answered")
        piece = self.replies[: min(len(view), 9 + len(self.replies) // 2)]
        view[: len(piece)] = piece
        self.replies = self.replies[len(piece) :]
        return len(piece)

    def close(self) -> None:
        """Forget the rest."""
        self.replies, self.broken = b"", True

    def publish(self, commands: list[list[bytes]], alone: bool) -> bytes:
        """Append to the events as the verb does, and answer as Redis does."""
        create = commands[0][2] != b"NOMKSTREAM"
        entries: list[Any] = []
        for command in commands:
            assert command[1] == self.keys.events.encode()
            assert (command[2] != b"NOMKSTREAM") == (create and command is commands[0])
            texts = command[2:] if command[2] != b"NOMKSTREAM" else command[3:]
            entries.append((texts[0], list(zip(texts[1::2], texts[2::2], strict=True))))
        error, duplicates = b"", set()
        try:
            self.streams.publish(self.keys, entries, create)
        except DuplicateId as failure:
            ids = {stream_id for stream_id, _ in entries}
            duplicates = ids & set(failure.ids) or ids
        except StreamsRefused as failure:
            error = b"$-1\r\n" if ABSENT in str(failure) else b"-%b\r\n" % str(failure).encode()
        if error.startswith(b"-"):
            return error if alone else b"+OK\r\n" + error * len(entries) + b"-EXECABORT discarded\r\n"
        taken = b"-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"
        answers = [error or (taken if stream_id in duplicates else bulk(stream_id)) for stream_id, _ in entries]
        if alone:
            return answers[0]
        return b"+OK\r\n" + b"+QUEUED\r\n" * len(answers) + b"*%d\r\n" % len(answers) + b"".join(answers)

    def read(self, command: list[bytes]) -> bytes:
        """Answer XREAD about one stream."""
        assert command[0] == b"XREAD"
        count, [key, after] = int(command[2]), command[-2:]
        block_ms = int(command[4]) if command[3] == b"BLOCK" else None
        try:
            if key == self.keys.log.encode():
                found = self.streams.read_log(self.keys, seq_of_log_id(after), count, block_ms)
                rows = [(log_id(entry.seq), entry.fields) for entry in found]
            else:
                events = self.streams.read_events(self.keys, seq_chunk_of_event_id(after), count, block_ms)
                rows = [(event_id(entry.seq, entry.chunk), events_fields(entry)) for entry in events]
        except StreamsRefused as error:
            return b"-%b\r\n" % str(error).encode()
        if not rows:
            return b"*-1\r\n"
        texts = [b"*2\r\n" + bulk(each) + pack([[part for pair in fields for part in pair]]) for each, fields in rows]
        return b"*1\r\n*2\r\n" + bulk(key) + b"*%d\r\n" % len(texts) + b"".join(texts)


def bulk(text: bytes) -> bytes:
    """Return a text as the protocol has it."""
    return b"$%d\r\n%b\r\n" % (len(text), text)
