"""
The two compile decorators, of kernels and of their entries, and the keys of their caches; no JIT, no Numba.

Numba's cache does not notice a constant or a kernel that changed in another file, nor the bounds-check flag. So a
cache folder is named after a digest of every source that its kernels can see and of every version that shapes its
code. There are two families of kernels, the core's and the wire's: neither sees the other's sources, except this file
and compiler.py, and so a change of one leaves the other compiled.
"""

import hashlib
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_DECORATORS = ("compiler", "kernel")
_SHARED_SOURCES = ("codes", "records", "units", "wire")
_DECORATED = re.compile(rb"^@(?:kernel|inlined|entry|entry_beside)$", re.MULTILINE)


class Family(Enum):
    """A family of kernels, which has a cache folder of its own."""

    CORE = "core"
    WIRE = "wire"


def family_of(module: str) -> Family:
    """Return the family of a module's kernels: the wire's are those of the engine outside its core."""
    return Family.WIRE if module.startswith("engine.") and not module.startswith("engine.core.") else Family.CORE


def cache_sources(repository: Path, family: Family) -> list[Path]:
    """
    Return every source that the kernels of a family can see.

    The wire's see each other, the packages decode and encode, the decorators and what shared says of the wire's form;
    a test holds them to it.
    """
    engine, shared = repository / "engine", repository / "shared"
    named = [shared / f"{name}.py" for name in _SHARED_SOURCES]
    if family is Family.CORE:
        return [*sorted((engine / "core").glob("*.py")), *named]
    kernels = sorted(path for path in engine.glob("*.py") if _DECORATED.search(path.read_bytes()))
    packages = sorted(path for package in ("decode", "encode") for path in (engine / package).glob("*.py"))
    seen = [*named, *sorted(shared.glob("wire_*.py")), *(engine / "core" / f"{name}.py" for name in _DECORATORS)]
    return [*kernels, *packages, *seen]


def cache_key(repository: Path, versions: str, family: Family = Family.CORE) -> str:
    """Return the digest that names the cache folder of a family's sources below `repository`."""
    digest = hashlib.blake2b(versions.encode(), digest_size=12)
    for source in cache_sources(repository, family):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _processor() -> str:
    """Return the processor's name, which decides the instructions in the cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line for line in lines if line.startswith("model name")), platform.processor())
    except OSError:
        return platform.processor()


def _cache_folder(versions: str, family: Family) -> str:
    """Return the folder of a family's compiled kernels, created if it can be, else one below the temporary folder."""
    named = os.environ.get("TIDEMARK_KERNEL_CACHE")
    for root in (Path(named) if named else _REPOSITORY / ".venv" / "kernels", Path(tempfile.gettempdir())):
        folder = root / f"tidemark-{family.value}-{cache_key(_REPOSITORY, versions, family)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return str(folder)
        except OSError:
            continue
    raise OSError("no folder for compiled kernels can be written: set TIDEMARK_KERNEL_CACHE to one")


if JIT:
    import llvmlite
    import numba

    from engine.core.compiler import EntryCompiler, KernelCompiler

    _CHECKED = os.environ.get("NUMBA_BOUNDSCHECK", "0")
    _BUILD = (numba.__version__, llvmlite.__version__, np.__version__, sys.version, _processor(), platform.machine())
    _VERSIONS = " ".join((*_BUILD, _CHECKED))
    _FOLDERS = {family: _cache_folder(_VERSIONS, family) for family in Family}
    numba.config.CACHE_DIR = _FOLDERS[Family.CORE]
    # No kernel allocates: without the runtime that counts references, an array costs nothing to hand on.
    _OPTIONS = {"error_model": "python", "fastmath": False, "_nrt": False}
    _INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": KernelCompiler, **_OPTIONS}
    _compile_inner = numba.njit(**_INNER)
    _compile_inline = numba.njit(forceinline=True, **_INNER)
    _compile_entry = numba.njit(cache=True, pipeline_class=EntryCompiler, **_OPTIONS)
    _compile_beside = numba.njit(cache=True, nogil=True, pipeline_class=EntryCompiler, **_OPTIONS)


def cache_folders() -> list[Path]:
    """Return the folder of each family's compiled kernels."""
    return [Path(folder) for folder in _FOLDERS.values()] if JIT else []


def compiled() -> bool:
    """Return whether the largest entry of each family is in the cache; if not, the first calls take a minute."""
    largest = {Family.CORE: "apply.batch_apply-*.nbi", Family.WIRE: "rows.rows_read-*.nbi"}
    return not JIT or all(any(Path(_FOLDERS[family]).rglob(name)) for family, name in largest.items())


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return a function of the core compiled on its first use by another kernel, or as it is when the compiler is off.

    It has no way in from Python (that saves a quarter of the compile time): its code is kept with the entries that
    use it. Kernels must not call each other in a circle: it compiles, and a process that loads it from the cache then
    jumps to an unresolved address (Numba 0.68). A test walks the call graph.
    """
    return _compile_inner(function) if JIT else function


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel whose code stands wherever it is called: for a few lines that a call would cost more than."""
    return _compile_inline(function) if JIT else function


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that Python calls; it is cached, in its family's folder, with everything it uses."""
    return _entry(function, _compile_entry) if JIT else function


def entry_beside(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an entry that lets go of the interpreter while it runs: other threads go on, it must share nothing."""
    return _entry(function, _compile_beside) if JIT else function


def _entry(function: Callable[..., Any], compiler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled entry, its cache in its family's folder: Numba reads it when caching is switched on, here."""
    numba.config.CACHE_DIR = _FOLDERS[family_of(function.__module__)]
    try:
        return compiler(function)
    finally:
        numba.config.CACHE_DIR = _FOLDERS[Family.CORE]
