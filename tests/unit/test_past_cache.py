"""engine/core/past_cache.py: a copy is a copy, whatever its length, and is only asked for where lines are whole."""

import numpy as np
import pytest

from engine.core.kernel import JIT
from engine.core.past_cache import LINE_BYTES, LINE_WORDS, copier, words_copy


def lines(words: int) -> np.ndarray:
    """Return zeros that begin with a line."""
    room = np.zeros(words + LINE_WORDS, np.int64)
    first = -room.ctypes.data % LINE_BYTES // 8
    return room[first : first + words]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 1_000, 4_099])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_every_word_is_copied_and_no_other(count: int, offset: int) -> None:
    """A run of words from anywhere arrives whole in front of what stands behind it, which stays."""
    source = np.arange(1, count + offset + 1, dtype=np.int64)[offset:]
    target = lines(count + LINE_WORDS)
    target[count:] = -1
    copier(target)(target[:count], source)
    assert (target[:count] == source).all()
    assert (target[count:] == -1).all()


@pytest.mark.skipif(not JIT, reason="interpreted, NumPy copies")
def test_lines_are_asked_for_where_they_are() -> None:
    """Memory that does not begin with a line is copied into by NumPy: an aligned store there would end the process."""
    room = lines(64)
    assert copier(room) is words_copy
    assert copier(room[1:]) is np.copyto
