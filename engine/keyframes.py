"""
When a keyframe counts: it was read back from Postgres, its seal holds, and its unpacked tables hash to what it states.

Trimming throws away the log before the oldest keyframe that counts, so nothing counts because it was written.
"""

import hashlib
from typing import Any

import numpy as np

from engine.core.schema import STORED_HEADER, STORED_RECORD
from engine.documents import DocumentUnreadable, document_unpack, document_verify

WORD_BYTES = 8


def table_rows(name: str, table: dict[str, Any]) -> bytes:
    """Return the rows of an unpacked table one after the other; raises DocumentUnreadable when it is cut off."""
    content, count = table["bytes"], int(table["rows"])
    if count == 0 and not content:
        return b""
    if count <= 0 or len(content) % (count * WORD_BYTES):
        raise DocumentUnreadable(f"table {name} is cut off")
    columns = np.frombuffer(content, np.int64).reshape(-1, count)
    return np.ascontiguousarray(columns.T).tobytes()


def document_hashes(content: dict[str, Any]) -> tuple[str, str]:
    """
    Return (state hash, record hash) of an unpacked document's tables.

    Source: docs/recovery.md#hashes
    """
    parts = []
    for names in (STORED_HEADER, STORED_RECORD):
        digest = hashlib.blake2b(digest_size=32)
        for name in names:
            if name not in content["tables"]:
                raise DocumentUnreadable(f"table {name} is missing")
            table = content["tables"][name]
            digest.update(f"{name}|{table['dtype']}|{table['rows']}|".encode())
            digest.update(table_rows(name, table))
        parts.append(digest.digest())
    header, record = parts
    return hashlib.blake2b(header + record, digest_size=32).hexdigest(), record.hex()


def keyframe_prove(document: Any, venue: str, seq: int, state_hash: str) -> None:
    """Return when what was read back is the keyframe that was written; raises DocumentUnreadable."""
    document_verify(document, venue)
    if document["seq"] != seq or document["state_hash"] != state_hash:
        raise DocumentUnreadable(f"it is the snapshot at {document['seq']}, hash {document['state_hash']}")
    found = document_hashes(document_unpack(document))
    if found != (document["state_hash"], document["record_hash"]):
        raise DocumentUnreadable(f"it states {document['state_hash']}, its tables hash to {found[0]}")
