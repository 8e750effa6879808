"""
What goes wrong in one seed: drawn beforehand which kinds may happen and how often, then done one after the other.

At every exchange with Redis and every statement of Postgres a plan is drawn: late, cut off, stopped, dead before or
after the effect. And one deed is done after the other (`deeds.py`). `quiet` ends all of it; whatever is still broken
then is mended.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.simulation.deeds import DEEDS, Deeds
from tests.simulation.loop import Process
from tests.simulation.postgres_model import Plan as PostgresPlan
from tests.simulation.redis_wire import Packet
from tests.simulation.redis_wire import Plan as RedisPlan

CUTS = ("before", "after", "torn", "deaf", "lost")
STOPS_S = (0.05, 0.4, 0.9, 2.0, 4.0)
WATCHED = 12  # times more likely is a stop between looking at something and acting upon it
RAW_TIMES = 5  # more likely are cuts of an engine's link, which says in one packet what others say in four
PAUSE_S = 0.6  # on average between two deeds
KINDS_OFF_SHARE = 0.35  # of the kinds that a seed does without


class Rates(NamedTuple):
    """How likely things are at one exchange or statement."""

    cut: float
    late: float
    kill: float
    stop: float
    power: float
    statement: float
    statement_kill: float


class Faults:
    """The faults of one seed."""

    def __init__(self, chance: random.Random, world: Any) -> None:
        self.chance = chance
        self.world = world
        self.on = False
        self.counts: Counter[str] = Counter()
        self.names = [name for name in DEEDS if chance.random() >= KINDS_OFF_SHARE]
        self.rates = Rates(
            cut=chance.choice((0.0, 0.0005, 0.002)),
            late=chance.choice((0.0, 0.002)),
            kill=chance.choice((0.0, 0.0002, 0.0006)),
            stop=chance.choice((0.0, 0.0003, 0.001)),
            power=chance.choice((0.0, 0.0, 0.0001, 0.0004)),
            statement=chance.choice((0.0, 0.01, 0.04)),
            statement_kill=chance.choice((0.0, 0.004, 0.015)),
        )
        self.cuts = [cut for cut in CUTS if chance.random() < 0.7] or ["after"]
        self.pause_s = PAUSE_S * chance.choice((0.5, 1.0, 2.0))
        self.mends: list[Callable[[], None]] = []
        self.deeds = Deeds(chance, world, self)

    # --- at every exchange ----------------------------------------------------------------------------------------

    def exchange(self, process: Process, packet: Packet) -> RedisPlan:
        """Return what happens to one packet on its way to Redis and back."""
        chance = self.chance
        self.world.looks.glance()
        out_s, back_s = chance.uniform(0.00005, 0.0003), chance.uniform(0.00005, 0.0003)
        if not self.on:
            return RedisPlan(out_s, back_s)
        rates, roll = self.rates, chance.random()
        raw = packet.connection.socket.raw
        cut_rate = rates.cut * RAW_TIMES if raw else rates.cut
        if roll < cut_rate:
            cut = chance.choice(self.cuts)
            self.counts[f"cut_{cut}_raw" if raw else f"cut_{cut}"] += 1
            return RedisPlan(out_s, back_s, cut=cut)
        roll -= cut_rate
        if roll < rates.kill:
            kill = chance.choice(("before", "after"))
            self.counts[f"kill_{kill}"] += 1
            return RedisPlan(out_s, back_s, kill=kill)
        roll -= rates.kill
        stop = rates.stop * WATCHED if packet.commands[0][0] == b"WATCH" else rates.stop
        if roll < stop:
            self.stop_amid(process, out_s + back_s / 2)
            return RedisPlan(out_s, back_s)
        roll -= stop
        if roll < rates.power:
            return self.power_amid(out_s, back_s)
        roll -= rates.power
        if roll < rates.late:
            self.counts["late"] += 1
            late_s = chance.uniform(0.05, 0.6)
            return RedisPlan(late_s, back_s) if chance.random() < 0.5 else RedisPlan(out_s, late_s)
        return RedisPlan(out_s, back_s)

    def power_amid(self, out_s: float, back_s: float) -> RedisPlan:
        """
        Let Redis lose power as a packet arrives: what was not answered may have reached the disk, whole or not at all.

        What it had answered before is there afterwards: it answers after the disk has it.
        """
        cut = self.chance.choice(("before", "after", "torn"))
        self.counts[f"power_{cut}"] += 1
        redis = self.world.redis

        def restart() -> None:
            if redis.is_up:
                redis.restart("power")

        self.world.loop.call_outside(self.world.loop.time() + out_s + back_s / 2, restart)
        return RedisPlan(out_s, back_s, cut=cut)

    def stop_amid(self, process: Process, after_s: float) -> None:
        """Stop a process between what it asks for and the answer."""
        self.counts["stop_amid"] += 1

        def stop() -> None:
            if process.alive and not process.stopped:
                process.stop()
                self.later(self.chance.choice(STOPS_S), process.go_on)

        self.world.loop.call_outside(self.world.loop.time() + after_s, stop)

    def connecting(self, _process: Process) -> str:
        """Return what happens to one connection that is opened."""
        if self.on and self.chance.random() < self.rates.cut * 10:
            how = self.chance.choice(("refused", "hangs"))
            self.counts[f"connect_{how}"] += 1
            return how
        return ""

    def statement(self, _process: Process, _name: str, _moment: str) -> PostgresPlan:
        """Return what happens to one statement."""
        chance = self.chance
        delay_s = chance.uniform(0.0002, 0.002)
        if not self.on:
            return PostgresPlan(delay_s)
        roll, rates = chance.random(), self.rates
        if roll < rates.statement:
            fault = chance.choice(("down", "unanswered"))
            self.counts[f"statement_{fault}"] += 1
            return PostgresPlan(delay_s, fault=fault)
        if roll - rates.statement < rates.statement_kill:
            kill = chance.choice(("before", "after"))
            self.counts[f"statement_kill_{kill}"] += 1
            return PostgresPlan(delay_s, kill=kill)
        return PostgresPlan(delay_s)

    def dies_writing(self) -> bool:
        """Return whether a persister dies in the middle of what it writes to the archive now."""
        dies = self.on and self.chance.random() < 20 * self.rates.kill
        self.counts["kill_writing"] += dies
        return dies

    # --- the gremlin ----------------------------------------------------------------------------------------------

    async def run(self, end_s: float) -> None:
        """Do one deed after the other until the end comes."""
        self.on = True
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.chance.expovariate(1.0 / self.pause_s))
            if loop.time() >= end_s:
                return
            self.deeds.postgres_copy()
            if self.names:
                name = self.chance.choices(self.names, [DEEDS[each] for each in self.names])[0]
                if getattr(self.deeds, name)():
                    self.counts[name] += 1
                    self.world.note("fault", name=name)

    def quiet(self) -> None:
        """End all faults, and mend what is still broken."""
        self.on = False
        for mend in self.mends:
            mend()
        self.mends.clear()

    def later(self, seconds: float, mend: Callable[[], None]) -> bool:
        """Mend something after a while, at the latest when all faults end; return True, for a deed that was done."""
        done = False

        def once() -> None:
            nonlocal done
            if not done:
                done = True
                mend()

        self.mends.append(once)
        self.world.loop.call_outside(self.world.loop.time() + seconds, once)
        return True
