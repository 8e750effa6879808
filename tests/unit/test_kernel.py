"""engine/core/kernel.py: the cache notices every change, and no kernels call each other in a circle."""

import ast
import shutil
from pathlib import Path

import pytest

from engine.core.kernel import Family, cache_folders, cache_key, cache_sources, family_of

ROOT = Path(__file__).resolve().parents[2]


def test_a_changed_constant_names_another_cache(tmp_path: Path) -> None:
    """One changed constant in another file, or another version, gives another cache folder."""
    for package in ("engine", "shared"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = cache_key(tmp_path, "versions")
    assert before == cache_key(ROOT, "versions")
    limits = tmp_path / "engine" / "core" / "limits.py"
    limits.write_text(limits.read_text().replace("CONFIRMATIONS = 3", "CONFIRMATIONS = 4"))
    assert cache_key(tmp_path, "versions") != before
    assert cache_key(ROOT, "other versions") != before


@pytest.mark.parametrize(
    ("changed", "recompiled"),
    [
        ("engine/core/limits.py", {Family.CORE}),
        ("engine/core/kernel.py", {Family.CORE, Family.WIRE}),
        ("engine/core/compiler.py", {Family.CORE, Family.WIRE}),
        ("shared/units.py", {Family.CORE, Family.WIRE}),
        ("shared/wire_rows.py", {Family.WIRE}),
        ("engine/decode/added.py", {Family.WIRE}),
        ("engine/encode/added.py", {Family.WIRE}),
        ("engine/runner.py", set()),
    ],
)
def test_a_change_recompiles_the_families_that_see_it(tmp_path: Path, changed: str, recompiled: set[Family]) -> None:
    """A change of one family's source leaves the other family compiled."""
    for package in ("engine", "shared"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = {family: cache_key(tmp_path, "versions", family) for family in Family}
    path = tmp_path / changed
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n# changed\n")
    assert {family for family in Family if cache_key(tmp_path, "versions", family) != before[family]} == recompiled


def kernel_sources(family: Family) -> list[Path]:
    """Return the sources of a family that define kernels."""
    sources = cache_sources(ROOT, family)
    return [path for path in sources if "kernel import" in path.read_text() or "import kernel" in path.read_text()]


def imported(source: Path) -> set[Path]:
    """Return the project's sources that a source imports, by whole module or by name."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name}" for name in names)]
        found |= {ROOT / (name.replace(".", "/") + ".py") for name in names}
    return {path for path in found if path.exists()}


@pytest.mark.parametrize("family", list(Family))
def test_kernels_see_only_what_names_their_cache(family: Family) -> None:
    """Whatever the sources of a family's kernels import is in its digest: nothing else can change their code."""
    seen = set(cache_sources(ROOT, family))
    for source in kernel_sources(family):
        assert imported(source) <= seen, f"{source} imports {imported(source) - seen}"


def test_a_family_is_told_by_the_module() -> None:
    """The engine's kernels outside its core are the wire's; those of tests and scripts see the core."""
    assert family_of("engine.core.apply") is family_of("tests.trailing_market") is Family.CORE
    assert family_of("engine.decode.rows") is family_of("engine.canonical") is Family.WIRE
    assert len({folder.name for folder in cache_folders()}) in (0, len(Family))


def called(function: ast.FunctionDef) -> set[str]:
    """Return the last names of everything that a function calls."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            names.add(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
    return names


@pytest.mark.parametrize("family", list(Family))
def test_no_kernels_call_each_other_in_a_circle(family: Family) -> None:
    """The call graph of the kernels has no cycle: one would load from the cache with an unresolved address."""
    graph: dict[str, set[str]] = {}
    for source in kernel_sources(family):
        for node in ast.parse(source.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                getattr(d, "id", "") in ("kernel", "inlined", "entry", "entry_beside") for d in node.decorator_list
            ):
                assert node.name not in graph, f"two kernels are called {node.name}"
                graph[node.name] = called(node)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name in done or name not in graph:
            return
        for callee in graph[name]:
            visit(callee, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())
