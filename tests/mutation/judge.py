"""
Runs checks in a copy of the repository, inside a process of its own, and writes what became of each.

    python -m tests.mutation.judge PLAN.json

A check is a test. Each has an alarm: a mutant may never end. All times are the process's own, so that a busy machine
makes no mutant hang. With `watched` files it counts how often each of their lines runs in each check; with
`first_failure` it stops there.
"""

import contextlib
import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

MEMORY_MAX_BYTES = 20 << 30  # of addresses: each empty state takes one and a half GiB of them, and little memory


class Hang(BaseException):
    """A check took many times as long as it does; not an Exception, so that nothing but the end catches it."""


def alarm(number: int, frame: FrameType | None) -> None:
    """End what runs."""
    raise Hang("took too long")


class Judge:
    """The plugin that chooses, orders, watches and reports."""

    def __init__(self, plan: dict[str, Any], out: Any) -> None:
        self.order = {check: index for index, (check, _) in enumerate(plan["checks"])}
        self.limits_s = dict(plan["checks"])
        self.choose = bool(self.order)
        self.watched = {path: Counter() for path in plan["watched"]}  # type: dict[str, Counter[int]]
        self.end_s = time.process_time() + plan["limit_s"]
        self.began_s = 0.0
        self.out = out
        self.hung = ""

    def tell(self, **told: Any) -> None:
        """Write one line."""
        self.out.write(json.dumps(told) + "\n")
        self.out.flush()

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Know the setting of the plugin that is left out: it has an alarm of its own."""
        parser.addini("timeout", "not used here")

    def pytest_configure(self, config: pytest.Config) -> None:
        """Know its mark too."""
        config.addinivalue_line("markers", "timeout(seconds): not used here")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the checks of the plan, in its order; without any, tell which there are."""
        if not self.choose:
            self.tell(checks=[item.nodeid for item in items])
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid]
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell what cannot even be imported."""
        if report.failed:
            self.tell(check=report.nodeid, outcome="failed", how="import", seconds=0.0, why=last_line(report.longrepr))

    def guarded(self, item: pytest.Item) -> contextlib.AbstractContextManager[None]:
        """Return a context that runs one phase of a check under its alarm, and counts lines."""

        @contextlib.contextmanager
        def context() -> Generator[None]:
            signal.setitimer(signal.ITIMER_PROF, self.limits_s[item.nodeid], 1.0)
            if self.watched:
                sys.settrace(self.trace)
            try:
                yield
            except Hang:
                self.hung = item.nodeid
                raise
            finally:
                sys.settrace(None)
                signal.setitimer(signal.ITIMER_PROF, 0)

        return context()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Guard what a check prepares."""
        with self.guarded(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Guard the check itself."""
        with self.guarded(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
        """Tell what became of a check, unless the whole plan's time is over before it begins."""
        self.began_s = time.process_time()
        if self.began_s > self.end_s:
            item.session.shouldstop = "time"
            self.tell(outcome="time")
        for lines in self.watched.values():
            lines.clear()
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell the outcome of a phase: a failure at once, a success at the end."""
        seconds = round(time.process_time() - self.began_s, 3)
        if report.failed:
            how = "hang" if self.hung == report.nodeid else "assertion"
            why = last_line(report.longrepr)
            self.tell(check=report.nodeid, outcome="failed", how=how, seconds=seconds, why=why)
        elif report.when == "call" or report.skipped:
            hits = {Path(path).stem: dict(lines) for path, lines in self.watched.items() if lines}
            self.tell(check=report.nodeid, outcome=report.outcome, seconds=seconds, hits=hits)

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Count the lines of a watched file's functions."""
        lines = self.watched.get(frame.f_code.co_filename)
        if lines is None:
            return None

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                lines[frame.f_lineno] += 1
            return line

        return line


def last_line(longrepr: Any) -> str:
    """Return what a failure says, short."""
    crash = getattr(longrepr, "reprcrash", None)
    words = str(crash.message if crash is not None else longrepr).strip().splitlines()
    return (words[0] if crash is not None and words else words[-1] if words else "")[:200]


def main() -> int:
    """Run the plan of the file named on the command line."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, hard))
    signal.signal(signal.SIGPROF, alarm)
    arguments = [*plan["files"], "-p", "no:timeout", "-p", "no:anyio", "--no-header", "--tb=short"]
    if plan["first_failure"]:
        arguments.append("-x")
    if not plan["checks"]:
        arguments.append("--collect-only")
    with Path(plan["out"]).open("w") as out:
        return int(pytest.main(arguments, plugins=[Judge(plan, out)]))


if __name__ == "__main__":
    sys.exit(main())
