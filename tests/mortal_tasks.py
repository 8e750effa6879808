"""
Work that dies at its n-th step, as it does when its process is killed there: nothing of it ever runs again.

A step ends wherever a task hands control back, so every await that waits for anything is such a place, those inside
libraries too. The tasks that the work starts die with it. What it had sent by then stays sent.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from types import coroutine
from typing import Any

_LIFE: ContextVar["Life | None"] = ContextVar("life", default=None)


class Life:
    """How many steps some work has taken, and at which it dies."""

    def __init__(self, steps_max: int) -> None:
        """Begin alive; `steps_max` is the number of the last step."""
        self.steps = 0
        self.steps_max = steps_max
        self.died = asyncio.Event()
        self.tasks: list[asyncio.Task[Any]] = []
        self.left: list[Any] = []  # never resumed

    def step(self) -> bool:
        """Count one step; return whether there is another."""
        self.steps += 1
        if self.steps >= self.steps_max:
            self.died.set()
        return not self.died.is_set()

    async def run(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Run some work; return whether it came to its end, True also when it ended with an exception."""
        dying = asyncio.ensure_future(self.died.wait())
        _LIFE.set(self)
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if task.done() and not self.died.is_set():
            task.exception()
            return True
        return False

    async def bury(self) -> None:
        """Let what was left clean up after all, once nothing that it could do would reach anybody."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(asyncio.create_task(_unwound(work)) for work in self.left), return_exceptions=True)
        self.left.clear()


@coroutine
def _unwinding(work: Any) -> Iterator[Any]:
    """Cancel a coroutine where it was left, and drive it to its end."""
    failure: BaseException | None = asyncio.CancelledError()
    answer: Any = None
    while True:
        waited = work.send(answer) if failure is None else work.throw(failure)
        answer, failure = None, None
        try:
            answer = yield waited
        except BaseException as error:
            failure = error


async def _unwound(work: Any) -> None:
    """Let a coroutine clean up; one that never began has nothing to."""
    if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
        work.close()
    else:
        with contextlib.suppress(BaseException):
            await _unwinding(work)


@coroutine
def _mortal(life: Life, work: Any) -> Iterator[Any]:
    """Drive a task's coroutine step by step, as long as its life lasts."""
    answer: Any = None
    failure: BaseException | None = None
    while not life.died.is_set():
        try:
            waited = work.send(answer) if failure is None else work.throw(failure)
        except StopIteration as end:
            return end.value
        if not life.step():
            break
        answer, failure = None, None
        try:
            answer = yield waited
        except BaseException as error:
            if life.died.is_set():
                life.left.append(work)
                raise
            failure = error
    life.left.append(work)
    # Never to be set: this task stands here until its loop ends.
    yield from asyncio.get_running_loop().create_future()
    raise AssertionError("the dead do not wake")


async def _lived(life: Life, work: Any) -> Any:
    """Return what the work returns, if it lives that long."""
    return await _mortal(life, work)


@contextlib.contextmanager
def mortal_tasks() -> Iterator[None]:
    """Let tasks that mortal work starts share its life; inside a running loop."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> "asyncio.Task[Any]":
        context = named.get("context")
        life = context.get(_LIFE, None) if context is not None else _LIFE.get()
        if life is None:
            return asyncio.Task(work, loop=loop, **named)
        task: asyncio.Task[Any] = asyncio.Task(_lived(life, work), loop=loop, **named)
        life.tasks.append(task)
        return task

    loop.set_task_factory(make)
    # Nobody hears what the dead were told last.
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        yield
    finally:
        loop.set_task_factory(before)
