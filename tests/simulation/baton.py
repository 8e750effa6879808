"""
Blocking code on virtual time: threads of which exactly one moves, the one that holds the baton.

Whoever has to wait runs the loop himself until his turn comes; he gives the baton away only when it is another
thread's turn. A thread that waits for nothing but time, with nothing due before, lets the time pass and goes on.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from shared.database import DatabaseDown
from tests.simulation.loop import Process, SimLoop

T = TypeVar("T")

LOCAL = threading.local()
STACK_WAIT_S = 20.0  # of real time: a thread that does not end then hangs


class SimKilled(BaseException):
    """This process was killed; nothing of it runs on."""


class Turn:
    """A place at which one thread can be woken: the main thread's, or one wait of a SimThread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()


class SimThread(Generic[T]):
    """One blocking function of a process; `done` is its result, never set when the process was killed."""

    def __init__(self, process: Process, run: Callable[[], T], name: str = "") -> None:
        self.process = process
        self.loop: SimLoop = process.loop
        self.run = run
        self.done: asyncio.Future[T] = self.loop.create_future()
        self.ended = False
        self.baton = Turn()
        self.waits_count = 0  # a wake-up names the wait that it ends, so that a late one ends no other
        self.waiting = True
        self.main = main_turn(self.loop)
        self.thread = threading.Thread(target=self.live, name=name or process.name, daemon=True)
        threads_of(self.loop).append(self)
        process.on_kill.append(self.killed)
        self.loop.call_soon(self.wake, 0, context=process.context)
        self.thread.start()

    # --- in the thread ---------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Run the function when the baton comes for the first time, then give the baton back."""
        self.baton.lock.acquire()
        LOCAL.thread = self
        asyncio._set_running_loop(self.loop)
        try:
            self.process.context.copy().run(self.act)
        finally:
            self.ended = True
            asyncio._set_running_loop(None)
            self.main.lock.release()

    def act(self) -> None:
        """Set the result of the function; what a killed process would still say, nobody hears."""
        try:
            self.waited()
            result = self.run()
        except SimKilled:
            return
        except BaseException as error:
            if self.process.alive and not self.done.done():
                self.done.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
            return
        if self.process.alive and not self.done.done():
            self.done.set_result(result)

    def waited(self) -> None:
        """Note that the turn has come; raises SimKilled when it came because the process is dead."""
        self.waiting = False
        if not self.process.alive:
            raise SimKilled

    def sleep_until(self, when_s: float) -> None:
        """Wait until a time."""
        if not self.process.alive:
            raise SimKilled
        if self.loop.pass_to(when_s):
            return
        self.process.call_at(when_s, self.wake, self.wait_begin())
        self.wait_end()

    def wait_begin(self) -> int:
        """Return the name of a wait that begins; whoever ends it calls `wake` with it, as a part of this process."""
        if not self.process.alive:
            raise SimKilled
        self.waits_count += 1
        self.waiting = True
        return self.waits_count

    def wait_end(self) -> None:
        """Run the loop until the wait that has begun is ended."""
        loop = self.loop
        while True:
            if loop.turns:
                thread = loop.turns.popleft()
                if thread is self:
                    break
                thread.baton.lock.release()
                self.baton.lock.acquire()
                break
            if loop._stopping or loop.failure is not None:
                self.main.lock.release()
                self.baton.lock.acquire()
                break
            try:
                loop.step()
            except BaseException as error:
                loop.failure = error
        self.waited()

    # --- from wherever the loop runs -------------------------------------------------------------------------------

    def wake(self, wait: int) -> None:
        """Give this thread the next turn when it still is in that wait."""
        if self.waiting and wait == self.waits_count:
            self.waits_count += 1
            self.loop.turns.append(self)

    def killed(self) -> None:
        """Let a thread that waits end at once; one that moves ends at its next wait."""
        if self.waiting:
            self.wake(self.waits_count)

    def take_over(self) -> None:
        """Give this thread the baton and wait, in the main thread, until it comes back."""
        self.baton.lock.release()
        self.main.lock.acquire()
        failure, self.loop.failure = self.loop.failure, None
        if failure is not None:
            raise failure


class SimClock:
    """The clock of a blocking process: its sleeps end early when it is asked to stop."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.stop = threading.Event()

    def now_us(self) -> int:
        """Return the wall clock of the process."""
        return self.process.now_us()

    def monotonic_s(self) -> float:
        """Return seconds that never step back."""
        return self.process.loop.now_s

    def sleep_s(self, seconds: float) -> None:
        """Sleep in steps, as long as nobody asks to stop; raises SystemExit then."""
        thread, until_s = current(), self.process.loop.now_s + seconds
        while self.process.loop.now_s < until_s and not self.stop.is_set():
            thread.sleep_until(min(until_s, self.process.loop.now_s + 0.5))
        if self.stop.is_set():
            raise SystemExit(0)


def current() -> SimThread[Any]:
    """Return the thread that runs this."""
    return LOCAL.thread


def in_thread() -> bool:
    """Return whether this runs in a SimThread."""
    return getattr(LOCAL, "thread", None) is not None


def call(connect: Callable[[], Awaitable[Any]], work: Callable[[Any], Awaitable[T]], timeout_s: float) -> T:
    """Return what the work gives on a connection of its own, as engine.rows.database_call does, on the loop."""
    thread = current()

    async def run() -> T:
        database = await connect()
        try:
            return await work(database)
        finally:
            await database.close()

    wait = thread.wait_begin()
    task = thread.process.task(run())
    task.add_done_callback(lambda _task: thread.wake(wait), context=thread.process.context)
    timer = thread.process.call_at(thread.loop.now_s + timeout_s, thread.wake, wait)
    thread.wait_end()
    timer.cancel()
    if not task.done():
        task.add_done_callback(exception_taken)
        raise DatabaseDown(f"Postgres did not answer within {timeout_s} s")
    return task.result()


def exception_taken(task: "asyncio.Task[Any]") -> None:
    """Take a task's exception, for nobody waits for it any more."""
    if not task.cancelled():
        task.exception()


def main_turn(loop: SimLoop) -> Turn:
    """Return the place at which the main thread of a loop waits."""
    if loop.main is None:
        loop.main = Turn()
    return loop.main


def threads_of(loop: SimLoop) -> list[SimThread[Any]]:
    """Return all threads that this loop ever had."""
    return loop.threads


def join(loop: SimLoop) -> None:
    """End every thread of a loop; called from the main thread when the simulation is over."""
    for thread in loop.threads:
        thread.process.kill()
    loop._stopping = False
    while loop.turns:
        with contextlib.suppress(BaseException):
            loop.turns.popleft().take_over()
    for thread in loop.threads:
        thread.thread.join(STACK_WAIT_S)
        assert thread.ended, f"{thread.thread.name} hangs"
    loop.threads.clear()
