"""One moment of a venue as a machine: of a snapshot as it lies there, or rebuilt by replay to an entry or a time."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from engine.documents import DocumentUnreadable
from engine.log_source import LogSource
from engine.recovery import RulesUnknown
from scripts.exits import ToolStop
from scripts.progress import Going
from scripts.sources import Sources, genesis_rules, machine_of, place_words, time_text
from scripts.wanted import NOW, Wanted
from shared.database import DatabaseError
from shared.rules import RULES_VERSION

BATCH = 4_000  # entries of one read, as many as a machine takes


class Moment(NamedTuple):
    """A state and where it is from."""

    machine: Any
    place: str

    @property
    def seq(self) -> int:
        """Return the last entry that the state has taken in."""
        return int(self.machine.seq)

    @property
    def log_time_us(self) -> int:
        """Return the state's log time."""
        return int(self.machine.header().log_time_us)


def moment_find(sources: Sources, wanted: Wanted) -> Moment:
    """Return the moment that was asked for; the newest snapshot when none was."""
    if wanted.at_us is not None:
        return moment_at(sources, wanted.at_us)
    if wanted.seq == NOW:
        return moment_rebuilt(sources, sources.log.tip())
    if isinstance(wanted.seq, int) and wanted.file is None:
        return moment_rebuilt(sources, wanted.seq)
    document, place = sources.document()
    return Moment(machine_of(document), place)


def moment_rebuilt(sources: Sources, seq: int) -> Moment:
    """Return the state after entry `seq`: a snapshot at it or the newest before it, and the log from there."""
    start = sources.recovery(seq).start()
    from_words = place_words(start.place, start.machine.seq) if start.machine.seq else start.place
    if start.machine.seq == seq:
        return Moment(start.machine, from_words)
    tip = sources.log.tip()
    if seq > tip:
        raise ToolStop(f"the log ends at entry {tip:,}: there is no entry {seq:,} yet; --seq now asks for its end")
    before = start.machine.seq
    with Going("replay", seq - before) as going:
        walk(start.machine, sources.log, seq, going.advance)
    words = f"{from_words}, then entries {before + 1:,} to {start.machine.seq:,} replayed"
    return Moment(start.machine, words if start.machine.seq == seq else f"{words}; entry {seq:,} is lost for good")


def moment_at(sources: Sources, at_us: int) -> Moment:
    """Return the state after the last entry whose log time is at or before `at_us`."""
    recovery = sources.recovery(snapshot_before(sources, at_us))
    machine = recovery.start().machine
    before = machine.seq
    with Going("replay", sources.log.tip() - before) as going:
        reached = walk_to_time(machine, sources.log, at_us, going.advance)
    words = f"entries {before + 1:,} to {reached.seq:,} replayed" if reached.seq > before else "a snapshot"
    return Moment(reached, f"at {time_text(at_us)}: {words}")


def walk(
    machine: Any,
    log: LogSource,
    to_seq: int,
    advance: Callable[[int], None] = lambda count: None,
    stepped: Callable[[Any, Any], None] = lambda machine, step: None,
) -> None:
    """Apply entries up to `to_seq`, handing on each step; raises Refusal at a gap, ToolStop where the log ends."""
    while machine.seq < to_seq:
        entries = log.read(machine.seq, min(BATCH, to_seq - machine.seq))
        if not entries:
            raise ToolStop(f"the log ends at entry {machine.seq:,}, before {to_seq:,}")
        kept = entries
        if entries[-1].seq > to_seq:  # beyond a range that was lost
            kept = [entry for entry in entries if entry.seq <= to_seq]
        if not kept:
            return  # what is asked for lies in a range that was lost and stepped over
        batch_apply(machine, kept, stepped)
        advance(len(kept))


def batch_apply(machine: Any, entries: Sequence[Any], stepped: Callable[[Any, Any], None]) -> None:
    """Apply entries, handing on each step; raises RulesUnknown where other rules than this build's are in force."""
    if entries[0].seq == 1:
        rules_check(1, genesis_rules(entries[0]))
    machine.load(entries)
    while (step := machine.step()) is not None:
        stepped(machine, step)
        header = machine.header()
        rules_check(header.seq, header.rules or RULES_VERSION)  # 0: before the first `lead`


def rules_check(seq: int, rules: int) -> None:
    """Raise RulesUnknown unless these are the rules that this build applies."""
    if rules != RULES_VERSION:
        raise RulesUnknown(f"at entry {seq:,} rules {rules} are in force, this build applies {RULES_VERSION}")


def walk_to_time(
    machine: Any,
    log: LogSource,
    at_us: int,
    advance: Callable[[int], None] = lambda count: None,
    stepped: Callable[[Any, Any], None] = lambda machine, step: None,
) -> Any:
    """
    Return the machine as it is before the first entry that takes log time beyond `at_us`.

    Log time is never later than an entry's own: entries stamped at or before `at_us` are applied together, each of the
    others alone, on a copy that is given up when it goes too far.
    """
    while True:
        entries = log.read(machine.seq, BATCH)
        if not entries:
            header = machine.header()
            if header.log_time_us < at_us:
                raise ToolStop(
                    f"the log ends at entry {machine.seq:,}, log time {time_text(header.log_time_us)}:"
                    f" nothing is known of {time_text(at_us)} yet; --seq now asks for the end"
                )
            return machine
        early = next((index for index, entry in enumerate(entries) if stamp_us(entry) > at_us), len(entries))
        if early:
            batch_apply(machine, entries[:early], stepped)
            advance(early)
            continue
        trial = copy_of(machine)
        trial.load(entries[:1])
        steps = []
        while (step := trial.step()) is not None:
            steps.append(step)
        if trial.header().log_time_us > at_us:
            if machine.seq == 0:
                raise ToolStop(f"the venue did not exist at {time_text(at_us)}; --seq 1 is its first entry")
            return machine
        machine = trial
        for step in steps:
            stepped(machine, step)
        advance(1)


def stamp_us(entry: Any) -> int:
    """Return the producer's time of an entry; 0 for one that has none and so moves no time."""
    name, value = entry.fields[0] if entry.fields else (b"", b"")
    return int(value) if name == b"ts" and value.isdigit() and len(value) < 19 else 0


def copy_of(machine: Any) -> Any:
    """Return a machine of its own in the same state."""
    from engine import core
    from engine.ingest import machine_restore

    if machine.seq == 0:
        return machine_restore(None)
    buffer = memoryview(bytearray(core.snapshot_size(machine.states) + 4_096))
    length = machine.copy(buffer)
    copied = machine_restore(core.snapshot_document(buffer, length))
    copied.checkpoint = machine.checkpoint
    return copied


def snapshot_before(sources: Sources, at_us: int) -> int:
    """
    Return the seq of the newest snapshot whose log time is at or before `at_us`, 0 for none.

    Log time grows with seq, so the documents are searched by halving; one that cannot be read is left out.
    """
    candidates = sorted(sources.candidates(), key=lambda candidate: candidate.seq)
    found = 0
    while candidates:
        middle = len(candidates) // 2
        candidate = candidates[middle]
        try:
            document = candidate.read()
        except (DocumentUnreadable, DatabaseError, OSError):
            del candidates[middle]
            continue
        if document["log_time_us"] <= at_us:
            found = candidate.seq
            candidates = candidates[middle + 1 :]
        else:
            candidates = candidates[:middle]
    return found
