"""A proxy before Redis through which a gateway's own tail of the events comes late, and nothing else does."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

READ_BYTES = 65_536
TAILING = b"XREAD\r\n"


class LateTail:
    """A unix socket before another one; answers to whoever has asked XREAD are held back as `lag_s` says."""

    def __init__(self, target: str, path: Path) -> None:
        self.target = target
        self.path = path
        self.lag_s: Callable[[], float] = lambda: 0.0
        self.held_count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection, both ways, until either side ends it."""
        there_reader, there_writer = await asyncio.open_unix_connection(self.target)
        tails = asyncio.Event()
        ways = [
            asyncio.ensure_future(self.ask(reader, there_writer, tails)),
            asyncio.ensure_future(self.answer(there_reader, writer, tails)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, there_writer):
                each.close()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tails: asyncio.Event) -> None:
        """Pass on requests and note who reads a stream's end."""
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                if TAILING in data:
                    tails.set()
                writer.write(data)
                await writer.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tails: asyncio.Event) -> None:
        """Pass on answers, those to a tail late."""
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                lag_s = self.lag_s() if tails.is_set() else 0.0
                if lag_s > 0:
                    self.held_count += 1
                    await asyncio.sleep(lag_s)
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def late_tail(redis_url: str) -> AsyncIterator[tuple[LateTail, str]]:
    """Lend a proxy before a Redis that listens on a unix socket, and the URL through it."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
    proxy = LateTail(redis_url.removeprefix("unix://"), folder / "s")
    server = await asyncio.start_unix_server(proxy.serve, str(proxy.path))
    try:
        yield proxy, f"unix://{proxy.path}"
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
