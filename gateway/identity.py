"""Which 128 bits name a request: the caller's key, the caller's order name, or a fresh UUIDv7; pure but for chance."""

import hashlib
import re
import secrets
from collections.abc import Callable

from gateway.errors import GatewayCode, Refusal

KEY_PATTERN = "^[!-~]([ -~]{0,62}[!-~])?$"  # of an Idempotency-Key, as JSON Schema says it too
_KEY = re.compile(KEY_PATTERN[1:-1], re.ASCII)
_HEX = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DASHED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
# 2020 to 2100: a "UUIDv7" outside is 32 digits that look like one by accident.
_V7_FIRST_MS = 1_577_836_800_000
_V7_LAST_MS = 4_102_444_800_000


def request_id_fresh(now_us: int, randbits: Callable[[int], int] = secrets.randbits) -> str:
    """Return a new UUIDv7 as 32 hex digits."""
    milliseconds = now_us // 1_000
    assert 0 < milliseconds < 1 << 48
    bits = milliseconds << 80 | 0x7 << 76 | randbits(12) << 64 | 0b10 << 62 | randbits(62)
    return f"{bits:032x}"


def request_id_of_key(key: str) -> str:
    """
    Return the request id that an Idempotency-Key names; the same key always names the same id.

    A UUIDv7 is taken as it is, because the engine reads its time. Everything else becomes a digest in the form of a
    UUIDv8, which no digest can leave: taken as a UUIDv7 by accident it would be too old. An id of this form, handed
    out by us before, is taken as it is, so that sending again under the id of an answer is a repeat.
    """
    if _KEY.fullmatch(key) is None:
        raise Refusal(GatewayCode.IDEMPOTENCY_KEY_INVALID)
    plain = key.lower().replace("-", "") if _DASHED.fullmatch(key.lower()) else key
    if _HEX.fullmatch(plain) and plain[16] in "89ab":
        if plain[12] == "8":
            return plain
        if plain[12] == "7" and _V7_FIRST_MS <= int(plain[:12], 16) < _V7_LAST_MS:
            return plain
    return _digest(b"idempotency key", key)


def request_id_of_order(op: str, client_order_id: str) -> str:
    """Return the request id of an order that carries the caller's own name for it."""
    return _digest(b"client order id", f"{op} {client_order_id}")


def request_id_of_signature(signature: bytes) -> str:
    """Return the request id of a signed request that names none: sent again as it is, it is a repeat."""
    return _digest(b"signature", signature.hex())


def request_ids_of_path(text: str) -> list[str]:
    """Return the ids that an address may mean: as it is written, and as a key."""
    ids = [text] if _HEX.fullmatch(text) else []
    derived = request_id_of_key(text)
    return ids if derived in ids else [*ids, derived]


def _digest(domain: bytes, text: str) -> str:
    """Return 122 bits of a digest as a UUIDv8."""
    raw = bytearray(hashlib.blake2b(text.encode("ascii"), digest_size=16, person=domain[:16]).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()
