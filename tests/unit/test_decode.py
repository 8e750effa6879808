"""engine/decode: tables complete and true to those of shared, framing in any pieces, words at the edges of numbers."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.core.kernel import JIT
from engine.decode import programs, rows, scan, words
from engine.decode.feed import price_read
from engine.decode.programs import CHOICES, LITERAL, OPS_LEFT, PROGRAMS, STEPS
from shared.codes import Op
from shared.records import NAME_WORDS
from shared.stream_keys import Entry, log_id
from shared.units import decimal_parse, decimal_parse_long, words_of_text
from shared.wire_instructions import KEYS, OPERATIONS, OPERATOR_OPS
from shared.wire_values import Shape
from tests.property.canonical_inputs import feed_entry, history, reply_of, roomy
from tests.property.instruction_inputs import instruction

ROOT = Path(__file__).resolve().parents[2]
interpreted = pytest.mark.skipif(JIT, reason="runs below, in a process without the compiler")


def text_of(literal: np.ndarray) -> bytes:
    """Return the bytes that a literal stands for."""
    count = int(literal[scan.LENGTH])
    return b"".join(int(word).to_bytes(8, "big", signed=True) for word in literal[:8:2])[:count]


def test_every_operation_is_a_program_or_named() -> None:
    """Each operation has one program with its name and all of its keys in canonical order, or is an exception."""
    found = {Op(row[programs.PROGRAM_OP]): row for row in PROGRAMS}
    assert len(found) == len(PROGRAMS)
    assert set(found) | OPS_LEFT == set(Op) - {Op.NONE}
    assert not set(found) & OPS_LEFT
    for op, row in found.items():
        steps = STEPS[row[programs.PROGRAM_STEP] : row[programs.PROGRAM_STEP_END]]
        keys, required = OPERATIONS[op]
        assert text_of(row) == b'"%s"' % op.name.lower().encode()
        assert [text_of(step) for step in steps] == [b',"%s":' % key.encode() for key in keys]
        assert [key for key, step in zip(keys, steps, strict=True) if step[programs.STEP_REQUIRED]] == [
            key for key in keys if key in required
        ]
        assert bool(row[programs.PROGRAM_OPERATOR]) == (op in OPERATOR_OPS)


def test_only_the_second_leg_is_left() -> None:
    """Of the keys of all programs one alone can be read by shared.wire only."""
    left = {name for op in set(KEYS) - OPS_LEFT for name, key in KEYS[op][0].items() if key.shape == Shape.OTHER}
    assert left == {"oco"}


def test_choices_are_the_words_of_the_tables() -> None:
    """Every step with words has those of its key, and what each of them stands for."""
    for op in set(KEYS) - OPS_LEFT:
        [row] = [row for row in PROGRAMS if row[programs.PROGRAM_OP] == op]
        steps = STEPS[row[programs.PROGRAM_STEP] : row[programs.PROGRAM_STEP_END]]
        for key, step in zip(KEYS[op][0].values(), steps, strict=True):
            choices = CHOICES[step[programs.STEP_CHOICE] : step[programs.STEP_CHOICE_END]]
            told = {text_of(choice)[1:-1].decode(): int(choice[LITERAL]) for choice in choices}
            if key.shape == Shape.CHOICE:
                assert told == dict(key.choices)
            elif key.shape != Shape.CHILD:
                assert not told


def test_heads_are_those_of_the_log() -> None:
    """What the compiled reader takes for the head of an entry is what Redis answers in front of its number."""
    for seq in (1, 9, 10, 99_999, 10**17):
        raw = reply_of([Entry(seq, [(b"x", b"x")])])
        digits = len(str(seq))
        assert raw.startswith(text_of(rows.HEADS[digits]) + b"%d" % seq)
        assert text_of(rows.HEADS[digits]).endswith(log_id(seq)[:-digits])


def drawn(seed: int, count: int) -> list[Entry]:
    """Return entries of every form, whole and spoilt."""
    chance = random.Random(seed)
    entries = history(seed, count)
    makers = (instruction, feed_entry, lambda _: entries[chance.randrange(count)].fields)
    return [Entry(seq, chance.choice(makers)(chance)) for seq in range(1, count + 1)]


def test_entries_may_come_in_pieces() -> None:
    """However the bytes arrive, and whatever stands behind them, the entries are found where they are."""
    chance = random.Random(7)
    for seed in range(3):
        entries = drawn(seed, 12)
        raw = reply_of(entries)
        expected = np.cumsum([0, *(len(reply_of([entry])) for entry in entries)])
        for _ in range(8):
            bytes_now = roomy(bytes(chance.randrange(256) for _ in range(len(raw))))
            places = np.full(len(entries) + 1, -1, np.int64)
            walked, at, end = 0, 0, 0
            while walked < len(entries):
                more = chance.choice((1, 7, 60, 400))
                bytes_now[end : min(len(raw), end + more)] = np.frombuffer(raw[end : end + more], np.uint8)
                end = min(len(raw), end + more)
                walked, at = rows.entries_walk(bytes_now, at, end, walked, len(entries), places)
                assert at == expected[walked] <= end, "a whole entry is known at once, and no other"
                assert walked == len(entries) or end < expected[walked + 1]
            assert (places == expected).all()


@pytest.mark.parametrize("cut", range(1, 60))
def test_broken_frames_are_told(cut: int) -> None:
    """A byte of the frame that cannot be is told as soon as it is there, however much follows."""
    raw = bytearray(reply_of([Entry(1, [(b"ts", b"1"), (b"note", b"x")])]))
    frame = bytes(raw)
    if cut >= len(frame) or frame[cut] not in b"*$\r\n":
        return
    raw[cut] = ord("x")
    places = np.zeros(2, np.int64)
    walked = [rows.entries_walk(roomy(bytes(raw[:end])), 0, end, 0, 1, places)[0] for end in range(len(raw) + 1)]
    assert walked[: cut + 1] == [0] * (cut + 1)
    assert -1 in walked[cut + 1 :] and 1 not in walked


NUMBERS = ("0", "7", "10", "12345678", "123456789", "1234567890123456", "999999999999999999", "12345678901234567")
DECIMALS = (
    *NUMBERS[:5], "0.5", "0.1234567", "0.12345678", "123456789012345.123456789012", "99999999.99999999",
    "-1", "-0.000000000001", "1.1234567890123", "123456789012345.9999999999999", "0.10", "60000.1",
)  # fmt: skip


@interpreted
@pytest.mark.parametrize("end", [b'"', b",", b"}", b"x", b"\r\n", b"\xff"])
def test_numbers_are_read_to_their_end(end: bytes) -> None:
    """A number of any length is what Python makes of it, and ends where its digits do."""
    for text in NUMBERS:
        raw = roomy(text.encode() + end)
        assert scan.number_read(raw, 0) == (int(text), len(text))
    for text in ("", "00", "01", "x", "1000000000000000000", "9" * 30, "-1"):
        assert scan.number_read(roomy(text.encode() + end), 0)[1] == -1


@interpreted
@pytest.mark.parametrize("text", DECIMALS)
def test_decimals_are_those_of_shared(text: str) -> None:
    """A decimal is what shared.units makes of it, or none where it has more than twelve decimals."""
    raw = roomy(text.encode() + b'"')
    row = np.zeros(2, np.int64)
    units, e12, after = scan.decimal_parse(raw, 0)
    assert ((units, e12) if after == len(text) else None) == decimal_parse(text)
    assert price_read(raw, 0, row, np.int64(0)) == len(text)
    assert tuple(row.tolist()) == decimal_parse_long(text)


@interpreted
def test_texts_end_where_no_text_is() -> None:
    """A text's words are shared.units', and it ends at any byte that would need an escape or is no ASCII."""
    for length in range(1, 8 * NAME_WORDS + 1):
        text = (
            "".join(chr(32 + (7 * length + index) % 95) for index in range(length)).replace('"', "a").replace("\\", "b")
        )
        for stop in (*range(32), 34, 92, *range(127, 256)):
            row = np.zeros(NAME_WORDS, np.int64)
            after = scan.text_read(roomy(text.encode() + bytes([stop])), 0, row, 0, NAME_WORDS)
            assert after == length
            assert row.tolist() == words_of_text(text, NAME_WORDS)


@interpreted
def test_hex_digits_are_all_and_only_lower_case() -> None:
    """Thirty-two hex digits are two words; any other byte anywhere among them is refused."""
    digits = b"0123456789abcdef" * 2
    row = np.zeros(2, np.int64)
    assert scan.hex_read(roomy(digits), 0, row, np.int64(0)) == 32
    assert row.tolist() == [0x0123456789ABCDEF, 0x0123456789ABCDEF]
    for place in (0, 7, 8, 19, 31):
        for byte in set(range(256)) - set(digits):
            spoilt = digits[:place] + bytes([byte]) + digits[place + 1 :]
            assert scan.hex_read(roomy(spoilt), 0, row, np.int64(0)) == -1


@interpreted
def test_words_are_bytes_in_their_order() -> None:
    """A word is eight bytes, the first one highest, and its first mark and its place are found as anyone would."""
    chance = random.Random(1)
    raw = np.frombuffer(bytearray(chance.randbytes(200)), np.uint8)
    for at in range(len(raw) - 8):
        assert words.word_load(raw, at) == int.from_bytes(raw[at : at + 8].tobytes(), "big", signed=True)
    for count in range(9):
        marked = bytes(count) + b"\x10\x00\xff"[: 8 - count]
        assert words.leading(np.int64(int.from_bytes(marked.ljust(8, b"\0")[:8], "big", signed=True))) == count
    assert [at for at in range(-5, 205) if words.inside(raw, at)] == list(range(200 - words.AHEAD + 1))


@pytest.mark.skipif(not JIT, reason="it would start itself")
def test_primitives_without_the_compiler() -> None:
    """What no compiled test can call from here holds in a process without the compiler, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True,
        text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
