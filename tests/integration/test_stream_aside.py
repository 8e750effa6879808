"""Writes beside a client: sent without waiting, and every failure said at the next look, whatever the network does."""

import time
from collections.abc import Iterator

import pytest

from shared.clock import monotonic_s
from shared.stream_aside import UNDER_WAY_MAX, Aside
from shared.stream_guard import Conversation, ask
from shared.streams import Streams, StreamsDown, StreamsRefused
from tests.faults.proxy import proxied
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import KEYS, found

BEAT = {"who": "x", "counter": 2, "run_id": "y"}
VIEWS = {"BTC_USDC_PERP": {"bid": "1.0", "seq": "7"}, "ETH_USDC_PERP": {"bid": "2.0", "seq": "8"}}


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a server that may be paused and killed."""
    with own_redis() as server:
        yield server


def all_three(aside: Aside) -> None:
    """Write everything that is written aside."""
    aside.leader_write(KEYS, BEAT)
    aside.heartbeat(KEYS, "engine", {"pid": 1})
    aside.view_markets_write(KEYS, VIEWS)


def all_three_settled(aside: Aside) -> None:
    """Write it, and wait for the answers."""
    all_three(aside)
    aside.settle()


def many(aside: Aside, count: int) -> None:
    """Write so many heartbeats."""
    for counter in range(count):
        aside.leader_write(KEYS, BEAT | {"counter": counter})
        assert len(aside.under_way) <= UNDER_WAY_MAX


def test_what_is_sent_aside_is_written(redis_url: str) -> None:
    """The three verbs write what they write on the client itself, in their order, and end answered."""
    streams = found(redis_url)
    aside = Aside(streams)
    aside.look()
    aside.settle()
    assert aside.twin is None, "no connection before there is something to write"
    all_three(aside)
    aside.settle()
    assert (len(aside.under_way), aside.bytes_count) == (0, 0)
    assert aside.leader_read(KEYS) == BEAT
    assert streams.heartbeats_read(KEYS) == {"engine": {"pid": 1}}
    for market, fields in VIEWS.items():
        assert streams.hash_read(KEYS.view_market(market)) == fields
    many(aside, 3 * UNDER_WAY_MAX)
    aside.settle()
    aside.close()
    assert streams.leader_read(KEYS) == BEAT | {"counter": 3 * UNDER_WAY_MAX - 1}
    assert streams.losses == 0
    streams.close()


def test_nothing_is_waited_for(own: OwnRedis) -> None:
    """While the server stands still a write returns at once; answers that are late are a lost connection."""
    now = [monotonic_s()]
    found(own.url).close()
    streams = Streams(own.url, timeout_s=1.0, monotonic_s=lambda: now[0])
    aside = Aside(streams)
    aside.leader_write(KEYS, BEAT)
    aside.settle()
    own.pause()
    began_s = time.monotonic()
    all_three(aside)
    aside.look()
    assert time.monotonic() - began_s < 0.5
    assert len(aside.under_way) == 3
    now[0] += 1.1
    with pytest.raises(StreamsDown):
        aside.look()
    assert (aside.twin, len(aside.under_way), streams.losses) == (None, 0, 1)
    own.resume()
    all_three(aside)
    aside.settle()
    aside.close()
    streams.close()


def test_many_answers_are_waited_for(own: OwnRedis) -> None:
    """More than may be under way waits for the oldest, and no longer than an answer may take."""
    found(own.url).close()
    streams = Streams(own.url, timeout_s=0.3)
    aside = Aside(streams)
    aside.leader_write(KEYS, BEAT)
    own.pause()
    with pytest.raises(StreamsDown):
        many(aside, 2 * UNDER_WAY_MAX)
    assert streams.losses == 1
    own.resume()
    streams.close()


def test_an_error_is_told_with_the_next_write(own: OwnRedis) -> None:
    """A refusal by the server is raised by the next look, the connection stays, and later writes are written."""
    streams = found(own.url)
    aside = Aside(streams)
    streams.converse(command("CONFIG", "SET", "maxmemory", 1))
    aside.leader_write(KEYS, BEAT | {"counter": 3})
    with pytest.raises(StreamsRefused, match="OOM"):
        aside.settle()
    aside.heartbeat(KEYS, "engine", {"pid": 1})
    eventually_answered(aside)
    with pytest.raises(StreamsRefused, match="OOM"):
        aside.leader_write(KEYS, BEAT | {"counter": 3})
    aside.settle()
    streams.converse(command("CONFIG", "SET", "maxmemory", 0))
    aside.leader_write(KEYS, BEAT | {"counter": 4})
    aside.settle()
    assert streams.leader_read(KEYS) == BEAT | {"counter": 4}
    assert streams.losses == 0
    aside.close()
    streams.close()


@pytest.mark.parametrize("fault", ["cut_request", "cut_in_batch", "cut_reply"])
def test_a_lost_connection_is_the_clients_loss(redis_url: str, fault: str) -> None:
    """However the connection breaks, the client learns that one was lost, and the next write opens another."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams(url, timeout_s=1.0)
        aside = Aside(streams)
        aside.leader_write(KEYS, BEAT)
        aside.settle()
        proxy.set(fault, b"leader")
        aside.leader_write(KEYS, BEAT | {"counter": 3})
        with pytest.raises(StreamsDown):
            aside.settle()
        assert (streams.losses, streams.settled, proxy.hit) == (1, False, 1)
        aside.leader_write(KEYS, BEAT | {"counter": 4})
        aside.settle()
        assert aside.leader_read(KEYS) == BEAT | {"counter": 4}
        aside.close()
        streams.close()


def test_a_server_that_is_gone_is_not_waited_for(own: OwnRedis) -> None:
    """A write to a server that has ended, before or after it was connected, raises StreamsDown each time."""
    streams = found(own.url)
    aside = Aside(streams)
    aside.leader_write(KEYS, BEAT)
    aside.settle()
    own.kill()
    losses = streams.losses
    for _ in range(2):
        with pytest.raises(StreamsDown):
            all_three_settled(aside)
    assert streams.losses == losses + 2
    aside.close()
    streams.close()


def eventually_answered(aside: Aside) -> None:
    """Return when the answer under way can be read."""
    deadline_s = time.monotonic() + 10
    while not aside.twin.connection.can_read(0.05):
        assert time.monotonic() < deadline_s


def command(*words: str | int) -> Conversation[None]:
    """Run one command."""
    yield from ask(list(words))
