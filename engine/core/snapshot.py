"""
State <-> packed columns, versioned; the two hashes; and the hot copy that a snapshot starts from.

A snapshot holds the stored tables alone, live rows by ascending id, words shuffled (all first words of the rows, then
all second words, …) so that they compress. Compression and transport are the shell's.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from engine.core.kernel import entry
from engine.core.past_cache import LINE_BYTES, runs_copy, runs_of
from engine.core.rebuild import rebuild
from engine.core.schema import STORED_HEADER, STORED_IDS, STORED_RECORD
from engine.core.state import STATE, allocate
from engine.core.trailing import TRAILS, trailing_write_back
from shared import units
from shared.codes import Side
from shared.records import SCHEMA_VERSION

FORMAT_VERSION = 1
TABLES = STORED_HEADER + STORED_RECORD
PREAMBLE_WORDS = 16
COPY_THREADS = 2  # beside the hot thread; one core alone fills half of what the memory can carry
COPY_TOGETHER_BYTES = 2 * 2**20  # from which on it pays to wake them
SHUFFLE_ROWS = 512
REQUESTS_HOLES_MAX = 8  # with fewer remembered than one in so many rows, they are gathered instead of copied with holes


_COPIERS = ThreadPoolExecutor(COPY_THREADS, "snapshot-copy")


class SnapshotMismatch(Exception):
    """A snapshot cannot be used: another format, another schema, or bytes that do not hash to what it states."""


def _dtype(name: str) -> np.dtype:
    """Return the row dtype of a stored table."""
    field = STATE[name]
    return field.base if field.subdtype else field


@entry
def rows_gather(source, order, target):
    """Copy rows of words: target[i] = source[order[i]]."""
    for index in range(len(order)):
        row = order[index]
        for word in range(source.shape[1]):
            target[index, word] = source[row, word]


def _words(rows: np.ndarray) -> np.ndarray:
    """Return contiguous rows as int64[rows, words]."""
    return rows.view(np.int64).reshape(len(rows), rows.dtype.itemsize // 8)


def _gather(rows: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return rows in another order; rows that already stand so are returned as they are."""
    if len(order) == len(rows) and (len(order) == 0 or bool((np.diff(order) == 1).all())):
        return rows
    target = np.empty(len(order), rows.dtype)
    rows_gather(_words(rows), order, _words(target))
    return target


def requests_kept(state: Any) -> np.ndarray:
    """Return the rows of the requests that are remembered."""
    queue = state["request_queue"]
    first, end = int(state["queue_first"]) % len(queue), int(state["queue_end"]) % len(queue)
    parts = [queue[first:end]] if first <= end else [queue[first:], queue[:end]]
    rows = np.concatenate((*parts, state["request_heap"][: int(state["heap_count"])])).astype(np.int64)
    return rows[rows > 0]


def _rows(states: np.ndarray, name: str) -> np.ndarray:
    """Return the used rows of a stored table, free ones among them, without copying but for a few requests."""
    state = states.view(np.ndarray)[0]
    if name == "requests":
        # Forgotten ones leave holes in their table for ever, while a gathering touches pages and must not take long.
        table = state["requests_table"]
        if REQUESTS_HOLES_MAX * int(table["live"]) < int(table["top"]):
            return _gather(state["requests"], requests_kept(state))
    if name in ("header", "venue"):
        return states.view(np.ndarray)[name]
    if name in ("feeds", "markets"):
        return state[name][: int(state["venue"]["markets_count"])]
    return state[name][1 : int(state[f"{name}_table"]["top"]) + 1]


def _live(rows: np.ndarray, name: str) -> np.ndarray:
    """Return the live rows by ascending id."""
    if name not in STORED_IDS:
        return rows
    ids = rows[STORED_IDS[name]]
    live = np.flatnonzero(ids)
    return _gather(np.ascontiguousarray(rows), live[np.argsort(ids[live], kind="stable")].astype(np.int64))


def _lines(length: int) -> int:
    """Return the bytes of the whole cache lines that `length` bytes take: every table begins with one."""
    return -(-length // LINE_BYTES) * LINE_BYTES


def snapshot_size(states: np.ndarray) -> int:
    """Return how many bytes `snapshot_copy` needs now."""
    return 8 * PREAMBLE_WORDS + sum(_lines(_rows(states, name).nbytes) for name in TABLES)


@entry
def peaks_write(states):
    """Write the lazily kept peaks of trailing stops into their orders, before the tables are read as a whole."""
    trailing_write_back(states[0])


def snapshot_ready(states: np.ndarray, buffer: memoryview) -> int:
    """Return how many bytes a copy would take now; what it runs is loaded or compiled before it is in a hurry."""
    peaks_write(states)
    target = np.frombuffer(buffer, np.int64, PREAMBLE_WORDS)
    _copy_together([(target, np.zeros(PREAMBLE_WORDS, np.int64))])
    return snapshot_size(states)


def snapshot_copy(states: np.ndarray, buffer: memoryview) -> int:
    """Copy the used rows of every stored table into a buffer and return the bytes written; nothing but copying."""
    peaks_write(states)
    target = np.frombuffer(buffer, np.int64, len(buffer) // 8)
    at = PREAMBLE_WORDS
    copies = []
    for index, name in enumerate(TABLES):
        rows = _rows(states, name)
        target[index] = len(rows)
        source = rows.view(np.int64).reshape(-1)
        copies.append((target[at : at + len(source)], source))
        at += _lines(rows.nbytes) // 8
    _copy_together(copies)
    return 8 * at


def _copy_together(copies: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Copy words (target, source), in this thread and in the two beside it; one that is late is not waited for."""
    runs, taken = runs_of(copies), np.zeros(1, np.int64)
    if runs is None:
        for target, source in copies:
            np.copyto(target, source)
        return
    count = COPY_THREADS if 8 * runs[:, 2].sum() > COPY_TOGETHER_BYTES else 0
    helpers = [_COPIERS.submit(runs_copy, runs, taken) for _ in range(count)]
    runs_copy(runs, taken)
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def _tables_of_copy(buffer: memoryview) -> dict[str, np.ndarray]:
    """Return the live rows of each table in a copy."""
    source = np.frombuffer(buffer, np.uint8)
    counts = source[: 8 * PREAMBLE_WORDS].view(np.int64)
    at = 8 * PREAMBLE_WORDS
    tables = {}
    for index, name in enumerate(TABLES):
        dtype = _dtype(name)
        size = int(counts[index]) * dtype.itemsize
        tables[name] = _live(source[at : at + size].view(dtype), name)
        at += _lines(size)
    return tables


def _digest(tables: dict[str, np.ndarray], names: tuple[str, ...]) -> bytes:
    """Return BLAKE2b over name, dtype, row count and rows of each table."""
    digest = hashlib.blake2b(digest_size=32)
    for name in names:
        rows = tables[name]
        digest.update(f"{name}|{_dtype(name).descr}|{len(rows)}|".encode())
        digest.update(np.ascontiguousarray(rows).view(np.uint8).data)
    return digest.digest()


def _hashes(tables: dict[str, np.ndarray]) -> tuple[str, str]:
    """Return (state hash, record hash), 64 hex digits each."""
    record = _digest(tables, STORED_RECORD)
    header = _digest(tables, STORED_HEADER)
    return hashlib.blake2b(header + record, digest_size=32).hexdigest(), record.hex()


def hashes(states: np.ndarray) -> tuple[str, str]:
    """
    Return (state hash, record hash) of a state between two entries.

    Source: docs/recovery.md#hashes
    """
    peaks_write(states)
    return _hashes({name: _live(_rows(states, name), name) for name in TABLES})


def _shuffled(rows: np.ndarray) -> bytes:
    """Return the bytes of all first words of the rows, then of all second words, …; a few rows at a time stay near."""
    words = _words(np.ascontiguousarray(rows))
    columns = np.empty((words.shape[1], len(words)), np.int64)
    for first in range(0, len(words), SHUFFLE_ROWS):
        columns[:, first : first + SHUFFLE_ROWS] = words[first : first + SHUFFLE_ROWS].T
    return columns.tobytes()


def snapshot_document(buffer: memoryview, length: int) -> dict[str, Any]:
    """
    Return a snapshot of a copy: versions, position, hashes, summary, and each table's shuffled bytes.

    Shapes: tables[name] = {"rows", "dtype", "bytes"}; the shell compresses `bytes`.
    """
    tables = _tables_of_copy(buffer[:length])
    state_hash, record_hash = _hashes(tables)
    header = tables["header"][0]
    packed = {}
    for name, rows in tables.items():
        packed[name] = {"rows": len(rows), "dtype": str(_dtype(name).descr), "bytes": _shuffled(rows)}
    return {
        "format": FORMAT_VERSION,
        "schema": SCHEMA_VERSION,
        "rules": int(header["rules"]),
        "venue": units.text_of_words(header["venue"].tolist()),
        "seq": int(header["seq"]),
        "log_time_us": int(header["log_time_us"]),
        "events_last": [int(header["events_seq"]), int(header["events_chunk"])],
        "state_hash": state_hash,
        "record_hash": record_hash,
        "summary": _summary(tables),
        "tables": packed,
    }


def _summary(tables: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what a person wants to see of a snapshot at a glance."""
    accounts, positions, orders = tables["accounts"], tables["positions"], tables["orders"]
    cells = int(accounts["free_e6"].sum()) + int(accounts["reserved_e6"].sum())
    cells += int(positions["margin_e6"].sum()) - int(positions["cost_e6"].sum())
    markets = {}
    for market in tables["markets"]:
        own = positions[positions["market_id"] == market["market_id"]]
        tick_e12 = int(market["config"]["tick_e12"])
        decimals = units.decimals_of(tick_e12)
        markets[units.text_of_words(market["config"]["market"].tolist())] = {
            "bid": units.decimal_text(int(market["bid_ticks"]) * tick_e12, decimals),
            "ask": units.decimal_text(int(market["ask_ticks"]) * tick_e12, decimals),
            "mark": units.decimal_text(int(market["mark_ticks"]) * tick_e12, decimals),
            "positions": int((own["account_id"] >= 100).sum()),
            "lots_sum": int(own["lots"].sum()),
            "open_interest_lots": int(market["open_interest_lots"]),
        }
    return {
        "accounts": int((accounts["account_id"] >= 100).sum()),
        "positions": int((positions["account_id"] >= 100).sum()),
        "orders": len(orders),
        "requests": len(tables["requests"]),
        "conservation_e6": cells,
        "markets": markets,
    }


def restore(document: dict[str, Any]) -> np.ndarray:
    """
    Return the state that a snapshot holds, everything derived rebuilt.

    Errors: SnapshotMismatch when the format or schema is not ours, or the bytes do not hash to what is stated.
    """
    if document.get("format") != FORMAT_VERSION or document.get("schema") != SCHEMA_VERSION:
        raise SnapshotMismatch(f"format {document.get('format')}, schema {document.get('schema')}: not ours")
    tables = {name: _unpack(name, document["tables"].get(name)) for name in TABLES}
    found = _hashes(tables)
    if found != (document["state_hash"], document["record_hash"]):
        raise SnapshotMismatch(f"states hash {document['state_hash'][:16]}…, bytes hash to {found[0][:16]}…")
    states = allocate()
    state = states.view(np.ndarray)[0]
    for name, rows in tables.items():
        if name in ("header", "venue"):
            states.view(np.ndarray)[name][0] = rows[0]
        elif name in ("feeds", "markets"):
            state[name][: len(rows)] = rows
        else:
            if len(rows) + 1 > len(state[name]):
                raise SnapshotMismatch(f"{len(rows)} {name}: more than this build holds")
            state[name][1 : len(rows) + 1] = rows
    orders = tables["orders"]
    priorities = np.argsort(orders["priority"], kind="stable").astype(np.int64) + 1
    peaks = np.where(orders["side"] == Side.BUY, orders["peak_ticks"], -orders["peak_ticks"].astype(np.int64))
    by_peak = np.argsort(peaks, kind="stable").astype(np.int64)
    by_peak = by_peak[orders["active"][by_peak] == TRAILS] + 1
    rebuild(states, len(tables["accounts"]), len(tables["positions"]), len(tables["requests"]), priorities, by_peak)
    return states


def _unpack(name: str, packed: Any) -> np.ndarray:
    """Return the rows of one packed table."""
    dtype = _dtype(name)
    if packed is None or packed["dtype"] != str(dtype.descr):
        raise SnapshotMismatch(f"table {name} has another layout")
    count = int(packed["rows"])
    if len(packed["bytes"]) != count * dtype.itemsize:
        raise SnapshotMismatch(f"table {name} is cut off")
    columns = np.frombuffer(packed["bytes"], np.int64).reshape(dtype.itemsize // 8, count)
    return np.ascontiguousarray(columns.T).reshape(-1).view(dtype)


assert len(TABLES) <= PREAMBLE_WORDS
