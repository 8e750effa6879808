"""tests/mutation: the mutants of a toy source are these, and the run's own books are right."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import copies, results
from tests.mutation.checks import Check, check_files, checks_for
from tests.mutation.mutants import Mutant, mutants_of, sample

TOY = '''"""A toy: 1 < 2."""
from enum import IntEnum
from integers import ceil_div, mul_div_ceil, mul_div_floor

LIMIT = 3


class Side(IntEnum):
    BUY = 1


def rest(left: int, right: int = 0) -> bool:
    """Return 7 < 8."""
    assert left >= 0 and right != 5, f"{left + 1}"
    if left < right and not left == -right:
        left += 2
    return min(left, right) >= 1 or True


def round_all(left, right):
    part = left // right - Side.BUY
    if (
        left  # why
        or right
    ):
        part = mul_div_floor(part, 9, right)
    return ceil_div(part, right) + mul_div_ceil(left, right, right)
'''
LINES = {
    "toy:module:0:plus-one": "LIMIT = 4",
    "toy:module:0:minus-one": "LIMIT = 2",
    "toy:rest:0:plus-one": "def rest(left: int, right: int = 1) -> bool:",
    "toy:rest:0:and-or": "if ((left < right) or (not left == -right)):",
    "toy:rest:0:lt-le": "if left <= right and not left == -right:",
    "toy:rest:0:not-dropped": "if left < right and (left == -right):",
    "toy:rest:0:eq-ne": "if left < right and not left != -right:",
    "toy:rest:0:minus-dropped": "if left < right and not left == right:",
    "toy:rest:0:in-place-add-sub": "left -= 2",
    "toy:rest:1:plus-one": "left += 3",
    "toy:rest:0:minus-one": "left += 1",
    "toy:rest:0:or-and": "return ((min(left, right) >= 1) and (True))",
    "toy:rest:0:ge-gt": "return min(left, right) > 1 or True",
    "toy:rest:0:min-max": "return max(left, right) >= 1 or True",
    "toy:rest:2:plus-one": "return min(left, right) >= 2 or True",
    "toy:rest:1:minus-one": "return min(left, right) >= 0 or True",
    "toy:rest:0:true-false": "return min(left, right) >= 1 or False",
    "toy:round_all:0:sub-add": "part = left // right + Side.BUY",
    "toy:round_all:0:floor-ceil": "part = (-(-(left) // (right))) - Side.BUY",
    "toy:round_all:0:or-and": "((left) and (right) )",
    "toy:round_all:1:floor-ceil": "part = mul_div_ceil(part, 9, right)",
    "toy:round_all:0:plus-one": "part = mul_div_floor(part, 10, right)",
    "toy:round_all:0:minus-one": "part = mul_div_floor(part, 8, right)",
    "toy:round_all:0:add-sub": "return ceil_div(part, right) - mul_div_ceil(left, right, right)",
    "toy:round_all:0:ceil-floor": "return ((part) // (right)) + mul_div_ceil(left, right, right)",
    "toy:round_all:1:ceil-floor": "return ceil_div(part, right) + mul_div_floor(left, right, right)",
}


def test_the_mutants_of_a_toy() -> None:
    """Every comparison, sign, constant and rounding gives its mutants; assertions, names and texts give none."""
    assert {mutant.id: mutant.after for mutant in mutants_of("toy", TOY)} == LINES


def test_a_mutant_keeps_the_lines() -> None:
    """A changed source has as many lines as before, and differs from it."""
    for mutant in mutants_of("toy", TOY):
        changed = mutant.applied(TOY)
        assert changed != TOY and changed.count("\n") == TOY.count("\n")


def test_a_rounding_without_its_sibling() -> None:
    """Where the other rounding is not imported, it is written out by the one that is, and computes the same."""
    source = "def half(value):\n    return mul_div_floor(value, 1, 2)\n"
    (mutant,) = [one for one in mutants_of("toy", source) if one.kind == "floor-ceil"]
    assert mutant.after == "return (-mul_div_floor(-(value), 1, 2))"
    found: dict[str, Any] = {"mul_div_floor": lambda left, right, divisor: left * right // divisor}
    exec(mutant.applied(source), found)
    assert [found["half"](value) for value in (7, 8, -7)] == [4, 4, -3]


def test_the_sample_hardly_moves() -> None:
    """A seed draws the same mutants again, others draw others, and an edit in one function leaves the rest in place."""
    mutants = mutants_of("toy", TOY)
    drawn = [mutant.id for mutant in sample(mutants, 10, 1)]
    assert drawn == [mutant.id for mutant in sample(mutants[::-1], 10, 1)]
    assert drawn[:5] == [mutant.id for mutant in sample(mutants, 5, 1)]
    assert drawn != [mutant.id for mutant in sample(mutants, 10, 2)]
    edited = mutants_of("toy", TOY.replace("left += 2", "left += 2 + right"))
    here = {mutant.id for mutant in edited}
    assert {mutant.id for mutant in mutants if mutant.function != "rest"} <= here


def mutant_at(line: int) -> Mutant:
    """Return a mutant of one line."""
    return Mutant("toy", "rest", 0, "lt-le", (line,), 0, 1, "<=", "a < b", "a <= b")


def test_checks_that_cannot_see_are_not_asked() -> None:
    """Only checks that run the changed line are asked, those that run it often in little time first."""
    slow = Check("slow", 9.0, {"toy": {4: 90}})
    quick = Check("quick", 0.1, {"toy": {4: 9}})
    blind = Check("blind", 0.1, {"toy": {5: 9}, "other": {4: 1}})
    assert checks_for(mutant_at(4), [slow, blind, quick]) == [quick, slow]
    assert slow.limit_s == 90.0 and quick.limit_s == 5.0


def test_the_checks_are_there() -> None:
    """The histories, the scenarios and the examples are among the files that judge; this one is not."""
    files = check_files(copies.REPOSITORY)
    assert {"tests/mutation/random_histories.py", "tests/scenario/test_scenarios.py"} <= set(files)
    assert "tests/examples/test_published.py" in files and "tests/unit/test_mutation.py" not in files


def test_results_are_kept_and_belong_to_their_sources(tmp_path: Path) -> None:
    """A verdict is read again from the file; a file of other sources is refused."""
    path = tmp_path / "some.jsonl"
    results.Results(path, {"digest": "a"}).add({"id": "toy:rest:0:lt-le", "verdict": "killed"})
    assert results.Results(path, {"digest": "a"}).verdicts["toy:rest:0:lt-le"]["verdict"] == "killed"
    with pytest.raises(results.ResultsError):
        results.Results(path, {"digest": "b"})
    assert json.loads(path.read_text().splitlines()[0]) == {"digest": "a"}


def test_explanations_are_of_this_source() -> None:
    """Each explained mutant is one that its module still offers, and has a reason."""
    for one in results.explanations_read(results.EXPLAINED.read_text()):
        file = one.place.split(":")[0]
        mutants = mutants_of(file, (copies.REPOSITORY / copies.CORE / f"{file}.py").read_text())
        assert any(one.explains(mutant) for mutant in mutants), one
        assert one.reason.endswith(".")


def test_an_explanation_is_four_lines() -> None:
    """Place, before, after and a reason are read; less is refused."""
    (one,) = results.explanations_read("# remark\n\ntoy:rest\n- a < b\n+ a <= b\nThey are\nnever equal.\n")
    assert one.explains(mutant_at(4)) and one.reason == "They are never equal."
    with pytest.raises(results.ResultsError):
        results.explanations_read("toy:rest\n- a < b\n")
