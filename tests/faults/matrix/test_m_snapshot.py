"""The newest snapshot damaged in every way a file or a row can be: the next older good one serves, and it is said."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from engine.documents import document_digest, files_list
from engine.ingest import machine_restore
from engine.recovery import Recovery, RulesUnknown, Start
from engine.rows import RowStore
from shared.database import Database
from shared.rules import RULES_VERSION
from tests.engine_toy import ToyLog
from tests.faults.matrix.copies import Copy, rest
from tests.faults.matrix.house import House
from tests.integration.engine_process import twin_of

POSTGRES_S = 5.0
SNAPSHOTS = 3


def sealed(document: dict[str, Any], **changes: Any) -> bytes:
    """Return a document with other values, sealed again: a difference that its digest cannot show."""
    changed = {**document, **changes}
    return orjson.dumps({**changed, "digest": document_digest(changed)})


def with_table(document: dict[str, Any], **changes: Any) -> bytes:
    """Return a sealed document whose table of orders differs."""
    tables = {**document["tables"], "orders": {**document["tables"]["orders"], **changes}}
    return sealed(document, tables=tables)


def bit_flipped(document: dict[str, Any]) -> bytes:
    """Return the document with one bit of a table's bytes flipped."""
    content = bytearray(orjson.dumps(document))
    content[content.index(b'"packed":"') + 20] ^= 1
    return bytes(content)


WAYS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "bit_flipped": bit_flipped,
    "cut_in_half": lambda document: orjson.dumps(document)[: len(orjson.dumps(document)) // 2],
    "empty": lambda document: b"",
    "not_json": lambda document: b"\x00" * 4_096,
    "not_a_document": lambda document: b'"text"',
    "other_venue": lambda document: sealed(document, venue="othervenue1"),
    "newer_format": lambda document: sealed(document, format=document["format"] + 1),
    "newer_schema": lambda document: sealed(document, schema=document["schema"] + 1),
    "other_hash": lambda document: sealed(document, state_hash="0" * 64),
    "table_garbled": lambda document: with_table(document, packed="AAAA"),
    "table_not_base64": lambda document: with_table(document, packed="\u2603"),
    "table_of_other_length": lambda document: with_table(document, rows=7),
    "table_missing": lambda document: sealed(document, tables={}),
    "other_seq": lambda document: sealed(document, seq=document["seq"] + 1),
}
# In a row there is always some JSON, and the table itself knows venue and seq.
WAYS_OF_ROWS = ("bit_flipped", "not_a_document", "newer_format", "newer_schema", "other_hash", "table_garbled")


class Kept(NamedTuple):
    """What a venue at rest has: a copy to start from, its newest snapshot, and the hashes at the log's end."""

    copy: Copy
    newest: Path
    content: bytes
    hashes: tuple[str, str]


@pytest.fixture(scope="module")
def kept(house_make: Callable[[], House], copy_make: Callable[[House], Copy]) -> Kept:
    """Return a venue at rest with three snapshots in files and four rows."""
    house = house_make()
    for _ in range(SNAPSHOTS):
        house.snapshot_make()
    rest(house)
    copy = copy_make(house)
    files = files_list(copy.data_dir / "snapshots")
    assert len(files) == SNAPSHOTS
    twin, _ = twin_of(copy.streams, copy.keys, copy.streams.log_tip(copy.keys))
    return Kept(copy, files[0][1], files[0][1].read_bytes(), twin.hashes())


def start_find(kept: Kept) -> tuple[Start, ToyLog]:
    """Return the start that recovery finds, and what it said."""
    log = ToyLog()
    store = RowStore(partial(Database.connect, kept.copy.database_url), kept.copy.keys.venue, POSTGRES_S)
    recovery = Recovery(kept.copy.keys.venue, kept.copy.data_dir / "snapshots", store, machine_restore, log)
    return recovery.start(), log


def hashes_at_end(kept: Kept, start: Start) -> tuple[str, str]:
    """Return the hashes of a start that has read on to the log's end."""
    machine, streams, keys = start.machine, kept.copy.streams, kept.copy.keys
    while entries := streams.read_log(keys, machine.seq, 1_000):
        machine.load(entries)
        while machine.step() is not None:
            pass
    hashes: tuple[str, str] = machine.hashes()
    return hashes


@pytest.fixture
def file_mended(kept: Kept) -> Iterator[None]:
    """Put the newest file back after the test."""
    yield
    kept.newest.write_bytes(kept.content)


@pytest.mark.parametrize("way", list(WAYS))
def test_damaged_file(kept: Kept, way: str, file_mended: None) -> None:
    """A damaged file is passed over by name, the row serves, and the state at the log's end has the same hash."""
    kept.newest.write_bytes(WAYS[way](orjson.loads(kept.content)))
    start, log = start_find(kept)
    [refused] = log.named("snapshot_refused")
    assert (refused["place"], f"snapshot-{refused['seq']}.json") == ("file", kept.newest.name)
    assert start.place == "row"
    assert hashes_at_end(kept, start) == kept.hashes


def row_write(kept: Kept, table: str, seq: int, content: bytes) -> None:
    """Put other JSON into a snapshot's row."""

    async def write() -> None:
        database = await Database.connect(kept.copy.database_url)
        try:
            statement = f"UPDATE {table} SET snapshot_data = $1 WHERE seq = $2"
            await database.execute(statement, orjson.loads(content), seq)
        finally:
            await database.close()

    asyncio.run(write())


@pytest.mark.parametrize("way", WAYS_OF_ROWS)
def test_damaged_rows(kept: Kept, way: str, file_mended: None) -> None:
    """With the newest file gone and its row and keyframe damaged, the file before it serves, with the same end."""
    document = orjson.loads(kept.content)
    kept.newest.unlink()
    damaged = WAYS[way](document)
    if way == "not_a_document":
        damaged = orjson.dumps({"venue": document["venue"], "seq": document["seq"]})
    for table in ("engine_snapshots", "engine_keyframes"):
        row_write(kept, table, document["seq"], damaged)
    try:
        start, log = start_find(kept)
    finally:
        for table in ("engine_snapshots", "engine_keyframes"):
            row_write(kept, table, document["seq"], kept.content)
    refused = log.named("snapshot_refused")
    assert [(fact["place"], fact["seq"]) for fact in refused] == [(p, document["seq"]) for p in ("row", "keyframe")]
    assert (start.place, start.machine.seq < document["seq"]) == ("file", True)
    assert hashes_at_end(kept, start) == kept.hashes


def test_other_order_of_keys(kept: Kept, file_mended: None) -> None:
    """A document whose keys stand in another order, as JSONB gives them back, is the same document."""
    document = orjson.loads(kept.content)
    kept.newest.write_bytes(orjson.dumps(dict(sorted(document.items(), key=lambda item: (len(item[0]), item[0])))))
    start, log = start_find(kept)
    assert not log.named("snapshot_refused")
    assert start.place == "file"
    assert hashes_at_end(kept, start) == kept.hashes


def test_newer_rules(kept: Kept, file_mended: None) -> None:
    """A snapshot of rules that this build does not know is not passed over: the start is refused, naming them."""
    kept.newest.write_bytes(sealed(orjson.loads(kept.content), rules=RULES_VERSION + 1))
    with pytest.raises(RulesUnknown, match=str(RULES_VERSION + 1)):
        start_find(kept)
