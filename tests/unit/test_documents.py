"""A snapshot's document is believed as a whole or not at all; its file is there for good or not at all."""

import orjson
import pytest

from engine.documents import (
    DocumentUnreadable,
    bytes_write_durably,
    document_pack,
    document_parse,
    document_unpack,
    document_verify,
    file_path,
    files_list,
)

CONTENT = {"format": 1, "venue": "toyvenue01", "seq": 7, "tables": {"orders": {"rows": 2, "bytes": b"\x00\x01" * 500}}}


def packed() -> dict:
    """Return a sealed document."""
    return document_pack(CONTENT, {"created_us": 5})


def test_document_survives_json_with_its_keys_in_any_order():
    """What went through a file, or through JSONB, which keeps no order of keys, gives the same bytes again."""
    content = orjson.dumps(packed(), option=orjson.OPT_SORT_KEYS)
    document = document_parse(content, "toyvenue01")
    assert document_unpack(document)["tables"]["orders"]["bytes"] == b"\x00\x01" * 500
    assert len(content) < 600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seq": 8}, "digest"),
        ({"extra": 1}, "digest"),
        ({"venue": "othervenue"}, "venue othervenue"),
        ({"format": 2}, "format is 2"),
        ({"tables": {}}, "digest"),
    ],
)
def test_changed_document_is_not_believed(change, words):
    """Any change is noticed, and named."""
    with pytest.raises(DocumentUnreadable, match=words):
        document_verify({**packed(), **change}, "toyvenue01")


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"format":1', b"\xff\xfe"])
def test_what_is_no_document_is_refused(content):
    """Bytes of any kind give an answer, never another error."""
    with pytest.raises(DocumentUnreadable):
        document_parse(content, None)


def test_files_are_listed_newest_first_and_by_number(tmp_path):
    """Only whole snapshot files count; 1000 is newer than 999."""
    assert files_list(tmp_path / "nothing") == []
    for name in ("snapshot-999.json", "snapshot-1000.json", ".snapshot-2000.json.17", "snapshot-x.json", "notes"):
        (tmp_path / name).write_bytes(b"{}")
    assert [seq for seq, _ in files_list(tmp_path)] == [1_000, 999]
    bytes_write_durably(file_path(tmp_path, 1_001), b"{}")
    assert files_list(tmp_path)[0] == (1_001, tmp_path / "snapshot-1001.json")
