"""
A log that begins behind what is needed: trimmed, rightly, or lost; told apart by what Postgres says now.

An engine may have slept for minutes, so nothing that it heard before counts here.
"""

from typing import Any, NoReturn

from engine.snapshots import Snapshots
from engine.witness import gap_refusal

ASK_S = 5.0
PAUSE_S = 0.02


class BehindTrim(Exception):
    """What this process must read next was trimmed, rightly: its restart finds a newer snapshot or the archive."""


class Trimmed:
    """What one engine asks before it takes a trimmed log for a lost one."""

    def __init__(self, streams: Any, keys: Any, source: Any, snapshots: Snapshots, clock: Any) -> None:
        self.streams = streams
        self.keys = keys
        self.source = source  # engine.log_source.LogSource
        self.snapshots = snapshots
        self.clock = clock

    def archived(self, seq: int) -> bool:
        """Return whether the archive holds the log up to an entry; raises BehindTrim when nobody can say now."""
        if archive_seq(self.snapshots.postgres) >= seq or self.source.archive_tip() >= seq:
            return True
        self.postgres_ask()
        return archive_seq(self.snapshots.postgres) >= seq

    def gap_raise(self, last_seq: int, found_seq: int) -> NoReturn:
        """Raise BehindTrim when trimming explains the gap (a keyframe that counts is newer), else its refusal."""
        first_seq = self.streams.log_first(self.keys)
        if found_seq == first_seq:
            self.postgres_ask()
            counted_seq = int(self.snapshots.postgres.get("counted") or 0)
            if first_seq - 1 <= counted_seq:
                text = f"the log begins at {first_seq}, this engine stands at {last_seq}"
                raise BehindTrim(f"{text}; a snapshot is at {counted_seq}")
        raise gap_refusal(last_seq, found_seq)

    def postgres_ask(self) -> None:
        """Wait for two new looks into Postgres; raises BehindTrim when they do not come: a restart asks again."""
        deadline_s = self.clock.monotonic_s() + ASK_S
        self.snapshots.poll(self.clock.monotonic_s(), False)
        wanted = self.snapshots.looks_count + 2
        while self.snapshots.looks_count < wanted:
            if self.clock.monotonic_s() >= deadline_s:
                raise BehindTrim("the log begins behind what is needed, and Postgres does not say why")
            self.clock.sleep_s(PAUSE_S)
            self.snapshots.poll(self.clock.monotonic_s(), False)


def archive_seq(postgres: dict[str, Any]) -> int:
    """Return how far the archive holds the log, as Postgres says."""
    return int((postgres.get("archive") or {}).get("seq", 0))
