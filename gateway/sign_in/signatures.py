"""
Signed requests: what a program signs with its Ed25519 key, and the headers in which it says so; pure.

The text names everything that decides what a request does, one thing a line, so that nothing of it can be changed or
used for another venue, another address or another time.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

VERSION = "tidemark-v1"
HEADER_KEY = "tidemark-key"
HEADER_TIME = "tidemark-time"
HEADER_WINDOW = "tidemark-window"
HEADER_SIGNATURE = "tidemark-signature"
HEADERS = (HEADER_KEY, HEADER_TIME, HEADER_WINDOW, HEADER_SIGNATURE)
WINDOW_DEFAULT_MS = 5_000
WINDOW_MAX_MS = 60_000
AHEAD_MAX_US = 1_000_000
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
SOCKET_METHOD = "WS"
SOCKET_PATH = "/ws"

_TIME = re.compile(r"[0-9]{16}", re.ASCII)
_WINDOW = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_PRIME = 2**255 - 19
_CURVE_D = -121_665 * pow(121_666, -1, _PRIME) % _PRIME
# The y of the eight points of small order: under such a key, signatures can be made up by anybody.
_Y_EIGHTH = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _Y_EIGHTH, _PRIME - _Y_EIGHTH})


class Signed(NamedTuple):
    """What a caller says of the signature; nothing of it is believed yet."""

    key_id: str
    time_us: int
    window_ms: int
    signature: bytes


class Subject(NamedTuple):
    """What was signed, as it came in."""

    method: str
    target: bytes  # the raw path, with ? and the query where there is one
    idempotency_key: bytes = b""
    request_time: bytes = b""
    body: bytes = b""


SOCKET_SUBJECT = Subject(SOCKET_METHOD, SOCKET_PATH.encode())


def signed_read(key_id: str, time_us: str, window_ms: str, signature: str) -> Signed | None:
    """Return what four texts say of a signature, None when one of them has not its form; no window is the default."""
    window_ms = window_ms or str(WINDOW_DEFAULT_MS)
    if not (0 < len(key_id) <= 64 and key_id.isascii() and key_id.isalnum()):
        return None
    if _TIME.fullmatch(time_us) is None or _WINDOW.fullmatch(window_ms) is None or int(window_ms) > WINDOW_MAX_MS:
        return None
    raw = base64_read(signature, SIGNATURE_BYTES)
    return None if raw is None else Signed(key_id, int(time_us), int(window_ms), raw)


def signed_of_headers(values: Sequence[Sequence[str]]) -> Signed | None:
    """Return what the headers of HEADERS say, each with all its values; None when one is missing or comes twice."""
    key, time, window, signature = values
    if not (len(key) == len(time) == len(signature) == 1 and len(window) <= 1):
        return None
    return signed_read(key[0], time[0], "".join(window), signature[0])


def base64_read(text: str, length: int) -> bytes | None:
    """Return the bytes of a base64 text with its padding, None unless they are so many and written so."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    # Of several texts for the same bytes only one is taken.
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


def signing_text(venue: str, signed: Signed, subject: Subject) -> bytes:
    """Return the bytes that are signed: ten lines without a newline at the end."""
    return b"\n".join(
        (
            VERSION.encode(),
            venue.encode(),
            signed.key_id.encode(),
            b"%d" % signed.time_us,
            b"%d" % signed.window_ms,
            subject.method.encode(),
            subject.target,
            subject.idempotency_key,
            subject.request_time,
            hashlib.sha256(subject.body).hexdigest().encode(),
        )
    )


def in_window(signed: Signed, now_us: int) -> bool:
    """Return whether a signature is neither older than its window nor from a clock that is more than 1 s ahead."""
    return -AHEAD_MAX_US <= now_us - signed.time_us <= signed.window_ms * 1_000


def verifies(public_key: bytes, signature: bytes, text: bytes) -> bool:
    """Return whether the holder of the private half signed these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key_read(text: str) -> bytes | None:
    """Return the 32 bytes of a public key, None unless they are a point under which only its holder can sign."""
    raw = base64_read(text, PUBLIC_KEY_BYTES)
    if raw is None:
        return None
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if y >= _PRIME or y in _SMALL_ORDER:
        return None
    # x² = (y² - 1) / (d·y² + 1) must be a square; the divisor is never zero.
    square = (y * y - 1) * pow(_CURVE_D * y * y + 1, -1, _PRIME) % _PRIME
    return raw if pow(square, (_PRIME - 1) // 2, _PRIME) == 1 else None
