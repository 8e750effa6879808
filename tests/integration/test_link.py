"""The engine's link and its publisher against a real server: what it publishes, refuses, loses and takes up again."""

import functools
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from engine.link import Frame, Link, Question, ReadTexts, entries_expect, head_of
from engine.link_port import SocketPort, port_of
from engine.publish import Last
from engine.publish_fast import FastPublisher
from shared.stream_guard import pack
from shared.stream_keys import StreamsError, event_id, log_id
from shared.streams import Streams, StreamsDown, StreamsRefused, StreamsUnknown
from shared.wire_events import Output
from tests.faults.proxy import proxied
from tests.integration.engine_process import events_all
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import KEYS, TICK, found

TIMEOUT_S = 0.4


def outputs(first_seq: int, last_seq: int, data: bytes = b"[{}]") -> list[Output]:
    """Return one output a seq, chained."""
    before = {1: b"0-0"}
    return [
        Output(seq, 0, seq, before.get(seq, event_id(seq - 1, 0)), b"101", data)
        for seq in range(first_seq, last_seq + 1)
    ]


def publisher_of(url: str, timeout_s: float = TIMEOUT_S) -> FastPublisher:
    """Return a publisher with an open link of its own."""
    streams = Streams.connect(url, timeout_s=timeout_s)
    link = Link(functools.partial(port_of, streams), timeout_s, streams.lost)
    link.open()
    return FastPublisher(link, streams, KEYS, Last(0, 0, ""))


def reconnect(publisher: FastPublisher) -> None:
    """Open the link again and forget what was believed, as a runner does after a loss."""
    publisher.link.open()
    publisher.reconnected()


def publish_all(publisher: FastPublisher, applied_seq: int) -> None:
    """Publish and read back until nothing is kept."""
    while publisher.kept:
        publisher.publish()
        publisher.compare(applied_seq)


def close(publisher: FastPublisher) -> None:
    """Hang up."""
    publisher.link.close()
    publisher.streams.close()


def log_read(link: Link, after_seq: int, count: int, block_ms: int | None = None) -> Frame:
    """Return the answer about the log's entries."""
    frames: list[Frame] = []
    link.ask(
        Question((ReadTexts(KEYS.log)(count, block_ms, log_id(after_seq)),), frames.append, head=head_of(KEYS.log))
    )
    link.take_all()
    entries_expect(frames[0])
    return frames[0]


def test_outputs_of_every_size_are_published_and_read_back(redis_url: str) -> None:
    """One, many, and more than one transaction holds, from tiny to megabytes: the stream has them, nothing is kept."""
    found(redis_url).close()
    publisher = publisher_of(redis_url, 5.0)
    publisher.keep(outputs(1, 1))
    publish_all(publisher, 1)
    publisher.keep(outputs(2, 2_600))
    publisher.keep(outputs(2_601, 2_604, b'["' + b"x" * 3_000_000 + b'"]'))
    publisher.keep(outputs(2_605, 2_606))
    publish_all(publisher, 2_606)
    events = events_all(publisher.streams, KEYS)
    assert [tuple(entry) for entry in events[:2_600]] == [tuple(each) for each in outputs(1, 2_600)]
    assert [(entry.seq, len(entry.data)) for entry in events[2_600:]] == [
        *((seq, 3_000_004) for seq in range(2_601, 2_605)),
        (2_605, 4),
        (2_606, 4),
    ]
    assert publisher.memory()[0].seq == 2_606
    close(publisher)


def test_a_transaction_and_the_next_read_are_one_send(redis_url: str) -> None:
    """Asked together they are answered in order, and the read waits for its entry beside the transaction."""
    streams = found(redis_url)
    publisher = publisher_of(redis_url)
    publisher.keep(outputs(1, 3))
    frames: list[Frame] = []
    publisher.append_ask()
    question = ReadTexts(KEYS.log)(10, 300, log_id(1))
    publisher.link.ask(Question((question,), frames.append, head=head_of(KEYS.log)))
    publisher.link.send()
    publisher.link.take()
    assert (publisher.tip_id, frames) == ((3, 0), [])
    streams.append(KEYS, TICK)
    publisher.link.take()
    assert [frames[0].stream_id(index) for index in range(frames[0].entries)] == [log_id(2)]
    streams.close()
    close(publisher)


def test_what_the_server_refuses_stays_kept_and_goes_out_later(redis_url: str) -> None:
    """No memory, no permission, a replica: refused in the server's words, on a connection that lives on."""
    client = redis.Redis.from_url(redis_url)
    found(redis_url).close()
    publisher = publisher_of(redis_url)
    publisher.keep(outputs(1, 2))
    for break_it, mend_it, words in (
        (("CONFIG", "SET", "maxmemory", "1mb"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
        (("ACL", "SETUSER", "default", "-xadd"), ("ACL", "SETUSER", "default", "+xadd"), "NOPERM"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "READONLY"),
    ):
        client.execute_command(*break_it)
        try:
            for _ in range(2):
                with pytest.raises(StreamsRefused, match=words):
                    publisher.publish()
        finally:
            client.execute_command(*mend_it)
    assert publisher.streams.losses == 0
    publish_all(publisher, 2)
    assert [entry.seq for entry in events_all(publisher.streams, KEYS)] == [1, 2]
    client.close()
    close(publisher)


def test_a_stream_that_is_absent_is_made_by_genesis_alone(redis_url: str) -> None:
    """Only what the first entry causes may make the events; one alone and many in a transaction."""
    found(redis_url).close()
    for count in (1, 3):
        publisher = publisher_of(redis_url)
        publisher.keep(outputs(2, 1 + count))
        with pytest.raises(StreamsRefused, match="absent"):
            publisher.publish()
        close(publisher)
    publisher = publisher_of(redis_url)
    publisher.keep(outputs(1, 4))
    publish_all(publisher, 4)
    assert len(events_all(publisher.streams, KEYS)) == 4
    close(publisher)


@pytest.mark.parametrize("fault", ["cut_request", "cut_in_batch", "cut_reply", "deaf"])
def test_a_transaction_without_an_answer_is_looked_up(redis_url: str, fault: str) -> None:
    """Whether it arrived or not, the stream holds each output once afterwards."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        publisher = publisher_of(url)
        publisher.keep(outputs(1, 3))
        publish_all(publisher, 3)
        publisher.keep(outputs(4, 6))
        proxy.set(fault, b"EXEC")
        with pytest.raises(StreamsUnknown):
            publisher.publish()
        assert publisher.streams.losses == 1
        reconnect(publisher)
        publish_all(publisher, 6)
        assert [entry.seq for entry in events_all(publisher.streams, KEYS)] == [1, 2, 3, 4, 5, 6]
        close(publisher)


@pytest.mark.parametrize("words", [b"-LOADING Redis is loading\r\n", b"-NOAUTH No.\r\n", b"-MOVED 1 x:1\r\n"])
def test_an_error_to_everything_is_a_refusal(redis_url: str, words: bytes) -> None:
    """Every command of the transaction answered by the same error: refused once, in its words, and kept."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        publisher = publisher_of(url)
        publisher.keep(outputs(1, 3))
        proxy.set("answer", b"EXEC", words * 5)
        with pytest.raises(StreamsRefused, match=words[1:4].decode()):
            publisher.publish()
        publish_all(publisher, 3)
        assert len(events_all(publisher.streams, KEYS)) == 3
        close(publisher)


@pytest.mark.parametrize("rubbish", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+QUEUED\r\nSSH-2.0\r\n", b"$-9\r\n"])
def test_rubbish_is_a_lost_connection(redis_url: str, rubbish: bytes) -> None:
    """Whoever answers with something else was perhaps not the server: nothing is believed, everything looked up."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        publisher = publisher_of(url)
        publisher.keep(outputs(1, 3))
        proxy.set("answer", b"EXEC", rubbish)
        with pytest.raises(StreamsUnknown):
            publisher.publish()
        reconnect(publisher)
        publish_all(publisher, 3)
        assert len(events_all(publisher.streams, KEYS)) == 3
        close(publisher)


def test_answers_byte_by_byte_and_half_closed_connections(redis_url: str) -> None:
    """A trickle is waited for; a connection whose other half is closed is a lost one."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        publisher = publisher_of(url)
        publisher.keep(outputs(1, 3))
        proxy.turn("trickle")
        publish_all(publisher, 3)
        assert log_read(publisher.link, 0, 10).entries == 1
        proxy.turn("")
        proxy.turn("half_close")
        publisher.keep(outputs(4, 4))
        with pytest.raises(StreamsError):
            publisher.publish()
        proxy.turn("")
        reconnect(publisher)
        publish_all(publisher, 4)
        assert len(events_all(publisher.streams, KEYS)) == 4
        close(publisher)


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a server that may be paused and killed."""
    with own_redis() as server:
        yield server


def test_a_server_that_stands_still_costs_one_time_out(own: OwnRedis) -> None:
    """Neither an answer that does not come nor a send that nobody takes is waited for longer."""
    streams = found(own.url)
    publisher = publisher_of(own.url)
    own.pause()
    for text in (pack([["PING"]]), pack([["ECHO", b"x" * 30_000_000]])):
        began_s = time.monotonic()
        publisher.link.ask(Question((text,), lambda _frame: None))
        with pytest.raises(StreamsDown):
            publisher.link.take_all()
        assert time.monotonic() - began_s < 5 * TIMEOUT_S
        own.resume()
        publisher.link.open()
        own.pause()
    own.resume()
    assert log_read(publisher.link, 0, 10).entries == 1
    streams.close()
    close(publisher)


def test_a_server_that_is_killed_and_comes_back(own: OwnRedis) -> None:
    """The link breaks, no connection is to be had while it is away, and afterwards nothing is missing or doubled."""
    streams = found(own.url)
    publisher = publisher_of(own.url)
    publisher.keep(outputs(1, 500))
    publish_all(publisher, 500)
    publisher.keep(outputs(501, 600))
    publisher.append_ask()
    own.kill()
    with pytest.raises(StreamsUnknown):
        publisher.link.take_all()
    with pytest.raises(StreamsDown):
        publisher.link.open()
    own.start()
    reconnect(publisher)
    publish_all(publisher, 600)
    assert [entry.seq for entry in events_all(publisher.streams, KEYS)] == list(range(1, 601))
    streams.close()
    close(publisher)


def test_a_user_and_a_database_are_those_of_the_url(own: OwnRedis) -> None:
    """The link signs in as the client does and sees the same database; who may not sign in has no connection."""
    client: Any = redis.Redis.from_url(own.url)
    client.execute_command("ACL", "SETUSER", "engine", "on", ">secret", "~*", "+@all")
    client.close()
    url = own.url.replace("unix://", "unix://engine:secret@")
    streams = found(f"{url}?db=3")
    publisher = publisher_of(f"{url}?db=3")
    assert isinstance(publisher.link.port, SocketPort)
    assert log_read(publisher.link, 0, 10).entries == 1
    close(publisher)
    with pytest.raises(StreamsDown):
        port_of(Streams(own.url.replace("unix://", "unix://engine:wrong@")))
    streams.close()
