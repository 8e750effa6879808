"""
A relay before a gateway that breaks what passes through it: connections end at random, mostly inside a message.

What a client then sees is what a lost network shows it: some bytes of a frame, or of an answer, and a reset.
"""

import asyncio
import contextlib
import random

CHUNK_BYTES = 16_384
CUT_WAIT_S = 0.2  # so long a cut waits for something that it can tear


class Cutter:
    """One relay; `calm` lets every connection live."""

    def __init__(self, chance: random.Random, life_mean_s: float) -> None:
        """Prepare; `open` listens."""
        self.chance = chance
        self.life_mean_s = life_mean_s
        self.calm = False
        self.cuts = 0
        self.torn = 0  # cuts inside something that was being sent
        self.port = 0
        self.target = 0
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()

    async def open(self, target: int) -> None:
        """Listen, before the gateway on that port of this machine."""
        self.target = target
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    async def close(self) -> None:
        """Listen no more and end every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._pairs):
            task.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is cut or either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                behind, before = await asyncio.open_connection("127.0.0.1", self.target)
                await self._relay(reader, writer, behind, before)
        finally:
            self._pairs.discard(task)
            writer.transport.abort()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind: asyncio.StreamReader,
        before: asyncio.StreamWriter,
    ) -> None:
        """Pass everything on, both ways, for as long as the connection's life is."""
        cut = asyncio.Event()
        ways = [
            asyncio.ensure_future(self._way(reader, before, cut)),
            asyncio.ensure_future(self._way(behind, writer, cut)),
        ]
        life = asyncio.ensure_future(self._life(cut))
        try:
            await asyncio.wait([*ways, life], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cuts += cut.is_set()
            for task in (*ways, life):
                task.cancel()
            try:
                await asyncio.gather(*ways, life, return_exceptions=True)
            finally:
                before.transport.abort()  # also where the end of everything comes while this connection ends

    async def _life(self, cut: asyncio.Event) -> None:
        """Return when the connection is to end; what is sent meanwhile is torn."""
        await asyncio.sleep(self.chance.expovariate(1 / self.life_mean_s))
        if self.calm:
            await asyncio.Event().wait()
        cut.set()
        await asyncio.sleep(CUT_WAIT_S)

    async def _way(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        """Pass on what comes until it ends; after the cut only a part of the next piece."""
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                if cut.is_set():
                    sink.write(data[: self.chance.randrange(len(data))])
                    self.torn += 1
                    await asyncio.sleep(0)
                    return
                sink.write(data)
                await sink.drain()
