"""The verbs against a real server that is full, read-only, restarted, paused, or cut off in the middle of a word."""

import asyncio
import os
import time
from typing import Any

import pytest

from shared.clock import now_us
from shared.stream_guard import Conversation, ask
from shared.streams import (
    SEQ_BASE,
    DuplicateId,
    Entry,
    Fields,
    Streams,
    StreamsAsync,
    StreamsDown,
    StreamsRefused,
    StreamsUnknown,
    event_id,
    events_digest,
    log_digest,
    log_id,
    seq_of_log_id,
)
from tests.faults.proxy import proxied
from tests.streams_house import KEYS, REFUSED, TICK, UNKNOWN, event, found, lead


def test_log_is_dense(redis_url: str) -> None:
    """Genesis is 1, exists once, and every append counts on by one, whatever its content."""
    streams = found(redis_url)
    assert not streams.genesis(KEYS, TICK)
    assert [streams.append(KEYS, TICK).seq for _ in range(3)] == [2, 3, 4]
    hostile: Fields = [(b"", b"\xff\x00"), (b"x", b"1"), (b"x", b"2")]
    assert [item.seq for item in streams.append_many(KEYS, [TICK, hostile])] == [5, 6]
    entries = streams.read_log(KEYS, 0, 100)
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[-1] == Entry(6, hostile)
    assert streams.range_log(KEYS, 2, 3, 10) == entries[1:3]
    assert (streams.log_first(KEYS), streams.log_tip(KEYS)) == (1, 6)
    assert log_digest(entries[4]) != log_digest(entries[5])
    streams.close()


def test_foreign_ids_keep_their_order() -> None:
    """An id that is none of ours is a number beyond all of ours, and never the next one."""
    assert log_id(57) == b"1000000000000000-57"
    assert seq_of_log_id(log_id(57)) == 57
    foreign = seq_of_log_id(b"%d-0" % (SEQ_BASE + 1))
    assert foreign > 2**63
    assert log_id(foreign) == b"%d-0" % (SEQ_BASE + 1)
    assert seq_of_log_id(b"5-3") < 0


def test_absent_log_is_not_created(redis_url: str) -> None:
    """Nobody but genesis makes the stream: an append to none is refused and leaves nothing."""
    streams = Streams.connect(redis_url)
    lead(streams)
    appended = streams.append(KEYS, TICK)
    assert (appended.status, appended.reason) == (REFUSED, "LOG_ABSENT")
    assert streams.log_tip(KEYS) == 0
    with pytest.raises(StreamsRefused):
        streams.publish(KEYS, [event(1, b"0-0")])
    assert streams.events_tip(KEYS) == (0, 0)
    streams.close()


def test_publish_twice_is_said(redis_url: str) -> None:
    """An id that is there is refused by the server and named; what is new in the same batch is there once."""
    streams = found(redis_url)
    first = [event(1, b"0-0"), event(1, event_id(1, 0), chunk=1)]
    streams.publish(KEYS, first, create=True)
    with pytest.raises(DuplicateId) as caught:
        streams.publish(KEYS, [*first, event(3, event_id(1, 1))])
    assert caught.value.ids == [event_id(1, 0), event_id(1, 1)]
    with pytest.raises(DuplicateId):
        streams.publish(KEYS, [event(2, event_id(1, 1))])
    read = streams.read_events(KEYS, (0, 0), 10)
    assert [(entry.seq, entry.chunk, entry.previous) for entry in read] == [
        (1, 0, b"0-0"),
        (1, 1, event_id(1, 0)),
        (3, 0, event_id(1, 1)),
    ]
    assert len({events_digest(entry) for entry in read}) == 3
    assert (streams.events_first(KEYS), streams.events_tip(KEYS)) == ((1, 0), (3, 0))
    assert streams.range_events(KEYS, (1, 1), (3, 0), 10) == read[1:]
    streams.close()


@pytest.mark.parametrize(
    ("fault", "applied"), [("cut_request", 0), ("cut_reply", 1), ("deaf", 1)], ids=["before", "after", "silence"]
)
def test_lost_answer_is_unknown(redis_url: str, fault: str, applied: int) -> None:
    """A connection lost after sending leaves it open whether it was applied, and nothing is sent a second time."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url, timeout_s=0.3)
        assert streams.append(KEYS, TICK).seq == 2
        proxy.set(fault, b"XADD")
        assert streams.append(KEYS, TICK).status is UNKNOWN
        assert proxy.hit == 1
        assert streams.log_tip(KEYS) == 2 + applied
        proxy.set(fault, b"XADD")
        assert {item.status for item in streams.append_many(KEYS, [TICK] * 5)} == {UNKNOWN}
        assert streams.log_tip(KEYS) == 2 + 6 * applied
        assert streams.append(KEYS, TICK).seq == 3 + 6 * applied
        assert streams.losses == 2
        streams.close()


@pytest.mark.parametrize("code", ["LOADING", "MISCONF", "NOAUTH", "NOPERM", "OOM", "READONLY", "ERR"])
def test_answered_errors_are_refused(redis_url: str, code: str) -> None:
    """Whatever error the server answers, the append was certainly not applied, and the reason is the server's."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url, timeout_s=0.5)
        assert streams.append(KEYS, TICK).seq == 2
        proxy.set("answer", b"XADD", b"-%b for some reason\r\n" % code.encode())
        appended = streams.append(KEYS, TICK)
        assert (appended.status, appended.reason) == (REFUSED, code)
        assert streams.append(KEYS, TICK).seq == 3
        streams.close()


def test_idle_connection_closed_by_server(redis_url: str) -> None:
    """A connection that was closed while idle is noticed before sending: the append is accepted, not unknown."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url)
        assert streams.append(KEYS, TICK).seq == 2
        proxy.cut()
        time.sleep(0.02)
        assert streams.append(KEYS, TICK).seq == 3
        assert streams.losses == 1
        streams.close()


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply", "idle"])
def test_publish_after_a_loss_looks_first(redis_url: str, fault: str) -> None:
    """After a lost connection nothing is published until the events' tip was read."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url, timeout_s=0.5)
        streams.publish(KEYS, [event(1, b"0-0")], create=True)
        batch = [event(2, event_id(1, 0)), event(3, event_id(2, 0))]
        if fault == "idle":
            proxy.cut()
            time.sleep(0.02)
            with pytest.raises(StreamsDown):
                streams.publish(KEYS, batch)
        else:
            proxy.set(fault, b"XADD")
            with pytest.raises(StreamsUnknown):
                streams.publish(KEYS, batch)
        with pytest.raises(StreamsDown):
            streams.publish(KEYS, batch)
        streams.ping()
        with pytest.raises(StreamsDown):
            streams.publish(KEYS, batch)
        tip = streams.events_tip(KEYS)
        assert tip == ((3, 0) if fault == "cut_reply" else (1, 0))
        if tip == (3, 0):
            with pytest.raises(DuplicateId):
                streams.publish(KEYS, batch)
        else:
            streams.publish(KEYS, batch)
        assert streams.events_tip(KEYS) == (3, 0)
        streams.close()


def test_read_waits_longer_than_the_timeout(redis_url: str) -> None:
    """A blocking read may be silent for its whole BLOCK, although that is longer than an answer may take."""
    found(redis_url).close()
    streams = Streams.connect(redis_url, timeout_s=0.2)
    began_s = time.monotonic()
    assert streams.read_log(KEYS, 1, 10, 600) == []
    assert 0.5 < time.monotonic() - began_s < 1.5
    assert streams.losses == 0
    streams.close()


def test_async_verbs_side_by_side(redis_url: str) -> None:
    """Coroutines append while another one waits in a read; a cancelled verb never leaves its answer to the next one."""
    found(redis_url).close()

    async def scene() -> None:
        streams = await StreamsAsync.connect(redis_url)
        reading = asyncio.create_task(streams.read_log(KEYS, 1, 1, 5_000))
        await asyncio.sleep(0.02)
        appended = await asyncio.gather(*(streams.append(KEYS, TICK) for _ in range(50)))
        assert sorted(item.seq for item in appended) == list(range(2, 52))
        assert [entry.seq for entry in await reading] == [2]
        for _ in range(20):
            task = asyncio.create_task(streams.append(KEYS, TICK))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        many = await asyncio.gather(*(streams.get_json("nothing") for _ in range(30)))
        assert many == [None] * 30
        tip = await streams.log_tip(KEYS)
        assert 51 <= tip <= 71
        assert (await streams.append(KEYS, TICK)).seq == tip + 1
        await streams.close()

    asyncio.run(scene())


def test_messages_are_heard(redis_url: str) -> None:
    """Who listens hears which market's view was written, and reads it."""

    async def scene() -> None:
        streams = await StreamsAsync.connect(redis_url)
        heard = streams.listen(KEYS.markets_channel)
        first = asyncio.ensure_future(anext(heard))
        while not first.done():
            await streams.view_markets_write(KEYS, {"BTC_USDC_PERP": {"bid": "1.5", "fresh": "1"}})
            await asyncio.sleep(0.01)
        assert await first == (KEYS.markets_channel, b"BTC_USDC_PERP")
        view = await streams.hash_read(KEYS.view_market("BTC_USDC_PERP"))
        assert view == {"bid": "1.5", "fresh": "1"}
        await heard.aclose()
        await streams.close()

    asyncio.run(scene())


def test_values(redis_url: str) -> None:
    """JSON, heartbeats and the server's settings come back as they were written."""
    streams = Streams.connect(redis_url)
    assert streams.leader_read(KEYS) is None
    streams.set_json("x", {"a": [1, "é"]}, expire_ms=60_000)
    assert streams.get_json("x") == {"a": [1, "é"]}
    streams.heartbeat(KEYS, "poller", {"pid": os.getpid()})
    assert streams.get_json(KEYS.process("poller")) == {"pid": os.getpid()}
    streams.converse(command("SET", KEYS.refused, "not JSON"))
    assert streams.get_json(KEYS.refused) == "not JSON", "what is there is never taken for absent"
    info = streams.server_info()
    assert (info["appendonly"], info["appendfsync"]) == (True, "always")
    assert abs(info["time_us"] - now_us()) < 1_000_000
    assert streams.venue() is None
    assert streams.venue_set("one") is True
    assert streams.venue_set("two") is False
    assert streams.venue() == "one"
    streams.close()


def test_nobody_there() -> None:
    """A server that does not exist is down at once, for reads and appends alike."""
    streams = Streams("unix:///tmp/tidemark-no-such-socket")
    with pytest.raises(StreamsDown):
        streams.ping()
    assert streams.append(KEYS, TICK).reason == "UNREACHABLE"


def command(*words: object) -> Conversation[list[Any]]:
    """Return a conversation of one command, for what no verb does."""
    return ask([word if isinstance(word, int) else str(word) for word in words])
