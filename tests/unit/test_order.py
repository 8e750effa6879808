"""The suite's order loses no test, and names only files that there are."""

from pathlib import Path

from tests.order import APART, LONG, TOGETHER, ordered, unit_of

REPOSITORY = Path(__file__).resolve().parent.parent.parent
[BLOCKS] = APART
NODEIDS = [
    "tests/bench/test_a.py::test_one",
    f"{LONG[3]}::test_x",
    f"{LONG[3]}::test_y",
    f"{BLOCKS}::test_seeds[0]",
    f"{BLOCKS}::test_seeds[1]",
    f"{LONG[0]}::test_z",
    "tests/unit/test_b.py::test_two",
]


def test_every_test_runs_once() -> None:
    """The order is one of all tests; long ones and those apart come first, the rest keeps its order."""
    order = ordered(NODEIDS)
    assert sorted(order) == list(range(len(NODEIDS)))
    assert order == [3, 5, 4, 1, 2, 0, 6]
    assert ordered([]) == []


def test_a_file_is_one_unit() -> None:
    """The tests of a file share a process and what they have built there, but for those that stand apart."""
    assert len({unit_of(nodeid) for nodeid in NODEIDS[1:3]}) == 1
    assert len({unit_of(nodeid) for nodeid in NODEIDS[3:5]}) == 2


def test_a_folder_may_be_one_unit() -> None:
    """The tests of the browser share one venue, whichever file they stand in, and stay beside each other."""
    [folder] = TOGETHER
    nodeids = [f"{folder}test_a.py::test_one", "tests/unit/test_b.py::test_two", f"{folder}test_c.py::test_three"]
    assert {unit_of(nodeid) for nodeid in nodeids[::2]} == {folder}
    assert ordered(nodeids) == [0, 2, 1]


def test_named_files_exist() -> None:
    """Every file that the order names is there, once."""
    assert all((REPOSITORY / path).exists() for path in (*LONG, *APART))
    assert len({*LONG, *APART}) == len(LONG) + len(APART)
