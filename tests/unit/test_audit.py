"""persister/audit.py without servers: which events are outcomes, what they chain to, where instructions come from."""

import asyncio
import hashlib
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persister.audit import Instructions, answered_of, audit_rows, chain_first, chain_next
from shared.stream_keys import Entry, EventsEntry, Keys
from tests import persister_doubles as events
from tests.archive_house import VENUE, writer
from tests.persister_doubles import ListLog

RESPONSE = '{"e":"order_response","account":101,"request_id":"ab","op":"order_place","result":"OK"}'


def entry(data: bytes, seq: int = 5) -> EventsEntry:
    """Return an events entry."""
    return EventsEntry(seq, 0, 7_000, b"", b"", data)


def instruction(seq: int) -> Entry:
    """Return an instruction of the log."""
    return Entry(seq, [(b"ts", b"%d" % (1_000 + seq)), (b"user_instruction", b'{"v":1,"n":%d}' % seq)])


class LogHeld:
    """A log that holds some entries."""

    def __init__(self, *seqs: int) -> None:
        self.held = {seq: instruction(seq) for seq in seqs}
        self.asked: list[list[int]] = []

    async def log_entries(self, _keys: Keys, seqs: list[int]) -> dict[int, Entry]:
        """Return what is held of these."""
        self.asked.append(seqs)
        return {seq: self.held[seq] for seq in seqs if seq in self.held}


async def inline(function: Any, *arguments: Any) -> Any:
    """Run at once."""
    return function(*arguments)


def instructions(log: LogHeld, folder: Path | None) -> Instructions:
    """Return what gives instructions."""
    return Instructions(log, Keys(VENUE), folder, ListLog(), inline)


def test_the_outcome_is_what_was_published() -> None:
    """An outcome keeps its bytes, blanks and order included; other events and accounts' fields do not matter."""
    odd = RESPONSE.replace('"op":', ' "op" : ').replace("101", " 101 ")
    data = f'[{{"e":"fill","account":1}},{odd},{{"e":"note","text":"\\"order_response\\""}}]'.encode()
    [found] = answered_of(entry(data))
    assert (found.response, found.place, found.account_id) == (odd, 1, 101)
    assert (found.request_id, found.op, found.result) == ("ab", "order_place", "OK")


@pytest.mark.parametrize(
    "data",
    [b"", b"[", b"{}",
     b'["order_response","\xff"]', b'[{"e":"order_response","x":"\xff"}]',
     b'["order_response"]', b'[{"e":"order_response"}]',
     RESPONSE.replace("101", '"101"').join("[]").encode(), RESPONSE.replace('"OK"', "7").join("[]").encode(),
     RESPONSE.replace('"ab"', "null").join("[]").encode(), RESPONSE.replace("101", "true").join("[]").encode()],
)  # fmt: skip
def test_what_is_no_outcome_is_none(data: bytes) -> None:
    """Rubbish, other shapes and other types give no row and no fault."""
    assert list(answered_of(entry(data))) == []


def test_the_chain_is_as_written_down() -> None:
    """The chain is the hash that docs/operations.md names, over the bytes that it names."""
    first = hashlib.blake2b(b"venue1", digest_size=32).digest()
    assert chain_first("venue1") == first
    content = first + struct.pack(">Q", 7) + struct.pack(">I", 2) + b"ab" + struct.pack(">I", 3) + b"xyz"
    assert chain_next(first, 7, b"ab", "xyz") == hashlib.blake2b(content, digest_size=32).digest()


@given(st.tuples(st.integers(0, 9), st.none() | st.binary(max_size=4), st.text("ab", max_size=4)),
       st.tuples(st.integers(0, 9), st.none() | st.binary(max_size=4), st.text("ab", max_size=4)))  # fmt: skip
def test_different_rows_chain_differently(
    one: tuple[int, bytes | None, str], two: tuple[int, bytes | None, str]
) -> None:
    """No byte can move between instruction and response, and an absent instruction is not an empty one."""
    chain = chain_first(VENUE)
    assert (chain_next(chain, *one) == chain_next(chain, *two)) == (one == two)
    assert chain_next(chain, one[0], None, one[2]) != chain_next(chain, one[0], b"", one[2])


def test_instructions_come_from_the_log_then_from_the_archive(tmp_path: Path) -> None:
    """What the log no longer holds is read in the archive; what neither holds is absent, and said once."""
    files = writer(tmp_path)
    files.append([instruction(seq) for seq in range(1, 31)])
    log = LogHeld(25, 26, 40)
    given = instructions(log, tmp_path)

    async def scene() -> None:
        for seqs in ([3, 5, 25], [7, 30, 40], [2, 26], [31, 99]):
            found = await given.of(seqs)
            assert found == {seq: instruction(seq) for seq in seqs if seq <= 30 or seq == 40}

    asyncio.run(scene())
    assert given.log.named("audit_without_instruction") == [{"seq": 31, "count": 2}]
    files.append([instruction(31)])
    assert asyncio.run(given.of([31, 98])) == {31: instruction(31)}, "what was archived meanwhile is found"
    assert len(given.log.named("audit_without_instruction")) == 1
    files.close()


def test_a_damaged_archive_is_said_and_waited_for_by_nobody(tmp_path: Path) -> None:
    """History goes on without the instructions that a damaged archive held."""
    files = writer(tmp_path, bytes_max=1)
    files.append([instruction(1)])
    files.close()
    [path] = (tmp_path / VENUE).glob("log-*")
    path.write_bytes(path.read_bytes()[:-1])
    given = instructions(LogHeld(2), tmp_path)
    assert asyncio.run(given.of([1, 2])) == {2: instruction(2)}
    assert path.name in given.log.named("audit_without_archive")[0]["error"]


def test_rows_name_what_was_asked_and_answered() -> None:
    """A row has seq, both times, who asked what with which id, the instruction's bytes and the response's."""
    answered = events.response(101, "ab", "OK", order_id=3)
    entries = [entry(orjson.dumps([answered]), seq) for seq in (5, 6)]
    rows = asyncio.run(audit_rows(VENUE, entries, instructions(LogHeld(5), None)))
    text = orjson.dumps(answered).decode()
    assert [row for _, row in rows] == [
        (VENUE, 5, 1_005, 7_000, 101, "ab", "user_instruction", "order_place", b'{"v":1,"n":5}', "OK", text),
        (VENUE, 6, 0, 7_000, 101, "ab", "", "order_place", None, "OK", text),
    ]
    log = LogHeld()
    assert asyncio.run(audit_rows(VENUE, [entry(b"[]")], instructions(log, None))) == [] and log.asked == []
