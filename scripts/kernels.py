"""The one-time compilation of the engine: whether it is needed, and its progress while other things start."""

import asyncio
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path

from scripts.console import Console
from scripts.processes import Child

REPOSITORY = Path(__file__).resolve().parent.parent
STAMP = "compiled.stamp"
CACHES_KEPT = 6


def stamp_wanted() -> str:
    """Return a digest of everything that the compiled code depends on, computed without importing any of it."""
    digest = hashlib.sha256(f"{sys.version} {platform.machine()} {processor()}".encode())
    digest.update(os.environ.get("NUMBA_BOUNDSCHECK", "").encode())
    shared = [REPOSITORY / "shared" / f"{name}.py" for name in ("codes", "records", "units", "wire")]
    shared += (REPOSITORY / "shared").glob("wire_*.py")
    for path in sorted([*(REPOSITORY / "engine").rglob("*.py"), *shared, REPOSITORY / "requirements.lock"]):
        if path.exists():
            digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def processor() -> str:
    """Return the processor's name where the kernel tells it; compiled code is made for one kind."""
    try:
        found = re.search(r"^(?:model name|CPU part)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return platform.processor()
    return found.group(1) if found else ""


def cache_folder() -> Path:
    """Return where compiled code is kept."""
    return Path(os.environ.get("TIDEMARK_KERNEL_CACHE") or Path(sys.prefix) / "kernels")


def compiled() -> bool:
    """Return whether the engine of this source was compiled here."""
    stamp = cache_folder() / STAMP
    return stamp.exists() and stamp.read_text() == stamp_wanted()


def caches_drop() -> None:
    """Remove the compiled code of all but the newest few sources of each family; a core's takes some 40 MB."""
    families: dict[str, list[Path]] = {}
    for folder in sorted(cache_folder().glob("tidemark-*"), key=lambda path: path.stat().st_mtime):
        families.setdefault(folder.name.rpartition("-")[0], []).append(folder)
    for folders in families.values():
        for folder in folders[:-CACHES_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


async def compile_once(console: Console, logs: Path, children: dict[str, Child]) -> None:
    """Compile the engine in a process of its own when its sources changed; the engine would do it itself, silently."""
    wanted = stamp_wanted()
    if compiled():
        return
    log = logs / "compile.log"
    log.unlink(missing_ok=True)
    environment = {**os.environ, "TIDEMARK_KERNEL_CACHE": str(cache_folder()), "PYTHONUNBUFFERED": "1"}
    child = Child("compile", [sys.executable, "-m", "engine.warm"], log, environment)
    child.stopping = True  # once, not for ever
    started_s = time.monotonic()
    if not console.terminal:
        console.part("compiling", "the engine, once: about a minute while the rest starts …")
    child.start()
    children["compile"] = child
    try:
        while not child.ended.is_set():
            await asyncio.sleep(0.1)
            console.progress(progress_line(log, time.monotonic() - started_s))
    finally:
        console.progress_end()
        if child.ended.is_set():
            del children["compile"]
    assert child.process is not None
    if child.process.returncode:
        console.part("compiling", "failed; see logs/compile.log. The engine tries by itself")
        return
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / STAMP).write_text(wanted)
    caches_drop()
    console.part("compiling", "the engine, once; kept for the next start", time.monotonic() - started_s)


def progress_line(log: Path, seconds: float) -> str:
    """Return the line of progress: the parts that are being compiled, and how many are done."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    parts = {state: [line for line in lines if line.startswith(f"{state}: ")] for state in ("compiling", "compiled")}
    done = [line.partition(": ")[2] for line in parts["compiled"]]
    begun = [line.partition(": ")[2] for line in parts["compiling"]]
    now = "; ".join(part for part in begun if part not in done) or "beginning"
    return f"  compiling   the engine, once: {seconds:4.1f} s, {len(done)} parts done, now {now}"
