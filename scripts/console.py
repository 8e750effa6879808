"""What the supervisor says to the person at the keyboard: short lines that fit 80 columns."""

import json
import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

WIDTH = 80
# Not trouble, yet worth a line: what a person waits for or wonders about.
EVENTS_SHOWN = frozenset(
    {
        *("feed_down", "feed_unreachable", "feed_up", "snapshot_loaded"),
        *("leader_promoted", "leader_deposed", "behind_trim", "border_written", "views_rebuilt"),
    }
)
# Shown while the venue starts, when processes still wait for each other and warn about it.
EVENTS_SHOWN_EARLY = frozenset({"recovery_progress", "snapshot_loaded"})
FIELDS_HIDDEN = frozenset({"time", "timestamp", "level", "process", "event", "exception"})
LINES_PER_WINDOW = 4
WINDOW_S = 10.0


class Console:
    """Writes lines; keeps at most one unfinished line of progress at the bottom."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.progress_shown = ""

    def say(self, line: str = "") -> None:
        """Print one line above the line of progress."""
        self.clear()
        print(line, flush=True)
        self.redraw()

    def part(self, name: str, words: str, seconds: float | None = None) -> None:
        """Print one line about one part of the venue, with the time it took at the right."""
        took = "" if seconds is None else f"{seconds:6.1f} s"
        room = WIDTH - 14 - len(took)
        self.say(f"  {name:<11} {cut(words, room):<{room}}{took}".rstrip())

    def progress(self, line: str) -> None:
        """Show a line that the next one replaces; on something else than a terminal it is not shown."""
        if self.terminal:
            self.clear()
            self.progress_shown = cut(line, WIDTH - 1)
            self.redraw()

    def progress_end(self) -> None:
        """Take the line of progress away."""
        self.clear()
        self.progress_shown = ""

    def clear(self) -> None:
        """Wipe the line of progress from the screen."""
        if self.terminal and self.progress_shown:
            sys.stdout.write("\r\x1b[K")

    def redraw(self) -> None:
        """Write the line of progress again."""
        if self.terminal and self.progress_shown:
            sys.stdout.write(self.progress_shown)
            sys.stdout.flush()


def cut(text: str, width: int) -> str:
    """Return the text within so many columns."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


class LogWatcher:
    """Follows the processes' log files and passes on what a person should see, and not too much of it."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.places: dict[str, int] = {}
        self.rests: dict[str, bytes] = defaultdict(bytes)
        self.windows: dict[str, tuple[float, int]] = {}
        self.early = True  # the venue is still starting

    def look(self, names: list[str]) -> None:
        """Read what was added to these processes' logs and print the important lines."""
        for name in names:
            for line in self.lines_new(name):
                if text := line_worth_showing(line, self.early):
                    self.show(name, text)

    def lines_new(self, name: str) -> list[bytes]:
        """Return the whole lines added since the last look."""
        path = self.folder / f"{name}.log"
        try:
            size = path.stat().st_size
            place = self.places.setdefault(name, 0)
            if size < place:  # the file was rotated
                place, self.rests[name] = 0, b""
            if size == place:
                return []
            with path.open("rb") as source:
                source.seek(place)
                added = source.read(1 << 20)
        except OSError:
            return []
        self.places[name] = place + len(added)
        *lines, self.rests[name] = (self.rests[name] + added).split(b"\n")
        return lines

    def skip(self, name: str) -> None:
        """Begin at the end of what an earlier run wrote."""
        path = self.folder / f"{name}.log"
        self.places[name] = path.stat().st_size if path.exists() else 0

    def show(self, name: str, text: str) -> None:
        """Print the line, unless this process said too much in the last seconds."""
        now = time.monotonic()
        start, count = self.windows.get(name, (now, 0))
        if now - start > WINDOW_S:
            start, count = now, 0
        self.windows[name] = (start, count + 1)
        if count < LINES_PER_WINDOW:
            self.console.part(name, text)
        elif count == LINES_PER_WINDOW:
            self.console.part(name, f"… more in {self.folder.name}/{name}.log")

    def last_words(self, name: str) -> str:
        """Return the line that says why a process stopped: its last error, else its last line."""
        try:
            lines = (self.folder / f"{name}.log").read_bytes()[-4096:].strip().split(b"\n")
        except OSError:
            return ""
        said = [line for line in lines[-8:] if re.search(rb'"level":"(error|critical)"|\b(ERROR|FATAL)\b', line)]
        return line_words((said or lines)[-1])


def line_fields(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a JSON line; None for other lines."""
    try:
        fields = json.loads(line) if line.startswith(b"{") else None
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def line_worth_showing(line: bytes, early: bool) -> str | None:
    """Return the words of a line that a person should see at once; None for the others."""
    fields = line_fields(line)
    if fields is None:
        return None
    grave = ("error", "critical") if early else ("warning", "error", "critical")
    events = EVENTS_SHOWN_EARLY if early else EVENTS_SHOWN | EVENTS_SHOWN_EARLY
    return line_words(line) if fields.get("level") in grave or fields.get("event") in events else None


def line_words(line: bytes) -> str:
    """Return a log line in words: what happened, then its fields."""
    fields = line_fields(line)
    if fields is None:
        return line.decode(errors="replace").strip()
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in FIELDS_HIDDEN)
    return f"{str(fields.get('event', '')).replace('_', ' ')} {rest}".strip()
