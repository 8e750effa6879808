"""engine/core/past_cache.py: a copy is a copy, whatever its length and whoever helps; only where lines are whole."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.core.kernel import JIT
from engine.core.past_cache import LINE_BYTES, LINE_WORDS, PART_WORDS, runs_copy, runs_of

COMPILED = pytest.mark.skipif(not JIT, reason="interpreted, NumPy copies")


def lines(words: int) -> np.ndarray:
    """Return zeros that begin with a line."""
    room = np.zeros(words + LINE_WORDS, np.int64)
    first = -room.ctypes.data % LINE_BYTES // 8
    return room[first : first + words]


@COMPILED
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 1_000, 4_099, PART_WORDS, PART_WORDS + 1, 3 * PART_WORDS + 13])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_every_word_is_copied_and_no_other(count: int, offset: int) -> None:
    """A run of words from anywhere arrives whole in front of what stands behind it, which stays."""
    source = np.arange(1, count + offset + 1, dtype=np.int64)[offset:]
    target = lines(count + LINE_WORDS)
    target[count:] = -1
    runs = runs_of([(target[:count], source)])
    assert runs is not None
    runs_copy(runs, np.zeros(1, np.int64))
    assert (target[:count] == source).all()
    assert (target[count:] == -1).all()


@COMPILED
def test_threads_share_one_copy() -> None:
    """Whoever helps, every part of every run is copied once all have come back; empty ones are no hindrance."""
    sources = [
        np.arange(count, dtype=np.int64) + count for count in (0, 5, 7 * PART_WORDS, 0, 0, 2 * PART_WORDS + 1, 0)
    ]
    targets = [lines(len(source)) for source in sources]
    runs, taken = runs_of(list(zip(targets, sources, strict=True))), np.zeros(1, np.int64)
    assert runs is not None
    with ThreadPoolExecutor(3) as pool:
        for helper in [pool.submit(runs_copy, runs, taken) for _ in range(3)]:
            helper.result()
    for target, source in zip(targets, sources, strict=True):
        assert (target == source).all()
    assert taken[0] == 1 + 7 + 3 + 3, "each part is taken once, and each thread finds once that nothing is left"


@COMPILED
def test_lines_are_asked_for_where_they_are() -> None:
    """Memory that does not begin with a line is left to NumPy: an aligned store there would end the process."""
    room = lines(64)
    assert runs_of([(room, room)]) is not None
    assert runs_of([(room, room), (room[1:], room)]) is None
