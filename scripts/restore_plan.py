"""
What a restoration would do, found by reading alone: which entries are kept, from where, and which nobody holds.

The log is the venue, so only entries that log or archive hold count; a snapshot beyond the last of them shows a state
that nobody could derive again, and is dropped with what is lost. Everything from the chosen snapshot on is replayed:
each checkpoint must agree, and each event that the stream still holds is compared with the one derived.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson

from scripts.exits import ToolStop
from scripts.restore_held import Holdings
from scripts.restore_replay import RESET, Derived, replay
from scripts.restore_survey import NOWHERE, Base, EventsHeld, Place, Survey, events_survey, outcomes_read
from shared.rules import RULES_VERSION
from shared.stream_keys import Entry, log_digest
from shared.streams import Streams

KEYFRAMES_KEPT = 3

Lost = tuple[int, int]


class Walk(NamedTuple):
    """What lies between the place where the new log begins and its last entry."""

    first_seq: int
    last: Entry
    log: int  # entries that the log holds
    archive: int  # that the archive alone holds
    differs: int  # of which the archive holds other bytes
    changed_seq: int  # the first that the log holds otherwise or not at all; 0 when there is none
    gaps: list[Lost]  # what earlier restorations stated as lost


class Plan(NamedTuple):
    """Everything that the restoration needs to know."""

    survey: Survey
    holdings: Holdings
    base: Base | None  # None: the empty state
    kept_events: tuple[Place, Place] | None  # from where to where the stream's own entries are kept unread
    walk: Walk
    events: EventsHeld
    derived: Derived
    known_to: int  # the largest number that anybody remembers
    outcomes: list[bytes]  # keys of stored outcomes that are no longer true
    bases_false: list[Base]  # snapshots of entries that are not kept, or are kept with other bytes

    @property
    def changed_seq(self) -> int:
        """Return the first entry that somebody may have read otherwise, 0 when there is none; a crash forgets none."""
        return min((seq for seq in (self.walk.changed_seq, self.survey.restore_from) if seq), default=0)

    @property
    def history_right_to(self) -> int | None:
        """
        Return the last entry whose rows are certainly those of the kept log, None when the history's cursor proves all.

        What stands on an entry that is not kept, or on an event that was derived otherwise, read another history from
        the first changed entry on.
        """
        if self.survey.history is None:
            return None
        place, digest = self.survey.history
        lost = [*self.walk.gaps, *([self.lost] if self.lost is not None else [])]
        gap = next((gap for gap in lost if gap[0] <= place[0] <= gap[1]), None)
        if gap is None and history_follows(place, digest, self.base, self.derived, self.events):
            return None
        first_bad = gap[0] if gap is not None else place[0]
        return min(first_bad, self.changed_seq or first_bad) - 1

    @property
    def kept_to(self) -> int:
        """Return the last entry that is held."""
        return self.walk.last.seq

    @property
    def lost(self) -> Lost | None:
        """Return the numbers that nobody holds and nobody may use again, None when nothing is lost."""
        return (self.kept_to + 1, self.known_to) if self.known_to > self.kept_to else None

    @property
    def archive_right(self) -> bool:
        """Return whether the archive ends outside of every range that is stated as lost."""
        lost = [*self.walk.gaps, *([self.lost] if self.lost is not None else [])]
        return not any(first <= self.holdings.archive_tip <= last for first, last in lost)

    @property
    def log_right(self) -> bool:
        """Return whether the log is what it shall be."""
        whole = self.holdings.counted and self.holdings.log_first > 0 and self.holdings.log_tip == self.kept_to
        return whole and not self.walk.changed_seq and self.lost is None

    @property
    def events_right(self) -> bool:
        """Return whether the events are what they shall be; what follows their end is the engine's to publish."""
        history = self.survey.history[0] if self.survey.history is not None else None
        if len(self.events.starts) != 1 or self.derived.differing or self.derived.missing:
            return False
        reached = history is None or self.events.starts[0] <= history <= self.events.tip
        return reached and self.events.tip[0] <= self.kept_to


def plan_make(streams: Streams, survey: Survey, holdings: Holdings, advance: Callable[[int], None]) -> Plan:
    """Return the plan; raises ToolStop when nothing can be restored from what is held."""
    survey = survey._replace(remembered=[*survey.remembered, *holdings.archive_numbers()])
    true = [base for base in survey.bases if anchored(holdings, base)]
    bases: list[Base | None] = list({base.seq: base for base in true if base.rules == RULES_VERSION}.values())
    bases.append(None)
    newest, kept_to = base_newest(bases, holdings)
    places = {base.events_last for base in bases if base is not None}
    history = survey.history
    events = events_survey(streams, survey.keys, places | ({history[0]} if history else set()))
    for index in base_order(bases, newest, events, history[0] if history and history[0][0] <= kept_to else None):
        base = bases[index]
        if not reaches(holdings, base, kept_to):
            continue
        walk = walk_make(holdings, base, kept_to)
        kept_events = events_kept(base, events)
        derived = replay(streams, survey, holdings, base, kept_to, walk.changed_seq, events, advance)
        known_to = max([memory.seq for memory in survey.remembered] + [kept_to])
        false = [one for one in survey.bases if one.seq > kept_to or one not in true]
        outcomes = outcomes_false(streams, survey, holdings, walk, base, derived)
        plan = Plan(survey, holdings, base, kept_events, walk, events, derived, known_to, outcomes, false)
        if history_placed(plan):
            return plan
    raise ToolStop(f"no snapshot and no archive lead to entry {kept_to:,}: nothing can be derived; {RESET}")


def history_follows(place: Place, digest: str, base: Base | None, derived: Derived, events: EventsHeld) -> bool:
    """Return whether the event that the history stands on is one of the kept log; what nobody can tell is believed."""
    last, stated = (base.events_last, base.events_digest) if base is not None else (NOWHERE, "")
    if place > last:
        return derived.cursor_digest == digest
    found = stated if place == last else events.digests.get(place, "")
    return found in ("", digest)


def history_placed(plan: Plan) -> bool:
    """Return whether the kept events hold a place where the history can go on."""
    if plan.survey.history is None:
        return True
    right_to = plan.history_right_to
    if right_to is None:
        return bool(plan.derived.outputs or plan.kept_events is not None)
    first = plan.kept_events[0] if plan.kept_events is not None else plan.derived.first
    return plan.base is None or (first > NOWHERE and first[0] <= right_to and plan.base.seq <= right_to)


def base_newest(bases: list[Base | None], holdings: Holdings) -> tuple[int, int]:
    """Return the newest snapshot from which held entries go on, by index, and the last of those entries."""
    for index, base in enumerate(bases):
        seq = base.seq if base is not None else 0
        if base is not None and not anchored(holdings, base):
            continue
        last = seq if base is not None and holdings.find(seq) is not None else 0
        for held in holdings.read(seq):
            last = held.entry.seq
        if last:
            return index, last
    where = f"{holdings.folder}" + (f" ({holdings.damage[0]})" if holdings.damage else "")
    raise ToolStop(f"neither the log nor the archive in {where} holds an entry that goes on from a snapshot; {RESET}")


def anchored(holdings: Holdings, base: Base) -> bool:
    """Return whether the entry that a snapshot was made at is, where it is held, the one that it remembers."""
    entry = holdings.find(base.seq)
    return entry is None or not base.log_digest or log_digest(entry).hex() == base.log_digest


def base_order(bases: list[Base | None], newest: int, events: EventsHeld, cursor: Place | None) -> Iterator[int]:
    """
    Yield which snapshots to start from, the best first, by index.

    Best is the newest from which the stream's own events go on, so that whoever reads them finds no hole; then one
    before the history's cursor, the third as trimming keeps it, so that views can be made from a newer one; then any.
    """
    found = range(newest, len(bases))
    for index in found:
        kept = events_kept(bases[index], events)
        if kept is not None and (cursor is None or kept[0] <= cursor):
            yield index
            break
    before = []
    for index in found:
        base = bases[index]
        if base is not None and (cursor is None or base.events_last < cursor):
            before.append(index)
    yield from before[KEYFRAMES_KEPT - 1 :: -1]
    yield from before[KEYFRAMES_KEPT:]
    yield from found


def events_kept(base: Base | None, events: EventsHeld) -> tuple[Place, Place] | None:
    """Return from where to where the stream's entries before a snapshot run unbroken; None without such."""
    if base is None or base.events_last == NOWHERE:
        return None
    if events.digests.get(base.events_last) != base.events_digest:
        return None
    return max(start for start in events.starts if start <= base.events_last), base.events_last


def reaches(holdings: Holdings, base: Base | None, kept_to: int) -> bool:
    """Return whether the entries after a snapshot are held without a gap up to the last."""
    seq = base.seq if base is not None else 0
    if base is not None and not anchored(holdings, base):
        return False
    last = seq
    for held in holdings.read(seq):
        last = held.entry.seq
    return last >= kept_to


def walk_make(holdings: Holdings, base: Base | None, kept_to: int) -> Walk:
    """Return what the new log consists of: from the old one's beginning where it runs on, else from the snapshot."""
    base_seq = base.seq if base is not None else 1
    starts = [base_seq if holdings.find(base_seq) is not None else base_seq + 1]
    if holdings.log_first > 0:
        starts.insert(0, min(holdings.log_first, starts[0]))
    for first_seq in starts:
        walk = walk_from(holdings, first_seq, kept_to)
        if walk is not None and walk.last.seq == kept_to:
            return walk
    raise ToolStop(f"the entries from {base_seq:,} to {kept_to:,} changed while they were read; {RESET}")


def walk_from(holdings: Holdings, first_seq: int, kept_to: int) -> Walk | None:
    """Return what is held from one entry to another, None when the first is not."""
    counts = {"both": 0, "log": 0, "archive": 0, "differs": 0}
    gaps: list[Lost] = []
    changed_seq, last = 0, None
    for held in holdings.read_to(first_seq, kept_to):
        counts[held.place] += 1
        if last is not None and held.entry.seq > last.seq + 1:
            gaps.append((last.seq + 1, held.entry.seq - 1))
        last = held.entry
        behind = held.entry.seq > holdings.log_first
        if not changed_seq and (held.place == "differs" or (held.place == "archive" and behind)):
            changed_seq = held.entry.seq
    if last is None:
        return None
    logged = counts["both"] + counts["log"]
    return Walk(first_seq, last, logged, counts["archive"], counts["differs"], changed_seq, gaps)


def outcomes_false(
    streams: Streams, survey: Survey, holdings: Holdings, walk: Walk, base: Base | None, derived: Derived
) -> list[bytes]:
    """
    Return the keys of stored outcomes that tell of an entry that is not kept, or otherwise than what was derived.

    Of entries before the snapshot nothing was derived; there an outcome is right when it answers the kept entry.
    """
    base_seq = base.seq if base is not None else 0
    from_seq = walk.changed_seq or walk.last.seq + 1
    outcomes = outcomes_read(streams, survey.keys, from_seq)
    asked = {
        held.entry.seq: request_of(held.entry)
        for held in (holdings.read_to(from_seq, base_seq) if outcomes and from_seq <= base_seq else ())
    }
    false = []
    for name, outcome in outcomes.items():
        seq, request_id = outcome["seq"], name.decode().rpartition(":")[2]
        told = {key: value for key, value in (outcome.get("response") or {}).items() if key != "rebuilt"}
        right = asked.get(seq) == request_id if seq <= base_seq else told in derived.responses.get(seq, [])
        if not right:
            false.append(name)
    return false


def request_of(entry: Entry) -> str:
    """Return the request id of an instruction, empty when the entry is none."""
    name, body = entry.fields[-1] if entry.fields else (b"", b"")
    if not name.endswith(b"_instruction"):
        return ""
    try:
        return str(orjson.loads(body)["request_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
