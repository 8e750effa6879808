"""What Redis, Postgres and the folders of a simulated venue hold, seen by nobody's process and without any network."""

import contextlib
from typing import Any

import orjson

from shared.archive import ArchiveDamaged, archive_entries
from shared.settings import Settings
from shared.stream_verbs import events_entry, pairs
from shared.streams import SEQ_BASE, Entry, EventsEntry, Keys, seq_chunk_of_event_id, seq_of_log_id
from tests.simulation.postgres_model import PostgresServer
from tests.simulation.redis_wire import RedisServer

TABLES = (
    "closed_orders",
    "closed_positions",
    "fills",
    "ledger",
    "candles",
    "funding",
    "liquidations",
    "trades",
    "funding_rates",
)
TABLES_BESIDE = ("persister_rejects", "audit", "audit_head")

Held = tuple[bytes, list[bytes]]  # a stream's entry as Redis answers: id, and names and values in one row


class Looks:
    """The eyes of the world."""

    def __init__(self, redis: RedisServer, postgres: PostgresServer, settings: Settings, keys: Keys) -> None:
        self.redis = redis
        self.postgres = postgres
        self.settings = settings
        self.keys = keys
        self.views_cursor_key = keys.views_cursor.encode()
        self.gone: dict[str, dict[tuple[int, int], Held]] = {keys.log: {}, keys.events: {}}
        self.cursor_seen: bytes | None = None  # of the views
        self.row_seen: dict[str, Any] | None = None  # of the newest snapshot; a restored Postgres is looked at anew
        self.back: list[str] = []  # what went back that never may

    # --- Redis

    def call(self, *command: bytes) -> Any:
        """Return Redis's reply to a command that comes past the network."""
        return self.redis.execute(*command)

    def tip_id(self, key: str) -> bytes:
        """Return the last id of a stream, that of nothing when it is empty."""
        found = self.call(b"XREVRANGE", key.encode(), b"+", b"-", b"COUNT", b"1")
        return found[0][0] if isinstance(found, list) and found else b"%d-0" % SEQ_BASE

    def log_tip(self) -> int:
        """Return the newest entry of the log."""
        return seq_of_log_id(self.tip_id(self.keys.log))

    def events_tip(self) -> int:
        """Return the log entry that caused the newest events."""
        return seq_chunk_of_event_id(self.tip_id(self.keys.events))[0]

    def stream(self, key: str) -> list[Held]:
        """Return what a stream holds."""
        found = self.call(b"XRANGE", key.encode(), b"-", b"+")
        return found if isinstance(found, list) else []

    def placed(self, key: str) -> dict[tuple[int, int], Held]:
        """Return what a stream holds, by place."""
        return {place_of(held[0]): held for held in self.stream(key)}

    def remember(self) -> None:
        """Keep what both streams hold now, for something is about to be taken out of them."""
        for key, gone in self.gone.items():
            gone.update(self.placed(key))

    def whole(self, key: str) -> list[Held]:
        """Return what a stream has ever held, in its order."""
        trimmed = self.redis.model.trimmed.get(key.encode(), {})
        every = self.gone[key] | {place: (b"%d-%d" % place, fields) for place, fields in trimmed.items()}
        every |= self.placed(key)
        return [every[place] for place in sorted(every)]

    def glance(self) -> None:
        """Look, very often, at what may only go forward: the views that anybody has read, the snapshot's row."""
        cursor = self.redis.model.values.get(self.views_cursor_key)
        if cursor is not self.cursor_seen and cursor is not None:
            if self.cursor_seen is not None and event_place(cursor) < event_place(self.cursor_seen):
                self.back.append(f"V: the views went back from {self.cursor_seen!r} to {cursor!r}")
            self.cursor_seen = cursor
        row = self.postgres.tables.get("engine_snapshots", {}).get((1,))
        if row is not self.row_seen and row is not None:
            if self.row_seen is not None and (row["seq"] or 0) < (self.row_seen["seq"] or 0):
                self.back.append(f"S: the snapshot's row went back from {self.row_seen['seq']} to {row['seq']}")
            self.row_seen = row

    def log(self) -> list[Entry]:
        """Return the whole log, what was trimmed included."""
        return [Entry(seq_of_log_id(stream_id), pairs(fields)) for stream_id, fields in self.whole(self.keys.log)]

    def events(self) -> list[EventsEntry]:
        """Return the whole events, what was trimmed included."""
        return [events_entry(*held) for held in self.whole(self.keys.events)]

    def views_keys(self) -> Keys:
        """Return the keys of the views in force."""
        generation = orjson.loads(self.call(b"GET", self.keys.views_generation.encode()) or b"{}")
        return Keys(self.keys.venue, generation.get("generation", 0))

    def views_cursor(self) -> int:
        """Return how far the views are."""
        cursor = self.call(b"GET", self.views_keys().views_cursor.encode())
        return int(cursor.partition(b"-")[0]) if isinstance(cursor, bytes) else 0

    def hash_of(self, key: bytes) -> dict[str, str]:
        """Return a hash as text."""
        flat = [part.decode() for part in self.call(b"HGETALL", key)]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def keys_with(self, prefix: str) -> list[bytes]:
        """Return the keys that begin so."""
        return sorted(key for key in self.redis.model.values if key.startswith(prefix.encode()))

    def views(self) -> dict[int, dict[str, str]]:
        """Return every account's view."""
        prefix = self.views_keys().view_account_prefix
        return {int(key[len(prefix) :]): self.hash_of(key) for key in self.keys_with(prefix)}

    def outcomes(self) -> dict[tuple[int, str], Any]:
        """Return every stored outcome."""
        prefix = f"{self.keys.prefix}outcome:"
        found = {}
        for key in self.keys_with(prefix):
            account, _, request_id = key[len(prefix) :].decode().partition(":")
            found[int(account), request_id] = orjson.loads(self.call(b"GET", key))
        return found

    # --- Postgres and the folders

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table, in the order of their keys."""
        rows = self.postgres.tables.get(table, {})
        return [rows[key] for key in sorted(rows, key=repr)]

    def history_cursor(self) -> int:
        """Return how far the history is."""
        return max((row["seq"] for row in self.rows("persister_cursor")), default=0)

    def archive(self) -> tuple[list[Entry], int, str]:
        """Return what the archive holds, how far it says that it reaches, and what is wrong with its files."""
        stated = max((row["seq"] for row in self.rows("archive_cursor")), default=0)
        found: list[Entry] = []
        try:
            found += archive_entries(self.settings.archive_dir, self.keys.venue, 0)
        except ArchiveDamaged as error:
            return found, stated, str(error)
        return found, stated, ""

    def documents(self) -> list[Any]:
        """Return every snapshot that is somewhere."""
        found = []
        for path in sorted((self.settings.data_dir / "snapshots").glob("*.json")):
            with contextlib.suppress(orjson.JSONDecodeError):
                found.append(orjson.loads(path.read_bytes()))
        for table in ("engine_snapshots", "engine_keyframes"):
            found += [row["snapshot_data"] for row in self.rows(table)]
        return found


def event_place(text: bytes) -> tuple[int, int]:
    """Return the place that a cursor names."""
    seq, _, chunk = text.partition(b"-")
    return int(seq), int(chunk)


def place_of(stream_id: bytes) -> tuple[int, int]:
    """Return an id as two numbers."""
    milliseconds, _, number = stream_id.partition(b"-")
    return int(milliseconds), int(number)
