"""What keeps an append away: a full, read-only, restarted or paused server, a clock apart, a refusal, another venue."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared.clock import now_us
from shared.stream_guard import Conversation, ask
from shared.streams import (
    Streams,
    StreamsAsync,
    StreamsDown,
    StreamsRefused,
    event_id,
)
from tests.faults.proxy import proxied
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import ACCEPTED, KEYS, REFUSED, TICK, UNKNOWN, event, found, lead


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a server that may be killed and turned off."""
    with own_redis() as server:
        yield server


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
    assert streams.append_engine(KEYS, TICK).seq == 4, "leadership keeps its room"
    streams.publish(KEYS, [event(2, event_id(1, 0))])
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    assert streams.append(KEYS, TICK).seq == 5, "a standing reason is looked at again with every try"
    streams.converse(command("CONFIG", "SET", "maxmemory", 1))
    refused = streams.append(KEYS, TICK)
    assert (refused.status, refused.reason) == (REFUSED, "OOM")
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    assert streams.append(KEYS, TICK).seq == 6
    streams.converse(command("CONFIG", "SET", "maxmemory", 1))
    assert [item.reason for item in streams.append_many(KEYS, [TICK, TICK])] == ["OOM", "OOM"]
    with pytest.raises(StreamsRefused):
        streams.publish(KEYS, [event(3, event_id(2, 0)), event(4, event_id(3, 0))])
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    assert (streams.log_tip(KEYS), streams.events_tip(KEYS)) == (6, (2, 0))
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


def test_restart_within_a_second_is_noticed(own: OwnRedis) -> None:
    """A server that came back before the next check was due is asked who it is before anything is appended to it."""
    streams = found(own.url)
    assert streams.append(KEYS, TICK).seq == 2
    own.kill()
    own.start()
    appended = streams.append(KEYS, TICK)
    assert (appended.status, appended.reason) == (REFUSED, "RUN_ID_NOT_NAMED")
    assert streams.log_tip(KEYS) == 2
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


def command(*words: object) -> Conversation[list[Any]]:
    """Return a conversation of one command, for what no verb does."""
    return ask([word if isinstance(word, int) else str(word) for word in words])
