"""Replies read straight from the transport are those that the client library reads, and trouble is the same trouble."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from shared.stream_guard import Command, Conversation, Request, ServerError
from shared.stream_wire import Wire, wire_of
from shared.streams import StreamsAsync, StreamsDown, StreamsUnknown
from tests.faults.proxy import proxied
from tests.gateway_doubles import eventually
from tests.streams_house import KEYS, TICK, found

COMMANDS: list[Command] = [
    ["PING"],
    ["GET", "absent"],
    ["SET", "there", b"\xff\r\n$3\r\nabc"],
    ["GET", "there"],
    ["INCR", "there"],
    ["NOSUCH", "word"],
    ["XRANGE", KEYS.log, "-", "+"],
    ["XREAD", "COUNT", 5, "STREAMS", KEYS.events, "0"],
    ["MULTI"],
    ["INCR", "there"],
    ["SET", "big", b"x" * 300_000],
    ["GET", "big"],
    ["EXEC"],
    ["LPOP", "there"],
    ["HGETALL", "absent"],
    ["SCAN", 0],
]


def asked(*commands: Command, writes: bool = False) -> Conversation[list[Any]]:
    """Return the replies to the commands as they came."""
    return (yield Request(commands, writes=writes))


def both(url: str, scene: Any) -> list[Any]:
    """Return what a scene gives on a lent transport and through the library."""

    async def one(lend: bool) -> Any:
        streams = StreamsAsync(url, timeout_s=1.0)
        try:
            assert await streams.log_tip(KEYS)
            [(connection, link)] = streams.idle
            assert link.wire is not None, "the library lends its transport"
            if not lend:
                await connection.disconnect()
                await connection.connect()
                link.wire = None
            return await scene(streams)
        finally:
            await streams.close()

    return [asyncio.run(one(lend)) for lend in (True, False)]


def converse(*commands: Command, writes: bool = False) -> Any:
    """Return a scene of one request."""

    async def scene(streams: StreamsAsync) -> list[Any]:
        return await streams.converse(lambda _link: asked(*commands, writes=writes))

    return scene


def test_replies_are_the_librarys(redis_url: str) -> None:
    """Whatever a server answers, errors inside a transaction among it, is read as the library reads it."""
    streams = found(redis_url)
    streams.append(KEYS, TICK)
    streams.close()
    lent, library = both(redis_url, converse(*COMMANDS))
    assert lent == library
    errors = [reply for reply in lent if isinstance(reply, ServerError)]
    assert len(errors) == 3 and any(isinstance(item, ServerError) for item in lent[12])


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply", "deaf"])
@pytest.mark.parametrize("writes", [False, True])
def test_trouble_is_the_same(redis_url: str, fault: str, writes: bool) -> None:
    """A connection that breaks, or says nothing, is lost either way, and what was written is unknown."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):

        async def scene(streams: StreamsAsync) -> tuple[type[Exception], int]:
            proxy.set(fault, b"absent")
            with pytest.raises((StreamsDown, StreamsUnknown)) as raised:
                await converse(["GET", "absent"], writes=writes)(streams)
            assert await streams.log_tip(KEYS) == 1, "the next connection serves"
            return raised.type, streams.losses

        lent, library = both(url, scene)
    assert lent == library == (StreamsUnknown if writes else StreamsDown, 1)


def test_a_server_that_babbles_is_left(redis_url: str) -> None:
    """What is no reply ends the connection; a reply that nobody asked for is never taken for the next one's."""
    found(redis_url).close()
    with proxied(redis_url) as (proxy, url):

        async def scene(streams: StreamsAsync) -> int:
            proxy.set("answer", b"absent", b"?what\r\n")
            with pytest.raises(StreamsDown):
                await converse(["GET", "absent"])(streams)
            proxy.set("answer", b"absent", b"$1\r\na\r\n$1\r\nb\r\n")
            assert await converse(["GET", "absent"])(streams) == [b"a"]
            assert await converse(["GET", "other"])(streams) == [None]
            return streams.losses

        lent, library = both(url, scene)
    assert lent == library == 2


def run(scene: Coroutine[Any, Any, None]) -> None:
    """Run one scene to its end."""
    asyncio.run(scene)


def test_only_a_quiet_connection_is_lent(redis_url: str) -> None:
    """Neither what is no connection of the library, nor one that has said something already, is taken over."""

    async def scene() -> None:
        assert wire_of(object()) is None
        streams = StreamsAsync(redis_url)
        connection = streams.make()
        assert wire_of(connection) is None
        await connection.connect()
        await connection.send_packed_command([b"*1\r\n$4\r\nPING\r\n"], check_health=False)
        await eventually(lambda: connection._reader._buffer)
        assert wire_of(connection) is None
        assert await connection.read_response() == b"PONG"
        wire = wire_of(connection)
        assert isinstance(wire, Wire)
        assert await wire.ask(b"*1\r\n$4\r\nPING\r\n", 1, 1.0) == [b"PONG"]
        wire.transport.write(b"*1\r\n$4\r\nPING\r\n")
        await eventually(lambda: wire.stale)
        await connection.disconnect()

    run(scene())
