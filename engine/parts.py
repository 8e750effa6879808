"""
What a runner is made of: given from outside, so that a simulation can give others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from engine.leadership import Leadership
from engine.ops import OpsView
from engine.publish import Publisher
from engine.snapshots import Snapshots
from engine.trimmed import Trimmed
from engine.views import MarketViews
from engine.witness import Memory

BLOCK_MS = 20


class Clock(Protocol):
    """The times the loop needs, given from outside."""

    def now_us(self) -> int: ...
    def monotonic_s(self) -> float: ...
    def sleep_s(self, seconds: float) -> None: ...


class Parts(NamedTuple):
    """What a runner is made of."""

    venue: str
    machine: Any
    streams: Any
    source: Any  # engine.log_source.LogSource: the log, and what it no longer holds from the archive
    keys: Any
    publisher: Publisher
    leadership: Leadership
    snapshots: Snapshots
    trimmed: Trimmed
    views: MarketViews
    ops: OpsView
    clock: Clock
    log: Any
    build: str  # which engine this is, beside its rules
    refusal_look: Callable[[], dict[str, Any] | None]  # the file in the data folder
    memories: list[Memory]  # of the snapshot it started from
    restores: int = 0  # how often the log had been restored before that snapshot was looked for
    block_ms: int = BLOCK_MS  # how long a read waits for the log's next entry
    link: Any = None  # engine.link.Link: turns go the fast way
    aside: Any = None  # shared.stream_aside.Aside: what is written without being waited for; None: `streams` waits
