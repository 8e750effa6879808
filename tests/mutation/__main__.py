"""
The mutation run: each mutant in a copy of the repository, judged by the tests that can see it.

    python -m tests.mutation --sample 200 --seed 1 --processes 3

prints its progress, then the survivors; exit code 1 when fewer than 97 % are killed or a survivor is not explained in
`explained.txt`. What is known is kept in a file below `.tidemark/mutation`, from which the same command goes on.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.mutation import checks as judging
from tests.mutation import copies
from tests.mutation.checks import Check
from tests.mutation.mutants import Mutant, mutants_of, sample
from tests.mutation.results import EXPLAINED, Results, ResultsError, explanations_read, report

NAMED = ("ledger", "margin", "matching", "orders", "positions", "triggers", "trailing", "fees", "funding",
         "liquidation", "prices", "due")  # fmt: skip
# What was split from them: arithmetic and tests of a fill, depth, covers, brackets, what wakes, what is due.
SPLIT = ("plans", "depth", "makers", "taking", "reserves", "brackets", "waking", "trail_tree", "timers", "cross",
         "bands", "calls", "stages", "adl", "fitting")  # fmt: skip
FILES = NAMED + SPLIT
MUTANT_LIMIT_S = 240.0
ENDED = (0, 5)  # all passed; nothing was chosen
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)  # of what a mutant does
BATCH = 8  # checks of the unspoilt copy a process
console = Console()


class RunError(Exception):
    """The run cannot begin."""


class Workshop:
    """The copies, and the processes that judge in them."""

    def __init__(self, folder: Path, processes: int) -> None:
        self.folder = folder
        self.processes = processes
        self.master = copies.copy_make(folder / "master")
        self.free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self.running: set[int] = set()

    def collected(self) -> list[str]:
        """Return the names of all checks; what is imported for it stays compiled in the copy, which is then cloned."""
        told, code = self.judge(self.master, self.plan(), writes=True)
        found = [name for line in told for name in line.get("checks", [])]
        broken = [f"{line['check']}: {line['why']}" for line in told if line.get("how") == "import"]
        if broken or not found:
            raise RunError(f"the tests cannot be collected: {broken or code}")
        for number in range(self.processes):
            self.free.put(copies.copy_make(self.folder / f"copy{number}", self.master))
        return found

    def plan(self, checks: Iterable[tuple[str, float]] = (), **options: Any) -> dict[str, Any]:
        """Return a plan of so many checks with their limits; without any, one that only collects."""
        wanted = list(checks)
        files = list(dict.fromkeys(name.split("::")[0] for name, _ in wanted)) or judging.check_files(self.master)
        return {"files": files, "checks": wanted, "watched": [], "limit_s": 3600.0, "first_failure": False, **options}

    def judge(self, root: Path, plan: dict[str, Any], writes: bool = False) -> tuple[list[dict[str, Any]], int]:
        """Run a plan in a copy; return what was told, and the exit code, 0 for none when it had to be stopped."""
        out, written = root.parent / "told.jsonl", root.parent / "plan.json"
        out.write_text("")
        written.write_text(json.dumps({**plan, "out": str(out)}))
        environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(root)}
        environment["PYTHONDONTWRITEBYTECODE"] = "" if writes else "1"
        command = [sys.executable, "-W", "error", "-m", "tests.mutation.judge", str(written)]
        with (root.parent / "said.txt").open("w") as said:
            process = subprocess.Popen(
                command, cwd=root, env=environment, stdout=said, stderr=said, start_new_session=True
            )
            self.running.add(process.pid)
            try:
                code = process.wait(timeout=plan["limit_s"] * 4 + 60)
            except subprocess.TimeoutExpired:
                code = 0
            finally:
                self.stop(process.pid)
                process.wait()
        return [json.loads(line) for line in out.read_text().splitlines() if line.endswith("}")], code

    def stop(self, *pids: int) -> None:
        """End processes and what they started; without a name, all that run."""
        for pid in pids or tuple(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self.running.discard(pid)

    @contextlib.contextmanager
    def copy(self) -> Any:
        """Lend a copy."""
        root = self.free.get()
        try:
            yield root
        finally:
            self.free.put(root)

    def baseline(self, names: list[str]) -> list[dict[str, Any]]:
        """Return what the judge tells of some checks on the unspoilt copy, with the lines that they run."""
        with self.copy() as root:
            watched = [str(root / copies.CORE / f"{file}.py") for file in FILES]
            plan = self.plan([(name, judging.BASELINE_LIMIT_S) for name in names], watched=watched)
            told, _ = self.judge(root, plan)
        seen = {line.get("check") for line in told}
        return told + [{"check": name, "outcome": "failed", "why": "not run"} for name in names if name not in seen]

    def verdict(self, mutant: Mutant, checks: list[Check], limit_s: float) -> dict[str, Any]:
        """Return what becomes of a mutant: killed by the first check that fails, or survived."""
        asked = judging.checks_for(mutant, checks)
        known = {"id": mutant.id, "file": mutant.file, "line": mutant.line, "before": mutant.before,
                 "after": mutant.after, "checks": len(asked)}  # fmt: skip
        if not asked:
            return {**known, "verdict": "survived", "how": "no check runs it", "by": "", "why": "", "seconds": 0.0}
        started = time.monotonic()
        source = (self.master / copies.CORE / f"{mutant.file}.py").read_text()
        with self.copy() as root:
            copies.core_write(root, mutant.file, mutant.applied(source))
            plan = self.plan([(one.name, one.limit_s) for one in asked], limit_s=limit_s, first_failure=True)
            told, code = self.judge(root, plan)
            copies.core_write(root, mutant.file, source)
        failed = [line for line in told if line.get("outcome") == "failed"]
        known["seconds"] = round(time.monotonic() - started, 1)
        if failed:
            return {**known, "verdict": "killed", **{key: failed[0][key] for key in ("how", "why")},
                    "by": failed[0]["check"]}  # fmt: skip
        if any(line.get("outcome") == "time" for line in told):
            return {**known, "verdict": "survived", "how": "timeout without failure", "by": "", "why": ""}
        if code < 0 and -code not in CRASHES:
            raise RunError(f"{mutant.id}: the judge was stopped by signal {-code}")
        if code not in ENDED or not told:
            how = "crash" if code != 0 else "hang"
            return {**known, "verdict": "killed", "how": how, "by": "the process", "why": f"exit code {code}"}
        return {**known, "verdict": "survived", "how": "all passed", "by": "", "why": ""}


def mutants_read(root: Path, files: Iterable[str]) -> list[Mutant]:
    """Return the mutants of the named modules, and say which modules are missing."""
    found: list[Mutant] = []
    for file in files:
        path = root / copies.CORE / f"{file}.py"
        if path.is_file():
            found += mutants_of(file, path.read_text())
        else:
            console.print(f"there is no {path.relative_to(root)}", style="yellow")
    return found


def run_all(
    workshop: Workshop,
    items: list[Any],
    what: str,
    work: Callable[[Any], Any],
    take: Callable[[Any], str],
    end_s: float,
) -> None:
    """Do the work for every item in the workshop, hand each result to `take`, whose words stand beside the bar."""
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.completed}/{task.total} {task.description}"),
               TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(workshop.processes) as pool:
        task = progress.add_task("", total=len(items))

        def one(item: Any) -> Any:
            return work(item) if time.monotonic() < end_s else None

        try:
            for future in as_completed([pool.submit(one, item) for item in items]):
                if (result := future.result()) is not None:
                    progress.update(task, advance=1, description=take(result))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            workshop.stop()
            raise


def checks_run(workshop: Workshop, path: Path, key: str, skip_red: bool) -> list[Check]:
    """Return every check with its seconds and lines, from the file of an earlier run or by running them all."""
    if path.exists() and (kept := json.loads(path.read_text()))["digest"] == key:
        workshop.collected()
        return [judging.check_read(one) for one in kept["checks"]]
    names = workshop.collected()
    batches = [names[start :: -(-len(names) // BATCH)] for start in range(-(-len(names) // BATCH))]
    told: list[dict[str, Any]] = []

    def take(lines: list[dict[str, Any]]) -> str:
        told.extend(lines)
        return ""

    run_all(workshop, batches, "unspoilt copy", workshop.baseline, take, float("inf"))
    slow = [line["check"] for line in told if line.get("how") == "hang"]
    for name in slow:
        console.print(f"left out, too slow without the compiler: {name}", style="yellow", markup=False)
    red = [line for line in told if line.get("outcome") == "failed" and line["check"] not in slow]
    for line in red:
        console.print(f"fails without any mutant: {line['check']}: {line['why']}", style="red", markup=False)
    if red and not skip_red:
        raise RunError("nothing can be judged by tests that fail; --skip-red leaves them out")
    failing = {*slow, *(line["check"] for line in red)}
    passed = [line for line in told if line.get("outcome") == "passed" and line["check"] not in failing]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"digest": key, "checks": passed}))
    return [judging.check_read(line) for line in passed]


def listing(mutants: list[Mutant]) -> None:
    """Print the mutants."""
    for mutant in mutants:
        console.print(f"{mutant.id} (line {mutant.line})", highlight=False, soft_wrap=True)
        console.print(f"    - {mutant.before}\n    + {mutant.after}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(mutants)} mutants")


@click.command("mutation")
@click.option("--sample", "count", default=200, show_default=True, help="How many mutants; 0 for all there are.")
@click.option("--seed", default=1, show_default=True, help="Which ones.")
@click.option("--files", default=",".join(FILES), help="Modules of the core, with commas; `named` for the twelve.")
@click.option("--minutes", type=float, help="Begin no further mutant after so many.")
@click.option("--processes", default=2, show_default=True, help="How many are judged at once.")
@click.option("--resume", type=click.Path(path_type=Path, dir_okay=False), help="Results to go on with.")
@click.option("--list", "only_list", is_flag=True, help="Print the mutants and judge none.")
@click.option("--only", multiple=True, help="Judge the mutant of this id, again; may be given several times.")
@click.option("--limit", "limit_s", default=MUTANT_LIMIT_S, show_default=True, help="Processor seconds for one mutant.")
@click.option("--skip-red", is_flag=True, help="Leave out tests that fail without any mutant.")
def main(
    count: int,
    seed: int,
    files: str,
    minutes: float | None,
    processes: int,
    resume: Path | None,
    only_list: bool,
    only: tuple[str, ...],
    limit_s: float,
    skip_red: bool,
) -> None:
    """Judge a seeded sample of the core's mutants by the suite."""
    end_s = time.monotonic() + 60 * minutes if minutes else float("inf")
    kept = copies.REPOSITORY / ".tidemark" / "mutation"
    try:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            workshop = Workshop(Path(folder), processes)
            every = mutants_read(workshop.master, NAMED if files == "named" else files.split(","))
            chosen = sample(every, count or len(every), seed)
            if only:
                chosen = [mutant for mutant in every if mutant.id in only]
            if only_list or not chosen:
                listing(chosen)
                return
            explained = explanations_read(EXPLAINED.read_text())
            key = copies.digest(workshop.master)
            name = "only" if only else f"seed{seed}"
            results = Results(resume or kept / f"{name}-{key[:8]}.jsonl", {"digest": key, "seed": seed})
            checks = checks_run(workshop, kept / "checks.json", key, skip_red)
            left = [mutant for mutant in chosen if only or mutant.id not in results.verdicts]
            survivors: list[str] = []

            def take(verdict: dict[str, Any]) -> str:
                results.add(verdict)
                survivors.extend([verdict["id"]] * (verdict["verdict"] == "survived"))
                return f"survivors {len(survivors)}"

            run_all(workshop, left, "mutants", lambda one: workshop.verdict(one, checks, limit_s), take, end_s)
    except (RunError, ResultsError) as error:
        raise click.ClickException(str(error)) from error
    console.print(f"results: {results.path}")
    sys.exit(0 if report(console, chosen, results, explained) else 1)


if __name__ == "__main__":
    main()
