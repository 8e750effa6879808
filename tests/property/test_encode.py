"""Event records become equal bytes in the compiled and in the plain encoder: every kind, any number, wherever cut."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from engine.core.kernel import JIT
from engine.encode.encoded import EventEncoder
from shared import records as r
from shared.codes import EventKind
from shared.wire_events import EVENTS_CHUNK, Encoder, Output
from tests.property import event_inputs

NAMES = ["BTC_USDC_PERP", "ETH", "Z" * 24]
RUNS = 400 if JIT else 40
EDGES = sorted(
    {sign * edge for sign in (1, -1) for power in range(19) for edge in (10**power - 1, 10**power, 10**power + 1)}
    | {2**63 - 1, -(2**63), 2**62, -(2**62), 0}
)
ENDINGS = ("_e6", "_lots", "_ticks", "_e4", "_x2", "_us", "_ms", "_ppb", "_ppm", "_id", "_percent", "_bps")
NUMBERS = [name for name in r.EVENT.names or () if name.endswith(ENDINGS) and name != "client_order_id"]
NUMBERS += ["counter", "reference", "leverage", "quotes", "resets", "sub"]
CONFIG_NUMBERS = [name for name in r.CONFIG.names or () if name.endswith(ENDINGS) or name == "leverage_max"]


def encoded(names: list[str], last: tuple[int, int], pieces: Sequence[np.ndarray]) -> list[Output]:
    """Return what the compiled encoder makes of records that come in pieces, all but the last of them incomplete."""
    encoder = EventEncoder(names, last)
    outputs: list[Output] = []
    for index, piece in enumerate(pieces):
        outputs += encoder.feed(piece, complete=index == len(pieces) - 1)
    return outputs


def cut(chance: random.Random, records: np.ndarray, pieces_count: int) -> list[np.ndarray]:
    """Return records in pieces, some of which may be empty."""
    places = sorted(chance.randrange(len(records) + 1) for _ in range(pieces_count - 1))
    return [records[first:end] for first, end in zip([0, *places], [*places, len(records)], strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_entries_of_any_events_have_equal_bytes(seed: int) -> None:
    """Entries of all kinds of events, batches among them, are encoded alike, in one piece and in several."""
    chance = random.Random(seed)
    last = chance.choice(((0, 0), (7, 0), (9, 3)))
    records = np.concatenate([event_inputs.run(chance, 10 + seq) for seq in range(RUNS // 8)])
    expected = Encoder(list(NAMES), last).feed(records)
    assert encoded(list(NAMES), last, [records]) == expected
    assert encoded(list(NAMES), last, cut(chance, records, 9)) == expected


@pytest.mark.parametrize("kind", event_inputs.KINDS, ids=lambda kind: kind.name)
def test_numbers_of_any_size_have_equal_bytes(kind: EventKind) -> None:
    """Every number of a kind may be anything that fits into its word, in any grid."""
    chance = random.Random(int(kind))
    records = np.concatenate([event_inputs.event(chance, 10 + seq, kind) for seq in range(RUNS // 8)])
    configs = records["config"].view(r.CONFIG)
    for field, column in [(name, records[name]) for name in NUMBERS] + [
        (name, configs[name]) for name in CONFIG_NUMBERS
    ]:
        if field != "counter" or kind != EventKind.DEFICIT:
            column[:] = np.array([chance.choice(EDGES) for _ in records]).reshape(column.shape)
    if kind == EventKind.VENUE_CHANGED:
        records["config"] = [[chance.choice(EDGES) for _ in range(r.CONFIG_WORDS)] for _ in records]
    assert encoded(list(NAMES), (0, 0), [records]) == Encoder(list(NAMES), (0, 0)).feed(records)


@pytest.mark.parametrize("count", [EVENTS_CHUNK - 1, EVENTS_CHUNK, EVENTS_CHUNK + 1, 2 * EVENTS_CHUNK, 11_000])
def test_a_large_entry_is_cut_alike(count: int) -> None:
    """An entry around the size of a chunk, and one of many, have equal bytes wherever the core's buffer was full."""
    if not JIT and count > 2 * EVENTS_CHUNK:
        pytest.skip("minutes without the compiler")
    chance = random.Random(count)
    some = np.concatenate([event_inputs.event(chance, 10, kind) for kind in event_inputs.KINDS])
    records = some[[chance.randrange(len(some)) for _ in range(count)]]
    records["account"] = [chance.randrange(95, 2_000) for _ in records]
    records["log_time_us"] = 1_767_225_600_000_000
    expected = Encoder(list(NAMES), (9, 3)).feed(records)
    assert [output.chunk for output in expected] == list(range(-(-count // EVENTS_CHUNK)))
    assert encoded(list(NAMES), (9, 3), [records]) == expected
    assert encoded(list(NAMES), (9, 3), cut(chance, records, 4)) == expected
