"""
Disasters: Redis loses what was acknowledged. The venue must notice and refuse, or have lost nothing that matters.

One seed in sixteen ends in one. Whatever is lost, no number of the log may ever be used for another entry.
"""

import asyncio
import random
from typing import Any

DISASTER_SHARE = 1 / 16
REFUSAL_S = 12.0  # by then everybody has noticed: a look every 3 s, restarts, time-outs of 5 s
LOOK_S = 0.25
LOST_MAX = 40  # entries of a lost tail
KINDS = ("flushed", "log_deleted", "events_deleted", "entry_deleted", "trimmed_too_far", "tail_lost")


class Disaster:
    """One disaster of one seed."""

    def __init__(self, chance: random.Random, world: Any) -> None:
        self.chance = chance
        self.world = world
        self.kind = chance.choice(KINDS) if chance.random() < DISASTER_SHARE else ""
        self.refused = False

    async def strike(self) -> None:
        """Do it, and wait until somebody has refused and all have ended, or nobody has."""
        world = self.world
        world.faults.quiet()
        await asyncio.sleep(self.chance.choice((0.1, 2.0, 4.0)))
        world.looks.remember()
        getattr(self, self.kind)()
        world.note("disaster", kind=self.kind)
        world.faults.counts[f"disaster_{self.kind}"] += 1
        if self.chance.random() < 0.5:
            for child in world.children:
                if child.kind == "engine":
                    child.kill()
        for _ in range(int(REFUSAL_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            if not any(child.alive for child in world.children):
                break
        self.refused = any(78 in child.codes for child in world.children)

    def found(self) -> list[str]:
        """Return what is wrong after a refusal."""
        found = [f"D: {child.name} goes on after {self.kind}" for child in self.world.children if child.alive]
        for key, gone in self.world.looks.gone.items():
            for place, held in self.world.looks.placed(key).items():
                if gone.get(place, held) != held:
                    found.append(f"D: after {self.kind} {key} holds {held}, where {gone[place]} stood")
        return found

    def flushed(self) -> None:
        """Lose everything."""
        self.world.looks.call(b"FLUSHALL")

    def log_deleted(self) -> None:
        """Lose the log."""
        self.world.looks.call(b"DEL", self.world.keys.log.encode())

    def events_deleted(self) -> None:
        """Lose the events."""
        self.world.looks.call(b"DEL", self.world.keys.events.encode())

    def entry_deleted(self) -> None:
        """Lose one of the newest entries of the log."""
        log = self.world.looks.stream(self.world.keys.log)
        if log:
            stream_id, _ = self.chance.choice(log[-LOST_MAX:])
            self.world.looks.call(b"XDEL", self.world.keys.log.encode(), stream_id)

    def trimmed_too_far(self) -> None:
        """Lose all of the log but its newest entries."""
        log = self.world.looks.stream(self.world.keys.log)
        if log:
            self.world.looks.call(b"XTRIM", self.world.keys.log.encode(), b"MINID", log[-10:][0][0])

    def tail_lost(self) -> None:
        """Lose the newest changes, as a disk that lies does."""
        self.world.redis.restart("lost_tail", lose=self.chance.randrange(1, LOST_MAX * 4))
