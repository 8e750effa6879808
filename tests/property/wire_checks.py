"""
What must hold of any bytes: the compiled code of the wire gives what the plain code gives, and the same in any pieces.

Each check makes its inputs of one seed, and returns how many there were; it raises Disagreement, showing the input.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.encode.encoded import EventEncoder
from engine.link import Frame, Link, Question, head_of
from engine.link_replies import RUBBISH, WHOLE, replies_walk, state_of
from engine.log_reply import LogReply
from shared.records import COMMAND_WORDS
from shared.stream_keys import Entry, Fields, StreamsError, follows, log_id
from shared.wire import Batch
from shared.wire_events import Encoder
from tests.property import event_inputs, resp_inputs
from tests.property.canonical_inputs import bytes_spoilt, feed_entry, fields_spoilt, reply_of
from tests.property.instruction_inputs import anything, instruction, instruction_spoilt
from tests.property.kept_checks import kept_check

LIST_MAX = 40
IDS_ODD = (b"1000000000000000-0", b"0-0", b"1000000000000001-5", b"01000000000000000-5", b"1000000000000000-05",
           b"1000000000000000-9223372036854775807", b"1000000000000000-18446744073709551615", b"5-1")  # fmt: skip
NAMES = ["BTC_USDC_PERP", "SOL_USDC_PERP"]


class Disagreement(AssertionError):
    """The two ways differ; the text shows the input."""


class Read(NamedTuple):
    """What became of some entries by one of the ways."""

    words: Any
    parts: bytes
    configs: bytes
    tick_seq: int
    gap: tuple[int, int] | None


def fields_of(chance: random.Random, corpus: Sequence[Fields] = ()) -> Fields:
    """Return the fields of one entry of any kind, half of them spoilt in one way or more."""
    roll = chance.random()
    if corpus and roll < 0.3:
        fields = chance.choice(corpus)
    else:
        maker = instruction if roll < 0.75 else feed_entry if roll < 0.95 else anything
        fields = maker(chance)
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        fields = (
            fields_spoilt(chance, fields) if chance.random() < 0.5 or not fields else instruction_spoilt(chance, fields)
        )
    return fields


def entries_check(seed: str, count: int, corpus: Sequence[Fields] = ()) -> int:
    """Compare the records, parts, configurations, ticks and gaps of so many entries, in lists of any length."""
    chance = random.Random(seed)
    done = 0
    while done < count:
        length = min(count - done, chance.randrange(1, LIST_MAX))
        last_seq = chance.choice((0, 0, 10**6, chance.randrange(10**12)))
        seqs = [last_seq + 1 + index for index in range(length)]
        if chance.random() < 0.1:
            seqs[chance.randrange(length)] += chance.choice((-2, -1, 1, 2, 10**9))
        entries = [Entry(seq, fields_of(chance, corpus)) for seq in seqs]
        ids = [log_id(max(entry.seq, 0)) for entry in entries]
        if chance.random() < 0.05:
            ids[chance.randrange(length)] = chance.choice(IDS_ODD)
        list_check(entries, ids, last_seq)
        done += length
    return done


def list_check(entries: Sequence[Entry], ids: list[bytes], last_seq: int) -> None:
    """Compare both ways of one list of entries."""
    raw = reply_of(list(entries), ids)
    plain = [Entry(_seq_of(stream_id), entry.fields) for stream_id, entry in zip(ids, entries, strict=True)]
    batch = Batch(len(entries))
    batch.commands.view(np.int64)[:] = -7  # whatever a batch before has left there
    filled = LogReply(raw, 0, len(entries)).batch_fill(batch, last_seq)
    got = read_of(batch, filled.tick_seq, filled.gap)
    same_or_raise(got, plain_read(plain, last_seq), f"after {last_seq}, ids {ids}: {list(entries)}")


def same_or_raise(got: Read, expected: Read, words: str) -> None:
    """Raise Disagreement when the two ways differ, with what they were given."""
    if got != expected:
        raise Disagreement(f"{words}\nfast {got}\nplain {expected}")


def _seq_of(stream_id: bytes) -> int:
    return LogReply(reply_of([Entry(1, [(b"x", b"x")])], [stream_id]), 0, 1)[0].seq


def plain_read(entries: Sequence[Entry], last_seq: int) -> Read:
    """Return what the plain way makes of entries, up to a gap."""
    batch, seq, tick_seq, gap = Batch(len(entries)), last_seq, 0, None
    for entry in entries:
        if not follows(seq, entry):
            gap = seq, entry.seq
            break
        seq = entry.seq
        batch.add(seq, entry.fields)
        if entry.fields and entry.fields[-1][0] == b"clock_tick":
            tick_seq = seq
    return read_of(batch, tick_seq, gap)


def read_of(batch: Batch, tick_seq: int, gap: tuple[int, int] | None) -> Read:
    """Return what a batch holds; before a gap only the gap counts, for nothing is applied then."""
    if gap is not None:
        return Read(None, b"", b"", 0, gap)
    words = batch.commands.view(np.int64).reshape(-1, COMMAND_WORDS)[: batch.count].tolist()
    parts, configs = batch._beside.parts_count, batch._beside.configs_count
    return Read(words, batch.parts[:parts].tobytes(), batch.configs[:configs].tobytes(), tick_seq, None)


def events_check(seed: str, count: int) -> int:
    """Compare the outputs of so many event records, fed in pieces of any length."""
    chance = random.Random(seed)
    fast, plain = EventEncoder(NAMES, (0, 0)), Encoder(NAMES, (0, 0))
    done, seq = 0, chance.randrange(10**6)
    while done < count:
        seq += chance.randrange(1, 5)
        runs = [event_inputs.run(chance, seq + index) for index in range(chance.randrange(1, 4))]
        seq += len(runs)
        records = np.concatenate(runs)
        expected = plain.feed(records)
        cut = chance.randrange(len(records) + 1) if chance.random() < 0.3 else 0
        got: list[Any] = []
        if cut:
            got += list(fast.feed(records[:cut], False))
        got += list(fast.feed(records[cut:], True))
        if got != expected:
            pair = next((pair for pair in zip(got, expected, strict=False) if pair[0] != pair[1]), (got, expected))
            raise Disagreement(f"cut at {cut} of {len(records)}\nfast {pair[0]}\nplain {pair[1]}")
        done += len(records)
    return done


def replies_check(seed: str, count: int) -> int:
    """Compare where so many replies end with where the oracle says, whole and in pieces, with anything behind them."""
    chance = random.Random(seed)
    for _ in range(count):
        replies_count = chance.randrange(1, 5)
        raw = b"".join(resp_inputs.reply(chance) for _ in range(replies_count))
        for _ in range(chance.choice((0, 0, 1, 1, 3))):
            raw = resp_inputs.spoilt(chance, raw)
        expected = resp_inputs.end_of(raw, 0, replies_count)
        room = np.frombuffer(bytearray(raw + bytes(chance.choice(resp_inputs.SIGNS) for _ in range(8))), np.uint8)
        state, end = state_of(0, replies_count), 0
        while True:
            end = min(len(raw), end + chance.choice((1, 2, 7, 40, len(raw))))
            found = replies_walk(room, end, state)
            if found != 0 or end == len(raw):
                break
        got: Any = int(state[0]) if found == WHOLE else resp_inputs.End.RUBBISH if found == RUBBISH else None
        if got != (None if expected is resp_inputs.End.MISSING else expected):
            raise Disagreement(f"{replies_count} of {raw!r}: walked to {got}, the oracle says {expected}")
    return count


class Pieces:
    """A port that gives bytes in pieces of any size, then the end."""

    def __init__(self, raw: bytes, chance: random.Random) -> None:
        self.raw, self.at, self.chance = raw, 0, chance

    def send(self, data: bytes) -> None:
        """Take a question for sent."""

    def receive(self, view: memoryview, timeout_s: float) -> int:
        """Return how many bytes came."""
        count = min(len(view), len(self.raw) - self.at, self.chance.choice((1, 3, 50, 1_000, 1 << 20)))
        view[:count] = self.raw[self.at : self.at + count]
        self.at += count
        return count

    def close(self) -> None:
        """Nothing to close."""


def entries_of(frame: Frame) -> list[Entry]:
    """Return the entries of an answer, having read them both ways from where they lie in the buffer."""
    if frame.places is None:
        return []
    reply = LogReply(frame.raw, frame.begin, frame.entries, frame.end, frame.places)
    entries, batch = list(reply), Batch(frame.entries)
    filled = reply.batch_fill(batch, 0)
    same_or_raise(read_of(batch, filled.tick_seq, filled.gap), plain_read(entries, 0), f"{entries}")
    return entries


def link_check(seed: str, count: int) -> int:
    """Compare what a link hands on, of answers to questions of both kinds in pieces, with what was put into them."""
    chance = random.Random(seed)
    for _ in range(count):
        key = "{abc}:log"
        answers: list[tuple[bytes, list[Entry] | None]] = []
        for _ in range(chance.randrange(1, 6)):
            if chance.random() < 0.5:
                answers.append((resp_inputs.reply(chance), None))
                continue
            entries = [Entry(seq, fields_of(chance)) for seq in range(1, chance.choice((1, 2, 3, 30)))]
            body = b"*1\r\n*2\r\n$%d\r\n%b\r\n*%d\r\n" % (len(key), key.encode(), len(entries)) + reply_of(entries)
            answers.append((body, entries) if entries else (b"*-1\r\n", []))
        raw = b"".join(body for body, _ in answers)
        broken = chance.random() < 0.3
        if broken:
            raw = bytes_spoilt(chance, raw)
        taken: list[tuple[bytes, list[Entry] | None]] = []

        def take(frame: Any, of_log: bool, taken: Any = taken) -> None:
            body = frame.raw[frame.begin : frame.end].tobytes()
            entries = None
            if of_log:
                entries = entries_of(frame)
            taken.append((body, entries))

        link = Link(lambda raw=raw: Pieces(raw, chance), 1.0, lambda: None)  # type: ignore[misc]
        link.open()
        for _, entries in answers:
            of_log = entries is not None
            head = head_of(key) if of_log else None
            link.ask(Question([b"x"], lambda frame, of_log=of_log: take(frame, of_log), head=head))  # type: ignore[misc]
        link.send()
        try:
            while link.asked:
                link.take()
        except (StreamsError, ValueError):
            if not broken:
                raise Disagreement(f"the link broke over {raw!r}") from None
        if not broken and taken != answers:
            raise Disagreement(f"of {raw!r}\ntaken {taken}")
    return count


CHECKS: dict[str, tuple[Callable[..., int], float]] = {
    "entries": (entries_check, 0.8),
    "events": (events_check, 0.1),
    "replies": (replies_check, 0.06),
    "link": (link_check, 0.03),
    "kept": (kept_check, 0.01),
}
