"""
Other engines on our streams, each in a throw-away environment of its own: install, run, collect one line; never fatal.

Question: on one machine, in one run, upon the same stream, how many orders and quotes a second does each engine make?
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVERS = Path(__file__).resolve().parent / "peers"
PYTHON = "3.12"  # has wheels of all of them
INSTALL_SECONDS = 300
RUN_SECONDS = 120
BOOKS = ((1_000, 1_000), (100_000, 1_000), (100_000, 10_000))


@dataclass(frozen=True)
class Peer:
    """One engine: what to install, what to run, and on which streams."""

    package: str
    driver: str
    requirements: tuple[str, ...]
    liquidity: str  # whose orders takers meet: "book" its own users', "quote" an outside market
    sizes: tuple[tuple[int, int], ...]  # resting orders, and the prices a side on which they rest
    goals: dict[str, float]  # ours ÷ theirs


PEERS = (
    Peer(
        "order-matching",
        "drive_order_matching.py",
        # It imports the last two and does not ask for them.
        ("order-matching==0.12.0", "polars==2.1.0", "pandera==0.35.0"),
        "book",
        BOOKS,
        {"orders": 1_000},
    ),
    Peer(
        "lightmatchingengine",
        "drive_lightmatchingengine.py",
        ("lightmatchingengine==2019.1.4",),
        "book",
        BOOKS,
        {"orders": 100},
    ),
    Peer(
        "nautilus_trader",
        "drive_nautilus_trader.py",
        ("nautilus_trader==1.231.0",),
        "quote",
        BOOKS[:1],
        {"orders": 200, "ticks": 1_000},
    ),
    Peer(
        "hftbacktest",
        "drive_hftbacktest.py",
        ("hftbacktest==2.4.4",),
        "quote",
        BOOKS[:2],
        {"orders": 0.7, "ticks": 5},
    ),
)


class PeerFailed(Exception):
    """A peer could not be installed or run; the text is the end of what it said."""


def environment(folder: Path, peer: Peer) -> Path:
    """Make the peer's environment below `folder`; returns its interpreter."""
    venv = folder / peer.package
    python = venv / "bin" / "python"
    uv = installer()
    base = interpreter()
    if uv:
        _run([uv, "venv", "--quiet", "--python", base or PYTHON, str(venv)], INSTALL_SECONDS)
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *peer.requirements], INSTALL_SECONDS)
    else:
        _run([base or sys.executable, "-m", "venv", str(venv)], INSTALL_SECONDS)
        _run([str(python), "-m", "pip", "install", "--quiet", *peer.requirements], INSTALL_SECONDS)
    return python


def installer() -> str | None:
    """Return the fast installer of this environment or of the machine, if there is one."""
    own = Path(sysconfig.get_path("scripts")) / "uv"
    return str(own) if own.exists() else shutil.which("uv")


def interpreter() -> str | None:
    """Return an interpreter of the wanted version that starts, or None; the installer may know how to fetch one."""
    return next((path for path in _interpreters() if _starts(path)), None)


def _interpreters() -> Iterator[str]:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        yield sys.executable
    found = shutil.which(f"python{PYTHON}")
    if found:
        yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted((root / "versions").glob(f"{PYTHON}.*"), reverse=True):
        yield str(folder / "bin" / "python")


def _starts(path: str) -> bool:
    """Return whether a program is that Python; a shim of a version that is not chosen is not."""
    asked = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == PYTHON


def drive(python: Path, peer: Peer, specification: Path) -> dict[str, Any]:
    """Run the peer's driver on a stream; returns its line."""
    lines = _run([str(python), "-W", "ignore", str(DRIVERS / peer.driver), str(specification)], RUN_SECONDS)
    answer: dict[str, Any] = json.loads(lines.strip().splitlines()[-1])
    return answer


def _run(command: list[str], seconds: float) -> str:
    """Run a program with none of our Python's settings; returns what it printed, or raises PeerFailed."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA"))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, env=settings, cwd=DRIVERS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(str(error)) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PeerFailed(f"exit {done.returncode}: " + " | ".join(said[-3:]))
    return done.stdout
