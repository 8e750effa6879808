"""
What must be true when the faults have stopped: everything that anybody holds compared with the twin that never failed.

H hashes, O events, P rows, A answers, M money, L life (the world's own: it was quiet within its time). Each check
returns sentences; an empty list is a pass.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from engine import core
from engine.documents import DocumentUnreadable, document_unpack, document_verify
from engine.ingest import Machine, machine_restore
from engine.ops import MONEY_NONE
from engine.views import FIELDS_MOVING, text_of
from shared.streams import Entry, EventsEntry
from tests.faults.storm_checks import (
    REPEATED,
    Events,
    Instruction,
    Log,
    outcome_check,
    outcomes_expected,
    responses_check,
    view_check,
    views_expected,
)
from tests.faults.storm_rows import PLACED, TABLES, Table, differences, differences_placed
from tests.simulation.clients import LAST_WORDS, NO_ANSWER, NOT_ACCEPTED, OK, UNKNOWN, Answer
from tests.simulation.twin import Twin

REQUEST_ID = re.compile(r"[0-9a-f]{32}")
DIFFERENCES_MAX = 6  # of each kind that are shown
TABLES_MORE = (Table("funding", "funding", "", ("account", "position_id", "due_ms")),)


class Engine(NamedTuple):
    """An engine that lives at the end."""

    name: str
    seq: int
    hashes: tuple[str, str]
    broken: list[str]  # what does not hold of its state
    kept: int


class Evidence(NamedTuple):
    """Everything that anybody holds at the end."""

    entries: list[Entry]  # the whole log, what was trimmed included
    events: list[EventsEntry]  # the whole events stream, what was trimmed included
    engines: list[Engine]
    documents: list[Any]  # every snapshot that is there, in files, row and keyframes
    tables: Mapping[str, list[dict[str, Any]]]
    views: Mapping[int, dict[str, str]]  # by account
    outcomes: Mapping[tuple[int, str], Any]
    markets: Mapping[str, dict[str, str]]  # the market views
    ops: Mapping[str, str]  # what the leading engine told operators last
    archive: list[Entry]
    archive_seq: int  # the position that the archive states
    archive_fault: str  # what is wrong with its files
    answers: list[Answer]
    undecided: list[str]


def checks(evidence: Evidence) -> list[str]:
    """Return everything that is wrong."""
    twin, found = Twin(), []
    log, events = log_read(evidence.entries), Events(evidence.events)
    stated = [seq for seq, _ in log.checkpoints] + [engine.seq for engine in evidence.engines]
    try:
        twin.read(evidence.entries, [*stated, *(seq_of(document) for document in evidence.documents)])
    except Exception as error:
        return [f"the log cannot be read by a machine that never failed: {type(error).__name__}: {error}"]
    for name, wrong in (
        ("H", engines_check(evidence.engines, twin)),
        ("H", checkpoints_check(log, twin)),
        ("H", documents_check(evidence.documents, twin)),
        ("O", events_check(evidence.events, twin)),
        ("P", rows_check(evidence.tables, events)),
        ("P", audit_check(evidence.tables, evidence.entries, events)),
        ("A", responses_check(log, events)),
        ("A", answers_check(evidence.answers, log, events)),
        ("A", [f"nobody ever told what became of {request}" for request in evidence.undecided]),
        ("A", stored_check(evidence.outcomes, log, events)),
        ("V", accounts_check(evidence.views, twin.machine.states)),
        ("V", markets_check(evidence.markets, twin.machine)),
        ("V", ops_check(evidence.ops, twin.machine)),
        ("L", [] if accepted_of(log, events) else ["no instruction was ever accepted"]),
        ("M", core.invariants(twin.machine.states)),
        ("R", [evidence.archive_fault] if evidence.archive_fault else []),
        ("R", archive_check(evidence.archive, evidence.archive_seq, evidence.entries)),
    ):
        found += [f"{name}: {text}" for text in wrong[:DIFFERENCES_MAX]]
    return found


def log_read(entries: list[Entry]) -> Log:
    """Return what the log says, without what a stranger put into it that nobody can read."""
    log = Log([], "")
    log.entries = entries
    for entry in entries:
        kind, content = entry.fields[-1] if entry.fields else (b"", b"")
        if kind not in (b"user_instruction", b"checkpoint"):
            continue
        try:
            said = orjson.loads(content)
            if kind == b"checkpoint":
                log.checkpoints.append((said["seq"], said["state_hash"]))
            elif REQUEST_ID.fullmatch(said["request_id"]):
                ts_us = int(dict(entry.fields)[b"ts"])
                log.instructions[entry.seq] = Instruction(said["account"], said["request_id"], said["op"], ts_us)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
    return log


def seq_of(document: Any) -> int:
    """Return the seq that a document states, -1 when it states none."""
    seq = document.get("seq") if isinstance(document, dict) else None
    return seq if type(seq) is int else -1


def engines_check(engines: Iterable[Engine], twin: Twin) -> list[str]:
    """Every engine's state is the twin's at the same entry, and sound."""
    found = []
    for engine in engines:
        if twin.hashes.get(engine.seq) != engine.hashes:
            found.append(f"{engine.name} at {engine.seq} has {engine.hashes}, the twin {twin.hashes.get(engine.seq)}")
        found += [f"{engine.name}: {text}" for text in engine.broken]
    return found


def checkpoints_check(log: Log, twin: Twin) -> list[str]:
    """Every checkpoint in the log states the twin's hash."""
    return [f"the checkpoint of {seq} states {state_hash}, the twin has {twin.hashes.get(seq)}"
            for seq, state_hash in log.checkpoints if twin.hashes.get(seq, ("", ""))[0] != state_hash]  # fmt: skip


def documents_check(documents: Iterable[Any], twin: Twin) -> list[str]:
    """Every snapshot that can be believed restores to the twin's state at its entry."""
    found = []
    for document in documents:
        try:
            content = document_unpack(document_verify(document, None))
            machine = machine_restore(content)
        except DocumentUnreadable:
            continue  # one that a fault damaged; whoever starts steps over it
        seq = document["seq"]
        if twin.hashes.get(seq) != (document["state_hash"], document["record_hash"]) or machine.seq != seq:
            found.append(f"the snapshot at {seq} holds {document['state_hash']}, the twin {twin.hashes.get(seq)}")
        elif document["witness"]["events"]["seq"] > seq:
            found.append(f"the snapshot at {seq} remembers events of {document['witness']['events']['seq']}")
    return found


def events_check(events: list[EventsEntry], twin: Twin) -> list[str]:
    """The events stream holds what the twin derives, with the same bytes, in the same order, to its end or nearly."""
    wanted = twin.events()
    found = []
    for place, (stands, derived) in enumerate(zip(events, wanted, strict=False)):
        if stands != derived:
            return [f"events entry {place} is {stands}, derived is {derived}"]
    if len(events) > len(wanted):
        found.append(f"the events hold {events[len(wanted)]}, which nobody derives")
    elif len(events) < len(wanted):
        found.append(f"the events lack {len(wanted) - len(events)} entries, the first {wanted[len(events)]}")
    return found


def rows_check(tables: Mapping[str, list[dict[str, Any]]], events: Events) -> list[str]:
    """History holds each event's row exactly once, and nothing else."""
    found = []
    for table in (*TABLES, *TABLES_MORE):
        rows = [row_of(table, row) for row in tables[table.table]]
        found += differences(table, rows, events)
    for name in PLACED:
        found += differences_placed(name, [(row["seq"], row["position"], row["data"]) for row in tables[name]], events)
    found += [f"a row was rejected: {row}" for row in tables["persister_rejects"]]
    return found


def row_of(table: Table, row: dict[str, Any]) -> tuple[Any, ...]:
    """Return a row as the comparison takes it: what names it, its seq, its data."""
    columns = {"account": "account_id"}
    ids = [row[columns.get(name, name)] for name in table.ids]
    return (
        (*ids, row["seq"], row["data"])
        if ids
        else tuple(row[name] for name in ("account_id", "seq", "chunk", "index", "data") if name in row)
    )


def audit_check(tables: Mapping[str, list[dict[str, Any]]], entries: list[Entry], events: Events) -> list[str]:
    """The audit has one row an answered instruction, with its bytes and its answer, in an unbroken chain."""
    rows = sorted(tables["audit"], key=lambda row: row["seq"])
    if not rows:
        return ["the audit is empty"]
    by_seq = {entry.seq: entry for entry in entries}
    chain = hashlib.blake2b(rows[0]["venue"].encode(), digest_size=32).digest()
    found = []
    for row in rows:
        instruction, response = row["instruction"], row["response"].encode()
        body = by_seq[row["seq"]].fields[-1][1] if row["seq"] in by_seq else None
        if instruction != body:
            found.append(f"the audit of {row['seq']} holds {instruction!r}, the log {body!r}")
        answers = [orjson.dumps(event) for event in events.responses.get(row["seq"], [])]
        if answers != [response]:
            found.append(f"the audit of {row['seq']} holds {response!r}, the events {answers}")
        parts = [len(part).to_bytes(4, "big") + part for part in (instruction or b"", response)]
        chain = hashlib.blake2b(chain + row["seq"].to_bytes(8, "big") + b"".join(parts), digest_size=32).digest()
        if bytes(row["chain"]) != chain:
            found.append(f"the audit's chain breaks at {row['seq']}")
            chain = bytes(row["chain"])
    missing = events.responses.keys() - {row["seq"] for row in rows}
    found += [f"the audit lacks {seq}" for seq in sorted(missing)]
    [head] = tables["audit_head"] or [{}]
    if (head.get("seq"), head.get("rows")) != (rows[-1]["seq"], len(rows)) or bytes(head["chain"]) != chain:
        found.append(f"the audit's head says {head}, its rows end at {rows[-1]['seq']}")
    return found


def answers_check(answers: Iterable[Answer], log: Log, events: Events) -> list[str]:
    """Each answer that a client got is true, and whoever was accepted was told so."""
    found: list[str] = []
    sendings = {(item.account, item.request_id, item.ts_us): seq for seq, item in log.instructions.items()}
    accepted = accepted_of(log, events)
    heard: dict[tuple[int, str], bool] = {}
    for answer in answers:
        request = answer.account, answer.request_id
        heard[request] = heard.get(request, False) or answer.code == OK
        if answer.code in (NO_ANSWER, UNKNOWN):
            continue
        if answer.code == NOT_ACCEPTED:
            if request in accepted and accepted[request].ts_us <= answer.ts_us:
                found.append(f"{answer}: told not accepted, and it was")
        elif answer.code == OK and not answer.seq:
            if request not in accepted:
                found.append(f"{answer}: told that it was accepted, and it was not")
        elif answer.seq:
            event = next(iter(events.responses.get(answer.seq, [])), {})
            said = answer.account, answer.request_id, answer.code
            if said != (event.get("account"), event.get("request_id"), event.get("result")):
                found.append(f"{answer}: entry {answer.seq} has {event}")
        elif not answer.asked and (*request, answer.ts_us) in sendings:
            found.append(f"{answer}: told that nothing was accepted, and the log has it")
    silent = {answer[:2] for answer in answers if answer.code in LAST_WORDS}
    found += [f"request {request} was accepted, its sender never heard"
              for request in accepted if request in heard and not heard[request] and request not in silent]  # fmt: skip
    return found


def accepted_of(log: Log, events: Events) -> dict[tuple[int, str], Instruction]:
    """Return the instruction that was accepted, by request."""
    return {
        (item.account, item.request_id): item
        for seq, item in log.instructions.items()
        if [event["result"] for event in events.responses.get(seq, [])] == [OK]
    }


def stored_check(outcomes: Mapping[tuple[int, str], Any], log: Log, events: Events) -> list[str]:
    """Every request has one stored outcome: its acceptance, else one of its refusals."""
    found = []
    for request, expected in outcomes_expected(log, events).items():
        if not expected[0] and not expected[1] - {REPEATED}:
            continue
        found += outcome_check(request, expected, outcomes.get(request))
    return found


def accounts_check(views: Mapping[int, dict[str, str]], states: Any) -> list[str]:
    """Every account's view says what the twin's state says."""
    wanted = views_expected(states)
    found = [f"account {account} has no view" for account in wanted.keys() - views.keys()]
    found += [f"account {account} has a view and is not there" for account in views.keys() - wanted.keys()]
    for account in sorted(wanted.keys() & views.keys()):
        shown = {name: text for name, text in views[account].items() if name.startswith(SHOWN)}
        found += view_check(account, wanted[account], shown)
    return found


def markets_check(views: Mapping[str, dict[str, str]], machine: Machine) -> list[str]:
    """Every market's view says what the twin's state says, but for what moves with every entry, and ranks."""
    found = []
    for market, figures in machine.market_views().items():
        figures["book"] = machine.book_levels(market)
        wanted = {name: text_of(value) for name, value in figures.items()}
        shown = {name: text for name, text in views.get(market, {}).items() if not name.startswith("adl_")}
        found += [
            f"{market}: {name} is {shown.get(name)}, in the state {wanted.get(name)}"
            for name in sorted((wanted.keys() | shown.keys()) - FIELDS_MOVING)
            if wanted.get(name) != shown.get(name)
        ]
    return found


def ops_check(fields: Mapping[str, str], machine: Machine) -> list[str]:
    """Operators are told that all money adds up and, unless an event came since, how many of everything there are."""
    total = fields.get("money_sum", "nothing")
    found = [] if total == MONEY_NONE else [f"operators were told that all money adds up to {total}"]
    seq, chunk = machine.header().events_last
    if fields.get("events_last") == f"{seq}-{chunk}":
        for name, figure in machine.watched().items():
            if name in COUNTED and fields.get(name) != str(figure):
                found.append(f"operators were told of {fields.get(name)} {name}, the state has {figure}")
    return found


SHOWN = ("account", "position:", "order:")
COUNTED = ("accounts", "positions", "orders", "triggers")


def archive_check(archive: list[Entry], stated_seq: int, entries: list[Entry]) -> list[str]:
    """The archive holds the log, byte for byte, from its first entry to the position that it states."""
    for stands, entry in zip(archive, entries, strict=False):
        if stands != entry:
            return [f"the archive holds {stands}, the log {entry}"]
    if len(archive) > len(entries):
        return [f"the archive holds {archive[len(entries)]}, the log ends before it"]
    if not archive or archive[-1].seq < stated_seq:
        return [f"the archive states {stated_seq}, it ends at {archive[-1].seq if archive else 0}"]
    return []
