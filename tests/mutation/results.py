"""
What is known of the mutants so far: a file of one line each, to go on with later, and the table at the end.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.mutation.mutants import Mutant, flat

EXPLAINED = Path(__file__).with_name("explained.txt")
KILLED_MIN = 0.97


class ResultsError(Exception):
    """A results file belongs to other sources."""


@dataclass(frozen=True)
class Explanation:
    """Why no test can tell one mutant: its place, the line before and after, and a reason."""

    place: str  # file:function
    before: str
    after: str
    reason: str

    def explains(self, mutant: Mutant) -> bool:
        """Return whether it speaks of this mutant."""
        here = f"{mutant.file}:{mutant.function}"
        return (self.place, self.before, self.after) == (here, mutant.before, mutant.after)


def explanations_read(text: str) -> list[Explanation]:
    """Return the explanations of a text: paragraphs of place, `- before`, `+ after` and a reason; `#` is a remark."""
    found = []
    for paragraph in text.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        place, before, after, *reason = [*lines, "", ""]
        if before[:2] != "- " or after[:2] != "+ " or not any(reason):
            raise ResultsError(f"not an explanation: {place}")
        found.append(Explanation(place, flat(before[2:]), flat(after[2:]), flat(" ".join(reason))))
    return found


class Results:
    """Verdicts by mutant, kept in a file of JSON lines whose first names the sources they are true of."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.verdicts: dict[str, dict[str, Any]] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        if not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(header) + "\n")
            return
        if json.loads(lines[0]) != header:
            raise ResultsError(f"{path} belongs to other sources or tests; name another file, or remove it")
        for line in lines[1:]:
            verdict = json.loads(line)
            self.verdicts[verdict["id"]] = verdict

    def add(self, verdict: dict[str, Any]) -> None:
        """Keep one verdict."""
        self.verdicts[verdict["id"]] = verdict
        with self.path.open("a") as file:
            file.write(json.dumps(verdict) + "\n")


def report(console: Console, mutants: list[Mutant], results: Results, explained: list[Explanation]) -> bool:
    """Print kills by file and every survivor; return whether enough were killed and each survivor is explained."""
    judged = [mutant for mutant in mutants if mutant.id in results.verdicts]
    killed = [mutant for mutant in judged if results.verdicts[mutant.id]["verdict"] == "killed"]
    survivors = [mutant for mutant in judged if mutant not in killed]
    reasons = {mutant.id: one.reason for mutant in survivors for one in explained if one.explains(mutant)}
    counts, kills = Counter(mutant.file for mutant in judged), Counter(mutant.file for mutant in killed)
    table = Table("module", "judged", "killed", "share", title="mutants")
    for file in sorted(counts):
        table.add_row(file, str(counts[file]), str(kills[file]), f"{kills[file] / counts[file]:.1%}")
    share = len(killed) / max(1, len(judged))
    table.add_row("all", str(len(judged)), str(len(killed)), f"{share:.1%}", style="bold")
    console.print(table)
    for mutant in sorted(survivors, key=lambda one: (one.id in reasons, one.id)):
        verdict = results.verdicts[mutant.id]
        known = "explained" if mutant.id in reasons else f"SURVIVED {verdict['checks']} checks, {verdict['how']}"
        console.print(f"{mutant.id} (line {mutant.line}): {known}", style="" if mutant.id in reasons else "red",
                      highlight=False, soft_wrap=True)  # fmt: skip
        console.print(f"    - {mutant.before}\n    + {mutant.after}", highlight=False, markup=False, soft_wrap=True)
        if mutant.id in reasons:
            console.print(f"    {reasons[mutant.id]}", markup=False)
    ways = Counter(results.verdicts[mutant.id]["how"] for mutant in killed)
    seconds = sum(verdict["seconds"] for verdict in results.verdicts.values())
    console.print(
        f"{len(killed)} of {len(judged)} killed, {len(reasons)} survivors explained, "
        f"{len(survivors) - len(reasons)} not; {len(mutants) - len(judged)} not judged; "
        f"killed by {', '.join(f'{way} {count}' for way, count in ways.most_common())}; {seconds:.0f} process seconds",
        soft_wrap=True,
    )
    return share >= KILLED_MIN and len(reasons) == len(survivors) and len(judged) == len(mutants)
