"""
A snapshot's document: the same JSON in the file, in the row and in the keyframes.

The core gives the tables as bytes and both hashes; here they are packed (zstd level 1, base64) and sealed by a digest
over everything, so that a document is believed as a whole or not at all.
"""

import base64
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import orjson

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT_VERSION = 1
ZSTD_LEVEL = 1
FILE_NAME = re.compile(r"snapshot-([0-9]{1,18})\.json")
BORDER_NAME = re.compile(r"border-([0-9]{1,18})\.json")  # where newer rules begin; never removed
FILES_KEPT = 3


class DocumentUnreadable(Exception):
    """This snapshot cannot be believed; the text says why."""


def document_pack(content: dict[str, Any], frame: dict[str, Any]) -> dict[str, Any]:
    """Return the sealed document of the core's content (place, hashes, summary, tables) inside the shell's frame."""
    tables = {
        name: {
            **{field: value for field, value in table.items() if field != "bytes"},
            "packed": base64.b64encode(zstd.compress(table["bytes"], ZSTD_LEVEL)).decode(),
        }
        for name, table in content["tables"].items()
    }
    document = {**frame, **content, "tables": tables}
    document["digest"] = document_digest(document)
    return document


def document_digest(document: dict[str, Any]) -> str:
    """Return the digest over everything but itself; the order of keys does not count (JSONB keeps none)."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.blake2b(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS), digest_size=32).hexdigest()


def document_verify(document: Any, venue: str | None) -> dict[str, Any]:
    """Return the document when its format, venue and seal are right; raises DocumentUnreadable."""
    if not isinstance(document, dict):
        raise DocumentUnreadable("it is not a JSON object")
    if document.get("format") != FORMAT_VERSION:
        raise DocumentUnreadable(f"its format is {document.get('format')}, this build reads {FORMAT_VERSION}")
    if venue is not None and document.get("venue") != venue:
        raise DocumentUnreadable(f"it is of the venue {document.get('venue')}, not of {venue}")
    if document.get("digest") != document_digest(document):
        raise DocumentUnreadable("its digest does not match: it was changed or cut")
    return document


def document_parse(content: bytes, venue: str | None) -> dict[str, Any]:
    """Return the verified document of a file's bytes; raises DocumentUnreadable."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise DocumentUnreadable(f"it is not JSON: {error}") from None
    return document_verify(document, venue)


def document_unpack(document: dict[str, Any]) -> dict[str, Any]:
    """Return the content as the core restores it; raises DocumentUnreadable when a table cannot be unpacked."""
    tables = {}
    for name, table in document["tables"].items():
        try:
            unpacked = zstd.decompress(base64.b64decode(table["packed"], validate=True))
        except (ValueError, KeyError, zstd.ZstdError) as error:
            raise DocumentUnreadable(f"table {name} cannot be unpacked: {error}") from None
        tables[name] = {**table, "bytes": unpacked}
    return {**document, "tables": tables}


def file_path(folder: Path, seq: int) -> Path:
    """Return the path of the snapshot at this seq."""
    return folder / f"snapshot-{seq}.json"


def border_path(folder: Path, seq: int) -> Path:
    """Return the path of the border snapshot at this seq."""
    return folder / f"border-{seq}.json"


def files_list(folder: Path, name: re.Pattern[str] = FILE_NAME) -> list[tuple[int, Path]]:
    """Return seq and path of the snapshot files, or of those with another kind of name, the newest first."""
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        match = name.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path))
    return sorted(found, reverse=True)


def bytes_write_durably(path: Path, content: bytes) -> None:
    """Return when the file holds the content for good: a temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
