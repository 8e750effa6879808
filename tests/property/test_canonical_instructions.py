"""engine/decode: instructions are read alike by either reader, and those of our own writers by the compiled one."""

import random
from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest

from engine.core.kernel import JIT
from engine.decode.programs import OPS_LEFT
from engine.decode.rows import rows_read
from gateway import schemas
from gateway.instructions import Instruction
from gateway.shapes import WORDS, Shape
from shared.codes import EntryKind, Op
from shared.records import COMMAND, COMMAND_WORDS, PRESENT_OCO
from shared.stream_keys import Entry, Fields
from shared.wire_instructions import KEYS
from tests.corpus import MARKET, World, bases, instruction
from tests.golden.recording import entries_read
from tests.property import instruction_inputs
from tests.property.canonical_inputs import TS_US, feed_entry, ordinary, reply_of, roomy, taken

COUNT = 20_000 if JIT else 600
WORLD = World(TS_US, 101, 7, 9, 8, 10, "ab" * 16, {})
VALUES: dict[Shape, Any] = {
    Shape.DECIMAL: "60000.125", Shape.INTEGER: 12, Shape.FLAG: True, Shape.TEXT: MARKET, Shape.TRIGGER: "59000",
    Shape.TRIGGER_OR_NULL: {"price_trigger": "1.5", "trigger_by": "mark", "price": "2"}, Shape.DECIMAL_OR_NULL: 7,
    Shape.INTEGER_OR_NULL: None, Shape.STP_OR_NULL: "cancel_both",
    **{shape: words[-1] for shape, (_codes, words) in WORDS.items()},
}  # fmt: skip


def drawn(seed: int, count: int, spoilt: bool) -> list[Entry]:
    """Return instructions of every operation and some quotes; of those to be spoilt two thirds are."""
    chance = random.Random(seed)
    entries = []
    for seq in range(1, count + 1):
        fields = feed_entry(chance) if chance.random() < 0.1 else instruction_inputs.instruction(chance)
        for _ in range(chance.randrange(3) if spoilt else 0):
            fields = instruction_inputs.instruction_spoilt(chance, fields)
        entries.append(Entry(seq, fields))
    return entries


def left_of(entries: list[Entry]) -> set[int]:
    """Return the indexes of the entries that the compiled reader leaves."""
    raw = reply_of(entries)
    found = taken(roomy(raw), len(raw), len(entries))
    assert found is not None
    return set(found[1])


def assert_alike(entries: list[Entry]) -> int:
    """Assert that what the compiled reader takes it reads as the ordinary one does; return how many it took."""
    raw = reply_of(entries)
    found = taken(roomy(raw), len(raw), len(entries))
    assert found is not None
    words, left = found
    kept = np.setdiff1d(np.arange(len(entries)), left)
    expected = ordinary(entries)
    different = kept[(words[kept] != expected[kept]).any(axis=1)]
    assert not different.size, entries[int(different[0])]
    return len(kept)


def test_sound_instructions_are_read_alike() -> None:
    """Every record of a canonical instruction that the compiled reader gives equals the ordinary one's."""
    assert assert_alike(drawn(1, COUNT, spoilt=False)) > COUNT * 0.4


def test_spoilt_instructions_are_read_alike() -> None:
    """So does every record of one with keys and values left out, doubled, exchanged, or of any other kind."""
    assert assert_alike(drawn(2, COUNT, spoilt=True)) > COUNT * 0.2


def test_rows_may_be_dirty() -> None:
    """A row in which a batch before left another entry's record holds nothing of it, whatever came when."""
    entries = drawn(3, 200, spoilt=False)
    words, left = np.zeros((len(entries), COMMAND_WORDS), np.int64), np.zeros(len(entries), np.int64)
    chance = random.Random(3)
    for _ in range(40 if JIT else 4):
        chance.shuffle(entries)
        entries = [Entry(seq, entry.fields) for seq, entry in enumerate(entries, 1)]
        raw = reply_of(entries)
        places = np.zeros(len(entries) + 1, np.int64)
        places[1:] = np.cumsum([len(reply_of([entry])) for entry in entries])
        left_count, _ = rows_read(roomy(raw), places, len(entries), 0, words, left)
        expected = ordinary(entries)
        # As a batch is filled: what was left is written whole by the ordinary reader.
        words[left[:left_count]] = expected[left[:left_count]]
        assert (words == expected).all()


def test_whatever_is_sound_is_taken() -> None:
    """Hardly an instruction without a fault is left, but for the operations that are named and orders with two legs."""
    entries = drawn(4, COUNT, spoilt=False)
    records = ordinary(entries).reshape(-1).view(COMMAND)
    left, counts, taken_counts = left_of(entries), Counter[Op](), Counter[Op]()
    for index, record in enumerate(records):
        sound = record["code_early"] == 0 and record["code_late"] == 0 and record["op"] != Op.NONE
        if sound and record["op"] not in OPS_LEFT and not record["present"] & PRESENT_OCO:
            counts[Op(record["op"])] += 1
            taken_counts[Op(record["op"])] += index not in left
    assert set(counts) == set(KEYS) - OPS_LEFT
    # What is left even so: names in no form of a name, numbers beyond any.
    assert all(taken_counts[op] >= 0.7 * counts[op] for op in counts), {
        op: (taken_counts[op], counts[op]) for op in counts
    }


def gateway_entries(operation: schemas.Operation) -> list[Fields]:
    """Return what the gateway appends of one operation: with all keys, and with each of them left out."""
    shapes = {name: field.shape for name, field in schemas.schema_fields(operation.schema).items()}
    body = {name: VALUES[shape] for name, shape in shapes.items() if shape != Shape.LEG}
    if "owner" in body:
        body["owner"] = "0123456789abcdef" * 2
    if "client_order_id" in body:
        body["client_order_id"] = "web-0193.a_b"
    needed = KEYS[Op[operation.op.upper()]][1]
    bodies = [body, *({key: body[key] for key in body if key != name} for name in body if name not in needed)]
    return [
        Instruction(101, f"{index:032x}", operation.op, TS_US, schemas.body_read(operation.schema, each)).entry()
        for index, each in enumerate(bodies)
    ]


@pytest.mark.parametrize("operation", schemas.OPERATIONS, ids=lambda operation: operation.op)
def test_what_the_gateway_appends_is_taken(operation: schemas.Operation) -> None:
    """Every instruction that the gateway can append is taken, but for a batch and an order's second leg."""
    if Op[operation.op.upper()] in OPS_LEFT:
        assert operation is schemas.BATCH
        return
    entries = [Entry(seq, fields) for seq, fields in enumerate(gateway_entries(operation), 1)]
    assert entries
    assert left_of(entries) == set()
    assert assert_alike(entries) == len(entries)


def test_corpus_bases_are_taken() -> None:
    """Every sound instruction that the corpus of wrong ones is made of is taken, but for what the tables leave out."""
    entries, expected = [], set()
    for index, (name, body) in enumerate(bases(WORLD).items()):
        entries.append(Entry(index + 1, instruction(name, {})(WORLD, f"{index:032x}")))
        if Op[body["op"].upper()] in OPS_LEFT or "oco" in body:
            expected.add(index)
    assert left_of(entries) <= expected | {index for index, entry in enumerate(entries) if not canonical(entry)}
    assert assert_alike(entries) > len(entries) * 0.7


def canonical(entry: Entry) -> bool:
    """Return whether an instruction's keys stand in the order of the tables."""
    body = orjson.loads(entry.fields[-1][1])
    names = [name for name in body if name not in ("v", "account", "request_id", "op")]
    order = list(KEYS[Op[body["op"].upper()]][0])
    return names == sorted(names, key=order.index)


def test_golden_entries_are_read_alike() -> None:
    """The recorded histories' entries, in the form of our writers, are read alike, most of them by the compiled one."""
    entries = []
    for recorded in entries_read():
        for entry in recorded.entries:
            body = entry.body
            if entry.kind.endswith("_instruction"):
                order = ["v", "account", "request_id", "op", *KEYS[Op[body["op"].upper()]][0]]
                body = dict(sorted(body.items(), key=lambda pair: order.index(pair[0]) if pair[0] in order else 99))
            session = [(b"session", entry.session.encode())] if entry.session else []
            stamp = (b"ts", b"%d" % entry.ts_us)
            entries.append(Entry(len(entries) + 1, [stamp, *session, (entry.kind.encode(), orjson.dumps(body))]))
    entries = entries if JIT else entries[:300]
    assert assert_alike(entries) > len(entries) * 0.6


def test_kinds_decide_which_operations_are_known() -> None:
    """An operator's operation in a user's entry is left, and a user's operation in an operator's is taken."""
    bodies = [
        b'{"v":1,"account":5,"request_id":"%032x","op":"%s"}' % (1, op) for op in (b"account_freeze", b"account_reset")
    ]
    kinds = [kind.name.lower().encode() for kind in (EntryKind.USER_INSTRUCTION, EntryKind.VENUE_INSTRUCTION)]
    fields = [[(b"ts", b"%d" % TS_US), (kind, body)] for body in bodies for kind in kinds]
    assert left_of([Entry(seq, each) for seq, each in enumerate(fields, 1)]) == {0}
