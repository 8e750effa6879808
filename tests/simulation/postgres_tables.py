"""
The tables of the simulated Postgres, read from the migrations: columns, types, keys; and rows in transactions.

A row is a dict that is never changed, only replaced. A transaction sees what is committed and what it wrote itself; it
locks the rows it writes until it ends, and whoever wants one of them waits, as READ COMMITTED does.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from shared.database import MIGRATIONS, DatabaseDown, DatabaseRefused

Row = dict[str, Any]
Key = tuple[Any, ...]

TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\);", re.DOTALL)
COLUMN_ADDED = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (.+?);")
KEY = re.compile(r"PRIMARY KEY \(([^)]+)\)")
COLUMN = re.compile(r"(\w+) (TEXT|BIGINT|INTEGER|BOOLEAN|JSONB|BYTEA|NUMERIC|TIMESTAMPTZ|UUID)\b(.*)", re.IGNORECASE)
SEQ_TEXT = re.compile(r"[0-9]{1,18}")


class Column(NamedTuple):
    """One column."""

    kind: str
    required: bool
    default_now: bool


class Table(NamedTuple):
    """One table."""

    name: str
    columns: dict[str, Column]
    key: tuple[str, ...]  # empty: rows are told apart by their number


def tables_read() -> dict[str, Table]:
    """Return every table as the migrations make it."""
    text = "\n".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))
    text = re.sub(r"--[^\n]*", "", text)
    tables = {}
    for name, body in TABLE.findall(text):
        columns, key = {}, ()
        found = KEY.search(body)
        if found:
            key = tuple(part.strip() for part in found.group(1).split(","))
            body = body.replace(found.group(0), "")
        for line in body.split("\n"):
            column = COLUMN.match(line.strip())
            if column:
                columns[column.group(1)] = column_of(column)
                if "PRIMARY KEY" in column.group(3):
                    key = (column.group(1),)
        tables[name] = Table(name, columns, key)
    for name, line in COLUMN_ADDED.findall(text):
        column = COLUMN.match(line)
        assert column is not None, line
        tables[name].columns[column.group(1)] = column_of(column)
    return tables


def column_of(found: re.Match[str]) -> Column:
    """Return a column from its declaration."""
    rest = found.group(3)
    return Column(found.group(2).upper(), "NOT NULL" in rest or "PRIMARY KEY" in rest, "DEFAULT now()" in rest)


TABLES = tables_read()


def refused(code: str, text: str) -> DatabaseRefused:
    """Return Postgres's refusal by its code."""
    return DatabaseRefused(f"{code} {text}")


def stored(table: Table, name: str, value: Any) -> Any:
    """Return a value as the column keeps it; raises DatabaseRefused for one that it does not take."""
    column = table.columns[name]
    if value is None:
        null_check(table, name)
        return None
    return TYPES[column.kind](value)


def null_check(table: Table, name: str) -> None:
    """Raise DatabaseRefused when a column takes no NULL."""
    if table.columns[name].required:
        raise refused("23502", f'null value in column "{name}" of relation "{table.name}"')


def integer(bits: int) -> Callable[[Any], int]:
    """Return what checks an integer of so many bits."""

    def check(value: Any) -> int:
        # A fraction is cut off by the driver in silence.
        if not isinstance(value, int | float) or not -(1 << bits - 1) <= int(value) < 1 << bits - 1:
            raise DatabaseRefused(f"invalid input for query argument: {value!r} (an integer of {bits} bits)")
        return int(value)

    return check


def text(value: Any) -> str:
    """Return a text that Postgres takes."""
    if not isinstance(value, str):
        raise DatabaseRefused(f"invalid input for query argument: {value!r} (expected str)")
    if "\x00" in value:
        raise refused("22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DatabaseRefused(f"invalid input for query argument: {error}") from None
    return value


def json(value: Any) -> Any:
    """Return a value that has gone through JSON."""
    try:
        data = orjson.dumps(value)
    except TypeError as error:
        raise DatabaseRefused(f"invalid input for query argument: {error}") from None
    if b"\\u0000" in data:
        raise refused("22P05", "unsupported Unicode escape sequence")
    return orjson.loads(data)


def plain(*kinds: type) -> Callable[[Any], Any]:
    """Return what checks for one of these types."""

    def check(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise DatabaseRefused(f"invalid input for query argument: {value!r}")
        return value

    return check


TYPES: dict[str, Callable[[Any], Any]] = {
    "BIGINT": integer(64),
    "INTEGER": integer(32),
    "TEXT": text,
    "JSONB": json,
    "BYTEA": lambda value: bytes(plain(bytes, bytearray, memoryview)(value)),
    "NUMERIC": lambda value: Decimal(str(plain(Decimal, int, float)(value))),
    "BOOLEAN": plain(bool),
    "TIMESTAMPTZ": integer(64),  # microseconds here; nobody reads one as it is
    "UUID": plain(object),
}


def row_of(table: Table, values: Row, now_us: int) -> Row:
    """Return a whole row of what an INSERT gives."""
    row = {}
    for name, column in table.columns.items():
        value = values.get(name)
        if value is None and name not in values and column.default_now:
            value = now_us
        row[name] = None if value is None else TYPES[column.kind](value)
    for name, value in row.items():
        if value is None:  # only then: that a value is none of its type is said first
            null_check(table, name)
    if table.name == "engine_snapshots":
        row.update(snapshot_columns(row["snapshot_data"]))
    return row


def snapshot_columns(document: Any) -> Row:
    """Return the two columns that Postgres computes from a snapshot."""
    fields = document if isinstance(document, dict) else {}
    venue, seq = fields.get("venue"), fields.get("seq")
    seq_text = seq if isinstance(seq, str) else orjson.dumps(seq).decode()
    return {
        "venue": venue if venue is None or isinstance(venue, str) else orjson.dumps(venue).decode(),
        "seq": int(seq_text) if SEQ_TEXT.fullmatch(seq_text) else None,
    }


def unique_of(table: Table, row: Row) -> list[Key]:
    """Return the values that no two rows of a table may share, beside its primary key."""
    return [("live",)] if table.name == "venues" and row["live"] else []


class Store:
    """What is committed, and who holds which lock."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Row]] = {name: {} for name in TABLES}
        self.locks: dict[tuple[str, Key], Transaction] = {}
        self.waiting: dict[tuple[str, Key], list[asyncio.Future[None]]] = {}
        self.rows_count = 0  # numbers the rows of tables without a key


class Transaction:
    """One transaction; ended by `commit` or `rollback`."""

    def __init__(self, store: Store, now_us: int) -> None:
        self.store = store
        self.now_us = now_us
        self.writes: dict[tuple[str, Key], Row | None] = {}
        self.held: list[tuple[str, Key]] = []
        self.failed = False
        self.ended = False
        self.waits: asyncio.Future[None] | None = None  # for the lock that it wants
        self.restoring = False  # what `SET LOCAL tidemark.restoring` allows

    # --- reading

    def rows(self, name: str) -> Iterator[Row]:
        """Yield the rows of a table in the order of their keys' arrival."""
        own = {key: row for (table, key), row in self.writes.items() if table == name}
        for key, row in self.store.tables[name].items():
            if key not in own:
                yield row
        yield from (row for row in own.values() if row is not None)

    def row(self, name: str, key: Key) -> Row | None:
        """Return one row by its key."""
        place = name, key
        return self.writes[place] if place in self.writes else self.store.tables[name].get(key)

    # --- writing

    async def lock(self, name: str, key: Key) -> None:
        """Hold the lock of one row, waiting for whoever holds it."""
        place = name, key
        while (holder := self.store.locks.get(place)) is not None and holder is not self:
            self.waits = asyncio.get_running_loop().create_future()
            self.store.waiting.setdefault(place, []).append(self.waits)
            await self.waits
        if self.ended:
            raise DatabaseDown("the server ended this transaction while it waited")
        if holder is None:
            self.store.locks[place] = self
            self.held.append(place)

    async def insert(self, name: str, values: Row) -> Row | None:
        """Insert a row; return the one that stands in its way, None when it is in."""
        table = TABLES[name]
        row = row_of(table, values, self.now_us)
        if table.key:
            key = tuple(row[column] for column in table.key)
        else:
            self.store.rows_count += 1
            key = (self.store.rows_count,)
        await self.lock(name, key)
        there = self.row(name, key)
        if there is not None:
            return there
        for unique in unique_of(table, row):
            await self.lock(name, ("unique", *unique))
            for other in self.rows(name):
                if unique in unique_of(table, other):
                    return other
        self.writes[name, key] = row
        return None

    async def change(self, name: str, row: Row, values: Row) -> Row:
        """Replace some columns of a row that is there and locked."""
        table = TABLES[name]
        assert table.key, name
        changed = {**row, **{column: stored(table, column, value) for column, value in values.items()}}
        if name == "engine_snapshots":
            changed.update(snapshot_columns(changed["snapshot_data"]))
        self.writes[name, tuple(row[column] for column in table.key)] = changed
        return changed

    async def where(self, name: str, wanted: Callable[[Row], bool]) -> list[Row]:
        """Return the rows that are wanted, locked, as they are after whoever held them has ended."""
        table, found = TABLES[name], []
        for row in list(self.rows(name)):
            if wanted(row):
                key = tuple(row[column] for column in table.key)
                await self.lock(name, key)
                now = self.row(name, key)
                if now is not None and wanted(now):
                    found.append(now)
        return found

    async def delete(self, name: str, wanted: Callable[[Row], bool]) -> int:
        """Remove rows; return how many."""
        rows = await self.where(name, wanted)
        for row in rows:
            self.writes[name, tuple(row[column] for column in TABLES[name].key)] = None
        return len(rows)

    # --- the end

    def savepoint(self) -> tuple[dict[tuple[str, Key], Row | None], int]:
        """Return what `back_to` needs."""
        return dict(self.writes), len(self.held)

    def back_to(self, savepoint: tuple[dict[tuple[str, Key], Row | None], int]) -> None:
        """Undo everything since a savepoint."""
        self.writes, self.failed = dict(savepoint[0]), False
        while len(self.held) > savepoint[1]:
            self.release(self.held.pop())

    def commit(self) -> None:
        """Let others see what was written; a transaction that failed is rolled back."""
        if not self.ended and not self.failed:
            for (name, key), row in self.writes.items():
                if row is None:
                    self.store.tables[name].pop(key, None)
                else:
                    self.store.tables[name][key] = row
        self.rollback()

    def rollback(self) -> None:
        """End without a trace, once."""
        if not self.ended:
            self.ended = True
            if self.waits is not None and not self.waits.done():
                self.waits.set_result(None)
            while self.held:
                self.release(self.held.pop())

    def release(self, place: tuple[str, Key]) -> None:
        """Give up one lock and let the first who waits for it try."""
        self.store.locks.pop(place, None)
        for future in self.store.waiting.pop(place, []):
            if not future.done():
                future.set_result(None)
