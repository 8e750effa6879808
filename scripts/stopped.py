"""
What a command needs that changes a venue while it stands still: the lock, its servers, and proof that nothing lives.

Shared by `log restore`, `derive`, `reset` and `upgrade --check`.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from engine.documents import DocumentUnreadable, document_parse, files_list
from engine.rows import RowStore
from scripts import ready
from scripts.access import servers_reach
from scripts.exits import EXIT_MUST_NOT, ToolStop
from shared import stream_surgery
from shared.archive import archive_venues
from shared.database import Database
from shared.refusal import refusal_file_read
from shared.stream_keys import Keys
from shared.streams import Streams

DATABASE_TIMEOUT_S = 60.0
HEARTBEAT_LIVES_S = 3.2  # a heartbeat's key is gone 3 s after its process
LOOK_S = 0.2
STOP_FIRST = "stop it first (Ctrl-C in ./scripts/run)"


class Stopped(NamedTuple):
    """A venue that stands still, with its servers up."""

    data_dir: Path
    archive: Path
    keys: Keys
    streams: Streams
    store: RowStore
    database_url: str


def archive_dir(data_dir: Path, given: Path | None) -> Path:
    """Return the archive's folder: the one given, TIDEMARK_ARCHIVE_DIR, or the one in the data folder."""
    if given is not None:
        return given.absolute()
    stated = os.environ.get("TIDEMARK_ARCHIVE_DIR")
    return Path(stated).expanduser().absolute() if stated else data_dir.absolute() / "archive"


@contextlib.contextmanager
def venue_stopped(data_dir: Path, archive: Path | None, words: str) -> Iterator[Stopped]:
    """Yield a venue of which no process lives; raises ToolStop when one does."""
    running = ready.ready_read(data_dir)
    if running is not None:
        raise ToolStop(f"a venue runs on {data_dir} (pid {running.supervisor}): {STOP_FIRST}", EXIT_MUST_NOT)
    with contextlib.ExitStack() as stack:
        reached = stack.enter_context(servers_reach(data_dir, words=words, hold=True))
        streams = stack.enter_context(contextlib.closing(Streams(reached.redis_url)))
        streams.ping()
        folder = archive_dir(data_dir, archive)
        venue = venue_find(streams, reached.database_url, data_dir, folder)
        keys = Keys(venue)
        heartbeats_wait(streams, keys)
        store = RowStore(lambda: Database.connect(reached.database_url), venue, DATABASE_TIMEOUT_S)
        yield Stopped(data_dir, folder, keys, streams, store, reached.database_url)


def venue_find(streams: Streams, database_url: str, data_dir: Path, archive: Path) -> str:
    """Return the venue that Redis names or, when that was lost, Postgres, the snapshot files or the archive."""
    named = streams.venue()
    known = venue_live(database_url)
    if named is not None and known is not None and named != known:
        raise ToolStop(
            f"Redis names the venue {named}, Postgres {known}: these servers belong to different venues;"
            " give each its own (`./scripts/tidemark doctor` shows where they are)"
        )
    found = named or known
    if found is not None:
        return found
    refused = (refusal_file_read(data_dir) or {}).get("venue")
    if isinstance(refused, str) and refused:
        return refused
    for _, path in files_list(data_dir / "snapshots"):
        with contextlib.suppress(DocumentUnreadable, OSError):
            return str(document_parse(path.read_bytes(), None)["venue"])
    archived = archive_venues(archive)
    if len(archived) == 1:
        return archived[0]
    if archived:
        raise ToolStop(f"nobody but the archive knows a venue, and {archive} holds several: {', '.join(archived)}")
    raise ToolStop(f"nobody knows a venue on {data_dir}; ./scripts/run founds one, --data names another folder")


def venue_live(database_url: str) -> str | None:
    """Return the live venue of Postgres."""

    async def ask(database: Database) -> str | None:
        await database.migrate()
        row = await database.fetchrow("SELECT venue FROM venues WHERE live")
        return None if row is None else str(row["venue"])

    return RowStore(lambda: Database.connect(database_url), "", DATABASE_TIMEOUT_S).call(ask)


def heartbeats_wait(streams: Streams, keys: Keys) -> None:
    """Return when no process shows life; raises ToolStop naming those that still do after three seconds."""
    deadline = time.monotonic() + HEARTBEAT_LIVES_S
    while names := streams.converse(stream_surgery.keys_scan(keys.process("*"))):
        if time.monotonic() > deadline:
            alive = ", ".join(name.decode().removeprefix(keys.process("")) for name in names)
            raise ToolStop(f"processes of {keys.venue} are alive ({alive}): {STOP_FIRST}", EXIT_MUST_NOT)
        time.sleep(LOOK_S)


def confirm(question: str, yes: bool, typed: str = "") -> None:
    """Return when the operator agrees; raises ToolStop when not, or when nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ToolStop("nobody is there to agree: --yes says so beforehand; nothing was changed", EXIT_MUST_NOT)
    if typed:
        agreed = click.prompt(f"{question} Type {typed} to go on", default="", show_default=False) == typed
    else:
        agreed = click.confirm(question, default=False)
    if not agreed:
        raise ToolStop("nothing was changed", EXIT_MUST_NOT)
