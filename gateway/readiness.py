"""
May this gateway take an instruction now, and what else is not as it should be.

One loop looks every quarter of a second at what is cheap and every two seconds at the rest; /ready only reads what the
loop found, so that asking often costs nothing and never hangs.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import Refusal
from gateway.markets import Markets
from gateway.metrics import Facts
from gateway.ops import money_trouble
from gateway.processes import processes_degraded, whole
from gateway.tail import Tail
from shared.database import Database, DatabaseError
from shared.refusal import REFUSAL_SELECT, RefusalStands, refusal_file_read
from shared.streams import Keys, StreamsAsync, StreamsError

LOOK_S = 0.25
LOOK_WIDE_S = 2.0
LEADER_SILENT_S = 1.0
LOOK_OLD_S = 3.0
LAG_SEQ_MAX = 5_000
SNAPSHOT_AGE_MAX_S = 60
DATABASE_TIMEOUT_S = 1.0
TAIL_BEHIND_S = 1.0

SNAPSHOT_SELECT = (
    "SELECT extract(epoch FROM now() - created_at)::float8 AS age_s FROM engine_snapshots WHERE venue = $1"
)
CURSOR_SELECT = "SELECT seq FROM persister_cursor WHERE venue = $1"


class VenueLost(Exception):
    """The pointer names another venue, or its log was restored: this process must end."""


class Near(NamedTuple):
    """What one cheap look brought."""

    leader: dict[str, Any] | None
    tip: tuple[int, int]
    refused: Any
    venue: str | None
    restores: int


class Watch:
    """Looks, and remembers what it saw."""

    def __init__(
        self,
        streams: StreamsAsync,
        database: Database,
        data_dir: Path,
        keys: Keys,
        tail: Tail,
        markets: Markets,
        monotonic_s: Callable[[], float],
        insurance: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        """Keep what looking needs; `insurance` returns what the fund holds, or raises Refusal."""
        self._insurance = insurance
        self._insurance_held: float | None = None
        self._streams = streams
        self._data_dir = data_dir
        self._database = database
        self._keys = keys
        self._tail = tail
        self._markets = markets
        self._monotonic_s = monotonic_s
        self.restores = 0  # how often the log had been restored when the desk opened
        self.leader: dict[str, Any] = {}
        self.tip = (0, 0)
        self._leader_changed_s = float("-inf")
        self._reached_s = float("-inf")  # Redis answered
        self._written_s = float("-inf")  # Redis took a write
        self._current_s = float("-inf")  # the tail held the newest entry
        self._degraded: dict[str, str] = {"look": "nothing was looked at yet"}
        self.beats: dict[str, dict[str, Any]] = {}  # of the processes that live, by name
        self.engines_wanted = 0  # as the supervisor states it
        self._snapshot_age_s: float | None = None

    async def run(self) -> None:
        """Look for ever; raises VenueLost or RefusalStands."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_near())
            group.create_task(self._run_wide())

    async def _run_near(self) -> None:
        """Look at leader, tip, refusal and pointer."""
        while True:
            reason = refusal_file_read(self._data_dir)
            if reason is not None:
                raise RefusalStands(reason, "the data folder")
            with contextlib.suppress(StreamsError):
                self.saw(await self._look_near())
            await asyncio.sleep(LOOK_S)

    async def _run_wide(self) -> None:
        """Look at everything that is not needed to trade."""
        while True:
            self._degraded = await self._look_wide()
            await asyncio.sleep(LOOK_WIDE_S)

    async def _look_near(self) -> Near:
        """Ask Redis for what readiness rests on."""
        leader = await self._streams.leader_read(self._keys)
        tip = await self._streams.events_tip(self._keys)
        refused = await self._streams.get_json(self._keys.refused)
        restores = await self._streams.restores(self._keys)
        return Near(leader, tip, refused, await self._streams.venue(), restores)

    def saw(self, near: Near) -> None:
        """Take in one look; raises VenueLost or RefusalStands."""
        now_s = self._monotonic_s()
        if near.refused is not None:
            raise RefusalStands(near.refused, "Redis")
        if near.venue is not None and near.venue != self._keys.venue:
            raise VenueLost("Redis names another venue")
        if near.restores != self.restores:
            raise VenueLost("the log was restored: this process begins anew")
        self._reached_s = now_s
        self.tip = near.tip
        if near.leader is not None and near.leader.get("counter") != self.leader.get("counter"):
            # The first sight of a heartbeat may be that of a dead leader; only a change shows life.
            if self.leader:
                self._leader_changed_s = now_s
            self.leader = near.leader
        if self._tail.connected and self._tail.position >= near.tip:
            self._current_s = now_s

    def wrote(self) -> None:
        """Note that Redis took this process's heartbeat."""
        self._written_s = self._monotonic_s()

    def missing(self) -> dict[str, str]:
        """Return why no instruction can be taken, by part; empty when this gateway is ready."""
        now_s = self._monotonic_s()
        found = {}
        if now_s - self._reached_s > LOOK_OLD_S or now_s - self._written_s > LOOK_OLD_S:
            found["redis"] = "Redis takes no writes"
        if now_s - self._leader_changed_s > LEADER_SILENT_S:
            found["leader"] = "no engine leads"
        if now_s - self._current_s > TAIL_BEHIND_S:
            found["tail"] = "this gateway's reading of the events is behind"
        return found

    def degraded(self) -> dict[str, str]:
        """Return what is not as it should be though instructions are taken, by part."""
        return dict(self._degraded)

    def facts(self) -> Facts:
        """Return what the metrics say of this gateway's own look."""
        tail_seq = self._tail.position[0]
        tail_lag_s = 0.0 if self._tail.position >= self.tip else self._monotonic_s() - self._current_s
        degraded = tuple(self._degraded)
        seen = (self.tip[0], self._snapshot_age_s, tail_seq, tail_lag_s, degraded, self._insurance_held)
        return Facts(not self.missing(), *seen)

    async def _look_wide(self) -> dict[str, str]:
        """Return what is found degraded."""
        found: dict[str, str] = {}
        self._snapshot_age_s = None
        try:
            await self._look_redis(found)
        except StreamsError:
            found["redis"] = "not reachable"
            self.beats = {}
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                await self._look_database(found)
        except (DatabaseError, TimeoutError):
            found["postgres"] = "not reachable; history and signing in wait, trading goes on"
        return found

    async def _look_redis(self, found: dict[str, str]) -> None:
        """Look at durability, the processes, the view reader's lag and the age of each market's price."""
        info = await self._streams.server_info()
        if info["appendfsync"] != "always" or not info["appendonly"]:
            found["fsync"] = f"appendfsync is {info['appendfsync']}: acknowledged entries may be lost in a crash"
        self.beats = await self._streams.heartbeats_read(self._keys)
        self.engines_wanted = whole(await self._streams.get_json(self._keys.engines_wanted))
        found |= processes_degraded(self.beats, self.engines_wanted, self._tail.position[0], LAG_SEQ_MAX)
        trouble = money_trouble(await self._streams.hash_read(self._keys.ops))
        if trouble is not None:
            found["money"] = trouble
        cursor, _witness = await self._streams.views_cursor_read(self._keys)
        seq = int((cursor or "").partition("-")[0] or 0)
        if self._tail.position[0] - seq > LAG_SEQ_MAX:
            found["views"] = f"account views are at {seq}, the events at {self._tail.position[0]}"
        for market in self._markets.all():
            view = await self._streams.hash_read(self._keys.view_market(market["market"]))
            if view.get("fresh") != "1":
                found[f"price:{market['market']}"] = "stale: no order is taken in this market"
        if self._insurance is not None:
            with contextlib.suppress(Refusal):
                self._insurance_held = float((await self._insurance())["balance"])

    async def _look_database(self, found: dict[str, str]) -> None:
        """Look for a refusal, at the snapshot's age and at the history reader's lag."""
        refused = await self._database.fetchrow(REFUSAL_SELECT, self._keys.venue)
        if refused is not None:
            raise RefusalStands(refused["reason"], "Postgres")
        snapshot = await self._database.fetchrow(SNAPSHOT_SELECT, self._keys.venue)
        self._snapshot_age_s = snapshot["age_s"] if snapshot else None
        if snapshot is None:
            found["snapshot"] = "none was written yet"
        elif snapshot["age_s"] > SNAPSHOT_AGE_MAX_S:
            found["snapshot"] = f"the newest is {snapshot['age_s']:.0f} s old"
        cursor = await self._database.fetchrow(CURSOR_SELECT, self._keys.venue)
        seq = int(cursor["seq"]) if cursor else 0
        if self._tail.position[0] - seq > LAG_SEQ_MAX:
            found["history"] = f"history is at {seq}, the events at {self._tail.position[0]}"
