"""engine/keyframes.py: a keyframe counts when what was read back is, bit for bit, the state that was written."""

import base64
from typing import Any

import pytest

from engine import core
from engine.documents import DocumentUnreadable, document_digest, document_pack, document_unpack, zstd
from engine.keyframes import document_hashes, keyframe_prove
from tests.builders import opened


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the sealed snapshot of a venue with two accounts."""
    engine = opened(2)
    buffer = memoryview(bytearray(core.snapshot_size(engine.states)))
    content = core.snapshot_document(buffer, core.snapshot_copy(engine.states, buffer))
    return document_pack(content, {"created_us": 1})


def prove(document: dict[str, Any]) -> None:
    """Prove a document as what it says it is."""
    keyframe_prove(document, document["venue"], document["seq"], document["state_hash"])


def test_the_tables_hash_to_what_the_core_states(document: dict[str, Any]) -> None:
    """The unpacked tables of a real snapshot give both of the core's hashes."""
    assert document_hashes(document_unpack(document)) == (document["state_hash"], document["record_hash"])
    prove(document)


def test_a_changed_table_does_not_count_even_under_a_right_seal(document: dict[str, Any]) -> None:
    """One bit in a table, packed and sealed anew, is found by the hashes alone."""
    table = document["tables"]["accounts"]
    content = bytearray(zstd.decompress(base64.b64decode(table["packed"])))
    content[3] ^= 1
    packed = base64.b64encode(zstd.compress(bytes(content), 1)).decode()
    changed = {**document, "tables": {**document["tables"], "accounts": {**table, "packed": packed}}}
    changed["digest"] = document_digest(changed)
    with pytest.raises(DocumentUnreadable, match="tables hash to"):
        prove(changed)


def test_another_snapshot_does_not_count(document: dict[str, Any]) -> None:
    """Another seq, another hash, another venue, a broken seal and nothing at all are refused."""
    for seq, state_hash, venue in (
        (document["seq"] + 1, document["state_hash"], document["venue"]),
        (document["seq"], "0" * 64, document["venue"]),
        (document["seq"], document["state_hash"], "another"),
    ):
        with pytest.raises(DocumentUnreadable):
            keyframe_prove(document, venue, seq, state_hash)
    for broken in ({**document, "log_time_us": -1}, None, {}):
        with pytest.raises(DocumentUnreadable):
            keyframe_prove(broken, document["venue"], document["seq"], document["state_hash"])


@pytest.mark.parametrize("table", [{"rows": 1}, {"rows": 10**6}, {"rows": -1}, {"rows": 0}])
def test_a_table_with_other_rows_does_not_count(document: dict[str, Any], table: dict[str, int]) -> None:
    """A row count that does not fit the bytes is refused with words, not with a fault."""
    content = document_unpack(document)
    content["tables"]["accounts"] = {**content["tables"]["accounts"], **table}
    try:
        found = document_hashes(content)
    except DocumentUnreadable:
        return
    assert found != (document["state_hash"], document["record_hash"])


def test_a_missing_table_does_not_count(document: dict[str, Any]) -> None:
    """A document without one of the stored tables is refused."""
    content = document_unpack(document)
    del content["tables"]["orders"]
    with pytest.raises(DocumentUnreadable, match="orders is missing"):
        document_hashes(content)
