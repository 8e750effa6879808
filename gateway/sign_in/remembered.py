"""
What a row said of a session or a key, believed for five seconds, and for as long as Postgres cannot be asked.

With each look at the row goes one at the mark in Redis (`revocations.py`): what either of them knows to have ended has
ended, and that is never forgotten again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from gateway.sign_in.revocations import NEVER_US, UNMARKED, Fence, Marks, Revocations
from shared.database import DatabaseError
from shared.streams import StreamsError

CACHE_S = 5.0
AHEAD_S = 2.5  # so long before the memory is too old, whoever is remembered is looked up in the background
CACHE_MAX = 100_000
LOOKUP_TIMEOUT_S = 0.5
LOOKUP_PATIENCE_S = 0.05  # for what is remembered; the look goes on and the next request sees what it found
PAUSE_S = 1.0  # after a failed look-up, how long nobody asks that server again

Row = Mapping[str, Any]


class Known(NamedTuple):
    """What is known of one name."""

    asked: bool  # Postgres has answered at least once; else `row` says nothing
    row: Row | None  # None: there is none
    ends_us: int  # from this moment on it is worth nothing
    look_again_s: float
    fences: tuple[Fence, ...] = ()


class Remembered:
    """The rows of one table by name, with a short memory."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Row | None]],
        revocations: Revocations,
        monotonic_s: Callable[[], float],
    ) -> None:
        """Keep what looking needs; `fetch` returns the row of a name and raises DatabaseError."""
        self._fetch = fetch
        self._revocations = revocations
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._rows_paused_until_s = float("-inf")
        self._marks_paused_until_s = float("-inf")

    async def look(self, name: str, age_max_s: float = CACHE_S) -> Known:
        """Return what can be known of a name now, at most `age_max_s` old where both servers answer."""
        known = self._known.get(name)
        now_s = self._monotonic_s()
        if known is None or now_s >= known.look_again_s - (CACHE_S - age_max_s):
            # Only once: a Postgres that hangs must not hold up every second request of those it never told of.
            await self._look_shared(name, LOOKUP_PATIENCE_S + (LOOKUP_TIMEOUT_S if known is None else 0))
            known = self._known.get(name)
        elif PAUSE_S < known.look_again_s - now_s <= AHEAD_S:
            self._look_begin(name)  # so that whoever comes every second never waits for it
        return known if known is not None else Known(False, None, NEVER_US, now_s)

    def end(self, name: str, ends_us: int) -> None:
        """Remember that a name is worth nothing from a moment on; nothing makes it later again."""
        known = self._known.get(name, Known(False, None, NEVER_US, float("-inf")))
        self._keep(name, known._replace(ends_us=min(known.ends_us, ends_us)))

    async def _look_shared(self, name: str, patience_s: float) -> None:
        """Look and wait a while for it; callers of one name share one look."""
        done, _waiting = await asyncio.wait({self._look_begin(name)}, timeout=patience_s)
        for ended in done:
            ended.result()  # what nobody foresaw lets nobody pass

    def _look_begin(self, name: str) -> "asyncio.Task[None]":
        """Return the look that is under way, begun now if there is none."""
        task = self._looking.get(name)
        if task is None:
            task = self._looking[name] = asyncio.ensure_future(self._look_now(name))
            task.add_done_callback(partial(self._look_ended, name))
        return task

    def _look_ended(self, name: str, task: "asyncio.Task[None]") -> None:
        """Forget a look that has ended; one that failed is made again when the memory is too old."""
        self._looking.pop(name, None)
        if not task.cancelled():
            task.exception()

    async def _look_now(self, name: str) -> None:
        """Remember what row and mark say; what cannot be asked leaves the memory as it was."""
        (answered, row), marks = await asyncio.gather(self._row(name), self._marks(name))
        known = self._known.get(name, Known(False, None, NEVER_US, 0.0))
        if answered:
            known = known._replace(asked=True, row=row)
        again_s = self._monotonic_s() + (CACHE_S if answered else PAUSE_S)
        known = known._replace(ends_us=min(known.ends_us, marks.ends_us), fences=marks.fences or known.fences)
        self._keep(name, known._replace(look_again_s=again_s))

    async def _row(self, name: str) -> tuple[bool, Row | None]:
        """Return whether Postgres answered, and the row."""
        if self._monotonic_s() < self._rows_paused_until_s:
            return False, None
        try:
            return True, await asyncio.wait_for(self._fetch(name), LOOKUP_TIMEOUT_S)
        except (DatabaseError, TimeoutError):
            self._rows_paused_until_s = self._monotonic_s() + PAUSE_S
            return False, None

    async def _marks(self, name: str) -> Marks:
        """Return what Redis knows to have ended; nothing when it cannot be asked."""
        if self._monotonic_s() < self._marks_paused_until_s:
            return UNMARKED
        try:
            return await asyncio.wait_for(self._revocations.read(name), LOOKUP_TIMEOUT_S)
        except (StreamsError, TimeoutError):
            self._marks_paused_until_s = self._monotonic_s() + PAUSE_S
            return UNMARKED

    def _keep(self, name: str, known: Known) -> None:
        """Keep what is known, the oldest knowledge making room."""
        self._known[name] = known
        self._known.move_to_end(name)
        while len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
