"""
What each SQL statement of the shipped modules does in the simulated Postgres, by its text.

Statements of a simple shape (one table, conditions joined by AND) are read from their text; every other has a function
of its own here. Both are compared with a real server by random data (test_postgres_model.py).
"""

import operator
import re
from collections.abc import Awaitable, Callable
from typing import Any

from engine import rows
from gateway import history as gateway_history
from gateway import readiness
from persister import audit, trimming
from tests import history_statements
from tests.simulation.postgres_tables import TABLES, TYPES, Row, Transaction, refused

Result = list[Row] | int
Statement = Callable[..., Awaitable[Result]]
Condition = Callable[[Row, tuple[Any, ...]], bool]

MINUTES_10_US, HOURS_48_US, HOUR_US = 600_000_000, 48 * 3_600_000_000, 3_600_000_000
OPERATORS = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

INSERT = re.compile(
    r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES \(([^)]+)\)"
    r"(?: ON CONFLICT (?:\(([\w, ]+)\) )?DO (?:NOTHING|UPDATE SET (.+?)(?: WHERE \w+\.(\w+) < excluded\.(\w+))?))?"
)
SELECT = re.compile(
    r"SELECT (.+?) FROM (\w+)(?: WHERE (.+?))?(?: ORDER BY (\w+)( DESC)?)?(?: OFFSET (\$\d+))?(?: LIMIT (\$?\d+))?"
)
UPDATE = re.compile(r"UPDATE (\w+) SET (.+?) WHERE (.+)")
DELETE = re.compile(r"DELETE FROM (\w+) WHERE (.+)")
COMPARED = re.compile(r"(\w+) (=|<|<=|>|>=) (\$?\w+|'\w*')")
NULL = re.compile(r"(\w+) IS (NOT )?NULL")
FLAG = re.compile(r"(NOT )?(\w+)")


def value_of(text: str, kind: str = "") -> Callable[[tuple[Any, ...]], Any]:
    """Return how a value of a statement is found: an argument, a number, a text or a truth."""
    if text.startswith("$"):
        place = int(text[1:]) - 1
        return lambda arguments: arguments[place]
    if text in ("true", "false"):
        return lambda _arguments: text == "true"
    constant = int(text) if text.isdigit() else text[1:-1].encode() if kind == "BYTEA" else text[1:-1]
    return lambda _arguments: constant


def conditions_of(table: str, text: str | None) -> list[Condition]:
    """Return the conditions of a WHERE; None of them is ever NULL = NULL, which is no match."""
    kinds = {name: column.kind for name, column in TABLES[table].columns.items()}
    conditions: list[Condition] = []
    for part in text.split(" AND ") if text else ():
        if found := NULL.fullmatch(part):
            conditions.append(null_condition(found.group(1), found.group(2) is None))
        elif found := COMPARED.fullmatch(part):
            name = found.group(1)
            value = value_of(found.group(3), kinds[name])
            conditions.append(compared(name, OPERATORS[found.group(2)], value, TYPES[kinds[name]]))
        else:
            found = FLAG.fullmatch(part)
            assert found is not None, part
            conditions.append(flag_condition(found.group(2), found.group(1) is None))
    return conditions


def null_condition(name: str, wanted: bool) -> Condition:
    """Return whether a column is NULL, or is not."""
    return lambda row, _arguments: (row[name] is None) == wanted


def flag_condition(name: str, wanted: bool) -> Condition:
    """Return whether a column is true, or false."""
    return lambda row, _arguments: row[name] is wanted


def compared(
    name: str,
    compare: Callable[[Any, Any], bool],
    value: Callable[[tuple[Any, ...]], Any],
    check: Callable[[Any], Any],
) -> Condition:
    """Return whether a column stands so to a value of its type."""

    def condition(row: Row, arguments: tuple[Any, ...]) -> bool:
        there, asked = row[name], value(arguments)
        return there is not None and asked is not None and compare(there, check(asked))

    return condition


def holds(conditions: list[Condition], row: Row, arguments: tuple[Any, ...]) -> bool:
    """Return whether a row meets all conditions."""
    return all(condition(row, arguments) for condition in conditions)


def insert_read(found: re.Match[str], sql: str) -> Statement:
    """Return what an INSERT of one row does."""
    name, columns = found.group(1), [column.strip() for column in found.group(2).split(",")]
    texts = [text.strip() for text in found.group(3).split(",")]
    assert len(columns) == len(texts), sql
    kinds = TABLES[name].columns
    values = [value_of(text, kinds[column].kind) for column, text in zip(columns, texts, strict=True)]
    updates = [part.split(" = ")[0].strip() for part in (found.group(5) or "").split(",") if part.strip()]
    older = found.group(6)
    quiet = "DO NOTHING" in sql
    assert all(column in TABLES[name].columns for column in (*columns, *updates)), sql

    async def run(transaction: Transaction, *arguments: Any) -> Result:
        row = {column: value(arguments) for column, value in zip(columns, values, strict=True)}
        there = await transaction.insert(name, row)
        if there is None:
            return 1
        if quiet:
            return 0
        if not updates:
            raise refused("23505", f'duplicate key value violates unique constraint "{name}_pkey"')
        if older and not there[older] < row[older]:
            return 0
        await transaction.change(name, there, {column: row[column] for column in updates})
        return 1

    return run


def select_read(found: re.Match[str], _sql: str) -> Statement:
    """Return what a SELECT from one table does."""
    shown, name, where, order, descending, offset, limit = found.groups()
    conditions = conditions_of(name, where)
    columns = [column.strip() for column in shown.split(",")]
    newest, counted = re.fullmatch(r"max\((\w+)\) AS (\w+)", shown), re.fullmatch(r"count\(\*\) AS (\w+)", shown)
    assert newest or counted or all(column in TABLES[name].columns for column in columns), _sql

    async def run(transaction: Transaction, *arguments: Any) -> Result:
        rows_found = [row for row in transaction.rows(name) if holds(conditions, row, arguments)]
        if newest:
            return [{newest.group(2): max((row[newest.group(1)] for row in rows_found), default=None)}]
        if counted:
            return [{counted.group(1): len(rows_found)}]
        if order:
            rows_found.sort(key=lambda row: row[order], reverse=bool(descending))
        first = value_of(offset)(arguments) if offset else 0
        last = first + value_of(limit)(arguments) if limit else None
        return [{column: row[column] for column in columns} for row in rows_found[first:last]]

    return run


def update_read(found: re.Match[str], sql: str) -> Statement:
    """Return what an UPDATE of one table does."""
    name, conditions = found.group(1), conditions_of(found.group(1), found.group(3))
    changes = {}
    for part in found.group(2).split(","):
        column, _, text = part.strip().partition(" = ")
        assert column in TABLES[name].columns, sql
        changes[column] = value_of(text)

    async def run(transaction: Transaction, *arguments: Any) -> Result:
        matching = await transaction.where(name, lambda row: holds(conditions, row, arguments))
        for row in matching:
            await transaction.change(name, row, {column: value(arguments) for column, value in changes.items()})
        return len(matching)

    return run


def delete_read(found: re.Match[str], _sql: str) -> Statement:
    """Return what a DELETE from one table does; the audit's rows go only while a log is being restored."""
    name, conditions = found.group(1), conditions_of(found.group(1), found.group(2))

    async def run(transaction: Transaction, *arguments: Any) -> Result:
        count = await transaction.delete(name, lambda row: holds(conditions, row, arguments))
        if name == "audit" and count and not transaction.restoring:
            raise refused("P0001", "the audit is append-only")
        return count

    return run


READERS = ((INSERT, insert_read), (SELECT, select_read), (UPDATE, update_read), (DELETE, delete_read))


# --- statements with a function of their own


async def snapshot_upsert(transaction: Transaction, document: Any, venue: str, seq: int) -> Result:
    """Write the one row unless it holds a newer snapshot or another venue."""
    there = await transaction.insert("engine_snapshots", {"id": 1, "snapshot_data": document})
    if there is None:
        return [{"id": 1}]
    if there["seq"] is None or there["venue"] is None or (there["venue"] == venue and there["seq"] < seq):
        await transaction.change(
            "engine_snapshots", there, {"snapshot_data": document, "created_at": transaction.now_us}
        )
        return [{"id": 1}]
    return []


async def venues_held(transaction: Transaction) -> Result:
    """Return the venues of which a snapshot is held and that were not ended."""
    ended = {row["venue"] for row in transaction.rows("venues") if not row["live"]}
    held = {row["venue"] for table in ("engine_snapshots", "engine_keyframes") for row in transaction.rows(table)}
    return [{"venue": venue} for venue in sorted(held - ended, key=lambda venue: (venue is None, venue))]


async def keyframe_insert(
    transaction: Transaction, venue: str, seq: int, kind: str, rules: int, log_time_us: int, state_hash: str
) -> Result:
    """Copy the row into a keyframe, the first of an hour under that name."""
    row = transaction.row("engine_snapshots", (1,))
    if row is None:
        return 0
    hour_us = transaction.now_us // HOUR_US * HOUR_US
    hours = [
        each
        for each in transaction.rows("engine_keyframes")
        if each["venue"] == venue and each["kind"] == "hour" and each["created_at"] >= hour_us
    ]
    values = {
        "venue": venue,
        "seq": seq,
        "kind": kind or ("recent" if hours else "hour"),
        "rules": rules,
        "log_time_us": log_time_us,
        "state_hash": state_hash,
        "snapshot_data": row["snapshot_data"],
    }
    return 1 if await transaction.insert("engine_keyframes", values) is None else 0


async def keyframes_prune(transaction: Transaction, venue: str) -> Result:
    """Remove old keyframes, but never one of the newest three."""
    newest = sorted((row["seq"] for row in transaction.rows("engine_keyframes") if row["venue"] == venue), reverse=True)
    ages_us = {"recent": MINUTES_10_US, "hour": HOURS_48_US}

    def old(row: Row) -> bool:
        age_us = ages_us.get(row["kind"])
        aged = age_us is not None and row["created_at"] < transaction.now_us - age_us
        return row["venue"] == venue and aged and row["seq"] not in newest[:3]

    return await transaction.delete("engine_keyframes", old)


async def snapshot_seqs(transaction: Transaction, venue: str) -> Result:
    """Return seq and place of every snapshot, the newest first, the row before a keyframe."""
    found = [
        {"seq": row["seq"], "place": place}
        for place, table in enumerate(("engine_snapshots", "engine_keyframes"))
        for row in transaction.rows(table)
        if row["venue"] == venue and row["seq"] is not None
    ]
    return sorted(found, key=lambda row: (-row["seq"], row["place"]))


async def keyframes_counted(transaction: Transaction, venue: str, seconds: float) -> Result:
    """Return the keyframes that count, the newest first, and whether each is young."""
    since_us = transaction.now_us - int(seconds * 1e6)
    counted = [
        {"seq": row["seq"], "young": row["created_at"] > since_us}
        for row in transaction.rows("engine_keyframes")
        if row["venue"] == venue and row["verified_us"] is not None
    ]
    return sorted(counted, key=lambda row: -row["seq"])


async def restoring(transaction: Transaction) -> Result:
    """Allow this transaction to remove rows of the audit."""
    transaction.restoring = True
    return 0


async def snapshot_age(transaction: Transaction, venue: str) -> Result:
    """Return how old the row is."""
    return [
        {"age_s": (transaction.now_us - row["created_at"]) / 1e6}
        for row in transaction.rows("engine_snapshots")
        if row["venue"] == venue
    ]


def history_read(sql: str) -> Statement:
    """Return what a statement of the gateway about history answers."""

    async def read(transaction: Transaction, *arguments: Any) -> Result:
        return history_statements.answer(transaction.rows, sql, arguments) or []

    return read


def plain(sql: str) -> str:
    """Return a statement with single blanks."""
    return " ".join(sql.split())


OWN: dict[str, Statement] = {
    plain(sql): function
    for sql, function in (
        (rows.SNAPSHOT_UPSERT, snapshot_upsert),
        (rows.VENUES_WITH_SNAPSHOT, venues_held),
        (rows.KEYFRAME_INSERT, keyframe_insert),
        (rows.KEYFRAMES_PRUNE, keyframes_prune),
        (rows.SNAPSHOT_SEQS, snapshot_seqs),
        (trimming.KEYFRAMES_COUNTED, keyframes_counted),
        (audit.RESTORING, restoring),
        (readiness.SNAPSHOT_SELECT, snapshot_age),
        *((sql, history_read(sql)) for sql in (*history_statements.PAGES, *history_statements.OF_TABLE)),
        (gateway_history.LIQUIDATIONS_SELECT, history_read(gateway_history.LIQUIDATIONS_SELECT)),
    )
}
KNOWN: dict[str, tuple[str, Statement]] = {}


def statement_of(sql: str) -> tuple[str, Statement]:
    """Return a statement's short name and what it does; raises AssertionError for one that nobody has modelled."""
    known = KNOWN.get(sql)
    if known is None:
        text = plain(sql)
        name = " ".join(re.sub(r" \(.*| (?:WHERE|SET|VALUES) .*", "", text).split()[:6])
        known = KNOWN[sql] = name, OWN.get(text) or simple(text)
    return known


def simple(text: str) -> Statement:
    """Return what a statement of a simple shape does."""
    for pattern, reader in READERS:
        found = pattern.fullmatch(text)
        if found:
            return reader(found, text)
    raise AssertionError(f"no model of the statement: {text}")
