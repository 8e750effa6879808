"""
One asyncio loop on virtual time: nothing waits, time jumps to the next timer, and every step belongs to a process.

A process is a mark that its tasks, timers and callbacks inherit (a context variable). Killing one is therefore: never
step what bears its mark again. Stopping one is: put aside what becomes due, and take it up, in order, when it goes on.
Blocking code runs in threads of which exactly one moves at a time; see `baton.py`.
"""

import asyncio
import contextlib
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

START_US = 1_800_000_000_000_000
STEPS_MAX = 2_000_000  # without time passing: somebody waits for himself

T = TypeVar("T")


class SimDeadlock(Exception):
    """Nothing is ready and no timer is set: whoever waits, waits for ever."""


class Process:
    """One life of one process; a restart is another object."""

    def __init__(self, loop: "SimLoop", name: str, clock_offset_us: int = 0) -> None:
        self.loop = loop
        self.name = name
        self.clock_offset_us = clock_offset_us
        self.alive = True
        self.stopped = False
        self.parked: deque[asyncio.Handle] = deque()
        self.on_kill: list[Callable[[], None]] = []  # what others do when it is gone: close its connections
        self.context = loop.outside.copy()
        self.context.run(PROCESS.set, self)

    def now_us(self) -> int:
        """Return the wall clock as this process sees it."""
        return self.loop.now_us() + self.clock_offset_us

    def monotonic_s(self) -> float:
        """Return seconds that never step back."""
        return self.loop.now_s

    def task(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
        """Return a task of this process."""
        return self.loop.create_task(coroutine, name=name, context=self.context.copy())

    def call_at(self, when_s: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call something later as a part of this process."""
        return self.loop.call_at(when_s, callback, *arguments, context=self.context)

    def kill(self) -> None:
        """End this process where it stands: nothing of it is stepped again."""
        if not self.alive:
            return
        self.alive = False
        self.stopped = False
        self.loop.graveyard.extend(self.parked)
        self.parked.clear()
        for callback in self.on_kill:
            callback()

    def stop(self) -> None:
        """Freeze this process; its connections stay open."""
        self.stopped = self.alive

    def go_on(self) -> None:
        """Take up everything that became due meanwhile, in its order."""
        self.stopped = False
        self.loop._ready.extend(self.parked)
        self.parked.clear()


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks are run through in the same order every time."""

    def __init__(self, coroutine: Any, *, loop: "SimLoop", **options: Any) -> None:
        self.number = next(loop.tasks_count)
        super().__init__(coroutine, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class SimTimer(asyncio.TimerHandle):
    """A handle that is cheap to make: most are made and cancelled."""

    __slots__ = ()

    def __init__(self, when: float, callback: Any, args: Any, loop: Any, context: contextvars.Context | None) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """Make this nothing; it is skipped when its time comes."""
        self._cancelled = True
        self._callback = self._args = None

    def __repr__(self) -> str:
        return f"{self._callback} at {self._when}"


class SimLoop(asyncio.BaseEventLoop):
    """The loop; what it schedules is a function of what ran before, of nothing else."""

    def __init__(self, start_us: int = START_US, wall_rate: int = 1) -> None:
        super().__init__()
        self.start_us = start_us
        self.wall_rate = wall_rate  # how many seconds of wall clock pass in a second of waiting
        self.tasks_count = itertools.count()
        self.set_task_factory(lambda _loop, coroutine, **options: SimTask(coroutine, loop=self, **options))
        self.now_s = 0.0
        self.timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.timers_count = itertools.count()
        self.turns: deque[Any] = deque()  # threads whose turn has come, see baton.py
        self.threads: list[Any] = []
        self.main: Any = None  # where the main thread waits while another holds the baton
        self.failure: BaseException | None = None  # of a step that another thread ran
        self.graveyard: list[Any] = []  # what dead processes left; freed at the end, so that no finaliser runs amid
        self.outside = contextvars.Context()  # belongs to no process: servers, the world
        self.steps_count = 0
        self.steps_here = 0  # since time passed
        self.troubles: list[dict[str, Any]] = []  # what tasks raised and nobody awaited
        self.set_exception_handler(lambda _loop, trouble: self.troubles.append(trouble))

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self.now_s

    def now_us(self) -> int:
        """Return the true wall clock in microseconds."""
        return self.start_us + round(self.now_s * self.wall_rate * 1e6)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call something at a time; at the same time the one that asked first goes first."""
        timer = SimTimer(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, next(self.timers_count), timer))
        return timer

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        """Call something as soon as what is ready before it is done."""
        handle = SimTimer(self.now_s, callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call something after some seconds."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_outside(self, when_s: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call something at a time as a part of no process."""
        return self.call_at(when_s, callback, *arguments, context=self.outside)

    def task_outside(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Return a task that belongs to no process."""
        return self.create_task(coroutine, context=self.outside.copy())

    def next_s(self) -> float:
        """Return when the next thing happens: now, at a timer, or never (infinity)."""
        if self._ready or self.turns:
            return self.now_s
        timers = self.timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        return timers[0][0] if timers else float("inf")

    def pass_to(self, when_s: float) -> bool:
        """Let time pass when nothing happens before; return whether it passed."""
        if self.next_s() <= when_s:
            return False
        self.now_s = when_s
        self.steps_here = 0
        return True

    def step(self) -> None:
        """Run the next thing, moving time to it when nothing is ready."""
        ready = self._ready
        if not ready:
            self.timers_take()
        handle = ready.popleft()
        self.steps_count += 1
        self.steps_here += 1
        if self.steps_here > STEPS_MAX:
            raise SimDeadlock(f"time stands still at {self.now_s}: {handle}")
        if handle._cancelled:
            return
        context = handle._context
        process = context.get(PROCESS)
        if process is not None and (process.stopped or not process.alive):
            (process.parked if process.stopped else self.graveyard).append(handle)
            return
        try:
            context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.troubles.append({"message": f"exception in {handle._callback}", "exception": error})

    def timers_take(self) -> None:
        """Move time to the next timer and make ready what is due then."""
        when_s = self.next_s()
        if when_s == float("inf"):
            raise SimDeadlock(f"nothing is left to happen at {self.now_s}")
        if when_s > self.now_s:
            self.now_s = when_s
            self.steps_here = 0
        timers = self.timers
        while timers and timers[0][0] <= self.now_s:
            self._ready.append(heapq.heappop(timers)[2])

    def _run_once(self) -> None:
        """Run the next thing; the loop of the base class calls this."""
        if self.turns:
            self.turns.popleft().take_over()
        else:
            self.step()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine that belongs to no process gives."""
        return self.run_until_complete(self.create_task(coroutine, context=self.outside.copy()))

    def _process_events(self, event_list: Any) -> None:
        """Nothing outside ever happens."""

    def _write_to_self(self) -> None:
        """Nobody sleeps, so nobody needs to be woken."""


def dispose(loop: SimLoop) -> None:
    """Let go of everything that a finished simulation still holds, quietly."""
    for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.number):
        task._log_destroy_pending = False
        with contextlib.suppress(BaseException):
            task.get_coro().close()
    for handle in (*loop._ready, *(timer for _, _, timer in loop.timers)):
        handle.cancel()
    loop._ready.clear()
    loop.timers.clear()
    loop.graveyard.clear()
    loop.close()
