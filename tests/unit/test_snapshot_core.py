"""engine/core/snapshot.py: a state restored anywhere goes on as one that never stopped, and damage is noticed."""

import random

import pytest

from engine import core
from engine.core import kernel
from engine.library import Engine
from tests.builders import BTC, SOL, opened, step

STEPS = 400 if kernel.JIT else 60


def document(engine: Engine) -> dict:
    """Return a snapshot of the engine's state."""
    buffer = memoryview(bytearray(core.snapshot_size(engine.states)))
    return core.snapshot_document(buffer, core.snapshot_copy(engine.states, buffer))


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_state_goes_on_alike(seed: int) -> None:
    """Restored every few entries of a random history, a second engine has the same events and the same hashes."""
    chance = random.Random(seed)
    first = opened(3)
    second = first.restored()
    mids_first, mids_second = {BTC: 600_000, SOL: 15_000}, {BTC: 600_000, SOL: 15_000}
    for number in range(1, STEPS):
        state = chance.getstate()
        expected = step(first, chance, number, mids_first)
        chance.setstate(state)
        assert step(second, chance, number, mids_second) == expected
        assert second.invariants() == []
        if number % 7 == 0:
            second = second.restored()
        assert (second.state_hash(), second.record_hash()) == (first.state_hash(), first.record_hash())


def test_the_document_states_what_it_holds() -> None:
    """A snapshot names its place, counts its rows, and its money adds up to nothing."""
    engine = opened(2)
    found = document(engine)
    assert found["seq"] == engine.seq
    assert found["summary"]["accounts"] == 2
    assert found["summary"]["conservation_e6"] == 0
    assert (found["state_hash"], found["record_hash"]) == (engine.state_hash(), engine.record_hash())


@pytest.mark.parametrize("table", ["header", "accounts", "markets"])
def test_a_flipped_bit_is_refused(table: str) -> None:
    """One changed bit in any table makes restore refuse, because the bytes no longer hash to what is stated."""
    found = document(opened(2))
    content = bytearray(found["tables"][table]["bytes"])
    content[-1] ^= 1
    found["tables"][table]["bytes"] = bytes(content)
    with pytest.raises(core.SnapshotMismatch):
        core.restore(found)


def test_another_schema_is_refused() -> None:
    """A snapshot of another schema or format, or with a cut table, is refused and not guessed at."""
    for change in ({"schema": 0}, {"format": 99}):
        with pytest.raises(core.SnapshotMismatch):
            core.restore({**document(opened(1)), **change})
    found = document(opened(1))
    found["tables"]["accounts"]["bytes"] = found["tables"]["accounts"]["bytes"][:-8]
    with pytest.raises(core.SnapshotMismatch):
        core.restore(found)
