"""
Feed entries as the poller writes them, and spoilt in every way that a byte or a value can be; one history a seed.

Run as a module it proves, interpreted and with every index watched, that no such bytes lead the compiled reader's code
out of bounds, and that it takes what it takes as the ordinary reader does: `python -m tests.property.canonical_inputs`.
"""

import random
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.decode import rows
from engine.decode.words import AHEAD
from shared import wire
from shared.records import COMMAND_WORDS
from shared.stream_guard import pack
from shared.stream_keys import Entry, Fields, log_id
from tests.property.instruction_inputs import instruction, instruction_spoilt

VALUE = re.compile(rb':("[^"]*"|[^,}]+)')
TS_US = 1_767_225_600_000_000
PRICE = '{"A":"%s","B":"%s","E":%s,"T":%s,"a":"%s","b":"%s","e":"%s","s":"%s","u":%s}'
MARK = '{"E":%s,"T":%s,"e":"%s","f":"%s","i":"%s","n":%s,"p":"%s","s":"%s"}'
DECIMALS = (
    "0", "1", "-0", "-1.5", "60000.1", "0.000000000001", "999999999999999", "1000000000000000", "00.5", "01", "1.",
    ".5", "1e5", "1.5E-3", "1e400", "", "-", "--1", "+1", " 1", "1 ", "NaN", "1_0", "٣", "0.1234567890125",
    "0.1234567890135", "0.12345678901250000001", "999999999999999.9999999999995", "-0.0000000000005",
    "-0.9999999999999",
    "1.1234567890123456789012345678901234567890", "1.12345678901234567890123456789012345678901", '1","x":"2', "1\\n",
)  # fmt: skip
RATES = (
    "0", "-0", "1", "-1", "1.0000000001", "0.9999999999", "0.0000000005", "0.0000000015", "-0.00000000150", "2", "00.1",
    "0.00000000150000000000000000000000000001", "1e-5", "-0.5", "0.", "",
)  # fmt: skip
WHOLES = (
    "0", "7", "-1", "007", "1.0", "1e3", "999999999999999999", "1000000000000000000", "4611686018427387904",
    "4611686018427387905", "99999999999999999999999", '"5"', '"x"', "null", "true", "", "-0", " 5", "[]",
    "4102444800000", "4102444800001",
)  # fmt: skip
NAMES = ("", "A", "x" * 24, "x" * 25, "BTC\\u0041", 'a"b', "é", "tab\t", "\x7f", "a b~", "\\\\", "BTC_USDC_PERP")
STAMPS = (b"", b"0", b"1767225600000000", b"0767225600000000", b"17672256000000000", b"9999999999999999",
          b"4102444800000000", b"4102444800000001", b"1577836800000000", b"1577836799999999", b"+767225600000000",
          b"17672256000000x0")  # fmt: skip
SESSIONS = (b"", b"s", b"x" * 32, b"x" * 33, b"\x00", b"caf\xc3\xa9", b'q"\\uote', b"~ ~")


def decimal(chance: random.Random) -> str:
    """Return a price or size such as the outside venue writes, now and then with very many decimals."""
    whole, places = chance.randrange(chance.choice((1, 10, 100_000))), chance.choice((0, 1, 2, 5, 8, 12, 14, 28))
    text = f"{whole}"
    return text + "." + "".join(chance.choice("0123456789") for _ in range(places)) if places else text


def feed_entry(chance: random.Random) -> Fields:
    """Return one canonical entry."""
    stamp = (b"ts", b"%d" % (TS_US + chance.randrange(10**12)))
    kind = chance.randrange(7)
    if kind == 0:
        return [stamp, (b"clock_tick", b"{}")]
    session = (b"session", b"%016x" % chance.getrandbits(64))
    times = (chance.randrange(10**16), chance.randrange(10**16))
    market = chance.choice(("BTC_USDC_PERP", "SOL_USDC_PERP", "X"))
    if kind == 1:
        rate = chance.choice(("0.0000125", "-0.00003", "0.0000123456500000000000000000"))
        body = MARK % (*times, "markPrice", rate, decimal(chance), chance.randrange(10**12), decimal(chance), market)
        return [stamp, session, (b"mark_update", body.encode())]
    sizes, prices = (decimal(chance), decimal(chance)), (decimal(chance), decimal(chance))
    body = PRICE % (*sizes, *times, *prices, "bookTicker", market, chance.randrange(10**12))
    return [stamp, session, (b"price_update", body.encode())]


def value_spoilt(chance: random.Random, body: bytes) -> bytes:
    """Return a body with one of its values replaced by an odd one."""
    values = list(VALUE.finditer(body))
    if not values:
        return chance.choice((b"{ }", b"[]", b"", b'{"a":1}', b"{}\n", b"null"))
    value = chance.choice(values)
    quoted = value[1].startswith(b'"')
    odd = chance.choice((*DECIMALS, *RATES, *NAMES, *WHOLES) if quoted else WHOLES)
    if chance.random() < 0.2:
        quoted = not quoted
    whole = f'"{odd}"' if quoted else odd
    return body[: value.start(1)] + whole.encode() + body[value.end(1) :]


def bytes_spoilt(chance: random.Random, raw: bytes) -> bytes:
    """Return bytes with one of them changed, left out, doubled, or everything behind it cut."""
    at = chance.randrange(len(raw) + 1)
    way = chance.randrange(5)
    if way == 0:
        return raw[:at]
    if way == 1:
        return raw[:at] + raw[at + 1 :]
    sign = bytes([chance.choice((chance.randrange(256), *b'0123456789"{},:.-\r\n$* '))])
    return raw[:at] + sign + raw[at + (way == 2) :]


def fields_spoilt(chance: random.Random, fields: Fields) -> Fields:
    """Return the fields with one thing about them changed."""
    fields = list(fields)
    way = chance.randrange(8)
    index = chance.randrange(len(fields))
    name, value = fields[index]
    if way < 3:
        fields[-1] = (fields[-1][0], value_spoilt(chance, fields[-1][1]))
    elif way == 3:
        fields[index] = (name, bytes_spoilt(chance, value))
    elif way == 4:
        fields[index] = (bytes_spoilt(chance, name), value)
    elif way == 5:
        fields[index] = (name, chance.choice(STAMPS if name == b"ts" else SESSIONS if name == b"session" else (b"{}",)))
    elif way == 6:
        chance.shuffle(fields)
    else:
        fields.insert(index, chance.choice((fields[index], (b"session", b"s"), (b"note", b"x"))))
    return fields


def history(seed: int, count: int) -> list[Entry]:
    """Return entries numbered from 1 on, half of them as they should be."""
    chance = random.Random(seed)
    entries = []
    for seq in range(1, count + 1):
        fields = feed_entry(chance)
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            fields = fields_spoilt(chance, fields)
        entries.append(Entry(seq, fields))
    return entries


def reply_of(entries: list[Entry], ids: list[bytes] | None = None) -> bytes:
    """Return the entries as the server answers them, without the line that says how many there are."""
    parts = []
    for index, entry in enumerate(entries):
        flat = [part for pair in entry.fields for part in pair]
        stream_id = ids[index] if ids else log_id(entry.seq)
        parts.append(b"*2\r\n$%d\r\n%b\r\n%b" % (len(stream_id), stream_id, pack([flat])))
    return b"".join(parts)


def roomy(raw: bytes) -> np.ndarray:
    """Return bytes as an array with room behind them, which holds what would go on with the last entry."""
    return np.frombuffer(bytearray(raw + (b"0123456789abcdef" * AHEAD)[:AHEAD]), np.uint8)


def ordinary(entries: list[Entry]) -> np.ndarray:
    """Return the words of the entries' records as the ordinary reader gives them."""
    batch = wire.Batch(len(entries))
    for entry in entries:
        batch.add(entry.seq, entry.fields)
    return batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS)


def taken(raw: Any, end: int, count: int, first: int = 0, last_seq: int = 0) -> tuple[np.ndarray, list[int]] | None:
    """Return the words and the rows left out by the compiled reader, None when it takes the bytes for no entries."""
    places, left = np.zeros(count + 1, np.int64), np.zeros(count, np.int64)
    words = np.full((count, COMMAND_WORDS), -7, np.int64)  # whatever was there before
    if rows.entries_walk(raw, first, end, 0, count, places) != (count, end):
        return None
    left_count, _ = rows.rows_read(raw, places, count, last_seq, words, left)
    return words, left[:left_count].tolist()


class Watched:
    """Bytes that refuse to be read outside of themselves."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: int) -> int:
        assert 0 <= index < len(self.raw), f"byte {index} of {len(self.raw)}"
        return self.raw[index]


def replies_spoilt(seed: int, count: int) -> Iterator[bytes]:
    """Yield replies of a few entries with bytes of the protocol itself changed."""
    chance = random.Random(seed)
    for _ in range(count):
        raw = reply_of(history(chance.getrandbits(30), chance.randrange(1, 4)))
        for _ in range(chance.randrange(1, 4)):
            raw = bytes_spoilt(chance, raw)
        yield raw


def main(seed: int, count: int) -> None:
    """Read everything with every index watched; print how many rows the compiled reader's code took."""
    chance = random.Random(seed)
    entries = history(seed, count)
    for index in range(0, count, 2):
        fields = instruction(chance)
        entries[index] = Entry(index + 1, instruction_spoilt(chance, fields) if index % 3 else fields)
    expected = ordinary(entries)
    raw = reply_of(entries)
    found = taken(Watched(raw + bytes(AHEAD)), len(raw), count)
    assert found is not None
    words, left = found
    kept = np.setdiff1d(np.arange(count), left)
    assert (words[kept] == expected[kept]).all()
    # Without room behind their end, too.
    spoilt = [(raw, chance.choice((b"", bytes(AHEAD)))) for raw in replies_spoilt(seed, count)]
    walked = sum(taken(Watched(raw + room), len(raw), 2) is not None for raw, room in spoilt)
    print(len(kept), walked)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
