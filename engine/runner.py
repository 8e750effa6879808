"""
The loop: read, apply, publish, compare, show life, repeat; it knows no market.

Recovery, standing by and leading are this one loop. What differs is only whether the newest applied `lead` is our own.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from engine.border import Border
from engine.meters import EngineMeters, beat_name, beat_of
from engine.parts import Parts
from engine.publish import Divergence
from engine.recovery import RulesUnknown
from engine.turns import READ_COUNT, turn_of
from engine.witness import THIS_ENGINE, Memory, postgres_memories, views_memories, witness_check
from shared.codes import BatchStatus
from shared.refusal import LogRestored, Refusal, RefusalStands
from shared.rules import RULES_VERSION
from shared.streams import AppendStatus, StreamsDown, StreamsError, StreamsRefused, StreamsUnknown, follows

TICK_SILENCE_S = 1.5
WITNESS_S = 3.0  # silence is no condition: a leader that ticks by itself would never meet it
SECOND_S = 1.0
RESTORED_S = 2.0  # a restoration takes longer, with everything stopped before it
DRAIN_S = 10.0  # at the tip without newer rules: nobody has asked for the border
PROGRESS_S = 2.0
RECONNECT_MIN_S = 0.02
RECONNECT_MAX_S = 0.5
REFUSED_PAUSE_S = 0.1
REASONS_OF_LOSS = ("LOG_ABSENT", "VENUE_CHANGED")


class DrainedNothing(Exception):
    """A drain stood at the end of the log and met no `lead` of newer rules."""


class Applied(NamedTuple):
    """How many entries a batch had, and how long applying them took."""

    entries_count: int
    seconds: float


class Runner:
    """One engine's life after recovery has found its start."""

    def __init__(self, parts: Parts, pid: int, drain: bool = False, meters: EngineMeters | None = None) -> None:
        self.parts = parts
        self.pid = pid
        self.drain = drain  # only here to reach the border: never lead
        self.meters = meters or EngineMeters(parts.clock.now_us)
        self.metrics_port = 0  # where their page is served; 0: nowhere
        self.lag = 0  # entries of the log that are not applied, as last looked at
        self.border: Border | None = None  # newer rules are in force: what is left to do
        self.stopping = False
        self.way = turn_of(self)
        self.header = parts.machine.header()  # after the entry at which the shell last had to act
        self.connected = False
        self.behind = False  # the last read gave as much as was asked for
        self.losses = 0  # broken connections that were answered by looking at everything again
        self.reconnect_wait_s = RECONNECT_MIN_S
        now_s = parts.clock.monotonic_s()
        self.since_us = parts.clock.now_us()
        self.witnessed_last_s = now_s
        self.restored_last_s = now_s  # when no restoration since the start was last known
        self.tip_last_s = float("-inf")  # when everything in the log was last known to be applied
        self.tip_first_s = float("inf")  # when it was for the first time
        self.tick_last_s = now_s
        self.tick_seq = 0
        self.refusal_said = ""
        self.second_next_s = now_s
        self.progress_next_s = now_s + PROGRESS_S
        self.progress_seq = parts.machine.seq
        self.appends_refused: dict[str, str] = {}
        self.silent_ms = 0  # how long no leader was seen when `lead` was appended last
        self.candidate_s = now_s
        self.promotion_ms = 0  # from the last sign of the leader before to our own `lead` applied
        if parts.leadership.lead_applied(self.header.leader, now_s):  # a border snapshot may stand at our own `lead`
            parts.log.info("leader_promoted", seq=self.header.lead_seq, who=self.header.leader, kept=0)

    def run(self) -> None:
        """Turn until asked to stop; then publish what is kept and say that this leader has left."""
        while not self.stopping:
            self.turn()
        self.leave()

    def turn(self) -> None:
        """Do everything once; a Redis that is away is waited for, a refusal or a divergence is raised."""
        try:
            self.everything_once()
            self.reconnect_wait_s = RECONNECT_MIN_S
            self.refusal_said = ""
        except StreamsError as error:
            if self.connected and isinstance(error, StreamsRefused):
                self.redis_refused(error)
            else:
                self.connection_lost(error)

    def everything_once(self) -> None:
        """Read, apply, publish, compare, and see to what time asks for; whoever slept through a restore starts anew."""
        try:
            if not self.connected:
                self.connect()
            if self.border is None:
                self.way.once()
                self.duties()
            else:
                self.border.turn(self.parts)
        except (Refusal, Divergence):
            self.restored_check()
            raise

    def restored_check(self) -> None:
        """Raise LogRestored when the log was restored since this process began to remember it."""
        count = self.parts.streams.restores(self.parts.keys)
        if count != self.parts.restores:
            raise LogRestored(f"the log was restored {count} times, this process began after {self.parts.restores}")
        self.restored_last_s = self.parts.clock.monotonic_s()

    def redis_refused(self, error: StreamsRefused) -> None:
        """Wait a moment while Redis answers but takes nothing: memory full, read only."""
        if str(error) != self.refusal_said:
            self.parts.log.warning("redis_refuses", error=str(error), kept=len(self.parts.publisher.kept))
        self.refusal_said = str(error)
        self.parts.clock.sleep_s(REFUSED_PAUSE_S)

    def connection_lost(self, error: StreamsError) -> None:
        """Wait a moment before everything is checked again."""
        if self.connected or self.reconnect_wait_s == RECONNECT_MIN_S:
            self.parts.log.warning("redis_away", error=f"{type(error).__name__}: {error}")
        self.connected = False
        self.way.close()
        if self.parts.aside is not None:
            self.parts.aside.close()
        self.parts.clock.sleep_s(self.reconnect_wait_s)
        self.reconnect_wait_s = min(RECONNECT_MAX_S, 2 * self.reconnect_wait_s)
        self.parts.snapshots.poll(self.parts.clock.monotonic_s(), self.parts.leadership.leading)

    def connect(self) -> None:
        """Check everything that a new connection may have lost; raises StreamsDown while Redis is away."""
        parts = self.parts
        self.losses = parts.streams.losses
        self.way.open()  # before anything is looked at: it can then only be the server that is looked at, or broken
        info = parts.streams.server_info()
        parts.leadership.look(parts.clock.monotonic_s())
        self.refusal_check()
        self.witnesses_check()
        parts.publisher.reconnected()
        parts.leadership.witnessed(info["run_id"], parts.clock.monotonic_s())
        if info["appendfsync"] != "always" or not info["appendonly"]:
            parts.log.warning("redis_not_durable", appendonly=info["appendonly"], appendfsync=info["appendfsync"])
        parts.log.info("redis_connected", run_id=info["run_id"], seq=parts.machine.seq)
        self.connection_check()
        self.connected = True

    def connection_check(self) -> None:
        """Raise StreamsDown when the connection broke since it was checked, even if another has come up by itself."""
        if self.parts.streams.losses != self.losses:
            raise StreamsDown("the connection broke; what was read since is not believed")

    def witnesses_check(self) -> None:
        """Raise Refusal unless both streams hold what this engine, the snapshot and the persister remember."""
        parts = self.parts
        anchor = parts.snapshots.memories() or parts.memories
        memories = [*anchor, *parts.publisher.memory(), *postgres_memories(parts.snapshots.postgres)]
        digest = parts.machine.last_digest()
        if digest:
            memories.append(Memory("log", parts.machine.seq, 0, digest, THIS_ENGINE))
        memories += views_memories(*parts.streams.views_cursor_read(parts.keys))
        witness_check(parts.streams, parts.keys, parts.venue, memories, parts.trimmed.archived)
        self.witnessed_last_s = parts.clock.monotonic_s()

    def refusal_check(self) -> None:
        """Raise RefusalStands while a refusal is written down anywhere."""
        parts = self.parts
        places: Iterable[tuple[str, Any]] = (
            ("the data folder", parts.refusal_look()),
            (parts.keys.refused, parts.streams.get_json(parts.keys.refused)),
            ("Postgres", parts.snapshots.postgres.get("refusal")),
        )
        for place, reason in places:
            if reason is not None:
                raise RefusalStands(reason, place)

    def apply(self, entries: Sequence[Any], count: int) -> Applied:
        """Apply what a read of up to `count` entries gave; return what is to be noted of it."""
        parts = self.parts
        self.behind = len(entries) == count
        if not entries:
            return Applied(0, 0.0)
        began_s = parts.clock.monotonic_s()
        entries = self.loaded(entries, count)
        while self.border is None and (step := parts.machine.step()) is not None:
            parts.publisher.keep(step.outputs)
            self.meters.fired.extend(step.fired)
            if step.status != BatchStatus.DONE:
                self.header_act()
        return Applied(len(entries), parts.clock.monotonic_s() - began_s)

    def looked(self) -> None:
        """Note when the end of the log was reached, or was silent; look for the witnesses when it is time."""
        parts = self.parts
        now_s = parts.clock.monotonic_s()
        if not self.behind:
            self.tip_last_s = now_s
            self.tip_first_s = min(self.tip_first_s, now_s)
        if now_s - self.witnessed_last_s >= WITNESS_S:
            self.witnesses_check()
        if parts.machine.tick_seq != self.tick_seq:
            self.tick_seq = parts.machine.tick_seq
            self.tick_last_s = now_s

    def full(self) -> bool:
        """
        Return whether so much is kept that nothing more is read until somebody has published it.

        Where nobody leads, this engine has to come to the log's end first, however much it keeps.
        """
        leadership = self.parts.leadership
        if not self.parts.publisher.full():
            return False
        return leadership.leading or not leadership.leader_silent(self.parts.clock.monotonic_s())

    def loaded(self, entries: Sequence[Any], count: int) -> Sequence[Any]:
        """Return the entries that the machine has loaded: those given, or those that lie before them elsewhere."""
        parts, seq = self.parts, self.parts.machine.seq
        try:
            parts.machine.load(entries)
        except Refusal:
            if follows(seq, entries[0]):
                raise
            first_seq = entries[0].seq
            entries = self.way.instead(seq, count)
            if not entries or not follows(seq, entries[0]):
                parts.trimmed.gap_raise(seq, first_seq)
            parts.machine.load(entries)
        return entries

    def header_act(self) -> None:
        """Do what the entry just applied asks of the shell; one entry may be a keyframe and a `lead` at once."""
        parts = self.parts
        header, before = parts.machine.header(), self.header
        self.header = header
        if header.rules < RULES_VERSION:
            words = f"the log stands under rules {header.rules}, this build knows {RULES_VERSION} alone"
            raise RulesUnknown(f"{words}: keep the build that wrote it, or found a venue in another data folder")
        if before.keyframe_slot not in (0, header.keyframe_slot):
            began_s = parts.clock.monotonic_s()
            if parts.snapshots.keyframe(parts.machine, parts.publisher, parts.leadership.leading):
                self.meters.paused(parts.clock.monotonic_s() - began_s)
        if header.lead_seq != before.lead_seq:
            self.lead_applied(header)
        if header.checkpoint != before.checkpoint:
            seq, state_hash, record_hash = header.checkpoint
            parts.snapshots.checkpoint_applied(seq, (state_hash, record_hash), parts.leadership.leading)

    def lead_applied(self, header: Any) -> None:
        """Take or give up the lead, as the log says; at newer rules only the border is left to do."""
        parts, now_s = self.parts, self.parts.clock.monotonic_s()
        if header.rules > RULES_VERSION:
            self.border = Border(header.lead_seq, header.rules)
        change = parts.leadership.lead_applied(header.leader, now_s)
        if not change:
            return
        parts.views.forget()
        facts = {"seq": header.lead_seq, "who": header.leader, "kept": len(parts.publisher.kept)}
        if change == "promoted":
            self.promotion_ms = self.silent_ms + round(1_000 * (now_s - self.candidate_s))
            facts |= {"silent_ms": self.silent_ms, "took_ms": self.promotion_ms}
        parts.log.info(f"leader_{change}", **facts)

    def awake(self) -> bool:
        """Return whether no restoration of the log can have been slept through."""
        return bool(self.parts.clock.monotonic_s() - self.restored_last_s <= RESTORED_S)

    def may_publish(self) -> bool:
        """Return whether we lead; raises LogRestored when we slept while the log was restored."""
        if not self.parts.leadership.leading:
            return False
        if not self.awake():
            self.restored_check()  # it slept: what it derived may be of a log that is no more
        return True

    def duties(self) -> None:
        """Do what time asks for: heartbeat, views, figures, snapshot, candidacy, tick, the look around every second."""
        parts = self.parts
        now_s, time_us = parts.clock.monotonic_s(), parts.clock.now_us()
        parts.leadership.look(now_s)
        if parts.aside is not None:
            parts.aside.look()
        if parts.leadership.beat_due(now_s):
            header = parts.machine.header()
            parts.leadership.beat(now_s, time_us, header.seq, header.rules, header.feed_session)
        parts.snapshots.poll(now_s, parts.leadership.leading)
        parts.snapshots.hand_over(parts.publisher, parts.leadership.leading)
        if parts.leadership.leading:
            parts.views.write(parts.machine, now_s)
            parts.ops.write(parts.machine, now_s, time_us)
            self.checkpoints_append(time_us)
            if now_s - self.tick_last_s >= TICK_SILENCE_S:
                self.tick_last_s = now_s
                self.append("clock_tick", {}, time_us)
        elif not self.drain and parts.leadership.candidate(now_s, now_s - self.tip_last_s):
            self.refusal_check()
            parts.leadership.lead_tried(now_s)
            self.candidate_s, self.silent_ms = now_s, parts.leadership.silent_ms(now_s)
            parts.log.info("candidate", seq=parts.machine.seq, silent_ms=self.silent_ms)
            self.append("lead", {"who": parts.leadership.who, "rules": RULES_VERSION}, time_us)
        if now_s >= self.second_next_s:
            self.second_next_s = now_s + SECOND_S
            self.second(now_s)

    def second(self, now_s: float) -> None:
        """Look for a refusal, say that this process lives, and how far recovery has come."""
        parts = self.parts
        if self.drain and now_s - self.tip_first_s >= DRAIN_S:
            raise DrainedNothing("no `lead` of newer rules is in the log; start the new build first, it asks for it")
        self.refusal_check()
        self.restored_check()
        seq = parts.machine.seq
        lag = self.lag = max(0, parts.streams.log_tip(parts.keys) - seq)
        (parts.aside or parts.streams).heartbeat(parts.keys, beat_name(self), beat_of(self))
        if now_s >= self.progress_next_s:
            if lag > READ_COUNT:
                speed = (seq - self.progress_seq) / (now_s - self.progress_next_s + PROGRESS_S)
                parts.log.info("recovery_progress", seq=seq, remaining=lag, entries_per_s=round(speed))
            self.progress_seq = seq
            self.progress_next_s = now_s + PROGRESS_S

    def role(self) -> str:
        """Return what this engine is now, for people."""
        if self.drain:
            return "draining"
        if self.parts.leadership.leading:
            return "leader"
        return "standby" if self.tip_last_s > float("-inf") else "recovering"

    def checkpoints_append(self, time_us: int) -> None:
        """Append what the writer has made durable; one that is refused is tried again with the next turn's second."""
        due = self.parts.snapshots.checkpoints_due
        while due:
            body = {name: due[0][name] for name in ("seq", "state_hash", "record_hash")}
            if not self.append("checkpoint", body, time_us):
                return
            due.pop(0)

    def append(self, kind: str, body: dict[str, Any], time_us: int) -> bool:
        """
        Append one of the engine's own entries; return whether it is there or may be there.

        A number that was applied already is given out again only by a log that lost its tail; a log that is not there
        at all, or another venue's pointer, is looked into at once as well.
        """
        parts = self.parts
        appended = parts.streams.append_engine(
            parts.keys, [(b"ts", b"%d" % time_us), (kind.encode(), orjson.dumps(body))]
        )
        refused = appended.status == AppendStatus.REFUSED
        if 0 < appended.seq <= parts.machine.seq or appended.reason in REASONS_OF_LOSS:
            self.witnesses_check()
        if refused and self.appends_refused.get(kind) != appended.reason:
            parts.log.warning("append_refused", kind=kind, reason=appended.reason)
        self.appends_refused[kind] = appended.reason if refused else ""
        return not refused

    def leave(self) -> None:
        """Publish what is kept and leave the lead, as far as Redis lets us."""
        parts = self.parts
        if not parts.leadership.leading:
            return
        try:
            self.way.publish()
            header = parts.machine.header()
            parts.leadership.leave(parts.clock.now_us(), header.seq, header.rules, header.feed_session)
            if parts.aside is not None:
                parts.aside.settle()
        except (StreamsDown, StreamsUnknown, StreamsRefused) as error:
            parts.log.warning("left_without_saying", error=str(error))
