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


class Handover:
    """Whether a request was handed to a connection; whoever waits for it may call it off while it was not."""

    def __init__(self) -> None:
        self.handed = False
        self.off = False

    def take(self) -> None:
        """Note that the request is being sent; raises StreamsDown when it was called off."""
        if self.off:
            raise StreamsDown("not sent: it was called off")
        self.handed = True

    def call_off(self) -> bool:
        """Return whether the request was not sent; then it never will be."""
        self.off = not self.handed
        return self.off


class EventsEntry(NamedTuple):
    """One entry of the events; a field that is missing or not a number reads as empty or -1."""

    seq: int
    chunk: int
    log_time_us: int
    previous: bytes
    accounts: bytes
    data: bytes


class Keys:
    """All keys of one venue; the venue is their hash tag. A generation of views above 0 has names of its own."""

    def __init__(self, venue: str, generation: int = 0) -> None:
        self.venue = venue
        self.generation = generation
        self.prefix = f"{{{venue}}}:"
        mark = f"g{generation}:" if generation else ""
        tail = f":g{generation}" if generation else ""
        self.log = self.prefix + "log"
        self.events = self.prefix + "events"
        self.log_new = self.log + ":new"  # only while `tidemark log restore` builds them
        self.events_new = self.events + ":new"
        self.accounts_kept = self.prefix + "accounts_kept"  # which accounts restorations left to their owners
        self.restores = self.prefix + "restores"  # how often the log was restored; absent means never
        self.engines_wanted = self.prefix + "engines_wanted"  # how many the supervisor keeps up
        self.views_generation = self.prefix + "views_generation"
        self.views_numbers = self.prefix + "views_numbers"  # the newest number ever given to a generation
        self.views_rebuild = self.prefix + "views_rebuild"  # asks the view reader for a new generation
        self.markets_channel = self.prefix + "markets"
        self.views_channel = self.prefix + "views"
        self.views_cursor = self.prefix + "views_cursor" + tail
        self.views_witness = self.prefix + "views_witness" + tail
        self.refused = self.prefix + "refused"
        self.ops = self.prefix + "ops"  # a hash: what the leading engine tells operators every second
        self.leader = self.prefix + "leader"
        self.processes = self.prefix + "processes"  # a hash: the names under which heartbeats were written
        self.view_account_prefix = f"{self.prefix}view:{mark}account:"
        self.view_account_pattern = self.view_account_prefix + "*"
        self.view_venue = f"{self.prefix}view:{mark}venue"

    def view_market(self, market: str) -> str:
        """Return the key of a market's view."""
        return f"{self.prefix}view:market:{market}"

    def view_account(self, account_id: int) -> str:
        """Return the key of an account's view."""
        return f"{self.view_account_prefix}{account_id}"

    def outcome(self, account_id: int, request_id: str) -> str:
        """Return the key of the outcome of one instruction."""
        return f"{self.prefix}outcome:{account_id}:{request_id}"

    def process(self, name: str) -> str:
        """Return the key of a process's heartbeat."""
        return f"{self.prefix}process:{name}"

    def revoked(self, name: str) -> str:
        """Return the key that says from when on a session or a key of a program is worth nothing."""
        return f"{self.prefix}revoked:{name}"


def follows(last_seq: int, entry: Entry) -> bool:
    """
    Return whether an entry may stand right after `last_seq`: the next number, or `restored` naming what lies between.

    The only gap that any reader of the log may step over; every other is refused.
    """
    if entry.seq == last_seq + 1:
        return True
    if entry.seq <= last_seq or len(entry.fields) != 2 or entry.fields[1][0] != b"restored":
        return False
    return entry.fields[1][1] == restored_body(last_seq + 1, entry.seq - 1)


def restored_body(first_lost: int, last_lost: int) -> bytes:
    """Return the body of the one entry that states which numbers nobody holds and nobody uses again."""
    return b'{"first_lost":%d,"last_lost":%d}' % (first_lost, last_lost)


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
