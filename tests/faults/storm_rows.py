"""The rows of Postgres compared with the events they come from: each once, none missing, none that nobody caused."""

from typing import Any, NamedTuple

from shared.database import Database
from shared.wire_events import EVENTS_CHUNK
from tests.faults.storm_checks import Events


class Table(NamedTuple):
    """How one table's rows are compared with one kind of event."""

    kind: str
    table: str
    query: str
    ids: tuple[str, ...]  # keys of the event that name the row; none: its place does


TABLES = (
    Table("closed_order", "closed_orders", "SELECT account_id, order_id, seq, data FROM closed_orders",
          ("account", "order_id")),
    Table("closed_position", "closed_positions", "SELECT account_id, position_id, seq, data FROM closed_positions",
          ("account", "position_id")),
    Table("fill", "fills", "SELECT account_id, fill_id, seq, data FROM fills", ("account", "fill_id")),
    Table("ledger", "ledger", "SELECT account_id, seq, chunk, index, data FROM ledger", ()),
    Table("candle", "candles", "SELECT market, minute_ms, seq, data FROM candles", ("market", "minute_ms")),
)  # fmt: skip
# Rows that are named by the place of their event alone: which kinds each table holds.
PLACED = {
    "liquidations": ("liquidation", "adl"),
    "trades": ("trade",),
    "funding_rates": ("funding_settled", "funding_skipped"),
}
CURSOR = "SELECT seq, chunk FROM persister_cursor WHERE venue = $1"
REJECTS = "SELECT count(*) AS count FROM persister_rejects WHERE venue = $1"


async def history_cursor(database_url: str, venue: str) -> tuple[int, int]:
    """Return the place of the newest events entry that history holds."""
    database = await Database.connect(database_url)
    try:
        row = await database.fetchrow(CURSOR, venue)
        return (0, 0) if row is None else (row["seq"], row["chunk"])
    finally:
        await database.close()


async def rows_check(database_url: str, venue: str, events: Events, last_seq: int) -> tuple[list[str], dict[str, int]]:
    """Return what differs up to an entry of the log, and how many rows each table has up to there."""
    found: list[str] = []
    counts: dict[str, int] = {}
    database = await Database.connect(database_url, timeout_s=60.0)
    try:
        for table in TABLES:
            query = f"{table.query} WHERE venue = $1 AND seq <= $2"
            rows = [tuple(row.values()) for row in await database.fetch(query, venue, last_seq)]
            counts[table.table] = len(rows)
            found += differences(table, rows, events)
        for name in PLACED:
            query = f"SELECT seq, position, data FROM {name} WHERE venue = $1 AND seq <= $2"
            rows = [tuple(row.values()) for row in await database.fetch(query, venue, last_seq)]
            counts[name] = len(rows)
            found += differences_placed(name, rows, events)
        rejects = await database.fetchrow(REJECTS, venue)
        if rejects is None or rejects["count"]:
            found.append(f"rejected rows: {rejects}")
    finally:
        await database.close()
    return found, counts


def differences(table: Table, rows: list[tuple[Any, ...]], events: Events) -> list[str]:
    """Return what differs between a table's rows and its events."""
    wanted: dict[tuple[Any, ...], Any] = {}
    found: list[str] = []
    for (seq, chunk, index), event in events.by_kind[table.kind]:
        key = (*(event[name] for name in table.ids), seq) if table.ids else (event["account"], seq, chunk, index)
        if key in wanted:
            found.append(f"{table.kind} {key} stands twice in the events")
        wanted[key] = event
    if table.ids:
        once = {key[:-1] for key in wanted}
        if len(once) != len(wanted):
            found.append(f"{len(wanted) - len(once)} of {table.kind} stand twice in the events")
    stored = {row[:-1]: row[-1] for row in rows}
    if len(stored) != len(rows):
        found.append(f"{len(rows) - len(stored)} rows of {table.table} stand twice")
    found += [f"{table.table} lacks {key}" for key in wanted.keys() - stored.keys()]
    found += [f"{table.table} has {key}, which no event caused" for key in stored.keys() - wanted.keys()]
    found += [f"{table.table} {key} is {stored[key]}, the event {wanted[key]}"
              for key in wanted.keys() & stored.keys() if stored[key] != wanted[key]]  # fmt: skip
    return found


def differences_placed(name: str, rows: list[tuple[Any, ...]], events: Events) -> list[str]:
    """Return what differs between a table's (seq, position, data) and the events of its kinds."""
    wanted = {
        (seq, chunk * EVENTS_CHUNK + index): event
        for kind in PLACED[name]
        for (seq, chunk, index), event in events.by_kind[kind]
    }
    stored = {row[:2]: row[2] for row in rows}
    found = [f"{len(rows) - len(stored)} rows of {name} stand twice"] if len(rows) != len(stored) else []
    places = sorted(wanted.keys() | stored.keys())
    return found + [
        f"{name} {place} is {stored.get(place)}, the event {wanted.get(place)}"
        for place in places
        if stored.get(place) != wanted.get(place)
    ]
