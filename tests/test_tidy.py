"""Sizes, first lines and names of STYLE: what a reviewer should not have to look for."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("engine", "gateway", "persister", "poller", "scripts", "shared", "tests")
SKIPPED = {".git", ".venv", ".tidemark", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis", "build", "dist"}
LINES_MAX = 400
BODY_LINES_MAX = 70
# A thing without a name has no home.
NAMES_BANNED = {"utils", "helpers", "common", "base", "misc", "util"}
TEXT_SUFFIXES = {".py", ".sh", ".md", ".toml", ".lock", ".yml", ".yaml", ".txt", ".sql", ".cfg", ".json", ""}


def sources() -> list[Path]:
    """Return every Python file of the project."""
    found = (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py") if own(path))
    return sorted([*found, *REPOSITORY.glob("*.py")])


def own(path: Path) -> bool:
    """Return whether a file is ours: not made by a tool."""
    return not SKIPPED & set(path.relative_to(REPOSITORY).parts)


def texts() -> Iterator[Path]:
    """Yield every text file that is, or would be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    paths = [REPOSITORY / name for name in names if name] or [path for path in REPOSITORY.rglob("*") if own(path)]
    for path in paths:
        if path.is_file() and path.suffix in TEXT_SUFFIXES:
            yield path


def name_of(path: Path) -> str:
    """Return a file's path inside the repository."""
    return str(path.relative_to(REPOSITORY))


def test_files_have_one_reason_and_say_it() -> None:
    """Every module opens with a docstring whose first line is a sentence."""
    silent = []
    for path in sources():
        words = ast.get_docstring(ast.parse(path.read_text()))
        if not words or not re.search(r"[.:…]$|[.:,;] ", words.split("\n")[0]):
            silent.append(name_of(path))
    assert not silent, f"no first line that states the file's reason: {silent}"


def test_files_are_short() -> None:
    """No file passes 400 lines."""
    long = {name_of(path): count for path in sources() if (count := len(path.read_text().splitlines())) > LINES_MAX}
    assert not long


def test_functions_are_short() -> None:
    """No function's body passes 70 lines, its docstring and inner functions' own bodies not counted."""
    long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (count := body_lines(node)) > BODY_LINES_MAX
            ):
                long[f"{name_of(path)}:{node.name}"] = count
    assert not long


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function's body has without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if not body:
        return 0
    assert body[-1].end_lineno is not None
    return body[-1].end_lineno - body[0].lineno + 1


def test_functions_say_what_they_return() -> None:
    """Every function outside the tests has a docstring; nested ones and a protocol's need none."""
    silent = []
    for path in sources():
        if path.parts[len(REPOSITORY.parts)] == "tests":
            continue
        tree = ast.parse(path.read_text())
        classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and not protocol(node))
        for owner in (tree, *classes):
            for node in owner.body:
                named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
                if named and ast.get_docstring(node) is None and not overloaded(node):
                    silent.append(f"{name_of(path)}:{node.name}")
    assert not silent


def protocol(node: ast.ClassDef) -> bool:
    """Return whether a class only states a shape."""
    return any(getattr(base, "id", getattr(base, "attr", "")) == "Protocol" for base in node.bases)


def overloaded(node: ast.AST) -> bool:
    """Return whether a function is only one of several signatures."""
    return any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in getattr(node, "decorator_list", []))


def test_tests_say_what_is_true() -> None:
    """Every test has a docstring of one sentence or more."""
    silent = []
    for path in sources():
        if not path.name.startswith("test_"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if function and node.name.startswith("test_") and ast.get_docstring(node) is None:
                silent.append(f"{name_of(path)}:{node.name}")
    assert not silent


def test_names_name_something() -> None:
    """No file is called utils, helpers, common or base."""
    assert not [name_of(path) for path in sources() if path.stem in NAMES_BANNED]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(?i)pypi\.(org|python)|pythonhosted|npmjs|registry\.|/simple\b", "a package index is named"),
        (r"--(extra-)?index-url|--find-links", "an index option is set"),
        (r"(?<![\w.])/(root|home|work|Users)/\w", "a path of one machine is named"),
        (r"\b(TO" + r"DO|FIX" + r"ME)\b", "something is left for someone else"),
    ],
)
def test_text_is_free_of(pattern: str, why: str) -> None:
    """No tracked text names a package index or a path of one machine, or leaves work behind."""
    found = []
    for path in texts():
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:80]}")
    assert not found, why


def test_lock_names_no_host() -> None:
    """The requirements are pinned by hash, for every platform, without any address."""
    text = (REPOSITORY / "requirements.lock").read_text()
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9][^\n]*==[^\n]*\\$", text, re.MULTILINE)
    assert len(pinned) > 30
    assert text.count("--hash=sha256:") >= len(pinned)


def test_scripts_are_executable() -> None:
    """The commands of the README can be run as they are."""
    for name in ("scripts/run", "scripts/test", "scripts/check", "scripts/tidemark", ".ci/run"):
        assert (REPOSITORY / name).stat().st_mode & 0o111, name
