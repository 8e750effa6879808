"""One history under other hash seeds, other Pythons and with its state restored at every turn: the same bytes."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from tests.integration.conftest import REPOSITORY

ENTRIES, ENTRIES_FULL = 400, 4_000
SEEDS = ("0", "1", "4242")
PYTHONS = ("python3.12", "python3.13", "python3.14")


def started(python: str, hash_seed: str, entries: int, every: int) -> "subprocess.Popen[str]":
    """Return the program, started under a hash seed."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "NUMPY_MADVISE_HUGEPAGE": "0"}
    command = [python, "-m", "tests.faults.matrix.replayed", "--entries", str(entries), "--restore-every", str(every)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment)


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what the program found."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return dict(json.loads(output))


def able(python: str) -> bool:
    """Return whether another Python is here with what the program needs."""
    path = shutil.which(python)
    words = [path or "", "-c", "import numba, orjson, click, redis, structlog"]
    return path is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_hash_seeds_and_restores(full: bool) -> None:
    """Under three hash seeds, restored at every tenth entry or never, events and state are the same."""
    entries = ENTRIES_FULL if full else ENTRIES
    programs = [started(sys.executable, SEEDS[0], entries, 0)]
    programs += [started(sys.executable, seed, entries, 10) for seed in SEEDS[1:]]
    programs += [started(python, SEEDS[0], entries, 10) for python in PYTHONS if able(python)]
    found = [told(program) for program in programs]
    assert len({json.dumps([each["events"], each["digest"], each["hashes"]]) for each in found}) == 1
    assert found[0]["events"] > entries // 3
    print(f"\n{len(found)} times the same: {found[0]}, Pythons {sorted({each['python'] for each in found})}")
