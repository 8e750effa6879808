"""
Which tests judge a mutant, which of them can see it, and in which order they are asked.

Every check runs once on the unspoilt copy, where it must pass; which lines of the mutated modules it runs, how often,
and how long it takes decides the order: a check that runs the changed line often in little time comes first, one that
never runs it is not asked.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutation.mutants import MODULE_LEVEL, Mutant

HISTORIES = "tests/mutation/random_histories.py"
FOLDERS = ("tests/scenario", "tests/examples", "tests/golden", "tests/property", "tests/unit")
OWN = "builders|examples|golden|property|reference|scenario|trailing_market"
SEES = rf"engine import core|engine\.(core|library)|tests\.({OWN})"
SEES_CORE = re.compile(rf"(from|import) ({SEES})\b")
# Histories are run seed by seed here; the others compile, read sources or pages, or test this tool.
LEFT_OUT = {"test_twin", "test_modes", "test_kernel", "test_mutation", "test_commands_page", "test_risk_page"}
HITS_MAX = 60
START_S = 0.03
LIMIT_FACTOR = 10
LIMIT_MIN_S = 5.0
BASELINE_LIMIT_S = 100.0  # what takes longer without the compiler is left out


@dataclass
class Check:
    """One test as it ran on the unspoilt copy: its seconds, and per module how often each line ran."""

    name: str
    seconds: float
    hits: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def limit_s(self) -> float:
        """Return after how long it hangs."""
        return max(LIMIT_MIN_S, LIMIT_FACTOR * self.seconds)

    def hits_of(self, mutant: Mutant) -> int:
        """Return how often it runs what a mutant changes; what stands outside functions is run by all."""
        if mutant.function == MODULE_LEVEL:
            return HITS_MAX
        lines = self.hits.get(mutant.file, {})
        return max((lines.get(line, 0) for line in mutant.lines), default=0)


def check_files(root: Path) -> list[str]:
    """Return the test files that see the core, and the histories."""
    found = [HISTORIES]
    for folder in FOLDERS:
        paths = (path for path in sorted((root / folder).glob("test_*.py")) if path.stem not in LEFT_OUT)
        found += [str(path.relative_to(root)) for path in paths if SEES_CORE.search(path.read_text())]
    return found


def check_read(told: dict[str, Any]) -> Check:
    """Return a check from what the judge told of it."""
    hits = {file: {int(line): count for line, count in lines.items()} for file, lines in told.get("hits", {}).items()}
    return Check(told["check"], told["seconds"], hits)


def checks_for(mutant: Mutant, checks: list[Check]) -> list[Check]:
    """Return the checks that run what a mutant changes, the most telling for its time first."""
    seeing = [(check, hits) for check in checks if (hits := check.hits_of(mutant))]
    seeing.sort(key=lambda one: -min(one[1], HITS_MAX) / (one[0].seconds + START_S))
    return [check for check, _ in seeing]
