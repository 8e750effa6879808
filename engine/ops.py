"""
What the leading engine tells its operators once a second: how much there is, whether all money adds up, who is near.

Written like the market views, beside the events and outside replay; nothing of it decides anything. Every look takes a
known time: all money is added up the more seldom the more rows there are, and large liquidation ladders take turns.
What goes wrong in a look is told in the log, and the engine goes on.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from engine.meters import EngineMeters
from engine.snapshots import Snapshots
from engine.views import text_of
from shared.stream_keys import Keys
from shared.units import money_text

SECOND_S = 1.0
MONEY_ROWS = 50_000  # a sum over so many rows may be made every second, over twice as many every other
LADDER_POSITIONS = 4_000  # of all liquidation ladders, met in one second
FAULT_S = 60.0  # nothing is told for so long after a look that failed
MONEY_NONE = "0.000000"


class OpsStreams(Protocol):
    """The verb of shared.streams that operators are told with."""

    def ops_write(self, keys: Keys, fields: Mapping[str, str]) -> None: ...


class OpsView:
    """What was looked at last, to look no more often than its cost allows."""

    def __init__(
        self,
        streams: OpsStreams,
        keys: Keys,
        who: str,
        snapshots: Snapshots,
        meters: EngineMeters,
        log: Any,
        now_s: float,
    ) -> None:
        self.streams = streams
        self.keys = keys
        self.who = who
        self.snapshots = snapshots
        self.meters = meters
        self.log = log
        self.next_s = now_s
        self.money_next_s = now_s
        self.money = {"money_sum": "", "money_seq": ""}
        self.ladders: dict[str, Any] = {}
        self.ladder_next = 0  # row of the market whose turn it is

    def make_ready(self, machine: Any) -> None:
        """Have everything loaded that a look runs, before anybody waits for it; what fails is told later."""
        with contextlib.suppress(Exception):
            machine.watched()
            machine.liquidation_ladder(0)

    def write(self, machine: Any, now_s: float, time_us: int) -> bool:
        """Look and write when a second is over; return whether it was done. A write raises what the streams raise."""
        if now_s < self.next_s:
            return False
        self.next_s = now_s + SECOND_S
        try:
            fields = self.looked(machine, now_s) | {"written_us": time_us}
        except Exception:
            self.next_s = now_s + FAULT_S
            self.log.error("ops_failed", seq=machine.seq, exc_info=True)
            return False
        self.streams.ops_write(self.keys, {name: text_of(value) for name, value in fields.items()})
        return True

    def looked(self, machine: Any, now_s: float) -> dict[str, Any]:
        """Return every field but when it was written; an empty text is what is not known."""
        header, seen = machine.header(), machine.watched()
        self.money_look(machine, now_s)
        self.ladders_look(machine, seen["house"])
        seq, chunk = header.events_last
        place = {
            "seq": machine.seq,
            "log_time_us": header.log_time_us,
            "who": self.who,
            "events_last": f"{seq}-{chunk}",
        }
        return place | seen | self.money | {"ladder": self.ladders} | self.snapshot_facts(now_s)

    def money_look(self, machine: Any, now_s: float) -> None:
        """Add up all money when it is time; a sum other than 0 is an error in the log."""
        if now_s < self.money_next_s:
            return
        self.money_next_s = now_s + SECOND_S * max(1, -(-machine.money_rows() // MONEY_ROWS))
        total = money_text(machine.money_sum_e6())
        if total not in (MONEY_NONE, self.money["money_sum"]):
            self.log.error("money_not_conserved", money_sum=total, seq=machine.seq)
        self.money = {"money_sum": total, "money_seq": str(machine.seq)}

    def ladders_look(self, machine: Any, markets: Iterable[str]) -> None:
        """Look at the liquidation ladders in turn, each once at most, until enough positions were met."""
        names, met = list(markets), 0
        for _ in names:
            if met >= LADDER_POSITIONS:
                return
            row = self.ladder_next % len(names)
            self.ladders[names[row]], count = machine.liquidation_ladder(row)
            self.ladder_next = row + 1
            met += count

    def snapshot_facts(self, now_s: float) -> dict[str, Any]:
        """Return the newest durable snapshot, its age, and how long the last copy held up the hot thread."""
        snapshots, paused_us = self.snapshots, self.meters.pause_last_us
        durable_s = snapshots.durable_s
        return {
            "snapshot_seq": "" if durable_s is None else snapshots.durable_seq,
            "snapshot_age_ms": "" if durable_s is None else max(0, round(1_000 * (now_s - durable_s))),
            "snapshot_pause_us": "" if paused_us is None else paused_us,
            "snapshots_skipped": snapshots.skipped_count,
        }
