"""
Follows the log into the archive, and says how far that is: to trimming, to Postgres, to whoever asks for a heartbeat.

The log must hold the newest entry that the archive holds, or this reader refuses. Everything else that keeps it from
writing is waited for, said, and costs no more than memory: nothing is trimmed meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from persister.archive import ArchiveFiles, segment_times
from shared.archive import ArchiveDamaged, archive_segments
from shared.database import Database, DatabaseError
from shared.refusal import Refusal
from shared.streams import Entry, Keys, StreamsAsync, StreamsError, follows, log_digest

FLUSH_S = 1.0
READ_COUNT = 2_000
ENTRIES_HELD_MAX = 10_000
SILENCE_S = 3.0
FINISH_S = 1.0
RETRY_S = 2.0

CURSOR_WRITE = """
INSERT INTO archive_cursor (venue, seq, digest, synced_us) VALUES ($1, $2, $3, $4)
ON CONFLICT (venue) DO UPDATE SET seq = excluded.seq, digest = excluded.digest, synced_us = excluded.synced_us
WHERE archive_cursor.seq < excluded.seq
"""
CURSOR_READ = "SELECT seq FROM archive_cursor WHERE venue = $1"
SEGMENTS_KNOWN = "SELECT file FROM archive_segments WHERE venue = $1"
SEGMENT_WRITE = """
INSERT INTO archive_segments (venue, first_seq, last_seq, first_us, last_us, file, bytes, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (venue, first_seq) DO UPDATE SET last_seq = excluded.last_seq, first_us = excluded.first_us,
    last_us = excluded.last_us, file = excluded.file, bytes = excluded.bytes, digest = excluded.digest
"""

Offload = Callable[..., Awaitable[Any]]


class ArchiveBehind(Exception):
    """The log begins behind the archive's end: what lies between is held by neither, and nothing is appended to it."""


class Archiver:
    """The one writer of a venue's archive, as long as it holds the archive's lock."""

    def __init__(
        self,
        streams: StreamsAsync,
        keys: Keys,
        files: ArchiveFiles,
        log: Any,
        monotonic_s: Callable[[], float],
        offload: Offload = asyncio.to_thread,
        flush_s: float = FLUSH_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """Prepare; `run` begins. `offload` runs what may wait for a disk, beside everything else."""
        self.streams = streams
        self.keys = keys
        self.files = files
        self.log = log
        self.monotonic_s = monotonic_s
        self.offload = offload
        self.flush_s = flush_s
        self.retry_s = retry_s
        self.position = (0, "")  # seq and digest of the newest entry that is on the disk for good
        self.trouble = ""  # why nothing is archived now
        self.archives = False  # whether this process is the writer
        self.losses = -1

    async def run(self) -> None:
        """Archive for ever; raises Refusal when the log has lost what the archive holds."""
        try:
            while True:
                try:
                    await self.follow()
                except StreamsError as error:
                    self.log.debug("archive_waits_for_redis", error=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(self.flush_s)
                except (OSError, ArchiveDamaged, ArchiveBehind) as error:
                    self.let_go(f"{type(error).__name__}: {error}")
                    await asyncio.sleep(self.retry_s)
        except asyncio.CancelledError:
            await self.finish()
            raise
        finally:
            self.files.close()

    async def finish(self) -> None:
        """Archive what the log holds by now, within a moment: after a clean stop no instruction is in Redis alone."""
        if not self.archives:
            return
        with contextlib.suppress(StreamsError, OSError, ArchiveBehind, Refusal, TimeoutError):
            async with asyncio.timeout(FINISH_S):
                if await self.witness() and (entries := await self.read()):
                    await self.offload(self.files.append, entries)
                    self.position = self.files.tip

    def let_go(self, trouble: str) -> None:
        """Say what keeps the archive from growing, and leave the files as if this process had died."""
        self.archives = False
        self.files.close()
        if trouble != self.trouble:
            self.log.error("archive_waits", error=trouble)
        self.trouble = trouble

    async def follow(self) -> None:
        """Read and write from the archive's end on, until something fails; returns while another writer is there."""
        if not self.archives:
            if not await self.offload(self.files.begin):
                await asyncio.sleep(self.flush_s)
                return
            self.position = self.files.tip
            if self.files.cut_bytes:
                self.log.warning("archive_torn_end_cut", bytes=self.files.cut_bytes, seq=self.position[0])
        if not await self.witness():
            await asyncio.sleep(self.flush_s)
            return
        self.archives = True
        heard_s = self.monotonic_s()
        while True:
            entries = await self.read()
            if entries:
                await self.offload(self.files.append, entries)
                self.position = self.files.tip
                heard_s = self.monotonic_s()
                if self.trouble:
                    self.log.info("archive_goes_on", seq=self.position[0])
                    self.trouble = ""
            if self.streams.losses != self.losses or self.monotonic_s() - heard_s >= SILENCE_S:
                await self.witness()
                heard_s = self.monotonic_s()
            if len(entries) < ENTRIES_HELD_MAX:
                await asyncio.sleep(self.flush_s)

    async def read(self) -> list[Entry]:
        """Return what follows our position now; raises Refusal or ArchiveBehind when that does not follow."""
        entries: list[Entry] = []
        seq = self.position[0]
        while len(entries) < ENTRIES_HELD_MAX:
            found = await self.streams.read_log(self.keys, seq, READ_COUNT)
            for entry in found:
                if not follows(seq, entry) and not (seq == 0 and not entries):
                    await self.witness()
                    raise Refusal(
                        f"the log goes from {seq} to {entry.seq}: the archiver cannot follow it",
                        stream="log",
                        expected=seq + 1,
                        found=entry.seq,
                    )
                seq = entry.seq
            entries += found
            if len(found) < READ_COUNT:
                break
        if self.streams.losses != self.losses and not await self.witness():
            return []
        return entries

    async def witness(self) -> bool:
        """Return whether the log goes on from what the archive holds; False when the venue is another by now."""
        losses = self.streams.losses
        named = await self.streams.venue()
        if named is not None and named != self.keys.venue:
            return False
        seq, digest = self.position
        first, tip = await self.streams.log_first(self.keys), await self.streams.log_tip(self.keys)
        found = await self.streams.range_log(self.keys, seq, seq, 1) if seq else []
        if found and log_digest(found[0]).hex() == digest:
            pass
        elif seq == 0:
            if first > 1:
                self.log.warning("archive_begins_late", first=first)
        elif found:
            raise self.refusal(f"entry {seq} of the log is not the one that the archive holds", first, tip)
        elif tip < seq:
            raise self.refusal(f"the log ends at {tip}, but the archive holds entry {seq}", first, tip)
        elif first <= seq:
            raise self.refusal(f"entry {seq} that the archive holds is missing in the log", first, tip)
        elif first > seq + 1 and not follows(seq, (await self.streams.range_log(self.keys, first, first, 1))[0]):
            raise ArchiveBehind(
                f"the archive ends at {seq}, the log begins at {first}: bring the archive's newer files back to"
                f" {self.files.home}, or move that folder away to begin a new archive"
            )
        self.losses = losses
        return True

    def refusal(self, text: str, first: int, tip: int) -> Refusal:
        """Return a refusal with the numbers."""
        return Refusal(text, stream="log", remembered=self.position[0], holder="the archive", first=first, tip=tip)


class ArchiveRows:
    """What Postgres knows of the archive: its position, which every engine remembers, and its closed files."""

    def __init__(
        self, database: Database, archiver: Archiver, log: Any, now_us: Callable[[], int], offload: Offload
    ) -> None:
        """Prepare; `run` begins."""
        self.database = database
        self.archiver = archiver
        self.log = log
        self.now_us = now_us
        self.offload = offload
        self.written = (0, "")
        self.stated_seq = 0  # how far the archive is, whoever writes it
        self.closed_count = -1  # of the writer, when its closed files were looked at last

    async def run(self) -> None:
        """Keep the rows up to date for ever; Postgres may be away."""
        while True:
            try:
                await self.turn()
            except (DatabaseError, OSError) as error:
                self.log.debug("archive_rows_wait", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(FLUSH_S)

    async def turn(self) -> None:
        """Write the position when it has moved, and a row for each file that was closed since."""
        position, venue = self.archiver.position, self.archiver.keys.venue
        if not self.archiver.archives:
            row = await self.database.fetchrow(CURSOR_READ, venue)
            self.stated_seq = int(row["seq"]) if row is not None else 0
        elif position != self.written:
            await self.database.execute(CURSOR_WRITE, venue, position[0], bytes.fromhex(position[1]), self.now_us())
            self.stated_seq = position[0]
            closed_count = self.archiver.files.closed_count
            if closed_count != self.closed_count:
                await self.segments_write(venue)
            self.written, self.closed_count = position, closed_count

    async def segments_write(self, venue: str) -> None:
        """Write the rows of closed files that have none."""
        known = {row["file"] for row in await self.database.fetch(SEGMENTS_KNOWN, venue)}
        for segment in archive_segments(self.archiver.files.folder, venue):
            if segment.is_open or segment.path.name in known:
                continue
            try:
                times = await self.offload(segment_times, segment)
            except ArchiveDamaged as error:
                self.log.error("archive_file_damaged", error=str(error))
                continue
            place = segment.path.name, segment.path.stat().st_size, bytes.fromhex(segment.digest16)
            await self.database.execute(SEGMENT_WRITE, venue, segment.first_seq, segment.last_seq, *times, *place)


def archiver_build(
    streams: StreamsAsync,
    keys: Keys,
    folder: Path,
    log: Any,
    monotonic_s: Callable[[], float],
    offload: Offload = asyncio.to_thread,
) -> Archiver:
    """Return the archiver of a venue whose archive lies in this folder."""
    return Archiver(streams, keys, ArchiveFiles(folder, keys.venue), log, monotonic_s, offload)
