"""
One exchange with the server as plain values, and the guards that say whether anything may be appended at all.

No I/O: a conversation is a generator that yields Requests and is sent their replies; the transports in `streams.py`
drive it. An error reply arrives as a ServerError value; an exchange that failed is raised at the yield.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import hiredis
import orjson

from shared.clock import monotonic_s as monotonic_s_now
from shared.clock import now_us
from shared.stream_keys import VENUE_POINTER, Handover, Keys, StreamsDown, StreamsError, StreamsRefused, StreamsUnknown

ANSWER_TIMEOUT_S = 5.0
CHECK_EVERY_S = 1.0
CLOCK_SKEW_MAX_US = 2_000_000
MEMORY_FULL_PERCENT = 80

Argument = bytes | str | int
Command = Sequence[Argument]

T = TypeVar("T")
Conversation = Generator["Request", list[Any], T]


class ServerError(NamedTuple):
    """An error the server answered: its code (OOM, READONLY, LOADING, ERR, …) and its words."""

    code: str
    text: str


class Request(NamedTuple):
    """Commands that are sent in one piece, and what follows when no answer comes."""

    commands: Sequence[Command]
    writes: bool = False  # unanswered means StreamsUnknown; otherwise StreamsDown
    settled: bool = False  # not sent after a lost connection, before a request that settles
    settles: bool = False  # shows the caller where the events stand
    block_ms: int = 0  # how long the server may rightly stay silent
    deadline_s: float = math.inf  # of the monotonic clock: not sent later, and a question not waited for longer
    guarded: bool = False  # not sent on a connection whose server nobody has looked at
    raw: bool = False  # one question whose answer may come as its bytes, where the transport can
    handover: Handover | None = None  # told at the moment of sending


@dataclass
class Link:
    """What is known of one connection; a server's run_id cannot change while it lasts."""

    run_id: str = ""
    wire: Any = None  # where the transport reads the replies itself (stream_wire.Wire)


@dataclass
class Guard:
    """What the last check found; shared by all connections of one client."""

    clock_us: Callable[[], int]
    monotonic_s: Callable[[], float]
    checked_s: float = float("-inf")
    venue: str = ""
    run_id_named: str = ""  # as the leader's heartbeat names it
    reason: str = ""  # why nothing may be appended, empty when it may

    def forget(self) -> None:
        """Have the next append look at the server first."""
        self.checked_s = float("-inf")


class Talk(NamedTuple):
    """What a conversation may look at: its client's guard and its connection."""

    guard: Guard
    link: Link


def unanswered(request: Request, cause: object) -> StreamsError:
    """Return what is known when a request was sent and not answered."""
    text = f"{cause}" or type(cause).__name__
    return StreamsUnknown(text) if request.writes else StreamsDown(text)


class Client:
    """What both transports keep: where the server is, the guard, and how often a connection was lost."""

    def __init__(
        self,
        url: str,
        timeout_s: float = ANSWER_TIMEOUT_S,
        clock_us: Callable[[], int] = now_us,
        monotonic_s: Callable[[], float] = monotonic_s_now,
    ) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.guard = Guard(clock_us, monotonic_s)
        self.losses = 0
        self.settled = True

    def lost(self) -> None:
        """Note that a connection broke, so that nothing is published before the streams were looked at."""
        self.losses += 1
        self.settled = False

    def patience_s(self, request: Request) -> float:
        """Return how long to wait for the answers to what is sent now; raises StreamsDown when it is too late."""
        left_s = request.deadline_s - self.guard.monotonic_s()
        if left_s <= 0:
            raise StreamsDown("not sent: its time has passed")
        if request.handover is not None:
            request.handover.take()
        patience_s = self.timeout_s + request.block_ms / 1_000
        # What is written was sent: only its own time-out says when nothing more is to be expected.
        return patience_s if request.writes else min(patience_s, left_s)

    def settled_check(self, request: Request) -> None:
        """Raise when a connection was lost and nobody has looked at the streams since."""
        if request.settled and not self.settled:
            raise StreamsDown("the connection was lost: read the events' tip before publishing again")

    def guarded_check(self, link: Link, request: Request) -> None:
        """Raise when the connection came up after the last look: its server may be another one."""
        if request.guarded and not link.run_id:
            raise StreamsDown("the connection is new, and its server was not looked at")


def expect(reply: Any) -> Any:
    """Return the reply, or raise StreamsRefused when it is an error."""
    if isinstance(reply, ServerError):
        raise StreamsRefused(f"{reply.code} {reply.text}")
    return reply


def ask(*commands: Command, writes: bool = False) -> Conversation[list[Any]]:
    """Return the replies to the commands; an error among them is raised as StreamsRefused."""
    replies = yield Request(commands, writes=writes)
    return [expect(reply) for reply in replies]


def pack(commands: Sequence[Command]) -> bytes:
    """Return the commands as the bytes of the server's protocol."""
    return b"".join([hiredis.pack_command(tuple(command)) for command in commands])  # type: ignore[arg-type]


def info_fields(*texts: bytes) -> dict[str, str]:
    """Return the fields of INFO's sections as one mapping."""
    lines = b"\n".join(texts).decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def json_read(text: bytes | None) -> Any:
    """Return the decoded JSON, None when there is none; what is not JSON comes back as text, for it is there."""
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return (text or b"").decode("utf-8", "replace")


def guard_holds(talk: Talk, keys: Keys) -> bool:
    """Return whether the last look at the server still says that anything may be appended on this connection."""
    guard, link = talk
    due = guard.monotonic_s() - guard.checked_s >= CHECK_EVERY_S or guard.venue != keys.venue
    return not due and not guard.reason and bool(link.run_id) and link.run_id == guard.run_id_named


def guard_check(talk: Talk, keys: Keys, deadline_s: float = math.inf) -> Conversation[str]:
    """
    Return why nothing may be appended now, "" when it may.

    Asks the server at most once a second, at once on a connection not known yet, and on every try while a reason
    stands. What is asked: the refusal, the venue's pointer, the clock, the memory, the leader's heartbeat.
    """
    guard, link = talk
    if guard_holds(talk, keys):
        return ""
    asked_us = guard.clock_us()
    replies = yield Request(
        [
            ["TIME"],
            ["INFO", "server"],
            ["INFO", "memory"],
            ["GET", keys.leader],
            ["EXISTS", keys.refused],
            ["GET", VENUE_POINTER],
        ],
        deadline_s=deadline_s,
    )
    answered_us = guard.clock_us()
    for reply in replies:
        if isinstance(reply, ServerError):
            return reply.code
    time, server, memory, leader, refused, pointer = replies
    link.run_id = info_fields(server).get("run_id", "")
    named = json_read(leader)
    guard.run_id_named = str(named.get("run_id", "")) if isinstance(named, dict) else ""
    guard.venue = keys.venue
    guard.checked_s = guard.monotonic_s()
    if refused:
        guard.reason = "REFUSAL_STANDS"
    elif pointer is not None and pointer.decode("utf-8", "replace") != keys.venue:
        guard.reason = "VENUE_CHANGED"
    elif clock_skew_us(asked_us, int(time[0]) * 1_000_000 + int(time[1]), answered_us) >= CLOCK_SKEW_MAX_US:
        guard.reason = "CLOCK_SKEW"
    elif memory_full(info_fields(memory)):
        guard.reason = "LOG_FULL"
    else:
        guard.reason = ""
    if guard.reason:
        return guard.reason
    return "" if link.run_id and link.run_id == guard.run_id_named else "RUN_ID_NOT_NAMED"


def clock_skew_us(asked_us: int, server_us: int, answered_us: int) -> int:
    """Return how far the server's clock certainly is from ours: a slow answer alone is no difference."""
    return max(0, asked_us - server_us, server_us - answered_us)


def memory_full(memory: dict[str, str]) -> bool:
    """Return whether producers must stop so that events, views and leadership keep room."""
    limit = int(memory.get("maxmemory", 0))
    return limit > 0 and int(memory.get("used_memory", 0)) * 100 >= limit * MEMORY_FULL_PERCENT
