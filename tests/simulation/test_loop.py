"""Virtual time and the baton: what jumps, who is stepped, who is not, and that it is the same every time."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from shared.database import DatabaseDown
from tests.simulation import baton
from tests.simulation.baton import SimClock, SimThread
from tests.simulation.loop import Process, SimDeadlock, SimLoop, dispose


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    """Lend a loop; whatever still lives in it ends with the test."""
    virtual = SimLoop()
    yield virtual
    baton.join(virtual)
    dispose(virtual)


def test_time_jumps_to_what_comes_next(loop: SimLoop) -> None:
    """A day passes in no time, and what is due at the same moment runs in the order in which it was asked for."""
    told: list[Any] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        told.append((name, loop.time()))

    async def day() -> None:
        await asyncio.gather(*(sleeper(name, seconds) for name, seconds in (("b", 7.5), ("a", 7.5), ("c", 86_400))))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    loop.run(day())
    assert told == [("b", 7.5), ("a", 7.5), ("c", 86_400.0)] and loop.time() == 86_405.0
    assert loop.now_us() == loop.start_us + 86_405_000_000


def test_waiting_for_nothing_is_an_error(loop: SimLoop) -> None:
    """Who waits for what nobody will ever do is told so instead of hanging."""
    with pytest.raises(SimDeadlock):
        loop.run(asyncio.Event().wait())


def test_a_stopped_process_takes_up_what_became_due(loop: SimLoop) -> None:
    """Nothing of a stopped process runs, nothing is lost, and its order stays; others go on meanwhile."""
    told: list[Any] = []
    process, other = Process(loop, "stopped"), Process(loop, "other")

    async def ticks(name: str) -> None:
        while True:
            await asyncio.sleep(1)
            told.append((name, loop.time()))

    async def scene() -> None:
        process.task(ticks("stopped"))
        other.task(ticks("other"))
        await asyncio.sleep(2.5)
        process.stop()
        await asyncio.sleep(3)
        assert told[-3:] == [("other", 3.0), ("other", 4.0), ("other", 5.0)]
        process.go_on()
        await asyncio.sleep(1.2)

    loop.run(scene())
    assert [when for name, when in told if name == "stopped"] == [1.0, 2.0, 5.5, 6.5]


def test_a_killed_process_never_runs_again(loop: SimLoop) -> None:
    """Neither its tasks nor what it had asked for later nor its `finally` is ever run."""
    told: list[str] = []
    process = Process(loop, "killed")

    async def work() -> None:
        try:
            await asyncio.sleep(1)
            told.append("slept")
        finally:
            told.append("tidied")

    async def scene() -> None:
        process.task(work())
        process.call_at(2.0, told.append, "timer")
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(5)

    loop.run(scene())
    assert told == []


def test_threads_move_one_at_a_time_on_virtual_time(loop: SimLoop) -> None:
    """Blocking sleepers and tasks of the loop take turns by time alone, and give the same history every time."""
    histories = []
    for _ in range(3):
        virtual = SimLoop()
        histories.append(virtual.run(sleepers(virtual)))
        baton.join(virtual)
        dispose(virtual)
    assert histories[0] == histories[1] == histories[2]
    assert [when for when, _ in histories[0]] == sorted(when for when, _ in histories[0])
    assert {name for _, name in histories[0]} == {"thread0", "thread1", "thread2", "task"}


async def sleepers(loop: SimLoop) -> list[tuple[float, str]]:
    """Return what three threads and a task noted while they slept by chance."""
    told: list[tuple[float, str]] = []

    def sleep(process: Process) -> str:
        chance, clock = random.Random(process.name), SimClock(process)
        for _ in range(50):
            clock.sleep_s(chance.choice((0.0, 0.001, 0.01, 0.1)))
            told.append((loop.time(), process.name))
        return process.name

    async def task() -> None:
        for _ in range(50):
            await asyncio.sleep(0.013)
            told.append((loop.time(), "task"))

    threads = [SimThread(process, lambda process=process: sleep(process)) for process in processes(loop, 3)]  # type: ignore[misc]
    await asyncio.gather(loop.task_outside(task()), *(thread.done for thread in threads))
    return told


def processes(loop: SimLoop, count: int) -> list[Process]:
    """Return some processes."""
    return [Process(loop, f"thread{number}") for number in range(count)]


def test_a_thread_gives_its_result_or_its_error(loop: SimLoop) -> None:
    """What a blocking function returns or raises is the result of its future."""

    def fails() -> None:
        raise ValueError("so it is")

    async def scene() -> int:
        first, second = processes(loop, 2)
        with pytest.raises(ValueError, match="so it is"):
            await SimThread(first, fails).done
        return await SimThread(second, lambda: 7).done

    assert loop.run(scene()) == 7


def test_a_killed_thread_ends_where_it_waits(loop: SimLoop) -> None:
    """A thread of a killed process ends at its wait; what it does on its way out changes no time and tells nobody."""
    told: list[str] = []
    [process] = processes(loop, 1)

    def work() -> None:
        try:
            SimClock(process).sleep_s(10)
            told.append("slept")
        finally:
            told.append("out")
            SimClock(process).sleep_s(1)
            told.append("slept again")

    async def scene() -> Any:
        thread = SimThread(process, work)
        await asyncio.sleep(3)
        process.kill()
        await asyncio.sleep(1)
        assert thread.ended and not thread.done.done()

    loop.run(scene())
    assert told == ["out"] and loop.time() == 4.0


def test_a_stopped_thread_goes_on_later(loop: SimLoop) -> None:
    """A thread whose process is stopped sleeps on until it is let go on."""
    [process] = processes(loop, 1)

    def work() -> float:
        SimClock(process).sleep_s(0.2)
        return loop.time()

    async def scene() -> float:
        thread = SimThread(process, work)
        await asyncio.sleep(0.1)
        process.stop()
        await asyncio.sleep(5)
        process.go_on()
        return await thread.done

    assert loop.run(scene()) == pytest.approx(5.1)


def test_a_thread_waits_for_a_coroutine_so_long_and_no_longer(loop: SimLoop) -> None:
    """A blocking call of a coroutine gives its result, and DatabaseDown at its time when there is none."""
    [process] = processes(loop, 1)

    class Nothing:
        async def close(self) -> None:
            """Nothing to close."""

    async def connect() -> Nothing:
        return Nothing()

    async def soon(_database: Any) -> str:
        await asyncio.sleep(0.5)
        return "soon"

    def work() -> list[Any]:
        told: list[Any] = [baton.call(connect, soon, 2.0), loop.time()]
        try:
            baton.call(connect, soon, 0.1)
        except DatabaseDown:
            told.append(round(loop.time(), 6))
        return told

    async def scene() -> list[Any]:
        return await SimThread(process, work).done

    assert loop.run(scene()) == ["soon", 0.5, 0.6]
    assert not loop.troubles


def test_an_error_of_the_loop_reaches_the_main_thread(loop: SimLoop) -> None:
    """A deadlock that a thread runs into while it drives the loop is raised where the loop was started."""
    [process] = processes(loop, 1)

    def work() -> None:
        thread = baton.current()
        thread.wait_begin()
        thread.wait_end()

    async def scene() -> None:
        await SimThread(process, work).done

    with pytest.raises(SimDeadlock):
        loop.run(scene())
