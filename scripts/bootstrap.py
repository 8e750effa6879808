"""
Set up the environment with nothing but the standard library, then become the command that was asked for.

The environment is stamped with the lock, the interpreter and its own place: the next start compares and goes on.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOCK = REPOSITORY / "requirements.lock"
STAMP = "tidemark.stamp"


class SetupFailed(Exception):
    """The set-up cannot go on; the text says what to do about it."""


def main() -> None:
    """Make sure that the environment is right, then replace this process by the command."""
    arguments = sys.argv[1:]
    try:
        venv = places_choose()
        with setup_exclusive(venv):
            if stamp_read(venv) != stamp_wanted(venv):
                setup(venv)
    except SetupFailed as error:
        sys.exit(f"tidemark: {error}")
    except KeyboardInterrupt:
        sys.exit("\nSet-up interrupted; the next start finishes it.")
    python = str(venv / "bin" / "python")
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    os.environ["PYTHONSAFEPATH"] = "1"  # a folder named `scripts` where the user stands must not win
    if arguments[:1] == ["test"]:
        os.environ["TIDEMARK_BOOTSTRAPPED"] = "1"
        os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")  # many states, each soon gone
        os.chdir(REPOSITORY)
        # Once for a source, and before any test's own time counts: from the cache it takes a moment.
        subprocess.run([python, "-m", "engine.warm"], check=False)
        os.execv(python, [python, "-m", "pytest", *(arguments[1:] or beside())])
    if arguments[:1] == ["check"]:
        os.chdir(REPOSITORY)
        sys.exit(check(python, arguments[1:]))
    os.execv(python, [python, "-m", "scripts.cli", *arguments])


def beside() -> list[str]:
    """Return how the whole suite runs: most of it waits for servers, so whole files run beside each other."""
    return [f"--numprocesses={max(2, min(4, os.cpu_count() or 2))}", "--dist=loadfile", "--no-loadscope-reorder"]


# ---- where things are ------------------------------------------------------------------------------------------------


def places_choose() -> Path:
    """Return the environment's folder; sets the defaults of TIDEMARK_DATA and TIDEMARK_KERNEL_CACHE beside it."""
    name = f"tidemark-{hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]}"
    venv = Path(os.environ.get("TIDEMARK_VENV") or REPOSITORY / ".venv").absolute()
    if not os.access(REPOSITORY, os.W_OK):
        # A checkout that belongs to someone else, or a read-only disk: everything written goes to the user's folders.
        if "TIDEMARK_VENV" not in os.environ and stamp_read(venv) != stamp_wanted(venv):
            venv = user_folder("XDG_CACHE_HOME", ".cache") / name / "venv"
        os.environ.setdefault("TIDEMARK_DATA", str(user_folder("XDG_STATE_HOME", ".local/state") / name))
        sys.dont_write_bytecode = True
    kernels = venv / "kernels"
    if venv.exists() and not os.access(venv, os.W_OK):
        kernels = user_folder("XDG_CACHE_HOME", ".cache") / name / "kernels"
    os.environ.setdefault("TIDEMARK_KERNEL_CACHE", str(kernels))
    return venv


def user_folder(variable: str, under_home: str) -> Path:
    """Return a folder this user can write to: the variable's, else below home, else below the temporary folder."""
    home = home_writable()
    if os.environ.get(variable):
        return Path(os.environ[variable]).absolute()
    return home / under_home if home else Path(tempfile.gettempdir()) / f"tidemark-user-{os.getuid()}"


def home_writable() -> Path | None:
    """Return the home folder, or None where there is none that can be written to."""
    home = os.environ.get("HOME") or ""
    if not home:
        with contextlib.suppress(KeyError):
            home = pwd.getpwuid(os.getuid()).pw_dir
    return Path(home) if home and os.access(home, os.W_OK) and Path(home) != Path("/") else None


def stamp_wanted(venv: Path) -> str:
    """Return what the stamp must say: environment and interpreter on line 1, the lock on line 2."""
    interpreter = f"{sys.version} {sysconfig.get_platform()} {venv} {REPOSITORY}"
    parts = (interpreter.encode(), LOCK.read_bytes())
    return "\n".join(hashlib.sha256(part).hexdigest() for part in parts) + "\n"


def stamp_read(venv: Path) -> str:
    """Return what the environment's stamp says; empty where there is none."""
    try:
        return (venv / STAMP).read_text()
    except OSError:
        return ""


@contextlib.contextmanager
def setup_exclusive(venv: Path) -> Iterator[None]:
    """Hold the set-up for this process alone: two first starts at once install once."""
    if stamp_read(venv) == stamp_wanted(venv):
        yield
        return
    venv.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(venv.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another start that is setting up …")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# ---- setting up ------------------------------------------------------------------------------------------------------


def setup(venv: Path) -> None:
    """Create or mend the environment; the stamp is written last, so that an interruption is repaired next time."""
    started = time.monotonic()
    wanted = stamp_wanted(venv)
    say(f"Setting up Tidemark with Python {sys.version.split()[0]} in {shorten(venv)}")
    if stamp_read(venv).split("\n")[0] != wanted.split("\n")[0]:
        venv_create(venv)
    (venv / STAMP).unlink(missing_ok=True)
    count = len(re.findall(r"^[a-z0-9].*==", LOCK.read_text(), re.MULTILINE))
    say(f"  installing about {count} packages by hash (some 150 MB to fetch) …")
    if not install_uv(venv):
        say("  the fast installer did not work here: pip takes over, about 30 s …")
        pip_install(venv, ["--require-hashes", "-r", str(LOCK)])
    paths_write(venv)
    (venv / STAMP).write_text(wanted)
    say(f"  done in {time.monotonic() - started:.1f} s; the next start skips this.")


def venv_create(venv: Path) -> None:
    """Create the environment, with whatever parts of venv and pip this machine has."""
    base = getattr(sys, "_base_executable", sys.executable)
    if venv.exists():
        if any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
            raise SetupFailed(f"{venv} is no virtual environment; it is left alone")
        if venv.is_symlink():
            raise SetupFailed(f"{venv} leads to an environment that does not fit; remove the link")
        shutil.rmtree(venv)
    # Debian splits ensurepip away from Python; pip can then be lent by the machine's own.
    have_ensurepip = probe(base, "import ensurepip, venv")
    if not have_ensurepip and not (probe(base, "import venv") and probe(base, "import pip")):
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupFailed(f"this Python has neither ensurepip nor pip. Debian, Ubuntu: apt-get install {package}")
    without = [] if have_ensurepip else ["--without-pip"]
    run([base, "-I", "-m", "venv", *without, str(venv)], "the virtual environment could not be created")


def install_uv(venv: Path) -> bool:
    """Install the whole lock by uv, itself installed by its hash; returns False where that does not work."""
    block = re.search(r"^uv==(?:.*\\\n)*.*\n", LOCK.read_text(), re.MULTILINE)
    assert block is not None, "the lock names uv"
    python = str(venv / "bin" / "python")
    try:
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "uv.txt"
            own.write_text(block.group())
            pip_install(venv, ["--no-deps", "--require-hashes", "-r", str(own)])
        command = [str(venv / "bin" / "uv"), "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode"]
        run([*command, "--python", python, "-r", str(LOCK)], "uv", environment=uv_environment(venv))
    except SetupFailed as error:
        say(f"  {error}")
        return False
    return True


def uv_environment(venv: Path) -> dict[str, str]:
    """Return the environment for uv: mirror and certificates that pip is told to use, no cache without a home."""
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ, "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    if home_writable() is None and "UV_CACHE_DIR" not in environment:
        environment["UV_NO_CACHE"] = "1"
    pip = pip_command(venv)
    shown = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    for option, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        stated = re.search(rf"^(?:global|install|:env:)\.{option}='([^']+)'", shown, re.MULTILINE)
        if stated:
            environment.setdefault(variable, stated.group(1))
    return environment


def pip_command(venv: Path) -> list[str]:
    """Return how to call pip for the environment: its own, or the machine's on its behalf."""
    python = str(venv / "bin" / "python")
    if any(venv.glob("lib/python*/site-packages/pip")):
        return [python, "-I", "-m", "pip"]
    return [getattr(sys, "_base_executable", sys.executable), "-m", "pip", "--python", python]


def pip_install(venv: Path, arguments: list[str]) -> None:
    """Install by pip; wheels only, so that nothing is ever built on this machine."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
    run([*pip_command(venv), "install", *quiet, *arguments], "pip could not install; is a package index reachable?")


def paths_write(venv: Path) -> None:
    """Make the repository importable in the environment, and `tidemark` a command of it."""
    site = next(venv.glob("lib/python*/site-packages"))
    (site / "tidemark.pth").write_text(f"{REPOSITORY}\n")
    command = venv / "bin" / "tidemark"
    command.write_text(f"#!/bin/sh\nexec '{REPOSITORY}/scripts/tidemark' \"$@\"\n")
    command.chmod(0o755)


# ---- small things ----------------------------------------------------------------------------------------------------


def check(python: str, arguments: list[str]) -> int:
    """Run the checks, cheap first; returns the number of those that failed."""
    ruff = str(Path(python).with_name("ruff"))
    rules = ["tests/test_tidy.py", "tests/test_architecture.py"]
    steps = {
        "format": [ruff, "format", "--check", "--quiet", "."],
        "lint": [ruff, "check", "--quiet", "."],
        "types": [python, "-m", "mypy", "--no-error-summary"],
        "tidy, architecture": [python, "-m", "pytest", "-p", "no:randomly", *rules, *arguments],
    }
    failed = 0
    for name, command in steps.items():
        started = time.monotonic()
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        good = result.returncode == 0
        say(f"{'ok  ' if good else 'FAIL'}  {name:<20} {time.monotonic() - started:5.1f} s")
        if not good:
            failed += 1
            sys.stderr.write(result.stdout + result.stderr)
    return failed


def probe(python: str, statement: str) -> bool:
    """Return whether a statement runs in that interpreter."""
    return subprocess.run([python, "-I", "-c", statement], capture_output=True, check=False).returncode == 0


def run(command: list[str], problem: str, environment: dict[str, str] | None = None) -> None:
    """Run a command to its end; raises SetupFailed with its last words."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise SetupFailed(f"{problem}: {error}") from None
    if result.returncode:
        words = (result.stderr or result.stdout).strip().splitlines()
        raise SetupFailed("\n    ".join([f"{problem}:", *words[-6:]]))


def shorten(path: Path) -> str:
    """Return a path as the user may have typed it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def say(line: str) -> None:
    """Print one line of progress on stderr, at once."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
