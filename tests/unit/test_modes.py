"""The core computes the same with the compiler on, off (every overflow an error) and under another hash seed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HISTORY = """
import random
from tests.builders import BTC, SOL, opened, step
engine, chance, mids = opened(3), random.Random(11), {BTC: 600_000, SOL: 15_000}
events = sum(len(step(engine, chance, number, mids)) for number in range(1, 250))
assert engine.invariants() == []
print(events, engine.state_hash())
"""


def run(flags: list[str], **environment: str) -> str:
    """Return what the history prints in an interpreter of its own."""
    command = [sys.executable, *flags, "-c", HISTORY]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_compiled_and_interpreted_agree() -> None:
    """One history gives one hash, compiled or interpreted with warnings as errors, whatever the hash seed."""
    compiled = run([], PYTHONHASHSEED="1")
    interpreted = run(["-W", "error"], NUMBA_DISABLE_JIT="1", PYTHONHASHSEED="2")
    assert compiled == interpreted
    assert int(compiled.split()[0]) > 500
