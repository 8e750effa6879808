"""
What a row said of a session or a key, believed for five seconds, and for as long as Postgres cannot be asked.

With each look at the row goes one at the mark in Redis (`revocations.py`): what either of them knows to have ended has
ended, and that is never forgotten again. Looks that nobody waits for are gathered, so that many who trade at once cost
both servers no more than one does.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from gateway.sign_in.revocations import NEVER_US, UNMARKED, Fence, Marks, Revocations
from shared.database import DatabaseError
from shared.streams import StreamsError

CACHE_S = 5.0
AHEAD_S = 4.0  # so long before the memory is too old, whoever is remembered is looked up in the background
GATHER_S = 0.25  # looks that are in no hurry go together after so long
NAMES_MAX = 1_000  # that are looked at together
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
        fetch: Callable[[Collection[str]], Awaitable[Mapping[str, Row]]],
        revocations: Revocations,
        monotonic_s: Callable[[], float],
    ) -> None:
        """Keep what looking needs; `fetch` returns the rows of names by name and raises DatabaseError."""
        self._fetch = fetch
        self._revocations = revocations
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._soon: dict[str, None] = {}
        self._gathering: asyncio.Task[None] | None = None
        self._rows_paused_until_s = float("-inf")
        self._marks_paused_until_s = float("-inf")

    async def look(self, name: str, age_max_s: float = CACHE_S) -> Known:
        """
        Return what can be known of a name now, at most `age_max_s` old where both servers answer.

        Who asks for something newer than the memory's is in no hurry.
        """
        known = self._known.get(name)
        now_s = self._monotonic_s()
        if known is None or now_s >= known.look_again_s - (CACHE_S - age_max_s):
            if age_max_s < CACHE_S:
                await _wait({self._look_soon(name)}, GATHER_S + 2 * LOOKUP_TIMEOUT_S)
            else:
                # Only once: a Postgres that hangs must not hold up every second request of those it never told of.
                patience_s = LOOKUP_PATIENCE_S + (LOOKUP_TIMEOUT_S if known is None else 0)
                await _wait({self._looking.get(name) or self._look_begin([name])}, patience_s)
            known = self._known.get(name)
        elif PAUSE_S < known.look_again_s - now_s <= AHEAD_S:
            self._look_soon(name)  # so that whoever comes every second never waits for it
        return known if known is not None else Known(False, None, NEVER_US, now_s)

    def end(self, name: str, ends_us: int) -> None:
        """Remember that a name is worth nothing from a moment on; nothing makes it later again."""
        known = self._known.get(name, Known(False, None, NEVER_US, float("-inf")))
        self._keep(name, known._replace(ends_us=min(known.ends_us, ends_us)))

    def _look_soon(self, name: str) -> "asyncio.Task[None]":
        """Have a name looked at together with others; return the task that does it."""
        self._soon[name] = None
        if self._gathering is None:
            self._gathering = asyncio.ensure_future(self._gather())
            self._gathering.add_done_callback(_exception_take)
        return self._gathering

    async def _gather(self) -> None:
        """Look at the names that come within a while."""
        await asyncio.sleep(GATHER_S)
        self._gathering, soon, self._soon = None, self._soon, {}
        names = [name for name in soon if name not in self._looking]
        looks = {self._look_begin(names[first : first + NAMES_MAX]) for first in range(0, len(names), NAMES_MAX)}
        looks |= {self._looking[name] for name in soon}
        await _wait(looks, None)

    def _look_begin(self, names: Sequence[str]) -> "asyncio.Task[None]":
        """Begin to look at names and return the look."""
        task = asyncio.ensure_future(self._look_now(names))
        self._looking |= dict.fromkeys(names, task)
        task.add_done_callback(partial(self._look_ended, names))
        return task

    def _look_ended(self, names: Sequence[str], task: "asyncio.Task[None]") -> None:
        """Forget a look that has ended; one that failed is made again when the memory is too old."""
        for name in names:
            del self._looking[name]
        _exception_take(task)

    async def _look_now(self, names: Sequence[str]) -> None:
        """Remember what rows and marks say; what cannot be asked leaves the memory as it was."""
        rows, marks = await asyncio.gather(self._rows(names), self._marks(names))
        again_s = self._monotonic_s() + (CACHE_S if rows is not None else PAUSE_S)
        for name, mark in zip(names, marks, strict=True):
            known = self._known.get(name, Known(False, None, NEVER_US, 0.0))
            if rows is not None:
                known = known._replace(asked=True, row=rows.get(name))
            known = known._replace(ends_us=min(known.ends_us, mark.ends_us), fences=mark.fences or known.fences)
            self._keep(name, known._replace(look_again_s=again_s))

    async def _rows(self, names: Sequence[str]) -> Mapping[str, Row] | None:
        """Return the rows by name, None when Postgres does not answer."""
        if self._monotonic_s() < self._rows_paused_until_s:
            return None
        try:
            return await asyncio.wait_for(self._fetch(names), LOOKUP_TIMEOUT_S)
        except (DatabaseError, TimeoutError):
            self._rows_paused_until_s = self._monotonic_s() + PAUSE_S
            return None

    async def _marks(self, names: Sequence[str]) -> list[Marks]:
        """Return what Redis knows to have ended of each name; nothing when it cannot be asked."""
        if self._monotonic_s() >= self._marks_paused_until_s:
            try:
                return await asyncio.wait_for(self._revocations.read(names), LOOKUP_TIMEOUT_S)
            except (StreamsError, TimeoutError):
                self._marks_paused_until_s = self._monotonic_s() + PAUSE_S
        return [UNMARKED] * len(names)

    def _keep(self, name: str, known: Known) -> None:
        """Keep what is known, the oldest knowledge making room."""
        self._known[name] = known
        self._known.move_to_end(name)
        while len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)


async def _wait(looks: "set[asyncio.Task[None]]", patience_s: float | None) -> None:
    """Wait a while for looks; what nobody foresaw is raised, so that it lets nobody pass."""
    done, _waiting = await asyncio.wait(looks, timeout=patience_s)
    for ended in done:
        ended.result()


def _exception_take(task: "asyncio.Task[None]") -> None:
    """Look at a task's exception, which nobody may be waiting for."""
    if not task.cancelled():
        task.exception()
