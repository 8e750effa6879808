"""
One entry of a random history, and what it names: ids that can be followed when entries before it are left out.
"""

from dataclasses import dataclass
from typing import Any

START_US = 1_763_000_000_000_000
SECOND_US = 1_000_000
WITH_SESSION = ("price_update", "mark_update", "feed_status")


@dataclass
class Entry:
    """One log entry before it is written: kind, JSON body, time, and the feed session of quotes and marks."""

    kind: str
    body: dict[str, Any]
    ts_us: int
    session: str = ""

    def __str__(self) -> str:
        """Return the entry on one line, its body without what every instruction has."""
        body = {key: value for key, value in self.body.items() if key not in ("v", "T", "e")}
        second = (self.ts_us - START_US) / SECOND_US
        return f"{second:+.6f} s {self.kind}{'@' + self.session if self.session else ''} {body}"
