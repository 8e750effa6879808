"""
From what to start: the newest snapshot that can be believed, else an older one, else the empty state.

From there recovery is the ordinary loop (engine/runner.py): read on, derive the outputs again, compare them with the
events stream. Files come first, because Postgres may be slow, hung or down; it is asked, and waited for only so long.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from engine.documents import (
    BORDER_NAME,
    DocumentUnreadable,
    document_parse,
    document_unpack,
    document_verify,
    files_list,
)
from engine.publish import Last
from engine.witness import Memory, memories_of
from shared.database import DatabaseError
from shared.rules import RULES_VERSION

LAST_NONE = Last(0, 0, "")


class RulesUnknown(Exception):
    """The rules in force are newer than this build knows."""


class BorderNeeded(Exception):
    """Every snapshot is of older rules than this build's: it can start at their border only."""


class Candidate(NamedTuple):
    """One snapshot that may be read."""

    seq: int
    place: str  # "border" (a file), "file", "row" or "keyframe"
    read: Callable[[], dict[str, Any]]  # the verified document; raises DocumentUnreadable


class Start(NamedTuple):
    """What the loop starts from."""

    machine: Any
    last: Last  # the newest output derived up to there
    memories: list[Memory]  # what the snapshot remembers of both streams
    place: str
    hashes: tuple[str, str]


class Recovery:
    """Finds the start of one engine."""

    def __init__(self, venue: str, folder: Path, store: Any, restore: Callable[[Any], Any], log: Any) -> None:
        self.venue = venue
        self.folder = folder
        self.store = store  # engine.rows.RowStore, or what answers like it
        self.restore = restore  # a document's content, or None for the empty state, -> machine
        self.log = log
        self.store_answered = False
        self.seq_max: int | None = None  # look at no newer snapshot; for tools

    def candidates(self) -> list[Candidate]:
        """Return every snapshot of this venue that can be named now, the newest first, a file before a row."""
        found = []
        for seq, path in files_list(self.folder):
            found.append(Candidate(seq, "file", functools.partial(self.file_read, path)))
        for seq, path in files_list(self.folder, BORDER_NAME):
            found.append(Candidate(seq, "border", functools.partial(self.file_read, path)))
        try:
            named = self.store.snapshot_seqs()
            self.store_answered = True
        except (DatabaseError, OSError) as error:
            self.log.warning("recovery_without_postgres", error=f"{type(error).__name__}: {error}")
            named = []
        for seq, place in named:
            found.append(Candidate(seq, place, functools.partial(self.row_read, seq, place)))
        if self.seq_max is not None:
            found = [candidate for candidate in found if candidate.seq <= self.seq_max]
        order = {"border": 0, "file": 1, "row": 2, "keyframe": 3}
        return sorted(found, key=lambda candidate: (-candidate.seq, order[candidate.place]))

    def look(self) -> dict[str, Any]:
        """Return what Postgres remembers of refusals and cursors; nothing when it has not answered before."""
        if not self.store_answered:
            return {}
        try:
            return self.store.look()
        except (DatabaseError, OSError) as error:
            self.log.warning("witness_unheard", holder="Postgres", error=str(error))
            return {}

    def file_read(self, path: Path) -> dict[str, Any]:
        """Return the verified document of a file; raises DocumentUnreadable."""
        return document_parse(path.read_bytes(), self.venue)

    def row_read(self, seq: int, place: str) -> dict[str, Any]:
        """Return the verified document of a row; raises DocumentUnreadable."""
        try:
            document = self.store.snapshot_read(seq, place)
        except (DatabaseError, OSError) as error:
            raise DocumentUnreadable(f"Postgres did not give it: {error}") from None
        return document_verify(document, self.venue)

    def start(self, remembered: Callable[[list[Memory]], None] = lambda memories: None) -> Start:
        """
        Return the newest start that verifies; raises RulesUnknown when it is of rules this build does not know.

        `remembered` is told what a snapshot remembers before its state is restored, which takes longer. Snapshots of
        older rules are passed over; raises BorderNeeded when there are no others.
        """
        older_seq = 0
        for candidate in self.candidates():
            try:
                document = self.document(candidate)
                if document["rules"] < RULES_VERSION:
                    older_seq = max(older_seq, candidate.seq)
                    continue
                memories = memories_of(document, candidate.place)
                remembered(memories)
                machine = self.restore(document_unpack(document))
            except (DocumentUnreadable, OSError, KeyError) as error:
                words = f"{type(error).__name__}: {error}"
                self.log.warning("snapshot_refused", seq=candidate.seq, place=candidate.place, error=words)
                continue
            self.log.info("snapshot_loaded", seq=candidate.seq, place=candidate.place)
            assert machine.seq == document["seq"]
            events = document["witness"]["events"]
            last = Last(events["seq"], events["chunk"], events["digest"])
            hashes = (document["state_hash"], document["record_hash"])
            return Start(machine, last, memories, candidate.place, hashes)
        if older_seq:
            raise BorderNeeded(f"the snapshot at {older_seq} is of older rules than {RULES_VERSION}")
        self.log.info("recovery_from_empty_state")
        remembered([])
        return Start(self.restore(None), LAST_NONE, [], "empty state", ("", ""))

    def border_ready(self) -> bool:
        """Return whether a snapshot of this build's rules can be named now."""
        for candidate in self.candidates()[:2]:  # the border is the newest that an old build can write
            try:
                if self.document(candidate)["rules"] == RULES_VERSION:
                    return True
            except (DocumentUnreadable, OSError, KeyError):
                continue
        return False

    def document(self, candidate: Candidate) -> dict[str, Any]:
        """Return a candidate's verified document; raises DocumentUnreadable or RulesUnknown."""
        document = candidate.read()
        if document["seq"] != candidate.seq:
            raise DocumentUnreadable(f"it says seq {document['seq']}")
        if document["rules"] > RULES_VERSION:
            raise RulesUnknown(f"the snapshot at {candidate.seq} is of rules {document['rules']}")
        return document
