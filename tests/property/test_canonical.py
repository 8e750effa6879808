"""engine/decode and engine/log_reply.py: the compiled reader gives the records of the ordinary one, or none."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from engine.core.kernel import JIT
from engine.ingest import Machine
from engine.log_reply import LogReply
from poller.backpack import FrameKind, frame_parse
from shared import genesis, wire
from shared.records import COMMAND_WORDS
from shared.refusal import Refusal
from shared.stream_keys import Entry, StreamsDown, log_id, restored_body
from tests.property.canonical_inputs import (
    TS_US,
    feed_entry,
    history,
    ordinary,
    replies_spoilt,
    reply_of,
    roomy,
    taken,
)

ROOT = Path(__file__).resolve().parents[2]
HISTORY = 40_000 if JIT else 400
SPOILT = 20_000 if JIT else 200


def reply(entries: list[Entry], ids: list[bytes] | None = None) -> LogReply:
    """Return the entries as a reply of Redis."""
    return LogReply(reply_of(entries, ids), 0, len(entries))


def test_both_readers_give_the_same_record() -> None:
    """Every record that the compiled reader gives equals the ordinary one's, whatever was done to the entries."""
    entries = history(1, HISTORY)
    expected = ordinary(entries)
    raw = reply_of(entries)
    found = taken(roomy(raw), len(raw), len(entries))
    assert found is not None
    words, left = found
    kept = np.setdiff1d(np.arange(len(entries)), left)
    different = kept[(words[kept] != expected[kept]).any(axis=1)]
    assert not different.size, entries[int(different[0])]
    assert len(kept) > HISTORY * 0.4, "the reader took hardly anything: nothing was compared"


def test_canonical_entries_are_all_taken() -> None:
    """What the poller writes is never left to the slow reader, but for prices too long for a record's words."""
    chance = random.Random(2)
    entries = [Entry(seq, feed_entry(chance)) for seq in range(1, HISTORY // 10)]
    raw = reply_of(entries)
    found = taken(roomy(raw), len(raw), len(entries))
    assert found is not None
    assert found[1] == []


def test_what_the_poller_appends_is_taken() -> None:
    """Frames of the exchange, in any order of keys, become entries that are never left to the slow reader."""
    chance = random.Random(8)
    entries = []
    for seq in range(1, 200):
        kind, body = feed_body(chance)
        data = orjson.loads(body)
        message = {"stream": f"{data['e']}.{data['s']}", "data": dict(chance.sample(list(data.items()), len(data)))}
        frame = frame_parse(orjson.dumps(message), {data["s"]})
        assert frame.kind != FrameKind.UNREADABLE, message
        fields = [(b"ts", b"%d" % (TS_US + seq)), (b"session", b"%016x" % seq), (kind, frame.body)]
        entries.append(Entry(seq, fields))
    raw = reply_of(entries)
    found = taken(roomy(raw), len(raw), len(entries))
    assert found is not None
    assert found[1] == []


def feed_body(chance: random.Random) -> tuple[bytes, bytes]:
    """Return the kind and the body of a quote or a mark."""
    while True:
        fields = feed_entry(chance)
        if fields[-1][0] != b"clock_tick":
            return fields[-1]


def test_a_batch_is_the_same_by_either_way() -> None:
    """A reply fills a batch with the records, parts and last tick that the entries themselves give."""
    entries = history(3, 400)
    instruction = b'{"v":1,"account":101,"request_id":"%032x","op":"batch","commands":[{"op":"account_reset"}]}' % 5
    for index in (7, 9, 300):
        entries[index] = Entry(index + 1, [(b"ts", b"%d" % TS_US), (b"user_instruction", instruction)])
    batch = wire.Batch(len(entries))
    filled = reply(entries).batch_fill(batch, 0)
    assert filled.gap is None
    plain = wire.Batch(len(entries))
    for entry in entries:
        plain.add(entry.seq, entry.fields)
    assert (batch.commands == plain.commands).all()
    assert (batch.parts == plain.parts).all()
    assert batch.count == plain.count
    ticks = [entry.seq for entry in entries if entry.fields and entry.fields[-1][0] == b"clock_tick"]
    assert filled.tick_seq == max(ticks)


def test_a_reply_reads_as_its_entries() -> None:
    """A reply is the sequence of the entries it was made of, by index, slice and iteration."""
    entries = history(4, 200)
    found = reply(entries)
    assert list(found) == entries
    assert found[-1] == entries[-1]
    assert found[3:17:2] == entries[3:17:2]
    assert len(found) == 200
    with pytest.raises(IndexError):
        found[200]


def test_spoilt_replies_are_refused_or_read_in_bounds() -> None:
    """A reply whose protocol is broken is no reply, or one whose entries can be read; nothing else happens."""
    walked = 0
    for raw in replies_spoilt(5, SPOILT):
        for count in (1, 2, 3):
            try:
                entries = list(LogReply(raw, 0, count))
            except (StreamsDown, ValueError):  # no reply; an id that is no id, as in the ordinary verb
                continue
            walked += 1
            assert len(entries) == count
    assert walked > SPOILT // 50


def test_no_bytes_lead_out_of_bounds() -> None:
    """Interpreted and with every index watched, the same code reads nothing outside of the bytes it was given."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.property.canonical_inputs", "6", "1500"],
        cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True,
        text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    kept, walked = map(int, done.stdout.split())
    assert kept > 500
    assert walked > 0


def founded() -> Machine:
    """Return a machine that has applied a genesis."""
    machine = Machine()
    machine.load([Entry(1, [(b"ts", b"%d" % TS_US), (b"genesis", orjson.dumps(genesis.default("venuevenue", None)))])])
    while machine.step() is not None:
        pass
    return machine


def ticks(seqs: list[int]) -> list[Entry]:
    """Return ticks of these numbers."""
    return [Entry(seq, [(b"ts", b"%d" % (TS_US + seq)), (b"clock_tick", b"{}")]) for seq in seqs]


@pytest.mark.parametrize("seqs", [[3], [2, 4], [2, 3, 3], [2, 3, 2], [2, 3, 5, 6], [1]])
def test_gaps_are_refused_as_ever(seqs: list[int]) -> None:
    """A number that does not follow is refused with the same numbers as in a list of entries."""
    refusals = []
    for entries in (ticks(seqs), reply(ticks(seqs))):
        with pytest.raises(Refusal) as caught:
            founded().load(entries)
        refusals.append((str(caught.value), caught.value.reason))
    assert refusals[0] == refusals[1]


def test_a_foreign_id_is_a_gap() -> None:
    """An id that no append of ours gave is refused with the same numbers by either way."""
    ids = [log_id(2), b"1000000000000001-3"]
    entries = [ticks([2])[0], ticks([(1 << 64) + 3])[0]]
    refusals = []
    for given in (entries, reply(entries, ids)):
        with pytest.raises(Refusal) as caught:
            founded().load(given)
        refusals.append(str(caught.value))
    assert refusals[0] == refusals[1]


def test_a_restored_range_is_stepped_over() -> None:
    """`restored` may stand behind a gap that it names; the feed goes on behind it on the fast path."""
    restored = Entry(9, [(b"ts", b"%d" % (TS_US + 9)), (b"restored", restored_body(4, 8))])
    entries = [*ticks([2, 3]), restored, *ticks([10, 11])]
    machines = [founded(), founded()]
    for machine, given in zip(machines, (entries, reply(entries)), strict=True):
        machine.load(given)
        while machine.step() is not None:
            pass
        assert machine.seq == 11
        assert machine.tick_seq == 11
    assert machines[0].hashes() == machines[1].hashes()
    words = [machine.batch.commands[:5].view(np.int64).reshape(-1, COMMAND_WORDS) for machine in machines]
    assert (words[0] == words[1]).all()
    assert machines[0].last_digest() == machines[1].last_digest()
