"""
The two compile decorators, of the core and of its entries, and the key of their cache; no JIT, no Numba.

Numba's cache does not notice a constant or a kernel that changed in another file, nor the bounds-check flag. So the
cache folder is named after a digest of every source that a kernel can see and of every version that shapes its code.
"""

import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_SHARED_SOURCES = ("codes", "records", "units", "wire")


def cache_key(repository: Path, versions: str) -> str:
    """Return the digest that names the cache folder of the sources below `repository`."""
    digest = hashlib.blake2b(versions.encode(), digest_size=12)
    sources = sorted((repository / "engine" / "core").glob("*.py"))
    sources += [repository / "shared" / f"{name}.py" for name in _SHARED_SOURCES]
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _processor() -> str:
    """Return the processor's name, which decides the instructions in the cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line for line in lines if line.startswith("model name")), platform.processor())
    except OSError:
        return platform.processor()


def _cache_folder(versions: str) -> str:
    """Return the folder of this build's compiled kernels, created if it can be, else one below the temporary folder."""
    named = os.environ.get("TIDEMARK_KERNEL_CACHE")
    for root in (Path(named) if named else _REPOSITORY / ".venv" / "kernels", Path(tempfile.gettempdir())):
        folder = root / f"tidemark-{cache_key(_REPOSITORY, versions)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return str(folder)
        except OSError:
            continue
    raise OSError("no folder for compiled kernels can be written: set TIDEMARK_KERNEL_CACHE to one")


if JIT:
    import llvmlite
    import numba

    _CHECKED = os.environ.get("NUMBA_BOUNDSCHECK", "0")
    _BUILD = (numba.__version__, llvmlite.__version__, np.__version__, sys.version, _processor(), platform.machine())
    numba.config.CACHE_DIR = _cache_folder(" ".join((*_BUILD, _CHECKED)))
    # No kernel allocates: without the runtime that counts references, an array costs nothing to hand on.
    _OPTIONS = {"error_model": "python", "fastmath": False, "_nrt": False}
    _compile_inner = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
    _compile_entry = numba.njit(cache=True, **_OPTIONS)


def compiled() -> bool:
    """Return whether this build's state machine is in the cache; if not, the first entry compiles for minutes."""
    return not JIT or any(Path(numba.config.CACHE_DIR).rglob("apply.batch_apply-*.nbi"))


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return a function of the core compiled on its first use by another kernel, or as it is when the compiler is off.

    It has no way in from Python (that saves a quarter of the compile time): its code is kept with the entries that
    use it. Kernels must not call each other in a circle: it compiles, and a process that loads it from the cache then
    jumps to an unresolved address (Numba 0.68). A test walks the call graph.
    """
    return _compile_inner(function) if JIT else function


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that Python calls; it is cached with everything it uses."""
    return _compile_entry(function) if JIT else function
