"""The poller and the local Backpack over real sockets: faults of the outside venue and of the log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from poller.connection import Feed, Patience
from poller.forward import Forwarder
from poller.simulator import options_read, simulate
from poller.timing import Timing
from poller.transport import web_socket_connect
from poller.witness import Witness
from tests.poller_doubles import KEYS, NOW_US, FakeStreams, Silent, mark_frame, price_frame

BTC, ETH = "BTC_USDC_PERP", "ETH_USDC_PERP"
QUICK = Patience(silence_s=0.6, watch_s=0.05, backoff_first_s=0.02, backoff_max_s=0.1)
WAIT_S = 30.0


async def until(what: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - what is waited for is the state of others
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def polling(url: str, streams: FakeStreams, patience: Patience | None = None) -> AsyncIterator[Feed]:
    """Run feed and forwarder against a server, the log in memory."""

    async def unchanged() -> None:
        """Find the venue unchanged."""

    forwarder = Forwarder(streams, KEYS, Timing(), Silent(), Witness(streams, KEYS), unchanged)
    feed = Feed(url, (BTC, ETH), "test", forwarder, web_socket_connect, Timing(), Silent(), patience)
    tasks = [asyncio.create_task(forwarder.run()), asyncio.create_task(feed.run())]
    try:
        yield feed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def outside(converse: Callable[[ServerConnection, int], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve connections by a script that is told their number, from 1."""
    count = 0

    async def handle(connection: ServerConnection) -> None:
        nonlocal count
        count += 1
        await connection.recv()
        await converse(connection, count)

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.1) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@contextlib.asynccontextmanager
async def simulated(folder: Path, *arguments: str) -> AsyncIterator[str]:
    """Run the simulator in this process."""
    stop = asyncio.Event()
    port_file = folder / "port"
    options = options_read([*arguments, "--port-file", str(port_file)])
    task = asyncio.create_task(simulate(options, stop, Timing(), Silent()))
    await until(port_file.exists)
    try:
        yield f"ws://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        stop.set()
        assert await task == 0


async def drained(client: ClientConnection) -> bool:
    """Return whether nothing comes any more."""
    for _ in range(1_000):
        try:
            async with asyncio.timeout(0.3):
                await client.recv()
        except TimeoutError:
            return True
    return False


def recording(folder: Path, count: int, gap_us: int = 1_000) -> Path:
    """Write a recording of quotes whose ids count from 7 000 001."""
    path = folder / "recording.jsonl"
    frames = [price_frame(7_000_001 + i, event_us=NOW_US + i * gap_us) for i in range(count)]
    path.write_bytes(b"\n".join(frames))
    return path


def numbers(streams: FakeStreams) -> list[int]:
    """Return the update ids in the log."""
    return [body["u"] for body in streams.bodies("price_update")]


def sessions(streams: FakeStreams) -> list[str]:
    """Return the sessions that were opened."""
    return [
        fields[1][1].decode()
        for fields in streams.entries
        if fields[-1][0] == b"feed_status" and orjson.loads(fields[-1][1])["status"] == "up"
    ]


def test_half_open_server_is_left() -> None:
    """A server that goes silent without closing is left, and the next connection is another session."""

    async def main() -> None:
        streams = FakeStreams()

        async def converse(connection: ServerConnection, number: int) -> None:
            await connection.send(price_frame(number).decode())
            while number > 1:
                await connection.send(mark_frame().decode())
                await asyncio.sleep(0.05)
            await connection.wait_closed()

        async with outside(converse) as url, polling(url, streams, QUICK) as feed:
            await until(lambda: numbers(streams) == [1, 2])
            await until(lambda: len(streams.bodies("mark_update")) > 20)
            assert feed.counts["session_half_open"] == 1
            assert len(set(sessions(streams))) == 2

    asyncio.run(main())


@pytest.mark.parametrize("ending", ["close", "abort", "huge", "invalid"])
def test_ended_connections_are_renewed(ending: str) -> None:
    """A close frame, a cut, a frame too large and a breach of the protocol each lead to a new session."""

    async def main() -> None:
        streams = FakeStreams()

        async def converse(connection: ServerConnection, number: int) -> None:
            await connection.send(price_frame(number).decode())
            await asyncio.sleep(0.05)
            if number > 3:
                await connection.wait_closed()
            elif ending == "close":
                await connection.close(1001, "shutting down")
            elif ending == "abort":
                connection.transport.abort()
            elif ending == "huge":
                await connection.send("x" * (1 << 21))
                await connection.wait_closed()
            else:
                connection.transport.write(b"\xff\xff\xff\xff")
                await connection.wait_closed()

        async with outside(converse) as url, polling(url, streams, QUICK):
            await until(lambda: numbers(streams) == [1, 2, 3, 4])
            assert len(set(sessions(streams))) == 4
            kinds = [kind for kind in streams.kinds() if kind != "clock_tick"]
            assert kinds[:4] == ["feed_status", "price_update", "feed_status", "feed_status"]

    asyncio.run(main())


def test_garbage_in_every_frame_form_is_survived() -> None:
    """Text, bytes, text that is no UTF-8, empty and fragmented frames between two quotes end nothing."""

    async def main() -> None:
        streams = FakeStreams()

        async def converse(connection: ServerConnection, _number: int) -> None:
            await connection.send(price_frame(1).decode())
            for garbage in (
                "",
                "{",
                b"\x00\xff",
                '{"data":{}}',
                '{"error":{"code":4002,"message":"Parse error"},"id":null}',
            ):
                await connection.send(garbage)
            connection.transport.write(b"\x81\x02\xff\xfe")
            frame = price_frame(2).decode()
            await connection.send([frame[:20], frame[20:60], frame[60:]])
            await connection.send(price_frame(3))
            await connection.wait_closed()

        async with outside(converse) as url, polling(url, streams, QUICK) as feed:
            await until(lambda: numbers(streams) == [1, 2, 3])
            assert feed.counts["error_4002"] == 1
            assert feed.counts["unreadable_not_json"] == 4
            assert len(sessions(streams)) == 1

    asyncio.run(main())


def test_simulator_speaks_as_backpack_does(tmp_path: Path) -> None:
    """No acknowledgement, silence for unknown symbols, 4006 and 4002 on a socket that stays open, keys in order."""

    async def main() -> None:
        async with simulated(tmp_path, "--seed", "3", "--rate", "50") as url, connect(url) as client:
            await client.send("{")
            assert await client.recv() == '{"error":{"code":4002,"message":"Parse error"},"id":null}'
            await client.send('{"method":"SUBSCRIBE","params":["nonsense.BTC_USDC_PERP"]}')
            assert await client.recv() == '{"error":{"code":4006,"message":"Invalid stream"},"id":null}'
            await client.send('{"method":"SUBSCRIBE","params":["bookTicker.DOGE_USDC_PERP","depth.BTC_USDC_PERP"]}')
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.recv()
            await client.send(f'{{"method":"SUBSCRIBE","params":["bookTicker.{BTC}","markPrice.{BTC}"],"id":9}}')
            seen: dict[str, dict[str, Any]] = {}
            while len(seen) < 2:
                text = await client.recv()
                message = orjson.loads(text)
                assert orjson.dumps(message, option=orjson.OPT_SORT_KEYS).decode() == text
                seen[message["stream"]] = message["data"]
            assert list(seen[f"bookTicker.{BTC}"]) == ["A", "B", "E", "T", "a", "b", "e", "s", "u"]
            assert list(seen[f"markPrice.{BTC}"]) == ["E", "T", "e", "f", "i", "n", "p", "s"]
            await client.send(f'{{"method":"UNSUBSCRIBE","params":["bookTicker.{BTC}","markPrice.{BTC}"]}}')
            assert await drained(client)

    asyncio.run(main())


@pytest.mark.parametrize("speed", ["0", "20"])
def test_recording_is_in_the_log_whole(tmp_path: Path, speed: str) -> None:
    """Every recorded quote is in the log exactly once and in order, at full speed and paced."""

    async def main() -> None:
        streams = FakeStreams()
        path = recording(tmp_path, 6_000)
        async with simulated(tmp_path, "--feed", str(path), "--speed", speed) as url, polling(url, streams):
            await until(lambda: len(streams.entries) > 6_000 and numbers(streams)[-1] >= 7_006_000)
            assert numbers(streams)[:6_000] == list(range(7_000_001, 7_006_001))

    asyncio.run(main())


def test_recording_survives_a_log_that_goes_away(tmp_path: Path) -> None:
    """With the log away for longer than quotes may wait, the session is renewed and every quote is there at the end."""

    async def main() -> None:
        streams = FakeStreams()
        path = recording(tmp_path, 8_000)
        async with simulated(tmp_path, "--feed", str(path), "--speed", "4") as url, polling(url, streams) as feed:
            await until(lambda: len(streams.entries) > 500)
            streams.down = True
            await until(lambda: feed.counts["session_unforwarded"] == 1)
            streams.down = False
            await until(lambda: numbers(streams)[-1] >= 7_008_000)
            assert set(range(7_000_001, 7_008_001)) <= set(numbers(streams))
            assert len(sessions(streams)) == 2

    asyncio.run(main())


def test_hold_ends_with_the_go_file(tmp_path: Path) -> None:
    """Held, one quote is in the log and marks follow; the go-file lets the recording run whole."""

    async def main() -> None:
        streams = FakeStreams()
        path, go_file = recording(tmp_path, 500), tmp_path / "feed.go"
        arguments = ("--feed", str(path), "--speed", "0", "--hold", "--go-file", str(go_file))
        async with simulated(tmp_path, *arguments) as url, polling(url, streams):
            await until(lambda: len(streams.bodies("mark_update")) >= 1)
            await asyncio.sleep(0.2)
            assert numbers(streams) == [7_000_001 - 1_000_000 + 1]
            go_file.touch()
            await until(lambda: len(numbers(streams)) > 500)
            assert numbers(streams)[1:501] == list(range(7_000_001, 7_000_501))

    asyncio.run(main())
