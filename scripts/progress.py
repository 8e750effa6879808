"""How far a long reading has come: a bar where a person looks, a line every few seconds where a log is written."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SILENT_S = 2.0  # what is over sooner needs no bar
LINE_S = 5.0


class Going:
    """Counts entries; shows rate and remaining time once it has lasted two seconds. Writes to stderr alone."""

    def __init__(self, words: str, total: int) -> None:
        self.words = words
        self.total = max(0, total)
        self.done = 0
        self.started_s = time.monotonic()
        self.line_next_s = self.started_s + SILENT_S
        self.console = Console(stderr=True)
        self.bar: Progress | None = None

    def __enter__(self) -> "Going":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def rate(self) -> float:
        """Return entries a second so far."""
        return self.done / max(1e-6, time.monotonic() - self.started_s)

    def advance(self, count: int) -> None:
        """Count entries, and show them when it is time."""
        self.done += count
        now_s = time.monotonic()
        if self.bar is not None:
            self.bar.update(0, completed=self.done, rate=self.rate())  # type: ignore[arg-type]
        elif now_s >= self.line_next_s:
            self.line_next_s = now_s + LINE_S
            if self.console.is_terminal:
                self.bar_start()
            else:
                left = max(0, self.total - self.done)
                print(
                    f"{self.words}: {self.done:,} of {self.total:,} entries, {self.rate():,.0f} a second,"
                    f" about {left / max(1.0, self.rate()):,.0f} s remaining",
                    file=sys.stderr,
                    flush=True,
                )

    def bar_start(self) -> None:
        """Show the bar from now on."""
        columns = (
            TextColumn(self.words),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.bar.add_task(self.words, total=self.total, completed=self.done, rate=self.rate())
        self.bar.start()
