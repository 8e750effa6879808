"""engine/core/compiler.py: kernels end in their entries' code, errors come through, and a cached entry is the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.kernel import JIT

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not JIT, reason="the compiler is off")

KERNELS = '''
import numpy as np
from engine.core import kernel

@kernel.kernel
def taken(numbers, place):
    return numbers[place]

@kernel.inlined
def doubled(number):
    return 2 * number

@kernel.kernel
def checked(numbers, place):
    assert place < 1000, "too far"
    return doubled(taken(numbers, place)) + taken(numbers, 0)

@kernel.entry
def first(numbers, place):
    """An entry."""
    return checked(numbers, place)

@kernel.entry_beside
def second(numbers, place):
    """An entry that uses another's kernels and the other itself."""
    return first(numbers, place) + taken(numbers, place)

if __name__ != "__main__":
    numbers = np.arange(5)
    print(first(numbers, 3), second(numbers, 4), numbers[:0].size)
    for place in (1000, 7, -1):
        try:
            second(numbers, place)
        except (AssertionError, IndexError) as error:
            print(type(error).__name__, error)
        else:
            print("nothing")
    print(sum(first.stats.cache_hits.values()), sum(second.stats.cache_hits.values()))
    library = next(iter(taken.overloads.values())).library if taken.overloads else None
    print(type(library).__name__, library is not None and library._compiled_object is None)
'''


def said(folder: Path, *, checked: bool) -> list[str]:
    """Return what the program above prints, in a process of its own with a cache below the folder."""
    source = folder / "sample_kernels.py"
    if not source.exists():
        source.write_text(KERNELS)
    settings = (f"TIDEMARK_KERNEL_CACHE={folder}", f"NUMBA_BOUNDSCHECK={int(checked)}", f"PYTHONPATH={folder}:{ROOT}")
    command = ["env", *settings, sys.executable, "-c", "import sample_kernels"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_entries_take_their_kernels_with_them(tmp_path: Path) -> None:
    """Results and errors of inner kernels come through two entries, compiled now as well as loaded from the cache."""
    fresh, cached = (said(tmp_path, checked=False) for _ in range(2))
    assert fresh[:2] == cached[:2] == ["6 12 0", "AssertionError too far"]
    assert fresh[-2:] == ["0 0", "KernelLibrary True"], "an inner kernel was made machine code by itself"
    assert cached[-2:] == ["1 1", "NoneType False"], "the entries were not loaded from the cache"


def test_bounds_are_checked_where_that_is_asked_for(tmp_path: Path) -> None:
    """The bounds-checked build looks at every place, in kernels that stand in an entry as well."""
    for _ in range(2):
        assert said(tmp_path, checked=True)[:4] == [
            "6 12 0",
            "AssertionError too far",
            "IndexError index is out of bounds",
            "IndexError index is out of bounds",  # -1: no place from the end
        ]


def test_numba_is_the_one_that_the_compiler_was_written_against() -> None:
    """
    The compiler stands on Numba's insides; after an upgrade look at them before NUMBA in compiler.py names it.

    Compare Numba's DefaultPassBuilder with PASSES (a new pass that kernels need?), CPUCodeLibrary.finalize,
    _optimize_functions, _optimize_final_module, CPUContext.get_executable, PassManager._runPass and
    slicing.fix_integer_index with what replaces them; then compile from nothing (`scripts/bench core`), with the
    bounds check and without, and run the suite. If they moved too far: without `pipeline_class` in kernel.py
    everything works, three times as slowly compiled.
    """
    import numba

    from engine.core import compiler

    assert numba.__version__ == compiler.NUMBA
