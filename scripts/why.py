"""`tidemark why`: the entries of the log that made an order, a position or an account what it is, in words."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import orjson

from scripts import snapshot_rows
from scripts.cli import data_option
from scripts.exits import ToolStop, ending
from scripts.moments import walk
from scripts.progress import Going
from scripts.sources import Sources, time_text
from scripts.why_words import cause_words, event_words
from shared.codes import ACCOUNT_FIRST

KINDS = ("order", "position", "account")
SPAN_ENTRIES = 5_000  # looked through at first; four times as many until enough was found
# How things stand after an entry; said of the subject alone, and of others only when nothing else happened.
IMAGES = {"order_changed": "order", "position_changed": "position", "account_changed": "account"}


class Subject(NamedTuple):
    """What is asked about."""

    kind: str
    number: int

    def touched(self, event: dict[str, Any]) -> bool:
        """Return whether an event is about it."""
        if self.kind == "account":
            return event.get("account") == self.number
        if event.get(f"{self.kind}_id") == self.number:
            return True
        if self.kind == "position":
            return event.get("counter") == f"position:{self.number}"
        return event.get("liquidation_order_id") == self.number


class Found(NamedTuple):
    """What one entry told of the subject."""

    log_time_us: int
    events: list[dict[str, Any]]
    cause: str


class Line(NamedTuple):
    """One entry that mattered."""

    seq: int
    log_time_us: int
    words: list[str]
    cause: str
    events: list[dict[str, Any]]


@click.command("why")
@click.argument("subject")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="The newest so many entries.")
@click.option("--archive", type=click.Path(path_type=Path), help="Read the log from this archive alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def why(subject: str, last: int, archive: Path | None, as_json: bool, data_dir: Path) -> None:
    """
    Tell what made SUBJECT what it is: order:ID, position:ID, account:ID, or a bare number.

    \b
    Examples:
      ./scripts/tidemark why order:1042
      ./scripts/tidemark why account:101 --last 50
    """
    with Sources(data_dir, archive) as sources:
        tip = sources.log.tip()
        if not tip:
            raise ToolStop(f"the log of {sources.venue} holds no entry; name another folder with --data")
        lines, chosen, machine, whole_from = told(sources, subject, last, tip)
        now = row_of(machine, chosen)
    if as_json:
        rows = [line._asdict() for line in lines]
        click.echo(
            json.dumps({"subject": chosen._asdict(), "seq": tip, "from_seq": whole_from, "now": now, "rows": rows})
        )
        return
    for line in lines:
        first, *others = line.words
        head = f"{line.seq:>12,}  {time_text(line.log_time_us)}  "
        click.echo(f"{head}{first}  ({line.cause})")
        for words in others:
            click.echo(f"{'':>{len(head)}}{words}")
    if whole_from:
        click.echo(f"{len(lines)} entries, looked at from entry {whole_from + 1:,} on; --last shows more.", err=True)
    state = (
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in now.items() if value != "") if now else "gone"
    )
    click.echo(f"Now, at entry {tip:,}: {state}")


def told(sources: Sources, text: str, last: int, tip: int) -> tuple[list[Line], Subject, Any, int]:
    """
    Return the newest lines, what they are about, the machine at the log's end, and from where on was looked, 0 for all.

    The log is applied from snapshots ever further back, until enough was found or the subject did not exist yet.
    """
    starts = sources.starts
    end, span = tip, SPAN_ENTRIES
    lines: list[Line] = []
    chosen: Subject | None = None
    newest: Any = None
    while True:
        seq = max([start for start in starts if start <= end - span] or [starts[0]])
        machine = sources.recovery(seq).start().machine
        seq, unborn = machine.seq, counters(machine)
        found, machine = collected(sources, machine, end, text, chosen)
        if chosen is None or newest is None:
            newest = machine
            chosen = subject_of(text, machine)
            found = {place: events for place, events in found.items() if any(map(chosen.touched, events.events))}
        lines = [*lines_of(chosen, found, last - len(lines)), *lines]
        if len(lines) >= last and found:
            whole = len(lines) < last
            return lines[-last:], chosen, newest, 0 if whole else seq
        if seq <= starts[0] or chosen.number >= unborn[chosen.kind]:
            return lines, chosen, newest, seq if seq and chosen.number < unborn[chosen.kind] else 0
        end, span = seq, span * 4


def collected(
    sources: Sources, machine: Any, end: int, text: str, chosen: Subject | None
) -> tuple[dict[int, Found], Any]:
    """Return, by entry, log time and the events that may be about the subject; and the machine at the end."""
    number = number_of(text)
    wanted = [chosen] if chosen is not None else [Subject(kind, number) for kind in kinds_of(text)]
    mark = str(number).encode()
    found: dict[int, Found] = {}

    def stepped(machine: Any, step: Any) -> None:
        for output in step.outputs:
            if mark not in output.data:
                continue
            events = [event for event in orjson.loads(output.data) if any(subject.touched(event) for subject in wanted)]
            if events and output.seq not in found:
                found[output.seq] = Found(output.log_time_us, [], cause_words(entry_of(machine, output.seq)))
            if events:
                found[output.seq].events.extend(events)

    with Going("why", end - machine.seq) as going:
        walk(machine, sources.log, end, going.advance, stepped)
    return found, machine


def lines_of(subject: Subject, found: dict[int, Found], count: int) -> list[Line]:
    """Return the newest lines of what was found."""
    lines = []
    for seq in sorted(found)[-count:] if count > 0 else []:
        log_time_us, events, cause = found[seq]
        mine = [event for event in events if subject.touched(event)]
        telling = [event for event in mine if IMAGES.get(event["e"], subject.kind) == subject.kind] or mine
        lines.append(Line(seq, log_time_us, [event_words(event) for event in telling], cause, mine))
    return lines


def entry_of(machine: Any, seq: int) -> Any:
    """Return an entry of the batch that a machine applies."""
    first = machine.entries[0].seq
    guess = machine.entries[seq - first] if seq - first < len(machine.entries) else machine.entries[-1]
    return guess if guess.seq == seq else next(entry for entry in machine.entries if entry.seq == seq)


def counters(machine: Any) -> dict[str, int]:
    """Return the next number that each kind would get."""
    venue = machine.states.view(np.ndarray)[0]["venue"]
    return {kind: int(venue[f"{kind}_next"]) for kind in KINDS}


def kinds_of(text: str) -> tuple[str, ...]:
    """Return the kinds that a subject's text may mean."""
    kind, colon, _ = text.partition(":")
    if colon and kind not in KINDS:
        raise ToolStop(f"{text!r} names nothing: give order:ID, position:ID or account:ID")
    return (kind,) if colon else KINDS


def number_of(text: str) -> int:
    """Return the number of a subject's text; raises ToolStop when there is none."""
    digits = text.rpartition(":")[2]
    if not digits.isdigit() or not 1 <= int(digits) < 10**15:
        raise ToolStop(f"{text!r} names nothing: give order:ID, position:ID or account:ID")
    return int(digits)


def subject_of(text: str, machine: Any) -> Subject:
    """Return what a text means at the log's end, a bare number the first that exists; raises ToolStop for none."""
    number, nexts = number_of(text), counters(machine)
    first = {"order": 1, "position": 1, "account": 1}
    existing = [kind for kind in kinds_of(text) if first[kind] <= number < nexts[kind]]
    existing = [
        kind for kind in existing if kind != "account" or number >= ACCOUNT_FIRST or number in snapshot_rows.HOUSES
    ]
    if not existing:
        newest = ", ".join(f"{kind} {nexts[kind] - 1}" for kind in kinds_of(text))
        raise ToolStop(f"there is no {' or '.join(kinds_of(text))} {number}: give one up to {newest}")
    if len(existing) > 1:
        others = " and ".join(f"{kind}:{number}" for kind in existing[1:])
        print(f"Taken as {existing[0]}:{number}; there is {others} as well.", file=sys.stderr)
    return Subject(existing[0], number)


def row_of(machine: Any, subject: Subject) -> snapshot_rows.Row | None:
    """Return how the subject stands at the log's end, None when it is gone."""
    rows = {
        "order": snapshot_rows.orders_rows,
        "position": snapshot_rows.positions_rows,
        "account": snapshot_rows.accounts_rows,
    }[subject.kind](machine)
    name = "account" if subject.kind == "account" else f"{subject.kind}_id"
    return next((row for row in rows if row[name] == subject.number), None)
