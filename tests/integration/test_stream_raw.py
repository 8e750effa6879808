"""Reading the log as the bytes of an answer, against a real server: the same entries, the same failures, no more."""

from typing import Any

import pytest

from engine.core.kernel import JIT
from engine.log_reply import LogReader, LogReply
from shared.stream_raw import RawEntries, entries_of
from shared.streams import Entry, Fields, Streams, StreamsDown, StreamsRefused
from tests.faults.proxy import proxied
from tests.property.canonical_inputs import history
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import KEYS, TICK, found


def entries_raw(streams: Streams, after_seq: int, count: int, block_ms: int | None = None) -> list[Entry]:
    """Return the entries of a raw answer."""
    reply = streams.read_log_raw(KEYS, after_seq, count, block_ms)
    assert isinstance(reply, RawEntries), "the transport gave no bytes"
    return list(LogReply(*reply))


def test_raw_reads_are_the_reads(redis_url: str) -> None:
    """The bytes hold the entries of the ordinary verb, whatever stands in them and however many are asked for."""
    streams = found(redis_url)
    streams.append_many(KEYS, [entry.fields for entry in history(7, 3_000)])
    hostile: list[Fields] = [
        [(b"", b"\xff\x00\r\n"), (b"x", b"-ERR no\r\n")],
        [(b"a", b"$32\r\n" + b"0" * 32 + b"\r\n"), (b"big", bytes(range(256)) * 3_000)],
    ]
    streams.append_many(KEYS, hostile)
    tip = streams.log_tip(KEYS)
    for after_seq, count in ((0, 10_000), (0, 1), (5, 7), (tip - 3, 100), (tip - 1, 1), (tip, 10)):
        assert entries_raw(streams, after_seq, count) == streams.read_log(KEYS, after_seq, count)
    assert entries_raw(streams, tip, 10, block_ms=20) == []
    assert streams.log_tip(KEYS) == tip, "the connection stands where it should"
    streams.close()


def test_the_engines_read_uses_the_bytes(redis_url: str) -> None:
    """What the engine reads by is a LogReply with the compiler, and equal entries in any case."""
    streams = found(redis_url)
    streams.append(KEYS, TICK)
    entries = LogReader(streams, KEYS).read(0, 10, None)
    assert list(entries) == streams.read_log(KEYS, 0, 10)
    assert isinstance(entries, LogReply) == JIT
    streams.close()


def read_on(streams: Streams, count: int) -> list[Entry]:
    """Return the whole log as one reader gives it, batch after batch."""
    reader, entries = LogReader(streams, KEYS), []
    while batch := reader.read(entries[-1].seq if entries else 0, count, None):
        entries += list(batch)
    return entries


def test_reading_ahead_gives_the_same_entries(redis_url: str) -> None:
    """A log of many batches, read one answer ahead, is the log; the second connection is closed at its end."""
    streams = found(redis_url)
    streams.append_many(KEYS, [entry.fields for entry in history(8, 3_500)])
    expected = streams.read_log(KEYS, 0, 10_000)
    assert read_on(streams, 500) == expected
    assert read_on(streams, 3_501) == expected
    reader = LogReader(streams, KEYS)
    reader.read(0, 1_000, None)
    assert list(reader.read(0, 1_000, None)) == expected[:1_000], "another question than the one asked ahead"
    assert list(reader.read(1_000, 600, None)) == expected[1_000:1_600]
    assert list(reader.read(1_600, 600, None)) == expected[1_600:2_200]
    streams.losses += 1
    assert list(reader.read(2_200, 600, None)) == expected[2_200:2_800], "asked before a connection broke"
    while reader.read(3_000, 600, None) and reader.ahead is not None and reader.ahead.twin is not None:
        pass
    streams.close()


@pytest.mark.skipif(not JIT, reason="without the compiler nothing is read ahead")
@pytest.mark.parametrize("fault", ["cut_request", "cut_reply", "deaf", "answer"])
def test_trouble_ahead_is_no_loss(redis_url: str, fault: str) -> None:
    """Cut, deaf or answered nonsense on the second connection: the log is read all the same, and nothing is lost."""
    direct = found(redis_url)
    direct.append_many(KEYS, [TICK] * 3_000)
    expected = direct.read_log(KEYS, 0, 10_000)
    direct.close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url, timeout_s=0.4)
        losses = streams.losses
        proxy.set(fault, b"-1000\r\n", b"-LOADING\r\n-LOADING\r\n")  # the first question ahead
        assert read_on(streams, 1_000) == expected
        assert streams.losses == losses
        assert proxy.hit == 1, "nothing was asked ahead"
        streams.close()


def test_an_error_is_refused_and_the_connection_goes_on(redis_url: str) -> None:
    """An error that the server answers is a refusal with its words; the next answer is the next question's."""
    streams = found(redis_url)
    streams.connection.send_packed_command([b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"])
    assert streams.connection.read_response()

    class Other:
        log = "k"

    with pytest.raises(StreamsRefused, match="WRONGTYPE"):
        streams.read_log_raw(Other(), 0, 10, None)  # type: ignore[arg-type]
    assert streams.log_tip(KEYS) == 1
    assert entries_raw(streams, 0, 10) == streams.read_log(KEYS, 0, 10)
    streams.close()


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply", "deaf"])
def test_a_broken_connection_is_told_and_counted(redis_url: str, fault: str) -> None:
    """Cut or deaf in the middle: StreamsDown within the time-out, one loss counted, the next read is right."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url, timeout_s=0.3)
        expected = streams.read_log(KEYS, 0, 10)
        losses = streams.losses
        proxy.set(fault, b"ECHO")
        with pytest.raises(StreamsDown):
            streams.read_log_raw(KEYS, 0, 10)
        assert streams.losses == losses + 1
        assert entries_raw(streams, 0, 10) == expected
        streams.close()


def test_errors_in_place_of_both_answers_are_one_refusal(redis_url: str) -> None:
    """A server that refuses everything, the echo too, is heard once, in its words."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):
        streams = Streams.connect(url, timeout_s=0.5)
        words = b"-LOADING Redis is loading the dataset in memory\r\n"
        proxy.set("answer", b"ECHO", words + words)
        with pytest.raises(StreamsRefused, match="LOADING"):
            streams.read_log_raw(KEYS, 0, 10)
        assert streams.log_tip(KEYS) == 1
        streams.close()


@pytest.fixture
def own() -> Any:
    """Lend a server that may be paused."""
    with own_redis() as server:
        yield server


def test_a_hung_server_costs_one_time_out(own: OwnRedis) -> None:
    """A server that stands still is given up after the time-out, and the same client reads on when it is back."""
    streams = found(own.url)
    streams.timeout_s = 0.3
    streams.read_log_raw(KEYS, 0, 10)
    own.pause()
    with pytest.raises(StreamsDown):
        streams.read_log_raw(KEYS, 0, 10)
    own.resume()
    assert entries_raw(streams, 0, 10) == streams.read_log(KEYS, 0, 10)
    streams.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"*0\r\n",
        b"*1\r\n*2\r\n$1\r\nx\r\n*1\r\n",
        b"*1\r\n*2\r\n$11\r\n{other}:log\r\n*1\r\n",
        b":1\r\n",
        b"*1\r\n",
    ],
)
def test_an_answer_about_something_else_is_no_answer(reply: bytes) -> None:
    """Only entries of the stream that was asked for are taken."""
    assert entries_of(reply, "{venue}:log") is None
