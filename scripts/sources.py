"""
What can be read of one venue, running or not: its snapshots, its log, its archive; each opened when first asked for.

Nothing here writes. A venue that runs is found through its ready file; of one that does not, the files are read, and a
server is started alone, under the venue's lock, only when something needs what it alone holds.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import orjson

from engine.documents import DocumentUnreadable, document_parse, document_unpack, files_list
from engine.log_source import LogSource
from engine.recovery import Candidate, Recovery
from engine.rows import RowStore
from scripts import ready
from scripts.access import AccessError, Reached, servers_reach
from scripts.embedded import postgres_data
from scripts.exits import ToolStop
from scripts.supervisor import VenueError
from shared.archive import archive_segments, archive_venues
from shared.database import Database
from shared.rules import RULES_VERSION
from shared.stream_keys import Keys
from shared.streams import Streams, StreamsError

DATABASE_TIMEOUT_S = 5.0


class NoStore:
    """Postgres is not asked."""

    def snapshot_seqs(self) -> list[tuple[int, str]]:
        """Return no rows."""
        return []

    def look(self) -> dict[str, Any]:
        """Return nothing that anybody remembers."""
        return {}


class Quiet:
    """Recovery's log, of which a tool tells only what was passed over."""

    def info(self, event: str, **fields: Any) -> None:
        """Say nothing."""

    debug = info

    def warning(self, event: str, **fields: Any) -> None:
        """Say what was passed over."""
        words = ", ".join(f"{name} {value}" for name, value in fields.items())
        print(f"{event.replace('_', ' ')}: {words}", file=sys.stderr)


class Sources:
    """Everything that can be read of one venue; closed together."""

    def __init__(
        self, data_dir: Path, archive: Path | None = None, file: Path | None = None, postgres: bool = False
    ) -> None:
        self.data_dir = data_dir
        self.postgres_alone = postgres  # of the snapshots those in Postgres count
        self.file = file  # the one snapshot that counts, wherever it lies
        self.archive_alone = archive is not None  # nothing is started or asked but the files
        self.archive_given = archive
        self.stack = contextlib.ExitStack()
        self.running = ready.ready_read(data_dir)

    def __enter__(self) -> "Sources":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    @cached_property
    def reached(self) -> Reached:
        """Return where the servers answer, those of a venue that does not run started alone; raises AccessError."""
        database = bool(os.environ.get("DATABASE_URL")) or (postgres_data(self.data_dir) / "PG_VERSION").exists()
        try:
            return self.stack.enter_context(servers_reach(self.data_dir, postgres=database))
        except AccessError as error:
            if not database or self.running is not None or isinstance(error.__cause__, OSError | VenueError):
                raise
            print(f"Postgres is not read: {error}", file=sys.stderr)
            return self.stack.enter_context(servers_reach(self.data_dir, postgres=False))

    @cached_property
    def streams(self) -> Any:
        """Return the streams of this folder's Redis; raises AccessError when there is none that answers."""
        streams = Streams(self.reached.redis_url)
        self.stack.callback(streams.close)
        try:
            streams.ping()
        except StreamsError as error:
            raise AccessError(
                f"Redis does not answer: {error}; is the venue up? `./scripts/tidemark doctor`"
            ) from error
        return streams

    @cached_property
    def folder(self) -> Path:
        """Return the archive's folder."""
        if self.archive_given is not None:
            given = self.archive_given.absolute()
            return given.parent if archive_files(given) else given
        stated = os.environ.get("TIDEMARK_ARCHIVE_DIR")
        return Path(stated).expanduser().absolute() if stated else self.data_dir / "archive"

    @cached_property
    def venue(self) -> str:
        """Return the venue's id from whoever knows it first: the ready file, Redis, a snapshot file, the archive."""
        if self.archive_given is not None:
            return self.venue_archived()
        if self.running is not None and self.running.venue:
            return self.running.venue
        for _, path in files_list(self.data_dir / "snapshots"):
            with contextlib.suppress(DocumentUnreadable, OSError):
                return str(document_parse(path.read_bytes(), None)["venue"])
        try:
            named = self.streams.venue()
        except (AccessError, StreamsError):
            if not self.folder.is_dir():
                raise
            named = None
        return str(named) if named else self.venue_archived()

    def venue_archived(self) -> str:
        """Return the one venue that the archive holds; raises ToolStop when it holds none or several."""
        given = self.archive_given
        if given is not None and archive_files(given.absolute()):
            return given.absolute().name
        found = archive_venues(self.folder)
        if len(found) == 1:
            return found[0]
        if found:
            raise ToolStop(f"{self.folder} holds {', '.join(found)}: name one of these folders with --archive")
        raise ToolStop(
            f"no venue is known in {self.data_dir}, neither running nor in its snapshots nor in the archive"
            f" {self.folder}; ./scripts/run starts one, --data names another folder"
        )

    @property
    def keys(self) -> Keys:
        """Return the names of the venue's keys."""
        return Keys(self.venue)

    @cached_property
    def log(self) -> LogSource:
        """Return the log: Redis and behind it the archive; the archive alone where asked for or Redis is away."""
        folder = self.folder if self.folder.is_dir() else None
        if self.archive_alone:
            return self.log_of(None, self.folder)
        try:
            named = self.streams.venue()
            if named == self.venue:
                return self.log_of(self.streams, folder)
            words = f"Redis names {named or 'no venue'}, the files here are of {self.venue}"
        except (AccessError, StreamsError) as error:
            words = f"Redis is not read: {error}"
        if folder is None or not archive_files(self.folder / self.venue):
            raise ToolStop(f"{words}; there is no archive in {self.folder} either: name one with --archive")
        print(f"{words}. The archive in {self.folder} is read alone.", file=sys.stderr)
        return self.log_of(None, folder)

    def log_of(self, streams: Any, folder: Path | None) -> LogSource:
        """Return a log that is let go of with everything else."""
        log = LogSource(streams, self.keys, folder)
        self.stack.callback(log.release)
        return log

    @cached_property
    def store(self) -> Any:
        """Return the snapshots of Postgres; of none where the archive alone is asked or there is no Postgres."""
        if self.archive_alone:
            return NoStore()
        url = self.running.database_url if self.running is not None else os.environ.get("DATABASE_URL", "")
        if not url:
            try:
                url = self.reached.database_url
            except AccessError as error:
                print(f"Postgres is not read: {error}", file=sys.stderr)
        return RowStore(lambda: Database.connect(url), self.venue, DATABASE_TIMEOUT_S) if url else NoStore()

    def recovery(self, seq_max: int | None = None) -> Recovery:
        """Return what finds a start: the files here and the rows of Postgres, none newer than seq_max."""
        return self.recovery_of(self.store, seq_max)

    def recovery_of(self, store: Any, seq_max: int | None) -> Recovery:
        """Return the same with the rows of another store."""
        from engine.ingest import machine_restore

        compiling_say()
        recovery = Recovery(self.venue, self.data_dir / "snapshots", store, machine_restore, Quiet())
        recovery.seq_max = seq_max
        return recovery

    def candidates(self, seq_max: int | None = None) -> list[Candidate]:
        """Return every snapshot that can be named, the newest first."""
        return self.recovery(seq_max).candidates()

    @cached_property
    def starts(self) -> list[int]:
        """
        Return the seqs from which this build can apply the log to its end, ascending; 0 is its beginning.

        What is of older rules than this build's is left out, and so is what leads into entries that nobody holds.
        """
        first = self.log.first()
        found = sorted((each for each in self.candidates() if each.seq + 1 >= first), key=lambda each: each.seq)
        if first <= 1 and genesis_rules(self.log.find(1)) == RULES_VERSION:
            return [0, *sorted({candidate.seq for candidate in found})]
        low, high = 0, len(found)
        while low < high:  # rules grow with seq
            middle = (low + high) // 2
            low, high = (middle + 1, high) if rules_of(found[middle]) < RULES_VERSION else (low, middle)
        seqs = sorted({candidate.seq for candidate in found[low:]})
        if not seqs:
            raise ToolStop(
                f"what log and archive hold from entry {first:,} on follows no snapshot of rules {RULES_VERSION}:"
                " name an --archive that goes further back, or use the build that wrote it"
            )
        return seqs

    def document(self) -> tuple[dict[str, Any], str]:
        """Return a verified document and where it is from: the one file that counts, else the newest there is."""
        if self.file is not None:
            return document_parse(self.file.read_bytes(), None), f"file {self.file.name}"
        refused = ""
        for candidate in self.newest():
            try:
                return candidate.read(), place_words(candidate.place, candidate.seq)
            except FileNotFoundError:
                continue  # a live venue drops the oldest
            except DocumentUnreadable as error:
                refused = f"the snapshot at {candidate.seq} ({candidate.place}) does not verify: {error}"
                print(f"Passed over: {refused}", file=sys.stderr)
        if refused:
            raise ToolStop(f"{refused}; `./scripts/tidemark replay` rebuilds any moment from the log")
        raise ToolStop(
            f"no snapshot in {self.data_dir} and its Postgres; one comes every 10 s while a venue runs,"
            " --data names another folder"
        )

    def newest(self) -> Iterator[Candidate]:
        """Yield the snapshots, the newest first; of a venue that does not run the files, and rows only after them."""
        if self.postgres_alone:
            yield from (candidate for candidate in self.candidates() if candidate.place in ("row", "keyframe"))
            return
        files: list[Candidate] = []
        if self.running is None and not self.archive_alone and not os.environ.get("DATABASE_URL"):
            if not (self.data_dir / "snapshots").is_dir() and not (self.data_dir / "redis").is_dir():
                return  # nothing was ever here: nothing is started
            files = self.recovery_of(NoStore(), None).candidates()
            yield from files
        yield from (candidate for candidate in self.candidates() if candidate.seq not in {file.seq for file in files})


def rules_of(candidate: Candidate) -> int:
    """Return the rules of a snapshot, 0 when it cannot be read."""
    try:
        return int(candidate.read()["rules"])
    except (DocumentUnreadable, OSError, KeyError):
        return 0


def genesis_rules(entry: Any) -> int:
    """Return the rules under which a log was founded; this build's when its first entry is no genesis."""
    try:
        return int(orjson.loads(dict(entry.fields)[b"genesis"])["rules"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return RULES_VERSION


@cache
def compiling_say() -> None:
    """Say once that the first state takes a minute, where this build was never compiled on this machine."""
    from engine import core

    if not core.compiled():
        print("The engine is not compiled for this source yet: about a minute, once.", file=sys.stderr)


def machine_of(document: dict[str, Any]) -> Any:
    """Return the machine that a document holds; raises DocumentUnreadable when its bytes do not hash as it says."""
    from engine.ingest import machine_restore

    compiling_say()
    return machine_restore(document_unpack(document))


def place_words(place: str, seq: int) -> str:
    """Return where a snapshot is from, in words."""
    names = {"file": f"file snapshot-{seq}.json", "border": f"file border-{seq}.json", "row": "Postgres, the row"}
    return names.get(place, f"Postgres, the {place} at {seq}")


def archive_files(folder: Path) -> bool:
    """Return whether a folder holds segments of an archive."""
    return bool(archive_segments(folder.parent, folder.name))


TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?")


def time_us_of(text: str) -> int:
    """Return a time as microseconds: ISO 8601, UTC where it names no zone, or microseconds; raises ValueError."""
    if text.isdigit():
        return int(text) if len(text) >= 14 else int(text) * 1_000_000
    if TIME.fullmatch(text) is None:
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def time_text(time_us: int) -> str:
    """Return microseconds as a time for people, in UTC."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000:03d}Z"
