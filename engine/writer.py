"""
The second process: turns a copy of the live rows into a hashed, packed, durable snapshot.

One job at a time comes on stdin as a JSON line, messages go out on stdout. The file is written here and now; the row is
left to a thread with its own connection, so that a hung Postgres costs rows, never files. It ends when the engine does.
"""

import asyncio
import contextlib
import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from engine import core, rows
from engine.documents import (
    FILES_KEPT,
    DocumentUnreadable,
    border_path,
    bytes_write_durably,
    document_pack,
    file_path,
    files_list,
)
from engine.keyframes import keyframe_prove
from shared import clock
from shared.database import Database, DatabaseError
from shared.refusal import refusal_file_read
from shared.settings import settings_read

PR_SET_PDEATHSIG = 1
DATABASE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
LOOK_S = 1.0
RETRY_S = 1.0
NICE = 5
EXIT_THREAD = 1

Tell = Callable[[dict[str, Any]], None]


class RowDesk:
    """The connection to Postgres: writes the newest document, looks at refusals and the persister's cursor."""

    def __init__(
        self,
        connect: Callable[[], Any],
        venue: str,
        tell: Tell,
        retry_s: float = RETRY_S,
        now_us: Callable[[], int] = clock.now_us,
    ) -> None:
        self.connect = connect
        self.retry_s = retry_s
        self.now_us = now_us
        self.venue = venue
        self.tell = tell
        self.pending: dict[str, Any] | None = None
        self.kind = ""  # of the keyframe that `pending` becomes; empty: by its hour
        self.uncounted: dict[int, str] = {}  # keyframes that are written and not yet read back: seq -> state hash
        self.lock = threading.Lock()
        self.wake: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.database: Any = None
        self.trouble = ""

    def put(self, document: dict[str, Any], kind: str = "") -> None:
        """Ask for this document to be written; one that still waits is replaced, being older."""
        with self.lock:
            self.pending = document
            self.kind = kind
        if self.loop is not None and self.wake is not None:
            self.loop.call_soon_threadsafe(self.wake.set)

    def serve(self) -> None:
        """Run in a thread; a fault of ours ends the process, which the engine starts again, never the thread alone."""
        try:
            asyncio.run(self.run())
        except BaseException as error:
            # Without the thread there would be no rows and no checkpoints, and nobody would know.
            self.tell({"kind": "trouble", "text": f"the row's thread ended: {type(error).__name__}: {error}"})
        finally:
            os._exit(EXIT_THREAD)

    async def run(self) -> None:
        """Write and look for ever; every failure of Postgres is told once and tried again."""
        self.loop = asyncio.get_running_loop()
        self.wake = asyncio.Event()
        while True:
            try:
                async with asyncio.timeout(DATABASE_TIMEOUT_S):
                    await self.turn()
                    self.trouble = ""
            except (DatabaseError, TimeoutError, OSError) as error:
                self.trouble_tell(f"{type(error).__name__}: {error}")
                await self.database_drop()
                await asyncio.sleep(self.retry_s)
                continue
            try:
                async with asyncio.timeout(LOOK_S):
                    await self.wake.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Write what waits, then look at what others have written."""
        if self.database is None:
            self.database = await self.connect()
        assert self.wake is not None
        self.wake.clear()
        with self.lock:
            document, kind = self.pending, self.kind
        if document is not None:
            await self.write(document, kind)
            with self.lock:
                if self.pending is document:
                    self.pending = None
        for seq, state_hash in list(self.uncounted.items()):
            await self.read_back(seq, state_hash)
            del self.uncounted[seq]
        self.tell({"kind": "postgres", **await rows.look(self.database, self.venue)})

    async def write(self, document: dict[str, Any], kind: str) -> None:
        """Write the row; tell that it is durable, or that a newer one was there."""
        written, unreadable = await rows.snapshot_write(self.database, document, kind)
        if unreadable:
            self.tell({"kind": "trouble", "text": "replaced a row without a readable venue or seq"})
        if not written:
            self.tell({"kind": "trouble", "text": "the row holds a newer snapshot or another venue"})
            return
        taken_ms = (self.now_us() - document["created_us"]) // 1_000
        hashes = {name: document[name] for name in ("state_hash", "record_hash")}
        self.tell({"kind": "durable", "seq": document["seq"], "ms": taken_ms, **hashes})
        self.uncounted[document["seq"]] = document["state_hash"]

    async def read_back(self, seq: int, state_hash: str) -> None:
        """Let a keyframe count for trimming once what Postgres gives back is what was written; tell when it is not."""
        document = await rows.snapshot_read(self.database, self.venue, seq, "keyframe")
        try:
            keyframe_prove(document, self.venue, seq, state_hash)
        except DocumentUnreadable as error:
            self.tell({"kind": "trouble", "text": f"the keyframe at {seq} does not count: {error}"})
            return
        await rows.keyframe_counts(self.database, self.venue, seq, self.now_us())

    async def database_drop(self) -> None:
        """Close what is left of the connections; the next turn makes new ones."""
        database, self.database = self.database, None
        if database is not None:
            with contextlib.suppress(DatabaseError, TimeoutError, OSError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await database.close()

    def trouble_tell(self, text: str) -> None:
        """Tell a trouble when it is a new one."""
        if text != self.trouble:
            self.tell({"kind": "trouble", "text": f"the row waits: {text}"})
        self.trouble = text


class Desk:
    """Takes one job after the other."""

    def __init__(
        self,
        view: memoryview,
        folder: Path,
        content_of: Callable[..., dict[str, Any]],
        tell: Tell,
        row_put: Callable[[dict[str, Any], str], None],
        now_us: Callable[[], int] = clock.now_us,
    ) -> None:
        self.view = view
        self.folder = folder
        self.content_of = content_of
        self.tell = tell
        self.row_put = row_put
        self.now_us = now_us

    def take(self, job: dict[str, Any]) -> None:
        """Hash the copy; a leader's is packed and written too. The memory is free before the file is."""
        frame = job["frame"]
        content = self.content_of(self.view, job["length"])
        self.tell({"kind": "hashed", "seq": frame["seq"], **{n: content[n] for n in ("state_hash", "record_hash")}})
        document = None
        if job["job"] in ("write", "border"):
            document = document_pack(content, {**frame, "created_us": self.now_us()})
        self.tell({"kind": "free"})
        if document is not None and refusal_file_read(self.folder.parent) is None:
            self.write(document, "border" if job["job"] == "border" else "")

    def write(self, document: dict[str, Any], kind: str) -> None:
        """Write the file, keep the last three and every border's, then leave the row to the thread."""
        path_of = border_path if kind == "border" else file_path
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            bytes_write_durably(path_of(self.folder, document["seq"]), orjson.dumps(document))
            for _, path in files_list(self.folder)[FILES_KEPT:]:
                path.unlink(missing_ok=True)
            self.tell({"kind": "filed", "seq": document["seq"]})
        except OSError as error:
            self.tell({"kind": "trouble", "text": f"the file could not be written: {error}"})
        self.row_put(document, kind)


def die_with(parent_pid: int) -> None:
    """Ask the kernel to end this process with its parent; where it cannot, the closed pipe does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def main(arguments: list[str]) -> None:
    """Serve jobs until stdin closes."""
    descriptor, capacity, venue, parent_pid = int(arguments[0]), int(arguments[1]), arguments[2], int(arguments[3])
    die_with(parent_pid)
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's; this process ends with its pipe
    settings = settings_read()
    view = memoryview(mmap.mmap(descriptor, capacity))
    lock = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with lock:
            os.write(sys.stdout.fileno(), orjson.dumps(message) + b"\n")

    desk_rows = RowDesk(lambda: Database.connect(settings.database_url), venue, tell)
    threading.Thread(target=desk_rows.serve, daemon=True).start()
    desk = Desk(view, settings.data_dir / "snapshots", core.snapshot_document, tell, desk_rows.put)
    for line in sys.stdin.buffer:
        desk.take(orjson.loads(line))
    os._exit(0)  # the thread may hang in Postgres


if __name__ == "__main__":
    main(sys.argv[1:])
