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
    """Remove the compiled code of all but the newest few sources; each takes some 40 MB."""
    folders = sorted(cache_folder().glob("tidemark-*"), key=lambda path: path.stat().st_mtime)
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
        console.part("compiling", "the engine, once: a minute or two while the rest starts …")
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
    """Return the line of progress: how many parts are compiled, and which was the last."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = lines[-1].strip() if lines else "beginning"
    count = "" if re.search(r"\d+\s*/\s*\d+", last) else f"{len(lines)} parts, "
    return f"  compiling   the engine, once: {seconds:4.1f} s, {count}{last}"
