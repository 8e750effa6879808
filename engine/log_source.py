"""
Where entries of the log are read from: Redis, and what Redis no longer holds from the archive.

Recovery, replay and every tool that asks for the past read through here. What neither holds stays a gap, which the
reader refuses by the rule it refuses any gap by.
"""

from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from shared.archive import ArchiveDamaged, archive_entries, archive_segments, archive_tip
from shared.stream_keys import Entry, Keys, follows

COMPILED_MIN = 100  # entries from which on it pays to hand them to the compiled reader


class PlainReader:
    """The archive's entries as shared.archive yields them."""

    def __init__(self, entries: Generator[Entry, None, None]) -> None:
        self.entries = entries

    def take(self, count: int) -> list[Entry]:
        """Return up to `count` entries, none at the end."""
        return list(islice(self.entries, count))

    def close(self) -> None:
        """Let go of the file."""
        self.entries.close()


class LogSource:
    """One reader of one venue's log, wherever its entries lie; it goes forward, and may jump."""

    def __init__(self, streams: Any, keys: Keys, folder: Path | None, fast: bool = True) -> None:
        self.streams = streams  # None: the archive alone
        self.fast = fast  # compiled readers where there are any
        self.keys = keys
        self.folder = folder  # of the archive; None: Redis alone
        self.reader: Any = None  # of Redis: engine.log_reply.LogReader
        self.archived: Any = None  # open, and right behind `archived_seq`: ArchiveReader, or PlainReader
        self.archived_seq = 0
        self.archived_end: int | None = None  # Redis holds what follows this; None: there is no Redis
        self.archived_count = 0  # entries that came from the archive
        self.place = ""  # where the last entries came from: "log" or "archive"

    def read(self, after_seq: int, count: int, block_ms: int | None = None) -> Sequence[Entry]:
        """
        Return up to `count` entries after a seq, waiting for the first as Redis does; asserts nothing about gaps.

        Only what lies below Redis's first entry is looked for in the archive: a hole in the middle stays one. Raises
        StreamsError when Redis is away, ArchiveDamaged when the archive cannot be believed.
        """
        if self.streams is None:
            return self.read_archive(after_seq, count, None)
        if self.in_archive(after_seq):
            archived = self.read_archive(after_seq, count, self.archived_end)
            if archived:
                return archived
        entries = self.read_redis(after_seq, count, block_ms)
        if entries and not follows(after_seq, entries[0]) and self.trimmed(entries[0]):
            return self.read_archive(after_seq, count, entries[0].seq - 1) or entries
        self.close()
        self.place = "log"
        return entries

    def in_archive(self, after_seq: int) -> bool:
        """Return whether the archive is being read there, and goes on below what Redis holds."""
        end = self.archived_end
        return self.archived is not None and end is not None and after_seq == self.archived_seq < end

    def trimmed(self, entry: Entry) -> bool:
        """Return whether Redis holds nothing before this entry, so that what is missing may have been trimmed."""
        return self.folder is not None and entry.seq <= int(self.streams.log_first(self.keys))

    def read_redis(self, after_seq: int, count: int, block_ms: int | None) -> Sequence[Entry]:
        """
        Return what Redis holds after a seq, as the bytes of its answer where the streams give them.

        Imported here: the engine asks the witnesses before Numba is loaded, and this file is wired before that.
        """
        if self.reader is None:
            from engine.log_reply import LogReader

            self.reader = LogReader(self.streams, self.keys, self.fast)
        entries: Sequence[Entry] = self.reader.read(after_seq, count, block_ms)
        return entries

    def read_archive(self, after_seq: int, count: int, to_seq: int | None) -> Sequence[Entry]:
        """Return up to `count` archived entries after a seq and up to another; [] when the next is not there."""
        if self.folder is None:
            return []
        if self.archived is None or after_seq != self.archived_seq or to_seq != self.archived_end:
            self.close()
            self.archived = self.archive_open(after_seq, count, to_seq)
            self.archived_seq, self.archived_end = after_seq, to_seq
        entries: Sequence[Entry] = self.archived.take(count)
        if not entries or not follows(after_seq, entries[0]):
            self.close()
            return []
        self.archived_seq = entries[-1].seq
        self.archived_count += len(entries)
        self.place = "archive"
        return entries

    def archive_open(self, after_seq: int, count: int, to_seq: int | None) -> Any:
        """Return what reads the archive on from a seq: the compiled reader for many entries, where there is one."""
        assert self.folder is not None
        if self.fast and count >= COMPILED_MIN:
            from engine.core.kernel import JIT  # not before it is needed, see read_redis

            if JIT:
                from engine.archive_reader import ArchiveReader

                return ArchiveReader(self.folder, self.keys.venue, after_seq, to_seq)
        return PlainReader(archive_entries(self.folder, self.keys.venue, after_seq, to_seq))

    def close(self) -> None:
        """Let go of the archive's file; the next read opens it again where it has to."""
        if self.archived is not None:
            self.archived.close()
        self.archived = None

    def release(self) -> None:
        """Let go of the archive's file and of what was asked ahead of Redis; for who reads no more."""
        self.close()
        if self.reader is not None and self.reader.ahead is not None:
            self.reader.ahead.close()

    def range(self, first_seq: int, last_seq: int) -> Iterator[Entry]:
        """Yield the entries from one seq to another, both included, as far as they are held without a gap."""
        seq = first_seq - 1
        while seq < last_seq:
            entries = self.read(seq, min(1_000, last_seq - seq))
            for entry in entries:
                if not follows(seq, entry) or entry.seq > last_seq:
                    return
                seq = entry.seq
                yield entry
            if not entries:
                return

    def find(self, seq: int) -> Entry | None:
        """Return one entry, None when nobody holds it."""
        entries = self.streams.range_log(self.keys, seq, seq, 1) if self.streams is not None else []
        if not entries and self.folder is not None:
            entries = list(islice(archive_entries(self.folder, self.keys.venue, seq - 1, seq), 1))
        return entries[0] if entries and entries[0].seq == seq else None

    def tip(self) -> int:
        """Return the newest seq that Redis or, without it, the archive holds; 0 without an entry."""
        if self.streams is not None:
            return int(self.streams.log_tip(self.keys))
        return archive_tip(self.folder, self.keys.venue)[0] if self.folder is not None else 0

    def archive_tip(self) -> int:
        """Return the newest seq of the archive alone, 0 without one that can be believed."""
        try:
            return archive_tip(self.folder, self.keys.venue)[0] if self.folder is not None else 0
        except (ArchiveDamaged, OSError):
            return 0

    def first(self) -> int:
        """Return the oldest seq that anybody holds, 0 when nobody holds any."""
        held = [self.streams.log_first(self.keys)] if self.streams is not None else []
        if self.folder is not None:
            held += [segment.first_seq for segment in archive_segments(self.folder, self.keys.venue)[:1]]
        return min((seq for seq in held if seq > 0), default=0)
