"""
What the streams are called, how their entries are numbered, and what a verb on them answers.

Pure: no I/O, no client library. An entry of the log is `1000000000000000-seq`, an entry of the events
`(10**15 + seq)-chunk`; nobody outside this file writes or reads such an id.
"""

from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

VENUE_POINTER = "tidemark:venue"
SEQ_BASE = 10**15

Fields = list[tuple[bytes, bytes]]


class StreamsError(Exception):
    """Something about Redis went wrong; the subclasses say what is known about the effect."""


class StreamsDown(StreamsError):
    """Nothing was applied: not reachable, or lost before anything that writes was sent."""


class StreamsUnknown(StreamsError):
    """Sent and unanswered: it may have been applied."""


class StreamsRefused(StreamsError):
    """Answered with an error: certainly not applied."""


class DuplicateId(StreamsError):
    """Some ids were not greater than the stream's last; `ids` names them. Read them again and compare."""

    def __init__(self, ids: list[bytes]) -> None:
        super().__init__(f"ids not greater than the last: {b', '.join(ids).decode()}")
        self.ids = ids


class AppendStatus(Enum):
    """What is certain about an append."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Appended(NamedTuple):
    """The outcome of one append; `reason` is empty unless it was refused or is unknown."""

    status: AppendStatus
    seq: int  # 0 unless accepted
    reason: str = ""


class Entry(NamedTuple):
    """One entry of the log as it stands there."""

    seq: int
    fields: Fields


class EventsEntry(NamedTuple):
    """One entry of the events; a field that is missing or not a number reads as empty or -1."""

    seq: int
    chunk: int
    log_time_us: int
    previous: bytes
    accounts: bytes
    data: bytes


class Keys:
    """All keys of one venue; the venue is their hash tag."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.prefix = f"{{{venue}}}:"
        self.log = self.prefix + "log"
        self.events = self.prefix + "events"
        self.markets_channel = self.prefix + "markets"
        self.views_channel = self.prefix + "views"
        self.views_cursor = self.prefix + "views_cursor"
        self.views_witness = self.prefix + "views_witness"
        self.refused = self.prefix + "refused"
        self.leader = self.prefix + "leader"
        self.view_account_pattern = self.prefix + "view:account:*"
        self.view_venue = self.prefix + "view:venue"

    def view_market(self, market: str) -> str:
        """Return the key of a market's view."""
        return f"{self.prefix}view:market:{market}"

    def view_account(self, account_id: int) -> str:
        """Return the key of an account's view."""
        return f"{self.prefix}view:account:{account_id}"

    def outcome(self, account_id: int, request_id: str) -> str:
        """Return the key of the outcome of one instruction."""
        return f"{self.prefix}outcome:{account_id}:{request_id}"

    def process(self, name: str) -> str:
        """Return the key of a process's heartbeat."""
        return f"{self.prefix}process:{name}"


def log_id(seq: int) -> bytes:
    """Return the stream id of the log entry `seq`."""
    return b"%d-%d" % (SEQ_BASE + (seq >> 64), seq & (2**64 - 1))


def seq_of_log_id(stream_id: bytes) -> int:
    """Return the seq of a log entry; a foreign id gives a number that is never the next one, and keeps the order."""
    milliseconds, number = stream_id.split(b"-")
    return (int(milliseconds) - SEQ_BASE << 64) + int(number)


def event_id(seq: int, chunk: int) -> bytes:
    """Return the stream id of the events entry that log entry `seq` caused."""
    return b"%d-%d" % (SEQ_BASE + seq, chunk)


def seq_chunk_of_event_id(stream_id: bytes) -> tuple[int, int]:
    """Return (seq, chunk) of an events entry."""
    milliseconds, number = stream_id.split(b"-")
    return int(milliseconds) - SEQ_BASE, int(number)


def fields_digest(stream_id: bytes, fields: Fields) -> bytes:
    """Return the 32-byte digest by which a survivor remembers an entry of either stream."""
    digest = blake2b(b"%d:%b" % (len(stream_id), stream_id), digest_size=32)
    for name, value in fields:
        digest.update(b"%d:%b%d:%b" % (len(name), name, len(value), value))
    return digest.digest()


def log_digest(entry: Entry) -> bytes:
    """Return the digest of a log entry."""
    return fields_digest(log_id(entry.seq), entry.fields)


def events_fields(entry: EventsEntry) -> Fields:
    """Return the fields of an events entry in the order they are written."""
    return [
        (b"t", b"%d" % entry.log_time_us),
        (b"p", entry.previous),
        (b"a", entry.accounts),
        (b"d", entry.data),
    ]


def events_digest(entry: EventsEntry) -> bytes:
    """Return the digest of an events entry."""
    return fields_digest(event_id(entry.seq, entry.chunk), events_fields(entry))
