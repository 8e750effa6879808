"""
A checked body -> one log entry, and the waiting room for its answer.

Nothing is ever sent twice from here. An append that was certainly refused is a 503; one that may have happened, or
whose answer does not come in time, is UNKNOWN, and the caller learns by which id and time to ask.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson

from gateway import metering
from gateway.errors import GatewayCode, Refusal
from gateway.metering import Meters
from gateway.tail import Cause, Tail, cause_of
from shared.codes import ResultCode
from shared.stream_verbs import append_outcome
from shared.streams import (
    Appended,
    AppendStatus,
    EventsEntry,
    Fields,
    Handover,
    Keys,
    StreamsAsync,
    StreamsError,
)

CHUNKS_MAX = 64
REQUEST_TIME_OFF_MAX_US = 4_000_000
APPENDS_MAX = 1_024  # begun and not ended; beyond it nothing is begun

T = TypeVar("T")


class Instruction(NamedTuple):
    """One wish of one account, ready for the log."""

    account: int
    request_id: str
    op: str
    ts_us: int
    fields: dict[str, Any]  # in canonical order
    via: str = metering.HTTP  # how it came
    began_s: float | None = None  # when it came, in the gateway's monotonic time

    def entry(self) -> list[tuple[bytes, bytes]]:
        """Return the fields of the log entry, in wire.md's order and canonical form."""
        body = {"v": 1, "account": self.account, "request_id": self.request_id, "op": self.op, **self.fields}
        return [(b"ts", str(self.ts_us).encode()), (b"user_instruction", orjson.dumps(body))]


def ts_read(stated_us: int, now_us: int) -> int:
    """Return the time that an instruction's sender states; raises Refusal unless it is near ours."""
    if abs(stated_us - now_us) > REQUEST_TIME_OFF_MAX_US:
        raise Refusal(GatewayCode.REQUEST_TIME_INVALID, {"now_us": now_us, "off_us": stated_us - now_us})
    return stated_us


class Outcome(NamedTuple):
    """What is known of an instruction: its cause, or UNKNOWN (cause None); `replay`: it was accepted before."""

    cause: Cause | None
    seq: int  # of the entry, 0 when even that is not known
    replay: bool = False
    answered_s: float = 0.0  # when it was known, in the gateway's monotonic time


class WaitingRoom:
    """Sends instructions and waits for their answers."""

    def __init__(
        self,
        streams: StreamsAsync,
        keys: Keys,
        tail: Tail,
        timeout_s: float,
        monotonic_s: Callable[[], float],
        meters: Meters | None = None,
        log: Any = None,
    ) -> None:
        """Keep what sending needs."""
        self._streams = streams
        self._keys = keys
        self._tail = tail
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._meters = meters or Meters()
        self._log = log
        self._appends: set[asyncio.Task[Appended]] = set()

    async def send(self, instruction: Instruction, on_appended: Callable[[], None] | None = None) -> Outcome:
        """
        Append one instruction and return its outcome; raises Refusal when certainly nothing was appended.

        `on_appended` is called as soon as its place in the log, or that it has none, is settled.
        """
        began_s = self._monotonic_s()
        if instruction.began_s is not None:
            self._meters.stage(metering.PARSE, instruction.via, began_s - instruction.began_s)
        try:
            outcome = await self._send(instruction, began_s, on_appended)
        except Refusal as refusal:
            self._told(instruction, refusal.code, 0, self._monotonic_s() - began_s)
            raise
        response = outcome.cause.response if outcome.cause else None
        result = response["result"] if response else metering.UNKNOWN
        answered_s = self._monotonic_s()
        if outcome.cause is not None:
            came_s = began_s if instruction.began_s is None else instruction.began_s
            self._meters.order(instruction.via, answered_s - came_s)
        replay = {"replay": True} if outcome.replay else {}
        # The answer goes first: its sender waits for it, and nobody for the log.
        tell = partial(self._told, instruction, result, outcome.seq, answered_s - began_s, **replay)
        asyncio.get_running_loop().call_soon(tell)
        return outcome._replace(answered_s=answered_s)

    def _told(self, instruction: Instruction, result: str, seq: int, seconds: float, **more: Any) -> None:
        """Count what became of an instruction, and say it in the log's one line about it."""
        self._meters.result(instruction.op, result)
        if self._log is not None:
            self._log.info(
                "instruction",
                request_id=instruction.request_id,
                seq=seq,
                account=instruction.account,
                op=instruction.op,
                result=result,
                ms=round(1_000 * seconds, 3),
                via=instruction.via,
                **more,
            )

    async def _send(self, instruction: Instruction, began_s: float, on_appended: Callable[[], None] | None) -> Outcome:
        """Append one instruction, wait for its answer and return it."""
        deadline_s = began_s + self._timeout_s
        self._tail.append_begins()
        try:
            appended = await self._append(instruction, deadline_s)
            appended_s = self._monotonic_s()
            self._meters.stage(metering.LOG, instruction.via, appended_s - began_s)
            if appended.status is AppendStatus.REFUSED:
                detail = {"reason": appended.reason} if appended.reason else {}
                raise Refusal(GatewayCode.LOG_UNAVAILABLE, detail, request_id=instruction.request_id)
            if appended.status is AppendStatus.UNKNOWN:
                return Outcome(None, 0)
            future = self._tail.expect(appended.seq, instruction.request_id)
        finally:
            self._tail.append_ends()
            if on_appended is not None:
                on_appended()
        try:
            cause = await within(future, deadline_s - self._monotonic_s())
        except TimeoutError:
            return Outcome(None, appended.seq)
        finally:
            self._tail.forget(appended.seq)
        self._meters.stage(metering.ENGINE, instruction.via, self._monotonic_s() - appended_s)
        if cause.response["result"] == ResultCode.REQUEST_REPEATED.name:
            return await self._first_outcome(cause)
        return Outcome(cause, cause.seq)

    async def _append(self, instruction: Instruction, deadline_s: float) -> Appended:
        """Return what became of the append; it goes the long way where it cannot be sent at once."""
        entry = instruction.entry()
        sent = self._streams.append_send(self._keys, entry)
        if sent is None:
            return await self._append_long(entry, deadline_s)
        try:
            appended = append_outcome(await within(sent, deadline_s - self._monotonic_s()))
        except OSError:  # no reply came, or not in time
            return Appended(AppendStatus.UNKNOWN, 0)
        return await self._refused(appended, deadline_s) if appended.status is AppendStatus.REFUSED else appended

    async def _refused(self, appended: Appended, deadline_s: float) -> Appended:
        """Return a refusal with what a look at the server says of it; the next append looks first as well."""
        self._streams.guard.forget()
        try:
            reason = await self._streams.guard_check(self._keys, deadline_s)
        except StreamsError:
            return appended
        return appended._replace(reason=reason or appended.reason)

    async def _append_long(self, entry: Fields, deadline_s: float) -> Appended:
        """
        Return what became of the append: REFUSED when it was not sent by the deadline, for here it is called off.

        One that was sent and hangs is left to end by itself, never cancelled half sent.
        """
        if len(self._appends) >= APPENDS_MAX:
            return Appended(AppendStatus.REFUSED, 0, "APPENDS_WAITING_MAX")
        handover = Handover()
        task = asyncio.ensure_future(self._streams.append(self._keys, entry, deadline_s, handover))
        self._appends.add(task)
        task.add_done_callback(self._append_done)
        await asyncio.wait({task}, timeout=max(0.0, deadline_s - self._monotonic_s()))
        if task.done():
            return task.result()
        if handover.call_off():
            return Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")
        return Appended(AppendStatus.UNKNOWN, 0)

    def _append_done(self, task: "asyncio.Task[Appended]") -> None:
        """Drop a finished append and look at its exception, which nobody may be waiting for any more."""
        self._appends.discard(task)
        if not task.cancelled():
            task.exception()

    async def _first_outcome(self, repeated: Cause) -> Outcome:
        """Return the outcome of the first sending, from the events that it caused."""
        first_seq = int(repeated.response["first_seq"])
        request_id = repeated.response["request_id"]
        account = repeated.response["account"]
        try:
            entries = await self._streams.range_events(self._keys, (first_seq, 0), (first_seq, CHUNKS_MAX), CHUNKS_MAX)
            cause = first_cause(entries, request_id)
            if cause is None:
                cause = await outcome_stored(self._streams, self._keys, account, request_id)
        except StreamsError:
            cause = None
        return Outcome(cause, cause.seq if cause else first_seq, replay=cause is not None)


async def within(future: "asyncio.Future[T]", seconds: float) -> T:
    """
    Return what a future gives, at the next step of the loop after it does; raises TimeoutError when that is too late.

    The future is this caller's alone: it has ended afterwards. `asyncio.timeout` takes more than twice as long.
    """
    timer = asyncio.get_running_loop().call_later(max(0.0, seconds), _late, future)
    try:
        return await future
    finally:
        timer.cancel()


def _late(future: "asyncio.Future[Any]") -> None:
    """Have nobody wait for a future any more."""
    if not future.done():
        future.set_exception(TimeoutError())


def first_cause(entries: list[EventsEntry], request_id: str) -> Cause | None:
    """Return the answer in a range of the events stream, if the range still holds it."""
    return cause_of(entries, request_id) if entries else None


async def outcome_stored(streams: StreamsAsync, keys: Keys, account_id: int, request_id: str) -> Cause | None:
    """Return the outcome that the view reader keeps, without its events, or None."""
    stored = await streams.get_json(keys.outcome(account_id, request_id))
    if stored is None:
        return None
    return Cause(int(stored["seq"]), int(stored["log_time_us"]), stored["response"], [])
