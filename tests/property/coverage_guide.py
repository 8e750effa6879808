"""
Inputs that lead the readers down new lines: the same code, interpreted and traced, keeps what reached something new.

What is kept are the bases that the compiled fuzz spoils further: `python -m tests.property.coverage_guide` writes them,
and goes on with those that are there. It needs NUMBA_DISABLE_JIT=1, for compiled code has no lines.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orjson

from shared.stream_keys import Entry, Fields, log_id
from tests.property.wire_checks import fields_of, list_check

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLLOWED = (str(REPOSITORY / "engine" / "decode"), str(REPOSITORY / "engine" / "log_reply.py"))


class Arcs:
    """The steps from one line to the next that were ever taken in the followed sources."""

    def __init__(self) -> None:
        self.taken: set[tuple[CodeType, int, int]] = set()
        self.followed: dict[CodeType, bool] = {}
        self.before: dict[FrameType, int] = {}

    def follows(self, code: CodeType) -> bool:
        """Return whether this code's lines count."""
        known = self.followed.get(code)
        if known is None:
            known = self.followed[code] = code.co_filename.startswith(FOLLOWED)
        return known

    def entered(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        """Follow a call, or do not."""
        if not self.follows(frame.f_code):
            return None
        self.before[frame] = 0
        return self.stepped

    def stepped(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """Note one step."""
        if event == "line":
            self.taken.add((frame.f_code, self.before[frame], frame.f_lineno))
            self.before[frame] = frame.f_lineno
        elif event == "return":
            self.taken.add((frame.f_code, self.before.pop(frame, 0), -1))
        return self.stepped

    def new(self, work: Callable[[], None]) -> int:
        """Return how many steps the work took that none took before."""
        count = len(self.taken)
        sys.settrace(self.entered)
        try:
            work()
        finally:
            sys.settrace(None)
            self.before.clear()
        return len(self.taken) - count


def corpus_read(path: Path | None) -> list[Fields]:
    """Return the fields of the inputs in a file, none when it is not there."""
    if path is None or not path.exists():
        return []
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [[(name.encode("latin-1"), value.encode("latin-1")) for name, value in line] for line in lines]


def guide(seed: int, seconds: float, path: Path) -> tuple[int, int, int]:
    """Add inputs that reach something new to the file; return how many were tried, are held, and steps were taken."""
    chance, arcs, corpus = random.Random(seed), Arcs(), corpus_read(path)
    for fields in corpus:
        arcs.new(lambda fields=fields: list_check([Entry(1, fields)], [log_id(1)], 0))  # type: ignore[misc]
    tried, end_s = 0, time.monotonic() + seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        while time.monotonic() < end_s:
            fields = fields_of(chance, corpus)
            tried += 1
            if arcs.new(lambda fields=fields: list_check([Entry(1, fields)], [log_id(1)], 0)):  # type: ignore[misc]
                corpus.append(fields)
                texts = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]
                file.write(orjson.dumps(texts) + b"\n")
    return tried, len(corpus), len(arcs.taken)


def main() -> None:
    """Guide for so many seconds, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--corpus", type=Path, required=True)
    arguments = parser.parse_args()
    tried, held, steps = guide(arguments.seed, arguments.seconds, arguments.corpus)
    print(orjson.dumps({"tried": tried, "corpus": held, "steps": steps}).decode())


if __name__ == "__main__":
    main()
