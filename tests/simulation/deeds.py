"""
What goes wrong in a seed, deed by deed: kill, stop, break a server, spoil the feed, a clock, a snapshot; and mend it.

Each does one thing at once, has it mended later where that is needed, and returns whether there was anything to do it
to. When and how often they are done, and which at all, is drawn in `faults.py`.
"""

import os
import random
from collections.abc import Callable
from typing import Any, Protocol

from engine.documents import files_list
from tests.simulation.processes import Child

HOUR_US = 3_600_000_000
# Deed -> how often it is done compared with others.
DEEDS = {
    "kill_leader": 6,
    "kill_engine": 3,
    "kill_writer": 2,
    "kill_poller": 3,
    "kill_gateway": 3,
    "kill_persister": 4,
    "stop_leader": 5,
    "stop_engine": 3,
    "stop_poller": 2,
    "stop_gateway": 2,
    "stop_persister": 3,
    "second_poller": 2,
    "second_persister": 5,
    "redis_kill": 3,
    "redis_power": 3,
    "redis_away": 2,
    "redis_loading": 1,
    "redis_hang": 2,
    "redis_full": 3,
    "redis_readonly": 2,
    "redis_clock": 1,
    "postgres_away": 2,
    "postgres_hang": 2,
    "postgres_back": 1,
    "feed_silent": 1,
    "feed_cut": 2,
    "feed_refused": 1,
    "feed_hostile": 2,
    "feed_violent": 2,
    "producer_clock": 2,
    "snapshot_spoiled": 3,
    "snapshot_removed": 1,
    "row_spoiled": 2,
    "hard_start": 2,
    "poison": 2,
    "slow_network": 2,
    "leader_key_removed": 1,
    "views_lost": 1,
    "archive_full": 2,
}


class Mender(Protocol):
    """What a deed needs of the faults of its seed."""

    rates: Any
    counts: Any

    def later(self, seconds: float, mend: Callable[[], None]) -> bool:
        """Mend something after a while, at the latest when all faults end; return True."""


class Deeds:
    """The deeds of one seed."""

    def __init__(self, chance: random.Random, world: Any, faults: Mender) -> None:
        self.chance = chance
        self.world = world
        self.faults = faults
        self.token: Any = None  # what Postgres held some time ago
        self.token_s = 0.0

    # --- processes

    def engines(self) -> list[Child]:
        """Return the engines that run."""
        return [child for child in self.world.children if child.kind == "engine" and child.alive]

    def leader(self) -> Child | None:
        """Return the engine that leads, as far as it knows itself."""
        return next((child for child in self.engines() if self.world.leads(child)), None)

    def one(self, kind: str) -> Child | None:
        """Return a process of a kind that runs."""
        found = [child for child in self.world.children if child.kind == kind and child.alive]
        return self.chance.choice(found) if found else None

    def kill(self, child: Child | None) -> bool:
        """Kill a process."""
        if child is None:
            return False
        child.kill()
        return True

    def stop(self, child: Child | None) -> bool:
        """Stop a process for a while; its connections stay open."""
        if child is None or child.process is None or child.process.stopped:
            return False
        process = child.process
        process.stop()
        return self.faults.later(self.chance.choice((0.1, 0.4, 0.9, 2.0, 4.0, 8.0)), process.go_on)

    def kill_leader(self) -> bool:
        return self.kill(self.leader())

    def kill_engine(self) -> bool:
        return self.kill(self.one("engine"))

    def kill_poller(self) -> bool:
        return self.kill(self.one("poller"))

    def kill_gateway(self) -> bool:
        return self.kill(self.one("gateway"))

    def kill_persister(self) -> bool:
        return self.kill(self.one("persister"))

    def kill_writer(self) -> bool:
        child = self.one("engine")
        runner = child.end.runner if child is not None and child.end is not None else None
        if runner is None:
            return False
        runner.parts.snapshots.port.die()
        return True

    def stop_leader(self) -> bool:
        return self.stop(self.leader())

    def stop_engine(self) -> bool:
        return self.stop(self.one("engine"))

    def stop_poller(self) -> bool:
        return self.stop(self.one("poller"))

    def stop_gateway(self) -> bool:
        return self.stop(self.one("gateway"))

    def stop_persister(self) -> bool:
        return self.stop(self.one("persister"))

    def second(self, kind: str) -> bool:
        """Have one process more of a kind for a while, or to the end."""
        if sum(child.kind == kind for child in self.world.children) > 1:
            return False
        child = self.world.child_add(kind)
        return self.faults.later(self.chance.uniform(1.0, 8.0), lambda: self.world.child_remove(child))

    def second_poller(self) -> bool:
        return self.second("poller")

    def second_persister(self) -> bool:
        return self.second("persister")

    def producer_clock(self) -> bool:
        """Let the clock of one producer's next life be wrong."""
        child = self.one(self.chance.choice(("poller", "gateway")))
        if child is None:
            return False
        child.clock_offset_us = self.chance.choice((-1, 1)) * self.chance.choice((HOUR_US, 5_000_000, 24 * HOUR_US))
        child.kill()

        def mend() -> None:
            child.clock_offset_us = 0
            child.kill()

        return self.faults.later(self.chance.uniform(1.0, 5.0), mend)

    # --- Redis

    def redis_kill(self) -> bool:
        self.world.redis.restart("kill")
        return True

    def redis_power(self) -> bool:
        self.world.redis.restart("power")
        return True

    def redis_away(self) -> bool:
        self.world.redis.down()
        return self.faults.later(self.chance.choice((0.1, 0.6, 1.5, 4.0)), self.redis_up)

    def redis_loading(self) -> bool:
        self.world.redis.down()
        return self.faults.later(self.chance.choice((0.05, 0.5)), lambda: self.redis_up(1.0))

    def redis_up(self, loading_s: float = 0.0) -> None:
        """Start Redis unless it runs."""
        if not self.world.redis.is_up:
            self.world.redis.up(loading_s)

    def redis_hang(self) -> bool:
        self.world.redis.hang()
        return self.faults.later(self.chance.choice((0.2, 0.7, 2.0, 6.0)), self.world.redis.unhang)

    def switch(self, name: str, seconds: float) -> bool:
        """Turn a switch of the Redis model on for a while."""
        model = self.world.redis.model
        setattr(model, name, True)
        return self.faults.later(seconds, lambda: setattr(model, name, False))

    def redis_full(self) -> bool:
        return self.switch("oom", self.chance.choice((0.001, 0.01, 0.2, 1.5)))

    def redis_readonly(self) -> bool:
        return self.switch("readonly", self.chance.choice((0.01, 0.2, 1.5)))

    def redis_clock(self) -> bool:
        model = self.world.redis.model
        model.clock_offset_us = self.chance.choice((-1, 1)) * HOUR_US

        def mend() -> None:
            model.clock_offset_us = 0

        return self.faults.later(self.chance.uniform(0.5, 4.0), mend)

    def slow_network(self) -> bool:
        rates = self.faults.rates
        self.faults.rates = rates._replace(late=0.05)

        def mend() -> None:
            self.faults.rates = self.faults.rates._replace(late=rates.late)

        return self.faults.later(self.chance.uniform(0.5, 2.0), mend)

    def leader_key_removed(self) -> bool:
        self.world.looks.call(b"DEL", self.world.keys.leader.encode())
        return True

    def views_lost(self) -> bool:
        """Remove the cursor of the account views and some of them: they have to be built anew."""
        looks = self.world.looks
        if self.world.redis.model.loading:
            return False
        keys = looks.views_keys()
        views = looks.keys_with(keys.view_account_prefix)
        gone = [key for key in views if self.chance.random() < 0.5]
        looks.call(b"DEL", keys.views_cursor.encode(), keys.views_witness.encode(), *gone)
        looks.cursor_seen = None
        return True

    def poison(self) -> bool:
        """Append entries that nobody can read, as a stranger with a client would."""
        log = self.world.keys.log.encode()
        for _ in range(self.chance.randrange(1, 4)):
            fields = self.chance.choice(POISON)
            self.world.looks.call(b"XADD", log, b"NOMKSTREAM", b"*", *fields)
        return True

    # --- Postgres

    def postgres_away(self) -> bool:
        self.world.postgres.down()
        return self.faults.later(self.chance.choice((0.2, 1.5, 5.0)), self.world.postgres.up)

    def postgres_hang(self) -> bool:
        self.world.postgres.hang()
        return self.faults.later(self.chance.choice((0.5, 3.0, 8.0)), self.world.postgres.unhang)

    def postgres_copy(self) -> None:
        """Copy Postgres now and then."""
        now_s = self.world.loop.time()
        if self.token is None or now_s - self.token_s > 2.0:
            self.token, self.token_s = self.world.postgres.snapshot(), now_s

    def postgres_back(self) -> bool:
        """Restore Postgres from a copy that is younger than the oldest events that are kept."""
        age_s = (self.world.loop.time() - self.token_s) * self.world.wall_rate
        if self.token is None or age_s > self.world.settings.keep_events_s / 2:
            return False
        self.world.postgres.restore(self.token)
        self.world.looks.row_seen = None
        return True

    # --- the feed

    def feed_silent(self) -> bool:
        return self.outside_set("silent", True, False, self.chance.choice((1.0, 4.0, 8.0)))

    def feed_refused(self) -> bool:
        self.world.outside.cut()
        return self.outside_set("refusing", True, False, self.chance.choice((0.5, 3.0)))

    def feed_hostile(self) -> bool:
        return self.outside_set("hostile_share", 0.4, 0.0, self.chance.uniform(1.0, 4.0))

    def feed_violent(self) -> bool:
        return self.outside_set("violence", 8.0, 1.0, self.chance.uniform(1.0, 4.0))

    def feed_cut(self) -> bool:
        self.world.outside.cut()
        return True

    def outside_set(self, name: str, value: Any, after: Any, seconds: float) -> bool:
        """Set something of the outside venue for a while."""
        setattr(self.world.outside, name, value)
        return self.faults.later(seconds, lambda: setattr(self.world.outside, name, after))

    # --- files

    def snapshot_spoiled(self) -> bool:
        """Change, cut or replace the newest snapshot file, or one of the older ones."""
        files = sorted((self.world.settings.data_dir / "snapshots").glob("snapshot-*.json"))
        files = [path for path in files if path.stat().st_size]  # one that was emptied before stays as it is
        if not files:
            return False
        path = self.chance.choice(files)
        content = bytearray(path.read_bytes())
        how = self.chance.choice(("bit", "cut", "empty", "newer", "venue"))
        match how:
            case "bit":
                content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
            case "cut":
                del content[self.chance.randrange(len(content)) :]
            case "empty":
                content.clear()
            case "newer":
                content = content.replace(b'"format":1', b'"format":9', 1)
            case _:
                content = content.replace(self.world.venue_name.encode(), b"othervenue")
        path.write_bytes(content)
        self.faults.counts[f"snapshot_{how}"] += 1
        return True

    def snapshot_removed(self) -> bool:
        """Remove every snapshot file."""
        for path in sorted((self.world.settings.data_dir / "snapshots").glob("snapshot-*.json")):
            os.unlink(path)
        return True

    def row_spoiled(self) -> bool:
        """Change the row of the newest snapshot, or a keyframe, behind everybody's back."""
        tables = self.world.postgres.tables
        name = self.chance.choice(("engine_snapshots", "engine_keyframes"))
        rows = tables.get(name, {})
        if not rows:
            return False
        key = self.chance.choice(sorted(rows, key=repr))
        document = dict(rows[key]["snapshot_data"])
        how = self.chance.choice(("state", "format", "table", "hash"))
        match how:
            case "state":
                document["log_time_us"] += 1
            case "format":
                document["format"] = 9
            case "table":
                document["tables"] = {name: {**each, "packed": "AAAA"} for name, each in document["tables"].items()}
            case _:
                document["state_hash"] = "0" * 64
        rows[key] = {**rows[key], "snapshot_data": document}
        self.faults.counts[f"row_{how}"] += 1
        return True

    def hard_start(self) -> bool:
        """Kill every engine while Postgres is away and only the oldest snapshot file can be read."""
        for _, path in files_list(self.world.settings.data_dir / "snapshots")[:-1]:
            path.write_bytes(path.read_bytes()[:-1])
        for child in self.engines():
            child.kill()
        self.world.postgres.down()
        return self.faults.later(self.chance.choice((0.5, 2.0, 6.0)), self.world.postgres.up)

    def archive_full(self) -> bool:
        """Let the archive's disk be full for a while."""
        self.world.disk_full = True

        def mend() -> None:
            self.world.disk_full = False

        return self.faults.later(self.chance.uniform(0.5, 4.0), mend)


STRANGE = b'{"v":1,"account":100,"request_id":"zz","op":"order_place"}'
POISON: tuple[tuple[bytes, ...], ...] = (
    (b"x", b"y"),
    (b"ts", b"1", b"user_instruction", b"{"),
    (b"ts", b"-5", b"clock_tick", b"{}"),
    (b"ts", b"1800000000000000", b"user_instruction", STRANGE),
    (b"ts", b"9" * 30, b"price_update", b"{}"),
    (b"ts", b"1800000000000000", b"checkpoint", b'{"seq":1}'),
    (b"\xff\xfe", b"\x00\x01"),
    (b"ts", b"1800000000000000", b"unknown_kind", b"[]"),
)
