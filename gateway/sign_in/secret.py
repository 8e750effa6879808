"""
The secret file -> the keys made of it: session keys by kid, and the venue key that names owners; pure but for one read.

The file holds one key a line, hex, at least 32 bytes; the first signs, all are accepted, so that a key is replaced by
putting a new one in front and dropping the old one a week later. Before dropping the last line, keep its key as
`owner HEX`: the venue key must stay, because accounts are found by it.
"""

import hashlib
import hmac
import re
from pathlib import Path
from typing import NamedTuple

SECRET_BYTES_MIN = 32
_LINE = re.compile(r"(owner )?([0-9a-fA-F]{2,})", re.ASCII)


class SecretError(Exception):
    """The secret file cannot be used; the text says why and shows none of it."""


class Secrets(NamedTuple):
    """The keys of one venue."""

    sessions: dict[str, bytes]  # kid -> key; the first signs
    owner: bytes

    def kid_signing(self) -> str:
        """Return the key id that signs."""
        return next(iter(self.sessions))


def secrets_read(path: Path, venue: str) -> Secrets:
    """Return the keys in the secret file for one venue; raises SecretError."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"the secret file {path} cannot be read: {type(error).__name__}") from None
    return secrets_of_text(text, venue, str(path))


def secrets_of_text(text: str, venue: str, name: str = "the secret") -> Secrets:
    """Return the keys in a secret's text for one venue; raises SecretError."""
    sessions: dict[str, bytes] = {}
    owner = b""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        raw = bytes.fromhex(match[2]) if match and len(match[2]) % 2 == 0 else b""
        if match is None or len(raw) < SECRET_BYTES_MIN:
            raise SecretError(f"{name}, line {number}: not at least {SECRET_BYTES_MIN} bytes in hex")
        if match[1]:
            owner = raw
        else:
            sessions[hashlib.sha256(b"kid " + raw).hexdigest()[:12]] = _derive(raw, "session", venue)
            last = raw
    if not sessions:
        raise SecretError(f"{name} holds no key")
    return Secrets(sessions, _derive(owner or last, "owner", venue))


def email_digest(owner_key: bytes, address: str) -> bytes:
    """Return HMAC(venue key, address): 32 bytes that name a person without telling who it is."""
    return hmac.digest(owner_key, address.encode(), "sha256")


def owner_of_digest(digest: bytes) -> str:
    """Return the 128 bits, as hex, by which the engine knows the owner of an account."""
    return digest[:16].hex()


def _derive(key: bytes, purpose: str, venue: str) -> bytes:
    """Return a key of its own for one purpose and one venue."""
    return hmac.digest(key, f"tidemark {purpose} {venue}".encode(), "sha256")
