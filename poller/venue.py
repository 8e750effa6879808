"""Which venue the poller serves, whether it still may, and what the leader and other pollers say of themselves."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from poller.connection import Drop, Feed
from poller.forward import Forwarder
from poller.timing import Timing
from poller.witness import Witness
from shared.refusal import Refusal, RefusalStands, refusal_file_read
from shared.stream_keys import Keys, StreamsError

ROLE = "poller"
WAIT_SAY_S = 5.0
SUPERSEDED_S = 2.0  # that another session may be in force before ours is renewed
OTHER_ALIVE_S = 3.0  # a heartbeat lives so long


class VenueLeft(Exception):
    """This process must end: the live venue is another one, or what it remembers of its log is out of date."""


class Facts(Protocol):
    """The verbs of shared.streams that this file uses."""

    async def venue(self) -> str | None:
        """Return the live venue's name."""

    async def get_json(self, key: str) -> Any:
        """Return a stored JSON value or None."""

    async def restores(self, keys: Keys) -> int:
        """Return how often the log was restored."""

    async def leader_read(self, keys: Keys) -> dict[str, Any] | None:
        """Return the leader's heartbeat or None."""

    async def heartbeat(self, keys: Keys, name: str, payload: dict[str, Any]) -> None:
        """Write a process's heartbeat."""


async def venue_wait(streams: Facts, timing: Timing, logger: Any) -> str:
    """Return the live venue once there is one, saying meanwhile that it is awaited."""
    said_s = -WAIT_SAY_S
    while True:
        why = "no engine has founded a venue yet"
        try:
            name = await streams.venue()
            if name is not None:
                return name
        except StreamsError as error:
            why = f"Redis does not answer: {error}"
        if timing.monotonic_s() - said_s >= WAIT_SAY_S:
            said_s = timing.monotonic_s()
            logger.info("waiting_for_venue", why=why)
        await timing.sleep(0.1)


class VenueGuard:
    """Asks whether the venue is still ours, and whether anybody has refused to go on with it."""

    def __init__(self, streams: Facts, keys: Keys, data_dir: Path, witness: Witness) -> None:
        self.streams = streams
        self.keys = keys
        self.data_dir = data_dir
        self.witness = witness
        self.restores: int | None = None  # how often the log had been restored when this was first asked

    async def check(self) -> None:
        """
        Raise VenueLeft when the pointer names another venue or the log was restored, RefusalStands when a refusal is
        written down.

        Raise Refusal when the log lacks what we remember. Silence of Redis is none of these.
        """
        refusal_file_check(self.data_dir)
        try:
            name = await self.streams.venue()
            refusal = await self.streams.get_json(self.keys.refused)
            await self.restored_check()
        except StreamsError:
            return
        if name is not None and name != self.keys.venue:
            raise VenueLeft(f"the live venue is {name}, this process serves {self.keys.venue}")
        if refusal is not None:
            raise RefusalStands(refusal, "Redis")
        with contextlib.suppress(StreamsError):
            try:
                await self.witness.check()
            except Refusal:
                await self.restored_check()
                raise

    async def restored_check(self) -> None:
        """Raise VenueLeft when the log was restored since this was first asked: what we remember may be lost."""
        count = await self.streams.restores(self.keys)
        if self.restores is None:
            self.restores = count
        if count != self.restores:
            raise VenueLeft(f"the log of {self.keys.venue} was restored: this process begins anew")


def refusal_file_check(data_dir: Path) -> None:
    """Raise RefusalStands when the data folder holds a refusal."""
    reason = refusal_file_read(data_dir)
    if reason is not None:
        raise RefusalStands(reason, "the data folder")


class Watch:
    """Once a second: the guard, the session in force, the own heartbeat."""

    def __init__(
        self,
        streams: Facts,
        keys: Keys,
        guard: VenueGuard,
        feed: Feed,
        forwarder: Forwarder,
        timing: Timing,
        logger: Any,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.streams = streams
        self.keys = keys
        self.guard = guard
        self.feed = feed
        self.forwarder = forwarder
        self.timing = timing
        self.logger = logger
        self.who = token(8)
        self.metrics_port = 0  # where the metrics are served; 0: nowhere
        self.since_us = timing.now_us()
        self.leader: dict[str, Any] = {}
        self.leader_counter: Any = None
        self.leader_alive = False
        self.other_seen_s: float | None = None
        self.superseded_since_s: float | None = None

    async def run(self) -> None:
        """Watch for ever; raises what the guard raises."""
        while True:
            await self.look()
            await self.timing.sleep(1.0)

    async def look(self) -> None:
        """Look once."""
        await self.guard.check()
        try:
            await self.leader_look()
            await self.other_look()
            self.session_look()
            await self.streams.heartbeat(self.keys, ROLE, self.payload())
        except StreamsError as error:
            self.superseded_since_s = None
            self.logger.info("heartbeat_failed", why=str(error))

    async def leader_look(self) -> None:
        """Read the leader's heartbeat; it is alive while its counter moves."""
        leader = await self.streams.leader_read(self.keys) or {}
        counter = (leader.get("who"), leader.get("counter"))
        self.leader_alive = bool(leader) and counter != self.leader_counter
        self.leader, self.leader_counter = leader, counter

    async def other_look(self) -> None:
        """Notice another poller: between two of our heartbeats the key holds somebody else's."""
        beat = await self.streams.get_json(self.keys.process(ROLE))
        if isinstance(beat, dict) and beat.get("who") not in (None, self.who):
            self.other_seen_s = self.timing.monotonic_s()

    def session_look(self) -> None:
        """Renew a session that the leader has read but does not hold in force, unless another poller lives."""
        now_s = self.timing.monotonic_s()
        opened = self.feed.session_seq > 0 and int(self.leader.get("seq") or 0) >= self.feed.session_seq
        if not opened or not self.leader_alive or self.leader.get("session") == self.feed.session:
            self.superseded_since_s = None
            return
        if self.superseded_since_s is None:
            self.superseded_since_s = now_s
            return
        other_alive = self.other_seen_s is not None and now_s - self.other_seen_s <= OTHER_ALIVE_S
        if now_s - self.superseded_since_s >= SUPERSEDED_S and not other_alive:
            self.superseded_since_s = None
            self.logger.warning("session_superseded", own=self.feed.session, in_force=self.leader.get("session"))
            self.feed.drop(Drop.SUPERSEDED)

    def payload(self) -> dict[str, Any]:
        """Return what the heartbeat says."""
        feed, forwarder = self.feed, self.forwarder
        now_s = self.timing.monotonic_s()
        up = feed.socket is not None and feed.session_seq > 0
        return {
            "role": ROLE,
            "pid": os.getpid(),
            "who": self.who,
            "seq": forwarder.seq,
            "lag": len(forwarder.waiting) + len(forwarder.flying),
            "rules": self.leader.get("rules", 0),
            "metrics_port": self.metrics_port,
            "since_us": self.since_us,
            "session": feed.session if up else "",
            "source": feed.source,
            "status": "up" if up else "down",
            "silence_ms": int((now_s - feed.seen_s) * 1000) if up else None,
            "undelivered": feed.undelivered if up else [],
            "forwarded": dict(forwarder.counts),
            "frames": dict(feed.counts),
        }
