"""
Bytes packed with gzip, for whoever takes that; pure.

Packed is what everybody may see, and it alone: the length of a packed answer tells of what stands in it.
"""

import gzip

ONCE, EACH = 9, 3  # how hard to pack what is packed once, and what is packed for each answer
BYTES_MIN = 1_024  # of an answer that is worth packing


def gzip_taken(accepted: str) -> bool:
    """Return whether the header Accept-Encoding allows gzip."""
    weights = {}
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        weights[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return weights.get("gzip", weights.get("*", False))


def packed(content: bytes, level: int = ONCE) -> bytes | None:
    """Return the bytes packed, always into the same, None where that gains nothing."""
    shorter = gzip.compress(content, level, mtime=0)
    return shorter if len(shorter) < len(content) else None
