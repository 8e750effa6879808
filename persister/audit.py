"""
The audit: each instruction with its outcome, in a chain of hashes, so that nothing of it can be changed or left out.

A row is written in the transaction that moves the history reader's cursor, hence exactly once. What the log no longer
holds of an instruction comes from the archive; what neither holds is a row without it, said once.
"""

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from shared.archive import ArchiveDamaged, archive_entries, ts_of
from shared.database import DatabaseRefused, Statements
from shared.stream_keys import Entry, EventsEntry, Keys

RESPONSE = b'"order_response"'
LENGTH_ABSENT = 2**32 - 1
RESPONSES = msgspec.json.Decoder(list[msgspec.Raw])

HEAD_READ = "SELECT seq, rows, chain FROM audit_head WHERE venue = $1"
HEAD_WRITE = """
INSERT INTO audit_head (venue, seq, rows, chain) VALUES ($1, $2, $3, $4)
ON CONFLICT (venue) DO UPDATE SET seq = excluded.seq, rows = excluded.rows, chain = excluded.chain
"""
AUDIT_INSERT = """
INSERT INTO audit (venue, seq, ts_us, log_time_us, account_id, request_id, kind, op, instruction, result, response,
    chain)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
RESTORING = "SET LOCAL tidemark.restoring = 'on'"
AUDIT_DELETE = "DELETE FROM audit WHERE venue = $1 AND seq >= $2"
AUDIT_LAST = "SELECT seq, chain FROM audit WHERE venue = $1 ORDER BY seq DESC LIMIT 1"
AUDIT_COUNT = "SELECT count(*) AS n FROM audit WHERE venue = $1"
HEAD_DELETE = "DELETE FROM audit_head WHERE venue = $1"

Offload = Callable[..., Awaitable[Any]]


class Answered(NamedTuple):
    """One outcome as it was published."""

    entry: EventsEntry
    place: int  # in its entry
    account_id: int
    request_id: str
    op: str
    result: str
    response: str


class Head(NamedTuple):
    """The chain's end."""

    seq: int
    rows: int
    chain: bytes


def answered_of(entry: EventsEntry) -> Iterator[Answered]:
    """Yield the outcomes in an events entry; what cannot be one is none."""
    if RESPONSE not in entry.data:
        return
    try:
        items = [(place, bytes(item)) for place, item in enumerate(RESPONSES.decode(entry.data))]
        responses = [(place, raw, orjson.loads(raw)) for place, raw in items if RESPONSE in raw]
    except (msgspec.DecodeError, orjson.JSONDecodeError):
        return
    for place, raw, body in responses:
        if not isinstance(body, dict) or body.get("e") != "order_response":
            continue
        account, request_id, op, result = (body.get(name) for name in ("account", "request_id", "op", "result"))
        if type(account) is int and all(isinstance(text, str) for text in (request_id, op, result)):
            yield Answered(entry, place, account, str(request_id), str(op), str(result), raw.decode())


def chain_first(venue: str) -> bytes:
    """Return what the first row of a venue is chained to."""
    return hashlib.blake2b(venue.encode(), digest_size=32).digest()


def chain_next(chain: bytes, seq: int, instruction: bytes | None, response: str) -> bytes:
    """Return the chain with one row more; an instruction that is absent differs from every one that is there."""
    digest = hashlib.blake2b(chain + struct.pack(">Q", seq), digest_size=32)
    digest.update(struct.pack(">I", LENGTH_ABSENT if instruction is None else len(instruction)) + (instruction or b""))
    content = response.encode()
    digest.update(struct.pack(">I", len(content)) + content)
    return digest.digest()


class Instructions:
    """Gives the entries that outcomes answer, out of the log or the archive."""

    def __init__(
        self, streams: Any, keys: Keys, folder: Path | None, log: Any, offload: Offload = asyncio.to_thread
    ) -> None:
        """Keep where to look; `offload` runs what may wait for a disk."""
        self.streams = streams
        self.keys = keys
        self.folder = folder
        self.log = log
        self.offload = offload
        self.absent_said = False
        self.reading: Iterator[Entry] | None = None  # of the archive, goes forward
        self.read_seq = 0

    async def of(self, seqs: list[int]) -> dict[int, Entry]:
        """Return the entries at these seqs as far as anybody holds them; raises StreamsError when Redis is away."""
        found: dict[int, Entry] = await self.streams.log_entries(self.keys, seqs)
        missing = [seq for seq in seqs if seq not in found]
        if missing and self.folder is not None:
            try:
                found |= await self.offload(self.archived, missing)
            except (ArchiveDamaged, OSError) as error:
                self.log.error("audit_without_archive", error=f"{type(error).__name__}: {error}")
            missing = [seq for seq in missing if seq not in found]
        if missing and not self.absent_said:
            self.absent_said = True
            self.log.warning("audit_without_instruction", seq=missing[0], count=len(missing))
        return found

    def archived(self, seqs: list[int]) -> dict[int, Entry]:
        """Return those entries that the archive holds; asked in ascending order it reads each file once."""
        assert self.folder is not None
        wanted, found = set(seqs), {}
        if self.reading is None or min(seqs) <= self.read_seq:
            self.reading = archive_entries(self.folder, self.keys.venue, min(seqs) - 1)
        reading, self.reading = self.reading, None
        for entry in reading:
            if entry.seq in wanted:
                found[entry.seq] = entry
            if entry.seq >= max(seqs):
                self.reading, self.read_seq = reading, entry.seq
                break
        return found


async def audit_rows(
    venue: str, entries: list[EventsEntry], instructions: Instructions | None
) -> list[tuple[Answered, tuple[Any, ...]]]:
    """Return the outcomes in these entries, each with its row but for the chain."""
    answered = [found for entry in entries for found in answered_of(entry)]
    given = await instructions.of([found.entry.seq for found in answered]) if instructions and answered else {}
    rows = []
    for found in answered:
        asked = given.get(found.entry.seq)
        kind, content = asked.fields[-1] if asked is not None and asked.fields else (b"", None)
        place = venue, found.entry.seq, ts_of(asked) if asked is not None else 0, max(found.entry.log_time_us, 0)
        who = found.account_id, found.request_id, kind.decode("ascii", "replace"), found.op
        rows.append((found, (*place, *who, content, found.result, found.response)))
    return rows


async def audit_append(statements: Statements, venue: str, rows: list[tuple[Any, ...]]) -> None:
    """Write rows behind the chain's end, in the caller's transaction, which holds the reader's cursor."""
    if not rows:
        return
    head = await head_read(statements, venue)
    chained = []
    for row in rows:
        seq, instruction, response = row[1], row[8], row[10]
        if seq <= head.seq:
            raise DatabaseRefused(f"the audit is at {head.seq} already, {seq} would stand behind it")
        head = Head(seq, head.rows + 1, chain_next(head.chain, seq, instruction, response))
        chained.append((*row, head.chain))
    await statements.executemany(AUDIT_INSERT, chained)
    await statements.execute(HEAD_WRITE, venue, *head)


async def head_read(statements: Any, venue: str) -> Head:
    """Return the chain's end, the beginning's when there is no row."""
    row = await statements.fetchrow(HEAD_READ, venue)
    if row is None:
        return Head(0, 0, chain_first(venue))
    return Head(int(row["seq"]), int(row["rows"]), bytes(row["chain"]))


async def audit_cut(statements: Statements, venue: str, first_lost: int) -> int:
    """Remove the rows from a seq on and set the chain's end back, in a transaction; return how many went."""
    await statements.execute(RESTORING)
    count = await statements.execute(AUDIT_DELETE, venue, first_lost)
    last = await statements.fetchrow(AUDIT_LAST, venue)
    if last is None:
        await statements.execute(HEAD_DELETE, venue)
    elif count:
        left = await statements.fetchrow(AUDIT_COUNT, venue)
        assert left is not None
        await statements.execute(HEAD_WRITE, venue, last["seq"], left["n"], bytes(last["chain"]))
    return count
