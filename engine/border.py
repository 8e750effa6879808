"""
Where rules change: the old build's last snapshot, at exactly the `lead` of newer rules, and how a new build waits.

A new build cannot apply what precedes its own `lead`, so it appends that entry unread. Every old build that applies it
stops reading, publishes what precedes it (equal bytes twice do no harm), writes the border snapshot and ends. The new
build starts from there, or from anything later.
"""

from collections.abc import Callable
from typing import Any

import orjson

from engine.recovery import BorderNeeded, Recovery, Start
from shared.rules import RULES_VERSION
from shared.streams import AppendStatus, StreamsError, StreamsUnknown

AGAIN_S = 3.0  # a copy that was handed over and of which nothing was heard is made anew
ROW_PATIENCE_S = 5.0  # a border that lies as a file does not wait longer for Postgres
LOOK_S = 0.2
SAID_S = 10.0
HELP = "./scripts/tidemark upgrade --check"


class BorderReached(Exception):
    """The border snapshot is durable: the work of this build is done."""


class Border:
    """The last work of a build whose rules have been left: publish, see it read back, write the snapshot."""

    def __init__(self, seq: int, rules: int) -> None:
        self.seq = seq
        self.rules = rules
        self.copied_s = float("-inf")
        self.filed_s: float | None = None

    def turn(self, parts: Any) -> None:
        """Do the next part; raises BorderReached when the snapshot is durable, StreamsError as publishing does."""
        while parts.publisher.publish():
            parts.publisher.compare(self.seq)
        parts.publisher.compare(self.seq)
        now_s = parts.clock.monotonic_s()
        parts.snapshots.poll(now_s, False)
        if not parts.publisher.settled(self.seq):
            parts.clock.sleep_s(LOOK_S / 10)
            return
        if parts.snapshots.filed_seq < self.seq:
            self.copy(parts, now_s)
        elif self.filed_s is None:
            self.filed_s = now_s
        row = parts.snapshots.durable_seq >= self.seq
        if row or (self.filed_s is not None and now_s - self.filed_s >= ROW_PATIENCE_S):
            parts.log.info("border_written", seq=self.seq, rules=self.rules, row=row)
            raise BorderReached(f"rules {self.rules} are in force from entry {self.seq} on; the border is written")
        parts.clock.sleep_s(LOOK_S / 10)

    def copy(self, parts: Any, now_s: float) -> None:
        """Hand the state to the second process as soon as that is free; once more when nothing is heard of it."""
        if parts.snapshots.held is None and now_s - self.copied_s >= AGAIN_S:
            self.copied_s = now_s
            parts.snapshots.keyframe(parts.machine, parts.publisher, True)
        held = parts.snapshots.held  # of a keyframe before the border, it may be
        parts.snapshots.hand_over(parts.publisher, True, "border" if held and held.seq == self.seq else "write")


def founded_under(streams: Any, keys: Any) -> int:
    """Return the rules that the log's first entry put in force; this build's when nobody can say now."""
    try:
        entries = streams.range_log(keys, 1, 1, 1)
        rules = orjson.loads(dict(entries[0].fields)[b"genesis"])["rules"] if entries else RULES_VERSION
    except (KeyError, TypeError, ValueError, StreamsError):
        return RULES_VERSION
    return int(rules)


def border_wait(
    recovery: Recovery,
    start: Callable[[], Start],
    lead_append: Callable[[], Any],
    refusal_check: Callable[[], None],
    clock: Any,
    log: Any,
) -> Start:
    """
    Return the start that an old build's border gives, having asked for it by one `lead` of this build's rules.

    Waits as long as it takes; raises RefusalStands, and SystemExit when asked to stop.
    """
    appended = False
    said_s = clock.monotonic_s()
    while True:
        try:
            refusal_check()
            if not appended:
                appended = lead_append().status != AppendStatus.REFUSED
                log.info("border_asked", rules=RULES_VERSION, appended=appended)
            if recovery.border_ready():
                return start()
        except BorderNeeded:
            pass  # it was named and could not be believed, or is still being written
        except StreamsUnknown:
            appended = True  # a second one would do no harm, but asks nobody anything new
        except StreamsError as error:
            log.warning("redis_away", error=f"{type(error).__name__}: {error}")
        if clock.monotonic_s() - said_s >= SAID_S:
            said_s = clock.monotonic_s()
            log.warning("border_missing", rules=RULES_VERSION, help=f"no older build has written it yet: {HELP}")
        clock.sleep_s(LOOK_S)
