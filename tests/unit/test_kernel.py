"""engine/core/kernel.py: the cache notices every change, and no kernels call each other in a circle."""

import ast
import shutil
from pathlib import Path

from engine.core.kernel import cache_key

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "engine" / "core"


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


def called(function: ast.FunctionDef) -> set[str]:
    """Return the last names of everything that a function calls."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            names.add(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
    return names


def test_no_kernels_call_each_other_in_a_circle() -> None:
    """The call graph of the kernels has no cycle: one would load from the cache with an unresolved address."""
    graph: dict[str, set[str]] = {}
    for source in CORE.glob("*.py"):
        for node in ast.parse(source.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                getattr(d, "id", "") in ("kernel", "entry") for d in node.decorator_list
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
