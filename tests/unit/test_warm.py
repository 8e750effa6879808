"""engine/warm.py: after it nothing is left to compile."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.kernel import JIT

ROOT = Path(__file__).resolve().parents[2]
# Prints the entries of the engine that no part of the warm-up has called, and those that it called with two kinds.
LEFT = """
import re, sys
from pathlib import Path
from engine import warm
warm.Engine()
warm.beside_compile()
for path in sorted(Path("engine").rglob("*.py")):
    for name in re.findall(r"^@entry(?:_beside)?\\ndef (\\w+)", path.read_text(), re.MULTILINE):
        module = sys.modules.get(".".join(path.with_suffix("").parts))
        if module is None or len(getattr(module, name).signatures) != 1:
            print("left:", path, name, file=sys.stderr)
"""


@pytest.mark.skipif(not JIT, reason="the compiler is off")
def test_every_entry_is_compiled_once() -> None:
    """The warm-up calls every entry of the engine, each with one kind of arguments."""
    ended = subprocess.run([sys.executable, "-c", LEFT], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
