"""
Copies of the repository: one that stands still while mutants are judged, and one for each process to spoil.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "engine", "gateway", "persister", "poller", "scripts", "shared", "tests")
FILES = ("README.md", "pyproject.toml")
CORE = Path("engine", "core")
# What decides a verdict; the tool's own files do not.
JUDGED = ("engine", "shared", "tests")


def copy_make(folder: Path, repository: Path = REPOSITORY) -> Path:
    """Copy the repository's sources below `folder`, beside the data that some tests look for there; return the copy."""
    root = folder / "main"
    root.mkdir(parents=True)
    for name in FOLDERS:
        if (repository / name).is_dir():
            ignored = shutil.ignore_patterns(".*") if repository != REPOSITORY else shutil.ignore_patterns(
                ".*", "__pycache__"
            )  # fmt: skip
            shutil.copytree(repository / name, root / name, ignore=ignored)
    for name in FILES:
        if (repository / name).is_file():
            shutil.copy2(repository / name, root / name)
    beside = REPOSITORY.parent / "shared"
    if beside.is_dir():
        (folder / "shared").symlink_to(beside)
    return root


def judged_sources(root: Path) -> Iterator[Path]:
    """Yield the files that decide a verdict, in a fixed order."""
    for name in JUDGED:
        for path in sorted((root / name).rglob("*")):
            if path.suffix in (".py", ".txt") and "mutation" not in path.relative_to(root).parts[1:2]:
                yield path


def digest(root: Path) -> str:
    """Return the digest of everything that decides a verdict."""
    made = hashlib.blake2b(digest_size=12)
    for path in judged_sources(root):
        made.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return made.hexdigest()


def core_write(root: Path, file: str, source: str) -> None:
    """Write one module of a copy's core, and forget what was compiled from it: its size and second may be the same."""
    path = root / CORE / f"{file}.py"
    for stale in (path.parent / "__pycache__").glob(f"{file}.*.pyc"):
        stale.unlink()
    path.write_text(source)
