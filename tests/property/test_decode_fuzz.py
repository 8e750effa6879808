"""The fuzz of the wire in short, and that it would find what it looks for; decode_fuzz.py runs as long as one likes."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.core.kernel import JIT
from shared.stream_keys import Entry
from tests.property import decode_fuzz, wire_checks
from tests.property.coverage_guide import corpus_read, guide
from tests.property.instruction_inputs import TS_US, members_of
from tests.property.resp_inputs import End, end_of

INPUTS = 24_000 if JIT else 1_500
TICK = [(b"ts", b"%d" % TS_US), (b"clock_tick", b"{}")]


def test_fast_and_plain_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thousands of entries, event records, replies and answers in pieces come out alike; a second run has no blocks."""
    words = ["--inputs", str(INPUTS), "--seed", "7", "--guided", "1", "--state", str(tmp_path / "fuzz.jsonl")]
    assert decode_fuzz.main(words) == 0, capsys.readouterr().out
    counts = wire_counts(capsys.readouterr().out)
    assert min(counts.values()) > 0
    assert set(counts) == set(wire_checks.CHECKS)
    assert decode_fuzz.main(words) == 0
    assert wire_counts(capsys.readouterr().out) == {}


def wire_counts(told: str) -> dict[str, int]:
    """Return how many inputs each check had."""
    counts: dict[str, int] = orjson.loads(told[told.index('{"inputs"') :].splitlines()[0])["counts"]
    return counts


@pytest.mark.skipif(JIT, reason="compiled code has no lines to follow")
def test_the_guide_keeps_what_reaches_new_lines(tmp_path: Path) -> None:
    """Traced, the readers take new steps for a while, and the inputs that led there are read back as they were."""
    tried, held, steps = guide(3, 2.0, tmp_path / "corpus")
    assert tried > held > 10
    assert steps > 200
    assert len(corpus_read(tmp_path / "corpus")) == held


@pytest.mark.parametrize("spoil", ["word", "gap", "tick"])
def test_a_difference_is_found(spoil: str) -> None:
    """A reader that is wrong in one word, number or tick does not pass."""
    entries = [Entry(seq, TICK) for seq in (1, 2)]
    expected = wire_checks.plain_read(entries, 0)
    wrong: dict[str, Any] = {
        "word": expected._replace(words=[expected.words[0], [*expected.words[1][:-1], 1]]),
        "gap": expected._replace(gap=(1, 3)),
        "tick": expected._replace(tick_seq=1),
    }
    wire_checks.list_check(entries, [b"1000000000000000-1", b"1000000000000000-2"], 0)
    with pytest.raises(wire_checks.Disagreement):
        wire_checks.same_or_raise(wrong[spoil], expected, "two ticks")


def test_the_oracle_reads_the_protocol() -> None:
    """The slow reader of replies says where they end, what is missing, and what is no protocol."""
    assert end_of(b"*2\r\n$1\r\na\r\n:-5\r\n+OK\r\n", 0, 2) == 21
    assert end_of(b"*2\r\n$1\r\na\r\n", 0, 1) is End.MISSING
    assert end_of(b"$3\r\nabcd\r\n", 0, 1) is End.RUBBISH
    assert end_of(b"$-2\r\n", 0, 1) is End.RUBBISH
    assert end_of(b"!5\r\n", 0, 1) is End.RUBBISH


def test_members_are_split_outside_of_what_is_nested() -> None:
    """A body is taken apart into its members whatever commas lie inside of them."""
    assert members_of(b'{"a":{"b":1,"c":[1,2]},"d":"x,y"}') == [b'"a":{"b":1,"c":[1,2]}', b'"d":"x,y"']
