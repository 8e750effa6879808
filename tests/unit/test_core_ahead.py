"""engine/core/ahead.py: looking ahead reads inside its tables whatever an instruction says, and changes nothing."""

import random

import numpy as np

from engine.core import ahead, kernel
from engine.core.limits import AHEAD
from shared.codes import EntryKind
from shared.records import COMMAND, COMMAND_WORDS
from tests.builders import BTC, instruction, opened

EXTREMES = (0, 1, -1, 2, 99, 100, 101, 103, 104, 2**31, -(2**31), 2**62, -(2**62), 2**63 - 1, -(2**63))
SEEN = ("seen",)


@kernel.entry
def looked(states, records, count):
    """Call the kernel from Python."""
    ahead.look_ahead(states[0], records, 0, count)


def records_drawn(chance: random.Random, market: np.ndarray) -> np.ndarray:
    """Return instructions with anything in their fields, half of them of a market that is there."""
    words = [[chance.choice((*EXTREMES, chance.randint(0, 300))) for _ in range(COMMAND_WORDS)] for _ in range(AHEAD)]
    records = np.array(words, np.int64).reshape(-1).view(COMMAND)
    records["kind"] = EntryKind.USER_INSTRUCTION
    records["market"][: AHEAD // 2] = market
    return records if kernel.JIT else records.view(np.recarray)


def test_looking_ahead_changes_nothing() -> None:
    """Over a venue with orders and positions, hostile instructions are read past without a trace."""
    engine, chance = opened(3), random.Random(4)
    for number in range(1, 10):
        order = {"market": BTC, "side": "buy", "kind": "limit", "qty": "0.01", "price": str(59_000 + number)}
        if number == 9:
            order |= {"kind": "market", "price": "61000"}
        assert engine.apply("user_instruction", instruction(number, "order_place", 100, **order))[0]["result"] == "OK"
    plain = engine.states.view(np.ndarray)[0]
    market = plain["markets"][0]["config"]["market"]
    names = [name for name in plain.dtype.names if name not in SEEN and plain.dtype[name].itemsize < 2**16]
    before, state_hash = {name: plain[name].tobytes() for name in names}, engine.state_hash()
    met = {name: False for name in plain["seen"].dtype.names if name.endswith("_row")}
    for count in (1, AHEAD // 2, AHEAD, *[AHEAD] * 40):
        looked(engine.states, records_drawn(chance, market), count)
        met = {name: found or bool(plain["seen"][name].any()) for name, found in met.items()}
    assert {name: plain[name].tobytes() for name in names} == before
    assert engine.state_hash() == state_hash and engine.invariants() == []
    assert all(met.values()), "an order, a position or an account was never found"
