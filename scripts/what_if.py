"""
What would have happened: one log applied twice, as it was and with something changed; the difference per account.

Nothing is written anywhere. An account that is left out keeps the numbers of its entries; what is put in moves later
ones in memory. Who names an order or a position by its id names on the other side what came of the same instruction.
Compared are the totals of accounts and their fills in order, never ids.
"""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from scripts.what_if_side import ID_NAMES, Side, text_of_e12
from shared.codes import ACCOUNT_EXTERNAL, ACCOUNT_FEES, ACCOUNT_HOUSE, ACCOUNT_INSURANCE, EntryKind, Op
from shared.stream_keys import Entry, restored_body
from shared.wire_instructions import OPERATOR_OPS

EntriesRead = Callable[[int, int], Sequence[Entry]]  # (after seq, count) -> entries; empty at the end
BATCH = 1_000
ROOT = Path(__file__).resolve().parent.parent
INSTRUCTIONS = (b"user_instruction", b"venue_instruction")
# What a left-out account keeps: without them others' account ids would move.
KEPT_OPS = frozenset({op.name.lower() for op in (Op.ACCOUNT_OPEN, Op.SUBACCOUNT_OPEN)})
OPERATOR_NAMES = frozenset(op.name.lower() for op in OPERATOR_OPS)
WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
ID_UNKNOWN = 2**50  # what came of no instruction on the other side
WORDS = {"true": True, "false": False, "null": None}
OWN_ACCOUNTS = {
    ACCOUNT_EXTERNAL: "outside",
    ACCOUNT_HOUSE: "house",
    ACCOUNT_FEES: "fees",
    ACCOUNT_INSURANCE: "insurance",
}
MONEY = ("traded", "fees", "pnl", "funding", "free", "reserved")


class Change(NamedTuple):
    """What is different: operations put in right after the start, accounts whose instructions are left out, a build."""

    operations: tuple[str, ...] = ()  # wire JSON, or `market_set BTC_USDC_PERP fee_taker_ppm=400`
    without: tuple[int, ...] = ()
    engine: Path | None = None  # a checkout whose core derives the other side

    def asked(self) -> bool:
        """Return whether anything is to be different (or compared) at all."""
        return bool(self.operations or self.without or self.engine)


class WhatIfError(Exception):
    """The change cannot be made; the text says what is wrong with it."""


class Difference(NamedTuple):
    """What the two sides gave; `accounts` has those alone that differ: id -> name -> (before, after)."""

    first_seq: int
    last_seq: int
    accounts: dict[int, dict[str, tuple[Any, Any]]]
    notes: list[str]  # what an operator should know beside it


class Changed:
    """The entries as they would have been."""

    def __init__(self, change: Change, before: Side, after: Any) -> None:
        self.before = before
        self.after = after if isinstance(after, Side) else None
        self.without = frozenset(change.without)
        self.inserted = [operation_read(text) for text in change.operations]
        self.waiting = list(self.inserted)
        counters = before.machine.states.view(np.ndarray)[0]["venue"]
        self.ids_first = {"order_id": int(counters["order_next"]), "position_id": int(counters["position_next"])}
        self.log_time_us = int(before.machine.header().log_time_us)
        self.shift = 0
        self.left_out_count = 0

    def parts(self, entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
        """
        Yield the entries as the other side gets them; what is put in stands before the first, behind a genesis.

        A part is to be applied before the next is asked for: an entry that names ids needs what came before it.
        """
        if not self.waiting and not self.shift and not self.without:
            yield entries
            return
        changed: list[Entry] = []
        for entry in entries:
            if self.waiting and entry.seq > 1:
                changed += [self.put_in(entry.seq + index, body) for index, body in enumerate(self.waiting)]
                yield changed
                changed, self.shift, self.waiting = [], len(self.waiting), []
                if self.after is not None:
                    self.after.shift = self.shift
            if changed and names_ids(entry):
                yield changed
                changed = []
            changed.append(self.entry(entry))
            name, value = entry.fields[0] if entry.fields else (b"", b"")
            self.log_time_us = self.log_time_us or (int(value) if name == b"ts" and value.isdigit() else 0)
        yield changed

    def put_in(self, seq: int, body: dict[str, Any]) -> Entry:
        """Return the entry of an operation that is put in."""
        return Entry(seq, [(b"ts", b"%d" % self.log_time_us), (b"venue_instruction", orjson.dumps(body))])

    def entry(self, entry: Entry) -> Entry:
        """Return one entry under its new number, or one that cannot be read in place of what is left out."""
        seq, fields = entry.seq + self.shift, entry.fields
        kind, body = fields[-1] if fields else (b"", b"")
        if self.without and kind in INSTRUCTIONS and self.leaves_out(body):
            self.left_out_count += 1
            return Entry(seq, [*fields[:-1], (b"left_out", b"{}")])
        if self.shift and kind == EntryKind.RESTORED.name.lower().encode():
            lost = orjson.loads(body)
            moved = restored_body(lost["first_lost"] + self.shift, lost["last_lost"] + self.shift)
            return Entry(seq, [*fields[:-1], (kind, moved)])
        if self.after is not None and names_ids(entry):
            return Entry(seq, [*fields[:-1], (kind, self.renamed(body))])
        return Entry(seq, fields)

    def renamed(self, body: bytes) -> bytes:
        """Return an instruction that names the ids of the other side."""
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        listed = data.get("commands") if isinstance(data, dict) else None
        commands = [data, *(listed if isinstance(listed, list) else [])]
        moved = False
        for command in (each for each in commands if isinstance(each, dict)):
            for name in ID_NAMES:
                number = command.get(name)
                if type(number) is int and self.id_of(name, number) != number:
                    command[name] = self.id_of(name, number)
                    moved = True
        return orjson.dumps(data) if moved else body

    def id_of(self, name: str, number: int) -> int:
        """Return the other side's id of what has this id here; the same where it was there before the start."""
        assert self.after is not None
        if number < self.ids_first[name]:
            return number
        birth = self.before.births.get((name, number))
        return number if birth is None else self.after.ids.get(birth, ID_UNKNOWN)

    def leaves_out(self, body: bytes) -> bool:
        """Return whether an instruction is of an account that is left out; what operators did with it stays."""
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(data, dict) or type(data.get("account")) is not int:
            return False
        return data["account"] in self.without and data.get("op") not in KEPT_OPS | OPERATOR_NAMES


class OtherBuild:
    """The side of another checkout, in a process of its own."""

    def __init__(self, checkout: Path, machine: Any) -> None:
        if not (checkout / "engine" / "core").is_dir():
            raise WhatIfError(f"{checkout} is no checkout of this project: it has no engine/core")
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        environment.setdefault("TIDEMARK_KERNEL_CACHE", str(ROOT / ".venv" / "kernels"))
        command = [sys.executable, "-P", str(ROOT / "scripts" / "what_if_side.py")]
        self.checkout = checkout
        self.results: dict[str, str] = {}  # of refused instructions, once everything was applied
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=checkout,
            env=environment,
        )
        self.send(content_of(machine))

    def send(self, what: Any) -> None:
        """Hand something over; raises WhatIfError when the process has ended."""
        assert self.process.stdin is not None
        try:
            pickle.dump(what, self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WhatIfError(self.trouble()) from None

    def apply(self, entries: Sequence[Entry]) -> None:
        """Hand over entries."""
        self.send([(entry.seq, entry.fields) for entry in entries])

    def summary(self) -> dict[int, dict[str, Any]]:
        """Return what the other build made of every account."""
        self.send(None)
        output, errors = self.process.communicate()
        if self.process.returncode != 0:
            raise WhatIfError(self.trouble(errors))
        told = json.loads(output)
        self.results = told["refused"]
        return {int(account): row for account, row in told["accounts"].items()}

    def trouble(self, errors: bytes | None = None) -> str:
        """Return why the other build cannot go on."""
        if errors is None:
            errors = self.process.communicate()[1]
        lines = errors.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {self.process.returncode}"
        return f"the build in {self.checkout} cannot apply this: {said}; try an earlier start with --from"

    def close(self) -> None:
        """End the process if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def names_ids(entry: Entry) -> bool:
    """Return whether an entry is an instruction that names an order or a position by its id."""
    if not entry.fields or entry.fields[-1][0] not in INSTRUCTIONS:
        return False
    return any(f'"{name}"'.encode() in entry.fields[-1][1] for name in ID_NAMES)


def what_if(
    machine_make: Callable[[], Any],
    entries_read: EntriesRead,
    last_seq: int,
    change: Change,
    advance: Callable[[int], None] = lambda count: None,
) -> Difference:
    """
    Return the difference per account between the log as it was and changed, from a start to `last_seq`.

    `machine_make` returns a fresh engine.ingest.Machine of the start; raises WhatIfError, or Refusal at a gap.
    """
    before = Side(machine_make())
    first_seq = before.machine.seq
    other = OtherBuild(change.engine, before.machine) if change.engine is not None else None
    after = other or Side(machine_make())
    changed = Changed(change, before, after)
    try:
        while before.machine.seq < last_seq:
            entries = entries_read(before.machine.seq, min(BATCH, last_seq - before.machine.seq))
            if not entries:
                raise WhatIfError(f"the log ends at entry {before.machine.seq}, before {last_seq}")
            before.apply(entries)
            for part in changed.parts(entries):
                after.apply(part)
            operations_check(change, changed, after)
            advance(2 * len(entries))
        accounts = differences(before.summary(), after.summary())
        operations_check(change, changed, after)
    finally:
        if other is not None:
            other.close()
    return Difference(first_seq + 1, before.machine.seq, accounts, notes_of(change, changed, first_seq, last_seq))


def operations_check(change: Change, changed: Changed, after: Side | OtherBuild) -> None:
    """Raise WhatIfError when an operation that was put in was refused: nothing would be different by it."""
    for text, body in zip(change.operations, changed.inserted, strict=True):
        result = after.results.get(body["request_id"], "OK")
        if result != "OK":
            raise WhatIfError(f"`{text}` is refused there: {result}; docs/commands.md says what it means")


def notes_of(change: Change, changed: Changed, first_seq: int, last_seq: int) -> list[str]:
    """Return what an operator should know beside the difference."""
    notes = []
    if change.without and not changed.left_out_count:
        named = ", ".join(map(str, change.without))
        notes.append(f"account {named} sent nothing in the entries {first_seq + 1:,} to {last_seq:,}")
    if changed.waiting:
        notes.append("there is no entry to put anything before: nothing was changed")
    return notes


def operation_read(text: str) -> dict[str, Any]:
    """Return the instruction of `market_set BTC_USDC_PERP fee_taker_ppm=400`, or of wire JSON; raises WhatIfError."""
    if text.lstrip().startswith("{"):
        try:
            body = json.loads(text)
        except ValueError as error:
            raise WhatIfError(f"`{text}` is no JSON: {error}") from None
    else:
        body = operation_words(text)
    name = str(body.get("op", ""))
    if name.upper() not in Op.__members__ or name == "none":
        known = ", ".join(sorted(op.name.lower() for op in Op if op))
        raise WhatIfError(f"`{text}` names no operation; known are {known}")
    request_id = blake2b(text.encode(), digest_size=16).hexdigest()
    rest = {key: value for key, value in body.items() if key not in ("v", "account", "request_id")}
    return {"v": 1, "account": body.get("account", 0), "request_id": request_id, **rest}


def operation_words(text: str) -> dict[str, Any]:
    """Return the keys of an operation given in words: its name, a market or an account, NAME=VALUE."""
    name, *words = text.split()
    body: dict[str, Any] = {"op": name}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            key, value = ("account" if word.isdigit() else "market"), word
        whole = WHOLE.fullmatch(value) is not None
        body[key] = int(value) if whole else WORDS.get(value, value)
    return body


def content_of(machine: Any) -> dict[str, Any] | None:
    """Return a machine's state as a snapshot's content, None for the empty one."""
    from engine import core

    if machine.seq == 0:
        return None
    buffer = memoryview(bytearray(core.snapshot_size(machine.states) + 4_096))
    content: dict[str, Any] = core.snapshot_document(buffer, machine.copy(buffer))
    return content


def differences(
    before: dict[int, dict[str, Any]], after: dict[int, dict[str, Any]]
) -> dict[int, dict[str, tuple[Any, Any]]]:
    """Return, of each account that is not the same on both sides, what differs."""
    found = {}
    for account_id in sorted(before.keys() | after.keys()):
        sides = [shown(side.get(account_id)) for side in (before, after)]
        names = {name: None for side in sides for name in side}
        rows = {name: (sides[0].get(name, "-"), sides[1].get(name, "-")) for name in names}
        rows = {name: pair for name, pair in rows.items() if pair[0] != pair[1]}
        fills = [(side.get(account_id) or {}).get("fills", []) for side in (before, after)]
        other = sum(one != two for one, two in zip(*fills, strict=False))
        if other:
            rows["fills that differ"] = (0, other)
        if rows:
            found[account_id] = rows
    return found


def shown(row: dict[str, Any] | None) -> dict[str, Any]:
    """Return an account's row as it is printed."""
    if row is None:
        return {}
    money = {name: text_of_e12(row[name]) for name in MONEY}
    positions = ", ".join(sorted(row["positions"])) or "none"
    counts = {"fills": len(row["fills"]), "liquidations": row["liquidations"], "orders": row["orders"]}
    return {**counts, **money, "positions": positions}


def difference_print(difference: Difference, as_json: bool) -> int:
    """Print the difference; return the exit code: 0 empty, 1 there is one."""
    for note in difference.notes:
        click.echo(f"Note: {note}.", err=True)
    if as_json:
        fields = difference._asdict()
        fields["accounts"] = {str(account): rows for account, rows in difference.accounts.items()}
        click.echo(json.dumps(fields))
        return 1 if difference.accounts else 0
    span = f"entries {difference.first_seq:,} to {difference.last_seq:,}"
    if not difference.accounts:
        click.echo(f"No difference in {span}: the same fills, liquidations and balances.")
        return 0
    table = Table("account", "what", "happened", "would have", title=f"{len(difference.accounts)} differ in {span}")
    for account_id, rows in difference.accounts.items():
        name = OWN_ACCOUNTS.get(account_id, "")
        for what, (before, after) in rows.items():
            table.add_row(f"{account_id} {name}".strip(), what, str(before), str(after))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 1
