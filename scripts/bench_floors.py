"""
The floors of the gateway's bench: what HTTP, and two trips through Redis, cost when nothing is done with them.

`python -m scripts.bench_floors echo PORT` is uvicorn as the gateway sets it up, an application that answers at once;
`python -m scripts.bench_floors engine SOCKET` answers every entry of one stream with an entry of another, as an engine
without a state would.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import hiredis

from shared.stream_guard import Command, pack

STREAM_IN, STREAM_OUT = "bench:in", "bench:out"
ENTRY: list[bytes | str | int] = ["ts", 1_700_000_000_000_000, "user_instruction", "x" * 160]
EVENTS = "x" * 900  # as much as a market order causes
ANSWER = b'{"result":"OK","request_id":"0","fills":[%s],"env":"paper"}' % (b" " * 700)
BLOCK_MS = 1_000
READ_COUNT = 500
KEEP_ALIVE_S = 60  # a client at a pace may be silent for seconds; closed, it would end the bench


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer any request, and any message of a WebSocket, with as much as an order's answer."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send(
                {"type": "websocket.send", "text": '{"type":"answer","status":200,"body":' + ANSWER.decode() + "}"}
            )
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def echo_serve(port: int) -> None:
    """Serve the echo."""
    import uvicorn

    uvicorn.run(
        echo, host="127.0.0.1", port=port, loop="uvloop", http="httptools", ws="websockets-sansio", lifespan="off",
        access_log=False, log_config=None, server_header=False, ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )  # fmt: skip


def engine_run(path: str) -> None:
    """Answer entries until the connection ends, each batch in one transaction, as the engine publishes."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    reader = hiredis.Reader()

    def exchange(commands: Sequence[Command]) -> list[Any]:
        connection.sendall(pack(commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = reader.gets()
            if reply is False:
                data = connection.recv(65_536)
                if not data:
                    sys.exit(0)
                reader.feed(data)
            else:
                replies.append(reply)
        return replies

    last: bytes | str = "0-0"  # whatever was asked before this process was up is answered, too
    while True:
        [streams] = exchange([["XREAD", "COUNT", READ_COUNT, "BLOCK", BLOCK_MS, "STREAMS", STREAM_IN, last]])
        if streams:
            entries = streams[0][1]
            last = entries[-1][0]
            answers: list[Command] = [["XADD", STREAM_OUT, entry[0], "a", "1", "d", EVENTS] for entry in entries]
            exchange([["MULTI"], *answers, ["EXEC"]])


class RoundTrips:
    """The gateway's part of two trips without a gateway: append, and await the entry of the same id on the way back."""

    def __init__(self, path: str) -> None:
        """Prepare; `start` follows the answers."""
        self.path = path
        self.waiting: dict[bytes, asyncio.Future[None]] = {}
        self.early: set[bytes] = set()
        self.following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow the answers from now on."""
        connection = await Connection.open(self.path)
        last = await connection.last(STREAM_OUT)
        self.following = asyncio.create_task(self.follow(connection, last))  # kept: the loop alone would let it go

    async def stop(self) -> None:
        """Follow no longer."""
        assert self.following is not None
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)

    async def follow(self, connection: "Connection", last: bytes) -> None:
        """Wake whoever waits for an answer that has come."""
        async for identity in connection.follow(STREAM_OUT, last):
            future = self.waiting.pop(identity, None)
            if future is None:
                self.early.add(identity)
            elif not future.done():
                future.set_result(None)


class Connection:
    """One connection to Redis that asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the connection."""
        self.reader, self.writer = reader, writer
        self.replies = hiredis.Reader()

    @classmethod
    async def open(cls, path: str) -> "Connection":
        """Return an open connection."""
        return cls(*await asyncio.open_unix_connection(path))

    async def last(self, stream: str) -> bytes:
        """Return the id of a stream's newest entry; unlike `$` it stays the same until something is read."""
        entries = await self.exchange(["XREVRANGE", stream, "+", "-", "COUNT", 1])
        return bytes(entries[0][0]) if entries else b"0-0"

    async def follow(self, stream: str, last: bytes) -> AsyncIterator[bytes]:
        """Yield the ids of a stream's entries after that one as they come; closes the connection in the end."""
        try:
            while True:
                command: Command = ["XREAD", "COUNT", READ_COUNT, "BLOCK", BLOCK_MS, "STREAMS", stream, last]
                streams = await self.exchange(command)
                for identity, _fields in streams[0][1] if streams else ():
                    last = identity
                    yield identity
        finally:
            self.writer.close()

    async def exchange(self, command: Command) -> Any:
        """Return the reply to one command."""
        self.writer.write(pack([command]))
        while (reply := self.replies.gets()) is False:
            data = await self.reader.read(65_536)
            if not data:
                raise ConnectionError("Redis closed the connection")
            self.replies.feed(data)
        return reply


class RoundTripWire:
    """One client of the round trips."""

    def __init__(self, trips: RoundTrips, connection: Connection) -> None:
        """Keep what a trip needs."""
        self.trips, self.connection = trips, connection

    @classmethod
    async def open(cls, trips: RoundTrips) -> "RoundTripWire":
        """Return a client with a connection of its own."""
        return cls(trips, await Connection.open(trips.path))

    async def ask(self) -> str:
        """Append and await what the bare engine makes of it."""
        identity = await self.connection.exchange(["XADD", STREAM_IN, "*", *ENTRY])
        if identity not in self.trips.early:
            future = asyncio.get_running_loop().create_future()
            self.trips.waiting[identity] = future
            await future
        self.trips.early.discard(identity)
        return ""

    async def close(self) -> None:
        """Close the connection."""
        self.connection.writer.close()
        await self.connection.writer.wait_closed()


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo_serve(int(sys.argv[2]))
    else:
        engine_run(sys.argv[2])
