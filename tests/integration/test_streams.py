"""The verbs against a real server that is full, read-only, restarted, paused, or cut off in the middle of a word."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared.clock import now_us
from shared.stream_guard import Conversation, ask
from shared.streams import (
    SEQ_BASE,
    AppendStatus,
    DuplicateId,
    Entry,
    Fields,
    Keys,
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
from tests.store_servers import OwnRedis, own_redis, proxied

KEYS = Keys("streamtest")
TICK: Fields = [(b"ts", b"1"), (b"clock_tick", b"{}")]
ACCEPTED, REFUSED, UNKNOWN = AppendStatus.ACCEPTED, AppendStatus.REFUSED, AppendStatus.UNKNOWN


def lead(streams: Streams) -> None:
    """Name the server's run_id as the leading engine does."""
    streams.leader_write(KEYS, {"who": "x", "counter": 1, "run_id": streams.server_info()["run_id"]})


def found(url: str) -> Streams:
    """Return a client of a founded, led venue."""
    streams = Streams.connect(url)
    assert streams.genesis(KEYS, [(b"ts", b"1"), (b"genesis", b"{}")])
    streams.venue_set(KEYS.venue)
    lead(streams)
    return streams


def event(seq: int, previous: bytes, data: bytes = b"[]", chunk: int = 0) -> tuple[bytes, Fields]:
    """Return an events entry to publish."""
    return event_id(seq, chunk), [(b"t", b"7"), (b"p", previous), (b"a", b"101"), (b"d", data)]


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a server that may be killed and turned off."""
    with own_redis() as server:
        yield server


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


def test_full_memory_is_refused(own: OwnRedis) -> None:
    """From 80 % of maxmemory on producers stop while events go on; at 100 % the server's own refusal is certain too."""
    now = [0.0]
    found(own.url).close()
    streams = Streams.connect(own.url, monotonic_s=lambda: now[0])
    streams.publish(KEYS, [event(1, b"0-0")], create=True)
    assert streams.append(KEYS, TICK).seq == 2
    used = streams.server_info()["used_memory"]
    streams.converse(command("CONFIG", "SET", "maxmemory", int(used * 1.2)))
    assert streams.append(KEYS, TICK).seq == 3, "looked at once a second only"
    now[0] += 1.0
    appended = streams.append(KEYS, TICK)
    assert (appended.status, appended.reason) == (REFUSED, "LOG_FULL")
    streams.publish(KEYS, [event(2, event_id(1, 0))])
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    assert streams.append(KEYS, TICK).seq == 4, "a standing reason is looked at again with every try"
    streams.converse(command("CONFIG", "SET", "maxmemory", 1))
    refused = streams.append(KEYS, TICK)
    assert (refused.status, refused.reason) == (REFUSED, "OOM")
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    assert streams.append(KEYS, TICK).seq == 5
    streams.converse(command("CONFIG", "SET", "maxmemory", 1))
    assert [item.reason for item in streams.append_many(KEYS, [TICK, TICK])] == ["OOM", "OOM"]
    with pytest.raises(StreamsRefused):
        streams.publish(KEYS, [event(3, event_id(2, 0)), event(4, event_id(3, 0))])
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    assert (streams.log_tip(KEYS), streams.events_tip(KEYS)) == (5, (2, 0))
    streams.close()


def test_replica_refuses(own: OwnRedis) -> None:
    """A server that became a replica answers READONLY: certainly not applied."""
    streams = found(own.url)
    assert streams.append(KEYS, TICK).seq == 2
    streams.converse(command("REPLICAOF", "127.0.0.1", "1"))
    appended = streams.append(KEYS, TICK)
    assert (appended.status, appended.reason) == (REFUSED, "READONLY")
    assert [item.reason for item in streams.append_many(KEYS, [TICK, TICK])] == ["READONLY"] * 2
    streams.converse(command("REPLICAOF", "NO", "ONE"))
    assert streams.append(KEYS, TICK).seq == 3
    streams.close()


def test_restart_waits_for_the_leader(own: OwnRedis) -> None:
    """After a restart nothing is appended until the leader names the new run_id; the engine itself may append."""
    streams = found(own.url)
    assert streams.append(KEYS, TICK).seq == 2
    before = streams.server_info()["run_id"]
    own.kill()
    down = streams.append(KEYS, TICK)
    assert (down.status, down.reason) == (REFUSED, "UNREACHABLE")
    own.start()
    for _ in range(3):
        appended = streams.append(KEYS, TICK)
        assert (appended.status, appended.reason) == (REFUSED, "RUN_ID_NOT_NAMED")
    assert [item.reason for item in streams.append_many(KEYS, [TICK] * 2)] == ["RUN_ID_NOT_NAMED"] * 2
    assert streams.server_info()["run_id"] != before
    assert streams.log_tip(KEYS) == 2
    assert streams.append_engine(KEYS, TICK).seq == 3
    assert streams.append(KEYS, TICK).status is REFUSED
    lead(streams)
    assert streams.append(KEYS, TICK).seq == 4
    streams.close()


def test_paused_server_is_bounded(own: OwnRedis) -> None:
    """A server that hangs costs one time-out: a read is down, an append unknown, and both go on afterwards."""
    streams = found(own.url)
    streams.timeout_s = 0.3
    assert streams.append(KEYS, TICK).seq == 2
    own.pause()
    began_s = time.monotonic()
    assert streams.append(KEYS, TICK).status is UNKNOWN
    with pytest.raises(StreamsDown):
        streams.read_log(KEYS, 0, 1)
    assert time.monotonic() - began_s < 2.0
    own.resume()
    assert streams.log_tip(KEYS) == 3, "what was sent while it hung was applied afterwards"
    assert streams.append(KEYS, TICK).seq == 4
    streams.close()


@pytest.mark.parametrize("ahead", [-1, 1])
def test_clock_apart_is_refused(redis_url: str, ahead: int) -> None:
    """Two seconds between our clock and Redis's refuse an append; a little less does not, nor does a slow answer."""
    skew_us, now = [0], [0.0]
    found(redis_url).close()
    streams = Streams.connect(redis_url, clock_us=lambda: now_us() + skew_us[0], monotonic_s=lambda: now[0])
    assert streams.append(KEYS, TICK).seq == 2
    skew_us[0] = ahead * 1_800_000
    now[0] += 1.0
    assert streams.append(KEYS, TICK).seq == 3
    skew_us[0] = ahead * 2_100_000
    assert streams.append(KEYS, TICK).seq == 4, "compared once a second"
    now[0] += 1.0
    appended = streams.append(KEYS, TICK)
    assert (appended.status, appended.reason) == (REFUSED, "CLOCK_SKEW")
    skew_us[0] = 0
    assert streams.append(KEYS, TICK).seq == 5
    times = iter([now_us(), now_us() + 9_000_000])
    streams.guard.clock_us = lambda: next(times)
    now[0] += 1.0
    assert streams.append(KEYS, TICK).seq == 6
    streams.close()


def test_refusal_and_other_venue(redis_url: str) -> None:
    """While a refusal stands nobody appends, not even the engine; a pointer to another venue says so."""
    now = [0.0]
    found(redis_url).close()
    streams = Streams.connect(redis_url, monotonic_s=lambda: now[0])
    assert streams.append(KEYS, TICK).seq == 2
    streams.set_json(KEYS.refused, {"text": "no"})
    now[0] += 1.0
    assert streams.append(KEYS, TICK).reason == "REFUSAL_STANDS"
    assert streams.append_engine(KEYS, TICK).reason == "REFUSAL_STANDS"
    streams.delete(KEYS.refused)
    assert streams.append(KEYS, TICK).seq == 3
    streams.delete("tidemark:venue")
    streams.venue_set("otherlife1")
    streams.converse(command("DEL", KEYS.log))
    assert streams.append(KEYS, TICK).reason == "VENUE_CHANGED", "read again with the refused append"
    now[0] += 1.0
    assert streams.append(KEYS, TICK).reason == "VENUE_CHANGED"
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


def test_async_lost_answer_and_restart(own: OwnRedis) -> None:
    """The asyncio verbs tell refused from unknown as the blocking ones do, and obey the same guards."""
    found(own.url).close()

    async def scene() -> None:
        with proxied(own.url) as (proxy, url):
            streams = await StreamsAsync.connect(url, timeout_s=0.3)
            assert (await streams.append(KEYS, TICK)).seq == 2
            for fault, tip in (("cut_request", 2), ("cut_reply", 3), ("deaf", 4)):
                proxy.set(fault, b"XADD")
                assert (await streams.append(KEYS, TICK)).status is UNKNOWN
                assert await streams.log_tip(KEYS) == tip
            own.kill()
            # The proxy takes the connection and closes it: nothing was sent to be applied but the guard's questions.
            assert (await streams.append(KEYS, TICK)).reason == "UNREACHABLE"
            own.start()
            assert (await streams.append(KEYS, TICK)).reason == "RUN_ID_NOT_NAMED"
            info = await streams.server_info()
            await streams.leader_write(KEYS, {"run_id": info["run_id"]})
            assert (await streams.append(KEYS, TICK)).status is ACCEPTED
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
