"""
Replies in the protocol of Redis, sound and spoilt, and a slow reader that says where each ends: the oracle of the fast.

The oracle reads whole bytes, one value after the other, and keeps to the same limits as the compiled walks.
"""

import random
from enum import Enum

from engine.link_replies import DIGITS_MAX, LINE_BYTES_MAX

SIGNS = b'0123456789*$+-:"{},\r\n x\x00\xff'
LENGTHS = (b"-1", b"0", b"00", b"-2", b"1", b"7", b"999999999999", b"9999999999999", b"", b"-", b"1 ", b"+1", b"1e3")


class End(Enum):
    """What there is instead of a place where a reply ends."""

    MISSING = 1
    RUBBISH = 2


def reply(chance: random.Random, depth: int = 0) -> bytes:
    """Return one reply of any kind."""
    way = chance.randrange(8 if depth < 3 else 5)
    if way == 0:
        return b"+%b\r\n" % chance.choice((b"OK", b"QUEUED", b"", b"a b", b"x" * chance.randrange(300)))
    if way == 1:
        return b"-ERR %b\r\n" % text(chance).replace(b"\r", b"").replace(b"\n", b"")
    if way == 2:
        return b":%d\r\n" % chance.choice((0, -1, chance.getrandbits(62), -chance.getrandbits(62)))
    if way == 3:
        return chance.choice((b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$0\r\n\r\n"))
    if way == 4:
        content = text(chance)
        return b"$%d\r\n%b\r\n" % (len(content), content)
    parts = [reply(chance, depth + 1) for _ in range(chance.choice((0, 1, 2, 3, 12)))]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def text(chance: random.Random) -> bytes:
    """Return a text of any bytes."""
    return bytes(chance.choice(SIGNS) for _ in range(chance.choice((0, 1, 2, 5, 30, 200))))


def spoilt(chance: random.Random, raw: bytes) -> bytes:
    """Return replies with one thing about their bytes changed."""
    at, way = chance.randrange(len(raw) + 1), chance.randrange(6)
    if way == 0:
        return raw[:at]
    if way == 1:
        return raw[:at] + raw[at + 1 :]
    if way == 2:
        return raw[:at] + bytes([chance.choice(SIGNS)]) + raw[at + 1 :]
    if way == 3:
        return raw[:at] + bytes([chance.choice(SIGNS)]) + raw[at:]
    if way == 4:
        return raw[:at] + raw[chance.randrange(len(raw) + 1) :]
    marks = [place for place in range(len(raw)) if raw[place] in b"*$:" and raw[place - 2 : place] in (b"", b"\r\n")]
    if not marks:
        return raw
    mark = chance.choice(marks) + 1
    line_end = raw.find(b"\r\n", mark)
    return raw[:mark] + chance.choice(LENGTHS) + raw[line_end:]


def end_of(raw: bytes, at: int, count: int) -> int | End:
    """Return the place after so many replies, or why there is none."""
    while count > 0:
        line_end = raw.find(b"\r\n", at)
        mark, line = raw[at : at + 1], raw[at + 1 : line_end]
        if not mark:
            return End.MISSING
        if mark in b"+-":
            if line_end < 0 or line_end == at:
                return End.RUBBISH if len(raw) - at > LINE_BYTES_MAX + 1 else End.MISSING
            at, count = line_end + 2, count - 1
            continue
        if mark not in b":$*":
            return End.RUBBISH
        if line_end < 0:
            return end_of_line(raw[at + 1 :], 19 if mark == b":" else DIGITS_MAX)
        digits = line.removeprefix(b"-")
        if not digits.isdigit() or len(digits) > (19 if mark == b":" else DIGITS_MAX):
            return End.RUBBISH
        at, number = line_end + 2, int(line)
        if mark == b":":
            count -= 1
        elif line.startswith(b"-"):
            if number != -1:
                return End.RUBBISH
            count -= 1
        elif mark == b"*":
            count += number - 1
        elif len(raw) < at + number + 2:
            return End.MISSING
        elif raw[at + number : at + number + 2] != b"\r\n":
            return End.RUBBISH
        else:
            at, count = at + number + 2, count - 1
    return at


def end_of_line(rest: bytes, digits_max: int) -> End:
    """Return whether a number's line that has not come whole can still become one."""
    digits = rest.removesuffix(b"\r").removeprefix(b"-")
    if not digits:
        return End.MISSING
    return End.MISSING if digits.isdigit() and len(digits) <= digits_max else End.RUBBISH
