"""Single entries on one connection without waiting for each other: each gets its own reply, trouble is told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.stream_pipe import SILENT_S, WAITING_MAX
from shared.stream_verbs import append_outcome
from shared.streams import StreamsAsync
from tests.faults.proxy import Proxy, proxied
from tests.gateway_doubles import eventually
from tests.store_servers import own_redis
from tests.streams_house import ACCEPTED, KEYS, REFUSED, TICK, found

TIMEOUT_S = 0.5
Scene = Callable[[StreamsAsync], Awaitable[None]]


def run(url: str, scene: Scene) -> None:
    """Run a scene with a client that has looked at the server."""

    async def whole() -> None:
        streams = StreamsAsync(url, timeout_s=TIMEOUT_S)
        try:
            assert streams.append_send(KEYS, TICK) is None, "nobody has looked at the server yet"
            assert (await streams.append(KEYS, TICK)).status is ACCEPTED
            await scene(streams)
        finally:
            await streams.close()

    asyncio.run(whole())


def test_each_gets_its_own_reply_in_order(redis_url: str) -> None:
    """As many as may be under way at once are appended in the order of their sending; one more goes another way."""
    found(redis_url).close()

    async def scene(streams: StreamsAsync) -> None:
        for _ in range(20):
            sent = [streams.append_send(KEYS, TICK) for _ in range(WAITING_MAX)]
            assert streams.append_send(KEYS, TICK) is None
            outcomes = [append_outcome(await one) for one in sent if one is not None]
            seqs = [outcome.seq for outcome in outcomes]
            assert seqs == list(range(seqs[0], seqs[0] + WAITING_MAX))
        assert await streams.log_tip(KEYS) == 2 + 20 * WAITING_MAX
        assert streams.losses == 0

    run(redis_url, scene)


def test_who_waits_no_longer_leaves_the_others_theirs(redis_url: str) -> None:
    """A reply that nobody waits for any more is passed over, not given to the next."""
    found(redis_url).close()

    async def scene(streams: StreamsAsync) -> None:
        first, second = streams.append_send(KEYS, TICK), streams.append_send(KEYS, TICK)
        assert first is not None and second is not None
        first.cancel()
        assert append_outcome(await second) == (ACCEPTED, 4, "")

    run(redis_url, scene)


def test_what_the_guard_forbids_is_not_sent(redis_url: str) -> None:
    """A look that is a second old, a venue of another name and a reason that stands all go the long way."""
    found(redis_url).close()

    async def scene(streams: StreamsAsync) -> None:
        assert streams.append_send(type(KEYS)("another"), TICK) is None
        streams.guard.forget()
        assert streams.append_send(KEYS, TICK) is None
        await streams.append(KEYS, TICK)
        streams.guard.reason = "LOG_FULL"
        assert streams.append_send(KEYS, TICK) is None
        assert await streams.log_tip(KEYS) == 3

    run(redis_url, scene)


def test_a_log_that_is_gone_refuses(redis_url: str) -> None:
    """An entry is never the first of a log; the server's nil is a certain refusal."""
    client = found(redis_url)

    async def scene(streams: StreamsAsync) -> None:
        await asyncio.to_thread(client.delete, KEYS.log)
        sent = streams.append_send(KEYS, TICK)
        assert sent is not None
        assert append_outcome(await sent) == (REFUSED, 0, "LOG_ABSENT")

    run(redis_url, scene)
    client.close()


def test_a_silent_connection_is_given_nothing_more(redis_url: str) -> None:
    """While one entry is not answered for a quarter of a second, the others go another way; its end is unknown."""
    found(redis_url).close()

    async def scene(streams: StreamsAsync, proxy: Proxy) -> None:
        proxy.set("deaf", b"clock_tick")
        sent = streams.append_send(KEYS, TICK)
        assert sent is not None
        await asyncio.sleep(SILENT_S)
        assert streams.append_send(KEYS, TICK) is None
        with pytest.raises(TimeoutError):
            await sent

    with proxied(redis_url) as (proxy, url):
        run(url, lambda streams: scene(streams, proxy))


def test_a_connection_to_another_server_is_let_go(redis_url: str) -> None:
    """Where the leader names another server than the connection leads to, the next one is taken instead."""
    found(redis_url).close()

    async def scene(streams: StreamsAsync) -> None:
        assert streams.append_send(KEYS, TICK) is not None
        assert streams.piped is not None
        await eventually(lambda: streams.piped is not None and not streams.piped[0].waiting)
        streams.piped[2].run_id = "of a server that is gone"
        assert streams.append_send(KEYS, TICK) is None
        assert (await streams.append(KEYS, TICK)).status is ACCEPTED
        assert streams.append_send(KEYS, TICK) is not None

    run(redis_url, scene)


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply", "deaf", "babble"])
def test_trouble_fails_all_that_wait_and_the_next_connection_serves(redis_url: str, fault: str) -> None:
    """A connection that breaks, says nothing or babbles ends: all who wait learn it, and it counts as a loss."""
    found(redis_url).close()

    async def scene(streams: StreamsAsync, proxy: Proxy) -> None:
        first = streams.append_send(KEYS, TICK)
        assert first is not None
        assert append_outcome(await first).status is ACCEPTED
        if fault == "babble":
            proxy.set("answer", b"clock_tick", b"?what\r\n")
        else:
            proxy.set(fault, b"clock_tick")
        sent = [streams.append_send(KEYS, TICK) for _ in range(3)]
        ends = await asyncio.gather(*(one for one in sent if one is not None), return_exceptions=True)
        assert len(ends) == 3 and all(isinstance(end, OSError) for end in ends)
        proxy.set("")
        assert (await streams.append(KEYS, TICK)).status is ACCEPTED
        again = streams.append_send(KEYS, TICK)
        assert again is not None
        assert append_outcome(await again).status is ACCEPTED
        assert streams.losses >= 1

    with proxied(redis_url) as (proxy, url):
        run(url, lambda streams: scene(streams, proxy))


def test_a_server_that_ends_is_noticed_while_nobody_waits() -> None:
    """Nothing is sent on a connection that the server has closed; a server that is another is looked at first."""
    with own_redis() as own:
        found(own.url).close()

        async def scene(streams: StreamsAsync) -> None:
            sent = streams.append_send(KEYS, TICK)
            assert sent is not None
            await sent
            await asyncio.to_thread(own.kill)
            await asyncio.to_thread(own.start)
            await eventually(lambda: streams.append_send(KEYS, TICK) is None)
            assert (await streams.append(KEYS, TICK)).reason in ("RUN_ID_NOT_NAMED", "UNREACHABLE")
            assert await streams.log_tip(KEYS) == 3

        run(own.url, scene)
