"""
One seed, one history: a whole venue in one process on virtual time, its faults, the calm after them, and the verdict.

Everything is a function of the seed: the processes are the shipped ones, chance and time are given to them.
"""

import asyncio
import contextlib
import gc
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from gateway.tail import events_read
from shared.refusal import refusal_file_read
from shared.settings import Settings
from shared.streams import Keys
from tests.simulation import baton
from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.checks import Engine, Evidence, checks
from tests.simulation.clients import Crowd
from tests.simulation.disasters import Disaster
from tests.simulation.doors import Crash
from tests.simulation.faults import Faults
from tests.simulation.feed import MARKETS, OutsideVenue
from tests.simulation.looks import TABLES, TABLES_BESIDE, Looks
from tests.simulation.loop import START_US, SimLoop, dispose
from tests.simulation.postgres_model import PostgresServer
from tests.simulation.processes import LASTING, Child, Fact, Facts, folder_prepare
from tests.simulation.redis_wire import RedisServer

MEMORY = Path("/dev/shm")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
CALM_S = 60.0  # by then everything must have caught up
LOOK_S = 0.25
HOUR_US = 3_600_000_000
STILL_S = 1.2  # that nothing has happened: every market's view is written anew within that time, by one leader
WIRES = ("fast", "plain", "fast", "mixed")  # mixed: engines of both ways beside each other and one after the other
QUIET_S = 1.2  # that the feed is silent before the last look


class Plan(NamedTuple):
    """The size of a seed."""

    trouble_s: float = 9.0  # virtual seconds in which things go wrong
    inputs_min: int = 500
    engines: int = 0  # 0: the seed draws it
    wall_rate: int = 0  # seconds of wall clock in a virtual second; 0: the seed draws it
    wire: str = ""  # of the engines, see WIRES; empty: the seed says which


class Verdict(NamedTuple):
    """What became of a seed."""

    seed: int
    found: list[str]  # what is wrong; empty: nothing
    digest: str  # of everything that happened
    inputs: int  # entries of the log
    virtual_s: float
    faults: Counter[str]
    counts: Counter[str]  # of facts, by process
    happened: Counter[str]  # events by kind
    told: list[Fact]  # the facts, for whoever looks into a failure


class World:
    """One venue and everything around it."""

    def __init__(
        self, seed: int, cast: Cast = SHIPPED, plan: Plan | None = None, faults: type[Faults] = Faults
    ) -> None:
        self.seed = seed
        self.cast = cast
        self.plan = plan or Plan()
        chance = self.chance("world")
        self.wall_rate = chance.choice((2, 3, 3))
        self.wall_rate = self.plan.wall_rate or self.wall_rate
        # An hour ends in the middle: funding is due, a file of the archive is closed.
        before_hour_us = 1_000_000 * chance.randrange(4, 40)
        self.loop = SimLoop(START_US + HOUR_US - before_hour_us, self.wall_rate)
        self.wire = self.plan.wire or WIRES[seed % len(WIRES)]
        self.told: list[Fact] = []
        self.told_read = 0  # facts that were looked at for alarms
        self.alarms: list[str] = []
        self.crashes: list[Crash] = []
        self.folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))
        self.settings = Settings(
            redis_url="redis://simulated",
            database_url="postgresql://simulated",
            data_dir=self.folder / "data",
            archive_dir=self.folder / "archive",
            secret_file=self.folder / "data" / "secret",
            environment="production",
            markets=MARKETS,
            feed_source="simulated",
            trim="on",
            keep_keyframes_s=6.0,
            keep_events_s=24.0,
        )
        folder_prepare(self.settings.data_dir, chance)
        self.venue_name = chance.choice(LETTERS[:26]) + "".join(chance.choice(LETTERS) for _ in range(9))
        self.keys = Keys(self.venue_name)
        self.chance_writer, self.chance_backoff = self.chance("writer"), self.chance("backoff")
        self.chance_tokens, self.chance_doors = self.chance("tokens"), self.chance("doors")
        self.faults = faults(self.chance("faults"), self)
        self.redis = RedisServer(self.loop, self.chance("redis"), self.faults.exchange)
        self.redis.connect_plan = self.faults.connecting
        self.postgres = PostgresServer(self.loop, self.chance("postgres"), self.faults.statement)
        self.looks = Looks(self.redis, self.postgres, self.settings, self.keys)
        self.disaster = Disaster(self.chance("disaster"), self)
        self.outside = OutsideVenue(self.chance("outside"), self.loop.now_us)
        self.crowd = Crowd(seed, self.door, self.loop.now_us, self.outside.prices)
        self.children: list[Child] = []
        self.block_ms = chance.choice((20, 50, 50, 80))  # that an engine waits for the log's next entry
        self.wanted = {
            "engine": chance.choice((1, 1, 2, 2, 2, 3)),
            "poller": 1,
            "gateway": chance.choice((1, 2)),
            "persister": 1,
        }
        self.wanted["engine"] = self.plan.engines or self.wanted["engine"]
        self.disk_full = False  # of the archive

    def chance(self, name: str) -> random.Random:
        """Return the chance of one part; no two parts share one, so that a change in one leaves the others alone."""
        return random.Random(f"{self.seed} {name}")

    def token(self, bytes_count: int) -> str:
        """Return a name that no two starts share."""
        return f"{self.chance_tokens.getrandbits(8 * bytes_count):0{2 * bytes_count}x}"

    def wire_of(self, child: Child) -> str:
        """Return the way that the next life of an engine goes."""
        return ("fast", "plain")[(child.number + child.lives) % 2] if self.wire == "mixed" else self.wire

    def facts(self, name: str) -> Facts:
        """Return the log of one process."""
        return Facts(self.told, self.loop.time, name)

    def note(self, event: str, **fields: Any) -> None:
        """Keep a fact of the world's own."""
        self.told.append((round(self.loop.time(), 6), "world", event, fields))

    # --- children

    def child_add(self, kind: str) -> Child:
        """Keep one process more up."""
        number = 1 + max((child.number for child in self.children if child.kind == kind), default=0)
        child = Child(self, kind, number)
        self.children.append(child)
        self.loop.task_outside(child.keep())
        return child

    def child_remove(self, child: Child) -> None:
        """Keep a process up no longer."""
        child.wanted = False
        child.kill()
        self.children.remove(child)

    def door(self) -> Any:
        """Return some gateway that lives, None when none does."""
        doors = [child.end for child in self.children if child.kind == "gateway" and child.alive and child.end]
        return self.chance_doors.choice(doors) if doors else None

    def runners(self) -> Iterator[tuple[Child, Any]]:
        """Yield every engine that lives and has found its start."""
        for child in self.children:
            if child.kind == "engine" and child.alive and child.end is not None and child.end.runner is not None:
                yield child, child.end.runner

    def leads(self, child: Child) -> bool:
        """Return whether an engine believes that it leads."""
        return any(runner.parts.leadership.leading for other, runner in self.runners() if other is child)

    # --- the history of one seed

    def run(self) -> Verdict:
        """Live, look and judge."""
        collects = gc.isenabled()
        gc.disable()  # a seed is short; what it leaves in cycles is taken away afterwards
        try:
            late = self.loop.run(self.live())
            if self.disaster.refused:
                return self.verdict([*self.crashed(), *self.disaster.found()])
            found = [*self.troubles(), *late]
            if not found or self.cast is not SHIPPED:
                found += checks(self.evidence())
            return self.verdict(found)
        finally:
            self.close()
            if collects:
                gc.enable()

    async def live(self) -> list[str]:
        """Let everything happen; return what did not come to rest."""
        for kind, count in self.wanted.items():
            for _ in range(count):
                self.child_add(kind)
        tasks = [self.loop.task_outside(work) for work in (self.outside.quotes_run(), self.outside.marks_run())]
        crowd = self.loop.task_outside(self.crowd.run())
        await asyncio.sleep(self.chance("begin").choice((0.0, 1.5, 3.0)))
        await self.faults.run(self.plan.trouble_s)
        self.faults.quiet()
        self.note("quiet")
        calm_s = self.loop.time()
        while True:
            if self.looks.log_tip() >= self.plan.inputs_min or self.loop.time() >= calm_s + CALM_S:
                break
            await asyncio.sleep(LOOK_S)
        if self.disaster.kind:
            await self.disaster.strike()
            if self.disaster.refused:
                return []
        self.crowd.stopping = True
        waits = await self.rest(crowd, calm_s + CALM_S)
        for task in (*tasks, crowd):
            task.cancel()
        return waits

    async def rest(self, crowd: Any, end_s: float) -> list[str]:
        """Return when everything has caught up, or what has not at the end."""
        silent_s: float | None = None
        seen, moved_s = None, 0.0
        while True:
            waits = self.waits(crowd)
            now = self.looks.events_tip(), self.leaders()
            if now != seen:
                seen, moved_s = now, self.loop.time()
            if not waits and silent_s is None:
                silent_s = self.loop.time()
                self.outside.silent = True  # so that there is a moment without anything under way
            near = self.waits_near() if silent_s is not None else ["the feed still speaks"]
            still = self.loop.time() - moved_s >= STILL_S
            if silent_s is not None and not near and still and self.loop.time() - silent_s >= QUIET_S:
                return []
            if self.loop.time() >= end_s:
                return [f"L: {text}" for text in waits + near]
            if self.troubles():
                return []
            await asyncio.sleep(LOOK_S if silent_s is None else 0.05)

    def leaders(self) -> list[str]:
        """Return which engines lead, or do not know yet that they lead no longer."""
        return [child.name for child, _ in self.runners() if self.leads(child)]

    def waits(self, crowd: Any) -> list[str]:
        """Return what has not recovered yet."""
        found = [] if crowd.done() else [f"clients still ask about {self.crowd.undecided()}"]
        leaders = self.leaders()
        found += [] if len(leaders) == 1 else [f"{len(leaders)} engines lead"]
        alive = Counter(child.kind for child in self.children if child.alive and child.end is not None)
        found += [f"{alive[kind]} of {kind} live" for kind, count in self.wanted.items() if alive[kind] < count]
        if not any(socket.subscribed for socket in self.outside.sockets):
            found.append("nobody is subscribed to the feed")
        found += self.waits_near(slack=60)
        return found

    def waits_near(self, slack: int = 0) -> list[str]:
        """Return who has not read to the end, or near it."""
        found = []
        tip, events_tip = self.looks.log_tip(), self.looks.events_tip()
        for child, runner in self.runners():
            if runner.parts.machine.seq < tip - slack or len(runner.parts.publisher.kept) > slack:
                found.append(f"{child.name} is at {runner.parts.machine.seq} of {tip}")
        for name, seq in (("history", self.looks.history_cursor()), ("views", self.looks.views_cursor())):
            if seq < events_tip - slack:
                found.append(f"{name} is at {seq} of {events_tip}")
        archived = max((self.archived(child) for child in self.children if child.kind == "persister"), default=0)
        if archived < tip - max(slack, 40):
            found.append(f"the archive is at {archived} of {tip}")
        return found

    def archived(self, child: Child) -> int:
        """Return how far one persister has archived the log."""
        parts = getattr(child.end, "parts", None)
        return parts.archiver.position[0] if parts is not None and parts.archiver.archives else 0

    def crashed(self) -> list[str]:
        """Return who ended by what nobody expected."""
        found = [f"C: {crash.process} ended by {crash.text.strip().splitlines()[-1]}\n{crash.text}"
                 for crash in self.crashes]  # fmt: skip
        return found + [f"C: nobody awaited {trouble}" for trouble in self.loop.troubles]

    def troubles(self) -> list[str]:
        """Return what must never happen, as soon as it has."""
        found = self.crashed()
        for child in self.children:
            found += [f"X: {child.name} ended with {code}" for code in child.codes if code in LASTING]
        reason = refusal_file_read(self.settings.data_dir)
        if reason is not None:
            found.append(f"X: refused: {reason}")
        for now_s, name, event, fields in self.told[self.told_read :]:
            if event in ALARMS:
                self.alarms.append(f"X: {now_s} {name} {event} {fields}")
        self.told_read = len(self.told)
        return found + self.alarms + self.looks.back

    # --- what there is at the end

    def evidence(self) -> Evidence:
        """Return everything that anybody holds."""
        engines = [
            Engine(
                child.name,
                runner.parts.machine.seq,
                runner.parts.machine.hashes(),
                runner.parts.machine.invariants_broken(),
                len(runner.parts.publisher.kept),
            )
            for child, runner in self.runners()
        ]
        looks = self.looks
        return Evidence(
            looks.log(),
            looks.events(),
            engines,
            looks.documents(),
            {name: looks.rows(name) for name in (*TABLES, *TABLES_BESIDE)},
            looks.views(),
            looks.outcomes(),
            {market: looks.hash_of(self.keys.view_market(market).encode()) for market in MARKETS},
            looks.hash_of(self.keys.ops.encode()),
            *looks.archive(),
            self.crowd.answers,
            self.crowd.undecided(),
        )

    def verdict(self, found: list[str]) -> Verdict:
        """Return what became of this seed."""
        counts = Counter(f"{name} {event}" for _, name, event, _ in self.told)
        counts["answers"] = len(self.crowd.answers)
        happened = Counter(event["e"] for entry in self.looks.events() for event in events_read(entry))
        return Verdict(
            self.seed,
            found,
            self.digest(),
            max((entry.seq for entry in self.looks.log()), default=0),  # a disaster may have taken them away
            round(self.loop.time(), 3),
            self.faults.counts,
            counts,
            happened,
            self.told,
        )

    def digest(self) -> str:
        """Return a digest of log, events, rows, answers, and of everything that anybody said."""
        digest = blake2b(digest_size=16)
        for part in (
            self.looks.whole(self.keys.log),
            self.looks.whole(self.keys.events),
            [self.looks.rows(name) for name in TABLES],
            self.crowd.answers,
            [fact[:3] for fact in self.told],
            sorted(self.faults.counts.items()),
        ):
            digest.update(repr(part).encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of everything."""
        for child in self.children:
            child.wanted = False
            child.kill()
        baton.join(self.loop)
        for task in asyncio.all_tasks(self.loop):
            with contextlib.suppress(BaseException):
                task.get_coro().close()  # what it would still do as it ends, nobody sees
        dispose(self.loop)
        shutil.rmtree(self.folder, ignore_errors=True)


ALARMS = ("checkpoint_mismatch", "history_row_rejected", "money_not_conserved", "ops_failed", "view_event_unusable")
