"""Outputs as bytes: made into commands, found again in answers, dropped; memory is used again when nobody looks."""

import gc
from enum import IntEnum

import numpy as np
import pytest

from engine.encode.encoded import Encoded, EventEncoder
from engine.encode.kept import Compared, Kept
from engine.encode.programs import kinds_missing
from shared import records as r
from shared.codes import EventKind, Op
from shared.stream_keys import Keys
from shared.wire_events import Encoder, Output

EVENTS = Keys("v").events.encode()
HEAD = b"*12\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$10\r\nNOMKSTREAM\r\n" % (len(EVENTS), EVENTS)
MANY = 4_000_000


def records(first_seq: int, count: int, each: int = 1) -> np.ndarray:
    """Return the events of `count` entries from a seq on: `each` of them post-images of other accounts."""
    rows = np.zeros(count * each, r.EVENT)
    rows["seq"] = first_seq + np.arange(count * each) // each
    rows["kind"] = EventKind.ACCOUNT_CHANGED
    rows["account"] = 100 + np.arange(count * each) % 5_000
    rows["log_time_us"] = 1_767_225_600_000_000
    return rows


def kept_of(*counts: int) -> tuple[Kept, list[Output]]:
    """Return outputs kept in so many steps, and the same as the plain encoder makes them."""
    kept, encoder = Kept(), EventEncoder([], (0, 0))
    rows = records(1, sum(counts))
    first = 0
    for count in counts:
        kept.keep(encoder.feed(rows[first : first + count]))
        first += count
    return kept, Encoder([], (0, 0)).feed(rows)


def bulks(*texts: bytes) -> bytes:
    """Return texts in the protocol's form."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


def text_of(output: Output) -> bytes:
    """Return an output as it goes into its command, behind the head."""
    return bulks(output.id) + b"".join(bulks(*field) for field in output.fields)


def answered(outputs: list[Output]) -> np.ndarray:
    """Return the bytes in which Redis answers with these entries."""
    entries = [b"*2\r\n" + bulks(each.id) + b"*8\r\n" + b"".join(bulks(*f) for f in each.fields) for each in outputs]
    return np.frombuffer(bytearray(b"".join(entries)), np.uint8)


def test_every_kind_has_a_program() -> None:
    """A kind of event that is new in shared.codes is named as missing until it has a program."""
    newer = IntEnum("newer", {**EventKind.__members__, "WEATHER_CHANGED": len(EventKind)})  # type: ignore[misc]
    assert kinds_missing(EventKind) == []
    assert kinds_missing(newer) == ["WEATHER_CHANGED"]


def test_an_event_without_a_name_is_refused() -> None:
    """A code that has no name is never written as something else: the plain encoder says what it is."""
    rows = np.zeros(1, r.EVENT)
    rows["kind"], rows["seq"], rows["side"] = EventKind.TRADE, 1, 7
    with pytest.raises(KeyError):
        EventEncoder(["BTC"], (0, 0)).feed(rows)
    rows["kind"] = 99
    with pytest.raises(KeyError):
        EventEncoder(["BTC"], (0, 0)).feed(rows)


def test_outputs_are_a_sequence() -> None:
    """What a feed gives can be counted, indexed, sliced, compared and printed as a list of outputs."""
    rows = records(1, 5)
    found, expected = EventEncoder([], (0, 0)).feed(rows), Encoder([], (0, 0)).feed(rows)
    assert isinstance(found, Encoded) and len(found) == 5
    assert found == expected and found[-1] == expected[4] and found[1:3] == expected[1:3]
    assert repr(found) == repr(expected)
    with pytest.raises(IndexError):
        found[5]


def test_a_step_of_several_calls_is_one_sequence() -> None:
    """Outputs of calls that filled the core's buffer are put behind each other."""
    rows = records(1, 3, each=700)
    encoder = EventEncoder([], (0, 0))
    found = encoder.feed(rows[:1_000], complete=False)
    found.extend(encoder.feed(rows[1_000:]))
    assert found == Encoder([], (0, 0)).feed(rows)


@pytest.mark.parametrize("cuts", [(601, 602), (3, 1_302), (700, 1_500), (1_401, 1_402)])
def test_a_batch_waits_for_its_results_however_late(cuts: tuple[int, int]) -> None:
    """A batch whose last result comes chunks later is answered with it, wherever the core's buffer was full."""
    rows = records(1, 1, each=2_000)
    rows["kind"][[0, 1, 1_400]] = EventKind.ORDER_RESPONSE, EventKind.BATCH_RESULT, EventKind.BATCH_RESULT
    rows["op"][0], rows["parts"][0] = Op.BATCH, 2
    expected = Encoder([], (0, 0)).feed(rows)
    encoder, first = EventEncoder([], (0, 0)), 0
    found = Encoded()
    for end in cuts:
        found.extend(encoder.feed(rows[first:end], complete=False))
        first = end
    found.extend(encoder.feed(rows[first:]))
    assert found == expected


def test_an_entry_has_the_time_of_its_first_event() -> None:
    """All chunks of an entry state the time that its first printed event states, also where it came in two calls."""
    rows = records(1, 1, each=1_100)
    rows["log_time_us"] += np.arange(1_100)
    expected = Encoder([], (0, 0)).feed(rows)
    encoder = EventEncoder([], (0, 0))
    found = encoder.feed(rows[:600], complete=False)
    found.extend(encoder.feed(rows[600:]))
    assert found == expected and len({output.log_time_us for output in found}) == 1


def test_a_slab_is_used_again_only_when_nobody_holds_it() -> None:
    """Outputs that somebody holds keep their bytes through any number of slabs; what nobody holds is used again."""
    encoder = EventEncoder([], (0, 0), slab_bytes=40_000)
    rows = records(1, 300)
    held = encoder.feed(rows)
    expected = list(held)
    for _ in range(4):
        encoder.feed(rows)
    assert len(held.runs) >= 2 and held == expected
    rooms = {id(run.slab.room) for run in held.runs}
    del held
    gc.collect()
    again: set[int] = set()
    for _ in range(6):
        again |= {id(run.slab.room) for run in encoder.feed(rows).runs}
    assert rooms & again


def test_an_output_larger_than_a_slab_gets_its_own() -> None:
    """An entry whose texts would fill more than a slab is written all the same, and what follows it too."""
    encoder = EventEncoder([], (0, 0), slab_bytes=9_000)
    rows = np.concatenate([records(1, 1, each=512), records(2, 3)])
    assert encoder.feed(rows) == Encoder([], (0, 0)).feed(rows)


def test_commands_are_the_outputs_beyond_a_place() -> None:
    """The commands are the heads and texts of the outputs behind the stream's end, however they were kept."""
    kept, outputs = kept_of(3, 2, 4)
    commands = kept.publish_bytes((2, 0), HEAD, 500, MANY)
    assert bytes(commands.data) == b"".join(HEAD + text_of(output) for output in outputs[2:])
    assert commands[1:] == (7, (3, 0), (2, 0), (9, 0))
    assert kept.publish_bytes((9, 0), HEAD, 500, MANY).taken == 0
    assert kept.publish_bytes((8, 7), HEAD, 500, MANY).taken == 1


def test_commands_keep_to_their_bounds() -> None:
    """So many commands or bytes are not passed, but one is always made."""
    kept, outputs = kept_of(3, 2, 4)
    all_but_last = sum(len(HEAD) + len(text_of(output)) for output in outputs[:6]) - 1
    assert kept.publish_bytes((0, 0), HEAD, 4, MANY).last == (4, 0)
    assert kept.publish_bytes((0, 0), HEAD, 500, all_but_last).taken == 5
    assert bytes(kept.publish_bytes((0, 0), HEAD, 500, 1).data) == HEAD + text_of(outputs[0])


def test_equal_entries_are_found_and_dropped() -> None:
    """As many entries as are the oldest outputs are told, over the borders of steps, and the place behind them."""
    kept, outputs = kept_of(3, 2, 4)
    raw = answered(outputs[:7])
    assert kept.compare(raw, 0, len(raw), 7) == Compared(7, len(raw))
    assert kept.compare(raw, 0, len(raw), 4) == Compared(4, len(answered(outputs[:4])))
    assert kept.compare(raw, 0, len(raw) - 1, 7) == Compared(6, len(answered(outputs[:6])))
    kept.drop(7)
    assert len(kept) == 2 and kept.first_place() == (8, 0) and kept.seen() == outputs[6]
    everything = answered(outputs)
    assert kept.compare(everything, len(raw), len(everything), 9) == Compared(2, len(everything))


@pytest.mark.parametrize("byte", range(0, 260, 7))
def test_any_other_byte_is_a_difference(byte: int) -> None:
    """An entry with one byte changed anywhere is not equal, and nothing behind it is looked at."""
    kept, outputs = kept_of(3)
    raw = answered(outputs)
    at = len(answered(outputs[:1])) + byte % len(answered(outputs[1:2]))
    raw[at] ^= 1
    assert kept.compare(raw, 0, len(raw), 3) == Compared(1, len(answered(outputs[:1])))


def test_outputs_below_a_place_are_dropped_unseen() -> None:
    """What was trimmed below the stream's first entry is dropped, and counts as nothing that was seen."""
    kept, outputs = kept_of(3, 2, 4)
    assert kept.drop_below((5, 0)) == 4 and kept[0] == outputs[4] and kept.seen() is None
    assert kept.drop_below((5, 0)) == 0 and kept.drop_below((99, 0)) == 5
    assert not kept and kept.newest() == outputs[-1] and kept.newest_place() == (9, 0)


def test_outputs_of_any_maker_are_kept_alike() -> None:
    """Outputs that were made one by one give the same commands and comparisons."""
    _, outputs = kept_of(5)
    kept = Kept()
    kept.keep(outputs[:2])
    kept.keep(outputs[2:])
    kept.keep([])
    assert list(kept) == outputs and kept[-1] == outputs[-1]
    commands = kept.publish_bytes((0, 0), HEAD, 500, MANY)
    assert bytes(commands.data) == b"".join(HEAD + text_of(output) for output in outputs)
    assert commands.previous == (0, 0)
    raw = answered(outputs)
    assert kept.compare(raw, 0, len(raw), 5).matched == 5
    assert kept.popleft() == outputs[0] and len(kept) == 4
