"""
Which venue this engine serves: the one that Redis names, or a new one, founded step by step.

Every step can be repeated: the row (a unique index decides a race, the loser adopts), genesis (its id exists once), the
pointer (NX). A venue that ever held a snapshot is never founded over: what Redis lost is then somebody's money.
"""

import secrets
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.documents import files_list
from shared.database import DatabaseError
from shared.streams import Keys, StreamsError

VENUE_LENGTH = 10
WAIT_S = 0.5
NEW_LIFE = (
    "If the data of Redis was moved or replaced, stop everything and bring it back; if it is lost, ./scripts/tidemark"
    " log restore builds it again from the archive. ./scripts/tidemark reset ends this venue: the next start founds a"
    " new one."
)


class FoundingImpossible(Exception):
    """Somebody remembers a venue that Redis does not name; the text says what to do."""


class Found(NamedTuple):
    """The venue to serve, and whether this process appended its genesis."""

    venue: str
    founded: bool


class Founder:
    """What founding needs; everything is given, so that a test can give something else."""

    def __init__(
        self,
        streams: Any,
        store: Any,
        folder: Path,
        genesis_of: Callable[[str], Any],
        clock: Any,
        log: Any,
        name: Callable[[], str] | None = None,
        archived: Callable[[], list[str]] = list,
    ) -> None:
        self.streams = streams
        self.store = store
        self.folder = folder  # of the snapshot files
        self.genesis_of = genesis_of  # venue -> the body of its genesis
        self.clock = clock
        self.log = log
        self.name = name or venue_random  # of a venue that is founded
        self.archived = archived  # the venues of which the archive holds entries

    def find(self) -> Found:
        """Return the venue; waits for Redis, and for Postgres when there is something to found, saying so."""
        waiting = ""
        while True:
            try:
                venue = self.streams.venue()
                return Found(venue, False) if venue is not None else self.found()
            except (StreamsError, DatabaseError, OSError) as error:
                if type(error).__name__ != waiting:
                    waiting = type(error).__name__
                    self.log.warning("founding_waits", error=f"{waiting}: {error}")
            self.clock.sleep_s(WAIT_S)

    def found(self) -> Found:
        """Return the venue after row, genesis and pointer are there, by our hand or another's."""
        files = files_list(self.folder)
        time_us = self.clock.now_us()
        archived = self.archived()
        if archived:
            archived = sorted(set(archived) - set(self.store.venues_ended()))
        venue, known = ("", []) if files or archived else self.store.venue_found(self.name(), time_us)
        if files or archived or known:
            named = self.streams.venue()
            if named is not None:
                return Found(named, False)  # founded by another engine while we asked
            places = [f"{len(files)} snapshot files in {self.folder}"] if files else []
            places += [f"the archived log of the venue {venue}" for venue in archived]
            places += [f"snapshots of the venue {venue} in Postgres" for venue in known]
            raise FoundingImpossible(f"Redis names no venue, but there are {' and '.join(places)}. {NEW_LIFE}")
        body = orjson.dumps(self.genesis_of(venue))
        ours = self.streams.genesis(Keys(venue), [(b"ts", b"%d" % time_us), (b"genesis", body)])
        self.streams.venue_set(venue)
        named = self.streams.venue()
        if named != venue:
            raise FoundingImpossible(
                f"founded {venue}, but Redis names {named}: two venues share one Redis. {NEW_LIFE}"
            )
        self.log.info("founded" if ours else "founded_by_another", venue=venue)
        return Found(venue, ours)


def venue_random() -> str:
    """Return a new venue's id: a letter and nine letters or digits."""
    rest = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(VENUE_LENGTH - 1))
    return secrets.choice(string.ascii_lowercase) + rest
