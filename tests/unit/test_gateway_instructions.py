"""The waiting room and the tail: one append, one answer, and the truth when there is none."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import instructions
from gateway.errors import Refusal
from gateway.identity import request_id_fresh
from gateway.instructions import Instruction, WaitingRoom
from gateway.tail import HistoryWentBack, Tail
from shared.stream_guard import ServerError
from shared.streams import Appended, AppendStatus, Handover, StreamsDown, event_id, log_id
from tests.gateway_doubles import MARKET, NOW_US, Clock, EngineToy, FakeStreams, Log, events_entry, eventually
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
BUY = {"market": MARKET, "side": "buy", "kind": "market", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def instruction(request_id: str = "", **changes: Any) -> Instruction:
    """Return an order of account 101."""
    return Instruction(101, request_id or request_id_fresh(NOW_US), "order_place", NOW_US, BUY | changes)


def tail_of(streams: FakeStreams, log: Log) -> Tail:
    """Return a tail over stand-ins."""
    return Tail(streams, streams.keys, log, lambda _market: None)  # type: ignore[arg-type]


async def test_answer_read_before_the_append_returns(tmp_path: Path) -> None:
    """The tail may be faster than the append's own reply: the answer is kept until its seq is known."""
    async with House(tmp_path) as house:
        outcome = await house.desk.room.send(instruction())
        assert outcome.cause is not None
        assert outcome.cause.response["result"] == "OK"
        assert [event["e"] for event in outcome.cause.events] == ["fill", "position_changed", "account_changed"]
        assert all(event["account"] == 101 for event in outcome.cause.events)


async def test_many_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    """Two hundred concurrent orders are answered each by its own seq and request id."""
    async with House(tmp_path) as house:
        sent = [instruction() for _ in range(200)]
        outcomes = await asyncio.gather(*(house.desk.room.send(one) for one in sent))
        assert [o.cause.response["request_id"] for o in outcomes if o.cause] == [one.request_id for one in sent]
        assert len({outcome.seq for outcome in outcomes}) == 200


async def test_refused_unknown_and_silent_appends(tmp_path: Path) -> None:
    """Certainly refused raises; unanswered and unheard are UNKNOWN, with the seq if there is one; none is repeated."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        house.streams.mode = AppendStatus.REFUSED
        with pytest.raises(Refusal, match="LOG_UNAVAILABLE"):
            await house.desk.room.send(instruction())
        count = len(house.streams.log)
        house.streams.mode = AppendStatus.UNKNOWN
        assert (await house.desk.room.send(instruction()))[:3] == (None, 0, False)
        house.streams.mode, house.streams.silent = AppendStatus.ACCEPTED, True
        assert (await house.desk.room.send(instruction()))[:3] == (None, count + 2, False)
        assert len(house.streams.log) == count + 2


async def test_an_append_that_hangs_is_unknown_and_not_cancelled(tmp_path: Path) -> None:
    """A hanging append is answered in time and goes on by itself: cutting it half sent would help nobody."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        gate, appended = asyncio.Event(), house.streams.append

        async def slow(keys: Any, fields: Any, deadline_s: float, handover: Handover) -> Any:
            handover.take()
            await gate.wait()
            return await appended(keys, fields, deadline_s, handover)

        house.streams.append = slow  # type: ignore[method-assign]
        count = len(house.streams.log)
        assert (await house.desk.room.send(instruction())).cause is None
        gate.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(house.streams.log) == count + 1


@pytest.mark.parametrize("end", ["silence", "broken", "refused", "called away"])
async def test_what_is_sent_at_once_is_never_sent_again(tmp_path: Path, end: str) -> None:
    """An append without a reply is UNKNOWN; of one that was certainly refused the guard's look says why."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        sent: list[asyncio.Future[Any]] = []

        def send(_keys: Any, _fields: Any) -> "asyncio.Future[Any]":
            sent.append(asyncio.get_running_loop().create_future())
            return sent[-1]

        house.streams.append_send = send
        house.streams.guard.reason = "VENUE_CHANGED"
        count = len(house.streams.log)
        sending = asyncio.ensure_future(house.desk.room.send(instruction()))
        await eventually(lambda: sent)
        if end == "broken":
            sent[0].set_exception(ConnectionError("it ended"))
        elif end == "refused":
            sent[0].set_result(ServerError("OOM", "no room"))
            with pytest.raises(Refusal, match="LOG_UNAVAILABLE") as refused:
                await sending
            assert refused.value.detail == {"reason": "VENUE_CHANGED"}
            assert house.streams.guard.checked_s == float("-inf")
        elif end == "called away":
            sending.cancel()
        if end in ("silence", "broken"):
            assert (await sending)[:3] == (None, 0, False)
        assert len(sent) == 1 and len(house.streams.log) == count


async def test_what_is_sent_at_once_is_answered(tmp_path: Path) -> None:
    """The reply says where the entry stands, and the tail what it caused."""
    async with House(tmp_path) as house:

        def send(_keys: Any, fields: Any) -> "asyncio.Future[Any]":
            seq = house.streams.entry_add(fields)
            house.streams.publish(seq, house.engine.apply(seq, fields))
            future = asyncio.get_running_loop().create_future()
            future.set_result(log_id(seq))
            return future

        house.streams.append_send = send
        outcome = await house.desk.room.send(instruction())
        assert outcome.cause is not None and outcome.cause.response["result"] == "OK"


async def test_an_append_that_was_not_sent_in_time_never_is(tmp_path: Path) -> None:
    """One that waits for a connection at its deadline is refused for certain: the transport may not send it later."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        gate, handovers = asyncio.Event(), []

        async def waiting(_keys: Any, _fields: Any, _deadline_s: float, handover: Handover) -> Any:
            handovers.append(handover)
            await gate.wait()
            return Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")

        house.streams.append = waiting  # type: ignore[method-assign]
        with pytest.raises(Refusal) as refused:
            await house.desk.room.send(instruction())
        assert (refused.value.code, refused.value.detail["reason"]) == ("LOG_UNAVAILABLE", "UNREACHABLE")
        with pytest.raises(StreamsDown):
            handovers[0].take()
        gate.set()


async def test_a_repeat_is_answered_with_the_first_outcome(tmp_path: Path) -> None:
    """The same id and body answers what the first sending did, from the events or, when those are gone, the outcome."""
    async with House(tmp_path) as house:
        first = await house.desk.room.send(one := instruction())
        again = await house.desk.room.send(one)
        assert (again.cause, again.replay) == (first.cause, True)
        house.streams.events = [entry for entry in house.streams.events if entry.seq != first.seq]
        stored = await house.desk.room.send(one)
        assert first.cause is not None
        assert stored.cause is not None
        assert (stored.cause.response, stored.cause.events, stored.replay) == (first.cause.response, [], True)
        other = await house.desk.room.send(one._replace(fields=BUY | {"qty": "0.002"}))
        assert other.cause is not None
        assert other.cause.response["result"] == "REQUEST_ID_REUSED"


async def test_a_long_entry_in_chunks_is_answered(tmp_path: Path) -> None:
    """An answer in a later chunk is found, and the events of the chunks before it are not lost."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="1") as house:
        streams = house.streams
        streams.silent = True
        waiting = asyncio.ensure_future(house.desk.room.send(one := instruction()))
        await eventually(lambda: house.desk.tail._waiters)
        events = streams.engine.apply(2, one.entry())
        first = events_entry(2, events[1:], event_id(1, 0), NOW_US)
        second = events_entry(2, events[:1], event_id(2, 0), NOW_US)._replace(chunk=1)
        streams.events += [first, second]
        streams.applied.set()
        outcome = await waiting
        assert outcome.cause is not None
        assert len(outcome.cause.events) == 3


async def test_tail_notes_whom_entries_touch_without_parsing() -> None:
    """An entry that nobody waits for is not parsed, yet its accounts are known for reading one's own writes."""
    streams, log = FakeStreams(EngineToy(), Clock()), Log()
    tail = tail_of(streams, log)
    await tail.start()
    assert tail.touched(105) == (1, 0)
    entry = events_entry(9, [], event_id(1, 0), NOW_US)._replace(accounts=b"105,106", data=b"not json")
    tail.take(entry)
    assert (tail.touched(105), tail.touched(106), tail.touched(107)) == ((9, 0), (9, 0), (1, 0))


async def test_a_broken_chain_is_refused() -> None:
    """An entry whose predecessor is not the one read last ends the process: what lies between was never seen."""
    streams, log = FakeStreams(EngineToy(), Clock()), Log()
    tail = tail_of(streams, log)
    await tail.start()
    tail.take(events_entry(5, [{"e": "x", "account": 105}], event_id(1, 0), NOW_US))
    with pytest.raises(HistoryWentBack, match="9-0 follows"):
        tail.take(events_entry(9, [{"e": "x", "account": 106}], event_id(7, 0), NOW_US))
    assert (tail.position, tail.touched(105)) == ((5, 0), (5, 0))


async def test_trimmed_beyond_what_was_read_is_no_loss() -> None:
    """Where the stream begins after the entry read last, reading goes on there, and what was known is forgotten."""
    streams, log = FakeStreams(EngineToy(), Clock()), Log()
    tail = tail_of(streams, log)
    await tail.start()
    tail.take(events_entry(5, [{"e": "x", "account": 105}], event_id(1, 0), NOW_US))
    streams.events = [events_entry(9, [{"e": "x", "account": 106}], event_id(8, 0), NOW_US)]
    reading = asyncio.ensure_future(tail.run())
    await eventually(lambda: tail.position == (9, 0))
    assert (tail.touched(105), log.lines[-1][0]) == ((9, 0), "events_trimmed_unread")
    streams.publish(10, [])
    await eventually(lambda: tail.position == (10, 0))
    streams.events.append(events_entry(12, [], event_id(11, 0), NOW_US))
    streams.applied.set()
    with pytest.raises(HistoryWentBack):
        await reading


async def test_a_waiting_append_is_refused_beyond_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many appends under way as there may be, the next is refused at once, for certain."""
    monkeypatch.setattr(instructions, "APPENDS_MAX", 2)
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        gate = asyncio.Event()

        async def hang(_keys: Any, _fields: Any, _deadline_s: float, handover: Handover) -> Any:
            handover.take()
            await gate.wait()
            return Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")

        house.streams.append = hang  # type: ignore[method-assign]
        for _ in range(2):
            assert (await house.desk.room.send(instruction())).cause is None
        with pytest.raises(Refusal) as refused:
            await house.desk.room.send(instruction())
        assert refused.value.detail["reason"] == "APPENDS_WAITING_MAX"
        gate.set()
        await eventually(lambda: not house.desk.room._appends)


async def test_the_tail_resumes_where_it_stopped() -> None:
    """After a lost connection nothing that was published meanwhile is missed."""
    streams, log = FakeStreams(EngineToy(), Clock()), Log()
    tail = tail_of(streams, log)
    await tail.start()
    room = WaitingRoom(streams, streams.keys, tail, 2.0, lambda: 0.0)  # type: ignore[arg-type]
    reading = asyncio.ensure_future(tail.run())
    streams.down = True
    streams.applied.set()
    await asyncio.sleep(0.02)
    assert not tail.connected
    with pytest.raises(Refusal, match="LOG_UNAVAILABLE"):
        await room.send(instruction())
    streams.publish(2, [{"e": "x", "account": 105}])
    streams.down = False
    await asyncio.sleep(0.15)
    assert (tail.connected, tail.position, tail.touched(105)) == (True, (2, 0), (2, 0))
    reading.cancel()


@pytest.mark.parametrize("loss", ["cut", "changed", "deleted in silence", "replaced", "replaced unseen"])
async def test_a_history_that_went_back_is_refused(loss: str) -> None:
    """When the stream lost or changed what this process has read, it stops instead of reading on."""
    streams, log = FakeStreams(EngineToy(), Clock()), Log()
    tail = tail_of(streams, log)
    await tail.start()
    tail.take(events_entry(5, [], event_id(1, 0), NOW_US))
    tail.connected = loss == "deleted in silence"
    streams.impatient = True
    if loss == "changed":
        streams.events.append(events_entry(5, [{"e": "other"}], event_id(1, 0), NOW_US))
    if loss.startswith("replaced"):
        # The lost tail was written anew, past the entry that was read: only its absence tells.
        streams.events += [events_entry(4, [], event_id(1, 0), NOW_US), events_entry(7, [], event_id(4, 0), NOW_US)]
    if loss == "replaced unseen":
        # The client found its idle connection broken and opened another by itself; the next entry claims to follow.
        streams.events[-1] = events_entry(7, [], event_id(5, 0), NOW_US)
        tail.connected, streams.losses = True, 1
    with pytest.raises(HistoryWentBack):
        await tail.run()
