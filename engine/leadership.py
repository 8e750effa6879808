"""
Who leads: the `lead` entry in the log, the heartbeat that shows a live leader, the detector that misses one.

Leadership is decided by the log alone: the newest applied `lead` leads. The heartbeat decides only when a standby
tries; a false promotion is harmless. No time-out lives in Redis: its clock may step, ours (monotonic) does not.
"""

import secrets
from collections.abc import Callable
from typing import Any, Protocol

BEAT_S = 0.125
OBSERVE_S = 0.1
OBSERVE_GAP_MAX_S = 0.25  # a longer pause between two looks was ours or Redis's, and proves nothing
SILENCE_S = 0.5
TIP_AGE_MAX_S = 0.1
RUN_ID_WAIT_S = 1.0
LEAD_RETRY_S = 1.0


class LeadershipStreams(Protocol):
    """The verbs of shared.streams that leadership uses."""

    def leader_read(self, keys: Any) -> dict[str, Any] | None: ...
    def leader_write(self, keys: Any, payload: dict[str, Any]) -> None: ...


def who_random(token: Callable[[int], str] = secrets.token_hex) -> str:
    """Return a name for one process start; no two ever share it."""
    return token(8)


class Leadership:
    """One engine's view of who leads."""

    def __init__(self, streams: LeadershipStreams, keys: Any, who: str, now_s: float, founded: bool = False) -> None:
        self.streams = streams
        self.keys = keys
        self.who = who
        self.founded = founded  # this process appended genesis: nobody else can remember anything
        self.leading = False
        self.counter = 0
        self.promotions_count = 0
        self.beat_next_s = now_s
        self.lead_next_s = now_s
        self.key_seen: tuple[Any, Any] | None = None
        self.key_left = False
        self.looks_count = 0
        self.look_last_s = now_s
        self.silent_since_s = now_s
        self.run_id_named = ""  # what the heartbeat names: Redis as it was when a leader vouched for it
        self.run_id_passed = ""  # the Redis that passed our witness check
        self.run_id_from_s = 0.0

    def look(self, now_s: float) -> None:
        """Read the leader's key and note since when it has not changed; at most every 100 ms."""
        if self.leading or (self.looks_count and now_s - self.look_last_s < OBSERVE_S):
            return
        payload = self.streams.leader_read(self.keys) or {}
        seen = (payload.get("who"), payload.get("counter"))
        paused = now_s - self.look_last_s > OBSERVE_GAP_MAX_S
        if not self.looks_count or paused or seen != self.key_seen:
            self.silent_since_s = now_s
        self.key_seen = seen
        self.key_left = payload.get("left") is True
        self.run_id_named = str(payload.get("run_id") or "")
        self.look_last_s = now_s
        self.looks_count += 1

    def witnessed(self, run_id: str, now_s: float) -> None:
        """Note that the Redis of this run_id passed the witness check, and from when it may be named."""
        if run_id == self.run_id_passed:
            return
        # Producers remember too; after a restart of Redis they get a second to refuse. Nobody else remembers anything
        # of a log that this process founded, and a run_id that a leader named has had its second already.
        quick = self.founded or run_id == self.run_id_named
        self.run_id_passed = run_id
        self.run_id_from_s = now_s if quick else now_s + RUN_ID_WAIT_S

    def run_id_clear(self, now_s: float) -> bool:
        """Return whether the present Redis may be named."""
        return bool(self.run_id_passed) and now_s >= self.run_id_from_s

    def leader_silent(self, now_s: float) -> bool:
        """Return whether no leader has shown life for so long that this engine should try."""
        if self.founded or self.key_left:
            return True
        return self.looks_count > 1 and now_s - self.silent_since_s >= SILENCE_S

    def silent_ms(self, now_s: float) -> int:
        """Return for how long no leader has been seen to live."""
        return round(1_000 * (now_s - self.silent_since_s))

    def candidate(self, now_s: float, tip_age_s: float) -> bool:
        """Return whether to append `lead` now: nobody leads, we have applied to the tip, Redis is vouched for."""
        if self.leading or now_s < self.lead_next_s or tip_age_s > TIP_AGE_MAX_S:
            return False
        return self.leader_silent(now_s) and self.run_id_clear(now_s)

    def lead_tried(self, now_s: float) -> None:
        """Note that `lead` is being appended; whatever becomes of it, the next try is a second away."""
        self.lead_next_s = now_s + LEAD_RETRY_S

    def lead_applied(self, leader: str, now_s: float) -> str:
        """Return "promoted", "deposed" or "" after a `lead` was applied; the newest leads."""
        leading_before = self.leading
        self.leading = leader == self.who
        self.founded = self.founded and not leader
        if self.leading == leading_before:
            return ""
        self.looks_count = 0
        self.beat_next_s = now_s
        if self.leading:
            self.promotions_count += 1
            return "promoted"
        self.look_last_s = now_s
        return "deposed"

    def beat_due(self, now_s: float) -> bool:
        """Return whether it is time for the heartbeat."""
        return self.leading and now_s >= self.beat_next_s

    def beat(self, now_s: float, time_us: int, seq: int, rules: int, session: str) -> bool:
        """Write the heartbeat when it is due; return whether it was written."""
        if not self.beat_due(now_s):
            return False
        if self.run_id_clear(now_s):
            self.run_id_named = self.run_id_passed
        self.counter += 1
        self.streams.leader_write(self.keys, self.payload(time_us, seq, rules, session))
        self.beat_next_s = max(self.beat_next_s + BEAT_S, now_s)
        return True

    def leave(self, time_us: int, seq: int, rules: int, session: str) -> None:
        """Say in the heartbeat that this leader has stopped for good, so that the next need not wait."""
        if not self.leading:
            return
        self.leading = False
        self.counter += 1
        self.streams.leader_write(self.keys, {**self.payload(time_us, seq, rules, session), "left": True})

    def payload(self, time_us: int, seq: int, rules: int, session: str) -> dict[str, Any]:
        """Return what the heartbeat says."""
        return {
            "who": self.who,
            "counter": self.counter,
            "seq": seq,
            "rules": rules,
            "run_id": self.run_id_named,
            "session": session,
            "time_us": time_us,
        }
