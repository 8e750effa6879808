"""
One persister process: waits for the venue, runs both readers, says that it lives, and ends when it must.

0 stopped when asked; 1 Redis names another venue now, or its log was restored; 78 a refusal, ours or somebody's: a
restart does not help.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from persister.archiver import Archiver, ArchiveRows, Offload, archiver_build
from persister.audit import Instructions
from persister.history import HistoryReader, HistoryStore
from persister.meters import Page
from persister.rebuild import Rebuild
from persister.trimming import Trimmer
from persister.views import ViewReader
from shared import clock
from shared.database import Database, DatabaseError
from shared.logs import logger
from shared.metrics_server import arguments_add, metrics_serve
from shared.refusal import (
    EXIT_REFUSED,
    WAY_OUT,
    LogRestored,
    Refusal,
    RefusalStands,
    refusal_file_read,
    refusal_file_write,
)
from shared.settings import Settings, settings_read
from shared.streams import Keys, StreamsAsync, StreamsError

ROLE = "persister"
EXIT_AGAIN = 1
LOOK_S = 1.0
WAIT_SHOWN_S = 5.0
WRITE_DOWN_S = 3.0
PAUSE_VENUE_S = 0.2


class VenueOther(Exception):
    """Redis names another venue than the one this process serves."""


class Parts(NamedTuple):
    """What one process runs beside its look-out."""

    store: HistoryStore
    history: HistoryReader
    views: ViewReader
    archiver: Archiver
    rows: ArchiveRows
    trimmer: Trimmer


class Persister:
    """The wiring of one process."""

    def __init__(
        self,
        settings: Settings,
        streams: StreamsAsync,
        database: Database,
        log: Any,
        monotonic_s: Callable[[], float] = clock.monotonic_s,
        now_us: Callable[[], int] = clock.now_us,
        chance: random.Random | None = None,
        offload: Offload = asyncio.to_thread,
        page: Page | None = None,
    ) -> None:
        """Keep the parts; `run` does the rest. `offload` runs what may wait for a disk, beside everything else."""
        self.page = page or Page()
        self.settings = settings
        self.streams = streams
        self.database = database
        self.log = log
        self.monotonic_s = monotonic_s
        self.now_us = now_us
        self.chance = chance
        self.offload = offload
        self.since_us = now_us()
        self.keys = Keys("")
        self.restores = 0  # how often the log had been restored before this process remembered anything

    async def run(self) -> None:
        """Serve the venue until something ends it: Refusal, RefusalStands, VenueOther, or a fault."""
        self.keys = Keys(await self.venue_wait())
        self.restores = await self.restores_wait()
        self.refusal_file_check()
        parts = self.page.parts = self.parts_build()
        self.log.info("serving", venue=self.keys.venue)
        work = [self.history_run(parts), parts.views.run(), self.look(parts), parts.archiver.run(), parts.rows.run()]
        work += [parts.trimmer.run()] if self.settings.trim == "on" else []
        tasks = [asyncio.create_task(each) for each in work]
        try:
            # None of them ends but by an exception.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [result for result in results if isinstance(result, Exception)]
        refusals = [failure for failure in failures if isinstance(failure, Refusal)]
        for failure in refusals or failures:
            if isinstance(failure, Refusal):
                with contextlib.suppress(StreamsError, TimeoutError):
                    await asyncio.wait_for(self.restored_check(), WRITE_DOWN_S)
                await self.refuse(parts.store, failure)
            raise failure

    def parts_build(self) -> Parts:
        """Return what serves the venue."""
        streams, keys, database, log = self.streams, self.keys, self.database, self.log
        folder = self.settings.archive_dir
        instructions = Instructions(streams, keys, folder, log, self.offload)
        store = HistoryStore(database, keys.venue, log, instructions)
        archiver = archiver_build(streams, keys, folder, log, self.monotonic_s, self.offload)
        keep_s = self.settings.keep_keyframes_s, self.settings.keep_events_s
        snapshots = self.settings.data_dir / "snapshots"
        rebuild = Rebuild(streams, keys.venue, database, snapshots, log, self.monotonic_s, self.offload)
        return Parts(
            store,
            HistoryReader(streams, keys, store, log, self.monotonic_s, self.chance),
            ViewReader(streams, keys, log, self.monotonic_s, rebuild),
            archiver,
            ArchiveRows(database, archiver, log, self.now_us, self.offload),
            Trimmer(streams, keys, database, archiver, log, self.restores, *keep_s),
        )

    async def venue_wait(self) -> str:
        """Return the venue that Redis names, waiting for it and saying so."""
        shown_s = float("-inf")
        while True:
            reason = "Redis names no venue yet"
            try:
                venue = await self.streams.venue()
                if venue is not None:
                    return venue
            except StreamsError as error:
                reason = f"{type(error).__name__}: {error}"
            if self.monotonic_s() - shown_s >= WAIT_SHOWN_S:
                self.log.info("venue_awaited", reason=reason)
                shown_s = self.monotonic_s()
            await asyncio.sleep(PAUSE_VENUE_S)

    async def restores_wait(self) -> int:
        """Return how often the log was restored so far, waiting for Redis."""
        while True:
            try:
                return await self.streams.restores(self.keys)
            except StreamsError:
                await asyncio.sleep(PAUSE_VENUE_S)

    async def restored_check(self) -> None:
        """Raise LogRestored when the log was restored since this process began to remember it."""
        count = await self.streams.restores(self.keys)
        if count != self.restores:
            raise LogRestored(f"the log was restored {count} times, this process began after {self.restores}")

    async def history_run(self, parts: Parts) -> None:
        """Bring the tables up to date when Postgres is there, look for a refusal in it, and keep the history."""
        while True:
            try:
                await self.database.migrate()
                refusal = await parts.store.refusal_read()
                break
            except DatabaseError as error:
                self.log.warning("history_waits", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(LOOK_S)
        if refusal is not None:
            raise RefusalStands(refusal, "Postgres")
        await parts.history.run()

    async def look(self, parts: Parts) -> None:
        """Once a second: is it still our venue, does a refusal stand; and say that this process lives."""
        while True:
            self.refusal_file_check()
            try:
                refusal = await self.streams.get_json(self.keys.refused)
                if refusal is not None:
                    raise RefusalStands(refusal, "Redis")
                await self.restored_check()
                venue = await self.streams.venue()
                if venue is not None and venue != self.keys.venue:
                    raise VenueOther(f"Redis names the venue {venue}, this process serves {self.keys.venue}")
                self.page.beat = await self.heartbeat(parts)
                await self.streams.heartbeat(self.keys, ROLE, self.page.beat)
            except StreamsError as error:
                self.log.debug("look_failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(LOOK_S)

    async def heartbeat(self, parts: Parts) -> dict[str, Any]:
        """Return what the heartbeat says: how far both readers are, and how far behind the slower one is."""
        tip = await self.streams.events_tip(self.keys)
        leader = await self.streams.leader_read(self.keys) or {}
        self.page.tip_seq, self.page.log_tip_seq = tip[0], await self.streams.log_tip(self.keys)
        slowest = min(parts.history.position.seq, parts.views.position.seq)
        return {
            "role": ROLE,
            "pid": os.getpid(),
            "seq": parts.history.position.seq,
            "views_seq": parts.views.position.seq,
            "history_rejects": parts.store.rejects_count,
            "generation": parts.views.keys.generation,
            "lag": max(0, tip[0] - slowest),
            "rules": leader.get("rules"),
            "metrics_port": self.page.metrics_port,
            "since_us": self.since_us,
            "archive_seq": parts.archiver.position[0] if parts.archiver.archives else parts.rows.stated_seq,
            "archive_error": parts.archiver.trouble,
            "trim_log_seq": parts.trimmer.first.log,
            "trim_events_seq": parts.trimmer.first.events[0],
            "trim_reason": parts.trimmer.reason if self.settings.trim == "on" else "TIDEMARK_TRIM is off",
            "keyframes_counted": parts.trimmer.keyframes_counted,
        }

    def refusal_file_check(self) -> None:
        """Raise RefusalStands when the data folder holds one."""
        reason = refusal_file_read(self.settings.data_dir)
        if reason is not None:
            raise RefusalStands(reason, "the data folder")

    async def refuse(self, store: HistoryStore, refusal: Refusal) -> None:
        """Write the refusal down in all three places, as far as they can be reached; the file is what must succeed."""
        reason = {**refusal.reason, "process": ROLE, "venue": self.keys.venue, "time_us": self.now_us()}
        path = refusal_file_write(self.settings.data_dir, reason)
        self.log.error("refused", **refusal.reason, help=WAY_OUT.format(file=path, key=self.keys.refused))
        for place, write in (
            ("Redis", self.streams.set_json(self.keys.refused, reason)),
            ("Postgres", store.refusal_write(ROLE, reason)),
        ):
            try:
                await asyncio.wait_for(write, WRITE_DOWN_S)
            except (StreamsError, DatabaseError, TimeoutError) as error:
                self.log.error("refusal_not_written", place=place, error=f"{type(error).__name__}: {error}")


async def serve(settings: Settings, log: Any, page: Page | None = None) -> int:
    """Run one persister until it ends or is asked to; return the exit code."""
    streams = StreamsAsync(settings.redis_url)
    database = await Database.connect(settings.database_url)
    task = asyncio.create_task(Persister(settings, streams, database, log, page=page).run())
    for kind in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(kind, task.cancel)
    try:
        await task
        raise AssertionError("a persister ends by an exception")
    except asyncio.CancelledError:
        log.info("stopped")
        return 0
    except (VenueOther, LogRestored) as error:
        log.warning("log_restored" if isinstance(error, LogRestored) else "venue_changed", text=str(error))
        return EXIT_AGAIN
    except (Refusal, RefusalStands) as error:
        log.error("refusal_ends_process", text=str(error))
        return EXIT_REFUSED
    finally:
        await streams.close()
        await database.close()


def main() -> int:
    """Run the persister of the settings in the environment."""
    parser = argparse.ArgumentParser(prog="python -m persister")
    arguments_add(parser)
    asked = parser.parse_args()
    settings, page = settings_read(), Page()
    log = logger(ROLE, settings.log_level)
    if metrics_serve(asked.metrics_host, asked.metrics_port, page.samples, settings.metrics_token, log):
        page.metrics_port = asked.metrics_port
    return asyncio.run(serve(settings, log, page))


if __name__ == "__main__":
    sys.exit(main())
