"""engine/core/ladder.py: a ladder against a sorted list."""

import random

import numpy as np
import pytest

from engine.core import kernel, ladder, state
from engine.core.limits import PRICE_WINDOW_TICKS

NODES = 3_000


@kernel.entry
def ladder_clear(row):
    """Call the kernel from Python."""
    ladder.ladder_clear(row, 12_345)


@kernel.entry
def ladder_insert(row, nodes, node, place, tie):
    """Call the kernel from Python."""
    ladder.ladder_insert(row, nodes, node, place, tie)


@kernel.entry
def ladder_remove(row, nodes, node):
    """Call the kernel from Python."""
    ladder.ladder_remove(row, nodes, node)


def tables() -> tuple[np.void, np.ndarray]:
    """Return an empty ladder and its nodes."""
    rows = np.zeros(1, state.LADDER)
    nodes = np.zeros(NODES + 1, state.NODE)
    if not kernel.JIT:
        rows, nodes = rows.view(np.recarray), nodes.view(np.recarray)
    ladder_clear(rows[0])
    return rows[0], nodes


@pytest.mark.parametrize("spread", [1, 40, PRICE_WINDOW_TICKS - 1])
def test_best_is_the_smallest_place_then_tie(spread: int) -> None:
    """Through random pushes and drops the cached best equals the head of a sorted list, in one bucket or in all."""
    chance = random.Random(spread)
    row, nodes = tables()
    held: dict[int, tuple[int, int]] = {}
    for _ in range(6_000 if kernel.JIT else 300):
        free = [node for node in chance.sample(range(1, NODES + 1), 3) if node not in held]
        if held and (chance.random() < 0.45 or not free):
            node = chance.choice(list(held))
            ladder_remove(row, nodes, node)
            del held[node]
        else:
            place, tie = chance.randrange(spread), chance.randrange(10**6) * (NODES + 1) + free[0]
            ladder_insert(row, nodes, free[0], place, tie)
            held[free[0]] = (place, tie)
        expected = min(held, key=held.__getitem__) if held else 0
        assert row["best_node"] == expected
        assert row["best_place"] == (held[expected][0] if held else PRICE_WINDOW_TICKS)
        assert row["count"] == len(held)


def test_equal_places_leave_in_the_order_of_their_ties() -> None:
    """Two thousand orders at one price leave by their ties, whatever order they came in."""
    row, nodes = tables()
    ties = list(range(1, (2_000 if kernel.JIT else 100) + 1))
    random.Random(3).shuffle(ties)
    for node, tie in enumerate(ties, 1):
        ladder_insert(row, nodes, node, 777, tie)
    left = []
    while row["count"] > 0:
        node = int(row["best_node"])
        left.append(ties[node - 1])
        ladder_remove(row, nodes, node)
    assert left == sorted(ties)


def test_an_emptied_ladder_leaves_no_mark() -> None:
    """After everything is dropped every bitmap word and root is zero again."""
    row, nodes = tables()
    for node in range(1, 200):
        ladder_insert(row, nodes, node, node * 40_000 % PRICE_WINDOW_TICKS, node)
    for node in range(1, 200):
        ladder_remove(row, nodes, node)
    for name in ("roots", "words", "summary", "top"):
        assert not row[name].any()
