"""
What the log and the archive hold together, read in order: the archive's bytes win, the log fills what it lacks.

A log that lost its end gives its numbers out again. So entries of the log beyond the archive's end are believed only
as far as nobody who remembers one by its digest contradicts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared import stream_surgery
from shared.archive import ArchiveDamaged, archive_entries, archive_segments, archive_tip
from shared.stream_keys import Entry, Keys, follows, log_digest, log_id
from shared.streams import Streams

PAGE = 1_000
SEQ_MAX = 2**53


class Held(NamedTuple):
    """One entry, and who holds it: "both", "log", "archive", or "differs": both, and the archive's bytes are given."""

    entry: Entry
    place: str


class Remembered(NamedTuple):
    """A seq that somebody remembers, and by which digest; "" when only the number is known."""

    seq: int
    digest: str
    holder: str


class Holdings:
    """Log and archive of one venue, while nobody writes to either."""

    def __init__(self, streams: Streams, keys: Keys, folder: Path, remembered: list[Remembered]) -> None:
        self.streams = streams
        self.keys = keys
        self.folder = folder
        self.damage: list[str] = []  # what of the archive could not be read, in words
        self.log_first = streams.log_first(keys)
        self.log_tip = streams.log_tip(keys)
        self.counted = self.counted_right()
        self.archive_tip = self.archive_tip_read()
        self.believed_to = self.believe(remembered)

    def counted_right(self) -> bool:
        """Return whether the next entry would get the next number, and the server's own counter agrees with it."""
        counters = self.streams.converse(stream_surgery.counters_read(self.keys.log))
        added, last = counters.get("entries-added", self.log_tip), counters.get("last-generated-id")
        return added == self.log_tip and last in (None, log_id(self.log_tip))

    def archive_tip_read(self) -> int:
        """Return the newest archived seq; a damaged end gives the last entry that can be read."""
        try:
            return archive_tip(self.folder, self.keys.venue)[0]
        except ArchiveDamaged as error:
            self.damage.append(str(error))
        segments = archive_segments(self.folder, self.keys.venue)
        tip = 0
        for entry in self.archive_read(segments[-1].first_seq - 1 if segments else 0):
            tip = entry.seq
        return tip

    def archive_numbers(self) -> list[Remembered]:
        """Return the largest numbers that the archive remembers, by its entries and by the names of its files."""
        segments = archive_segments(self.folder, self.keys.venue)
        named = max((max(segment.first_seq, segment.last_seq) for segment in segments), default=0)
        return [Remembered(max(named, self.archive_tip), "", "the archive")]

    def believe(self, remembered: list[Remembered]) -> int:
        """Return up to which seq the log's entries behind the archive's end are those that everybody remembers."""
        ours = [memory for memory in remembered if memory.digest and self.log_first <= memory.seq <= self.log_tip]
        disputed = 0
        if self.archive_tip and self.log_first <= self.archive_tip <= self.log_tip:
            newest = archive_entries(self.folder, self.keys.venue, self.archive_tip - 1, self.archive_tip)
            ours += [Remembered(entry.seq, log_digest(entry).hex(), "the archive") for entry in newest]
        for memory in sorted(ours, reverse=True):
            found = self.log_digest(memory.seq)
            if found == memory.digest:
                return SEQ_MAX if memory.seq >= disputed else memory.seq  # what agrees here agrees before it too
            disputed = max(disputed, memory.seq) if found else disputed
        return self.archive_tip if disputed else SEQ_MAX

    def log_digest(self, seq: int) -> str:
        """Return the digest of an entry as the log holds it, "" when it does not."""
        entries = self.streams.range_log(self.keys, seq, seq, 1)
        return log_digest(entries[0]).hex() if entries else ""

    def log_read(self, after_seq: int) -> Iterator[Entry]:
        """Yield the log's entries after a seq, with whatever gaps it has."""
        while entries := self.streams.range_log(self.keys, after_seq + 1, SEQ_MAX, PAGE):
            yield from entries
            after_seq = entries[-1].seq

    def archive_read(self, after_seq: int) -> Iterator[Entry]:
        """Yield the archive's entries after a seq; what is damaged is passed over to the next file, and noted."""
        while True:
            try:
                for entry in archive_entries(self.folder, self.keys.venue, after_seq):
                    after_seq = entry.seq
                    yield entry
                return
            except ArchiveDamaged as error:
                if str(error) not in self.damage:
                    self.damage.append(str(error))
                later = [part for part in archive_segments(self.folder, self.keys.venue) if part.first_seq > after_seq]
                later = [part for part in later if part.path != error.path]
                if not later:
                    return
                after_seq = later[0].first_seq - 1

    def read(self, after_seq: int) -> Iterator[Held]:
        """Yield what is held after a seq, in order and without a gap; ends where nobody holds what follows."""
        logged, archived = self.log_read(after_seq), self.archive_read(after_seq)
        log, archive = next(logged, None), next(archived, None)
        seq = after_seq
        while True:
            while log is not None and log.seq <= seq:
                log = next(logged, None)
            while archive is not None and archive.seq <= seq:
                archive = next(archived, None)
            ours = log if log is not None and follows(seq, log) and self.believed(log.seq) else None
            theirs = archive if archive is not None and follows(seq, archive) else None
            if ours is not None and ours.seq > seq + 1:
                theirs = None  # stated as lost, and left behind since: an archive that came back late changes nothing
            if theirs is not None:
                same = ours == theirs
                yield Held(theirs, "archive" if ours is None else "both" if same else "differs")
                seq = theirs.seq
            elif ours is not None:
                yield Held(ours, "log")
                seq = ours.seq
            else:
                return

    def read_to(self, first_seq: int, last_seq: int) -> Iterator[Held]:
        """Yield what is held from one entry to another, as `read` does."""
        for held in self.read(first_seq - 1):
            if held.entry.seq > last_seq:
                return
            yield held

    def believed(self, seq: int) -> bool:
        """Return whether an entry that the log alone holds is of the history that is remembered."""
        return seq <= self.archive_tip or seq <= self.believed_to

    def find(self, seq: int) -> Entry | None:
        """Return one entry as it is held, None when nobody holds it."""
        held = next(self.read(seq - 1), None)
        return held.entry if held is not None and held.entry.seq == seq else None
