"""scripts/kernels.py: what the progress of compiling says, and which compiled code is kept."""

import os
from pathlib import Path

import pytest

from scripts import kernels


def test_progress_names_what_is_being_compiled(tmp_path: Path) -> None:
    """Parts that were begun and are not done stand in the line, the others are counted."""
    log = tmp_path / "compile.log"
    assert kernels.progress_line(log, 0.1).endswith("0.1 s, 0 parts done, now beginning")
    log.write_text("compiling: the core\ncompiling: views\ncompiled: views\na warning\ncompiling: readers\n")
    assert kernels.progress_line(log, 12.0).endswith("12.0 s, 1 parts done, now the core; readers")


def test_each_family_keeps_its_newest_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many changes of the wire's sources do not drop the core's compiled code."""
    monkeypatch.setenv("TIDEMARK_KERNEL_CACHE", str(tmp_path))
    for number in range(kernels.CACHES_KEPT + 3):
        for family in ("core", "wire"):
            folder = tmp_path / f"tidemark-{family}-{number:x}"
            if family == "core" and number > 0:
                continue
            folder.mkdir()
            os.utime(folder, (number, number))
    kernels.caches_drop()
    left = sorted(path.name for path in tmp_path.iterdir())
    newest = [f"tidemark-wire-{number:x}" for number in range(3, kernels.CACHES_KEPT + 3)]
    assert left == ["tidemark-core-0", *newest]
